"""`RNNUnroller`: a recurrent language model reading a text, one character at a time."""

import functools

import numpy as np
import traitlets

from course_utils import figures
from course_utils.data.vocabulary import Vocabulary
from course_utils.widgets.base import CourseWidget, check_finite, pack, readable, unpack

LONGEST_TEXT = 200
THUMBNAIL = 16                    # rows and columns of a weight matrix that are shown
MOST_ROWS = 64                    # of the picture: more units than that would run into each other
SHOWN = 8                         # likeliest characters in the picture


EXAMPLE_TEXT = "hello world. the cat sat on the mat. the hat of the cat lay on the mat. hello cat. "


@functools.cache
def tiny_example():
    """A model small enough to be made on the spot, and its vocabulary; the same on every machine.

    Its 32 recurrent units are random and fixed; only the last layer is fitted, by least squares, to one text. So it
    knows next to nothing about English, but a picture of it can always be drawn.
    """
    import torch

    from course_utils.models.recurrent import RecurrentLanguageModel

    vocabulary = Vocabulary("abcdefghijklmnopqrstuvwxyz .")
    ids = torch.tensor([vocabulary.encode(EXAMPLE_TEXT)])
    # The reader's own random numbers go on as if nothing had been drawn here.
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        model = RecurrentLanguageModel(len(vocabulary), embedding_size=12, hidden_size=32)
        states = model.recurrent(model.embedding(ids))[0][0, :-1]                # (T - 1, 32)
        targets = torch.eye(len(vocabulary))[ids[0, 1:]]                         # (T - 1, V)
        fitted = torch.linalg.solve(states.T @ states + 0.05 * torch.eye(32), states.T @ targets)
        model.head.weight.copy_(6.0 * fitted.T)
        model.head.bias.zero_()
    return model, vocabulary


def unroll(model, ids):
    """Read ids with a `RecurrentLanguageModel` and keep everything it computed on the way.

    ids: list of T token ids. Returns numpy arrays: embeddings (T, C), states (T, H) of the last layer, and
    probabilities (T, V) of the token that comes next.
    """
    import torch

    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            embedded = model.embedding(torch.tensor([ids], device=device))       # (1, T, C)
            states, _ = model.recurrent(embedded)                                # (1, T, H)
            probabilities = model.head(states).softmax(-1)                       # (1, T, V)
    finally:
        model.train(was_training)
    return tuple(part[0].cpu().numpy() for part in (embedded, states, probabilities))


def weight_matrices(model):
    """W_x (H, C) and W_h (H, H) of the first layer, or None where the model has none under torch's names."""
    found = []
    for name in ("weight_ih", "weight_hh"):
        matches = [values for key, values in model.named_parameters() if key.rpartition(".")[2].startswith(name)]
        if not matches:
            return None
        found.append(matches[0].detach().cpu().numpy())
    return tuple(found)


def cell_name(model):
    """What stands in the drawn cell: "tanh" or "relu" for a plain recurrent net, else the name of the cell's class."""
    cells = getattr(model.recurrent, "cells", [model.recurrent])
    activation = getattr(getattr(cells[0], "activation", None), "__name__", None)
    return activation or type(cells[0]).__name__.removesuffix("Cell")


def what_moves(states):
    """The finding of the picture in one line. states: (T, H); the step before the first is zero."""
    moved = np.abs(np.diff(states, axis=0, prepend=0)) > 0.5
    return f"A character moves {moved.sum(1).mean():.0f} of {states.shape[1]} units by more than 0.5 on average"


def thumbnail(matrix):
    """The upper left corner of a matrix, divided by its largest absolute value: at most 16 × 16."""
    corner = np.asarray(matrix)[:THUMBNAIL, :THUMBNAIL]
    return corner / (np.abs(corner).max() or 1.0)


