"""The Transformer: attention and feed-forward layers, each in a residual frame, stacked. Chapter 07 on.

Sources: Vaswani et al., "Attention Is All You Need" (2017); He et al., "Deep Residual Learning for Image Recognition"
(2016), for residual connections; Ba, Kiros and Hinton, "Layer Normalization" (2016); Xiong et al., "On Layer
Normalization in the Transformer Architecture" (2020), for pre-norm; Press and Wolf, "Using the Output Embedding to
Improve Language Models" (2017), for tied weights.

Shapes: B batch, T time (S source, T target), C or d_model features, H heads, V target vocabulary, N layers.
Masks are boolean, True = may attend, broadcastable to (B, H, T_q, T_k).
"""

import copy
import functools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.attention import (
    MultiHeadAttention,
    causal_mask,
    copy_torch_attention,
    padding_mask,
)
from course_utils.models.positional import SinusoidalPositions
from course_utils.models.recurrent import check_sizes
from course_utils.models.seq2seq import check_ids

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "gelu_tanh": functools.partial(F.gelu, approximate="tanh")}
NORMS = ("post", "pre")
# what `without` can take out -> the attribute by which a module that has it is known
KNOWN_BY = {"positions": "positions", "mask": "causal", "residual": "norm_at", "norm": "norm_at"}
PARTS = tuple(KNOWN_BY)


# ---------------------------------------------------------------- the parts


def layer_norm(x, gain, bias, eps=1e-5):
    """Each token's features get mean 0 and variance 1, then a trained gain and bias; equal to `F.layer_norm`.

    x (…, C), gain and bias (C,) -> (…, C). No token looks at another. eps keeps the root from 0 (Ba et al., eq. 4).
    """
    mean = x.mean(-1, keepdim=True)                                          # (…, C) -> (…, 1): one for each token
    variance = (x - mean).square().mean(-1, keepdim=True)                    # (…, 1), divided by C, not by C - 1
    return (x - mean) / (variance + eps).sqrt() * gain + bias


class FeedForward(nn.Module):
    """FFN(x) = W_2 · activation(W_1 x + b_1) + b_2: each position alone, the same weights at every position.

    activation: "relu", "gelu" or "gelu_tanh", GELU by its tanh formula. forward: x (B, T, d_model) -> the same shape
    (Vaswani et al., equation 2).
    Raises ValueError for sizes below 1 and another activation.
    """

    def __init__(self, d_model, d_ff, activation="relu", dropout=0.0):
        super().__init__()
        check_sizes(d_model=d_model, d_ff=d_ff)
        check_choice("activation", activation, ACTIVATIONS)
        self.activation = ACTIVATIONS[activation]
        self.w_1, self.w_2 = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        hidden = self.dropout(self.activation(self.w_1(x)))                  # (B, T, d_model) -> (B, T, d_ff)
        return self.w_2(hidden)                                              # (B, T, d_ff) -> (B, T, d_model)


class Residual(nn.Module):
    """The frame around a sublayer f: what it says is added to what came in, and a layer norm keeps the sizes in hand.

    norm: "post", the paper's LayerNorm(x + f(x)); "pre", x + f(LayerNorm(x)). Dropout acts on f's output.
    forward: x (B, T, d_model), sublayer: function of x -> the same shape. `skip` and `norm_at` say what is done:
    `without` turns them off. Raises ValueError for another norm.
    """

    def __init__(self, d_model, dropout=0.0, norm="post"):
        super().__init__()
        check_choice("norm", norm, NORMS)
        self.norm_at, self.skip = norm, True
        self.norm, self.dropout = nn.LayerNorm(d_model), nn.Dropout(dropout)

    def forward(self, x, sublayer):
        said = self.dropout(sublayer(self.norm(x) if self.norm_at == "pre" else x))          # (B, T, d_model)
        x = x + said if self.skip else said
        return self.norm(x) if self.norm_at == "post" else x


class EncoderBlock(nn.Module):
    """Self-attention, then the feed-forward network, each in its frame; equal to `nn.TransformerEncoderLayer`.

    norm: "post" or "pre". forward: x (B, T, d_model), mask broadcastable to (B, H, T, T) -> the same shape as x.
    Raises ValueError for sizes, a norm or an activation that cannot be.
    """

    def __init__(self, d_model, n_heads, d_ff, dropout=0.0, activation="relu", norm="post"):
        super().__init__()
        self.attention = MultiHeadAttention(d_model, n_heads, dropout)
        self.feed_forward = FeedForward(d_model, d_ff, activation, dropout)
        self.around_attention = Residual(d_model, dropout, norm)
        self.around_feed_forward = Residual(d_model, dropout, norm)

    def forward(self, x, mask=None):
        def attend(x):
            return self.attention(x, x, x, mask=mask, need_weights=False)[0]

        x = self.around_attention(x, attend)
        return self.around_feed_forward(x, self.feed_forward)


