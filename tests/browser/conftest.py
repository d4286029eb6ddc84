"""One server and one kernel for all browser tests; every test starts with a light theme, no notebook and no errors."""

import contextlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import harness


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    with harness.serve(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="session")
def pages(lab):
    with contextlib.closing(harness.Pages(lab)) as taken:
        yield taken


@pytest.fixture
def page(pages):
    """A page, wide, light, empty and without errors; a test that leaves an error in the browser's console fails."""
    page = pages.take()
    harness.close_tabs(page)
    harness.forget_widgets(page)
    page.errors.clear()
    page.set_viewport_size({"width": 1280, "height": 1200})
    harness.choose_theme(page, dark=False)
    yield page
    assert page.errors == []
