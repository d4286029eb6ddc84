"""`AttentionStepper`: self-attention with numbers one can follow, change and check by hand."""

import numpy as np
import traitlets
from matplotlib.patches import Rectangle

from course_utils import figures
from course_utils.widgets.base import CourseWidget, Tensor, as_numpy, check_choice, clean, one_line, pack, readable

MOST_TOKENS, MOST_FEATURES = 10, 6
LARGEST = 1e6                     # of an entered number: larger ones have no room in a cell
VIEWS = ("one", "matrix")
STEPS = ("score", "scale", "mask", "softmax", "weighted sum")
OWN = "own"                       # name of the example that the reader's own numbers make
# The traits; `keys` is a name that every ipywidget needs for itself.
ARRAYS = {"q": "float64", "k": "float64", "v": "float64", "scores": "float64", "mask": "uint8"}
SETTINGS = ("tokens", *ARRAYS, "row", "scale")
NONE = np.zeros((0, 0))

# Scores of one query after the division by sqrt(d_k), as in the worked example of the chapter.
CAT = {
    "label": "the cat: scores given", "tokens": ["The", "cat", "sat", "on", "the", "mat"], "row": 1, "scale": False,
    "scores": [[0.2, 1.0, 0.8, 0.1, 0.3, 0.5]],
    "v": [[0.0, 0.5], [1.0, 0.0], [0.0, 2.0], [0.5, 0.5], [0.0, 0.5], [1.0, 1.0]],
}
VECTORS = {
    "label": "four words: vectors", "tokens": ["we", "drink", "green", "tea"], "row": 2, "scale": True,
    "q": [[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [1.0, 1.0]],
    "k": [[1.0, 0.0], [-1.0, 2.0], [0.5, 0.5], [2.0, 0.0]],
    "v": [[2.0, 0.0], [0.0, 1.0], [-1.0, 2.0], [1.0, 1.5]],
}
CAUSAL = np.tril(np.ones((4, 4), dtype=bool))
# Padding on the left under a causal mask: the first row sees only itself, and that is padding.
REAL = np.array([False, True, True, True])
PRESETS = {
    "cat": CAT,
    "vectors": VECTORS,
    "causal": VECTORS | {"label": "four words: causal mask", "mask": CAUSAL},
    "empty": VECTORS | {"label": "an empty row: padding first", "tokens": ["<pad>", *VECTORS["tokens"][1:]], "row": 0,
                        "mask": CAUSAL & REAL},
}


# ---- the numbers -----------------------------------------------------------------------------------------------------


def attention_steps(queries=None, keys=None, values=None, scores=None, mask=None, scale=True):
    """Every step of attention for all queries, in double precision.

    queries: (T_q, d_k). keys: (T, d_k). values: (T, d_v). scores: (T_q, T) instead of queries and keys; they are taken
    as already divided by sqrt(d_k). mask: boolean, (T_q, T) or (T,), True = may attend. scale: divide by sqrt(d_k).
    Returns a dict: score, scaled, masked (−inf where the mask forbids), weights, all (T_q, T), and output (T_q, d_v).
    A row that may attend to nothing has weights and output 0.
    Source: Vaswani et al. 2017, equation 1.
    """
    values = np.asarray(values, dtype=float)
    if scores is None:
        queries, keys = np.asarray(queries, dtype=float), np.asarray(keys, dtype=float)
        score = queries @ keys.T                                              # (T_q, d_k) @ (d_k, T) -> (T_q, T)
        scaled = score / np.sqrt(keys.shape[1]) if scale else score
    else:
        score = scaled = np.asarray(scores, dtype=float)
    allowed = np.broadcast_to(True if mask is None else np.asarray(mask, dtype=bool), score.shape)
    masked = np.where(allowed, scaled, -np.inf)
    largest = masked.max(-1, keepdims=True)
    powers = np.where(allowed, np.exp(np.where(allowed, masked - np.where(np.isfinite(largest), largest, 0), 0)), 0)
    total = powers.sum(-1, keepdims=True)
    weights = powers / np.where(total > 0, total, 1)
    return {"score": score, "scaled": scaled, "masked": masked, "weights": weights, "output": weights @ values}


# ---- what may be shown -----------------------------------------------------------------------------------------------


def matrix_of(name, given, sizes):
    """A (rows, columns) array of finite numbers; one vector becomes one row. sizes: the most rows and columns.

    Raises ValueError that names the argument.
    """
    array = as_numpy(given, name, "numbers in rows of equal length", float)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"{name} must be a vector or a matrix with at least one number, got shape {array.shape}")
    array = np.atleast_2d(array)
    if array.shape[0] > sizes[0] or array.shape[1] > sizes[1]:
        raise ValueError(f"{name} has shape {array.shape}: the picture holds {sizes[0]} rows of {sizes[1]}")
    if not (np.abs(array) <= LARGEST).all():                   # NaN fails here too
        raise ValueError(f"{name} must lie between −{LARGEST:,.0f} and {LARGEST:,.0f}, each number")
    return array


