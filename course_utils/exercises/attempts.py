"""Read an answer without running it: whether it has been begun, and which names it uses.

Not begun is a body that holds nothing but a docstring and `...`, `pass` or `raise NotImplementedError`; a class whose
methods left open in the stub are all still so; and the value `...` itself.
"""

import ast
import dis
import functools
import inspect
import linecache
import types

EMPTY_INSTRUCTIONS = {
    "RESUME", "NOP", "POP_TOP", "LOAD_CONST", "LOAD_SMALL_INT", "RETURN_VALUE", "RETURN_CONST", "COPY_FREE_VARS",
    "MAKE_CELL", "NOT_TAKEN",
}

LOAD_NAME = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_DEREF"}
LOAD_ATTRIBUTE = {"LOAD_ATTR", "LOAD_METHOD"}
MOST_WRAPPERS = 100  # a wrapper may name itself


def untouched(answer, stub):
    """True where `answer` is still as the stub left it. stub: the stub's source text."""
    if answer is ...:
        return True
    if isinstance(answer, (list, tuple)) and answer:
        return all(item is ... for item in answer)
    answer = _unwrapped(answer)
    if isinstance(answer, types.FunctionType):
        return _function_untouched(answer)
    if isinstance(answer, type):
        return _class_untouched(answer, stub)
    if not isinstance(answer, types.BuiltinFunctionType) and callable(answer):
        return _class_untouched(type(answer), stub)  # an object, such as a module of torch.nn
    return False


def names_written(answer):
    """Global names and attributes in the code of a function, class or object, functions defined inside it included.

    Returns a dict from each name to how it is written there first, such as "LSTM" -> "nn.LSTM"; "" where that cannot
    be told, as after a call, or was not written by the reader, as in torch's own functions.
    """
    answer = _unwrapped(answer)
    if isinstance(answer, types.FunctionType):
        names = _names_in(answer.__code__)
        return dict.fromkeys(names, "") if str(answer.__module__).split(".")[0] == "torch" else names
    cls = answer if isinstance(answer, type) else type(answer)
    methods = [member for member in vars(cls).values() if isinstance(member, types.FunctionType)]
    return _merged(map(names_written, methods))


def _names_in(code):
    """The dict of `names_written` for a code object and those inside it."""
    found, chain = dict.fromkeys(code.co_names, ""), ""
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname in LOAD_ATTRIBUTE:
            chain = f"{chain}.{name}" if chain else ""
        elif instruction.opname in LOAD_NAME:
            chain = name
        elif instruction.opname != "EXTENDED_ARG":  # it stands before an instruction with a large argument
            chain = ""
        if chain and name in found:
            found[name] = found[name] or chain
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return _merged([found, *map(_names_in, inner)])


def _merged(dicts):
    merged = {}
    for names in dicts:
        for name, written in names.items():
            merged[name] = merged.get(name) or written
    return merged


def _unwrapped(answer):
    """The function inside partials, bound methods and decorators that keep `__wrapped__`."""
    for _ in range(MOST_WRAPPERS):
        if isinstance(answer, functools.partial):
            answer = answer.func
        elif isinstance(answer, types.MethodType):
            answer = answer.__func__
        elif callable(inspect.getattr_static(answer, "__wrapped__", None)):  # an object's own __getattr__ may lie
            answer = answer.__wrapped__
        else:
            break
    return answer


def _function_untouched(function):
    node = _definition(function.__code__)
    return _is_open(node) if node is not None else _does_nothing(function.__code__)


def _class_untouched(cls, stub):
    """True where every method that the stub leaves open is open in `cls` itself."""
    methods = {name: member for name, member in vars(cls).items() if isinstance(member, types.FunctionType)}
    left_open = _open_methods(stub)
    if left_open is None:  # the stub is no class: an empty class counts as untouched where it has only open methods
        left_open = set(methods)
    return bool(left_open) and all(name in methods and _function_untouched(methods[name]) for name in left_open)


def _open_methods(stub):
    """Names of the methods that a stub of a class leaves open; None where the stub is no class."""
    statement = ast.parse(stub).body[0] if stub else None
    if not isinstance(statement, ast.ClassDef):
        return None
    return {node.name for node in statement.body if isinstance(node, ast.FunctionDef) and _is_open(node)}


def _definition(code):
    """Syntax tree of the function that `code` was compiled from, or None where its source cannot be found.

    `inspect.getsource` fails for classes written in a notebook, so the file (in a notebook: the cell) is read whole.
    """
    linecache.checkcache(code.co_filename)
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except (SyntaxError, ValueError, RecursionError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name:
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            if first == code.co_firstlineno:
                return node
    return None


def _is_open(node):
    """True for a function's syntax tree without any work in it."""
    body = node.body
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) \
            and isinstance(body[0].value.value, str):
        body = body[1:]
    return all(_is_placeholder(statement) for statement in body)


def _is_placeholder(statement):
    if isinstance(statement, ast.Pass):
        return True
    if isinstance(statement, ast.Expr | ast.Return):
        return isinstance(statement.value, ast.Constant) and statement.value.value is ...
    if isinstance(statement, ast.Raise):
        raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    return False


def _does_nothing(code):
    """The same question put to the bytecode, for code without source: only a constant None or `...` is returned."""
    names = {instruction.opname for instruction in dis.get_instructions(code)}
    own_constants = [constant for constant in code.co_consts if constant is not None and constant is not ...]
    docstring = own_constants[:1] if own_constants and isinstance(own_constants[0], str) else []
    return names <= EMPTY_INSTRUCTIONS and own_constants == docstring
