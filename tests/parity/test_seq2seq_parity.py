"""The encoder-decoder against one put together from torch's layers, weights copied, packed sources; B≠S≠T≠E≠H."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from course_utils.models.recurrent import GRUCell, LSTMCell, RNNCell, copy_torch_weights
from course_utils.models.seq2seq import EncoderDecoder

B, S, T, E, H, V_SOURCE, V_TARGET = 3, 7, 5, 6, 4, 11, 13
LENGTHS = torch.tensor([4, 7, 1])
CELLS = {"RNN": RNNCell, "LSTM": LSTMCell, "GRU": GRUCell}


class OfTorch(nn.Module):
    """The same model from `nn.Embedding`, `nn.GRU` and `nn.Linear`."""

    def __init__(self, kind, num_layers):
        super().__init__()
        self.source_embedding, self.target_embedding = nn.Embedding(V_SOURCE, E), nn.Embedding(V_TARGET, E)
        self.encoder, self.decoder = (getattr(nn, kind)(E, H, num_layers, batch_first=True) for _ in range(2))
        self.head = nn.Linear(H, V_TARGET)

    def forward(self, source, lengths, decoder_input):
        words = pack_padded_sequence(self.source_embedding(source), lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = self.decoder(self.target_embedding(decoder_input), self.encoder(words)[1])
        return self.head(outputs)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float, 1e-5), (torch.double, 1e-9)])
def test_scores_and_gradients_equal_torch(kind, num_layers, dtype, tolerance):
    torch.manual_seed(0)
    theirs, ours = OfTorch(kind, num_layers), EncoderDecoder(V_SOURCE, V_TARGET, E, H, CELLS[kind], num_layers)
    for name in ("source_embedding", "target_embedding", "head"):
        getattr(ours, name).load_state_dict(getattr(theirs, name).state_dict())
    for name in ("encoder", "decoder"):
        copy_torch_weights(getattr(ours, name), getattr(theirs, name))
    source, decoder_input = torch.randint(V_SOURCE, (B, S)), torch.randint(V_TARGET, (B, T))
    labels, results = torch.randint(V_TARGET, (B, T)), []
    for model in (ours.to(dtype), theirs.to(dtype)):
        logits = model(source, LENGTHS, decoder_input)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        shared = [model.source_embedding.weight, model.target_embedding.weight, *model.head.parameters()]
        results.append([logits, *torch.autograd.grad(loss, shared)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
