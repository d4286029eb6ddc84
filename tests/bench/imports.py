"""Time to import the package, in fresh processes, against a bare Python and against torch."""

import subprocess
import sys

from bench.measuring import markdown
from course_utils.commands.notebooks import quiet_environment
from course_utils.recordings import median_seconds

LEAST = 0.01                      # seconds; starting a process varies by about as much, so less than that is not told
PROGRAMS = {"bare Python": "pass", "import course_utils": "import course_utils", "import torch": "import torch"}


def measure(rounds):
    """Median seconds of a whole process for each program."""
    with quiet_environment(offline=False) as environment:
        def start(program):
            return lambda: subprocess.run([sys.executable, "-c", program], env=environment, check=True)

        found = median_seconds({name: start(program) for name, program in PROGRAMS.items()}, 3 * rounds)
    return {name: round(seconds, 4) for name, seconds in found.items()}


def table(results):
    """Each program beside a bare Python; a difference that cannot be told from noise is given as a bound."""
    bare = results["bare Python"]
    rows = []
    for name, seconds in results.items():
        more = seconds - bare
        told = [f"< {LEAST} s", "about 1"] if more < LEAST else [f"{more:.2f} s", f"{seconds / bare:.1f}"]
        rows.append([name, f"{seconds:.3f} s", *(["–", "1"] if name == "bare Python" else told)])
    return markdown(["a fresh process", "takes", "more than bare Python", "ratio"], rows)
