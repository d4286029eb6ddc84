"""Attention: both paths, masks, dropout, what may not change what, the cache, and looking inside."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.attention import (
    AdditiveAttention,
    LuongAttention,
    MultiHeadAttention,
    attention_maps,
    causal_mask,
    check_mask,
    combine_masks,
    copy_torch_attention,
    masked_softmax,
    merge_heads,
    padding_mask,
    scaled_dot_product_attention,
    split_heads,
)

B, H, T_Q, T_K, D_K, KDIM, VDIM = 3, 2, 5, 7, 6, 10, 9
C = H * D_K
LENGTHS = torch.tensor([4, 7, 1])
PATHS = {"explicit": True, "fused": False}
each_path = pytest.mark.parametrize("need_weights", PATHS.values(), ids=PATHS)


def random_mask(*shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(7)) < 0.5
    mask[..., 0] = True
    return mask


CROSS_MASKS = {
    "none": None, "padding": padding_mask(LENGTHS, T_K), "for all": random_mask(T_Q, T_K),
    "for each sentence": random_mask(B, 1, T_Q, T_K), "for each head": random_mask(B, H, T_Q, T_K),
    "for each query of a head": random_mask(H, T_Q, 1)[None],
    "one empty row": random_mask(T_Q, T_K).index_fill(0, torch.tensor(2), False),
    "one empty sentence": padding_mask(torch.tensor([3, 0, 7]), T_K),
    "nothing at all": torch.zeros(T_Q, T_K, dtype=torch.bool),
}
every_mask = pytest.mark.parametrize("mask", CROSS_MASKS.values(), ids=CROSS_MASKS)


def layer(dtype=torch.float, **options):
    torch.manual_seed(0)
    return MultiHeadAttention(C, H, **options).to(dtype)


def cross(dtype=torch.float):
    torch.manual_seed(1)
    return (torch.randn(B, T_Q, C, dtype=dtype), torch.randn(B, T_K, KDIM, dtype=dtype),
            torch.randn(B, T_K, VDIM, dtype=dtype))


def words(T=T_K, dtype=torch.float):
    torch.manual_seed(2)
    return torch.randn(B, T, C, dtype=dtype)


# ---------------------------------------------------------------- masks

def test_masks_written_out():
    assert causal_mask(3).tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert padding_mask(torch.tensor([2, 0, 3]), 3)[:, 0, 0].int().tolist() == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
    assert padding_mask([2, 1], 4).shape == (2, 1, 1, 4)
    assert causal_mask(3).dtype == padding_mask([1], 3).dtype == torch.bool


def test_combined_masks_allow_what_all_allow():
    causal, padding, heads = causal_mask(T_K), padding_mask(LENGTHS, T_K), random_mask(1, H, T_K, T_K)
    combined = combine_masks(causal, None, padding, heads)
    assert combined.shape == (B, H, T_K, T_K)
    for b in range(B):
        for query in range(T_K):
            for key in range(T_K):
                allowed = key <= query and key < LENGTHS[b]
                assert combined[b, :, query, key].tolist() == (heads[0, :, query, key] & bool(allowed)).tolist()
    assert combine_masks() is None and combine_masks(None, None) is None
    assert torch.equal(combine_masks(None, causal), causal_mask(T_K))
    assert torch.equal(causal, causal_mask(T_K)), "combining leaves the masks as they are"


@pytest.mark.parametrize(("make", "message"), [
    (lambda: causal_mask(0), "T=0"),
    (lambda: causal_mask(2.0), "T=2.0"),
    (lambda: padding_mask(torch.tensor([1.0, 2.0]), 3), "whole numbers from 0 to T=3"),
    (lambda: padding_mask(torch.tensor([[1, 2]]), 3), r"\(B,\) whole numbers"),
    (lambda: padding_mask(torch.tensor([1, -1]), 3), r"got \[1, -1\]"),
    (lambda: padding_mask(torch.tensor([4, 1]), 3), r"got \[4, 1\]"),
    (lambda: padding_mask(2, 3), r"\(B,\) whole numbers"),
    (lambda: combine_masks(causal_mask(3), torch.ones(3, 3)), "got torch.float32"),
    (lambda: combine_masks(causal_mask(3), torch.zeros(3, 3, dtype=torch.long)), "got torch.int64"),
    (lambda: check_mask([[True]]), "got list"),
    (lambda: masked_softmax(torch.zeros(2, 3), torch.ones(2, 3)), "a mask is a boolean tensor, True = may attend"),
    (lambda: scaled_dot_product_attention(*[torch.zeros(1, 2, 3)] * 3, torch.zeros(2, 2)), "a mask is a boolean"),
    (lambda: AdditiveAttention(2, 3, 4)(torch.zeros(1, 1, 2), torch.zeros(1, 5, 3), torch.ones(5)), "a mask is a"),
    (lambda: LuongAttention(2, 2)(torch.zeros(1, 1, 2), torch.zeros(1, 5, 2), torch.ones(5)), "a mask is a boolean"),
    (lambda: layer()(words(), words(), words(), torch.ones(T_K, T_K)), "a mask is a boolean tensor"),
    (lambda: layer()(words(), words(), words(), torch.ones(T_K, T_K), need_weights=False), "a mask is a boolean"),
    (lambda: layer()(words(), words(), words(), random_mask(B, T_K, T_K)), "leaves open what its first axis is"),
    (lambda: layer()(words(), words(), words(), random_mask(H, T_K, T_K), need_weights=False), r"mask.unsqueeze\(1\)"),
    (lambda: MultiHeadAttention(10, 3), "d_model=10 is not divisible by n_heads=3"),
    (lambda: MultiHeadAttention(0, 1), "d_model=0"),
    (lambda: MultiHeadAttention(4, 0), "n_heads=0"),
    (lambda: layer()(words()[0], words(), words()), rf"expected query of shape \(B, T, {C}\)"),
    (lambda: layer(kdim=KDIM)(words(), words(), words()), rf"expected key of shape \(B, T, {KDIM}\)"),
    (lambda: layer()(words(), words(), words()[..., 1:]), "expected value of shape"),
    (lambda: layer()(words(), words(), words()[:, 1:]), "key and value also T_k"),
    (lambda: layer()(words(), words()[1:], words()[1:]), "must share B"),
    (lambda: AdditiveAttention(2, 0, 4), "key_size=0"),
    (lambda: LuongAttention(3, 3, "cosine"), "score='cosine' is none of"),
    (lambda: LuongAttention(3, 4, "dot"), "query_size=3 and key_size=4"),
])
def test_what_does_not_fit_is_one_clear_sentence(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------- weights

@every_mask
def test_rows_sum_to_one_or_are_zero_and_masked_keys_get_nothing(mask):
    torch.manual_seed(3)
    scores = 30 * torch.randn(B, H, T_Q, T_K)
    weights = masked_softmax(scores, mask)
    allowed = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand(scores.shape)
    torch.testing.assert_close(weights.sum(-1), allowed.any(-1).float())
    assert (weights[~allowed] == 0).all() and (weights >= 0).all()
    for b, h, query in allowed.any(-1).nonzero()[:20].tolist():
        kept = allowed[b, h, query]                          # as if the masked keys were not there
        torch.testing.assert_close(weights[b, h, query][kept], scores[b, h, query][kept].softmax(-1))


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_no_score_is_large_enough_to_get_past_a_mask(size):
    weights = masked_softmax(torch.tensor([[-size, -size, size]]), torch.tensor([True, True, False]))
    assert weights.tolist() == [[0.5, 0.5, 0]]


def test_the_scores_are_divided_by_the_root_of_the_head_size():
    query, key = torch.tensor([[8.0] + 15 * [0.0]]), torch.eye(16)[:2]
    _, weights = scaled_dot_product_attention(query, key, key)
    torch.testing.assert_close(weights[0], torch.tensor([2.0, 0.0]).softmax(0))      # 8 / √16 = 2


@every_mask
@pytest.mark.parametrize("need_weights", PATHS.values(), ids=PATHS)
def test_no_nan_in_outputs_or_gradients(mask, need_weights):
    attend = layer(kdim=KDIM, vdim=VDIM)
    inputs = [x.requires_grad_() for x in cross()]
    with torch.autograd.set_detect_anomaly(True):        # a NaN that is covered up later raises, too
        output, _ = attend(*inputs, mask, need_weights=need_weights)
        gradients = torch.autograd.grad(output.sin().sum(), [*inputs, *attend.parameters()])
    assert all(value.isfinite().all() for value in (output, *gradients))
    assert gradients[-1].ne(0).any()


def test_a_query_without_keys_has_no_gradient_and_the_others_have():
    attend, (query, key, value) = layer(kdim=KDIM, vdim=VDIM), cross()
    query.requires_grad_()
    output, _ = attend(query, key, value, (torch.arange(T_Q) != 2).unsqueeze(1))     # (T_q, 1): all keys or none
    gradient, = torch.autograd.grad(output.square().sum(), query)
    assert [bool(row) for row in gradient.ne(0).any(-1).any(0)] == [True, True, False, True, True]


# ---------------------------------------------------------------- two paths

@every_mask
def test_the_fused_path_gives_the_same_outputs_and_gradients(mask):
    attend, results = layer(torch.double, kdim=KDIM, vdim=VDIM), []
    for need_weights in PATHS.values():
        inputs = [x.requires_grad_() for x in cross(torch.double)]
        output, weights = attend(*inputs, mask, need_weights=need_weights)
        assert (weights is not None) == need_weights
        results.append([output, *torch.autograd.grad(output.sin().sum(), [*inputs, *attend.parameters()])])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@each_path
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.half, 0.005), (torch.bfloat16, 0.04)])
@pytest.mark.parametrize("mask", [None, CROSS_MASKS["for each head"], CROSS_MASKS["one empty sentence"]])
def test_16_bits_are_close_to_32(need_weights, dtype, tolerance, mask):
    attend, inputs = layer(kdim=KDIM, vdim=VDIM), cross()
    expected, _ = attend(*inputs, mask)
    output, weights = attend.to(dtype)(*(x.to(dtype) for x in inputs), mask, need_weights=need_weights)
    assert output.dtype == dtype and output.isfinite().all()
    torch.testing.assert_close(output.float(), expected, rtol=0, atol=tolerance)
    assert weights is None or weights.dtype == dtype


# ---------------------------------------------------------------- dropout

@each_path
def test_dropout_acts_in_training_alone(need_weights):
    inputs, attend = cross(), layer(dropout=0.5, kdim=KDIM, vdim=VDIM)
    plain = layer(kdim=KDIM, vdim=VDIM)                                  # the same seed, so the same weights
    expected, _ = plain(*inputs)
    torch.testing.assert_close(attend.eval()(*inputs, need_weights=need_weights)[0], expected)
    attend.train()
    one, other = (attend(*inputs, need_weights=need_weights)[0] for _ in range(2))
    assert not torch.allclose(one, expected) and not torch.allclose(one, other)


@each_path
def test_dropout_keeps_the_expectation(need_weights):
    draws, attend = 8000, layer(dropout=0.3)
    x = words(T=4)[:1]
    expected, _ = attend.eval()(x, x, x)
    torch.manual_seed(4)
    with torch.no_grad():
        many = x.expand(draws, -1, -1)
        outputs, _ = attend.train()(many, many, many, need_weights=need_weights)
    error = outputs.std(0) / draws**0.5
    assert ((outputs.mean(0) - expected[0]).abs() < 5 * error).all() and error.min() > 0


def test_the_weights_come_back_before_dropout():
    x, attend = words(), layer(dropout=0.5)
    _, expected = attend.eval()(x, x, x)
    _, weights = attend.train()(x, x, x)
    torch.testing.assert_close(weights, expected)


# ---------------------------------------------------------------- what may not change what

@each_path
def test_later_words_change_nothing_before_them(need_weights):
    attend, x = layer(), words()
    later = x.clone()
    later[:, 4:] = 1e6 * torch.randn(B, T_K - 4, C)
    before, after = (attend(x, x, x, causal_mask(T_K), need_weights=need_weights)[0] for x in (x, later))
    torch.testing.assert_close(after[:, :4], before[:, :4])
    assert not torch.isclose(after[:, 4:], before[:, 4:]).any(-1).any()
    free, changed = (attend(x, x, x, need_weights=need_weights)[0] for x in (x, later))
    assert not torch.isclose(free[:, :4], changed[:, :4]).all(-1).any(), "without the mask they do change"


@each_path
@pytest.mark.parametrize("filler", [0.0, -3.0, 1e30])
def test_padding_changes_nothing_however_large_it_is(need_weights, filler):
    attend, (query, key, value), mask = layer(kdim=KDIM, vdim=VDIM), cross(), padding_mask(LENGTHS, T_K)
    expected, _ = attend(query, key, value, mask)
    padding = ~mask[:, 0, 0].unsqueeze(-1)                               # (B, T_k, 1)
    output, _ = attend(query, key.masked_fill(padding, filler), value.masked_fill(padding, filler), mask,
                       need_weights=need_weights)
    torch.testing.assert_close(output, expected)
    for b, length in enumerate(LENGTHS):                                 # as if the sentence had never been padded
        alone, _ = attend(query[b:b + 1], key[b:b + 1, :length], value[b:b + 1, :length])
        torch.testing.assert_close(output[b:b + 1], alone)


@each_path
def test_shuffled_words_give_shuffled_outputs_unless_a_causal_mask_tells_their_order(need_weights):
    attend, x, order = layer(), words(), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    shuffled = x[:, order]
    output, weights = attend(x, x, x, need_weights=need_weights)
    output_after, weights_after = attend(shuffled, shuffled, shuffled, need_weights=need_weights)
    torch.testing.assert_close(output_after, output[:, order])
    if need_weights:
        torch.testing.assert_close(weights_after, weights[:, :, order][..., order])
    causal, causal_after = (attend(x, x, x, causal_mask(T_K), need_weights=need_weights)[0] for x in (x, shuffled))
    assert not torch.isclose(causal_after, causal[:, order], atol=1e-4).all(-1).any(0).all()


@pytest.mark.parametrize("score", ["additive", "dot", "general", "concat"])
def test_padding_of_a_source_changes_nothing_for_a_recurrent_decoder(score):
    torch.manual_seed(5)
    query_size = 6 if score == "dot" else 5
    attend = AdditiveAttention(5, 6, 4) if score == "additive" else LuongAttention(query_size, 6, score)
    query, key, mask = torch.randn(B, T_Q, query_size), torch.randn(B, T_K, 6), padding_mask(LENGTHS, T_K)[:, 0]
    context, weights = attend(query, key, mask)
    again, weights_again = attend(query, key.masked_fill(~mask.mT, 1e30), mask)
    torch.testing.assert_close(again, context)
    torch.testing.assert_close(weights_again, weights)
    assert (weights == 0).equal(~mask.expand_as(weights))


# ---------------------------------------------------------------- heads

def test_heads_are_neighbouring_features_and_come_back_in_place():
    x = torch.randn(B, T_Q, C)
    heads = split_heads(x, H)
    assert heads.shape == (B, H, T_Q, D_K)
    for h in range(H):
        assert torch.equal(heads[:, h], x[..., h * D_K:(h + 1) * D_K])
    assert torch.equal(merge_heads(heads), x)
    assert torch.equal(merge_heads(heads), torch.cat(heads.unbind(1), dim=-1))


@pytest.mark.parametrize("bias", [True, False])
def test_more_heads_cost_no_parameters(bias):
    layers = [MultiHeadAttention(24, n_heads, bias=bias) for n_heads in (1, 3, 8)]
    counts = {sum(parameter.numel() for parameter in layer.parameters()) for layer in layers}
    assert counts == {4 * 24 * 24 + (4 * 24 if bias else 0)}


def test_each_head_attends_on_its_own():
    attend, x = layer(), words()
    _, before = attend(x, x, x)
    with torch.no_grad():
        attend.w_q.weight[:D_K].mul_(3)                                  # head 0 alone
    _, after = attend(x, x, x)
    assert not torch.allclose(after[:, 0], before[:, 0])
    torch.testing.assert_close(after[:, 1], before[:, 1])


# ---------------------------------------------------------------- cache

@each_path
@pytest.mark.parametrize("sizes", [[1] * T_K, [3, 1, 2, 1], [T_K]], ids=str)
def test_pieces_with_a_cache_equal_one_causal_call(need_weights, sizes):
    attend, x = layer(), words()
    expected, expected_weights = attend(x, x, x, causal_mask(T_K))
    cache, outputs, past = {}, [], 0
    for piece in x.split(sizes, dim=1):
        mask = causal_mask(T_K)[past:past + piece.shape[1], :past + piece.shape[1]]
        output, weights = attend(piece, piece, piece, mask, need_weights=need_weights, cache=cache)
        past += piece.shape[1]
        if need_weights:
            torch.testing.assert_close(weights, expected_weights[:, :, past - piece.shape[1]:past, :past])
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, dim=1), expected)
    assert cache["key"].shape == cache["value"].shape == (B, H, T_K, D_K)


def test_a_single_new_word_needs_no_mask_and_two_caches_do_not_meet():
    attend, x, one, other = layer(), words(), {}, {}
    expected, _ = attend(x, x, x, causal_mask(T_K))
    for word, another in zip(x.split(1, dim=1), x.flip(1).split(1, dim=1), strict=True):
        output, _ = attend(word, word, word, cache=one)
        attend(another, another, another, cache=other)
    torch.testing.assert_close(output, expected[:, -1:])
    torch.testing.assert_close(one["key"], split_heads(attend.w_k(x), H))
    torch.testing.assert_close(other["key"], split_heads(attend.w_k(x.flip(1)), H))


# ---------------------------------------------------------------- looking inside

class Model(nn.Module):
    """Three calls of two layers, all on the fused path: the second layer is used twice."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(6)
        self.first, self.shared = MultiHeadAttention(C, H), MultiHeadAttention(C, 3, kdim=KDIM, vdim=KDIM)
        self.weights_seen, self.fail = [], False

    def forward(self, x, memory, scale=1.0):
        for attend, key, mask in ((self.first, x, causal_mask(x.shape[1])), (self.shared, memory, None),
                                  (self.shared, memory.flip(1), None)):
            output, weights = attend(x, key, key, mask, need_weights=False)
            self.weights_seen.append(weights)
            x = x + scale * output
        if self.fail:
            raise RuntimeError("no further")
        return x


