"""Rules that a notebook keeps by itself: sizes, ids, outputs, slides, forbidden constructs, order of its fixed parts.

What ties a notebook to the rest of the project (concepts, exercises, the package's code) is in `agreement.py`.
Standard library only. A notebook is a dict as `nbformat.read` gives it, sources and streams as one string each.
"""

import ast
import io
import re
import tokenize
from collections import Counter

MAX_CODE_LINES, MAX_DEFINITION_LINES, MAX_WORDS = 15, 40, 120
MAX_IMAGE_BYTES, MAX_FILE_BYTES = 150_000, 1_500_000
MAX_DECIMALS = 6
# None, an empty `slideshow`, goes on with the slide before it. JupyterLab's deck hides a cell of type "-" for ever.
SLIDE_TYPES = {"slide", "subslide", "fragment", "notes", "skip", None}
OWN_SLIDE = {"slide", "subslide"}
MAGICS = {"time", "timeit"}                 # everything else can be written in plain Python
FORBIDDEN_CALLS = {"input", "clear_output", "update_display", "get_ipython", "exit", "quit"}
SPEAKING_CALLS = {"print", "check", "quiz"}  # they always leave an output
# They make a test run pass over a cell, or over what went wrong in it.
HIDING_TAG = re.compile(r"nbval-(?!check-output$)|raises-exception$|skip-execution$")

CODE_SPAN = re.compile(r"^(`{3,}|~{3,}).*?^\1[`~]*\s*$|(?<!`)(`+)(?!`).*?(?<!`)\2(?!`)", re.DOTALL | re.MULTILINE)
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL)
LINK_TARGET = re.compile(r"\]\([^)]*\)")
HTML = re.compile(r"</?[a-zA-Z][a-zA-Z0-9-]*(\s[^<>]*)?/?>|<!--")
ABSOLUTE = re.compile(r"/[A-Za-z][\w.-]*/|[A-Za-z]:[\\/]|~[\\/]|file:")
PRIVATE = re.compile(r"(?<![\w.:/])/(?:home|root|Users|tmp|private|usr|var|opt|mnt)/|[A-Z]:\\")

# Fixed parts in their order. The quizzes are found by their call, the rest by its heading.
PARTS = [
    ("what you will be able to do", re.compile(r"able to", re.IGNORECASE)),
    ("opening quiz", "opening"),
    ("It is the real thing", re.compile(r"the real thing", re.IGNORECASE)),
    ("Often said, not quite so", re.compile(r"often said", re.IGNORECASE)),
    ("summary", re.compile(r"summary|on one screen", re.IGNORECASE)),
    ("closing quiz", "closing"),
    ("assignment", re.compile(r"assignment", re.IGNORECASE)),
    ("sources", re.compile(r"sources", re.IGNORECASE)),
]
NO_PARITY = {"00"}                          # a chapter that builds no model has nothing to hold against PyTorch
BEFORE_QUIZ = {"how-to-learn-here"}         # the concept that says what a quiz is may stand before the first one


def tags(cell, prefix=""):
    """The cell's tags that start with `prefix`, the prefix taken off."""
    return [tag[len(prefix):] for tag in cell["metadata"].get("tags", []) if tag.startswith(prefix)]


def code_cells(nb):
    """The notebook's code cells, in order."""
    return [cell for cell in nb["cells"] if cell["cell_type"] == "code"]


def name_of(cell):
    """How a cell is called in a message."""
    return cell.get("id") or "(a cell without an id)"


def syntax_tree(cell):
    """The cell's code as `ast.Module`, or None where it is no plain Python (a magic, for one)."""
    try:
        return ast.parse(cell["source"])
    except SyntaxError:
        return None


def calls(cell, function):
    """Calls of `function` (a name or an attribute) in a code cell, as `ast.Call` nodes."""
    tree = syntax_tree(cell) if cell["cell_type"] == "code" else None
    nodes = ast.walk(tree) if tree else []
    return [node for node in nodes if isinstance(node, ast.Call) and called_name(node) == function]


