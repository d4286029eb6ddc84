"""Attention against torch's, and against loops over single numbers. B≠H≠d_v≠T_q≠d_k≠T_k, so no two axes can be mixed
up unnoticed."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.attention import (
    AdditiveAttention,
    LuongAttention,
    MultiHeadAttention,
    causal_mask,
    combine_masks,
    copy_torch_attention,
    padding_mask,
    scaled_dot_product_attention,
)

B, H, T_Q, T_K, D_K, D_V = 3, 2, 5, 7, 6, 4
C, KDIM, VDIM = H * D_K, 10, 9
LENGTHS = torch.tensor([4, 7, 1])
EXACT = {"rtol": 1e-9, "atol": 1e-9}        # for float64
CLOSE = {"rtol": 1e-5, "atol": 1e-5}        # for float32


def random_mask(*shape, seed=7):
    """No row is empty: every query may attend to its first key."""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask[..., 0] = True
    return mask


# ---------------------------------------------------------------- scaled dot-product attention

SHAPES = [(T_Q, T_K), (1, T_K), (T_Q, 1), (B, 1, 1, T_K), (B, 1, T_Q, T_K), (1, H, T_Q, T_K), (B, H, 1, T_K),
          (B, H, T_Q, 1), (B, H, T_Q, T_K)]
MASKS = {"none": None, **{str(shape): random_mask(*shape) for shape in SHAPES}, "padding": padding_mask(LENGTHS, T_K)}
EMPTY_ROWS = {
    "one query": random_mask(T_Q, T_K).index_fill(0, torch.tensor(2), False),
    "one head of one sentence": random_mask(B, H, T_Q, T_K) & (torch.arange(B * H) != 4).view(B, H, 1, 1),
    "one sentence": padding_mask(torch.tensor([3, 0, 7]), T_K),
    "everything": torch.zeros(T_Q, T_K, dtype=torch.bool),
}


def heads(dtype=torch.float):
    torch.manual_seed(0)
    return (torch.randn(B, H, T_Q, D_K, dtype=dtype), torch.randn(B, H, T_K, D_K, dtype=dtype),
            torch.randn(B, H, T_K, D_V, dtype=dtype))


@pytest.mark.parametrize("mask", [*MASKS.values(), *EMPTY_ROWS.values()], ids=[*MASKS, *EMPTY_ROWS])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float, CLOSE), (torch.double, EXACT)])
def test_one_attention_and_its_gradients_equal_torch(mask, dtype, tolerance):
    results = []
    for attend in (scaled_dot_product_attention, F.scaled_dot_product_attention):
        inputs = [x.requires_grad_() for x in heads(dtype)]
        output = attend(*inputs, mask)
        output = output[0] if isinstance(output, tuple) else output
        assert output.shape == (B, H, T_Q, D_V)
        results.append([output, *torch.autograd.grad(output.sin().sum(), inputs)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("mask", EMPTY_ROWS.values(), ids=EMPTY_ROWS)
def test_a_row_with_nothing_to_attend_to_is_zero_in_both(mask):
    output, weights = scaled_dot_product_attention(*heads(), mask)
    empty = ~mask.expand(B, H, T_Q, T_K).any(-1)
    assert empty.any() and weights[empty].eq(0).all() and output[empty].eq(0).all()
    assert F.scaled_dot_product_attention(*heads(), mask)[empty].eq(0).all()
    assert weights[~empty].sum(-1).sub(1).abs().lt(1e-5).all()


def test_a_mask_of_keys_alone_and_inputs_without_heads():
    query, key, value = (x[0, 0] for x in heads())
    mask = random_mask(T_K)
    output, weights = scaled_dot_product_attention(query, key, value, mask)
    expected = F.scaled_dot_product_attention(query, key, value, mask.expand(T_Q, T_K))
    torch.testing.assert_close(output, expected, **CLOSE)
    assert weights.shape == (T_Q, T_K) and (weights.eq(0) == ~mask).all()


# ---------------------------------------------------------------- many heads

def torchs(kdim=None, vdim=None, bias=True, dtype=torch.float):
    """torch's layer with biases that are not zero, as they are at the start."""
    torch.manual_seed(1)
    theirs = nn.MultiheadAttention(C, H, bias=bias, kdim=kdim, vdim=vdim, batch_first=True).to(dtype)
    for parameter in theirs.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    return theirs


def copied(theirs, kdim=None, vdim=None, bias=True, dtype=torch.float):
    torch.manual_seed(2)
    ours = MultiHeadAttention(C, H, bias=bias, kdim=kdim, vdim=vdim).to(dtype)
    copy_torch_attention(ours, theirs)
    return ours


