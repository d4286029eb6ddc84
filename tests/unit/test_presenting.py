"""`present` without a browser: the presenter's copy, the settings of its server, what is said when it goes wrong."""

import argparse
import contextlib
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from nbformat import v4

from course_utils import layout
from course_utils.commands import CommandError, environment, notebooks, presenting, work

CHAPTER = "04_attention.ipynb"


def code(cell_id, source, outputs=(), **metadata):
    return v4.new_code_cell(source, id=cell_id, outputs=list(outputs), metadata=metadata)


def notebook(*cells):
    return v4.new_notebook(cells=list(cells))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with one chapter, in which one cell has a presenter's source."""
    monkeypatch.setattr(layout, "ROOT", tmp_path)
    monkeypatch.setattr(layout, "WORK", tmp_path / "work")
    nb = notebook(code("train", "x = train()", present="x = load()"), code("show", "x"))
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / CHAPTER).write_text(notebooks.text_of(nb), "utf-8")
    return tmp_path


# ---- the presenter's copy --------------------------------------------------------------------------------------------


def test_the_copy_has_the_presenters_sources_and_the_original_keeps_its_own(project):
    nb = notebooks.read(project / "notebooks" / CHAPTER)
    for_class = presenting.presented(nb)
    assert [cell["source"] for cell in for_class["cells"]] == ["x = load()", "x"]
    assert "present" not in for_class["cells"][0]["metadata"]
    assert nb["cells"][0]["source"] == "x = train()" and nb["cells"][0]["metadata"]["present"] == "x = load()"


def test_a_copy_that_nobody_changed_is_replaced_without_a_word(project, capsys):
    path = project / "work" / f"present_{CHAPTER}"
    for source in ("x = 1", "x = 2"):
        presenting.write_copy(notebook(code("a", source)), path)
    ran = notebooks.read(path)
    ran["cells"][0]["outputs"] = [v4.new_output("stream", text="2")]          # outputs are no change of the presenter's
    path.write_text(notebooks.text_of(ran), "utf-8")
    presenting.write_copy(notebook(code("a", "x = 3")), path)
    assert notebooks.read(path)["cells"][0]["source"] == "x = 3"
    assert capsys.readouterr().out == "" and list((project / "work").glob("*backup*")) == []


@pytest.mark.parametrize("mine", ["a cell of mine", None])
def test_what_a_presenter_wrote_is_kept_as_a_backup(project, capsys, mine):
    path = project / "work" / f"present_{CHAPTER}"
    presenting.write_copy(notebook(code("a", "x = 1")), path)
    content = "{ broken" if mine is None else notebooks.text_of(notebook(code("a", mine)))
    path.write_text(content, "utf-8")
    presenting.write_copy(notebook(code("a", "x = 1")), path)
    backup = re.fullmatch(rf"You had changed {path.name}: your version is kept as (\S+-backup-\S+\.ipynb)\.\n",
                          capsys.readouterr().out)
    assert (path.parent / backup[1]).read_text("utf-8") == content
    assert notebooks.read(path)["cells"][0]["source"] == "x = 1"


def test_what_is_written_while_the_cells_run_is_kept(project, monkeypatch, capsys):
    chapter, page = project / "notebooks" / CHAPTER, project / "work" / f"present_{CHAPTER}"
    mine = notebooks.text_of(notebook(code("a", "written in another window")))
    server = SimpleNamespace(process=SimpleNamespace(wait=lambda: 0), address=str, last_words=lambda: "bye")
    monkeypatch.setattr(layout, "chapter_notebooks", lambda: {"04": chapter})
    monkeypatch.setattr(environment, "enter", lambda: None)
    monkeypatch.setattr(presenting.lab, "bring_copies_up_to_date", lambda fresh: None)
    monkeypatch.setattr(presenting.lab, "trust", lambda pages: None)
    monkeypatch.setattr(presenting, "served", lambda *_: contextlib.nullcontext(server))
    monkeypatch.setattr(presenting, "prepare", lambda nb, page, server: page.write_text(mine, "utf-8") and [])
    with pytest.raises(CommandError, match="JupyterLab has ended: bye"):
        presenting.run(argparse.Namespace(chapter="04", ip=None, port=None, no_browser=True))
    assert "your version is kept as" in capsys.readouterr().out
    assert [path.read_text("utf-8") for path in page.parent.glob("*-backup-*")] == [mine]
    assert notebooks.read(page)["cells"][0]["source"] == "x = load()"


