"""Exercises and quizzes: `check`, `hint`, `solution`, `use` and `quiz`, and the data they work on.

A chapter's exercises are data in `chapter_NN.py`; adding an exercise is adding an `Exercise` there. An answer is run
on every case beside the reference. One that differs is compared with each misconception, and the reader is told
which mistake it looks like; a mistake on nobody's list is told with shapes, the first differing number or the
exception in plain words.
"""

import ast
import functools
import importlib
import inspect
import os
import pkgutil
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from course_utils.exercises.attempts import names_written, untouched
from course_utils.exercises.comparing import (
    EXACT,
    Part,
    Tolerance,
    WrongValue,
    difference,
    quoted,
    same,
    shape_text,
    short,
)
from course_utils.exercises.explaining import message_of, reading, signature_of
from course_utils.exercises.running import run
from course_utils.progress import Progress

NOT_ATTEMPTED, NOT_YET, PASSED, MISUSED = "not attempted", "not yet", "passed", "misused"
SHOWN_NUMBERS = 12   # integer inputs with at most so many numbers are printed whole


@dataclass(frozen=True)
class Case:
    """Inputs that isolate one mistake.

    label: what is special about them, as a noun phrase; make: returns a tuple of fresh inputs, drawn from torch's
    generator, which the engine seeds; why: a sentence added where an answer gives other numbers here.
    """

    label: str
    make: Callable
    why: str = ""


@dataclass(frozen=True)
class Misconception:
    """A wrong implementation that learners write, and the sentence that tells them what they did."""

    answer: object
    sentence: str


@dataclass(frozen=True)
class Exercise:
    """An exercise as data.

    reference: the right answer, a function or class whose source is the solution (names of the import cell only: torch,
    nn, F), or a value. stub: what the notebook shows; made from a function's head and docstring where it is not given.
    returns: names and axes of what comes back, such as "(B, T, H)" or ("inputs (N, window)", "targets (N, window)").
    run: turns an answer and the inputs into what is compared; by default the answer is called; it may raise RuleBroken.
    without: what the answer should do itself, such as ("F.cross_entropy",); a right one that uses it passes with a
    remark. Numbers agree within atol + rtol * |expected|. seconds: time limit of one case. about: ids of the concepts
    (assets/concepts.yml) that it asks for.
    """

    id: str
    title: str
    reference: object
    hints: tuple
    cases: tuple
    misconceptions: tuple
    returns: str | tuple = ()
    stub: str = ""
    run: Callable | None = None
    without: tuple = ()
    rtol: float = 1e-4
    atol: float = 1e-5
    seconds: float = 5.0
    about: tuple = ()

    def __post_init__(self):
        if not self.stub:
            object.__setattr__(self, "stub", _stub_of(self.reference))

    @property
    def name(self):
        """The name that the stub defines."""
        statement = ast.parse(self.stub).body[0]
        return statement.targets[0].id if isinstance(statement, ast.Assign) else statement.name

    @property
    def tolerance(self):
        return Tolerance(self.rtol, self.atol)

    @property
    def parts(self):
        texts = (self.returns,) if isinstance(self.returns, str) else self.returns
        return tuple(Part.read(text) for text in texts)


@dataclass(frozen=True)
class Choice:
    """One choice of a question. why: what mistake it is, or why it is right."""

    text: str
    why: str
    correct: bool = False


@dataclass(frozen=True)
class Question:
    """A quiz question with exactly one right choice. about: ids of the concepts (assets/concepts.yml) it asks about."""

    text: str
    choices: tuple
    about: tuple = ()


@dataclass(frozen=True)
class Verdict:
    """What `examine` found.

    status: "not attempted", "not yet", "passed", or "misused" (no exercise of that id, no answer was handed over, or
    the check itself failed); message: the text for the reader; misconception: the one the answer looks like, or None.
    """

    status: str
    message: str
    misconception: Misconception | None = None


MISSING = object()   # no answer was handed over


class RuleBroken(Exception):
    """Raised by an exercise's `run` where an answer breaks a rule that a comparison of numbers would not name.

    Its text is one line for the reader, with what was expected and what came.
    """


