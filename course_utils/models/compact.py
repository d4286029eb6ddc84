"""What came after BERT: fewer weights, more to learn from each text, smaller students, longer inputs. Chapter 11.

Sources: Lan et al., "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations" (2020); Clark et
al., "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators" (2020); Hinton, Vinyals and Dean,
"Distilling the Knowledge in a Neural Network" (2015); Sanh et al., "DistilBERT, a distilled version of BERT: smaller,
faster, cheaper and lighter" (2019); Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding" (2020);
Zaheer et al., "Big Bird: Transformers for Longer Sequences" (2020).

Shapes: B batch, T time, E features of an embedding, C or d_model features, H heads, d_k head size, V vocabulary.
Masks are boolean, True = may attend.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.attention import padding_mask, scaled_dot_product_attention, split_heads
from course_utils.models.bert import BERT, IGNORED, BERTEmbedding, initialise, our_names
from course_utils.models.recurrent import check_sizes
from course_utils.models.transformer import ACTIVATIONS, EncoderBlock, Stack, load_matching, renamed

DETECTION_WEIGHT = 50.0         # of ELECTRA's second loss: one binary question weighs less than one of V choices


@dataclass(frozen=True)
class ALBERTConfig:
    """The sizes of an ALBERT. The defaults are ALBERT-Base, second version."""

    vocab_size: int = 30000         # V
    d_embedding: int | None = 128   # E: features of a word before it is projected; None: d_model, not projected
    d_model: int = 768              # C
    n_heads: int = 12               # H
    d_ff: int = 3072                # features inside a feed-forward network
    n_layers: int = 12              # N: how often a block is passed
    max_length: int = 512
    n_segments: int = 2
    dropout: float = 0.0            # the second version trains without
    eps: float = 1e-12
    init_std: float = 0.02
    activation: str = "gelu_tanh"
    shared: bool = True             # one block for all depths; False: each its own, which gives ELECTRA's body


# ---------------------------------------------------------------- ALBERT: fewer weights


class FactorisedEmbedding(BERTEmbedding):
    """BERT's embedding with d_embedding features, then one matrix to d_model: V·E + E·C weights instead of V·C.

    forward: ids (B, T), segments (B, T) -> (B, T, d_model).
    """

    def __init__(self, config):
        super().__init__(replace(config, d_model=config.d_embedding))
        self.project = nn.Linear(config.d_embedding, config.d_model)

    def forward(self, ids, segments):
        return self.project(super().forward(ids, segments))                  # (B, T) -> (B, T, E) -> (B, T, C)


class SharedStack(nn.Module):
    """One block, passed n_layers times: the weights of one, the computing of all. forward: x, mask -> as x.

    `blocks` lists it once for each depth. Raises ValueError for n_layers below 1.
    """

    def __init__(self, block, n_layers):
        super().__init__()
        check_sizes(n_layers=n_layers)
        self.block, self.n_layers = block, n_layers

    @property
    def blocks(self):
        """The same block n_layers times."""
        return [self.block] * self.n_layers

    def forward(self, x, mask=None):
        for block in self.blocks:
            x = block(x, mask=mask)                                          # (B, T, C) -> (B, T, C)
        return x


class ALBERT(BERT):
    """A BERT with a factorised embedding and one block for all depths. All calls are BERT's.

    d_embedding=None and shared=False turn the two off, one by one. Raises ValueError as BERT does.
    """

    def __init__(self, config):
        nn.Module.__init__(self)
        check_sizes(vocab_size=config.vocab_size, d_model=config.d_model, n_segments=config.n_segments)
        self.config = config
        self.embedding = (BERTEmbedding if config.d_embedding is None else FactorisedEmbedding)(config)
        sizes = (config.d_model, config.n_heads, config.d_ff, config.dropout, config.activation)
        self.encoder = (SharedStack(EncoderBlock(*sizes), config.n_layers) if config.shared else
                        Stack(EncoderBlock, config.n_layers, *sizes))
        self.pooler = nn.Linear(config.d_model, config.d_model)
        initialise(self, config)


class PretrainingALBERT(nn.Module):
    """ALBERT with its two tasks: which word stands here, and are the two parts in their order?

    Called as `PretrainingBERT`, so `pretraining_loss` takes both. word_logits: states (…, d_model) -> (…, V), by way of
    E features. next_logits: states (B, T, d_model) -> (B, 2), first "in order".
    """

    def __init__(self, config):
        super().__init__()
        self.config, self.bert = config, ALBERT(config)
        size = config.d_embedding or config.d_model
        self.activation = ACTIVATIONS[config.activation]
        self.transform, self.norm = nn.Linear(config.d_model, size), nn.LayerNorm(size)
        self.word_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.next = nn.Linear(config.d_model, 2)
        initialise(self, config)

    def word_logits(self, hidden):
        x = self.norm(self.activation(self.transform(hidden)))               # (…, C) -> (…, E)
        return F.linear(x, self.bert.embedding.words.weight, self.word_bias)                 # (…, E) -> (…, V)

    def next_logits(self, hidden):
        return self.next(self.bert.pool(hidden))                             # (B, T, C) -> (B, C) -> (B, 2)

    def forward(self, ids, lengths=None, segments=None):
        hidden = self.bert(ids, lengths, segments)
        return self.word_logits(hidden), self.next_logits(hidden)


# ---------------------------------------------------------------- ELECTRA: a loss at every place


class Discriminator(nn.Module):
    """An encoder that says of each token whether it was replaced. forward: as BERT -> logits (B, T), > 0 = replaced."""

    def __init__(self, bert):
        super().__init__()
        self.bert, size = bert, bert.config.d_model
        self.transform, self.detect = nn.Linear(size, size), nn.Linear(size, 1)
        for layer in (self.transform, self.detect):
            initialise(layer, bert.config)

    def forward(self, ids, lengths=None, segments=None):
        hidden = self.bert(ids, lengths, segments)                           # (B, T) -> (B, T, C)
        return self.detect(F.gelu(self.transform(hidden))).squeeze(-1)       # (B, T, C) -> (B, T, 1) -> (B, T)


class ELECTRA(nn.Module):
    """A generator that fills blanks and a discriminator that finds what it filled in wrongly. Both use one embedding.

    generator: a PretrainingBERT, smaller. discriminator: a BERT; afterwards it alone is kept, without the head that
    it gets here. Raises ValueError where their embeddings differ in size.
    """

    def __init__(self, generator, discriminator):
        super().__init__()
        mine, other = ([tuple(weight.shape) for weight in model.embedding.parameters()]
                       for model in (generator.bert, discriminator))
        if mine != other:
            raise ValueError(f"generator and discriminator share one embedding, but its sizes are {mine} and {other}")
        discriminator.embedding = generator.bert.embedding
        self.generator, self.discriminator = generator, Discriminator(discriminator)


def replace_tokens(ids, chosen, logits, generator=None):
    """A text with tokens drawn by the generator at the chosen places, and where it differs from the true one.

    ids (B, T); chosen (B, T) boolean; logits (n, V) of the n chosen places -> replaced ids (B, T), is_replaced (B, T).
    A token that was drawn right is an original: it counts as not replaced (Clark et al., section 2).
    """
    drawn = torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)         # (n, V) -> (n,)
    replaced = ids.masked_scatter(chosen, drawn)
    return replaced, replaced != ids


def electra_loss(model, ids, inputs, labels, lengths, generator=None):
    """ELECTRA's two losses: of the words that the generator must fill in, and of the question "replaced?" everywhere.

    ids (B, T) true; inputs (B, T) with blanks; labels (B, T), the true id at a blank, else -100 -> (word loss,
    detection loss). Their sum, the second times DETECTION_WEIGHT, is minimised. Drawing a token has no gradient: the
    generator learns from its own loss alone, so this is no game of two, as a GAN is.
    """
    chosen = labels != IGNORED
    hidden = model.generator.bert(inputs, lengths)                           # (B, T) -> (B, T, C_generator)
    logits = model.generator.word_logits(hidden[chosen])                     # (n, V)
    replaced, is_replaced = replace_tokens(ids, chosen, logits.detach(), generator)
    real = padding_mask(lengths, ids.shape[1])[:, 0, 0].to(ids.device)       # (B, T)
    said = model.discriminator(replaced, lengths)                            # (B, T)
    return (F.cross_entropy(logits, labels[chosen], reduction="sum") / max(1, len(logits)),
            F.binary_cross_entropy_with_logits(said[real], is_replaced[real].float()))


# ---------------------------------------------------------------- distillation: a student learns from a teacher


def soft_target_loss(student_logits, teacher_logits, temperature):
    """T² · KL(teacher ‖ student) of softmax(logits / T), the mean over rows: logits (…, n) -> a scalar.

    The gradient of the KL divergence shrinks as 1/T²; the factor keeps its size (Hinton et al., section 2).
    Raises ValueError for a temperature that is not above 0, and logits of different shapes.
    """
    if not temperature > 0 or student_logits.shape != teacher_logits.shape:
        raise ValueError(f"temperature={temperature} must be above 0, and student {tuple(student_logits.shape)} as "
                         f"large as teacher {tuple(teacher_logits.shape)}")
    teacher = (teacher_logits.detach() / temperature).log_softmax(-1)        # (…, n)
    student = (student_logits / temperature).log_softmax(-1)
    return temperature ** 2 * (teacher.exp() * (teacher - student)).sum(-1).mean()


def real_places(states, lengths):
    """Which of the places of states (B, T, C) are real: (B, T) boolean. lengths (B,), None: all."""
    if lengths is None:
        return torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    return padding_mask(lengths, states.shape[1])[:, 0, 0].to(states.device)


def cosine_state_loss(student, teacher, lengths=None):
    """1 - cosine of the two states of each real token, their mean: (B, T, C) each -> a scalar (Sanh et al., section 2).
    """
    similar = F.cosine_similarity(student, teacher.detach(), dim=-1)         # (B, T, C) -> (B, T)
    return 1 - similar[real_places(student, lengths)].mean()


def hidden_state_loss(student, teacher, lengths=None, project=None):
    """Mean squared difference of the states of real tokens (Jiao et al., equation 8; 9 for the embeddings).

    student (B, T, C), teacher (B, T, C_teacher); project: a layer from C to C_teacher, trained along -> a scalar.
    """
    student = student if project is None else project(student)               # (B, T, C) -> (B, T, C_teacher)
    real = real_places(teacher, lengths)
    return F.mse_loss(student[real], teacher[real].detach())


def attention_scores(attention, x):
    """The scores of a self-attention before mask and softmax: MultiHeadAttention, x (B, T, C) -> (B, H, T, T)."""
    query, key = (split_heads(layer(x), attention.n_heads) for layer in (attention.w_q, attention.w_k))
    return query @ key.mT / query.shape[-1] ** 0.5                           # (B, H, T, d_k) @ (B, H, d_k, T)


def attention_score_loss(student, teacher, lengths=None):
    """Mean squared difference of two (B, H, T, T) scores, where query and key are real (Jiao et al., equation 7).

    Both must have as many heads: head h of the student learns from head h of the teacher.
    """
    if student.shape != teacher.shape:
        raise ValueError(f"scores {tuple(student.shape)} of the student, {tuple(teacher.shape)} of the teacher: "
                         "heads and tokens must be the same")
    real = real_places(teacher[:, 0], lengths)                               # (B, T)
    pairs = (real.unsqueeze(1) & real.unsqueeze(2)).unsqueeze(1).expand_as(teacher)          # (B, H, T, T)
    return F.mse_loss(student[pairs], teacher[pairs].detach())


def map_layers(n_student, n_teacher):
    """Which of the teacher's `hidden_states` each of the student's learns from: n_student + 1 numbers, 0 = embedding.

    Evenly, the last from the last: 2 of 6 gives [0, 3, 6]. Raises ValueError unless n_student divides n_teacher.
    """
    check_sizes(n_student=n_student, n_teacher=n_teacher)
    if n_teacher % n_student:
        raise ValueError(f"{n_student} layers cannot be spread evenly over {n_teacher}")
    return [number * (n_teacher // n_student) for number in range(n_student + 1)]


def start_from_layers(student, teacher, layers):
    """Copy the teacher's embedding, pooler and some of its blocks into a student of the same width; both are BERTs.

    layers: for each block of the student the number of the teacher's block, from 0 (Sanh et al. take every second).
    Raises ValueError where numbers or sizes do not fit, before anything is copied.
    """
    blocks = teacher.encoder.blocks
    if len(layers) != len(student.encoder.blocks) or not all(0 <= number < len(blocks) for number in layers):
        raise ValueError(f"layers={list(layers)} does not name one of {len(blocks)} blocks for each of "
                         f"{len(student.encoder.blocks)}")
    weights = {name: value for name, value in teacher.state_dict().items() if not name.startswith("encoder.")}
    for place, number in enumerate(layers):
        weights |= {f"encoder.blocks.{place}.{name}": value for name, value in blocks[number].state_dict().items()}
    load_matching(student, weights)


# ---------------------------------------------------------------- BigBird: fewer pairs


def bigbird_mask(T, window, n_global, random_keys=None):
    """Who attends to whom in BigBird: (T, T), True for neighbours, global tokens and some random keys.

    window: neighbours on each side. n_global: the first tokens, that see all and are seen by all. random_keys: for each
    query a list of further keys, or None. Raises ValueError for negative numbers and keys outside 0 … T - 1.
    """
    check_sizes(T=T)
    if window < 0 or n_global < 0 or (random_keys is not None and len(random_keys) != T):
        raise ValueError(f"window={window} and n_global={n_global} count tokens, random_keys has a list for each "
                         f"of {T}")
    place = torch.arange(T)
    mask = (place.unsqueeze(1) - place).abs() <= window                      # (T, 1) - (T,) -> (T, T)
    mask[:n_global] = mask[:, :n_global] = True
    for query, keys in enumerate([] if random_keys is None else random_keys):
        keys = torch.as_tensor(keys, dtype=torch.long)
        if ((keys < 0) | (keys >= T)).any():
            raise ValueError(f"keys of query {query} must be 0 … {T - 1}, got {keys.tolist()}")
        mask[query, keys] = True
    return mask


def draw_random_keys(mask, n_random, generator=None):
    """For each query n_random keys that its mask (T, T) does not allow yet: a list of T lists.

    They are drawn once, and then belong to the model: other keys at every call would be another model at every call.
    A query that is left with fewer gets those.
    """
    drawn = torch.rand(mask.shape, generator=generator).masked_fill(mask, -1)                # allowed keys come last
    best = drawn.topk(min(n_random, len(mask)), dim=-1)
    return [keys[values >= 0].tolist() for values, keys in zip(*best, strict=True)]


def expand_layout(layout, block):
    """A mask of blocks as a mask of tokens: (n, n) -> (n·block, n·block)."""
    check_sizes(block=block)
    return layout.repeat_interleave(block, 0).repeat_interleave(block, 1)


def sparse_attention(query, key, value, layout, block):
    """Attention between some pairs of blocks only; the others are never computed.

    query, key (B, H, T, d_k), value (B, H, T, d_v); layout (n, n), True where block q of queries may see block k of
    keys, T = n·block -> (B, H, T, d_v), equal to attention under the mask `expand_layout(layout, block)`.
    Raises ValueError where the sizes do not fit.
    """
    n = len(layout)
    if layout.shape != (n, n) or layout.dtype != torch.bool or query.shape[2] != n * block or (
            key.shape[2] != value.shape[2] or key.shape[2] != n * block):
        raise ValueError(f"layout {layout.dtype} {tuple(layout.shape)} with blocks of {block} does not fit "
                         f"{query.shape[2]} queries, {key.shape[2]} keys and {value.shape[2]} values")
    query, key, value = (x.unflatten(2, (n, block)) for x in (query, key, value))            # (B, H, n, block, d_k)
    output = value.new_zeros(*query.shape[:-1], value.shape[-1])             # a block that sees nothing keeps zeros
    counts = layout.sum(-1)                                                  # (n,): blocks that each one sees
    for count in counts[counts > 0].unique().tolist():                       # those with equally many, all at once
        rows = (counts == count).nonzero().squeeze(1)                        # (R,)
        seen = layout[rows].nonzero()[:, 1].view(-1, count)                  # (R, count)
        keys, values = key[:, :, seen].flatten(3, 4), value[:, :, seen].flatten(3, 4)        # (B, H, R, count·block, d)
        output[:, :, rows] = scaled_dot_product_attention(query[:, :, rows], keys, values)[0]
    return output.flatten(2, 3)                                              # (B, H, n, block, d_v) -> (B, H, T, d_v)


# ---------------------------------------------------------------- published weights

# Names of `transformers`' ALBERT, and ours; the rest is named as in BERT. ELECTRA has BERT's names and its own head.
ALBERT_NAMES = (
    ("albert.", "bert."), ("encoder.embedding_hidden_mapping_in", "embedding.project"),
    ("encoder.albert_layer_groups.0.albert_layers.0.", "encoder.block."),
    ("full_layer_layer_norm", "around_feed_forward.norm"), ("attention.LayerNorm", "around_attention.norm"),
    ("attention.query", "attention.w_q"), ("attention.key", "attention.w_k"), ("attention.value", "attention.w_v"),
    ("attention.dense", "attention.w_o"), ("ffn_output", "feed_forward.w_2"), ("ffn.", "feed_forward.w_1."),
    ("predictions.LayerNorm", "norm"), ("predictions.bias", "word_bias"), ("predictions.dense", "transform"),
    ("sop_classifier.classifier", "next"),
)
ELECTRA_NAMES = (
    ("electra.", "bert."), ("embeddings_project", "embedding.project"),
    ("discriminator_predictions.dense_prediction", "detect"), ("discriminator_predictions.dense", "transform"),
)


def under_our_names(theirs, names):
    """The weights of a model, or of a state dict, under our names: first those of `names`, then BERT's."""
    weights = theirs.state_dict() if isinstance(theirs, nn.Module) else theirs
    return our_names({renamed(name, names): value for name, value in weights.items()})


def copy_transformers_albert(ours, theirs):
    """Copy `transformers`' AlbertModel or AlbertForPreTraining, or a state dict, into our model of its kind.

    Raises ValueError where names or sizes differ, before anything is copied.
    """
    load_into(ours, under_our_names(theirs, ALBERT_NAMES))


def copy_transformers_electra(ours, theirs):
    """Copy `transformers`' ElectraModel into an ALBERT that shares no block, or ElectraForPreTraining into a
    `Discriminator` of one. ELECTRA has no pooler: ours stays as it is. Raises ValueError as above.
    """
    pooler = {name.removeprefix("bert."): value for name, value in ours.state_dict().items() if "pooler" in name}
    load_into(ours, under_our_names(theirs, ELECTRA_NAMES) | {f"bert.{name}": value for name, value in pooler.items()})


def load_into(ours, weights):
    """Load weights named as in a model with its tasks; an encoder on its own has no prefix `bert.`."""
    if hasattr(ours, "embedding"):
        weights = {name.removeprefix("bert."): value for name, value in weights.items()}
    load_matching(ours, weights)
