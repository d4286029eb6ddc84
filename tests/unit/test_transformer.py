"""The Transformer: what may not change what, one step and many, parts taken out, pooling, and clear errors."""

import copy

import pytest
import torch
from torch import nn

from course_utils.decoding import beam_search, greedy_search
from course_utils.models.attention import attention_maps, causal_mask, padding_mask
from course_utils.models.transformer import (
    PARTS,
    Classifier,
    DecoderBlock,
    EncoderBlock,
    FeedForward,
    Residual,
    Stack,
    Transformer,
    layer_norm,
    scaled_embedding,
    without,
)

B, S, T, C, H, D_FF, N, V_SOURCE, V_TARGET = 3, 7, 5, 12, 2, 20, 2, 11, 13
SOS, EOS = 1, 2
LENGTHS = torch.tensor([7, 2, 4])
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
each_order = pytest.mark.parametrize("norm", ["post", "pre"])


def model(seed=0, **options):
    torch.manual_seed(seed)
    settings = {"d_model": C, "n_heads": H, "d_ff": D_FF, "n_layers": N, "max_length": 20, **options}
    return Transformer(V_SOURCE, V_TARGET, **settings).eval()


def batch():
    draw = torch.Generator().manual_seed(1)
    return torch.randint(4, V_SOURCE, (B, S), generator=draw), torch.randint(4, V_TARGET, (B, T), generator=draw)


def same_outputs(net, *others):
    source, inputs = batch()
    with torch.no_grad():
        return all(torch.equal(net(source, LENGTHS, inputs), other(source, LENGTHS, inputs)) for other in others)


# ---------------------------------------------------------------- what may not change what

@each_order
@pytest.mark.parametrize("place", range(T))
def test_a_token_changes_no_logits_before_it_and_all_from_it_on(norm, place):
    net, (source, inputs) = model(norm=norm), batch()
    state = net.encode(source, LENGTHS)
    before = net.decode(inputs, state.memory, state.memory_mask)
    for shift in range(1, V_TARGET, 3):
        changed = inputs.clone()
        changed[:, place] = (changed[:, place] + shift) % V_TARGET
        after = net.decode(changed, state.memory, state.memory_mask)
        torch.testing.assert_close(after[:, :place], before[:, :place])
        assert not torch.isclose(after[:, place:], before[:, place:]).all(-1).any()


@each_order
def test_source_padding_changes_nothing(norm):
    net, (source, inputs) = model(norm=norm), batch()
    expected, memory = net(source, LENGTHS, inputs), net.encode(source, LENGTHS).memory
    real = torch.arange(S) < LENGTHS.unsqueeze(1)
    for filler in (0, 9):
        padded = torch.full((B, S + 4), filler)
        padded[:, :S] = source.where(real, filler)
        torch.testing.assert_close(net(padded, LENGTHS, inputs), expected, **CLOSE)
        torch.testing.assert_close(net.encode(padded, LENGTHS).memory[:, :S][real], memory[real], **CLOSE)


def test_a_real_source_word_changes_every_logit_of_its_row_alone():
    net, (source, inputs) = model(), batch()
    before, changed = net(source, LENGTHS, inputs), source.clone()
    changed[2, 3] = (changed[2, 3] + 1) % V_SOURCE
    after = net(changed, LENGTHS, inputs)
    torch.testing.assert_close(after[:2], before[:2])
    assert not torch.isclose(after[2], before[2]).all(-1).any()


@each_order
def test_rows_of_a_batch_do_not_know_each_other(norm):
    net, (source, inputs) = model(norm=norm), batch()
    together = net(source, LENGTHS, inputs)
    for row in range(B):
        one = slice(row, row + 1)
        torch.testing.assert_close(net(source[one, :LENGTHS[row]], LENGTHS[one], inputs[one]), together[one], **CLOSE)


def test_the_order_of_the_words_counts_and_without_positions_the_encoder_does_not_see_it():
    net, (source, inputs) = model(), batch()
    turned, lengths = source.flip(1), torch.full((B,), S)
    assert not torch.allclose(net(source, lengths, inputs), net(turned, lengths, inputs), atol=1e-3)
    bare = without(net, "positions")
    torch.testing.assert_close(bare(source, lengths, inputs), bare(turned, lengths, inputs), **CLOSE)


