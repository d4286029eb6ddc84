"""Concepts, questions and the cells they point to; the tables of chapter 00 are drawn from them."""

import re

import pytest

from course_utils import concepts, layout
from course_utils.commands import notebooks
from course_utils.exercises import asked_about

CHAPTERS = layout.chapter_notebooks()
LINK = re.compile(r"\[([^\]]+)\]\((\d\d_\w+\.ipynb)#cell-id=([a-z0-9-]+)\)")


def assert_links_lead_to_cells(table, least):
    """Every link of a Markdown table names a cell that is there, and there are at least so many."""
    there = {(CHAPTERS[place["chapter"]].name, place["cell"]) for place in concepts.cells()}
    links = LINK.findall(table)
    assert len(links) >= least and table.count("](") == len(links)
    assert [link for link in links if link[1:] not in there] == []


# ---- concepts


def test_every_concept_is_written_out_in_one_style():
    rows = concepts.concepts()
    for row in rows:
        assert list(row) == ["id", "chapter", "kind", "english", "korean", "definition"], row
        assert row["definition"].endswith(".") and len(row["definition"]) <= 120, row
        assert row["kind"] in ("show", "tell"), row
    for key in ("id", "english", "korean"):
        assert len({row[key] for row in rows}) == len(rows), key
    assert [row["chapter"] for row in rows] == sorted(row["chapter"] for row in rows)


@pytest.mark.parametrize("number", CHAPTERS)
def test_every_concept_of_a_chapter_is_taught_and_asked_about(number):
    asked = asked_about()
    rows = [row for row in concepts.concepts() if row["chapter"] == number]
    assert [row["id"] for row in rows if not concepts.places(f"concept:{row['id']}")] == []
    assert [row["id"] for row in rows if row["kind"] == "show" and not concepts.places(f"shows:{row['id']}")] == []
    assert [row["id"] for row in rows if row["id"] not in asked] == []


def test_what_exercises_and_questions_are_about_exists():
    asked = asked_about()
    assert set(asked) <= {row["id"] for row in concepts.concepts()}
    assert ("exercise", "00.1") in asked["broadcasting"] and ("quiz", "00-closing") in asked["broadcasting"]
    assert all(len(set(found)) == len(found) for found in asked.values())


# ---- questions


def test_every_question_names_concepts_and_a_cell_that_exist():
    known, rows = {row["id"] for row in concepts.concepts()}, concepts.questions()
    for row in rows:
        assert concepts.place_of(row["chapter"], row["cell"])["heading"], row
        assert row["about"] and set(row["about"]) <= known and row["question"].endswith("?"), row
    assert [row["chapter"] for row in rows] == sorted(row["chapter"] for row in rows)
    assert {row["chapter"] for row in rows} == set(CHAPTERS) and 25 <= len(rows) <= 45
    assert len({row["question"] for row in rows}) == len(rows)


def test_a_cell_that_is_not_there_is_refused():
    with pytest.raises(LookupError, match="chapter 05 has no cell 'lost-cell'"):
        concepts.place_of("05", "lost-cell")


# ---- cells


def test_sections_exercises_and_quizzes_are_found_in_the_notebooks():
    assert concepts.place_of("00", "broadcasting-trap")["heading"] == "Broadcasting"
    first, *_ = concepts.exercises_of("00")
    assert first == {"id": "00.1", "title": "Centre each sequence over time", "cell": "exercise-00-1"}
    assert concepts.quizzes_of("00") == [{"name": "00-opening", "cell": "opening-quiz"},
                                         {"name": "00-closing", "cell": "closing-quiz"}]
    shapes = concepts.places("shows:tensor-shapes")
    assert [place["heading"] for place in shapes] == ["Shapes, and their letters", "Broadcasting"]


# ---- tables


def test_the_glossary_holds_every_concept_of_its_chapters_and_links_to_them():
    table = concepts.glossary("00", "01", asked={"rnn-recurrence": [("exercise", "01.1"), ("quiz", "01-closing")]}).data
    rows = [row for row in concepts.concepts() if row["chapter"] in ("00", "01")]
    lines = [line for line in table.splitlines() if re.match(r"\| (?!---|English)", line)]
    assert len(lines) == len(rows) > 20
    for line, row in zip(lines, rows, strict=True):
        assert row["english"] in line and row["korean"] in line and f"]({CHAPTERS[row['chapter']].name}#" in line
    assert_links_lead_to_cells(table, len(rows) + 1)
    assert "[01.1](01_rnn.ipynb#cell-id=exercise-01-1)" in table


def test_the_whole_glossary_and_the_answers_cover_all_chapters():
    assert_links_lead_to_cells(concepts.glossary(asked=asked_about()).data, len(concepts.concepts()) + 80)
    table = concepts.answers().data
    assert_links_lead_to_cells(table, len(concepts.questions()))
    assert len(table.splitlines()) == len(concepts.questions()) + 2
    assert len(concepts.answers("05").data.splitlines()) < len(table.splitlines())


@pytest.fixture
def read_anew():
    """The notebooks are read once for all tests; a test that changes which there are must not leave its own behind."""
    def forget():
        concepts.cells.cache_clear()
        concepts._by_tag.cache_clear()

    forget()
    yield
    forget()


@pytest.mark.usefixtures("read_anew")
def test_a_notebook_that_cannot_be_read_takes_only_its_own_links_away(tmp_path, monkeypatch):
    broken = tmp_path / "05_self_attention.ipynb"
    broken.write_text('{"cells": [{"cell_type": "markdown"')
    monkeypatch.setattr(concepts, "chapter_notebooks", lambda: {"04": CHAPTERS["04"], "05": broken})
    assert concepts.places("concept:query-key-value") == concepts.exercises_of("05") == []
    assert concepts.places("concept:source-mask")
    assert "| What do query, key and value mean? |  |" in concepts.answers().data


@pytest.mark.usefixtures("read_anew")
def test_a_chapter_to_come_is_named_without_a_link(monkeypatch):
    monkeypatch.setattr(concepts, "chapter_notebooks", dict)
    assert "](" not in concepts.glossary("01").data


def test_an_unknown_chapter_is_refused():
    with pytest.raises(ValueError, match="'77' has no concepts; there are 00, 01"):
        concepts.glossary("77")


@pytest.mark.parametrize(("cell", "made"), [
    ("questions-table", concepts.answers), ("glossary", lambda: concepts.glossary(asked=asked_about())),
])
def test_the_tables_stored_in_chapter_00_are_of_now(cell, made):
    nb = notebooks.read(CHAPTERS["00"])
    stored = next(row for row in nb["cells"] if row["id"] == cell)["outputs"][0]["data"]["text/markdown"]
    assert "".join(stored) == made().data, "run `python3 -m course_utils refresh 00`"


# ---- links between the chapters


@pytest.mark.parametrize("number", CHAPTERS)
def test_links_to_a_cell_lead_to_one(number):
    there = {(CHAPTERS[place["chapter"]].name, place["cell"]) for place in concepts.cells()}
    texts = [cell["source"] for cell in notebooks.read(CHAPTERS[number])["cells"] if cell["cell_type"] == "markdown"]
    found = [(file, cell) for text in texts for file, cell in re.findall(r"\]\(([^)#]*)#cell-id=([^)]*)\)", text)]
    assert [link for link in found if link not in there] == []
