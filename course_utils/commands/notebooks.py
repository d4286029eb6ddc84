"""Notebooks as data: read, execute, normalise, solve, reduce, write; and the commands `refresh` and `solve`.

Only the standard library is imported at the top: nbformat and nbclient exist once the environment is set up.
"""

import ast
import copy
import hashlib
import json
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
    wanted = [str(number).zfill(2) for number in numbers]
    if missing := [number for number in wanted if number not in found]:
        raise CommandError(f"There is no chapter {', '.join(missing)}; there are {', '.join(found) or 'none'}.")
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


# ---- the solved edition

def solved(nb):
    """A copy with every exercise's stub replaced by the course's own answer. Outputs stay as they were.

    Raises NotebookError for an answer cell without the stub.
    """
    from course_utils.exercises.engine import solution_source

    nb = copy.deepcopy(nb)
    for cell in lints.code_cells(nb):
        for name in lints.tags(cell, "exercise:"):
            try:
                cell["source"] = replace_definition(cell["source"], solution_source(name))
            except ValueError as error:
                raise NotebookError(f"cell {lints.name_of(cell)}: {error}") from None
    return nb


def defined_names(node):
    """Names that a top-level statement defines: of a function, a class or an assignment."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def replace_definition(source, answer):
    """`source` with the one statement that defines a name of `answer` replaced by `answer`.

    Raises ValueError where there is no such statement, or more than one.
    """
    names = set().union(*map(defined_names, ast.parse(answer).body))
    stubs = [node for node in ast.parse(source).body if defined_names(node) & names]
    if len(stubs) != 1:
        raise ValueError(f"{len(stubs)} statements define {', '.join(sorted(names))}; one must")
    decorators = [node.lineno for node in getattr(stubs[0], "decorator_list", [])]
    first, last = min([stubs[0].lineno, *decorators]), stubs[0].end_lineno
    lines = source.splitlines()
    return "\n".join([*lines[: first - 1], *answer.strip("\n").splitlines(), *lines[last:]])


def reduced(nb):
    """A copy with the code that the exercises need and no more: the import cell, answer cells, calls of `use`.

    Outputs are cleared, and with them goes the wish to have them compared.
    """
    nb = copy.deepcopy(nb)
    nb["cells"] = [cell for cell in lints.code_cells(nb) if serves_exercises(cell)]
    for cell in nb["cells"]:
        cell["outputs"], cell["execution_count"] = [], None
        cell["metadata"]["tags"] = [tag for tag in lints.tags(cell) if tag != "nbval-check-output"]
    return nb


def serves_exercises(cell):
    return "imports" in lints.tags(cell) or bool(lints.tags(cell, "exercise:")) or bool(lints.calls(cell, "use"))


# ---- commands

def add_arguments(parser):
    """Arguments of `refresh` or of `solve`; the parser's default `command` says which."""
    if parser.get_default("command") == "solve":
        parser.add_argument("folder", metavar="DIR", type=Path, help="folder for the solved edition, new or empty")
    parser.add_argument("chapters", metavar="CHAPTER", nargs="*", help="chapter numbers such as 01; all without one")


def run(arguments):
    """Carry out `refresh` or `solve`. Returns the exit status."""
    paths = chosen(arguments.chapters)
    if not paths:
        raise CommandError(f"There is no notebook in {layout.NOTEBOOKS}.")
    if arguments.command == "solve":
        return solve(arguments.folder, paths)
    return 1 if [path for number, path in paths.items() if not refresh(path, number)] else 0


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


MARK = ".solved-edition.json"          # file name -> hash of what `solve` wrote


def solve(folder, paths):
    """Write the solved edition of the chapters into `folder`. Returns the exit status.

    The exercises are run and must pass; all other cells keep the outputs of the shipped notebook. A folder that
    `solve` did not make is not touched, nor is a solved notebook that somebody has changed since.
    """
    written = earlier_edition(folder)
    try:
        write_whole(folder / MARK, as_mark(written))   # before the chapters run: it takes minutes to get there again
    except OSError as problem:
        raise CommandError(f"{folder} cannot be written ({problem.strerror}): choose another folder.") from None
    failed = False
    for path in paths.values():
        target = folder / path.name
        if target.exists() and written.get(path.name) != digest(target.read_bytes()):
            print(f"{target} was changed by hand and stays as it is; remove it to have it written again.")
            failed = True
            continue
        try:
            text = text_of(solved_with_outputs(path))
        except NotebookError as error:
            print(f"{path.name}: {error}. Not written.")
            failed = True
            continue
        written[path.name] = digest(text.encode())
        write_whole(folder / MARK, as_mark(written))
        write_whole(target, text.encode())
        print(f"{target}: solved, every exercise passed")
    return 1 if failed else 0


def earlier_edition(folder):
    """What `solve` wrote there before, as a dict from file name to hash. Raises CommandError for a foreign folder."""
    mark = folder / MARK
    if mark.is_file():
        try:
            return dict(json.loads(mark.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise CommandError(f"{mark}, which lists what `solve` wrote there, cannot be read: choose a new folder.") \
                from None
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CommandError(f"{folder} is not empty and was not made by `solve`: choose a new folder.")
    return {}


def as_mark(written):
    return json.dumps(written, indent=1).encode()


def digest(content):
    return hashlib.sha256(content).hexdigest()


def solved_with_outputs(path):
    """The solved edition of one notebook, its exercises executed. Raises NotebookError where one does not pass."""
    nb = solved(read(path))
    with quiet_environment(COURSE_STRICT="1") as environment:
        executed = normalise(execute_in(reduced(nb), path.parent, environment))
    outputs = {cell["id"]: cell["outputs"] for cell in executed["cells"] if "imports" not in lints.tags(cell)}
    for cell in nb["cells"]:
        if cell["id"] in outputs:
            cell["outputs"] = outputs[cell["id"]]
            renumber(cell)
    return nb


def renumber(cell):
    """A result bears the number of its cell, which in the whole notebook is another than in the reduced one."""
    for output in cell["outputs"]:
        if "execution_count" in output:
            output["execution_count"] = cell["execution_count"]
