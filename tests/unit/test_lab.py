"""`lab` and the commands around it: names of chapters, ports, the server's command line, and a real server."""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbformat.sign import NotebookNotary

from course_utils import layout
from course_utils.commands import CommandError, dispatch, environment, lab

CHAPTERS = {"00": Path("00_start_here.ipynb"), "01": Path("01_rnn.ipynb"), "11": Path("11_bert_family.ipynb")}


# ---- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["1", "01", "01_rnn", "01_rnn.ipynb", "notebooks/01_rnn.ipynb"])
def test_a_chapter_has_many_names(name):
    assert lab.find_chapter(name, CHAPTERS) == "01"


@pytest.mark.parametrize("name", ["2", "99", "001", "rnn", "0", "", "../etc", "11_rnn", "１"])
def test_an_unknown_chapter_lists_the_chapters(name):
    if name == "0":
        assert lab.find_chapter(name, CHAPTERS) == "00"
        return
    with pytest.raises(CommandError) as caught:
        lab.find_chapter(name, CHAPTERS)
    assert "00_start_here, 01_rnn, 11_bert_family" in str(caught.value)


def parse(*words):
    parser = argparse.ArgumentParser()
    lab.add_arguments(parser)
    return parser.parse_args(words)


def test_wrong_arguments_are_refused_before_anything_is_installed(monkeypatch):
    monkeypatch.setattr(environment, "ensure", lambda: pytest.fail("the set-up was started"))
    monkeypatch.setattr(layout, "chapter_notebooks", lambda *_: CHAPTERS)
    for words in (["99"], [""], ["--reset", "99"], ["--reset", ""], ["--author", "--reset", "01"]):
        with pytest.raises(CommandError):
            lab.run(parse(*words))


def test_the_commands_are_listed_and_an_unknown_one_is_refused(capsys):
    assert dispatch.main([]) == 0 and dispatch.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in dispatch.COMMANDS)
    assert dispatch.main(["lap"]) == 2
    assert "There is no command 'lap'" in capsys.readouterr().err
    assert dispatch.main(["\x1b[31m"]) == 2
    assert r"There is no command '\x1b[31m'" in capsys.readouterr().err


def test_a_problem_is_one_sentence_without_a_traceback(monkeypatch, capsys):
    def fail():
        raise CommandError("The disk is too full.")

    monkeypatch.setattr(environment, "enter", fail)
    assert dispatch.main(["test"]) == 1
    assert capsys.readouterr().err == "The disk is too full.\n"


def test_a_full_disk_is_one_sentence_without_a_traceback(monkeypatch, capsys):
    def fail():
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr(environment, "enter", fail)
    assert dispatch.main(["test"]) == 1
    assert capsys.readouterr().err == "`test` had to stop: No space left on device: /somewhere\n"


