"""The set-up: made, mended after a kill at any stage, quick the second time, one sentence for each thing that fails.

A small project of its own stands in for the course: two tiny wheels in a local folder and an editable package whose
build can be held at a gate. No network is touched.
"""

import ast
import contextlib
import hashlib
import io
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from course_utils import layout
from course_utils.commands import CommandError, environment, progress_lines
from course_utils.commands.environment import Project

MANY = 3000                           # files in the large wheel: enough to be met half-way

BACKEND = '''
import base64, hashlib, os, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    if os.path.exists("gate"):        # a named pipe: reading it waits until the test opens it for writing
        open("reached", "w").close()
        open("gate").read()
    name = "tiny_course-1.0-py3-none-any.whl"
    files = {
        "tiny_course.pth": os.getcwd(),
        "tiny_course-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: tiny-course\\nVersion: 1.0\\n",
        "tiny_course-1.0.dist-info/WHEEL":
            "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = "".join(f"{path},,\\n" for path in files) + "tiny_course-1.0.dist-info/RECORD,,\\n"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for path, text in {**files, "tiny_course-1.0.dist-info/RECORD": record}.items():
            wheel.writestr(path, text)
    return name
'''


def make_wheel(folder, name, files):
    """Write a wheel of version 1.0 with `files` (path: text); returns its path."""
    info = f"{name}-1.0.dist-info"
    files = {
        # The metadata comes first in the archive: a package cut off half-way then already looks installed.
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **files,
    }
    record = "".join(f"{path},,{len(text.encode())}\n" for path, text in files.items()) + f"{info}/RECORD,,\n"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{info}/RECORD", record)
        for inner, text in files.items():
            wheel.writestr(inner, text)
    return path


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    make_wheel(folder, "tiny_one", {"tiny_one.py": "VALUE = 1\n"})
    many = {f"tiny_many/part_{n:04}.py": f"VALUE = {n}\n" for n in range(MANY)}
    make_wheel(folder, "tiny_many", {"tiny_many/__init__.py": "VALUE = 2\n", **many})
    make_wheel(folder, "tiny_weights", {"tiny_weights/weights.txt": "0.5\n"})
    return folder


@pytest.fixture(autouse=True)
def only_local_wheels(wheels, monkeypatch):
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_NO_COMPILE", "1")


def make_project(root, wheels, requirements=("tiny_one==1.0", "tiny_many==1.0")):
    root.mkdir(exist_ok=True)
    (root / "backend.py").write_text(BACKEND)
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "tiny-course"\nversion = "1.0"\n'
    )
    (root / "requirements.txt").write_text("\n".join([*requirements, "-e .", ""]))
    wheel = wheels / "tiny_weights-1.0-py3-none-any.whl"
    sha = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (root / "requirements-weights.txt").write_text(f"tiny_weights==1.0 --hash=sha256:{sha}\n")
    return Project(root, gigabytes=0.1)


@pytest.fixture
def project(tmp_path, wheels):
    return make_project(tmp_path / "course", wheels)


@pytest.fixture(scope="session")
def bare_venv(tmp_path_factory):
    """A fresh environment with pip, made once: copying it is quicker than making another."""
    folder = tmp_path_factory.mktemp("bare") / ".venv"
    subprocess.run([sys._base_executable, "-m", "venv", folder], check=True)
    return folder


@pytest.fixture
def created(project, bare_venv):
    """A project whose set-up has got as far as the bare environment."""
    shutil.copytree(bare_venv, project.venv, symlinks=True)
    environment.write_state(project, "created")
    return project


