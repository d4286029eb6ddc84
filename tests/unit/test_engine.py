"""The exercise engine on small exercises of its own: attempts, hostile answers, messages, hints, strict mode."""

import functools
import inspect
import linecache
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.exercises import attempts, check, engine, hint, quiz, running, solution, use
from course_utils.exercises.comparing import Part, difference, number_text, short
from course_utils.exercises.engine import (
    MISUSED,
    NOT_ATTEMPTED,
    NOT_YET,
    PASSED,
    Case,
    Exercise,
    ExerciseNotPassed,
    Misconception,
    RuleBroken,
    diagnose,
    examine,
)
from course_utils.exercises.explaining import reading
from course_utils.layout import ROOT
from course_utils.progress import Progress


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    monkeypatch.setattr(engine, "_solution_announced", set())


def scale_rows(x, w):
    """x: (B, C); w: (C,). Returns (B, C)."""
    return x * w


SCALE = Exercise(
    id="99.1",
    title="Scale",
    reference=scale_rows,
    returns="(B, C)",
    hints=("one", "two"),
    cases=(
        Case("ordinary", lambda: (torch.randn(2, 3), torch.randn(3))),
        Case("larger", lambda: (torch.randn(4, 5), torch.randn(5)), "Larger ones matter."),
    ),
    misconceptions=(
        Misconception(lambda x, w: x + w, "You add."),
        Misconception(lambda x, w: x @ w, "You take a dot product."),
        Misconception(lambda x, w: x @ x, "You multiply x by itself."),
    ),
    seconds=0.3,
)


def judge(answer):
    return diagnose(SCALE, answer)


def in_cell(source, name, filename="<cell 7>"):
    """What `source` defines as `name`, with its source where IPython puts that of a cell."""
    source = textwrap.dedent(source)
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    names = {"torch": torch, "nn": nn, "functools": functools, "time": time, "__name__": "__main__"}
    exec(compile(source, filename, "exec"), names)
    return names[name]


# --- not attempted --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("body", [
    '"""Doc."""\n    ...', '"""Doc."""', "...", "pass", '"""Doc."""\n    pass', "return ...",
    '"""Doc."""\n    # think\n    ...', "raise NotImplementedError", 'raise NotImplementedError("to do")',
])
@pytest.mark.parametrize("filename", ["<cell>", "<nowhere>"])
def test_an_untouched_function_is_not_attempted(body, filename):
    source = f"def scale_rows(x, w):\n    {body}\n"
    if filename == "<nowhere>":   # typed into a plain interpreter: no source to be found
        if "raise" in body:
            return
        names = {}
        exec(source, names)
        answer = names["scale_rows"]
    else:
        answer = in_cell(source, "scale_rows")
    verdict = judge(answer)
    assert verdict.status == NOT_ATTEMPTED
    assert verdict.message == 'Not attempted yet. hint("99.1") gives a nudge.'


@pytest.mark.parametrize("body", ["return None", "x * w", "print(x)", "...\n    return x", "return x", "y = ..."])
def test_a_begun_function_is_attempted(body):
    assert judge(in_cell(f"def scale_rows(x, w):\n    {body}\n", "scale_rows")).status == NOT_YET


def test_wrappers_are_looked_through():
    source = """
        def keep(function):
            @functools.wraps(function)
            def inner(*inputs):
                return function(*inputs)
            return inner

        @keep
        def scale_rows(x, w):
            ...

        part = functools.partial(scale_rows)

        class Net(nn.Module):
            def forward(self, x, w):
                ...
        net = Net()
        method = net.forward
        """
    for name in ("scale_rows", "part", "net", "method"):
        assert judge(in_cell(source, name)).status == NOT_ATTEMPTED, name


def test_a_lambda_with_the_placeholder_is_not_attempted():
    assert judge(lambda x, w: ...).status == NOT_ATTEMPTED


@pytest.mark.parametrize("value", [..., (..., ...), [...]])
def test_a_placeholder_value_is_not_attempted(value):
    assert judge(value).status == NOT_ATTEMPTED


STUB_OF_A_CLASS = '''
class Scaler:
    """Doc."""
    def __init__(self, w):
        self.w = w

    def __call__(self, x):
        """Doc."""
        ...
'''


class Scaler:
    def __init__(self, w):
        self.w = w

    def __call__(self, x):
        return x * self.w


CLASS = Exercise(
    id="99.2", title="A class", reference=Scaler, stub=STUB_OF_A_CLASS, hints=("one", "two"), cases=SCALE.cases,
    misconceptions=(), returns="(B, C)", run=lambda answer, x, w: answer(w)(x),
)


def test_a_class_is_judged_by_the_methods_its_stub_leaves_open():
    assert diagnose(CLASS, in_cell(STUB_OF_A_CLASS, "Scaler")).status == NOT_ATTEMPTED
    assert diagnose(CLASS, in_cell(STUB_OF_A_CLASS.replace("...", "return x"), "Scaler")).status == NOT_YET
    assert diagnose(CLASS, in_cell(STUB_OF_A_CLASS.replace("...", "return x * self.w"), "Scaler")).status == PASSED
    assert diagnose(CLASS, Scaler).status == PASSED
    assert CLASS.name == "Scaler"


def test_a_wrong_class_is_told_what_it_is_called_with():
    verdict = diagnose(CLASS, in_cell(STUB_OF_A_CLASS.replace("...", "return x"), "Scaler"))
    assert "Called with x (2, 3), w (3,)" in verdict.message


VALUE = Exercise(
    id="99.3", title="A value", reference=42, stub="answer = ...\n", hints=("one", "two"),
    cases=(Case("the value", tuple),), misconceptions=(Misconception(41, "You started from 0."),),
)


def test_an_exercise_may_ask_for_a_value(monkeypatch):
    assert diagnose(VALUE, ...).status == NOT_ATTEMPTED
    assert diagnose(VALUE, 42).status == diagnose(VALUE, torch.tensor(42.0)).status == PASSED
    assert diagnose(VALUE, 41).misconception is VALUE.misconceptions[0]
    assert "Expected 42, got 7." in diagnose(VALUE, 7).message
    assert "gave back None" in diagnose(VALUE, None).message
    monkeypatch.setattr(engine, "get", lambda exercise_id: VALUE)
    assert engine.solution_source("99.3") == "answer = 42\n"