def test_nobody_may_read_on():
    process = subprocess.Popen([sys.executable, "-u", "-m", "course_utils", "--help"], cwd=layout.ROOT,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait()
    process.stderr.close()


# ---- ports -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def taken_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_in_use_is_said_and_another_is_taken(taken_port, capsys):
    port = lab.free_port(taken_port, "localhost")
    assert port > taken_port
    assert capsys.readouterr().out == f"Port {taken_port} is in use; taking {port}.\n"


def test_a_free_port_is_taken_without_a_word(taken_port, capsys):
    port = lab.free_port(taken_port + 1, "127.0.0.1")
    if port == taken_port + 1:
        assert capsys.readouterr().out == ""
    assert lab.can_listen(port, "127.0.0.1")


def test_no_free_port_in_reach(taken_port, monkeypatch):
    monkeypatch.setattr(lab, "PORTS_TRIED", 1)
    with pytest.raises(CommandError, match="all in use"):
        lab.free_port(taken_port, "127.0.0.1")


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_numbers_that_are_no_ports(port):
    with pytest.raises(CommandError, match="1 to 65535"):
        lab.free_port(port, "localhost")


def test_an_address_this_machine_does_not_have():
    with pytest.raises(CommandError, match=r"cannot listen on '192\.0\.2\.1'"):
        lab.free_port(8888, "192.0.2.1")


# ---- the command line and the variables ------------------------------------------------------------------------------


def test_root_is_allowed_only_where_it_is_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "--allow-root" in lab.server_command("work/01_rnn.ipynb", 8888, "localhost", True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    command = lab.server_command("work/01_rnn.ipynb", 8888, "localhost", False)
    assert "--allow-root" not in command and "--no-browser" not in command
    assert not any("token" in word or "password" in word for word in command)


def test_settings_come_before_the_readers_own_and_foreign_packages_stay_out(monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/mine")
    monkeypatch.setenv("PYTHONPATH", "/foreign")
    variables = lab.server_environment()
    assert variables["JUPYTER_CONFIG_PATH"].split(os.pathsep) == [str(layout.ASSETS / "jupyter"), "/mine"]
    assert variables["JUPYTER_PREFER_ENV_PATH"] == "1" and "PYTHONPATH" not in variables
    assert variables["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_a_user_without_a_home_folder_gets_one(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    home = Path(lab.server_environment()["HOME"])
    assert home.is_dir() and home.is_relative_to(tmp_path / "cache")
    monkeypatch.setattr(environment, "ensure", lambda: None)
    monkeypatch.setattr(environment, "in_venv", lambda: True)
    environment.enter()               # so for every command: trust, matplotlib and kernels look there too
    assert os.environ["HOME"] == str(home)


def test_no_browser_is_started_without_a_screen(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(lab.shutil, "which", lambda name: None)
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not lab.has_display()
    monkeypatch.setenv("DISPLAY", ":0")
    assert lab.has_display()


def test_copies_are_trusted(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    path = tmp_path / "01_rnn.ipynb"
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", {"text/html": "<b>1</b>"})])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    assert not NotebookNotary().check_signature(nbformat.read(path, 4))
    lab.trust([path])
    assert NotebookNotary().check_signature(nbformat.read(path, 4))
    assert capsys.readouterr().out == ""


def test_a_reset_says_where_the_old_copy_is_and_the_new_one_is_trusted(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(layout, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(layout, "WORK", tmp_path / "work")
    monkeypatch.setattr(layout, "chapter_notebooks", lambda *_: {"01": tmp_path / "notebooks" / "01_rnn.ipynb"})
    for folder, text in (("notebooks", "x = 1"), ("work", "mine")):
        (tmp_path / folder).mkdir()
        cells = [nbformat.v4.new_code_cell(text)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / folder / "01_rnn.ipynb")
    lab.bring_copies_up_to_date("01")
    assert re.search(r"01_rnn.ipynb is fresh again. What was there is kept as 01_rnn-backup-\S+.ipynb",
                     capsys.readouterr().out)
    copy = nbformat.read(tmp_path / "work" / "01_rnn.ipynb", 4)
    assert copy.cells[0].source == "x = 1" and NotebookNotary().check_signature(copy)


# ---- a real server ---------------------------------------------------------------------------------------------------


def ask(address):
    """Status and text of an answer; an error status is an answer too."""
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, ""


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server as `lab` starts it; gives (process, address with the token, lines it wrote so far)."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "COURSE_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.delenv("JUPYTER_TOKEN", raising=False)
    port = lab.free_port(18888, "localhost")
    keyboard, terminal = os.openpty()                               # Jupyter asks on Ctrl-C only where somebody types
    process = subprocess.Popen(lab.server_command("work/01_rnn.ipynb", port, "localhost", no_browser=True),
                               env=lab.server_environment(), text=True, stdin=terminal, stderr=subprocess.PIPE)
    lines, address = [], None
    while not address:
        lines.append(process.stderr.readline())
        assert lines[-1], f"the server ended: {lines}"
        address = re.search(r"http://localhost:\S+token=\w+", lines[-1])
    pause, deadline = threading.Event(), time.monotonic() + 60
    while not listens(port):                                        # Jupyter names the address before it listens there
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, f"nothing listens on port {port} after a minute: {lines}"
        pause.wait(0.01)
    yield process, address[0], lines
    process.kill()
    process.wait()
    process.stderr.close()
    os.close(keyboard)
    os.close(terminal)


def test_the_server_is_quiet_guarded_and_set_up_for_readers(server):
    process, address, lines = server
    assert f"/lab/tree/work/01_rnn.ipynb?token={address.partition('token=')[2]}" in address
    assert sum(line.startswith("[") for line in lines) == 1         # where to find it, and no warning
    base, token = address.partition("/lab")[0], address.partition("?")[2]

    assert ask(f"{base}/api/status")[0] == 403                      # nobody enters without the token
    assert ask(f"{base}/api/status?{token}")[0] == 200
    page = ask(f"{base}/lab?{token}")[1]
    assert re.search(r'"exposeAppInBrowser":\s*true', page)

    def setting(name):
        answer = json.loads(ask(f"{base}/lab/api/settings/{name}?{token}")[1])
        return {key: value.get("default") for key, value in answer["schema"]["properties"].items()}

    news = setting("@jupyterlab/apputils-extension:notification")
    assert news["fetchNews"] == "false" and news["checkForUpdates"] is False
    assert setting("@jupyter-widgets/jupyterlab-manager:plugin")["saveState"] is True
    assert setting("@jupyterlab/notebook-extension:tracker")["windowingMode"] == "defer"
    assert "python3" in json.loads(ask(f"{base}/api/kernelspecs?{token}")[1])["kernelspecs"]

    found = lab.running_server()
    assert found["pid"] == process.pid
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert process.stderr.read().strip().endswith("Shutting down...")
    assert lab.running_server() is None


def test_a_second_lab_points_to_the_running_server(monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(lab.webbrowser, "open", opened.append)
    monkeypatch.setattr(lab, "has_display", lambda: True)
    server = {"url": "http://localhost:8888/", "token": "abc", "pid": 7}
    assert lab.show(server, "work/01_rnn.ipynb", no_browser=True) == 0 and opened == []
    lab.show(server, "work/01_rnn.ipynb", no_browser=False)
    assert opened == ["http://localhost:8888/lab/tree/work/01_rnn.ipynb?token=abc"]
    assert "already open" in capsys.readouterr().out


def test_what_a_killed_server_left_behind_is_no_running_server(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    with socket.socket() as probe:                                  # bound, but nobody listens
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        left = {"root_dir": str(layout.ROOT), "url": f"http://127.0.0.1:{port}/", "pid": 1}
        (tmp_path / "jpserver-1.json").write_text(json.dumps(left))
        (tmp_path / "jpserver-2.json").write_text("{ broken")
        assert lab.running_server() is None
