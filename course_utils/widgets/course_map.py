"""`CourseMap`: the path of the course as one picture, with the reader's own progress."""

import textwrap
from pathlib import Path

import traitlets
from matplotlib.patches import FancyBboxPatch

from course_utils import concepts, figures, layout
from course_utils.progress import Progress
from course_utils.widgets.base import CourseWidget, readable

COLUMNS = 4
# Where a chapter does not simply follow the one before it.
BRANCHES = {"09": "07", "10": "07", "11": "08"}


def with_path(rows):
    """Rows of chapters.yml together with `after`, the number of the chapter that each builds on, "" for the first.

    A chapter without a notebook has no exercises and no questions yet.
    """
    before = ["", *(row["number"] for row in rows)]
    return [
        {"exercises": 0, "questions": 0, "after": BRANCHES.get(row["number"], previous), **row}
        for row, previous in zip(rows, before, strict=False)
    ]


def with_progress(chapters, summary):
    """Chapters together with what has been done in them, what is left, and whether their notebook exists.

    summary: `Progress().summary()`. `todo` are the exercises not passed (id, title, cell), `quizzes` the chapter's own
    (name, cell, answered); a chapter that is not the course's has neither.
    """
    written = layout.chapter_notebooks()
    done = []
    for chapter in chapters:
        own = summary.get(chapter["number"], {"passed": (), "answered": {}})
        done.append({
            **chapter,
            "passed": len(own["passed"]),
            "answered": sum(len(questions) for questions in own["answered"].values()),
            "exists": chapter["number"] in written,
            "todo": [row for row in concepts.exercises_of(chapter["number"]) if row["id"] not in own["passed"]],
            "quizzes": [{**row, "answered": len(own["answered"].get(row["name"], ()))}
                        for row in concepts.quizzes_of(chapter["number"])],
        })
    return done


def folder_here():
    """The folder of the running notebook, relative to the project, as JupyterLab names it; "" outside the project."""
    try:
        folder = Path.cwd().resolve().relative_to(layout.ROOT).as_posix()
    except (ValueError, OSError):
        return ""
    return "" if folder == "." else folder


class CourseMap(CourseWidget):
    """The chapters, what each solves and leaves unsolved, own progress and what is left; a click or Enter opens one.

    chapters: rows as in chapters.yml, or None for the course's. summary: progress as `Progress().summary()` gives it,
    or None for the reader's own, which is read again whenever the map comes into view.
    """

    script = "course_map.js"

    chapters = traitlets.List().tag(sync=True)
    folder = traitlets.Unicode().tag(sync=True)

    def __init__(self, chapters=None, summary=None):
        self._known = summary
        path = with_path(concepts.chapters() if chapters is None else chapters)
        super().__init__(chapters=with_progress(path, self._progress()), folder=folder_here())

    def _progress(self):
        return Progress().summary() if self._known is None else self._known

    def respond(self):
        """Put fresh progress into `chapters`; without news nothing is sent."""
        self.chapters = with_progress(self.chapters, self._progress())
        return {}

    def summary(self):
        return f"CourseMap(chapters={len(self.chapters)})"

    def figure(self):
        """The same path, drawn without the reader's progress, so that a committed picture is nobody's."""
        rows = -(-len(self.chapters) // COLUMNS)
        figure, axes = figures.new_figure(width=10, height=1.8 * rows)
        axes.set(xlim=(0, COLUMNS), ylim=(rows, 0))
        axes.set_axis_off()
        places = {chapter["number"]: divmod(index, COLUMNS)[::-1] for index, chapter in enumerate(self.chapters)}
        for chapter in self.chapters:
            _draw_chapter(axes, chapter, places)
        return figure


def _draw_chapter(axes, chapter, places):
    """One chapter of the PNG: its box, what it solves and leaves, and the arrow that leads to it."""
    column, row = places[chapter["number"]]
    box = {"boxstyle": "round,pad=0.02", "facecolor": "white", "edgecolor": figures.COLOURS["line"]}
    axes.add_patch(FancyBboxPatch((column + 0.06, row + 0.12), 0.84, 0.74, **box, mutation_aspect=0.6))
    if chapter["after"] in places:
        _draw_arrow(axes, places[chapter["after"]], (column, row))
    left = column + 0.09
    name = f"{chapter['number']}  {readable(chapter['title'], 28)}"
    axes.text(left, row + 0.2, name, va="center", fontsize=9.5, fontweight="bold")
    axes.text(left, row + 0.3, _wrapped(chapter["solves"]), va="top", fontsize=8)
    if chapter["leaves"]:
        leaves = _wrapped("but " + _lowered(chapter["leaves"]))
        bar = [row + 0.57, row + 0.59 + 0.08 * (leaves.count("\n") + 1)]
        axes.plot([left + 0.005] * 2, bar, color=figures.COLOURS["wrong"], linewidth=1.5)
        axes.text(left + 0.03, row + 0.58, leaves, va="top", fontsize=8, color=figures.COLOURS["muted"])


def _lowered(text):
    """A sentence as it goes on after "but": a small first letter, unless it begins with a name such as RNN."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _wrapped(text):
    return "\n".join(textwrap.wrap(readable(text), 31)[:3])


def _draw_arrow(axes, start, end):
    """From one box to the next: straight to a neighbour, else through the gap above the box, or below its own row."""
    style = {"arrowstyle": "->", "color": figures.COLOURS["muted"]}
    if start[1] == end[1] and end[0] == start[0] + 1:
        axes.annotate("", (end[0] + 0.05, end[1] + 0.2), (start[0] + 0.92, start[1] + 0.2), arrowprops=style)
        return
    gap, edge = (end[1] + 0.96, 0.88) if start[1] == end[1] else (end[1] + 0.03, 0.1)
    path = [start[0] + 0.5, start[0] + 0.5, end[0] + 0.5], [start[1] + 0.88, gap, gap]
    axes.plot(*path, color=style["color"], linewidth=1)
    axes.annotate("", (end[0] + 0.5, end[1] + edge), (end[0] + 0.5, gap), arrowprops=style)
