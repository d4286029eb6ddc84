"""GPT: no look ahead, the context's end, the cache, how weights start, next-token loss, GPT-1's tasks, clear errors."""

import dataclasses

import pytest
import torch
from torch import nn

from course_utils.models.gpt import GPT, GPT1, GPT2, GPTConfig, GPTTask, cache_bytes, cached_length, causal_loss

B, T, V, C, H, N, LONGEST = 3, 7, 23, 12, 2, 3, 11
CONFIG = GPTConfig(V, C, H, n_layers=N, max_length=LONGEST)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
each_norm = pytest.mark.parametrize("norm", ["pre", "post"])


def model(norm="pre"):
    """A model whose weights are larger than at the start, so that every part moves the result."""
    torch.manual_seed(0)
    net = GPT(dataclasses.replace(CONFIG, norm=norm))
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(0.3 * torch.randn_like(weight))
    return net.eval()


def batch():
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(1))


def one_line(error):
    return "\n" not in str(error.value) and len(str(error.value)) > 10


# ---------------------------------------------------------------- what may not change what


@each_norm
@pytest.mark.parametrize("place", range(T))
def test_a_token_changes_no_score_before_it_and_all_from_it_on(norm, place):
    net, ids = model(norm), batch()
    changed = ids.clone()
    changed[0, place] = (ids[0, place] + 1) % V
    for before, after in zip(net.hidden_states(ids), net.hidden_states(changed), strict=True):
        torch.testing.assert_close(after[0, :place], before[0, :place])
        torch.testing.assert_close(after[1:], before[1:])
    before, after = net(ids), net(changed)
    torch.testing.assert_close(after[0, :place], before[0, :place])
    assert not torch.isclose(after[0, place:], before[0, place:]).all(-1).any()


@each_norm
def test_states_scores_and_shapes_belong_together(norm):
    net, ids = model(norm), batch()
    states, logits = net.hidden_states(ids), net(ids)
    assert len(states) == N + 1 and {tuple(state.shape) for state in states} == {(B, T, C)}
    torch.testing.assert_close(net.hidden(ids), states[-1])
    torch.testing.assert_close(logits, states[-1] @ net.words.weight.T, **CLOSE)        # the table once more, no bias
    assert logits.shape == (B, T, V)
    assert [tuple(value.shape) for value in net.state_dict().values()].count((V, C)) == 1


def test_the_same_token_at_two_places_gets_two_states():
    state = model().hidden(torch.full((1, T), 5))[0]
    assert not torch.isclose(state[1:], state[:-1]).all(-1).any()


def test_dropout_acts_in_training_only():
    net, ids = model(), batch()
    assert torch.equal(net(ids), net(ids))
    net.train()
    assert not torch.allclose(net(ids), net(ids), atol=1e-2)


# ---------------------------------------------------------------- the context and the cache


def test_the_context_is_the_limit_and_one_token_more_is_refused():
    net = model()
    assert net(torch.zeros(1, LONGEST, dtype=torch.long)).shape == (1, LONGEST, V)
    with pytest.raises(ValueError, match="12 tokens, but the model's context is 11"):
        net(torch.zeros(1, LONGEST + 1, dtype=torch.long))


def test_the_limit_counts_what_the_cache_has_seen_and_the_cache_stays_as_it_was():
    net, ids = model(), batch()
    cache = net.new_cache()
    net(ids, cache)
    kept = [{name: tensor.clone() for name, tensor in block.items()} for block in cache]
    with pytest.raises(ValueError, match="12 tokens, but the model's context is 11"):
        net(ids[:, :5], cache)
    assert cached_length(cache) == T
    for block, before in zip(cache, kept, strict=True):
        assert all(torch.equal(block[name], before[name]) for name in before)
    net(ids[:, :4], cache)
    assert cached_length(cache) == LONGEST


def test_a_cache_starts_empty_grows_by_what_is_read_and_belongs_to_its_caller():
    net, ids = model(), batch()
    cache, other = net.new_cache(), net.new_cache()
    assert len(cache) == N and cached_length(cache) == cached_length(None) == cache_bytes(cache) == 0
    net(ids[:, :4], cache)
    net(ids[:, 4:5], cache)
    assert cached_length(cache) == 5 and cached_length(other) == 0
    assert {tuple(tensor.shape) for block in cache for tensor in block.values()} == {(B, H, 5, C // H)}


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 4), (torch.float64, 8), (torch.bfloat16, 2)], ids=str)
def test_a_cache_holds_keys_and_values_of_every_block_and_nothing_more(dtype, size):
    net = model().to(dtype)
    cache = net.new_cache()
    net(batch(), cache)
    assert cache_bytes(cache) == 2 * N * B * T * C * size        # keys and values; H heads of C / H features


