"""Notebooks as data: read, execute, normalise, write; and the command `refresh`.

Only the standard library is imported at the top: nbformat and nbclient exist once the environment is set up.
"""

import copy
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from course_utils import layout
from course_utils.commands import CommandError, lints
from course_utils.layout import write_whole

CELL_SECONDS = 400                     # a cell that takes longer hangs; the design allows 40, a busy machine needs more
OFFLINE = Path(__file__).resolve().parent / "offline"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
# What tqdm writes: "45%|####5     | 9/20 [00:01<00:01, 8.9it/s]", or "9it [00:01, 8.9it/s]" without a known total.
PROGRESS_BAR = re.compile(r"(\d+%\|.*\||\d+\S*it\b).*\[\d+:\d\d")
PASSING_METADATA = {"execution", "collapsed", "scrolled", "ExecuteTime", "editable", "deletable", "trusted"}
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


class NotebookError(Exception):
    """A notebook that could not be read or executed; the message says which cell failed and why, in one line."""


# ---- files

def read(path):
    """The notebook in the file `path`, exactly as it stands there. Raises NotebookError where it is none."""
    from nbformat import v4

    try:
        # nbformat.read would quietly give a doubled cell id a new name; the lints are to find it.
        return v4.reads(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise NotebookError(f"it cannot be read ({problem.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        why = f"{type(problem).__name__}: {first_line(problem)}"
        raise NotebookError(f"it is not a readable notebook ({why})") from None


def text_of(nb):
    """The notebook as the text of its file; the same notebook always gives the same text."""
    from nbformat import v4

    return v4.writes(nb).rstrip("\n") + "\n"


def chosen(numbers, folder=layout.NOTEBOOKS):
    """Chapters as a dict from number to path: those asked for ("1", "01"), or all. Raises CommandError for others."""
    found = layout.chapter_notebooks(folder)
    if not found:
        raise CommandError(f"There is no notebook in {folder}.")
    wanted = [str(number).zfill(2) for number in numbers]
    if missing := [number for number in wanted if number not in found]:
        raise CommandError(f"There is no chapter {', '.join(missing)}; there are {', '.join(found)}.")
    return {number: path for number, path in found.items() if not wanted or number in wanted}


# ---- executing

@contextmanager
def quiet_environment(offline=True, **more):
    """Environment variables for tests and notebooks: a progress file of their own and the CPU.

    offline: also no network, for executing notebooks. more: further variables.
    Yields a dict for a child process; the folder with the progress file is gone afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        environment = {key: value for key, value in os.environ.items() if key != "COURSE_STRICT"}
        paths = [str(OFFLINE)] * offline + [str(layout.ROOT), environment.get("PYTHONPATH", "")]
        environment.update(
            COURSE_PROGRESS=str(Path(folder) / "progress.json"),
            COURSE_DEVICE="cpu",
            PYTHONPATH=os.pathsep.join(path for path in paths if path),
            JUPYTER_PREFER_ENV_PATH="1",    # the kernel of this Python, not one the user installed under the same name
            **more,
        )
        yield environment


def execute(path, on_cell=None, strict=False, cell_seconds=CELL_SECONDS):
    """Execute a notebook top to bottom in a fresh kernel and return it with its new outputs; the file stays as it is.

    path: the file; the kernel runs in its folder. on_cell: called as on_cell(cell, number, total, seconds) after each
    code cell, seconds None before it. strict: an exercise that does not pass is an error. Raises NotebookError.
    """
    nb = read(path)
    with quiet_environment(**({"COURSE_STRICT": "1"} if strict else {})) as environment:
        return execute_in(nb, Path(path).parent, environment, on_cell, cell_seconds)


def execute_in(nb, folder, environment, on_cell=None, cell_seconds=CELL_SECONDS):
    """Execute `nb` in `folder` with these environment variables; see `execute`."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    watch = Watch(nb, on_cell)
    client = NotebookClient(
        nb, timeout=cell_seconds, kernel_name="python3", record_timing=False, store_widget_state=False,
        resources={"metadata": {"path": str(folder)}}, on_cell_start=watch.started, on_cell_executed=watch.finished,
    )
    try:
        client.execute(env=environment, stderr=subprocess.DEVNULL)
    except CellExecutionError as error:
        raise NotebookError(f"{watch.where()}: {error.ename}: {first_line(error.evalue)}") from None
    except CellTimeoutError:
        raise NotebookError(f"{watch.where()}: not finished after {cell_seconds} s") from None
    except DeadKernelError:
        raise NotebookError(f"{watch.where()}: the kernel died (out of memory, for one)") from None
    return nb


class Watch:
    """Knows which cell is running, and tells the caller the time each one took."""

    def __init__(self, nb, on_cell):
        self.names = [lints.name_of(cell) for cell in lints.code_cells(nb)]
        self.on_cell = on_cell or (lambda *_: None)
        self.number, self.since = 0, 0.0

    def started(self, cell, cell_index):
        if cell["cell_type"] == "code":
            self.number, self.since = self.number + 1, time.perf_counter()
            self.on_cell(cell, self.number, len(self.names), None)

    def finished(self, cell, cell_index, execute_reply):
        self.on_cell(cell, self.number, len(self.names), time.perf_counter() - self.since)

    def where(self):
        if not self.number:
            return "before the first cell"
        return f"cell {self.names[self.number - 1]} ({self.number} of {len(self.names)})"


def first_line(text):
    """The first line of a message that says something, so that it stays one line."""
    return next((line.strip().rstrip(".") for line in str(text).splitlines() if line.strip()), "no message")


# ---- normalising

def normalise(nb):
    """A copy of `nb` as it is committed: what changes from run to run is gone, ids and pictures stay."""
    nb = copy.deepcopy(nb)
    nb["nbformat"], nb["nbformat_minor"] = 4, 5
    nb["metadata"].pop("widgets", None)
    nb["metadata"].update(copy.deepcopy(METADATA))
    for cell in nb["cells"]:
        for key in PASSING_METADATA & set(cell["metadata"]):
            del cell["metadata"][key]
        if cell["cell_type"] == "code":
            cell["outputs"] = merged(kept(output) for output in cell["outputs"])
    return nb


def kept(output):
    """The part of one output that is committed, or None: no widget view, no progress bar."""
    if output["output_type"] == "stream":
        lines = [overwritten(line) for line in re.findall(r"[^\n]*\n|[^\n]+", output["text"])]
        output["text"] = "".join(line for line in lines if not PROGRESS_BAR.search(line))
        return output if output["text"] and (output["name"] == "stdout" or output["text"].strip()) else None
    if "data" not in output:
        return output
    view = output["data"].pop(WIDGET_VIEW, None)
    output["metadata"].pop("needs_background", None)
    if PROGRESS_BAR.search(lints.output_text(output)) or (view is not None and not output["data"]):
        return None
    return output


def overwritten(line):
    """A line as a terminal shows it at the end: what stood before a carriage return is written over."""
    body = line.rstrip("\r\n")
    return body.rsplit("\r", 1)[-1] + ("\n" if line.endswith("\n") else "")


def merged(outputs):
    """Outputs with neighbouring pieces of the same stream joined: their cuts depend on the moment."""
    result = []
    for output in outputs:
        if output is None:
            continue
        stream = output["output_type"] == "stream"
        if stream and result and result[-1].get("name") == output["name"]:
            result[-1]["text"] += output["text"]
        else:
            result.append(output)
    return result


# ---- commands

def add_arguments(parser):
    parser.add_argument("chapters", metavar="CHAPTER", nargs="*", help="chapter numbers such as 01; all without one")


def run(arguments):
    """Carry out `refresh`. Returns the exit status."""
    return 1 if [path for number, path in chosen(arguments.chapters).items() if not refresh(path, number)] else 0


def refresh(path, number=None):
    """Execute the notebook in place, normalise and check it. Returns True where everything was right.

    After an error in a cell the file stays as it was. number: the chapter, or None for a notebook that is none:
    then it is not held against the project.
    """
    from course_utils.commands import agreement

    board = Board(path.name)
    try:
        nb = normalise(execute(path, board.on_cell))
    except NotebookError as error:
        board.line(f"{error}. The file stays as it was.")
        return False
    text = text_of(nb)
    write_whole(path, text.encode())
    found = lints.problems(nb, number, len(text.encode()))
    if number is not None:
        found += agreement.problems(nb, number)
        board.budget = agreement.by_number().get(number, {}).get("seconds")
    board.summary()
    for problem in found:
        print(f"    {problem}")
    return not found


class Board:
    """What a long execution shows: the running cell where the output is a terminal, then the times."""

    def __init__(self, name):
        self.name, self.seconds, self.budget = name, {}, None

    def on_cell(self, cell, number, total, seconds):
        if seconds is not None:
            self.seconds[lints.name_of(cell)] = seconds
        elif sys.stdout.isatty():
            print(f"\r\033[K{self.name}: cell {number} of {total}, {lints.name_of(cell)}", end="", flush=True)

    def line(self, text):
        print(("\r\033[K" if sys.stdout.isatty() else "") + f"{self.name}: {text}", flush=True)

    def total(self):
        return sum(self.seconds.values())

    def slowest(self, count=3):
        return sorted(self.seconds.items(), key=lambda item: -item[1])[:count]

    def summary(self):
        total = self.total()
        over = f", more than the {self.budget} s planned" if self.budget and total > self.budget else ""
        cells = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.slowest())
        self.line(f"{total:.1f} s{over}; slowest: {cells}")
