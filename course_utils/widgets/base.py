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


def pack(array, dtype="float32"):
    """An array as the browser takes it: {"shape", "dtype", "data": bytes}. Torch tensors are taken from their device.

    dtype: float32, float64, uint8 or int32. Raises ValueError for another one.
    """
    if dtype not in ("float32", "float64", "uint8", "int32"):
        raise ValueError(f"dtype={dtype!r} cannot be sent to the browser")
    if hasattr(array, "detach"):
        array = array.detach().cpu().numpy()
    array = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
    return {"shape": list(array.shape), "dtype": dtype, "data": array.tobytes()}


def unpack(packed):
    """The array that `pack` turned into bytes."""
    flat = np.frombuffer(packed["data"], dtype=np.dtype(packed["dtype"]).newbyteorder("<"))
    return flat.reshape(packed["shape"]).copy()


class Tensor(traitlets.TraitType):
    """A trait that holds a numpy array and travels to the browser as bytes. Assign a whole new array to change it."""

    def __init__(self, dtype="float32", **kwargs):
        super().__init__(np.zeros(0, dtype), **kwargs)
        self.dtype = dtype
        self.tag(sync=True, to_json=lambda array, _: pack(array, dtype), from_json=lambda packed, _: unpack(packed))

    def validate(self, owner, value):
        """Turn lists and torch tensors into an array of the trait's dtype."""
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        return np.array(value, dtype=self.dtype)


def readable(text, most=200):
    """Text for a figure: spaces at a glance (␣, ↵), control characters as dots, no formulae, not endless.

    A pair of $ would make matplotlib read a formula, and fail on a wrong one.
    """
    names = {"\n": "↵", "\t": "⇥"}
    shown = "␣" if text == " " else text[:most] + ("…" if len(text) > most else "")
    shown = "".join(names.get(character, character if character.isprintable() else "·") for character in shown)
    return shown.replace("$", r"\$")


def one_line(error):
    """What to tell the reader about an exception: its first line, with the kind of error unless it is a ValueError."""
    text = " ".join(str(error).split("\n", 1)[0].split())
    if isinstance(error, ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


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
        except Exception as error:
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
