"""Exercises and quizzes of chapter 11, smaller, faster, longer."""

import contextlib
import copy
import io
import random
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.exercises.attempts import names_written
from course_utils.exercises.combining import alone, alone_and_in_pairs
from course_utils.exercises.comparing import as_tensor, plain, same, short
from course_utils.exercises.engine import Case, Choice, Exercise, Question, RuleBroken
from course_utils.exercises.refusing import refusing, value_or_refusal, weak_refusals

# --- 11.1 -------------------------------------------------------------------------------------------------------------

def albert_weights(vocab, d_embedding, d_model, d_ff, n_layers, shared=True, max_length=512, n_segments=2):
    """How many numbers ALBERT learns: embeddings, projection, blocks and pooler. Returns an int.

    The three tables (words, positions, segments) have rows of size d_embedding, and so has the layer norm of their sum.
    A linear layer then leads to d_model. shared=True: one encoder block is used n_layers times (at least once);
    shared=False: each depth has a block of its own. The pooler is a linear layer, d_model to d_model. All linear layers
    have a bias. Nothing is counted for the tasks of the pre-training.
    """
    embeddings = (vocab + max_length + n_segments) * d_embedding + 2 * d_embedding   # the norm: gain and bias
    projection = d_embedding * d_model + d_model
    attention = 4 * (d_model * d_model + d_model)                   # W_Q, W_K, W_V and W_O
    feed_forward = d_model * d_ff + d_ff + d_ff * d_model + d_model
    block = attention + feed_forward + 2 * 2 * d_model              # with two norms
    pooler = d_model * d_model + d_model
    return embeddings + projection + (1 if shared else n_layers) * block + pooler


def _albert_count(
    tables=("E", "E", "E"), norm=lambda E, C: 2 * E, projection=lambda E, C: E * C + C, matrices=4, vectors=8,
    widths=(1, 1), pooler=(1, 1), times=lambda parts, n, shared: sum(parts) * (1 if shared else n),
    more=lambda V, E, C: 0, given=lambda *sizes: sizes,
):
    """A count with one part exchanged.

    tables: the row size of words, positions and segments, a letter each ("" = not counted); matrices: of an attention;
    vectors: of size C in its biases and the two norms; widths: how often the feed-forward network's biases of size d_ff
    and of size C count; pooler: how often its matrix and bias count; times: weights of attention and feed-forward part,
    n_layers, shared -> weights of all blocks; more: what is added; given: all sizes -> the sizes that are used.
    """
    def answer(vocab, d_embedding, d_model, d_ff, n_layers, shared=True, max_length=512, n_segments=2):
        V, E, C, hidden, length, segments = given(vocab, d_embedding, d_model, d_ff, max_length, n_segments)
        rows = {"E": E, "C": C, "": 0}
        embeddings = sum(count * rows[size] for count, size in zip((V, length, segments), tables, strict=True))
        parts = matrices * C * C + vectors * C, 2 * C * hidden + widths[0] * hidden + widths[1] * C
        return (embeddings + norm(E, C) + projection(E, C) + times(parts, n_layers, shared)
                + pooler[0] * C * C + pooler[1] * C + more(V, E, C))
    return answer


ALBERT_WEIGHTS = Exercise(
    id="11.1",
    title="Count ALBERT's weights",
    about=("albert-factorised", "albert-sharing"),
    reference=albert_weights,
    seconds=30.0,                  # an answer may build the modules and count
    hints=(
        "Four parts: the embeddings at size d_embedding, the projection, the block or blocks, the pooler.",
        "A linear layer from a to b has a · b weights and b biases. The projection leads from d_embedding to d_model.",
        "A block: four linear layers d_model to d_model (W_Q, W_K, W_V, W_O), the feed-forward network's two, and two "
        "norms of 2 · d_model each. How often does it stand in memory if it is shared?",
    ),
    cases=(
        Case("small sizes, one shared block", lambda: (100, 6, 8, 24, 3, True, 20, 4),
             "The block is used three times. It stands in memory once."),
        Case("a block for each depth", lambda: (50, 3, 10, 14, 5, False, 12, 3)),
        Case("the sizes of ALBERT-base", lambda: (30000, 128, 768, 3072, 12), "11,683,584: the paper says 12M."),
        Case("the same sizes, not shared", lambda: (30000, 128, 768, 3072, 12, False)),
        Case("one layer, not shared", lambda: (1000, 16, 64, 128, 1, False, 128, 2)),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _albert_count,
            ({"times": lambda parts, n, shared: sum(parts) * n},
             "You count the shared block n_layers times, as if each depth had a copy. It is used n_layers times, but "
             "it stands in memory once."),
            ({"tables": ("E", "C", "C")},
             "Your positions and segments have rows of size d_model. They are added to the words before the "
             "projection, so all three tables have size d_embedding."),
            ({"projection": lambda E, C: 0},
             "You leave out the projection from d_embedding to d_model, d_embedding · d_model + d_model."),
            ({"projection": lambda E, C: E * C},
             "You leave out the bias of the projection, d_model."),
            ({"vectors": 4},
             "You leave out 4 · d_model in a block. Two things have this size: the biases of W_Q, W_K, W_V and W_O, "
             "and the two layer norms."),
            ({"pooler": (0, 0)}, "You leave out the pooler, d_model² + d_model."),
        ),
        *alone(
            (_albert_count(times=lambda parts, n, shared: sum(parts)),
             "You count one block in either case. With shared=False each depth has a block of its own."),
            (_albert_count(times=lambda parts, n, shared: sum(parts) * (n if shared else 1)),
             "Your two cases are exchanged: with shared=True the block counts once, else n_layers times."),
            (_albert_count(times=lambda parts, n, shared: parts[0] * (1 if shared else n) + parts[1] * n),
             "You share the attention only. ALBERT shares the whole block: the feed-forward network counts once, too."),
            (_albert_count(times=lambda parts, n, shared: parts[0] * n + parts[1] * (1 if shared else n)),
             "You share the feed-forward network only. ALBERT shares the whole block: the attention counts once, too."),
            (_albert_count(("C", "C", "C"), norm=lambda E, C: 2 * C, projection=lambda E, C: 0),
             "You count BERT's embeddings, of size d_model. ALBERT's have size d_embedding, and a projection follows."),
            (_albert_count(("C", "C", "C"), norm=lambda E, C: 2 * C),
             "Your tables have rows of size d_model. Only the projection leads there: the tables have d_embedding."),
            (_albert_count(("E", "", "")),
             "You count the table of words alone. Positions and segments have a table each, of size d_embedding."),
            (_albert_count(("E", "E", "")), "You leave out the table of segments, n_segments · d_embedding."),
            (_albert_count(("E", "", "E")), "You leave out the table of positions, max_length · d_embedding."),
            (_albert_count(projection=lambda E, C: 3 * E * C + C),
             "You count the matrix of the projection once for each table. The three vectors of a token are added "
             "first, and one linear layer follows."),
            (_albert_count(norm=lambda E, C: 6 * E),
             "You count a layer norm for each table. There is one, for the sum of the three: 2 · d_embedding."),
            (_albert_count(vectors=6),
             "You leave out 2 · d_model in a block. It has two layer norms, and each has a gain and a bias for every "
             "feature."),
            (_albert_count(vectors=6, norm=lambda E, C: E),
             "Your layer norms have one number for each feature. Each has two, a gain and a bias."),
            (_albert_count(projection=lambda E, C: E * C + E),
             "Your projection has a bias of d_embedding numbers. A bias has the size of the output: d_model."),
            (_albert_count(norm=lambda E, C: 2 * C),
             "Your norm of the embeddings has size d_model. It stands before the projection, so it has 2 · "
             "d_embedding."),
            (_albert_count(norm=lambda E, C: 0), "You leave out the layer norm of the embeddings, 2 · d_embedding."),
            (_albert_count(vectors=4, widths=(0, 0), pooler=(1, 0), projection=lambda E, C: E * C),
             "You count no biases of linear layers. Each linear layer has one, projection and pooler too."),
            (_albert_count(widths=(0, 0)),
             "You leave out the biases of the feed-forward network, d_ff + d_model in a block."),
            (_albert_count(matrices=3, vectors=7),
             "You leave out W_O, which mixes the heads: an attention has four matrices with a bias each."),
            (_albert_count(more=lambda V, E, C: V * E),
             "You count an output layer for the words. It belongs to the pre-training; its matrix is the word table."),
            (_albert_count(given=lambda V, E, C, hidden, *others: (V, E, C, 4 * C, *others)),
             "You take 4 · d_model in place of d_ff. That is usual, but d_ff is an argument."),
            (_albert_count(given=lambda V, E, C, hidden, length, segments: (V, E, C, hidden, 512, 2)),
             "You count 512 positions and two segments, whatever the arguments say. Use max_length and n_segments."),
            (lambda *sizes: albert_weights(*sizes) / 1e6, "You return millions. The whole number is asked for."),
        ),
    ),
)


# --- 11.2 -------------------------------------------------------------------------------------------------------------

def share_layers(block, n_layers):
    """A stack that sends its input through the same block n_layers times. Returns an nn.Module.

    block: an nn.Module that takes x (B, T, C) and returns (B, T, C). The stack's parameters() are those of block, each
    of them once. n_layers is at least 1.
    """
    return nn.Sequential(*[block] * n_layers)      # one block with n_layers places, and no copy of it


class _Residual(nn.Module):
    """A block that adds to its input, as the sublayers of a Transformer do."""

    def __init__(self, C):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(C), nn.Linear(C, C)

    def forward(self, x):
        return x + self.linear(self.norm(x)).relu()


def _tanh_block(C):
    return nn.Sequential(nn.Linear(C, C), nn.Tanh())


def _stack_of(n_layers, *shape, make=_tanh_block):
    return lambda: (make(shape[-1]), n_layers, torch.randn(shape))


def _as_stack(answer, block, n_layers, x):
    """What can be seen of a stack: its number of weights, its output, and what the block would learn from it."""
    try:
        stack = answer(block, n_layers)
    except ValueError as error:
        if "add operator supports only" not in str(error):
            raise
        raise RuleBroken("Expected an nn.Sequential on either side of +, got something else on the right. Write "
                         "nn.Sequential(block) there, too, or stack.append(block).") from error
    if stack is None:
        return None
    if not isinstance(stack, nn.Module):
        why = ": numpy cannot follow gradients" if isinstance(stack, np.ndarray) else ""
        raise RuleBroken(f"Expected an nn.Module, got {short(stack)}{why}.")
    try:
        output = stack(x)
    except TypeError as error:
        if "unexpected keyword argument 'mask'" not in str(error):
            raise
        raise RuleBroken("Expected a stack that calls block(x), got one that also hands mask to it. SharedStack does "
                         "so: it is made for blocks that take a mask. This block takes x alone.") from error
    if not isinstance(output, torch.Tensor):
        raise RuleBroken(f"Expected a stack that returns one tensor, got one that returns {short(output)}.")
    weights, gradients = list(block.parameters()), [None]
    if output.requires_grad:
        gradients = torch.autograd.grad(output.square().sum(), weights, allow_unused=True)
    return {
        "number of weights": sum(weight.numel() for weight in stack.parameters()),
        "output": output,
        "gradient of block's first weights": torch.zeros_like(weights[0]) if gradients[0] is None else gradients[0],
    }


