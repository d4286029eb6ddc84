"""`ConceptIndex`: the words and questions of the course, to search in two languages, with links to their cells."""

import textwrap

import traitlets

from course_utils import concepts, figures
from course_utils.widgets.base import CourseWidget, readable
from course_utils.widgets.course_map import folder_here

FIRST, WIDTH, ROW = 4, 66, 0.74      # of the PNG: words of a chapter, characters of a line, inches of a chapter


def indexed_words(asked):
    """The concepts as the browser takes them: with `taught`, `shown` and `asked`, lists of chapter, cell, heading.

    asked: what `course_utils.exercises.asked_about()` returns.
    """
    return [
        {
            **{key: row[key] for key in ("id", "chapter", "english", "korean", "definition")},
            "taught": concepts.places(f"concept:{row['id']}"),
            "shown": concepts.places(f"shows:{row['id']}"),
            "asked": concepts.asked_in(asked.get(row["id"], ())),
        }
        for row in concepts.concepts()
    ]


def indexed_questions():
    """The questions as the browser takes them: question, chapter, about and `answered`, at most one place in a list."""
    return [
        {**{key: row[key] for key in ("question", "chapter", "about")}, "answered": concepts.answered_in(row)}
        for row in concepts.questions()
    ]


class ConceptIndex(CourseWidget):
    """A search over the course's words, English and Korean, and over questions; what is found links to its cell.

    asked: what `course_utils.exercises.asked_about()` returns, so that a word also tells what asks for it.
    words, questions: rows as `indexed_words` and `indexed_questions` give them, or None for the course's.
    """

    script = "concept_index.js"

    words = traitlets.List().tag(sync=True)
    questions = traitlets.List().tag(sync=True)
    chapters = traitlets.List().tag(sync=True)
    folder = traitlets.Unicode().tag(sync=True)

    def __init__(self, asked=None, words=None, questions=None):
        super().__init__(
            words=indexed_words(asked or {}) if words is None else words,
            questions=indexed_questions() if questions is None else questions,
            chapters=[{key: row[key] for key in ("number", "file", "title")} for row in concepts.chapters()],
            folder=folder_here(),
        )

    def summary(self):
        return f"ConceptIndex(words={len(self.words)}, questions={len(self.questions)})"

    def figure(self):
        """The first words of each chapter, in two columns; all of them would be too much for one picture."""
        half = -(-len(self.chapters) // 2)
        blocks = [(f"{row['number']}  {readable(row['title'], 40)}", self._first_words(row["number"]))
                  for row in self.chapters]
        figure, axes = figures.new_figure(width=9, height=0.25 + ROW * half)
        axes.set(xlim=(0, 2), ylim=(ROW * half, -0.1))
        axes.set_axis_off()
        for index, (title, words) in enumerate(blocks):
            column, row = divmod(index, half)
            axes.text(column, row * ROW, title, va="top", fontsize=9.5, fontweight="bold")
            axes.text(column + 0.06, row * ROW + 0.17, words, va="top", fontsize=8.5, color=figures.COLOURS["muted"])
        return figure

    def _first_words(self, chapter):
        names = [readable(word["english"], 34) for word in self.words if word["chapter"] == chapter]
        rest = f"and {len(names) - FIRST} more" if len(names) > FIRST else ""
        unbroken = [name.replace(" ", "\xa0").replace("-", "\u2011") for name in [*names[:FIRST], rest] if name]
        return "\n".join(textwrap.wrap(", ".join(unbroken), WIDTH))
