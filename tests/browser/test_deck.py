"""Every chapter as a deck: each cell appears on a slide, and no slide is higher than a projector's 1280×720."""

import shutil

import pytest
from harness import WAIT, close_tabs, command, open_page, serve
from playwright.sync_api import TimeoutError as NothingAppeared

from course_utils import layout

pytestmark = pytest.mark.browser
HEIGHT = 720
# Cells on the present slide: [id, top, bottom, whether it holds a definition, which may scroll].
VISIBLE = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .filter((cell) => /deck-mod-(onscreen|visible)/.test(cell.node.className))
  .map((cell) => {
    const box = cell.node.getBoundingClientRect();
    const tags = cell.model.getMetadata("tags") || [];
    return [cell.model.id, box.top, box.bottom, tags.some((tag) => tag.startsWith("defines:"))];
  })
  .filter(([, top, bottom]) => bottom - top > 3)"""
# What the deck is to show: [index, id] of every cell that is neither skipped nor a note.
WANTED = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .map((cell, index) => [index, cell.model.id, (cell.model.getMetadata("slideshow") || {}).slide_type])
  .filter(([, , kind]) => kind !== "skip" && kind !== "notes")"""
GO = "(index) => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = index; }"


@pytest.fixture(scope="module")
def deck_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deck")
    for path in layout.chapter_notebooks().values():
        shutil.copy(path, folder)
    with serve(folder) as lab, open_page(lab, 1280, HEIGHT) as page:
        yield page


def slides(page):
    """The slides that hold the wanted cells, each as the list of its visible cells; and the ids that never appear."""
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
    page.evaluate(GO, 0)
    page.evaluate("window.jupyterapp.commands.execute('deck:start').then(() => null)")
    try:
        shown, missing = slides(page)
    finally:
        page.evaluate("window.jupyterapp.commands.execute('deck:stop').then(() => null)")
    assert shown and not missing, f"never on a slide: {missing}"
    high = {
        slide[0][0]: round(slide[-1][2] - min(0, slide[0][1]))
        for slide in shown
        if not any(cell[3] for cell in slide) and (slide[-1][2] > HEIGHT + 1 or slide[0][1] < -1)
    }
    assert not high, f"slides higher than {HEIGHT} px, by their first cell: {high}"