class DecoderBlock(nn.Module):
    """Masked self-attention, cross-attention, feed-forward network; equal to `nn.TransformerDecoderLayer`.

    In cross-attention the queries come from the target, keys and values from memory, the encoder's output.
    forward: x (B, T, d_model), memory (B, S, d_model), mask for (B, H, T, T), memory_mask for (B, H, T, S) -> as x.
    Raises ValueError as `EncoderBlock` does.
    """

    def __init__(self, d_model, n_heads, d_ff, dropout=0.0, activation="relu", norm="post"):
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model, n_heads, dropout)
        self.cross_attention = MultiHeadAttention(d_model, n_heads, dropout)
        self.feed_forward = FeedForward(d_model, d_ff, activation, dropout)
        self.around_self_attention = Residual(d_model, dropout, norm)
        self.around_cross_attention = Residual(d_model, dropout, norm)
        self.around_feed_forward = Residual(d_model, dropout, norm)

    def forward(self, x, memory, mask=None, memory_mask=None):
        def attend(x):
            return self.self_attention(x, x, x, mask=mask, need_weights=False)[0]

        def look_at_source(x):
            return self.cross_attention(x, memory, memory, mask=memory_mask, need_weights=False)[0]

        x = self.around_self_attention(x, attend)
        x = self.around_cross_attention(x, look_at_source)
        return self.around_feed_forward(x, self.feed_forward)


class Stack(nn.Module):
    """N blocks, one after another: block is `EncoderBlock` or `DecoderBlock`, sizes and options go to each.

    With pre-norm the sum that leaves the last block was never normalised: one more layer norm does it.
    forward: x, then what the block takes -> the same shape as x. Raises ValueError for n_layers below 1.
    """

    def __init__(self, block, n_layers, d_model, n_heads, d_ff, dropout=0.0, activation="relu", norm="post"):
        super().__init__()
        check_sizes(n_layers=n_layers)
        options = (d_model, n_heads, d_ff, dropout, activation, norm)
        self.blocks = nn.ModuleList(block(*options) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model) if norm == "pre" else nn.Identity()

    def forward(self, x, *others, **masks):
        for block in self.blocks:
            x = block(x, *others, **masks)                                   # (B, T, d_model) -> (B, T, d_model)
        return self.norm(x)


# ---------------------------------------------------------------- the models


class DecoderState(NamedTuple):
    """What the decoder needs at every step; only `tokens` grows.

    memory: the encoder's output (B, S, d_model), computed once. memory_mask: (B, 1, 1, S), True at real words.
    tokens: the ids (B, t) read so far.
    """

    memory: torch.Tensor
    memory_mask: torch.Tensor
    tokens: torch.Tensor


