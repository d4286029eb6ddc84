"""The solved edition and its reduced form, and how `solve` treats folders."""

import pytest
import small

from course_utils.commands import CommandError, notebooks, solving
from course_utils.exercises import engine

STUB = '''# Fill in the body.
@decorate
def double(x):
    """Twice x."""
    ...

check("99.1", double)'''


def test_the_stub_makes_room_for_the_answer():
    answer = "def double(x):\n    return 2 * x\n"
    assert solving.replace_definition(STUB, answer) == (
        '# Fill in the body.\ndef double(x):\n    return 2 * x\n\ncheck("99.1", double)')


def test_an_assignment_and_a_class_are_replaced_too():
    assert solving.replace_definition("limit = ...\ncheck(1, limit)", "limit = 3") == "limit = 3\ncheck(1, limit)"
    assert solving.replace_definition("class A:\n    ...\nA()", "class A:\n    pass") == "class A:\n    pass\nA()"


@pytest.mark.parametrize("source", ["def other(x): ...", "double = 1\ndef double(x): ..."])
def test_a_cell_without_exactly_one_stub_is_refused(source):
    with pytest.raises(ValueError, match="statements define double; one must"):
        solving.replace_definition(source, "def double(x): return 2 * x")


def test_reduced_keeps_what_exercises_need():
    nb = small.notebook(
        small.text("prompt", "text", "exercise:99.1"),
        small.code(*small.IMPORTS),
        small.code("demonstration", "train(model)"),
        small.code("answer", STUB, "exercise:99.1", "nbval-check-output", outputs=[small.printed("Not attempted\n")]),
        small.code("user-cell", 'f = use("99.1", double)'),
        small.code("mentions-use", "print('use(1)')"),
    )
    after = solving.reduced(nb)
    assert [cell["id"] for cell in after["cells"]] == ["import-cell", "answer", "user-cell"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in after["cells"])
    assert after["cells"][1]["metadata"]["tags"] == ["exercise:99.1"]


@pytest.fixture(scope="module")
def exercise():
    """The first exercise of chapter 00, as an example of a real one."""
    return engine.get(engine.exercise_ids("00")[0])


IMPORTS = """import math
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from course_utils.exercises import check"""


def chapter_with(exercise):
    source = f'{exercise.stub}\n\ncheck("{exercise.id}", {exercise.name})'
    return small.notebook(
        small.code("import-cell", IMPORTS, "imports"),
        small.code("other-cell", "print('dear')", outputs=[small.printed("kept\n")]),
        small.code("answer-cell", source, f"exercise:{exercise.id}"),
    )


def test_solve_writes_an_edition_that_passes_and_keeps_other_outputs(tmp_path, exercise, capsys):
    path = small.save(chapter_with(exercise), tmp_path, "00_small.ipynb")
    target = tmp_path / "solved"
    assert solving.solve(target, {"00": path}) == 0
    after = notebooks.read(target / path.name)
    assert "..." not in after["cells"][2]["source"]
    assert after["cells"][1]["outputs"][0]["text"] == "kept\n"
    assert "not attempted" not in after["cells"][2]["outputs"][0]["text"].lower()
    assert after["cells"][2]["execution_count"] == 3
    assert solving.solve(target, {"00": path}) == 0        # its own folder may be written again


def test_solve_leaves_alone_what_was_changed_by_hand(tmp_path, exercise, capsys):
    path = small.save(chapter_with(exercise), tmp_path, "00_small.ipynb")
    target = tmp_path / "solved"
    solving.solve(target, {"00": path})
    (target / path.name).write_text("mine")
    assert solving.solve(target, {"00": path}) == 1
    assert (target / path.name).read_text() == "mine"
    assert "was changed by hand" in capsys.readouterr().out


def test_solve_refuses_a_foreign_folder(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(CommandError, match="was not made by `solve`"):
        solving.solve(tmp_path, {})
    with pytest.raises(CommandError, match="was not made by `solve`"):
        solving.solve(tmp_path / "letter.txt", {})


def test_solve_says_at_once_where_it_cannot_write(tmp_path, exercise, monkeypatch):
    path = small.save(chapter_with(exercise), tmp_path, "00_small.ipynb")
    monkeypatch.setattr(solving, "solved_with_outputs", lambda path: pytest.fail("a chapter was executed"))
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(CommandError, match="cannot be written"):
        solving.solve(tmp_path / "letter.txt" / "solved", {"00": path})
    assert (tmp_path / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize("content", ["{", "[1]", "3", "null", ""])
def test_solve_leaves_a_folder_alone_whose_list_is_broken(tmp_path, content):
    (tmp_path / ".made-by-solve.json").write_text(content)
    with pytest.raises(CommandError, match="choose a new folder"):
        solving.solve(tmp_path, {})
    assert (tmp_path / ".made-by-solve.json").read_text() == content


def test_solve_names_a_chapter_that_is_no_notebook(tmp_path, capsys):
    (tmp_path / "00_small.ipynb").write_text("{ broken")
    assert solving.solve(tmp_path / "solved", {"00": tmp_path / "00_small.ipynb"}) == 1
    assert "00_small.ipynb: it is not a readable notebook (JSONDecodeError: " in capsys.readouterr().out


def test_an_answer_that_does_not_pass_is_not_written(tmp_path, exercise, capsys, monkeypatch):
    path = small.save(chapter_with(exercise), tmp_path, "00_small.ipynb")
    monkeypatch.setattr(engine, "solution_source", lambda name: f"def {exercise.name}(*inputs):\n    return None")
    assert solving.solve(tmp_path / "solved", {"00": path}) == 1
    assert not (tmp_path / "solved" / path.name).exists()
    assert "cell answer-cell" in capsys.readouterr().out


def test_chapters_are_chosen_by_number(tmp_path):
    for name in ("00_first.ipynb", "01_second.ipynb", "notes.ipynb"):
        small.save(small.clean(), tmp_path, name)
    assert list(notebooks.chosen([], tmp_path)) == ["00", "01"]
    assert list(notebooks.chosen(["1"], tmp_path)) == ["01"]
    with pytest.raises(CommandError, match="There is no chapter 07; there are 00, 01"):
        notebooks.chosen(["7"], tmp_path)
