"""`SoftmaxScale`: what the size of a head, the division by √d_k and a temperature do to a row of attention weights.

With `logits` it has a second face: what a temperature does to a teacher's probabilities, and to the gradient that a
student gets from them (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015).
"""

import functools
import math

import numpy as np
import traitlets

from course_utils import figures
from course_utils.widgets.base import CourseWidget, Tensor, as_numpy, clean, readable, softmax

SIZES = [2**power for power in range(11)]          # d_k: 1, 2, 4 … 1024
COOLEST, HOTTEST = 0.1, 10.0                       # temperatures
FEWEST, MOST = 2, 16                               # keys: one has nothing to share with, more would not fit
TINIEST = 1e-10                                    # probabilities below this are drawn on the edge
LARGEST = 1e6                                      # a score beyond this is no dot product of unit-variance vectors
DRAWS, HEADS = 64, 500
HOTTEST_TARGET = 20.0                              # temperature of soft targets, from 1 on
TEMPERATURES = [HOTTEST_TARGET ** (step / 24) for step in range(25)]
MOST_CLASSES, LISTED = 100_000, 10                 # of more than MOST classes, the likeliest ten get a row each


# ---- the numbers -----------------------------------------------------------------------------------------------------


def scale_of(d_k, temperature, scaled):
    """What a raw score is multiplied with before softmax."""
    return (1 / math.sqrt(d_k) if scaled else 1.0) / temperature


def softmax_slope(weights, scale):
    """Norm of ∂weights/∂(q·k), the scale's own factor included. weights: (..., n) -> (...).

    The Jacobian of softmax is diag(w) - w wᵀ. Each number on its diagonal, w (1 - w), is taken as w times the sum of
    the other weights: near w = 1 the difference would keep no digit.
    """
    products = weights[..., :, None] * weights[..., None, :] * (1 - np.eye(weights.shape[-1]))     # w wᵀ, no diagonal
    return scale * np.sqrt((products**2).sum((-2, -1)) + (products.sum(-1) ** 2).sum(-1))


def softmax_row(directions, d_k=64, temperature=1.0, scaled=True):
    """One row of attention, from its scores to the slope of its softmax.

    directions: (n,) raw scores at d_k = 1; at another d_k they are √d_k times as large, as the dot products of
    unit-variance vectors are. temperature: divides the scores once more. scaled: whether they are divided by √d_k.

    Returns a dict: raw (n,) the scores q·k; entering (n,) what goes into softmax; weights (n,); entropy in nats;
    slope, the norm of ∂weights/∂(q·k); variance and variance_in, of raw and entering scores (sample variance, n - 1).
    """
    raw = np.asarray(directions, dtype=np.float64) * math.sqrt(d_k)
    scale = scale_of(d_k, temperature, scaled)
    entering = raw * scale
    weights = softmax(entering)
    logs = np.log(weights, where=weights > 0, out=np.zeros_like(weights))         # 0 log 0 is 0
    return {"raw": raw, "entering": entering, "weights": weights, "entropy": float(-(weights * logs).sum()),
            "slope": float(softmax_slope(weights, scale)), "variance": float(raw.var(ddof=1)),
            "variance_in": float(entering.var(ddof=1))}


@functools.cache
def random_heads(keys=8, seed=0):
    """Random heads for every size in SIZES: (noise (HEADS, keys), lengths (len(SIZES), HEADS)), float32.

    With q fixed, the scores q·k of normal keys are normal with spread |q|. So lengths holds |q| / √d_k, and a head's
    raw scores are √d_k · length · noise: exactly as if q and k had been drawn, without 16 million random numbers.
    """
    random = np.random.default_rng(seed)
    lengths = [np.sqrt(random.chisquare(d_k, HEADS) / d_k) for d_k in SIZES]
    return random.normal(size=(HEADS, keys)).astype(np.float32), np.array(lengths, dtype=np.float32)


