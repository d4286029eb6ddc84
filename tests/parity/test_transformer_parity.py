"""The Transformer's parts, blocks and stacks against torch's, on the same weights; the two formulas of its training.

B≠H≠T≠d_k≠S≠C≠d_ff, so no two axes can be mixed up unnoticed.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.attention import causal_mask, combine_masks, padding_mask
from course_utils.models.transformer import (
    DecoderBlock,
    EncoderBlock,
    FeedForward,
    Residual,
    Stack,
    copy_torch_block,
    copy_torch_stack,
    layer_norm,
)
from course_utils.training import smoothed_cross_entropy, warmup_then_inverse_sqrt

B, H, T, D_K, S, D_FF, N = 3, 2, 5, 6, 7, 20, 2
C = H * D_K
LENGTHS = {S: torch.tensor([4, 7, 1]), T: torch.tensor([5, 2, 3])}
EXACT = {"rtol": 1e-9, "atol": 1e-9}        # for float64
CLOSE = {"rtol": 1e-5, "atol": 1e-5}        # for float32

every_order = pytest.mark.parametrize("norm", ["post", "pre"])
every_activation = pytest.mark.parametrize("activation", ["relu", "gelu"])


# ---------------------------------------------------------------- masks, both ways of saying them

def random_mask(*shape):
    """No row is empty: every query may attend to its first key."""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(7)) < 0.5
    mask[..., 0] = True
    return mask


def masks(name, queries, keys):
    """Our mask (True = may), then the two that say the same to torch (True = may not): of pairs, of padded keys."""
    causal, padding = torch.ones(queries, keys, dtype=torch.bool).tril(), padding_mask(LENGTHS[keys], keys)
    for_all, for_each = random_mask(queries, keys), random_mask(B, H, queries, keys)
    return {
        "none": (None, None, None),
        "causal": (causal, ~causal, None),
        "padding": (padding, None, ~padding[:, 0, 0]),
        "both": (combine_masks(causal, padding), ~causal, ~padding[:, 0, 0]),
        "random": (for_all, ~for_all, None),
        "random for each head": (for_each, ~for_each.flatten(0, 1), None),
    }[name]


SELF_MASKS = ["none", "causal", "padding", "both", "random", "random for each head"]
MEMORY_MASKS = ["none", "padding", "random", "random for each head"]
every_mask = pytest.mark.parametrize("mask", SELF_MASKS)
every_memory_mask = pytest.mark.parametrize("memory_mask", MEMORY_MASKS)


def encoder_options(mask, of_torch="src"):
    """The same mask for our encoder and for torch's; of_torch: "src" for a layer, "" for the whole encoder."""
    mine, pairs, padded = masks(mask, S, S)
    name = {"src": "src_mask", "": "mask"}[of_torch]
    return {"mask": mine}, {name: pairs, "src_key_padding_mask": padded}


def decoder_options(mask, memory_mask):
    mine, pairs, padded = masks(mask, T, T)
    of_memory, memory_pairs, memory_padded = masks(memory_mask, T, S)
    return {"mask": mine, "memory_mask": of_memory}, {
        "tgt_mask": pairs, "tgt_key_padding_mask": padded, "memory_mask": memory_pairs,
        "memory_key_padding_mask": memory_padded}


# ---------------------------------------------------------------- the same weights on both sides

def shaken(module, dtype=torch.float):
    """Biases that are not 0 and gains that are not 1, as they are at the start."""
    torch.manual_seed(1)
    for name, parameter in module.named_parameters():
        nn.init.uniform_(parameter, *((0.5, 1.5) if "norm" in name and "weight" in name else (-0.4, 0.4)))
    return module.to(dtype)


def encoder_pair(norm, activation, dtype=torch.float):
    theirs = shaken(nn.TransformerEncoderLayer(C, H, D_FF, 0.0, activation, batch_first=True,
                                               norm_first=norm == "pre"), dtype)
    ours = EncoderBlock(C, H, D_FF, 0.0, activation, norm).to(dtype)
    copy_torch_block(ours, theirs)
    return ours, theirs


def decoder_pair(norm, activation, dtype=torch.float):
    theirs = shaken(nn.TransformerDecoderLayer(C, H, D_FF, 0.0, activation, batch_first=True,
                                               norm_first=norm == "pre"), dtype)
    ours = DecoderBlock(C, H, D_FF, 0.0, activation, norm).to(dtype)
    copy_torch_block(ours, theirs)
    return ours, theirs


