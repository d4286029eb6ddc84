"""`assign`: the chapters' exercises as nbgrader assignments, in a complete course folder of nbgrader's.

For each chapter DIR/source/NN_name/NN_name.ipynb is written, with the answers, and nbgrader itself makes the students'
version from it, in DIR/release/NN_name. The demonstrations are left out: an exercise needs the names of the import cell
only, and so grading takes seconds. Only the standard library is imported at the top.
"""

import ast
import contextlib
import copy
import importlib
import importlib.metadata
import os
import re

from course_utils import layout
from course_utils.commands import CommandError, doctor, editions, environment, lints, notebooks, solving
from course_utils.commands.notebooks import NotebookError
from course_utils.commands.progress_lines import Steps

REQUIREMENTS = layout.ROOT / "requirements-teaching.txt"
CONFIG = "nbgrader_config.py"
SCHEMA = 3                            # the newest version of nbgrader's cell metadata
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
BEGIN_SCHEME, END_SCHEME = "### BEGIN MARK SCHEME", "### END MARK SCHEME"
LONG, LONGEST = 3, 6                  # lines of a reference from which on an exercise is worth 2 points, and 3
TASK_POINTS = 10

INTRODUCTION = """\
# {title} · to hand in

These are the {count} exercises of chapter {number} and its open assignment. Read the chapter first. Where a text \
speaks of other cells, it means those of the chapter.

- Write each answer in place of `...` and run the cell: `check` tells you what is right. `hint("{first}")` helps.
- An answer may use the names of the import cell and what you define in its own cell.
- The cell after an answer is locked. It gives the points when the notebook is graded. Run it to see what it will say.
- Before you hand in: restart the kernel, run all cells, save."""

GRADING = """\
# {points} for {name}. When the notebook is graded, this cell is put back as it is here, and run.
import sys

_ = sys.modules.pop("course_utils.exercises.grading", None)
from course_utils.exercises.grading import grade

grade("{name}", {answer})"""

ANSWER = """\
**Your answer to the assignment.** Write here, in as many cells as you like: text, tables, pictures. Do the \
experiments in a notebook of your own and hand it in beside this one. Code in *this* notebook is run again when it is \
graded."""


def add_arguments(parser):
    editions.add_arguments(parser, "the assignments", required=False)
    parser.add_argument("--install", action="store_true", help="install nbgrader into the course's environment")


def run(arguments):
    """Carry out `assign`. Returns the exit status."""
    if arguments.install:
        install(environment.Project())
        if arguments.folder is None:
            return 0
    if arguments.folder is None:
        raise CommandError("Name a folder for the assignments: python3 -m course_utils assign DIR")
    if set("*?[") & set(str(arguments.folder.resolve())):
        raise CommandError(f"{arguments.folder}: nbgrader reads *, ? and [ in a path as patterns. "
                           "Choose another folder.")
    paths = notebooks.chosen(arguments.chapters)
    require_nbgrader()
    return assign(arguments.folder, paths)


# ---- nbgrader

def install(project):
    """Install nbgrader beside the course's own packages, unless it is there. Raises CommandError where that fails."""
    steps = Steps(total=1)
    with environment.locked(project) as lock:
        environment.remove_torn_packages(project)
        if missing_nbgrader() is None:
            print(f"nbgrader {wanted_version()} is installed.")
            return
        with steps.step("nbgrader"):
            environment.install(project, lock, steps, ["-r", str(REQUIREMENTS)])
    importlib.invalidate_caches()


def wanted_version():
    return dict(doctor.pins(REQUIREMENTS))["nbgrader"]


def missing_nbgrader():
    """One sentence where the pinned nbgrader is not there, else None."""
    try:
        version = importlib.metadata.version("nbgrader")
    except importlib.metadata.PackageNotFoundError:
        version = None
    if version == wanted_version():
        return None
    found = f"nbgrader {version} is installed" if version else "nbgrader is not installed"
    return f"{found}; `assign` needs {wanted_version()}. To install it: python3 -m course_utils assign --install"


def require_nbgrader():
    if problem := missing_nbgrader():
        raise CommandError(problem)


def grader(folder):
    """nbgrader's own programming interface for a course folder, with the settings that stand there."""
    from nbgrader.apps.api import NbGraderAPI
    from traitlets.config import PyFileConfigLoader

    try:
        config = PyFileConfigLoader(CONFIG, path=str(folder.resolve())).load_config()
    except Exception as problem:                      # the file is Python, and the instructor's own
        why = f"{type(problem).__name__}: {notebooks.first_line(problem)}"
        raise CommandError(f"{folder / CONFIG} cannot be used ({why}). "
                           "Mend it, or remove it to have it written again.") from None
    config.NbGraderAPI.log_level = "ERROR"
    return NbGraderAPI(config=config)


