"""How good is a translation? Exact match, token accuracy and BLEU, from tokens.

Source of BLEU: Papineni, Roukos, Ward and Zhu, "BLEU: a Method for Automatic Evaluation of Machine Translation" (2002).
"""

import math
from collections import Counter


def exact_match(hypotheses, references):
    """Share of sentences that equal their reference token by token. Both: lists of N token lists, N >= 1."""
    check_pairs(hypotheses, references)
    return sum(list(h) == list(r) for h, r in zip(hypotheses, references, strict=True)) / len(references)


def token_accuracy(hypotheses, references):
    """Share of places that hold the reference's token. A place that only one of the two has counts as wrong."""
    check_pairs(hypotheses, references)
    pairs = list(zip(hypotheses, references, strict=True))
    right = sum(a == b for h, r in pairs for a, b in zip(h, r, strict=False))
    places = sum(max(len(h), len(r)) for h, r in pairs)
    return right / places if places else 1.0


def ngrams(tokens, n):
    """How often each run of n tokens occurs."""
    return Counter(tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1))


def bleu(hypotheses, references, max_n=4):
    """BLEU of a whole test set, one reference a sentence, between 0 and 1.

    The geometric mean of the clipped n-gram precisions for n = 1 … max_n, counted over all sentences together, times
    the brevity penalty exp(1 - r/c) when the c tokens written are fewer than the r tokens of the references
    (Papineni et al., 2002, section 2.3). No smoothing: 0 when some n has no match at all.
    Raises ValueError for lists of different or no length and for max_n below 1.
    """
    check_pairs(hypotheses, references)
    if max_n < 1:
        raise ValueError(f"max_n={max_n} must be at least 1")
    logs = 0.0
    for n in range(1, max_n + 1):
        pairs = [(ngrams(h, n), ngrams(r, n)) for h, r in zip(hypotheses, references, strict=True)]
        matches = sum((hypothesis & reference).total() for hypothesis, reference in pairs)      # & takes the smaller
        total = sum(hypothesis.total() for hypothesis, _ in pairs)
        if matches == 0:
            return 0.0
        logs += math.log(matches / total) / max_n
    written, wanted = sum(map(len, hypotheses)), sum(map(len, references))
    return math.exp(min(0.0, 1 - wanted / written) + logs)


def check_pairs(hypotheses, references):
    """Raise ValueError unless there are as many hypotheses as references, at least one, and all are lists of tokens."""
    if any(isinstance(sentence, str) for sentence in (*hypotheses, *references)):
        raise ValueError("a sentence must be a list of tokens, not one string: split it first")
    if len(hypotheses) != len(references) or not references:
        raise ValueError(f"{len(hypotheses)} hypotheses for {len(references)} references: one each, and at least one")
