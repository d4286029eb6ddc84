"""Figures of the course: arrays in, one matplotlib `Figure` out, in one style.

`pyplot` is not used: it keeps a hidden list of open figures, and a notebook would then show one twice. A `Figure` built
here is shown exactly once, as PNG, after `register_png()`. Korean text needs no font of the system.
"""

import importlib.util
import io
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

# The same values as in widgets/static/core.css (light theme): one colour means one thing in the whole course.
COLOURS = {
    "ink": "#1f2933",
    "muted": "#616e7c",
    "line": "#dfe3e8",
    "brand": "#1f6feb",
    "query": "#0072b2",
    "key": "#d55e00",
    "value": "#009e73",
    "forget": "#cc79a7",
    "input": "#e69f00",
    "output": "#56b4e9",
    "wrong": "#b3261e",
    "mask": "#d5d9de",
}
WEIGHTS = LinearSegmentedColormap.from_list("course-weights", ["#f7fbff", "#08306b"])
SIGNED = LinearSegmentedColormap.from_list("course-signed", [COLOURS["query"], "#f7f7f7", COLOURS["key"]])

# Lines of a figure take these in turn; styles differ too, so that colour is never the only difference.
SERIES = [COLOURS[name] for name in ("query", "key", "value", "forget", "input", "output")]
DASHES = ["-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (3, 1)), (0, (8, 2))]


def _korean_font():
    """Register Nanum Gothic from the package that carries it, without importing that package; its family, or None."""
    package = importlib.util.find_spec("koreanize_matplotlib")
    if package is None:
        return None
    files = sorted((Path(package.origin).parent / "fonts").glob("NanumGothic*.ttf"))   # regular, bold and others
    for path in files:
        font_manager.fontManager.addfont(path)
    return font_manager.FontProperties(fname=files[0]).get_name() if files else None


matplotlib.rcParams.update(
    {
        "font.family": ["DejaVu Sans", *filter(None, [_korean_font()])],   # the second serves what the first lacks
        "font.size": 10,
        "text.color": COLOURS["ink"],
        "axes.labelcolor": COLOURS["ink"],
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 10,
        "axes.spines.left": False,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.spines.bottom": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": COLOURS["line"],
        "grid.linewidth": 0.8,
        "xtick.color": COLOURS["muted"],
        "ytick.color": COLOURS["muted"],
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
    }
)


def new_figure(width=6.4, height=3.2, columns=1, rows=1):
    """An empty figure in the course's style.

    width, height: inches. Returns (Figure, Axes), or (Figure, array of Axes) for more than one panel.
    """
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    return figure, figure.subplots(rows, columns)


def png(figure, dpi=110):
    """The figure as PNG bytes. dpi: pixels an inch."""
    buffer = io.BytesIO()
    # No software version in the file: the same figure gives the same bytes on every machine.
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def register_png():
    """Let the running notebook show a `Figure` as one PNG. Without a notebook nothing happens."""
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is not None and hasattr(shell, "display_formatter"):
        shell.display_formatter.formatters["image/png"].for_type(Figure, png)


def _text_on(colormap, fraction):
    """Ink or white, whichever reads better on the colour at `fraction` of the map."""
    red, green, blue, _ = colormap(fraction)
    return COLOURS["ink"] if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white"


def heatmap(values, rows=None, columns=None, title="", signed=False, xlabel="", ylabel="", numbers=False, axes=None):
    """A matrix as colours: the weights ramp from 0, or a diverging ramp around 0 when `signed`.

    values: (n_rows, n_columns). rows, columns: labels. numbers: write two decimals into the cells.
    axes: draw there instead of into a new figure. Returns the Figure. Raises ValueError unless values is a matrix.
    """
    import seaborn  # takes a second to import, so only where it is used

    values = np.asarray(values.detach() if hasattr(values, "detach") else values, dtype=float)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"a heatmap needs a matrix with at least one cell, got an array of shape {values.shape}")
    if axes is None:
        _, axes = new_figure(min(10, 1.6 + 0.4 * values.shape[1]), min(8, 1.2 + 0.32 * values.shape[0]))
    largest = np.nanmax(np.abs(values)) or 1.0
    colormap = SIGNED if signed else WEIGHTS
    low = -largest if signed else 0.0
    seaborn.heatmap(
        values, ax=axes, cmap=colormap, vmin=low, vmax=largest, linewidths=0.5 if values.size <= 900 else 0,
        linecolor="white", xticklabels="auto" if columns is None else columns,
        yticklabels="auto" if rows is None else rows, cbar_kws={"shrink": 0.8, "pad": 0.02},
    )
    if numbers:
        for (row, column), value in np.ndenumerate(values):
            colour = _text_on(colormap, (value - low) / (largest - low))
            axes.text(column + 0.5, row + 0.5, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axes.grid(False)
    axes.tick_params(axis="y", rotation=0)
    return axes.figure


def curves(x, series, title="", xlabel="", ylabel="", logx=False, logy=False, dots=False, axes=None):
    """Lines with their spread: the median of the runs bold, every run thin, the range between them shaded.

    x: (n,). series: dict from label to (n,) or (runs, n). NaN and infinity leave a gap; a run that ends in one gets a
    cross where it was last finite. dots: draw runs as dots, for runs whose positions have nothing to do with each
    other. axes: draw there.
    Returns the Figure. Raises ValueError where a series is not as long as x.
    """
    if axes is None:
        _, axes = new_figure()
    x = np.asarray(x, dtype=float)
    for index, (label, runs) in enumerate(series.items()):
        runs = np.atleast_2d(np.asarray(runs, dtype=float))
        runs = np.where(np.isfinite(runs), runs, np.nan)     # a loss that became infinite ends its line
        if runs.shape[1] != len(x):
            raise ValueError(f"{label!r}: {runs.shape[1]} values for {len(x)} positions on the x axis")
        colour, dash = SERIES[index % len(SERIES)], DASHES[index % len(DASHES)]
        if len(runs) > 1:
            style = {"marker": "o", "linestyle": "none", "markersize": 4} if dots else {"linewidth": 0.9}
            axes.plot(x, runs.T, color=colour, alpha=0.5, **style)
            if not dots:
                axes.fill_between(x, runs.min(0), runs.max(0), color=colour, alpha=0.12, linewidth=0)
            for run in runs[np.isnan(runs[:, -1]) & np.isfinite(runs).any(axis=1)]:
                last = np.flatnonzero(np.isfinite(run))[-1]
                axes.plot(x[last], run[last], marker="x", color=colour)
        axes.plot(x, np.median(runs, axis=0), color=colour, linestyle=dash, label=label)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if logx:
        axes.set_xscale("log")
        if len(x) <= 8:                                  # few positions: name each instead of powers of ten
            axes.set_xticks(x, [f"{value:g}" for value in x])
            axes.xaxis.set_minor_locator(NullLocator())
    if logy:
        axes.set_yscale("log")
    if len(series) > 1:
        axes.legend()
    return axes.figure


def bars(labels, values, title="", xlabel="", colour="query", numbers="{:.2f}", axes=None):
    """Horizontal bars, the first label on top, each with its number.

    labels: n strings. values: (n,). colour: a name in COLOURS. numbers: format of the number behind each bar.
    Returns the Figure. Raises ValueError where labels and values differ in length.
    """
    if len(labels) != len(values):
        raise ValueError(f"{len(labels)} labels for {len(values)} values")
    if axes is None:
        _, axes = new_figure(height=0.8 + 0.28 * len(labels))
    drawn = axes.barh(range(len(labels)), values, color=COLOURS[colour], height=0.7)
    axes.bar_label(drawn, [numbers.format(value) for value in values], padding=4, fontsize=9)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.12)
    axes.set(title=title, xlabel=xlabel)
    return axes.figure