def start(project, before=""):
    """Start a set-up in a process group of its own. before: Python lines run first, for instance to place a kill."""
    script = "\n".join(["import os, shutil, signal, sys", "from pathlib import Path",
                        "from course_utils.commands import environment", before,
                        "environment.ensure(environment.Project(Path(sys.argv[1]), gigabytes=0.1))"])
    return subprocess.Popen([sys.executable, "-c", script, str(project.root)], cwd=layout.ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def wait_for(condition, process, seconds=120):
    """Wait until `condition()` holds; fail at once when the process has ended before, or when it takes too long."""
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended too early:\n{process.stdout.read()}"
        if time.monotonic() > deadline:
            kill_group(process)
            pytest.fail(f"{condition} did not hold within {seconds} seconds")
        pause.wait(0.001)


def kill_group(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def works(project):
    """True where everything is installed to the last file and can be imported."""
    question = f"import tiny_one, tiny_many, tiny_many.part_{MANY - 1} as last; print(tiny_one.VALUE, last.VALUE)"
    answer = subprocess.run([project.python, "-I", "-c", question], capture_output=True, text=True)
    folder = next(project.venv.glob("lib/python*/site-packages"))
    parts = len(list((folder / "tiny_many").glob("part_*.py")))
    return (environment.ready(project) and answer.stdout.split() == ["1", str(MANY - 1)] and parts == MANY
            and (folder / "tiny_weights" / "weights.txt").exists() and (folder / "tiny_course.pth").exists())


@contextlib.contextmanager
def no_child_but_python_itself(monkeypatch):
    def forbidden(command, *_, **__):
        raise AssertionError(f"started {command}")

    with monkeypatch.context() as patch:
        patch.setattr(environment, "run", forbidden)
        yield


# ---- made, and quick the second time ---------------------------------------------------------------------------------


def test_set_up_installs_everything_and_a_second_call_installs_nothing(project, monkeypatch, capsys):
    assert environment.ensure(project) == project.python
    assert works(project)
    said = capsys.readouterr().out
    assert "[1/3] Python environment" in said and "[3/3]" in said and "installing 3 packages" in said
    assert "tiny_many" in project.log.read_text()
    with no_child_but_python_itself(monkeypatch):
        assert environment.ensure(project) == project.python
    assert capsys.readouterr().out == ""


def test_only_what_is_installed_decides_whether_to_install_again(created, monkeypatch):
    environment.ensure(created)
    pins = created.requirements.read_text()
    created.requirements.write_text("# a remark\n\n" + pins.replace("tiny_one==1.0", "tiny_one==1.0   # why"))
    assert environment.ready(created)
    created.requirements.write_text(pins.replace("tiny_one==1.0\n", ""))
    assert not environment.ready(created)


def test_an_environment_in_a_moved_folder_is_not_taken_for_good(created, tmp_path):
    environment.ensure(created)
    moved = Project(tmp_path / "elsewhere", gigabytes=0.1)
    created.root.rename(moved.root)
    assert not environment.ready(moved) and not environment.reusable(moved)


def test_an_environment_whose_python_is_gone_is_made_again(created):
    environment.ensure(created)
    for link in (created.venv / "bin").glob("python*"):
        link.unlink()
    assert not environment.ready(created)
    environment.ensure(created)
    assert works(created)


def test_a_file_lost_from_a_package_is_noticed_while_mending(created):
    environment.ensure(created)
    folder = next(created.venv.glob("lib/python*/site-packages"))
    (folder / "tiny_many" / "part_0007.py").unlink()
    (folder / "~iny_one").mkdir()
    environment.write_state(created, "created")
    environment.ensure(created)
    assert works(created) and not (folder / "~iny_one").exists()


DIE_BEFORE_THE_LAST_WORD = """
replace = os.replace
def replace_or_die(source, target):
    if '"complete"' in Path(source).read_text():
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = replace_or_die
"""

DIE_AFTER_REMOVING_PIP = """
remove = shutil.rmtree
def remove_half(folder):
    for path in Path(folder).glob('lib/python*/site-packages/pip'):
        remove(path)
    os.kill(os.getpid(), signal.SIGKILL)
shutil.rmtree = remove_half
"""


# ---- killed at any stage ---------------------------------------------------------------------------------------------


def test_killed_while_python_makes_the_environment(project):
    process = start(project)
    wait_for(project.python.exists, process)
    kill_group(process)
    assert not project.state_file.exists()
    environment.ensure(project)
    assert works(project)


def test_killed_while_pip_unpacks_a_package(created):
    process = start(created)
    folder = next(created.venv.glob("lib/python*/site-packages"))
    wait_for((folder / "tiny_many" / "part_0000.py").exists, process)
    kill_group(process)
    assert len(list((folder / "tiny_many").glob("part_*.py"))) < MANY      # else the kill came too late to say anything
    assert (folder / "tiny_many-1.0.dist-info" / "METADATA").exists()      # it looks installed, and is not
    environment.ensure(created)
    assert works(created)


def test_killed_before_the_last_word_is_written(created):
    process = start(created, DIE_BEFORE_THE_LAST_WORD)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output
    assert environment.read_state(created)["stage"] == "created"
    environment.ensure(created)
    assert works(created)


def test_killed_while_an_old_environment_is_removed(created):
    environment.ensure(created)
    state = json.loads(created.state_file.read_text())
    created.state_file.write_text(json.dumps(state | {"root": "/somewhere/else"}))
    process = start(created, DIE_AFTER_REMOVING_PIP)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output
    assert created.python.exists() and not list(created.venv.glob("lib/python*/site-packages/pip"))
    environment.ensure(created)
    assert works(created)


# ---- two at once -----------------------------------------------------------------------------------------------------


def read_until(process, words):
    lines = []
    while not lines or words not in lines[-1]:
        line = process.stdout.readline()
        assert line, f"ended without '{words}':\n{''.join(lines)}"
        lines.append(line)


def hold_at_gate(project):
    os.mkfifo(project.root / "gate")
    return project.root / "gate", project.root / "reached"


def open_gate(gate):
    gate.write_text("go on")          # returns when the waiting build has begun to read
    gate.unlink()


def test_the_second_of_two_waits_and_says_so(created):
    gate, reached = hold_at_gate(created)
    first = start(created)
    wait_for(reached.exists, first)
    second = start(created)
    read_until(second, f"Another set-up of this course is at work (process {first.pid})")
    open_gate(gate)
    first_said, _ = first.communicate()
    second_said, _ = second.communicate()
    assert (first.returncode, second.returncode) == (0, 0), first_said + second_said
    assert "[1/3]" in first_said and "[1/3]" not in second_said
    assert works(created)


def test_a_pip_that_outlives_its_killed_parent_is_waited_for(created):
    gate, reached = hold_at_gate(created)
    owner = start(created)
    wait_for(reached.exists, owner)
    os.kill(owner.pid, signal.SIGKILL)                # the owner only: its pip goes on
    owner.wait()
    second = start(created)
    read_until(second, "Another set-up of this course is at work")
    open_gate(gate)
    said, _ = second.communicate()
    owner.stdout.close()
    assert second.returncode == 0, said
    assert works(created)


def test_the_lock_of_a_dead_owner_is_free(project):
    project.lock_file.parent.mkdir(parents=True)
    project.lock_file.write_text("999999")
    said = []
    with environment.locked(project, say=lambda *words, **_: said.append(words)):
        assert project.lock_file.read_text() == str(os.getpid())
    assert said == []


# ---- one clear sentence for each failure -----------------------------------------------------------------------------


def test_a_missing_package_is_named_with_the_log_and_the_next_call_goes_on(created, wheels):
    pins = created.requirements.read_text()
    created.requirements.write_text("tiny_none==1.0\n" + pins)
    with pytest.raises(CommandError) as caught:
        environment.ensure(created)
    assert "there is no tiny_none==1.0 for this Python" in str(caught.value)
    assert str(created.log) in str(caught.value) and created.log.exists()
    assert environment.read_state(created)["stage"] == "created"
    created.requirements.write_text(pins)
    environment.ensure(created)
    assert works(created)


def test_weights_that_cannot_be_had_only_warn(created, monkeypatch, capsys):
    created.weights.write_text(f"tiny_weights==1.0 --hash=sha256:{'0' * 64}\n")
    environment.ensure(created)
    said = capsys.readouterr().out
    assert "not installed: a downloaded file is not the one that was pinned" in said
    assert environment.weights_command(created) in said
    with no_child_but_python_itself(monkeypatch):     # and they are not asked for again on every start
        environment.ensure(created)


def test_the_small_torch_is_asked_for_first_and_the_default_is_the_fallback(created, monkeypatch, capsys):
    created.requirements.write_text("torch==1.0\n" + created.requirements.read_text())
    asked = []

    def fake_pip(project, lock, steps, options, lines):
        asked.append(options)
        return 1 if environment.SMALL_TORCH_INDEX in options else 0

    monkeypatch.setattr(environment, "pip", fake_pip)
    monkeypatch.setattr(environment, "has_nvidia_driver", lambda: False)
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(environment.sys, "platform", "linux")
    environment.ensure(created)
    assert asked[0][-1] == "torch==1.0" and "--no-deps" in asked[0] and asked[0][asked[0].index("--retries") + 1] == "0"
    assert asked[1] == ["-r", str(created.requirements)]
    assert "takes the default build" in capsys.readouterr().out


@pytest.mark.parametrize("nvidia, machine", [(True, "x86_64"), (False, "aarch64")])
def test_elsewhere_the_default_torch_is_taken(created, monkeypatch, nvidia, machine):
    created.requirements.write_text("torch==1.0\n")
    monkeypatch.setattr(environment, "has_nvidia_driver", lambda: nvidia)
    monkeypatch.setattr(environment.platform, "machine", lambda: machine)
    assert environment.wanted_small_torch(created) is None


def test_python_too_old_or_too_new():
    assert environment.python_problem((3, 11)) is None and environment.python_problem((3, 14)) is None
    assert "3.10 is too old" in environment.python_problem((3, 10))
    assert "3.15 is too new" in environment.python_problem((3, 15))


def test_an_old_python_gets_one_sentence(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 6, 15, "final", 0))
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(layout.ROOT / "course_utils" / "__main__.py"), run_name="__main__")
    assert "needs Python 3.11 to 3.14, but this is Python 3.6" in str(caught.value)


