"""`TeacherForcing`: one sentence translated twice, with the right words as inputs and with the model's own."""

import functools

import numpy as np
import traitlets

from course_utils import figures
from course_utils.data.vocabulary import EOS, EOS_ID, SOS_ID, Vocabulary
from course_utils.widgets.base import CourseWidget, check_finite, pack, readable, unpack

MOST_WORDS = 40
# The trained model says another noun, in the free lane the particle that fits it, and then comes back.
EXAMPLE = "now there is a small chair at the small library"
SHOWN = 5                         # likeliest tokens of a step
BEYOND = 5                        # steps that a lane may take past the end of the reference
RATIOS = np.arange(11) / 10
LANES = {"input": "int32", "forced": "uint8", "top": "int32", "probability": "float32", "chosen": "int32",
         "loss": "float32", "length": "int32"}


def forced_and_free(model, source_ids, reference_ids, ratios, coins, limit):
    """Translate one sentence once for each ratio, all in one batch, and keep what every step read and expected.

    Step t reads the reference's last word where coins[t] < ratio, else the word that the model chose last; step 0
    reads <sos>. A lane ends when the word it should read is <eos>, or after `limit` steps. After its end the reference
    goes on with <eos>. So ratio 1 takes exactly T steps, and ratio 0 is greedy decoding.

    model: has `encode(source (R, S), lengths (R,))` and `step(tokens (R,), state)`, as `EncoderDecoder` has.
    source_ids: S ids. reference_ids: T ids, the last is <eos>. ratios: (R,) between 0 and 1. coins: at least `limit`
    numbers in [0, 1), the same for all ratios; the first is not used.
    Returns a dict of arrays, L the steps of the longest lane: length (R,); input, chosen (R, L) ids; forced (R, L),
    1 where the reference supplied the input; top (R, L, 5) the likeliest ids and probability (R, L, 5) theirs; loss
    (R, L), −ln p of the right word, NaN where the reference has ended. After the end of a lane ids are −1.
    Raises ValueError where an argument does not fit, or the model computes NaN.
    """
    import torch

    ratios, coins = np.asarray(ratios, dtype=float), np.asarray(coins, dtype=float)
    check_lanes(source_ids, reference_ids, ratios, coins, limit)
    device = next(model.parameters()).device
    lanes, was_training, steps = len(ratios), model.training, []
    model.eval()
    try:
        with torch.no_grad():
            source = torch.tensor([list(source_ids)] * lanes, device=device)                      # (R, S)
            state = model.encode(source, torch.full((lanes,), len(source_ids)))
            tokens, forced, going = np.full(lanes, SOS_ID), np.zeros(lanes, bool), np.ones(lanes, bool)
            for t in range(limit):
                logits, state = model.step(torch.tensor(tokens, device=device), state)            # (R, V)
                right = reference_ids[t] if t < len(reference_ids) else None
                steps.append(read_step(tokens, forced, going, logits.float().log_softmax(-1).cpu(), right))
                if t + 1 == limit:
                    break
                forced = coins[t + 1] < ratios
                tokens = np.where(forced, EOS_ID if right is None else right, steps[-1]["next"])
                going = going & (tokens != EOS_ID)
                if not going.any():
                    break
    finally:
        model.train(was_training)
    arrays = {name: np.stack([step[name] for step in steps], axis=1) for name in steps[0] if name != "next"}
    return {**arrays, "length": (arrays["input"] >= 0).sum(1)}


def read_step(tokens, forced, going, log_probabilities, right):
    """What one step shows of each lane: a dict of arrays (R,) or (R, 5). log_probabilities: (R, V) tensor."""
    values, order = log_probabilities.sort(dim=-1, descending=True, stable=True)  # of equal ones the first, as argmax
    values, order = values.numpy(), order.numpy()
    check_finite(values[going, 0], what="With this sentence the model computes numbers that are")
    loss = np.full(len(tokens), np.nan) if right is None else -log_probabilities[:, right].numpy()
    return {
        "next": order[:, 0],
        "input": np.where(going, tokens, -1),
        "forced": (forced & going).astype(np.uint8),
        "top": np.where(going[:, None], order[:, :SHOWN], -1),
        "probability": np.where(going[:, None], np.exp(values[:, :SHOWN]), 0.0),
        "chosen": np.where(going, order[:, 0], -1),
        "loss": np.where(going, loss, np.nan),
    }


def check_lanes(source_ids, reference_ids, ratios, coins, limit):
    """Raise ValueError, in one sentence, for arguments that `forced_and_free` cannot use."""
    if len(source_ids) == 0:
        raise ValueError("the source is empty: there is nothing to translate")
    if len(reference_ids) == 0 or reference_ids[-1] != EOS_ID:
        raise ValueError(f"the reference must end with {EOS}, id {EOS_ID}")
    if ratios.ndim != 1 or len(ratios) == 0:
        raise ValueError(f"ratios must be a list of at least one number, got shape {ratios.shape}")
    for ratio in ratios:
        check_ratio(ratio)
    if limit < 1 or len(coins) < limit:
        raise ValueError(f"limit={limit} must be at least 1, with as many coins; there are {len(coins)}")


