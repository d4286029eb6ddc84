"""Executing: a fresh kernel, no network, no trace in the reader's progress; an error leaves the file as it was."""

import os
import subprocess
import sys

import pytest
import small

from course_utils.commands import notebooks

PRINT_PLACE = """import os, sys
print(os.environ["COURSE_DEVICE"], "COURSE_STRICT" in os.environ, os.environ["COURSE_PROGRESS"])
print("left", file=sys.stderr)"""


def test_a_kernel_has_a_progress_file_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "mine.json"))
    monkeypatch.setenv("COURSE_STRICT", "1")
    path = small.save(small.notebook(small.code("place-cell", PRINT_PLACE)), tmp_path)
    nb = notebooks.execute(path)
    device, strict, progress = nb["cells"][0]["outputs"][0]["text"].split()
    assert (device, strict) == ("cpu", "False")
    assert progress != str(tmp_path / "mine.json")
    assert not os.path.exists(os.path.dirname(progress))


def test_the_kernel_and_its_children_reach_loopback_only(tmp_path):
    source = """import socket, subprocess, sys
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
    print("loopback works")
for code in ("socket.create_connection(('192.0.2.1', 80), 5)", "socket.getaddrinfo('example.org', 80)"):
    try:
        exec(code)
    except OSError as error:
        print(error.strerror)
    done = subprocess.run([sys.executable, "-c", f"import socket; {code}"], capture_output=True, text=True)
    print(done.returncode, done.stderr.strip().splitlines()[-1])"""
    path = small.save(small.notebook(small.code("reach-out", source)), tmp_path)
    [output] = notebooks.normalise(notebooks.execute(path))["cells"][0]["outputs"]
    lines = output["text"].splitlines()
    assert lines[0] == "loopback works"
    assert len(lines) == 5
    assert all("the network is blocked here" in line for line in lines[1:])


def test_a_sitecustomize_that_is_hidden_still_runs(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.hidden_one = 'ran'\n")
    paths = os.pathsep.join([str(notebooks.OFFLINE), str(tmp_path)])
    done = subprocess.run([sys.executable, "-c", "print(hidden_one)"], env={**os.environ, "PYTHONPATH": paths},
                          capture_output=True, text=True, check=True)
    assert done.stdout == "ran\n"


def test_refresh_writes_new_outputs_and_counts(tmp_path, capsys):
    nb = small.clean()
    nb["cells"][2].update(outputs=[small.printed("wrong\n")], execution_count=9)
    path = small.save(nb, tmp_path)
    assert notebooks.refresh(path)
    after = notebooks.read(path)
    assert after["cells"][2]["outputs"][0]["text"] == "1/2\n"
    assert [cell["execution_count"] for cell in after["cells"] if cell["cell_type"] == "code"] == [1, 2]
    assert "slowest: " in capsys.readouterr().out
    first = path.read_bytes()
    assert notebooks.refresh(path)
    assert path.read_bytes() == first


def test_refresh_leaves_the_file_alone_after_an_error(tmp_path, capsys):
    nb = small.clean()
    nb["cells"].append(small.code("broken-cell", "1 / 0"))
    path = small.save(nb, tmp_path)
    before = path.read_bytes()
    assert not notebooks.refresh(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert capsys.readouterr().out == (
        "small.ipynb: cell broken-cell (3 of 3): ZeroDivisionError: division by zero. The file stays as it was.\n")


@pytest.mark.parametrize("content", [
    b"", b"{", b"\xff\xfe", b"[]", b'{"nbformat": 4}', b'{"cells": 3}', pytest.param(b"[" * 100_000, id="deep"),
])
def test_refresh_leaves_alone_what_is_no_notebook(tmp_path, capsys, content):
    path = tmp_path / "small.ipynb"
    path.write_bytes(content)
    assert not notebooks.refresh(path)
    assert path.read_bytes() == content
    said = capsys.readouterr().out
    assert said.startswith("small.ipynb: it is not a readable notebook (") and said.count("\n") == 1


def test_refresh_names_a_file_that_cannot_be_read(tmp_path, capsys):
    assert not notebooks.refresh(tmp_path)
    assert "it cannot be read (Is a directory). The file stays as it was." in capsys.readouterr().out


def test_refresh_reports_a_breach_of_the_rules(tmp_path, capsys):
    nb = small.clean()
    nb["cells"].append(small.code("loud-cell", "import sys; print('odd', file=sys.stderr)"))
    assert not notebooks.refresh(small.save(nb, tmp_path))
    assert "loud-cell: writes to stderr" in capsys.readouterr().out


@pytest.mark.parametrize(("source", "words"), [
    ("import time\ntime.sleep(60)", "cell slow-cell (1 of 1): not finished after 2 s"),
    ("import os\nos._exit(1)", "cell slow-cell (1 of 1): the kernel died"),
])
def test_a_cell_that_hangs_or_kills_its_kernel(tmp_path, source, words):
    path = small.save(small.notebook(small.code("slow-cell", source)), tmp_path)
    with pytest.raises(notebooks.NotebookError) as error:
        notebooks.execute(path, cell_seconds=2)
    assert words in str(error.value)
