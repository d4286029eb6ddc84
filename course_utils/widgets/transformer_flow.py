"""`TransformerFlow`: the block diagram of the Transformer as a machine that a sentence runs through."""

import functools
import re
from dataclasses import dataclass, field

import numpy as np
import traitlets
from matplotlib.patches import Rectangle

from course_utils import figures
from course_utils.data.vocabulary import EOS, EOS_ID, SOS, SOS_ID
from course_utils.widgets.attention_view import draw_matrix
from course_utils.widgets.base import CourseWidget, as_numpy, check_finite, clean, one_line, pack, readable, unpack
from course_utils.widgets.position_explorer import check_whole
from course_utils.widgets.teacher_forcing import joined, known_ids

SWITCHES = ("positions", "mask", "residual", "norm")      # the parts that `without` can take out
MOST_WORDS = 24                   # the longest sentences of the course's data
SHOWN = 5                         # likeliest tokens of a step
EXAMPLES = ("I love you", "the small cat drinks cold milk", "my friend does not eat cold bread in the park every day",
            "now there is a small chair at the small library")


@dataclass(frozen=True)
class Part:
    """What leaves one part of the machine for every token that went through it.

    name: as `course_utils.models.tracing.trace` names it. values: (R, C), the rows are tokens. weights: of an
    attention (R, H, K), NaN where the mask hides a key.
    """

    name: str
    values: np.ndarray
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Run:
    """One sentence on its way through the machine. S source tokens, T tokens written.

    source: the tokens that the encoder read. target: the tokens written, the last is <eos> where the model ended by
    itself. parts: in the order of computing. Those of the encoder have S rows. Those of the decoder have T, one for
    each token read; where `anew`, so that earlier rows differ from step to step, 1 + 2 + … + T, those of step 1 first,
    and their self-attention weights T keys; hidden layers T all the same, those of the last step. top: T lists of the
    likeliest next tokens, probability (T, 5) theirs. words: the target vocabulary, the columns of the head. start: what
    the decoder reads first.
    """

    source: list
    target: list
    parts: list
    top: list
    probability: np.ndarray
    words: list = field(default_factory=list)
    anew: bool = False
    start: str = SOS


# ---- a sentence through a model --------------------------------------------------------------------------------------


def greedy_run(model, source_ids, limit):
    """Translate one sentence, always with the likeliest token, and keep the five likeliest of every step.

    Returns written ids, with <eos> where the model ended by itself, top ids (T, 5), their probabilities (T, 5), and the
    Parts of the whole: a later token changes no earlier row, so that one pass over all of them is enough.
    """
    import torch

    device = next(model.parameters()).device
    written, top, probability = [], [], []
    with torch.no_grad():
        state = model.encode(torch.tensor([source_ids], device=device), torch.tensor([len(source_ids)], device=device))
        while len(written) < limit and written[-1:] != [EOS_ID]:
            logits, state = model.step(torch.tensor(written[-1:] or [SOS_ID], device=device), state)        # (1, V)
            pick(logits[0], written, top, probability)
    return written, top, probability, traced_parts(model, source_ids, [SOS_ID, *written[:-1]])


def unmasked_run(model, source_ids, limit):
    """The same where earlier tokens see later ones: the Parts hold the decoder's rows of each step, one step after
    another, because every step changes them.
    """
    import torch

    written, top, probability, steps = [], [], [], []
    while len(written) < limit and written[-1:] != [EOS_ID]:
        steps.append(traced_parts(model, source_ids, [SOS_ID, *written]))
        pick(torch.from_numpy(steps[-1][-1].values[-1]), written, top, probability)
    return written, top, probability, joined_steps(steps)


def pick(logits, written, top, probability):
    """Append the likeliest token, and the five likeliest with their probabilities. logits: (V,)."""
    values, order = logits.float().softmax(-1).sort(descending=True, stable=True)
    written.append(int(order[0]))
    top.append(order[:SHOWN].tolist())
    probability.append(values[:SHOWN].tolist())


def traced_parts(model, source_ids, read_ids):
    """The Parts of one forward pass over a sentence and the tokens read so far."""
    import torch

    from course_utils.models.tracing import trace

    device = next(model.parameters()).device
    source, tokens = (torch.tensor([ids], device=device) for ids in (source_ids, read_ids))
    stages = trace(model, source, torch.tensor([len(source_ids)], device=device), tokens)
    return [Part(stage.name, as_numpy(stage.values[0].float(), stage.name), visible_weights(stage)) for stage in stages]


