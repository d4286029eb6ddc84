"""`test`: everything that can be checked, stage by stage. A stage that fails does not hide the later ones."""

import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from course_utils import layout
from course_utils.commands import assigning, lints, notebooks, solving
from course_utils.commands.doctor import find_chromium

STAGE_SECONDS = 45 * 60            # a stage that takes longer hangs
WORKERS = 2                        # tests at the same time: as many as CI has cores; each computes with one thread
AT_ONCE = [f"--numprocesses={WORKERS}", "--dist=worksteal"]          # pytest-xdist; each browser worker has its own Lab
SUITES = {"unit": "tests/unit", "notebook rules": "tests/notebooks", "parity": "tests/parity"}
ANSI = re.compile(r"(\x1b|#x1B)\[[0-9;]*m")     # terminal colours, also as pytest's XML spells them


@dataclass
class Report:
    """What one kind of check came to. A lone check such as ruff counts as one; `label` is its name in the last line."""

    label: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list = field(default_factory=list)     # one line each
    not_run: str = ""                                # why nothing was tried
    counted: bool = True                             # False: the label alone says enough ("ruff")

    def words(self):
        """The report in a few words: `350 unit`, `349 of 350 unit`, `ruff failed`, `browser not run (…)`."""
        if self.not_run:
            return f"{self.label} not run ({self.not_run})"
        if not self.counted:
            return f"{self.label} failed" if self.failed else self.label
        total = self.passed + self.failed
        number = f"{self.passed} of {total}" if self.failed else str(total)
        return f"{number} {self.label}" + (f" ({self.skipped} skipped)" if self.skipped else "")


@dataclass
class Case:
    """One test as pytest reported it. outcome: passed, failed or skipped; message: why, in one line."""

    place: str
    name: str
    outcome: str
    message: str = ""


def add_arguments(parser):
    parser.add_argument("--fast", action="store_true", help="leave out the solved edition, grading and browser tests")


def run(arguments):
    """Run every stage and print what came out. Returns 0 where everything passed, else 1."""
    started = time.monotonic()
    reports = []
    for title, stage in stages(arguments.fast):
        print(f"\n── {title}", flush=True)
        reports += stage()
    conclude(reports, time.monotonic() - started)
    return 1 if any(report.failed for report in reports) else 0


def stages(fast):
    """The stages in order, as pairs of a title and a function that returns reports."""
    chosen = [
        ("ruff and import rules", lambda: [ruff(), import_rules()]),
        ("unit and parity tests", suites),
        ("notebooks as shipped", lambda: [shipped_notebooks()]),
    ]
    if fast:
        return [*chosen, ("left out by --fast", left_out)]
    return [*chosen, ("solved edition", lambda: [solved_notebooks()]), ("grading with nbgrader", lambda: [grading()]),
            ("browser tests", lambda: [browser()])]


def left_out():
    return [Report(label, not_run="--fast") for label in ("solved", "grading", "browser")]


def conclude(reports, seconds):
    """Print the failures, then the totals, then the one line that says what ran."""
    failures = [line for report in reports for line in report.failures]
    print("\n" + "\n".join(["── failures", *failures] if failures else ["── no failures"]))
    totals = f"{sum(r.passed for r in reports)} passed, {sum(r.failed for r in reports)} failed"
    minutes, rest = divmod(round(seconds), 60)
    print(f"\n{totals}")
    print(f"{totals}: {', '.join(report.words() for report in reports)} (in {minutes} min {rest} s)", flush=True)


# ---- running programs

def call(words, environment=None, at_the_end=False):
    """Run a program in the project's folder and show its output. Returns its status, None if it hangs.

    at_the_end: show the output in one piece once it has ended, not as it comes: for one of several at the same time.
    """
    redirected = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if at_the_end else {}
    try:
        done = subprocess.run(words, cwd=layout.ROOT, env=environment, timeout=STAGE_SECONDS, check=False, **redirected)
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = None, late.stdout
    if at_the_end:
        print((output or b"").decode(errors="replace"), end="", flush=True)
    return status