class RNNUnroller(CourseWidget):
    """Type a text; step or play through it; see x_t, h_{t-1}, h_t and what the net expects next.

    model: a `RecurrentLanguageModel`, or None for a small built-in example. vocabulary: has `tokens` and
    `encode(text)`; needed with a model. text: 1 to 200 characters. position: the step shown first, 1 … T.
    Raises ValueError where the text cannot be read, the model computes NaN or infinity, or its vocabulary is missing.
    """

    script = "rnn_unroller.js"
    picture_depends_on = ("text", "position")

    text = traitlets.Unicode().tag(sync=True)
    position = traitlets.Int(1).tag(sync=True)
    cell = traitlets.Unicode().tag(sync=True)
    tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
    weights = traitlets.Dict().tag(sync=True)

    def __init__(self, model=None, vocabulary=None, text="hello", position=None):
        if model is not None and vocabulary is None:
            raise ValueError("a model needs its vocabulary: RNNUnroller(model, vocabulary)")
        self.model, self.vocabulary = (model, vocabulary) if model is not None else tiny_example()
        tokens, cell = list(self.vocabulary.tokens), cell_name(self.model)
        super().__init__(tokens=tokens, cell=cell, weights=self._describe_weights())
        self.answer = {**self.respond(text), "id": 0}
        if position is not None:
            self.position = max(1, min(position, self.position))

    def _describe_weights(self):
        matrices = weight_matrices(self.model)
        if matrices is None:
            return {}
        from_input, from_state = matrices
        check_finite(from_input, from_state, what="The model has weights that are")
        return {
            "count": int(from_input.size + from_state.size),
            "from_input": pack(thumbnail(from_input)),
            "from_state": pack(thumbnail(from_state)),
        }

    def respond(self, text):
        """Read a text. Returns ids and packed embeddings (T, C), states (T, H), probabilities (T, V)."""
        if not isinstance(text, str) or not text:
            raise ValueError("Type at least one character: without an input there is no step to show.")
        if len(text) > LONGEST_TEXT:
            raise ValueError(f"{len(text)} characters are too many: the picture holds {LONGEST_TEXT}.")
        ids = [int(number) for number in self.vocabulary.encode(text)]
        embedded, states, probabilities = unroll(self.model, ids)
        check_finite(embedded, states, probabilities, what="With this text the model computes numbers that are")
        self.text, self.position = text, len(ids)
        return {
            "text": text,
            "ids": ids,
            **self._replaced(text),
            "embedded": pack(embedded),
            "states": pack(states),
            "probabilities": pack(probabilities),
        }

    def _replaced(self, text):
        """How many characters the vocabulary reads as its unknown token, and that token."""
        unknown = getattr(self.vocabulary, "unknown", None)
        known = () if unknown is None else set(self.tokens)
        return {"replaced": sum(character not in known for character in text) if known else 0, "unknown": unknown or ""}

    def summary(self):
        shape = self.answer["states"]["shape"]
        return f"RNNUnroller(steps={shape[0]}, hidden_size={shape[1]}, vocabulary={len(self.tokens)})"

    def figure(self):
        ids = self.answer["ids"]
        states = unpack(self.answer["states"])            # not computed anew: the model may have been trained on since
        steps, units = states.shape
        figure, (left, right) = figures.new_figure(width=min(10, 6 + 0.25 * steps), height=3.4, columns=2)
        left.get_gridspec().set_width_ratios([min(3, 1.6 + 0.08 * steps), 1])
        every = -(-units // MOST_ROWS)
        figures.heatmap(
            states[:, ::every].T, columns=[readable(self.tokens[number], 4) for number in ids] if steps <= 40 else None,
            signed=True, axes=left, xlabel="character read at step t",
            ylabel="hidden unit" if every == 1 else f"one in {every} of {units} hidden units",
        )
        rows = range(0, -(-units // every), max(1, units // every // 8))
        left.set_yticks([row + 0.5 for row in rows], [row * every for row in rows])
        figure.suptitle(what_moves(states), x=0.01, ha="left", fontsize=11, fontweight="bold")
        left.tick_params(axis="x", rotation=0)
        position = min(self.position, steps)
        left.axvspan(position - 1, position, fill=False, edgecolor=figures.COLOURS["brand"], linewidth=1.8)
        self._draw_expected(right, unpack(self.answer["probabilities"])[position - 1], position)
        return figure

    def _draw_expected(self, axes, probabilities, position):
        """The likeliest next characters after one step, as bars."""
        best = probabilities.argsort()[::-1][:SHOWN]
        labels = [readable(self.tokens[number], 4) for number in best]
        shown = [f"{value:.2f}" if value >= 0.005 else "<0.01" for value in probabilities[best]]
        bars = axes.barh(range(len(best)), probabilities[best], color=figures.COLOURS["brand"], height=0.7)
        axes.bar_label(bars, shown, padding=4, fontsize=9)
        axes.set_yticks(range(len(best)), labels)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.margins(x=0.25)
        axes.set_title(f"next, given $h_{{{position}}}$", fontsize=10)
