"""`GateExplorer`: the gates of an LSTM and a GRU forced or left free, beside a plain recurrent net."""

import numpy as np
import traitlets
from matplotlib.colors import LinearSegmentedColormap

from course_utils import figures
from course_utils.widgets.base import CourseWidget, check_finite, pack, readable, unpack
from course_utils.widgets.gradient_flow import GRID

LETTERS = "abcdefgh"                       # the eight symbols of the recall task; the cue comes after them
CUE = len(LETTERS)
SHORTEST, LONGEST = 3, 61                  # symbols before the cue: the first one and a gap of 2 to 60 others
EXAMPLE = "bfahbdgebhacgdfheabdg"          # a gap of 20
UNSURE = 0.2                               # below this the largest of eight probabilities is no answer: 1/8 is a guess
MOST_MODELS, MOST_UNITS = 3, 64            # more would run into each other in the picture
GATES = {"LSTM": ("f", "i", "o"), "GRU": ("z", "r"), "RNN": ()}
KEEPS = {"LSTM": "f", "GRU": "z"}          # the gate that decides how much of the old state is kept
BLOCKS = {"LSTM": 4, "GRU": 3, "RNN": 1}
NAMES = {"f": "forget", "i": "input", "o": "output", "z": "update", "r": "reset"}
# A gate's colour where it is 1, the same as in the browser: z keeps, as f does. All fade to one near the page's at 0.
HUES = {**{gate: figures.COLOURS[NAMES[gate]] for gate in "fio"}, "z": figures.COLOURS["forget"], "r": "#8f9bd0"}
SHUT = "#f4f5f7"
CHECKPOINTS = {"LSTM": "recall_lstm", "GRU": "recall_gru", "RNN": "recall_rnn"}


# ---- one run ---------------------------------------------------------------------------------------------------------


def rounded(values):
    """Round to 26 binary digits, finer than float32.

    A net can make the last digit of a state grow at every step. Without rounding the tanh of the browser and that of
    numpy, which differ in that digit, would end in different places.
    """
    return np.floor(values * GRID + 0.5) / GRID


def sigmoid(total):
    """1 / (1 + exp(-total)), written so that no large number can overflow."""
    return rounded(0.5 + 0.5 * np.tanh(0.5 * total))


def set_gates(gates, forced):
    """The gates, those in `forced` with the same value for every unit. gates: dict from name to (H,)."""
    return {name: np.full_like(gate, forced[name]) if name in forced else gate for name, gate in gates.items()}


def lstm_step(of_x, of_h, before, forced):
    """One step. of_x, of_h: W x + b and W h + b, (4H,), blocks i, f, g, o. before: dict with the last cell (H,)."""
    i, f, g, o = np.split(of_x + of_h, 4)
    gates = set_gates({"f": sigmoid(f), "i": sigmoid(i), "o": sigmoid(o)}, forced)
    candidate = rounded(np.tanh(g))
    cell = gates["f"] * before["cell"] + gates["i"] * candidate
    return {**gates, "candidate": candidate, "cell": cell, "hidden": gates["o"] * rounded(np.tanh(cell))}


def gru_step(of_x, of_h, before, forced):
    """One step. of_x, of_h: W x + b and W h + b, (3H,), blocks r, z, n. before: dict with the last hidden (H,)."""
    (r_x, z_x, n_x), (r_h, z_h, n_h) = np.split(of_x, 3), np.split(of_h, 3)
    gates = set_gates({"z": sigmoid(z_x + z_h), "r": sigmoid(r_x + r_h)}, forced)
    candidate = rounded(np.tanh(n_x + gates["r"] * n_h))
    hidden = (1 - gates["z"]) * candidate + gates["z"] * before["hidden"]
    return {**gates, "candidate": candidate, "hidden": hidden}


def rnn_step(of_x, of_h, before, forced):
    """One step of the plain net, which has no gate to force. of_x, of_h: W x + b and W h + b, (H,)."""
    return {"hidden": rounded(np.tanh(of_x + of_h))}


STEPS = {"LSTM": lstm_step, "GRU": gru_step, "RNN": rnn_step}


