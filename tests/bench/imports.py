"""Time to import the package, in fresh processes, against a bare Python and against torch."""

import subprocess
import sys

from bench.measuring import interleaved, markdown
from course_utils.commands.notebooks import quiet_environment

PROGRAMS = {"bare Python": "pass", "import course_utils": "import course_utils", "import torch": "import torch"}


def measure(rounds):
    """Median seconds of a whole process for each program."""
    with quiet_environment(offline=False) as environment:
        def start(program):
            return lambda: subprocess.run([sys.executable, "-c", program], env=environment, check=True)

        return interleaved({name: start(program) for name, program in PROGRAMS.items()}, rounds)


def table(results):
    bare = results["bare Python"]
    rows = [[name, f"{seconds:.3f} s", f"{seconds - bare:.3f} s", f"{seconds / bare:.1f}"]
            for name, seconds in results.items()]
    return markdown(["a fresh process", "takes", "more than bare Python", "ratio"], rows)