class ExerciseNotPassed(AssertionError):
    """Raised under COURSE_STRICT=1 where an exercise did not pass."""


# --- for the notebooks ----------------------------------------------------------------------------------------------

def check(exercise_id, answer=MISSING):
    """Say whether `answer` is right and, if not, what it looks like. Remembers the result; returns None.

    exercise_id: text such as "01.1"; answer: the function, class or value itself, not the result of a call.
    Raises ExerciseNotPassed under COURSE_STRICT=1 for anything but a pass.
    """
    verdict = examine(exercise_id, answer)
    if verdict.status == PASSED:
        Progress().mark_passed(exercise_id)
    elif verdict.status == NOT_YET:
        Progress().mark_attempt(exercise_id)
    _require_pass(exercise_id, verdict)
    print(verdict.message)


def hint(exercise_id):
    """Print the next hint. After the last one, all of them again."""
    try:
        exercise = get(exercise_id)
    except LookupError as error:
        print(error.args[0])
        return
    number, hints = Progress().mark_hint(exercise.id), exercise.hints
    if number <= len(hints):
        print(f"Hint {number} of {len(hints)}: {hints[number - 1]}")
    else:
        print(f"There are no more than {len(hints)} hints:")
        for position, text in enumerate(hints, start=1):
            print(f"{position}. {text}")
    if number >= len(hints):
        print(f'That was the last one. solution("{exercise.id}") shows a complete answer.')


def solution(exercise_id):
    """The first call says what the second will do: print a complete answer."""
    try:
        exercise = get(exercise_id)
    except LookupError as error:
        print(error.args[0])
        return
    if exercise.id in _solution_announced:
        print(solution_source(exercise.id), end="")
        return
    _solution_announced.add(exercise.id)
    print(f'This will show a complete answer to {exercise.id}. hint("{exercise.id}") gives less away.\n'
          f'To see the answer, call solution("{exercise.id}") once more.')


_solution_announced = set()


def use(exercise_id, answer):
    """The reader's `answer` if it passes now, else the course's own, with a line that says so.

    Raises ExerciseNotPassed under COURSE_STRICT=1 for anything but a pass.
    """
    verdict = examine(exercise_id, answer)
    _require_pass(exercise_id, verdict)
    if verdict.status == PASSED:
        return answer
    try:
        exercise = get(exercise_id)
    except LookupError:
        print(verdict.message)
        return answer
    print(f"Your {exercise.name} ({exercise.id}) does not pass yet, so the course's own is used here.")
    return exercise.reference


def quiz(name):
    """The quiz widget of that name, such as "01-opening"; answers are remembered.

    For an unknown name a line says so and None comes back; under COURSE_STRICT=1 it raises LookupError.
    """
    from course_utils.widgets import Quiz  # here, so that checks work where widgets cannot be loaded

    try:
        asked = questions(name)
    except LookupError as error:
        if _strict():
            raise
        print(error.args[0])
        return None
    return Quiz(asked, name=name, on_answer=functools.partial(_remember_answer, name))


def _remember_answer(name, question, choice, correct):
    Progress().answered(name, question, choice, correct)


def _require_pass(exercise_id, verdict):
    if verdict.status != PASSED and _strict():
        raise ExerciseNotPassed(f"{exercise_id}: {verdict.status}. {verdict.message}")


def _strict():
    return os.environ.get("COURSE_STRICT") == "1"


# --- for programs ---------------------------------------------------------------------------------------------------

def exercise_ids(chapter=None):
    """Ids of a chapter's exercises in order ("01"), or of all chapters."""
    chapters = [chapter] if chapter else _chapter_numbers()
    return [exercise.id for number in chapters for exercise in getattr(_chapter(number), "EXERCISES", [])]


def quiz_names(chapter=None):
    """Names of a chapter's quizzes in order, or of all chapters."""
    chapters = [chapter] if chapter else _chapter_numbers()
    return [name for number in chapters for name in getattr(_chapter(number), "QUIZZES", {})]


