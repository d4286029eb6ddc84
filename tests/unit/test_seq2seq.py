"""The encoder-decoder: what the decoder may know, teacher forcing, and clear errors."""

import pytest
import torch

from course_utils.models.recurrent import GRUCell, LSTMCell, RNNCell
from course_utils.models.seq2seq import EncoderDecoder

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