def test_a_real_kernel_finds_functions_and_classes(tmp_path):
    """In a notebook inspect.getsource fails for classes; the engine must still see that they are untouched."""
    script = f"""
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance()
        shell.run_cell({STUB_OF_A_CLASS!r})
        shell.run_cell("from course_utils.exercises.attempts import untouched")
        shell.run_cell("def f(x):\\n    'doc'\\n    ...")
        shell.run_cell("def g(x):\\n    'doc'\\n    raise NotImplementedError")
        shell.run_cell({STUB_OF_A_CLASS.replace("...", "return x").replace("Scaler", "Done")!r})
        stub = {STUB_OF_A_CLASS!r}
        untouched = shell.user_ns["untouched"]
        print([untouched(shell.user_ns[name], stub) for name in ("Scaler", "Done", "f", "g")])
        """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True,
                         env={"PATH": "", "IPYTHONDIR": str(tmp_path), "HOME": str(tmp_path)})
    assert ran.stdout.splitlines()[-1:] == ["[True, False, True, True]"], ran.stdout + ran.stderr


def test_a_changed_file_is_not_misread(tmp_path):
    """A module edited after its import: the lines no longer fit, so the bytecode decides."""
    path = tmp_path / "answer.py"
    path.write_text("def scale_rows(x, w):\n    return x * w\n")
    module = types.ModuleType("answer")
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    path.write_text("\n\ndef scale_rows(x, w):\n    ...\n")
    assert not attempts.untouched(module.scale_rows, SCALE.stub)


# --- what passes ----------------------------------------------------------------------------------------------------

class Multiply(nn.Module):
    def forward(self, x, w):
        return x * w


@pytest.mark.parametrize("answer", [
    torch.mul, functools.partial(lambda scale, x, w: x * w * scale, 1.0), Multiply(), Multiply().forward,
    lambda x, w: (x.double() * w).tolist(), lambda x, w: x.numpy() * w.numpy(), lambda x, w: list(x * w),
    lambda x, w: tuple((row * w).tolist() for row in x), lambda x, w: (row * w for row in x),
    lambda x, w: map(w.__mul__, x), lambda x, w: (x * w).requires_grad_(), lambda x, w: (x * w).to_sparse(),
    lambda *inputs: inputs[0] * inputs[1], lambda x, w, *, extra=1: x * w * extra,
])
def test_right_answers_of_any_kind_pass(answer):
    verdict = judge(answer)
    assert verdict.status == PASSED, verdict.message
    assert verdict.message == "Passed. All 2 cases agree."


def test_half_precision_is_called_near():
    assert "rounding" in judge(lambda x, w: (x.bfloat16() * w.bfloat16())).message


# --- what is told ---------------------------------------------------------------------------------------------------

def test_a_shape_is_told_with_letters():
    message = judge(lambda x, w: (x * w).sum(0)).message
    assert "Expected shape (B=2, C=3), got (3,)." in message
    assert "Called with x (2, 3), w (3,)." in message
    assert "right axes in another order" in judge(lambda x, w: (x * w).T).message


def test_a_misconception_with_a_wrong_shape_or_an_exception_keeps_its_sentence():
    verdict = judge(lambda x, w: x.matmul(w))
    assert verdict.misconception is SCALE.misconceptions[1]
    assert "You take a dot product.\nCase: ordinary.\nExpected shape (B=2, C=3), got (2,)." in verdict.message
    verdict = judge(lambda x, w: torch.mm(x, x))
    assert verdict.misconception is SCALE.misconceptions[2]
    assert "raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)" in verdict.message


def test_another_exception_is_not_taken_for_the_misconceptions():
    verdict = judge(lambda x, w: x @ torch.ones(7, 2))
    assert verdict.misconception is None
    assert "here A is (2, 3) and B is (7, 2)" in verdict.message


def test_the_readers_own_line_is_shown():
    answer = in_cell("""
        def helper(x):
            return x.view(7, -1)

        def scale_rows(x, w):
            y = x * w
            return helper(y)
        """, "scale_rows")
    message = judge(answer).message
    assert "RuntimeError: shape '[7, -1]' is invalid for input of size 6\nLine 3: return x.view(7, -1)\n" in message
    assert "In words: a reshape must keep the number of elements" in message


def test_only_the_failing_case_is_told_with_its_reason():
    def answer(x, w):
        return x * w + (len(x) > 2)

    message = judge(answer).message
    assert message.startswith("Not yet. 1 of 2 cases agrees.\nCase: larger.\n")
    assert "Larger ones matter." in message and "20 of 20 numbers differ. The largest difference is 1." in message


def test_the_first_differing_number_is_told():
    def answer(x, w):
        y = x * w
        y[1, 2] += 0.5
        return y

    message = judge(answer).message
    assert "The first difference is at index [1, 2] of (B, C): expected " in message
    assert "1 of 6 numbers differ. The largest difference is 0.5." in message


@pytest.mark.parametrize("answer, shown", [
    (lambda x, w: x * w + (len(x) > 2), True),
    (lambda x, w: x * w / (len(x) < 3), True),                        # infinities in the right shape
    (lambda x, w: x * w if len(x) < 3 else None, False),
    (lambda x, w: x * w if len(x) < 3 else x.view(7, 7), False),
    (lambda x, w: x * w if len(x) < 3 else (x * w).T, False),
    (lambda x, w: x * w if len(x) < 3 else (x, w), False),
    (lambda x, w: x * w if len(x) < 3 else "no", False),
    (lambda x, w: x * w if len(x) < 3 else x.mul_(w), False),          # right numbers, but an argument is changed
])
def test_the_reason_of_a_case_stands_where_numbers_were_compared(answer, shown):
    message = judge(answer).message
    assert "Case: larger." in message and ("Larger ones matter." in message) is shown


