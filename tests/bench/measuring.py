"""How everything is measured: in turns, so that a busy moment of the machine falls on both sides; medians are told."""

import statistics
import time


def interleaved(actions, rounds):
    """Time actions in turns. actions: dict from name to a function. Returns the same dict with the median seconds.

    Each is called once before, so that nobody pays for what is loaded only once.
    """
    for action in actions.values():
        action()
    seconds = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            started = time.perf_counter()
            action()
            seconds[name].append(time.perf_counter() - started)
    return {name: round(statistics.median(values), 5) for name, values in seconds.items()}


def markdown(heads, rows):
    """A Markdown table. heads: the first row; rows: lists of texts, as long as `heads`."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


