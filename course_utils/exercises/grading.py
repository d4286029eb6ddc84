"""Judge a handed-in answer for nbgrader, with the engine as it stands on the disk: `grade`.

A notebook can change every module that it imports. So the cell that grades forgets this module before it imports it,
and `grade` imports the exercises anew. That stops `check` or the engine from being replaced by accident or by a simple
trick. It is no wall: an answer runs in the same process as the cell that grades it.
"""

import contextlib
import importlib
import sys

EXERCISES = "course_utils.exercises"


def grade(exercise_id, answer):
    """Print what became of an answer, in one line, and return what nbgrader reads as its score.

    Returns None, for which nbgrader gives all points of the cell, where the answer passes now; else 0. So no cell
    fails, and a reader's "Run All" goes on to the next exercise.
    """
    if str(getattr(answer, "__module__", "")).partition(".")[0] == "course_utils":
        print(f"{exercise_id}: no points. This is a function of the course: write your own.")
        return 0
    with imported_anew(EXERCISES):
        engine = importlib.import_module(f"{EXERCISES}.engine")
        verdict = engine.examine(exercise_id, answer)
        passed = verdict.status == engine.PASSED
    first = str(verdict.message).partition("\n")[0]
    print(f"{exercise_id}: {'' if passed else 'no points. '}{first}")
    return None if passed else 0


@contextlib.contextmanager
def imported_anew(package):
    """Inside, `package` and its modules are imported from their files; afterwards those from before are back."""
    parent, _, name = package.rpartition(".")
    before, attribute = taken_out(package), getattr(sys.modules[parent], name, None)
    try:
        yield
    finally:
        taken_out(package)
        sys.modules.update(before)
        setattr(sys.modules[parent], name, attribute)


def taken_out(package):
    """Remove the modules of `package` from `sys.modules`. Returns them as a dict."""
    names = [name for name in sys.modules if name == package or name.startswith(f"{package}.")]
    return {name: sys.modules.pop(name) for name in names}
