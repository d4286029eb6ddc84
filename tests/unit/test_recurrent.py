"""Behaviour of the recurrent models that torch does not define: padding, truncation, clear errors."""

import pytest
import torch

from course_utils.models.recurrent import (
    GRUCell,
    LSTMCell,
    Recurrent,
    RecurrentLanguageModel,
    RNNCell,
    SequenceReader,
    scan,
    set_gate_bias,
)

B, T, C, H = 3, 7, 5, 4


@pytest.mark.parametrize("kind", [RNNCell, LSTMCell, GRUCell])
@pytest.mark.parametrize("reverse", [False, True])
def test_padding_is_never_read(reverse, kind):
    torch.manual_seed(0)
    cell, lengths = kind(C, H), torch.tensor([4, 7, 1])
    x = torch.randn(B, T, C)
    nonsense = x.clone()
    for row, length in enumerate(lengths):
        nonsense[row, length:] = 1e6
    outputs, state = scan(cell, x, lengths=lengths, reverse=reverse)
    again, state_again = scan(cell, nonsense, lengths=lengths, reverse=reverse)
    assert torch.equal(outputs, again)
    torch.testing.assert_close(state, state_again, rtol=0, atol=0)          # a tensor, or an LSTM's pair
    assert (outputs[0, 4:] == 0).all() and (outputs[0, :4] != 0).all()


def test_reading_in_two_parts_equals_reading_at_once():
    torch.manual_seed(0)
    model, x = Recurrent(RNNCell, C, H, num_layers=2), torch.randn(B, T, C)
    whole, last = model(x)
    first, state = model(x[:, :3])
    second, state = model(x[:, 3:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(state, last)


def test_a_later_input_does_not_change_earlier_outputs_of_one_direction():
    torch.manual_seed(0)
    x = torch.randn(1, T, C)
    changed = x.clone()
    changed[0, 4] += 1
    for bidirectional in (False, True):
        model = Recurrent(RNNCell, C, H, bidirectional=bidirectional)
        same = torch.equal(model(x)[0][:, :4], model(changed)[0][:, :4])
        assert same is not bidirectional


@pytest.mark.parametrize(
    ("x", "lengths", "message"),
    [
        (torch.zeros(T, C), None, r"shape \(B, T, C\)"),
        (torch.zeros(B, T, C + 1), None, "C=5, got \\(3, 7, 6\\)"),
        (torch.zeros(B, 0, C), None, "B, T >= 1"),
        (torch.zeros(0, T, C), None, "B, T >= 1"),
        (torch.zeros(B, T, C), torch.tensor([1.0, 2.0, 3.0]), "whole numbers"),
        (torch.zeros(B, T, C), [1, 2, 3], "must be a tensor"),
        (torch.zeros(B, T, C), torch.tensor([1, 2]), "B=3 whole numbers"),
        (torch.zeros(B, T, C), torch.tensor([0, 1, 2]), "from 1 to T=7"),
        (torch.zeros(B, T, C), torch.tensor([8, 1, 2]), "from 1 to T=7"),
    ],
)
def test_bad_input_is_one_clear_sentence(x, lengths, message):
    with pytest.raises(ValueError, match=message) as error:
        Recurrent(RNNCell, C, H)(x, lengths=lengths)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [RNNCell, LSTMCell, GRUCell])
def test_a_state_that_does_not_fit_is_refused(kind):
    x, good = torch.zeros(B, T, C), torch.zeros(2, B, H)
    model, pair = Recurrent(kind, C, H, num_layers=2), kind is LSTMCell
    wrong = [torch.zeros(B, H), torch.zeros(1, B, H), torch.zeros(3, B, H), torch.zeros(2, 1, H), torch.zeros(2, B, 1)]
    bad = [(good, part) if pair else part for part in wrong] + [good if pair else (good, good), [good], (good,)]
    for state in bad:
        with pytest.raises(ValueError, match=r"state of shape \(2, 3, 4\), layers and directions first") as error:
            model(x, state)
        assert "\n" not in str(error.value)
    model(x, (good, good) if pair else good)


def test_sizes_below_one_are_refused():
    for size in (0, -1, 1.5, "2", None):
        with pytest.raises(ValueError, match=f"hidden_size={size!r} must be a whole number of at least 1"):
            RNNCell(C, size)
    with pytest.raises(ValueError, match="num_layers=0 must be a whole number of at least 1"):
        Recurrent(RNNCell, C, H, num_layers=0)


def test_unknown_nonlinearity_is_refused():
    with pytest.raises(ValueError, match="neither 'tanh' nor 'relu'"):
        RNNCell(C, H, nonlinearity="sigmoid")


@pytest.mark.parametrize("kind", [LSTMCell, GRUCell])
def test_gates_lie_between_0_and_1_and_candidates_between_minus_1_and_1(kind):
    torch.manual_seed(0)
    cell = kind(C, H)
    gates = cell.gates(9 * torch.randn(B, C), torch.randn(B, H))
    for gate, candidate in zip(gates, (False, False, True, False), strict=False):
        low = -1 if candidate else 0
        assert gate.shape == (B, H) and (gate >= low).all() and (gate <= 1).all()
        assert (gate < 0).any() == candidate


@pytest.mark.parametrize(("kind", "place"), [(LSTMCell, 1), (GRUCell, 1)])
def test_the_gate_bias_is_set_once_for_both_vectors_and_for_no_other_gate(kind, place):
    torch.manual_seed(0)
    model = Recurrent(kind, C, H, num_layers=2, bidirectional=True)
    before = [(cell.bias_ih.clone(), cell.bias_hh.clone()) for cell in model.cells]
    set_gate_bias(model, 5.0)
    for cell, (ih, hh) in zip(model.cells, before, strict=True):
        kept = torch.arange(len(ih)) // H == place
        assert ((cell.bias_ih + cell.bias_hh)[kept] == 5).all()
        assert torch.equal(cell.bias_ih[~kept], ih[~kept]) and torch.equal(cell.bias_hh[~kept], hh[~kept])


def test_a_gate_without_bias_cannot_be_set_and_a_plain_cell_is_left_alone():
    with pytest.raises(ValueError, match="LSTMCell was made with bias=False"):
        set_gate_bias(LSTMCell(C, H, bias=False), 1.0)
    plain = RNNCell(C, H)
    before = plain.bias_ih.clone()
    set_gate_bias(plain, 5.0)
    assert torch.equal(plain.bias_ih, before)


def test_a_high_forget_gate_keeps_the_cell_and_a_high_update_gate_the_state():
    for kind in (LSTMCell, GRUCell):
        cell = kind(C, H)
        set_gate_bias(cell, 50.0)
        kept = torch.randn(B, H)
        after = cell(torch.zeros(B, C), (torch.zeros(B, H), kept) if kind is LSTMCell else kept)
        if kind is LSTMCell:
            i, _, g, _ = cell.gates(torch.zeros(B, C), torch.zeros(B, H))
            torch.testing.assert_close(after[1], kept + i * g)
        else:
            torch.testing.assert_close(after, kept)


def test_language_model_and_reader_shapes():
    ids = torch.randint(11, (B, T))
    logits, state = RecurrentLanguageModel(11, C, H, num_layers=2)(ids)
    assert logits.shape == (B, T, 11) and state.shape == (2, B, H)
    assert SequenceReader(C, H, 6)(torch.randn(B, T, C)).shape == (B, 6)
