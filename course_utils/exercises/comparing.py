"""Compare what came back with what should have come back, and say where they differ first.

Values decide, not containers: a Python list, a numpy array or another dtype passes where the numbers are right.
"""

import decimal
import math
import numbers
import re
from dataclasses import dataclass, replace

import numpy as np
import torch

NEAR = 100      # within this many tolerances a difference smells of rounding, not of a wrong formula
DEEPEST = 8     # nesting of lists that is still looked into


@dataclass(frozen=True)
class Tolerance:
    """Numbers agree where |actual - expected| <= atol + rtol * |expected|."""

    rtol: float = 1e-4
    atol: float = 1e-5


EXACT = Tolerance(0.0, 0.0)


class WrongValue(str):
    """A difference between values of one kind and shape; any other difference is a plain str."""


@dataclass(frozen=True)
class Opaque:
    """Stands for a returned thing that holds no numbers, so that no code of its own runs when it is compared.

    text: what it is, such as "a set"; function: True for what looks like a call without its parentheses.
    """

    text: str
    function: bool = False


@dataclass(frozen=True)
class Part:
    """Name and axis letters of one returned thing, read from text such as "targets (N, window)"."""

    name: str = ""
    axes: tuple = ()

    @classmethod
    def read(cls, text):
        match = re.fullmatch(r"\s*([^()]*?)\s*(?:\(([^()]*)\))?\s*", text)
        axes = tuple(axis.strip() for axis in (match[2] or "").split(",") if axis.strip())
        return cls(match[1], axes)

    def shape(self, sizes):
        """"(B=2, T=5)" where there is a letter for every axis, else "(2, 5)"."""
        if len(self.axes) != len(sizes):
            return shape_text(sizes)
        named = ", ".join(f"{axis}={size}" for axis, size in zip(self.axes, sizes, strict=True))
        return f"({named},)" if len(sizes) == 1 else f"({named})"


def difference(expected, actual, tolerance=None, parts=(), name=""):
    """The first difference as sentences for the reader, or None where `actual` is right.

    expected: tensor, number, bool, str, or a list, tuple or dict of those; actual: anything.
    parts: a Part for the expected value, or one for each of its items; name: what the value is called.
    """
    tolerance = tolerance or Tolerance()
    if isinstance(expected, list | tuple):
        return _sequence_difference(expected, actual, tolerance, parts, name)
    part = parts[0] if len(parts) == 1 else Part()
    name = name or part.name
    if isinstance(expected, dict):
        return _dict_difference(expected, actual, tolerance, name)
    unusable = _unusable(actual, name)
    if unusable:
        return unusable
    if isinstance(expected, torch.Tensor | np.ndarray):
        return _tensor_difference(as_tensor(expected), actual, tolerance, part, name)
    if isinstance(expected, numbers.Number | np.generic):
        return _number_difference(expected, actual, tolerance, name)
    if type(expected) is not type(actual):
        return _sentence(name, f"expected {short(expected)}, got {short(actual)}.")
    if expected == actual:
        return None
    return WrongValue(_sentence(name, f"expected {short(expected)}, got {short(actual)}."))


def same(one, other, tolerance=None):
    """True where both values are alike within the tolerance."""
    return difference(one, other, tolerance) is None


def _sequence_difference(expected, actual, tolerance, parts, name):
    name = name or (parts[0].name if len(parts) == 1 else "")
    items = _items(actual)
    if items is None:
        return _unusable(actual, name) or _sentence(name, f"expected {_several(expected, parts)}, got {short(actual)}.")
    if len(items) != len(expected) or not _rows_fit(expected, actual):
        got = short(actual).replace("a ", "one ", 1) if isinstance(actual, torch.Tensor | np.ndarray) else short(actual)
        return _sentence(name, f"expected {_several(expected, parts)}, got {got}.")
    for position, (wanted, got) in enumerate(zip(expected, items, strict=True)):
        part = parts[position] if len(parts) == len(expected) > 1 else Part()
        item_name = part.name or (f"{name}[{position}]" if name else f"item {position}")
        found = difference(wanted, got, tolerance, (part,), item_name)
        if found:
            return found
    return None


