"""`MaskBuilder`: paint who may attend to whom, or combine ready masks; weights before and after, the mask as code."""

import numpy as np
import traitlets
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from course_utils import figures
from course_utils.widgets.base import (
    CourseWidget,
    Tensor,
    as_numpy,
    check_choice,
    check_finite,
    clean,
    one_line,
    readable,
    softmax,
)

MOST_TOKENS = 24                           # more cells would be too small to hit
MOST_SEQUENCES = 16
DRAWS = 1000                               # of BigBird's random keys
MOST = {"window": MOST_TOKENS - 1, "n_global": MOST_TOKENS, "n_random": MOST_TOKENS, "draw": DRAWS - 1}
LONG = 4096                                # tokens: a text for which BigBird was made
EXAMPLE = ("The", "cat", "sat", "on", "the", "mat")
EXAMPLE_SCORES = (
    (0.6, 1.4, 0.2, -0.3, 0.5, 0.3),
    (1.1, 0.9, 1.6, 0.0, -0.5, 0.8),
    (-0.2, 2.1, 0.7, 1.2, 0.0, 1.5),
    (0.0, 0.4, 1.7, 0.5, -0.6, 1.9),
    (0.5, -0.3, 0.2, 0.8, 0.4, 1.8),
    (0.2, 1.0, 1.1, 1.6, 0.9, 0.6),
)
OWN = "own"                                # the reader's drawing, which no function computes
NONE = "none"                              # no second mask
COMBINE = ("and", "or")
FORMS = ("course", "torch")                # how the code is written: True = may attend, or nn.MultiheadAttention's way


# ---- ready masks -----------------------------------------------------------------------------------------------------
# Each takes queries (T_q, 1) and keys (1, T_k), counted from 0, and the settings {"real", "window", "n_global",
# "random_keys"}; it gives booleans that broadcast to (T_q, T_k), True = may attend. The browser has the same under the
# same names. A mask with another setting needs an entry here, one there, and its setting in `settings`.


def bigbird_fixed(query, key, settings):
    """BigBird without its random keys: neighbours on both sides; global tokens see all and are seen by all."""
    near = abs(query - key) <= settings["window"]
    return near | (query < settings["n_global"]) | (key < settings["n_global"])


def bigbird(query, key, settings):
    """Neighbours, global tokens, and the random keys of each query (Zaheer et al. 2020)."""
    drawn = np.array([np.isin(key[0], keys) for keys in settings["random_keys"]])            # (T, T)
    return bigbird_fixed(query, key, settings) | drawn


PRESETS = {
    "all": lambda query, key, settings: (query >= 0) & (key >= 0),
    "causal": lambda query, key, settings: key <= query,
    "padding": lambda query, key, settings: (query >= 0) & (key < settings["real"]),
    "window": lambda query, key, settings: abs(query - key) <= settings["window"],
    "cross": lambda query, key, settings: (query >= 0) & (key < settings["real"]),
    "bigbird": bigbird,
}
LABELS = {"all": "all", "causal": "causal", "padding": "padding", "window": "window", "cross": "cross",
          "bigbird": "BigBird", OWN: "own drawing"}
PADDED = ("padding", "cross")              # these differ between the sequences of a batch


def preset_mask(name, T_q, T_k, settings):
    """A ready mask, (T_q, T_k) booleans, True = may attend. settings: those that its entry reads."""
    query, key = np.arange(T_q)[:, None], np.arange(T_k)[None, :]
    return np.broadcast_to(PRESETS[name](query, key, settings), (T_q, T_k)).copy()


def mixed(numbers):
    """Whole numbers below 2³² stirred into others, one to one: shifts and products modulo 2³², as in MurmurHash3."""
    numbers = np.asarray(numbers, dtype=np.uint32)
    for factor in (0x85EBCA6B, 0xC2B2AE35):
        numbers = (numbers ^ (numbers >> np.uint32(16))) * np.uint32(factor)
    return numbers ^ (numbers >> np.uint32(16))