def model_inputs():
    torch.manual_seed(8)
    return torch.randn(B, T_Q, C), torch.randn(B, T_K, KDIM)


def hooks(model):
    return [hook for part in model.modules() for hook in (*part._forward_hooks, *part._forward_pre_hooks)]


def test_maps_come_in_the_order_of_the_calls():
    model, (x, memory) = Model(), model_inputs()
    maps = attention_maps(model, x, memory)
    assert [(name, weights.shape) for name, weights in maps] == [
        ("first", (B, H, T_Q, T_Q)), ("shared", (B, 3, T_Q, T_K)), ("shared", (B, 3, T_Q, T_K))]
    x1, first = model.first(x, x, x, causal_mask(T_Q))
    x1 = x + x1
    x2, second = model.shared(x1, memory, memory)
    _, third = model.shared(x1 + x2, memory.flip(1), memory.flip(1))
    for (_, weights), expected in zip(maps, (first, second, third), strict=True):
        torch.testing.assert_close(weights, expected)
        assert not weights.requires_grad


def test_maps_take_keyword_arguments():
    model, (x, memory) = Model(), model_inputs()
    plain, scaled = attention_maps(model, x, memory), attention_maps(model, x, memory=memory, scale=5.0)
    torch.testing.assert_close(scaled[0][1], plain[0][1])
    assert not torch.allclose(scaled[1][1], plain[1][1])


