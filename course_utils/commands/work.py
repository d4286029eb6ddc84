"""The student's copy of the chapters in `work/`: it follows updates until something is written in it. Stdlib only.

For each chapter `work/.copied/NN_name.json` lists a digest of the cell sources of every edition that was ever copied. A
copy whose digest stands there holds nothing that a student wrote and may be replaced; any other is never touched. The
digest is recorded *before* the copy is made, so that a process killed in between leaves nothing that looks changed.
"""

import contextlib
import datetime
import hashlib
import json
import os
from pathlib import Path

from course_utils import layout
from course_utils.commands import CommandError
from course_utils.layout import write_whole

RECORDS = ".copied"


class Unreadable(Exception):
    """A file that should be a notebook and is none; the message says why. path: the file."""

    def __init__(self, why, path):
        super().__init__(why)
        self.path = path


def prepare(notebooks=None, work=None):
    """Bring `work` up to date with the chapters in `notebooks`, without touching anything a student wrote.

    Returns (written, notices): the copies that were made or replaced, and one sentence for each chapter the student
    should know something about. Raises CommandError when `work` cannot be written.
    """
    notebooks, work = Path(notebooks or layout.NOTEBOOKS), Path(work or layout.WORK)
    written, notices = [], []
    with writing_in(work):
        for number, source in layout.chapter_notebooks(notebooks).items():
            copied, notice = follow(source, work / source.name, number)
            written += [work / source.name] if copied else []
            notices += [notice] if notice else []
        notices += removed_chapters(notebooks, work)
    return written, notices


def follow(source, copy, number):
    """Make, update or leave alone the copy of one chapter. Returns (was it written, notice or None)."""
    current = digest(source)
    if not copy.exists():
        remember(copy, current)
        write_whole(copy, source.read_bytes())
        return True, None
    try:
        mine = digest(copy)
    except Unreadable as problem:
        return False, (f"Chapter {number}: {copy} {problem}. It is left as it is; "
                       f"`lab --reset {number}` keeps it as a dated backup and puts a fresh copy in its place.")
    if mine == current:
        remember(copy, current)       # also heals a record that was deleted
        return False, None
    known = remembered(copy)
    if mine in known:
        remember(copy, current)
        write_whole(copy, source.read_bytes())
        return True, f"Chapter {number} has a new edition. Your copy had no changes and was replaced by it."
    if current in known:
        return False, None            # the student is at work on the newest edition
    news = "has a new edition, and your copy has changes of yours" if known else "differs from your copy"
    return False, (f"Chapter {number} {news}. Your copy is left as it is; "
                   f"`lab --reset {number}` puts a fresh one in its place and keeps yours as a dated backup.")


def reset(number, notebooks=None, work=None, now=None):
    """Put a fresh copy of a chapter into `work`; what was there is kept in a dated file beside it.

    number: such as "05". now: datetime of the backup's name, for tests.
    Returns (copy, backup), backup None where there was nothing to keep. Raises CommandError when it cannot be written.
    """
    notebooks, work = Path(notebooks or layout.NOTEBOOKS), Path(work or layout.WORK)
    source = layout.chapter_notebooks(notebooks)[number]
    copy, backup = work / source.name, None
    with writing_in(work):
        current = digest(source)
        if copy.exists():
            backup = keep_backup(copy, now or datetime.datetime.now())
        remember(copy, current)
        write_whole(copy, source.read_bytes())
    return copy, backup


def keep_backup(copy, now):
    """Write the file's bytes under a new dated name. An existing file of that name is never overwritten."""
    content = copy.read_bytes()
    stem = f"{copy.stem}-backup-{now:%Y-%m-%d-%H%M%S}"
    attempt = 1
    while True:
        backup = copy.with_name(f"{stem}{f'-{attempt}' if attempt > 1 else ''}{copy.suffix}")
        try:
            with open(backup, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            return backup
        except FileExistsError:
            attempt += 1


def removed_chapters(notebooks, work):
    """One sentence for each copied chapter that the course no longer has. Its copy stays; it is said once."""
    notices = []
    for record in sorted((work / RECORDS).glob("[0-9]*.json")):      # not those of `present`
        name = f"{record.stem}.ipynb"
        if (notebooks / name).exists():
            continue
        record.unlink()
        if (work / name).exists():
            notices.append(f"The course no longer has {name}. Your copy stays in {work}.")
    return notices


# ---- digests and records ---------------------------------------------------------------------------------------------


def digest(path):
    """Hash of a notebook's cell sources, in order. Outputs, ids and metadata do not count, nor do empty cells.

    Empty cells are left out because JupyterLab adds one when the last cell is run.
    Raises Unreadable when the file is no notebook.
    """
    try:
        return digest_of(path.read_bytes())
    except OSError as problem:
        raise Unreadable(f"cannot be read ({problem.strerror})", path) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unreadable("is not a readable notebook", path) from None


def digest_of(content):
    """The digest of a notebook whose file holds these bytes."""
    cells = json.loads(content.decode())["cells"]
    sources = [[cell["cell_type"], "".join(cell["source"])] for cell in cells]
    written = [source for source in sources if source[1].strip()]
    return hashlib.sha256(json.dumps(written).encode()).hexdigest()


def untouched(copy):
    """True where the file is one of the editions that were copied: nobody wrote anything in it."""
    try:
        return digest(copy) in remembered(copy)
    except Unreadable:
        return False


def record_of(copy):
    return copy.parent / RECORDS / f"{copy.stem}.json"


def remembered(copy):
    """Digests of every edition that was copied here; empty when the record is missing or broken."""
    try:
        known = json.loads(record_of(copy).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return known if isinstance(known, list) else []


def remember(copy, value):
    known = remembered(copy)
    if value not in known:
        write_whole(record_of(copy), json.dumps([*known, value], indent=1).encode())


@contextlib.contextmanager
def writing_in(work):
    try:
        work.mkdir(parents=True, exist_ok=True)
        yield
    except Unreadable as problem:
        raise CommandError(f"A notebook of the course itself, {problem.path}, {problem}: is this the whole course?") \
            from None
    except OSError as problem:
        raise CommandError(f"Your copies of the chapters belong into {work}, but it cannot be written "
                           f"({problem.strerror}: {problem.filename}). Make the folder writable.") from None