def draw_keys(T, settings):
    """BigBird's random keys: for each of T queries the n_random keys that come first among those not allowed yet.

    settings: {"window", "n_global", "n_random", "draw"}. A query that is left with fewer keys gets those. The order of
    a query's keys is that of stirred numbers, and not numpy's random numbers: the browser draws without a kernel, and
    both must draw the same. It depends on the draw alone, so a moved window or one key more keeps the others.
    """
    query, key = np.arange(T)[:, None], np.arange(T)[None, :]
    places = mixed((settings["draw"] * MOST_TOKENS + query) * MOST_TOKENS + key)              # (T, T), all different
    free = ~bigbird_fixed(query, key, settings)
    orders = [order[allowed[order]] for order, allowed in zip(np.argsort(places), free, strict=True)]
    return [sorted(order[:settings["n_random"]].tolist()) for order in orders]


def bigbird_cells(T, window, n_global, n_random):
    """How many of the T² pairs BigBird allows, counted query by query: no (T, T) mask is made."""
    query = np.arange(n_global, max(T, n_global))                                # those that are not global
    first, last = np.maximum(query - window, 0), np.minimum(query + window, T - 1)
    allowed = last - first + 1 + np.minimum(first, n_global)                     # neighbours, and global keys before
    return int(min(n_global, T) * T + np.minimum(allowed + n_random, T).sum())


def combined(first, second, combine):
    """Two masks as one: "and" allows what both allow, "or" what one of them allows. second: a mask or None."""
    if second is None:
        return first
    return first & second if combine == "and" else first | second


def weights_before_and_after(scores, mask):
    """Softmax over the keys without the mask and with it: two (T_q, T_k) arrays.

    Forbidden keys get exactly 0, and so does a whole row that may attend to nothing.
    """
    return softmax(scores), softmax(np.where(mask, scores, -np.inf))


# ---- the mask as code ------------------------------------------------------------------------------------------------


def literal(mask):
    """A mask written out, one line for each query."""
    rows = ",\n".join(f"    [{', '.join(str(bool(cell)) for cell in row)}]" for row in mask)
    return f"torch.tensor([\n{rows},\n])"


def ones(T_q, T_k):
    """The mask that allows everything, as code."""
    return f"torch.ones({T_q}, {T_k}, dtype=torch.bool)"


def causal_code(T_q, T_k, settings):
    """The function of chapter 05 where it fits, which is on a square."""
    return f"causal_mask({T_q})" if T_q == T_k else f"{ones(T_q, T_k)}.tril()"


def padding_code(T_q, T_k, settings):
    """The whole batch at once: (B, 1, 1, T_k)."""
    return f"padding_mask({settings['lengths']}, {T_k})"


def window_code(T_q, T_k, settings):
    """All pairs, cut off on both sides of the diagonal."""
    return f"{ones(T_q, T_k)}.triu({-settings['window']}).tril({settings['window']})"


def bigbird_code(T_q, T_k, settings):
    """The function of chapter 11, with the keys that were drawn."""
    keys = f", random_keys={settings['random_keys']}" if any(settings["random_keys"]) else ""
    return f"bigbird_mask({T_q}, window={settings['window']}, n_global={settings['n_global']}{keys})"


CODE = {
    "all": lambda T_q, T_k, settings: ones(T_q, T_k),
    "causal": causal_code,
    "padding": padding_code,
    "window": window_code,
    "cross": padding_code,
    "bigbird": bigbird_code,
}


def layer_code(name, drawing, settings):
    """One mask as code. A drawing that equals a ready mask is named like it."""
    T_q, T_k = drawing.shape
    if name == OWN:
        same = [ready for ready in ("all", "causal", "window")
                if np.array_equal(drawing, preset_mask(ready, T_q, T_k, settings))]
        if not same:
            return literal(drawing)
        name = same[0]
    if name in CODE:
        return CODE[name](T_q, T_k, settings)
    return literal(preset_mask(name, T_q, T_k, {**settings, "real": T_k}))