def median_slopes(noise, lengths, temperature=1.0):
    """The median slope of the random heads for every size: (2, len(SIZES)), first with the division, then without."""
    noise, lengths = np.asarray(noise, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    medians = np.empty((2, len(SIZES)))
    for column, (d_k, length) in enumerate(zip(SIZES, lengths, strict=True)):
        raw = math.sqrt(d_k) * length[:, None] * noise                            # (HEADS, keys)
        for row, scaled in enumerate((True, False)):
            scale = scale_of(d_k, temperature, scaled)
            medians[row, column] = np.median(softmax_slope(softmax(raw * scale), scale))
    return medians


# ---- soft targets: a teacher's probabilities at a temperature --------------------------------------------------------


def entropy_of(weights):
    """In nats, along the last axis; 0 log 0 is 0."""
    return -(weights * np.log(weights, where=weights > 0, out=np.zeros_like(weights))).sum(-1)


def soft_targets(logits, temperature, student=None):
    """A teacher's probabilities at T = 1 and at a temperature, and what they ask of a student.

    logits: (n,) the teacher's; student: (n,) a student's, or None.
    Returns a dict: hard (n,) at T = 1; soft (n,) at the temperature; entropy_hard and entropy of both, in nats; with a
    student also student (n,), its probabilities at the temperature; gradient (n,), ∂KL(teacher ‖ student)/∂(its
    logits) = (student - soft) / T; scaled (n,), the same times T².
    """
    logits = np.asarray(logits, dtype=np.float64)
    hard, soft = softmax(logits), softmax(logits / temperature)
    found = {"hard": hard, "soft": soft, "entropy_hard": float(entropy_of(hard)), "entropy": float(entropy_of(soft))}
    if student is None:
        return found
    theirs = softmax(np.asarray(student, dtype=np.float64) / temperature)
    gradient = (theirs - soft) / temperature
    return {**found, "student": theirs, "gradient": gradient, "scaled": temperature**2 * gradient}


def over_temperatures(logits, student=None):
    """What the chart shows for TEMPERATURES: (lines, len(TEMPERATURES)).

    With a student the lengths of its gradient without the factor T² and with it; without one the entropy.
    """
    rows = [soft_targets(logits, temperature, student) for temperature in TEMPERATURES]
    if student is None:
        return np.array([[row["entropy"] for row in rows]])
    return np.array([[np.linalg.norm(row[name]) for row in rows] for name in ("gradient", "scaled")])


# ---- what may be shown -----------------------------------------------------------------------------------------------


def read_scores(scores):
    """Scores of one query as float64 (n,). Raises ValueError for other shapes, too few or many, or no numbers."""
    scores = as_numpy(scores, "scores", "a list of numbers, the dot products of one query with its keys", np.float64)
    if scores.ndim != 1 or not FEWEST <= len(scores) <= MOST:
        raise ValueError(f"scores must be one row of {FEWEST} to {MOST} numbers, got the shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinity")
    if np.abs(scores).max() > LARGEST:
        raise ValueError(f"scores up to {np.abs(scores).max():.0e}: {LARGEST:.0e} is the most")
    return scores


def read_logits(logits, what):
    """A row of logits, (n,) float64. Raises ValueError for another shape, too few or many, or no numbers."""
    logits = as_numpy(logits, what, "one row of numbers", np.float64)
    if logits.ndim != 1 or not FEWEST <= len(logits) <= MOST_CLASSES:
        raise ValueError(f"{what} must be one row of {FEWEST} to {MOST_CLASSES:,} numbers, got the shape "
                         f"{logits.shape}")
    if not np.isfinite(logits).all() or np.abs(logits).max() > LARGEST:
        raise ValueError(f"{what} must lie between {-LARGEST:.0e} and {LARGEST:.0e}")
    return logits


def listed_classes(logits):
    """Classes that get a row of their own: all in their order, or the LISTED likeliest of more than MOST."""
    return list(range(len(logits))) if len(logits) <= MOST else np.argsort(-logits, kind="stable")[:LISTED].tolist()


def check_size(d_k):
    """Raise ValueError unless d_k is a power of two from 1 to 1024."""
    if isinstance(d_k, bool) or d_k not in SIZES:
        raise ValueError(f"d_k={d_k!r} is no power of two from {SIZES[0]} to {SIZES[-1]}")


def check_temperature(temperature, low=COOLEST, high=HOTTEST):
    """Raise ValueError unless the temperature lies between the two, by default from 0.1 to 10."""
    number = isinstance(temperature, (int, float, np.number)) and not isinstance(temperature, bool)
    if not number or not low <= temperature <= high:
        raise ValueError(f"temperature={temperature!r} does not lie from {low:g} to {high:g}")


def read_tokens(tokens, count):
    """Names of the keys as a list of texts, empty for none. Raises ValueError for another count or no texts."""
    if tokens is None:
        return []
    listed = hasattr(tokens, "__iter__") and not isinstance(tokens, str)
    if not listed or not all(isinstance(token, str) for token in tokens):
        raise ValueError("tokens must be a list of texts, one for each score")
    if len(tokens) != count:
        raise ValueError(f"{len(tokens)} tokens for {count} scores")
    return [clean(token) for token in tokens]


def soft_settings(logits, student, tokens, temperature):
    """The traits of the face that shows soft targets. Raises ValueError where something does not fit."""
    check_temperature(temperature, low=1, high=HOTTEST_TARGET)
    logits = read_logits(logits, "logits")
    if student is not None:
        student = read_logits(student, "student")
        if len(student) != len(logits):
            raise ValueError(f"{len(student)} logits of the student for {len(logits)} of the teacher")
    names, listed = read_tokens(tokens, len(logits)), listed_classes(logits)
    return {"logits": logits, "student": [] if student is None else student, "temperature": float(temperature),
            "listed": listed, "tokens": [names[number] for number in listed] if names else []}


class SoftmaxScale(CourseWidget):
    """Move d_k and the temperature, switch the division by √d_k; see scores, weights, entropy, slope and variance.

    Everything is computed in the browser, the same numbers as `softmax_row`'s and `median_slopes`', so it also works
    without a kernel. Another d_k keeps the directions of query and keys: the raw scores grow with √d_k.

    scores: 2 to 16 raw dot products q·k of one query, made at the given d_k, or None for eight random ones. d_k: a
    power of two from 1 to 1024. temperature: 0.1 to 10. scaled: divide by √d_k. tokens: names of the keys.
    seed: of the random scores that "New draw" goes through.

    With logits it shows soft targets instead, the same numbers as `soft_targets`': the probabilities of a teacher at
    T = 1 and at a temperature from 1 to 20, 4 if none is given, on a scale where the small ones can be seen.
    logits: of 2 to 100,000 classes; of more than 16, the likeliest ten get a row each. student: its logits for the same
    classes, for the gradient that the soft targets give it, with the factor T² and without. tokens: names of the
    classes. scores, d_k, scaled and seed belong to attention and stay as they are.
    Raises ValueError where one of these makes no sense.
    """

    script = "softmax_scale.js"
    picture_depends_on = ("d_k", "temperature", "scaled", "draw")

    draws = Tensor()                  # (DRAWS, n) raw scores at d_k = 1; the first are those that were given
    noise = Tensor()                  # with `lengths`, the random heads of the chart
    lengths = Tensor()
    tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
    d_k = traitlets.Int(64).tag(sync=True)
    temperature = traitlets.Float(1.0).tag(sync=True)
    scaled = traitlets.Bool(True).tag(sync=True)
    draw = traitlets.Int(0).tag(sync=True)
    logits = Tensor("float64")        # empty: attention is shown, no soft targets
    student = Tensor("float64")       # empty: there is none
    listed = traitlets.List(traitlets.Int()).tag(sync=True)       # classes with a row of their own, named by `tokens`

    def __init__(self, scores=None, d_k=64, temperature=None, scaled=True, tokens=None, seed=0, *, logits=None,
                 student=None):
        if logits is not None:
            if scores is not None or (d_k, scaled, seed) != (64, True, 0):
                raise ValueError("logits are shown as soft targets: scores, d_k, scaled and seed belong to attention")
            super().__init__(**soft_settings(logits, student, tokens, 4.0 if temperature is None else temperature))
            return
        if student is not None:
            raise ValueError("a student needs its teacher: SoftmaxScale(logits=…, student=…)")
        temperature = 1.0 if temperature is None else temperature
        check_size(d_k)
        check_temperature(temperature)
        if not isinstance(scaled, (bool, np.bool_)):
            raise ValueError(f"scaled={scaled!r} is neither True nor False")
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"seed={seed!r} is no whole number from 0 on")
        given = None if scores is None else read_scores(scores)
        count = 8 if given is None else len(given)
        draws = np.random.default_rng(seed).normal(size=(count, DRAWS)).T
        if given is not None:
            draws[0] = given / math.sqrt(d_k)
        noise, lengths = random_heads(count)
        super().__init__(draws=draws, noise=noise, lengths=lengths, tokens=read_tokens(tokens, count), d_k=int(d_k),
                         temperature=float(temperature), scaled=bool(scaled))

    @traitlets.validate("d_k", "temperature", "draw")
    def _fits(self, proposal):
        """A setting that makes no sense is refused when it is made; the last good one stays."""
        name, value = proposal["trait"].name, proposal["value"]
        try:
            if name == "draw" and not 0 <= value < DRAWS:
                raise ValueError(f"draw={value} does not lie from 0 to {DRAWS - 1}")
            soft = functools.partial(check_temperature, low=1, high=HOTTEST_TARGET)
            {"d_k": check_size, "temperature": soft if self.soft else check_temperature}.get(name, int)(value)
        except ValueError as problem:
            raise traitlets.TraitError(str(problem)) from None
        return value

    @property
    def soft(self):
        """Whether soft targets are shown, and not attention."""
        return self.logits.size > 0

    def summary(self):
        if self.soft:
            student = ", with a student" if self.student.size else ""
            return f"SoftmaxScale(soft targets, classes={self.logits.size}, temperature={self.temperature:g}{student})"
        return (f"SoftmaxScale(keys={self.draws.shape[1]}, d_k={self.d_k}, temperature={self.temperature:g}, "
                f"scaled={self.scaled})")

    def row(self):
        """What `softmax_row` computes for the present settings, or `soft_targets` for soft targets."""
        if self.soft:
            return soft_targets(self.logits, self.temperature, self.student if self.student.size else None)
        return softmax_row(self.draws[self.draw], self.d_k, self.temperature, self.scaled)

    def figure(self):
        row = self.row()
        if self.soft:
            return draw_soft(row, self.listed, self.tokens, self.temperature,
                             over_temperatures(self.logits, self.student if self.student.size else None))
        tokens = self.tokens or [f"key {number}" for number in range(1, len(row["raw"]) + 1)]
        names = [readable(token, 12) for token in tokens]
        figure, (left, middle, right) = figures.new_figure(9.6, 1.6 + 0.25 * len(names), columns=3)
        draw_scores(left, names, row, "divided by √d_k" if self.scaled else "not divided")
        figures.bars(names, row["weights"], title="weights", axes=middle)
        middle.set_xlim(0, 1.18)
        draw_slopes(right, median_slopes(self.noise, self.lengths, self.temperature), self.d_k, row["slope"])
        figure.suptitle(self._finding(row), x=0.01, ha="left", fontsize=11, fontweight="bold")
        return figure

    def _finding(self, row):
        """The picture's title: the setting and what it does to the weights."""
        how = "divided by √d_k" if self.scaled else "not divided"
        warm = "" if self.temperature == 1 else f", temperature {self.temperature:g}"
        return f"d_k = {self.d_k}, scores {how}{warm}: the largest weight is {row['weights'].max():.2f}"