def sequences(kind, kdim, vdim, dtype=torch.float):
    """query, key, value; the same tensor three times for self-attention."""
    torch.manual_seed(3)
    query = torch.randn(B, T_K if kind == "self" else T_Q, C, dtype=dtype)
    if kind == "self":
        return query, query, query
    return query, torch.randn(B, T_K, kdim or C, dtype=dtype), torch.randn(B, T_K, vdim or C, dtype=dtype)


def masks(name, T):
    """Our mask, and the arguments that say the same to torch, where True = may not."""
    causal, padding = torch.ones(T, T_K, dtype=torch.bool).tril(), padding_mask(LENGTHS, T_K)
    for_all, for_each = random_mask(T, T_K), random_mask(B, H, T, T_K)
    return {
        "none": (None, {}),
        "causal": (causal, {"attn_mask": ~causal}),
        "padding": (padding, {"key_padding_mask": ~padding[:, 0, 0]}),
        "both": (combine_masks(causal, padding), {"attn_mask": ~causal, "key_padding_mask": ~padding[:, 0, 0]}),
        "random": (for_all, {"attn_mask": ~for_all}),
        "random for each head": (for_each, {"attn_mask": ~for_each.flatten(0, 1)}),
    }[name]


def in_torchs_order(ours, gradients):
    """Gradients of our parameters (w_q, w_k, w_v, w_o; weights before biases) by the names of torch's."""
    named = dict(zip((name for name, _ in ours.named_parameters()), gradients, strict=True))
    parts = [named[f"w_{part}.weight"] for part in "qkv"]
    together = {"in_proj_weight": torch.cat(parts)} if len({part.shape for part in parts}) == 1 else {}
    together |= {f"{part}_proj_weight": gradient for part, gradient in zip("qkv", parts, strict=True)}
    together["out_proj.weight"] = named["w_o.weight"]
    if "w_o.bias" in named:
        together["in_proj_bias"] = torch.cat([named[f"w_{part}.bias"] for part in "qkv"])
        together["out_proj.bias"] = named["w_o.bias"]
    return together


def test_causal_masks_of_both_kinds_agree():
    assert torch.equal(masks("causal", T_K)[0], causal_mask(T_K))
    assert torch.equal(~causal_mask(T_K), nn.Transformer.generate_square_subsequent_mask(T_K).isinf())


every_mask = pytest.mark.parametrize("mask_name", [
    "none", "causal", "padding", "both", "random", "random for each head"])
every_kind = pytest.mark.parametrize(("kind", "kdim", "vdim"), [
    ("self", None, None), ("cross", None, None), ("cross", KDIM, None), ("cross", None, VDIM), ("cross", KDIM, VDIM)])
with_and_without_bias = pytest.mark.parametrize("bias", [True, False])


@every_mask
@every_kind
@with_and_without_bias
@pytest.mark.parametrize("training", [True, False])
def test_many_heads_equal_torch(kind, kdim, vdim, bias, mask_name, training):
    theirs = torchs(kdim, vdim, bias).train(training)
    ours = copied(theirs, kdim, vdim, bias).train(training)
    inputs = sequences(kind, kdim, vdim)
    T = inputs[0].shape[1]
    mask, of_torch = masks(mask_name, T)
    with torch.set_grad_enabled(training):          # without gradients torch has a path of its own
        output, weights = ours(*inputs, mask)
        expected, expected_weights = theirs(*inputs, **of_torch, average_attn_weights=False)
    assert output.shape == (B, T, C) and weights.shape == (B, H, T, T_K)
    torch.testing.assert_close(output, expected, **CLOSE)
    torch.testing.assert_close(weights, expected_weights, **CLOSE)


@every_mask
@every_kind
@with_and_without_bias
def test_gradients_of_inputs_and_weights_equal_torch_in_float64(kind, kdim, vdim, bias, mask_name):
    theirs = torchs(kdim, vdim, bias, torch.double)
    ours = copied(theirs, kdim, vdim, bias, torch.double)
    inputs = [x.detach().clone().requires_grad_() for x in sequences(kind, kdim, vdim, torch.double)]
    mask, of_torch = masks(mask_name, inputs[0].shape[1])
    results = []
    for layer, options in ((ours, {"mask": mask}), (theirs, {**of_torch, "average_attn_weights": False})):
        output, weights = layer(*inputs, **options)
        loss = output.square().sum() + weights.sin().sum()      # the weights' own gradient counts, too
        results.append(torch.autograd.grad(loss, [*inputs, *layer.parameters()]))
    for a, b in zip(results[0][:3], results[1][:3], strict=True):
        torch.testing.assert_close(a, b, **EXACT)
    named = in_torchs_order(ours, results[0][3:])
    for (name, _), expected in zip(theirs.named_parameters(), results[1][3:], strict=True):
        torch.testing.assert_close(named[name], expected, **EXACT)


def test_weights_are_copied_and_not_shared():
    theirs = torchs()
    ours = copied(theirs)
    before = theirs.in_proj_weight.clone()
    with torch.no_grad():
        ours.w_q.weight.zero_()
    assert torch.equal(theirs.in_proj_weight, before) and before[:C].ne(0).any()