def get(exercise_id):
    """The Exercise of that id. Raises LookupError with a sentence for the reader where there is none."""
    if not isinstance(exercise_id, str):
        raise LookupError('The id of an exercise is text in quotation marks, such as "01.1".')
    for exercise in getattr(_chapter(exercise_id[:2]), "EXERCISES", []):
        if exercise.id == exercise_id:
            return exercise
    known = exercise_ids(exercise_id[:2]) if exercise_id else []
    there = f"Chapter {exercise_id[:2]} has {', '.join(known)}." if known else \
        f"There are exercises for the chapters {', '.join(_chapter_numbers())}."
    raise LookupError(f"There is no exercise {short(exercise_id)}. {there}")


def questions(name):
    """The questions of a quiz. Raises LookupError with a sentence for the reader where there is no such quiz."""
    quizzes = getattr(_chapter(name[:2]), "QUIZZES", {}) if isinstance(name, str) else {}
    if name not in list(quizzes):
        raise LookupError(f"There is no quiz {short(name)}. There are {', '.join(quiz_names())}.")
    return quizzes[name]


def solution_source(exercise_id):
    """Source text of the reference: the whole function or class, or `name = value`. Ends with a newline."""
    exercise = get(exercise_id)
    if callable(exercise.reference):
        return textwrap.dedent(inspect.getsource(exercise.reference))
    return f"{exercise.name} = {exercise.reference!r}\n"


def examine(exercise_id, answer=MISSING):
    """Judge `answer` without printing or remembering anything. Returns a Verdict; raises only KeyboardInterrupt."""
    if not isinstance(exercise_id, str) and isinstance(answer, str):
        return Verdict(MISUSED, f'The id comes first, then your answer: check("{answer[:8]}", …).')
    try:
        exercise = get(exercise_id)
    except LookupError as error:
        return Verdict(MISUSED, error.args[0])
    if answer is MISSING:
        return Verdict(MISUSED, f'The answer is missing: check("{exercise.id}", {exercise.name}).')
    try:
        return diagnose(exercise, answer)
    except Exception as error:  # better a sentence than a traceback through the engine
        kind, message = signature_of(error)
        return Verdict(MISUSED, f"The check itself failed: {kind}{': ' if message else ''}{message}. If a cell has put "
                                "something of its own into torch or Python, restart the kernel and check again.")


def _chapter_numbers():
    names = [module.name for module in pkgutil.iter_modules([os.path.dirname(__file__)])]
    return sorted(name[-2:] for name in names if re.fullmatch(r"chapter_\d\d", name))


def _chapter(number):
    """The module with a chapter's data, or None."""
    return importlib.import_module(f"course_utils.exercises.chapter_{number}") if number in _chapter_numbers() else None


def _stub_of(function):
    """Head and docstring of a function, with `...` for a body."""
    source = textwrap.dedent(inspect.getsource(function))
    node = ast.parse(source).body[0]
    head = source.splitlines()[:node.body[0].end_lineno]
    return "\n".join([*head, " " * node.body[0].col_offset + "...", ""])


# --- the diagnosis --------------------------------------------------------------------------------------------------

def diagnose(exercise, answer):
    """Judge `answer` to an Exercise. Returns a Verdict."""
    if untouched(answer, exercise.stub):
        return Verdict(NOT_ATTEMPTED, f'Not attempted yet. hint("{exercise.id}") gives a nudge.')
    if callable(exercise.reference) and not callable(answer):
        return Verdict(MISUSED, _not_passed_itself(exercise, answer))
    wanted = _outcomes(exercise, exercise.reference)
    for outcome in wanted:
        if outcome.timed_out:
            raise TimeoutError("the course's own answer took too long; the machine may be busy")
        if outcome.error is not None:
            raise outcome.error  # the course's own mistake: the reference must work
    got = _outcomes(exercise, answer)
    faults = [_fault(exercise, *of_case) for of_case in zip(exercise.cases, wanted, got, strict=False)]
    notes = _notes(got)
    if not any(faults):
        lines = [f"Passed. {_cases_agree(len(faults), len(exercise.cases))}", *_remark(exercise, answer)]
        return Verdict(PASSED, "\n".join([*lines, *notes]))
    found = _misconception(exercise, got)
    first = next(position for position, fault in enumerate(faults) if fault)
    lines = _report(exercise, faults, first, found)
    return Verdict(NOT_YET, "\n".join([*lines, *notes]), found)


