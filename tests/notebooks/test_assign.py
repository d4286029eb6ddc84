"""The assignments for nbgrader as notebooks, and folders that commands write. nbgrader itself is asked in `grading`."""

import ast
import re

import pytest
import small

from course_utils import layout
from course_utils.commands import CommandError, assigning, editions, lints, notebooks
from course_utils.commands.notebooks import NotebookError
from course_utils.exercises import engine

CHAPTERS = layout.chapter_notebooks()


def grading_of(cell):
    return cell["metadata"].get("nbgrader", {})


@pytest.mark.parametrize("number", CHAPTERS)
def test_every_exercise_of_a_chapter_can_be_handed_in(number):
    chapter = notebooks.read(CHAPTERS[number])
    source = assigning.source_of(chapter, number)
    stubs = {cell["id"]: cell["source"] for cell in lints.code_cells(chapter) if lints.tags(cell, "exercise:")}
    answers = [cell for cell in source["cells"] if grading_of(cell).get("solution")]
    assert {cell["id"]: assigning.cleared(cell["source"]) for cell in answers} == stubs
    graded = [cell for cell in source["cells"] if grading_of(cell).get("grade")]
    asked = [(node.args[0].value, node.args[1].id) for cell in graded for node in lints.calls(cell, "grade")]
    assert asked == [(name, engine.get(name).name) for name in engine.exercise_ids(number)]
    assert all(grading_of(cell)["locked"] and grading_of(cell)["points"] in (1, 2, 3) for cell in graded)
    for before, after in zip(source["cells"], source["cells"][1:], strict=False):
        assert not grading_of(after).get("grade") or before in answers
    for cell in source["cells"]:
        assert cell["cell_type"] == "markdown" or ast.parse(cell["source"])
        assert all(len(line) <= 120 for line in cell["source"].splitlines() if cell["cell_type"] == "code")


@pytest.mark.parametrize("number", CHAPTERS)
def test_the_mark_scheme_of_an_assignment_is_apart_from_its_task(number):
    chapter = notebooks.read(CHAPTERS[number])
    task, answer = assigning.assignment(chapter)
    assert grading_of(task) | {"grade_id": ""} == {
        "schema_version": 3, "grade_id": "", "locked": True, "solution": False, "grade": False, "task": True,
        "points": assigning.TASK_POINTS}
    shown, scheme, rest = re.split(r"\n### (?:BEGIN|END) MARK SCHEME", task["source"])
    assert "Assignment" in shown and "**A good answer" not in shown and rest == ""
    assert "**A good answer" in scheme and "Sources" not in scheme
    assert grading_of(answer) == {}


def answer_of(lines):
    body = "".join(f"    x = {number}\n" for number in range(lines - 1))
    return f'def f(x):\n    """What."""\n    # a comment\n\n{body}    return x\n'


def test_points_grow_with_the_length_of_the_courses_answer():
    assert [assigning.points_for(answer_of(lines)) for lines in (1, 2, 3, 5, 6, 20)] == [1, 1, 2, 2, 3, 3]


CHECKED = 'def double(x):\n    """Twice x."""\n    ...\n\ncheck("99.1", double)'


def a_chapter(*more):
    return small.notebook(small.text("title-cell", "# 99 · Small\nA promise."), small.code(*small.IMPORTS), *more)


@pytest.mark.parametrize(("cells", "message"), [
    ([], "it has no assignment"),
    ([small.text("assignment", "## Assignment\nDo it."), small.text("sources", "## Sources\nA **good answer**.")],
     "does not say what a good answer contains"),
    ([small.code("more-imports", "import math", "imports")], "2 cells have the tag `imports`"),
])
def test_a_chapter_without_its_parts_is_refused(cells, message):
    with pytest.raises(NotebookError, match=message):
        assigning.source_of(a_chapter(*cells), "99")