def stack_pair(kind, norm, activation, dtype=torch.float):
    """kind: "encoder" or "decoder". A final norm with pre-norm only, as in the course."""
    block = {"encoder": EncoderBlock, "decoder": DecoderBlock}[kind]
    layer = {"encoder": nn.TransformerEncoderLayer, "decoder": nn.TransformerDecoderLayer}[kind]
    stack = {"encoder": nn.TransformerEncoder, "decoder": nn.TransformerDecoder}[kind]
    last = nn.LayerNorm(C) if norm == "pre" else None
    one = layer(C, H, D_FF, 0.0, activation, batch_first=True, norm_first=norm == "pre")
    options = {"enable_nested_tensor": False} if kind == "encoder" else {}      # else padding comes back as zeros
    theirs = shaken(stack(one, N, last, **options), dtype)
    ours = Stack(block, N, C, H, D_FF, 0.0, activation, norm).to(dtype)
    copy_torch_stack(ours, theirs)
    return ours, theirs


def target(dtype=torch.float):
    return torch.randn(B, T, C, dtype=dtype, generator=torch.Generator().manual_seed(3))


def source(dtype=torch.float):
    return torch.randn(B, S, C, dtype=dtype, generator=torch.Generator().manual_seed(4))


NAMES = {
    "encoder": {"self_attn": "attention", "linear1": "feed_forward.w_1", "linear2": "feed_forward.w_2",
                "norm1": "around_attention.norm", "norm2": "around_feed_forward.norm"},
    "decoder": {"self_attn": "self_attention", "multihead_attn": "cross_attention", "linear1": "feed_forward.w_1",
                "linear2": "feed_forward.w_2", "norm1": "around_self_attention.norm",
                "norm2": "around_cross_attention.norm", "norm3": "around_feed_forward.norm"},
}


def ours_by_torchs_name(gradients, name, kind):
    """Of our gradients (a dict by our names) the one for the parameter that torch calls `name`."""
    for of_torch, mine in (("layers.", "blocks."), ("out_proj", "w_o"), *NAMES[kind].items()):
        name = name.replace(of_torch, mine)
    stem, _, leaf = name.rpartition(".")
    if leaf.startswith("in_proj_"):          # torch keeps W_Q, W_K and W_V in one matrix
        return torch.cat([gradients[f"{stem}.w_{part}.{leaf.removeprefix('in_proj_')}"] for part in "qkv"])
    return gradients[name]


def check_gradients(kind, pair, inputs, options):
    """Gradients of the inputs and of every parameter, in float64. options: for ours, for torch's."""
    found = []
    for model, keywords in zip(pair, options, strict=True):
        leaves = [x.detach().clone().requires_grad_() for x in inputs]
        names, parameters = zip(*model.named_parameters(), strict=True)
        # squares alone would do little behind a layer norm: there they sum to nearly the same number for all inputs
        gradients = torch.autograd.grad(model(*leaves, **keywords).sin().sum(), [*leaves, *parameters])
        found.append((gradients[:len(leaves)], dict(zip(names, gradients[len(leaves):], strict=True))))
    (mine_of_inputs, mine), (of_inputs, theirs) = found
    for a, b in zip(mine_of_inputs, of_inputs, strict=True):
        torch.testing.assert_close(a, b, **EXACT)
        assert a.abs().max() > 1e-3
    for name, expected in theirs.items():
        torch.testing.assert_close(ours_by_torchs_name(mine, name, kind), expected, **EXACT)
    assert sum(g.numel() for g in mine.values()) == sum(g.numel() for g in theirs.values())     # none is left over


# ---------------------------------------------------------------- the parts

@pytest.mark.parametrize("eps", [1e-5, 0.3])
@pytest.mark.parametrize("shape", [(C,), (T, C), (B, T, C), (B, H, T, D_K)], ids=str)
def test_layer_norm_and_its_gradients_equal_torch(shape, eps):
    torch.manual_seed(0)
    x, gain, bias = 3 * torch.randn(shape) + 5, torch.randn(shape[-1]), torch.randn(shape[-1])
    torch.testing.assert_close(layer_norm(x, gain, bias, eps), F.layer_norm(x, shape[-1:], gain, bias, eps), **CLOSE)
    inputs = [part.double().requires_grad_() for part in (x, gain, bias)]
    results = [torch.autograd.grad(output.sin().sum(), inputs) for output in (
        layer_norm(*inputs, eps), F.layer_norm(inputs[0], shape[-1:], *inputs[1:], eps))]
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def test_the_layer_norm_of_equal_features_is_the_bias():
    gain, bias = torch.randn(C), torch.randn(C)
    output = layer_norm(torch.full((B, T, C), 4.0), gain, bias)
    torch.testing.assert_close(output, bias.expand(B, T, C))
    torch.testing.assert_close(output, F.layer_norm(torch.full((B, T, C), 4.0), (C,), gain, bias))