def own_example(query, keys, values, scores, tokens, row, scale, mask):
    """The reader's numbers as an example. Raises ValueError, in one line, where they do not fit together."""
    if scores is not None and (query is not None or keys is not None):
        raise ValueError("give scores, or a query and keys, not both")
    if scores is None and (query is None or keys is None):
        raise ValueError("a query needs keys, and keys need a query")
    if values is None:
        raise ValueError("values are missing: one row for every key")
    parts = {"v": matrix_of("values", values, (MOST_TOKENS, MOST_FEATURES))}
    if scores is None:
        parts["q"] = matrix_of("query", query, (MOST_TOKENS, MOST_FEATURES))
        parts["k"] = matrix_of("keys", keys, (MOST_TOKENS, MOST_FEATURES))
    else:
        parts["scores"] = matrix_of("scores", scores, (1, MOST_TOKENS))
    many = len(parts["v"])
    tokens = [f"word{number}" for number in range(1, many + 1)] if tokens is None else tokens
    return complete({"label": "your numbers", "tokens": tokens, "row": 0 if row is None else row,
                     "scale": scale and scores is None, "mask": mask} | parts)


def complete(example):
    """An example with every array, the mask as (queries, keys). Raises ValueError where something does not fit."""
    example = dict.fromkeys(("q", "k", "scores"), NONE) | {"mask": None} | example
    for name in ("q", "k", "v", "scores"):
        example[name] = np.asarray(example[name], dtype=float)
    rows = max(len(example["q"]), len(example["scores"]))
    example["mask"] = mask_of(example["mask"], rows, len(example["v"]), example["row"])
    example["tokens"] = tokens_of(example["tokens"])
    check_example(example)
    return example


def tokens_of(tokens):
    """The words as a list. Raises ValueError unless they are texts."""
    tokens = list(tokens) if not isinstance(tokens, str) and hasattr(tokens, "__iter__") else tokens
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError("tokens must be a list of texts")
    return [clean(token) for token in tokens]


def mask_of(mask, rows, many, row):
    """The mask as (rows, many) booleans; None allows everything, a single row is everybody's."""
    if mask is None:
        return np.ones((rows, many), dtype=bool)
    mask = as_numpy(mask, "the mask", "booleans in rows of equal length")
    if mask.dtype != bool:
        raise ValueError("the mask must be boolean: True = may attend")
    if mask.shape not in ((many,), (rows, many), (many, many)):
        raise ValueError(f"the mask has shape {mask.shape}: it must be ({many},) or ({many}, {many})")
    if mask.ndim == 2 and len(mask) != rows:                 # one query, and a mask for all of them
        check_row(row, many)
        mask = mask[row]
    return np.broadcast_to(mask, (rows, many)).copy()


def check_row(row, many):
    """Raise ValueError unless `row` counts one of the words, from 0."""
    if isinstance(row, (bool, np.bool_)) or not isinstance(row, (int, np.integer)) or not 0 <= row < many:
        raise ValueError(f"row={row!r} is none of the {many} words, counted from 0")


def check_example(example):
    """Raise ValueError unless all arrays of an example fit together and can be drawn."""
    queries, keys, values, scores = (example[name] for name in ("q", "k", "v", "scores"))
    for name in ("q", "k", "v", "scores", "mask"):
        if example[name].ndim != 2:
            raise ValueError(f"{name} must be a matrix, got shape {example[name].shape}")
    many, given = len(values), scores.size > 0
    names = {"v": "values", "scores": "scores"} if given else {"v": "values", "q": "query", "k": "keys"}
    for name, told in names.items():
        matrix_of(told, example[name], (MOST_TOKENS, MOST_TOKENS if name == "scores" else MOST_FEATURES))
    if given and scores.shape != (1, many):
        raise ValueError(f"there are {scores.size} scores and {many} values: there must be as many")
    if not given and len(keys) != many:
        raise ValueError(f"there are {len(keys)} keys and {many} values: there must be as many")
    if not given and queries.shape[1] != keys.shape[1]:
        raise ValueError(f"a query has {queries.shape[1]} numbers and a key {keys.shape[1]}: a dot product needs "
                         "as many")
    if not given and len(queries) not in (1, many):
        raise ValueError(f"there are {len(queries)} queries: give one, or one for each of the {many} words")
    if len(example["tokens"]) != many:
        raise ValueError(f"there are {len(example['tokens'])} tokens and {many} values: there must be as many")
    if example["mask"].shape != (1 if given else len(queries), many):
        raise ValueError(f"the mask has shape {example['mask'].shape} and does not fit the queries and keys")
    if not np.isin(example["mask"], (0, 1)).all():
        raise ValueError("the mask holds numbers other than 0 and 1")
    if not isinstance(example["scale"], (bool, np.bool_)):
        raise ValueError(f"scale={example['scale']!r} is neither True nor False")
    check_row(example["row"], many)


