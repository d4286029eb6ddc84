"""Each rule finds the breach it is made for, and a clean notebook has none."""

import base64

import pytest
import small
from nbformat import v4

from course_utils.commands import lints

BIG_PICTURE = base64.b64encode(b"x" * 151_000).decode()


def spoiled(*cells):
    nb = small.clean()
    return small.notebook(*nb["cells"], *cells)


def test_a_clean_notebook_has_no_problems():
    assert lints.problems(small.clean()) == []


def test_a_whole_chapter_has_no_problems():
    assert lints.problems(small.whole_chapter(), "01") == []


@pytest.mark.parametrize(("cell", "words"), [
    (small.code("long-cell", "x = 1\n" * 16), "16 lines of code"),
    (small.code("long-definition", "x = 1\n" * 41, "defines:a.b"), "41 lines of code"),
    (small.code("empty-cell", "\n"), "an empty code cell"),
    (small.text("long-text", "word " * 121), "121 words"),
    (small.text("3f2a9c1d", "text"), "no readable slug"),
    (small.text("Big-Letters", "text"), "no readable slug"),
    (v4.new_markdown_cell("text", id="no-slide", metadata={}), "no slideshow metadata"),
    (v4.new_markdown_cell("text", id="old-slide", metadata={"slideshow": {"slide_type": "-"}}), "slide_type '-' is"),
    (small.text("html-text", "a <b>bold</b> word"), "raw HTML"),
    (small.text("html-comment", "<!-- hidden -->"), "raw HTML"),
    (small.text("link-text", "[file](/etc/hosts)"), "an absolute path"),
    (small.code("open-file", "open('/etc/hosts')"), "an absolute path"),
    (small.code("pip-cell", "!pip install torch"), "not allowed in a notebook: !pip"),
    (small.code("magic-cell", "%matplotlib inline\nx = 1"), "not allowed in a notebook: %matplotlib"),
    (small.code("unknown-magic", "%%nosuchmagic\nassert False"), "not allowed in a notebook: %%nosuchmagic"),
    (small.code("shell-value", "files = !ls"), "not allowed in a notebook"),
    (small.code("help-cell", "print?"), "not allowed in a notebook"),
    (small.code("broken-code", "x = = 1"), "cannot be parsed"),
    (small.code("ask-cell", "name = input()"), "input() is not allowed"),
    (small.code("clear-cell", "display.clear_output(wait=True)"), "clear_output() is not allowed"),
    (small.code("update-cell", "handle.update_display(1)"), "update_display() is not allowed"),
    (small.code("leave-cell", "exit()"), "exit() is not allowed"),
    (small.code("skipped-cell", "f()", "nbval-skip"), "the tag 'nbval-skip' hides a failure"),
    (small.code("uncompared", "f()", "nbval-check-output", "nbval-ignore-output"), "'nbval-ignore-output' hides"),
    (small.code("failing-cell", "f()", "raises-exception"), "the tag 'raises-exception' hides a failure"),
    (small.code("semicolon", "f(1);  # quiet"), "a trailing ';'"),
    (small.code("svg-cell", "f()", outputs=[small.shown(**{"image_svg+xml": "<svg/>"})]), "SVG"),
    (small.code("big-picture", "f()", outputs=[small.shown(image_png=BIG_PICTURE)]), "a picture of 151 kB"),
    (small.code("warned", "f()", outputs=[small.printed("Warning\n", "stderr")]), "writes to stderr"),
    (small.code("private-path", "f()", outputs=[small.printed("/home/me/x\n")]), "a path of this machine"),
    (small.code("failed", "f()", outputs=[v4.new_output("error", ename="E", evalue="no", traceback=[])]), "E: no"),
    (small.code("digits", "f()", "nbval-check-output", outputs=[small.printed("0.12345678")]), "more decimals"),
    (small.code("more-imports", "import json", "imports"), "2 cells have the tag `imports`"),
], ids=lambda value: value if isinstance(value, str) else None)
def test_each_breach_is_found(cell, words):
    found = lints.problems(spoiled(cell))
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize("cell", [
    small.code("long-enough", "x = 1\n" * 15),
    small.code("definition", "x = 1\n" * 40, "defines:a.b"),
    small.text("formulae", "word " * 119 + "$$" + "a + " * 50 + "b$$ $c + d + e$ end"),
    small.text("tokens", "`<b>` and $a <b> c$ and <https://example.org>\n\n```\n<div>\n```\n"),
    small.code("strings", "text = '''\n!pip\n%matplotlib\n'''"),
    small.code("division", "x = (1\n     % 2)\nhostile = '</script>'"),
    small.code("timed", "%timeit -n 1 sum(range(9))"),
    small.code("free-digits", "f()", outputs=[small.printed("0.12345678 of 2/3 at http://a/home/x")]),
    small.code("semicolon-inside", "text = ';'"),
], ids=lambda cell: cell["id"])
def test_what_looks_like_a_breach_and_is_none(cell):
    assert lints.problems(spoiled(cell)) == []