@every_activation
def test_the_feed_forward_network_and_its_gradients_equal_two_linear_layers(activation):
    ours = shaken(FeedForward(C, D_FF, activation), torch.double)
    theirs = nn.Sequential(nn.Linear(C, D_FF), {"relu": nn.ReLU, "gelu": nn.GELU}[activation](),
                           nn.Linear(D_FF, C)).double()
    theirs[0].load_state_dict(ours.w_1.state_dict())
    theirs[2].load_state_dict(ours.w_2.state_dict())
    x, results = target(torch.double).requires_grad_(), []
    for network in (ours, theirs):
        output = network(x)
        results.append([output, *torch.autograd.grad(output.sin().sum(), [x, *network.parameters()])])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@every_order
def test_the_residual_frame_is_its_formula(norm):
    frame, x = shaken(Residual(C, norm=norm)), target()

    def normalised(x):
        return F.layer_norm(x, (C,), frame.norm.weight, frame.norm.bias)

    expected = normalised(x + x.sin()) if norm == "post" else x + normalised(x).sin()
    torch.testing.assert_close(frame(x, torch.sin), expected)


# ---------------------------------------------------------------- blocks

@every_mask
@every_activation
@every_order
@pytest.mark.parametrize("training", [True, False])
def test_an_encoder_block_equals_torch(norm, activation, mask, training):
    ours, theirs = (module.train(training) for module in encoder_pair(norm, activation))
    mine, of_torch = encoder_options(mask)
    with torch.set_grad_enabled(training):          # without gradients torch has a path of its own
        output, expected = ours(source(), **mine), theirs(source(), **of_torch)
    assert output.shape == (B, S, C)
    torch.testing.assert_close(output, expected, **CLOSE)


@every_mask
@every_activation
@every_order
def test_gradients_of_an_encoder_block_equal_torch(norm, activation, mask):
    check_gradients("encoder", encoder_pair(norm, activation, torch.double), [source(torch.double)],
                    encoder_options(mask))


@every_memory_mask
@every_mask
@every_activation
@every_order
def test_a_decoder_block_and_its_gradients_equal_torch(norm, activation, mask, memory_mask):
    options = decoder_options(mask, memory_mask)
    ours, theirs = decoder_pair(norm, activation)
    output = ours(target(), source(), **options[0])
    assert output.shape == (B, T, C)
    torch.testing.assert_close(output, theirs(target(), source(), **options[1]), **CLOSE)
    pair = decoder_pair(norm, activation, torch.double)
    check_gradients("decoder", pair, [target(torch.double), source(torch.double)], options)


@every_order
def test_a_token_with_nothing_to_attend_to_is_treated_apart(norm):
    ours, theirs = encoder_pair(norm, "relu")
    mask, others = random_mask(S, S).index_fill(0, torch.tensor(2), False), [0, 1, 3, 4, 5, 6]
    output = ours(source(), mask)
    torch.testing.assert_close(output[:, others], theirs(source(), src_mask=~mask)[:, others], **CLOSE)
    x = source()[:, 2]                                          # torch may say NaN here; ours attends to nothing
    bias = ours.attention.w_o.bias
    with_bias = x + bias if norm == "pre" else ours.around_attention.norm(x + bias)
    torch.testing.assert_close(output[:, 2], ours.around_feed_forward(with_bias, ours.feed_forward))


@every_order
def test_a_source_without_words_is_treated_apart(norm):
    ours, theirs = decoder_pair(norm, "relu")
    memory_mask = padding_mask(torch.tensor([3, 0, 7]), S)
    output = ours(target(), source(), memory_mask=memory_mask)
    expected = theirs(target(), source(), memory_key_padding_mask=~memory_mask[:, 0, 0])
    torch.testing.assert_close(output[[0, 2]], expected[[0, 2]], **CLOSE)
    other_source = ours(target(), source() + 9, memory_mask=memory_mask)
    torch.testing.assert_close(output[1], other_source[1])      # nothing of it is read, and nothing is NaN
    assert output.isfinite().all() and not torch.allclose(output[0], other_source[0])


# ---------------------------------------------------------------- stacks and the whole

