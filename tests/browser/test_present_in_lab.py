"""`present` as an instructor starts it: a process, and a browser that finds a deck with live widgets at its address."""

import re
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from harness import FLAGS, WAIT, is_noise, playwright
from nbformat import v4

from course_utils.commands import lab, notebooks
from course_utils.commands.doctor import find_chromium

pytestmark = pytest.mark.browser
# The command, in a project of its own: set-up would otherwise make an environment for it.
PROGRAM = """
import sys
from pathlib import Path
from course_utils import layout
from course_utils.commands import dispatch, environment
root = Path(sys.argv[1])
layout.ROOT, layout.NOTEBOOKS, layout.WORK = root, root / "notebooks", root / "work"
chapters = layout.chapter_notebooks(layout.NOTEBOOKS)
layout.chapter_notebooks = lambda folder=None: chapters
environment.enter = lambda: None
sys.exit(dispatch.main(["present", *sys.argv[2:]]))
"""
IMPORTS = """from course_utils import figures, set_up
from course_utils.widgets import GradientFlow, MaskBuilder
set_up()"""
CELLS = [      # id, slide type, source; one without a slide type stands on the same slide
    ("title", "slide", "# 01 · A chapter\n\nIt has one sentence."),
    ("imports", "skip", IMPORTS),
    ("text", "slide", "## A section\n\nA sentence of text."),
    ("flow", None, "GradientFlow()"),
    ("figure", "subslide", "_, axes = figures.new_figure(5, 2)\naxes.plot([1, 2])\naxes.figure"),
    ("broken", "slide", "1 / 0"),
    ("mask", "slide", "mask = MaskBuilder()\nmask"),
    ("word", "slide", "word = 'of its place'"),
    ("says", None, "print(word)"),
    ("later", "slide", "word = 'of the end'"),
]
NOW = "window.jupyterapp.shell.currentWidget.content.activeCell.model.id"
SCALE = 1.5                      # of the window, compared with 1280×720
CARD = "document.querySelector('.jp-deck-mod-visible .rta')"
# The middle of a cell of the mask's grid, in the coordinates of the frame.
MIDDLE = f"""([row, column]) => {{
  const box = {CARD}.querySelector(".rta-mask-editor .rta-stage").getBoundingClientRect();
  const {{ x, y, wide, high }} = {CARD}.numbers().place;
  return [box.x + x + (column + 0.5) * wide, box.y + y + (row + 0.5) * high];
}}"""
STYLE = "(node) => getComputedStyle(node).fontSize"


def small_chapter():
    """A notebook of these cells; the one that fails has a recorded output, and one a presenter's source."""
    nb = v4.new_notebook(metadata=notebooks.METADATA)
    for cell_id, slide, source in CELLS:
        make = v4.new_code_cell if not source.startswith("#") else v4.new_markdown_cell
        nb["cells"].append(make(source, id=cell_id, metadata={"slideshow": {"slide_type": slide}} if slide else {}))
    by_id = {cell["id"]: cell for cell in nb["cells"]}
    by_id["broken"]["outputs"] = [v4.new_output("stream", text="as recorded")]
    by_id["imports"]["metadata"]["present"] = IMPORTS + "\nimport os"
    return nb


def start(folder, port, log):
    """Start the command and return its process once it says that all is ready; `log` gets what it says."""
    words = [sys.executable, "-c", PROGRAM, str(folder), "1", "--no-browser", f"--port={port}"]
    process = subprocess.Popen(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in process.stdout:
        log.append(line.rstrip())
        if "Ctrl-C" in line:
            break
    return process


@pytest.fixture(scope="module")
def presentation(tmp_path_factory):
    """The running command: its `process`, what it `said`, its `port`, the `folder` of its project and a `browser`."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "01_small.ipynb").write_text(notebooks.text_of(small_chapter()), "utf-8")
    said = []
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    process = start(folder, port, said)
    browser = playwright().chromium.launch(executable_path=find_chromium(), args=FLAGS)
    try:
        yield SimpleNamespace(process=process, said=said, folder=folder, port=port, browser=browser)
    finally:
        browser.close()
        process.send_signal(signal.SIGINT)                      # Ctrl-C: it ends its server and the kernel first
        status, rest = process.wait(), process.stdout.read()
        process.stdout.close()
    assert status == 130 and "Stopped." in rest
    assert lab.can_listen(port, "localhost")                    # nobody else does any more


@pytest.fixture
def deck(presentation):
    """JupyterLab's frame in the page, when the deck is on. The window is larger than the slides."""
    page = presentation.browser.new_page(viewport={"width": int(SCALE * 1280), "height": int(SCALE * 720)})
    page.set_default_timeout(WAIT)
    errors = []
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(error.stack or str(error)))
    page.goto(re.search(r"http://\S+", "\n".join(presentation.said))[0])
    page.frame_locator("#lab").locator(".jp-Deck .jp-deck-mod-visible h1").wait_for()
    inside = page.frames[-1]
    inside.wait_for_function("document.activeElement.closest('.jp-Notebook')")
    yield inside
    # A widget is looked for once before the kernel has told which ones it holds, and drawn afterwards.
    assert [error for error in errors if not is_noise(error) and "widget model not found" not in error] == []
    page.close()