@pytest.mark.parametrize("name", ["__init__.py", "__main__.py"])
def test_what_an_old_python_reads_has_no_new_syntax(name):
    ast.parse((layout.ROOT / "course_utils" / name).read_text(encoding="utf-8"), feature_version=(3, 6))


def test_missing_venv_module_names_the_package():
    found = environment.venv_problem(lambda name: None if name == "ensurepip" else object())
    assert "'ensurepip' is missing" in found and f"apt install python3.{sys.version_info[1]}-venv" in found
    assert environment.venv_problem(lambda name: object()) is None


def test_intel_macs_are_told():
    assert "Apple silicon" in environment.processor_problem("darwin", "x86_64")
    assert environment.processor_problem("darwin", "arm64") is None


def test_full_disk_is_said_before_anything_is_written(project, monkeypatch):
    monkeypatch.setattr(environment, "has_nvidia_driver", lambda: False)
    assert environment.disk_problem(project, free=10**9) is None
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10**7}))
    with pytest.raises(CommandError, match=r"The disk is too full: the course needs 0\.1 GB .* 0\.0 GB are free"):
        environment.ensure(project)
    assert not project.venv.exists()


def test_too_little_room_for_the_default_torch_is_said_before_it_is_fetched(project, monkeypatch):
    said = []
    steps = type("Steps", (), {"say": lambda self, text: said.append(text)})()
    monkeypatch.setattr(environment, "pip", lambda *words: 1)
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5 * 10**9}))
    with pytest.raises(CommandError, match=r"needs 10\.0 GB .* 5\.0 GB are free"):
        environment.install_small_torch(project, None, steps, "torch==2.13.0")
    assert "default build" in said[0]


