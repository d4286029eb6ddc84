"""The glossary is drawn from the concepts; chapters that exist are linked."""

import re

import pytest

from course_utils import concepts, layout


def test_the_glossary_holds_every_concept_of_its_chapters_and_links_to_them():
    table = concepts.glossary("00", "01").data
    rows = [row for row in concepts.concepts() if row["chapter"] in ("00", "01")]
    lines = table.splitlines()[2:]
    assert len(lines) == len(rows) > 20
    for line, row in zip(lines, rows, strict=True):
        assert row["english"] in line and row["korean"] in line
        link = re.search(r"\[(\d\d)\]\(([^)]+)\)", line)
        assert link and link[1] == row["chapter"] and (layout.NOTEBOOKS / link[2]).exists()


def test_a_chapter_to_come_is_named_without_a_link(monkeypatch):
    monkeypatch.setattr(concepts, "chapter_notebooks", dict)
    assert "](" not in concepts.glossary("01").data


def test_an_unknown_chapter_is_refused():
    with pytest.raises(ValueError, match="'77' has no concepts; there are 00, 01"):
        concepts.glossary("77")
