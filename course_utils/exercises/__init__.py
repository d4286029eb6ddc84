"""Exercises and quizzes for the notebooks."""

from course_utils.exercises.asking import asked_about
from course_utils.exercises.engine import check, hint, quiz, solution, use

__all__ = ["asked_about", "check", "hint", "quiz", "solution", "use"]
