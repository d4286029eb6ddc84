"""Every chapter as a deck: each cell appears on a slide, and no slide is higher or wider than a projector's 1280×720.

The style sheet is the one that `present` shows it with.

A chapter is not run for this: its stored outputs are measured. Its widgets alone are made live first, for a live one
may be higher than the PNG that is stored of it.
"""

import ast
import builtins
import json
import shutil

import pytest
from harness import WAIT, close_tabs, command, next_frame, open_page, serve
from playwright.sync_api import TimeoutError as NothingAppeared

from course_utils import layout, widgets
from course_utils.commands import presenting

pytestmark = pytest.mark.browser
HEIGHT = 720
# Cells on the present slide: [id, top, bottom, whether it holds a definition, which may scroll, whether a line of it
# is wider than its box].
VISIBLE = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .filter((cell) => /deck-mod-(onscreen|visible)/.test(cell.node.className))
  .map((cell) => {
    const box = cell.node.getBoundingClientRect();
    const tags = cell.model.getMetadata("tags") || [];
    const texts = [...cell.node.querySelectorAll(".cm-scroller, pre, .jp-OutputArea-output, .jp-RenderedHTMLCommon")];
    return [cell.model.id, box.top, box.bottom, tags.some((tag) => tag.startsWith("defines:")),
      texts.some((text) => text.scrollWidth > text.clientWidth + 2)];
  })
  .filter(([, top, bottom]) => bottom - top > 3)"""
# What the deck is to show: [index, id] of every cell that is neither skipped nor a note.
WANTED = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .map((cell, index) => [index, cell.model.id, (cell.model.getMetadata("slideshow") || {}).slide_type])
  .filter(([, , kind]) => kind !== "skip" && kind !== "notes")"""
GO = "(index) => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = index; }"
# Run code in the kernel and let its output take the place of a cell's stored one; what it raised, or nothing.
SHOW_LIVE = """async ([index, code]) => {
  const { content, sessionContext } = window.jupyterapp.shell.currentWidget;
  const future = sessionContext.session.kernel.requestExecute({ code });
  content.widgets[index].model.trusted = true;             // as after a run: else the PNG is shown, not the widget
  content.widgets[index].outputArea.future = future;
  const { content: answer } = await future.done;
  return answer.status === "ok" ? "" : `${answer.ename}: ${answer.evalue}`;
}"""
# A live card on the slide has been drawn: the cells of widgets that are on the slide all hold one.
DRAWN = """(live) => window.jupyterapp.shell.currentWidget.content.widgets
  .filter((cell, index) => live.includes(index) && /deck-mod-(onscreen|visible)/.test(cell.node.className))
  .every((cell) => cell.node.querySelector(".rta")?.offsetHeight > 50)"""
IMPORTS = "from course_utils.exercises import quiz\nfrom course_utils.widgets import *\n"
KNOWN = {"quiz", *widgets.__all__, *dir(builtins)}
# Widgets that cannot be made without a model: with the recorded ones, as large as in their chapters.
MADE = {
    "FillInTheBlank": """
from course_utils.recordings.docstring_bert import pretrained
model, tokenizer = pretrained()
FillInTheBlank({"trained above": model, "trained longer": model}, tokenizer, hidden=[2])""",
    "PatchExplorer": """
import torch
from course_utils.models.vit import ViT, ViTClassifier, ViTConfig
models = [ViTClassifier(ViT(ViTConfig(8, 2, 1, 32, 4, 64, 2, positions=positions)), 10) for positions in (True, False)]
digits = {f"digit {number}": torch.rand(1, 8, 8) for number in range(4)}
PatchExplorer(digits, models[0], labels=[0, 1, 2, 3], without_positions=models[1], seed=1)""",
    "SamplingPlayground": """
from course_utils.recordings.docstring_gpt import pretrained
SamplingPlayground(*pretrained(), top_p=0.9)""",
}


def live_code(cell):
    """Code that shows a cell's widget without its chapter; None for a cell that shows no widget.

    A cell that needs nothing of the chapter runs as it is. Where it does, the widget is made with its defaults, which
    is about as high as with the chapter's model; a widget without defaults fails the test and needs a line in MADE.
    """
    said = ["".join(output["data"].get("text/plain", "")) for output in cell.get("outputs", []) if "data" in output]
    name = next((text.split("(")[0] for text in said if "(" in text and text.split("(")[0] in widgets.__all__), None)
    if name is None:
        return None
    source = "".join(cell["source"])
    used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    return IMPORTS + (source if used <= KNOWN else MADE.get(name, f"{name}()"))


def show_live(page, name):
    """Make the widgets of the chapter on the screen live; the numbers of their cells."""
    cells = json.loads((page.lab.folder / name).read_text(encoding="utf-8"))["cells"]
    codes = {index: code for index, code in enumerate(map(live_code, cells)) if code}
    for index, code in codes.items():
        problem = page.evaluate(SHOW_LIVE, [index, code])
        assert not problem, f"cell {index} shows a widget that cannot be made without the chapter: {problem}"
    return list(codes)


@pytest.fixture(scope="module")
def deck_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deck")
    for path in layout.chapter_notebooks().values():
        shutil.copy(path, folder)
    with serve(folder, presenting.SETTINGS / "custom") as lab, open_page(lab, 1280, HEIGHT) as page:
        yield page


def slides(page, live):
    """The slides that hold the wanted cells, each as the list of its visible cells; and the ids that never appear.

    live: the numbers of the cells with a live widget, which are measured when it has been drawn.
    """
    found, missing, seen = [], [], set()
    for index, cell, _ in page.evaluate(WANTED):
        if cell in seen:
            continue
        page.evaluate(GO, index)
        try:
            # The first slide takes as long as the deck needs to start.
            page.wait_for_function(f"(id) => ({VISIBLE})().some((cell) => cell[0] === id)", arg=cell,
                                   timeout=3000 if found else WAIT)
        except NothingAppeared:
            missing.append(cell)
            continue
        page.wait_for_function(DRAWN, arg=live)
        next_frame(page)
        found.append(page.evaluate(VISIBLE))
        seen |= {shown[0] for shown in found[-1]}
    return found, missing


@pytest.mark.parametrize("name", [path.name for path in layout.chapter_notebooks().values()])
def test_every_cell_appears_and_every_slide_fits(deck_page, name):
    page = deck_page
    close_tabs(page)
    command(page, "docmanager:open", path=name)
    page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell")
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.ready.then(() => null)")
    live = show_live(page, name)
    page.evaluate(GO, 0)
    page.evaluate("window.jupyterapp.commands.execute('deck:start').then(() => null)")
    try:
        shown, missing = slides(page, live)
    finally:
        page.evaluate("window.jupyterapp.commands.execute('deck:stop').then(() => null)")
    assert shown and not missing, f"never on a slide: {missing}"
    high = {
        slide[0][0]: round(slide[-1][2] - min(0, slide[0][1]))
        for slide in shown
        if not any(cell[3] for cell in slide) and (slide[-1][2] > HEIGHT + 1 or slide[0][1] < -1)
    }
    assert not high, f"slides higher than {HEIGHT} px, by their first cell: {high}"
    wide = [cell[0] for slide in shown for cell in slide if cell[4]]
    assert not wide, f"cells with a line wider than its box: {wide}"