def called_name(call):
    """`f` for both `f(x)` and `module.f(x)`, else an empty string."""
    return getattr(call.func, "id", None) or getattr(call.func, "attr", "")


def first_texts(cell, function):
    """The first argument of every call of `function` in the cell, where it is a literal text."""
    arguments = [call.args[0] for call in calls(cell, function) if call.args]
    return [node.value for node in arguments if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def prose(source):
    """Markdown without code, formulae and link targets."""
    for pattern in (CODE_SPAN, FORMULA):
        source = pattern.sub(" ", source)
    return LINK_TARGET.sub("] ", source)


def count_words(source):
    """Words of a Markdown text; formulae and link targets are not counted, code is."""
    text = LINK_TARGET.sub("] ", FORMULA.sub(" ", source))
    return sum(bool(re.search(r"\w", word)) for word in text.split())


def headings(cell):
    """The headings of a Markdown cell, without their number signs."""
    return re.findall(r"^#{1,6}\s+(.+)$", cell["source"], re.MULTILINE) if cell["cell_type"] == "markdown" else []


# ---- one cell

def size_problems(cell):
    if cell["cell_type"] == "markdown":
        words = count_words(cell["source"])
        return [f"{words} words, more than {MAX_WORDS}: split it"] if words > MAX_WORDS else []
    lines = sum(bool(line.strip()) for line in cell["source"].splitlines())
    limit = MAX_DEFINITION_LINES if tags(cell, "defines:") else MAX_CODE_LINES
    if not lines:
        return ["an empty code cell"]
    return [f"{lines} lines of code, more than {limit}: split it"] if lines > limit else []


def id_problems(cell):
    if re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+|[a-z]{4,}", cell.get("id", "")):
        return []
    return ["the id is no readable slug (small letters, digits and hyphens, such as why-scale-by-sqrt-dk)"]


def slide_problems(cell):
    if "slideshow" not in cell["metadata"]:
        return ["no slideshow metadata"]
    kind = cell["metadata"]["slideshow"].get("slide_type")
    if kind not in SLIDE_TYPES:
        return [f"slide_type {kind!r} is not one that JupyterLab's deck shows: leave it out to go on with a slide"]
    if tags(cell, "defines:") and kind not in OWN_SLIDE:
        return [f"a `defines:` cell is its own slide, so its slide_type is slide or subslide, not {kind!r}"]
    return []


def markdown_problems(cell):
    if cell["cell_type"] != "markdown":
        return []
    found = []
    if match := HTML.search(prose(cell["source"])):
        found.append(f"raw HTML in Markdown: {match[0]}")
    targets = [target[2:] for target in LINK_TARGET.findall(CODE_SPAN.sub(" ", cell["source"]))]
    found += [f"an absolute path: {target[:-1]}" for target in targets if re.match(r"/|~|file:", target)]
    return found


def code_problems(cell):
    if cell["cell_type"] != "code":
        return []
    tree = syntax_tree(cell)
    if tree is None:
        return magic_problems(cell["source"])
    found = [f"{name}() is not allowed" for name in sorted(FORBIDDEN_CALLS) if calls(cell, name)]
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    found += [f"an absolute path: {text!r}" for text in texts if ABSOLUTE.match(text)]
    if ends_in_semicolon(cell["source"]):
        found.append("a trailing ';': write `_ =` in front instead")
    return found


def magic_problems(source):
    """Problems of code that is no plain Python: only the magics in MAGICS are known to every IPython and harmless."""
    odd = [line.strip() for line in source.splitlines() if re.match(r"\s*([%!?]|[\w.]+\?|\w+\s*=\s*[%!])", line)]
    bad = [line for line in odd if not re.match(rf"%%?({'|'.join(MAGICS)})\b", line)]
    if odd and not bad:
        return []
    return [f"not allowed in a notebook: {line}" for line in bad] or ["the code cannot be parsed"]


def ends_in_semicolon(source):
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.DEDENT}
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in skipped]
    return bool(tokens) and tokens[-1].string == ";"


def output_text(output):
    """Everything in an output that is shown as plain text."""
    plain = output.get("data", {}).get("text/plain", "")
    return "".join([*output.get("text", ""), *plain])