def _dict_difference(expected, actual, tolerance, name):
    if not isinstance(actual, dict):
        return _unusable(actual, name) or _sentence(name, f"expected a dict, got {short(actual)}.")
    if set(expected) != set(actual):
        wanted, got = (", ".join(short(key) for key in sorted(keys, key=str)) for keys in (expected, actual))
        return _sentence(name, f"expected the keys {wanted}, got {got or 'none'}.")
    for key, wanted in expected.items():
        item_name = f"{name}[{short(key)}]" if name else f"item {short(key)}"
        found = difference(wanted, actual[key], tolerance, (), item_name)
        if found:
            return found
    return None


def _tensor_difference(expected, actual, tolerance, part, name):
    got = as_tensor(actual)
    if got is None:
        return _sentence(name, f"expected a tensor of shape {part.shape(expected.shape)}, got {short(actual)}.")
    if got.shape != expected.shape:
        reordered = sorted(got.shape) == sorted(expected.shape) and len(set(expected.shape)) == expected.ndim
        hint = " These are the right axes in another order." if reordered else ""
        shape = short(actual) if _holds_tensors(actual) else shape_text(got.shape)
        return _sentence(name, f"expected shape {part.shape(expected.shape)}, got {shape}.{hint}")
    if got.is_complex():
        return _sentence(name, "expected real numbers, got complex ones.")
    if not expected.is_floating_point():
        tolerance = replace(tolerance, rtol=0.0)  # ids and counts are exact, however large they are
    found = _values_difference(expected.double(), got.double(), tolerance, part, name)
    return WrongValue(found + _whole_numbers_only(expected, got, actual)) if found else None


def _whole_numbers_only(expected, got, actual):
    """A sentence where fractions are expected and the type of what came can hold none, else ""."""
    if got.is_floating_point() or got.dtype is torch.bool or not expected.is_floating_point() \
            or not expected[expected.isfinite()].frac().any():
        return ""
    kind = "array" if isinstance(actual, np.ndarray) else "tensor"
    return f" Your {kind} is {str(got.dtype).removeprefix('torch.')}: it holds whole numbers and cannot hold fractions."


def _values_difference(expected, actual, tolerance, part, name):
    """The first differing number of two float64 tensors of one shape."""
    equal = (actual == expected) | (actual.isnan() & expected.isnan())
    distance = (actual - expected).abs().masked_fill(equal, 0.0)   # two equal infinities: 0, not NaN
    allowed = tolerance.atol + tolerance.rtol * expected.abs()
    alike = equal | (expected.isfinite() & (distance <= allowed))  # of an infinity any number is within rtol
    if alike.all():
        return None
    index = tuple((~alike).nonzero()[0].tolist())
    letters = f" of ({', '.join(part.axes)})" if len(part.axes) == expected.ndim else ""
    place = f"the first difference is at index {list(index)}{letters}: " if index else ""
    values = f"expected {number_text(expected[index].item())}, got {number_text(actual[index].item())}."
    return WrongValue(_sentence(name, place + values) + _extent(expected, actual, alike, distance, allowed))


def _extent(expected, actual, alike, distance, allowed):
    """How widely and how far two tensors differ: NaN and infinities, near misses, else the largest difference."""
    text = ""
    if expected.numel() > 1:
        text += f" {int((~alike).sum())} of {expected.numel()} numbers differ."
        text += _count("NaN", actual.isnan() & ~expected.isnan())
        text += _count("infinite", actual.isinf() & ~expected.isinf())
    finite = distance.isfinite()
    if not finite.any():
        return text
    largest = number_text(distance[finite].max().item())
    if finite.all() and (distance <= NEAR * allowed).all():
        return f"{text} The largest difference is only {largest}: a rounding, a float of fewer bits or a small extra " \
               "constant is the likely cause."
    if expected.numel() > 1:
        text += f" The largest {'' if finite.all() else 'finite '}difference is {largest}."
    return text


def _count(kind, found):
    count = int(found.sum())
    return f" {count} of your numbers {'is' if count == 1 else 'are'} {kind}." if count else ""


def _number_difference(expected, actual, tolerance, name):
    got = _as_number(actual)
    if got is None:
        kind = "True or False" if isinstance(expected, bool) else "one number"
        return _sentence(name, f"expected {kind}, got {short(actual)}.")
    if _numbers_agree(expected, got, tolerance):
        return None
    return WrongValue(_sentence(name, f"expected {number_text(expected)}, got {number_text(got)}."))


def _numbers_agree(expected, got, tolerance):
    if got == expected:
        return True
    if isinstance(expected, int) and isinstance(got, int):  # counts are exact; True and False are integers too
        return False
    try:
        if not math.isfinite(expected):
            return math.isnan(expected) and math.isnan(got)
        rtol = 0.0 if isinstance(expected, int) else tolerance.rtol  # a count that was computed in floats
        return abs(got - expected) <= tolerance.atol + rtol * abs(expected)
    except OverflowError:  # an integer too long for a float
        return False


# --- reading what the reader returned -------------------------------------------------------------------------------

def plain(value, depth=0):
    """`value` in Python's, numpy's and torch's own types, and an Opaque where it is nothing that can be compared.

    So an object that calls itself equal to everything is read as what it holds. Reading may run the reader's code.
    """
    kind = type(value)  # and not isinstance: that asks the value itself, which may not tell the truth
    if value is None or value is ... or kind is bool or kind is Opaque:
        return value
    if issubclass(kind, torch.Tensor):
        return _plain_tensor(value)
    if issubclass(kind, np.ndarray):
        return _plain_array(np.ndarray.view(value, np.ndarray))
    for base, read in ((int, int.__int__), (float, float.__float__), (str, str.__str__)):
        if issubclass(kind, base):
            return read(value)
    if issubclass(kind, np.generic):
        array = _plain_array(np.array(value))
        return array if isinstance(array, Opaque) else array.item()
    if issubclass(kind, list | tuple | dict):
        return _plain_items(value, depth)
    if not callable(value) and isinstance(value, numbers.Real | decimal.Decimal):
        return float(value)
    return Opaque(short(value), callable(value))


def _plain_items(value, depth):
    if depth > DEEPEST:
        return Opaque("a list in a list, again and again")
    if isinstance(value, dict):
        keys = (key if type(key) in (str, int, float, bool) else short(key) for key in dict.__iter__(value))
        return {key: plain(item, depth + 1) for key, item in zip(keys, dict.values(value), strict=True)}
    base = list if isinstance(value, list) else tuple
    return base(plain(item, depth + 1) for item in base.__iter__(value))


def _plain_tensor(value):
    """A tensor of class torch.Tensor on the CPU, dense and without a gradient."""
    try:
        with torch._C.DisableTorchFunctionSubclass():  # what a subclass makes of torch's functions does not count
            value = torch.Tensor.detach(value)
            if value.is_nested:
                return Opaque("a nested tensor, whose rows may differ in length")
            if value.is_meta:
                return Opaque(f"a tensor {shape_text(value.shape)} without numbers, on the device meta")
            value = value.dequantize() if value.is_quantized else value
            value = (value if value.layout is torch.strided else value.to_dense()).cpu()
            return torch.Tensor.as_subclass(value, torch.Tensor)
    except (RuntimeError, TypeError):  # NotImplementedError is among them
        return Opaque("a tensor whose numbers cannot be read")


def _plain_array(value):
    if value.dtype.kind not in "biufc":
        return Opaque(f"{short(value)} that holds no numbers")
    widest = {"f": np.float64, "c": np.complex128}.get(value.dtype.kind)  # torch knows no wider ones
    if widest and value.itemsize > np.dtype(widest).itemsize:
        return value.astype(widest)
    return value.astype(value.dtype.newbyteorder("="), copy=False)

def as_tensor(value):
    """`value` as a detached CPU tensor, or None where it cannot be read as numbers."""
    try:
        if isinstance(value, torch.Tensor):
            return value.detach().cpu().to_dense() if value.layout is not torch.strided else value.detach().cpu()
        if isinstance(value, np.ndarray | np.generic):
            return torch.from_numpy(np.array(value)) if value.dtype.kind in "biufc" else None
        if isinstance(value, numbers.Number):
            return torch.tensor(value, dtype=None if isinstance(value, bool) else torch.float64)
        if isinstance(value, list | tuple) and value:
            return _stacked(value)
    except (RuntimeError, TypeError, ValueError, OverflowError, NotImplementedError, RecursionError):
        return None  # ragged lists, tensors without data, complex Python numbers, integers too long for a float
    return None


def _stacked(values):
    """A list of numbers or tensors as one tensor, or None."""
    if all(isinstance(value, int | float) for value in values):
        return torch.tensor(values, dtype=torch.float64)
    items = []
    for value in values:
        item = as_tensor(value)
        if item is None:
            return None
        items.append(item.double())
    return torch.stack(items)


def _as_number(value):
    """`value` as a Python number, or None. Tensors and arrays count where they have no axes."""
    if isinstance(value, np.generic) or (isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 0):
        value = value.item()
    return value if isinstance(value, numbers.Real) else None


def _items(value):
    """The things in `value` where several are expected: the items of a list, the rows of a tensor."""
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim:
        return list(value)
    return None


def _rows_fit(expected, actual):
    """False for a tensor whose rows cannot be the things expected, as they have another number of axes."""
    if not isinstance(actual, torch.Tensor | np.ndarray):
        return True
    return all(wanted.ndim == actual.ndim - 1 for wanted in map(as_tensor, expected) if wanted is not None)


def _holds_tensors(value):
    return isinstance(value, list | tuple) and any(isinstance(item, torch.Tensor | np.ndarray) for item in value)


def _unusable(value, name):
    """A sentence for what is no value at all: None, the placeholder, a function not called. Else None."""
    if value is None:
        return _sentence(name, "got None. A function gives back only what stands after its return.")
    if value is ...:
        return _sentence(name, "got `...`: the placeholder is still there.")
    if isinstance(value, type) or callable(value) or (isinstance(value, Opaque) and value.function):
        return _sentence(name, f"got {short(value)}, not its result. Are the parentheses of a call missing?")
    return None


# --- words ----------------------------------------------------------------------------------------------------------

def _sentence(name, text):
    """`text` as a sentence about the part called `name`, or about everything where there is no name."""
    return f"In {name}: {text}" if name else text[0].upper() + text[1:]


def _several(expected, parts):
    """What was expected, in words; a short list of plain values itself, so that the difference can be seen."""
    plain = all(type(item) in (int, float, str) for item in expected)
    if plain and 0 < len(expected) <= 8 and not any(part.name for part in parts[1:]):
        return short(expected)
    names = [part.name for part in parts if part.name]
    kind = f" ({', '.join(names)})" if len(names) == len(expected) > 0 else ""
    return f"{len(expected)} thing{'s' if len(expected) != 1 else ''}{kind}"


def shape_text(sizes):
    """"(2, 4)", "(3,)" or "()" for a torch.Size."""
    return str(tuple(sizes))


def number_text(value):
    """A number for a sentence: integers whole, floats with 5 digits, NaN and infinity in words."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**15 else "an integer with more than 15 digits"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "infinity" if value > 0 else "minus infinity"
    return f"{value:.5g}"


def short(value, depth=0):
    """A safe, short description of anything: sizes of tensors, quoted text, else the type.

    A reader's own `__repr__` is never called: it may fail, hang, or fill the page.
    """
    if isinstance(value, torch.Tensor):
        return f"a tensor {shape_text(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a numpy array {shape_text(value.shape)}"
    if value is None or value is ... or type(value) in (bool, bytes):
        return repr(value)[:60]
    if isinstance(value, Opaque):
        return value.text
    if isinstance(value, numbers.Real) and type(value).__module__ in ("builtins", "numpy"):
        return number_text(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list | tuple):
        return _short_list(value, depth)
    if isinstance(value, dict):
        return f"a dict with {len(value)} key{'s' if len(value) != 1 else ''}"
    if isinstance(value, type):
        return f"the class {quoted(value.__name__)}"
    kind = type(value).__name__
    return f"{'an' if kind[:1] in 'aeiouAEIO' else 'a'} {quoted(kind, '')}"


def _short_list(value, depth):
    kind = "list" if isinstance(value, list) else "tuple"
    if value and all(isinstance(item, torch.Tensor) for item in value):
        each = f", each {shape_text(value[0].shape)}" if len({item.shape for item in value}) == 1 else ""
        one = f"a {kind} with one tensor {shape_text(value[0].shape)}"
        return one if len(value) == 1 else f"a {kind} of {len(value)} tensors{each}"
    plain = all(isinstance(item, str | bytes | int | float | bool) for item in value)
    if plain and len(value) <= 8 and depth < DEEPEST:
        inner = ", ".join(short(item, depth + 1) for item in value)
        return f"[{inner}]" if kind == "list" else f"({inner}{',' if len(value) == 1 else ''})"
    of = f" of {type(value[0]).__name__}s" if len({type(item) for item in value}) == 1 else ""
    return f"a {kind} of length {len(value)}{of if re.fullmatch(r' of [A-Za-z_0-9]+', of) else ''}"


def quoted(text, quote="'", longest=60):
    """Text from a reader's program made safe for one line: escaped as in Python, cut at `longest` characters."""
    cut = text if len(text) <= longest else text[:longest] + "…"
    escaped = "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in cut)
    return f"{quote}{escaped}{quote}"
