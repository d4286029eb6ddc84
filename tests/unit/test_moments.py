"""The kernel of `present`: a cell that is run again finds the names of its place in the notebook."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from course_utils.commands.moments import Moments

CELLS = {
    "keys": "keys = [1, 2]",
    "look": "found = len(keys)",
    "other": "keys = 'another thing'",
    "sum": "total = found + len(keys)",
}


@pytest.fixture
def shell():
    """A kernel's shell in which the four cells have been run, as `present` runs them."""
    shell = InteractiveShell()
    shell.moments = Moments(shell, list(CELLS))
    for source in CELLS.values():
        shell.run_cell(source).raise_error()
    return shell


def again(shell, cell, source=None):
    """Run a cell as JupyterLab does, with its id and perhaps another source; the names after it."""
    shell.run_cell(source or CELLS[cell], cell_id=cell).raise_error()
    return shell.user_ns


def test_a_cell_finds_what_it_found_at_first(shell):
    assert shell.user_ns["keys"] == "another thing"
    assert again(shell, "look", "found = keys[1]")["found"] == 2


def test_what_was_changed_above_is_seen_below_and_not_above(shell):
    again(shell, "keys", "keys = [1, 2, 3]")
    assert again(shell, "look")["found"] == 3
    again(shell, "other", "keys = 'ab'")
    assert again(shell, "sum")["total"] == 5
    assert again(shell, "look", "found = keys[0]")["found"] == 1


def test_a_name_that_the_presenter_made_up_stays(shell):
    again(shell, "keys", "mine = 7; keys = [1]")
    assert again(shell, "sum", "total = mine")["total"] == 7


def test_a_new_cell_sees_the_present_names_and_belongs_to_the_cell_before_it(shell):
    again(shell, "keys", "keys = [5]")
    shell.run_cell("keys = keys * 4", cell_id="a-new-one").raise_error()
    assert again(shell, "look")["found"] == 4


def test_an_error_in_a_cell_loses_no_name(shell):
    with pytest.raises(ZeroDivisionError):
        again(shell, "look", "early = 1; 1 / 0")
    assert again(shell, "sum", "total = early")["total"] == 1