class Transformer(nn.Module):
    """An encoder stack reads the source, a decoder stack writes the target and looks at the source in every block.

    tied: the output layer and the target embedding share one matrix. positions are sinusoidal, for max_length tokens.
    forward: source ids (B, S), lengths (B,) of their real parts, decoder_input ids (B, T) that begin with <sos>
    -> logits (B, T, V), scores of the token after each input. encode and step do it one token at a time.
    Raises ValueError for sizes that do not fit, ids outside the vocabularies, and more than max_length tokens.
    """

    def __init__(self, source_vocab, target_vocab, d_model=64, n_heads=4, d_ff=256, n_layers=2, dropout=0.1,
                 activation="relu", norm="post", max_length=64, tied=True):
        super().__init__()
        options = (n_layers, d_model, n_heads, d_ff, dropout, activation, norm)
        self.source_embedding = scaled_embedding(source_vocab, d_model)
        self.target_embedding = scaled_embedding(target_vocab, d_model)
        self.positions = SinusoidalPositions(max_length, d_model)
        self.dropout = nn.Dropout(dropout)
        self.encoder, self.decoder = Stack(EncoderBlock, *options), Stack(DecoderBlock, *options)
        self.head = nn.Linear(d_model, target_vocab)
        if tied:
            self.head.weight = self.target_embedding.weight                  # (V, d_model): one matrix, two uses
        self.causal = True

    def embed(self, ids, embedding):
        """Ids (B, T) -> vectors (B, T, d_model): word vectors times √d_model, plus positions."""
        vectors = embedding(ids) * embedding.embedding_dim ** 0.5            # components of about 1, as a position's
        return self.dropout(self.positions(vectors))

    def encode(self, source, lengths):
        """Read the source once: ids (B, S), lengths (B,) -> the DecoderState before the first token."""
        check_ids(source, self.source_embedding.num_embeddings, "source", torch.as_tensor(lengths).numel())
        mask = padding_mask(lengths, source.shape[1])                        # (B, 1, 1, S)
        memory = self.encoder(self.embed(source, self.source_embedding), mask=mask)
        return DecoderState(memory, mask, source[:, :0])

    def decode(self, tokens, memory, memory_mask):
        """All T positions at once: ids (B, T) -> logits (B, T, V); the mask hides the future from each."""
        check_ids(tokens, self.target_embedding.num_embeddings, "target", len(memory))
        mask = causal_mask(tokens.shape[1]).to(tokens.device) if self.causal else None
        x = self.embed(tokens, self.target_embedding)                        # (B, T) -> (B, T, d_model)
        return self.head(self.decoder(x, memory, mask=mask, memory_mask=memory_mask))

    def forward(self, source, lengths, decoder_input):
        memory, memory_mask, _ = self.encode(source, lengths)
        return self.decode(decoder_input, memory, memory_mask)

    def step(self, tokens, state):
        """One more token (B,) and the state before it -> logits (B, V), the state after. Earlier tokens are read again.
        """
        if tokens.shape != state.tokens.shape[:1]:
            raise ValueError(f"tokens of shape {tuple(tokens.shape)} for a state of {len(state.tokens)} sentences")
        tokens = torch.cat([state.tokens, tokens.unsqueeze(1).to(state.tokens.device)], dim=1)      # (B, t + 1)
        logits = self.decode(tokens, state.memory, state.memory_mask)        # (B, t + 1, V)
        return logits[:, -1], state._replace(tokens=tokens)


class Classifier(nn.Module):
    """An encoder and one answer for the whole sentence. pooling: "mean" of the real tokens' vectors, or "cls".

    With "cls" a trained vector that stands for no word goes in front, and what becomes of it is the sentence's vector.
    forward: ids (B, T), lengths (B,) -> scores (B, n_classes); pool gives the sentence vectors (B, d_model).
    Raises ValueError for another pooling, sizes below 1, ids outside the vocabulary, sentences without a token, and
    more than max_length tokens, <cls> counted.
    """

    def __init__(self, vocab_size, n_classes, pooling, d_model=64, n_heads=4, d_ff=256, n_layers=2, dropout=0.1,
                 max_length=64):
        super().__init__()
        check_choice("pooling", pooling, ("mean", "cls"))
        check_sizes(n_classes=n_classes)
        self.pooling = pooling
        self.embedding, self.positions = scaled_embedding(vocab_size, d_model), SinusoidalPositions(max_length, d_model)
        self.cls = nn.Parameter(torch.randn(d_model))
        self.encoder = Stack(EncoderBlock, n_layers, d_model, n_heads, d_ff, dropout)
        self.head = nn.Linear(d_model, n_classes)

    def encode(self, ids, lengths):
        """Vectors of all tokens, (B, T, d_model), with "cls" (B, T + 1, d_model); and their mask, True = real."""
        lengths = torch.as_tensor(lengths)
        check_ids(ids, self.embedding.num_embeddings, "input", lengths.numel())
        real = padding_mask(lengths, ids.shape[1])                           # (B, 1, 1, T)
        if not real[..., 0].all():
            raise ValueError(f"a sentence has at least one token, got lengths {lengths.tolist()}")
        x = self.embedding(ids) * self.embedding.embedding_dim ** 0.5        # (B, T) -> (B, T, d_model)
        if self.pooling == "cls":
            x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1)        # (B, T + 1, C)
            real = F.pad(real, (1, 0), value=True)                           # (B, 1, 1, T + 1)
        return self.encoder(self.positions(x), mask=real), real[:, 0, 0]

    def pool(self, ids, lengths):
        x, real = self.encode(ids, lengths)
        if self.pooling == "cls":
            return x[:, 0]
        return (x * real.unsqueeze(-1)).sum(1) / real.sum(1, keepdim=True)   # (B, T, C) -> (B, C)

    def forward(self, ids, lengths):
        return self.head(self.pool(ids, lengths))


def scaled_embedding(vocab_size, d_model):
    """An `nn.Embedding` whose vectors start with length about 1: times √d_model, their components are about 1."""
    check_sizes(vocab_size=vocab_size, d_model=d_model)
    embedding = nn.Embedding(vocab_size, d_model)
    nn.init.normal_(embedding.weight, std=d_model ** -0.5)
    return embedding