def test_a_disk_that_fills_up_on_the_way_gives_one_sentence(created, monkeypatch):
    def full(project):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(environment, "remove_torn_packages", full)
    with pytest.raises(CommandError, match="the disk is full"):
        environment.ensure(created)


def test_what_is_installed_already_counts_against_the_space_needed(project, monkeypatch):
    monkeypatch.setattr(environment, "has_nvidia_driver", lambda: False)
    project.venv.mkdir()
    (project.venv / "large").write_bytes(bytes(60_000_000))
    assert environment.disk_problem(project, free=50_000_000) is None
    assert "0.0 GB" in environment.disk_problem(project, free=30_000_000)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="cannot write"), environment.locked(Project(tmp_path / "file")):
        pass


@pytest.mark.parametrize("line, words", [
    ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
    ("WARNING: Retrying after connection broken by 'NewConnectionError('... Network is unreachable')'", "network"),
    ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not the one that was pinned"),
    ("ERROR: No matching distribution found for torch==9.9", "there is no torch==9.9"),
    ("error: something else", "error: something else"),
])
def test_the_reason_of_a_failure_is_one_sentence(line, words):
    said = environment.reason(["Collecting torch", line, ""], 1)
    assert words in said and "\n" not in said


def test_the_network_is_blamed_before_the_missing_package():
    lines = ["WARNING: Retrying ... NewConnectionError", "ERROR: No matching distribution found for torch==2.13.0"]
    assert "network" in environment.reason(lines, 1)
    assert "signal 9" in environment.reason([], -9)