def _outcomes(exercise, answer):
    """One Outcome per case, in order; none after a case that ran out of time."""
    outcomes = []
    for case in exercise.cases:
        outcomes.append(_outcome(exercise, answer, case))
        if outcomes[-1].timed_out:
            break
    return outcomes


def _outcome(exercise, answer, case):
    """What becomes of an answer on one case."""
    return run(_call_of(exercise, answer), case.make, exercise.seconds)


def _call_of(exercise, answer):
    if exercise.run is not None:
        return functools.partial(exercise.run, answer)
    return answer if callable(exercise.reference) else lambda *inputs: answer


def _misconception(exercise, got):
    """The misconception whose outcomes equal those of the answer on all cases, or None."""
    if got[-1].timed_out:
        return None
    return next((candidate for candidate in exercise.misconceptions if all(
        _alike(_outcome_of(exercise, candidate, position), outcome, exercise.tolerance)
        for position, outcome in enumerate(got))), None)


def _outcome_of(exercise, candidate, position):
    """What a misconception gives on one case. It is kept, for an answer that is mended and checked again."""
    *_, kept = _kept.setdefault((id(exercise), id(candidate)), (exercise, candidate, {}))
    if position not in kept:
        outcome = _outcome(exercise, candidate.answer, exercise.cases[position])
        if outcome.timed_out:                    # on a busy machine: the next time it may end
            return outcome
        kept[position] = outcome
    return kept[position]


_kept = {}   # ids of an exercise and a misconception -> both, so that the ids stay theirs, and its outcomes by case


def _alike(one, other, tolerance):
    """True for two outcomes with the same exception and message, or with the same value."""
    if one.error is not None and other.error is not None:
        return signature_of(one.error) == signature_of(other.error)
    if one.error is not None or other.error is not None:
        return False
    if one.value is None or other.value is None:
        return one.value is other.value
    return same(one.value, other.value, tolerance)


def _fault(exercise, case, wanted, got):
    """What is wrong with one outcome, as lines for the reader; empty where it is right."""
    if got.timed_out:
        return [f"Your code was still running after {exercise.seconds:g} seconds and was stopped{_place(got)}. "
                "Look for a loop that never ends."]
    if isinstance(got.error, RuleBroken):
        return [str(got.error)]
    if got.error is not None:
        return _error_lines(exercise, got)
    if got.value is None and wanted.value is not None:
        return [f"{exercise.name} gave back None. Is there a return with the result at its end?"]
    found = difference(wanted.value, got.value, exercise.tolerance, exercise.parts)
    if found:
        return [found]
    return _changed_inputs(exercise, case, got)


def _error_lines(exercise, got):
    kind, message = signature_of(got.error)
    lines = [f"Your code raised {kind}{': ' if message else ''}{message}"]
    if got.line is not None:
        lines.append(f"Line {got.line}{': ' if got.source else ''}{_code_text(got.source)}")
    elif _signature_differs(exercise, got):
        called = f"{exercise.name}({', '.join(_input_names(exercise))})"
        return [*lines, f"The check calls {called}: keep the arguments of the stub."]
    words = reading(got.error)
    return [*lines, f"In words: {words}"] if words else lines


def _signature_differs(exercise, got):
    """True where the call itself failed, before any line of the answer ran."""
    return isinstance(got.error, TypeError) and re.search(r"argument|\d+ were given", message_of(got.error)) \
        and not isinstance(exercise.reference, type)


def _place(got):
    if got.line is None:
        return ""
    return f" in line {got.line}" + (f" ({_code_text(got.source)})" if got.source else "")


def _code_text(source):
    return quoted(source, "", 160)