class _Stack(nn.Module):
    """A stack with a forward of its own. forward: x, blocks -> output; listed: blocks in a list, which hides them."""

    def __init__(self, forward, blocks, listed=False):
        super().__init__()
        self.way, self.blocks = forward, list(blocks) if listed else nn.ModuleList(blocks)

    def forward(self, x):
        return self.way(x, self.blocks)


def _in_turn(x, blocks):
    for block in blocks:
        x = block(x)
    return x


def _adding_x(x, blocks):
    for block in blocks:
        x = x + block(x)
    return x


def _without_init(block, n_layers):
    class Shared(nn.Module):
        def __init__(self, block, n_layers):
            self.block, self.n_layers = block, n_layers

    return Shared(block, n_layers)


SHARE_LAYERS = Exercise(
    id="11.2",
    title="One block at every depth",
    about=("albert-sharing",),
    reference=share_layers,
    run=_as_stack,
    hints=(
        "A Python list may hold the same object several times: [block] * 3 has three places and one block. What would "
        "copy.deepcopy change?",
        "nn.Sequential sends x through the modules that it is given, one after another. It takes the same one again.",
        "Or write a class: __init__ calls super().__init__() and sets self.block, forward calls self.block in a loop.",
    ),
    cases=(
        Case("three layers", _stack_of(3, 2, 5, 4), "The output of one layer is the input of the next one."),
        Case("five layers", _stack_of(5, 3, 2, 6)),
        Case("a block that adds to its input", _stack_of(4, 1, 3, 8, make=_Residual)),
        Case("one layer", _stack_of(1, 4, 6, 3), "One layer is the block itself, called once."),
    ),
    misconceptions=alone(
        (lambda block, n_layers: nn.Sequential(*[copy.deepcopy(block) for _ in range(n_layers)]),
         "You copy the block for each layer (copy.deepcopy). At the start the copies give the same output, but each "
         "has weights of its own, and each learns something else. Use block itself, n_layers times."),
        (lambda block, n_layers: nn.Sequential(block, *[copy.deepcopy(block) for _ in range(n_layers - 1)]),
         "Your first layer is block, and the others are copies of it with weights of their own. Use block itself at "
         "every depth."),
        (lambda block, n_layers: nn.Sequential(*[copy.deepcopy(block)] * n_layers),
         "Your layers share their weights, but with a copy: block itself is not in the stack, so it learns nothing."),
        (lambda block, n_layers: block,
         "Your x goes through the block once, whatever n_layers is. Each layer reads what the one before it gave; the "
         "mean of n_layers calls with the same x is one call, too."),
        (lambda block, n_layers: _Stack(lambda x, blocks: x, [block] * n_layers),
         "Your stack gives x back as it came. block(x) does not change x, it returns a new tensor: x = block(x)."),
        (lambda block, n_layers: nn.Sequential(*[block] * n_layers**2),
         "Your x goes through the block n_layers · n_layers times: two loops, or a loop over a list that holds the "
         "block n_layers times already. One of them is enough."),
        (lambda block, n_layers: _Stack(lambda x, blocks: sum(block(x) for block in blocks), [block] * n_layers),
         "You send the same x through the block n_layers times and add the outputs. Each layer reads what the one "
         "before it gave: x = block(x)."),
        (lambda block, n_layers: _Stack(_adding_x, [block] * n_layers),
         "You add x to the output of each layer. Whether a block adds its input is the block's own matter: x = "
         "block(x)."),
        (lambda block, n_layers: nn.Sequential(*[block] * (n_layers + 1)),
         "Your stack is one layer too deep. block itself counts: [block] * n_layers."),
        (lambda block, n_layers: nn.Sequential(*[block] * (n_layers - 1)),
         "Your stack has one layer too few: n_layers counts every call of the block."),
        (lambda block, n_layers: _Stack(_in_turn, [block] * n_layers, listed=True),
         "Your output is right, but the block stands in a Python list, where nn.Module does not look: parameters() is "
         "empty, and an optimiser would train nothing. Set self.block = block, or use nn.ModuleList."),
        (lambda block, n_layers: lambda x: _in_turn(x, [block] * n_layers),
         "You return a function. It may compute the right thing, but it has no parameters(), so no optimiser and no "
         "saved file would find the block. Return an nn.Module, such as nn.Sequential."),
        (lambda block, n_layers: [block] * n_layers,
         "You return a list of layers. It cannot be called with x: put them into nn.Sequential(*layers)."),
        (lambda block, n_layers: nn.Sequential([block] * n_layers),
         "You give nn.Sequential one list. It takes the layers one by one: nn.Sequential(*layers), with a star."),
        (lambda block, n_layers: nn.ModuleList([block] * n_layers),
         "You return an nn.ModuleList. It keeps the layers but cannot be called with x: it has no forward. "
         "nn.Sequential(*layers) has one."),
        (_without_init,
         "Your class does not call super().__init__() first. nn.Module prepares there where parts such as self.block "
         "are kept."),
    ),
)


# --- 11.3 -------------------------------------------------------------------------------------------------------------

def order_pair(sentences, place, swapped):
    """A pair for sentence-order prediction: (first, second, label).

    sentences: the sentences of one text, in their order; the pair is sentence number place, from 0, and the one that
    follows it. swapped=False: in this order, label 0. swapped=True: turned round, label 1. ValueError where no sentence
    follows.
    """
    if place + 1 >= len(sentences):
        raise ValueError("the last sentence of a text has no next one")
    first, second = sentences[place], sentences[place + 1]
    return (second, first, 1) if swapped else (first, second, 0)


_STORY = "Open the file.", "Wait.", "Read a line.", "Sort it.", "Wait.", "Close the file.", "Go home."


def _story(count, place, swapped):
    return lambda: (list(_STORY[:count]), place, swapped)


def _no_follower(sentences, place, swapped):
    return place + 1 >= len(sentences)


def _order_or_refusal(answer, *inputs):
    pair = value_or_refusal(answer, inputs, wrong=_no_follower(*inputs))
    if isinstance(pair, list | tuple):           # numpy's text is text
        return [item.item() if isinstance(item, np.ndarray) and item.ndim == 0 else item for item in pair]
    return pair.tolist() if isinstance(pair, np.ndarray) else pair


def _follower(sentences, place, swapped):
    return sentences[place + 1]


def _as_asked(one, other, swapped):
    return (other, one) if swapped else (one, other)


def _ordering(labels=(0, 1), partner=_follower, turn=_as_asked, wrong=_no_follower):
    """A pair with one part exchanged.

    labels: for the two orders; partner: the inputs -> the other sentence; turn: sentence, partner, swapped -> the pair;
    wrong: inputs -> whether they are refused.
    """
    def pair(sentences, place, swapped):
        other = partner(sentences, place, swapped)
        return *turn(sentences[place], other, swapped), labels[bool(swapped)]
    return refusing(pair, wrong)


def _by_text(sentences, place, swapped):
    return sentences[sentences.index(sentences[place]) + 1]


ORDER_PAIR = Exercise(
    id="11.3",
    title="Two sentences for sentence-order prediction",
    about=("sentence-order",),
    reference=order_pair,
    returns=("first", "second", "label"),
    run=_order_or_refusal,
    hints=(
        "Both sentences come from the same text and are neighbours: place and place + 1. Only their order is asked.",
        "Ask first whether sentences[place + 1] exists, and refuse with raise ValueError(…) where it does not.",
        "Two results: (first, second, 0), or, swapped, (second, first, 1).",
    ),
    cases=(
        Case("in order", _story(5, 0, False)),
        Case("swapped", _story(6, 1, True), "A swapped pair begins with the sentence that stands behind the other."),
        Case("in order, the last two sentences", _story(7, 5, False)),
        Case("a sentence that stands in the text twice", _story(6, 4, False),
             "The number says which one it is, not its text."),
        Case("the last sentence", _story(3, 2, False), "Nothing follows it."),
        Case("the last sentence, swapped", _story(4, 3, True), "Swapped or not, a pair needs a sentence that follows."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _ordering,
            ({"labels": (1, 0)}, "Your labels are exchanged: 1 says that the pair is swapped, 0 that it is in order."),
            ({"turn": lambda one, other, swapped: (one, other)},
             "You never turn the pair round. With swapped=True the sentence that follows comes first."),
            ({"turn": lambda one, other, swapped: _as_asked(one, other, not swapped)},
             "Your sentences are turned round where they should be in order, and the other way about."),
            ({"partner": lambda sentences, place, swapped: sentences[(place + 2) % len(sentences)]},
             "Your partner stands two places further on. Only neighbours tell about order: place and place + 1."),
            ({"partner": lambda sentences, place, swapped: sentences[place - 1]},
             "Your partner is the sentence in front. The one behind it is asked for: place + 1."),
            ({"partner": _by_text},
             "You look the sentence up by its text, as .index() does, and find the earliest one with this text. Its "
             "number is place."),
        ),
        *alone(
            (_ordering(wrong=lambda *inputs: False),
             "You do not ask whether a next sentence exists. Python's own error, the IndexError, does not say what is "
             "wrong: raise ValueError(…)."),
            (_ordering(partner=lambda sentences, place, swapped: sentences[(place + 1) % len(sentences)],
                       wrong=lambda *inputs: False),
             "You start again at the beginning: behind the last sentence comes the first one. They are no neighbours: "
             "raise ValueError(…)."),
            (_ordering(wrong=lambda sentences, place, swapped: place + 2 >= len(sentences)),
             "You refuse one sentence too many: the last but one has a next one, the last."),
            (_ordering(wrong=lambda sentences, place, swapped: not swapped and place + 1 >= len(sentences)),
             "You refuse a missing next sentence only where swapped is False. A swapped pair needs it, too."),
            (_ordering(partner=lambda sentences, place, swapped: sentences[place - 1 if swapped else place + 1],
                       turn=lambda one, other, swapped: (one, other)),
             "You take the sentence in front where swapped is True. It is the same pair as before, place and place + "
             "1, in the other order."),
            (_ordering(turn=lambda one, other, swapped: (other if swapped else one, other)),
             "You give the same sentence twice where swapped is True. first = second; second = first loses the first "
             "one. Write first, second = second, first."),
            (_ordering(labels=("in order", "swapped")),
             "Your labels are words. The loss wants numbers: 0 in order, 1 swapped."),
            (_ordering(labels=(0, 0)), "Your label is always 0. A swapped pair has the label 1."),
        ),
        *weak_refusals(order_pair, _no_follower, "a sentence that nothing follows"),
    ),
)


# --- 11.4 -------------------------------------------------------------------------------------------------------------

