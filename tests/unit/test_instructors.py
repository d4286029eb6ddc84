"""INSTRUCTORS.md: its plans name the sections that the chapters have, and its minutes add up."""

import re

import pytest

from course_utils.commands import notebooks
from course_utils.concepts import chapters
from course_utils.exercises import engine
from course_utils.layout import ROOT, chapter_notebooks

PAGE = (ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8")
TITLES = {row["number"]: row["title"] for row in chapters()}
each_chapter = pytest.mark.parametrize("number", TITLES)


def plan_of(number):
    """The part of the page about one chapter."""
    _, found, rest = PAGE.partition(f"\n## {number} · {TITLES[number]}\n")
    assert found, f"no plan for chapter {number}"
    return rest.partition("\n## ")[0]


def plan_minutes(number):
    """Minutes of each section, by its name. A row may name several sections with · between them: the first counts."""
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in plan_of(number).splitlines() if line[:1] == "|"]
    found = {}
    for names, minutes in rows[2:]:
        for place, name in enumerate(names.split(" · ")):
            found[name] = 0 if place else int(minutes)
    return found


def sections_of(number):
    """The `##` headings of a chapter's notebook; of one with · between its parts, the parts that stand in the plans."""
    cells = notebooks.read(chapter_notebooks()[number])["cells"]
    heads = [line[3:].strip() for cell in cells if cell["cell_type"] == "markdown"
             for line in cell["source"].splitlines() if line.startswith("## ")]
    return ["Assignment" if head.startswith("Assignment · ") else head for head in heads]


@each_chapter
def test_a_plan_names_every_section_in_order(number):
    planned = list(plan_minutes(number))
    wanted = [part for head in sections_of(number) for part in head.split(" · ")]
    assert planned == wanted


@each_chapter
def test_the_minutes_of_a_plan_add_up(number):
    said = re.search(r"\*\*Time\*\*: (\d+) minutes.*?sections (\d+), exercises (\d+), quizzes (\d+)", plan_of(number))
    total, deck, exercises, quizzes = map(int, said.groups())
    assert total == deck + exercises + quizzes
    assert sum(plan_minutes(number).values()) == deck + quizzes


@each_chapter
def test_a_plan_says_where_each_exercise_is_done(number):
    words = plan_of(number).partition("\n**Exercises**")[2].partition("**Assignment**")[0]
    assert [name for name in engine.exercise_ids(number) if name not in words] == []
    assert set(re.findall(r"\b\d\d\.\d+\b", words)) == set(engine.exercise_ids(number))


def test_the_day_is_made_of_sections_that_exist_and_its_minutes_add_up():
    day = PAGE.partition("\n### A day")[2].partition("\n### ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in day.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 5
    for _, content, minutes in rows:
        total = 0
        for part in content.split("; "):
            number, _, names = part.partition(": ")
            planned = plan_minutes(number)
            total += sum(planned[name] for name in re.findall(r"\*(.+?)\*", names))
        assert total == int(minutes)


@pytest.mark.parametrize("course", ["A week", "A term"])
def test_the_longer_courses_go_through_every_chapter(course):
    words = PAGE.partition(f"\n### {course}")[2].partition("\n##")[0]
    assert [number for number in TITLES if not re.search(rf"\b{number}\b", words)] == []
