"""The course's concepts and chapters, read from `assets/concepts.yml` and `assets/chapters.yml`."""

import functools

import yaml

from course_utils.layout import ASSETS, chapter_notebooks


@functools.cache
def concepts():
    """All concepts in the order of the course: dicts with id, chapter, kind, english, korean, definition."""
    return yaml.safe_load((ASSETS / "concepts.yml").read_text(encoding="utf-8"))


@functools.cache
def chapters():
    """All chapters in order: dicts with number, file, title, title_ko, seconds, solves, leaves."""
    return yaml.safe_load((ASSETS / "chapters.yml").read_text(encoding="utf-8"))


def glossary(*numbers):
    """Terms of the chapters named ("00", "01", …), or of all, as a table: English, Korean, meaning, chapter.

    A chapter that exists is linked. Raises ValueError for a chapter that has no concepts.
    """
    from IPython.display import Markdown

    known = {concept["chapter"] for concept in concepts()}
    for number in numbers:
        if number not in known:
            raise ValueError(f"chapter {number!r} has no concepts; there are {', '.join(sorted(known))}")
    files = chapter_notebooks()
    lines = ["| English | 한국어 | what it means | chapter |", "|---|---|---|---|"]
    for row in concepts():
        if not numbers or row["chapter"] in numbers:
            chapter = row["chapter"]
            where = f"[{chapter}]({files[chapter].name})" if chapter in files else chapter
            lines.append(f"| {row['english']} | {row['korean']} | {row['definition']} | {where} |")
    return Markdown("\n".join(lines))
