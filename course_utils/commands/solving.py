"""`solve`: the chapters with every exercise solved, for an instructor; and their reduced form, which tests run.

Only the standard library is imported at the top.
"""

import ast
import copy

from course_utils.commands import editions, lints, notebooks
from course_utils.commands.notebooks import NotebookError


def add_arguments(parser):
    editions.add_arguments(parser, "the solved edition")


def run(arguments):
    """Carry out `solve`. Returns the exit status."""
    return solve(arguments.folder, notebooks.chosen(arguments.chapters))


def solve(folder, paths):
    """Write the solved edition of the chapters into `folder`. Returns the exit status.

    The exercises are run and must pass; all other cells keep the outputs of the shipped notebook.
    """
    edition = editions.Edition(folder, "solve")
    kept = [path for path in paths.values() if not write_solved(path, edition)]
    command = editions.typed(editions.program("jupyter"), "lab", edition.folder)
    print("Links to other chapters lead to files of the same folder: they work once those chapters are solved too. "
          f"To read the notebooks: {command}")
    return 1 if kept else 0


def write_solved(path, edition):
    """Solve one chapter and say so. Returns False where it was not written."""
    if edition.changed(path.name):
        print(f"{edition.path(path.name)} was changed by hand and stays as it is; remove it to have it written again.")
        return False
    try:
        text = notebooks.text_of(solved_with_outputs(path))
    except NotebookError as error:
        print(f"{path.name}: {error}. Not written.")
        return False
    edition.write(path.name, text.encode())
    print(f"{edition.path(path.name)}: solved, every exercise passed", flush=True)
    return True


def solved_with_outputs(path):
    """The solved edition of one notebook, its exercises executed. Raises NotebookError where one does not pass."""
    nb = solved(notebooks.read(path))
    with notebooks.quiet_environment(COURSE_STRICT="1") as environment:
        executed = notebooks.normalise(notebooks.execute_in(reduced(nb), path.parent, environment))
    outputs = {cell["id"]: cell["outputs"] for cell in executed["cells"] if "imports" not in lints.tags(cell)}
    for cell in nb["cells"]:
        if cell["id"] in outputs:
            cell["outputs"] = outputs[cell["id"]]
            renumber(cell)
    return nb


def renumber(cell):
    """A result bears the number of its cell, which in the whole notebook is another than in the reduced one."""
    for output in cell["outputs"]:
        if "execution_count" in output:
            output["execution_count"] = cell["execution_count"]


# ---- the notebook

def solved(nb):
    """A copy with every exercise's stub replaced by the course's own answer. Outputs stay as they were.

    Raises NotebookError for an answer cell without the stub.
    """
    from course_utils.exercises.engine import solution_source

    nb = copy.deepcopy(nb)
    for cell in lints.code_cells(nb):
        for name in lints.tags(cell, "exercise:"):
            try:
                cell["source"] = replace_definition(cell["source"], solution_source(name))
            except ValueError as error:
                raise NotebookError(f"cell {lints.name_of(cell)}: {error}") from None
    return nb


def defined_names(node):
    """Names that a top-level statement defines: of a function, a class or an assignment."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def replace_definition(source, answer):
    """`source` with the one statement that defines a name of `answer` replaced by `answer`.

    Raises ValueError where there is no such statement, or more than one.
    """
    names = set().union(*map(defined_names, ast.parse(answer).body))
    stubs = [node for node in ast.parse(source).body if defined_names(node) & names]
    if len(stubs) != 1:
        raise ValueError(f"{len(stubs)} statements define {', '.join(sorted(names))}; one must")
    decorators = [node.lineno for node in getattr(stubs[0], "decorator_list", [])]
    first, last = min([stubs[0].lineno, *decorators]), stubs[0].end_lineno
    lines = source.splitlines()
    return "\n".join([*lines[: first - 1], *answer.strip("\n").splitlines(), *lines[last:]])


def reduced(nb):
    """A copy with the code that the exercises need and no more: the import cell, answer cells, calls of `use`.

    Outputs are cleared, and with them goes the wish to have them compared.
    """
    nb = copy.deepcopy(nb)
    nb["cells"] = [cell for cell in lints.code_cells(nb) if serves_exercises(cell)]
    for cell in nb["cells"]:
        cell["outputs"], cell["execution_count"] = [], None
        cell["metadata"]["tags"] = [tag for tag in lints.tags(cell) if tag != "nbval-check-output"]
    return nb


def serves_exercises(cell):
    return "imports" in lints.tags(cell) or bool(lints.tags(cell, "exercise:")) or bool(lints.calls(cell, "use"))