def draw_scores(axes, names, row, how):
    """Raw scores and those that enter softmax, two bars for each key, on one axis."""
    places = np.arange(len(names))
    axes.barh(places - 0.2, row["raw"], 0.36, color=figures.COLOURS["mask"], label="q·k")
    axes.barh(places + 0.2, row["entering"], 0.36, color=figures.COLOURS["brand"], label=how)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.axvline(0, color=figures.COLOURS["muted"], linewidth=0.8)
    axes.set_title("scores")
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)


def draw_slopes(axes, medians, d_k, slope):
    """The median slope against d_k with and without the division, and this row's."""
    tiny = np.where(medians > 0, medians, np.nan)                                 # a log axis has no place for zero
    figures.curves(SIZES, {"divided by √d_k": tiny[0], "not divided": tiny[1]}, logx=True, logy=True, axes=axes,
                   title="slope, median of 500 heads", xlabel="d_k")
    axes.set_xticks(SIZES[::2], [str(size) for size in SIZES[::2]])
    axes.axvline(d_k, color=figures.COLOURS["muted"], linewidth=0.8)
    if slope > 0:
        axes.plot(d_k, slope, marker="o", markerfacecolor="none", color=figures.COLOURS["ink"], linestyle="none",
                  label="this row")
    axes.legend(fontsize=8)