def detector_labels(ids, replaced, chosen, lengths):
    """The labels of ELECTRA's discriminator, (B, T): 1 = replaced, 0 = original, -100 = padding.

    ids (B, T): the true tokens; replaced (B, T): what the discriminator reads, with tokens that the generator drew;
    chosen (B, T), boolean: where it was asked for one; lengths (B,): the number of tokens of each sentence, before the
    padding.
    """
    labels = (ids != replaced).long()                                # a lucky draw is an original token
    real = torch.arange(ids.shape[1]) < lengths.unsqueeze(1)         # (T,) < (B, 1) -> (B, T)
    return labels.masked_fill(~real, -100)


def _read_tokens(*rows):
    """A batch, padded with 0, from texts such as "7 3>5 4>4": at place 1 a 5 was drawn for 3, at place 2 a 4 for 4."""
    def make():
        sentences = [[token.partition(">") for token in row.split()] for row in rows]
        T = max(map(len, sentences)) + 1                             # every row has padding
        shape = len(rows), T
        ids, replaced = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        chosen = torch.zeros(shape, dtype=torch.bool)
        for b, sentence in enumerate(sentences):
            for t, (true, drawn, token) in enumerate(sentence):
                ids[b, t], replaced[b, t], chosen[b, t] = int(true), int(token or true), bool(drawn)
        return ids, replaced, chosen, torch.tensor([len(sentence) for sentence in sentences])
    return make


def _differing(ids, replaced, chosen):
    return ids != replaced


def _within(ids, replaced, lengths):
    return torch.arange(ids.shape[1]) < lengths.unsqueeze(1)


def _labelling(mark=_differing, real=_within, asked=lambda differs, chosen: True, filler=-100):
    """Labels with one part exchanged.

    mark: ids, replaced, chosen -> labels; real: ids, replaced, lengths -> where there are tokens; asked: where tokens
    differ, chosen -> which of them have a label; filler: the label of all other places.
    """
    def answer(ids, replaced, chosen, lengths):
        kept = real(ids, replaced, lengths) & asked(ids != replaced, chosen)
        return mark(ids, replaced, chosen).long().masked_fill(~kept, filler)
    return answer


DETECTOR_LABELS = Exercise(
    id="11.4",
    title="What the discriminator has to say",
    about=("electra",),
    reference=detector_labels,
    returns="(B, T)",
    hints=(
        "The generator may draw the very token that was hidden. Is such a token replaced?",
        "Compare what is read with what is true, at all places: ids != replaced. .long() makes 0 and 1 of it.",
        "torch.arange(T) < lengths[:, None] is True at the real places. All others get -100, and the loss leaves them "
        "out.",
    ),
    cases=(
        Case("all chosen tokens are replaced", _read_tokens("7 3>5 4 9", "6 2>8", "5 8 3>4"),
             "The tokens that nobody touched have the label 0: the loss is taken at every place."),
        Case("some draws are lucky", _read_tokens("7 3>3 4>6 9 2>2", "6>6 2 8>3"),
             "A drawn token that equals the true one is an original token: label 0."),
        Case("nothing was chosen", _read_tokens("4 4 2 9 6 7"), "Every token is an original one."),
        Case("token 0 is a word", _read_tokens("0 3>0 4 0>7", "5 0>0"), "Only lengths says where padding begins."),
        Case("all draws are lucky", _read_tokens("2>2 5>5", "9 8>8 3", "6 6>6 6>6 1", "7")),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _labelling,
            ({"mark": lambda ids, replaced, chosen: chosen},
             "Your labels are chosen. Where the generator drew the true token again nothing was replaced, and the "
             "label is 0: compare ids with replaced."),
            ({"mark": lambda ids, replaced, chosen: ids == replaced},
             "Your labels are inverted: 1 says that a token was replaced, 0 that it is the original."),
            ({"asked": lambda differs, chosen: chosen},
             "You give labels at the chosen places only, as masked language modelling does. ELECTRA asks at every "
             "real place: the untouched tokens have the label 0."),
            ({"real": lambda ids, replaced, lengths: ids != 0},
             "You take every token 0 for padding. Here 0 can be a word: only lengths says where padding begins."),
            ({"filler": -1}, "Your padding has the label -1. The loss leaves out -100."),
        ),
        *alone(
            (_labelling(filler=0),
             "Your padding has the label 0: the loss would count it as original text. It has -100, which the loss "
             "leaves out: look at lengths."),
            (_labelling(filler=1),
             "Your padding has the label 1. A bool tensor holds True and False only, so -100 becomes True there: make "
             "whole numbers first, (ids != replaced).long()."),
            (_labelling(real=lambda ids, replaced, lengths: ~_within(ids, replaced, lengths)),
             "Your places are turned round: real tokens have -100, and padding has the labels. Place t is real where t "
             "< length."),
            (_labelling(real=lambda ids, replaced, lengths: torch.arange(ids.shape[1]) < lengths.max()),
             "You cut all sentences at the longest one. Each has a length of its own: lengths[b] for row b."),
            (lambda ids, replaced, chosen, lengths: chosen.long(),
             "You return chosen as it is. A place where the generator drew the true token again has the label 0, and "
             "padding has -100."),
            (lambda ids, replaced, chosen, lengths: (ids == replaced).long(),
             "Your labels are inverted, 1 says that a token was replaced; and your padding has a label, too. It has "
             "-100, which the loss leaves out."),
            (_labelling(real=lambda ids, replaced, lengths: torch.arange(ids.shape[1]) <= lengths.unsqueeze(1)),
             "Your sentences are one place too long: the last place has number lengths - 1, so < and not <=."),
            (_labelling(real=lambda ids, replaced, lengths: replaced != 0),
             "You take every 0 in replaced for padding. Here 0 can be a word: only lengths says where padding begins."),
            (_labelling(asked=lambda differs, chosen: ~chosen | differs),
             "You leave out the places where the draw was lucky. They have a label like all others: 0, the original."),
            (_labelling(asked=lambda differs, chosen: differs),
             "You give labels to the replaced tokens only. The loss needs the originals, too: label 0 at all other "
             "real places."),
            (_labelling(lambda ids, replaced, chosen: ids, asked=lambda differs, chosen: chosen),
             "Your labels are the true tokens at the chosen places. Those are the generator's labels; the "
             "discriminator says of each token whether it was replaced."),
            (_labelling(lambda ids, replaced, chosen: ids),
             "Your labels are the true tokens. The discriminator does not name tokens: it says of each one whether it "
             "was replaced."),
        ),
    ),
)


# --- 11.5 -------------------------------------------------------------------------------------------------------------

def distil_loss(student, teacher, temperature):
    """How far the student's softened probabilities lie from the teacher's: τ² · KL(teacher ‖ student).

    student, teacher: logits (B, n); temperature: τ, above 0; both logits are divided by it before the softmax.
    KL(p ‖ q) = Σ p (log p - log q) over the n classes. Returns the mean over the B rows, times τ²: one number.
    """
    log_teacher = (teacher / temperature).log_softmax(-1)                       # (B, n)
    log_student = (student / temperature).log_softmax(-1)
    divergence = (log_teacher.exp() * (log_teacher - log_student)).sum(-1)      # (B, n) -> (B,)
    return temperature ** 2 * divergence.mean()


def _two_logits(B, n, temperature, scale=2.0):
    return lambda: (scale * torch.randn(B, n), scale * torch.randn(B, n), temperature)


def _agreeing_logits():
    """The teacher's logits are the student's and one number more in each row, which a softmax forgets."""
    student = 2 * torch.randn(5, 3)
    return student, student + torch.arange(5.0).unsqueeze(1), 3.0


def _sure_logits():
    """A student and a teacher that give some class a probability too small for a float."""
    student, teacher = torch.randn(2, 6), torch.randn(2, 6)
    student[0, 1] = teacher[0, 1] = teacher[1, 4] = -400.0
    return student, teacher, 1.5


def _soft(logits, temperature):
    return (logits / temperature).log_softmax(-1)


def _hard(logits, temperature):
    return logits.log_softmax(-1)


def _over_classes(terms):
    return terms.sum(-1).mean()


def _distilling(soften=(_soft, _soft), compare=lambda p, q: p.exp() * (p - q), factor=lambda T: T**2,
                over=_over_classes):
    """A loss with one part exchanged.

    soften: how log probabilities come from the teacher's and from the student's logits; compare: both -> (B, n);
    factor: T -> number; over: (B, n) -> number.
    """
    def answer(student, teacher, temperature):
        logs = [make(logits, temperature) for make, logits in zip(soften, (teacher, student), strict=True)]
        return factor(temperature) * over(compare(*logs))
    return answer