def _changed_inputs(exercise, case, got):
    """A line about each argument that the answer changed in place."""
    fresh = run(lambda *inputs: inputs, case.make, exercise.seconds).inputs
    return [
        f"Your numbers are right, but {name} is changed in place: after the call the caller's own tensor is another. "
        "Make new values instead (no +=, no [...] =, no names that end in _)."
        for name, before, after in zip(_input_names(exercise), fresh, got.inputs, strict=False)
        if _is_data(before) and not same(before, after, EXACT)
    ]


def _is_data(value):
    """True for what can be compared: tensors, arrays, numbers, text and lists of these."""
    if isinstance(value, list | tuple):
        return all(_is_data(item) for item in value)
    return isinstance(value, torch.Tensor | np.ndarray | int | float | str)


def _report(exercise, faults, first, found):
    """Lines of a diagnosis: the sentence of the misconception where there is one, then the first case that fails."""
    case = exercise.cases[first]
    right = sum(not fault for fault in faults)
    lines = [f"Not yet. {found.sentence}" if found else f"Not yet. {_cases_agree(right, len(exercise.cases))}"]
    lines.append(f"Case: {case.label}.")
    lines.extend(faults[first])
    if case.why and not found and any(isinstance(line, WrongValue) for line in faults[first]):
        lines.append(case.why)
    if inputs := _inputs_text(exercise, case):
        lines.append(f"Called with {inputs}.")
    return lines


def _cases_agree(right, total):
    if right == total:
        return "The case agrees." if total == 1 else f"All {total} cases agree."
    return f"{right or 'None'} of {total} cases agree{'s' if right == 1 else ''}."


def _inputs_text(exercise, case):
    inputs = run(lambda *inputs: inputs, case.make, exercise.seconds).inputs
    return ", ".join(_input_text(*pair) for pair in zip(_input_names(exercise), inputs, strict=False))


def _input_text(name, value):
    if isinstance(value, torch.Tensor):
        if not value.is_floating_point() and value.ndim == 1 and value.numel() <= SHOWN_NUMBERS:
            return f"{name} = {value.tolist()}"
        return f"{name} {shape_text(value.shape)}"
    if isinstance(value, list | tuple) and not value:
        return f"{name} = an empty {type(value).__name__}"
    if isinstance(value, list | tuple) and all(isinstance(item, torch.Tensor) for item in value):
        return f"{name} = tensors {', '.join(shape_text(item.shape) for item in value)}"
    if isinstance(value, torch.nn.Module):
        return f"{name} = an nn.Module"
    return f"{name} = {'a function' if callable(value) else short(value)}"


def _input_names(exercise):
    """Names of the inputs: the parameters of the reference, or of `run` after the answer where it is a class."""
    if not callable(exercise.reference):
        return []
    if isinstance(exercise.reference, type):
        return list(inspect.signature(exercise.run).parameters)[1:]
    return list(inspect.signature(exercise.reference).parameters)


def _remark(exercise, answer):
    """A line about the first helper in a right answer that the exercise asks to do without."""
    names = names_written(answer)
    lasts = {helper: helper.rsplit(".", 1)[-1] for helper in exercise.without}
    used = [names[last] or helper for helper, last in lasts.items() if last in names]
    return [f"Passed, but with {used[0]}: the exercise asks you to write it out. Try once more."] if used else []


def _notes(got):
    """Lines about what is worth knowing but not wrong."""
    notes = []
    printed = max(outcome.printed for outcome in got)
    if printed:
        notes.append(f"Your code printed {printed} line{'s' if printed != 1 else ''}; a check does not show them.")
    if not all(outcome.limited for outcome in got):
        notes.append("There was no time limit: it works only in the main thread, on Linux and macOS.")
    return notes


def _not_passed_itself(exercise, answer):
    call = f'check("{exercise.id}", {exercise.name})'
    if isinstance(answer, str):
        return f"Pass {exercise.name} itself, not its name in quotation marks: {call}."
    return f"check got {short(answer)}, the result of a call. Pass {exercise.name} itself, without parentheses: {call}."