def run_pytest(targets, environment, *options, at_the_end=False):
    """Run pytest on `targets`. Returns (status, cases): every test with its outcome, also those before a crash.

    at_the_end: see `call`.
    """
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        result = Path(folder) / "result.xml"
        words = [sys.executable, "-m", "pytest", "-c", str(layout.ROOT / "pyproject.toml"), f"--rootdir={layout.ROOT}",
                 "-rs", "-p", "no:cacheprovider", f"--junitxml={result}", "-o", "junit_family=xunit1",
                 f"--color={'yes' if sys.stdout.isatty() else 'no'}",
                 *options, *map(str, targets)]
        status = call(words, environment, at_the_end)
        return status, read_cases(result) if result.exists() else []


def read_cases(path):
    """The cases in a file that pytest wrote with --junitxml."""
    return [case_from(element) for element in ElementTree.parse(path).iter("testcase")]


def case_from(element):
    place, name = element.get("file") or element.get("classname", ""), element.get("name", "")
    for kind, outcome in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        child = element.find(kind)
        if child is not None:
            return Case(place, name, outcome, reason(child))
    return Case(place, name, "passed")


def reason(element):
    """Why a test failed, in one line: for a notebook's cell the line that ends the traceback."""
    message = one_line(element.get("message"))
    if not message.startswith("Notebook cell"):
        more = one_line(element.get("message"), 1) if message.endswith("Error:") else ""
        return f"{message} {more}".strip() or one_line(element.text) or "no message"
    lines = ANSI.sub("", element.text).split("\nTraceback:\n")
    return "Cell outputs differ" if "Cell outputs differ" in lines[0] else one_line(lines[-1], -1)


def one_line(text, which=0):
    """The first line that is not empty, or the one at another place; an empty text where there is none."""
    lines = [line.strip() for line in ANSI.sub("", text or "").splitlines() if line.strip()]
    return next(iter(lines[which:]), "")


def tally(label, status, cases):
    """A report from pytest's cases. No executed test at all is a failure, and so is a crash of pytest itself."""
    passed = sum(case.outcome == "passed" for case in cases)
    failures = [f"FAILED {case.place}::{case.name}: {case.message}" for case in cases if case.outcome == "failed"]
    if not passed and not failures:
        failures = [f"FAILED {label}: no test was executed"]
    elif status != 0 and not failures:
        failures = [f"FAILED {label}: pytest ended with status {status}" if status is not None else
                    f"FAILED {label}: not finished after {STAGE_SECONDS // 60} minutes"]
    return Report(label, passed, len(failures), sum(case.outcome == "skipped" for case in cases), failures)


# ---- stages

def one_check(label, words):
    status = call(words)
    failures = [] if status == 0 else [f"FAILED {label}: see above"]
    return Report(label, passed=int(not failures), failed=len(failures), failures=failures, counted=False)


def ruff():
    return one_check("ruff", [sys.executable, "-m", "ruff", "check", "--no-cache", "."])


def import_rules():
    program = "import sys; from importlinter.cli import lint_imports_command as main; sys.exit(main())"
    return one_check("imports", [sys.executable, "-c", program, "--no-cache"])


def suites():
    """Unit tests, the rules for notebooks, and parity tests: one pytest, so that torch is loaded once by each worker.

    These may use the network (set-up tests install packages); only executed notebooks are cut off from it.
    """
    with notebooks.quiet_environment(offline=False) as environment:
        status, cases = run_pytest(SUITES.values(), environment, *AT_ONCE)
    reports = []
    for label, folder in SUITES.items():
        mine = [case for case in cases if case.place.startswith(folder + "/")]
        clean = any(case.outcome == "failed" for case in cases) and status == 1
        reports.append(tally(label, 0 if clean else status, mine))
    return reports