# ---------------------------------------------------------------- one token at a time

@each_order
def test_steps_equal_the_parallel_pass(norm):
    net, (source, inputs) = model(norm=norm), batch()
    logits, state = net(source, LENGTHS, inputs), net.encode(source, LENGTHS)
    assert logits.shape == (B, T, V_TARGET) and state.tokens.shape == (B, 0)
    for t in range(T):
        scores, state = net.step(inputs[:, t], state)
        torch.testing.assert_close(scores, logits[:, t], **CLOSE)
    assert torch.equal(state.tokens, inputs)


def test_a_step_leaves_the_state_before_it_as_it_was():
    net, (source, inputs) = model(), batch()
    state = net.encode(source, LENGTHS)
    _, state = net.step(inputs[:, 0], state)
    kept = [part.clone() for part in state]
    ways = [net.step(torch.full((B,), token), state) for token in (4, 5)]      # two ways on from one state
    assert all(torch.equal(a, b) for a, b in zip(kept, state, strict=True))
    assert not torch.allclose(ways[0][0], ways[1][0])
    assert all(way.memory is state.memory and way.tokens.tolist() == [[first, token] for first in inputs[:, 0].tolist()]
               for (_, way), token in zip(ways, (4, 5), strict=True))


def decoded(net, source, lengths, limit=8, width=None):
    state = net.encode(source, lengths)
    if width is None:
        return greedy_search(net.step, state, len(source), SOS, EOS, limit)
    return beam_search(net.step, state, SOS, EOS, width, limit)


def written_slowly(net, source, lengths, limit):
    """Greedy decoding of one sentence as the definition says it: the whole model anew for each token."""
    tokens = [SOS]
    for _ in range(limit):
        token = int(net(source, lengths, torch.tensor([tokens]))[0, -1].argmax())
        if token == EOS:
            break
        tokens.append(token)
    return tokens[1:]


def writer(seed):
    """A model whose sentences end at different places, as its output layer leans towards <eos>."""
    net = model(seed, tied=False)
    with torch.no_grad():
        net.head.weight.mul_(3)
        net.head.bias[EOS] += 2
    return net


@pytest.mark.parametrize("seed", range(3))
def test_greedy_search_writes_what_the_definition_says(seed):
    net, (source, _) = writer(seed), batch()
    expected = [written_slowly(net, source[row:row + 1], LENGTHS[row:row + 1], 8) for row in range(B)]
    assert decoded(net, source, LENGTHS) == expected


def test_sentences_of_the_test_before_end_early_and_late():
    lengths = {len(row) for seed in range(3) for row in decoded(writer(seed), batch()[0], LENGTHS)}
    assert 8 in lengths and min(lengths) < 8


@pytest.mark.parametrize("seed", range(3))
def test_a_beam_of_one_is_greedy_and_a_wider_one_is_no_worse(seed):
    net, (source, _) = writer(seed), batch()
    for row in range(B):
        one, lengths = source[row:row + 1], LENGTHS[row:row + 1]
        [(ids, score)] = decoded(net, one, lengths, width=1)
        assert [ids] == decoded(net, one, lengths)
        wider = decoded(net, one, lengths, width=4)
        scores = [score for _, score in wider]
        assert len({tuple(ids) for ids, _ in wider}) == 4 and scores == sorted(scores, reverse=True)
        for ids, score in wider:                                # each with the probability of its own tokens
            assert score == pytest.approx(log_probability(net, one, lengths, ids, limit=8), abs=1e-4)


def log_probability(net, source, lengths, ids, limit):
    wanted = torch.tensor([*ids, EOS][:limit])
    with torch.no_grad():
        logits = net(source, lengths, torch.tensor([[SOS, *ids][:limit]]))
    return float(logits[0].log_softmax(-1).gather(1, wanted.unsqueeze(1)).sum())