def check_ratio(ratio):
    """Raise ValueError unless the ratio is a probability."""
    if not 0 <= ratio <= 1:
        raise ValueError(f"ratio={ratio:g} is no probability: it must lie between 0 and 1")


def errors(chosen, reference_ids):
    """Steps, counted from 0, at which a lane's word differs from the right one. The first is where it diverges.

    chosen: ids; negative ones, after the end of the lane, do not count. reference_ids: T ids with <eos>.
    """
    return [step for step, token in enumerate(chosen)
            if token >= 0 and (step >= len(reference_ids) or token != reference_ids[step])]


def joined(tokens):
    """Target tokens as a Korean reader writes them. What the grammar cannot join stands there word by word."""
    from course_utils.data.translation import join

    tokens = [token for token in tokens if token != EOS]
    try:
        return join(tokens)
    except ValueError:
        return " ".join(tokens)


@functools.cache
def trained_example():
    """The course's trained translator and its two vocabularies."""
    import torch

    from course_utils.data.translation import vocabularies
    from course_utils.recordings import load_weights
    from course_utils.recordings.translation_rnn import SETTINGS, translator

    with torch.random.fork_rng(devices=[]):            # the first weights are drawn, and thrown away again
        model = translator(SETTINGS["checkpoint"]["hidden_size"])
    return load_weights(model, "seq2seq"), *vocabularies()


def known_ids(vocabulary: Vocabulary, tokens, what):
    """Ids of tokens. Raises ValueError that names the tokens which the vocabulary does not hold."""
    unknown = [token for token in tokens if token not in vocabulary]
    if unknown:
        shown = ", ".join(repr(token[:30]) for token in unknown[:3])
        raise ValueError(f"The model's {what} vocabulary does not hold {shown}.")
    return vocabulary.encode(tokens)