DISTIL_LOSS = Exercise(
    id="11.5",
    title="Learning from soft targets",
    about=("distilbert",),
    reference=distil_loss,
    hints=(
        "Two distributions, both at temperature τ: (logits / temperature), then a softmax over the classes. The "
        "teacher's stands first: it weighs the differences.",
        "log_softmax(-1) gives the logarithms directly and stays finite where a softmax gives 0. log_teacher.exp() are "
        "the teacher's probabilities.",
        "Σ p (log p - log q) runs over the classes of a row. Then comes the mean over the rows, and τ² once.",
        "F.kl_div(log_student, teacher_probabilities, reduction=\"batchmean\") is this mean without τ². Its arguments "
        "stand in the other order, and \"mean\" divides by the classes, too.",
    ),
    cases=(
        Case("three rows, five classes, τ = 2", _two_logits(3, 5, 2.0)),
        Case("four rows, seven classes, τ = 4", _two_logits(4, 7, 4.0, scale=4.0),
             "The gradient of the divergence shrinks as 1/τ². The factor τ² keeps its size."),
        Case("τ = 1", _two_logits(6, 4, 1.0), "At τ = 1 the temperature changes nothing."),
        Case("one row, τ = 0.5", _two_logits(1, 8, 0.5)),
        Case("a student that agrees with the teacher", _agreeing_logits,
             "A softmax forgets what is added to a whole row. The distributions are equal, so the loss is 0."),
        Case("classes with a probability of almost 0", _sure_logits,
             "A term whose teacher's probability is 0 is 0, and must not become NaN."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _distilling,
            ({"compare": lambda p, q: q.exp() * (q - p)},
             "Your divergence is the wrong way round: KL(student ‖ teacher). The teacher's probabilities weigh the "
             "differences: Σ p_teacher (log p_teacher - log p_student)."),
            ({"factor": lambda T: 1},
             "The factor τ² is missing. Without it the gradient shrinks as τ grows, and any other loss beside it "
             "takes over."),
            ({"soften": (_soft, _hard)},
             "You divide the teacher's logits by τ and not the student's. Both are softened, or the student learns to "
             "be as flat as the softened teacher."),
            ({"soften": (_hard, _soft)},
             "You divide the student's logits by τ and not the teacher's. The targets are to be soft, so both are "
             "divided."),
            ({"over": torch.mean},
             "You take the mean over all B · n numbers, as F.kl_div does with reduction=\"mean\". Sum over the "
             "classes, then take the mean over the rows: \"batchmean\"."),
        ),
        *alone(
            (_distilling(soften=(_hard, _hard), factor=lambda T: 1),
             "You do not use the temperature. Both logits are divided by τ, and the result is multiplied by τ²."),
            (_distilling(soften=(_hard, _hard)),
             "You multiply by τ², but no logits are divided by τ. Soften both first."),
            (_distilling(soften=2 * (lambda logits, T: (logits * T).log_softmax(-1),)),
             "You multiply the logits by τ, so a high temperature makes the probabilities sharper. Divide: logits / "
             "temperature."),
            (_distilling(soften=2 * (lambda logits, T: (logits.softmax(-1) / T).log(),)),
             "You divide probabilities by τ, and they no longer sum to 1. Divide the logits, then take the softmax."),
            (_distilling(factor=lambda T: T**-2),
             "You divide by τ². The gradient has already shrunk as 1/τ²: multiply by τ², so that it keeps its size."),
            (_distilling(factor=lambda T: T),
             "You multiply by τ. The gradient shrinks as 1/τ², once for each of the two softmaxes: the factor is τ²."),
            (_distilling(compare=lambda p, q: p.exp() * -q),
             "You give the cross-entropy, which is the divergence plus the teacher's entropy. The student's gradient "
             "is the same, but the number is not 0 where both agree. Subtract: log p_teacher - log p_student."),
            (_distilling(compare=lambda p, q: -q * F.one_hot(p.argmax(-1), p.shape[-1])),
             "You train on the class that the teacher says, not on its probabilities: the doubts are lost. Weigh all "
             "classes by p_teacher."),
            (lambda student, teacher, temperature: F.mse_loss(student, teacher),
             "You compare the logits themselves, by squared differences. The divergence compares the probabilities "
             "that a softmax makes of them."),
            (_distilling(compare=lambda p, q: p * (p - q)),
             "You weigh the differences by logarithms. The weights are the teacher's probabilities: "
             "log_teacher.exp()."),
            (_distilling(over=torch.sum), "You sum over the rows, so a large batch has a large loss. Take their mean."),
            (_distilling(compare=lambda p, q: p.exp() * (p - q.exp())),
             "You subtract the student's probabilities, not their logarithms. F.kl_div too wants logarithms as its "
             "first argument: log_softmax."),
            (_distilling(compare=lambda p, q: p.exp() * (q - p)),
             "Your sign is turned round: the divergence is never below 0. It is log p_teacher - log p_student."),
            (_distilling(soften=2 * (lambda logits, T: (logits / T).softmax(-1).log(),)),
             "You take the logarithm of a softmax. Where a probability is too small for a float, this is log 0, and "
             "the loss becomes NaN. log_softmax does both in one step and stays finite."),
            (lambda student, teacher, temperature: temperature**2 * F.kl_div(
                 *(_soft(logits, temperature) for logits in (student, teacher)), reduction="batchmean"),
             "You hand the teacher's logarithms to F.kl_div, which wants its probabilities as second argument: .exp(), "
             "or log_target=True."),
            (_distilling(soften=2 * (lambda logits, T: (logits / T).log_softmax(0),)),
             "Your softmax runs over the rows of the batch. It runs over the classes, the last axis."),
        ),
    ),
)


# --- 11.6 -------------------------------------------------------------------------------------------------------------

def match_states(student, teacher, weight, lengths):
    """The mean squared difference of the student's states, taken to the teacher's size, and the teacher's.

    student: (B, T, C_s); teacher: (B, T, C_t); weight: (C_t, C_s), of a linear layer without bias from C_s to C_t;
    lengths: (B,), how many of a text's T tokens are real, at least 1. What follows them is padding and does not count.
    Returns one number: the mean over the features of all real tokens.
    """
    real = torch.arange(student.shape[1]) < lengths.unsqueeze(1)           # (T,) < (B, 1) -> (B, T)
    projected = student @ weight.T                                         # (B, T, C_s) -> (B, T, C_t)
    return (projected - teacher)[real].square().mean()


def _two_states(lengths, T, C_s, C_t, agreeing=False):
    """States of a batch with these lengths. agreeing: at real tokens the student gives what the teacher has."""
    def make():
        B, counts = len(lengths), torch.tensor(lengths)
        student, weight = torch.randn(B, T, C_s), torch.randn(C_t, C_s) / C_s**0.5
        teacher = torch.randn(B, T, C_t)
        if agreeing:
            real = torch.arange(T) < counts.unsqueeze(1)
            teacher[real] = student[real] @ weight.T
        return student, teacher, weight, counts
    return make


def _to_teacher(student, teacher, weight):
    return student @ weight.T, teacher


def _to_student(student, teacher, weight):
    return student, teacher @ weight


def _over_real(terms, real):
    return terms[real].mean()


def _over_texts(terms, real):
    return torch.stack([row[keep].mean() for row, keep in zip(terms, real, strict=True)]).mean()


def _matching(sizes=_to_teacher, differ=lambda one, other: (one - other).square(), over=_over_real):
    """A loss with one part exchanged.

    sizes: student, teacher, weight -> two states of one size; differ: both -> (B, T, C); over: (B, T, C) and
    real (B, T) -> number.
    """
    def answer(student, teacher, weight, lengths):
        real = torch.arange(student.shape[1]) < lengths.unsqueeze(1)
        return over(differ(*sizes(student, teacher, weight)), real)
    return answer


def _one_less_cosine(one, other):
    return 1 - F.cosine_similarity(one, other, dim=-1).unsqueeze(-1)


MATCH_STATES = Exercise(
    id="11.6",
    title="Matching hidden states",
    about=("tinybert",),
    reference=match_states,
    hints=(
        "The two have different sizes. The student's states are taken to the teacher's size, as nn.Linear does it: x @ "
        "weight.T.",
        "torch.arange(T) < lengths.unsqueeze(1) is (B, T), True at real tokens. states[real] keeps these tokens: "
        "(number of real tokens, C_t).",
        "All real tokens count alike, whichever text they stand in: one mean over everything that is kept.",
    ),
    cases=(
        Case("three texts of 5, 2 and 3 tokens", _two_states([5, 2, 3], 5, 4, 6)),
        Case("two texts of 1 and 9 tokens", _two_states([1, 9], 9, 3, 8),
             "Ten tokens count, and each counts alike."),
        Case("no padding at all", _two_states([7, 7, 7, 7, 7], 7, 2, 3)),
        Case("a student as wide as its teacher", _two_states([2, 4, 1, 3], 4, 5, 5),
             "weight stays: equal sizes do not mean equal features."),
        Case("a student that agrees at all real tokens", _two_states([3, 1], 6, 4, 7, agreeing=True),
             "Nothing differs where it counts, so the loss is 0."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _matching,
            ({"over": lambda terms, real: terms.mean()},
             "You count padding. What a model gives there has no meaning, and the student would learn it."),
            ({"over": lambda terms, real: terms[real].sum()},
             "You give the sum. Take the mean, or long texts and wide teachers get a larger loss."),
            ({"over": lambda terms, real: (terms * real.unsqueeze(-1)).mean()},
             "You set padding to 0, but you still divide by B · T tokens. Divide by the number of real ones."),
            ({"over": _over_texts},
             "You take the mean of each text first, so a token of a short text counts more. All real tokens count "
             "alike."),
            ({"sizes": _to_student},
             "You take the teacher's states to the student's size. It is the student that is projected: teacher @ "
             "weight throws away what the student cannot hold."),
            ({"differ": lambda one, other: (one - other).abs()},
             "Your differences are not squared: you use their absolute values."),
            ({"differ": _one_less_cosine},
             "You compare directions: 1 - cosine is DistilBERT's loss. Here the states themselves are to be equal: "
             "squared differences."),
        ),
        *alone(
            (_matching(over=lambda terms, real: terms[real].sum(-1).mean()),
             "You sum over the features and take the mean over the tokens only. Take the mean over both."),
            (_matching(over=lambda terms, real: len(real) * _over_texts(terms, real)),
             "You add up the means of the texts. Keep the squared differences of all real tokens, then take one mean."),
            (_matching(over=lambda terms, real: terms[:, :real.sum(1).max()].mean()),
             "You cut all texts at the longest one, so the padding of the shorter ones counts. Each text has a length "
             "of its own: lengths[b] for row b."),
            (_matching(over=lambda terms, real: terms[real].mean().sqrt()),
             "You take the root of the mean. It stays squared here."),
            (_matching(over=lambda terms, real: terms[~real].mean()),
             "Your mask is turned round: you compare the padding. Place t is real where t < length."),
            (_matching(over=lambda terms, real: terms[real.roll(1, 1) | (torch.arange(real.shape[1]) == 0)].mean()),
             "You count one token too many in each text: place t is real where t < length, as counting starts at 0."),
        ),
    ),
)


# --- 11.7 -------------------------------------------------------------------------------------------------------------

def sparse_mask(T, window, n_global, n_random, seed):
    """Which keys each of T queries may attend to: (T, T) bool, row = query, column = key, True = may attend.

    window: keys up to so many places away, on either side; n_global: the first so many tokens see all and are seen by
    all; n_random: so many further keys for each other query, drawn without repeats among the keys that it does not
    have yet, for each query anew (all that are left where they are fewer). One seed gives one mask, at every call,
    and nobody else's random numbers change.
    """
    place = torch.arange(T)
    mask = (place.unsqueeze(1) - place).abs() <= window                    # (T, 1) - (T,) -> (T, T)
    mask[:n_global] = True
    mask[:, :n_global] = True
    generator = torch.Generator().manual_seed(seed)
    for query in range(n_global, T):
        free = (~mask[query]).nonzero().flatten()                          # the keys that are still left
        drawn = torch.randperm(len(free), generator=generator)[:n_random]
        mask[query, free[drawn]] = True
    return mask


def _rule(holds, expected, got):
    if not holds:
        raise RuleBroken(f"Expected {expected}, got {got}.")


def _random_states():
    """Where the random numbers of torch, Python and numpy stand."""
    return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()


def _draws(read, n_seeds, answer, *inputs):
    """What an answer gives for its seed, the last of the inputs, and for further seeds: a list; None for no result.

    read: makes a result comparable. Raises RuleBroken where a seed does not give one result, and where an answer seeds
    the random numbers of the whole program. No text holds a number that chance could change, so that one mistake reads
    alike however it is drawn.
    """
    *others, seed = copy.deepcopy(inputs)
    before = _random_states()
    first = read(answer(*inputs))
    if first is None:
        return None
    changed = _random_states() != before
    with contextlib.redirect_stdout(io.StringIO()):    # what an answer prints counts once, not for every call
        again = read(answer(*copy.deepcopy(others), seed))
        later = _random_states()                       # the first call may import a package, and some draw then
        more = [read(answer(*copy.deepcopy(others), number)) for number in range(seed + 1, seed + n_seeds)]
    changed = changed and _random_states() != later
    _rule(same(first, again), "the same result from the same seed", "another one")
    _rule(not changed or all(same(first, other) for other in more), "the random numbers of the program around to go on "
          "as before", "them changed: they are seeded or drawn inside")
    return [first, *more]


def _as_mask(value, T):
    """A mask as a bool tensor (T, T), None as it is; anything else breaks a rule."""
    if isinstance(value, list | tuple):
        with contextlib.suppress(RuntimeError, TypeError, ValueError):   # what cannot be read is told below
            value = torch.stack([torch.as_tensor(row) for row in value])
    value = plain(value)
    if value is None:
        return None
    got = as_tensor(value)
    _rule(got is not None and got.shape == (T, T), f"a bool tensor of shape (T={T}, T={T})", short(value))
    _rule(got.dtype is torch.bool, "True or False for each pair", f"{str(got.dtype).removeprefix('torch.')} numbers")
    return got