@pytest.mark.parametrize("width", [None, 3])
def test_the_encoder_reads_once_and_decoding_stops_at_the_end_token(width):
    net, calls = model(tied=False), {"encoder": 0, "decoder": 0}
    for name in calls:
        def count(*_, name=name):
            calls[name] += 1
        getattr(net, name).register_forward_hook(count)
    with torch.no_grad():
        net.head.bias[EOS] += 100
    source = batch()[0][:1]
    found = decoded(net, source, LENGTHS[:1], 8, width)
    assert (found if width is None else found[0])[0] == []
    assert calls["encoder"] == 1 and 1 <= calls["decoder"] < 8
    with torch.no_grad():
        net.head.bias[EOS] -= 200
    calls.update(encoder=0, decoder=0)
    found = decoded(net, source, LENGTHS[:1], 8, width)
    assert len((found if width is None else found[0])[0]) == 8, "the limit ends a sentence that never does"
    assert calls == {"encoder": 1, "decoder": 8 if width is None else 1 + 7 * width}


# ---------------------------------------------------------------- training mode, weights

def test_dropout_acts_in_training_alone():
    net, (source, inputs) = model(dropout=0.3), batch()
    expected = model(dropout=0.0)(source, LENGTHS, inputs)                  # the same seed, so the same weights
    torch.testing.assert_close(net(source, LENGTHS, inputs), expected)
    net.train()
    one, other = net(source, LENGTHS, inputs), net(source, LENGTHS, inputs)
    assert not torch.allclose(one, expected) and not torch.allclose(one, other)


@pytest.mark.parametrize("part", ["dropout", "encoder.blocks.0.attention", "encoder.blocks.1.feed_forward",
                                  "encoder.blocks.0.around_attention", "decoder.blocks.0.self_attention",
                                  "decoder.blocks.1.cross_attention", "decoder.blocks.0.around_feed_forward"])
def test_each_place_of_dropout_acts(part):
    net, (source, inputs) = model(dropout=0.3), batch()
    expected = net(source, LENGTHS, inputs)
    net.get_submodule(part).train()
    assert not torch.allclose(net(source, LENGTHS, inputs), expected)


def test_tied_weights_are_one_parameter_and_its_gradients_sum():
    net, (source, inputs) = model(), batch()
    assert net.head.weight is net.target_embedding.weight
    assert model(tied=False).head.weight is not model(tied=False).target_embedding.weight
    counts = [sum(parameter.numel() for parameter in model(tied=tied).parameters()) for tied in (True, False)]
    assert counts[1] - counts[0] == V_TARGET * C

    apart = copy.deepcopy(net)
    apart.head.weight = nn.Parameter(net.head.weight.detach().clone())
    for one in (net, apart):
        one(source, LENGTHS, inputs).sin().sum().backward()
    both = apart.head.weight.grad + apart.target_embedding.weight.grad
    torch.testing.assert_close(net.head.weight.grad, both)
    assert apart.target_embedding.weight.grad.ne(0).any()


def test_every_weight_gets_a_gradient():
    net, (source, inputs) = model(), batch()
    net(source, LENGTHS, inputs).log_softmax(-1)[..., 4].sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        # softmax does not see what is added to all scores of a row: a key's bias has no gradient but rounding
        assert name.endswith("w_k.bias") or parameter.grad.abs().max() > 1e-6, name


def test_word_vectors_are_scaled_to_the_size_of_the_positions():
    torch.manual_seed(0)
    vectors = scaled_embedding(2000, 64).weight
    assert abs(vectors.norm(dim=1).mean() - 1) < 0.02
    net = model(d_model=64, n_heads=4)
    ids = torch.tensor([[3, 3, 5]])
    expected = net.source_embedding.weight[ids[0]] * 8 + net.positions.table[:3]
    torch.testing.assert_close(net.embed(ids, net.source_embedding)[0], expected)


def test_a_saved_model_comes_back():
    net, other = model(), model(seed=5)
    assert not same_outputs(net, other)
    other.load_state_dict(net.state_dict())
    assert same_outputs(net, other) and other.head.weight is other.target_embedding.weight


@each_order
def test_it_learns_to_turn_a_sequence_round(norm):
    torch.manual_seed(0)
    net = model(d_model=32, d_ff=64, norm=norm, dropout=0.0).train()
    source = torch.randint(4, V_SOURCE, (16, 4))
    inputs = torch.cat([torch.full((16, 1), SOS), source.flip(1)], dim=1)
    wanted = torch.cat([source.flip(1), torch.full((16, 1), EOS)], dim=1)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        logits = net(source, torch.full((16,), 4), inputs)
        nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten()).backward()
        optimizer.step()
    found = decoded(net.eval(), source, torch.full((16,), 4), limit=6)
    assert sum(row == list(reversed(words)) for row, words in zip(found, source.tolist(), strict=True)) >= 14


