"""The encoder-decoder, without and with attention: what the decoder may know, teacher forcing, and clear errors."""

import pytest
import torch

from course_utils.decoding import beam_search, greedy_search
from course_utils.models.recurrent import GRUCell, LSTMCell, RNNCell
from course_utils.models.seq2seq import EncoderDecoder, Seq2Seq

B, S, T, V_SOURCE, V_TARGET = 3, 6, 5, 11, 13
LENGTHS = torch.tensor([6, 2, 4])


def model(cell=GRUCell, num_layers=1):
    torch.manual_seed(0)
    return EncoderDecoder(V_SOURCE, V_TARGET, 7, 8, cell, num_layers)


def batch():
    draw = torch.Generator().manual_seed(1)
    return torch.randint(4, V_SOURCE, (B, S), generator=draw), torch.randint(4, V_TARGET, (B, T), generator=draw)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("cell", [RNNCell, LSTMCell, GRUCell])
def test_steps_equal_the_forced_pass(cell, num_layers):
    net, (source, inputs) = model(cell, num_layers), batch()
    logits = net(source, LENGTHS, inputs)
    assert logits.shape == (B, T, V_TARGET)
    state = net.encode(source, LENGTHS)
    for t in range(T):
        scores, state = net.step(inputs[:, t], state)
        torch.testing.assert_close(scores, logits[:, t])


def test_source_padding_and_later_inputs_change_nothing_before():
    net, (source, inputs) = model(), batch()
    before = net(source, LENGTHS, inputs)
    padded, later = source.clone(), inputs.clone()
    padded[1, 2:], later[:, 3:] = 5, 6
    torch.testing.assert_close(net(padded, LENGTHS, inputs), before)
    after = net(source, LENGTHS, later)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert not torch.allclose(after[:, 3:], before[:, 3:])


def test_the_decoder_knows_the_source_only_through_the_state():
    net, (source, _) = model(), batch()
    state = net.encode(source, LENGTHS)
    assert state.shape == (1, B, 8)                              # the same size for two and for six words


def test_without_teacher_forcing_each_step_reads_the_models_own_last_choice():
    net, (source, inputs) = model(), batch()
    free = net(source, LENGTHS, inputs, teacher_forcing=0.0)
    own = torch.cat([inputs[:, :1], free.argmax(-1)[:, :-1]], 1)
    torch.testing.assert_close(free, net(source, LENGTHS, own))
    assert not torch.equal(own, inputs)


def test_a_ratio_between_mixes_both_and_is_repeatable():
    net = model()
    source, inputs = torch.randint(4, V_SOURCE, (200, S)), torch.randint(4, V_TARGET, (200, T))
    lengths = torch.full((200,), S)
    forced, free = net(source, lengths, inputs), net(source, lengths, inputs, teacher_forcing=0.0)
    mixed = net(source, lengths, inputs, 0.5, torch.Generator().manual_seed(3))
    torch.testing.assert_close(mixed, net(source, lengths, inputs, 0.5, torch.Generator().manual_seed(3)))
    second = mixed[:, 1]                                         # after one coin a row is either forced or free
    as_forced, as_free = (torch.isclose(second, other[:, 1]).all(-1) for other in (forced, free))
    assert (as_forced | as_free).all() and 60 < as_forced.sum() < 140


@pytest.mark.parametrize(("change", "message"), [
    ({"teacher_forcing": 1.5}, "teacher_forcing=1.5 is not between 0 and 1"),
    ({"teacher_forcing": -0.1}, "is not between 0 and 1"),
    ({"source": torch.zeros(B, 0, dtype=torch.long)}, "source ids of shape"),
    ({"source": torch.full((B, S), V_SOURCE)}, "source ids go from 11 to 11"),
    ({"decoder_input": torch.full((B, T), -1)}, "target ids go from -1"),
    ({"decoder_input": torch.zeros(B, dtype=torch.long)}, "target ids of shape"),
    ({"lengths": torch.tensor([0, 1, 2])}, "numbers from 1 to T=6"),
    ({"decoder_input": torch.ones(2, T, dtype=torch.long)}, "2 rows of target ids for a batch of 3"),
    ({"source": torch.ones(0, S, dtype=torch.long)}, "B, T >= 1"),
])
def test_bad_input_is_one_clear_sentence(change, message):
    source, inputs = batch()
    arguments = {"source": source, "lengths": LENGTHS, "decoder_input": inputs, **change}
    with pytest.raises(ValueError, match=message) as error:
        model()(**arguments)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------- with attention

