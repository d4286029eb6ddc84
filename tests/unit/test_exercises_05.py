"""Chapter 05's exercises, where the tests of all chapters cannot look: right answers of other kinds, facts, dtypes."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils.exercises import engine
from course_utils.exercises.chapter_05 import (
    attention,
    decoder_mask,
    is_equivariant,
    merge_heads,
    rescale,
    split_heads,
)
from course_utils.exercises.engine import NOT_YET, PASSED, examine
from course_utils.exercises.running import run


def inputs_of(exercise_id, case):
    """The inputs of a case, drawn as the engine draws them."""
    return run(lambda *inputs: inputs, engine.get(exercise_id).cases[case].make, 5).inputs


def every_case(exercise_id):
    return pytest.mark.parametrize("case", range(len(engine.get(exercise_id).cases)))


# --- the references by themselves -----------------------------------------------------------------------------------

@every_case("05.2")
def test_attention_is_torchs(case):
    inputs = inputs_of("05.2", case)
    torch.testing.assert_close(attention(*inputs)[0], F.scaled_dot_product_attention(*inputs), rtol=1e-5, atol=1e-5)


@every_case("05.2")
def test_weights_sum_to_one_or_to_nothing(case):
    inputs = inputs_of("05.2", case)
    _, weights = attention(*inputs)
    allowed = inputs[3].expand(weights.shape) if len(inputs) == 4 else torch.ones_like(weights, dtype=torch.bool)
    torch.testing.assert_close(weights.sum(-1), allowed.any(-1).float())
    assert (weights[~allowed] == 0).all()


def test_an_empty_row_has_a_gradient_of_zero_and_not_nan():
    query, key, value, mask = inputs_of("05.2", 4)
    query.requires_grad_()
    attention(query, key, value, mask)[0].sum().backward()
    assert query.grad[:, 1].eq(0).all() and query.grad[:, 0].ne(0).any() and query.grad.isfinite().all()


@pytest.mark.parametrize("d_k", [4, 25, 64])
def test_rescaling_gives_what_scaled_scores_give(d_k):
    torch.manual_seed(d_k)
    scores = d_k**0.5 * torch.randn(50, 8)
    scores[::3, 2] = -torch.inf
    torch.testing.assert_close(rescale(scores.softmax(-1), d_k), (scores / d_k**0.5).softmax(-1), rtol=1e-4, atol=1e-6)


@every_case("05.3")
def test_weights_to_be_rescaled_are_weights_and_zero_only_where_masked(case):
    weights = inputs_of("05.3", case)[0]
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert weights.eq(0).any() == (case == 2)


@every_case("05.4")
def test_merging_undoes_splitting(case):
    x, n_heads = inputs_of("05.4", case)
    torch.testing.assert_close(merge_heads(split_heads(x, n_heads)), x, rtol=0, atol=0)


def test_heads_get_neighbouring_features():
    x = torch.arange(6).view(1, 1, 6)
    assert split_heads(x, 2).tolist() == [[[[0, 1, 2]], [[3, 4, 5]]]]


def test_a_decoder_mask_written_out():
    one, none = [[1, 0, 0], [1, 0, 0], [1, 0, 0]], [[0] * 3] * 3
    whole = [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert decoder_mask(torch.tensor([1, 3, 0]), 3).int().tolist() == [[one], [whole], [none]]


def test_equivariance_is_judged_for_the_given_order():
    torch.manual_seed(0)
    x, moved = torch.randn(2, 6, 3), lambda x: x.roll(1, dims=1)
    assert is_equivariant(moved, x, torch.tensor([5, 0, 1, 2, 3, 4]))
    assert not is_equivariant(moved, x, torch.tensor([1, 0, 2, 3, 4, 5]))


# --- right answers that look different ------------------------------------------------------------------------------

def project_by_einsum(X, W_q, W_k, W_v):
    return [torch.einsum("btc,cd->btd", X, W) for W in (W_q, W_k, W_v)]


def project_by_one_matrix(X, W_q, W_k, W_v):
    sizes = [W.shape[1] for W in (W_q, W_k, W_v)]
    return (X @ torch.cat([W_q, W_k, W_v], dim=1)).split(sizes, dim=-1)


def project_word_by_word(X, W_q, W_k, W_v):
    return tuple(torch.stack([torch.stack([word @ W for word in sentence]) for sentence in X])
                 for W in (W_q, W_k, W_v))


def attention_in_numpy(query, key, value, mask=None):
    scores = query.numpy() @ np.swapaxes(key.numpy(), -1, -2) / math.sqrt(key.shape[-1])
    mask = np.ones((1, 1), dtype=bool) if mask is None else mask.numpy()
    mask = np.broadcast_to(mask, scores.shape)
    top = np.where(mask, scores, -np.inf).max(-1, keepdims=True)
    powers = np.where(mask, np.exp(np.minimum(scores - np.where(np.isfinite(top), top, 0), 0)), 0)
    total = powers.sum(-1, keepdims=True)
    weights = np.divide(powers, total, out=np.zeros_like(powers), where=total > 0)
    return weights @ value.numpy(), weights


def attention_that_scales_the_query(query, key, value, mask=None):
    scores = torch.einsum("...qd,...kd->...qk", query / key.size(-1) ** 0.5, key)
    if mask is not None:
        scores = torch.where(mask, scores, float("-inf"))
    weights = torch.nan_to_num(torch.softmax(scores, dim=-1))
    return torch.matmul(weights, value), weights


def attention_by_an_added_mask(query, key, value, mask=None):
    bias = 0 if mask is None else torch.zeros(mask.shape).masked_fill(mask.logical_not(), -math.inf)
    weights = F.softmax(query @ key.transpose(-2, -1) * key.shape[-1] ** -0.5 + bias, dim=-1)
    weights = torch.where(weights.isnan(), 0.0, weights)
    return weights @ value, weights


def rescale_by_powers(weights, d_k=64):
    raised = weights ** (1 / math.sqrt(d_k))
    return raised / raised.sum(-1, keepdim=True)


def rescale_in_numpy(weights, d_k=64):
    with np.errstate(divide="ignore"):
        powers = np.exp(np.log(weights.numpy().astype(np.float64)) / d_k**0.5)
    return powers / powers.sum(-1, keepdims=True)


def rescale_by_ratios(weights, d_k=64):
    return rescale_by_powers(weights / weights.max(-1, keepdim=True).values, d_k)


def split_by_chunks(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=-1), dim=1)


def split_by_unflatten(x, n_heads):
    return x.unflatten(-1, (n_heads, -1)).permute(0, 2, 1, 3)


def split_by_loop(x, n_heads):
    size = x.shape[2] // n_heads
    return [[sentence[:, h * size:(h + 1) * size] for h in range(n_heads)] for sentence in x]


def merge_by_cat(x):
    return torch.cat(x.unbind(1), dim=-1)


def merge_in_numpy(x):
    return np.concatenate(list(np.moveaxis(x.numpy(), 1, 0)), axis=-1)


def mask_by_loop(lengths, T):
    return torch.tensor([[[[j <= i and j < length for j in range(T)] for i in range(T)]] for length in lengths])


def mask_as_lists(lengths, T):
    return mask_by_loop(lengths, T).tolist()


def mask_in_numpy(lengths, T):
    return np.tri(T, dtype=bool) & (np.arange(T) < lengths.numpy()[:, None])[:, None, None]


def mask_by_the_smaller_bound(lengths, T):
    last = torch.minimum(torch.arange(1, T + 1), lengths.unsqueeze(1))             # (B, T): keys below it are allowed
    return torch.arange(T) < last[:, None, :, None]


def equivariant_by_the_inverse(f, x, order):
    return np.allclose(f(x[:, order])[:, order.argsort()], f(x), atol=1e-5)


def equivariant_by_the_largest_difference(f, x, order):
    return (f(x[:, order]) - f(x)[:, order]).abs().max() < 1e-4


def equivariant_by_gather(f, x, order):
    places = order[None, :, None].expand_as(x)
    return bool(torch.isclose(f(x.gather(1, places)), f(x).gather(1, places), atol=1e-5).all())


@pytest.mark.parametrize("exercise_id, answer", [
    ("05.1", project_by_einsum), ("05.1", project_by_one_matrix), ("05.1", project_word_by_word),
    ("05.1", lambda X, *matrices: [X.numpy() @ W.numpy() for W in matrices]),
    ("05.1", lambda X, W_q, W_k, W_v: (F.linear(X, W_q.T), F.linear(X, W_k.T), F.linear(X, W_v.T))),
    ("05.2", attention_in_numpy), ("05.2", attention_that_scales_the_query), ("05.2", attention_by_an_added_mask),
    ("05.3", rescale_by_powers), ("05.3", rescale_in_numpy), ("05.3", rescale_by_ratios),
    ("05.4", split_by_chunks), ("05.4", split_by_unflatten), ("05.4", split_by_loop),
    ("05.5", merge_by_cat), ("05.5", merge_in_numpy), ("05.5", lambda x: x.transpose(1, 2).flatten(2)),
    ("05.5", lambda x: x.permute(0, 2, 1, 3).contiguous().view(x.shape[0], x.shape[2], -1)),
    ("05.6", mask_by_loop), ("05.6", mask_as_lists), ("05.6", mask_in_numpy), ("05.6", mask_by_the_smaller_bound),
    ("05.7", equivariant_by_the_inverse), ("05.7", equivariant_by_the_largest_difference),
    ("05.7", equivariant_by_gather),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED and "\n" not in verdict.message, verdict.message


def test_a_finished_attention_passes_with_a_remark():
    def answer(query, key, value, mask=None):
        positions = torch.eye(key.shape[-2]).expand(*key.shape[:-1], key.shape[-2])    # the weights, read as an output
        return (F.scaled_dot_product_attention(query, key, value, mask),
                F.scaled_dot_product_attention(query, key, positions, mask))

    verdict = examine("05.2", answer)
    assert verdict.status == PASSED and "Passed, but with F.scaled_dot_product_attention" in verdict.message


# --- known mistakes, written in another way -------------------------------------------------------------------------

def softmax_over_the_queries(query, key, value, mask=None):
    scores = key @ query.mT / key.shape[-1] ** 0.5                 # turned round: (…, T_k, T_q)
    if mask is not None:
        scores = scores.masked_fill(~mask.expand(scores.mT.shape).mT, -math.inf)
    weights = torch.nan_to_num(scores.softmax(-1)).mT
    return weights @ value, weights


def mask_by_multiplication(query, key, value, mask=None):
    scores = query @ key.mT / math.sqrt(key.shape[-1])
    weights = torch.softmax(scores if mask is None else torch.where(mask, scores, 0.0), -1)
    return weights @ value, weights


def minus_a_million(query, key, value, mask=None):
    scores = query @ key.mT / math.sqrt(key.shape[-1])
    weights = torch.softmax(scores if mask is None else torch.where(mask, scores, -1e6), -1)
    return weights @ value, weights


def nan_in_the_output_alone(query, key, value, mask=None):
    output, weights = attention(query, key, value, mask)
    return (output, weights) if mask is None else (output.masked_fill(~mask.any(-1, keepdim=True), math.nan), weights)


def scaled_twice(query, key, value, mask=None):
    return attention(query / key.shape[-1] ** 0.5, key, value, mask)


def minus_infinity_times_the_mask(query, key, value, mask=None):
    scores = query @ key.mT / key.shape[-1] ** 0.5
    weights = torch.softmax(scores if mask is None else scores + (1 - mask.float()) * -math.inf, -1)
    return weights @ value, weights


def other_weights_than_those_used(query, key, value, mask=None):
    return F.scaled_dot_product_attention(query, key, value, mask), attention(query, key, value)[1]


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("05.1", lambda X, *matrices: [torch.einsum("btc,dc->btd", X, W) for W in matrices], "expected"),
    ("05.1", lambda X, *matrices: [X @ W.T for W in matrices], "X @ W.T, as nn.Linear"),
    ("05.2", softmax_over_the_queries, "each column sums to 1"),
    ("05.2", mask_by_multiplication, "a score of 0"),
    ("05.2", minus_a_million, "until a whole row is masked"),
    ("05.2", nan_in_the_output_alone, "of your numbers are NaN"),
    ("05.2", lambda *inputs: attention(*inputs)[0], "expected 2 things (output, weights)"),
    ("05.2", lambda query, key, value: attention(query, key, value), "keep the arguments of the stub"),
    ("05.1", lambda X, W_q, W_k, W_v: [X @ W for W in (W_k, W_v, W_q)], "keys, values, queries"),
    ("05.2", scaled_twice, "by √d_k twice"),
    ("05.2", minus_infinity_times_the_mask, "NaN from end to end"),
    ("05.2", other_weights_than_those_used, "do not know of the mask"),
    ("05.3", lambda weights, d_k=64: F.normalize(weights / 8, p=1, dim=-1), "the divisor cancelled out"),
    ("05.3", lambda weights, d_k=64: F.softmax(weights.clamp(min=1e-9).log() / d_k**0.5, -1), "small no more"),
    ("05.3", lambda weights, d_k=64: (weights.add(1e-12).log() / d_k**0.5).softmax(-1), "small no more"),
    ("05.3", lambda weights, d_k=64: (weights.log().nan_to_num(neginf=0) / d_k**0.5).softmax(-1), "small no more"),
    ("05.3", lambda weights, d_k=64: (weights.log2() / d_k**0.5).softmax(-1), "to base 2"),
    ("05.4", lambda x, n_heads: x.view(x.shape[0], n_heads, x.shape[1], x.shape[2] // n_heads), "pieces of other"),
    ("05.5", lambda x: x.view(x.shape[0], x.shape[2], -1), "without a transpose"),
    ("05.6", lambda lengths, T: decoder_mask(lengths, T).logical_not(), "as nn.MultiheadAttention wants it"),
    ("05.6", lambda lengths, T: decoder_mask(lengths, T).expand(-1, 2, -1, -1), "expected shape (B=3, 1=1"),
    ("05.6", lambda lengths, T: torch.where(decoder_mask(lengths, T), 0.0, -1e9), "to be added to the scores"),
    ("05.6", lambda lengths, T: torch.nn.Transformer.generate_square_subsequent_mask(T), "to be added to the scores"),
    ("05.6", lambda lengths, T: mask_by_loop(lengths - 1, T), "hides the last real word"),
    ("05.6", lambda lengths, T: mask_by_loop(lengths, T).transpose(2, 3), "queries and keys exchanged"),
    ("05.7", lambda f, x, order: torch.allclose(f(x[:1, order]), f(x[:1])[:, order], atol=1e-5), "first sentence"),
    ("05.7", lambda f, x, order: np.allclose(f(x[:, order])[0], f(x)[0][order], atol=1e-5), "first sentence"),
    ("05.7", lambda f, x, order: torch.allclose(f(x[:, order])[:, 0], f(x)[:, order][:, 0], atol=1e-5), "first place"),
    ("05.7", lambda f, x, order: torch.allclose(f(x[:, order]), f(x)[:, order], atol=0.5), "tolerance is too wide"),
    ("05.7", lambda f, x, order: f(x[:, order]) is f(x)[:, order], "False each time"),
    ("05.7", lambda f, x, order: torch.equal(f(x), f(x)), "True each time"),
    ("05.7", lambda f, x, order: f(x[:, order]) == f(x)[:, order], "expected True or False, got a tensor"),
])
def test_other_ways_to_make_a_mistake(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and words.lower() in verdict.message.lower(), verdict.message


@pytest.mark.parametrize("convert, name", [
    (torch.Tensor.float, "float32"), (torch.Tensor.long, "int64"), (lambda mask: mask.numpy().astype(float), "float64"),
])
def test_a_mask_of_numbers_is_told_to_become_boolean(convert, name):
    verdict = examine("05.6", lambda lengths, T: convert(decoder_mask(lengths, T)))
    assert verdict.status == NOT_YET and f"they are {name} where bool is expected" in verdict.message


def test_a_mask_of_wrong_numbers_is_told_what_is_wrong_with_them():
    verdict = examine("05.6", lambda lengths, T: (~decoder_mask(lengths, T)).float())
    assert "Your mask is turned round" in verdict.message


def test_scores_masked_in_place_do_not_change_the_inputs_and_a_changed_mask_is_told():
    def turns_the_mask(query, key, value, mask=None):
        result = attention(query, key, value, mask)
        if mask is not None:
            mask.logical_not_()
        return result

    verdict = examine("05.2", turns_the_mask)
    assert verdict.status == NOT_YET and "mask is changed in place" in verdict.message


# --- the quizzes' numbers -------------------------------------------------------------------------------------------

def right_choice(name, beginning):
    question, = (question for question in engine.questions(name) if question.text.startswith(beginning))
    return next(choice.text for choice in question.choices if choice.correct)


def test_the_numbers_of_the_opening_quiz():
    weights, values = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([[4.0, 0.0], [0.0, 8.0], [0.0, 0.0]])
    assert right_choice("05-opening", "A query gives three words") == str(tuple(map(int, (weights @ values).tolist())))
    padding_first = torch.tensor([-2.0, -1.0, 0.0]).softmax(0).argmax() == 2
    assert padding_first and right_choice("05-opening", "The real words of a source").startswith("The padding gets the")


def test_the_numbers_of_the_closing_quiz():
    assert float(right_choice("05-closing", "A head has d_k = 16")) == pytest.approx(
        torch.tensor([4.39, 0.0]).div(4).softmax(0)[0].item(), abs=0.005)
    scores, printed = (0.1, 0.2, 0.3), (0.02, 0.05, 0.08)
    ratios = [later / earlier for earlier, later in itertools.pairwise(printed)]
    assert scores[1] - scores[0] == pytest.approx(scores[2] - scores[1]) and ratios == pytest.approx([2.5, 1.6])
    assert sum((0.05, 0.40, 0.35, 0.02, 0.08, 0.10)) == pytest.approx(1)


def test_what_the_quiz_says_of_the_causal_mask():
    torch.manual_seed(1)
    words, causal = torch.randn(1, 3, 5), torch.ones(3, 3, dtype=torch.bool).tril()
    swapped = words[:, [1, 0, 2]]
    first, second = (attention(x, x, x, causal)[0][0] for x in (words, swapped))
    stays = [torch.allclose(first[before], second[after]) for before, after in ((0, 1), (1, 0), (2, 2))]
    assert stays == [False, False, True]


def test_what_the_quiz_says_of_padding_under_both_masks():
    assert decoder_mask(torch.tensor([5, 3]), 5)[1, 0, 3].nonzero().flatten().add(1).tolist() == [1, 2, 3]