def test_16_bits_are_close_to_32():
    net, (source, inputs) = model(), batch()
    expected = net(source, LENGTHS, inputs).log_softmax(-1)
    logits = net.to(torch.bfloat16)(source, LENGTHS, inputs)
    assert logits.dtype == torch.bfloat16 and logits.isfinite().all()
    torch.testing.assert_close(logits.float().log_softmax(-1), expected, rtol=0, atol=0.15)
    assert decoded(net, source, LENGTHS)


# ---------------------------------------------------------------- parts taken out

@pytest.mark.parametrize("part", PARTS)
@each_order
def test_taking_a_part_out_changes_the_copy_alone(part, norm):
    net, (source, inputs) = model(norm=norm), batch()
    before, weights = net(source, LENGTHS, inputs), copy.deepcopy(net.state_dict())
    changed = without(net, part)
    assert not torch.allclose(changed(source, LENGTHS, inputs), before, atol=1e-3)
    assert torch.equal(net(source, LENGTHS, inputs), before)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.zero_()
    assert all(torch.equal(weights[name], tensor) for name, tensor in net.state_dict().items())


def test_tied_weights_stay_tied_in_a_copy():
    changed = without(model(), "mask")
    assert changed.head.weight is changed.target_embedding.weight


def test_nothing_taken_out_is_an_equal_copy():
    net = model()
    assert same_outputs(net, without(net)) and without(net) is not net


def test_without_the_mask_later_tokens_are_seen():
    net, (source, inputs) = without(model(), "mask"), batch()
    later = inputs.clone()
    later[:, -1] = (later[:, -1] + 1) % V_TARGET
    before, after = net(source, LENGTHS, inputs), net(source, LENGTHS, later)
    assert not torch.isclose(before[:, 0], after[:, 0]).all(-1).any()
    padded = source.where(torch.arange(S) < LENGTHS.unsqueeze(1), 0)
    torch.testing.assert_close(net(padded, LENGTHS, inputs), before)        # padding stays hidden


def by_hand(net, x, skip=True, norm=True):
    """The encoder's output for post-norm, without and with its frames."""
    for block in net.encoder.blocks:
        for frame, said in ((block.around_attention, lambda x, block=block: block.attention(x, x, x)[0]),
                            (block.around_feed_forward, block.feed_forward)):
            x = x + said(x) if skip else said(x)
            x = layer_norm(x, frame.norm.weight, frame.norm.bias) if norm else x
    return x


@pytest.mark.parametrize(("parts", "options"), [
    ((), {}), (("residual",), {"skip": False}), (("norm",), {"norm": False}),
    (("residual", "norm"), {"skip": False, "norm": False})], ids=str)
def test_residual_and_norm_are_really_out(parts, options):
    net, source = model(), batch()[0]
    expected = by_hand(net, net.embed(source, net.source_embedding), **options)
    torch.testing.assert_close(without(net, *parts).encode(source, torch.full((B,), S)).memory, expected, **CLOSE)


def test_without_norm_a_pre_norm_stack_has_no_final_norm():
    net = without(model(norm="pre"), "norm")
    source = batch()[0]
    expected = by_hand(net, net.embed(source, net.source_embedding), norm=False)
    torch.testing.assert_close(net.encode(source, torch.full((B,), S)).memory, expected, **CLOSE)
    assert expected.std(-1).max() > 1.5


def test_without_positions_a_word_is_the_same_at_every_place():
    net = without(model(), "positions")
    vectors = net.embed(torch.tensor([[5, 5, 5]]), net.target_embedding)
    assert torch.equal(vectors[0, 0], vectors[0, 2])
    assert not torch.allclose(*model().embed(torch.tensor([[5, 5]]), model().target_embedding)[0])