ATTENTIONS = ["dot", "general", "concat", "additive"]
every_attention = pytest.mark.parametrize("attention", ATTENTIONS)
one_and_two_directions = pytest.mark.parametrize("bidirectional", [False, True])


def attending(attention, cell=GRUCell, num_layers=1, bidirectional=False):
    torch.manual_seed(0)
    return Seq2Seq(V_SOURCE, V_TARGET, 7, 8, cell, num_layers, attention, bidirectional)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("cell", [RNNCell, LSTMCell, GRUCell])
def test_without_attention_it_is_an_encoder_decoder(cell, num_layers):
    plain, net, (source, inputs) = model(cell, num_layers), attending(None, cell, num_layers), batch()
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    net.load_state_dict(plain.state_dict())
    for forcing in (1.0, 0.0):
        expected = plain(source, LENGTHS, inputs, forcing)
        torch.testing.assert_close(net(source, LENGTHS, inputs, forcing), expected)
    assert expected.std() > 0.01


@one_and_two_directions
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("cell", [RNNCell, LSTMCell, GRUCell])
@pytest.mark.parametrize("attention", [None, *ATTENTIONS])
def test_steps_with_attention_equal_the_forced_pass(attention, cell, num_layers, bidirectional):
    net, (source, inputs) = attending(attention, cell, num_layers, bidirectional), batch()
    logits = net(source, LENGTHS, inputs)
    assert logits.shape == (B, T, V_TARGET)
    state = net.encode(source, LENGTHS)
    for t in range(T):
        again, _ = net.step(inputs[:, t], state)                 # a step does not change what it is given
        scores, state = net.step(inputs[:, t], state)
        torch.testing.assert_close(scores, logits[:, t])
        assert torch.equal(again, scores)


@one_and_two_directions
@pytest.mark.parametrize("cell", [LSTMCell, GRUCell])
def test_both_directions_make_a_context_as_wide_as_one(cell, bidirectional):
    net, (source, _) = attending("dot", cell, 2, bidirectional), batch()
    memory = net.encode(source, LENGTHS)
    hidden = memory.hidden if cell is LSTMCell else (memory.hidden,)
    assert all(part.shape == (2, B, 8) for part in hidden) and memory.keys.shape == (B, S, 8)
    assert memory.mask.tolist() == [[[s < length for s in range(S)]] for length in LENGTHS]
    forward_end = memory.keys[torch.arange(B), LENGTHS - 1]      # the last layer's output at the last real word
    half = 4 if bidirectional else 8
    torch.testing.assert_close(hidden[0][-1][:, :half], forward_end[:, :half])
    torch.testing.assert_close(hidden[0][-1][:, half:], memory.keys[:, 0, half:])     # backwards: at the first word


@every_attention
@one_and_two_directions
def test_an_alignment_spreads_one_over_the_real_words(attention, bidirectional):
    net, (source, inputs) = attending(attention, LSTMCell, 2, bidirectional), batch()
    weights = net.alignment(source, LENGTHS, inputs)
    assert weights.shape == (B, T, S)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, T))
    for row, length in zip(weights, LENGTHS, strict=True):
        assert (row[:, :length] > 0).all() and (row[:, length:] == 0).all()
    assert weights[0].std(-1).max() > 1e-4, "not all words get the same"


@pytest.mark.parametrize("attention", [None, *ATTENTIONS])
@one_and_two_directions
def test_padding_in_the_source_changes_nothing(attention, bidirectional):
    net, (source, inputs) = attending(attention, GRUCell, 2, bidirectional), batch()
    logits, padded = net(source, LENGTHS, inputs), source.clone()
    padded[1, 2:], padded[2, 4:] = 5, 9
    assert not torch.equal(padded, source)
    torch.testing.assert_close(net(padded, LENGTHS, inputs), logits)
    wider = torch.cat([source, torch.full((B, 4), 3)], 1)
    torch.testing.assert_close(net(wider, LENGTHS, inputs), logits)
    for b, length in enumerate(LENGTHS.tolist()):
        alone = net(source[b:b + 1, :length], LENGTHS[b:b + 1], inputs[b:b + 1])
        torch.testing.assert_close(alone, logits[b:b + 1])
    if attention:
        torch.testing.assert_close(net.alignment(padded, LENGTHS, inputs), net.alignment(source, LENGTHS, inputs))