def _judged_mask(answer, T, window, n_global, n_random, seed):
    """None where nothing comes back, else "as asked". A mask that breaks a rule raises RuleBroken."""
    found = _draws(lambda value: _as_mask(value, T), 12, answer, T, window, n_global, n_random, seed)
    if found is None:
        return None
    draws, base = torch.stack(found), sparse_mask(T, window, n_global, 0, seed)
    _require_base((base & ~draws).any(0), window, n_global)
    free = ~base[n_global:]
    _require_random(draws[:, n_global:] & free, free, n_random)
    return "as asked"


def _require_base(missing, window, n_global):
    """Window and global tokens are allowed in every draw. missing: (T, T), True where one is not."""
    near = missing[n_global:, n_global:]
    _rule(not near.diagonal().any(), "True where a query may attend, as at its own place", "False there")
    left, right = near.tril(-1).any(), near.triu(1).any()
    side = "both sides" if left and right else "the left" if left else "the right"
    edge_only = left and right and not near.triu(1 - window).tril(window - 1).any()
    _rule(not near.any(), f"keys at a distance of up to {window} on both sides to be allowed",
          f"those at exactly {window} missing" if edge_only else f"some missing on {side}")
    hidden, unseen = missing[:n_global].any(), missing[n_global:, :n_global].any()
    _rule(not (hidden and unseen), f"global tokens (n_global = {n_global}) to see all and to be seen by all", "neither")
    _rule(not hidden, f"global queries (n_global = {n_global}) to see all keys", "some hidden")
    _rule(not missing.any(), f"global keys (n_global = {n_global}) to be seen by all", "some queries that do not")


def _require_random(extra, free, n_random):
    """The further keys. extra: (draws, rows, T), True at each; free: (rows, T), where one may be."""
    wanted, numbers = free.sum(1).clamp(max=n_random), extra.sum(2)        # (rows,), (draws, rows)
    expected = f"{n_random} further keys for each query (fewer where fewer are left)"
    _rule(numbers.any() or not wanted.any(), expected, "none")
    to_chance = (wanted > 0) & (wanted < free.sum(1))                      # rows where not all are taken
    several = to_chance.sum() > 8
    _rule(not several or extra.any(1).sum(1).max() > n_random, "further keys drawn for each query anew",
          "the same ones for all queries")
    words = [word for word, found in (("fewer", numbers < wanted), ("more", numbers > wanted)) if found.any()]
    _rule(not words, expected, f"{' or '.join(words)} for some")
    if several:
        _require_chance(extra[:, to_chance], free[to_chance], n_random)


def _require_chance(extra, free, n_random):
    """A seed and a query have a draw of their own, and no free key is left out. The margins are wide."""
    _rule((extra != extra[0]).any(), "other keys from another seed", "the same ones")
    alike = free.sum(1) == free.sum(1).mode().values                       # rows with as many free keys
    ranks = (extra * free.cumsum(1)).sort(-1).values[:, alike]             # which of its free keys a row has drawn
    _rule((ranks != ranks[:, :1]).any(), "further keys drawn for each query anew", "the same draw for all queries")
    mean = len(extra) * n_random * free / free.sum(1, keepdim=True)        # (rows, T): so many draws on average
    often, start = extra.sum(0), free.shape[1] - len(free)
    for part in (lambda x: x.sum(0), lambda x: x.tril(start).sum().view(1), lambda x: x.triu(start).sum().view(1)):
        ratio = (part(often) / part(mean))[part(mean) > 25]                # of each key, of keys on the left, the right
        _rule(((ratio > 0.2) & (ratio < 2.5)).all(), "all keys that are left drawn alike often", "some left out")


def _sparse(near=lambda distance, window: distance.abs() <= window, sees=True, seen=True,
            generator=lambda seed: torch.Generator().manual_seed(seed), rows=None, finish=lambda mask: mask):
    """A mask with one part exchanged.

    near: key's place - query's place, window -> bool; sees, seen: whether global tokens are queries, keys; generator:
    seed -> generator; rows: mask, n_global, n_random, generator: adds the further keys in place; finish: mask -> mask.
    """
    def answer(T, window, n_global, n_random, seed):
        place = torch.arange(T)
        mask = near(place - place.unsqueeze(1), window)
        if sees:
            mask[:n_global] = True
        if seen:
            mask[:, :n_global] = True
        (rows or _further_keys)(mask, n_global, n_random, generator(seed))
        return finish(mask)
    return answer


def _further_keys(mask, n_global, n_random, generator, again=lambda generator: generator):
    """The right way. again: generator -> the one that the next query uses."""
    for query in range(n_global, len(mask)):
        free = (~mask[query]).nonzero().flatten()
        mask[query, free[torch.randperm(len(free), generator=again(generator))[:n_random]]] = True


def _among_all_keys(mask, n_global, n_random, generator):
    for query in range(n_global, len(mask)):
        mask[query, torch.randperm(len(mask), generator=generator)[:n_random]] = True


def _once_for_all(mask, n_global, n_random, generator):
    mask[:, n_global + torch.randperm(len(mask) - n_global, generator=generator)[:n_random]] = True


SPARSE_MASK = Exercise(
    id="11.7",
    title="Window, global and random keys",
    about=("bigbird",),
    reference=sparse_mask,
    returns="(T, T)",
    run=_judged_mask,
    seconds=10.0,
    hints=(
        "Begin with the window: place.unsqueeze(1) - place is (T, T), the distance of each query from each key. Its "
        "absolute value is at most window.",
        "Global tokens fill whole rows, mask[:n_global] = True, and whole columns, mask[:, :n_global] = True.",
        "The random keys come last, query by query, among the keys still free: (~mask[query]).nonzero().flatten().",
        "generator = torch.Generator().manual_seed(seed) is yours alone: make it once, before the loop. "
        "torch.randperm(n, generator=generator)[:n_random] draws without repeats.",
    ),
    cases=(
        Case("24 tokens: window 2, 2 global, 3 random", lambda: (24, 2, 2, 3, 7)),
        Case("20 tokens: window 1, no global ones, 4 random", lambda: (20, 1, 0, 4, 11)),
        Case("17 tokens: window 0, 1 global, 2 random", lambda: (17, 0, 1, 2, 5),
             "A window of 0 is a token's own place."),
        Case("10 tokens: window 3, 2 global, no random ones", lambda: (10, 3, 2, 0, 1)),
        Case("9 tokens: window 2, 1 global, 6 random", lambda: (9, 2, 1, 6, 3),
             "Fewer keys are left than are asked for: take all of them."),
    ),
    misconceptions=alone(
        (_sparse(generator=lambda seed: None),
         "Your random keys differ from call to call: nothing uses the seed. A layer that sees other keys at every pass "
         "cannot learn what to look for. Make a generator: torch.Generator().manual_seed(seed)."),
        (_sparse(generator=lambda seed: torch.manual_seed(seed) and None),
         "You seed the whole program (torch.manual_seed, or random.seed): from then on the caller's dropout and "
         "batches are drawn anew, too. Use a generator of your own: torch.Generator().manual_seed(seed)."),
        (_sparse(generator=lambda seed: torch.Generator().manual_seed(0)),
         "Your further keys are the same for every seed, so all layers would share them. Draw them, and seed the "
         "generator with the argument: manual_seed(seed)."),
        (_sparse(rows=_once_for_all),
         "You draw once, for all queries: those keys then are global ones. Draw for each query anew."),
        (_sparse(rows=lambda *mask_and_numbers: _further_keys(
             *mask_and_numbers, again=lambda generator: generator.manual_seed(generator.initial_seed()))),
         "You set the seed again for each query, so each gets the same draw. Make the generator once, before the "
         "loop."),
        (_sparse(rows=_among_all_keys),
         "Your draws fall on keys that are allowed already, or twice on the same key, so some queries get too few new "
         "ones. Draw without repeats (randperm) among the keys still free: randperm(len(free)) gives places in free, "
         "so the keys are free[drawn]."),
        (_sparse(rows=lambda *mask_and_numbers: None), "Your mask has no random keys: window and global tokens only."),
        (_sparse(finish=lambda mask: mask | mask.T),
         "Your random keys also go back: you allow the pair in both directions, so some queries get more keys than "
         "asked for. A random key is for one query only."),
        (_sparse(sees=False),
         "Your global tokens are seen by all, but they do not see all. Fill their rows, too: mask[:n_global] = True. "
         "Their state must gather the whole text before it can pass it on."),
        (_sparse(seen=False),
         "Your global tokens see all, but they are not seen by all. Fill their columns, too: mask[:, :n_global] = "
         "True. What they have gathered must reach every token."),
        (_sparse(sees=False, seen=False),
         "Your global tokens neither see all nor are seen by all; mask[:n_global, :n_global] is only the corner where "
         "they meet. Fill whole rows, mask[:n_global] = True, and whole columns, mask[:, :n_global] = True."),
        (_sparse(near=lambda distance, window: (distance <= 0) & (-distance <= window)),
         "Your window looks back only, as in a decoder. BigBird is an encoder: take the absolute value of the "
         "distance."),
        (_sparse(near=lambda distance, window: distance.abs() < max(window, 1)),
         "Your window ends one place too early. Keys exactly `window` places away belong to it: <=, not <."),
        (_sparse(finish=lambda mask: ~mask), "Your mask is turned round. Here True means that a query may attend."),
    ),
)


# --- 11.8 -------------------------------------------------------------------------------------------------------------

def split_by_file(files, share, seed):
    """Split examples into a training and a test part, so that no file has examples in both.

    files: list of texts, files[i] is the name of the file that example i comes from; share: a number between 0 and 1,
    the part of the different files that goes to the test, rounded, at least one file. Which files is drawn at random;
    one seed gives one split, at every call and in every program, and nobody else's random numbers change.
    Returns (train, test): two lists of places i, in any order. Every place stands in exactly one of them.
    """
    names = sorted(set(files))                          # sorted: a set has its own order in every program
    n_test = max(1, round(share * len(names)))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    held_out = {names[i] for i in order[:n_test]}
    train = [i for i, name in enumerate(files) if name not in held_out]
    test = [i for i, name in enumerate(files) if name in held_out]
    return train, test


_FILES = "xml/dom.py", "email/policy.py", "asyncio/tasks.py", "xml/sax.py", "importlib/util.py", "asyncio/queues.py", \
         "email/header.py", "multiprocessing/pool.py", "asyncio/locks.py", "email/parser.py", "importlib/abc.py", \
         "multiprocessing/queues.py"


def _examples(n_files, share, seed, most=7):
    """Examples of so many files, one to `most` of each, in a mixed order."""
    def make():
        counted = [name for number, name in enumerate(_FILES[:n_files]) for _ in range(1 + 3 * number % most)]
        return [counted[i] for i in torch.randperm(len(counted)).tolist()], share, seed
    return make


