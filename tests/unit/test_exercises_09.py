"""Exercises 09.1 to 09.5, where the tests of all chapters cannot look: facts, other right answers, mistakes."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.decoding import apply_temperature, top_k_filter, top_p_filter
from course_utils.exercises import engine
from course_utils.exercises.chapter_09 import keep_top_k, keep_top_p, merge_bytes, sharpen, shifted_loss
from course_utils.exercises.engine import NOT_YET, PASSED, examine
from course_utils.exercises.running import run


def inputs_of(exercise_id):
    """The inputs of all cases, drawn as the engine draws them."""
    exercise = engine.get(exercise_id)
    return [run(lambda *inputs: inputs, case.make, exercise.seconds).inputs for case in exercise.cases]


# --- the references by themselves -----------------------------------------------------------------------------------

@pytest.mark.parametrize("tokens, pair, merged", [
    ([], (b"a", b"b"), []),
    ([b"a"], (b"a", b"a"), [b"a"]),
    ([b"a"] * 3, (b"a", b"a"), [b"aa", b"a"]),
    ([b"a"] * 4, (b"a", b"a"), [b"aa", b"aa"]),
    ([b"a", b"a", b"aa"], (b"a", b"aa"), [b"a", b"aaa"]),
    ([b"\x00", b"\xff", b"\x00"], (b"\xff", b"\x00"), [b"\x00", b"\xff\x00"]),
])
def test_merges_go_from_the_left_without_overlap(tokens, pair, merged):
    assert merge_bytes(tokens, pair) == merged


def test_merges_of_any_bytes_lose_nothing():
    text = "가각 🙂 naïve"
    tokens = [bytes([byte]) for byte in text.encode()]
    for place in range(0, len(tokens) - 1, 3):
        tokens = merge_bytes(tokens, tuple(tokens[place % (len(tokens) - 1):][:2]))
    assert b"".join(tokens).decode() == text and len(tokens) < len(text.encode())


def test_the_loss_of_a_model_that_knows_nothing_is_log_V():
    assert shifted_loss(torch.zeros(2, 5, 7), torch.randint(7, (2, 5))).item() == pytest.approx(math.log(7))


def test_neither_the_last_answer_nor_the_first_token_counts():
    logits, ids = torch.randn(3, 4, 6), torch.randint(6, (3, 4))
    other_logits, other_ids = logits.clone(), ids.clone()
    other_logits[:, -1], other_ids[:, 0] = torch.randn(3, 6), (ids[:, 0] + 1) % 6
    assert shifted_loss(logits, ids) == shifted_loss(other_logits, other_ids)


@pytest.mark.parametrize("temperature", [0, 0.0, 0.01, 0.7, 1, 1.0, 5.0, 1e6])
def test_rows_sum_to_1_at_every_temperature(temperature):
    logits = torch.linspace(-300, 200, 24).view(4, 6)[:, torch.tensor([3, 0, 5, 1, 4, 2])]
    probabilities = sharpen(logits, temperature)
    assert probabilities.isfinite().all() and torch.allclose(probabilities.sum(-1), torch.ones(4))
    assert probabilities.argmax(-1).equal(logits.argmax(-1)) or temperature == 1e6


def test_temperature_1_is_softmax_and_0_is_the_limit():
    logits = torch.randn(4, 6)
    assert torch.allclose(sharpen(logits, 1), logits.softmax(-1))
    assert torch.allclose(sharpen(logits, 0), sharpen(logits.double(), 1e-9).float())


@pytest.mark.parametrize("k", [1, 2, 5, 6, 7, 1000])
def test_k_tokens_are_left_or_all(k):
    logits = torch.randn(4, 6)
    kept = keep_top_k(logits, k)
    assert ((kept > 0).sum(-1) == min(k, 6)).all() and torch.allclose(kept.sum(-1), torch.ones(4))
    assert k < 6 or torch.allclose(kept, logits.softmax(-1))


@pytest.mark.parametrize("p", [1e-9, 0.1, 0.5, 0.9, 0.999, 1.0])
def test_the_group_reaches_p_and_would_not_without_its_last_token(p):
    probabilities = torch.randn(50, 9).softmax(-1)
    mass = (probabilities * (keep_top_p(probabilities.log(), p) > 0)).double()
    least = mass.masked_fill(mass == 0, 1.0).min(-1).values
    assert (mass.sum(-1) >= p - 1e-6).all() and (mass.sum(-1) - least < p + 1e-6).all()


@pytest.mark.parametrize("exercise_id, package", [
    ("09.3", lambda logits, temperature: apply_temperature(logits, temperature or 1e-6)),
    ("09.4", top_k_filter), ("09.5", top_p_filter),
])
def test_the_answers_are_the_packages_filters(exercise_id, package):
    for inputs in inputs_of(exercise_id):
        torch.testing.assert_close(engine.get(exercise_id).reference(*inputs), package(*inputs).softmax(-1))


def test_a_tie_at_the_border_keeps_all_of_them_as_the_package_does():
    logits = torch.tensor([[1.0, 0.0, 1.0, 1.0]])
    assert torch.equal(keep_top_k(logits, 2), top_k_filter(logits, 2).softmax(-1))
    assert (keep_top_k(logits, 2) > 0).tolist() == [[True, False, True, True]]


@pytest.mark.parametrize("exercise_id", ["09.4", "09.5"])
def test_no_case_has_a_tie_at_its_border(exercise_id):
    """So that right answers which treat such ties in another way pass."""
    exercise = engine.get(exercise_id)
    for logits, setting in inputs_of(exercise_id):
        kept = exercise.reference(logits, setting) > 0
        least = logits.masked_fill(~kept, math.inf).min(-1).values
        largest_dropped = logits.masked_fill(kept, -math.inf).max(-1).values
        assert (least - largest_dropped > 1e-3).all()


def test_no_case_has_a_mass_so_near_p_that_rounding_decides():
    for logits, p in inputs_of("09.5"):
        masses = logits.double().softmax(-1).sort(-1, descending=True).values.cumsum(-1)[:, :-1]
        assert ((masses - p).abs() > 1e-3).all() or p == 1


def test_no_case_has_a_tie_for_the_largest_logit_at_temperature_0():
    for logits, temperature in inputs_of("09.3"):
        first, second = logits.topk(2).values.unbind(-1)
        assert temperature > 0 or (first - second > 0.01).all()


def test_every_case_of_the_shift_tells_it_from_no_shift():
    for logits, ids in inputs_of("09.2"):
        unshifted = F.cross_entropy(logits.flatten(0, 1), ids.flatten())
        assert not torch.isclose(shifted_loss(logits, ids), unshifted, rtol=1e-2)


# --- right answers that look different ------------------------------------------------------------------------------

def merge_on_a_stack(tokens, pair):
    """The joined token is longer than pair[0], so it cannot be the first half of another merge."""
    merged = []
    for token in tokens:
        if merged and (merged[-1], token) == pair:
            merged[-1] = merged[-1] + token
        else:
            merged.append(token)
    return merged


def merge_as_generator(tokens, pair):
    waiting = None
    for token in tokens:
        if waiting is not None and (waiting, token) == pair:
            yield b"".join(pair)
            waiting = None
            continue
        if waiting is not None:
            yield waiting
        waiting = token
    if waiting is not None:
        yield waiting


def merge_by_deleting(tokens, pair):
    tokens = list(tokens)
    place = 0
    while place + 1 < len(tokens):
        if tokens[place:place + 2] == list(pair):
            tokens[place:place + 2] = [pair[0] + pair[1]]
        place += 1
    return tokens


def merge_by_recursion(tokens, pair):
    if len(tokens) < 2:
        return tuple(tokens)
    if tokens[0] == pair[0] and tokens[1] == pair[1]:
        return pair[0] + pair[1], *merge_by_recursion(tokens[2:], pair)
    return tokens[0], *merge_by_recursion(tokens[1:], pair)


def loss_in_loops(logits, ids):
    losses = []
    for rows, tokens in zip(logits.double(), ids.tolist(), strict=True):
        for row, token in zip(rows, tokens[1:], strict=False):
            losses.append((row.logsumexp(0) - row[token]).item())
    return sum(losses) / len(losses)


def loss_with_ignored_places(logits, ids):
    return F.cross_entropy(logits.mT, F.pad(ids[:, 1:], (0, 1), value=-100))


def loss_in_numpy(logits, ids):
    logits, ids = logits.double().numpy()[:, :-1], ids.numpy()[:, 1:]
    top = logits.max(-1, keepdims=True)
    log = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
    return -np.take_along_axis(log, ids[..., None], -1).mean()


def sharpen_by_powers(logits, temperature):
    """Divided by the largest probability first, so that no power is too small for all of a row."""
    temperature = max(temperature, 1e-6)
    powers = (logits.double() - logits.double().max(-1, keepdim=True).values).exp() ** (1 / temperature)
    return powers / powers.sum(-1, keepdim=True)


def sharpen_in_numpy(logits, temperature):
    logits = logits.double().numpy()
    if not temperature:
        return np.eye(logits.shape[1])[logits.argmax(1)]
    powers = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
    return powers / powers.sum(1, keepdims=True)


def top_k_by_ranks(logits, k):
    ranks = logits.argsort(-1, descending=True).argsort(-1)
    probabilities = logits.softmax(-1) * (ranks < k)
    return probabilities / probabilities.sum(-1, keepdim=True)


def top_k_in_lists(logits, k):
    rows = []
    for row in logits.tolist():
        kept = sorted(range(len(row)), key=row.__getitem__, reverse=True)[:k]
        powers = {token: math.exp(row[token] - max(row)) for token in kept}
        rows.append([powers.get(token, 0.0) / sum(powers.values()) for token in range(len(row))])
    return rows


def top_k_as_generation_libraries_do(logits, k):
    k = min(k, logits.size(-1))
    return logits.masked_fill(logits < torch.topk(logits, k)[0][..., -1, None], -float("inf")).softmax(-1)


def top_p_by_shifted_mask(logits, p):
    ordered, ids = logits.sort(descending=True)
    remove = ordered.softmax(-1).cumsum(-1) > p
    remove = torch.cat([torch.zeros_like(remove[:, :1]), remove[:, :-1]], 1)
    return logits.masked_fill(remove.scatter(1, ids, remove), -torch.inf).softmax(-1)


def top_p_from_the_least_likely_on(logits, p):
    ordered, ids = logits.sort()
    remove = ordered.softmax(-1).cumsum(-1) <= 1 - p
    remove[:, -1] = False
    return logits.masked_fill(remove.scatter(1, ids, remove), -torch.inf).softmax(-1)


def top_p_in_lists(logits, p):
    rows = []
    for row in logits.double().softmax(-1).tolist():
        group, mass = [], 0.0
        for token in sorted(range(len(row)), key=row.__getitem__, reverse=True):
            if mass >= p:
                break
            group.append(token)
            mass += row[token]
        rows.append([number / mass if token in group else 0 for token, number in enumerate(row)])
    return rows


def top_p_in_numpy(logits, p):
    probabilities = logits.softmax(-1).double().numpy()
    order = np.argsort(-probabilities, 1)
    result = np.zeros_like(probabilities)
    for row, (mass, ids) in enumerate(zip(probabilities, order, strict=True)):
        size = min(np.searchsorted(mass[ids].cumsum(), p) + 1, len(ids))
        result[row, ids[:size]] = mass[ids[:size]] / mass[ids[:size]].sum()
    return result


@pytest.mark.parametrize("exercise_id, answer", [
    ("09.1", merge_on_a_stack), ("09.1", merge_as_generator), ("09.1", merge_by_deleting), ("09.1", merge_by_recursion),
    ("09.2", loss_in_loops), ("09.2", loss_with_ignored_places), ("09.2", loss_in_numpy),
    ("09.2", lambda logits, ids: torch.stack([F.cross_entropy(row[:-1], text[1:])
                                              for row, text in zip(logits, ids, strict=True)]).mean()),
    ("09.2", lambda logits, ids: nn.CrossEntropyLoss()(logits[:, :-1].transpose(1, 2), ids[:, 1:])),
    ("09.2", lambda logits, ids: -torch.distributions.Categorical(logits=logits[:, :-1]).log_prob(ids[:, 1:]).mean()),
    ("09.3", sharpen_by_powers), ("09.3", sharpen_in_numpy),
    ("09.3", lambda logits, temperature: (logits / temperature).softmax(-1) if temperature
        else F.one_hot(logits.argmax(-1), logits.shape[-1])),   # integers of the right value
    ("09.3", lambda logits, temperature: (logits / max(temperature, 1e-6)).softmax(-1)),
    ("09.3", lambda logits, temperature: F.softmax(logits.double() / (temperature + 1e-9), dim=1)),
    ("09.4", top_k_by_ranks), ("09.4", top_k_in_lists), ("09.4", top_k_as_generation_libraries_do),
    ("09.5", top_p_by_shifted_mask), ("09.5", top_p_from_the_least_likely_on), ("09.5", top_p_in_lists),
    ("09.5", top_p_in_numpy),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED and "\n" not in verdict.message, verdict.message


# --- mistakes, written in other ways --------------------------------------------------------------------------------

def merge_with_zip(tokens, pair):
    return [one + other if (one, other) == pair else one
            for one, other in zip(tokens, [*tokens[1:], None], strict=False)]


def merge_in_a_for_loop(tokens, pair):
    merged = []
    for place in range(len(tokens) - 1):
        merged.append(pair[0] + pair[1] if (tokens[place], tokens[place + 1]) == pair else tokens[place])
    return merged


def merge_past_the_end(tokens, pair):
    merged, place = [], 0
    while place < len(tokens):
        if tokens[place] == pair[0] and tokens[place + 1] == pair[1]:
            merged.append(pair[0] + pair[1])
            place += 2
        else:
            merged.append(tokens[place])
            place += 1
    return merged


def merge_in_place(tokens, pair):
    tokens[:] = merge_by_deleting(tokens, pair)
    return tokens


def whole_text_replaced(tokens, pair):
    return b"".join(tokens).replace(pair[0] + pair[1], b"<" + pair[0] + pair[1] + b">").split(b"<")


def merge_of_a_list_and_a_tuple(tokens, pair):
    merged, place = [], 0
    while place < len(tokens):
        if tokens[place:place + 2] == pair:
            merged.append(pair[0] + pair[1])
            place += 2
        else:
            merged.append(tokens[place])
            place += 1
    return merged


def merge_that_adds_the_last(tokens, pair, last=lambda tokens: [tokens[-1]]):
    merged, place = [], 0
    while place < len(tokens) - 1:
        both = (tokens[place], tokens[place + 1]) == pair
        merged.append(pair[0] + pair[1] if both else tokens[place])
        place += 2 if both else 1
    return merged + last(tokens)


def merge_on_a_list_that_shrinks(tokens, pair):
    for place in range(len(tokens) - 1):
        if tokens[place] == pair[0] and tokens[place + 1] == pair[1]:
            tokens[place] += tokens.pop(place + 1)
    return tokens


def greedy_at_0(zero):
    """Right above temperature 0."""
    return lambda logits, temperature: zero(logits) if temperature == 0 else (logits / temperature).softmax(-1)


def sets_columns(logits):
    probabilities = torch.zeros_like(logits)
    probabilities[:, logits.argmax(dim=-1)] = 1
    return probabilities


def sets_one_place(logits):
    probabilities = torch.zeros(logits.size(1))
    probabilities[torch.argmax(logits)] = 1
    return probabilities


def border_from_below(logits, k):
    border, _ = torch.kthvalue(logits, min(k, logits.size(1)), dim=1)
    return logits.masked_fill(logits < border[:, None], -torch.inf).softmax(-1)


def writes_to_rows(logits, k):
    values, ids = logits.topk(min(k, logits.shape[-1]))
    out = torch.full_like(logits, -torch.inf)
    out[ids] = values
    return out.softmax(-1)


def adds_up_by_id(logits, p):
    masses = logits.softmax(-1)
    kept = masses * (masses.cumsum(-1) - masses < p)
    return kept / kept.sum(-1, keepdim=True)


def counted_tokens(logits, p, count):
    """Row by row. count: boolean (B, V), the mass in order is still below p -> list of B numbers."""
    ordered, ids = logits.softmax(-1).sort(descending=True)
    out = torch.zeros_like(logits)
    for row, size in enumerate(count(ordered.cumsum(-1) < p)):
        out[row, ids[row, :size]] = ordered[row, :size] / ordered[row, :size].sum()
    return out


def drops_from_the_border_on(logits, p):
    ordered, ids = logits.sort(descending=True)
    remove = ordered.softmax(-1).cumsum(-1) > p
    return logits.masked_fill(remove.scatter(1, ids, remove), -torch.inf).softmax(-1)


def forgets_to_go_back(logits, p):
    ordered, _ = logits.sort(descending=True)
    masses = ordered.softmax(-1)
    kept = masses * (masses.cumsum(-1) - masses < p)
    return kept / kept.sum(-1, keepdim=True)


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("09.1", merge_with_zip, "the second token of the pair is read again"),
    ("09.1", merge_in_a_for_loop, "two mistakes at once. Your place moves on by 1"),
    ("09.1", merge_past_the_end, "IndexError"),
    ("09.1", merge_in_place, "the caller's list is changed"),
    ("09.1", whole_text_replaced, "Expected"),
    ("09.1", merge_of_a_list_and_a_tuple, "A list never equals a tuple"),
    ("09.1", lambda tokens, pair: merge_that_adds_the_last(tokens, [*pair], lambda tokens: []),
     "You merge nothing, and the last token gets lost"),
    ("09.1", merge_that_adds_the_last, "without tokens there is no last one"),
    ("09.1", lambda tokens, pair: merge_that_adds_the_last(tokens, pair, lambda tokens: tokens[-1:]),
     "Where a merge has used it up it stands there twice"),
    ("09.1", merge_on_a_list_that_shrinks, "You delete from the caller's list"),
    ("09.1", lambda tokens, pair: merge_on_a_list_that_shrinks(tokens[:], pair), "Your list gets shorter while"),
    ("09.1", lambda tokens, pair: b"".join(tokens), "got b'the then'."),
    ("09.1", lambda tokens, pair: [t.decode("latin-1") for t in merge_bytes(tokens, pair)], "got 'th (str)'"),
    ("09.1", lambda tokens, pair: [list(t) for t in merge_bytes(tokens, pair)], "got '(116, 104)'"),
    ("09.1", lambda tokens, pair: len(merge_bytes(tokens, pair)), "got 6"),
    ("09.2", lambda logits, ids: F.cross_entropy(logits.mT, ids), "compare each place with its own token"),
    ("09.2", lambda logits, ids: F.cross_entropy(logits[:, :-1].mT, ids[:, 1:], reduction="sum"), "You sum over"),
    ("09.2", lambda logits, ids: F.cross_entropy(logits[:, :-1].reshape(len(ids), logits.shape[2], -1), ids[:, 1:]),
     "mixes the numbers up"),
    ("09.2", lambda logits, ids: F.cross_entropy(logits[:, :-1], ids[:, 1:]), "the classes on axis 1"),
    ("09.2", lambda logits, ids: F.cross_entropy(logits.mT, ids.roll(-1)), "Expected"),
    ("09.2", lambda logits, ids: sum(F.cross_entropy(row[:-1], text[1:])
                                     for row, text in zip(logits, ids, strict=True)), "You add up the texts' means"),
    ("09.2", lambda logits, ids: F.cross_entropy(logits[:, :-2].flatten(0, 1), ids[:, 2:].flatten()),
     "You look two places ahead"),
    ("09.2", lambda logits, ids: F.cross_entropy(logits[:, :-1].mT, ids[:, 1:], ignore_index=0), "(ignore_index=0)"),
    ("09.2", lambda logits, ids: F.cross_entropy(logits.mT, F.pad(ids[:, 1:], (0, 1)), ignore_index=0),
     "0 is a token like any other"),
    ("09.2", lambda logits, ids: shifted_loss(logits, ids).log(), "Expected"),
    ("09.3", lambda logits, temperature: F.softmax(logits * temperature, -1), "0 makes all tokens alike"),
    ("09.3", lambda logits, temperature: F.softmax(logits / temperature, -1), "divide by the temperature 0"),
    ("09.3", lambda logits, temperature: F.softmax(logits, -1), "do not use the temperature at all"),
    ("09.3", lambda logits, temperature: F.softmax(logits / max(temperature, 0.05), -1), "Case: temperature 0.01"),
    ("09.3", lambda logits, temperature: logits.argmax(-1) if temperature == 0 else logits.softmax(-1) / temperature,
     "1 of 8 cases agrees"),
    ("09.3", greedy_at_0(lambda logits: F.one_hot(logits.argmax(-1))), "Your one_hot does not know V"),
    ("09.3", greedy_at_0(lambda logits: F.one_hot(logits.argmax(-1)).float()), "Your one_hot does not know V"),
    ("09.3", greedy_at_0(sets_columns), "sets whole columns"),
    ("09.3", greedy_at_0(lambda logits: F.one_hot(logits.argmax(), logits.shape[1]).float()),
     "one_hot makes a single row or fails"),
    ("09.3", greedy_at_0(sets_one_place), "at a place that may not exist"),
    ("09.4", border_from_below, "Your border is the k-th smallest logit"),
    ("09.4", lambda logits, k: logits.masked_fill(logits < logits.kthvalue(k).values[:, None], -torch.inf).softmax(-1),
     "it fails where k is above V"),
    ("09.4", writes_to_rows, "takes the ids for numbers of rows. They are columns"),
    ("09.5", adds_up_by_id, "in the order of the ids. The likeliest tokens come first"),
    ("09.5", lambda logits, p: logits.masked_fill(logits.softmax(-1).cumsum(-1) > p, -torch.inf).softmax(-1),
     "in the order of the ids, and you drop"),
    ("09.5", lambda logits, p: counted_tokens(logits, p, lambda below: below.sum(-1)),
     "rows in which the first one reaches it get nothing but 0"),
    ("09.5", lambda logits, p: counted_tokens(logits, p, lambda below: [below[0].sum() + 1] * len(below)),
     "the first row's count"),
    ("09.5", lambda logits, p: counted_tokens(logits, p, lambda below: [below.sum(-1).max() + 1] * len(below)),
     "the largest count"),
    ("09.5", lambda logits, p: counted_tokens(logits, p, lambda below: [below.sum() + 1] * len(below)),
     "You count through the whole batch"),
    ("09.4", lambda logits, k: logits.topk(k).values.softmax(-1), "Expected shape (B=3, V=5), got (3, 2)"),
    ("09.4", lambda logits, k: torch.where(logits >= logits.topk(min(k, logits.shape[1])).values.min(), logits,
                                           -torch.inf).softmax(-1), "The first difference is at index"),
    ("09.4", lambda logits, k: keep_top_k(logits, min(k, 2)), "all logits below 0"),
    ("09.4", lambda logits, k: keep_top_k(logits, k).mT, "These are the right axes in another order"),
    ("09.5", drops_from_the_border_on, "You drop the token with which the mass reaches p. It belongs"),
    ("09.5", forgets_to_go_back, "stand in order of size"),
    ("09.5", lambda logits, p: keep_top_p(logits, 0.6), "Case: p = 0.9"),
    ("09.5", lambda logits, p: logits.masked_fill(logits.softmax(-1) < p, -torch.inf).softmax(-1),
     "with a probability of p or more"),
])
def test_other_ways_to_make_a_mistake(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and words in verdict.message, verdict.message


def divides_in_place(logits, temperature):
    if temperature == 0:
        return sharpen(logits, 0)
    logits /= temperature
    return logits.softmax(-1)


def drops_in_place(logits, k):
    logits[logits < logits.topk(min(k, logits.shape[-1])).values[:, -1:]] = -torch.inf
    return logits.softmax(-1)


@pytest.mark.parametrize("exercise_id, answer", [("09.3", divides_in_place), ("09.4", drops_in_place)])
def test_logits_changed_in_place_are_told(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and "logits is changed in place" in verdict.message