def gate_run(kind, weights, inputs, forced=None, start=1):
    """Read a sequence with one cell, some gates forced, and keep everything that was computed on the way.

    kind: "LSTM", "GRU" or "RNN". weights: what `gate_weights` gives: weight_ih (blocks*H, C), weight_hh (blocks*H, H),
    bias_ih and bias_hh (blocks*H,), head_weight (V, H), head_bias (V,). inputs: T ids below C, read as one-hot vectors.
    forced: dict from a gate's name to its value from 0 to 1, for all units at every step from `start` on (1 is the
    first step).

    Returns a dict of float64 arrays. Each gate under its name (f, i, o or z, r), candidate, cell (LSTM only) and
    hidden: (T, H), row t - 1 is step t. survival (T, H): the product of the forget (update) gates of steps 2 … t, so
    the share of what step 1 wrote that is left on the direct path after step t; a plain net has no such path.
    probabilities (V,): the answer after the last step.
    Raises ValueError for an unknown kind, id or gate, a value that is not from 0 to 1, or a start below 1.
    """
    weights = {name: np.asarray(values, dtype=np.float64) for name, values in weights.items()}
    forced = dict(forced or {})
    check_run(kind, weights, inputs, forced, start)
    units = weights["weight_hh"].shape[1]
    rows = [{"hidden": np.zeros(units), "cell": np.zeros(units)}]
    for t, token in enumerate(inputs, 1):
        of_x = weights["weight_ih"][:, token] + weights["bias_ih"]                 # one-hot: the token's column
        of_h = weights["weight_hh"] @ rows[-1]["hidden"] + weights["bias_hh"]
        rows.append(STEPS[kind](of_x, of_h, rows[-1], forced if t >= start else {}))
    run = {name: np.array([row[name] for row in rows[1:]]) for name in rows[-1]}   # (T, H) each
    if kind in KEEPS:
        kept = run[KEEPS[kind]].copy()
        kept[0] = 1.0                                  # step 1 keeps something of the zeros before it, and no more
        run["survival"] = np.cumprod(kept, axis=0)
    scores = weights["head_weight"] @ run["hidden"][-1] + weights["head_bias"]     # (V,)
    powers = np.exp(scores - scores.max())
    return {**run, "probabilities": powers / powers.sum()}


def check_run(kind, weights, inputs, forced, start):
    """Raise ValueError, in one sentence, where `gate_run` cannot run."""
    if kind not in GATES:
        raise ValueError(f"kind={kind!r} is none of {', '.join(GATES)}")
    features = weights["weight_ih"].shape[1]
    if len(inputs) == 0 or not all(0 <= token < features and int(token) == token for token in inputs):
        raise ValueError(f"inputs must be at least one id from 0 to {features - 1}, got {list(inputs)[:8]}")
    for name in forced:
        if name not in GATES[kind]:
            raise ValueError(f"forced={forced}: {name!r} is no gate of {kind}, which has {GATES[kind] or 'none'}")
    check_forced(forced)
    check_start(start)


def check_forced(forced):
    """Raise ValueError unless `forced` is a dict from gates' names to numbers from 0 to 1."""
    if not isinstance(forced, dict):
        raise ValueError(f"forced={forced!r} is no dict such as {{'f': 1.0, 'i': 0.0}}")
    for name, value in forced.items():
        if name not in NAMES:
            raise ValueError(f"forced={forced}: {name!r} is no gate; there are {', '.join(NAMES)}")
        if not (isinstance(value, (int, float)) and 0 <= value <= 1):
            raise ValueError(f"forced={forced}: a gate lies from 0 to 1, so {name} cannot be {value!r}")


def check_start(start):
    """Raise ValueError unless `start` is a step: a whole number from 1 to the longest sequence with its cue."""
    if not isinstance(start, (int, np.integer)) or not 1 <= start <= LONGEST + 1:
        raise ValueError(f"start={start!r} is no step: a whole number from 1 to {LONGEST + 1}")


# ---- what may be shown -----------------------------------------------------------------------------------------------