def test_parts_go_together_and_step_by_step():
    net = model()
    assert same_outputs(without(without(net, *PARTS), *PARTS), without(net, *PARTS, *PARTS))
    assert same_outputs(without(net, "mask", "norm", "residual"), without(without(net, "norm"), "residual", "mask"))


@pytest.mark.parametrize("parts", [("attention",), ("mask", "Norm"), (None,), ("",)], ids=str)
def test_an_unknown_part_is_refused(parts):
    with pytest.raises(ValueError, match="is none of 'positions', 'mask', 'residual', 'norm'"):
        without(model(), *parts)


# ---------------------------------------------------------------- blocks and stacks

@each_order
def test_a_stack_ends_with_a_norm_where_its_sum_was_never_normalised(norm):
    torch.manual_seed(0)
    stack, x = Stack(EncoderBlock, N, C, H, D_FF, norm=norm).eval(), 5 * torch.randn(B, T, C) + 2
    output = stack(x)
    torch.testing.assert_close(output.mean(-1), torch.zeros(B, T), rtol=0, atol=1e-5)      # gains 1 and biases 0
    torch.testing.assert_close(output.var(-1, correction=0), torch.ones(B, T), rtol=0, atol=1e-3)
    through = x
    for block in stack.blocks:
        through = block(through)
    if norm == "post":
        assert torch.equal(output, through)
    else:
        torch.testing.assert_close(output, layer_norm(through, torch.ones(C), torch.zeros(C)), **CLOSE)
        assert through.std() > 2


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_the_frame_adds_what_came_in(norm):
    frame, x = Residual(C, norm=norm), torch.randn(B, T, C)
    nothing = frame(x, torch.zeros_like)
    expected = x if norm == "pre" else layer_norm(x, torch.ones(C), torch.zeros(C))
    torch.testing.assert_close(nothing, expected)
    seen = []
    frame(x, lambda read: seen.append(read) or read)
    assert len(seen) == 1 and torch.equal(seen[0], x) == (norm == "post")


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_feed_forward_network_works_on_each_position_alone(activation):
    torch.manual_seed(0)
    network, x = FeedForward(C, D_FF, activation), torch.randn(B, T, C)
    changed = x.clone()
    changed[1, 3] += 1
    same = torch.isclose(network(x), network(changed)).all(-1)
    assert same.sum() == B * T - 1 and not same[1, 3]
    torch.testing.assert_close(network(x)[2, 4], network(x[2, 4]), **CLOSE)


def test_the_decoder_block_asks_the_target_and_reads_the_source():
    torch.manual_seed(0)
    block, x, memory = DecoderBlock(C, H, D_FF).eval(), torch.randn(B, T, C), torch.randn(B, S, C)
    seen = {}
    for name in ("self_attention", "cross_attention"):
        def keep(layer, inputs, options, output, name=name):
            seen[name] = inputs[:3]
        block.get_submodule(name).register_forward_hook(keep, with_kwargs=True)
    assert block(x, memory, causal_mask(T), padding_mask(LENGTHS, S)).shape == (B, T, C)
    assert all(torch.equal(given, x) for given in seen["self_attention"])
    query, key, value = seen["cross_attention"]
    assert torch.equal(key, memory) and torch.equal(value, memory)
    said = block.self_attention(x, x, x, causal_mask(T))[0]
    torch.testing.assert_close(query, block.around_self_attention.norm(x + said), **CLOSE)


# ---------------------------------------------------------------- one answer for a sentence

N_CLASSES = 4
each_pooling = pytest.mark.parametrize("pooling", ["mean", "cls"])


def classifier(pooling):
    torch.manual_seed(0)
    return Classifier(V_SOURCE, N_CLASSES, pooling, C, H, D_FF, N, max_length=20).eval()


@each_pooling
def test_a_classifier_gives_one_row_of_scores_whatever_the_padding(pooling):
    net, (source, _) = classifier(pooling), batch()
    scores = net(source, LENGTHS)
    assert scores.shape == (B, N_CLASSES) and net.pool(source, LENGTHS).shape == (B, C)
    padded = torch.full((B, S + 3), 9)
    padded[:, :S] = source.where(torch.arange(S) < LENGTHS.unsqueeze(1), 5)
    torch.testing.assert_close(net(padded, LENGTHS), scores, **CLOSE)
    for row in range(B):
        alone = net(source[row:row + 1, :LENGTHS[row]], LENGTHS[row:row + 1])
        torch.testing.assert_close(alone, scores[row:row + 1], **CLOSE)