def test_an_empty_row_gives_the_output_of_zeros_here_and_nan_in_torch():
    theirs = torchs()
    ours = copied(theirs)
    query, key, value = sequences("cross", None, None)
    mask = random_mask(T_Q, T_K).index_fill(0, torch.tensor(2), False)
    output, weights = ours(query, key, value, mask)
    expected, expected_weights = theirs(query, key, value, attn_mask=~mask, average_attn_weights=False)
    others = [0, 1, 3, 4]
    torch.testing.assert_close(output[:, others], expected[:, others], **CLOSE)
    torch.testing.assert_close(weights[:, :, others], expected_weights[:, :, others], **CLOSE)
    assert expected[:, 2].isnan().all() and expected_weights[:, :, 2].isnan().all()
    assert weights[:, :, 2].eq(0).all()
    torch.testing.assert_close(output[:, 2], ours.w_o.bias.expand(B, C))         # W_O 0 + b


# ---------------------------------------------------------------- attention for a recurrent decoder

BATCH, TARGET, SOURCE, QUERY, KEY, INNER = 2, 3, 4, 5, 6, 7


def small_inputs(key_size=KEY):
    torch.manual_seed(4)
    query = torch.randn(BATCH, TARGET, QUERY, dtype=torch.double, requires_grad=True)
    key = torch.randn(BATCH, SOURCE, key_size, dtype=torch.double, requires_grad=True)
    return query, key


def attend_by_loop(query, key, score, mask):
    """Context and weights from single queries and keys. score: query (Q,), key (K,) -> number; mask (B, T, S)."""
    contexts, rows = [], []
    for b in range(len(query)):
        for t in range(query.shape[1]):
            powers = [score(query[b, t], key[b, s]).exp() if mask[b, t, s] else key.new_zeros(())
                      for s in range(key.shape[1])]
            total = sum(powers)
            row = [power / total if total > 0 else power for power in powers]
            contexts.append(sum(weight * key[b, s] for s, weight in enumerate(row)))
            rows.append(torch.stack(row))
    sizes = (len(query), query.shape[1], -1)
    return torch.stack(contexts).view(*sizes), torch.stack(rows).view(*sizes)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def product(matrix, vector):
    return torch.stack([dot(row, vector) for row in matrix])


def additive_score(layer):
    def score(query, key):
        inner = product(layer.w_q.weight, query) + layer.w_q.bias + product(layer.w_k.weight, key)
        return dot(layer.v.weight[0], inner.tanh())
    return score


def luong_score(layer):
    return {
        "dot": dot,
        "general": lambda query, key: dot(query, product(layer.w.weight, key)),
        "concat": lambda query, key: dot(
            layer.v.weight[0], product(layer.w.weight, torch.stack([*query, *key])).tanh()),
    }[layer.score]


def recurrent_attention(kind):
    torch.manual_seed(5)
    if kind == "additive":
        layer = AdditiveAttention(QUERY, KEY, INNER).double()
        return layer, additive_score(layer), KEY
    key_size = QUERY if kind == "dot" else KEY
    layer = LuongAttention(QUERY, key_size, kind).double()
    return layer, luong_score(layer), key_size


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["additive", "dot", "general", "concat"])
def test_recurrent_attention_and_its_gradients_equal_a_loop(kind, masked):
    layer, score, key_size = recurrent_attention(kind)
    query, key = small_inputs(key_size)
    mask = random_mask(BATCH, 1, SOURCE, seed=9) if masked else None
    of_loop = torch.ones(BATCH, TARGET, SOURCE, dtype=torch.bool) if mask is None else mask.expand(-1, TARGET, -1)
    assert mask is None or not mask.all()
    results = []
    for context, weights in (layer(query, key, mask), attend_by_loop(query, key, score, of_loop)):
        loss = context.square().sum() + weights.sin().sum()
        results.append([context, weights, *torch.autograd.grad(loss, [query, key, *layer.parameters()])])
    assert results[0][0].shape == (BATCH, TARGET, key_size) and results[0][1].shape == (BATCH, TARGET, SOURCE)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("kind", ["additive", "dot", "general", "concat"])
def test_a_source_without_words_gives_a_context_of_zeros(kind):
    layer, score, key_size = recurrent_attention(kind)
    query, key = small_inputs(key_size)
    mask = padding_mask(torch.tensor([0, 3]), SOURCE)[:, 0]
    context, weights = layer(query, key, mask)
    assert context[0].eq(0).all() and weights[0].eq(0).all()
    torch.testing.assert_close(context, attend_by_loop(query, key, score, mask.expand(-1, TARGET, -1))[0], **EXACT)
    for gradient in torch.autograd.grad(context.sum(), [query, key, *layer.parameters()]):
        assert gradient.isfinite().all()
