"""The student's copy: follows updates until something is written in it, and is never overwritten after that."""

import datetime
import json
import os
import signal
import subprocess
import sys

import pytest

from course_utils import layout
from course_utils.commands import CommandError, work

NAME = "05_positions.ipynb"


def notebook(*sources, outputs=()):
    cells = [{"cell_type": "code", "id": f"cell-{n}", "metadata": {}, "execution_count": None,
              "outputs": list(outputs), "source": source} for n, source in enumerate(sources)]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def write(path, *sources, **more):
    path.write_text(notebook(*sources, **more), encoding="utf-8")


def sources(path):
    return ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


@pytest.fixture
def course(tmp_path):
    """A folder with one chapter in notebooks/; returns (notebooks, work)."""
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    write(notebooks / NAME, "import torch", "x = 1")
    return notebooks, tmp_path / "work"


# ---- the first copy --------------------------------------------------------------------------------------------------


def test_a_chapter_is_copied_once_byte_for_byte(course):
    notebooks, copies = course
    assert work.prepare(notebooks, copies) == ([copies / NAME], [])
    assert (copies / NAME).read_bytes() == (notebooks / NAME).read_bytes()
    assert work.prepare(notebooks, copies) == ([], [])


def test_links_hold_in_the_copy(course):
    notebooks, copies = course
    (notebooks.parent / "assets").mkdir()
    (notebooks.parent / "assets" / "map.png").touch()
    work.prepare(notebooks, copies)
    for folder in (notebooks, copies):
        assert (folder / ".." / "assets" / "map.png").exists() and (folder / NAME).exists()
    assert layout.WORK.parent == layout.NOTEBOOKS.parent


def test_a_copy_can_be_written_although_the_original_cannot(course):
    notebooks, copies = course
    (notebooks / NAME).chmod(0o444)
    work.prepare(notebooks, copies)
    assert (copies / NAME).stat().st_mode & 0o200


# ---- updates ---------------------------------------------------------------------------------------------------------


def test_an_unchanged_copy_follows_an_update(course):
    notebooks, copies = course
    work.prepare(notebooks, copies)
    write(notebooks / NAME, "import torch", "x = 2")
    written, notices = work.prepare(notebooks, copies)
    assert written == [copies / NAME] and sources(copies / NAME) == ["import torch", "x = 2"]
    assert len(notices) == 1 and "05 has a new edition" in notices[0] and "was replaced" in notices[0]


def test_outputs_do_not_count_as_changes(course):
    notebooks, copies = course
    work.prepare(notebooks, copies)
    write(copies / NAME, "import torch", "x = 1", outputs=[{"output_type": "stream", "name": "stdout", "text": "1"}])
    kept = (copies / NAME).read_bytes()
    assert work.prepare(notebooks, copies) == ([], [])
    assert (copies / NAME).read_bytes() == kept       # no new edition: what was computed stays
    write(notebooks / NAME, "import torch", "x = 2")
    assert work.prepare(notebooks, copies)[0] == [copies / NAME]


@pytest.mark.parametrize("before, after, changed", [
    (["import torch", "x = 1"], ["import torch", ["x ", "= 1"]], False),      # the same source as a list of pieces
    (["import torch", "x = 1"], ["import torch", "x = 1", ""], False),        # JupyterLab's empty last cell
    (["import torch", "x = 1"], ["import torch", "x = 1", "# mine"], True),
    (["import torch", "x = 1"], ["import torch"], True),
    (["import torch", "x = 1"], ["import torch", ""], True),                  # an emptied cell is a change
    (["import torch", "x = 1"], ["x = 1", "import torch"], True),
    (["import torch", "x = 1"], ["import torch", "x = 1 "], True),
])
def test_what_counts_as_changed(tmp_path, before, after, changed):
    write(tmp_path / "before.ipynb", *before)
    write(tmp_path / "after.ipynb", *after)
    assert (work.digest(tmp_path / "before.ipynb") != work.digest(tmp_path / "after.ipynb")) == changed