def parts_of(layers, combine, drawing, settings):
    """The masks that are needed, without repetition: dict from code to whether it is a padding mask."""
    codes = {layer_code(name, drawing, settings): name in PADDED for name in layers if name != NONE}
    everything = ones(*drawing.shape)
    if everything in codes and len(codes) > 1:      # "all" changes nothing in an AND, and an OR with it is "all"
        kept = [code for code in codes if (code == everything) == (combine == "or")]
        codes = {code: codes[code] for code in kept}
    return codes


def mask_code(layers, combine, drawing, settings, form="course"):
    """The mask of a batch as Python code, and its shape in words: (code, shape).

    layers: one or two names of `PRESETS`, "own" or "none". drawing: (T_q, T_k) booleans. settings: "lengths",
    the real keys of each sequence, and those that the presets read. form: "course" gives one expression, True = may
    attend, for `F.scaled_dot_product_attention` and the course's attention; "torch" gives the
    arguments of `nn.MultiheadAttention`, True = NOT allowed.
    """
    parts = parts_of(layers, combine, drawing, settings)
    size, batch = "{}, {}".format(*drawing.shape), len(settings["lengths"])
    padded = any(parts.values())
    if form == "course":
        shape = f"({size})"
        if padded:
            shape = f"({batch}, 1, {size})" if len(parts) > 1 else f"({batch}, 1, 1, {drawing.shape[1]})"
        return together(list(parts), combine), shape
    if padded and combine == "or" and len(parts) > 1:
        either = f"~({together(list(parts), combine)})"
        if batch == 1:
            return f"attn_mask = {either}[0, 0]", f"({size})"
        return f"attn_mask = {either}[:, 0].repeat_interleave(n_heads, 0)", f"({batch} · n_heads, {size})"
    return two_arguments(parts, combine, size, f"({batch}, {drawing.shape[1]})")


def together(codes, combine):
    """One or two masks as one expression."""
    if len(codes) == 1:
        return codes[0]
    return f"combine_masks({codes[0]}, {codes[1]})" if combine == "and" else f"{codes[0]} | {codes[1]}"


def two_arguments(parts, combine, size, padding_shape):
    """`nn.MultiheadAttention` takes padding apart. Both forbid, so what is left is an AND."""
    plain = [code for code, padded in parts.items() if not padded]
    padding = [code for code, padded in parts.items() if padded]
    lines, shapes = [], []
    if plain:
        joined = together(plain, combine)
        lines.append(f"attn_mask = ~({joined})" if " | " in joined else f"attn_mask = ~{joined}")
        shapes.append(f"({size})")
    if padding:
        lines.append(f"key_padding_mask = ~{padding[0]}[:, 0, 0]")
        shapes.append(padding_shape)
    return "\n".join(lines), " and ".join(shapes)


# ---- what may be shown -----------------------------------------------------------------------------------------------


def read_tokens(tokens, what):
    """A list of tokens, or a number of them, as a list of texts. Raises ValueError for none or too many."""
    if isinstance(tokens, (int, np.integer)) and not isinstance(tokens, bool):
        tokens = [str(number + 1) for number in range(max(0, min(int(tokens), MOST_TOKENS + 1)))]
    if isinstance(tokens, str) or not hasattr(tokens, "__iter__"):
        raise ValueError(f"{what}={tokens!r} is neither a list of tokens nor a number of them")
    tokens = list(tokens)
    if not all(isinstance(token, str) for token in tokens):
        raise ValueError(f"{what}: every token must be a text")
    if not 1 <= len(tokens) <= MOST_TOKENS:
        raise ValueError(f"{what}: the picture holds 1 to {MOST_TOKENS} tokens")
    return [clean(token) for token in tokens]


def read_mask(mask, T_q, T_k):
    """A mask as (T_q, T_k) booleans. Raises ValueError for another shape or for numbers that are no booleans."""
    mask = as_numpy(mask, "a mask", "booleans in rows of equal length")
    if mask.dtype != bool:
        raise ValueError(f"a mask is boolean, True = may attend; got {mask.dtype}")
    if mask.ndim > 2 and mask.shape[:-2] == (1,) * (mask.ndim - 2):       # (1, 1, T_q, T_k), as models take it
        mask = mask.reshape(mask.shape[-2:])
    if mask.ndim != 2 or mask.shape != (T_q, T_k):
        raise ValueError(f"mask of shape {mask.shape} does not fit {T_q} queries and {T_k} keys")
    return mask


