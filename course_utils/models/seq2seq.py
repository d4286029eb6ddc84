"""Sequence to sequence: one network reads a sentence, another writes the answer. Chapters 03 and 04.

Sources: Sutskever, Vinyals and Le, "Sequence to Sequence Learning with Neural Networks" (2014); Cho et al., "Learning
Phrase Representations using RNN Encoder–Decoder" (2014); Williams and Zipser, "A Learning Algorithm for Continually
Running Fully Recurrent Neural Networks" (1989), for teacher forcing; Bengio et al., "Scheduled Sampling" (2015), for
teacher forcing with a probability; Bahdanau, Cho and Bengio (2015) and Luong, Pham and Manning (2015) for decoders with
attention (titles in `attention.py`).

Shapes: B batch, S source time, T target time, C embedding size, H hidden size, V target vocabulary.
"""

from typing import NamedTuple

import torch
from torch import nn

from course_utils.models.attention import AdditiveAttention, LuongAttention, masked_softmax, padding_mask
from course_utils.models.recurrent import GRUCell, Recurrent


class EncoderDecoder(nn.Module):
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


class Memory(NamedTuple):
    """What a decoder with attention carries from step to step; only the first part changes.

    hidden: the decoder's state (num_layers, B, H), or an LSTM's pair. keys: the encoder's output at every source word,
    (B, S, H). mask: (B, 1, S), True at real words.
    """

    hidden: object
    keys: torch.Tensor
    mask: torch.Tensor


class LuongDecoder(nn.Module):
    """Luong's order: first the recurrent step, then attention with the *new* state s_t as the query.

    No step of the recurrence waits for attention, so all T queries look back in one call.
    forward: words (B, T, C), Memory -> features (B, T, H) for the output layer, the Memory after them.
    attend: the same, and the weights (B, T, S).
    """

    def __init__(self, cell, embedding_size, hidden_size, num_layers, score):
        super().__init__()
        self.recurrent = Recurrent(cell, embedding_size, hidden_size, num_layers)
        self.attention = LuongAttention(hidden_size, hidden_size, score)
        self.combine = nn.Linear(2 * hidden_size, hidden_size, bias=False)

    def attend(self, words, memory):
        states, hidden = self.recurrent(words, memory.hidden)                               # (B, T, C) -> (B, T, H)
        contexts, weights = self.attention(states, memory.keys, memory.mask)                # (B, T, H), (B, T, S)
        features = torch.tanh(self.combine(torch.cat([contexts, states], dim=-1)))          # (B, T, 2H) -> (B, T, H)
        return features, memory._replace(hidden=hidden), weights

    def forward(self, words, memory):
        return self.attend(words, memory)[:2]


class BahdanauDecoder(nn.Module):
    """Bahdanau's order: first attention with the *previous* state s_{t-1} as the query, then the recurrent step.

    The context is part of the step's input, so the steps must be taken one after another. Shapes as in `LuongDecoder`.
    """

    def __init__(self, cell, embedding_size, hidden_size, num_layers):
        super().__init__()
        self.recurrent = Recurrent(cell, embedding_size + hidden_size, hidden_size, num_layers)
        self.attention = AdditiveAttention(hidden_size, hidden_size, hidden_size)
        self.combine = nn.Linear(2 * hidden_size, hidden_size, bias=False)

    def attend(self, words, memory):
        hidden, steps, projected = memory.hidden, [], self.attention.w_k(memory.keys)       # once for all steps
        for word in words.unbind(1):                                                        # T times (B, C)
            query = top_state(hidden).unsqueeze(1)                                          # s_{t-1}: (B, 1, H)
            weights = masked_softmax(self.attention.scores(query, projected), memory.mask)  # (B, 1, S)
            context = weights @ memory.keys                                                 # (B, 1, S) @ (B, S, H)
            state, hidden = self.recurrent(torch.cat([word.unsqueeze(1), context], dim=-1), hidden)
            steps.append((context, state, weights))
        contexts, states, weights = (torch.cat(parts, dim=1) for parts in zip(*steps, strict=True))
        features = torch.tanh(self.combine(torch.cat([contexts, states], dim=-1)))          # (B, T, 2H) -> (B, T, H)
        return features, memory._replace(hidden=hidden), weights

    def forward(self, words, memory):
        return self.attend(words, memory)[:2]