def test_a_helper_to_do_without_is_named_in_nested_code_too():
    exercise = replace(SCALE, without=("torch.einsum", "torch.mul"))
    remark = "Passed, but with torch.mul: the exercise asks you to write it out. Try once more."

    def nested(x, w):
        def row(values):
            return torch.mul(values, w)

        return torch.stack([row(values) for values in x])

    class Net(nn.Module):
        def forward(self, x, w):
            return torch.mul(x, w)

    for answer in (nested, Net(), Net().forward, functools.partial(nested)):
        assert diagnose(exercise, answer).message == f"Passed. All 2 cases agree.\n{remark}"
    assert diagnose(exercise, scale_rows).message == "Passed. All 2 cases agree."
    assert remark not in diagnose(exercise, lambda x, w: torch.mul(x, w) + 1).message


def test_a_helper_is_named_as_it_is_written():
    exercise = replace(SCALE, without=("F.tanh", "nn.Identity"))
    answers = """
        from torch.nn import Identity

        def bare(x, w):
            return Identity()(x * w)

        def dotted(x, w):
            return nn.Identity()(x * w)

        def longer(x, w):
            return torch.nn.Identity()(x * w)

        def nested(x, w):
            return [(lambda row: torch.nn.Identity()(row))(row * w) for row in x]

        def after_a_call(x, w):
            return [nn][0].Identity()(x * w)

        class Net(nn.Module):
            def forward(self, x, w):
                return Identity()(x * w)
        """
    for name, written in [("bare", "Identity"), ("dotted", "nn.Identity"), ("longer", "torch.nn.Identity"),
                          ("nested", "torch.nn.Identity"), ("after_a_call", "nn.Identity"), ("Net", "Identity")]:
        answer = in_cell(answers, name)
        message = diagnose(exercise, answer() if isinstance(answer, type) else answer).message
        assert f"\nPassed, but with {written}: the exercise" in message, name


def test_names_are_found_behind_many_others():
    """Beyond 256 names the bytecode carries them in two parts."""
    many = "\n".join(f"    x.name_{number}" for number in range(300))
    names = attempts.names_written(in_cell(f"def scale_rows(x, w):\n{many}\n    return nn.Identity()\n", "scale_rows"))
    assert names["Identity"] == "nn.Identity" and names["name_299"] == "x.name_299" and len(names) == 302


def test_a_rule_that_is_broken_is_told_in_its_own_words():
    def without_negatives(answer, x, w):
        if (answer(x, w) > 99).any():
            raise RuleBroken("No number is above 99: expected less, got 100.")
        return answer(x, w)

    exercise = replace(SCALE, run=without_negatives)
    assert diagnose(exercise, scale_rows).status == PASSED
    verdict = diagnose(exercise, lambda x, w: x * w + 100)
    assert verdict.status == NOT_YET and verdict.misconception is None
    assert "\nCase: ordinary.\nNo number is above 99: expected less, got 100.\nCalled with" in verdict.message
    assert "raised" not in verdict.message


@pytest.mark.parametrize("answer, words", [
    (lambda x, w: (x * w).long(), "Your tensor is int64: it holds whole numbers and cannot hold fractions."),
    (lambda x, w: (x * w).to(torch.uint8), "Your tensor is uint8: it holds"),
    (lambda x, w: (x * w).int().numpy(), "Your array is int32: it holds"),
    (lambda x, w: x * w + 1, None), (lambda x, w: x * w > 0, None), (lambda x, w: (x * w).long().tolist(), None),
    (lambda x, w: (x * w).long()[0], None),                            # the shape comes first
])
def test_a_type_without_fractions_is_named(answer, words):
    message = judge(answer).message
    assert words in message if words else "fractions" not in message


def test_whole_numbers_in_floats_ask_for_no_fractions():
    assert "fractions" not in difference(torch.tensor([1.0, 2.0]), torch.tensor([1, 3]))
    assert "fractions" not in difference(torch.tensor([1.0, INF, NAN]), torch.tensor([1, 3, 4]))
    assert "fractions" not in difference(torch.tensor([1, 2]), torch.tensor([1, 3]))
    assert "int64" in difference(torch.tensor([1.5, INF]), torch.tensor([1, 3]))


def test_nan_and_infinity_are_named():
    message = judge(lambda x, w: torch.full_like(x, float("nan"))).message
    assert "got NaN." in message and "6 of your numbers are NaN." in message
    assert "got infinity." in judge(lambda x, w: x * w / torch.zeros(1).abs() * torch.sign(x * w)).message


@pytest.mark.parametrize("value, words", [
    (None, "scale_rows gave back None. Is there a return"),
    (..., "the placeholder is still there"),
    (torch.sum, "not its result. Are the parentheses of a call missing?"),
    (Multiply(), "not its result"),
    (dict, "got the class 'dict', not its result"),
    ("text", "expected a tensor of shape (B=2, C=3), got 'text'."),
    ([[1.0, 2.0], [3.0]], "got a list of length 2"),
    ([], "got []"),
    (3, "Expected shape (B=2, C=3), got ()."),
    (1j * torch.ones(2, 3), "expected real numbers"),
    ({"a": 1}, "got a dict with 1 key"),
    (np.array(["a"]), "got a numpy array (1,)"),
    (torch.empty(2, 3, device="meta"), "got a tensor (2, 3)"),
])
def test_what_is_no_result_is_told(value, words):
    message = judge(lambda x, w: value).message
    assert words.lower() in message.lower(), message


def test_an_unawaited_coroutine_is_told():
    async def answer(x, w):
        return x * w

    assert "got a coroutine" in judge(answer).message


@pytest.mark.parametrize("answer, words", [
    (lambda x: x, "The check calls scale_rows(x, w): keep the arguments of the stub."),
    (lambda: 0, "The check calls scale_rows(x, w)"),
    (lambda x, w, y: x, "The check calls scale_rows(x, w)"),
])
def test_wrong_parameters_are_told(answer, words):
    assert words in judge(answer).message


def test_no_repr_of_the_reader_is_called():
    class Rude:
        def __repr__(self):
            raise RuntimeError("from repr")

        __str__ = __repr__

    class RudeError(Exception):
        def __str__(self):
            raise RuntimeError("from str")

    assert "got a Rude." in judge(lambda x, w: Rude()).message

    def answer(x, w):
        raise RudeError

    assert "Your code raised RudeError\n" in judge(answer).message