def test_looking_inside_leaves_the_model_as_it_was():
    model, inputs = Model(), model_inputs()
    before = model(*inputs)
    maps = attention_maps(model, *inputs)
    model.weights_seen.clear()
    after = model(*inputs)
    assert len(maps) == 3 and torch.equal(after, before) and after.requires_grad
    assert model.weights_seen == [None] * 3 and hooks(model) == [] and model.training


def test_the_output_is_the_same_while_being_looked_at():
    model, inputs, seen = Model(), model_inputs(), []
    handle = model.register_forward_hook(lambda _, __, output: seen.append(output))
    attention_maps(model, *inputs)
    handle.remove()
    torch.testing.assert_close(seen[0], model(*inputs))


@pytest.mark.parametrize("break_it", [
    lambda model, x, memory: (setattr(model, "fail", True), (x, memory))[1],
    lambda model, x, memory: (x, memory[..., 1:]),
    lambda model, x, memory: (x,),
])
def test_hooks_are_taken_off_after_an_error(break_it):
    model = Model()
    inputs = break_it(model, *model_inputs())
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        attention_maps(model, *inputs)
    assert hooks(model) == []
    model.fail = False
    assert len(attention_maps(model, *model_inputs())) == 3


def test_a_layer_by_itself_and_a_model_without_attention():
    x = words()
    (name, weights), = attention_maps(layer(), x, x, x, need_weights=False)
    torch.testing.assert_close(weights, layer()(x, x, x)[1])
    assert name == "" and attention_maps(nn.Linear(C, C), x) == []