@every_mask
@every_activation
@every_order
@pytest.mark.parametrize("training", [True, False])
def test_an_encoder_equals_torch(norm, activation, mask, training):
    ours, theirs = (module.train(training) for module in stack_pair("encoder", norm, activation))
    mine, of_torch = encoder_options(mask, "")
    with torch.set_grad_enabled(training):
        torch.testing.assert_close(ours(source(), **mine), theirs(source(), **of_torch), **CLOSE)


@every_mask
@every_activation
@every_order
def test_gradients_of_an_encoder_equal_torch(norm, activation, mask):
    check_gradients("encoder", stack_pair("encoder", norm, activation, torch.double), [source(torch.double)],
                    encoder_options(mask, ""))


@every_memory_mask
@every_mask
@every_activation
@every_order
def test_a_decoder_and_its_gradients_equal_torch(norm, activation, mask, memory_mask):
    options = decoder_options(mask, memory_mask)
    ours, theirs = stack_pair("decoder", norm, activation)
    torch.testing.assert_close(ours(target(), source(), **options[0]), theirs(target(), source(), **options[1]),
                               **CLOSE)
    pair = stack_pair("decoder", norm, activation, torch.double)
    check_gradients("decoder", pair, [target(torch.double), source(torch.double)], options)


class Both(nn.Module):
    """Encoder and decoder of the course in one, called as `nn.Transformer` is."""

    def __init__(self, norm, activation, final_norm):
        super().__init__()
        options = (N, C, H, D_FF, 0.0, activation, norm)
        self.encoder, self.decoder = Stack(EncoderBlock, *options), Stack(DecoderBlock, *options)
        if final_norm:
            self.encoder.norm, self.decoder.norm = nn.LayerNorm(C), nn.LayerNorm(C)

    def forward(self, source, target, source_mask, target_mask, memory_mask):
        return self.decoder(target, self.encoder(source, mask=source_mask), mask=target_mask, memory_mask=memory_mask)


def whole_pair(norm, activation, torchs_own, dtype=torch.float):
    """Both sides. torchs_own: `nn.Transformer` as it comes, which ends each stack with a norm in post-norm, too."""
    options = {"dim_feedforward": D_FF, "dropout": 0.0, "activation": activation, "batch_first": True,
               "norm_first": norm == "pre"}
    stacks = {} if torchs_own else {f"custom_{kind}": stack_pair(kind, norm, activation)[1]
                                    for kind in ("encoder", "decoder")}
    theirs = shaken(nn.Transformer(C, H, N, N, **options, **stacks), dtype)
    ours = Both(norm, activation, torchs_own or norm == "pre").to(dtype)
    copy_torch_stack(ours.encoder, theirs.encoder)
    copy_torch_stack(ours.decoder, theirs.decoder)
    return ours, theirs


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")      # torch says that pre-norm does without
@pytest.mark.parametrize("torchs_own", [True, False], ids=["as it comes", "without a norm after post-norm"])
@every_activation
@every_order
def test_encoder_and_decoder_and_their_gradients_equal_nn_transformer(norm, activation, torchs_own):
    padding = padding_mask(LENGTHS[S], S)
    combined = combine_masks(causal_mask(T), padding_mask(LENGTHS[T], T))
    of_torch = {"src_key_padding_mask": ~padding[:, 0, 0], "memory_key_padding_mask": ~padding[:, 0, 0],
                "tgt_key_padding_mask": torch.arange(T) >= LENGTHS[T].unsqueeze(1),
                "tgt_mask": nn.Transformer.generate_square_subsequent_mask(T).isinf()}
    ours, theirs = whole_pair(norm, activation, torchs_own)
    output = ours(source(), target(), padding, combined, padding)
    assert output.shape == (B, T, C)
    torch.testing.assert_close(output, theirs(source(), target(), **of_torch), **CLOSE)

    results = []
    pair = whole_pair(norm, activation, torchs_own, torch.double)
    for model, arguments, keywords in ((pair[0], (padding, combined, padding), {}), (pair[1], (), of_torch)):
        inputs = [source(torch.double).requires_grad_(), target(torch.double).requires_grad_()]
        loss = model(*inputs, *arguments, **keywords).sin().sum()
        gradients = torch.autograd.grad(loss, [*inputs, *model.parameters()])
        named = dict(zip((name for name, _ in model.named_parameters()), gradients[2:], strict=True))
        results.append((gradients[:2], named))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        torch.testing.assert_close(a, b, **EXACT)
    for name, expected in results[1][1].items():
        torch.testing.assert_close(ours_by_torchs_name(results[0][1], name, name.split(".")[0]), expected, **EXACT)


# ---------------------------------------------------------------- copying