@every_attention
def test_a_word_changes_luongs_weights_at_once_and_bahdanaus_one_step_later(attention):
    """Luong asks with the new state, which has read y_t; Bahdanau with the previous one, which has not."""
    net, (source, inputs), changed = attending(attention), batch(), 2
    other = inputs.clone()
    other[:, changed] = (inputs[:, changed] - 4 + 1) % (V_TARGET - 4) + 4
    before, after = (net.alignment(source, LENGTHS, ids) for ids in (inputs, other))
    first = changed + 1 if attention == "additive" else changed
    assert torch.equal(before[:, :first], after[:, :first])
    assert not torch.isclose(before[:, first:], after[:, first:], atol=1e-7).all(-1).any()
    logits, logits_after = (net(source, LENGTHS, ids) for ids in (inputs, other))
    torch.testing.assert_close(logits_after[:, :changed], logits[:, :changed])
    assert not torch.isclose(logits_after[:, changed:], logits[:, changed:]).all(-1).any()


@every_attention
def test_every_source_word_gets_a_gradient_from_the_first_step(attention):
    net, (source, inputs) = attending(attention), batch()
    memory = net.encode(source, LENGTHS)
    memory = memory._replace(keys=memory.keys.detach().requires_grad_())
    logits, _ = net.step(inputs[:, 0], memory)
    gradient, = torch.autograd.grad(logits.sin().sum(), memory.keys)
    assert gradient.ne(0).any(-1).tolist() == [[s < length for s in range(S)] for length in LENGTHS]


@every_attention
def test_with_attention_free_running_reads_the_models_own_last_choice(attention):
    net, (source, inputs) = attending(attention), batch()
    free = net(source, LENGTHS, inputs, teacher_forcing=0.0)
    own = torch.cat([inputs[:, :1], free.argmax(-1)[:, :-1]], 1)
    torch.testing.assert_close(free, net(source, LENGTHS, own))
    assert not torch.equal(own, inputs)


@every_attention
@one_and_two_directions
def test_searches_write_the_same_in_a_batch_and_alone(attention, bidirectional):
    net, (source, _) = attending(attention, LSTMCell, 1, bidirectional), batch()
    together = greedy_search(net.step, net.encode(source, LENGTHS), B, 1, 2, limit=6)
    for b, length in enumerate(LENGTHS.tolist()):
        state = net.encode(source[b:b + 1, :length], LENGTHS[b:b + 1])
        assert greedy_search(net.step, state, 1, 1, 2, limit=6) == together[b:b + 1]
        (ids, _), = beam_search(net.step, state, 1, 2, width=1, limit=6)
        assert ids == together[b]


@pytest.mark.parametrize(("attention", "more"), [
    ("dot", 2 * 8 * 8), ("general", 3 * 8 * 8), ("concat", 4 * 8 * 8 + 8),
    ("additive", 2 * 8 * 8 + (2 * 8 * 8 + 8 + 8) + 3 * 8 * 8),    # the layer after, the score, and a GRU's wider input
])
def test_what_attention_costs_in_weights(attention, more):
    counts = [sum(parameter.numel() for parameter in attending(kind).parameters()) for kind in (attention, None)]
    assert counts[0] - counts[1] == more


@pytest.mark.parametrize(("make", "message"), [
    (lambda: attending("cosine"), "score='cosine' is none of 'dot', 'general', 'concat'"),
    (lambda: Seq2Seq(5, 6, 4, 7, attention="dot", bidirectional=True), "hidden_size=7 is odd"),
    (lambda: attending(None).alignment(batch()[0], LENGTHS, batch()[1]), "attention=None has no alignment"),
    (lambda: attending("dot").alignment(batch()[0], LENGTHS, batch()[1][:2]), "2 rows of target ids for a batch of 3"),
    (lambda: attending("additive").alignment(batch()[0], LENGTHS, batch()[1][:, :0]), "target ids of shape"),
    (lambda: attending("additive").alignment(batch()[0] + 9, LENGTHS, batch()[1]), "source ids go from"),
    (lambda: attending("general").alignment(batch()[0], LENGTHS + 1, batch()[1]), "numbers from 1 to T=6"),
    (lambda: attending("concat")(batch()[0], LENGTHS, batch()[1] + 9), "target ids go from"),
    (lambda: attending("additive")(batch()[0], LENGTHS, batch()[1], teacher_forcing=2), "not between 0 and 1"),
])
def test_what_does_not_fit_attention_is_one_clear_sentence(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
