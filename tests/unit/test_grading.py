"""The score that `grade` gives, and that a notebook cannot talk it into another."""

import sys

import pytest

from course_utils import exercises
from course_utils.exercises import engine, grading
from course_utils.exercises.engine import Verdict
from course_utils.models.attention import scaled_dot_product_attention


def exercise(number):
    return engine.get(number)


def rewritten(function):
    """An answer that is not the course's own object."""
    def answer(*inputs):
        return function(*inputs)

    return answer


def test_a_right_answer_gets_all_points_and_a_wrong_one_none(capsys):
    first = exercise("00.1")
    assert grading.grade("00.1", rewritten(first.reference)) is None
    assert capsys.readouterr().out.startswith("00.1: Passed.")
    wrong = first.misconceptions[1]
    assert grading.grade("00.1", rewritten(wrong.answer)) == 0
    assert capsys.readouterr().out == f"00.1: no points. Not yet. {wrong.sentence}\n"


def test_an_untouched_answer_gets_no_points(capsys):
    def centre_over_time(batch):
        ...

    assert grading.grade("00.1", centre_over_time) == 0
    assert "Not attempted" in capsys.readouterr().out


def test_an_answer_that_raises_gets_no_points():
    assert grading.grade("00.1", lambda batch: batch[99]) == 0


@pytest.mark.parametrize("find", [lambda: exercise("05.2").reference, lambda: scaled_dot_product_attention],
                         ids=["the reference", "a function of the package"])
def test_a_function_of_the_course_is_no_answer(find, capsys):
    assert grading.grade("05.2", find()) == 0
    assert "write your own" in capsys.readouterr().out


def test_an_engine_that_was_changed_does_not_count(monkeypatch, capsys):
    monkeypatch.setattr(engine, "examine", lambda *_: Verdict(engine.PASSED, "bought"))
    monkeypatch.setattr(engine, "diagnose", lambda *_: Verdict(engine.PASSED, "bought"))
    monkeypatch.setitem(vars(exercise("00.1")), "cases", ())
    assert grading.grade("00.1", lambda batch: batch) == 0
    assert "bought" not in capsys.readouterr().out
    assert engine.examine("00.1", None).message == "bought"           # the notebook's own engine is as it was


def test_the_modules_from_before_are_back():
    before = {name: module for name, module in sys.modules.items() if name.startswith("course_utils.exercises")}
    grading.grade("00.1", lambda batch: batch)
    after = {name: module for name, module in sys.modules.items() if name.startswith("course_utils.exercises")}
    assert after == before
    assert sys.modules["course_utils"].exercises is exercises
