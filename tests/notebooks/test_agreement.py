"""The checks that hold a notebook against concepts, exercises and the package: each can fail."""

import sys

import pytest
import small

from course_utils.commands import agreement

KNOWN = {
    "first-idea": {"chapter": "01", "kind": "show"},
    "second-idea": {"chapter": "01", "kind": "tell"},
    "later-idea": {"chapter": "02", "kind": "show"},
}
SHOWN = small.code("shown", "assert x == 2", "shows:first-idea")


def told(*names):
    return small.text("told", "text", *[f"concept:{name}" for name in names])


def test_every_concept_explained_and_shown():
    assert agreement.concept_problems(small.notebook(told("first-idea", "second-idea"), SHOWN), "01", KNOWN) == []


def test_a_concept_of_another_chapter_may_appear_again():
    nb = small.notebook(told("first-idea", "second-idea", "later-idea"), SHOWN)
    assert agreement.concept_problems(nb, "01", KNOWN) == []


@pytest.mark.parametrize(("cells", "words"), [
    ([told("first-idea"), SHOWN], "no cell explains the concept second-idea"),
    ([told("first-idea", "second-idea")], "no code cell with the tag shows:first-idea asserts something"),
    ([told("first-idea", "second-idea", "lost-idea"), SHOWN], "told: no concept has the id 'lost-idea'"),
    ([told("first-idea", "second-idea", "shows:first-idea")], "shows:first-idea asserts"),
])
def test_a_concept_that_is_missing_or_unknown(cells, words):
    assert any(words in text for text in agreement.concept_problems(small.notebook(*cells), "01", KNOWN))


@pytest.mark.parametrize(("source", "expected"), [
    ("assert x > 1", True), ("torch.testing.assert_close(x, y)", True), ("for a in b:\n    assert a", True),
    ("print(x)", False), ("assert True", False), ("assert 1 + 1 == 2", False), ("'assert x'", False),
    ("%time f()", False),
])
def test_only_code_that_could_fail_shows_something(source, expected):
    assert agreement.asserts_something(small.code("some-cell", source)) is expected


def test_concepts_of_absent_chapters_are_to_come():
    assert agreement.concepts_to_come(KNOWN, {"01"}) == {"02": ["later-idea"]}


# ---- definitions

PACKAGE = '''
"""A module."""
import math
from fractions import Fraction

FACTOR = 2


def half(x: Fraction = Fraction(1)) -> Fraction:
    """Half of x."""
    return x / 2


class Circle:
    """A circle."""

    def area(self, radius):
        """Its area."""
        return math.pi * half(radius) ** 2 * 4


def scaled(x):
    return FACTOR * x
'''
HALF = "def half(x: Fraction = Fraction(1)) -> Fraction:\n    return x / 2"
CIRCLE = 'class Circle:\n    """Round."""\n    def area(self, radius):\n        return math.pi * half(radius) ** 2 * 4'
IMPORTS = "import math\nfrom fractions import Fraction\nraise SystemExit('only imports are executed')"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A module `shapes_of_old` to compare with."""
    (tmp_path / "shapes_of_old.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "shapes_of_old"
    sys.modules.pop("shapes_of_old", None)


def findings(*definitions, imports=IMPORTS):
    cells = [small.code(f"definition-{n}", source, f"defines:shapes_of_old.{name}")
             for n, (name, source) in enumerate(definitions)]
    return agreement.definition_problems(small.notebook(small.code("import-cell", imports, "imports"), *cells))


def test_definitions_that_agree(package):
    assert findings(("half", HALF), ("Circle", CIRCLE)) == []


@pytest.mark.parametrize(("name", "source", "imports", "words"), [
    ("half", HALF.replace("/ 2", "/ 3"), IMPORTS, "half differs from shapes_of_old.half"),
    ("half", HALF.replace("x", "y"), IMPORTS, "half differs"),
    ("half", HALF + "\n\nhalf(1)", IMPORTS, "exactly one function or class, here half"),
    ("half", HALF.replace("def half", "def double"), IMPORTS, "exactly one function or class"),
    ("lost", "def lost(): ...", IMPORTS, "there is no shapes_of_old.lost"),
    ("half", HALF, "from decimal import Decimal as Fraction", "Fraction does not mean the same here"),
    ("half", HALF, "import math", "Fraction is known neither from the import cell nor"),
    ("Circle", CIRCLE, IMPORTS, "half is known neither"),
    ("scaled", "def scaled(x):\n    return FACTOR * x", IMPORTS, "FACTOR is known neither"),
])
def test_definitions_that_disagree(package, name, source, imports, words):
    [found] = findings((name, source), imports=imports)
    assert words in found


def test_a_module_that_does_not_exist():
    nb = small.notebook(small.code("lost-cell", "def f(): ...", "defines:course_utils.models.nowhere.f"))
    assert agreement.definition_problems(nb) == ["lost-cell: there is no course_utils.models.nowhere.f in the package"]


def test_free_names_see_through_scopes():
    source = """@decorate
