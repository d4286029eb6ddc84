"""`Quiz`: one question at a time; every wrong choice is explained and can be tried again."""

import textwrap

import traitlets

from course_utils import figures
from course_utils.widgets.base import CourseWidget, one_line, readable


def _get(thing, name):
    """A field of a dict or of an object."""
    return thing[name] if isinstance(thing, dict) else getattr(thing, name)


def plain_questions(questions):
    """Questions as plain dicts: text, choices of text, correct, why.

    questions: dicts or objects with those names. Raises ValueError unless every question has at least two choices,
    exactly one of them correct.
    """
    plain = []
    for number, question in enumerate(questions, start=1):
        choices = [
            {**{part: str(_get(choice, part)) for part in ("text", "why")}, "correct": bool(_get(choice, "correct"))}
            for choice in _get(question, "choices")
        ]
        right = sum(choice["correct"] for choice in choices)
        if len(choices) < 2 or right != 1:
            raise ValueError(f"question {number} has {len(choices)} choices, {right} of them correct; one must be")
        plain.append({"text": str(_get(question, "text")), "choices": choices})
    if not plain:
        raise ValueError("a quiz needs at least one question")
    return plain


class Quiz(CourseWidget):
    """Questions with one right choice each.

    questions: a list of {"text", "choices": [{"text", "correct", "why"}]}, dicts or objects; `code` between backticks.
    name: shown in the text form. on_answer(question_index, choice_index, correct) is called for every checked choice.
    """

    script = "quiz.js"

    questions = traitlets.List().tag(sync=True)
    tries = traitlets.List().tag(sync=True)         # [question, choice] of every checked choice, in order
    name = traitlets.Unicode().tag(sync=True)

    def __init__(self, questions, name="", on_answer=None):
        super().__init__(questions=plain_questions(questions), name=name)
        self.on_answer = on_answer
        self._reported = 0
        self.observe(self._report, "tries")

    def _report(self, change):
        # The browser sends the whole list: starting again makes it shorter, and clicks in quick succession add several.
        tries = change["new"]
        self._reported = min(self._reported, len(tries))
        for question, choice in tries[self._reported :]:
            self._reported += 1
            try:
                correct = self.questions[question]["choices"][choice]["correct"]
                if self.on_answer is not None:
                    self.on_answer(question, choice, correct)
            except Exception as error:
                self.problem = {"id": self._reported, "message": f"This answer was not stored: {one_line(error)}"}

    def summary(self):
        name = f"{self.name}, " if self.name else ""
        return f"Quiz({name}questions={len(self.questions)})"

    def figure(self):
        question = self.questions[0]
        lines = [*textwrap.wrap(readable(question["text"], 600), 88), ""]
        for choice in question["choices"]:
            lines += textwrap.wrap("○  " + readable(choice["text"], 300), 92, subsequent_indent="     ")
        figure, axes = figures.new_figure(height=0.6 + 0.2 * len(lines))
        axes.set_axis_off()
        axes.set_title(f"Question 1 of {len(self.questions)}")
        axes.text(0, 1, "\n".join(lines), va="top", fontsize=9, transform=axes.transAxes)
        return figure