WIDGETS = small.code("import-cell", "from course_utils.widgets import CourseMap", "imports")


def in_a_chapter(*cells):
    nb = small.whole_chapter()
    others = [WIDGETS if cell["id"] == "import-cell" else cell for cell in nb["cells"]]
    return lints.problems(small.notebook(*others[:4], *cells, *others[4:]), "01")


@pytest.mark.parametrize("source", [
    "print(1)", "f()\nprint(1)\nx = 1", 'quiz("x")', "check('1', f)", "x", "x.shape", "a == b", "CourseMap()",
])
def test_a_cell_that_shows_something_has_an_output(source):
    assert in_a_chapter(small.code("silent-cell", source)) == [
        "silent-cell: shows something, and no output is stored: run `refresh`"]
    assert in_a_chapter(small.code("silent-cell", source, outputs=[small.printed("1")])) == []


@pytest.mark.parametrize("source", [
    "x = 1", "f(x)", "_ = x", "def f():\n    print(1)", "for x in y:\n    f(x)", "assert x",
])
def test_other_cells_may_be_silent(source):
    assert in_a_chapter(small.code("silent-cell", source)) == []


def test_a_widget_is_stored_with_its_picture():
    def found(**data):
        return in_a_chapter(small.code("map-cell", "CourseMap()", outputs=[small.shown(**data)]))

    assert found(text_plain="CourseMap(chapters=12)", image_png="x") == found(text_plain="RNN(3, 4)") == []
    assert found(text_plain="CourseMap(chapters=12)") == [
        "map-cell: a widget is stored without its picture: run `refresh`"]


@pytest.mark.parametrize("source", [
    "Fraction = 3", "Fraction: int = 3", "Fraction += 1", "a, (Fraction, *b) = x", "for Fraction in x:\n    pass",
    "def Fraction():\n    ...", "class Fraction:\n    ...", "with f() as Fraction:\n    pass", "print(Fraction := 3)",
    "import fractions as Fraction", "from decimal import Decimal as Fraction", "del Fraction",
    "if x:\n    Fraction = 3", "try:\n    f()\nexcept ValueError as Fraction:\n    pass",
    "[y for x in z if (Fraction := x)]", "match x:\n    case [Fraction]:\n        pass",
    "from fractions import Fraction\nFraction = 3", "Fraction = 3\nfrom fractions import Fraction",
])
def test_names_of_the_import_cell_keep_their_meaning(source):
    found = lints.problems(spoiled(small.code("later-cell", source)))
    assert found == ["later-cell: Fraction is bound anew; the import cell gave it its meaning"]


@pytest.mark.parametrize("source", [
    "from fractions import Fraction", "import fractions", "[Fraction for Fraction in x]", "f = lambda Fraction: 1",
    "def f(Fraction):\n    Fraction = 3\n    return Fraction", "x.Fraction = 3", "x[Fraction] = 3", "f(Fraction=3)",
    "class A:\n    Fraction = 3",
])
def test_names_of_the_import_cell_may_be_used_and_meant_otherwise_inside(source):
    assert lints.problems(spoiled(small.code("later-cell", source))) == []


def test_what_the_import_cell_assigns_is_guarded_too_and_it_may_stand_anywhere():
    def found(imports):
        cells = [small.code("before-cell", "device = 1"), small.code("import-cell", imports, "imports"),
                 small.code("later-cell", "device = 2\nos = 3")]
        return lints.problems(small.notebook(*cells))

    assert found("device = 0\nimport os.path") == [
        f"later-cell: {name} is bound anew; the import cell gave it its meaning" for name in ("device", "os")]
    assert found("import os.path as p") == []


