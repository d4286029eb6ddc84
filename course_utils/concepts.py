"""The course's concepts, chapters and questions, and the cells of the notebooks that teach, show and ask for them.

What is taught stands in `assets/concepts.yml`, `chapters.yml` and `questions.yml`; where, in the tags of the notebooks.
"""

import contextlib
import functools
import json
import re

import yaml

from course_utils.layout import ASSETS, chapter_notebooks

QUIZ_CALL = re.compile(r"""\bquiz\(["']([^"']+)["']\)""")


@functools.cache
def concepts():
    """All concepts in the order of the course: dicts with id, chapter, kind, english, korean, definition."""
    return yaml.safe_load((ASSETS / "concepts.yml").read_text(encoding="utf-8"))


@functools.cache
def chapters():
    """All chapters in order: dicts with number, file, title, title_ko, seconds, solves, leaves."""
    return yaml.safe_load((ASSETS / "chapters.yml").read_text(encoding="utf-8"))


@functools.cache
def questions():
    """What learners ask, in the order of the chapters: dicts with question, chapter, cell and about (concept ids)."""
    return yaml.safe_load((ASSETS / "questions.yml").read_text(encoding="utf-8"))


# ---- where things stand in the notebooks

@functools.cache
def cells():
    """Every cell of the chapters in order: dicts with chapter, cell (its id), heading (of its section) and tags.

    A cell that asks a quiz has one tag more than in the file: `quiz:05-opening`. A file that is no notebook, as after
    a disk that was full, has no cells: the map and the index then do without it.
    """
    found = []
    for number, path in chapter_notebooks().items():
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            found += _cells_of(number, json.loads(path.read_text(encoding="utf-8")))
    return found


def _cells_of(number, nb):
    """The cells of one notebook, as `cells` gives them."""
    found, heading = [], ""
    for cell in nb["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and (line := re.search(r"^#{1,4} +(.+)$", source, re.MULTILINE)):
            heading = line[1].replace("*", "").strip()
        asked = QUIZ_CALL.findall(source) if cell["cell_type"] == "code" else []
        tags = [*cell["metadata"].get("tags", []), *(f"quiz:{name}" for name in asked)]
        found.append({"chapter": number, "cell": cell["id"], "heading": heading, "tags": tags})
    return found


def places(tag):
    """The cells with a tag such as `concept:softmax`, one for each section: dicts with chapter, cell and heading."""
    by_section = {}
    for place in _by_tag().get(tag, ()):
        by_section.setdefault((place["chapter"], place["heading"]), place)
    return list(by_section.values())


@functools.cache
def _by_tag():
    found = {}
    for cell in cells():
        for tag in cell["tags"]:
            found.setdefault(tag, []).append({key: cell[key] for key in ("chapter", "cell", "heading")})
    return found


def place_of(chapter, cell_id):
    """One cell as a dict with chapter, cell and heading. Raises LookupError where the chapter has no such cell."""
    for cell in cells():
        if (cell["chapter"], cell["cell"]) == (chapter, cell_id):
            return {key: cell[key] for key in ("chapter", "cell", "heading")}
    raise LookupError(f"chapter {chapter} has no cell {cell_id!r}")


def answered_in(question):
    """The place that answers a row of `questions()`, in a list; an empty one where its notebook cannot be read."""
    try:
        return [place_of(question["chapter"], question["cell"])]
    except LookupError:
        return []


def exercises_of(chapter):
    """The exercises of a chapter's notebook in order: dicts with id, title and cell (of the prompt)."""
    found = {}
    for cell in cells():
        for tag in cell["tags"]:
            if cell["chapter"] == chapter and tag.startswith("exercise:"):
                title = cell["heading"].partition("·")[2].strip()
                found.setdefault(tag, {"id": tag.removeprefix("exercise:"), "title": title, "cell": cell["cell"]})
    return list(found.values())


def quizzes_of(chapter):
    """The quizzes of a chapter's notebook in order: dicts with name and cell."""
    return [
        {"name": tag.removeprefix("quiz:"), "cell": cell["cell"]}
        for cell in cells() if cell["chapter"] == chapter for tag in cell["tags"] if tag.startswith("quiz:")
    ]


def asked_in(asked):
    """Where a concept is asked for, as places with a `heading` to show.

    asked: pairs ("exercise", "05.2") or ("quiz", "05-closing"), as `course_utils.exercises.asked_about` gives them.
    """
    found = []
    for kind, name in asked:
        for place in places(f"{kind}:{name}")[:1]:
            title = place["heading"] if kind == "exercise" else f"{name.partition('-')[2].capitalize()} quiz"
            found.append({**place, "heading": title})
    return found


# ---- as tables

def glossary(*numbers, asked=None):
    """Words of the chapters named ("00", "01", …), or of all, with links to their cells: one table for each chapter.

    asked: what `course_utils.exercises.asked_about()` returns, for a column with the exercises that ask for a word.
    Raises ValueError for a chapter that has no concepts.
    """
    from IPython.display import Markdown

    known = sorted({concept["chapter"] for concept in concepts()})
    for number in numbers:
        if number not in known:
            raise ValueError(f"chapter {number!r} has no concepts; there are {', '.join(known)}")
    titles = {row["number"]: f"**{row['number']} · {row['title']} · {row['title_ko']}**" for row in chapters()}
    parts = [f"{titles[number]}\n\n{_chapter_table(number, asked)}" for number in numbers or known]
    return Markdown("\n\n".join(parts))


def _chapter_table(number, asked):
    """The words of one chapter as Markdown."""
    heads = ["English", "한국어", "what it means", "taught", *(["exercises"] if asked is not None else [])]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for row in concepts():
        if row["chapter"] == number:
            texts = [row["english"], row["korean"], row["definition"], _links(places(f"concept:{row['id']}")[:1])]
            if asked is not None:
                names = [name for kind, name in asked.get(row["id"], ()) if kind == "exercise"]
                texts.append(", ".join(_links(places(f"exercise:{name}")[:1], name) for name in names))
            lines.append(_row(texts))
    return "\n".join(lines)


def answers(*numbers):
    """The questions of the chapters named, or of all, as one table: question, and the section that answers it."""
    from IPython.display import Markdown

    lines = [_row(["you ask", "read"]), _row(["---"] * 2)]
    for row in questions():
        if not numbers or row["chapter"] in numbers:
            lines.append(_row([row["question"], _links(answered_in(row))]))
    return Markdown("\n".join(lines))


def _row(texts):
    return f"| {' | '.join(text.replace('|', chr(0xFF5C)) for text in texts)} |"


def _links(found, name=None):
    """Places as Markdown links that JupyterLab follows to the cell; name: what to write instead of the heading."""
    files, texts = chapter_notebooks(), []
    for place in found:
        chapter, text = place["chapter"], name or f"{place['chapter']} · {place['heading']}"
        texts.append(f"[{text}]({files[chapter].name}#cell-id={place['cell']})" if chapter in files else text)
    return ", ".join(texts)