def test_hostile_text_and_huge_values_stay_short():
    def answer(x, w):
        raise ValueError("\x1b[31mred\u202e " + "x" * 100_000)

    message = judge(answer).message
    assert "\x1b" not in message and "\u202e" not in message and "\\x1b[31mred" in message
    assert len(message) < 1000
    for value in ("y" * 10**6, ["z" * 100] * 10**5, 10**5000, list(range(10**5)), torch.zeros(10**6)):
        message = judge(lambda x, w, value=value: value).message
        assert len(message) < 600
        assert message.replace("\n", "").isprintable()


def test_a_list_that_holds_itself_is_survived():
    loop = []
    loop.append(loop)
    assert judge(lambda x, w: loop).status == NOT_YET


class EqualFloat(float):
    """Calls itself equal to everything."""

    def __eq__(self, other):
        return True

    __ge__ = __le__ = __ne__ = __eq__
    __hash__ = float.__hash__

    def __sub__(self, other):
        return 0.0

    __rsub__ = __sub__


class EqualTensor(torch.Tensor):
    """Answers every question of torch's with True."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return torch.tensor(True)


class EqualList(list):
    def __iter__(self):
        return iter([2, 3])

    def __len__(self):
        return 2


def count():
    return 5


COUNT = Exercise("99.5", "", count, (), (Case("", tuple),), (), stub="def count(): ...")
PAIR = Exercise("99.6", "", lambda: [2, 3], (), (Case("", tuple),), (), stub="def pair(): ...")


def test_what_calls_itself_equal_to_everything_does_not_pass():
    assert diagnose(COUNT, lambda: EqualFloat(3)).status == NOT_YET
    assert diagnose(COUNT, lambda: EqualFloat(5)).status == PASSED
    assert diagnose(PAIR, lambda: [EqualFloat(0), EqualFloat(0)]).status == NOT_YET
    assert diagnose(PAIR, lambda: EqualList([0, 0])).status == NOT_YET
    assert judge(lambda x, w: torch.zeros(x.shape).as_subclass(EqualTensor)).status == NOT_YET
    assert judge(lambda x, w: (x * w).as_subclass(EqualTensor)).status == PASSED


def test_memory_that_nobody_filled_does_not_pass():
    def answer(x, w):
        out = torch.empty(x.shape)
        out[:-1] = (x * w)[:-1]
        return out

    for _ in range(3):
        assert judge(scale_rows).status == PASSED
        assert "numbers are NaN" in judge(answer).message
    assert torch.get_deterministic_debug_mode() == 0


@pytest.mark.parametrize("read", [
    lambda right: right.numpy().astype(np.longdouble), lambda right: right.numpy().astype(">f4"),
    lambda right: np.ma.array(right.numpy()), lambda right: nn.Parameter(right), lambda right: right.to_sparse_csr(),
    lambda right: [[Fraction(number) for number in row] for row in right.tolist()],
    lambda right: [[Decimal(number) for number in row] for row in right.tolist()],
])
def test_right_numbers_in_rare_containers_pass(read):
    verdict = judge(lambda x, w: read((x * w).detach()))
    assert verdict.status == PASSED, verdict.message


def nested_lists(depth):
    value = [0.0]
    for _ in range(depth):
        value = [value, value]
    return value


@pytest.mark.parametrize("make, words", [
    (lambda: torch.nested.nested_tensor([torch.zeros(3)] * 2), "got a nested tensor"),
    (lambda: torch.quantize_per_tensor(torch.zeros(2, 3), 0.1, 0, torch.qint8), "got 0."),
    (lambda: torch.empty(2, 3, device="meta"), "got a tensor (2, 3) without numbers"),
    (lambda: nested_lists(60), "got a list of length 2"),
    (lambda: np.array([object()] * 6).reshape(2, 3), "got a numpy array (2, 3) that holds no numbers."),
    (lambda: np.datetime64("2020-01-01"), "that holds no numbers"),
    (lambda: {1, 2}, "got a set."),
    (lambda: {(): 1}, "got a dict with 1 key"),
])
def test_values_without_numbers_get_a_sentence(make, words):
    message = judge(lambda x, w: make()).message
    assert words in message, message


class Rude:
    """Fails wherever it is asked something."""

    def __getattr__(self, name):
        raise RuntimeError("asked")

    def __call__(self, x, w):
        return x * w


class Selfish:
    """Has every attribute: itself."""

    def __getattr__(self, name):
        return self

    def __call__(self, x, w):
        return x * w


class Liar:
    @property
    def __class__(self):
        raise RuntimeError("no class")

    def __call__(self, *inputs):
        return self


def test_rude_objects_get_a_sentence(capsys):
    assert judge(Rude()).status == judge(Selfish()).status == PASSED
    check("01.1", Liar())
    assert "The check itself failed: RuntimeError: no class." in capsys.readouterr().out
    assert use("01.1", Liar()) is engine.get("01.1").reference
    check("01.1", lambda *inputs: Liar())
    assert "Your code raised RuntimeError: no class" in capsys.readouterr().out


def test_an_exception_that_cannot_be_told_is_named():
    class Exits(Exception):
        def __str__(self):
            raise SystemExit

        with_traceback = __str__

    def answer(x, w):
        raise Exits

    assert "Your code raised Exits\n" in judge(answer).message


def test_a_misconception_that_a_busy_machine_stops_is_passed_over():
    slow = Misconception(lambda x, w: time.sleep(9), "You sleep.")
    exercise = replace(SCALE, misconceptions=(slow,), cases=SCALE.cases * 2)
    assert diagnose(exercise, lambda x, w: x).misconception is None


# --- hostile answers ------------------------------------------------------------------------------------------------

def test_an_endless_loop_is_stopped_and_its_line_told():
    answer = in_cell("""
        def scale_rows(x, w):
            n = 0
            while True:
                n += 1
        """, "scale_rows", "<endless>")
    message = judge(answer).message
    assert "still running after 0.3 seconds and was stopped in line " in message
    assert "while True:" in message or "n += 1" in message


@pytest.mark.parametrize("handler", ["except Exception:", "except BaseException:", "except:"])
@pytest.mark.parametrize("work", ["time.sleep(60)", "sum(range(1000))", "pass"])
def test_a_loop_that_swallows_exceptions_is_stopped(handler, work):
    answer = in_cell(f"""
        def scale_rows(x, w):
            while True:
                try:
                    {work}
                {handler}
                    pass
        """, "scale_rows", f"<{handler}{work}>")
    before = sys.gettrace()
    assert "still running" in judge(answer).message
    assert sys.gettrace() is before


@pytest.mark.parametrize("answer", [
    lambda x, w: time.sleep(60), lambda x, w: threading.Event().wait(), lambda x, w: (time.sleep(60) for _ in x),
    functools.partial(lambda seconds, x, w: time.sleep(seconds), 60),
])
def test_other_ways_to_hang_are_stopped(answer):
    assert "still running" in judge(answer).message


def test_a_generator_without_end_is_cut_off():
    assert "got a list of length 10000" in judge(lambda x, w: iter_for_ever()).message


def iter_for_ever():
    while True:
        yield "more"


def test_a_swallowed_time_limit_is_still_told():
    def answer(x, w):
        try:
            time.sleep(60)
        except BaseException:
            return x * w

    assert "still running" in judge(answer).message


def test_an_answer_that_prints_for_ever_is_stopped():
    def answer(x, w):
        while True:
            print("x" * 1000)

    assert "still running" in judge(answer).message


def test_the_timer_and_its_handler_are_put_back():
    def mine(number, frame):
        raise AssertionError("must not fire")

    before = signal.signal(signal.SIGALRM, mine)
    signal.setitimer(signal.ITIMER_REAL, 500, 7)
    try:
        judge(lambda x, w: time.sleep(60))
        assert signal.getsignal(signal.SIGALRM) is mine
        remaining, interval = signal.setitimer(signal.ITIMER_REAL, 0)
        assert 400 < remaining < 500 and interval == 7
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_nothing_fires_after_a_check():
    judge(lambda x, w: x * w)
    assert signal.setitimer(signal.ITIMER_REAL, 0) == (0.0, 0.0)


def test_off_the_main_thread_the_message_says_that_there_is_no_limit():
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.extend(map(judge, [scale_rows, lambda x, w: x])))
    thread.start()
    thread.join()
    assert [verdict.status for verdict in verdicts] == [PASSED, NOT_YET]
    assert all("There was no time limit" in verdict.message for verdict in verdicts)


def test_a_real_interrupt_reaches_the_reader():
    """Ctrl-C while an answer runs ends the check, and the world is put back."""
    script = """
        import os, signal, torch
        from course_utils.exercises import check

        signal.signal(signal.SIGINT, signal.default_int_handler)     # whoever starts tests in the background ignores it
        def recurrent_step(x, h, W_x, W_h, b):
            torch.set_default_dtype(torch.float64)
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                pass

        try:
            check("01.1", recurrent_step)
        except KeyboardInterrupt:
            print("interrupted", torch.get_default_dtype())
        """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout == "interrupted torch.float32\n", ran.stderr


def test_exit_is_told_and_does_not_end_anything():
    message = judge(lambda x, w: sys.exit(3)).message
    assert "raised SystemExit: 3" in message and "end the whole notebook" in message


def test_endless_recursion_is_told():
    def answer(x, w):
        return answer(x, w)

    message = judge(answer).message
    assert "RecursionError" in message and "the function calls itself again and again" in message


def test_an_argument_changed_in_place_is_told_by_name():
    def answer(x, w):
        x *= w
        return x

    message = judge(answer).message
    assert "Your numbers are right, but x is changed in place" in message
    assert judge(lambda x, w: x.mul(w)).status == PASSED


@pytest.mark.parametrize("change", [
    lambda x: x.unsqueeze_(0), lambda x: x.fill_(float("nan")), lambda x: x.zero_(), lambda x: x.resize_(1, 1),
])
def test_any_change_of_an_argument_is_seen(change):
    def answer(x, w):
        result = x * w
        change(x)
        return result

    assert "x is changed in place" in judge(answer).message


def test_the_readers_world_is_left_alone():
    def answer(x, w):
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_num_threads(1 + torch.get_num_threads())
        torch.set_default_device("meta")
        return x * w

    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    expected = torch.rand(3), np.random.rand(3), random.random()
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    threads = torch.get_num_threads()
    judge(answer)
    assert torch.equal(torch.rand(3), expected[0])
    assert (np.random.rand(3) == expected[1]).all() and random.random() == expected[2]
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
    assert torch.get_num_threads() == threads and torch.get_default_device() == torch.device("cpu")


def test_recursion_limit_and_numpys_errors_are_put_back():
    def answer(x, w):
        np.seterr(all="raise")
        sys.setrecursionlimit(len(inspect.stack()) + 30)
        return x * w

    before = sys.getrecursionlimit(), np.geterr()
    assert judge(answer).status == PASSED
    assert (sys.getrecursionlimit(), np.geterr()) == before


def test_the_readers_world_does_not_reach_into_the_check():
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode():
            assert judge(scale_rows).status == PASSED
            assert examine("01.5", engine.get("01.5").reference).status == PASSED
    finally:
        torch.set_default_dtype(dtype)


def test_a_random_answer_gets_the_same_message_every_time():
    def answer(x, w):
        return x * w + torch.randn(x.shape) + np.random.rand() + random.random()

    assert judge(answer).message == judge(answer).message


def test_prints_are_counted_and_not_shown(capsys):
    def answer(x, w):
        print("a\nb")
        print("c", end="", file=sys.stderr)
        return x * w

    assert "Your code printed 3 lines; a check does not show them." in judge(answer).message
    assert capsys.readouterr() == ("", "")


def test_a_broken_reference_is_the_courses_own_error():
    def broken(x, w):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        diagnose(Exercise("99.4", "", broken, (), SCALE.cases, (), stub="def broken(x, w): ..."), scale_rows)


def test_a_check_that_fails_itself_says_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch, "tanh", lambda x: 1 / 0)
    check("01.1", no_tanh)
    assert "The check itself failed: ZeroDivisionError: division by zero." in capsys.readouterr().out
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(ExerciseNotPassed):
        check("01.1", no_tanh)


def test_a_reference_out_of_time_is_no_traceback_of_the_limit():
    with pytest.raises(TimeoutError, match="took too long"):
        diagnose(replace(SCALE, reference=lambda x, w: time.sleep(9), stub=SCALE.stub), scale_rows)


# --- check, hint, solution, use, quiz -------------------------------------------------------------------------------

def right_step(x, h, W_x, W_h, b):
    return torch.tanh(x @ W_x.T + h @ W_h.T + b)


def no_tanh(x, h, W_x, W_h, b):
    return x @ W_x.T + h @ W_h.T + b


def untouched_step(x, h, W_x, W_h, b):
    """Doc."""
    ...


def test_check_prints_remembers_and_returns_nothing(capsys):
    assert check("01.1", untouched_step) is None
    assert capsys.readouterr().out == 'Not attempted yet. hint("01.1") gives a nudge.\n'
    assert Progress().summary() == {}
    assert check("01.1", no_tanh) is None
    assert "The tanh is missing" in capsys.readouterr().out
    assert not Progress().passed("01.1")
    assert check("01.1", right_step) is None
    assert capsys.readouterr().out == "Passed. All 3 cases agree.\n"
    assert Progress().passed("01.1")


@pytest.mark.parametrize("arguments, words", [
    (("01.99", right_step), "There is no exercise '01.99'. Chapter 01 has 01.1, 01.2,"),
    (("77.1", right_step), "There is no exercise '77.1'. There are exercises for the chapters 00, 01"),
    (("", right_step), "There is no exercise ''."),
    ((1.1, right_step), 'such as "01.1"'),
    ((right_step, "01.1"), 'The id comes first, then your answer: check("01.1", …).'),
    (("01.1", torch.zeros(2, 4)), "check got a tensor (2, 4), the result of a call. Pass recurrent_step itself, "
                                  'without parentheses: check("01.1", recurrent_step).'),
    (("01.1", None), "check got None, the result of a call."),
    (("01.1", "recurrent_step"), "not its name in quotation marks"),
    (("01.1",), 'The answer is missing: check("01.1", recurrent_step).'),
    ((right_step,), 'such as "01.1"'),
    (("../../x", right_step), "There is no exercise"),
])
def test_misuse_gets_one_line(arguments, words, capsys):
    assert examine(*arguments).status == MISUSED
    check(*arguments)
    printed = capsys.readouterr().out
    assert words in printed and printed.count("\n") == 1
    assert Progress().summary() == {}


@pytest.mark.parametrize("answer", [untouched_step, no_tanh, torch.zeros(2), ...])
def test_strict_mode_raises_on_anything_but_a_pass(answer, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    for call in (check, use):
        with pytest.raises(ExerciseNotPassed, match=r"01\.1: (not attempted|not yet|misused)"):
            call("01.1", answer)
        with pytest.raises(ExerciseNotPassed, match="misused"):
            call("01.99", right_step)
    check("01.1", right_step)
    assert use("01.1", right_step) is right_step


def test_hints_come_one_by_one_and_end(capsys):
    hints = engine.get("01.1").hints
    for number, text in enumerate(hints, start=1):
        hint("01.1")
        printed = capsys.readouterr().out
        assert printed.startswith(f"Hint {number} of {len(hints)}: {text}\n")
        assert ("That was the last one" in printed) == (number == len(hints))
    hint("01.1")
    printed = capsys.readouterr().out
    assert all(text in printed for text in hints) and "That was the last one" in printed
    hint("nothing")
    assert "There is no exercise 'nothing'" in capsys.readouterr().out


def test_a_solution_is_announced_before_it_is_shown(capsys):
    solution("01.1")
    announced = capsys.readouterr().out
    assert "def " not in announced and 'call solution("01.1") once more' in announced
    solution("01.2")
    assert "def " not in capsys.readouterr().out
    solution("01.1")
    shown = capsys.readouterr().out
    assert shown == engine.solution_source("01.1") and shown.startswith("def recurrent_step(x, h, W_x, W_h, b):")
    solution("nothing")
    assert "There is no exercise 'nothing'" in capsys.readouterr().out


def test_use_gives_the_readers_function_only_if_it_passes(capsys):
    assert use("01.1", right_step) is right_step
    assert capsys.readouterr().out == ""
    for answer in (no_tanh, untouched_step, torch.zeros(2), ...):
        assert use("01.1", answer) is engine.get("01.1").reference
        assert capsys.readouterr().out == \
            "Your recurrent_step (01.1) does not pass yet, so the course's own is used here.\n"
    assert use("01.99", right_step) is right_step
    assert "There is no exercise" in capsys.readouterr().out
    assert Progress().summary() == {}


def test_a_quiz_stores_its_answers(monkeypatch):
    made = {}
    monkeypatch.setattr("course_utils.widgets.Quiz", lambda questions, **options: made.update(options, q=questions))
    quiz("01-opening")
    assert made["q"] == engine.questions("01-opening") and made["name"] == "01-opening"
    made["on_answer"](1, 2, True)
    assert Progress().summary()["01"]["answered"] == {"01-opening": {1: True}}


def test_the_quiz_widget_takes_the_questions_as_they_are():
    for name in engine.quiz_names():
        widget = quiz(name)
        widget.tries = [[0, 0]]
        assert Progress().summary()[name[:2]]["answered"][name].keys() == {0}


@pytest.mark.parametrize("name", [None, 1, ["01-opening"], {}])
def test_what_is_no_quiz_name_gets_one_line(name, capsys):
    assert quiz(name) is None
    assert capsys.readouterr().out.startswith("There is no quiz ")


def test_an_unknown_quiz_gets_one_line(capsys, monkeypatch):
    assert quiz("01-middle") is None
    printed = capsys.readouterr().out
    assert "There is no quiz '01-middle'. There are 00-opening, 00-closing, 01-opening" in printed
    assert printed.count("\n") == 1
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(LookupError):
        quiz("01-middle")


# --- small parts ----------------------------------------------------------------------------------------------------

def test_a_stub_is_made_from_head_and_docstring():
    assert SCALE.stub == 'def scale_rows(x, w):\n    """x: (B, C); w: (C,). Returns (B, C)."""\n    ...\n'
    assert SCALE.name == "scale_rows"


@pytest.mark.parametrize("text, name, axes", [
    ("(B, T, H)", "", ("B", "T", "H")), ("targets (N, window)", "targets", ("N", "window")),
    ("gradients", "gradients", ()), ("", "", ()), ("()", "", ()),
])
def test_parts_are_read_from_text(text, name, axes):
    assert Part.read(text) == Part(name, axes)


@pytest.mark.parametrize("expected, actual, words", [
    ((torch.zeros(2), torch.zeros(3)), (torch.zeros(2),), "2 things (a, b), got a tuple with one tensor (2,)."),
    ((torch.zeros(2), torch.zeros(3)), torch.zeros(20), "Expected 2 things (a, b), got one tensor (20,)."),
    ((torch.zeros(2, 3), torch.zeros(2, 3)), torch.zeros(2, 3), "Expected 2 things (a, b), got one tensor (2, 3)."),
    ((torch.zeros(2, 3), torch.zeros(2, 3)), np.zeros((2, 3)), "Expected 2 things (a, b), got one numpy array (2, 3)."),
    ((torch.zeros(2), torch.zeros(2)), torch.ones(2, 2), "In a: the first difference is at index [0]"),
    (torch.zeros(2, 3), (torch.zeros(2, 3),) * 2, "Expected shape (2, 3), got a tuple of 2 tensors, each (2, 3)."),
    (torch.zeros(2, 3), [torch.zeros(1), torch.zeros(2)], "got a list of 2 tensors."),
    ((torch.zeros(2), torch.zeros(3)), 7, "Expected 2 things (a, b), got 7."),
    ((torch.zeros(2), torch.zeros(3)), (torch.zeros(2), torch.zeros(4)), "In b: expected shape (Y=3,), got (4,)."),
    ((torch.zeros(2), torch.zeros(3)), (torch.zeros(2), None), "In b: got None."),
    ({"a": 1}, {"a": 2}, "In item 'a': expected 1, got 2."),
    ({"a": 1}, {"b": 1}, "Expected the keys 'a', got 'b'."),
    ({"a": 1}, [1], "Expected a dict, got [1]."),
    ("yes", "no", "Expected 'yes', got 'no'."),
    (True, "True", "Expected True or False, got 'True'."),
    (True, False, "Expected True, got False."),
    (3, 4, "Expected 3, got 4."),
    (10**9, 10**9 + 1, "Expected 1000000000, got 1000000001."),
    (30522, 30523.0, "Expected 30522, got 30523."),
    (torch.tensor([30522]), torch.tensor([30523]), "expected 30522, got 30523."),
    (3, torch.zeros(2), "Expected one number, got a tensor (2,)."),
    (0.5, 10**400, "got an integer with more than 15 digits."),
])
def test_differences_in_words(expected, actual, words):
    assert words in difference(expected, actual, parts=(Part("a", ("X",)), Part("b", ("Y",))))


@pytest.mark.parametrize("expected, actual", [
    (3, 3.0), (3, torch.tensor(3)), (3, np.int64(3)), (True, np.True_), (True, 1), (0.5, np.float32(0.5)),
    (torch.tensor(0.5), 0.5), (torch.tensor([1, 2]), [1.0, 2.0]), (torch.zeros(2, 3), np.zeros((2, 3))),
    ([torch.zeros(2), torch.ones(3)], (np.zeros(2), [1, 1, 1])),
    ((torch.zeros(2), torch.ones(2)), torch.tensor([[0, 0], [1, 1]])),
    (torch.tensor([float("inf")]), [float("inf")]), ([], ()), ({"a": torch.ones(1)}, {"a": [1]}), ("a", "a"),
    (torch.tensor([True, False]), [1, 0]), (float("nan"), float("nan")), (float("-inf"), torch.tensor(-float("inf"))),
    (torch.tensor([-float("inf"), float("nan"), 1.0]), [-float("inf"), float("nan"), 1.0]),
])
def test_no_difference_between_containers_and_types(expected, actual):
    assert difference(expected, actual) is None


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize("expected, actual", [
    (INF, 0.0), (INF, 1e300), (INF, -INF), (INF, NAN), (-INF, -1e9), (-INF, INF), (-INF, 7), (INF, 10**400),
    (NAN, 0.0), (NAN, INF), (0.0, INF), (0.0, NAN), (1e300, INF), (3, NAN),
])
def test_an_infinity_agrees_with_itself_alone(expected, actual):
    assert f"xpected {number_text(expected)}, got {number_text(actual)}" in difference(expected, actual)
    if isinstance(actual, float):
        found = difference(*(torch.tensor([value, 1.0], dtype=torch.float64) for value in (expected, actual)))
        assert f"at index [0]: expected {number_text(expected)}, got {number_text(actual)}." in found


def test_masked_scores_must_be_masked():
    """-1e9 where minus infinity is wanted is a difference, and infinities that agree are none."""
    scores = torch.tensor([[0.5, -INF], [0.25, -0.5]])
    assert difference(scores, scores.clone()) is None
    assert "expected minus infinity, got -1e+09." in difference(scores, scores.clamp(min=-1e9))
    found = difference(scores, scores + torch.tensor([0.0, 2.0]))
    assert "1 of 4 numbers differ. The largest difference is 2." in found


def raised(function):
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


X, Y = torch.zeros(2, 3), torch.zeros(4, 5)


@pytest.mark.parametrize("function, words", [
    (lambda: X @ Y, "here A is (2, 3) and B is (4, 5)"),
    (lambda: X @ torch.zeros(4), "a matrix of 2 rows and 3 columns was multiplied by a vector of 4 numbers"),
    (lambda: torch.zeros(2, 3, 4).bmm(torch.zeros(2, 5, 6)), "a batched product"),
    (lambda: torch.zeros(3) @ torch.zeros(4), "two vectors of one length"),
    (lambda: X + Y, "along axis 1 one has 3 and the other 5"),
    (lambda: X.numpy() + Y.numpy(), "their shapes (2,3) (4,5) do not fit"),
    (lambda: X.numpy() @ Y.numpy(), "as many columns in A as rows in B"),
    (lambda: X.sum(2), "an axis 2 is asked for; this tensor's axes are numbered -2 to 1"),
    (lambda: X[5], "position 5 is asked for along axis 0, which has 2 places"),
    (lambda: X[torch.tensor([7])], "position 7 is asked for along axis 0"),
    (lambda: nn.functional.embedding(torch.tensor([9]), X), "a position past the end"),
    (lambda: X[0, 0, 0], "more positions stand between the brackets"),
    (lambda: X[torch.tensor([0, 1]), torch.tensor([0, 1, 2])], "must have one shape"),
    (lambda: nn.functional.one_hot(torch.tensor([3]), 2), "an id that is too large"),
    (lambda: nn.functional.one_hot(torch.tensor([1.0])), "integer ids"),
    (lambda: X[torch.tensor([0.5])], "an index must be of integers"),
    (lambda: nn.functional.embedding(torch.tensor([0.5]), X), "an index must be of integers"),
    (lambda: X.gather(1, torch.zeros(2, 1)), "an index must be of integers"),
    (lambda: X @ torch.zeros(3, 2).long(), "different number types"),
    (lambda: X @ torch.zeros(3, 2).double(), "different number types"),
    (lambda: torch.zeros(3).long().mean(), "a mean of integers is not defined"),
    (lambda: torch.zeros(3).long().mul_(0.5), "store floats in a tensor of integers"),
    (lambda: X.sum().backward(), "no gradient can flow"),
    (lambda: X.clone().requires_grad_().numpy(), "numpy cannot follow gradients"),
    (lambda: X.clone().requires_grad_().mul_(2), "an argument is changed in place"),
    (lambda: 1 if X > 0 else 0, "needs one True or False"),
    (lambda: float(X), "one number is needed here"),
    (lambda: X.item(), "one number is needed here"),
    (lambda: torch.cat([X, Y]), "torch.cat joins along axis 0"),
    (lambda: torch.stack([X, Y]), "torch.stack wants tensors of one shape"),
    (lambda: torch.stack([]), "the list of tensors to join is empty"),
    (lambda: X.reshape(4, 4), "a reshape must keep the number of elements"),
    (lambda: X.T.view(6), ".reshape works in any case"),
    (lambda: torch.tanh(0.5), "this function wants a tensor as input and was given a float"),
    (lambda: X.T(), "parentheses stand behind a tensor"),
    (lambda: X.sum + 1, "the parentheses of the call are missing"),
    (lambda: X.sum.shape, "the parentheses of the call are missing"),
    (lambda: None + 1, "something is None here"),
    (lambda: None.shape, "something is None here"),
    (lambda: ... + 1, "a placeholder"),
    (lambda: (lambda a, b: 0)(*X.shape, *X.shape) or 0, ""),
    (lambda: [a for a, b, c in [X.shape]], "the number of names on the left"),
    (lambda: list(torch.zeros(())), "a for loop, or sum(), goes over"),
    (lambda: torch.einsum("ij,jk", X, Y), "in an einsum"),
    (lambda: nn.functional.cross_entropy(torch.zeros(2, 5, 7), torch.zeros(2, 5).long()), "the classes on axis 1"),
    (lambda: torch.zeros(2, 3).long().log_softmax(-1), "does not exist for numbers of type Long. Did two arguments"),
    (lambda: nn.functional.cross_entropy(torch.zeros(2).long(), torch.zeros(2, 3)), "or is .float() missing?"),
    (lambda: X.gather(-1, torch.zeros(2).long()), "gather wants an index with as many axes"),
    (lambda: torch.tensor(2.0) @ X, "one side of @ is a single number"),
    (lambda: torch.cat([X, torch.zeros(3)]), "the same number of axes, and these have 2 and 1"),
    (lambda: [X].shape, "a list has no .shape. If a tensor is meant: torch.stack"),
    (lambda: (X, Y).mean(), "a tuple has no .mean"),
    (lambda: [X, Y] * 0.5, "a list times a number repeats the list"),
    (lambda: torch.zeros(4, 5).__setitem__(slice(2), X), "sizes of the notebook's own variables"),
    (lambda: X.expand(2, 5), "a tensor of 3 numbers along axis 1 is to fill 5 places"),
    (lambda: X[0][1 / 1:], "`/` gives a float; `//` gives a whole number"),
    (lambda: X[1 / 1], "`/` gives a float"), (lambda: list(X)[2 / 2], "`/` gives a float"),
    (lambda: X.chunk(4 / 2), "`/` gives a float"), (lambda: X.split(4 / 2), "`/` gives a float"),
    (lambda: X.view(2, 6 / 2), "`/` gives a float"),
    (lambda: torch.zeros(4 / 2), "`/` gives a float"), (lambda: range(4 / 2), "`/` gives a float"),
    (lambda: torch.full((4 / 2,), 1.0), "`/` gives a float"),
    (lambda: 1 / 0, "divided by zero"),
    (lambda: undefined, "this name has no value here"),  # noqa: F821
])
def test_errors_in_plain_words(function, words):
    error = raised(function)
    assert words in reading(error), f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("value, text", [
    (torch.zeros(2, 3), "a tensor (2, 3)"), (np.zeros(2), "a numpy array (2,)"), ([1, "a"], "[1, 'a']"), ((1,), "(1,)"),
    ([torch.zeros(1)] * 3, "a list of 3 tensors, each (1,)"), ("a" * 100, "'" + "a" * 60 + "…'"), (None, "None"),
    (nn.RNN(1, 1), "a RNN"), (object(), "an object"), (int, "the class 'int'"), ({}, "a dict with 0 keys"), (2.0, "2"),
])
def test_short_descriptions(value, text):
    assert short(value) == text


def test_a_check_does_not_keep_the_readers_tensors():
    outcome = running.run(lambda: 1 / 0, tuple, 1)
    assert isinstance(outcome.error, ZeroDivisionError) and outcome.error.__traceback__ is None
