"""Sequence to sequence: one network reads a sentence, another writes the answer. Chapter 03 on.

Sources: Sutskever, Vinyals and Le, "Sequence to Sequence Learning with Neural Networks" (2014); Cho et al., "Learning
Phrase Representations using RNN Encoder–Decoder" (2014); Williams and Zipser, "A Learning Algorithm for Continually
Running Fully Recurrent Neural Networks" (1989), for teacher forcing; Bengio et al., "Scheduled Sampling" (2015), for
teacher forcing with a probability.

Shapes: B batch, S source time, T target time, C embedding size, H hidden size, V target vocabulary.
"""

import torch
from torch import nn

from course_utils.models.recurrent import GRUCell, Recurrent


class Seq2Seq(nn.Module):
    """An encoder reads the source; its last state is all that the decoder gets.

    forward: source ids (B, S), lengths (B,) of their real parts, decoder_input ids (B, T) that begin with <sos>
    -> logits (B, T, V), scores of the token after each input.
    Raises ValueError for a teacher_forcing outside 0 … 1, and for ids outside the vocabularies.
    """

    def __init__(self, source_vocab, target_vocab, embedding_size=64, hidden_size=128, cell=GRUCell, num_layers=1):
        super().__init__()
        self.source_embedding = nn.Embedding(source_vocab, embedding_size)
        self.target_embedding = nn.Embedding(target_vocab, embedding_size)
        self.encoder = Recurrent(cell, embedding_size, hidden_size, num_layers)
        self.decoder = Recurrent(cell, embedding_size, hidden_size, num_layers)
        self.head = nn.Linear(hidden_size, target_vocab)

    def encode(self, source, lengths):
        """The context: the encoder's state after the last real token, (num_layers, B, H), or an LSTM's pair."""
        check_ids(source, self.source_embedding.num_embeddings, "source")
        _, state = self.encoder(self.source_embedding(source), lengths=lengths)             # outputs are not used
        return state

    def step(self, tokens, state):
        """One decoder step: tokens (B,) and the state before -> logits (B, V), the state after."""
        outputs, state = self.decoder(self.target_embedding(tokens).unsqueeze(1), state)    # (B,) -> (B, 1, H)
        return self.head(outputs.squeeze(1)), state

    def forward(self, source, lengths, decoder_input, teacher_forcing=1.0, generator=None):
        """With probability teacher_forcing a step reads the reference token, else the model's own last choice."""
        check_forcing(teacher_forcing)
        state = self.encode(source, lengths)
        check_ids(decoder_input, self.target_embedding.num_embeddings, "target", len(source))
        if teacher_forcing == 1:                                # every input is known: one call for all steps
            outputs, _ = self.decoder(self.target_embedding(decoder_input), state)          # (B, T, H)
            return self.head(outputs)
        logits, forced = [], torch.rand(decoder_input.shape, generator=generator) < teacher_forcing     # (B, T)
        for t, tokens in enumerate(decoder_input.unbind(1)):
            if t > 0:
                tokens = torch.where(forced[:, t].to(tokens.device), tokens, logits[-1].argmax(-1))
            scores, state = self.step(tokens, state)
            logits.append(scores)
        return torch.stack(logits, dim=1)                       # T times (B, V) -> (B, T, V)


def check_forcing(teacher_forcing):
    """Raise ValueError unless the ratio is a probability."""
    if not 0 <= teacher_forcing <= 1:
        raise ValueError(f"teacher_forcing={teacher_forcing} is not between 0 and 1")


def check_ids(ids, vocab_size, name, batch_size=None):
    """Raise ValueError unless ids are (B, T) with B, T >= 1, and B as given, and lie inside the vocabulary."""
    if ids.dim() != 2 or 0 in ids.shape:
        raise ValueError(f"expected {name} ids of shape (B, T) with B, T >= 1, got {tuple(ids.shape)}")
    if batch_size not in (None, len(ids)):
        raise ValueError(f"{len(ids)} rows of {name} ids for a batch of {batch_size}")
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ValueError(f"{name} ids go from {ids.min()} to {ids.max()}, the vocabulary from 0 to {vocab_size - 1}")
