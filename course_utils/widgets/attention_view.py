"""AttentionView: attention weights of any model, head by head, as a matrix or as lines between words.

What travels: small pictures of all heads and the shown head's numbers at once, everything else as bytes of colour when
the browser asks for it, and the exact numbers of another head when it is chosen.
"""

import numpy as np
import traitlets
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from course_utils import figures
from course_utils.widgets.base import CourseWidget, as_numpy, clean, one_line, pack, readable

SPECIAL = ("<pad>", "<sos>", "<eos>", "<unk>", "<plain>", "<polite>", "[CLS]", "[SEP]", "[PAD]")
FORMS = ("matrix", "lines")
DIRECTIONS = ("query", "key")
EXACT = 32                     # up to so many tokens a thumbnail shows every cell, and holds all the colours
SIDE = 24                      # above, a thumbnail has at most so many cells a side
MOST_LINES = 1_600             # words × words that the PNG still draws as lines
MOST = 8_000_000               # weights in all: what a browser takes without a pause
LONGEST = 4_096                # tokens a side
LONGEST_TEXT = 2_000           # characters of a reader's own sentence
MASKED = 255                   # the byte of a cell that may not be looked at; 0 … 254 are weights
EXAMPLE = ("[CLS]", "The", "cat", "sat", "on", "the", "mat", ".")


# ---- what is given ---------------------------------------------------------------------------------------------------


def as_array(values):
    """Numbers of any kind as a float32 array of our own: what the caller does to theirs later changes no picture."""
    return as_numpy(values, "weights", "numbers of shape (T_q, T_k), (H, T_q, T_k) or (L, H, T_q, T_k)", np.float32)


def read_weights(weights, names=None):
    """Weights in any of the accepted forms as (array (L, H, T_q, T_k), names of the layers). Raises ValueError."""
    if isinstance(weights, (list, tuple)) and weights and all(is_named(entry) for entry in weights):
        names = [name for name, _ in weights] if names is None else names
        weights = stack_layers([(name, as_array(layer)) for name, layer in weights])
    else:
        weights = as_array(weights)
    if not 2 <= weights.ndim <= 4 or weights.size == 0:
        raise ValueError("weights must have the shape (T_q, T_k), (H, T_q, T_k) or (L, H, T_q, T_k), with at least one "
                         f"cell, not {weights.shape}")
    weights = weights.reshape((1,) * (4 - weights.ndim) + weights.shape)
    if weights.size > MOST:
        raise ValueError(f"{weights.size:,} weights are too many to draw, {MOST:,} is the most: choose some layers")
    if max(weights.shape[2:]) > LONGEST:
        raise ValueError(f"{max(weights.shape[2:]):,} tokens on one side are too many to draw, {LONGEST:,} is the most")
    if not np.isfinite(weights).all():
        raise ValueError("the weights hold NaN or infinite numbers, so there is nothing to draw")
    if weights.min() < 0:
        raise ValueError(f"the weights hold negative numbers, such as {weights.min():.3g}: scores become weights by a "
                         "softmax")
    if names is None:
        return weights, []
    if isinstance(names, str) or len(names) != len(weights):
        raise ValueError(f"names must be a list of {len(weights)}, one for each layer")
    return weights, [clean(name) for name in names]


def is_named(entry):
    """Whether this is a pair (name, weights), as `attention_maps` lists them."""
    return isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[0], str)


def stack_layers(layers):
    """The first sentence of each layer, (L, H, T_q, T_k). layers: list of (name, array (B, H, T_q, T_k))."""
    for name, layer in layers:
        if layer.ndim != 4 or len(layer) == 0:
            raise ValueError(f"the weights of {name!r} must have the shape (B, H, T_q, T_k), not {layer.shape}")
    sizes = {layer.shape[1:] for _, layer in layers}
    if len(sizes) > 1:
        raise ValueError(f"the layers differ in (H, T_q, T_k): {', '.join(map(str, sorted(sizes)))}; show them apart")
    return np.stack([layer[0] for _, layer in layers])


