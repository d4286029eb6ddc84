"""Chapter 03's exercises, where the tests of all chapters cannot look: right answers of other kinds, ties, stops."""

import heapq
import itertools
from collections import Counter, defaultdict
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.exercises import engine
from course_utils.exercises.chapter_03 import (
    beam_step,
    clipped_matches,
    exact_match_by_length,
    greedy_decode,
    masked_loss,
    next_inputs,
    shift_targets,
)
from course_utils.exercises.engine import NOT_YET, PASSED, diagnose, examine
from course_utils.exercises.running import run


def inputs_of(exercise_id, case):
    """The inputs of a case, drawn as the engine draws them."""
    return run(lambda *inputs: inputs, engine.get(exercise_id).cases[case].make, 5).inputs


def every_case(exercise_id):
    return pytest.mark.parametrize("case", range(len(engine.get(exercise_id).cases)))


# --- the references by themselves -----------------------------------------------------------------------------------

def test_the_shift_of_a_sentence_written_out():
    target = torch.tensor([[1, 7, 8, 2, 0], [1, 5, 6, 9, 2]])
    decoder_input, labels = shift_targets(target)
    assert decoder_input.tolist() == [[1, 7, 8, 2], [1, 5, 6, 9]]
    assert labels.tolist() == [[7, 8, 2, 0], [5, 6, 9, 2]]


@every_case("03.2")
def test_the_masked_loss_is_torchs(case):
    logits, labels, pad = (*inputs_of("03.2", case), 0)[:3]
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=pad)
    torch.testing.assert_close(masked_loss(logits, labels, pad), expected, rtol=1e-5, atol=1e-5)
    assert (labels != pad).any(1).all(), "a sentence without a real token would make the mean of its own NaN"


def test_padding_gets_no_gradient():
    logits, labels = inputs_of("03.2", 0)
    logits.requires_grad_()
    masked_loss(logits, labels).backward()
    assert ((logits.grad.abs().sum(-1) > 0) == (labels != 0)).all() and (labels == 0).any()


def test_the_share_of_references_is_p():
    coins = torch.arange(100) / 100
    for p in (0, 0.25, 0.5, 1):
        taken = next_inputs(torch.ones(100, dtype=torch.long), torch.zeros(100, dtype=torch.long), p, coins)
        assert int(taken.sum()) == 100 * p


@pytest.mark.parametrize("p", [-0.01, 1.01, float("nan"), float("inf")])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(ValueError, match="not a probability"):
        next_inputs(torch.tensor([4]), torch.tensor([5]), p, torch.tensor([0.5]))


@every_case("03.4")
def test_greedy_cases_isolate_one_reason_to_stop(case):
    ids = greedy_decode(*inputs_of("03.4", case))
    step, state, start, end, limit = inputs_of("03.4", case)
    assert len(ids) <= limit and end not in ids
    for token in (start, *ids)[:limit]:
        logits, state = step(token, state)
    assert (len(ids) == limit) != (int(logits.argmax()) == end)


def test_one_greedy_case_writes_start():
    assert sum(inputs_of("03.4", case)[2] in greedy_decode(*inputs_of("03.4", case)) for case in range(7)) == 1


@every_case("03.4")
def test_the_likeliest_token_is_clearly_so(case):
    step, state, start, end, limit = inputs_of("03.4", case)
    for token in (start, *greedy_decode(step, state, start, end, limit))[:limit]:
        logits, state = step(token, state)
        best, second = logits.topk(2).values
        assert best - second > 0.1


@every_case("03.5")
def test_no_two_candidates_of_a_beam_step_tie(case):
    beams, log_probs, _, end = inputs_of("03.5", case)
    torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(len(beams)))
    scores = sorted(score for _, score in beam_step(beams, log_probs, 10**6, end))
    assert all(later - earlier > 1e-3 for earlier, later in itertools.pairwise(scores))


