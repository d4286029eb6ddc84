"""One server, one browser and one kernel for all browser tests; every test starts with a light theme and no errors."""

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
def browser_page(lab):
    with harness.open_page(lab) as page:
        yield page


@pytest.fixture
def page(browser_page):
    """The page, wide, light and without errors; a test that leaves an error in the browser's console fails."""
    browser_page.errors.clear()
    browser_page.set_viewport_size({"width": 1280, "height": 1200})
    harness.choose_theme(browser_page, dark=False)
    yield browser_page
    assert browser_page.errors == []