def read_tokens(tokens, count, what, axis):
    """A list of `count` texts; None numbers the places. Raises ValueError where there are more or fewer."""
    if tokens is None:
        return [str(place) for place in range(count)]
    if isinstance(tokens, str) or not hasattr(tokens, "__iter__"):
        raise ValueError(f"{what} must be a list of tokens, not {type(tokens).__name__}")
    tokens = [clean(token) for token in tokens]
    if len(tokens) != count:
        raise ValueError(f"{len(tokens)} {what} for {count} {axis} of weights")
    return tokens


def read_mask(mask, weights):
    """A mask as booleans of the weights' shape, True = may attend; None allows everything. Raises ValueError."""
    if mask is None:
        return np.ones(weights.shape, bool)
    mask = as_numpy(mask, "the mask", "booleans in rows of equal length")
    if mask.dtype != bool:
        raise ValueError(f"the mask must be boolean, True = may attend, not {mask.dtype}")
    try:
        mask = np.broadcast_to(mask, weights.shape)
    except ValueError:
        raise ValueError(f"a mask of shape {mask.shape} does not fit weights of shape {weights.shape}, which is "
                         "(L, H, T_q, T_k)") from None
    leak = np.where(mask, 0, weights)
    if leak.max() > 1e-6:
        *_, row, column = np.unravel_index(leak.argmax(), leak.shape)
        raise ValueError(f"the mask forbids row {row}, column {column}, but a weight there is {leak.max():.3g}: "
                         "mask and weights do not belong together")
    return mask


# ---- what travels ----------------------------------------------------------------------------------------------------


def colours(weights, mask):
    """Bytes of colour (L, H, T_q, T_k), 254 for the largest weight of a head, and these largest weights (L, H)."""
    largest = weights.max((2, 3))
    scale = np.where(largest > 0, largest, 1)[..., None, None]
    codes = np.rint(weights * (254 / scale)).astype(np.uint8)
    codes[~mask] = MASKED
    return codes, largest