def test_maps_of_a_model_in_training_are_those_before_dropout():
    x, attend = words(), layer(dropout=0.5)
    (_, weights), = attention_maps(nn.Sequential(Once(attend)), x)
    torch.testing.assert_close(weights, attend.eval()(x, x, x)[1])


class Once(nn.Module):
    def __init__(self, attend):
        super().__init__()
        self.attend = attend

    def forward(self, x):
        return F.relu(self.attend(x, x, x, need_weights=False)[0])


@pytest.mark.parametrize("shape", [(4, 5), (3, 1, 1, 5), (2, 3, 4, 4), (1, 1, 2, 4, 5)])
def test_a_mask_that_does_not_fit_the_scores_is_refused(shape):
    layer = MultiHeadAttention(d_model=6, n_heads=3)
    query, key = torch.randn(2, 4, 6), torch.randn(2, 5, 6)                  # scores (2, 3, 4, 5)
    mask = torch.ones(shape, dtype=torch.bool)
    for need_weights in (True, False):
        if shape == (4, 5):
            assert layer(query, key, key, mask, need_weights)[0].shape == (2, 4, 6)
            continue
        with pytest.raises(ValueError, match=r"does not fit scores \(B, H, T_q, T_k\) = \(2, 3, 4, 5\)"):
            layer(query, key, key, mask, need_weights)