def test_a_beam_that_keeps_everything_finds_the_likeliest_sentence():
    torch.manual_seed(3)
    tables = torch.randn(3, 4, 4).log_softmax(-1)       # step, last token, next token
    beams = [((0,), 0.0)]
    for table in tables:
        beams = beam_step(beams, table[[ids[-1] for ids, _ in beams]], 4**3, end=-1)
    scores = {
        (0, *rest): sum(float(table[one, two]) for table, (one, two) in zip(
            tables, itertools.pairwise((0, *rest)), strict=True))
        for rest in itertools.product(range(4), repeat=3)
    }
    assert len(beams) == 64 and beams[0][0] == max(scores, key=scores.get)
    assert all(score == pytest.approx(scores[ids], abs=1e-5) for ids, score in beams)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_clipping_is_the_intersection_of_counters(n):
    def counted(tokens):
        return Counter(zip(*(tokens[k:] for k in range(n)), strict=False))

    torch.manual_seed(n)
    for _ in range(50):
        hypothesis, reference = (torch.randint(0, 4, (int(size),)).tolist() for size in torch.randint(0, 9, (2,)))
        found, there = counted(hypothesis), counted(reference)
        assert clipped_matches(hypothesis, reference, n) == ((found & there).total(), found.total())


def test_shares_by_length_written_out():
    shares = exact_match_by_length([["a"], ["b"], ["c", "d"]], [["a"], ["x"], ["c", "d"]], [4, 4, 3])
    assert list(shares.items()) == [(3, 1.0), (4, 0.5)]


# --- right answers that look different ------------------------------------------------------------------------------

def every_row_without_its_end(target):
    inputs = target[target != 2].reshape(len(target), -1)
    labels = target[target != 1].reshape(len(target), -1)
    return inputs, labels


def shifted_row_by_row(target):
    return [[row[:-1] for row in target.tolist()], [row[1:] for row in target.tolist()]]


def padding_for_the_ends_that_are_read(target):
    return torch.where(target[:, :-1] == 2, 0, target[:, :-1]), target[:, 1:]


def loss_by_loop(logits, labels, pad=0):
    losses = [
        float(torch.logsumexp(scores, 0) - scores[label])
        for row, wanted in zip(logits, labels, strict=True) for scores, label in zip(row, wanted, strict=True)
        if label != pad
    ]
    return sum(losses) / len(losses)


def loss_by_product(logits, labels, pad=0):
    losses = -logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    mask = (labels != pad).float()
    return (losses * mask).sum() / mask.sum()


def loss_by_weights(logits, labels, pad=0):
    weight = torch.ones(logits.shape[-1])
    weight[pad] = 0
    return nn.CrossEntropyLoss(weight=weight)(logits.mT, labels)


def inputs_by_loop(reference, predicted, p, coins):
    if p < 0 or p > 1:
        raise ValueError("p is a probability")
    rows = zip(reference.tolist(), predicted.tolist(), coins.tolist(), strict=True)
    return [truth if coin < p else own for truth, own, coin in rows]


def inputs_by_a_clone(reference, predicted, p, coins):
    if not 0.0 <= p <= 1.0:
        raise ValueError
    chosen = predicted.clone()
    chosen[coins < p] = reference[coins < p]
    return chosen


class NotAProbability(ValueError):
    pass


def inputs_by_a_blend_of_masks(reference, predicted, p, coins):
    if p != min(max(p, 0), 1):
        raise NotAProbability(p)
    take = (coins < p).long()
    return take * reference + (1 - take) * predicted


def greedy_by_recursion(step, state, start, end, limit):
    if limit == 0:
        return []
    logits, state = step(start, state)
    token = logits.argmax()
    return [] if token == end else [token, *greedy_by_recursion(step, state, token, end, limit - 1)]


def greedy_as_generator(step, state, start, end, limit):
    token = start
    for _ in range(limit):
        logits, state = step(token, state)
        token = int(np.argmax(logits.numpy()))
        if token == end:
            return
        yield token