class AttentionStepper(CourseWidget):
    """Follow one query through score, scale, mask, softmax and weighted sum; then all queries as matrices.

    Everything is computed in the browser, the same numbers as `attention_steps`'s, so it also works without a kernel.

    query: (d_k,), or (T, d_k) for all words, which the matrices need. keys: (T, d_k). values: (T, d_v). At most 10
    words and 6 numbers each. scores: (T,) instead of query and keys, taken as already divided by sqrt(d_k). tokens: T
    texts. row: the word whose query is followed, counted from 0; None takes the example's own. scale: divide by
    sqrt(d_k). mask: boolean (T,) or (T, T), True = may attend. view: "one" query or the "matrix" of all. preset: "cat",
    "vectors", "causal" or "empty", used where no numbers are given; values, tokens, mask or row may replace its own.
    step: 1 score, 2 scale, 3 mask, 4 softmax, 5 weighted sum.
    Raises ValueError, in one line, where something does not fit.
    """

    script = "attention_stepper.js"
    picture_depends_on = ("tokens", *ARRAYS, "row", "scale", "view")

    tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
    q = Tensor("float64")
    k = Tensor("float64")
    v = Tensor("float64")
    scores = Tensor("float64")
    mask = Tensor("uint8")
    row = traitlets.Int(0).tag(sync=True)
    scale = traitlets.Bool(True).tag(sync=True)
    view = traitlets.Unicode("one").tag(sync=True)
    step = traitlets.Int(1).tag(sync=True)
    preset = traitlets.Unicode().tag(sync=True)
    examples = traitlets.List().tag(sync=True)

    def __init__(self, query=None, keys=None, values=None, scores=None, tokens=None, row=None, scale=True, mask=None,
                 view="one", preset="cat", step=1):
        check_choice("view", view, VIEWS)
        check_choice("preset", preset, tuple(PRESETS))
        check_choice("step", step, (1, 2, 3, 4, 5))
        examples = {name: complete(example) for name, example in PRESETS.items()}
        if query is not None or keys is not None or scores is not None:
            examples[OWN], preset = own_example(query, keys, values, scores, tokens, row, scale, mask), OWN
        else:
            given = {"v": values, "tokens": tokens, "mask": mask, "row": row}
            given = {name: value for name, value in given.items() if value is not None}
            if values is not None:
                given["v"] = matrix_of("values", values, (MOST_TOKENS, MOST_FEATURES))
            changed = complete(PRESETS[preset] | given | {"scale": PRESETS[preset]["scale"] and scale})
            if set(given) - {"row"}:
                examples[OWN], preset = changed | {"label": "your numbers"}, OWN
            else:
                examples[preset] = changed
        chosen = {name: examples[preset][name] for name in SETTINGS}
        super().__init__(**chosen, view=view, step=step, preset=preset,
                         examples=[describe(name, example) for name, example in examples.items()])

    @traitlets.validate("tokens", *ARRAYS, "row", "scale", "view", "step", "preset")
    def _fits(self, proposal):
        """A setting that makes no sense is refused when it is made; the last good one stays."""
        name, value = proposal["trait"].name, proposal["value"]
        try:
            if name == "tokens":
                value = tokens_of(value)
            if name == "view":
                check_choice(name, value, VIEWS)
            elif name == "step":
                check_choice(name, value, (1, 2, 3, 4, 5))
            elif name == "preset":
                check_choice(name, value, [example["name"] for example in self.examples])
            else:
                check_example({part: getattr(self, part) for part in SETTINGS} | {name: value})
        except Exception as problem:             # only after a TraitError does traitlets put the last values back
            raise traitlets.TraitError(one_line(problem)) from None
        return value

    @property
    def given(self):
        """Whether the scores are given, so that there are no queries and keys."""
        return self.scores.size > 0

    def run(self):
        """What `attention_steps` computes from the present numbers."""
        scores = self.scores if self.given else None
        return attention_steps(self.q, self.k, self.v, scores, self.mask.astype(bool), self.scale)

    def summary(self):
        sizes = "scores given" if self.given else f"d_k={self.k.shape[1]}, scale={self.scale}"
        return (f"AttentionStepper({self.preset!r}, words={len(self.tokens)}, {sizes}, d_v={self.v.shape[1]}, "
                f"row={self.row}, view={self.view!r})")

    def figure(self):
        run, words = self.run(), [readable(token, 12) for token in self.tokens]
        if self.view == "matrix" and len(run["weights"]) == len(words):
            return draw_matrices(run, words, self.row)
        place = self.row if len(run["weights"]) > 1 else 0
        one = {name: array[place] for name, array in run.items()}
        rows = {"score": one["score"]} if self.given else {"q·k": one["score"]}
        if self.scale:
            rows["÷ √d_k"] = one["scaled"]
        return draw_row(rows | {"after the mask": one["masked"], "weight": one["weights"]}, one, words, self.row)


