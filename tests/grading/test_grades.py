"""The points and the feedback that students get from nbgrader."""

import textwrap

import pytest
from course import CHAPTERS, Course, cells_of

from course_utils.commands import assigning, solving
from course_utils.exercises import engine

ASSIGNMENT, FIRST = CHAPTERS["05"].stem, CHAPTERS["00"].stem


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nbgrader") / "course"
    assert assigning.assign(folder, {number: CHAPTERS[number] for number in ("00", "05")}) == 0
    return Course(folder)


def solved(nb):
    """The notebook with the course's own answers, as in the solved edition."""
    for name, cell in cells_of(nb, "-answer").items():
        cell.source = solving.replace_definition(cell.source, engine.solution_source(name))
    return nb


MISTAKES = {
    "05.1": 'def project(X, W_q, W_k, W_v):\n    return X @ W_q, X @ W_q, X @ W_q\n\ncheck("05.1", project)',
    "05.2": None,                                                                      # not attempted
    "05.3": """\
        get_ipython().ast_node_interactivity = "all"         # harmless, and found in many tips for notebooks

        def rescale(weights, d_k=64):
            return weights[10_000]                           # an exception""",
    "05.4": "def split_heads(x, n_heads):\n    while True:\n        pass",             # no end
    "05.5": """\
        import course_utils.exercises.grading
        from course_utils.exercises import engine

        def merge_heads(x):
            return x

        def check(*_):
            print("Passed.")

        bought = engine.Verdict("passed", "Passed.")
        engine.examine = engine.diagnose = lambda *_: bought
        course_utils.exercises.grading.grade = grade = lambda *_: None
        course_utils.exercises.grading.importlib = None
        check("05.5", merge_heads)""",
    "05.6": "from course_utils.exercises.chapter_05 import decoder_mask",
}
DIAGNOSIS = "You use one matrix for all three."


def tampered(nb):
    """Of the cells that grade, one is gone, one is emptied, and one gives more points than it should."""
    graded = cells_of(nb, "-graded")
    nb.cells.remove(graded["05.1"])
    graded["05.3"].source = "# nothing to see"
    graded["05.7"].metadata.nbgrader.points = 100
    return nb


def mistaken(nb):
    """A notebook with everything that goes wrong, and one right answer."""
    answers = cells_of(nb, "-answer")
    for name, source in MISTAKES.items():
        if source is not None:
            answers[name].source = textwrap.dedent(source)
    answers["05.7"].source = solving.replace_definition(answers["05.7"].source, engine.solution_source("05.7"))
    return nb


@pytest.fixture(scope="module")
def graded(course):
    """The course after nbgrader has graded a right notebook and a mistaken one."""
    for student, work in (("right", solved), ("mistaken", mistaken)):
        course.hand_in(student, tampered(work(course.notebook("release", ASSIGNMENT))), ASSIGNMENT)
    course.nbgrader("autograde", ASSIGNMENT)
    return course


def test_a_right_notebook_gets_all_points_and_no_more(graded):
    points = graded.points("right", ASSIGNMENT)
    assert list(points) == engine.exercise_ids("05")
    assert all(got == most <= 3 for got, most in points.values())


def test_mistakes_get_no_points_and_tricks_neither(graded):
    right, mistaken = graded.points("right", ASSIGNMENT), graded.points("mistaken", ASSIGNMENT)
    assert mistaken == {name: (0 if name in MISTAKES else most, most) for name, (_, most) in right.items()}


def test_the_open_assignment_waits_for_a_reader(graded):
    by_hand = {name: grade for name, grade in graded.grades("right", ASSIGNMENT).items() if name == "assignment"}
    assert by_hand == {"assignment": (0, assigning.TASK_POINTS, True)}
    nb = graded.notebook("autograded/right", ASSIGNMENT)
    assert any("**A good answer" in cell.source for cell in nb.cells)     # for whoever marks it


def test_feedback_says_which_mistake_it_looks_like(graded):
    graded.nbgrader("generate_feedback", ASSIGNMENT, "--student", "mistaken")
    text = (graded.folder / "feedback" / "mistaken" / ASSIGNMENT / f"{ASSIGNMENT}.html").read_text(encoding="utf-8")
    assert DIAGNOSIS in engine.get("05.1").misconceptions[0].sentence
    assert text.count(DIAGNOSIS) == 2                       # from `check`, and from the cell that was put back
    assert "05.5: no points. Not yet." in text


def test_an_assignment_that_was_handed_in_is_not_made_again(graded, capsys, monkeypatch):
    monkeypatch.setattr(assigning, "TASK_POINTS", 12)
    before = graded.notebook("source", ASSIGNMENT)
    assert assigning.assign(graded.folder, {"05": CHAPTERS["05"]}) == 1
    assert "students have handed it in" in capsys.readouterr().out
    assert graded.notebook("source", ASSIGNMENT) == before


def test_the_first_chapter_is_graded_and_a_file_handed_in_does_not_replace_a_module(course):
    right, wrong = (course.notebook("release", FIRST) for _ in range(2))
    course.hand_in("right", solved(right), FIRST)
    (course.folder / "submitted" / "right" / FIRST / "torch.py").write_text("raise SystemExit")
    cells_of(wrong, "-answer")["00.1"].source = "def centre_over_time(batch):\n    return batch - batch.mean()"
    course.hand_in("wrong", wrong, FIRST)
    course.nbgrader("autograde", FIRST)
    assert all(got == most for got, most in course.points("right", FIRST).values())
    assert all(got == 0 for got, _ in course.points("wrong", FIRST).values())


def test_the_instructors_own_progress_is_left_alone(graded):
    assert (graded.folder / ".progress.json").exists() and not graded.own_progress.exists()