def visible_weights(stage):
    """A stage's weights as (T_q, H, T_k), NaN where the mask hides a key; None where it has none."""
    if stage.weights is None:
        return None
    weights = stage.weights if stage.allowed is None else stage.weights.masked_fill(~stage.allowed, float("nan"))
    return as_numpy(weights[0].float().transpose(0, 1), stage.name)          # (H, T_q, T_k) -> (T_q, H, T_k)


def joined_steps(steps):
    """Parts of several steps, each with one token more than the one before, as one list of Parts."""
    joined_parts = []
    for part, *later in zip(*steps, strict=True):
        if part.name.startswith("encoder") or part.name.endswith("hidden"):
            joined_parts.append([part, *later][-1])        # hidden layers are wide: those of the last step are enough
            continue
        width = len(steps) if part.name.endswith("self_attention") else None
        weights = None if part.weights is None else stacked([one.weights for one in (part, *later)], width)
        joined_parts.append(Part(part.name, np.concatenate([one.values for one in (part, *later)]), weights))
    return joined_parts


def stacked(weights, width):
    """Weights of several steps below one another; width: keys to fill up to with NaN, None leaves them."""
    if width is not None:
        weights = [np.pad(one, ((0, 0), (0, 0), (0, width - one.shape[2])), constant_values=np.nan) for one in weights]
    return np.concatenate(weights)


class Translator:
    """What a trained `Transformer` does with a sentence of the course's grammar: `translator(text, polite, off)`.

    A model without some parts is made anew for each sentence: so it follows every change of the model itself.
    """

    def __init__(self, model):
        from course_utils.data.translation import vocabularies

        self.model, self.vocabularies = model, vocabularies()
        for side, vocabulary in zip(("source", "target"), self.vocabularies, strict=True):
            size = getattr(model, f"{side}_embedding").num_embeddings
            if size != len(vocabulary):
                raise ValueError(f"the model's {side} vocabulary has {size} words, the course's {len(vocabulary)}; "
                                 "for other vocabularies give a function translate")

    def __call__(self, text, polite, off):
        from course_utils.models.tracing import evaluating
        from course_utils.models.transformer import without

        source, ids = self.read(text, polite)
        model = without(self.model, *off) if off else self.model
        run = greedy_run if model.causal else unmasked_run
        with evaluating(model):
            written, top, probability, parts = run(model, ids, 2 * len(ids) + 6)
        tokens = self.vocabularies[1].tokens
        return Run(list(source), [tokens[number] for number in written], parts,
                   [[tokens[number] for number in row] for row in top], np.array(probability), list(tokens),
                   not model.causal)

    def read(self, text, polite):
        """The source tokens of a sentence and their ids. Raises ValueError for one that the grammar does not cover."""
        from course_utils.data.translation import source_tokens

        source = source_tokens(text, polite)
        return source, known_ids(self.vocabularies[0], source, "source")


@functools.cache
def trained_translator():
    """The course's recorded Transformer as a Translator. Raises FileNotFoundError where it is not recorded."""
    import torch

    from course_utils.recordings import load_weights
    from course_utils.recordings.translation_transformer import translator

    with torch.random.fork_rng(devices=[]):            # the first weights are drawn, and thrown away again
        model = translator()
    return Translator(load_weights(model, "transformer"))


# ---- what travels ----------------------------------------------------------------------------------------------------


def describe(name):
    """A part's place in the diagram: {"name", "side", "layer", "kind", "of"}. layer counts from 0, −1 is outside.

    kind: words, positions, attention, feed_forward, hidden, sum, norm or head; of: the sublayer that a sum or a norm
    belongs to. Raises ValueError for a name that is no part of the machine.
    """
    if name == "head":
        return {"name": name, "side": "decoder", "layer": -1, "kind": "head", "of": ""}
    outside = re.fullmatch(r"(encoder|decoder)\.(words|positions|norm)", name)
    if outside:
        return {"name": name, "side": outside[1], "layer": -1, "kind": outside[2], "of": ""}
    inside = re.fullmatch(r"(encoder|decoder)\.blocks\.(\d+)\.(?:around_)?(\w+?)(?:\.(sum|norm|hidden))?", name)
    if not inside:
        raise ValueError(f"{name!r} is no part of a Transformer")
    of = inside[3]
    kind = inside[4] or ("feed_forward" if of == "feed_forward" else "attention")
    return {"name": name, "side": inside[1], "layer": int(inside[2]), "kind": kind, "of": of}