def on_disk(folder):
    """Every notebook below `folder`, whatever its name."""
    return sorted(path for path in Path(folder).rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def check_notebook(path, shown_as=None, **variables):
    """Run one notebook under nbval. Returns failures, one line each; none for a notebook that passes.

    variables: more environment variables. Every code cell must have been executed.
    """
    name = shown_as or path.name
    try:
        ids = [lints.name_of(cell) for cell in lints.code_cells(notebooks.read(path))]
    except notebooks.NotebookError as error:
        return [f"FAILED {name}: {error}"]
    print(f"{name}: {len(ids)} cells …", flush=True)
    options = ["--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={notebooks.CELL_SECONDS}"]
    with notebooks.quiet_environment(**variables) as environment:
        status, cases = run_pytest([path], environment, *options, at_the_end=True)
    failures = [f"FAILED {name}, cell {cell}: {case.message}"
                for cell, case in zip(ids, cases, strict=False) if case.outcome == "failed"]
    executed = sum(case.outcome == "passed" for case in cases)
    if not failures and (status != 0 or executed != len(ids) or not ids):
        failures = [f"FAILED {name}: {executed} of {len(ids)} cells executed, pytest ended with status {status}"]
    return failures


def notebook_report(label, tested, wanted):
    """tested: dict from notebook to its failures; wanted: how many notebooks there are."""
    failures = [line for lines in tested.values() for line in lines]
    failed = sum(bool(lines) for lines in tested.values())
    if len(tested) != wanted or not wanted:
        failures.append(f"FAILED {label}: {len(tested)} notebooks tested, {wanted} on disk")
        failed += 1
    return Report(label, len(tested) - sum(bool(lines) for lines in tested.values()), failed, failures=failures)


def shipped_notebooks(folder=layout.NOTEBOOKS):
    """Every notebook as it is committed: no cell fails, and tagged outputs come out again."""
    return notebook_report("notebooks", side_by_side(check_notebook, on_disk(folder)), len(on_disk(folder)))


def side_by_side(check, paths):
    """check(path) for all notebooks, WORKERS at a time: a dict from path to what it returned, in the paths' order.

    A notebook computes with one thread (`set_up`). The last chapters take longest, so they begin.
    """
    with ThreadPoolExecutor(WORKERS) as pool:
        started = {path: pool.submit(check, path) for path in reversed(paths)}
    return {path: started[path].result() for path in paths}


def solved_notebooks(folder=layout.NOTEBOOKS):
    """Every notebook with the exercises solved, reduced to them, and an error for any that does not pass."""
    with tempfile.TemporaryDirectory(prefix="course-") as temporary:
        tested = side_by_side(partial(check_solved, temporary=Path(temporary)), on_disk(folder))
    return notebook_report("solved", tested, len(on_disk(folder)))


def check_solved(path, temporary):
    """Solve one notebook in a copy below `temporary` and run it. Returns failures, one line each."""
    try:
        copy = temporary / path.name
        copy.write_text(notebooks.text_of(solving.reduced(solving.solved(notebooks.read(path)))), "utf-8")
        return check_notebook(copy, f"{path.name}, solved", COURSE_STRICT="1")
    except notebooks.NotebookError as error:
        return [f"FAILED {path.name}, solved: {error}"]


def grading():
    """Tests with nbgrader where it is installed: assignments, points and feedback. See `where_there_is`."""
    # Each file makes a course folder of its own, which its tests share.
    options = [f"--numprocesses={WORKERS}", "--dist=loadfile"]
    return where_there_is("nbgrader", assigning.missing_nbgrader() is None, "grading", options)


def browser():
    """Browser tests where there is a Chromium. See `where_there_is`."""
    return where_there_is("Chromium", find_chromium() is not None, "browser", AT_ONCE)


def where_there_is(needed, there, label, options):
    """Run the tests in the folder `label` where the program that they need is there.

    COURSE_REQUIRE_GRADING=1 and COURSE_REQUIRE_BROWSER=1 make it an error that it is not.
    """
    if not there:
        if os.environ.get(f"COURSE_REQUIRE_{label.upper()}") == "1":
            return Report(label, failed=1, failures=[f"FAILED {label}: there is no {needed}, but it is required"])
        return Report(label, not_run=f"no {needed}")
    with notebooks.quiet_environment() as environment:
        status, cases = run_pytest([f"tests/{label}"], environment, *options)
    return tally(label, status, cases)
