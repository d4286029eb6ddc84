"""Progress survives kills, several writers, broken files and folders that cannot be written."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from course_utils import progress
from course_utils.layout import ROOT
from course_utils.progress import Progress


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.setattr(progress, "_unsaved", {})
    monkeypatch.setattr(progress, "_warned", set())
    return tmp_path / "progress.json"


def start_writer(path, code):
    """A Python process with `p`, a Progress at `path`, that runs `code`."""
    setup = f"from course_utils.progress import Progress\np = Progress({str(path)!r})\n"
    return subprocess.Popen([sys.executable, "-u", "-c", setup + code], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_passes_stay_and_are_counted(path):
    Progress().mark_attempt("01.1")
    assert not Progress().passed("01.1")
    Progress().mark_passed("01.1")
    Progress().mark_attempt("01.1")
    assert Progress().passed("01.1")
    assert json.loads(path.read_text())["exercises"]["01.1"]["attempts"] == 3


def test_hints_are_counted(path):
    assert [Progress().mark_hint("01.1") for _ in range(3)] == [1, 2, 3]
    assert Progress().mark_hint("01.2") == 1


def test_summary_groups_by_chapter(path):
    Progress().mark_passed("00.1")
    Progress().mark_passed("01.2")
    Progress().mark_attempt("01.3")
    Progress().answered("01-opening", 0, 2, False)
    Progress().answered("01-opening", 1, 0, True)
    assert Progress().summary() == {
        "00": {"passed": {"00.1"}, "answered": {}},
        "01": {"passed": {"01.2"}, "answered": {"01-opening": {0: False, 1: True}}},
    }


def test_a_right_answer_stays_right(path):
    Progress().answered("01-closing", 0, 1, True)
    Progress().answered("01-closing", 0, 2, False)
    assert Progress().summary()["01"]["answered"]["01-closing"] == {0: True}


def test_nothing_exists_before_the_first_change(path):
    assert Progress().summary() == {}
    assert not path.exists()


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"exercises": {}}', b'{"exercises": {"01.1": 3}, "quizzes": {}}',
    b'{"exercises": {"01.1": {"hints": "many"}}, "quizzes": {}}', b'{"exercises": {}, "quizzes": {"q": {"x": {}}}}',
    b'{"exercises": {}, "quizzes": {"q": {"0": {"correct": 1}}}}', b"[" * 100_000,
    b'{"exercises": {"01.1": {"hints": -9}}, "quizzes": {}}',
    '{"exercises": {}, "quizzes": {"q": {"\u00b2": {"correct": true}}}}'.encode(),
])
def test_a_broken_file_is_set_aside_with_one_line(path, content, capsys):
    path.write_bytes(content)
    assert Progress().summary() == {}
    assert path.read_bytes() == content  # reading alone moves nothing
    Progress().mark_passed("01.1")
    assert Progress().passed("01.1")
    aside, = path.parent.glob("progress.broken-????-??-??.json")
    assert aside.read_bytes() == content
    warning = capsys.readouterr().err
    assert aside.name in warning and warning.count("\n") == 1


def test_a_second_broken_file_does_not_replace_the_first(path, capsys):
    for content in ("first", "second"):
        path.write_text(content)
        Progress().mark_passed("01.1")
    assert sorted(file.read_text() for file in path.parent.glob("progress.broken-*.json")) == ["first", "second"]


def test_a_folder_that_cannot_be_written_warns_once_and_keeps_the_session(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("a file where the folder should be")
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "file" / "progress.json"))
    assert [Progress().mark_hint("01.1") for _ in range(2)] == [1, 2]
    Progress().mark_passed("01.1")
    assert Progress().passed("01.1")
    warning = capsys.readouterr().err
    assert "cannot be saved" in warning and warning.count("\n") == 1


def test_what_could_not_be_written_is_written_later_beside_what_others_wrote(path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(progress, "write_whole", fail)
        Progress().mark_passed("01.1")
    writer = start_writer(path, 'p.mark_passed("01.2")')
    assert writer.wait() == 0
    Progress().mark_passed("01.3")
    monkeypatch.setattr(progress, "_unsaved", {})  # as another kernel sees it
    assert Progress().summary()["01"]["passed"] == {"01.1", "01.2", "01.3"}


def fail(path, content):
    raise OSError(28, "No space left on device")


def test_a_file_that_cannot_be_read_is_not_replaced(path, monkeypatch, capsys):
    path.mkdir()  # reading and replacing fail, as for a file without permissions, also for root
    Progress().mark_passed("01.1")
    assert path.is_dir() and Progress().passed("01.1")


def test_a_link_is_followed(path, tmp_path):
    target = tmp_path / "elsewhere" / "mine.json"
    target.parent.mkdir()
    path.symlink_to(target)
    Progress().mark_passed("01.1")
    assert path.is_symlink() and "01.1" in target.read_text()


def test_two_processes_at_once_lose_nothing(path):
    code = "import sys\nfor n in range(40): p.mark_hint('01.1'); p.mark_passed(f'0{sys.argv[1]}.{n}')"
    writers = [
        subprocess.Popen([sys.executable, "-c", f"from course_utils.progress import Progress\n"
                                                f"p = Progress({str(path)!r})\n{code}", str(chapter)], cwd=ROOT)
        for chapter in (3, 4)
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    summary = Progress().summary()
    assert len(summary["03"]["passed"]) == len(summary["04"]["passed"]) == 40
    assert json.loads(path.read_text())["exercises"]["01.1"]["hints"] == 80


def test_threads_of_one_process_lose_nothing(path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: Progress().mark_passed(f"05.{number}"), range(40)))
    assert len(Progress().summary()["05"]["passed"]) == 40


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_kill_in_the_middle_of_a_write_leaves_the_earlier_data(path, call):
    """The process is killed, for real, at the very call that would make the new data visible."""
    Progress().mark_passed("01.1")
    writer = start_writer(path, f"""