def test_mean_pooling_is_the_mean_of_the_real_tokens():
    net, (source, _) = classifier("mean"), batch()
    vectors, real = net.encode(source, LENGTHS)
    assert vectors.shape == (B, S, C) and real.sum(1).tolist() == LENGTHS.tolist()
    by_hand = torch.stack([sum(vectors[row, :length]) / length for row, length in enumerate(LENGTHS.tolist())])
    torch.testing.assert_close(net.pool(source, LENGTHS), by_hand, **CLOSE)


def test_the_class_token_stands_in_front_and_every_word_reads_it():
    net, (source, _) = classifier("cls"), batch()
    vectors, real = net.encode(source, LENGTHS)
    assert vectors.shape == (B, S + 1, C) and real.sum(1).tolist() == (LENGTHS + 1).tolist()
    torch.testing.assert_close(net.pool(source, LENGTHS), vectors[:, 0])
    with torch.no_grad():
        net.cls += torch.randn(C)
    again, _ = net.encode(source, LENGTHS)
    assert not torch.isclose(again[real], vectors[real]).all(-1).any()


@each_pooling
def test_every_weight_of_a_classifier_gets_a_gradient(pooling):
    net, (source, _) = classifier(pooling), batch()
    net(source, LENGTHS).sin().sum().backward()
    unused = {name for name, parameter in net.named_parameters() if parameter.grad is None}
    assert unused == ({"cls"} if pooling == "mean" else set())


# ---------------------------------------------------------------- looking inside

def test_attention_maps_show_every_head_of_every_layer():
    net, (source, inputs) = model(), batch()
    maps = attention_maps(net, source, LENGTHS, inputs)
    expected = [f"encoder.blocks.{n}.attention" for n in range(N)]
    expected += [f"decoder.blocks.{n}.{kind}_attention" for n in range(N) for kind in ("self", "cross")]
    assert [name for name, _ in maps] == expected
    for name, weights in maps:
        queries, keys = {"attention": (S, S), "self_attention": (T, T), "cross_attention": (T, S)}[name.split(".")[-1]]
        assert weights.shape == (B, H, queries, keys)
        torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, queries))
        if name.endswith("self_attention"):
            assert torch.equal(weights == 0, ~causal_mask(T).expand(B, H, T, T))
        else:
            assert torch.equal(weights == 0, ~padding_mask(LENGTHS, S).expand_as(weights))


def test_looking_inside_changes_nothing_and_gives_the_weights_of_that_pass():
    net, (source, inputs) = model(), batch()
    before = net(source, LENGTHS, inputs)
    maps = dict(attention_maps(net, source, LENGTHS, inputs))
    assert torch.equal(net(source, LENGTHS, inputs), before)
    block = net.encoder.blocks[0]
    x = net.embed(source, net.source_embedding)
    expected = block.attention(x, x, x, padding_mask(LENGTHS, S))[1]
    torch.testing.assert_close(maps["encoder.blocks.0.attention"], expected)
    assert not any(isinstance(value, torch.Tensor) for value in vars(block.attention).values())


# ---------------------------------------------------------------- clear errors

@pytest.mark.parametrize(("change", "message"), [
    ({"source": torch.full((B, S), V_SOURCE)}, "source ids go from 11 to 11"),
    ({"source": torch.zeros(B, 0, dtype=torch.long)}, "source ids of shape"),
    ({"source": torch.ones(S, dtype=torch.long)}, "source ids of shape"),
    ({"source": torch.ones(B, 21, dtype=torch.long)}, "a sequence of 21 words, but positions for 20"),
    ({"decoder_input": torch.ones(B, 21, dtype=torch.long)}, "a sequence of 21 words, but positions for 20"),
    ({"decoder_input": torch.full((B, T), -1)}, "target ids go from -1"),
    ({"decoder_input": torch.zeros(B, 0, dtype=torch.long)}, "target ids of shape"),
    ({"decoder_input": torch.ones(2, T, dtype=torch.long)}, "2 rows of target ids for a batch of 3"),
    ({"lengths": torch.tensor([1, 2, 8])}, "whole numbers from 0 to T=7"),
    ({"lengths": torch.tensor([1.0, 2.0, 3.0])}, "whole numbers from 0 to T=7"),
    ({"lengths": torch.tensor([1, 2])}, "3 rows of source ids for a batch of 2"),
    ({"lengths": torch.tensor([7])}, "3 rows of source ids for a batch of 1"),          # would fit every row
    ({"lengths": torch.tensor([[7], [2], [4]])}, "whole numbers from 0 to T=7"),
])
def test_bad_input_is_one_clear_line(change, message):
    source, inputs = batch()
    with pytest.raises(ValueError, match=message) as error:
        model()(**{"source": source, "lengths": LENGTHS, "decoder_input": inputs, **change})
    assert "\n" not in str(error.value)