def test_an_answer_that_does_not_fit_its_stub_is_refused():
    exercise = engine.get("00.1")
    stub = exercise.stub.replace("Returns", "Gives back")
    cells = [small.text("prompt", "Do it.", "exercise:00.1"),
             small.code("answer", f'{stub}\ncheck("00.1", {exercise.name})', "exercise:00.1")]
    with pytest.raises(NotebookError, match="cell answer: its stub is not the head of the course's answer"):
        assigning.source_of(a_chapter(*cells), "00")


# ---- without nbgrader

def test_a_missing_nbgrader_is_told_in_one_sentence(monkeypatch, tmp_path):
    def absent(name):
        raise assigning.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(assigning.importlib.metadata, "version", absent)
    with pytest.raises(CommandError, match=r"nbgrader is not installed; .*python3 -m course_utils assign --install"):
        assigning.require_nbgrader()
    monkeypatch.setattr(assigning.importlib.metadata, "version", lambda name: "0.8.0")
    with pytest.raises(CommandError, match=r"nbgrader 0\.8\.0 is installed; `assign` needs "):
        assigning.require_nbgrader()


def test_the_requirements_for_teaching_keep_the_courses_own():
    lines = [line for line in assigning.REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "-r requirements.txt"
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][\w.]*", line) for line in lines[1:])
    course = {line.partition("==")[0] for line in (layout.ROOT / "requirements.txt").read_text().splitlines()}
    assert not course & {line.partition("==")[0] for line in lines[1:]}


# ---- folders

def test_an_edition_knows_its_own_files(tmp_path):
    edition = editions.Edition(tmp_path / "mine", "solve")
    edition.write("a/b.txt", b"one")
    assert edition.holds("a/b.txt") and edition.holds("a/b.txt", b"one") and not edition.holds("a/b.txt", b"two")
    assert not edition.changed("a/b.txt") and not edition.changed("absent.txt")
    edition.path("a/b.txt").write_bytes(b"by hand")
    again = editions.Edition(tmp_path / "mine", "solve")
    assert again.changed("a/b.txt") and not again.holds("a/b.txt")
    again.adopt("a/b.txt")
    assert editions.Edition(tmp_path / "mine", "solve").holds("a/b.txt", b"by hand")


def test_an_edition_of_one_command_is_foreign_to_another(tmp_path):
    editions.Edition(tmp_path / "mine", "solve")
    with pytest.raises(CommandError, match="was not made by `assign`"):
        editions.Edition(tmp_path / "mine", "assign")


def test_a_file_that_was_listed_and_not_written_may_be_written_again(tmp_path, monkeypatch):
    edition = editions.Edition(tmp_path / "mine", "solve")
    whole = editions.write_whole

    def killed(path, content):
        if path.name == "b.txt":
            raise KeyboardInterrupt
        whole(path, content)

    monkeypatch.setattr(editions, "write_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        edition.write("b.txt", b"one")
    assert not editions.Edition(tmp_path / "mine", "solve").changed("b.txt")


def test_an_edition_that_was_killed_at_the_next_one_looks_unchanged(tmp_path, monkeypatch):
    edition = editions.Edition(tmp_path / "mine", "assign")
    edition.write("b.txt", b"one")
    whole = editions.write_whole
    monkeypatch.setattr(editions, "write_whole", lambda path, content: path.suffix == ".txt" or whole(path, content))
    edition.write("b.txt", b"two")                         # listed, and never written
    again = editions.Edition(tmp_path / "mine", "assign")
    assert not again.changed("b.txt") and not again.holds("b.txt")


def test_a_file_of_another_program_is_its_own_until_it_is_adopted(tmp_path):
    edition = editions.Edition(tmp_path / "mine", "assign")
    edition.expect("release.txt")
    edition.path("release.txt").write_bytes(b"made by the other, which was killed then")
    again = editions.Edition(tmp_path / "mine", "assign")
    assert not again.changed("release.txt") and not again.holds("release.txt")
    again.adopt("release.txt")
    assert again.holds("release.txt")
    again.path("release.txt").write_bytes(b"by hand")
    assert again.changed("release.txt")