class TeacherForcing(CourseWidget):
    """Two lanes over one sentence: one always reads the right word, the other reads it with a probability.

    model: an `EncoderDecoder`, or None for the course's trained one; only `encode` and `step` are used. With a model
    come its two vocabularies. source: an English sentence that the course's grammar covers, at most 40 words.
    polite: its register. reference: the right translation as a string or a list of tokens; None takes the grammar's.
    examples: English sentences to choose from. ratio: where the slider stands, 0, 0.1 … 1. seed: of the coins.
    Raises ValueError where a sentence or a ratio cannot be used.
    """

    script = "teacher_forcing.js"
    picture_depends_on = ("source", "polite", "ratio", "coins")

    tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
    examples = traitlets.List(traitlets.Unicode()).tag(sync=True)
    ratio = traitlets.Float(0.0).tag(sync=True)

    def __init__(self, model=None, source_vocabulary=None, target_vocabulary=None, source=EXAMPLE, polite=False,
                 reference=None, examples=None, ratio=0.0, seed=0):
        check_position(ratio)
        if model is None:
            model, source_vocabulary, target_vocabulary = trained_example()
        elif source_vocabulary is None or target_vocabulary is None:
            raise ValueError("a model needs both vocabularies: TeacherForcing(model, source_vocabulary, "
                             "target_vocabulary)")
        self.model, self.seed = model, seed
        self.vocabularies = source_vocabulary, target_vocabulary
        self.own_reference = {} if reference is None else {(source, bool(polite)): reference}
        super().__init__(tokens=list(target_vocabulary.tokens), examples=list(examples or []), ratio=ratio)
        self.answer = {**self.respond(source, polite), "id": 0}

    # What the picture shows; another sentence is asked for in the widget, or with a new one.
    source = property(lambda self: self.answer["source"])
    polite = property(lambda self: self.answer["polite"])
    coins = property(lambda self: self.answer["coins"])

    @traitlets.validate("ratio")
    def _fits(self, proposal):
        """A ratio that the slider does not have is refused; the last good one stays."""
        try:
            check_position(proposal["value"])
        except ValueError as problem:
            raise traitlets.TraitError(str(problem)) from None
        return round(proposal["value"], 1)

    def respond(self, source, polite=False, coins=0):
        """Translate a sentence at all eleven ratios. coins: 0 for the first throw, 1 for the next, …

        Returns the sentence, whether it is longer than any in training, its right translation, the packed arrays of
        `forced_and_free`, and what every lane has written after each step.
        """
        from course_utils.data import translation

        if not isinstance(source, str) or not source.strip():
            raise ValueError("Type an English sentence: without one there is nothing to translate.")
        if len(source.split()) > MOST_WORDS:
            raise ValueError(f"{len(source.split())} words are too many: the picture holds {MOST_WORDS}.")
        source_ids = known_ids(self.vocabularies[0], translation.source_tokens(source, polite), "source")
        reference = [*self._reference(source, bool(polite)), EOS]
        reference_ids = known_ids(self.vocabularies[1], reference, "target")
        limit = len(reference) + BEYOND
        drawn = np.random.default_rng([self.seed, int(coins)]).random(limit)
        lanes = forced_and_free(self.model, source_ids, reference_ids, RATIOS, drawn, limit)
        return {
            "source": source, "polite": bool(polite), "coins": int(coins), "limit": limit, "reference": reference_ids,
            "right": joined(reference), "written": [self._written(chosen) for chosen in lanes["chosen"]],
            "longer": len(source_ids) - 1 > max(translation.LENGTHS),        # without the register
            "drawn": pack(drawn), "lanes": {name: pack(lanes[name], dtype) for name, dtype in LANES.items()},
        }

    def _reference(self, source, polite):
        """Tokens of the right translation: the reader's own for the sentence it was given for, else the grammar's."""
        from course_utils.data import translation

        own = self.own_reference.get((source, polite), None)
        if own is None or isinstance(own, str):
            return list(translation.split(translation.translate(source, polite) if own is None else own))
        return [token for token in own if token != EOS]

    def _written(self, chosen):
        """What one lane has written after step 1, 2, …"""
        words = [self.tokens[number] for number in chosen if number >= 0]
        return [joined(words[: count + 1]) for count in range(len(words))]

    def summary(self):
        return (f"TeacherForcing({readable(self.source, 60)!r}, polite={self.polite}, ratio={self.ratio:g}, "
                f"steps={len(self.answer['reference'])})")

    def figure(self):
        lanes = {name: unpack(packed) for name, packed in self.answer["lanes"].items()}
        free = round(self.ratio * 10)
        chosen = {"forced": lanes["chosen"][-1], name_lane(self.ratio): lanes["chosen"][free]}
        steps = max(len(self.answer["reference"]), int(lanes["length"][free]))
        figure, (table, chart) = figures.new_figure(width=min(max(2 + 0.7 * steps, 6), 14), height=3.8, rows=2)
        found = [tell_errors(name, ids, self.answer["reference"]) for name, ids in chosen.items()]
        figure.suptitle("\n".join(line[0].upper() + line[1:] for line in found), x=0.01, ha="left", fontsize=11,
                        fontweight="bold")
        rows = {"right word": self.answer["reference"], **{f"{name} says": ids for name, ids in chosen.items()}}
        self._draw_words(table, rows, steps)
        draw_losses(chart, dict(zip(chosen, (lanes["loss"][-1], lanes["loss"][free]), strict=True)), steps)
        return figure

    def _draw_words(self, axes, rows, steps):
        """The lanes as rows of words, one column a step; what differs from the right word is red, with a cross."""
        axes.set(xlim=(0.5, steps + 0.5), ylim=(len(rows) - 0.5, -0.6))
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_xticks([])
        axes.grid(visible=False)
        for row, ids in enumerate(rows.values()):
            off = set(errors(ids, self.answer["reference"]))
            for step, number in enumerate(number for number in ids[:steps] if number >= 0):
                text = readable(self.tokens[number], 7)
                style = {"color": figures.COLOURS["wrong"], "fontweight": "bold"} if step in off else {}
                axes.text(step + 1, row, f"× {text}" if step in off else text, ha="center", va="center",
                          fontsize=9 if steps <= 14 else 8, **style)


def check_position(ratio):
    """Raise ValueError unless the ratio is a place of the slider."""
    check_ratio(ratio)
    if abs(10 * ratio - round(10 * ratio)) > 1e-6:
        raise ValueError(f"ratio={ratio:g} is no place of the slider: it has 0, 0.1, 0.2 … 1")


def name_lane(ratio):
    """How the picture calls the second lane."""
    return "free-running" if ratio == 0 else f"ratio {ratio:g}"


def tell_errors(name, chosen, reference_ids):
    """One lane's errors in words. Another word may be a good one too, so they are called no more than different."""
    off = errors(chosen, reference_ids)
    if not off:
        return f"{name} is right at every step"
    where = ": step" if len(off) == 1 else ", first at step"
    return f"{name} differs at {len(off)} of {(np.asarray(chosen) >= 0).sum()} steps{where} {off[0] + 1}"


def draw_losses(axes, losses, steps):
    """Bars side by side for every step: −ln p of the right word in each lane. losses: two entries, name: (L,)."""
    places = np.arange(1, steps + 1)
    for (name, values), offset, colour in zip(losses.items(), (-0.2, 0.2), ("query", "key"), strict=True):
        heights = np.zeros(steps)
        heights[: len(values[:steps])] = np.nan_to_num(values[:steps])
        axes.bar(places + offset, heights, width=0.36, color=figures.COLOURS[colour], label=name)
    axes.set(xlim=(0.5, steps + 0.5), xlabel="step", ylabel="loss −ln p")
    axes.set_xticks(places)
    axes.grid(visible=False, axis="x")
    axes.legend()