# ---- the picture of soft targets -------------------------------------------------------------------------------------


def draw_soft(row, listed, tokens, temperature, lines):
    """Soft targets as a Figure: probabilities at T = 1 and at the temperature, the student's gradient, both over T.

    row: from `soft_targets`; listed: classes with a row of their own; lines: from `over_temperatures`.
    """
    names = [readable(token, 16) for token in tokens] or [f"class {number}" for number in listed]
    others = np.setdiff1d(np.arange(len(row["hard"])), listed)
    if len(others):
        names = [*names, f"{len(others):,} others"]
    of_rows = {name: with_others(values, listed, others) for name, values in row.items() if np.ndim(values)}
    figure, panels = figures.new_figure(9.6, 1.8 + 0.25 * len(names), columns=3 if "scaled" in row else 2)
    draw_probabilities(panels[0], names, of_rows, temperature)
    if "scaled" in row:
        places = np.arange(len(names))
        panels[1].barh(places, of_rows["scaled"], 0.6, color=figures.COLOURS["brand"])
        panels[1].set_yticks(places, [""] * len(names))
        panels[1].set_ylim(panels[0].get_ylim())
        panels[1].axvline(0, color=figures.COLOURS["muted"], linewidth=0.8)
        panels[1].grid(visible=False, axis="y")
        panels[1].set_title("gradient of the student, × T²")
    draw_over_temperatures(panels[-1], lines, temperature)
    best = int(row["hard"].argmax())
    others_now, others_hard = (chance(np.delete(row[name], best).sum()) for name in ("soft", "hard"))
    figure.suptitle(f"T = {temperature:g}: all classes but {names[listed.index(best)]} get {others_now} of the "
                    f"probability, {others_hard} at T = 1", x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def chance(share):
    """A probability in three decimals, or where these would be 0.000 as a power of ten."""
    return f"{share:.3f}" if share >= 0.0005 else f"{share:.0e}" if share else "0"


def with_others(values, listed, others):
    """The values of the listed classes, and the sum of all others as one more if there are others."""
    return np.append(values[listed], values[others].sum()) if len(others) else values[listed]


def draw_probabilities(axes, names, row, temperature):
    """A ring at T = 1 and a dot at the temperature for each class, on a scale of powers of ten; a bar: the student."""
    places = np.arange(len(names))
    hard, soft = (np.maximum(row[name], TINIEST) for name in ("hard", "soft"))
    axes.hlines(places, hard, soft, color=figures.COLOURS["mask"], linewidth=2)
    axes.plot(hard, places, "o", markerfacecolor="white", color=figures.COLOURS["muted"], label="T = 1")
    axes.plot(soft, places, "o", color=figures.COLOURS["brand"], label=f"T = {temperature:g}")
    if "student" in row:
        axes.plot(np.maximum(row["student"], TINIEST), places, "|", markersize=11, color=figures.COLOURS["ink"],
                  label=f"student, T = {temperature:g}")
    axes.set_xscale("log")
    axes.set_yticks(places, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_title("probability")
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3)


def draw_over_temperatures(axes, lines, temperature):
    """Entropy, or the length of the student's gradient without T² and with it, over the temperature."""
    if len(lines) == 1:
        figures.curves(TEMPERATURES, {"entropy": lines[0]}, logx=True, axes=axes, title="entropy", xlabel="T")
    else:
        some = bool((lines > 0).any())                                           # none: the student is the teacher
        shown = np.where(lines > 0, lines, np.nan) if some else lines            # a log axis has no place for zero
        figures.curves(TEMPERATURES, {"× T²": shown[1], "as it is": shown[0]}, logx=True, logy=some, axes=axes,
                       title="length of the gradient", xlabel="T")
        axes.legend(fontsize=8)
    axes.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.set_xticks([], minor=True)
    axes.axvline(temperature, color=figures.COLOURS["muted"], linewidth=0.8)
