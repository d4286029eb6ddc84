"""A notebook held against the rest of the project: concepts.yml, the exercise engine and the package's own code.

Each function returns its findings as lines of text; an empty list means that both sides agree.
"""

import ast
import builtins
import importlib
import inspect
import symtable
from collections import Counter
from pathlib import Path

from course_utils.commands import lints
from course_utils.concepts import chapters, concepts

MISSING = object()


def by_number():
    """Chapters as a dict from number ("01") to its row in assets/chapters.yml."""
    return {row["number"]: row for row in chapters()}


def by_id():
    """Concepts as a dict from id to its row in assets/concepts.yml."""
    return {row["id"]: row for row in concepts()}


# ---- concepts

def concept_problems(nb, number, known):
    """Concepts of a chapter that the notebook does not teach or show, and tags that name no concept.

    known: what `by_id()` returns. A row of kind `show` needs a cell that explains it and code that would fail.
    """
    explained, shown, found = set(), set(), []
    for cell in nb["cells"]:
        explained.update(lints.tags(cell, "concept:"))
        if asserts_something(cell):
            shown.update(lints.tags(cell, "shows:"))
        for name in {*lints.tags(cell, "concept:"), *lints.tags(cell, "shows:")} - set(known):
            found.append(f"{lints.name_of(cell)}: no concept has the id {name!r}")
    for name, row in known.items():
        if row["chapter"] == number and name not in explained:
            found.append(f"no cell explains the concept {name} (tag concept:{name})")
        if row["chapter"] == number and row["kind"] == "show" and name not in shown:
            found.append(f"no code cell with the tag shows:{name} asserts something")
    return found


def asserts_something(cell):
    """True for code that would fail if its claim were false: an `assert` or an `assert_…()` on computed values."""
    tree = lints.syntax_tree(cell) if cell["cell_type"] == "code" else None
    for node in ast.walk(tree) if tree else []:
        if isinstance(node, ast.Assert) and any(isinstance(part, ast.Name) for part in ast.walk(node.test)):
            return True
        if isinstance(node, ast.Call) and lints.called_name(node).startswith("assert_"):
            return True
    return False


def concepts_to_come(known, present):
    """Concepts of chapters without a notebook, as a dict from chapter to ids. present: numbers of the notebooks."""
    waiting = {}
    for name, row in known.items():
        if row["chapter"] not in present:
            waiting.setdefault(row["chapter"], []).append(name)
    return waiting


# ---- exercises and quizzes

def exercise_data(number):
    """The module with a chapter's exercises and quizzes, or None where there is none yet."""
    name = f"course_utils.exercises.chapter_{number}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def exercise_problems(nb, number):
    """Exercises and quizzes that stand on one side only, and stubs that differ from the engine's."""
    data = exercise_data(number)
    exercises = {exercise.id: exercise for exercise in getattr(data, "EXERCISES", [])}
    answers = {name: cell for cell in lints.code_cells(nb) for name in lints.tags(cell, "exercise:")}
    found = [f"exercise {name} is not in the notebook" for name in exercises if name not in answers]
    found += [f"the engine knows no exercise {name}" for name in answers if name not in exercises]
    for name in exercises.keys() & answers.keys():
        found += stub_problems(name, answers[name]["source"], exercises[name].stub)
        found += handed_over_problems(name, answers[name], exercises[name].name)
    return sorted(found) + quiz_problems(nb, number, getattr(data, "QUIZZES", {}))


def stub_problems(name, source, stub):
    """The shipped answer cell begins with the engine's stub, unfilled, as a syntax tree."""
    expected = [ast.dump(node) for node in ast.parse(stub).body]
    actual = [ast.dump(node) for node in ast.parse(source).body]
    if [node for node in actual if node in expected] == expected:
        return []
    return [f"exercise {name}: the stub in the answer cell differs from the engine's"]


def handed_over_problems(name, cell, answer):
    """`check` gets what the stub defines, and nothing else."""
    handed = [ast.unparse(call.args[1]) for call in lints.calls(cell, "check") if len(call.args) == 2]
    return [] if handed == [answer] else [f'exercise {name}: the answer cell does not call check("{name}", {answer})']