def check_drawing(drawing, T_q, T_k):
    """Raise ValueError unless a drawing is (T_q, T_k) of 0 and 1."""
    if drawing.shape != (T_q, T_k):
        raise ValueError(f"drawing of shape {drawing.shape} does not fit {T_q} queries and {T_k} keys")
    if not np.isin(drawing, (0, 1)).all():
        raise ValueError("the drawing holds numbers other than 0 and 1")


def read_scores(scores, T_q, T_k):
    """Raw scores as a (T_q, T_k) array; None takes fixed ones. Raises ValueError for another shape, or no numbers."""
    if scores is None:
        return example_scores(T_q, T_k)
    scores = as_numpy(scores, "scores", "a matrix of numbers", np.float64)
    if scores.shape != (T_q, T_k):
        raise ValueError(f"scores of shape {scores.shape} do not fit {T_q} queries and {T_k} keys")
    check_finite(scores, what="There are scores that are")
    return scores


def example_scores(T_q, T_k):
    """Numbers to look at, always the same: from about −1 to 2, with one decimal."""
    if (T_q, T_k) == np.shape(EXAMPLE_SCORES):
        return np.array(EXAMPLE_SCORES)
    query, key = np.arange(T_q)[:, None], np.arange(T_k)[None, :]
    return np.round(0.5 + np.sin(1.7 * query + 2.3 * key) + 0.6 * np.cos(0.9 * query * key), 1)


def read_lengths(lengths, T_k):
    """Real keys of each sequence as a list. Raises ValueError for none, too many, or one that is not from 0 to T_k."""
    if lengths is None:
        return [max(1, T_k - 2)]
    if hasattr(lengths, "tolist"):
        lengths = lengths.tolist()
    lengths = [lengths] if isinstance(lengths, (int, np.integer)) else lengths
    if not isinstance(lengths, (list, tuple)) or not 1 <= len(lengths) <= MOST_SEQUENCES:
        raise ValueError(f"lengths={lengths!r} is neither a whole number nor a list of 1 to {MOST_SEQUENCES} of them")
    whole = all(isinstance(length, (int, np.integer)) and not isinstance(length, bool) for length in lengths)
    if not whole or not all(0 <= length <= T_k for length in lengths):
        raise ValueError(f"lengths={list(lengths)} must be whole numbers from 0 to {T_k}, the number of keys")
    return [int(length) for length in lengths]


def read_layers(preset, has_mask):
    """The two masks that `preset` names: a pair. Raises ValueError for a name that nobody knows."""
    layers = [preset] if isinstance(preset, str) else preset
    if not isinstance(layers, (list, tuple)) or not 1 <= len(layers) <= 2:
        raise ValueError(f"preset={preset!r} is neither a name nor a pair of names")
    for name in layers:
        if name not in (*PRESETS, OWN):
            raise ValueError(f"preset={name!r} is none of {', '.join((*PRESETS, OWN))}")
    if has_mask and OWN not in layers:
        layers = [OWN]                              # a mask that was given is what the reader wants to see
    return (*layers, NONE)[:2]


def offered(presets, layers, cross):
    """Names of the masks to choose from, in their order. Raises ValueError for unknown ones, and cross without keys."""
    if presets is None:
        presets = ["all", "causal", "window"]
        presets[2:2] = ["cross" if cross else "padding"]
    unknown = [name for name in presets if name not in (*PRESETS, OWN)]
    if isinstance(presets, str) or unknown:
        raise ValueError(f"presets={presets!r} must be a list of names out of {', '.join((*PRESETS, OWN))}")
    wanted = {*presets, *layers, OWN} - {NONE}
    if "cross" in wanted and not cross:
        raise ValueError("the preset 'cross' needs keys of its own: MaskBuilder(queries, keys)")
    if "bigbird" in wanted and cross:
        raise ValueError("the preset 'bigbird' is for tokens that look at each other: leave the keys out")
    return [name for name in (*PRESETS, OWN) if name in wanted]