@contextlib.contextmanager
def own_variables():
    """Afterwards the environment variables are what they were: the settings of nbgrader set some."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def clear_about_the_gradebook(edition):
    """One sentence where nbgrader's database cannot be used: it is broken, or the disk is full."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as problem:
        why = notebooks.first_line(getattr(problem, "orig", None) or problem)
        raise CommandError(f"nbgrader's {edition.path('gradebook.db')} cannot be used: {why}.") from None


# ---- the command

def assign(folder, paths):
    """Write sources and releases of the chapters below `folder`. Returns the exit status."""
    edition = editions.Edition(folder, "assign")
    if not edition.path(CONFIG).exists():
        edition.write(CONFIG, (layout.ASSETS / CONFIG).read_bytes())
    with own_variables(), clear_about_the_gradebook(edition):
        api = grader(edition.folder)
        kept = [path for path in paths.values() if not assign_one(path, edition, api)]
    say_what_comes_next(edition, next(iter(paths.values())).stem)
    return 1 if kept else 0


def assign_one(path, edition, api):
    """Make the assignment of one chapter and say so. Returns False where something was left as it is."""
    name = path.stem
    source, release = (f"{step}/{name}/{path.name}" for step in ("source", "release"))
    try:
        nb = source_of(notebooks.read(path), path.stem[:2])
    except NotebookError as error:
        print(f"{path.name}: {error}. Not written.")
        return False
    content = notebooks.text_of(nb).encode()
    if edition.holds(source, content) and edition.holds(release):
        print(f"{name}: as it was")
        return True
    if reason := why_kept(edition, api, name, source, release):
        print(reason)
        return False
    edition.write(source, content)
    edition.expect(release)
    result = api.generate_assignment(name)
    if not result["success"]:
        if last_line(result).startswith("KeyboardInterrupt"):        # nbgrader catches everything
            raise KeyboardInterrupt
        print(f"{name}: nbgrader made no release. {last_line(result)}")
        return False
    edition.adopt(release)
    print(f"{name}: {summary(nb)}", flush=True)
    return True


def why_kept(edition, api, name, source, release):
    """Why an assignment must stay as it is, in a sentence or two, or None."""
    for file in (source, release):
        if edition.changed(file):
            return (f"{edition.path(file)} was changed by hand and stays as it is. To release the source as it is: "
                    f"{in_folder(edition, 'generate_assignment', name, '--force')}")
    if foreign := foreign_files(edition, name, release):
        return (f"{name}: nbgrader would remove {foreign[0]}. Put your files into {edition.path(f'source/{name}')}, "
                "from where it copies them.")
    if api.get_submitted_students(name) or api.get_autograded_students(name):
        return f"{name}: students have handed it in, so it stays as it is. Use a new folder for a new edition."
    return None


def foreign_files(edition, name, release):
    """Files in a released folder that did not come from its source: nbgrader empties the folder."""
    folder, source = edition.path(f"release/{name}"), edition.path(f"source/{name}")
    return [file for file in sorted(folder.rglob("*")) if file.is_file() and file != edition.path(release)
            and not (source / file.relative_to(folder)).exists()]


def last_line(result):
    """The line of nbgrader's log that says what was wrong."""
    text = f"{result.get('log', '')}\n{result.get('error', '')}".strip()
    return text.splitlines()[-1] if text else ""


def summary(nb):
    """Numbers of exercises and points in a source, in words."""
    graded = [cell["metadata"]["nbgrader"] for cell in nb["cells"] if "points" in cell["metadata"].get("nbgrader", {})]
    automatic = [cell["points"] for cell in graded if cell["grade"]]
    return f"{len(automatic)} exercises, {sum(automatic)} points; assignment, {TASK_POINTS} points by hand"


def say_what_comes_next(edition, name):
    """The line with which the command ends."""
    place = edition.path(f"submitted/STUDENT/{name}/{name}.ipynb")
    print(f"Hand out the folders of {edition.path('release')}. Put what comes back at {place}, and type: "
          f"{in_folder(edition, 'autograde', name)}")


def in_folder(edition, *words):
    """A command of nbgrader's in the course folder, as it is typed."""
    return f"{editions.typed('cd', edition.folder)} && {editions.typed(editions.program('nbgrader'), *words)}"


# ---- the notebook

def source_of(chapter, number):
    """The instructor's notebook of an assignment. chapter: the chapter's notebook; number: "05".

    Raises NotebookError where a part is missing or an answer does not fit its stub.
    """
    from nbformat import v4

    prompts = [cell for cell in chapter["cells"] if cell["cell_type"] == "markdown" and lints.tags(cell, "exercise:")]
    answers = {name: cell for cell in lints.code_cells(chapter) for name in lints.tags(cell, "exercise:")}
    cells = [introduction(chapter, number, list(answers)), imports(chapter)]
    for prompt in prompts:
        name = lints.tags(prompt, "exercise:")[0]
        cells += [new_cell(prompt, locked=True), *answer_and_grading(name, answers[name], f"{prompt['id']}-graded")]
    nb = v4.new_notebook(cells=[*cells, *assignment(chapter)], metadata=copy.deepcopy(notebooks.METADATA))
    nb["nbformat_minor"] = 5
    return nb