def test_weights_are_copied_and_not_shared():
    ours, theirs = stack_pair("decoder", "pre", "relu")
    before = {name: parameter.clone() for name, parameter in theirs.state_dict().items()}
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.zero_()
    for name, parameter in theirs.state_dict().items():
        assert torch.equal(parameter, before[name]) and parameter.ne(0).any(), name


def test_what_does_not_fit_is_refused():
    encoder, decoder = nn.TransformerEncoderLayer(C, H, D_FF), nn.TransformerDecoderLayer(C, H, D_FF)
    for ours, theirs, message in (
            (EncoderBlock(C, H, D_FF), decoder, "different parts"),
            (DecoderBlock(C, H, D_FF), encoder, "different parts"),
            (EncoderBlock(C, H, D_FF + 1), encoder, "feed-forward networks differ in size"),
            (EncoderBlock(C, 1, D_FF), encoder, "d_model, heads, kdim, vdim, bias differ")):
        before = [parameter.clone() for parameter in ours.parameters()]
        with pytest.raises(ValueError, match=message) as error:
            copy_torch_block(ours, theirs)
        assert "\n" not in str(error.value)
        assert all(torch.equal(a, b) for a, b in zip(before, ours.parameters(), strict=True)), "nothing was copied"


@pytest.mark.parametrize(("n_layers", "norm", "last", "message"), [
    (N + 1, "post", None, "3 blocks here, 2 layers there"),
    (N, "post", nn.LayerNorm(C), "only one of the two ends with a layer norm"),
    (N, "pre", None, "only one of the two ends with a layer norm"),
])
def test_a_stack_that_does_not_fit_is_refused(n_layers, norm, last, message):
    theirs = nn.TransformerEncoder(nn.TransformerEncoderLayer(C, H, D_FF), N, last, enable_nested_tensor=False)
    with pytest.raises(ValueError, match=message):
        copy_torch_stack(Stack(EncoderBlock, n_layers, C, H, D_FF, norm=norm), theirs)


# ---------------------------------------------------------------- training

@pytest.mark.parametrize(("d_model", "warmup"), [(512, 4000), (64, 300), (1, 1), (128, 7)])
def test_the_schedule_equals_the_papers_formula(d_model, warmup):
    steps = np.arange(1, 4 * warmup + 2)
    expected = np.minimum(1 / np.sqrt(steps), steps / np.sqrt(float(warmup) ** 3)) / np.sqrt(d_model)
    rate = warmup_then_inverse_sqrt(d_model, warmup)
    found = np.array([rate(step - 1) for step in steps])
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.argmax() == warmup - 1
    np.testing.assert_allclose(found.max(), 1 / np.sqrt(d_model * warmup), rtol=1e-12)
    np.testing.assert_allclose(found[4 * warmup - 1], found.max() / 2, rtol=1e-12)      # four times as late, half


def test_the_schedule_drives_an_optimizer():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_then_inverse_sqrt(16, 3))
    rates = []
    for _ in range(12):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    expected = [min(step ** -0.5, step / 3 / 3 ** 0.5) / 4 for step in range(1, 13)]
    torch.testing.assert_close(torch.tensor(rates), torch.tensor(expected))


@pytest.mark.parametrize("ignore_index", [-100, 0, 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(S,), (B, T), (B, H, T)], ids=str)
def test_smoothed_cross_entropy_and_its_gradient_equal_torch(shape, smoothing, ignore_index):
    torch.manual_seed(5)
    V = 11
    logits = 3 * torch.randn(*shape, V, dtype=torch.double)
    targets = torch.randint(V, shape)
    targets.view(-1)[::3] = ignore_index
    results = []
    for of_torch in (False, True):
        scores = logits.clone().requires_grad_()
        if of_torch:
            loss = F.cross_entropy(scores.view(-1, V), targets.view(-1), label_smoothing=smoothing,
                                   ignore_index=ignore_index)
        else:
            loss = smoothed_cross_entropy(scores, targets, smoothing, ignore_index)
        results.append((loss, torch.autograd.grad(loss, scores)[0]))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **EXACT)
    assert results[0][1].flatten(0, -2)[::3].eq(0).all(), "tokens that do not count have no gradient"


def test_smoothed_cross_entropy_by_default_is_torchs_with_a_tenth():
    torch.manual_seed(6)
    logits, targets = torch.randn(B, T, S), torch.randint(S, (B, T))
    torch.testing.assert_close(smoothed_cross_entropy(logits, targets),
                               F.cross_entropy(logits.mT, targets, label_smoothing=0.1))