def every_run(series, title="", xlabel="", numbers="{:.2f}", axes=None):
    """Every run as a dot, one row for each label, the first on top; the median as a bar with its number.

    series: dict from label to the values of its runs. numbers: format of the median. axes: draw there.
    Returns the Figure. Raises ValueError for no label, and for a label without a finite value.
    """
    rows = {label: np.asarray(runs, dtype=float).ravel() for label, runs in series.items()}
    if not rows or not all(np.isfinite(runs).any() for runs in rows.values()):
        raise ValueError(f"every label needs at least one finite value, got {series}")
    if axes is None:
        figure, axes = new_figure(7.2, 0.9 + 0.36 * len(rows))
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")    # above the labels: long ones fit
    else:
        axes.set_title(title)
    for place, runs in enumerate(rows.values()):
        middle = np.nanmedian(runs)
        axes.plot(runs, np.full(len(runs), place), "o", color=COLOURS["query"], alpha=0.55, markersize=6, clip_on=False)
        axes.plot([middle, middle], [place - 0.3, place + 0.3], color=COLOURS["ink"], linewidth=2.2)
        axes.annotate(numbers.format(middle), (np.nanmax(runs), place), (9, 0), textcoords="offset points",
                      va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.1)
    axes.set_xlabel(xlabel)
    return axes.figure