def _as_two_lists(value):
    """Train and test as sorted lists of whole numbers, None as it is; anything else breaks a rule."""
    value = plain(value)
    if value is None:
        return None
    _rule(isinstance(value, list | tuple) and len(value) == 2, "two lists, train and test", short(value))
    return [_as_places(name, part) for name, part in zip(("train", "test"), value, strict=True)]


def _as_places(name, part):
    """A sorted list of whole numbers."""
    items = part.tolist() if isinstance(part, torch.Tensor | np.ndarray) else part
    _rule(isinstance(items, list | tuple), f"a list of places as {name}", short(part))
    items = [item.item() if isinstance(item, torch.Tensor | np.ndarray) and item.ndim == 0 else item for item in items]
    for item in items:
        _rule(not isinstance(item, str), "places, whole numbers", "names of files")
        _rule(type(item) is int, f"whole numbers in {name}", short(item))
    return sorted(items)


def _judged_split(answer, files, share, seed):
    """None where nothing comes back, else "as asked". A split that breaks a rule raises RuleBroken."""
    known = list(files)
    draws = _draws(_as_two_lists, 40, answer, files, share, seed)
    if draws is None:
        return None
    _require_places(draws, len(known))
    parts = [[{known[i] for i in part} for part in draw] for draw in draws]         # names of files
    mixed = any(train & test for train, test in parts)
    _rule(not mixed or files == known, "places in files as it was given", "places in another order: files is shuffled")
    _rule(not mixed, "no file in both lists", "examples of one file in both")
    n_files = len(set(known))
    wanted = max(1, round(share * n_files))
    _require_number(parts, wanted, n_files)
    held_out = [test for _, test in parts]
    _rule(any(test != held_out[0] for test in held_out), "other test files from another seed", "the same ones")
    often = [sum(name in test for test in held_out) / len(held_out) for name in set(known)]
    _rule(all(abs(found - wanted / n_files) < 0.4 for found in often), "all files in the test alike often",
          "some far less or far more often")
    _require_one_split_everywhere(answer, known, share, seed)
    return "as asked"


class _Name(str):
    """A file's name whose hash depends on a salt too, as a text's hash depends on the program that runs."""

    salt = 0

    def __hash__(self):
        return hash((self.salt, zlib.crc32(self.encode())))


def _salted(files, salt):
    names = [_Name(file) for file in files]
    for name in names:
        name.salt = salt
    return names


def _require_one_split_everywhere(answer, files, share, seed):
    """Neither hash() nor the order of a set decides: Python's hash of a text is another one in each program."""
    splits = []
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):   # it may mix in texts of its own
        splits = [_as_two_lists(answer(_salted(files, salt), share, seed)) for salt in range(8)]
    alike = all(same(splits[0], other) for other in splits)
    _rule(alike and names_written(answer).get("hash") != "hash", "the same split in every program",
          "one that depends on hash() or on the order of a set")


def _require_places(draws, n):
    """Every place stands once, in train or in test, for every seed."""
    places = [sorted(train + test) for train, test in draws]
    faults = (
        ("some in neither", any(set(range(n)) - set(found) for found in places)),
        ("some twice", any(len(set(found)) < len(found) for found in places)),
        ("some that do not exist", any(set(found) - set(range(n)) for found in places)),
    )
    got = " and ".join(words for words, broken in faults if broken)
    _rule(not got, f"each of the {n} places in one of the lists", got)


def _require_number(parts, wanted, n_files):
    trains, tests = ({len(part) for part in column} for column in zip(*parts, strict=True))
    if wanted * 2 != n_files:
        _rule(trains != {wanted}, "train first, then test", "them in the other order")
    got = f"{min(tests)}" if len(tests) == 1 else "another number for some seeds"
    _rule(tests == {wanted}, f"{wanted} of {n_files} files in the test", got)


def _generator_of(seed):
    return torch.Generator().manual_seed(seed)


def _splitting(generator=_generator_of, count=lambda share, n: max(1, round(share * n)),
               drawn=lambda n, generator: torch.randperm(n, generator=generator).tolist(),
               finish=lambda train, test, files: (train, test)):
    """A split with one part exchanged.

    generator: seed -> generator; count: share, number of files -> files in the test; drawn: n, generator -> an order of
    the n files; finish: train, test, files -> result.
    """
    def answer(files, share, seed):
        names = sorted(set(files))
        order = drawn(len(names), generator(seed))
        held_out = {names[i] for i in order[:count(share, len(names))]}
        sides = ([i for i, name in enumerate(files) if (name in held_out) == side] for side in (False, True))
        return finish(*sides, files)
    return answer


def _by_example(files, share, seed):
    order = torch.randperm(len(files), generator=_generator_of(seed)).tolist()
    n_test = max(1, round(share * len(files)))
    return order[n_test:], order[:n_test]


def _until_enough_examples(files, share, seed):
    names = sorted(set(files))
    test = []
    for i in torch.randperm(len(names), generator=_generator_of(seed)).tolist():
        if len(test) < share * len(files):
            test += [place for place, name in enumerate(files) if name == names[i]]
    return [place for place in range(len(files)) if place not in test], test


def _shuffling_files(files, share, seed):
    random.Random(seed).shuffle(files)
    return split_by_file(files, share, seed)


def _in_the_order_of_a_set(files, share, seed):
    names = list(set(files))
    order = torch.randperm(len(names), generator=_generator_of(seed)).tolist()
    held_out = {names[i] for i in order[:max(1, round(share * len(names)))]}
    return tuple([i for i, name in enumerate(files) if (name in held_out) == side] for side in (False, True))


def _first_places(train, test, files):
    return tuple(sorted({files.index(files[i]) for i in part}) for part in (train, test))


SPLIT_BY_FILE = Exercise(
    id="11.8",
    title="A split without leakage",
    about=("capstone",),
    reference=split_by_file,
    run=_judged_split,
    hints=(
        "Draw files, not examples. sorted(set(files)) has each name once.",
        "torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist() is an order of the n files; the "
        "first ones of it go to the test.",
        "Then go through all places: [i for i, name in enumerate(files) if name in held_out].",
        "max(1, round(share * number of files)) leaves at least one file for the test.",
    ),
    cases=(
        Case("12 files, share 0.25", _examples(12, 0.25, 4)),
        Case("11 files, share 0.33", _examples(11, 0.33, 9, most=5), "0.33 · 11 = 3.63 is rounded to 4 files."),
        Case("8 files, share 0.05", _examples(8, 0.05, 2, most=11), "0.05 · 8 = 0.4 would be no file: at least one."),
        Case("7 files, share 0.6", _examples(7, 0.6, 6), "0.6 · 7 = 4.2 is rounded to 4 files."),
    ),
    misconceptions=alone(
        (_by_example,
         "You draw examples, so one file has examples in both lists. Docstrings of one file share names and phrases: "
         "the test then asks for what was seen in training. Draw whole files."),
        (_until_enough_examples,
         "The number of files in your test changes with the seed: you count or draw examples, or you draw for each "
         "file alone. share is a part of the different files: draw round(share * number of files) of them."),
        (_splitting(drawn=lambda n, generator: torch.randint(n, (n,), generator=generator).tolist()),
         "You draw with repeats (randint, or choice), so one file can be drawn twice and your test holds too few. "
         "Shuffle the different names, and take the first ones."),
        (_shuffling_files,
         "You shuffle the list files itself. Then place i is another example, and the caller's list is changed, too. "
         "Shuffle a new list of the different names."),
        (_splitting(drawn=lambda n, generator: list(range(n))),
         "Your test holds the same files for every seed, such as the first ones of the alphabet. So a whole library "
         "may be missing from the training part. Shuffle the names with the seed."),
        (_splitting(generator=lambda seed: None),
         "Your split differs from call to call: nothing uses the seed. The next run would train on what this one tests "
         "on. Use a generator: torch.Generator().manual_seed(seed)."),
        (_splitting(generator=lambda seed: torch.manual_seed(seed) and None),
         "You seed the whole program (torch.manual_seed, or random.seed), so whatever the caller draws next is "
         "changed, too. Use a generator of your own: torch.Generator().manual_seed(seed)."),
        (_in_the_order_of_a_set,
         "Your split is another one when Python is started anew. The hash of a text changes then, and with it the "
         "order of a set. Sort the names, sorted(set(files)), and draw from them with a generator."),
        (_splitting(finish=lambda train, test, files: (test, train)),
         "You give back test and train in the wrong order. train comes first."),
        (_splitting(finish=_first_places),
         "You lose places: files.index(name) finds only the first example of a file. Go through all places with "
         "enumerate(files)."),
        (_splitting(finish=lambda train, test, files: tuple([files[i] for i in part] for part in (train, test))),
         "You give back names of files. The caller needs the places i, to pick its examples and their labels."),
        (_splitting(count=lambda share, n: max(1, int(share * n))),
         "You round down: int(3.63) is 3. round(share * number of files) takes the nearest whole number."),
        (_splitting(count=lambda share, n: int(np.ceil(share * n))),
         "You round up, as math.ceil and scikit-learn's splitters do: 4.2 becomes 5. round(share * number of files) "
         "takes the nearest whole number."),
        (_splitting(count=lambda share, n: round(share * n)),
         "Your test may be empty: with few files the share is rounded to 0. max(1, …) keeps one file."),
    ),
)


# --- 11.9 -------------------------------------------------------------------------------------------------------------

def confusion_counts(true, said, n):
    """Count how often each class was taken for each class.

    true, said: (m,) whole numbers from 0 to n - 1: the right class of each example, and the one the model said;
    n: number of classes. Returns (n, n) whole numbers: row i, column j = examples of class i that were said to be j.
    """
    pairs = n * true + said                                                # (m,): one number for each pair (i, j)
    return torch.bincount(pairs, minlength=n * n).reshape(n, n)


def _judgements(m, n, right=0.5, known=None):
    """m examples of n classes, a share of them right. known: the classes that occur at all; None: all."""
    def make():
        classes = torch.arange(n) if known is None else torch.tensor(known)
        true, other = classes[torch.randint(len(classes), (2, m))]
        said = torch.where(torch.rand(m) < right, true, other)
        if known is None:
            true[:n] = torch.arange(n)
        return true, said, n
    return make


def _counted_pairs(true, said, n):
    counts = torch.zeros(n, n, dtype=torch.long)
    return counts.index_put((true, said), torch.tensor(1), accumulate=True)


def _counting(change):
    """What the right counts become. change: counts (n, n) -> counts."""
    return lambda true, said, n: change(_counted_pairs(true, said, n))


def _only_classes_that_occur(true, said, n):
    found = torch.cat([true, said]).unique()
    return _counted_pairs(true, said, n)[found][:, found]


def _up_to_the_largest(true, said, n):
    size = int(torch.cat([true, said]).max()) + 1
    return _counted_pairs(true, said, n)[:size, :size]


def _each_pair_once(true, said, n):
    counts = torch.zeros(n, n, dtype=torch.long)
    counts[true, said] += 1
    return counts