def one_step(tokens):
    net = model()
    return net.step(tokens, net.encode(batch()[0], LENGTHS))


@pytest.mark.parametrize(("make", "message"), [
    (lambda: model(n_heads=5), "d_model=12 is not divisible by n_heads=5"),
    (lambda: model(n_layers=0), "n_layers=0 must be a whole number"),
    (lambda: model(d_ff=0), "d_ff=0 must be a whole number"),
    (lambda: model(d_model=15, n_heads=3), "d_model=15 is odd"),
    (lambda: model(max_length=0), "T=0 must be a whole number"),
    (lambda: model(norm="middle"), "norm='middle' is none of 'post', 'pre'"),
    (lambda: model(activation="tanh"), "activation='tanh' is none of 'relu', 'gelu'"),
    (lambda: model(activation=["relu"]), r"activation=\['relu'\] is none of 'relu', 'gelu'"),
    (lambda: classifier("max"), "pooling='max' is none of 'mean', 'cls'"),
    (lambda: EncoderBlock(C, 5, D_FF), "not divisible by n_heads=5"),
    (lambda: DecoderBlock(C, H, D_FF, norm=None), "norm=None is none of"),
    (lambda: FeedForward(0, 3), "d_model=0 must be a whole number"),
    (lambda: FeedForward(3, 2.5), "d_ff=2.5 must be a whole number"),
    (lambda: Residual(C, norm="none"), "norm='none' is none of"),
    (lambda: EncoderBlock(C, H, D_FF)(torch.randn(B, T, C + 1)), r"shape \(B, T, 12\)"),
    (lambda: EncoderBlock(C, H, D_FF)(torch.randn(B, T, C), torch.ones(T, T)), "boolean tensor"),
    (lambda: EncoderBlock(C, H, D_FF)(torch.randn(B, T, C), causal_mask(S)), "does not fit scores"),
    (lambda: DecoderBlock(C, H, D_FF)(torch.randn(B, T, C), torch.randn(2, S, C)), "must share B"),
    (lambda: classifier("cls")(torch.ones(B, 20, dtype=torch.long), torch.full((B,), 20)),
     "a sequence of 21 words, but positions for 20"),
    (lambda: classifier("cls")(batch()[0], [8, 2, 4]), "whole numbers from 0 to T=7, got"),
    (lambda: classifier("cls")(batch()[0], [7, 0, 4]), r"at least one token, got lengths \[7, 0, 4\]"),
    (lambda: classifier("mean")(batch()[0], torch.tensor([7])), "3 rows of input ids for a batch of 1"),
    (lambda: one_step(torch.ones(2, dtype=torch.long)), r"tokens of shape \(2,\) for a state of 3 sentences"),
    (lambda: one_step(torch.ones(B, 1, dtype=torch.long)), r"tokens of shape \(3, 1\) for a state of 3 sentences"),
    (lambda: one_step(torch.tensor(1)), r"tokens of shape \(\) for a state of 3 sentences"),
    (lambda: without(classifier("mean"), "mask"), "this Classifier has no part 'mask'"),
    (lambda: without(Stack(EncoderBlock, N, C, H, D_FF), "norm", "positions"), "this Stack has no part 'positions'"),
    (lambda: without(nn.Linear(2, 2), "norm"), "this Linear has no part 'norm'"),
])
def test_what_cannot_be_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
