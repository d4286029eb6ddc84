"""Seconds to execute each notebook, and its slowest cells."""

import statistics

from bench.measuring import markdown
from course_utils import layout
from course_utils.commands import notebooks
from course_utils.concepts import chapters


def measure(rounds):
    """For each chapter the median seconds, the budget, and the three slowest cells; rounds go over all chapters."""
    boards = {path: [] for path in layout.chapter_notebooks().values()}
    for _ in range(rounds):
        for path, runs in boards.items():
            board = notebooks.Board(path.name)
            notebooks.execute(path, board.on_cell)
            board.summary()
            runs.append(board)
    budgets = {row["file"]: row["seconds"] for row in chapters()}
    return {path.name: summary(runs, budgets.get(path.name)) for path, runs in boards.items()}


def summary(runs, budget):
    middle = statistics.median_low([board.total() for board in runs])
    typical = next(board for board in runs if board.total() == middle)
    return {"seconds": round(middle, 1), "budget": budget,
            "slowest": {name: round(seconds, 1) for name, seconds in typical.slowest()}}


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
        rows.append([f"`{name}`", f"{entry['seconds']} s", f"{entry['budget'] or '–'} s", share, cells])
    return markdown(["notebook", "executes in", "budget", "ratio", "slowest cells"], rows)
