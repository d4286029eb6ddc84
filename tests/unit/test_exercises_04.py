"""Chapter 04's exercises, where the tests of all chapters cannot look: right answers of other kinds, finite masks."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.exercises import engine
from course_utils.exercises.chapter_04 import (
    additive_attention,
    alignment_hits,
    attention_vector,
    count_weights,
    general_score,
    look_up,
    masked_weights,
)
from course_utils.exercises.combining import alone_and_in_pairs
from course_utils.exercises.engine import NOT_YET, PASSED, diagnose, examine
from course_utils.exercises.running import run
from course_utils.models import attention as package


def inputs_of(exercise_id, case):
    """The inputs of a case, drawn as the engine draws them."""
    return run(lambda *inputs: inputs, engine.get(exercise_id).cases[case].make, 5).inputs


def every_case(exercise_id):
    return pytest.mark.parametrize("case", range(len(engine.get(exercise_id).cases)))


# --- the references by themselves -----------------------------------------------------------------------------------

def test_a_soft_look_up_written_out():
    keys, values = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[8.0], [4.0]])
    context, weights = look_up(torch.tensor([math.log(3), 0.0]), keys, values)
    torch.testing.assert_close(weights, torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(context, torch.tensor([5.0]))


@every_case("04.2")
def test_the_masked_softmax_is_the_packages(case):
    scores, mask = inputs_of("04.2", case)
    weights = masked_weights(scores, mask)
    torch.testing.assert_close(weights, package.masked_softmax(scores, mask), rtol=0, atol=0)
    assert not weights.masked_fill(mask, 0.0).any()
    sums = weights.sum(-1)
    torch.testing.assert_close(sums, mask.any(-1).expand_as(sums).float())


def test_no_gradient_of_the_masked_softmax_is_nan():
    scores, mask = inputs_of("04.2", 3)
    scores.requires_grad_()
    (masked_weights(scores, mask) ** 2).sum().backward()
    assert scores.grad.isfinite().all() and not mask.any(-1).all()


@every_case("04.3")
def test_additive_attention_is_the_packages(case):
    query, keys, W_q, W_k, v = inputs_of("04.3", case)
    layer = package.AdditiveAttention(query.shape[1], keys.shape[2], len(v))
    with torch.no_grad():
        layer.w_q.weight.copy_(W_q)
        layer.w_q.bias.zero_()
        layer.w_k.weight.copy_(W_k)
        layer.v.weight.copy_(v.unsqueeze(0))
        context, weights = layer(query.unsqueeze(1), keys)
    found = additive_attention(query, keys, W_q, W_k, v)
    torch.testing.assert_close(found, (context.squeeze(1), weights.squeeze(1)), rtol=1e-5, atol=1e-5)


@every_case("04.4")
def test_the_general_score_is_the_packages(case):
    query, keys, W = inputs_of("04.4", case)
    layer = package.LuongAttention(query.shape[1], keys.shape[2], "general")
    with torch.no_grad():
        layer.w.weight.copy_(W)
        scores = layer.scores(query.unsqueeze(1), keys).squeeze(1)
    torch.testing.assert_close(general_score(query, keys, W), scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("query_size, key_size", [(3, 5), (6, 2), (4, 4)])
def test_the_counts_are_those_of_the_packages_layers(query_size, key_size):
    def size(layer):
        return sum(parameter.numel() for parameter in layer.parameters())

    general = package.LuongAttention(query_size, key_size, "general")
    concat = package.LuongAttention(query_size, key_size, "concat")     # its attention size is the query's
    additive = package.AdditiveAttention(query_size, key_size, 7)
    assert size(general) == count_weights("general", query_size, key_size, 7)
    assert size(concat) == count_weights("concat", query_size, key_size, query_size)
    assert size(additive) - additive.w_q.bias.numel() == count_weights("additive", query_size, key_size, 7)
    assert count_weights("concat", query_size, key_size, 7) == count_weights("additive", query_size, key_size, 7)
    if query_size == key_size:
        dot = package.LuongAttention(query_size, key_size, "dot")
        assert size(dot) == count_weights("dot", query_size, key_size, 7)
    else:
        with pytest.raises(ValueError, match="equal sizes"):
            count_weights("dot", query_size, key_size, 7)


def test_the_attention_vector_does_not_depend_on_what_padding_holds():
    state, outputs, mask, W_c = inputs_of("04.6", 0)
    other = outputs.masked_fill(~mask.unsqueeze(-1), 100.0)
    assert not mask.all() and not torch.equal(outputs, other)
    torch.testing.assert_close(attention_vector(state, outputs, mask, W_c), attention_vector(state, other, mask, W_c))


@every_case("04.7")
def test_no_two_weights_of_a_row_tie(case):
    weights, links = inputs_of("04.7", case)
    best = weights.sort(1, descending=True).values
    assert (best[:, 0] - best[:, 1] > 1e-3).all() and len(links) == len(set(links))
    assert all(t < weights.shape[0] and s < weights.shape[1] for t, s in links)


def test_alignment_hits_written_out():
    weights = torch.tensor([[0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    assert alignment_hits(weights, [(0, 1), (1, 1), (2, 1), (1, 0)]) == 0.75
    with pytest.raises(ValueError, match="no links"):
        alignment_hits(weights, [])


def test_mistakes_are_paired_only_where_both_can_be_made():
    found = alone_and_in_pairs(
        lambda a=0, b=0: (a, b), ({"a": 1}, "You did a."), ({"a": 2}, "You did a twice."), ({"b": 3}, "You did b."))
    assert [mistake.answer for mistake in found] == [(1, 0), (2, 0), (0, 3), (1, 3), (2, 3)]
    assert found[-1].sentence == "You made two mistakes at once. You did a twice. You did b."


# --- right answers that look different ------------------------------------------------------------------------------

def look_up_by_loop(query, keys, values):
    powers = [math.exp(sum(float(a) * float(b) for a, b in zip(query, key, strict=True))) for key in keys]
    weights = [power / sum(powers) for power in powers]
    context = [sum(w * float(row[j]) for w, row in zip(weights, values, strict=True)) for j in range(values.shape[1])]
    return context, weights


def look_up_in_numpy(query, keys, values):
    scores = np.einsum("d,sd->s", query.numpy(), keys.numpy())
    weights = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    return (weights[:, None] * values.numpy()).sum(0), weights


def look_up_fused(query, keys, values):
    one, identity = query[None, None], torch.eye(len(keys))[None]
    context = F.scaled_dot_product_attention(one, keys[None], values[None], scale=1.0)
    return context[0, 0], F.scaled_dot_product_attention(one, keys[None], identity, scale=1.0)[0, 0]


def masked_softmax_then_nan_replaced(scores, mask):
    return F.softmax(torch.where(mask, scores, -torch.inf), dim=-1).nan_to_num()


def masked_softmax_with_the_lowest_number(scores, mask):
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1) * mask


def masked_softmax_by_adding(scores, mask):
    weights = (scores + mask.float().log()).softmax(-1)
    return torch.where(weights.isnan(), 0.0, weights)


def masked_softmax_by_rows(scores, mask):
    mask, weights = mask.expand_as(scores), torch.zeros_like(scores)
    for b in range(scores.shape[0]):
        for t in range(scores.shape[1]):
            if mask[b, t].any():
                weights[b, t, mask[b, t]] = scores[b, t, mask[b, t]].softmax(0)
    return weights


def masked_softmax_by_logsumexp(scores, mask):
    scores = scores.masked_fill(~mask, -torch.inf)
    return (scores - scores.logsumexp(-1, keepdim=True)).exp().nan_to_num()


def masked_softmax_by_hand(scores, mask):
    top = scores.masked_fill(~mask, -torch.inf).amax(-1, keepdim=True).nan_to_num(neginf=0.0)
    powers = (scores - top).masked_fill(~mask, -torch.inf).exp()
    return powers / powers.sum(-1, keepdim=True).clamp(min=1e-30)


def masked_softmax_in_numpy(scores, mask):
    scores, mask = scores.double().numpy(), np.broadcast_to(mask.numpy(), scores.shape)
    top = np.where(mask, scores, -np.inf).max(-1, keepdims=True)
    powers = np.where(mask, np.exp(np.minimum(scores - np.where(np.isfinite(top), top, 0), 0)), 0)
    return powers / np.maximum(powers.sum(-1, keepdims=True), 1e-30)


def additive_by_loop(query, keys, W_q, W_k, v):
    contexts, weights = [], []
    for q, words in zip(query, keys, strict=True):
        scores = torch.stack([v @ torch.tanh(W_q @ q + W_k @ word) for word in words])
        weights.append(scores.softmax(0))
        contexts.append(sum(w * word for w, word in zip(weights[-1], words, strict=True)))
    return torch.stack(contexts), torch.stack(weights)


def additive_by_einsum(query, keys, W_q, W_k, v):
    pairs = torch.einsum("aq,bq->ba", W_q, query)[:, None] + torch.einsum("ak,bsk->bsa", W_k, keys)
    weights = F.softmax(torch.einsum("bsa,a->bs", pairs.tanh(), v), dim=1)
    return torch.einsum("bs,bsk->bk", weights, keys), weights


def count_with_layers(kind, query_size, key_size, attention_size):
    if kind == "dot":
        if query_size != key_size:
            raise ValueError("sizes differ")
        return 0
    if kind == "general":
        return nn.Bilinear(query_size, key_size, 1, bias=False).weight.numel()
    return nn.Linear(query_size + key_size, attention_size).weight.numel() + torch.empty(attention_size).numel()


def attention_vector_with_a_finite_mask(state, outputs, mask, W_c):
    """Right here: every sentence has a real word, and no score comes near -10 000."""
    scores = torch.einsum("bh,bsh->bs", state, outputs).masked_fill(mask == 0, -1e4)
    context = torch.einsum("bs,bsh->bh", scores.softmax(1), outputs)
    size = state.shape[1]
    return (context @ W_c[:, :size].T + state @ W_c[:, size:].T).tanh()


def attention_vector_renormalised(state, outputs, mask, W_c):
    """Mask after softmax, and divide by what is left: right wherever something is left."""
    weights = (outputs * state[:, None]).sum(2).softmax(1) * mask
    weights = weights / weights.sum(1, keepdim=True)
    return F.linear(torch.cat([(weights[..., None] * outputs).sum(1), state], 1), W_c).tanh()


def hits_in_numpy(weights, links):
    if len(links) == 0:
        raise ValueError("no links")
    targets, sources = np.array(links).T
    return np.mean(weights.numpy().argmax(1)[targets] == sources)


def hits_by_tensor(weights, links):
    pairs = torch.tensor(links)
    if not pairs.numel():
        raise ValueError
    return (weights.argmax(-1)[pairs[:, 0]] == pairs[:, 1]).float().mean()


def hits_by_the_largest_weight(weights, links):
    if not links:
        raise ValueError("no links")
    hits = 0
    for t, s in links:
        if weights[t, s] == max(weights[t]):
            hits += 1
    return hits / len(links)


@pytest.mark.parametrize("exercise_id, answer", [
    ("04.1", look_up_by_loop), ("04.1", look_up_in_numpy), ("04.1", look_up_fused),
    ("04.1", lambda query, keys, values: [values.T @ F.softmax(query @ keys.T, -1), F.softmax(query @ keys.T, -1)]),
    ("04.2", masked_softmax_then_nan_replaced), ("04.2", masked_softmax_with_the_lowest_number),
    ("04.2", masked_softmax_by_adding), ("04.2", masked_softmax_by_rows), ("04.2", masked_softmax_in_numpy),
    ("04.2", masked_softmax_by_logsumexp), ("04.2", masked_softmax_by_hand),
    ("04.2", package.masked_softmax),
    ("04.2", lambda scores, mask: scores.masked_fill(mask.logical_not(), -1e9).softmax(2).masked_fill(~mask, 0)),
    ("04.3", additive_by_loop), ("04.3", additive_by_einsum),
    ("04.4", lambda query, keys, W: torch.einsum("bq,qk,bsk->bs", query, W, keys)),
    ("04.4", lambda query, keys, W: np.einsum("bq,qk,bsk->bs", query.numpy(), W.numpy(), keys.numpy())),
    ("04.4", lambda query, keys, W: torch.stack([words @ W.T @ q for q, words in zip(query, keys, strict=True)])),
    ("04.4", lambda query, keys, W: torch.bmm(keys, (query @ W)[:, :, None])[:, :, 0]),
    ("04.4", lambda query, keys, W: [[float(q @ W @ k) for k in words] for q, words in zip(query, keys, strict=True)]),
    ("04.5", count_with_layers),
    ("04.6", attention_vector_with_a_finite_mask), ("04.6", attention_vector_renormalised),
    ("04.7", hits_in_numpy), ("04.7", hits_by_tensor), ("04.7", hits_by_the_largest_weight),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED, verdict.message


# --- mistakes written in another way --------------------------------------------------------------------------------

def look_up_in_columns(query, keys, values):
    weights = F.softmax(keys @ query.unsqueeze(1), dim=-1).squeeze(1)      # (S, 1): every softmax has one number
    return values.T @ weights, weights


def look_up_with_means(query, keys, values):
    weights = (keys * query).mean(1).softmax(0)
    return weights @ values, weights


def weights_kept_in_a_loop(scores, mask):
    mask = mask.expand_as(scores)
    rows = [row.masked_fill(~allowed, float("-inf")) for row, allowed in zip(scores, mask, strict=True)]
    return torch.stack([row.softmax(dim=0) for row in rows])


def masked_softmax_with_big_negative(number, clean):
    def answer(scores, mask):
        weights = F.softmax(torch.where(mask, scores, torch.tensor(number)), dim=-1)
        return torch.where(mask, weights, 0.0) if clean else weights
    return answer


def masked_softmax_with_even_empty_rows(scores, mask):
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    return torch.where(mask.any(-1, keepdim=True), weights, 1 / scores.shape[-1])


def additive_over_an_axis_of_one(keep):
    def answer(query, keys, W_q, W_k, v):
        scores = torch.tanh((query @ W_q.T)[:, None] + keys @ W_k.T) @ v[:, None]      # (B, S, 1)
        weights = scores.softmax(-1)
        return (weights * keys).sum(1), weights if keep else weights.squeeze(-1)
    return answer


def additive_weighed(weigh):
    def answer(query, keys, W_q, W_k, v):
        weights = weigh(torch.tanh((query @ W_q.T)[:, None] + keys @ W_k.T) @ v, len(v))
        return torch.einsum("bs,bsk->bk", weights, keys), weights
    return answer


def additive_with_tanh_apart(query, keys, W_q, W_k, v):
    scores = torch.tanh(query @ W_q.T)[:, None] @ v[:, None] + torch.tanh(keys @ W_k.T) @ v[:, None]
    weights = scores.squeeze(-1).softmax(-1)
    return torch.einsum("bs,bsk->bk", weights, keys), weights


def count_that_complains(kind, query_size, key_size, attention_size):
    if kind == "dot" and query_size != key_size:
        print("sizes differ")
        return None
    return count_weights(kind, query_size, key_size, attention_size)


def vector_by(weights_of, first="context"):
    """A reader's attention vector. weights_of: scores, mask -> weights."""
    def answer(state, outputs, mask, W_c):
        weights = weights_of(torch.bmm(outputs, state[:, :, None])[:, :, 0], mask)
        context = torch.bmm(weights[:, None], outputs)[:, 0]
        joined = (context, state) if first == "context" else (state, context)
        return torch.tanh(F.linear(torch.cat(joined, dim=1), W_c))
    return answer


