"""`doctor`: plain words for what is there and what is not, a way to mend each thing, and the right exit status."""

import json
import subprocess
import sys

import pytest

from course_utils import layout
from course_utils.commands import dispatch, doctor, environment
from course_utils.commands.environment import Project


@pytest.fixture
def project(tmp_path):
    """A course without an environment that pins two packages."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "recurrence-to-attention"\n')
    (tmp_path / "requirements.txt").write_text("torch==2.0  # remark\nnumpy==1.0\n-e .\n")
    (tmp_path / "requirements-weights.txt").write_text("real-weights==0.1 --hash=sha256:00\n")
    return Project(tmp_path, gigabytes=0.001)


def install(project, name, version):
    folder = project.venv / "lib" / "python3.11" / "site-packages" / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def lines(project):
    return [str(finding) for finding in doctor.examine(project)]


def marked(project, mark):
    return [line for line in lines(project) if line.startswith(mark)]


def test_without_an_environment_one_line_says_how_to_make_it(project):
    missing = marked(project, "missing")
    assert len(missing) == 1
    assert "not made yet" in missing[0] and "to mend it: python3 -m course_utils lab" in missing[0]


def test_packages_are_compared_with_their_pins(project):
    install(project, "torch", "2.0+cpu")
    install(project, "numpy", "1.1")
    text = "\n".join(lines(project))
    assert "ok       torch 2.0+cpu" in text                         # the CPU build of the pinned version
    assert "missing  numpy: 1.1 is installed, 1.0 is needed" in text
    assert "missing  course_utils is not installed" in text
    assert "missing  JupyterLab extension of anywidget" in text
    assert "note     real BERT weights are not installed" in text
    assert all("to mend it:" in line for line in marked(project, "missing"))


def test_weights_and_extensions_that_are_there(project):
    install(project, "real-weights", "0.1")
    for name in ("anywidget", "@jupyter-widgets/jupyterlab-manager"):
        folder = project.venv / "share/jupyter/labextensions" / name
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps({"version": "9.9"}))
    ok = "\n".join(marked(project, "ok"))
    assert "real BERT weights (real-weights 0.1)" in ok and ok.count("version 9.9") == 2


def test_a_damaged_but_finished_environment_is_to_be_made_again(project, monkeypatch):
    install(project, "torch", "2.0")
    monkeypatch.setattr(environment, "ready", lambda project: True)
    numpy = next(line for line in lines(project) if "numpy" in line)
    assert f"rm -r {project.venv} && python3 -m course_utils lab" in numpy


@pytest.mark.parametrize("content, words", [
    (None, "ok       progress: nothing passed yet"),
    ("{}", "ok       progress"),
    ("{ broken", "note     progress"),
    ("[]", "note     progress"),
    pytest.param("[" * 100_000, "note     progress", id="deep"),
])
def test_the_progress_file_is_looked_at(tmp_path, monkeypatch, content, words):
    path = tmp_path / "progress.json"
    monkeypatch.setenv("COURSE_PROGRESS", str(path))
    if content is not None:
        path.write_text(content)
    assert words in str(doctor.progress())


def test_what_only_tests_need_is_a_note(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor.browser().mark == "note" and "apt install" in doctor.browser().mend


def test_where_the_course_is_tested_is_said(monkeypatch):
    monkeypatch.delenv("WSL_DISTRO_NAME", raising=False)
    monkeypatch.setattr(doctor.platform, "release", lambda: "6.1.0")
    monkeypatch.setattr(sys, "platform", "linux")
    assert "tested on Linux" in str(doctor.system())
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Apple silicon" in str(doctor.system())
    monkeypatch.setenv("WSL_DISTRO_NAME", "Debian")
    assert "WSL" in str(doctor.system())


@pytest.mark.parametrize("mark, status", [("ok", 0), ("note", 0), ("missing", 1)])
def test_only_what_is_missing_makes_it_fail(monkeypatch, capsys, mark, status):
    monkeypatch.setattr(doctor, "examine", lambda project: [doctor.Finding("ok", "one"), doctor.Finding(mark, "two")])
    assert doctor.run(None) == status
    assert "two" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["doctor"], ["--help"], *([name, "--help"] for name in dispatch.COMMANDS)])
def test_what_must_answer_before_the_set_up_needs_the_standard_library_only(command, tmp_path):
    """Isolated from every installed package, as on a bare machine."""
    script = ("import runpy, sys; sys.path.insert(0, sys.argv[1]); sys.argv[:] = ['course_utils', *sys.argv[2:]]; "
              "runpy.run_module('course_utils', run_name='__main__')")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script, str(layout.ROOT), *command], cwd=tmp_path,
                          capture_output=True, text=True)
    assert "Traceback" not in done.stderr and done.returncode in (0, 1), done.stderr
    assert done.stdout
