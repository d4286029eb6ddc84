"""What `assign` makes with nbgrader, for every chapter."""

import nbformat
import pytest
from course import CHAPTERS, Course, cells_of
from nbgrader.nbgraderformat import MetadataValidator

from course_utils.commands import CommandError, assigning, lints, notebooks
from course_utils.exercises import engine

FIRST = CHAPTERS["00"].stem


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nbgrader") / "a course"
    assert assigning.assign(folder, CHAPTERS) == 0
    return Course(folder)


def lines_of(source):
    """The lines of a text that say something."""
    return {line.strip() for line in source.splitlines() if any(letter.isalpha() for letter in line)}


@pytest.mark.parametrize("number", CHAPTERS)
def test_a_release_is_valid_and_holds_no_answer(course, number):
    name = CHAPTERS[number].stem
    source, release = course.notebook("source", name), course.notebook("release", name)
    for nb in (source, release):
        nbformat.validate(nb)
        MetadataValidator().validate_nb(nb)
        assert not any(cell.get("outputs") for cell in nb.cells)
    chapter = notebooks.read(CHAPTERS[number])
    shipped = {cell["id"]: cell["source"] for cell in lints.code_cells(chapter) if lints.tags(cell, "exercise:")}
    released = {cell.id: cell.source for cell in release.cells if cell.id in shipped}
    assert released == shipped
    text = "\n".join(cell.source for cell in release.cells)
    hidden = ["BEGIN", "A good answer", *secret_lines(number)]
    assert [line for line in hidden if line in text] == []
    assert "A good answer" in "\n".join(cell.source for cell in source.cells)


def secret_lines(number):
    """Long lines of the references' bodies that no stub of the chapter holds."""
    names = engine.exercise_ids(number)
    stubs = "\n".join(engine.get(name).stub for name in names)
    bodies = ["\n".join(assigning.body_of(engine.solution_source(name))[1]) for name in names]
    return [line for body in bodies for line in lines_of(body) if len(line) > 12 and line not in stubs]


def test_a_second_call_changes_nothing_and_says_so(course, capsys):
    before = {path: path.stat().st_mtime_ns for path in course.folder.rglob("*.ipynb")}
    assert assigning.assign(course.folder, {"00": CHAPTERS["00"]}) == 0
    assert f"{FIRST}: as it was\nHand out the folders of {course.folder}/release." in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_points_that_an_instructor_changed_stay_and_are_released(tmp_path, capsys):
    course = Course(tmp_path / "course")
    assigning.assign(course.folder, {"00": CHAPTERS["00"]})
    nb = course.notebook("source", FIRST)
    cells_of(nb, "-graded")["00.1"].metadata.nbgrader.points = 7
    nbformat.write(nb, course.folder / "source" / FIRST / f"{FIRST}.ipynb")
    assert assigning.assign(course.folder, {"00": CHAPTERS["00"]}) == 1
    said = capsys.readouterr().out
    assert "was changed by hand and stays as it is" in said
    command = next(line for line in said.splitlines() if "--force" in line).partition(" && ")[2]
    course.nbgrader(*command.split()[1:])
    assert cells_of(course.notebook("release", FIRST), "-graded")["00.1"].metadata.nbgrader.points == 7


def test_files_beside_a_release_and_a_broken_configuration_are_told_in_one_line(tmp_path, capsys, monkeypatch):
    course = Course(tmp_path / "course")
    assigning.assign(course.folder, {"00": CHAPTERS["00"]})
    data = course.folder / "release" / FIRST / "data.csv"
    data.write_text("mine")
    monkeypatch.setattr(assigning, "TASK_POINTS", 11)                         # another edition
    assert assigning.assign(course.folder, {"00": CHAPTERS["00"]}) == 1
    assert f"nbgrader would remove {data}" in capsys.readouterr().out and data.read_text() == "mine"
    (course.folder / assigning.CONFIG).write_text("c = get_config(\n")
    with pytest.raises(CommandError, match=r"nbgrader_config.py cannot be used \(SyntaxError: "):
        assigning.assign(course.folder, {"00": CHAPTERS["00"]})


def test_a_broken_gradebook_is_told_in_one_line(tmp_path):
    course = Course(tmp_path / "course")
    assigning.assign(course.folder, {"00": CHAPTERS["00"]})
    (course.folder / "gradebook.db").write_bytes(b"no database at all" * 100)
    (course.folder / "release" / FIRST / f"{FIRST}.ipynb").unlink()           # so that it is made again
    with pytest.raises(CommandError, match=r"gradebook\.db cannot be used: file is not a database"):
        assigning.assign(course.folder, {"00": CHAPTERS["00"]})