def f(a, b=default) -> Kind:
    c = a + outer
    def g():
        return c + len(d for d in other)
    class K(Base):
        field = constant
        def m(self):
            return super().m() + field
    return g, [e for e in a]"""
    names = agreement.free_names(source)
    assert names >= {"decorate", "default", "outer", "len", "other", "Base", "constant", "field", "super"}
    assert not names & {"a", "b", "c", "d", "e", "g", "K", "self"}


# ---- exercises and quizzes

STUB = 'def double(x):\n    """Twice x."""\n    ...'


@pytest.mark.parametrize(("source", "same"), [
    (STUB + '\n\ncheck("01.1", double)', True),
    (STUB.replace('"""Twice x."""', "'''Twice x.'''") + "\n# a comment\n", True),
    (STUB.replace("...", "return 2 * x"), False),
    (STUB.replace("(x)", "(y)"), False),
    ('check("01.1", double)', False),
])
def test_the_shipped_stub_is_the_engines(source, same):
    assert (agreement.stub_problems("01.1", source, STUB) == []) is same


@pytest.mark.parametrize(("source", "found"), [
    ('check("01.1", double)', False), ('check("01.1", print)', True), ('check("01.1", double(2))', True),
    ('check("01.1")', True), ('x = 1', True), ('check("01.1", double)\ncheck("01.1", print)', True),
])
def test_check_is_handed_what_the_stub_defines(source, found):
    assert bool(agreement.handed_over_problems("01.1", small.code("answer", source), "double")) is found


QUIZZES = {"01-opening": [1, 2, 3, 4], "01-closing": [1, 2, 3, 4, 5, 6]}
OPENING = small.code("quiz-opening", 'quiz("01-opening")', "quiz")
CLOSING = small.code("quiz-closing", 'quiz("01-closing")', "quiz")


def test_every_quiz_is_asked_once():
    assert agreement.quiz_problems(small.notebook(OPENING, CLOSING), "01", QUIZZES) == []


@pytest.mark.parametrize(("cells", "quizzes", "words"), [
    ([OPENING], QUIZZES, "the quiz 01-closing is asked 0 times"),
    ([OPENING, CLOSING, small.code("again", 'quiz("01-closing")', "quiz")], QUIZZES, "the quiz 01-closing is asked 2"),
    ([OPENING, CLOSING, small.code("odd", 'quiz("01-middle")', "quiz")], QUIZZES, "odd: there is no quiz 01-middle"),
    ([OPENING, small.code("bare", 'quiz("01-closing")')], QUIZZES, "bare: the tag `quiz` is missing"),
    ([OPENING, CLOSING], {**QUIZZES, "01-opening": [1]}, "the opening quiz has 1 questions, fewer than 4"),
])
def test_quizzes_that_disagree(cells, quizzes, words):
    [found] = agreement.quiz_problems(small.notebook(*cells), "01", quizzes)
    assert words in found