def go(deck, key, cell):
    """Press a key and wait until this cell is the active one."""
    deck.page.keyboard.press(key)
    deck.wait_for_function(f"(id) => {NOW} === id", arg=cell)


def test_the_command_says_what_failed_where_the_deck_is_and_which_keys_move_it(presentation):
    said = "\n".join(presentation.said)
    assert "Cell broken failed (ZeroDivisionError: division by zero): its slide shows the recorded output." in said
    assert f"http://localhost:{presentation.port}/custom/present.html#work/present_01_small.ipynb?token=" in said
    assert all(key in said for key in ("Space", "Escape", "F11"))
    copy = notebooks.read(presentation.folder / "work" / "present_01_small.ipynb")
    cells = {cell["id"]: cell for cell in copy["cells"]}
    assert cells["imports"]["source"].endswith("import os")
    assert cells["broken"]["outputs"][0]["text"] == "as recorded"
    assert notebooks.WIDGET_VIEW in cells["mask"]["outputs"][0]["data"]


def test_keys_move_the_deck_in_projector_size(deck):
    assert deck.evaluate("[innerWidth, innerHeight]") == [1280, 720]
    go(deck, "Space", "text")
    assert deck.locator("p", has_text="A sentence").evaluate(STYLE) == "22px"
    assert deck.locator(".jp-deck-mod-visible .cm-content").last.evaluate(STYLE) == "15px"
    go(deck, "Space", "figure")                                 # past `flow`, which stands on the same slide
    deck.wait_for_function("document.querySelector('.jp-deck-mod-visible img')?.width > 5.5 * 100")   # it has grown
    go(deck, "ArrowRight", "broken")
    go(deck, "Shift+Space", "figure")
    go(deck, "ArrowRight", "broken")
    deck.evaluate("document.activeElement.blur()")
    go(deck, "PageDown", "mask")                                # also when nothing has the focus
    deck.page.keyboard.press("Escape")
    deck.locator(".jp-Deck").wait_for(state="detached")
    assert deck.locator("p", has_text="A sentence").evaluate(STYLE) == "14px"


def test_widgets_are_live_and_a_click_meets_what_the_scaled_slide_shows(deck):
    go(deck, "Space", "text")
    card = deck.locator(".jp-deck-mod-visible .rta")
    before = card.inner_text()
    card.locator("input[type=range]").first.press("End")
    deck.wait_for_function("([card, before]) => card.innerText !== before", arg=[card.element_handle(), before])
    deck.page.keyboard.press("PageDown")                        # although the slider has the focus
    deck.wait_for_function(f"{NOW} === 'figure'")
    go(deck, "PageDown", "broken")
    go(deck, "PageDown", "mask")
    deck.locator(".jp-deck-mod-visible .rta").wait_for()
    before = deck.evaluate(f"{CARD}.numbers().mask[1][2]")
    x, y = deck.evaluate(MIDDLE, [1, 2])
    deck.page.mouse.click(SCALE * x, SCALE * y)
    deck.wait_for_function(f"(before) => {CARD}.numbers().mask[1][2] !== before", arg=before)


def test_a_cell_that_is_changed_and_run_again_finds_the_names_of_its_place(deck):
    deck.evaluate("""() => {
      const { content } = window.jupyterapp.shell.currentWidget;
      content.activeCellIndex = content.widgets.findIndex((cell) => cell.model.id === "says");
      content.activeCell.model.sharedModel.setSource("print('again,', word)");
      return window.jupyterapp.commands.execute("notebook:run-cell").then(() => null);
    }""")
    deck.locator("pre", has_text="again, of its place").wait_for()