class MaskBuilder(CourseWidget):
    """Paint who may attend to whom, or take ready masks and combine two; see −∞, softmax, and the mask as code.

    queries, keys: lists of tokens, or their number, up to 24; without keys the queries look at each other. scores:
    (T_q, T_k) numbers before the softmax, or None for fixed ones. lengths: how many keys are real, a whole number, or a
    list for the sequences of a batch. preset: "all", "causal", "padding", "window", "cross" (keys padded; needs keys),
    "bigbird" (without keys) or "own", or a pair of them. window: reach of "window" and "bigbird", 0 is the query alone.
    n_global, n_random: tokens at the start that "bigbird" lets see all and be seen by all, and random keys of each
    other query; draw: which ones, 0 to 999. combine: "and" or "or". presets: the names to choose from. mask: (T_q, T_k)
    booleans to start from, True = may attend.
    Raises ValueError where one of these makes no sense.

    `mask` is the mask on the screen, `code` and `shape` the code below it and the shape of its tensor; `random_keys`
    what was drawn for "bigbird".
    """

    script = "mask_builder.js"
    picture_depends_on = ("first", "second", "combine", "lengths", "sequence", "window", "n_global", "n_random", "draw",
                          "drawn")

    # Not `keys`: every ipywidget keeps the names of its traits there.
    query_tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
    key_tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
    cross = traitlets.Bool(False).tag(sync=True)
    scores = Tensor("float64")
    drawing = Tensor("uint8")
    offers = traitlets.List(traitlets.Unicode()).tag(sync=True)
    first = traitlets.Unicode().tag(sync=True)
    second = traitlets.Unicode(NONE).tag(sync=True)
    combine = traitlets.Unicode("and").tag(sync=True)
    lengths = traitlets.List(traitlets.Int()).tag(sync=True)
    sequence = traitlets.Int(0).tag(sync=True)
    window = traitlets.Int(1).tag(sync=True)
    n_global = traitlets.Int(1).tag(sync=True)
    n_random = traitlets.Int(1).tag(sync=True)
    draw = traitlets.Int(0).tag(sync=True)
    form = traitlets.Unicode("course").tag(sync=True)

    def __init__(self, queries=None, keys=None, scores=None, lengths=None, preset="causal", window=1, combine="and",
                 presets=None, mask=None, n_global=1, n_random=1, draw=0):
        default = EXAMPLE if mask is None or np.ndim(mask) < 2 else np.shape(mask)[-2]
        queries = read_tokens(default if queries is None else queries, "queries")
        cross = keys is not None
        keys = read_tokens(keys, "keys") if cross else list(queries)
        sizes = len(queries), len(keys)
        drawing = np.ones(sizes, dtype=bool) if mask is None else read_mask(mask, *sizes)
        first, second = read_layers(preset, mask is not None)
        check_choice("combine", combine, COMBINE)
        for name, value in {"window": window, "n_global": n_global, "n_random": n_random, "draw": draw}.items():
            check_count(name, value)
        super().__init__(
            query_tokens=queries, key_tokens=keys, cross=cross, scores=read_scores(scores, *sizes), drawing=drawing,
            offers=offered(presets, (first, second), cross), first=first, second=second, combine=combine,
            lengths=read_lengths(lengths, len(keys)), window=int(window),
            n_global=int(n_global), n_random=int(n_random), draw=int(draw),
        )

    @traitlets.validate("query_tokens", "key_tokens", "scores", "drawing")
    def _matches(self, proposal):
        """Tokens, scores and drawing must have sizes that belong together."""
        name, value = proposal["trait"].name, proposal["value"]
        try:
            if name.endswith("_tokens"):
                value = read_tokens(value, name)
            tokens = {"query_tokens": self.query_tokens, "key_tokens": self.key_tokens} | {name: value}
            sizes = len(tokens["query_tokens"]), len(tokens["key_tokens"])
            read_scores(value if name == "scores" else self.scores, *sizes)
            check_drawing(value if name == "drawing" else self.drawing, *sizes)
        except Exception as problem:             # only after a TraitError does traitlets put the last values back
            raise traitlets.TraitError(one_line(problem)) from None
        return value

    @traitlets.observe("lengths")
    def _keep_sequence(self, _):
        """With fewer sequences than before, the first is shown."""
        if self.sequence >= len(self.lengths):
            self.sequence = 0

    @traitlets.validate("offers", "first", "second", "combine", "form", "lengths", "sequence", *MOST)
    def _fits(self, proposal):
        """A setting that makes no sense is refused when it is made; the last good one stays."""
        name, value = proposal["trait"].name, proposal["value"]
        choices = {"first": self.offers, "second": [*self.offers, NONE], "combine": COMBINE, "form": FORMS,
                   "sequence": range(max(1, len(self.lengths)))}
        try:
            if name in choices:
                check_choice(name, value, choices[name])
            elif name == "offers":
                if unknown := {*value} - {*PRESETS, OWN} or {self.first, self.second} - {*value, NONE} or (
                        {"bigbird"} & {*value} if self.cross else ()):
                    raise ValueError(f"offers={value!r} do not fit {', '.join(sorted(unknown))}")
            elif name in MOST:
                check_count(name, value)
            else:
                read_lengths(value, len(self.key_tokens))
        except Exception as problem:
            raise traitlets.TraitError(one_line(problem)) from None
        return value

    @property
    def drawn(self):
        """The own drawing as (T_q, T_k) booleans, a list so that it can be compared."""
        return self.drawing.astype(bool).tolist()

    @property
    def layers(self):
        """The masks that are combined: one or two (T_q, T_k) boolean arrays by name, for the sequence on the screen."""
        settings = self._settings()
        names = [name for name in (self.first, self.second) if name != NONE]
        return [(name, self.drawing.astype(bool) if name == OWN
                 else preset_mask(name, len(self.query_tokens), len(self.key_tokens), settings)) for name in names]

    @property
    def mask(self):
        """The mask on the screen, (T_q, T_k) booleans, True = may attend."""
        masks = [mask for _, mask in self.layers]
        return combined(masks[0], masks[1] if len(masks) > 1 else None, self.combine)

    @property
    def code(self):
        """The mask of the whole batch as code, in the form that is chosen in the widget."""
        return self._code()[0]

    @property
    def shape(self):
        """The shape of what the code computes, as text."""
        return self._code()[1]

    @property
    def random_keys(self):
        """What was drawn for "bigbird": a list of keys for each query."""
        return self._settings()["random_keys"]

    def _settings(self):
        """What the presets and their code read."""
        settings = {name: getattr(self, name) for name in MOST}
        drawn = [] if self.cross else draw_keys(len(self.query_tokens), settings)
        return {**settings, "real": self.lengths[self.sequence], "lengths": self.lengths, "random_keys": drawn}

    def _code(self):
        return mask_code((self.first, self.second), self.combine, self.drawing.astype(bool), self._settings(),
                         self.form)

    def _name(self):
        """The masks in words: causal ∧ padding."""
        sign = " ∧ " if self.combine == "and" else " ∨ "
        return sign.join(LABELS[name] for name, _ in self.layers)

    def summary(self):
        return (f"MaskBuilder({self._name()}, queries={len(self.query_tokens)}, keys={len(self.key_tokens)}, "
                f"allowed={int(self.mask.sum())})")

    def figure(self):
        mask = self.mask
        before, after = weights_before_and_after(self.scores, mask)
        queries, keys = ([readable(token, 8) for token in tokens] for tokens in (self.query_tokens, self.key_tokens))
        figure, axes = figures.new_figure(width=11.0, height=2.2 + 0.2 * min(len(queries), 14), columns=4)
        draw_mask(axes[0], mask, queries, keys)
        if "bigbird" in (self.first, self.second):
            mark_random(axes[0], mask, self.random_keys)
        panels = (("scores, −∞ where masked", self.scores, mask, True),
                  ("weights without a mask", before, None, False), ("weights with the mask", after, mask, False))
        for axis, (title, values, allowed, signed) in zip(axes[1:], panels, strict=True):
            draw_numbers(axis, title, values, allowed, signed)
        for axis in axes:                                    # small enough that neighbours do not touch
            axis.set_title(axis.get_title(loc="left"), loc="left", fontsize=9, fontweight="normal")
        title = finding(self._name(), mask)
        if (self.first, self.second) == ("bigbird", NONE):
            cells = bigbird_cells(LONG, self.window, self.n_global, self.n_random)
            title += f"; with T = {LONG:,} it would be {100 * (1 - cells / LONG**2):.1f} %"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        return figure


