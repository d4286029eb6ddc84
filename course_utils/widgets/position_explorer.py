"""`PositionExplorer`: positional encodings as a heatmap, waves, similarities and clock hands."""

import math

import numpy as np
import traitlets

from course_utils import figures
from course_utils.widgets.base import CourseWidget, Tensor, as_numpy, clean, readable

KINDS = ("sinusoidal", "learned", "none")
LONGEST, WIDEST = 200, 256                         # positions, features
BASES = (2.0, 1e6)
FARTHEST = 50                                      # a shift, forwards or backwards
LARGEST = 1e6                                      # of a learned table


# ---- the numbers -----------------------------------------------------------------------------------------------------


def frequencies(d_model, base=10000.0):
    """ω of every pair in radians per position, base^(-2i/d_model) for i = 0 … d_model/2 - 1: (d_model/2,)."""
    return base ** (-2 * np.arange(d_model // 2) / d_model)


def wavelengths(d_model, base=10000.0):
    """Positions until each pair has turned once, 2π/ω: (d_model/2,), from 2π towards base·2π without reaching it."""
    return 2 * np.pi / frequencies(d_model, base)


def sinusoidal_table(length, d_model, base=10000.0):
    """PE(p, 2i) = sin(p ω_i) and PE(p, 2i+1) = cos(p ω_i), float64 (length, d_model). Vaswani et al. (2017), 3.5."""
    angles = np.arange(length)[:, None] * frequencies(d_model, base)               # (length, 1) * (d_model/2,)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, d_model)


def rotation(pair, shift, d_model, base=10000.0):
    """The (2, 2) matrix that takes (sin pω, cos pω) of one pair to (sin (p+shift)ω, cos (p+shift)ω), for every p.

    In the order (sine, cosine) it turns by the angle -shift·ω.
    """
    angle = shift * frequencies(d_model, base)[pair]
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def similarities(table, position, cosine=False):
    """PE(position)·PE(q) for every q: (length,). table: (length, d_model). cosine: divided by both lengths; 0 for a
    row of zeros."""
    table = np.asarray(table, dtype=np.float64)
    dots = table @ table[position]
    if not cosine:
        return dots
    norms = np.linalg.norm(table, axis=1)
    return dots / np.maximum(norms * norms[position], 1e-300)


# ---- what may be shown -----------------------------------------------------------------------------------------------


def check_whole(name, value, low, high):
    """Raise ValueError unless value is a whole number from low to high."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"{name}={value!r} is no whole number from {low} to {high}")


def check_length(length):
    """Raise ValueError unless there are 1 to 200 positions."""
    check_whole("length", length, 1, LONGEST)


def check_width(d_model):
    """Raise ValueError unless d_model is even, from 2 to 256."""
    check_whole("d_model", d_model, 2, WIDEST)
    if d_model % 2:
        raise ValueError(f"d_model={d_model} is odd: sines and cosines come in pairs")


def check_base(base):
    """Raise ValueError unless the base lies from 2 to a million."""
    number = isinstance(base, (int, float, np.number)) and not isinstance(base, bool)
    if not number or not BASES[0] <= base <= BASES[1]:
        raise ValueError(f"base={base!r} does not lie from {BASES[0]:.0f} to {BASES[1]:.0f}")


def check_kind(kind, has_learned):
    """Raise ValueError for an unknown kind, or for "learned" without a table."""
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is none of {', '.join(KINDS)}")
    if kind == "learned" and not has_learned:
        raise ValueError("kind='learned' needs a trained table: learned=model.positions.table")


def read_learned(learned):
    """A trained table as float32 (max_length, d_model). Raises ValueError for another shape, or no numbers."""
    if learned is None:
        return np.zeros((0, 0), dtype=np.float32)
    table = as_numpy(learned, "learned", "a table of numbers, (max_length, d_model)", np.float64)
    if table.ndim != 2 or not 1 <= len(table) <= LONGEST or not 1 <= table.shape[1] <= WIDEST:
        raise ValueError(f"learned has the shape {table.shape}, it must be (max_length, d_model), at most "
                         f"({LONGEST}, {WIDEST})")
    if not np.isfinite(table).all() or np.abs(table).max() > LARGEST:
        raise ValueError(f"learned holds NaN, infinity or numbers beyond {LARGEST:.0e}")
    return table.astype(np.float32)


class PositionExplorer(CourseWidget):
    """Move position, dimension, shift, length, d_model and base; see the encodings as a heatmap, waves, similarities
    of one position with all others, and the rotation that shifts a pair by k positions.

    Everything is computed in the browser, the same numbers as this module's functions, so it works without a kernel.

    length: positions, 1 to 200. d_model: features, even, 2 to 256. base: 2 to a million. learned: a trained table
    (max_length, d_model) or None; it brings its own width, and has no position past its length. kind: "sinusoidal",
    "learned" (with a table) or "none", all zeros. position, dimension, shift: what is marked first; a position or
    dimension past the end is moved to the last. name: title of the card.
    Raises ValueError where one of these makes no sense.
    """

    script = "position_explorer.js"
    picture_depends_on = ("length", "d_model", "base", "kind", "position", "dimension", "shift", "cosine")

    length = traitlets.Int(50).tag(sync=True)
    d_model = traitlets.Int(64).tag(sync=True)
    base = traitlets.Float(10000.0).tag(sync=True)
    kind = traitlets.Unicode("sinusoidal").tag(sync=True)
    position = traitlets.Int(10).tag(sync=True)
    dimension = traitlets.Int(4).tag(sync=True)
    shift = traitlets.Int(3).tag(sync=True)
    cosine = traitlets.Bool(False).tag(sync=True)
    learned = Tensor()                             # (max_length, d_model), or (0, 0) where none was given
    name = traitlets.Unicode().tag(sync=True)

    def __init__(self, length=50, d_model=64, base=10000.0, learned=None, kind="sinusoidal", position=10, dimension=4,
                 shift=3, name="Positional encoding"):
        table = read_learned(learned)
        given = {"length": length, "d_model": d_model, "base": base, "kind": kind, "position": position,
                 "dimension": dimension, "shift": shift}
        for trait, value in given.items():
            self._check(trait, value, len(table) > 0)
        if not isinstance(name, str):
            raise ValueError(f"name={name!r} is no text")
        whole = {trait: int(given[trait]) for trait in ("length", "d_model", "position", "dimension", "shift")}
        super().__init__(learned=table, base=float(base), kind=kind, name=clean(name), **whole)

    @staticmethod
    def _check(trait, value, has_learned):
        """Raise ValueError, in one line, where one setting makes no sense."""
        checks = {"length": check_length, "d_model": check_width, "base": check_base,
                  "kind": lambda kind: check_kind(kind, has_learned),
                  "position": lambda position: check_whole("position", position, 0, LONGEST - 1),
                  "dimension": lambda dimension: check_whole("dimension", dimension, 0, WIDEST - 1),
                  "shift": lambda shift: check_whole("shift", shift, -FARTHEST, FARTHEST)}
        checks[trait](value)

    @traitlets.validate("length", "d_model", "base", "kind", "position", "dimension", "shift")
    def _fits(self, proposal):
        """A setting that makes no sense is refused when it is made; the last good one stays."""
        try:
            self._check(proposal["trait"].name, proposal["value"], len(self.learned) > 0)
        except ValueError as problem:
            raise traitlets.TraitError(str(problem)) from None
        return proposal["value"]

    def table(self):
        """The encodings that are shown, float64 (length, d_model); a learned table may be shorter than `length`."""
        if self.kind == "learned":
            return self.learned[: self.length].astype(np.float64)
        if self.kind == "none":
            return np.zeros((self.length, self.d_model))
        return sinusoidal_table(self.length, self.d_model, self.base)

    def summary(self):
        length, width = self.table().shape
        base = f", base={self.base:g}" if self.kind == "sinusoidal" else ""
        return f"PositionExplorer({self.kind}, length={length}, d_model={width}{base})"

    def figure(self):
        table = self.table()
        position, dimension = min(self.position, len(table) - 1), min(self.dimension, table.shape[1] - 1)
        figure, axes = figures.new_figure(9.6, 5.6, columns=2, rows=2)
        axes[0, 0].get_gridspec().set_width_ratios([1.7, 1])
        figures.heatmap(table.T, signed=True, columns=False, rows=False, axes=axes[0, 0], ylabel="dimension",
                        title=f"{readable(self.name, 40)}: one column for each position")
        axes[0, 0].axvline(position + 0.5, color=figures.COLOURS["ink"], linewidth=0.9)
        axes[0, 0].axhline(dimension + 0.5, color=figures.COLOURS["ink"], linewidth=0.9)
        draw_similarities(axes[1, 0], table, position, self.kind, self.cosine)
        if self.kind == "sinusoidal":
            draw_wavelengths(axes[0, 1], self.d_model, self.base, dimension // 2)
            draw_rotation(axes[1, 1], position, self.shift, frequencies(self.d_model, self.base)[dimension // 2])
        else:
            axes[0, 1].remove()
            figures.curves(np.arange(len(table)), {"": table[:, dimension]}, axes=axes[1, 1], xlabel="position",
                           title=f"dimension {dimension}")
        return figure


def draw_similarities(axes, table, position, kind, cosine):
    """The similarity of one position with all others, as a curve."""
    findings = {"sinusoidal": "distance counts, not direction", "learned": "as it was trained",
                "none": "all positions look alike"}
    figures.curves(np.arange(len(table)), {"": similarities(table, position, cosine)}, axes=axes, xlabel="position q",
                   title=f"{'cosine of' if cosine else ''} PE({position}) and PE(q): {findings[kind]}".strip())
    axes.axvline(position, color=figures.COLOURS["ink"], linewidth=0.9)


def draw_wavelengths(axes, d_model, base, pair):
    """The wavelengths of all pairs on a log axis, between 2π and base·2π."""
    waves = wavelengths(d_model, base)
    axes.plot(waves, ".-", color=figures.COLOURS["query"], markersize=4)
    axes.plot(pair, waves[pair], "o", color=figures.COLOURS["ink"])
    axes.axhline(2 * np.pi * base, color=figures.COLOURS["muted"], linestyle=(0, (5, 3)), linewidth=1)
    axes.set(yscale="log", xlabel="pair i", title=f"pair {pair}: {waves[pair]:,.1f} positions a turn")


def draw_rotation(axes, position, shift, frequency):
    """One pair at p and at p + k as two clock hands: x is the sine, y the cosine."""
    turn = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.sin(turn), np.cos(turn), color=figures.COLOURS["mask"], linewidth=1)
    arc = np.linspace(position, position + shift, 100) * frequency
    axes.plot(0.5 * np.sin(arc), 0.5 * np.cos(arc), color=figures.COLOURS["muted"], linewidth=1)
    for place, label, colour, dash in ((position, "p", "brand", "-"), (position + shift, "p + k", "ink", (0, (5, 2)))):
        x, y = math.sin(place * frequency), math.cos(place * frequency)
        axes.plot([0, x], [0, y], color=figures.COLOURS[colour], linestyle=dash)
        axes.annotate(label, (x, y), (1.2 * x, 1.15 * y), ha="center", va="center")
    axes.set(aspect="equal", xlim=(-1.45, 1.45), ylim=(-1.35, 1.35), xticks=[], yticks=[],
             title=f"k = {shift} turns it by {shift * frequency:.3g} rad")
