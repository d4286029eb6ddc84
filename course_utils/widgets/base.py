"""What every widget of the course shares: one module of JavaScript, one style, tensors as bytes, three faces.

A new widget is a class here and a `.js` file in `static/`: name the file in `script`, declare traits with
`.tag(sync=True)`, write `summary()` and `figure()`. If the kernel has to compute something, write `respond()`.
"""

import warnings
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from course_utils import figures

STATIC = Path(__file__).parent / "static"
CORE_SCRIPT = (STATIC / "core.js").read_text(encoding="utf-8")
CORE_STYLE = (STATIC / "core.css").read_text(encoding="utf-8")


DTYPES = ("float32", "float64", "uint8", "int32")      # what the browser can read
LONGEST_LINE = 300                                     # characters of a message
LARGEST_FLOAT = float(np.finfo(np.float32).max)       # numbers travel to the browser as float32


def as_numpy(values, what, form="an array of numbers", dtype=None):
    """A copy of numbers of any kind as an array of that dtype; None keeps their own.

    Torch tensors are taken from their device; sparse ones become dense, and bfloat16, which numpy lacks, float32.
    Raises ValueError, "`what` must be `form`", where that does not work.
    """
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu().to_dense()
            values = (values.float() if "bfloat16" in str(values.dtype) else values).numpy()
        return np.array(values, dtype=dtype)
    except Exception:                                  # each kind of array fails in its own way
        raise ValueError(f"{what} must be {form}") from None


def clean(text):
    """Text that can travel: half of a surrogate pair cannot, and takes the whole message with it."""
    return str(text).encode("utf-8", "replace").decode("utf-8")


def cleaned(value):
    """A value as it came from JSON, with every text in it clean."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {cleaned(key): cleaned(part) for key, part in value.items()}
    return [cleaned(part) for part in value] if isinstance(value, list) else value


def pack(array, dtype="float32"):
    """An array as the browser takes it: {"shape", "dtype", "data": bytes}. Torch tensors are taken from their device.

    dtype: float32, float64, uint8 or int32. Raises ValueError for another one.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r} cannot be sent to the browser")
    array = np.ascontiguousarray(as_numpy(array, "the array"), dtype=np.dtype(dtype).newbyteorder("<"))
    return {"shape": list(array.shape), "dtype": dtype, "data": array.tobytes()}


def unpack(packed):
    """The array that `pack` turned into bytes. Raises ValueError for anything else."""
    try:
        if packed["dtype"] not in DTYPES:
            raise ValueError("unknown dtype")
        flat = np.frombuffer(packed["data"], dtype=np.dtype(packed["dtype"]).newbyteorder("<"))
        return flat.reshape(packed["shape"]).copy()
    except (KeyError, TypeError, ValueError, OverflowError, BufferError):
        raise ValueError("a packed array has a shape, a known dtype and as many bytes as they need") from None


class Tensor(traitlets.TraitType):
    """A trait that holds a numpy array and travels to the browser as bytes. Assign a whole new array to change it."""

    def __init__(self, dtype="float32", **kwargs):
        super().__init__(np.zeros(0, dtype), **kwargs)
        self.dtype = dtype
        self.tag(sync=True, to_json=lambda array, _: pack(array, dtype), from_json=lambda packed, _: unpack(packed))

    def validate(self, owner, value):
        """Turn lists and torch tensors into an array of the trait's dtype. Whole numbers are not rounded or wrapped."""
        try:
            given = as_numpy(value, self.name)
            with np.errstate(invalid="ignore"):            # NaN as a whole number is told below
                array = as_numpy(given, self.name, dtype=self.dtype)
            if np.issubdtype(array.dtype, np.integer) and not np.array_equal(array, given):
                raise ValueError(f"{self.name} must hold whole numbers that fit {self.dtype}")
        except ValueError as problem:                      # only after a TraitError are other settings put back
            raise traitlets.TraitError(str(problem)) from None
        return array


def readable(text, most=200):
    """Text for a figure: spaces at a glance (␣, ↵), control characters as dots, no formulae, not endless.

    A pair of $ would make matplotlib read a formula, and fail on a wrong one.
    """
    names = {"\n": "↵", "\t": "⇥"}
    shown = "␣" if text == " " else text[:most] + ("…" if len(text) > most else "")
    shown = "".join(names.get(character, character if character.isprintable() else "·") for character in shown)
    return shown.replace("$", r"\$")


def one_line(error):
    """What to tell the reader about an exception: its first line that says something, at most 300 characters.

    The kind of error stands in front, unless it is a ValueError or a TraitError, whose text is enough.
    """
    try:
        text = clean(error)
    except Exception:                                  # an exception may fail to tell what it is
        text = ""
    text = " ".join(next((line for line in text.split("\n") if line.strip()), "").split())
    if not text:
        return type(error).__name__
    line = text if isinstance(error, (ValueError, traitlets.TraitError)) else f"{type(error).__name__}: {text}"
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"