def quiz_problems(nb, number, quizzes):
    """Every quiz of the chapter is asked once, in a cell tagged `quiz`, with enough questions."""
    asked = [(name, cell) for cell in lints.code_cells(nb) for name in lints.first_texts(cell, "quiz")]
    times = Counter(name for name, _ in asked)
    found = [f"the quiz {name} is asked {times[name]} times, not once" for name in quizzes if times[name] != 1]
    for name, cell in asked:
        found += [] if name in quizzes else [f"{lints.name_of(cell)}: there is no quiz {name}"]
        found += [] if "quiz" in lints.tags(cell) else [f"{lints.name_of(cell)}: the tag `quiz` is missing"]
    for part, least in (("opening", 4), ("closing", 6)):
        questions = quizzes.get(f"{number}-{part}", [])
        if len(questions) < least:
            found.append(f"the {part} quiz has {len(questions)} questions, fewer than {least}")
    return found


def count_problems(number, row):
    """The numbers of exercises and questions in chapters.yml against the engine's. row: the chapter's row."""
    data = exercise_data(number)
    actual = {
        "exercises": len(getattr(data, "EXERCISES", [])),
        "questions": sum(len(questions) for questions in getattr(data, "QUIZZES", {}).values()),
    }
    return [
        f"chapters.yml says {key}: {row.get(key)} for chapter {number}, the engine has {value}"
        for key, value in actual.items() if row.get(key) != value
    ]


# ---- definitions

def definition_problems(nb):
    """Cells tagged `defines:course_utils.….Name` against the package: the same tree, and names that mean the same."""
    found, scope = [], import_scope(nb)
    for cell in lints.code_cells(nb):
        for target in lints.tags(cell, "defines:"):
            texts = one_definition_problems(cell["source"], target, scope)
            found += [f"{lints.name_of(cell)}: {text}" for text in texts]
    return found


def import_scope(nb):
    """Names that the import cell imports, with their objects. Only its import statements are executed."""
    scope = {}
    for cell in lints.code_cells(nb):
        if "imports" in lints.tags(cell):
            body = [node for node in ast.parse(cell["source"]).body if isinstance(node, (ast.Import, ast.ImportFrom))]
            exec(compile(ast.Module(body, type_ignores=[]), "<import cell>", "exec"), scope)
    return scope


def one_definition_problems(source, target, scope):
    """Problems of one `defines:` cell. scope: what the cell may use; the package's object is added for later cells."""
    module_name, _, name = target.rpartition(".")
    tree = ast.parse(source)
    if len(tree.body) != 1 or getattr(tree.body[0], "name", None) != name:
        return [f"a `defines:` cell holds exactly one function or class, here {name}"]
    try:
        module = importlib.import_module(module_name)
        original = definition_in(module, name)
    except (ImportError, LookupError):
        return [f"there is no {target} in the package"]
    found = []
    if shape(tree.body[0]) != shape(original):
        found.append(f"{name} differs from {target}")
    for free in sorted(free_names(source) - {name}):
        if meaning(free, scope) is MISSING:
            found.append(f"{free} is known neither from the import cell nor from an earlier definition")
        elif meaning(free, scope) is not meaning(free, vars(module)):
            found.append(f"{free} does not mean the same here as in {module_name}")
    scope[name] = getattr(module, name)
    return found


def definition_in(module, name):
    """The syntax tree of a top-level function or class of `module`. Raises LookupError."""
    tree = ast.parse(Path(inspect.getsourcefile(module)).read_text(encoding="utf-8"))
    for node in tree.body:
        if getattr(node, "name", None) == name:
            return node
    raise LookupError(name)


def shape(node):
    """A syntax tree as text, without docstrings."""
    for part in ast.walk(node):
        body = getattr(part, "body", None)
        if isinstance(body, list) and body and is_docstring(part, body[0]):
            part.body = body[1:] or [ast.Pass()]
    return ast.dump(node)


def is_docstring(owner, statement):
    documented = isinstance(owner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    return documented and isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, "value", None), str)


def free_names(source):
    """Names that the code reads from outside itself: imports, other definitions and builtins."""
    return names_from_outside(symtable.symtable(source, "<cell>", "exec"))


def names_from_outside(table):
    top = table.get_type() == "module"
    names = {
        symbol.get_name() for symbol in table.get_symbols()
        if symbol.is_referenced() and (symbol.is_global() or (top and not symbol.is_assigned()))
    }
    return names.union(*map(names_from_outside, table.get_children()))


def meaning(name, scope):
    """What a name stands for in a module or a notebook, or MISSING."""
    return scope.get(name, getattr(builtins, name, MISSING))


# ---- all of it

def problems(nb, number):
    """Everything in which a chapter's notebook and the project disagree, each as one line."""
    row = by_number().get(number)
    if row is None:
        return [f"chapters.yml has no chapter {number}"]
    return (concept_problems(nb, number, by_id()) + exercise_problems(nb, number)
            + count_problems(number, row) + definition_problems(nb))