def output_problems(cell):
    if cell["cell_type"] != "code":
        return []
    found = []
    for output in cell["outputs"]:
        found += one_output_problems(output)
        long = re.search(rf"\d\.\d{{{MAX_DECIMALS + 1},}}", output_text(output))
        if "nbval-check-output" in tags(cell) and long:
            found.append(f"its output is compared, and {long[0]} has more decimals than other machines agree on")
    return found


def one_output_problems(output):
    if output["output_type"] == "error":
        return [f"an error is stored as output: {output['ename']}: {output['evalue']}"]
    found = []
    if output.get("name") == "stderr":
        found.append(f"writes to stderr: {output_text(output).strip().splitlines()[:1]}")
    if match := PRIVATE.search(output_text(output)):
        found.append(f"the output shows a path of this machine: {match[0]}")
    data = output.get("data", {})
    if "application/vnd.jupyter.widget-view+json" in data:
        found.append("a widget view is stored (refresh drops it and keeps the picture)")
    for kind in ("image/png", "image/jpeg"):
        size = len("".join(data.get(kind, "")).replace("\n", "")) * 3 // 4
        if size > MAX_IMAGE_BYTES:
            found.append(f"a picture of {size // 1000} kB, more than {MAX_IMAGE_BYTES // 1000}")
    if "image/svg+xml" in data:
        found.append("a picture as SVG, which is compared letter by letter: use PNG")
    return found


def tag_problems(cell):
    return [f"the tag {tag!r} hides a failure from the tests" for tag in tags(cell) if HIDING_TAG.match(tag)]


CELL_RULES = [size_problems, id_problems, slide_problems, markdown_problems, code_problems, output_problems,
              tag_problems]


# ---- the whole notebook

def count_problems(nb):
    counts = [cell.get("execution_count") for cell in code_cells(nb)]
    return [] if counts == list(range(1, len(counts) + 1)) else ["execution counts are not 1, 2, 3 …: run `refresh`"]


def double_ids(nb):
    seen = Counter(cell.get("id") for cell in nb["cells"])
    return [f"the id {name!r} stands on {times} cells" for name, times in seen.items() if times > 1]


def import_problems(nb):
    found = [cell for cell in nb["cells"] if "imports" in tags(cell)]
    return [] if len(found) == 1 else [f"{len(found)} cells have the tag `imports`; one must"]


def bindings(node):
    """What code binds in its own scope: pairs of a name and what an import makes of it (None for all else)."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            name = alias.asname or (alias.name if module else alias.name.partition(".")[0])
            yield name, module + (alias.name if module or alias.asname else name)
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name, None
    elif isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        # Its own variables stay inside; what `:=` binds does not.
        yield from ((part.target.id, None) for part in ast.walk(node) if isinstance(part, ast.NamedExpr))
    elif not isinstance(node, ast.Lambda):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id, None
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name, None
        for child in ast.iter_child_nodes(node):
            yield from bindings(child)


def rebinding_problems(nb):
    """Names of the import cell that a later cell gives another meaning: cells run out of order would then differ."""
    found, imported = [], {}
    for cell in code_cells(nb):
        bound = list(bindings(syntax_tree(cell) or ast.Module([], [])))
        if "imports" in tags(cell):
            imported = dict(bound)
            continue
        changed = {name for name, thing in bound if name in imported and (thing is None or thing != imported[name])}
        texts = [f"{name} is bound anew; the import cell gave it its meaning" for name in sorted(changed)]
        found += [f"{name_of(cell)}: {text}" for text in texts]
    return found


def lost_outputs(nb):
    """Cells that show something and have no output stored, and widgets stored without their picture."""
    imported = [syntax_tree(cell) for cell in code_cells(nb) if "imports" in tags(cell)]
    widgets = {
        alias.asname or alias.name for tree in imported if tree for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("course_utils.widgets")
        for alias in node.names
    }
    found = []
    for cell in code_cells(nb):
        if not cell["outputs"] and shows_something(cell, widgets):
            found.append(f"{name_of(cell)}: shows something, and no output is stored: run `refresh`")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if output_text(output).partition("(")[0] in widgets and "image/png" not in data:
                found.append(f"{name_of(cell)}: a widget is stored without its picture: run `refresh`")
    return found


def shows_something(cell, widgets):
    """True where the cell's top level calls what always speaks, or ends in a value."""
    tree = syntax_tree(cell)
    statements = [node.value for node in tree.body if isinstance(node, ast.Expr)] if tree else []
    called = {called_name(node) for node in statements if isinstance(node, ast.Call)}
    last = tree.body[-1] if tree and tree.body else None
    ends_in_value = isinstance(last, ast.Expr) and not isinstance(last.value, (ast.Call, ast.Await))
    return bool(called & (SPEAKING_CALLS | widgets)) or ends_in_value