def check_count(name, value):
    """Raise ValueError unless a setting is a whole number from 0 to the most it may be."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value <= MOST[name]:
        raise ValueError(f"{name}={value!r} must be a whole number from 0 to {MOST[name]}")


def finding(name, mask):
    """The picture's title: how much is masked, and which queries have nothing left."""
    empty = int((~mask.any(axis=1)).sum())
    rows = "" if not empty else f"; {empty} {'query has' if empty == 1 else 'queries have'} nothing to attend to"
    return f"{name}: {int((~mask).sum())} of {mask.size} pairs of query and key are masked{rows}"


def draw_mask(axes, mask, queries, keys):
    """The mask itself: blue where a query may attend, hatched where it may not. mask: (T_q, T_k)."""
    draw_cells(axes, np.broadcast_to(to_rgba("#8db8dc"), (*mask.shape, 4)), mask)
    axes.set(xlim=(0, mask.shape[1]), ylim=(mask.shape[0], 0), title="mask: blue = may attend", aspect="equal")
    axes.set_yticks(np.arange(len(queries)) + 0.5, queries, color=figures.COLOURS["query"], fontsize=8)
    axes.set_xticks(np.arange(len(keys)) + 0.5, keys, color=figures.COLOURS["key"], fontsize=8,
                    rotation=60 if max(map(len, keys)) > 2 else 0)
    axes.grid(visible=False)