CONFUSION_COUNTS = Exercise(
    id="11.9",
    title="The confusion matrix",
    about=("capstone",),
    reference=confusion_counts,
    returns="counts (n, n)",
    hints=(
        "A table of n · n zeros. Each example adds 1 in the row of its true class, in the column of what was said.",
        "for i, j in zip(true.tolist(), said.tolist()): counts[i, j] += 1 does it.",
        "Without a loop: n * true + said gives each pair a number of its own, from 0 to n² - 1. torch.bincount(…, "
        "minlength=n * n) counts them, and reshape makes the table.",
    ),
    cases=(
        Case("30 examples, 4 classes", _judgements(30, 4)),
        Case("11 examples, 5 classes", _judgements(11, 5, right=0.3)),
        Case("classes 2 and 4 of 6 never occur", _judgements(19, 6, known=[0, 1, 3, 5]),
             "Their rows and columns are there all the same, full of 0: class j keeps column j."),
        Case("the last of 3 classes never occurs", _judgements(8, 3, known=[0, 1]),
             "The table has n rows and n columns, whatever occurs."),
        Case("a model that is always right", _judgements(25, 7, right=1.0), "All counts lie on the diagonal."),
        Case("a model that always says class 1", lambda: (torch.randint(4, (40,)), torch.ones(40, dtype=torch.long), 4),
             "All counts lie in one column."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            lambda turn=lambda counts: counts, scale=lambda counts: counts: _counting(
                lambda counts: scale(turn(counts))),
            ({"turn": lambda counts: counts.T},
             "Your rows and columns changed places: a row is a true class, a column is what was said."),
            ({"scale": lambda counts: counts / counts.sum(1, keepdim=True).clamp(min=1)},
             "You give shares of each row. Counts are asked for: a share does not say how many examples stand behind "
             "it."),
            ({"scale": lambda counts: counts / counts.sum()},
             "You give shares of all examples. Counts are asked for."),
        ),
        *alone(
            (_counting(lambda counts: counts.diagonal().diag()),
             "You count the right answers only. What was said for the others is what this table is for."),
            (_counting(lambda counts: counts.diagonal()),
             "You give one number for each class, its right answers. The table has a place for each pair of classes."),
            (_counting(lambda counts: counts - counts.diagonal().diag()),
             "You leave out the right answers. They belong on the diagonal."),
            (_only_classes_that_occur,
             "You leave out classes that never occur, so row i is no longer class i. Make the table (n, n) first."),
            (_up_to_the_largest,
             "Your table ends at the largest class that occurs. It has n rows and n columns, whatever the test holds."),
            (_counting(lambda counts: counts.sum(0, keepdim=True).expand_as(counts)),
             "Your rows are all the same list: [[0] * n] * n holds one list n times, so each count lands in every row. "
             "Use torch.zeros(n, n, dtype=torch.long), or [[0] * n for _ in range(n)]."),
            (_each_pair_once,
             "You count each pair once, however often it occurs. counts[true, said] += 1 does so: it reads all numbers "
             "before it writes any. Use a loop, torch.bincount, or index_put_ with accumulate=True."),
            (_counting(lambda counts: counts.roll((-1, -1), (0, 1))),
             "You count from 1: each class stands one place too early, and class 0 lands at the end. Class i is row "
             "i."),
        ),
    ),
)


# --- the lists --------------------------------------------------------------------------------------------------------

EXERCISES = [
    ALBERT_WEIGHTS, SHARE_LAYERS, ORDER_PAIR, DETECTOR_LABELS,
    DISTIL_LOSS, MATCH_STATES, SPARSE_MASK, SPLIT_BY_FILE, CONFUSION_COUNTS,
]

# --- quizzes: 11-opening ----------------------------------------------------------------------------------------------

QUIZZES = {
    "11-opening": [
        Question(
            "BERT-BASE has a vocabulary of 30,522, d_model = 768, d_ff = 3,072 and 12 blocks. How many million weights "
            "has its word table, and how many have the blocks together? (Biases and norms aside.)",
            (
                Choice("94 and 85", "Rows of the table have size d_model, not d_ff: 30,522 · 768."),
                Choice("23 and 85",
                       "30,522 · 768, and 12 blocks with 12 · 768² each. Most weights stand in the blocks, a fifth in "
                       "one table.", correct=True),
                Choice("23 and 7", "7 million is one block, 12 · 768². There are 12 with weights of their own."),
                Choice("85 and 23", "Turned round. Count again: a block has twelve matrices' worth of 768²."),
            ),
            about=("bert-sizes",),
        ),
        Question(
            "Of pictures that look alike, 70 % are cats and 30 % dogs. A model says 0.7 and 0.3 for each of them. What "
            "is its mean cross-entropy? (ln 0.7 = -0.36, ln 0.3 = -1.20)",
            (
                Choice("0.00", "No better answer exists, but cross-entropy is 0 only where the label is certain."),
                Choice("0.36", "That is the loss on the cats alone. On the dogs it is 1.20."),
                Choice("0.61",
                       "0.7 · 0.36 + 0.3 · 1.20. It is the entropy of the labels: no model gets below "
                       "it.", correct=True),
                Choice("0.69", "That is ln 2, the loss of a model that says 0.5 and 0.5."),
            ),
            about=("cross-entropy",),
        ),
        Question(
            "A softmax gives 0.90, 0.09 and 0.01. Now all logits are divided by 2. What does it give?",
            (
                Choice("0.45, 0.05, 0.01", "That halves the probabilities. They would no longer sum to 1."),
                Choice("0.70, 0.22, 0.07",
                       "Ratios become their square roots: 10 becomes 3.2. The small ones can be seen "
                       "now.", correct=True),
                Choice("0.90, 0.09, 0.01", "Equal factors cancel if probabilities are divided. Logits stand in e^x."),
                Choice("0.99, 0.01, 0.00", "That is a multiplication by 2: ratios squared, a sharper choice."),
            ),
            about=("softmax",),
        ),
        Question(
            "BERT reads a batch of 64 sentences, each of 100 tokens, and 15 % of them are chosen. How many tokens go "
            "through the blocks, and how many give a loss?",
            (
                Choice("6,400 and 6,400",
                       "Most tokens stand in the input. A loss for naming them would teach copying."),
                Choice("960 and 960", "The chosen ones need the others as context. All are computed."),
                Choice("6,400 and 5,440", "5,440 are those that nobody asks for. The loss is taken at the others."),
                Choice("6,400 and 960",
                       "All the work is done for every token, and the answer is asked for at 15 % of "
                       "them.", correct=True),
            ),
            about=("masked-language-model",),
        ),
        Question(
            "Next-sentence prediction, with false partners from other texts. A model that is given each sentence's set "
            "of words, without their order, gets 0.90 right. What does this show?",
            (
                Choice("The task can mostly be solved by the topic",
                       "Two texts speak of different things. Nobody needs to follow an argument for "
                       "that.", correct=True),
                Choice("Sets of words hold the order of sentences",
                       "Nobody asked for the order: the true partner always stood second."),
                Choice("Some test sentences stood in the training text",
                       "That would have to be looked into. The result alone does not show it: topics are enough."),
                Choice("The last tenth are pairs that need the word order",
                       "They may just as well be pairs whose texts speak of the same thing."),
            ),
            about=("next-sentence-prediction",),
        ),
        Question(
            "A text grows from 512 to 4,096 tokens. By which factors grow the number of attention scores and the work "
            "of the feed-forward networks?",
            (
                Choice("8 and 8", "Each token has a score for each token: there are T² of them."),
                Choice("64 and 64", "The feed-forward network looks at one token at a time: its work grows with T."),
                Choice("64 and 8", "T² scores, and one pass of the network for each of T tokens.", correct=True),
                Choice("8 and 64", "Turned round: tokens meet in attention, not in the feed-forward network."),
            ),
            about=("parallel-not-free",),
        ),
        Question(
            "A classifier reaches 0.95 on its training data. Thirty settings were tried; the best has 0.78 on the "
            "validation data. It is measured once on the test data: 0.72. What can be expected on new data?",
            (
                Choice("About 0.72", "Only the test data have neither trained nor chosen anything.", correct=True),
                Choice("About 0.75", "A mean with a number that is too high is too high itself."),
                Choice("About 0.78", "Of thirty settings the one that was lucky on these data tends to win."),
                Choice("About 0.95", "Its weights have seen these examples, with their labels."),
            ),
            about=("model-life-cycle",),
        ),
        Question(
            "A small model learns from a large one: for each picture it is given the large one's probabilities, in "
            "place of the label. What do they tell that the label does not? (A guess is fine.)",
            (
                Choice("Nothing: the class with the largest probability is the label",
                       "The others are small, but they differ: a dog may get 0.05 and a truck 0.0001."),
                Choice("Which labels are wrong",
                       "At most where the large model doubts. It may be wrong itself, and be sure of it."),
                Choice("How the large model's layers have come to the result",
                       "The last output says nothing of the way to it. This chapter also has methods that look "
                       "inside."),
                Choice("Which of the wrong classes are nearly right here",
                       "A cat that looks a little like a dog says so. That is more than one word for each "
                       "picture.", correct=True),
            ),
            about=("distilbert",),
        ),
    ],
}

# --- quizzes: 11-closing ----------------------------------------------------------------------------------------------

