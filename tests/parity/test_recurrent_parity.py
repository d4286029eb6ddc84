"""The course's recurrent layers against torch's, weights copied. B≠T≠C≠H, so no two axes can be mixed up unnoticed."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from course_utils.models.recurrent import GRUCell, LSTMCell, Recurrent, RNNCell, copy_torch_weights

B, T, C, H = 3, 7, 5, 4
LENGTHS = torch.tensor([4, 7, 1])
CELLS = {"RNN": RNNCell, "LSTM": LSTMCell, "GRU": GRUCell}
kinds = pytest.mark.parametrize("kind", CELLS)


def parts(state):
    """A state as a tuple of tensors: an LSTM's is a pair already."""
    return state if isinstance(state, tuple) else (state,)


def torch_outputs(theirs, x, lengths, state=None):
    if lengths is None:
        return theirs(x, state)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    outputs, last = theirs(packed, state)
    return pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])[0], last


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_plain_cell_equals_torch(nonlinearity, bias):
    torch.manual_seed(0)
    ours, theirs = RNNCell(C, H, bias, nonlinearity), nn.RNNCell(C, H, bias, nonlinearity)
    ours.load_state_dict(theirs.state_dict())
    x, h = torch.randn(B, C), torch.randn(B, H)
    torch.testing.assert_close(ours(x, h), theirs(x, h), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


@kinds
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_cells_and_their_gradients_equal_torch(kind, bias, dtype):
    torch.manual_seed(3)
    ours, theirs = CELLS[kind](C, H, bias).to(dtype), getattr(nn, f"{kind}Cell")(C, H, bias).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(B, C, dtype=dtype)
    state = (torch.randn(B, H, dtype=dtype), torch.randn(B, H, dtype=dtype))
    state = state if kind == "LSTM" else state[0]
    tolerance = 1e-5 if dtype == torch.float else 1e-9
    for given in (state, None):
        results = []
        for cell in (ours, theirs):
            after = parts(cell(x, given))
            gradients = torch.autograd.grad(sum(part.square().sum() for part in after), list(cell.parameters()))
            results.append([*after, *gradients])
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@kinds
@pytest.mark.parametrize("given_state", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "packed"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_layers_equal_torch(kind, num_layers, bidirectional, lengths, given_state):
    torch.manual_seed(1)
    theirs = getattr(nn, kind)(C, H, num_layers, batch_first=True, bidirectional=bidirectional)
    ours = Recurrent(CELLS[kind], C, H, num_layers, bidirectional)
    copy_torch_weights(ours, theirs)
    x = torch.randn(B, T, C)
    state = None
    if given_state:
        pair = torch.randn(2, num_layers * (1 + bidirectional), B, H)
        state = tuple(pair) if kind == "LSTM" else pair[0]
    outputs, last = ours(x, state, lengths)
    expected_outputs, expected_last = torch_outputs(theirs, x, lengths, state)
    torch.testing.assert_close(outputs, expected_outputs, rtol=1e-5, atol=1e-5)
    for a, b in zip(parts(last), parts(expected_last), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@kinds
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "packed"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_equal_torch_in_float64(kind, bidirectional, lengths):
    torch.manual_seed(2)
    theirs = getattr(nn, kind)(C, H, 2, batch_first=True, bidirectional=bidirectional).double()
    ours = Recurrent(CELLS[kind], C, H, 2, bidirectional).double()
    copy_torch_weights(ours, theirs)
    x = torch.randn(B, T, C, dtype=torch.double)
    gradients = []
    for model, run in ((ours, ours), (theirs, lambda x, lengths: torch_outputs(theirs, x, lengths))):
        inputs = x.clone().requires_grad_()
        outputs, last = run(inputs, lengths=lengths)
        loss = outputs.square().sum() + sum(part.sum() for part in parts(last))
        gradients.append(torch.autograd.grad(loss, [inputs, *model.parameters()]))
    for ours_gradient, theirs_gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-9, atol=1e-9)
