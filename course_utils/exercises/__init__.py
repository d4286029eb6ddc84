"""Exercises and quizzes for the notebooks."""

from course_utils.exercises.engine import check, hint, quiz, solution, use

__all__ = ["check", "hint", "quiz", "solution", "use"]