def mark_random(axes, mask, random_keys):
    """A dot in each cell that is allowed and was drawn at random. mask: (T, T)."""
    cells = np.array([(key + 0.5, query + 0.5) for query, keys in enumerate(random_keys) for key in keys
                      if mask[query, key]]).reshape(-1, 2)
    axes.plot(*cells.T, linestyle="none", marker="o", markersize=2.5, color=figures.COLOURS["ink"])
    axes.set_title("mask: blue = may, dot = random")


def draw_numbers(axes, title, values, allowed, signed):
    """Scores or weights as colours, hatched where the mask forbids. values: (T_q, T_k); allowed: the same, or None."""
    largest = np.abs(values).max() or 1.0
    ramp = figures.SIGNED if signed else figures.WEIGHTS
    colours = ramp((values / largest + 1) / 2 if signed else values)        # (T_q, T_k) -> (T_q, T_k, 4)
    draw_cells(axes, colours, np.ones(values.shape, bool) if allowed is None else allowed)
    axes.set(xlim=(0, values.shape[1]), ylim=(values.shape[0], 0), title=title, aspect="equal", xticks=[], yticks=[])
    axes.grid(visible=False)


def draw_cells(axes, colours, shown):
    """Cells in their colours (T_q, T_k, 4); those that are not shown (T_q, T_k) are masked, and hatched.

    Drawn as two collections: one patch after another takes seconds for 24 × 24 cells.
    """
    hatched = {"facecolor": "white", "edgecolor": figures.COLOURS["mask"], "hatch": "/////"}
    for places, style in ((shown, {"facecolor": colours[shown], "edgecolor": "white"}), (~shown, hatched)):
        cells = [Rectangle((column, row), 1, 1) for row, column in np.argwhere(places)]
        axes.add_collection(PatchCollection(cells, linewidth=0.8, **style))
