"""The chapters themselves: rules, concepts, exercises, and code that equals the package's."""

import nbformat
import pytest

from course_utils import layout
from course_utils.commands import agreement, lints, notebooks

CHAPTERS = layout.chapter_notebooks()
each_chapter = pytest.mark.parametrize("number", CHAPTERS)


def chapter(number):
    return notebooks.read(CHAPTERS[number])


def told(problems):
    return "\n" + "\n".join(problems)


@each_chapter
def test_the_file_is_a_valid_notebook(number):
    nbformat.validate(chapter(number))


@each_chapter
def test_the_notebook_keeps_the_rules(number):
    found = lints.problems(chapter(number), number, CHAPTERS[number].stat().st_size)
    assert not found, told(found)


@each_chapter
def test_the_file_is_what_refresh_writes(number):
    text = notebooks.text_of(notebooks.normalise(chapter(number)))
    unchanged = text == CHAPTERS[number].read_text(encoding="utf-8")
    assert unchanged, f"run `python3 -m course_utils refresh {number}`"


@each_chapter
def test_every_concept_is_taught(number):
    found = agreement.concept_problems(chapter(number), number, agreement.by_id())
    assert not found, told(found)


@each_chapter
def test_exercises_and_quizzes_agree_with_the_engine(number):
    found = agreement.exercise_problems(chapter(number), number)
    assert not found, told(found)


@each_chapter
def test_the_counts_in_chapters_yml_are_the_engines(number):
    found = agreement.count_problems(number, agreement.by_number()[number])
    assert not found, told(found)


@each_chapter
def test_definitions_are_the_packages(number):
    found = agreement.definition_problems(chapter(number))
    assert not found, told(found)


@each_chapter
def test_the_chapter_bears_the_name_that_chapters_yml_gives_it(number):
    assert CHAPTERS[number].name == agreement.by_number()[number]["file"]


def test_every_notebook_on_disk_is_a_chapter():
    assert {path.name for path in layout.NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts} == {
        path.name for path in CHAPTERS.values()}


def test_exercises_belong_to_a_chapter_with_a_notebook():
    with_data = {number for number in agreement.by_number() if agreement.exercise_data(number)}
    assert with_data <= set(CHAPTERS)


def test_concepts_of_missing_chapters_are_listed(capsys):
    """They are no failure; the list shows what the course still owes."""
    waiting = agreement.concepts_to_come(agreement.by_id(), set(CHAPTERS))
    with capsys.disabled():
        for number, names in waiting.items():
            print(f"\nto come, chapter {number}: {', '.join(names)}", end="")
        print()
    without_notebook = {row["number"] for row in agreement.chapters() if not (layout.NOTEBOOKS / row["file"]).exists()}
    assert set(waiting) == without_notebook, "every chapter to come says which concepts it will teach"


# ---- the lists themselves

def test_concepts_are_complete_and_unique():
    rows = list(agreement.concepts())
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert set(row) == {"id", "chapter", "kind", "english", "korean", "definition"}, row["id"]
        assert row["kind"] in ("show", "tell"), row["id"]
        assert row["chapter"] in agreement.by_number(), row["id"]
        assert row["definition"].endswith(".") and "\n" not in row["definition"], row["id"]


def test_every_chapter_has_concepts():
    assert {row["chapter"] for row in agreement.concepts()} == set(agreement.by_number())


def test_chapters_are_complete_and_their_budget_fits_the_course():
    rows = list(agreement.chapters())
    assert [row["number"] for row in rows] == [f"{number:02d}" for number in range(12)]
    assert sum(row["seconds"] for row in rows) == 720
    for row in rows:
        assert row["file"].startswith(f"{row['number']}_"), row["number"]
        assert all(len(row[key].split()) <= 12 for key in ("solves", "leaves")), row["number"]
        assert row["title"] and row["title_ko"], row["number"]