@pytest.mark.parametrize("rows", [1, B - 1, B + 1])
def test_a_cache_of_another_batch_is_refused_and_left_as_it_was(rows):
    net, cache = model(), model().new_cache()
    net(batch(), cache)
    with pytest.raises(ValueError) as error:
        net(torch.zeros(rows, 1, dtype=torch.long), cache)
    assert one_line(error) and cached_length(cache) == T


@pytest.mark.parametrize("blocks", [1, N + 1])
def test_a_cache_of_another_model_is_refused_and_left_as_it_was(blocks):
    cache = [{} for _ in range(blocks)]
    with pytest.raises(ValueError) as error:
        model()(batch(), cache)
    assert one_line(error) and cached_length(cache) == 0


# ---------------------------------------------------------------- how the weights start


@pytest.mark.parametrize("layers", [1, 2, 8])
def test_the_layers_that_end_a_sublayer_start_smaller_in_every_block_alike(layers):
    torch.manual_seed(0)
    net = GPT(GPTConfig(100, 64, 4, n_layers=layers, max_length=50))
    for block in net.blocks:
        for layer in (block.attention.w_o, block.feed_forward.w_2):
            assert 0.93 < layer.weight.std() / (0.02 / (2 * layers) ** 0.5) < 1.07
        for layer in (block.attention.w_q, block.attention.w_k, block.attention.w_v, block.feed_forward.w_1):
            assert 0.93 < layer.weight.std() / 0.02 < 1.07
    for table in (net.words, net.positions):
        assert 0.93 < table.weight.std() / 0.02 < 1.07
    assert all((part.bias == 0).all() for part in net.modules() if isinstance(part, nn.Linear))


def test_without_scaling_all_start_alike():
    torch.manual_seed(0)
    net = GPT(GPTConfig(100, 64, 4, n_layers=4, max_length=50, scale_residuals=False, init_std=0.1))
    spreads = [part.weight.std() for part in net.modules() if isinstance(part, (nn.Linear, nn.Embedding))]
    assert len(spreads) == 2 + 6 * 4 and all(0.093 < spread < 0.107 for spread in spreads)


def test_a_new_model_expects_every_token_about_alike():
    torch.manual_seed(0)
    ids = batch()
    loss = causal_loss(GPT(CONFIG).eval()(ids), ids)
    assert abs(loss - torch.tensor(float(V)).log()) < 0.2


def test_the_configurations_are_those_of_the_papers_and_cannot_be_changed():
    assert (GPT1.norm, GPT1.max_length, GPT1.n_layers, GPT1.d_model) == ("post", 512, 12, 768)
    assert (GPT2.norm, GPT2.max_length, GPT2.vocab_size) == ("pre", 1024, 50257)
    with pytest.raises(dataclasses.FrozenInstanceError):
        GPT2.n_layers = 2
    assert GPT(CONFIG).blocks[0].feed_forward.w_1.out_features == 4 * C
    assert GPT(dataclasses.replace(CONFIG, d_ff=5)).blocks[0].feed_forward.w_1.out_features == 5


# ---------------------------------------------------------------- the loss


def loss_in_a_loop(logits, ids, ignored=None):
    found = []
    for row in range(len(ids)):
        for t in range(ids.shape[1] - 1):
            if ids[row, t + 1] != ignored:
                found.append(-logits[row, t].log_softmax(-1)[ids[row, t + 1]])
    return sum(found) / len(found)


def test_the_loss_is_the_mean_over_every_token_after_the_first():
    logits, ids = torch.randn(B, T, V), batch()
    torch.testing.assert_close(causal_loss(logits, ids), loss_in_a_loop(logits, ids), **CLOSE)
    changed, other = logits.clone(), ids.clone()
    changed[:, -1], other[:, 0] = 99.0, (ids[:, 0] + 1) % V              # without a partner
    torch.testing.assert_close(causal_loss(changed, other), causal_loss(logits, ids))


@pytest.mark.parametrize("ignored", [-100, 0])
def test_ignored_tokens_have_no_part_in_the_mean(ignored):
    logits, ids = torch.randn(B, T, V), batch().clamp(min=1)
    ids[1, 3:], ids[2, 1] = ignored, ignored
    expected = loss_in_a_loop(logits, ids, ignored)
    torch.testing.assert_close(causal_loss(logits, ids, ignore_index=ignored), expected, **CLOSE)