def check_choice(name, value, choices):
    """Raise ValueError unless value is one of the choices."""
    if value not in tuple(choices):          # a tuple asks for no hash: a list is refused like any other wrong value
        raise ValueError(f"{name}={value!r} is none of {', '.join(map(repr, choices))}")


# ---------------------------------------------------------------- looking inside


def without(model, *parts):
    """A copy of a model with parts taken out, the weights that remain unchanged. parts: any of PARTS.

    "positions": nothing is added to the word vectors. "mask": the decoder sees the future. "residual": a sublayer's
    output takes the place of its input. "norm": no layer norm anywhere. Raises ValueError for another part, and for one
    that the model never had.
    """
    for part in parts:
        check_choice("part", part, PARTS)
        if not any(hasattr(module, KNOWN_BY[part]) for module in model.modules()):
            raise ValueError(f"this {type(model).__name__} has no part {part!r} that could be taken out")
    changed = copy.deepcopy(model)
    for module in changed.modules():          # known by what they have: a notebook may have written the classes anew
        if hasattr(module, "norm_at"):
            module.skip = module.skip and "residual" not in parts
            module.norm_at = "none" if "norm" in parts else module.norm_at
        if hasattr(module, "blocks") and "norm" in parts:
            module.norm = nn.Identity()
        if hasattr(module, "positions") and "positions" in parts:
            module.positions = nn.Identity()
        if hasattr(module, "causal") and "mask" in parts:
            module.causal = False
    return changed


def copy_torch_block(ours, theirs):
    """Copy an `nn.TransformerEncoderLayer` or `nn.TransformerDecoderLayer` (theirs) into a block of the same sizes.

    Raises ValueError where the sizes differ or the kinds do.
    """
    decodes = hasattr(ours, "cross_attention")
    if decodes != hasattr(theirs, "multihead_attn"):
        raise ValueError("an encoder block and a decoder layer have different parts")
    if decodes:
        attentions = [(ours.self_attention, theirs.self_attn), (ours.cross_attention, theirs.multihead_attn)]
        frames = [ours.around_self_attention, ours.around_cross_attention, ours.around_feed_forward]
    else:
        attentions = [(ours.attention, theirs.self_attn)]
        frames = [ours.around_attention, ours.around_feed_forward]
    layers = [(ours.feed_forward.w_1, theirs.linear1), (ours.feed_forward.w_2, theirs.linear2)]
    layers += [(frame.norm, getattr(theirs, f"norm{number}")) for number, frame in enumerate(frames, start=1)]
    if any(mine.weight.shape != other.weight.shape for mine, other in layers):
        raise ValueError("the feed-forward networks differ in size")
    for mine, other in attentions:
        copy_torch_attention(mine, other)
    for mine, other in layers:
        mine.load_state_dict(other.state_dict())


def copy_torch_stack(ours, theirs):
    """Copy an `nn.TransformerEncoder` or `nn.TransformerDecoder` (theirs) into a `Stack` of the same sizes.

    Raises ValueError for another number of layers, and where only one of them ends with a layer norm: `nn.Transformer`
    puts one at the end even with post-norm, where the paper and the course have none.
    """
    if len(ours.blocks) != len(theirs.layers):
        raise ValueError(f"{len(ours.blocks)} blocks here, {len(theirs.layers)} layers there")
    if isinstance(ours.norm, nn.LayerNorm) != (theirs.norm is not None):
        raise ValueError("only one of the two ends with a layer norm")
    for mine, other in zip(ours.blocks, theirs.layers, strict=True):
        copy_torch_block(mine, other)
    if theirs.norm is not None:
        ours.norm.load_state_dict(theirs.norm.state_dict())


def renamed(name, pairs):
    """The name of a published weight under ours: each pair's first text becomes its second, in their order."""
    for theirs, ours in pairs:
        name = name.replace(theirs, ours)
    return name


def load_matching(model, weights):
    """Put weights, a dict from names to tensors, into a model that has all its names there; others are left out.

    Raises ValueError where one is missing or of another size, before anything is changed.
    """
    wanted = model.state_dict()
    for name, value in wanted.items():
        found = tuple(weights[name].shape) if name in weights else "missing"
        if found != tuple(value.shape):
            raise ValueError(f"the weights are of another model: {name} is {found}, not {tuple(value.shape)}")
    model.load_state_dict({name: weights[name] for name in wanted})