class Seq2Seq(EncoderDecoder):
    """An encoder-decoder that may look back: attention is None (then it is one), "dot", "general", "concat" or
    "additive".

    bidirectional: the encoder reads in both directions, each with half of hidden_size, so that its outputs and its
    context are as wide as without. Used like an `EncoderDecoder`; alignment returns the attention weights (B, T, S) of
    the steps that read decoder_input (B, T).
    Raises ValueError for another attention, and for an odd hidden_size with bidirectional.
    """

    def __init__(self, source_vocab, target_vocab, embedding_size=64, hidden_size=128, cell=GRUCell, num_layers=1,
                 attention=None, bidirectional=False):
        super().__init__(source_vocab, target_vocab, embedding_size, hidden_size, cell, num_layers)
        sizes = (cell, embedding_size, hidden_size, num_layers)
        if bidirectional:
            check_even(hidden_size)
            self.encoder = Recurrent(cell, embedding_size, hidden_size // 2, num_layers, bidirectional=True)
        if attention == "additive":
            self.decoder = BahdanauDecoder(*sizes)
        elif attention is not None:
            self.decoder = LuongDecoder(*sizes, score=attention)
        self.attends = attention is not None

    def encode(self, source, lengths):
        """What crosses over: the last state, and with attention also the encoder's output at every word."""
        check_ids(source, self.source_embedding.num_embeddings, "source")
        keys, state = self.encoder(self.source_embedding(source), lengths=lengths)          # (B, S, H)
        state = join_directions(state, self.encoder.directions)                             # (num_layers, B, H)
        if not self.attends:
            return state
        return Memory(state, keys, padding_mask(lengths, source.shape[1])[:, 0])            # (B, 1, 1, S) -> (B, 1, S)

    def alignment(self, source, lengths, decoder_input):
        """Weights (B, T, S) of the decoder's T steps on the source words; each row sums to 1, padding gets 0."""
        if not self.attends:
            raise ValueError("a model with attention=None has no alignment")
        memory = self.encode(source, lengths)
        check_ids(decoder_input, self.target_embedding.num_embeddings, "target", len(source))
        return self.decoder.attend(self.target_embedding(decoder_input), memory)[2]


def top_state(hidden):
    """The hidden state of the last layer: (num_layers, B, H), or an LSTM's pair (h, c) of these, -> (B, H)."""
    return (hidden[0] if isinstance(hidden, tuple) else hidden)[-1]


def join_directions(state, directions):
    """Put the states of both directions of a layer side by side: (layers·D, B, H) -> (layers, B, D·H); LSTM: a pair."""
    if isinstance(state, tuple):
        return tuple(join_directions(part, directions) for part in state)
    pairs = state.unflatten(0, (-1, directions))                            # (layers, D, B, H)
    return torch.cat(pairs.unbind(1), dim=-1)                               # D times (layers, B, H) -> (layers, B, D·H)


def check_even(hidden_size):
    """Raise ValueError unless the two directions can have half of hidden_size each."""
    if hidden_size % 2:
        raise ValueError(f"hidden_size={hidden_size} is odd: each direction gets half of it")


def check_forcing(teacher_forcing):
    """Raise ValueError unless the ratio is a probability."""
    if not 0 <= teacher_forcing <= 1:
        raise ValueError(f"teacher_forcing={teacher_forcing} is not between 0 and 1")


def check_ids(ids, vocab_size, name, batch_size=None):
    """Raise ValueError unless ids are whole numbers (B, T), B, T >= 1, B as given, and lie inside the vocabulary."""
    if ids.dim() != 2 or 0 in ids.shape:
        raise ValueError(f"expected {name} ids of shape (B, T) with B, T >= 1, got {tuple(ids.shape)}")
    if ids.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"{name} ids must be whole numbers, got {ids.dtype}")
    if batch_size not in (None, len(ids)):
        raise ValueError(f"{len(ids)} rows of {name} ids for a batch of {batch_size}")
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ValueError(f"{name} ids go from {ids.min()} to {ids.max()}, the vocabulary from 0 to {vocab_size - 1}")