def test_a_single_token_has_no_next_one_and_the_loss_is_no_nan():
    with pytest.raises(ValueError) as error:
        causal_loss(torch.randn(B, 1, V), batch()[:, :1])
    assert one_line(error)


@pytest.mark.parametrize("shape", [(B, T - 1), (B - 1, T), (B, T + 1)], ids=str)
def test_a_loss_of_scores_and_ids_that_do_not_fit_is_refused(shape):
    with pytest.raises(ValueError):
        causal_loss(torch.randn(B, T, V), torch.zeros(shape, dtype=torch.long))


# ---------------------------------------------------------------- GPT-1's tasks

LENGTHS = torch.tensor([7, 2, 5])


def task(outputs=4):
    net = GPTTask(model(), outputs)
    nn.init.normal_(net.head.weight)
    return net.eval()


def test_a_task_reads_the_last_real_token():
    net, ids = task(), batch()
    scores, logits = net(ids, LENGTHS)
    states = net.gpt.hidden(ids)
    expected = torch.stack([net.head(states[row, length - 1]) for row, length in enumerate(LENGTHS)])
    torch.testing.assert_close(scores, expected, **CLOSE)
    torch.testing.assert_close(logits, net.gpt(ids), **CLOSE)
    torch.testing.assert_close(net(ids, LENGTHS.tolist())[0], scores)                   # a list will do


@pytest.mark.parametrize("filler", [0, 9])
@pytest.mark.parametrize("more", [0, 3])
def test_padding_does_not_move_a_task(filler, more):
    net, ids = task(), batch()
    real = torch.arange(T) < LENGTHS.unsqueeze(1)
    padded = torch.full((B, T + more), filler)
    padded[:, :T] = ids.where(real, filler)
    (scores, logits), (after, logits_after) = net(ids, LENGTHS), net(padded, LENGTHS)
    torch.testing.assert_close(after, scores, **CLOSE)
    torch.testing.assert_close(logits_after[:, :T][real], logits[real], **CLOSE)


def test_every_real_token_of_its_row_moves_a_task():
    net, ids = task(), batch()
    before, _ = net(ids, LENGTHS)
    for place in range(LENGTHS[2]):
        changed = ids.clone()
        changed[2, place] = (ids[2, place] + 1) % V
        after, _ = net(changed, LENGTHS)
        torch.testing.assert_close(after[:2], before[:2])
        assert not torch.allclose(after[2], before[2], atol=1e-4)


@pytest.mark.parametrize("lengths", [[7, 2, 8], [7, 0, 2], [7, -1, 2], [7, 2], [4], 4, [7.0, 2.0, 5.0]], ids=str)
def test_lengths_that_do_not_fit_a_task_are_refused(lengths):
    with pytest.raises(ValueError) as error:
        task()(batch(), lengths)
    assert one_line(error)


@pytest.mark.parametrize("outputs", [0, -1, 1.5])
def test_a_task_without_outputs_is_refused(outputs):
    with pytest.raises(ValueError, match=f"n_outputs={outputs}"):
        GPTTask(model(), outputs)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("name", ["vocab_size", "d_model", "n_heads", "d_ff", "n_layers", "max_length"])
@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_sizes_that_cannot_be_are_refused(name, size):
    with pytest.raises(ValueError, match=name) as error:
        GPT(dataclasses.replace(CONFIG, **{name: size}))
    assert one_line(error)


@pytest.mark.parametrize(("changed", "message"), [
    ({"n_heads": 5}, "d_model=12 is not divisible by n_heads=5"), ({"norm": "middle"}, "norm='middle' is none of"),
    ({"activation": "tanh"}, "activation='tanh' is none of"), ({"dropout": 2.0}, "dropout")], ids=str)
def test_settings_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        GPT(dataclasses.replace(CONFIG, **changed))


@pytest.mark.parametrize("ids", [
    torch.full((2, 3), V), torch.full((2, 3), -1), torch.zeros(2, 3), torch.zeros(3, dtype=torch.long),
    torch.zeros(0, 3, dtype=torch.long), torch.zeros(3, 0, dtype=torch.long),
], ids=lambda ids: f"{tuple(ids.shape)} {ids.dtype}")
def test_ids_that_cannot_be_are_refused(ids):
    for read in (model(), model().hidden_states, lambda ids: task()(ids, [1] * len(ids))):
        with pytest.raises(ValueError) as error:
            read(ids)
        assert one_line(error)