def title_problems(nb):
    first = nb["cells"][0] if nb["cells"] else {"cell_type": "", "source": ""}
    lines = [line for line in first["source"].splitlines() if line.strip()]
    if first["cell_type"] == "markdown" and len(lines) > 1 and lines[0].startswith("# "):
        return []
    return ["the first cell is not a title (`# …`) with a sentence that promises something"]


def is_part(cell, mark):
    if isinstance(mark, str):
        return any(name.endswith(f"-{mark}") for name in first_texts(cell, "quiz"))
    return any(mark.search(heading) for heading in headings(cell))


def part_problems(nb, number):
    """The chapter's fixed parts: each is there, and they follow each other as the design wants."""
    found, last, before = [], -1, "the title"
    for name, mark in PARTS:
        if number in NO_PARITY and name == "It is the real thing":
            continue
        places = [index for index, cell in enumerate(nb["cells"]) if is_part(cell, mark)]
        if not places:
            found.append(f"a fixed part is missing: {name}")
        elif places[-1] <= last:
            found.append(f"'{name}' stands before '{before}'; it belongs after it")
        else:
            last, before = next(place for place in places if place > last), name
    return found


def quiz_order_problems(nb):
    """Concepts that are taught before the opening quiz has asked what the reader knows."""
    places = [index for index, cell in enumerate(nb["cells"]) if is_part(cell, "opening")]
    return [
        f"{name_of(cell)}: teaches the concept {name} before the opening quiz"
        for cell in nb["cells"][:places[0] if places else 0]
        for name in tags(cell, "concept:") if name not in BEFORE_QUIZ
    ]


def exercise_order_problems(nb):
    """Each exercise: one Markdown prompt, then at once one code cell that calls `check` with the same id."""
    found, places = [], {}
    for index, cell in enumerate(nb["cells"]):
        for name in tags(cell, "exercise:"):
            places.setdefault(name, []).append(index)
    for name, (first, *rest) in places.items():
        kinds = [nb["cells"][index]["cell_type"] for index in (first, *rest)]
        if kinds != ["markdown", "code"] or rest != [first + 1]:
            found.append(f"exercise {name} is not one Markdown prompt followed by one answer cell")
        elif first_texts(nb["cells"][rest[0]], "check") != [name]:
            found.append(f'exercise {name}: the answer cell does not call check("{name}", …) once')
    return found


def problems(nb, number=None, size=0):
    """All breaches of the rules, each as one line; an empty list for a clean notebook.

    nb: the notebook. number: the chapter ("01"), or None for a notebook that is no whole chapter: then its
    title and fixed parts are not asked for. size: bytes of its file.
    """
    found = [f"{name_of(cell)}: {text}" for cell in nb["cells"] for rule in CELL_RULES for text in rule(cell)]
    found += count_problems(nb) + double_ids(nb) + import_problems(nb) + exercise_order_problems(nb)
    found += rebinding_problems(nb)
    if "widgets" in nb["metadata"]:
        found.append("metadata.widgets is stored: run `refresh`")
    if size > MAX_FILE_BYTES:
        found.append(f"the file has {size / 1e6:.1f} MB, more than {MAX_FILE_BYTES / 1e6}")
    if number is not None:
        found += title_problems(nb) + part_problems(nb, number) + quiz_order_problems(nb) + lost_outputs(nb)
    return found