def test_a_changed_copy_gets_a_notice_and_stays(course):
    notebooks, copies = course
    work.prepare(notebooks, copies)
    write(copies / NAME, "import torch", "x = 1", "my_answer = 42")
    kept = (copies / NAME).read_bytes()
    assert work.prepare(notebooks, copies) == ([], [])            # no notice while the chapter is the same
    for edition in (2, 3):
        write(notebooks / NAME, "import torch", f"x = {edition}")
        written, notices = work.prepare(notebooks, copies)
        assert written == [] and "has changes of yours" in notices[0] and "lab --reset 05" in notices[0]
        assert (copies / NAME).read_bytes() == kept


def test_a_copy_brought_back_to_an_older_edition_holds_nothing_of_the_students(course):
    notebooks, copies = course
    first = (notebooks / NAME).read_bytes()
    work.prepare(notebooks, copies)
    write(notebooks / NAME, "x = 2")
    work.prepare(notebooks, copies)
    (copies / NAME).write_bytes(first)
    assert work.prepare(notebooks, copies)[0] == [copies / NAME]
    assert sources(copies / NAME) == ["x = 2"]


def test_one_changed_chapter_does_not_hold_up_the_others(course):
    notebooks, copies = course
    write(notebooks / "06_other.ipynb", "y = 1")
    work.prepare(notebooks, copies)
    write(copies / NAME, "mine")
    write(notebooks / NAME, "x = 2")
    write(notebooks / "06_other.ipynb", "y = 2")
    written, notices = work.prepare(notebooks, copies)
    assert written == [copies / "06_other.ipynb"] and len(notices) == 2


# ---- reset -----------------------------------------------------------------------------------------------------------


def test_reset_puts_a_fresh_copy_beside_a_dated_backup(course):
    notebooks, copies = course
    work.prepare(notebooks, copies)
    write(copies / NAME, "mine")
    kept = (copies / NAME).read_bytes()
    copy, backup = work.reset("05", notebooks, copies, datetime.datetime(2025, 3, 9, 8, 7, 6))
    assert copy.read_bytes() == (notebooks / NAME).read_bytes()
    assert backup.name == "05_positions-backup-2025-03-09-080706.ipynb" and backup.read_bytes() == kept
    assert work.prepare(notebooks, copies) == ([], [])
    assert set(layout.chapter_notebooks(copies)) == {"05"}        # the backup is no chapter


def test_resets_in_the_same_second_keep_every_backup(course):
    notebooks, copies = course
    now = datetime.datetime(2025, 3, 9, 8, 7, 6)
    backups = []
    for text in ("first", "second", "third"):
        copies.mkdir(exist_ok=True)
        write(copies / NAME, text)
        backups.append(work.reset("05", notebooks, copies, now)[1])
    assert [sources(path) for path in backups] == [["first"], ["second"], ["third"]]


def test_reset_works_without_a_copy_and_with_a_broken_one(course):
    notebooks, copies = course
    assert work.reset("05", notebooks, copies) == (copies / NAME, None)
    (copies / NAME).write_text("{ broken")
    _, backup = work.reset("05", notebooks, copies)
    assert backup.read_text() == "{ broken" and sources(copies / NAME) == ["import torch", "x = 1"]


# ---- things gone wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "{ broken", "[]", "null", '{"cells": [1]}', '{"cells": [{"source": 5}]}',
                                     pytest.param("[" * 100_000, id="deep")])
def test_a_broken_copy_is_left_as_it_is_with_a_notice(course, content):
    notebooks, copies = course
    work.prepare(notebooks, copies)
    (copies / NAME).write_text(content)
    written, notices = work.prepare(notebooks, copies)
    assert written == [] and (copies / NAME).read_text() == content
    assert "is not a readable notebook" in notices[0] and "--reset 05" in notices[0]


def remove_records(copies):
    for record in (copies / work.RECORDS).iterdir():
        record.unlink()


def test_deleted_records_of_an_unchanged_copy_heal(course):
    notebooks, copies = course
    work.prepare(notebooks, copies)
    remove_records(copies)
    assert work.prepare(notebooks, copies) == ([], [])
    write(notebooks / NAME, "x = 2")
    assert work.prepare(notebooks, copies)[0] == [copies / NAME]


