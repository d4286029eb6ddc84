"""The encoder-decoder against one put together from torch's layers, weights copied, packed sources; B≠S≠T≠E≠H."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from course_utils.models.recurrent import GRUCell, LSTMCell, RNNCell, copy_torch_weights
from course_utils.models.seq2seq import EncoderDecoder, Seq2Seq

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


# ---------------------------------------------------------------- with attention, one sentence and one word at a time

def joined(state, bidirectional):
    """torch's last state (layers·D, 1, H/D) with both directions of a layer side by side: (layers, 1, H)."""
    if isinstance(state, tuple):
        return tuple(joined(part, bidirectional) for part in state)
    return torch.cat([state[0::2], state[1::2]], dim=-1) if bidirectional else state


def score_of(attention, query, key):
    """One query (H,) against one key (H,)."""
    if hasattr(attention, "w_q"):
        return attention.v.weight[0] @ torch.tanh(
            attention.w_q.weight @ query + attention.w_q.bias + attention.w_k.weight @ key)
    if attention.score == "concat":
        return attention.v.weight[0] @ torch.tanh(attention.w.weight @ torch.cat([query, key]))
    return query @ (attention.w.weight @ key if attention.score == "general" else key)


def look_back(attention, query, keys):
    """Context (H,) and weights (S,) of one query; keys (S, H) are the real words alone, so there is nothing to mask."""
    weights = torch.stack([score_of(attention, query, key) for key in keys]).softmax(0)
    return sum(weight * key for weight, key in zip(weights, keys, strict=True)), weights


def word_by_word(ours, encoder, decoder, sentence, inputs, bidirectional):
    """Logits (T, V) and weights (T, S_b) of a sentence without padding, by torch's layers fed one word at a time."""
    keys, state = encoder(ours.source_embedding(sentence).unsqueeze(0))
    keys, state, logits, rows = keys[0], joined(state, bidirectional), [], []
    attention, additive = ours.decoder.attention, hasattr(ours.decoder.attention, "w_q")
    for word in ours.target_embedding(inputs):
        if additive:                                             # first attention, with the state before this word
            before = (state[0] if isinstance(state, tuple) else state)[-1, 0]
            context, weights = look_back(attention, before, keys)
            output, state = decoder(torch.cat([word, context]).view(1, 1, -1), state)
        else:                                                    # first the step
            output, state = decoder(word.view(1, 1, -1), state)
            context, weights = look_back(attention, output[0, 0], keys)
        features = torch.tanh(ours.decoder.combine.weight @ torch.cat([context, output[0, 0]]))
        logits.append(ours.head.weight @ features + ours.head.bias)
        rows.append(weights)
    return torch.stack(logits), torch.stack(rows)


@pytest.mark.parametrize("attention", ["dot", "general", "concat", "additive"])
@pytest.mark.parametrize(("kind", "num_layers", "bidirectional"), [
    ("GRU", 1, False), ("GRU", 2, True), ("LSTM", 1, True), ("LSTM", 2, False), ("RNN", 2, True)])
def test_attention_equals_a_loop_over_words_with_torchs_layers(attention, kind, num_layers, bidirectional):
    torch.manual_seed(1)
    ours = Seq2Seq(V_SOURCE, V_TARGET, E, H, CELLS[kind], num_layers, attention, bidirectional).double()
    directions = 2 if bidirectional else 1
    encoder = getattr(nn, kind)(E, H // directions, num_layers, batch_first=True, bidirectional=bidirectional).double()
    decoder = getattr(nn, kind)(E + H * (attention == "additive"), H, num_layers, batch_first=True).double()
    copy_torch_weights(ours.encoder, encoder)
    copy_torch_weights(ours.decoder.recurrent, decoder)
    source, decoder_input = torch.randint(V_SOURCE, (B, S)), torch.randint(V_TARGET, (B, T))
    logits, weights = ours(source, LENGTHS, decoder_input), ours.alignment(source, LENGTHS, decoder_input)
    loops = [word_by_word(ours, encoder, decoder, source[b, :length], decoder_input[b], bidirectional)
             for b, length in enumerate(LENGTHS)]
    expected, rows = torch.stack([loop[0] for loop in loops]), [loop[1] for loop in loops]
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
    for b, length in enumerate(LENGTHS):
        torch.testing.assert_close(weights[b, :, :length], rows[b], rtol=1e-9, atol=1e-9)
    shared = [ours.source_embedding.weight, ours.target_embedding.weight, *ours.head.parameters(),
              *ours.decoder.attention.parameters(), *ours.decoder.combine.parameters()]
    for a, b in zip(*(torch.autograd.grad(scores.sin().sum(), shared) for scores in (logits, expected)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
