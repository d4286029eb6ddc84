"""What `present` shows a class runs: the chapters in which cells have another source for presenting."""

import pytest

from course_utils import layout
from course_utils.commands import lints, notebooks, presenting


def edition(path):
    """The chapter as it is presented, or None where that is as it stands."""
    nb = notebooks.read(path)
    return presenting.presented(nb) if any("present" in cell["metadata"] for cell in lints.code_cells(nb)) else None


EDITIONS = {number: path for number, path in layout.chapter_notebooks().items() if edition(path)}


def test_there_are_chapters_with_an_edition_of_their_own():
    assert EDITIONS, "no cell has metadata 'present': then `present` makes a class wait for every training"


@pytest.mark.parametrize("number", EDITIONS)
def test_a_presenters_edition_runs_without_an_error(number):
    path = EDITIONS[number]
    with notebooks.quiet_environment() as environment:
        executed = notebooks.execute_in(edition(path), path.parent, environment)
    assert all(cell["execution_count"] for cell in lints.code_cells(executed) if cell["source"].strip())