@pytest.mark.parametrize("kind", ["fragment", "skip", "notes", None])
def test_a_definition_is_a_slide_of_its_own(kind):
    cell = small.code("definition", "x = 1", "defines:a.b")
    cell["metadata"]["slideshow"] = {"slide_type": kind}
    [found] = lints.problems(spoiled(cell))
    assert found.startswith("definition: a `defines:` cell is its own slide")
    for own in ("slide", "subslide"):
        cell["metadata"]["slideshow"] = {"slide_type": own}
        assert lints.problems(spoiled(cell)) == []


def test_execution_counts_must_run_from_one():
    nb = small.clean()
    nb["cells"][-1]["execution_count"] = 7
    assert lints.problems(nb) == ["execution counts are not 1, 2, 3 …: run `refresh`"]


def test_ids_are_unique():
    nb = small.clean()
    nb["cells"][0]["id"] = "one-half"
    assert "the id 'one-half' stands on 2 cells" in lints.problems(nb)


def test_widget_state_and_big_files():
    nb = small.clean()
    nb["metadata"]["widgets"] = {}
    found = lints.problems(nb, size=1_600_000)
    assert [text.split(":")[0] for text in found] == [
        "metadata.widgets is stored", "the file has 1.6 MB, more than 1.5"]


@pytest.mark.parametrize(("part", "words"), [
    ("title-cell", "the first cell is not a title"),
    ("goals", "missing: what you will be able to do"),
    ("quiz-opening", "missing: opening quiz"),
    ("parity-intro", "missing: It is the real thing"),
    ("misconceptions", "missing: Often said"),
    ("summary", "missing: summary"),
    ("quiz-closing", "missing: closing quiz"),
    ("assignment", "missing: assignment"),
    ("sources", "missing: sources"),
])
def test_each_fixed_part_is_asked_for(part, words):
    nb = small.whole_chapter()
    found = lints.problems(small.notebook(*[cell for cell in nb["cells"] if cell["id"] != part]), "01")
    assert len(found) == 1
    assert words in found[0]


def test_fixed_parts_keep_their_order():
    cells = small.whole_chapter()["cells"]
    cells[-1], cells[-2] = cells[-2], cells[-1]
    assert lints.problems(small.notebook(*cells), "01") == ["'sources' stands before 'assignment'; it belongs after it"]


@pytest.mark.parametrize(("concept", "place", "problems"), [
    ("some-idea", 3, ["an-idea: teaches the concept some-idea before the opening quiz"]),
    ("how-to-learn-here", 3, []),
    ("some-idea", 4, []),
])
def test_the_opening_quiz_comes_before_what_is_taught(concept, place, problems):
    cells = small.whole_chapter()["cells"]
    assert cells[3]["id"] == "quiz-opening"
    cells.insert(place, small.text("an-idea", "## An idea\nText.", f"concept:{concept}"))
    assert lints.problems(small.notebook(*cells), "01") == problems


def test_chapter_00_needs_no_parity_part():
    nb = small.whole_chapter()
    cells = [cell for cell in nb["cells"] if cell["id"] != "parity-intro"]
    assert lints.problems(small.notebook(*cells), "00") == []


def prompt(name="exercise-one"):
    return small.text(name, "### Exercise", "exercise:01.1")


def answer(checked="01.1"):
    return small.code("exercise-one-answer", f'def f():\n    ...\n\ncheck("{checked}", f)', "exercise:01.1")


def test_an_exercise_is_a_prompt_and_an_answer():
    assert lints.problems(spoiled(prompt(), answer())) == []


@pytest.mark.parametrize("cells", [
    [prompt()], [answer()], [answer(), prompt()], [prompt(), small.text("in-between", "text"), answer()],
    [prompt(), answer(), prompt("exercise-again")],
])
def test_an_exercise_in_another_form(cells):
    assert lints.problems(spoiled(*cells)) == [
        "exercise 01.1 is not one Markdown prompt followed by one answer cell"]


def test_an_exercise_checks_itself():
    assert lints.problems(spoiled(prompt(), answer("01.2"))) == [
        'exercise 01.1: the answer cell does not call check("01.1", …) once']