def vector_of_zeroed_padding(state, outputs, mask, W_c):
    return vector_by(lambda scores, mask: scores.softmax(1))(state, outputs * mask[..., None], mask, W_c)


def vector_of_the_last_output(state, outputs, mask, W_c):
    last = outputs[torch.arange(len(outputs)), mask.sum(1) - 1]
    return torch.tanh(F.linear(torch.cat((last, state), dim=1), W_c))


def hits_all_or_nothing(weights, links):
    if len(links) == 0:
        raise ValueError("no links")
    return all(weights[t].argmax() == s for t, s in links)


def hits_that_divide_before_they_look(weights, links):
    hits = [weights[t].argmax().item() == s for t, s in links]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("04.1", look_up_in_columns, "Every weight is 1"),
    ("04.1", lambda query, keys, values: (values[(keys @ query).argmax()], (keys @ query).softmax(0)),
     "Your weights are right, but the context is the value of the best key alone"),
    ("04.1", look_up_with_means, "Your scores are means"),
    ("04.2", weights_kept_in_a_loop, "Your softmax runs over the queries (axis 1)"),
    ("04.2", masked_softmax_with_big_negative(-1e4, clean=False), "Where real scores are lower still"),
    ("04.2", masked_softmax_with_big_negative(-100.0, clean=False), "Where real scores are lower still"),
    ("04.2", masked_softmax_with_big_negative(-1e4, clean=True), "and your last step throws it away"),
    ("04.2", masked_softmax_with_big_negative(-1e9, clean=False), "come out as 1/S for each key"),
    ("04.2", masked_softmax_with_big_negative(-1e30, clean=False), "come out as 1/S for each key"),
    ("04.2", lambda scores, mask: (scores + (1 - mask.float()) * -1e4).softmax(-1), "added everywhere and cancels"),
    ("04.2", lambda scores, mask: (scores + (1 - mask.float()) * -1e9).softmax(-1), "come out as 1/S for each key"),
    ("04.2", lambda scores, mask: (scores * mask).softmax(-1).masked_fill(~mask, 0), "You put 0 in place"),
    ("04.2", lambda scores, mask: F.softmax(scores, -1) * mask, "You mask after softmax"),
    ("04.2", lambda scores, mask: F.softmax(scores, -1) * mask.float() / (F.softmax(scores, -1) * mask).sum(2, True),
     "divide by what is left"),
    ("04.2", lambda scores, mask: F.softmax(scores.masked_fill(mask == 0, -math.inf)), "over the batch (axis 0)"),
    ("04.2", lambda scores, mask: scores.where(~mask, -math.inf).softmax(-1).nan_to_num(), "Your mask is turned round"),
    ("04.2", lambda scores, mask: (scores + (1 - mask.float()) * -math.inf).softmax(-1), "You multiply the mask by -∞"),
    ("04.2", masked_softmax_with_even_empty_rows, "come out as 1/S for each key"),
    ("04.3", additive_over_an_axis_of_one(keep=False), "your softmax runs along an axis of size 1. It must"),
    ("04.3", additive_over_an_axis_of_one(keep=True), "your weights still have that axis"),
    ("04.3", additive_weighed(lambda scores, size: F.softmax(scores / size ** 0.5, 1)), "You divide the scores by √A"),
    ("04.3", additive_weighed(lambda scores, size: torch.exp(scores)), "do not divide by its sum"),
    ("04.3", additive_with_tanh_apart, "Your weights do not depend on the query."),
    ("04.4", lambda query, keys, W: F.softmax(torch.einsum("bq,qk,bsk->bs", query, W, keys), 1), "before softmax"),
    ("04.4", lambda query, keys, W: torch.einsum("bq,qk,csk->cbs", query, W, keys), "words of every sentence"),
    ("04.5", count_that_complains, "You return nothing for \"dot\" with two sizes"),
    ("04.5", lambda kind, Q, K, A: {"dot": 0, "general": Q * K}.get(kind, A * (Q + K) + A),
     "\"dot\" with two sizes is not refused"),
    ("04.6", vector_by(lambda scores, mask: scores.softmax(1)), "You do not use the mask"),
    ("04.6", vector_by(lambda scores, mask: scores.softmax(1), "state"), "You made two mistakes at once."),
    ("04.6", vector_by(lambda scores, mask: scores.masked_fill(~mask, -1e4).softmax(1), "state"),
     "You put the state first."),
    ("04.6", vector_by(lambda scores, mask: scores.masked_fill(~mask, 0).softmax(1)), "still gets weight"),
    ("04.6", vector_of_zeroed_padding, "You set padding to zero vectors."),
    ("04.6", vector_of_the_last_output, "Your context is the last real output"),
    ("04.7", hits_all_or_nothing, "Your result is 0 or 1"),
    ("04.7", hits_that_divide_before_they_look, "ends in a division by 0"),
    ("04.7", lambda weights, links: float(np.mean([int(weights[t].argmax()) == s for t, s in links] or [np.nan])),
     "an empty list gives NaN"),
])
def test_other_ways_to_make_a_known_mistake(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and words in verdict.message, verdict.message


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("04.1", lambda *inputs: look_up(*inputs)[1], "Expected 2 things (context, weights), got one tensor (5,)."),
    ("04.2", lambda scores, mask: masked_weights(scores, mask).sum(-1), "Expected shape (B=2, T=3, S=4), got (2, 3)."),
    ("04.1", lambda query, keys, values: (keys @ query).sum(), "2 things (context, weights), got a tensor ()."),
    ("04.3", lambda query, keys, *weights: additive_attention(query, keys.flip(1), *weights), "In weights: the first"),
    ("04.4", lambda query, keys, W: torch.einsum("bq,kq,bsk->bs", query, W, keys), "In words: in an einsum each axis"),
    ("04.3", lambda *inputs: (additive_attention(*inputs)[0] + 1, additive_attention(*inputs)[1]), "In context: "),
    ("04.4", lambda query, keys, W: general_score(query, keys, W).T, "These are the right axes in another order."),
    ("04.5", lambda kind, *sizes: count_weights(kind, *sizes) + 5, "Expected 35, got 40."),
    ("04.6", lambda *inputs: attention_vector(*inputs)[:, :-1], "Expected shape (B=2, H_out=5), got (2, 4)."),
    ("04.7", lambda weights, links: alignment_hits(weights, links) / 2, "Expected 0.66667, got 0.33333."),
])
def test_a_mistake_on_nobodys_list_is_told_with_what_was_got(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and verdict.misconception is None, verdict.message
    assert words in verdict.message, verdict.message


def test_the_parts_of_the_readers_answers_are_right_by_themselves():
    """So that each mistake above is the only one in its answer."""
    right = vector_by(lambda scores, mask: scores.masked_fill(~mask, -math.inf).softmax(1))
    assert examine("04.6", right).status == PASSED


def test_a_masked_softmax_that_writes_into_its_scores_is_told():
    def answer(scores, mask):
        scores[~mask.expand_as(scores)] = float("-inf")
        return scores.softmax(-1).nan_to_num()

    verdict = examine("04.2", answer)
    assert verdict.status == NOT_YET and "scores is changed in place" in verdict.message


def masked_softmax_that_gives_up(scores, mask):
    right = masked_weights(scores, mask)
    return right if mask.any(-1).all() else torch.zeros_like(right)


def masked_softmax_that_exps_too_early(scores, mask):
    powers = (scores.exp() + 1e-20).masked_fill(~mask, 0.0)
    return powers / powers.sum(-1, keepdim=True).clamp(min=1e-30)


@pytest.mark.parametrize("answer, note", [
    (masked_softmax_that_gives_up, "Only such a row is 0; the others keep their weights."),
    (masked_softmax_that_exps_too_early, "subtract the largest allowed score of each row before exp."),
])
def test_a_case_of_the_masked_softmax_ends_with_its_note(answer, note):
    verdict = examine("04.2", answer)
    assert verdict.misconception is None and note in verdict.message, verdict.message


def test_an_empty_list_of_links_is_named():
    verdict = examine("04.7", lambda weights, links: alignment_hits(weights, links) if links else -1.0)
    assert "links = an empty list." in verdict.message, verdict.message


def test_an_error_of_the_readers_own_is_not_taken_for_a_refusal():
    def answer(kind, query_size, key_size, attention_size):
        if kind == "dot" and query_size != key_size:
            raise ValueErorr("sizes differ")  # noqa: F821
        return count_weights(kind, query_size, key_size, attention_size)

    verdict = diagnose(engine.get("04.5"), answer)
    assert verdict.status == NOT_YET and "NameError: name 'ValueErorr' is not defined" in verdict.message
    assert "5 of 6 cases agree." in verdict.message


@pytest.mark.parametrize("exercise_id, answer", [
    ("04.1", lambda query, keys, values: look_up(query, keys.reshape(5, 3), values)),
    ("04.2", lambda scores, mask: masked_weights(scores.reshape(2, 3, 4), mask)),
    ("04.3", lambda query, keys, W_q, W_k, v: additive_attention(query.reshape(2, 3), keys, W_q, W_k, v)),
    ("04.4", lambda query, keys, W: general_score(query, keys, W).reshape(2, 4)),
    ("04.5", lambda kind, *sizes: count_weights("general", *sizes)),
    ("04.6", lambda state, outputs, mask, W_c: attention_vector(state, outputs.reshape(2, 4, 3), mask, W_c)),
    ("04.7", lambda weights, links: alignment_hits(weights, links[:3])),
])
def test_sizes_written_as_numbers_do_not_pass(exercise_id, answer):
    assert examine(exercise_id, answer).status == NOT_YET