@pytest.mark.parametrize("record", [None, "{ broken", '{"no": "list"}'])
def test_without_a_record_a_copy_that_differs_counts_as_changed(course, record):
    notebooks, copies = course
    work.prepare(notebooks, copies)
    remove_records(copies)
    if record:
        work.record_of(copies / NAME).write_text(record)
    write(notebooks / NAME, "x = 2")
    written, notices = work.prepare(notebooks, copies)
    assert written == [] and sources(copies / NAME) == ["import torch", "x = 1"]
    assert "differs from your copy" in notices[0]


def test_a_chapter_the_course_no_longer_has_stays_and_is_named_once(course):
    notebooks, copies = course
    work.prepare(notebooks, copies)
    (notebooks / NAME).unlink()
    written, notices = work.prepare(notebooks, copies)
    assert written == [] and f"no longer has {NAME}" in notices[0] and (copies / NAME).exists()
    assert work.prepare(notebooks, copies) == ([], [])


def test_a_place_that_cannot_be_written_gives_one_sentence(course):
    notebooks, copies = course
    copies.write_text("a file where the folder should be")
    with pytest.raises(CommandError, match="cannot be written"):
        work.prepare(notebooks, copies)
    with pytest.raises(CommandError, match="cannot be written"):
        work.reset("05", notebooks, copies)


def test_a_read_only_folder_gives_one_sentence_and_loses_nothing(course):
    """Root may write everywhere, so the attempt is made by another user where the tests run as root."""
    notebooks, copies = course
    work.prepare(notebooks, copies)
    kept = (copies / NAME).read_bytes()
    write(notebooks / NAME, "x = 2")
    copies.chmod(0o555)
    (copies / work.RECORDS).chmod(0o555)
    for folder in (copies.parent, *copies.parent.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)   # pytest's own folders are private
    # The user changes after the imports: the other one may not be able to read this Python.
    script = ("import sys; from course_utils.commands import CommandError, work; import os\n"
              "os.geteuid() or os.setuid(65534)\n"
              "try: work.prepare(sys.argv[1], sys.argv[2])\n"
              "except CommandError as problem: print(problem)\n")
    done = subprocess.run([sys.executable, "-c", script, notebooks, copies], cwd=layout.ROOT, text=True,
                          capture_output=True)
    assert "cannot be written (Permission denied" in done.stdout, done.stderr
    assert (copies / NAME).read_bytes() == kept


@pytest.mark.parametrize("stage", range(1, 7))
def test_killed_at_any_file_operation_the_next_start_is_right(course, stage):
    """Killed before its n-th step that changes the disk, during the first copy and during an update."""
    notebooks, copies = course
    kill = ("import builtins, os, signal, sys; from course_utils.commands import work\n"
            "left = int(sys.argv[3])\n"
            "def counted(function):\n"
            "    def step(*words, **more):\n"
            "        global left\n"
            "        left -= 1\n"
            "        left or os.kill(os.getpid(), signal.SIGKILL)\n"
            "        return function(*words, **more)\n"
            "    return step\n"
            "os.replace, os.fsync = counted(os.replace), counted(os.fsync)\n"
            "reading, writing = open, counted(open)\n"
            "builtins.open = lambda path, mode='r', **more: (writing if 'w' in mode else reading)(path, mode, **more)\n"
            "work.prepare(sys.argv[1], sys.argv[2])\n")
    for edition in ("x = 1", "x = 2"):
        write(notebooks / NAME, edition)
        done = subprocess.run([sys.executable, "-c", kill, notebooks, copies, str(stage)], cwd=layout.ROOT)
        assert done.returncode == -signal.SIGKILL
        _, notices = work.prepare(notebooks, copies)
        assert sources(copies / NAME) == [edition]
        assert not any("yours" in notice for notice in notices)
        assert set(os.listdir(copies)) >= {NAME, work.RECORDS} and set(layout.chapter_notebooks(copies)) == {"05"}
