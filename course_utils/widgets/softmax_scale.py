"""`SoftmaxScale`: what the size of a head, the division by √d_k and a temperature do to a row of attention weights."""

import functools
import math

import numpy as np
import traitlets

from course_utils import figures
from course_utils.widgets.base import CourseWidget, Tensor, as_numpy, clean, readable

SIZES = [2**power for power in range(11)]          # d_k: 1, 2, 4 … 1024
COOLEST, HOTTEST = 0.1, 10.0                       # temperatures
FEWEST, MOST = 2, 16                               # keys: one has nothing to share with, more would not fit
LARGEST = 1e6                                      # a score beyond this is no dot product of unit-variance vectors
DRAWS, HEADS = 64, 500


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


def softmax(scores):
    """Along the last axis. The largest score is taken off first, so that no power overflows."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


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


def check_size(d_k):
    """Raise ValueError unless d_k is a power of two from 1 to 1024."""
    if isinstance(d_k, bool) or d_k not in SIZES:
        raise ValueError(f"d_k={d_k!r} is no power of two from {SIZES[0]} to {SIZES[-1]}")


def check_temperature(temperature):
    """Raise ValueError unless the temperature lies from 0.1 to 10."""
    number = isinstance(temperature, (int, float, np.number)) and not isinstance(temperature, bool)
    if not number or not COOLEST <= temperature <= HOTTEST:
        raise ValueError(f"temperature={temperature!r} does not lie from {COOLEST:g} to {HOTTEST:g}")


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


class SoftmaxScale(CourseWidget):
    """Move d_k and the temperature, switch the division by √d_k; see scores, weights, entropy, slope and variance.

    Everything is computed in the browser, the same numbers as `softmax_row`'s and `median_slopes`', so it also works
    without a kernel. Another d_k keeps the directions of query and keys: the raw scores grow with √d_k.

    scores: 2 to 16 raw dot products q·k of one query, made at the given d_k, or None for eight random ones. d_k: a
    power of two from 1 to 1024. temperature: 0.1 to 10. scaled: divide by √d_k. tokens: names of the keys.
    seed: of the random scores that "New draw" goes through.
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

    def __init__(self, scores=None, d_k=64, temperature=1.0, scaled=True, tokens=None, seed=0):
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
            {"d_k": check_size, "temperature": check_temperature}.get(name, int)(value)
        except ValueError as problem:
            raise traitlets.TraitError(str(problem)) from None
        return value

    def summary(self):
        return (f"SoftmaxScale(keys={self.draws.shape[1]}, d_k={self.d_k}, temperature={self.temperature:g}, "
                f"scaled={self.scaled})")

    def row(self):
        """What `softmax_row` computes for the present settings."""
        return softmax_row(self.draws[self.draw], self.d_k, self.temperature, self.scaled)

    def figure(self):
        row = self.row()
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