def check_finite(*arrays, what):
    """Raise ValueError where a number is NaN, infinite or too large for the browser."""
    if not all(np.abs(array).max() <= LARGEST_FLOAT for array in arrays):              # a comparison with NaN is False
        raise ValueError(f"{what} NaN or infinite, so there is nothing to draw. Did the training diverge?")


def check_choice(name, value, choices):
    """Raise ValueError unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is none of {', '.join(map(repr, choices))}")


def softmax(scores):
    """Over the last axis of an array; a row of −∞ gives zeros, not the NaN of 0/0."""
    largest = scores.max(axis=-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isfinite(largest), largest, 0.0))       # no power overflows
    sums = powers.sum(axis=-1, keepdims=True)
    return powers / np.where(sums == 0, 1.0, sums)


def no_boolean(name, trait, value):
    """Raise ValueError for a boolean where a number must be: True == 1, so that traitlets takes it."""
    values = value if isinstance(trait, traitlets.List) and isinstance(value, list) else [value]
    trait = trait._trait if isinstance(trait, traitlets.List) else trait
    if isinstance(trait, (traitlets.Int, traitlets.Float)) and any(isinstance(one, bool) for one in values):
        raise ValueError(f"{name}={value!r} must be a number")


class CourseWidget(anywidget.AnyWidget):
    """Base of the course's widgets.

    A subclass sets `script`, the name of its file in `static/`, and writes `summary()` and `figure()`. The same output
    has three faces: the live widget, a PNG for pages without one, and a line of text that is the same on every run.

    The browser asks by setting `request` ({"id", ...}); `respond(**question)` computes, and its result goes out as
    `answer` under the same id. An exception becomes one line in `problem`, and the last answer stays.
    """

    script = None
    picture_depends_on = ()           # names of the traits that change the PNG

    request = traitlets.Dict().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)
    problem = traitlets.Dict().tag(sync=True)

    def __init_subclass__(cls, **kwargs):
        if "script" in cls.__dict__:      # not again in the class that anywidget derives for every instance
            # Relative imports fail in a widget's module, so each carries the shared part in front of its own.
            cls._esm = CORE_SCRIPT + "\n" + (STATIC / cls.script).read_text(encoding="utf-8")
            cls._css = CORE_STYLE
        super().__init_subclass__(**kwargs)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._pictures = {}
        self.observe(self._serve, "request")

    def set_state(self, sync_data):
        """Take what the browser sent. What makes no sense is refused in one line, in `problem`, and nothing changes.

        The browser then gets the present values back, so that both sides agree.
        """
        names = [name for name in sync_data if name in self.keys]
        try:
            sync_data = cleaned(sync_data)
            for name in names:           # first, because a value that cannot be read would stop half-way
                no_boolean(name, self.traits()[name], sync_data[name])
                self.trait_metadata(name, "from_json", self._trait_from_json)(sync_data[name], self)
            super().set_state(sync_data)
        except Exception as error:
            self.problem = {"id": 0, "message": one_line(error)}
            self.send_state(key=names)

    def respond(self, **question):
        """Compute what the browser asked for. Returns a dict of JSON values and packed arrays."""
        raise NotImplementedError(f"{type(self).__name__} answers no questions")

    def figure(self):
        """The widget's present state as a matplotlib Figure."""
        raise NotImplementedError

    def summary(self):
        """One line that names the widget and its sizes, the same on every run."""
        raise NotImplementedError

    def _serve(self, change):
        # A traceback from a callback would be lost, or land in a cell that is not on the screen.
        question = dict(change["new"])
        number = question.pop("id", 0)
        try:
            self.answer = {**self.respond(**question), "id": number}
        except (Exception, SystemExit) as error:       # exit() in a reader's function must not end the kernel
            self.problem = {"id": number, "message": one_line(error)}

    def picture(self):
        """PNG bytes of `figure()`, drawn once for each state."""
        key = repr([getattr(self, name) for name in self.picture_depends_on])
        if key not in self._pictures:
            with warnings.catch_warnings():
                # A reader's text may hold what no font has; a box in the PNG is answer enough.
                warnings.filterwarnings("ignore", category=UserWarning, message="Glyph|constrained_layout")
                self._pictures = {key: figures.png(self.figure())}
        return self._pictures[key]

    def __repr__(self):
        return self.summary()

    def _repr_mimebundle_(self, **kwargs):
        data, metadata = super()._repr_mimebundle_(**kwargs)
        return {**data, "image/png": self.picture(), "text/plain": self.summary()}, metadata