def test_the_presenters_copy_is_no_chapter_that_the_course_has_lost(project):
    presenting.write_copy(notebook(code("a", "x = 1")), project / "work" / f"present_{CHAPTER}")
    _, notices = work.prepare(project / "notebooks", project / "work")
    assert notices == [] and work.untouched(project / "work" / f"present_{CHAPTER}")


# ---- outputs ---------------------------------------------------------------------------------------------------------


def test_a_live_widget_stays_and_a_progress_bar_goes():
    view = {"model_id": "abc", "version_major": 2, "version_minor": 0}
    widget = v4.new_output("display_data", {"text/plain": "Quiz(5 questions)", notebooks.WIDGET_VIEW: view})
    bar = v4.new_output("display_data", {"text/plain": "  0%|          | 0/20 [00:00<?, ?it/s]",
                                         notebooks.WIDGET_VIEW: view})
    assert presenting.shown(widget)["data"][notebooks.WIDGET_VIEW] == view
    assert presenting.shown(bar) is None
    assert presenting.shown(v4.new_output("stream", text="done\n"))["text"] == "done\n"


# ---- the server's settings -------------------------------------------------------------------------------------------


def test_the_server_has_settings_of_its_own_and_the_users_theme(tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    for name, text in (("@jupyterlab/apputils-extension/themes", '{"theme": "JupyterLab Dark"}'),
                       ("jupyterlab-slideshow/plugin", '{"active": true}')):
        (theirs / name).parent.mkdir(parents=True)
        (theirs / f"{name}.jupyterlab-settings").write_text(text)
    monkeypatch.setenv("JUPYTERLAB_SETTINGS_DIR", str(theirs))
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "mine.json"))
    variables = presenting.server_environment(tmp_path / "own", "secret")

    config = tmp_path / "own" / "config"
    assert variables["JUPYTER_CONFIG_DIR"] == str(config) and variables["JUPYTER_TOKEN"] == "secret"
    assert variables["COURSE_PROGRESS"].startswith(str(tmp_path / "own"))
    assert variables["JUPYTER_RUNTIME_DIR"].startswith(str(tmp_path / "own"))       # `lab` does not find this server
    style = (config / "custom" / "custom.css").read_text("utf-8")
    assert "--jp-content-font-size1: 22px;" in style and "--jp-code-font-size: 15px;" in style
    assert (config / "custom" / "present.html").exists()
    own = config / "lab" / "user-settings"
    assert (own / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings").exists()
    assert not (own / "jupyterlab-slideshow").exists()


# ---- one clear line --------------------------------------------------------------------------------------------------


def parse(*words):
    parser = argparse.ArgumentParser()
    presenting.add_arguments(parser)
    return parser.parse_args(words)


def test_an_unknown_chapter_is_refused_before_anything_is_installed(monkeypatch):
    monkeypatch.setattr(environment, "ensure", lambda: pytest.fail("the set-up was started"))
    with pytest.raises(CommandError, match=r"There is no chapter '99'\. The chapters are 00_start_here"):
        presenting.run(parse("99"))


def test_a_chapter_that_is_no_notebook(tmp_path):
    (tmp_path / CHAPTER).write_text("{ broken")
    with pytest.raises(CommandError, match=r"04_attention\.ipynb: it is not a readable notebook"):
        presenting.chapter(tmp_path / CHAPTER)


def test_a_server_that_does_not_start_says_why(tmp_path):
    (tmp_path / "lab.log").write_text("a warning\nERROR: the port 8888 is already in use\n")
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    server = presenting.Server(process, tmp_path, "localhost", 1, "token")
    with pytest.raises(CommandError, match="JupyterLab did not start: ERROR: the port 8888 is already in use"):
        presenting.wait_until_up(server)


def test_a_server_without_a_kernel_says_so(project):
    def refuse(*_):
        raise OSError("HTTP Error 500")

    server = SimpleNamespace(ask=refuse, folder=project)
    with pytest.raises(CommandError, match="JupyterLab could not start a kernel"):
        presenting.prepare(notebook(code("a", "x = 1")), project / "work" / CHAPTER, server)