def test_lengths_that_are_truth_values_are_refused():
    with pytest.raises(ValueError, match="whole numbers"):
        padding_mask(torch.tensor([True, False]), 3)


def test_maps_of_layers_called_by_position_and_of_torchs_own_layer():
    """need_weights may come by position; torch's layer gives each head; a block that returns no pair gives no map."""
    class Block(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x, need_weights=False):
            return self.layer(x, x, x, None, need_weights)[0]

    x = torch.randn(2, 5, 6)
    for layer in (MultiHeadAttention(6, 3), nn.MultiheadAttention(6, 3, batch_first=True)):
        [(name, weights)] = attention_maps(Block(layer), x)
        assert name == "layer" and weights.shape == (2, 3, 5, 5)


def test_a_row_whose_only_scores_are_minus_infinity_is_empty():
    scores = torch.tensor([[float("-inf"), 1.0], [2.0, 1.0]])
    weights = masked_softmax(scores, torch.tensor([[True, False], [True, True]]))
    assert weights[0].tolist() == [0, 0] and torch.isclose(weights[1].sum(), torch.tensor(1.0))


def test_large_half_precision_scores_do_not_overflow():
    query = torch.full((1, 64), 60.0, dtype=torch.float16)
    _, weights = scaled_dot_product_attention(query, query, query)           # 60 · 60 · 64 is beyond 16 bits
    assert weights.item() == 1