def new_cell(cell, source=None, name=None, **grading):
    """A fresh cell like `cell`, with another source or id where one is given, and with nbgrader's metadata.

    grading: `locked`, `solution`, `grade`, `task` (each False by default) and `points`.
    """
    from nbformat import v4

    make = v4.new_code_cell if cell["cell_type"] == "code" else v4.new_markdown_cell
    name = name or cell["id"]
    fixed = {"schema_version": SCHEMA, "grade_id": name, "locked": False, "solution": False, "grade": False,
             "task": False}
    return make(cell["source"] if source is None else source, id=name,
                metadata={"nbgrader": {**fixed, **grading}} if grading else {})


def introduction(chapter, number, names):
    """The first cell: what this notebook is and how to work with it."""
    title = re.match(r"#\s+(.*)", chapter["cells"][0]["source"])
    text = INTRODUCTION.format(title=title[1] if title else f"Chapter {number}", count=len(names), number=number,
                               first=names[0] if names else f"{number}.1")
    return new_cell({"cell_type": "markdown"}, text, "to-hand-in", locked=True)


def imports(chapter):
    """The import cell of the chapter, locked."""
    found = [cell for cell in lints.code_cells(chapter) if "imports" in lints.tags(cell)]
    if len(found) != 1:
        raise NotebookError(f"{len(found)} cells have the tag `imports`; one must")
    return new_cell(found[0], locked=True)


def answer_and_grading(name, cell, graded):
    """The answer cell with the course's answer as a solution, and the cell that grades it, with the id `graded`."""
    from course_utils.exercises import engine

    exercise, answer = engine.get(name), engine.solution_source(name)
    try:
        source = solving.replace_definition(cell["source"], with_region(answer))
    except ValueError as error:
        raise NotebookError(f"cell {lints.name_of(cell)}: {error}") from None
    if cleared(source) != cell["source"]:
        raise NotebookError(f"cell {lints.name_of(cell)}: its stub is not the head of the course's answer")
    points = points_for(answer)
    text = GRADING.format(points="1 point" if points == 1 else f"{points} points", name=name, answer=exercise.name)
    return [new_cell(cell, source, solution=True),
            new_cell(cell, text, graded, grade=True, locked=True, points=points)]


def body_of(answer):
    """The lines of a function after its head and docstring, and those before: (before, body)."""
    statement = ast.parse(answer).body[0]
    if not isinstance(statement, ast.FunctionDef) or ast.get_docstring(statement) is None:
        raise ValueError("the course's answer is no function with a docstring")
    lines = answer.rstrip("\n").splitlines()
    end = statement.body[0].end_lineno
    return lines[:end], lines[end:]


def with_region(answer):
    """The course's answer with nbgrader's marks around all that a student is to write."""
    before, body = body_of(answer)
    return "\n".join([*before, f"    {BEGIN}", *body, f"    {END}"])


def cleared(source):
    """What nbgrader will make of it for the students."""
    return re.sub(rf"{BEGIN}\n.*?\n *{END}", "...", source, flags=re.DOTALL)


def points_for(answer):
    """Points of an exercise: by the number of lines in the body of the course's answer, without comments."""
    lines = [line for line in body_of(answer)[1] if line.strip() and not line.strip().startswith("#")]
    return 1 + (len(lines) >= LONG) + (len(lines) >= LONGEST)


def assignment(chapter):
    """The chapter's open assignment, marked by hand: the task with its hidden mark scheme, and room for an answer."""
    cells = chapter["cells"]
    starts = [index for index, cell in enumerate(cells) if lints.is_part(cell, dict(lints.PARTS)["assignment"])]
    if not starts:
        raise NotebookError("it has no assignment")
    rest = cells[starts[-1] + 1:]
    length = next((index for index, cell in enumerate(rest) if lints.headings(cell)), len(rest))
    task, scheme = split_scheme([cells[starts[-1]], *rest[:length]])
    text = "\n\n".join([*task, BEGIN_SCHEME, *scheme, END_SCHEME])
    return [new_cell(cells[starts[-1]], text, task=True, locked=True, points=TASK_POINTS),
            new_cell({"cell_type": "markdown"}, ANSWER, "assignment-answer")]


def split_scheme(cells):
    """Sources of the cells of an assignment, split into the task and what a good answer contains."""
    sources = [cell["source"] for cell in cells]
    place = next((index for index, text in enumerate(sources) if text.startswith("**A good answer")), None)
    if place is None:
        raise NotebookError("its assignment does not say what a good answer contains")
    return sources[:place], sources[place:]