def complete(parts, names):
    """Parts in the order of names, the full machine's; one that was switched off passes on what it gets, unchanged."""
    found, done, stream = {part.name: part for part in parts}, [], None
    for name in names:
        part = found.get(name) or Part(name, stream.values)
        done.append(part)
        if describe(name)["kind"] in ("positions", "sum"):
            stream = part
    return done


def pack_parts(parts):
    """Where each part's numbers begin in one long array of float32; returns the descriptions and the array packed."""
    described, arrays, length = [], [], 0
    for part in parts:
        entry = describe(part.name)
        for name, array in (("values", part.values), ("weights", part.weights)):
            entry[name] = None if array is None else {"shape": list(array.shape), "at": length}
            if array is not None:
                arrays.append(np.ravel(array))
                length += array.size
        described.append(entry)
    return described, pack(np.concatenate(arrays))


def check_run(run):
    """Raise ValueError where a Run does not hold together or has numbers that cannot be drawn."""
    if not isinstance(run, Run):
        raise ValueError(f"translate must return a Run, not {type(run).__name__}")
    if not run.source or not run.target or not run.parts:
        raise ValueError("a Run needs source tokens, target tokens and parts")
    S, T = len(run.source), len(run.target)
    places = [describe(part.name) for part in run.parts]
    for side in ("encoder", "decoder"):
        kinds = {(part["kind"], part["layer"]) for part in places if part["side"] == side}
        if not {("words", -1), ("positions", -1), ("sum", 0)} <= kinds:
            raise ValueError(f"the {side} needs words, positions and at least one layer with a sum")
    for part in run.parts:
        place, values = describe(part.name), as_numpy(part.values, part.name)
        rows = {S} if place["side"] == "encoder" else {T, T * (T + 1) // 2} if run.anew else {T}
        if values.ndim != 2 or len(values) not in rows:
            raise ValueError(f"{part.name} has the shape {values.shape}; its rows are the {place['side']}'s tokens")
        check_finite(values, what="With this sentence the model computes numbers that are")
    if np.shape(run.probability)[:1] != (T,) or len(run.top) != T:
        raise ValueError("top and probability need one row for each token written")


def first_difference(target, full):
    """The first place at which two lists of tokens differ, counted from 0; None if they are equal."""
    for place in range(max(len(target), len(full))):
        if target[place : place + 1] != full[place : place + 1]:
            return place
    return None


# ---- what may be asked -----------------------------------------------------------------------------------------------


def read_off(off):
    """Parts that are off as a list in the order of SWITCHES; one name stands for a list of one. Raises ValueError."""
    off = [off] if isinstance(off, str) else off
    if not isinstance(off, (list, tuple, set, frozenset)):
        raise ValueError(f"off={readable(repr(off), 40)} is no list of parts: {', '.join(SWITCHES)}")
    unknown = [part for part in off if not isinstance(part, str) or part not in SWITCHES]
    if unknown:
        raise ValueError(f"{readable(str(unknown[0]), 40)!r} cannot be switched off; {', '.join(SWITCHES)} can")
    return [part for part in SWITCHES if part in off]


def read_examples(examples):
    """Sentences to choose from as a list of texts. Raises ValueError for anything else."""
    examples = list(examples) if hasattr(examples, "__iter__") and not isinstance(examples, str) else [None]
    if not all(isinstance(example, str) for example in examples):
        raise ValueError("examples must be a list of sentences")
    return [clean(example) for example in examples]


def check_place(name, value, answer):
    """Raise ValueError unless a token or a part is one of the machine's; the part "" is none."""
    names = [part["name"] for part in answer["parts"]]
    if name == "token":
        check_whole(name, value, 0, len(answer["target"]))
    elif not isinstance(value, str) or value not in ("", *names):
        raise ValueError(f"part={readable(repr(value), 60)} is none of the machine's, such as {names[2]!r}")


# ---- the widget ------------------------------------------------------------------------------------------------------


class TransformerFlow(CourseWidget):
    """A sentence runs through a Transformer, part by part: the encoder once, then the decoder token by token.

    model: a `Transformer` over the course's vocabularies, or None for the recorded one. text: an English sentence of
    the course's grammar, at most 24 words; polite: its register. off: parts switched off, one or a list of "positions",
    "mask", "residual", "norm". token: how many tokens are written at first; part: the part that is opened at first, as
    `trace` names it, such as "decoder.blocks.0.cross_attention". examples: sentences to choose from. translate: in
    place of a model, a function of text, polite and off that returns a `Run`.
    Raises ValueError where one of these makes no sense.
    """

    script = "transformer_flow.js"
    picture_depends_on = ("text", "polite", "off", "written")

    examples = traitlets.List(traitlets.Unicode()).tag(sync=True)
    token = traitlets.Int(0).tag(sync=True)
    part = traitlets.Unicode("").tag(sync=True)

    def __init__(self, model=None, text=EXAMPLES[0], polite=False, off=(), token=0, part="", examples=EXAMPLES,
                 translate=None):
        if model is not None and translate is not None:
            raise ValueError("give a model or a function translate, not both")
        if model is not None and not all(hasattr(model, name) for name in ("source_embedding", "step", "positions")):
            raise ValueError(f"model must be a Transformer, not {type(model).__name__}")
        if translate is not None and not callable(translate):
            raise ValueError("translate must be a function of text, polite and off")
        self._translate = translate or (trained_translator() if model is None else Translator(model))
        examples, answer = read_examples(examples), {**self.respond(text, polite, off), "id": 0}
        check_place("token", token, answer)
        check_place("part", part, answer)
        super().__init__(examples=examples, answer=answer, token=int(token), part=part)

    # What the picture shows; another sentence is asked for in the widget, or with a new one.
    text = property(lambda self: self.answer["text"])
    polite = property(lambda self: self.answer["polite"])
    off = property(lambda self: self.answer["off"])
    written = property(lambda self: self.answer["written"])

    @traitlets.validate("token", "part")
    def _fits(self, proposal):
        """A step or a part that is not there is refused; the last good one stays."""
        try:
            check_place(proposal["trait"].name, proposal["value"], self.answer)
        except ValueError as problem:
            raise traitlets.TraitError(str(problem)) from None
        return proposal["value"]

    def respond(self, text, polite=False, off=()):
        """Run a sentence through the machine, and through the full machine if a part is off."""
        if not isinstance(text, str) or not text.strip():
            raise ValueError("Type an English sentence: without one there is nothing to translate.")
        text, words = clean(text), len(text.split())
        if words > MOST_WORDS:
            raise ValueError(f"{words} words are too many: the machine takes {MOST_WORDS}.")
        if not isinstance(polite, (bool, np.bool_)):
            raise ValueError(f"polite={readable(repr(polite), 40)} is neither True nor False")
        polite, off = bool(polite), read_off(off)
        run = self._run(text, polite, off)
        full = self._run(text, polite, []) if off else run
        parts, numbers = pack_parts(complete(run.parts, [part.name for part in full.parts]))
        return {
            "text": text, "polite": polite, "off": off, "anew": run.anew, "start": clean(run.start),
            "source": [clean(token) for token in run.source], "target": [clean(token) for token in run.target],
            "full": [clean(token) for token in full.target], "differs": first_difference(run.target, full.target),
            "written": clean(joined(run.target)), "fullWritten": clean(joined(full.target)),
            "ended": run.target[-1] == EOS, "parts": parts, "numbers": numbers, "words": list(map(clean, run.words)),
            "top": [[clean(token) for token in row] for row in run.top], "probability": pack(run.probability),
        }

    def _run(self, text, polite, off):
        try:
            run = self._translate(text, polite, tuple(off))
        except (Exception, SystemExit) as error:
            own, told = isinstance(error, ValueError), one_line(error)
            if own and told.isprintable():                 # the function's own words about this sentence
                raise
            if not told.isprintable():                     # a character of the sentence could turn the line round
                told = readable(told, len(told))
            raise ValueError(told if own else f"translate failed: {told}") from error
        check_run(run)
        return run

    def tensor(self, name):
        """The values (R, C) of a part as the widget has them. Raises ValueError for a name that is none."""
        for part in self.answer["parts"]:
            if part["name"] == name:
                return self._array(part["values"])
        raise ValueError(f"{name!r} is no part of this machine")

    def _array(self, place):
        size = int(np.prod(place["shape"]))
        return unpack(self.answer["numbers"])[place["at"] : place["at"] + size].reshape(place["shape"])

    def summary(self):
        off = f", off={self.off}" if self.off else ""
        layers = 1 + max(part["layer"] for part in self.answer["parts"])
        return (f"TransformerFlow({readable(self.text, 60)!r}, polite={self.polite}, layers={layers}, "
                f"tokens={len(self.answer['target'])}{off})")

    def figure(self):
        names = [part["name"] for part in self.answer["parts"]]
        figure, (machine, matrix) = figures.new_figure(width=9.6, height=4.6, columns=2)
        machine.get_gridspec().set_width_ratios([1.25, 1])
        draw_machine(machine, names, self.off)
        weights = self._looks()
        if weights is None:
            matrix.set_axis_off()
        else:
            draw_matrix(matrix, weights, self.answer["target"], self.answer["source"], 1.0)
            matrix.set_xlabel("source: keys", color=figures.COLOURS["key"])
            matrix.set_ylabel("the step that writes …", color=figures.COLOURS["query"])
            matrix.set_title("last cross-attention, mean of the heads", fontsize=10, fontweight="normal")
        figure.suptitle(self._finding(weights), x=0.01, ha="left", fontsize=11, fontweight="bold")
        return figure

    def _looks(self):
        """Mean weights (T, S) of the last cross-attention, each step's newest row; None where there is none."""
        found = [part for part in self.answer["parts"] if part["of"] == "cross_attention" and part["weights"]]
        if not found:
            return None
        weights, T = self._array(found[-1]["weights"]).mean(1), len(self.answer["target"])
        steps = np.arange(1, T + 1)
        return weights[steps * (steps + 1) // 2 - 1] if len(weights) > T else weights

    def _finding(self, weights):
        """The picture's title: the translation, and where one step looked."""
        off = f"without {', '.join(self.off)} " if self.off else ""
        title = f"“{readable(self.text, 44)}” {off}becomes “{readable(self.answer['written'], 36)}”"
        if weights is None or not np.isfinite(weights).all():
            return title
        row, column = np.unravel_index(weights.argmax(), weights.shape)
        return (f"{title}\nwriting ‘{readable(self.answer['target'][row], 16)}’ it looks most at "
                f"‘{readable(self.answer['source'][column], 16)}’ ({weights[row, column]:.2f})")


# ---- the PNG ---------------------------------------------------------------------------------------------------------

LABELS = {"words": "word vectors", "head": "linear, softmax", "attention": "self-attention",
          "self_attention": "masked self-attention", "cross_attention": "cross-attention",
          "feed_forward": "feed-forward"}
TAKEN_OUT = {"positions": "positions", "sum": "residual", "norm": "norm"}      # kind of part -> the switch that ends it
# Where a column of the diagram has its boxes (left edge), the stream, and the words about the stream.
PLACES = {"encoder": (1.5, 0.9, 1.25, "left"), "decoder": (5.9, 9.9, 9.55, "right")}
WIDE = 3.4                        # of a box


def draw_machine(axes, names, off):
    """The block diagram: one block of each column with the number of its layers; what is off is dashed."""
    axes.set_axis_off()
    parts = [describe(name) for name in names]
    columns = {side: column_heights([part for part in parts if part["side"] == side]) for side in PLACES}
    tops = {side: heights[-1][1] for side, heights in columns.items()}
    for side, heights in columns.items():
        layers = 1 + max(part["layer"] for part in parts if part["side"] == side)
        draw_column(axes, side, heights, layers, off)
    above = tops["encoder"] + 1.0
    axes.plot([PLACES["encoder"][1]] * 2, [tops["encoder"], above], color=figures.COLOURS["brand"], linewidth=3,
              alpha=0.5)
    axes.text(1.2, above + 0.3, "encoder’s output: keys, values", fontsize=8.5)
    for part, height in columns["decoder"]:
        if part["kind"] == "attention" and part["of"] == "cross_attention":
            for shift, colour in ((0.0, "key"), (0.14, "value")):
                across, up = 5.4 - shift, (above + shift, height + shift)
                axes.plot([0.9, across, across, 5.9], [up[0], up[0], up[1], up[1]], color=figures.COLOURS[colour])
    axes.set(xlim=(0, 10.7), ylim=(-1.1, max(tops.values()) + 0.7))


def column_heights(parts):
    """The parts of a column outside the layers and of the first layer, each with its height in the diagram."""
    placed, height = [], 0.0
    shown = [part for part in parts if part["layer"] <= 0 and part["kind"] != "hidden"]
    for place, part in enumerate(shown):
        placed.append((part, height + 0.2 if part["kind"] == "sum" else height))
        following = shown[place + 1]["kind"] if place + 1 < len(shown) else ""
        height += 0.0 if following == "sum" else 0.95 if "norm" in (part["kind"], following) else 1.15
        height += 0.4 if shown[place + 1 : place + 2] and part["layer"] > shown[place + 1]["layer"] else 0.0
    return placed


def draw_column(axes, side, heights, layers, off):
    """The encoder or the decoder: its stream, its boxes beside it, the frame of one layer."""
    left, stream, inner, align = PLACES[side]
    inside = [height for part, height in heights if part["layer"] == 0]
    low, high = min(inside) - 0.55, max(inside) + 0.75
    axes.add_patch(Rectangle((0.2 if side == "encoder" else left - 0.25, low), 4.85, high - low, facecolor="#f4f6f8",
                             edgecolor=figures.COLOURS["line"]))
    axes.text(left + WIDE if side == "encoder" else left, high - 0.1, f"{layers} ×", va="top", fontsize=9,
              ha="right" if side == "encoder" else "left", color=figures.COLOURS["muted"])
    axes.plot([stream] * 2, [0, heights[-1][1]], color=figures.COLOURS["brand"], linewidth=3, alpha=0.5)
    axes.text(left + WIDE / 2, -0.75, side, ha="center", va="center", fontsize=10, fontweight="bold")
    for (part, height), (following, _) in zip(heights, [*heights[1:], heights[-1]], strict=True):
        gone = TAKEN_OUT.get(part["kind"]) in off
        if part["kind"] in ("positions", "sum"):
            draw_plus(axes, stream, height, gone)
            if part["kind"] == "positions":
                label, place = "positions: off" if gone else "positions", left if side == "encoder" else inner - 0.15
                axes.text(place, height, label, ha=align, va="center", fontsize=8.5)
        elif part["kind"] == "norm":
            before = following["of"] == part["of"] and following["kind"] in ("attention", "feed_forward")
            draw_box(axes, "off" if gone else "norm", left if before else stream - 0.5, WIDE if before else 1.0, height,
                     gone)
        elif part["layer"] < 0:
            draw_box(axes, LABELS[part["kind"]], min(left, stream - 0.3), WIDE + 0.9, height, gone)
        else:
            edge = left if side == "encoder" else left + WIDE
            for level in (-0.2, 0.2):                        # off the stream, and back to it
                axes.plot([stream, edge], [height + level] * 2, color=figures.COLOURS["muted"], linewidth=0.9)
            unmasked = part["of"] == "self_attention" and "mask" in off
            label = "self-attention, no mask" if unmasked else LABELS.get(part["of"], part["of"])
            draw_box(axes, label, left, WIDE, height, unmasked)


def draw_plus(axes, x, y, gone):
    axes.plot(x, y, marker="o", markersize=9, markerfacecolor="white", markeredgecolor=figures.COLOURS["muted"],
              markeredgewidth=0.9, linestyle="none")
    if not gone:
        axes.plot(x, y, marker="+", markersize=6, color=figures.COLOURS["ink"], markeredgewidth=0.9)


def draw_box(axes, label, left, width, height, gone):
    """A box with its name, dashed where something is off."""
    axes.add_patch(Rectangle((left, height - 0.36), width, 0.72, facecolor="white", linewidth=0.9, zorder=2.5,
                             edgecolor=figures.COLOURS["muted"], linestyle="--" if gone else "-"))
    axes.text(left + width / 2, height - 0.02, label, ha="center", va="center", fontsize=8.5, zorder=3,
              color=figures.COLOURS["muted" if gone else "ink"])
