"""Where things lie in the project. Standard library only: the commands need it before anything is installed."""

import contextlib
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"        # the source of truth, with outputs
WORK = ROOT / "work"                  # the student's copies; ignored by git
ASSETS = ROOT / "assets"
RESULTS = ASSETS / "results"          # recorded experiments
CHECKPOINTS = ASSETS / "checkpoints"  # weights trained longer than a notebook can
VENV = ROOT / ".venv"
ARTEFACTS = ROOT / "artefacts"        # what a test run leaves behind, such as screenshots; ignored by git


def cache_folder():
    """Folder for what can be made again, such as the docstring corpus. `COURSE_CACHE` overrides."""
    return Path(os.environ.get("COURSE_CACHE") or ROOT / ".cache")


def chapter_notebooks(folder=NOTEBOOKS):
    """Chapters in `folder` as a dict from number ("01") to path, in order.

    Only names like `01_rnn.ipynb` count: backups and the reader's own notebooks do not.
    """
    found = sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))
    return {path.name[:2]: path for path in found if re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name)}


def write_whole(path, content):
    """Write a file in one step: a reader, or a process killed half-way, finds the old content or the new, never a part.

    content: bytes. Folders are made. Raises OSError where the file cannot be written; the old content then stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())      # without it a power cut could leave an empty file under the new name
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
