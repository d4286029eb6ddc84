"""Real English without a download: the docstrings of the Python standard library on the reader's own machine.

About 1.7 MB. The text belongs to the installed Python (PSF licence) and is read there; none of it is part of the
course. Different Pythons have different docstrings, so no number that depends on them is ever quoted in the course.
"""

import ast
import hashlib
import inspect
import json
import re
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
PARTS = ("train", "validation", "test")
NO_PROSE = re.compile(r"\s*(>>>|\.\.\.|\$|[-=~+|*_]{3,})")          # a session, a shell command, a ruled line
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(`])")
# What a sentence is about, told by the package it comes from. Packages that only some Pythons have may be missing.
TOPICS = {
    "concurrency": ("asyncio", "concurrent", "multiprocessing", "threading", "queue", "selectors", "subprocess",
                    "sched"),
    "files": ("tarfile", "zipfile", "pathlib", "shutil", "os", "glob", "fnmatch", "tempfile", "gzip", "bz2", "lzma",
              "_pyio", "posixpath", "ntpath", "fileinput", "filecmp"),
    "imports": ("importlib", "pkgutil", "inspect", "ast", "dis", "zipimport", "modulefinder", "runpy", "compileall"),
    "mail": ("email", "mailbox", "imaplib", "smtplib", "poplib", "mimetypes", "base64", "quopri"),
    "numbers": ("_pydecimal", "statistics", "fractions", "numbers", "random", "datetime", "calendar", "ipaddress"),
    "xml": ("xml",),
}


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
    return "\n\n".join(entry.text for entry in entries_of(part, docstrings))


def entries_of(part, docstrings=None):
    """The docstrings of one part, a list of Docstring. Raises ValueError for a part that is none."""
    if part not in PARTS:
        raise ValueError(f"part={part!r} is none of {', '.join(map(repr, PARTS))}")
    docstrings = load_docstrings() if docstrings is None else docstrings
    return [entry for entry in docstrings if split_of(entry.module) == part]


def sentences_of(text):
    """The sentences of a docstring's prose, a list of strings; examples, tables and lists of options are left out.

    A sentence has at least four words, and most of it is letters.
    """
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.split("\n")
        if lines[0].startswith(" ") or any(NO_PROSE.match(line) for line in lines):
            continue
        for sentence in SENTENCE_END.split(" ".join(paragraph.split())):
            words = re.findall(r"[A-Za-z]{2,}", sentence)
            if len(words) >= 4 and sum(map(len, words)) >= 0.6 * len(sentence):
                found.append(sentence)
    return found


def docstring_sentences(part, docstrings=None):
    """The prose of one part: a list of docstrings, each a list of at least one sentence, in the order of the text.

    A sentence that stood in an earlier docstring is left out: programmers copy. part: "train", "validation" or "test".
    """
    seen, found = set(), []
    for entry in entries_of(part, docstrings):
        new = [sentence for sentence in dict.fromkeys(sentences_of(entry.text)) if sentence not in seen]
        seen.update(new)
        if new:
            found.append(new)
    return found


def topic_sentences(part, docstrings=None):
    """Sentences with the topic of the package they come from: a list of (sentence, number of the topic in TOPICS).

    Files are in one part only, so a sentence to be tested comes from a file, often from a package, that was never seen.
    """
    topics = {package: number for number, packages in enumerate(TOPICS.values()) for package in packages}
    found = {}
    for entry in entries_of(part, docstrings):
        package = entry.package.removesuffix(".py")
        if package in topics:
            for sentence in sentences_of(entry.text):
                found.setdefault(sentence, topics[package])
    return list(found.items())