import os, signal
os.{call} = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
p.mark_passed("01.2")
""")
    assert writer.wait() == -9
    assert json.loads(path.read_text())["exercises"].keys() == {"01.1"}
    assert list(path.parent.glob("*.tmp")) or list(path.parent.glob(".*.tmp"))
    Progress().mark_passed("01.3")  # the lock went with the process, and its leftovers are removed
    assert Progress().summary()["01"]["passed"] == {"01.1", "01.3"}
    assert not list(path.parent.glob(".*.tmp"))


def test_kills_at_any_moment_leave_a_whole_file(path):
    """Writers in a loop, each killed once it has said that a further entry is in; whatever it said must be there."""
    Progress().mark_passed("01.1")
    said = set()
    for chapter in range(2, 8):
        writer = start_writer(path, f"n = 0\nwhile True:\n p.mark_passed(f'0{chapter}.{{n}}'); print(n); n += 1\n")
        for _ in range(3 + chapter):
            said.add(f"0{chapter}.{int(writer.stdout.readline())}")
        writer.kill()
        said.update(f"0{chapter}.{int(line)}" for line in writer.stdout.read().splitlines())
        writer.wait()
        assert said <= json.loads(path.read_text())["exercises"].keys()
    assert Progress().passed("01.1")
    assert not list(path.parent.glob("*.broken-*"))


def test_a_stopped_writer_holds_up_nobody_for_ever(path, monkeypatch):
    monkeypatch.setattr(progress, "LOCK_SECONDS", 0.1)
    holder = start_writer(path, """
import fcntl, signal
lock = open(p.path.with_name(f".{p.path.name}.lock"), "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held")
signal.pause()
""")
    try:
        assert holder.stdout.readline() == "held\n"
        Progress().mark_passed("01.1")
        assert Progress().passed("01.1")
    finally:
        holder.kill()
        holder.wait()


def test_no_torch():
    code = "import sys, course_utils.progress; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ.copy()).returncode == 0