# ---- the way into the environment ------------------------------------------------------------------------------------


def test_enter_goes_on_with_the_environments_python(monkeypatch):
    started = []
    monkeypatch.setattr(environment, "ensure", lambda: Path("/course/.venv/bin/python"))
    monkeypatch.setattr(environment, "in_venv", lambda: False)
    monkeypatch.setattr(environment.os, "execve", lambda *words: started.append(words))
    monkeypatch.setattr(sys, "argv", ["__main__.py", "lab", "01"])
    monkeypatch.setenv("PYTHONPATH", "/foreign")
    monkeypatch.delenv(environment.ENTERED, raising=False)
    environment.enter()
    python, words, variables = started[0]
    assert str(python) == words[0] and words[1:] == ["-m", "course_utils", "lab", "01"]
    assert "PYTHONPATH" not in variables and variables[environment.ENTERED] == "1"


def test_enter_does_not_start_itself_for_ever(monkeypatch):
    monkeypatch.setattr(environment, "ensure", lambda: Path("/course/.venv/bin/python"))
    monkeypatch.setattr(environment, "in_venv", lambda: False)
    monkeypatch.setenv(environment.ENTERED, "1")
    with pytest.raises(CommandError, match="Remove"):
        environment.enter()


# ---- progress --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line, words", [
    ("Collecting torch==2.13.0 (from -r requirements.txt (line 4))", "looking for torch==2.13.0"),
    ("  Downloading torch-2.13.0-cp311-cp311-linux_x86_64.whl (192.1 MB)", "downloading torch 2.13.0 (192.1 MB)"),
    ("Installing collected packages: a, b, c", "installing 3 packages"),
    ("Requirement already satisfied: numpy in /somewhere", None),
])
def test_pips_lines_become_readable(line, words):
    assert progress_lines.readable(line) == words


def test_steps_are_numbered_and_timed():
    stream, now = io.StringIO(), iter(range(0, 1000, 4))
    steps = progress_lines.Steps(2, stream, clock=lambda: next(now))
    with steps.step("packages"):
        steps.pip_line("Installing collected packages: a, b")
    with pytest.raises(ValueError), steps.step("weights"):
        raise ValueError
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[1/2] packages" and "installing 2 packages" in lines[1]
    assert lines[2].startswith("[1/2] packages: done in 8 s") and lines[-1].startswith("[2/2] weights: not finished")


def test_output_is_followed_line_by_line_to_the_last():
    child = subprocess.Popen([sys.executable, "-c", "print('one'); print('two', end='')"], stdout=subprocess.PIPE)
    lines = []
    with child.stdout:
        progress_lines.follow(child.stdout, lines.append, lambda: None)
    assert child.wait() == 0 and lines == ["one", "two"]
