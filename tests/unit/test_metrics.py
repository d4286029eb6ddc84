"""Exact match, token accuracy and BLEU: by hand, and against the published formula written out independently."""

import math
import random
from fractions import Fraction

import pytest

from course_utils.metrics import bleu, exact_match, token_accuracy

CAT = ["the", "cat", "sat", "on", "the", "mat"]


def test_bleu_by_hand():
    hypothesis = ["the", "cat", "the", "cat", "on", "the", "mat"]
    # 1-grams: the 2 of 3, cat 1 of 2, on 1, mat 1 -> 5/7; 2-grams: the cat, on the, the mat -> 3/6; 3-grams: on the mat
    # -> 1/5; no brevity penalty (7 tokens for 6).
    expected = (Fraction(5, 7) * Fraction(3, 6) * Fraction(1, 5)) ** (1 / 3)
    assert math.isclose(bleu([hypothesis], [CAT], max_n=3), expected)
    assert bleu([hypothesis], [CAT]) == 0                                   # no 4-gram matches


def test_the_brevity_penalty_by_hand():
    assert math.isclose(bleu([CAT[:4]], [CAT], max_n=2), math.exp(1 - 6 / 4))
    assert bleu([CAT], [CAT]) == 1


def test_the_papers_example_of_clipping():
    # Papineni et al., section 2.1: seven times "the" has a clipped precision of 2/7.
    assert math.isclose(bleu([["the"] * 7], [CAT], max_n=1), 2 / 7)


def formula(hypotheses, references, max_n=4):
    """BLEU as in Papineni et al. (2002): p_n of section 2.1.1, BP and BLEU of section 2.3, with plain loops."""
    product = 1.0
    for n in range(1, max_n + 1):
        clipped, count = 0, 0
        for hypothesis, reference in zip(hypotheses, references, strict=True):
            grams = [hypothesis[k : k + n] for k in range(len(hypothesis) - n + 1)]
            others = [reference[k : k + n] for k in range(len(reference) - n + 1)]
            count += len(grams)
            for gram in grams:
                if gram in others:
                    others.remove(gram)
                    clipped += 1
        product *= (clipped / count) ** (1 / max_n) if count else 0.0
    c, r = sum(len(h) for h in hypotheses), sum(len(x) for x in references)
    return product * (1.0 if c > r else math.exp(1 - r / c))


def test_bleu_equals_the_formula_on_random_sentences():
    draw = random.Random(0)
    scores = []
    for _ in range(300):
        references = [draw.choices("abcd", k=draw.randint(1, 12)) for _ in range(draw.randint(1, 6))]
        hypotheses = [draw.choices("abcd", k=draw.randint(1, 12)) for _ in references]
        max_n = draw.randint(1, 4)
        score = bleu(hypotheses, references, max_n)
        assert math.isclose(score, formula(hypotheses, references, max_n), abs_tol=1e-12)
        assert 0 <= score <= 1
        scores.append(score)
    assert 50 < sum(score > 0 for score in scores) < 300


def test_bleu_of_empty_hypotheses_is_zero():
    assert bleu([[]], [CAT]) == 0
    assert bleu([[], CAT], [CAT, CAT]) < 1


def test_exact_match_and_token_accuracy():
    hypotheses, references = [CAT, CAT[:3], ["a", *CAT]], [CAT, CAT, CAT]
    assert exact_match(hypotheses, references) == 1 / 3
    assert math.isclose(token_accuracy(hypotheses, references), (6 + 3 + 0) / (6 + 6 + 7))
    assert token_accuracy([[]], [[]]) == exact_match([[]], [[]]) == 1       # nothing wanted, nothing written
    assert exact_match([tuple(CAT)], [CAT]) == 1


@pytest.mark.parametrize("metric", [exact_match, token_accuracy, bleu])
def test_lists_that_do_not_fit_are_refused(metric):
    for hypotheses, references in (([], []), ([CAT], []), ([CAT], [CAT, CAT])):
        with pytest.raises(ValueError, match="one each, and at least one"):
            metric(hypotheses, references)
    for metric in (exact_match, token_accuracy, bleu):
        with pytest.raises(ValueError, match="list of tokens, not one string"):
            metric(["the cat"], [CAT])
    with pytest.raises(ValueError, match="max_n=0 must be at least 1"):
        bleu([CAT], [CAT], max_n=0)
