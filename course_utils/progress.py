"""What the reader has passed and answered, kept in one small JSON file. Standard library only.

Several kernels may write at once and any of them may be killed in the middle, so every change is read, made and
written under a lock, into a temporary file that replaces the old one in one step. Progress is never worth an
exception: what cannot be saved is told in one line and kept in memory for this session.
"""

import contextlib
import json
import os
import sys
import time
from datetime import datetime
from pathlib import Path

from course_utils.layout import WORK, write_whole

try:
    import fcntl
except ImportError:  # a system without POSIX locks: two kernels at once may lose an entry there
    fcntl = None

LOCK_SECONDS = 2.0
_unsaved = {}   # path -> changes that could not be written in this session
_warned = set()


def progress_file():
    """Path of the progress file: `COURSE_PROGRESS` where it is set, else `work/progress.json`."""
    return Path(os.environ.get("COURSE_PROGRESS") or WORK / "progress.json")


class Progress:
    """The reader's progress. Every call reads the file anew, so several kernels and widgets agree.

    path: the file; by default `progress_file()`.
    """

    def __init__(self, path=None):
        # A link is followed, so that a write replaces the file it points to and not the link.
        self.path = Path(os.path.realpath(path or progress_file()))

    def passed(self, exercise_id):
        """True once the exercise has been passed, whatever was tried later."""
        return "passed" in self._read()["exercises"].get(exercise_id, {})

    def mark_passed(self, exercise_id):
        """Remember a pass. The first date stays."""
        now = datetime.now().isoformat(timespec="seconds")

        def change(data):
            entry = _exercise(data, exercise_id)
            entry["attempts"] = entry.get("attempts", 0) + 1
            entry.setdefault("passed", now)
        self._change(change)

    def mark_attempt(self, exercise_id):
        """Count an answer that did not pass."""
        def change(data):
            entry = _exercise(data, exercise_id)
            entry["attempts"] = entry.get("attempts", 0) + 1
        self._change(change)

    def mark_hint(self, exercise_id):
        """Count a hint. Returns how many have been asked for, this one included."""
        def change(data):
            entry = _exercise(data, exercise_id)
            entry["hints"] = entry.get("hints", 0) + 1
            return entry["hints"]
        return self._change(change)

    def answered(self, quiz, question, choice, correct):
        """Remember an answer to a quiz: the latest choice, and whether any answer so far was right.

        quiz: name such as "01-opening"; question, choice: positions from 0; correct: bool.
        """
        def change(data):
            answers = data["quizzes"].setdefault(quiz, {})
            before = answers.get(str(question), {})
            answers[str(question)] = {
                "choice": int(choice),
                "correct": bool(correct) or before.get("correct", False),
            }
        self._change(change)

    def summary(self):
        """What was done, by chapter number.

        Returns {"01": {"passed": {"01.1", ...}, "answered": {"01-opening": {0: True, 1: False}, ...}}}: exercises
        passed, and for each quiz the questions answered (position from 0) with True where a right answer was given.
        """
        data = self._read()
        chapters = {}

        def chapter(name):
            return chapters.setdefault(name[:2], {"passed": set(), "answered": {}})

        for exercise_id, entry in data["exercises"].items():
            if "passed" in entry:
                chapter(exercise_id)["passed"].add(exercise_id)
        for quiz, answers in data["quizzes"].items():
            chapter(quiz)["answered"][quiz] = {int(question): answer["correct"] for question, answer in answers.items()}
        return chapters

    def _read(self):
        """The data on disk with what this session could not write; never an exception."""
        try:
            data = _parse(self.path.read_bytes())
        except (OSError, ValueError):  # the next change tells about a broken file and sets it aside
            data = _empty()
        for change in _unsaved.get(self.path, ()):
            change(data)
        return data

    def _change(self, change):
        """Read, change and write under the lock. Returns what `change` returns."""
        with _locked(self.path):
            try:
                self._set_aside_if_broken()
                data = self._read()
                result = change(data)
                write_whole(self.path, json.dumps(data, indent=1, sort_keys=True).encode())
                _unsaved.pop(self.path, None)
            except OSError as error:
                result = change(self._read())
                _unsaved.setdefault(self.path, []).append(change)
                _warn_once(self.path, f"Progress cannot be saved in {self.path.parent} ({error.strerror or error}); "
                                      "it is kept until this session ends.")
        return result

    def _set_aside_if_broken(self):
        """Rename a file that is not a progress file, so that it can still be looked at. Say so in one line.

        Raises OSError for a file that is there and cannot be read: it must not be replaced by an empty one.
        """
        try:
            _parse(self.path.read_bytes())
        except ValueError:
            aside = _free_name(self.path)
            with contextlib.suppress(OSError):
                self.path.rename(aside)
                _tell(f"The progress file could not be read; it was set aside as {aside.name} and a new one begun.")
        except FileNotFoundError:
            pass


def _empty():
    return {"exercises": {}, "quizzes": {}}


def _exercise(data, exercise_id):
    return data["exercises"].setdefault(exercise_id, {})


def _parse(content):
    """JSON bytes to data. Raises ValueError where the content is not what this module writes."""
    try:
        data = json.loads(content.decode())  # UnicodeDecodeError and JSONDecodeError are ValueErrors
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not _well_formed(data):
        raise ValueError("not a progress file")
    return data


def _well_formed(data):
    """True where every level of `data` is what the methods above rely on."""
    if not (isinstance(data, dict) and all(isinstance(data.get(key), dict) for key in _empty())):
        return False
    exercises = all(
        isinstance(entry, dict) and all(_is_count(entry.get(key, 0)) for key in ("attempts", "hints"))
        for entry in data["exercises"].values()
    )
    quizzes = all(
        isinstance(answers, dict) and all(
            question.isascii() and question.isdigit() and len(question) < 5
            and isinstance(answer, dict) and isinstance(answer.get("correct"), bool)
            for question, answer in answers.items()
        )
        for answers in data["quizzes"].values()
    )
    return exercises and quizzes


def _is_count(value):
    return isinstance(value, int) and value >= 0


@contextlib.contextmanager
def _locked(path):
    """Hold the lock beside `path`. Where it cannot be had in LOCK_SECONDS, go on without: waiting for ever is worse."""
    lock = _open_lock(path)
    if lock is None:
        yield
        return
    try:
        held = _acquire(lock)
        if held:
            _remove_leftovers(path)
        yield
    finally:
        os.close(lock)  # gives the lock back, as the end of the process does


def _open_lock(path):
    if fcntl is None:
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        return None


def _acquire(lock):
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:  # the holder is stopped
                return False
            time.sleep(0.01)
        except OSError:  # a file system without locks
            return False


def _remove_leftovers(path):
    """Remove temporary files of processes that were killed. Only the lock's holder may."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def _free_name(path):
    """A name with today's date that no file has yet: progress.broken-2025-01-31.json, …-31-2.json."""
    stem = f"{path.stem}.broken-{datetime.now():%Y-%m-%d}"
    candidate, number = path.with_name(f"{stem}{path.suffix}"), 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{stem}-{number}{path.suffix}")
    return candidate


def _warn_once(key, message):
    if key not in _warned:
        _warned.add(key)
        _tell(message)


def _tell(message):
    print(message, file=sys.stderr)