def gate_weights(model):
    """Kind and weights of a `SequenceReader` with one cell, as `gate_run` takes them: ("LSTM", dict of float32 arrays).

    Biases the cell does not have are zeros. Raises ValueError for another kind of model or cell, a net that does not
    read the recall task, too many units, or weights that are not finite.
    """
    from torch import nn

    cells = getattr(getattr(model, "recurrent", None), "cells", ())
    # By name: a reader's cell may be the class that the notebook defines, not the package's.
    kinds = [kind for kind in ("LSTM", "GRU", "RNN") if len(cells) == 1 and type(cells[0]).__name__ == f"{kind}Cell"]
    if not kinds or not isinstance(getattr(model, "head", None), nn.Linear):
        raise ValueError(f"{type(model).__name__} is no SequenceReader with one LSTMCell, GRUCell or RNNCell")
    if kinds == ["RNN"] and cells[0].activation.__name__ != "tanh":
        raise ValueError(f"an RNNCell with {cells[0].activation.__name__} cannot be shown, only one with tanh")
    found = {name: getattr(cells[0], name) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    found |= {"head_weight": model.head.weight, "head_bias": model.head.bias}
    rows = {name: found["head_weight" if "head" in name else "weight_ih"].shape[0] for name in found}
    weights = {name: np.zeros(rows[name]) if part is None else part.detach().float().cpu().numpy()
               for name, part in found.items()}
    weights = {name: values.astype(np.float32) for name, values in weights.items()}
    check_sizes(weights)
    return kinds[0], weights


def check_sizes(weights):
    """Raise ValueError unless the net reads eight symbols and a cue, answers one of eight, and can be drawn."""
    features, answers, units = weights["weight_ih"].shape[1], len(weights["head_bias"]), weights["weight_hh"].shape[1]
    if (features, answers) != (CUE + 1, CUE):
        raise ValueError(f"a net for the recall task reads {CUE + 1} features and gives {CUE} answers, "
                         f"this one reads {features} and gives {answers}")
    if units > MOST_UNITS:
        raise ValueError(f"hidden_size={units} is too many units to draw, {MOST_UNITS} is the most")
    check_finite(*weights.values(), what="The model has weights that are")


def recorded_models():
    """The three trained nets of chapter 02, dict from name to `SequenceReader`."""
    from course_utils.recordings import load_weights
    from course_utils.recordings.recall_weights import recall_reader

    return {kind: load_weights(recall_reader(name), name) for kind, name in CHECKPOINTS.items()}


def describe(models):
    """What the browser needs of each model: a list of dicts with name, kind and packed weights."""
    if not isinstance(models, dict) or not 1 <= len(models) <= MOST_MODELS:
        raise ValueError(f"models must be a dict of 1 to {MOST_MODELS} nets such as {{'LSTM': net}}")
    described = []
    if not all(isinstance(name, str) and name.strip() for name in models):
        raise ValueError("the names of the models must be texts")
    for name, model in models.items():
        try:
            kind, weights = gate_weights(model)
        except ValueError as problem:
            raise ValueError(f"models[{name!r}]: {problem}") from None
        described.append({"name": name, "kind": kind} | {part: pack(values) for part, values in weights.items()})
    return described


def read_symbols(symbols):
    """Letters a to h, or ids 0 to 7, as a list of ids. Raises ValueError for anything else, too few or too many."""
    if isinstance(symbols, str):
        unknown = sorted(set(symbols) - set(LETTERS))
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no symbol: there are the letters a to h")
        symbols = [LETTERS.index(letter) for letter in symbols]
    if not hasattr(symbols, "__iter__"):
        raise ValueError(f"symbols={symbols!r} is neither letters nor a list of ids")
    symbols = list(symbols)
    ids = [int(symbol) if isinstance(symbol, (int, np.integer)) else -1 for symbol in symbols]
    if not all(0 <= number < CUE for number in ids):
        raise ValueError(f"symbols={symbols[:8]} are not all ids from 0 to {CUE - 1}")
    if not SHORTEST <= len(ids) <= LONGEST:
        raise ValueError(f"{len(ids)} symbols: the picture holds {SHORTEST} to {LONGEST}, and then the cue")
    return ids


def letters(ids):
    """The symbols as text; the cue is a question mark."""
    return "".join((LETTERS + "?")[number] for number in ids)


def check_shown(shown, described):
    """Raise ValueError unless `shown` is the name of one of the models."""
    names = [model["name"] for model in described]
    if shown not in names:
        raise ValueError(f"shown={shown!r} is none of the models {names}")


class GateExplorer(CourseWidget):
    """Force or free each gate; watch gates, cell state and hidden state along a sequence, and the answers of all nets.

    The nets read the symbols and then the cue, and answer which symbol came first. Everything is computed in the
    browser, the same numbers as `gate_run`'s, so it also works without a kernel.

    models: dict from name to a `SequenceReader` for the recall task, 1 to 3 of them, or None for the recorded LSTM, GRU
    and RNN. symbols: 3 to 61 ids from 0 to 7, or as many letters a to h. forced: dict from a gate's name (f, i, o of
    an LSTM, z, r of a GRU) to a value from 0 to 1. start: the step from which on gates are forced. shown: name of the
    model whose insides are drawn first.
    Raises ValueError where one of these makes no sense.
    """

    script = "gate_explorer.js"
    picture_depends_on = ("symbols", "forced", "start", "shown")

    models = traitlets.List().tag(sync=True)
    symbols = traitlets.List(traitlets.Int()).tag(sync=True)
    forced = traitlets.Dict().tag(sync=True)
    start = traitlets.Int(1).tag(sync=True)
    shown = traitlets.Unicode().tag(sync=True)

    def __init__(self, models=None, symbols=None, forced=None, start=1, shown=None):
        described = describe(recorded_models() if models is None else models)
        shown = described[0]["name"] if shown is None else shown
        symbols, forced = read_symbols(EXAMPLE if symbols is None else symbols), {} if forced is None else forced
        check_forced(forced)
        check_start(start)
        check_shown(shown, described)
        super().__init__(models=described, symbols=symbols, forced=forced, start=start, shown=shown)

    @traitlets.validate("symbols", "forced", "start", "shown")
    def _fits(self, proposal):
        """A setting that makes no sense is refused when it is made; the last good one stays."""
        checks = {"symbols": read_symbols, "forced": check_forced, "start": check_start,
                  "shown": lambda name: check_shown(name, self.models)}
        try:
            checks[proposal["trait"].name](proposal["value"])
        except ValueError as problem:
            raise traitlets.TraitError(str(problem)) from None
        return proposal["value"]

    def summary(self):
        names, units = [model["name"] for model in self.models], self.models[0]["weight_hh"]["shape"][1]
        return f"GateExplorer(models={names}, hidden_size={units}, steps={len(self.symbols) + 1}, forced={self.forced})"

    def run(self, name):
        """What `gate_run` computes for one of the models with the present settings, those of its gates forced."""
        model = next(model for model in self.models if model["name"] == name)
        weights = {part: unpack(packed) for part, packed in model.items() if part not in ("name", "kind")}
        forced = {gate: value for gate, value in self.forced.items() if gate in GATES[model["kind"]]}
        return gate_run(model["kind"], weights, [*self.symbols, CUE], forced, self.start)

    def figure(self):
        runs = {model["name"]: self.run(model["name"]) for model in self.models}
        parts = {name: runs[self.shown][name] for name in ROWS if name in runs[self.shown]}
        figure, axes = figures.new_figure(9.0, 0.9 + 0.85 * max(3, len(parts)), columns=2, rows=len(parts))
        axes = np.atleast_2d(axes)
        axes[0, 0].get_gridspec().set_width_ratios([2.2, 1])
        for row, (name, values) in zip(axes[:, 0], parts.items(), strict=True):
            draw_part(row, name, values)
        steps = letters([*self.symbols, CUE])
        if len(steps) <= 32:
            axes[-1, 0].set_xticks(np.arange(len(steps)) + 0.5, steps, rotation=0)
        axes[-1, 0].set_xlabel("symbol read at step t; the cue is ?")
        for unused in axes[:, 1]:
            unused.remove()
        answers = {name: run["probabilities"] for name, run in runs.items()}
        draw_answers(figure.add_subplot(axes[0, 1].get_gridspec()[:, 1]), answers, self.symbols[0])
        figure.suptitle(self._finding(answers), x=0.01, ha="left", fontsize=11, fontweight="bold")
        return figure

    def _finding(self, answers):
        """The picture's title: what is forced, and which nets name the first symbol."""
        right = [readable(name, 20) for name, shares in answers.items()
                 if shares.argmax() == self.symbols[0] and shares.max() >= UNSURE]
        forced = ", ".join(f"{gate} = {value:g}" for gate, value in self.forced.items())
        setting = f"{forced} from step {self.start} on" if forced else "all gates free"
        return f"{setting}: {', '.join(right) or 'no net'} right after {len(self.symbols)} symbols and the cue"


ROWS = {"f": "forget f", "i": "input i", "o": "output o", "z": "update z", "r": "reset r", "cell": "cell c",
        "hidden": "hidden h"}


def draw_part(axes, name, values):
    """One gate or state as a heatmap of units over time. values: (T, H)."""
    gate = name in NAMES
    every = -(-values.shape[1] // 24)
    figures.heatmap(values[:, ::every].T, signed=not gate, columns=False, rows=False, axes=axes)
    if gate:
        axes.collections[0].set(cmap=LinearSegmentedColormap.from_list(name, [SHUT, HUES[name]]), clim=(0, 1))
    axes.set_ylabel(ROWS[name], rotation=0, ha="right", va="center")


def draw_answers(axes, answers, right):
    """The probabilities of the eight symbols, one bar for each net. answers: dict from name to (8,)."""
    height = 0.8 / len(answers)
    for index, (name, shares) in enumerate(answers.items()):
        places = np.arange(len(shares)) + (index - (len(answers) - 1) / 2) * height
        axes.barh(places, shares, height, color=figures.SERIES[index], hatch=("", "///", "...")[index],
                  edgecolor="white", linewidth=0, label=readable(name, 20).lstrip("_") or "net")
    axes.axhspan(right - 0.5, right + 0.5, color=figures.COLOURS["line"], zorder=0)
    axes.set_yticks(range(len(LETTERS)), [f"{letter} (right)" if number == right else letter
                                          for number, letter in enumerate(LETTERS)])
    axes.set(xlim=(0, 1), ylim=(len(LETTERS) - 0.5, -0.5), title="answer after the cue")
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right", fontsize=9)
