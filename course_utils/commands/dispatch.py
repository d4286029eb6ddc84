"""From the command's name to the module that carries it out. Standard library only."""

import argparse
import importlib
import os
import sys

from course_utils.commands import CommandError, environment

# name: (module, one line for --help). At import each module needs the standard library only.
COMMANDS = {
    "lab": ("lab", "set up the environment and open JupyterLab"),
    "present": ("presenting", "open a chapter as a deck for a class, with its cells run"),
    "test": ("testing", "run every test"),
    "refresh": ("notebooks", "run chapters again, in place, and check them"),
    "solve": ("solving", "write the solved edition into a folder"),
    "assign": ("assigning", "write the exercises as nbgrader assignments into a folder"),
    "record": ("record", "make a recorded experiment again"),
    "bench": ("bench", "measure times and sizes"),
    "doctor": ("doctor", "say what is there, what is missing and how to mend it"),
}
# These decide for themselves: `lab` and `present` look up their chapter before anything is installed, `doctor` installs
# nothing.
WITHOUT_ENVIRONMENT = {"lab", "present", "doctor"}


def overview():
    lines = [f"  {name:8} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: python3 -m course_utils COMMAND [options]", "", *lines, "",
                      "python3 -m course_utils COMMAND --help says more about one command."])


def main(words):
    """Carry out one command. words: what stands after `python3 -m course_utils`. Returns the exit status."""
    # Where torch uses several threads, a waiting one sleeps instead of spinning. With other programs on the processor,
    # a training step on two threads was measured to take 30 times longer with spinning. OpenMP reads this once.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    name, *rest = words or ["help"]
    try:
        if name in ("-h", "--help", "help"):
            print(overview())
            return 0
        if name not in COMMANDS:
            print(f"There is no command {name!r}. The commands are {', '.join(COMMANDS)}.", file=sys.stderr)
            return 2
        return carry_out(name, rest)
    except CommandError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:           # `doctor | head -3`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as problem:        # a full disk, or a file of another user
        where = f": {problem.filename}" if problem.filename else ""
        print(f"`{name}` had to stop: {problem.strerror or problem}{where}", file=sys.stderr)
        return 1


def carry_out(name, rest):
    module_name, text = COMMANDS[name]
    module = importlib.import_module(f"course_utils.commands.{module_name}")
    parser = argparse.ArgumentParser(prog=f"python3 -m course_utils {name}", description=f"{name}: {text}.")
    parser.set_defaults(command=name)
    module.add_arguments(parser)
    arguments = parser.parse_args(rest)               # first: --help and a wrong option must not install anything
    if name not in WITHOUT_ENVIRONMENT:
        environment.enter()
    return module.run(arguments) or 0