@pytest.mark.parametrize("layer", [AdditiveAttention(4, 6, 5), LuongAttention(4, 6, "general"),
                                   LuongAttention(4, 6, "concat")])
def test_attention_of_a_decoder_refuses_what_does_not_fit(layer):
    query, key = torch.randn(3, 3, 4), torch.randn(3, 7, 6)
    with pytest.raises(ValueError, match=r"for padding give \(B, 1, S\)"):
        layer(query, key, torch.ones(3, 7, dtype=torch.bool))                # would be read as (T, S)
    for wrong in ((key, query), (query[:2], key), (query[0], key)):
        with pytest.raises(ValueError, match=r"expected query \(B, T, 4\) and key \(B, S, 6\)"):
            layer(*wrong)


@pytest.mark.parametrize("theirs", [nn.MultiheadAttention(6, 3, bias=False), nn.MultiheadAttention(6, 2),
                                    nn.MultiheadAttention(9, 3), nn.MultiheadAttention(6, 3, add_bias_kv=True)])
def test_weights_of_another_layer_are_refused_before_anything_is_copied(theirs):
    ours = MultiHeadAttention(6, 3)
    before = [parameter.clone() for parameter in ours.parameters()]
    with pytest.raises(ValueError, match="differ"):
        copy_torch_attention(ours, theirs)
    assert all(torch.equal(a, b) for a, b in zip(before, ours.parameters(), strict=True))