QUIZZES["11-closing"] = [
    Question(
        "A vocabulary of 30,000 tokens and d_model = 1,024. ALBERT puts vectors of size 128 in between. How many "
        "million weights have the word table and the projection together? (Biases aside.)",
        (
            Choice("30.72", "That is the plain table, 30,000 · 1,024. Its rows now have size 128."),
            Choice("3.84", "That is the small table alone. The way from 128 to 1,024 is one more matrix."),
            Choice("3.97", "30,000 · 128 and 128 · 1,024. The matrix is cheap, as it is not per word.", correct=True),
            Choice("34.56", "That adds a small table to the large one. It takes its place."),
        ),
        about=("albert-factorised",),
    ),
    Question(
        "Twelve blocks become one block that is used twelve times. What becomes of the blocks' weights and of the time "
        "for one pass?",
        (
            Choice("A twelfth of the weights, a twelfth of the time", "Each use multiplies all of its matrices again."),
            Choice("A twelfth of the weights, the same time",
                   "Less to store and to send. The text still goes through twelve blocks.", correct=True),
            Choice("The same weights, a twelfth of the time", "One set of weights is left, and it works twelve times."),
            Choice("A twelfth of the weights, twelve times the time",
                   "Twelve blocks are computed, as before. No block is longer than it was."),
        ),
        about=("albert-sharing",),
    ),
    Question(
        "A model sees which words stand in a pair of sentences, but not which sentence comes first. How many answers "
        "can it get right in NSP (false partners from other texts), and in sentence-order prediction?",
        (
            Choice("Well above half in NSP; half in sentence order",
                   "The topic gives a false partner away. Both orders of a true pair have the same "
                   "words.", correct=True),
            Choice("Half in NSP; well above half in sentence order",
                   "Turned round. Only the partner of another text brings other words with it."),
            Choice("Well above half in both",
                   "Turned round, a pair has the same words. They tell nothing of the order."),
            Choice("Half in both", "Two texts speak of different things, and their words show it."),
        ),
        about=("sentence-order",),
    ),
    Question(
        "A text has 128 tokens, and 19 of them are masked. At how many places does BERT get a loss, and at how many "
        "ELECTRA's discriminator?",
        (
            Choice("19 and 19", "The discriminator is not told which tokens were chosen. It judges every one."),
            Choice("128 and 19", "Turned round: BERT is asked for the masked words only."),
            Choice("19 and 109", "At masked places too it must say whether the token is the true one."),
            Choice("19 and 128", "Each real token is a question with two answers: a text teaches more.", correct=True),
        ),
        about=("electra",),
    ),
    Question(
        "\"She ran home\": ELECTRA masks \"ran\", and its generator happens to draw \"ran\". What is the "
        "discriminator's label at this place?",
        (
            Choice("Replaced, as the place was masked", "The discriminator cannot see that. It reads the true text."),
            Choice("Original, as the token is the true one",
                   "What counts is what stands there, not how it came there. A good generator often does "
                   "so.", correct=True),
            Choice("None: the place is left out of the loss", "All real places count, and this one has an answer."),
            Choice("Replaced, if the generator gave it less than 0.5",
                   "The generator's probability is no part of the label. The two tokens are compared."),
        ),
        about=("electra",),
    ),
    Question(
        "ELECTRA has a generator and a discriminator. Why is it not a GAN all the same?",
        (
            Choice("The discriminator is trained first, and the generator after it",
                   "They are trained together, on the same batches: two losses in one sum."),
            Choice("The generator is the smaller one of the two",
                   "It is, so that the task stays solvable. But sizes do not make a GAN."),
            Choice("The generator learns to name the true word, not to deceive",
                   "Its loss is BERT's. A GAN's generator is rewarded where the discriminator fails.", correct=True),
            Choice("The discriminator's gradient reaches the generator by the drawn tokens",
                   "It does not: a draw has no gradient. In a GAN that would be the wish."),
        ),
        about=("electra",),
    ),
    Question(
        "ELECTRA has been pre-trained. Which part is fine-tuned for a task?",
        (
            Choice("The generator, since it knows the language's words", "It is small. It only made the questions."),
            Choice("The generator below, the discriminator on top of it",
                   "The discriminator reads tokens, not states. It is a whole model by itself."),
            Choice("The discriminator, up to the linear layer for \"replaced\"",
                   "Nothing of it hides the future, so it is an encoder that looks both ways, as BERT "
                   "is.", correct=True),
            Choice("A new encoder, with the discriminator as teacher", "No teacher is needed: its weights are kept."),
        ),
        about=("electra",),
    ),
    Question(
        "A soft loss at temperature τ stands beside a loss on the labels. Why is the soft one multiplied by τ²?",
        (
            Choice("Its gradient falls about as 1/τ², and the balance of the two is to stay",
                   "One 1/τ comes from each logit that is divided, one from the smaller differences.", correct=True),
            Choice("Its probabilities have to add up to 1 again after the division by τ",
                   "Logits are divided, not probabilities, and the softmax that follows sees to the sum."),
            Choice("It is to count more, the higher the temperature",
                   "The factor does the opposite: it keeps τ from changing how much this loss counts."),
            Choice("Its minimum is to lie where the student agrees with the teacher",
                   "It lies there without a factor: a positive number moves no minimum."),
        ),
        about=("distilbert",),
    ),
    Question(
        "DistilBERT has six blocks, its teacher twelve. How does it start, and what is it trained on?",
        (
            Choice("From random numbers; on the teacher's probabilities",
                   "A better start lies at hand, the teacher's blocks, and there are two more losses."),
            Choice("From the means of two blocks each; on the teacher's attention scores",
                   "A mean of two blocks does nothing sensible. Attention scores are TinyBERT's idea."),
            Choice("From the teacher's first six blocks; on the masked words",
                   "It takes them from the whole height. And without soft targets nobody would be a teacher."),
            Choice("From every second block; on soft targets, masked words and a cosine",
                   "Three losses: the teacher's probabilities, BERT's own, and the direction of the "
                   "states.", correct=True),
        ),
        about=("distilbert",),
    ),
    Question(
        "What does TinyBERT compare inside the attention of student and teacher?",
        (
            Choice("The weights, after the softmax",
                   "Near, but a softmax presses most of them to almost 0, where no difference can be seen."),
            Choice("The scores, before the softmax",
                   "A weight near 0 has nearly no slope, a score has. The paper reports that students learned faster.",
                   correct=True),
            Choice("The matrices W_Q and W_K, number by number",
                   "The student's are smaller. And other matrices can do the same."),
            Choice("The outputs, after the heads are joined",
                   "Beside attention it compares embeddings and the states after each block, not these."),
        ),
        about=("tinybert",),
    ),
    Question(
        "TinyBERT is distilled in two stages. What is new in the second one?",
        (
            Choice("The teacher is fine-tuned for the task, and the texts are the task's",
                   "First general texts and a general teacher, then one task, with many variants of its "
                   "texts.", correct=True),
            Choice("The student of the first stage is the teacher of a smaller one",
                   "There is one student. It goes through both stages."),
            Choice("The teacher is gone, and the student learns from the labels",
                   "That would be plain fine-tuning. A teacher stands beside it in both stages."),
            Choice("The states are compared, where before it was the probabilities",
                   "States and scores are compared in both. Probabilities come at the very end."),
        ),
        about=("tinybert",),
    ),
    Question(
        "A BigBird mask is handed to ordinary attention. Then the text doubles; window, global and random keys stay as "
        "they are. By which factors grow the allowed pairs and the scores that are computed?",
        (
            Choice("2 and 2", "So it would be if the rest were left out. A mask hides what has been computed."),
            Choice("4 and 4", "A query has as many keys as before, and there are twice as many queries."),
            Choice("2 and 4", "To gain from the mask, whole blocks of scores must not be computed.", correct=True),
            Choice("4 and 2", "Turned round: ordinary attention computes all T² scores."),
        ),
        about=("bigbird",),
    ),
    Question(
        "Two tokens are 99 places apart. After how many layers can one hold something of the other: with a window of 3 "
        "places on either side, and with one global token besides?",
        (
            Choice("33 and 1", "One layer brings it to the global token. From there it needs another."),
            Choice("14 and 2", "99 / 7 counts the width of the window. A layer reaches 3 places to one side."),
            Choice("Never and 2", "Neighbours pass on what they have heard: each layer reaches 3 places further."),
            Choice("33 and 2", "3 places a layer; or to the global token and back out to all.", correct=True),
        ),
        about=("bigbird",),
    ),
    Question(
        "A BERT that sorts short questions works well. It is to run on a phone, and an answer takes too long. What do "
        "you try first?",
        (
            Choice("ALBERT, since it has a tenth of the weights",
                   "It takes less room and as much time: its one block is computed at each depth."),
            Choice("BigBird, since sparse attention leaves most pairs out",
                   "Short texts have few scores. Most of the work is in the matrices."),
            Choice("A small student of it, since fewer blocks are less work",
                   "Time falls with the depth and the width, and this BERT can teach it on the questions "
                   "themselves.", correct=True),
            Choice("ELECTRA, since it learns more from each text",
                   "That makes pre-training cheaper. Its discriminator is as slow as a BERT of that size."),
        ),
        about=("choose-a-model",),
    ),
    Question(
        "Which library does a docstring belong to? A model is right at 0.90 after a split by example, and at 0.78 "
        "after a split by file. Which number do you report for new files, and why?",
        (
            Choice("0.90: a split by example mixes the libraries better",
                   "It also puts neighbours of a test docstring into the training part."),
            Choice("0.78: docstrings of one file share names and phrases",
                   "With neighbours in training the test is partly known. A new file has none there.", correct=True),
            Choice("0.84: the truth lies in the middle", "One of them answers the question, the other does not."),
            Choice("0.90: a split by file leaves less to train on",
                   "The parts can be as large as before. What is missing is what stood in the test's own files."),
        ),
        about=("capstone",),
    ),
    Question(
        "Word counts and a linear model reach 0.82. They were fitted before anything else. A fine-tuned BERT then "
        "reaches 0.80. What does the first number say?",
        (
            Choice("That BERT has not earned its cost here so far",
                   "This is what a baseline is for. Without it, 0.80 would look like a success.", correct=True),
            Choice("That the code has an error: BERT must be better",
                   "It may have one. But nothing says that it must win, least of all with little data."),
            Choice("That 0.82 is the best that these data allow",
                   "A baseline is no upper bound. It says what little effort gives."),
            Choice("Nothing: the two read the texts in different ways", "They answer one question on the same data."),
        ),
        about=("capstone", "baseline"),
    ),
    Question(
        "Rows are true classes, columns what was said. Row email: 40 email, 10 xml. Row xml: 40 email, 110 xml. Of the "
        "docstrings that were called email, what share is from email?",
        (
            Choice("0.80", "That is the row, 40 of 50: the share of email that was found (recall)."),
            Choice("0.75", "That is the accuracy, 150 of all 200."),
            Choice("0.50", "The column: 40 of 80 (precision). Xml is the larger class.", correct=True),
            Choice("0.20", "That is 40 of all 200 docstrings. The question is about 80 of them."),
        ),
        about=("capstone",),
    ),
    Question(
        "A stranger offers a model as a pickle file and as safetensors. Why do you take the second?",
        (
            Choice("It is compressed, and the other is not", "Neither is. Both hold the same bytes of numbers."),
            Choice("To load a pickle can run any program",
                   "A pickle tells Python what to call. The other is a table of names and shapes, then "
                   "numbers.", correct=True),
            Choice("It also holds the code of the model, so that both fit together",
                   "No code at all is in it, and that is the point. You bring the class yourself."),
            Choice("A pickle rounds the weights to fewer digits", "It keeps each bit. The numbers are not the danger."),
        ),
        about=("capstone",),
    ),
    Question(
        "Which of these may be settled by looking at the accuracy on the test data?",
        (
            Choice("What the report says of the finished model",
                   "That is what the test is for. The other three choose a model: a matter for validation data.",
                   correct=True),
            Choice("The learning rate, if only two were tried", "Two are a choice, too, and luck has a part in it."),
            Choice("After how many epochs training stops", "That picks the epoch that was lucky on these examples."),
            Choice("Which of two finished models is shipped",
                   "No weight changes, but the winner's number is too high from then on."),
        ),
        about=("capstone",),
    ),
    Question(
        "Before the test is used, you read 50 errors that the model makes on the validation data. What for?",
        (
            Choice("To move them to the training data, so that they are learned",
                   "Then the validation data has no errors of this kind left to measure."),
            Choice("To correct the labels of those 50, so that the accuracy rises",
                   "Wrong labels stand among the right answers, too. To mend only the errors flatters the model."),
            Choice("To show that the model makes fewer than the baseline",
                   "That is a count, and nobody has to read anything for it."),
            Choice("To see which kinds there are, and so what to change next",
                   "A wrong label, a text of three words and two alike libraries each need something "
                   "else.", correct=True),
        ),
        about=("capstone",),
    ),
]