def describe(name, example):
    """An example as the browser takes it."""
    packed = {part: pack(example[part], dtype) for part, dtype in ARRAYS.items()}
    return {"name": name} | {part: example[part] for part in ("label", "tokens", "row", "scale")} | packed


def finding(weights, words, row):
    """The picture's title: where the query looks most."""
    if not weights.any():
        return f"{words[row]} may attend to nothing: every weight is 0"
    return f"{words[row]} gives most weight to {words[weights.argmax()]}: {weights.max():.3f}"


def draw_row(rows, one, words, row):
    """One query: the weights as bars over a table of the steps, tokens as columns."""
    figure, (chart, table) = figures.new_figure(width=2.2 + 0.75 * max(len(words), 4), height=3.6, rows=2)
    places = np.arange(len(words))
    chart.bar(places, one["weights"], color=figures.COLOURS["key"], width=0.6)
    chart.set(xlim=(-0.6, len(words) - 0.4), ylabel="weight", ylim=(0, max(one["weights"].max(), 0.01) * 1.1))
    chart.set_xticks(places, words)
    chart.grid(visible=False, axis="x")
    table.set(xlim=(-0.6, len(words) - 0.4), ylim=(len(rows) - 0.5, -0.5))
    table.set_yticks(range(len(rows)), list(rows))
    table.set_xticks([])
    table.grid(visible=False)
    for line, (name, values) in enumerate(rows.items()):
        for place, value in enumerate(values):
            table.text(place, line, number_text(value, 3 if name == "weight" else 2), ha="center", va="center",
                       fontweight="bold" if name == "weight" else "normal")
    output = ", ".join(number_text(value, 3) for value in one["output"])
    table.set_xlabel(f"output = sum of weight × value = [{output}]", color=figures.COLOURS["value"])
    figure.suptitle(finding(one["weights"], words, row), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def number_text(value, digits):
    """A number as the table shows it, with a real minus sign."""
    if np.isneginf(value):
        return "−∞"
    text = f"{value:.{digits}f}" if abs(value) < 10_000 else f"{value:.2g}"
    return text.replace("-", "−")


def draw_matrices(run, words, row):
    """All queries: the scores that go into softmax, and the weights, the chosen query's row framed."""
    width = 4.5 + 0.6 * len(words)
    figure, axes = figures.new_figure(width=width, height=1.8 + 0.3 * len(words), columns=2)
    allowed = np.isfinite(run["masked"])
    shown = np.where(allowed, run["masked"], np.nan) if allowed.any() else np.zeros(allowed.shape)
    largest = float(np.nanmax(np.abs(shown), initial=0))
    for panel, title, array in ((axes[0], "scores after scale and mask", shown), (axes[1], "weights", run["weights"])):
        figures.heatmap(array, rows=words, columns=words, signed=title != "weights", axes=panel, title=title,
                        xlabel="key", ylabel="query")
        panel.set_facecolor(figures.COLOURS["mask"])
        panel.tick_params(axis="x", rotation=0 if len(words) <= 5 else 90)
        for (query, key), value in np.ndenumerate(run["masked"] if title != "weights" else array):
            dark = value > 0.5 if title == "weights" else np.isfinite(value) and abs(value) > 0.6 * largest
            panel.text(key + 0.5, query + 0.5, number_text(value, 2), ha="center", va="center", fontsize=8,
                       color="white" if dark else figures.COLOURS["ink"])
        panel.add_patch(Rectangle((0, row), len(words), 1, fill=False, edgecolor=figures.COLOURS["query"], linewidth=2,
                                  clip_on=False))
    figure.suptitle(finding(run["weights"][row], words, row), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure
