"""Real English without a download: the docstrings of the Python standard library on the reader's own machine.

About 1.7 MB. The text belongs to the installed Python (PSF licence) and is read there; none of it is part of the
course. Different Pythons have different docstrings, so no number that depends on them is ever quoted in the course.
"""

import ast
import hashlib
import inspect
import json
import sys
import sysconfig
import warnings
from pathlib import Path
from typing import NamedTuple

from tqdm.auto import tqdm

from course_utils.layout import cache_folder, write_whole

# Tests are no prose; the others are installed packages, generated files or a second copy of the library.
SKIPPED = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "pydoc_data", "ensurepip"}
MIN_CHARACTERS = 20
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Docstring(NamedTuple):
    """One docstring. module: file as "json/decoder.py"; package: its first part, "json"; name: "JSONDecoder.decode"."""

    module: str
    package: str
    name: str
    text: str


def load_docstrings():
    """All docstrings of the standard library, each text once, in the order of module paths.

    The first call reads some 600 files (about 8 s) and keeps the result in the cache folder; later calls take a
    fraction of a second. Returns a list of Docstring. Raises FileNotFoundError where Python comes without its sources.
    """
    version = "{}.{}.{}".format(*sys.version_info[:3])
    cache = cache_folder() / f"docstrings-{version}-v1.json"
    try:
        return [Docstring(*row) for row in json.loads(cache.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        pass                                   # no cache yet, or a broken one: read the files
    found = read_docstrings(Path(sysconfig.get_paths()["stdlib"]))
    try:
        write_whole(cache, json.dumps(found, ensure_ascii=False).encode())
    except OSError as problem:
        warnings.warn(f"the docstrings could not be kept for the next start: {problem}", stacklevel=2)
    return found


def read_docstrings(folder):
    """Docstrings of all Python files below `folder`, without tests and repeated texts; see `load_docstrings`."""
    paths = sorted(
        (path.relative_to(folder).as_posix(), path)
        for path in folder.rglob("*.py")
        if not SKIPPED.intersection(path.relative_to(folder).parts)
    )
    if not paths:
        raise FileNotFoundError(f"this Python comes without the sources of its library: no .py file in {folder}")
    seen, found = set(), []
    for module, path in tqdm(paths, desc="reading docstrings", leave=False):
        for name, text in docstrings_of(path.read_bytes()):
            if len(text) >= MIN_CHARACTERS and text not in seen:
                seen.add(text)
                found.append(Docstring(module, module.removesuffix(".py").split("/")[0], name, text))
    return found


def docstrings_of(source):
    """(name, docstring) of a module, its classes and functions. source: bytes; what cannot be parsed yields nothing."""
    if b'"""' not in source and b"'''" not in source:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")    # old escapes in the library's own strings
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    waiting = [("", tree)]
    while waiting:
        name, node = waiting.pop()
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            yield name, inspect.cleandoc(first.value.value)
        inner = [child for child in node.body if isinstance(child, DEFINITIONS)]
        waiting += [(f"{name}.{child.name}".lstrip("."), child) for child in reversed(inner)]


def split_of(module):
    """"train", "validation" or "test" (80, 10 and 10 %), by a hash of the module's path: the same on every Python.

    All docstrings of a file fall into one part, so that no sentence repeated within a file leaks.
    """
    tenth = hashlib.sha256(module.encode()).digest()[0] * 10 // 256
    return {0: "validation", 1: "test"}.get(tenth, "train")


def docstring_text(part, docstrings=None):
    """The docstrings of one part as a single string, separated by blank lines.

    part: "train", "validation" or "test". Raises ValueError for any other.
    """
    if part not in ("train", "validation", "test"):
        raise ValueError(f"part={part!r} is none of 'train', 'validation', 'test'")
    docstrings = load_docstrings() if docstrings is None else docstrings
    return "\n\n".join(entry.text for entry in docstrings if split_of(entry.module) == part)