def pooled(codes, side):
    """Thumbnails: the largest byte of every block of cells, at most `side` blocks a side; masked if all of it is."""
    blocks = np.where(codes == MASKED, -1, codes.astype(np.int16))
    for axis in (2, 3):
        length = codes.shape[axis]
        blocks = np.maximum.reduceat(blocks, np.arange(0, length, -(-length // side)), axis=axis)
    return np.where(blocks < 0, MASKED, blocks).astype(np.uint8)


def row_sums(weights):
    """For every head (L, H): 2 where each row sums to 1, 1 where some rows are all zero instead, 0 otherwise."""
    sums = weights.sum(-1, dtype=np.float64)
    one, zero = np.abs(sums - 1) < 1e-3, sums == 0
    return np.where(one.all(-1), 2, np.where((one | zero).all(-1) & one.any(-1), 1, 0))


def example_weights():
    """Two layers of four heads over "The cat sat on the mat .", by a fixed formula. Returns (weights, mask).

    The heads look at the word before, at a partner, at the same word, at everything. Layer 2 may not look ahead.
    """
    size = len(EXAMPLE)
    rows, columns = np.indices((size, size))
    partners = {(1, 2): 3.2, (2, 3): 5.4, (3, 2): 4.6, (4, 6): 3.8, (5, 6): 3.4}
    before = np.where(columns == rows - 1, 4.5, 0.0)
    partner = np.where(columns == 0, 1.8, 0.0)
    for cell, score in partners.items():
        partner[cell] = score
    same = np.where(columns == rows, 3.0, 0.0)
    same[5, 1] = same[1, 5] = 3.4                            # the two articles find each other
    broad = -0.25 * np.abs(rows - columns)
    ripple = 0.5 * np.sin(1.7 * rows + 2.3 * columns)        # so that no two weights are quite alike
    scores = np.stack([np.stack([before, partner, same, broad]), np.stack([same, before, 0.6 * broad, partner])])
    mask = np.ones((2, 1, size, size), bool)
    mask[1] = columns <= rows
    scores = np.where(mask, scores + ripple, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True), mask


# ---- the widget ------------------------------------------------------------------------------------------------------


class AttentionView(CourseWidget):
    """Attention weights, head by head: hover a cell to read it, click to lock it, choose a head by its thumbnail.

    weights: (T_q, T_k), (H, T_q, T_k) or (L, H, T_q, T_k), or the list of (name, (B, H, T_q, T_k)) that
    `attention_maps` returns, of which the first sentence is shown; None shows an example. queries, keys: tokens of the
    rows and columns; without keys they are the queries (self-attention), without both they are numbered. mask: boolean,
    broadcastable to (L, H, T_q, T_k), True = may attend. names: of the layers. special: tokens that the reader may
    hide. layer, head: the head shown first, counted from 0. query, key: the row and the column that are locked, as
    numbers from 0. direction: "query" asks what a word looks at, "key" asks who looks at it. form: "matrix" or "lines".
    numbers: write the weights into the cells.
    explain: a function from a text to (weights, queries, keys) or (weights, queries, keys, mask); the reader then types
    sentences, and `text`, or the first of `examples`, is the first one.
    Raises ValueError where one of these makes no sense.
    """

    script = "attention_view.js"
    picture_depends_on = ("version", "layer", "head", "query", "key", "direction", "form", "numbers", "hide")

    maps = traitlets.Dict().tag(sync=True)              # tokens, thumbnails and what else the first picture needs
    shown = traitlets.Dict().tag(sync=True)             # the exact numbers of one head; NaN is masked
    stack = traitlets.Dict().tag(sync=True)             # the colours of all heads
    wanted = traitlets.Int(0).tag(sync=True)            # the browser asks for the stack of these maps
    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    query = traitlets.Int(None, allow_none=True).tag(sync=True)
    key = traitlets.Int(None, allow_none=True).tag(sync=True)
    direction = traitlets.Unicode("query").tag(sync=True)
    form = traitlets.Unicode("matrix").tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    hide = traitlets.Bool(False).tag(sync=True)         # leave special tokens out
    stretch = traitlets.Bool(False).tag(sync=True)      # colours up to the largest weight of each head
    text = traitlets.Unicode("").tag(sync=True)
    asks = traitlets.Bool(False).tag(sync=True)         # whether there is a function to ask
    examples = traitlets.List(traitlets.Unicode()).tag(sync=True)
    special = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, weights=None, queries=None, keys=None, mask=None, names=None, special=SPECIAL, layer=0, head=0,
                 query=None, direction="query", form="matrix", numbers=False, explain=None, text="", examples=(),
                 key=None):
        if explain is not None and not callable(explain):
            raise ValueError("explain must be a function from a text to (weights, queries, keys)")
        self._explain, self._names = explain, names
        examples = [clean(example) for example in examples]
        text = clean(text) if isinstance(text, str) else text
        if explain is not None and weights is None:
            text = text or next(iter(examples), "")
            weights, queries, keys, mask = self._ask(text)
        elif weights is None:
            if any(part is not None for part in (queries, keys, mask, names)):
                raise ValueError("queries, keys, mask and names need weights")
            weights, mask = example_weights()
            queries, head = EXAMPLE, head if (layer, head) != (0, 0) else 1
        maps = self._read(weights, queries, keys, mask, 1)
        settings = {"layer": layer, "head": head, "query": query, "key": key, "direction": direction, "form": form}
        for name, value in settings.items():
            check_setting(name, value, maps)
        super().__init__(maps=maps, shown=self._exact(layer, head, 1), numbers=bool(numbers), text=text,
                         examples=examples, special=[clean(token) for token in special], asks=explain is not None,
                         **settings)
        self.observe(self._send_exact, ["layer", "head"])
        self.observe(self._send_stack, "wanted")

    version = property(lambda self: self.maps["id"])

    def _read(self, weights, queries, keys, mask, number):
        """Check and keep what is given; what the browser needs first. Nothing is kept if something does not fit."""
        weights, names = read_weights(weights, self._names)
        rows, columns = weights.shape[2:]
        if queries is None and keys is not None and rows != columns:
            raise ValueError(f"keys without queries name {columns} columns, but not the {rows} rows")
        rows_named = read_tokens(keys if queries is None else queries, rows, "queries", "rows")
        columns_named = read_tokens(queries if keys is None else keys, columns, "keys", "columns")
        mask = read_mask(mask, weights)
        codes, largest = colours(weights, mask)
        self._weights, self._mask, self._codes = weights, mask, codes
        exact = max(rows, columns) <= EXACT
        return {
            "id": number, "queries": rows_named, "keys": columns_named, "names": names, "exact": exact,
            "self": rows_named == columns_named, "sums": row_sums(weights).tolist(), "largest": pack(largest),
            "thumbnails": pack(codes if exact else pooled(codes, SIDE), "uint8"),
        }

    def _exact(self, layer, head, number):
        values = np.where(self._mask[layer, head], self._weights[layer, head], np.nan)
        return {"id": number, "layer": layer, "head": head, "weights": pack(values)}

    def _send_exact(self, _):
        if (self.shown["id"], self.shown["layer"], self.shown["head"]) != (self.version, self.layer, self.head):
            self.shown = self._exact(self.layer, self.head, self.version)

    def _send_stack(self, _):
        if self.wanted == self.version and self.stack.get("id") != self.version:
            self.stack = {"id": self.version, "colours": pack(self._codes, "uint8")}

    @traitlets.validate("layer", "head", "query", "key", "direction", "form")
    def _fits(self, proposal):
        """A setting that makes no sense is refused when it is made; the last good one stays."""
        try:
            check_setting(proposal["trait"].name, proposal["value"], self.maps)
        except ValueError as problem:
            raise traitlets.TraitError(str(problem)) from None
        return proposal["value"]

    def _ask(self, text):
        """What the reader's function says about a text: (weights, queries, keys, mask). Raises ValueError."""
        if not isinstance(text, str) or not text.strip():
            raise ValueError("Type a sentence: without one there is nothing to show.")
        if len(text) > LONGEST_TEXT:
            raise ValueError(f"{len(text)} characters are too many: {LONGEST_TEXT} is the most.")
        try:
            found = self._explain(text)
        except ValueError:                # the function's own words about this text
            raise
        except (Exception, SystemExit) as error:
            raise ValueError(f"explain failed: {one_line(error)}") from error
        if not isinstance(found, (list, tuple)) or len(found) not in (3, 4):
            raise ValueError("explain must return (weights, queries, keys) or (weights, queries, keys, mask)")
        return (*found, None)[:4]

    def respond(self, text):
        """Show the weights for another text. The last picture stays if the function, or its result, is no good."""
        if self._explain is None:
            raise ValueError("This picture was made without a function to ask: it shows one sentence.")
        text = clean(text) if isinstance(text, str) else text
        maps = self._read(*self._ask(text), self.version + 1)
        layers, heads = maps["largest"]["shape"]
        with self.hold_sync(), self.hold_trait_notifications():      # the browser takes all of it at once
            self.query = self.key = None
            self.maps, self.stack, self.text = maps, {}, text
            self.layer, self.head = min(self.layer, layers - 1), min(self.head, heads - 1)
            self.shown = self._exact(self.layer, self.head, self.version)
        return {"text": text}

    def summary(self):
        layers, heads, rows, columns = self._weights.shape
        return f"AttentionView(layers={layers}, heads={heads}, queries={rows}, keys={columns})"

    def figure(self):
        rows, columns = (self._kept(self.maps[name]) for name in ("queries", "keys"))
        values = np.where(self._mask, self._weights, np.nan)[self.layer, self.head][np.ix_(rows, columns)]
        names = [[self.maps[side][place] for place in places]
                 for side, places in (("queries", rows), ("keys", columns))]
        several = self._codes.shape[0] * self._codes.shape[1] > 1
        high = min(max(0.36 * len(rows) + 1.3, 2.6), 5.2)
        wide = min(max(0.42 * len(columns), 2.4), 5.2) + 1.8
        figure, axes = figures.new_figure(wide + 3.2 * several, high, columns=1 + several)
        axes = np.atleast_1d(axes)
        if several:
            axes[0].get_gridspec().set_width_ratios([3.0, wide])
            draw_thumbnails(axes[0], self._codes.shape[:2], self._tile(), (self.layer, self.head))
        row = self._row(values, rows)
        if self.form == "lines" and values.size <= MOST_LINES:      # of more lines a still picture shows a tangle
            draw_lines(axes[-1], values, *names, self._top())
        else:
            draw_matrix(axes[-1], values, *names, self._top(), self.numbers)
        figure.suptitle(self._finding(values, names, row), x=0.01, ha="left", fontsize=11, fontweight="bold")
        return figure

    def _kept(self, tokens):
        """Places of the tokens that are not hidden; all of them if none would be left."""
        places = [place for place, token in enumerate(tokens) if not (self.hide and token in self.special)]
        return places or list(range(len(tokens)))

    def _top(self):
        """The weight that has the darkest colour: a head that looks at everything alike must not look loud."""
        return max(float(self._weights.max()), min(1.0, 4 / self._weights.shape[3]))

    def _row(self, values, rows):
        """The row that the title speaks of: the locked one, else the one with the largest weight."""
        if self.query in rows:
            return rows.index(self.query)
        return int(np.nanmax(np.nan_to_num(values, nan=-1), axis=1).argmax())

    def _tile(self):
        """All thumbnails side by side, masked cells NaN, with a line of them between heads."""
        codes = self._codes if self.maps["exact"] else pooled(self._codes, SIDE // 3)      # a PNG stays small
        layers, heads, high, wide = codes.shape
        share = self._weights.max((2, 3))[..., None, None] / (254 * self._top())
        values = np.where(codes == MASKED, np.nan, codes * share)
        gap = max(1, round(max(high, wide) / 12))
        tile = np.full((layers, heads, high + gap, wide + gap), -1.0)
        tile[:, :, :high, :wide] = values
        return tile.transpose(0, 2, 1, 3).reshape(layers * (high + gap), heads * (wide + gap))

    def _finding(self, values, names, row):
        """The picture's title: which head is shown, and where one word looks."""
        layers, heads = self._codes.shape[:2]
        where = f"layer {self.layer + 1}, head {self.head + 1}: " if layers * heads > 1 else ""
        word = readable(names[0][row], 16)
        if np.isnan(values[row]).all() or not np.nanmax(values[row]) > 0:
            return f"{where}‘{word}’ may look at nothing"
        column = int(np.nanargmax(values[row]))
        return f"{where}‘{word}’ looks most at ‘{readable(names[1][column], 16)}’ ({values[row, column]:.2f})"


def check_setting(name, value, maps):
    """Raise ValueError unless a trait's value fits the maps."""
    layers, heads = maps["largest"]["shape"]
    choices = {"form": FORMS, "direction": DIRECTIONS}
    sizes = {"layer": layers, "head": heads, "query": len(maps["queries"]), "key": len(maps["keys"])}
    if name in choices:
        if value not in choices[name]:
            raise ValueError(f"{name}={value!r} must be {' or '.join(map(repr, choices[name]))}")
    elif value is None and name in ("query", "key"):
        return
    elif isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < sizes[name]:
        raise ValueError(f"{name}={value!r} must be a whole number from 0 to {sizes[name] - 1}")


# ---- the PNG ---------------------------------------------------------------------------------------------------------


def paint(axes, values, top):
    """A matrix of weights as colours; what is masked stands on hatched grey, negative numbers are no cells at all."""
    axes.grid(visible=False)
    colours_of = figures.WEIGHTS(np.clip(np.nan_to_num(values) / top, 0, 1))
    colours_of[np.isnan(values)] = 0
    colours_of[values < 0] = to_rgba("white")
    rows, columns = values.shape
    if np.isnan(values).any():
        axes.patch.set(facecolor="white", edgecolor=figures.COLOURS["mask"], hatch="//////")
    axes.imshow(colours_of, aspect="auto", interpolation="nearest", extent=(-0.5, columns - 0.5, rows - 0.5, -0.5))


def draw_thumbnails(axes, counts, tile, chosen):
    """All heads, the chosen one framed. counts: layers and heads in the tile. chosen: its layer and head."""
    paint(axes, tile, 1.0)
    axes.set_aspect(tile.shape[1] * counts[0] / (tile.shape[0] * counts[1]), anchor="N")      # square thumbnails
    sizes = [tile.shape[0] / counts[0], tile.shape[1] / counts[1]]
    for count, size, set_ticks in zip(counts, sizes, (axes.set_yticks, axes.set_xticks), strict=True):
        numbers = np.arange(0, count, max(1, round(count / 12)))
        set_ticks((numbers + 0.46) * size - 0.5, [str(number + 1) for number in numbers])
    axes.xaxis.tick_top()
    axes.set(xlabel="head", ylabel="layer")
    axes.xaxis.set_label_position("top")
    corner = [place * size - 0.5 for place, size in zip(chosen, sizes, strict=True)]
    axes.add_patch(Rectangle(corner[::-1], 0.93 * sizes[1], 0.93 * sizes[0], fill=False, linewidth=2,
                             edgecolor=figures.COLOURS["brand"]))


def thinned(tokens, most=24):
    """Places and texts of so many labels that they can be read."""
    every = -(-len(tokens) // most)
    places = range(0, len(tokens), every)
    return list(places), [readable(tokens[place], 12) for place in places]


def draw_matrix(axes, values, queries, keys, top, numbers=False):
    """Queries as rows, keys as columns."""
    paint(axes, values, top)
    axes.set_yticks(*thinned(queries))
    places, texts = thinned(keys)
    axes.set_xticks(places, texts, rotation=0 if max(map(len, texts)) <= 5 and len(texts) <= 12 else 90)
    if values.size <= 900:
        axes.set_xticks(np.arange(0.5, len(keys) - 1), minor=True)
        axes.set_yticks(np.arange(0.5, len(queries) - 1), minor=True)
        axes.grid(visible=True, which="minor", color="white", linewidth=1)
    axes.set_axisbelow(False)
    axes.set_xlabel("keys", color=figures.COLOURS["key"])
    axes.set_ylabel("queries", color=figures.COLOURS["query"])
    if numbers and max(values.shape) <= 16:
        for (row, column), value in np.ndenumerate(values):
            if not np.isnan(value):
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8,
                          color=figures._text_on(figures.WEIGHTS, value / top))


def draw_lines(axes, values, queries, keys, top):
    """Two columns of words, a line for every weight that can be seen."""
    axes.grid(visible=False)
    left, right = (1 - (np.arange(len(side)) + 0.5) / len(side) for side in (queries, keys))
    shares = np.clip(np.nan_to_num(values) / top, 0, 1)
    seen = sorted(np.argwhere(shares > 0.03).tolist(), key=lambda cell: shares[tuple(cell)])
    axes.add_collection(LineCollection(
        [((0, left[row]), (1, right[column])) for row, column in seen],
        linewidths=[0.5 + 5 * shares[row, column] for row, column in seen],
        colors=[to_rgba(figures.COLOURS["query"], 0.1 + 0.9 * shares[row, column]) for row, column in seen],
        capstyle="round"))
    for place, text in zip(*thinned(queries), strict=True):
        axes.text(-0.02, left[place], text, ha="right", va="center", fontsize=9, color=figures.COLOURS["query"])
    for place, text in zip(*thinned(keys), strict=True):
        axes.text(1.02, right[place], text, ha="left", va="center", fontsize=9, color=figures.COLOURS["key"])
    axes.set(xlim=(-0.3, 1.3), ylim=(0, 1))
    axes.set_xticks([0, 1], ["queries", "keys"])
    axes.set_yticks([])