def greedy_that_cuts(step, state, start, end, limit):
    ids = [start]
    while ids[-1] != end and len(ids) <= limit:
        logits, state = step(torch.tensor(ids[-1]), state)
        ids.append(logits.softmax(-1).max(-1).indices.item())
    return torch.tensor([token for token in ids[1:] if token != end], dtype=torch.long).tolist()


def greedy_that_leaves_every_start_out(step, state, start, end, limit):
    return [token for token in greedy_decode(step, state, start, end, limit) if token not in (start, end)]


def beams_by_topk(beams, log_probs, width, end):
    finished = torch.tensor([ids[-1] == end for ids, _ in beams])
    scores = torch.tensor([score for _, score in beams]).unsqueeze(1)
    totals = torch.where(finished.unsqueeze(1), -torch.inf, scores + log_probs)
    totals[finished, end] = scores[finished, 0]
    vocabulary = log_probs.shape[1]
    possible = int(totals.isfinite().sum())
    best = totals.flatten().topk(min(width, possible))
    kept = []
    for score, place in zip(best.values, best.indices.tolist(), strict=True):
        ids = beams[place // vocabulary][0]
        kept.append([list(ids) if ids[-1] == end else [*ids, place % vocabulary], score])
    return kept


def beams_by_heap(beams, log_probs, width, end):
    candidates = []
    for k, (ids, score) in enumerate(beams):
        new = [(score, ids)] if ids[-1] == end else [
            (score + float(log_probs[k, token]), (*ids, token)) for token in range(log_probs.shape[1])]
        candidates.extend(new)
    return tuple((ids, score) for score, ids in heapq.nlargest(width, candidates))


def matches_by_removing(hypothesis, reference, n):
    left = [reference[i:i + n] for i in range(len(reference) - n + 1)]
    matches = total = 0
    for i in range(len(hypothesis) - n + 1):
        total += 1
        if hypothesis[i:i + n] in left:
            left.remove(hypothesis[i:i + n])
            matches += 1
    return np.array([matches, total])


def matches_by_counters(hypothesis, reference, n):
    found = Counter(zip(*(hypothesis[k:] for k in range(n)), strict=False))
    there = Counter(zip(*(reference[k:] for k in range(n)), strict=False))
    return float((found & there).total()), torch.tensor(found.total())


def shares_in_numpy(hypotheses, references, lengths):
    right = np.array([one == other for one, other in zip(hypotheses, references, strict=True)])
    return {length: right[np.array(lengths) == length].mean() for length in np.unique(lengths)}


def shares_by_running_counts(hypotheses, references, lengths):
    right, seen = defaultdict(int), defaultdict(int)
    for hypothesis, reference, length in sorted(zip(hypotheses, references, lengths, strict=True), key=lambda r: r[2]):
        seen[length] += 1
        right[length] += " ".join(hypothesis) == " ".join(reference)
    return {length: Fraction(right[length], seen[length]) for length in seen}


def shares_in_a_defaultdict(hypotheses, references, lengths):
    shares = defaultdict(float)
    for length in sorted(lengths):
        rows = [k for k in range(len(lengths)) if lengths[k] == length]
        shares[length] = torch.tensor([hypotheses[k] == references[k] for k in rows]).float().mean()
    return shares


@pytest.mark.parametrize("exercise_id, answer", [
    ("03.1", every_row_without_its_end), ("03.1", shifted_row_by_row),
    ("03.1", padding_for_the_ends_that_are_read),
    ("03.1", lambda target: torch.stack([target[:, :-1], target[:, 1:]])),
    ("03.1", lambda target: (target.numpy()[:, :-1], target.narrow(1, 1, target.shape[1] - 1).float())),
    ("03.2", loss_by_loop), ("03.2", loss_by_product), ("03.2", loss_by_weights),
    ("03.2", lambda logits, labels, pad=0: F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=pad)),
    ("03.2", lambda logits, labels, pad=0: F.cross_entropy(logits[labels != pad], labels[labels != pad])),
    ("03.3", inputs_by_loop), ("03.3", inputs_by_a_clone), ("03.3", inputs_by_a_blend_of_masks),
    ("03.4", greedy_by_recursion), ("03.4", greedy_as_generator), ("03.4", greedy_that_cuts),
    ("03.4", greedy_that_leaves_every_start_out),
    ("03.5", beams_by_topk), ("03.5", beams_by_heap),
    ("03.6", matches_by_removing), ("03.6", matches_by_counters),
    ("03.7", shares_in_numpy), ("03.7", shares_by_running_counts), ("03.7", shares_in_a_defaultdict),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED, verdict.message


# --- mistakes -------------------------------------------------------------------------------------------------------

def loss_with_a_hard_wired_pad(logits, labels, pad=0):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=0)


def loss_of_logits_set_to_minus_infinity(logits, labels, pad=0):
    hidden = logits.clone()
    hidden[..., pad] = -torch.inf
    return F.cross_entropy(hidden.flatten(0, 1), labels.flatten(), ignore_index=pad)


def clamped(reference, predicted, p, coins):
    return torch.where(coins < min(max(p, 0.0), 1.0), reference, predicted)


def inputs_by_all_coins(reference, predicted, p, coins):
    if p < 0 or p > 1:
        raise ValueError("p")
    return reference if (coins < p).all() else predicted


def inputs_by_any_coin(reference, predicted, p, coins):
    if p < 0 or p > 1:
        raise ValueError("p")
    return reference if coins.min() < p else predicted


def inputs_from_the_other_side(reference, predicted, p, coins):
    if p < 0 or p > 1:
        raise ValueError("p")
    return torch.where(coins >= 1 - p, predicted, reference)


def inputs_by_a_fixed_half(reference, predicted, p, coins):
    if p < 0 or p > 1:
        raise ValueError("p")
    return torch.where(coins >= 0.5, predicted, reference)


def inputs_with_a_bare_exception(reference, predicted, p, coins):
    if p < 0 or p > 1:
        raise Exception("p must be between 0 and 1")
    return torch.where(coins < p, reference, predicted)


def inputs_with_a_printed_complaint(reference, predicted, p, coins):
    if p < 0 or p > 1:
        print("p must be between 0 and 1")
    return torch.where(coins < p, reference, predicted)


def inputs_with_nothing_for_a_bad_p(reference, predicted, p, coins):
    if p < 0 or p > 1:
        print("p must be between 0 and 1")
        return None
    return torch.where(coins < p, reference, predicted)


def greedy(choose, stop=lambda token, ids, start, end: token == end):
    """A reader's greedy loop. choose: logits -> token; stop: whether to leave the loop before the token is kept."""
    def answer(step, state, start, end, limit):
        ids, token = [], start
        while len(ids) < limit:
            logits, state = step(token, state)
            token = choose(logits)
            if stop(token, ids, start, end):
                break
            ids.append(token)
        return ids
    return answer


def greedy_with_the_last_cut_off(step, state, start, end, limit):
    return greedy_with_end_kept(step, state, start, end, limit)[:-1]


def greedy_without_repeats(step, state, start, end, limit):
    ids, token = [], start
    for _ in range(limit):
        logits, state = step(token, state)
        logits = logits.clone()
        logits[ids] = -torch.inf
        token = int(logits.argmax())
        if token == end:
            break
        ids.append(token)
    return ids


def greedy_with_end_kept(step, state, start, end, limit):
    ids, token = [], start
    while token != end and len(ids) < limit:
        logits, state = step(token, state)
        token = int(logits.argmax())
        ids.append(token)
    return ids


def greedy_with_a_lost_state(step, state, start, end, limit):
    ids, token = [], start
    for _ in range(limit):
        logits, _ = step(token, state)
        token = int(logits.argmax())
        if token == end:
            return ids
        ids.append(token)
    return ids


def greedy_without_limit(step, state, start, end, limit):
    ids, token = [], start
    while True:
        logits, state = step(token, state)
        token = int(logits.argmax())
        if token == end:
            return ids
        ids.append(token)


def beams_that_all_grow(beams, log_probs, width, end):
    scores = torch.tensor([score for _, score in beams]).unsqueeze(1) + log_probs
    best = scores.flatten().topk(min(width, scores.numel()))
    beam, token = best.indices // log_probs.shape[1], best.indices % log_probs.shape[1]
    return [((*beams[b][0], int(t)), float(s)) for b, t, s in zip(beam, token, best.values, strict=True)]


def beams(extend, sort=lambda found: sorted(found, key=lambda beam: beam[1], reverse=True)):
    """A reader's beam step. extend: ids, score, log-probabilities, end -> candidates of one beam."""
    def answer(beams, log_probs, width, end):
        found = []
        for k, (ids, score) in enumerate(beams):
            found += extend(ids, score, log_probs[k].tolist(), end)
        return sort(found)[:width]
    return answer


def right_candidates(ids, score, row, end):
    return [(ids, score)] if ids[-1] == end else [((*ids, t), score + row[t]) for t in range(len(row))]


def kept_and_extended(ids, score, row, end):
    kept = [(ids, score)] if ids[-1] == end else []
    return kept + [((*ids, t), score + row[t]) for t in range(len(row))]


def candidates_without_end(ids, score, row, end):
    if ids[-1] == end:
        return [(ids, score)]
    return [((*ids, t), score + row[t]) for t in range(len(row)) if t != end]


def candidates_in_front(ids, score, row, end):
    return [(ids, score)] if ids[-1] == end else [((t, *ids), score + row[t]) for t in range(len(row))]


def candidates_of_one_token(ids, score, row, end):
    return [(ids, score)] if ids[-1] == end else [([t], score + row[t]) for t in range(len(row))]


def matches(count, windows=lambda tokens, n: [tokens[i:i + n] for i in range(len(tokens) - n + 1)]):
    """A reader's count of matches. count: the n-grams of both sides -> matches."""
    def answer(hypothesis, reference, n):
        found, there = windows(hypothesis, n), windows(reference, n)
        return count(found, there), len(found)
    return answer


def the_smaller_count_each_time(found, there):
    return sum(min(found.count(one), there.count(one)) for one in found)


def every_equal_pair(found, there):
    hits = 0
    for one in found:
        for other in there:
            if one == other:
                hits += 1
    return hits


def longest_common_subsequence(found, there):
    best = [[0] * (len(there) + 1) for _ in range(len(found) + 1)]
    for i, one in enumerate(found):
        for j, other in enumerate(there):
            best[i + 1][j + 1] = best[i][j] + 1 if one == other else max(best[i][j + 1], best[i + 1][j])
    return best[-1][-1]


def clipped(found, there):
    return sum(min(found.count(one), there.count(one)) for one in {tuple(one): one for one in found}.values())


def shares(equal):
    """A reader's shares. equal: hypothesis, reference, all hypotheses, all references -> whether it is right."""
    def answer(hypotheses, references, lengths):
        hits = {length: [] for length in sorted(set(lengths))}
        for k, length in enumerate(lengths):
            hits[length].append(equal(hypotheses[k], references[k], hypotheses, references))
        return {length: sum(found) / len(found) for length, found in hits.items()}
    return answer


def matches_with_sets(hypothesis, reference, n):
    found = [" ".join(hypothesis[i:i + n]) for i in range(len(hypothesis) - n + 1)]
    there = {" ".join(reference[i:i + n]) for i in range(len(reference) - n + 1)}
    return len(set(found).intersection(there)), len(found)


def shares_of_zipped_words(hypotheses, references, lengths):
    hits = {}
    for hypothesis, reference, length in zip(hypotheses, references, lengths, strict=True):
        hits.setdefault(length, []).append(all(a == b for a, b in zip(hypothesis, reference, strict=False)))
    return {length: sum(hits[length]) / len(hits[length]) for length in sorted(hits)}


def shares_in_order_of_arrival(hypotheses, references, lengths):
    hits = defaultdict(list)
    for hypothesis, reference, length in zip(hypotheses, references, lengths, strict=True):
        hits[length].append(hypothesis == reference)
    return {length: sum(found) / len(found) for length, found in hits.items()}


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("03.1", lambda target: torch.stack([target[:, 1:], target[:, :-1]]), "Your two tensors are exchanged"),
    ("03.1", lambda target: [target[:-1].numpy(), target[1:].numpy()], "You shift along the batch"),
    ("03.2", loss_with_a_hard_wired_pad, "You leave out the label 0"),
    ("03.2", loss_of_logits_set_to_minus_infinity, "You take <pad> out of the softmax"),
    ("03.2", lambda logits, labels, pad=0: F.cross_entropy(logits.flatten(0, 1), labels.flatten()),
     "Your mean runs over the padding too"),
    ("03.2", lambda logits, labels, pad=0: F.nll_loss(logits[labels != pad], labels[labels != pad]),
     "F.nll_loss, which wants log-probabilities"),
    ("03.2", lambda logits, labels, pad=0: torch.exp(F.cross_entropy(logits[labels != pad], labels[labels != pad])),
     "that is the perplexity"),
    ("03.3", clamped, "a p of 1.5 or -0.2 is not refused. Write raise ValueError"),
    ("03.3", inputs_with_a_printed_complaint, "a p of 1.5 or -0.2 is not refused. Write raise ValueError"),
    ("03.3", inputs_with_nothing_for_a_bad_p, "You return nothing for a wrong p"),
    ("03.3", inputs_with_a_bare_exception, "You raise Exception, which may mean anything. Write raise ValueError"),
    ("03.3", inputs_by_all_coins, "You decide once for the whole batch, by all coins"),
    ("03.3", inputs_by_any_coin, "You decide once for the whole batch: if one coin"),
    ("03.3", inputs_from_the_other_side, "You compare with 1 - p"),
    ("03.3", inputs_by_a_fixed_half, "You compare the coins with 0.5"),
    ("03.4", greedy_with_the_last_cut_off, "is the last token cut off even where it is not end?"),
    ("03.4", greedy(lambda logits: logits.max()), "You keep the score of the likeliest token."),
    ("03.4", greedy(lambda logits: logits.max(0)[0].item()), "You keep the score of the likeliest token."),
    ("03.4", greedy(lambda logits: int(max(logits))), "You keep the largest score, cut to a whole number."),
    ("03.4", greedy(lambda logits: int(logits.argmax()), lambda token, ids, start, end: token in (start, end)),
     "Your loop stops at start too."),
    ("03.4", greedy(lambda logits: int(logits.argmax()), lambda token, ids, start, end: token in (*ids, end)),
     "You stop where a token comes again."),
    ("03.4", greedy_without_repeats, "You forbid a token to come again"),
    ("03.5", beams(right_candidates, sorted), "You sort by ids: of two tuples"),
    ("03.5", beams(right_candidates, lambda found: sorted(found, reverse=True)), "You sort by ids, largest first"),
    ("03.5", beams(kept_and_extended), "You keep the finished beam but extend it too"),
    ("03.5", beams(candidates_without_end), "You never extend a beam by end"),
    ("03.5", beams(candidates_in_front), "You put the new token in front."),
    ("03.5", beams(candidates_of_one_token), "You keep only the new token."),
    ("03.6", matches(the_smaller_count_each_time), "once for every repeat of an n-gram"),
    ("03.6", matches(every_equal_pair), "You count every pair of equal n-grams"),
    ("03.6", matches(longest_common_subsequence), "You look for matches in the same order"),
    ("03.6", matches(clipped, lambda tokens, n: [tokens[i:i + n] for i in range(len(tokens))]),
     "Your last n-grams are too short"),
    ("03.6", lambda *inputs: list(matches(clipped)(*inputs))[::-1], "Your two numbers are exchanged"),
    ("03.7", shares(lambda hypothesis, reference, hypotheses, references: hypothesis in references),
     "You look for the translation among all references"),
    ("03.7", shares(lambda hypothesis, reference, hypotheses, references: reference in hypotheses),
     "You look for the reference among all translations"),
    ("03.4", greedy_with_end_kept, "Your list contains end."),
    ("03.4", greedy_with_a_lost_state, "Every step starts from the first state"),
    ("03.4", greedy_without_limit, "No limit stops your loop"),
    ("03.5", beams_that_all_grow, "You extend finished beams too"),
    ("03.6", matches_with_sets, "You count each different n-gram once."),
    ("03.7", shares_of_zipped_words, "only as far as the shorter sentence goes"),
    ("03.7", shares_in_order_of_arrival, "the lengths stand in the order in which they came"),
])
def test_other_ways_to_make_a_known_mistake(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and words in verdict.message, verdict.message


def shares_slightly_off(*inputs):
    return {length: share + 0.01 for length, share in exact_match_by_length(*inputs).items()}


def beams_with_a_wrong_score(*inputs):
    return [(ids, score - 0.5) for ids, score in beam_step(*inputs)]


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("03.1", lambda target: (target[:, :-1], target[:, 1:] + 1), "In labels: the first difference is at index [0, 0]"),
    ("03.1", lambda target: target[:, :-1], "Expected 2 things (decoder_input, labels), got one tensor (3, 6)."),
    ("03.2", lambda logits, labels, pad=0: masked_loss(logits, labels, pad) + 1, "Expected 2."),
    ("03.2", lambda logits, labels, pad=0: logits.logsumexp(-1), "Expected shape (), got (2, 5)."),
    ("03.3", lambda reference, predicted, p, coins: next_inputs(reference, predicted, p, coins)[:-1],
     "Expected shape (B=7,), got (6,)."),
    ("03.3", lambda reference, predicted, p, coins: next_inputs(reference, predicted, min(max(p, 0), 0.9), coins),
     "Called with reference = "),
    ("03.4", lambda *inputs: [token + 1 for token in greedy_decode(*inputs)], "In ids[0]: expected 5, got 6."),
    ("03.4", lambda *inputs: greedy_decode(*inputs)[1:], "got [3, 8, 4]."),
    ("03.5", beams_with_a_wrong_score, "In beams[0][1]: expected -"),
    ("03.5", lambda *inputs: [ids for ids, _ in beam_step(*inputs)], "In beams[0]: expected 2 things, got (1, "),
    ("03.6", lambda *inputs: (clipped_matches(*inputs)[0] + 1, 7), "In matches: expected 3, got 4."),
    ("03.7", shares_slightly_off, "In the shares[2]: expected 0.66667, got 0.67667."),
    ("03.7", lambda *inputs: 0.5, "In the shares: expected a dict, got 0.5."),
    ("03.7", lambda *inputs: {}, "In the shares: expected the keys 2, 3, 5, got none."),
])
def test_a_mistake_on_nobodys_list_is_told_with_what_was_got(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and verdict.misconception is None, verdict.message
    assert words in verdict.message, verdict.message


def test_the_parts_of_the_readers_answers_are_right_by_themselves():
    """So that each mistake above is the only one in its answer."""
    for exercise_id, answer in {
        "03.4": greedy(lambda logits: int(logits.argmax())),
        "03.5": beams(right_candidates),
        "03.6": matches(clipped),
        "03.7": shares(lambda one, other, *_: one == other),
    }.items():
        assert examine(exercise_id, answer).status == PASSED


@pytest.mark.parametrize("choose, words", [
    (lambda step, token, state: step(token, state).argmax(), "logits, state = step(token, state)"),
    (lambda step, token, state: torch.argmax(step(token, state)), "logits, state = step(token, state)"),
    (lambda step, token, state: step(token, state)[1].argmax(), "step returns the logits first"),
    (lambda step, token, state: int(step(token, state)[0].max(0)), "logits.argmax() returns the id alone"),
])
@pytest.mark.parametrize("as_generator", [False, True])
def test_a_misread_step_is_told_in_words_that_lead_somewhere(choose, words, as_generator):
    def answer(step, state, start, end, limit):
        return [choose(step, start, state)]

    def generator(step, state, start, end, limit):
        yield choose(step, start, state)

    verdict = examine("03.4", generator if as_generator else answer)
    assert verdict.status == NOT_YET and words in verdict.message
    assert "torch.stack" not in verdict.message and "the module math" not in verdict.message


def test_a_tuple_of_the_readers_own_is_not_taken_for_the_result_of_step():
    def answer(step, state, start, end, limit):
        ids = ()
        ids.append(int(step(start, state)[0].argmax()))
        return ids

    verdict = examine("03.4", answer)
    assert "'tuple' object has no attribute 'append'" in verdict.message and "step returns" not in verdict.message


def test_a_repeat_or_a_limit_is_explained_where_it_matters():
    """A mistake at the repeated token is not told about the limit, nor the other way round."""
    def wrong_at(number):
        def answer(*inputs):
            ids = greedy_decode(*inputs)
            return [token + 1 for token in ids] if inputs[-1] == number else ids
        return examine("03.4", answer).message

    assert "A token may be written more than once." in wrong_at(7) and "After limit tokens" not in wrong_at(7)
    assert "After limit tokens" in wrong_at(5)
    repeating = [ids for case in range(7) if len(ids := greedy_decode(*inputs_of("03.4", case))) != len(set(ids))]
    assert repeating == [[3, 3, 6, 3]]


def test_a_greedy_loop_that_never_ends_is_stopped():
    """Without the state the decoder never says end, and without a limit nothing else ends the loop."""
    def endless(step, state, start, end, limit):
        ids, token = [], start
        while token != end:
            logits, _ = step(token, state)
            token = int(logits.argmax())
            ids = [*ids[-5:], token]
        return ids

    verdict = diagnose(replace(engine.get("03.4"), seconds=0.5), endless)
    assert verdict.status == NOT_YET and "still running after 0.5 seconds and was stopped in line" in verdict.message


@pytest.mark.parametrize("change, words", [
    (lambda beams: beams.append(((1, 2), 0.0)), "beams is changed in place"),
    (lambda beams: beams.clear(), "beams is changed in place"),
])
def test_beams_changed_in_place_are_told(change, words):
    def answer(beams, log_probs, width, end):
        kept = beam_step(beams, log_probs, width, end)
        change(beams)
        return kept

    verdict = examine("03.5", answer)
    assert verdict.status == NOT_YET and words in verdict.message


@pytest.mark.parametrize("exercise_id, answer", [
    ("03.1", lambda target: (target[:, :6], target[:, 1:7])),
    ("03.2", lambda logits, labels, pad=0: masked_loss(logits.reshape(2, 5, 7), labels.reshape(2, 5), pad)),
    ("03.3", lambda reference, predicted, p, coins: next_inputs(reference, predicted, 0.6, coins)),
    ("03.4", lambda step, state, start, end, limit: greedy_decode(step, 0, 1, 2, 5)),
    ("03.5", lambda beams, log_probs, width, end: beam_step(beams, log_probs, 4, 2)),
    ("03.6", lambda hypothesis, reference, n: clipped_matches(hypothesis, reference, 2)),
])
def test_sizes_written_as_numbers_do_not_pass(exercise_id, answer):
    assert examine(exercise_id, answer).status == NOT_YET
