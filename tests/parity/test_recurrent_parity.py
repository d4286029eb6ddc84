"""The course's recurrent layers against torch's, weights copied. B≠T≠C≠H, so no two axes can be mixed up unnoticed."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from course_utils.models.recurrent import Recurrent, RNNCell, copy_torch_weights

B, T, C, H = 3, 7, 5, 4
LENGTHS = torch.tensor([4, 7, 1])


def torch_outputs(theirs, x, lengths, state=None):
    if lengths is None:
        return theirs(x, state)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    outputs, last = theirs(packed, state)
    return pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])[0], last


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_cell_equals_torch(nonlinearity, bias):
    torch.manual_seed(0)
    ours, theirs = RNNCell(C, H, bias, nonlinearity), nn.RNNCell(C, H, bias, nonlinearity)
    ours.load_state_dict(theirs.state_dict())
    x, h = torch.randn(B, C), torch.randn(B, H)
    torch.testing.assert_close(ours(x, h), theirs(x, h), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("given_state", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "packed"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_layers_equal_torch(num_layers, bidirectional, lengths, given_state):
    torch.manual_seed(1)
    theirs = nn.RNN(C, H, num_layers, batch_first=True, bidirectional=bidirectional)
    ours = Recurrent(RNNCell, C, H, num_layers, bidirectional)
    copy_torch_weights(ours, theirs)
    x = torch.randn(B, T, C)
    state = torch.randn(num_layers * (1 + bidirectional), B, H) if given_state else None
    outputs, last = ours(x, state, lengths)
    expected_outputs, expected_last = torch_outputs(theirs, x, lengths, state)
    torch.testing.assert_close(outputs, expected_outputs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(last, expected_last, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "packed"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_equal_torch_in_float64(bidirectional, lengths):
    torch.manual_seed(2)
    theirs = nn.RNN(C, H, 2, batch_first=True, bidirectional=bidirectional).double()
    ours = Recurrent(RNNCell, C, H, 2, bidirectional).double()
    copy_torch_weights(ours, theirs)
    x = torch.randn(B, T, C, dtype=torch.double)
    gradients = []
    for model, run in ((ours, ours), (theirs, lambda x, lengths: torch_outputs(theirs, x, lengths))):
        inputs = x.clone().requires_grad_()
        outputs, last = run(inputs, lengths=lengths)
        loss = outputs.square().sum() + last.sum()
        gradients.append(torch.autograd.grad(loss, [inputs, *model.parameters()]))
    for ours_gradient, theirs_gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-9, atol=1e-9)
