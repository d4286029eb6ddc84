"""BERT: an encoder stack that reads in both directions, trained by filling blanks. Chapters 08 and 11.

Source: Devlin, Chang, Lee and Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding" (2019).

Shapes: B batch, T time, C or d_model features, H heads, V vocabulary, N layers.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.attention import padding_mask
from course_utils.models.positional import LearnedPositions
from course_utils.models.recurrent import check_sizes
from course_utils.models.seq2seq import check_ids
from course_utils.models.transformer import EncoderBlock, Stack, check_choice, load_matching, renamed

IGNORED = -100                  # the label of a place that does not count: the default of `F.cross_entropy`


@dataclass(frozen=True)
class BERTConfig:
    """The sizes of a BERT. The defaults are BERT-BASE, uncased."""

    vocab_size: int = 30522     # V: WordPieces
    d_model: int = 768          # C: features of a token
    n_heads: int = 12           # H
    d_ff: int = 3072            # features inside a feed-forward network, 4·d_model
    n_layers: int = 12          # N
    max_length: int = 512       # longest input; each place has a trained vector
    n_segments: int = 2         # first and second sentence
    dropout: float = 0.1
    eps: float = 1e-12          # inside every layer norm's root
    init_std: float = 0.02      # spread of matrices and embeddings at the start; positions always start with 0.02


BASE = BERTConfig()
LARGE = BERTConfig(d_model=1024, n_heads=16, d_ff=4096, n_layers=24)


# ---------------------------------------------------------------- the model


class BERTEmbedding(nn.Module):
    """Word vector + segment vector + place vector for each token, then a layer norm and dropout.

    forward: ids (B, T), segments (B, T), numbers of the sentence a token belongs to -> (B, T, d_model).
    """

    def __init__(self, config):
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.d_model)
        self.segments = nn.Embedding(config.n_segments, config.d_model)
        self.positions = LearnedPositions(config.max_length, config.d_model)
        self.norm, self.dropout = nn.LayerNorm(config.d_model), nn.Dropout(config.dropout)

    def forward(self, ids, segments):
        x = self.words(ids) + self.segments(segments)                        # (B, T) -> (B, T, C)
        return self.dropout(self.norm(self.positions(x)))


class BERT(nn.Module):
    """Embeddings, then N encoder blocks (post-norm, GELU) in which every token sees every other.

    forward: ids (B, T), lengths (B,) of their real parts (None: all), segments (B, T) (None: one sentence) -> a vector
    for each token in its context, (B, T, d_model). `hidden_states` gives those of every layer, `pool` one for the text.
    Raises ValueError for sizes that do not fit, and for ids, segments and lengths outside what the model has.
    """

    def __init__(self, config):
        super().__init__()
        check_sizes(vocab_size=config.vocab_size, d_model=config.d_model, n_segments=config.n_segments)
        self.config = config
        sizes = (config.n_layers, config.d_model, config.n_heads, config.d_ff)
        self.embedding = BERTEmbedding(config)
        self.encoder = Stack(EncoderBlock, *sizes, config.dropout, activation="gelu")
        self.pooler = nn.Linear(config.d_model, config.d_model)
        initialise(self, config)

    def embed(self, ids, lengths, segments):
        """The vectors that enter the first block (B, T, d_model), and the mask (B, 1, 1, T) or None."""
        check_ids(ids, self.config.vocab_size, "input")
        segments = torch.zeros_like(ids) if segments is None else segments
        check_ids(segments, self.config.n_segments, "segment", len(ids))
        if segments.shape != ids.shape:
            raise ValueError(f"segments {tuple(segments.shape)} for ids {tuple(ids.shape)}")
        mask = None if lengths is None else padding_mask(lengths, ids.shape[1]).to(ids.device)
        if mask is not None and len(mask) != len(ids):
            raise ValueError(f"{len(mask)} lengths for {len(ids)} rows of ids")
        return self.embedding(ids, segments), mask

    def forward(self, ids, lengths=None, segments=None):
        x, mask = self.embed(ids, lengths, segments)
        return self.encoder(x, mask=mask)                                    # (B, T, C) -> (B, T, C)

    def hidden_states(self, ids, lengths=None, segments=None):
        """What enters the first block and what leaves each: a list of N + 1 tensors (B, T, d_model)."""
        x, mask = self.embed(ids, lengths, segments)
        states = [x]
        for block in self.encoder.blocks:
            states.append(block(states[-1], mask=mask))
        return states

    def pool(self, hidden):
        """One vector for the text: a trained layer and tanh on the state of its first token, [CLS]. -> (B, d_model)"""
        return torch.tanh(self.pooler(hidden[:, 0]))                         # (B, T, C) -> (B, C)


class PretrainingBERT(nn.Module):
    """BERT with its two tasks for pre-training: which word stands here, and does the second sentence follow?

    word_logits: states (…, d_model) -> scores of all words (…, V); give it only the places that count. The last matrix
    is the table of word vectors once more. next_logits: states (B, T, d_model) -> (B, 2), first "it follows".
    forward: as BERT -> word logits (B, T, V), next logits (B, 2).
    """

    def __init__(self, config):
        super().__init__()
        self.config, self.bert = config, BERT(config)
        self.transform = nn.Linear(config.d_model, config.d_model)
        self.norm = nn.LayerNorm(config.d_model)
        self.word_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.next = nn.Linear(config.d_model, 2)
        initialise(self, config)

    def word_logits(self, hidden):
        x = self.norm(F.gelu(self.transform(hidden)))                        # (…, C) -> (…, C)
        return F.linear(x, self.bert.embedding.words.weight, self.word_bias)                 # (…, C) -> (…, V)

    def next_logits(self, hidden):
        return self.next(self.bert.pool(hidden))                             # (B, T, C) -> (B, C) -> (B, 2)

    def forward(self, ids, lengths=None, segments=None):
        hidden = self.bert(ids, lengths, segments)
        return self.word_logits(hidden), self.next_logits(hidden)


class BERTClassifier(nn.Module):
    """A BERT and one new linear layer: all that fine-tuning adds. forward: as BERT -> scores (B, n_classes).

    pooling: "cls", the pooled state of [CLS], or "mean", the mean of the real tokens' states.
    Raises ValueError for another pooling and n_classes below 1.
    """

    def __init__(self, bert, n_classes, dropout=0.1, pooling="cls"):
        super().__init__()
        check_sizes(n_classes=n_classes)
        check_choice("pooling", pooling, ("cls", "mean"))
        self.bert, self.pooling, self.dropout = bert, pooling, nn.Dropout(dropout)
        self.head = nn.Linear(bert.config.d_model, n_classes)
        nn.init.normal_(self.head.weight, std=bert.config.init_std)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids, lengths=None, segments=None):
        hidden = self.bert(ids, lengths, segments)                           # (B, T) -> (B, T, C)
        pooled = self.bert.pool(hidden) if self.pooling == "cls" else mean_state(hidden, lengths)
        return self.head(self.dropout(pooled))                               # (B, C) -> (B, n_classes)


def mean_state(hidden, lengths=None):
    """The mean of the real tokens' states: hidden (B, T, C), lengths (B,) (None: all) -> (B, C)."""
    if lengths is None:
        return hidden.mean(1)
    real = padding_mask(lengths, hidden.shape[1])[:, 0, 0].to(hidden.device).unsqueeze(-1)   # (B, T, 1)
    if not real[:, 0].all():
        raise ValueError("a text without a token has no mean: lengths are at least 1")
    return (hidden * real).sum(1) / real.sum(1)


