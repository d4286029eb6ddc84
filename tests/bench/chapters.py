"""Seconds to execute each notebook, its slowest cells, and the memory that its kernel takes."""

import statistics
import sys

from nbformat import v4

from bench.measuring import markdown
from course_utils import layout
from course_utils.commands import notebooks
from course_utils.concepts import chapters

# The most memory the process ever held. getrusage counts in kB on Linux and in bytes on macOS.
ASK_MEMORY = "import resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
BYTES = 1 if sys.platform == "darwin" else 1024


def measure(rounds):
    """For each chapter the median seconds, the budget, the three slowest cells and the kernel's memory in MB.

    Rounds go over all chapters.
    """
    runs = {path: [] for path in layout.chapter_notebooks().values()}
    for _ in range(rounds):
        for path, measured in runs.items():
            board = notebooks.Board(path.name)
            measured.append((board, memory_of(path, board)))
            board.summary()
    budgets = {row["file"]: row["seconds"] for row in chapters()}
    return {path.name: summary(measured, budgets.get(path.name)) for path, measured in runs.items()}


def memory_of(path, board):
    """Execute a chapter with one more cell, which tells the most memory its kernel held, in MB."""
    nb = notebooks.read(path)
    nb["cells"].append(v4.new_code_cell(ASK_MEMORY, id="memory"))
    with notebooks.quiet_environment() as environment:
        notebooks.execute_in(nb, path.parent, environment, board.on_cell)
    return round(int(nb["cells"][-1]["outputs"][0]["text"]) * BYTES / 1e6)


def summary(measured, budget):
    middle = statistics.median_low([board.total() for board, _ in measured])
    typical = next(board for board, _ in measured if board.total() == middle)
    return {"seconds": round(middle, 1), "budget": budget,
            "slowest": {name: round(seconds, 1) for name, seconds in typical.slowest()},
            "memory": max(memory for _, memory in measured)}


def chapter_table(results):
    """The README's table of chapters that exist: link, what each solves, questions to answer, seconds to run."""
    rows = []
    for row in chapters():
        if entry := results.get(row["file"]):
            link = f"[{row['number']} · {row['title']}](notebooks/{row['file']})"
            tasks = f"{row['exercises']} exercises, {row['questions']} questions"
            rows.append([link, f"{row['solves']}.", tasks, f"{entry['seconds']:.0f} s"])
    return markdown(["chapter", "what it gives you", "to do", "runs in"], rows)


def table(results):
    rows = []
    for name, entry in results.items():
        cells = ", ".join(f"`{cell}` {seconds} s" for cell, seconds in entry["slowest"].items())
        share = f"{entry['seconds'] / entry['budget']:.2f}" if entry["budget"] else "–"
        memory = f"{entry['memory']} MB" if "memory" in entry else "–"
        rows.append([f"`{name}`", f"{entry['seconds']} s", f"{entry['budget'] or '–'} s", share, cells, memory])
    return markdown(["notebook", "executes in", "budget", "ratio", "slowest cells", "kernel's memory"], rows)