def initialise(model, config):
    """BERT's start: matrices, words and segments from N(0, init_std²), biases 0; eps goes to every layer norm."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=config.init_std)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.LayerNorm):
            module.eps = config.eps


# ---------------------------------------------------------------- what it learns from


def corrupt(ids, can_choose, vocab_size, mask_id, generator=None, rate=0.15):
    """Blanks for the masked language model: what the model reads, and what it must say where.

    ids (B, T); can_choose (B, T), True at real words. Each of these is chosen with probability rate; of the chosen
    80 % become mask_id, 10 % a random id, 10 % stay. -> inputs (B, T), labels (B, T): the true id at chosen places,
    -100 elsewhere (Devlin et al., section 3.1). Raises ValueError for a rate outside 0 … 1 and masks that do not fit.
    """
    check_sizes(vocab_size=vocab_size)
    if not 0 <= rate <= 1 or can_choose.shape != ids.shape or can_choose.dtype != torch.bool:
        raise ValueError(f"rate={rate} must be 0 … 1, can_choose boolean of shape {tuple(ids.shape)}; "
                         f"got {can_choose.dtype} {tuple(can_choose.shape)}")
    chosen = (torch.rand(ids.shape, generator=generator) < rate) & can_choose                # (B, T)
    action = torch.rand(ids.shape, generator=generator)                                      # (B, T), one for each
    random_ids = torch.randint(vocab_size, ids.shape, generator=generator)
    inputs = ids.masked_fill(chosen & (action < 0.8), mask_id)
    inputs = torch.where(chosen & (action >= 0.8) & (action < 0.9), random_ids, inputs)
    return inputs, ids.masked_fill(~chosen, IGNORED)


def pretraining_loss(model, inputs, labels, lengths, segments, is_random):
    """The sum of both losses: cross-entropy at the chosen places, and of "is the second sentence a random one?".

    model: PretrainingBERT; inputs, labels, segments (B, T); is_random (B,), 0 or 1 -> (loss of words, loss of pairs).
    The word layer is computed at the chosen places only: at the others nobody asks. Without any the word loss is 0.
    """
    hidden = model.bert(inputs, lengths, segments)                           # (B, T) -> (B, T, C)
    chosen = labels != IGNORED
    words = F.cross_entropy(model.word_logits(hidden[chosen]), labels[chosen], reduction="sum")
    pairs = F.cross_entropy(model.next_logits(hidden), is_random, reduction="sum")
    return words / max(1, int(chosen.sum())), pairs / max(1, int((is_random != IGNORED).sum()))


# ---------------------------------------------------------------- published weights

# Names in published files, and ours. Older files call a layer norm's weight and bias gamma and beta.
NAMES = (
    ("gamma", "weight"), ("beta", "bias"), ("embeddings.word_embeddings", "embedding.words"),
    ("embeddings.token_type_embeddings", "embedding.segments"),
    ("embeddings.position_embeddings.weight", "embedding.positions.table"), ("embeddings.LayerNorm", "embedding.norm"),
    ("encoder.layer.", "encoder.blocks."), ("attention.self.query", "attention.w_q"),
    ("attention.self.key", "attention.w_k"), ("attention.self.value", "attention.w_v"),
    ("attention.output.dense", "attention.w_o"), ("attention.output.LayerNorm", "around_attention.norm"),
    ("intermediate.dense", "feed_forward.w_1"), ("output.dense", "feed_forward.w_2"),
    ("output.LayerNorm", "around_feed_forward.norm"), ("pooler.dense", "pooler"),
    ("cls.predictions.transform.dense", "transform"), ("cls.predictions.transform.LayerNorm", "norm"),
    ("cls.predictions.bias", "word_bias"), ("cls.seq_relationship", "next"),
)
REPEATED = ("position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias")   # found elsewhere, too


def our_names(weights):
    """Published BERT weights, a dict from `transformers`' names to tensors, under the names of `PretrainingBERT`."""
    return {renamed(name, NAMES): value for name, value in weights.items() if not name.endswith(REPEATED)}


def copy_transformers_bert(ours, theirs):
    """Copy the weights of `transformers`' BertModel or BertForPreTraining, or a state dict, into our model of its kind.

    A BERT takes what stands before the tasks, a PretrainingBERT all. Raises ValueError where names or sizes differ,
    before anything is copied.
    """
    weights = our_names(theirs.state_dict() if isinstance(theirs, nn.Module) else theirs)
    if hasattr(ours, "embedding"):                                           # a BERT on its own has no prefix
        weights = {name.removeprefix("bert."): value for name, value in weights.items()}
    load_matching(ours, weights)


