"""Every exercise and quiz of every chapter, taken from the data: a new chapter is tested without a line here."""

import ast
import importlib
import itertools
import json
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.exercises import engine
from course_utils.exercises.engine import MISUSED, NOT_ATTEMPTED, NOT_YET, PASSED, diagnose, examine
from course_utils.exercises.running import run
from course_utils.layout import ROOT

IMPORTS = {"torch": torch, "nn": nn, "F": F}   # what every chapter's import cell offers
EXERCISES = [engine.get(exercise_id) for exercise_id in engine.exercise_ids()]
MISTAKES = [
    pytest.param(exercise, mistake, id=f"{exercise.id}-{number}")
    for exercise in EXERCISES for number, mistake in enumerate(exercise.misconceptions)
]
QUIZZES = {name: engine.questions(name) for name in engine.quiz_names()}
each_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
each_quiz = pytest.mark.parametrize("name", QUIZZES)


def from_source(source, name):
    """What `source` defines as `name`, with nothing in reach but the import cell's names."""
    names = dict(IMPORTS)
    exec(compile(source, "<answer>", "exec"), names)
    return names[name]


def expected_values(exercise):
    """What the reference gives on each case."""
    call = engine._call_of(exercise, exercise.reference)
    return [run(call, case.make, exercise.seconds).value for case in exercise.cases]


def disturbed(value):
    """`value` with one number, truth value or text changed."""
    if isinstance(value, list | tuple):
        place = next(place for place, item in enumerate(value) if not isinstance(item, torch.Tensor) or item.numel())
        return type(value)(disturbed(item) if position == place else item for position, item in enumerate(value))
    if isinstance(value, dict):
        return {key: disturbed(item) for key, item in value.items()}
    if isinstance(value, torch.Tensor):
        changed = value.detach().double().clone(memory_format=torch.contiguous_format)
        changed.view(-1)[-1] += 0.1
        return changed
    if isinstance(value, str | bytes):
        return value * 2
    return not value if isinstance(value, bool) else value + 1


def first_tensor(value):
    if isinstance(value, list | tuple):
        return next((found for item in value if (found := first_tensor(item)) is not None), None)
    return value if isinstance(value, torch.Tensor) else None


def sizes(value):
    """All sizes of the tensors in `value` and all numbers, in order."""
    if isinstance(value, list | tuple):
        return [size for item in value for size in sizes(item)]
    if isinstance(value, torch.Tensor):
        return list(value.shape)
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


# --- exercises ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("chapter", sorted({exercise.id[:2] for exercise in EXERCISES}))
def test_the_import_cell_offers_what_answers_may_use(chapter):
    notebook, = (ROOT / "notebooks").glob(f"{chapter}_*.ipynb")
    cells = json.loads(notebook.read_text())["cells"]
    cell = next(cell for cell in cells if "imports" in cell["metadata"].get("tags", ()))
    imports = [node for node in ast.walk(ast.parse("".join(cell["source"]))) if isinstance(node, ast.alias)]
    assert set(IMPORTS) <= {alias.asname or alias.name for alias in imports}


def test_every_chapter_file_is_found():
    files = {path.stem[-2:] for path in (ROOT / "course_utils" / "exercises").glob("chapter_*.py")}
    assert {exercise.id[:2] for exercise in EXERCISES} == files
    assert {name[:2] for name in QUIZZES} == files
    assert len(EXERCISES) == len({exercise.id for exercise in EXERCISES})


@each_exercise
def test_the_stub_is_not_attempted(exercise):
    verdict = examine(exercise.id, from_source(exercise.stub, exercise.name))
    assert verdict.status == NOT_ATTEMPTED
    assert verdict.message == f'Not attempted yet. hint("{exercise.id}") gives a nudge.'


@each_exercise
def test_the_solution_passes_with_the_import_cell_alone(exercise):
    source = engine.solution_source(exercise.id)
    assert source.endswith("\n")
    verdict = examine(exercise.id, from_source(source, exercise.name))
    assert verdict.status == PASSED, verdict.message


@each_exercise
def test_the_solution_fits_the_stub(exercise):
    stub, solution = (ast.parse(source).body for source in (exercise.stub, engine.solution_source(exercise.id)))
    assert len(stub) == len(solution) == 1 and type(stub[0]) is type(solution[0])
    if isinstance(stub[0], ast.FunctionDef):
        assert stub[0].name == solution[0].name == exercise.name
        assert ast.dump(stub[0].args) == ast.dump(solution[0].args)
        assert ast.get_docstring(stub[0]), "the docstring says what goes in and what comes out"


@each_exercise
def test_the_data_is_complete(exercise):
    assert len(exercise.hints) >= 2 and len(set(exercise.hints)) == len(exercise.hints)
    assert len(exercise.misconceptions) >= 3
    assert len({mistake.sentence for mistake in exercise.misconceptions}) == len(exercise.misconceptions)
    assert len({case.label for case in exercise.cases}) == len(exercise.cases)
    assert exercise.title


@pytest.mark.parametrize("exercise, mistake", MISTAKES)
def test_a_misconception_gets_its_own_sentence(exercise, mistake):
    verdict = diagnose(exercise, mistake.answer)
    assert verdict.status == NOT_YET
    assert verdict.misconception is mistake, verdict.message
    assert verdict.message.startswith(f"Not yet. {mistake.sentence}\nCase: ")
    assert mistake.sentence.split()[0] in {"You", "Your", "The", "Time", "Every", "No", "F.cross_entropy"}


@each_exercise
def test_no_two_misconceptions_are_confused(exercise):
    outcomes = [engine._outcomes(exercise, mistake.answer) for mistake in exercise.misconceptions]
    for position, one in enumerate(outcomes):
        for other in outcomes[position + 1:]:
            assert not all(engine._alike(*pair, exercise.tolerance) for pair in zip(one, other, strict=True))


@each_exercise
def test_a_mistake_on_nobodys_list_gets_numbers(exercise):
    calls = []

    def wrong(*inputs):
        calls.append(inputs)
        value = exercise.reference(*inputs)
        # All truth values turned round would be a mistake of its own, and a known one.
        return value if isinstance(value, bool) and len(calls) > 1 else disturbed(value)

    verdict = diagnose(exercise, wrong)
    assert verdict.status == NOT_YET and verdict.misconception is None, verdict.message
    assert "xpected" in verdict.message and "got" in verdict.message and "Called with" in verdict.message
    expected = expected_values(exercise)[0]
    if isinstance(expected, torch.Tensor) and expected.ndim:
        assert "first difference is at index" in verdict.message


@each_exercise
def test_a_wrong_shape_on_nobodys_list_gets_both_shapes(exercise):
    expected = expected_values(exercise)[0]
    tensor = first_tensor(expected)
    if tensor is None:
        verdict = diagnose(exercise, lambda *inputs: torch.zeros(3, 2))
        assert "tensor (3, 2)" in verdict.message
        return

    def wrong(*inputs):
        value = exercise.reference(*inputs)
        whole = isinstance(value, torch.Tensor)
        wide = (value if whole else value[0])[None, None]
        return wide if whole else type(value)([wide, *value[1:]])

    verdict = diagnose(exercise, wrong)
    assert verdict.status == NOT_YET and verdict.misconception is None, verdict.message
    assert "expected shape (" in verdict.message.replace("Expected", "expected")
    assert f"got {(1, 1, *tensor.shape)}" in verdict.message


@each_exercise
def test_an_answer_that_forgets_to_return_is_told(exercise):
    def forgets(*inputs):
        exercise.reference(*inputs)

    verdict = diagnose(exercise, forgets)
    assert verdict.status == NOT_YET
    assert f"{exercise.name} gave back None" in verdict.message and "return" in verdict.message


@each_exercise
def test_an_answer_that_raises_is_told_with_type_and_line(exercise):
    def fails(*inputs):
        return undefined_name  # noqa: F821

    verdict = diagnose(exercise, fails)
    assert "NameError: name 'undefined_name' is not defined" in verdict.message
    assert "return undefined_name" in verdict.message and "In words:" in verdict.message


@each_exercise
def test_a_result_instead_of_the_function_is_told(exercise):
    verdict = examine(exercise.id, torch.zeros(2, 4))
    assert verdict.status == MISUSED
    assert f'check("{exercise.id}", {exercise.name})' in verdict.message and "\n" not in verdict.message


@each_exercise
def test_printing_is_no_mistake(exercise, capsys):
    def chatty(*inputs):
        print("here I am")
        return exercise.reference(*inputs)

    verdict = diagnose(exercise, chatty)
    assert verdict.status == PASSED and "printed 1 line" in verdict.message
    assert capsys.readouterr().out == ""


@each_exercise
def test_cases_give_the_same_inputs_every_time(exercise):
    for case in exercise.cases:
        first, second = (run(lambda *inputs: inputs, case.make, 5).inputs for _ in range(2))
        assert isinstance(first, tuple)
        for one, other in zip(first, second, strict=True):
            assert not engine._is_data(one) or engine.same(one, other, engine.EXACT)


@each_exercise
def test_some_case_has_axes_of_different_sizes(exercise):
    tensors = [value for case in exercise.cases for value in run(lambda *inputs: inputs, case.make, 5).inputs
               if isinstance(value, torch.Tensor) and value.ndim > 1]
    assert not tensors or any(len(set(tensor.shape)) == tensor.ndim for tensor in tensors)


@each_exercise
def test_some_two_cases_have_no_size_in_common(exercise):
    """So that no size can be written into an answer as a number; 1 may be meant, as in a batch of one sentence."""
    cases = [sizes(run(lambda *inputs: inputs, case.make, 5).inputs) for case in exercise.cases]
    if not any(cases):
        return
    pairs = itertools.combinations(cases, 2)
    assert any(all(one != other or one == 1 for one, other in zip(*pair, strict=False)) for pair in pairs)


def unroll_into_fixed_sizes(x, h, W_x, W_h, b):
    states = torch.zeros(x.shape[0], x.shape[1], 4)
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ W_x.T + h @ W_h.T + b)
        states[:, t] = h
    return states


@pytest.mark.parametrize("exercise_id, answer", [
    ("00.2", lambda ids, table: F.one_hot(ids, 7).float() @ table),
    ("00.3", lambda logits, targets: -logits.log_softmax(-1).reshape(10, -1)[range(10), targets.flatten()].mean()),
    ("01.1", lambda x, h, W_x, W_h, b: torch.tanh(x @ W_x.T + h @ W_h.T + b).reshape(-1, 4)),
    ("01.2", unroll_into_fixed_sizes),
    ("01.6", lambda ids, window: (ids[:3 * window].reshape(3, window), ids[1:3 * window + 1].reshape(3, window))),
    ("01.7", lambda gradients, max_norm: engine.get("01.7").reference(gradients, 2.5)),
])
def test_sizes_written_as_numbers_do_not_pass(exercise_id, answer):
    assert examine(exercise_id, answer).status == NOT_YET


# --- right answers that look different ------------------------------------------------------------------------------

def in_float64(value):
    if isinstance(value, list | tuple):
        return type(value)(in_float64(item) for item in value)
    return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


@each_exercise
def test_float64_passes(exercise):
    if any(callable(value) for value in exercise.cases[0].make()):
        exact = exercise.reference   # a function among the inputs fixes the type of the numbers
    else:
        def exact(*inputs):
            return exercise.reference(*in_float64(inputs))

    assert diagnose(exercise, exact).status == PASSED


def as_numpy(value):
    if isinstance(value, dict):
        return {key: as_numpy(item) for key, item in value.items()}
    return type(value)(as_numpy(item) for item in value) if isinstance(value, list | tuple) else np.asarray(value)


@each_exercise
def test_numpy_output_passes_where_no_gradient_is_asked_for(exercise):
    verdict = diagnose(exercise, lambda *inputs: as_numpy(exercise.reference(*inputs)))
    assert verdict.status == PASSED or "numpy cannot follow gradients" in verdict.message, verdict.message


def one_hot_by_indexing(ids, table):
    return table[ids].tolist()


def cross_entropy_by_loop(logits, targets):
    losses = []
    for row, labels in zip(logits.double(), targets, strict=True):
        for scores, label in zip(row, labels, strict=True):
            top = scores.max()
            losses.append(float(top + (scores - top).exp().sum().log() - scores[label]))
    return sum(losses) / len(losses)


def step_in_numpy(x, h, W_x, W_h, b):
    return np.tanh(x.numpy() @ W_x.numpy().T + np.einsum("bh,kh->bk", h.numpy(), W_h.numpy()) + b.numpy())


def unroll_with_torch(x, h, W_x, W_h, b):
    layer = nn.RNN(x.shape[2], h.shape[1], batch_first=True)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(W_x)
        layer.weight_hh_l0.copy_(W_h)
        layer.bias_ih_l0.copy_(b)
        layer.bias_hh_l0.zero_()
    return layer(x, h[None])[0]


def count_with_torch(*sizes):
    input_size, hidden_size, layers, two_way = (*sizes, 1, False)[:2] + (tuple(sizes[2:]) + (1, False)[len(sizes) - 2:])
    layer = nn.RNN(input_size, hidden_size, layers, bidirectional=two_way)
    return sum(parameter.numel() for parameter in layer.parameters())


def clip_with_torch(gradients, max_norm):
    parameters = [nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    nn.utils.clip_grad_norm_(parameters, max_norm)
    return tuple(parameter.grad for parameter in parameters)


def truncate_by_windows(cell, x, h, window):
    pieces = []
    for piece in x.split(window, dim=1):
        h, states = h.detach(), []
        for t in range(piece.shape[1]):
            h = cell(piece[:, t], h)
            states.append(h)
        pieces.append(torch.stack(states, 1))
    return torch.cat(pieces, 1)


def truncate_after_storing(cell, x, h, window):
    states = []
    for t in range(x.shape[1]):
        h = cell(x[:, t], h)
        states.append(h)
        if (t + 1) % window == 0:
            h = h.detach()
    return torch.stack(states, 1)


def pairs_by_loop(ids, window):
    starts = range(0, len(ids) - window, window)
    return [[ids[s:s + window].tolist() for s in starts], [ids[s + 1:s + 1 + window].tolist() for s in starts]]


def last_states_by_loop(outputs, lengths):
    return torch.stack([row[length - 1] for row, length in zip(outputs, lengths, strict=True)])


@pytest.mark.parametrize("exercise_id, answer", [
    ("00.2", one_hot_by_indexing), ("00.2", nn.functional.embedding), ("00.3", cross_entropy_by_loop),
    ("00.1", lambda batch: torch.stack([sequence - sequence.mean(0) for sequence in batch])),
    ("00.1", lambda batch: batch.numpy() - batch.numpy().mean(1, keepdims=True)),
    ("01.1", step_in_numpy), ("01.2", unroll_with_torch), ("01.3", count_with_torch), ("01.7", clip_with_torch),
    ("01.5", truncate_by_windows), ("01.5", truncate_after_storing),
    ("01.8", lambda task: np.bool_(not any(word in task for word in ("live", "predict", "warn")))),
    ("01.6", pairs_by_loop), ("01.4", last_states_by_loop),
    ("01.4", lambda outputs, lengths: [outputs[i, n - 1].tolist() for i, n in enumerate(lengths.tolist())]),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED, verdict.message


def unroll_written_out(x, h, W_x, W_h, b):
    states = []
    for x_t in x.unbind(1):
        h = (x_t @ W_x.T + h @ W_h.T + b).tanh()
        states.append(h)
    return torch.stack(states, 1)


@pytest.mark.parametrize("exercise_id, answer, helper", [
    ("00.2", nn.functional.embedding, "F.embedding"),
    ("00.3", lambda logits, targets: F.cross_entropy(logits.flatten(0, 1), targets.flatten()), "F.cross_entropy"),
    ("00.3", lambda logits, targets: nn.CrossEntropyLoss()(logits.mT, targets), "nn.CrossEntropyLoss"),
    ("00.3", lambda logits, targets: F.nll_loss(logits.log_softmax(-1).mT, targets), "F.nll_loss"),
    ("00.3", cross_entropy_by_loop, None),
    ("01.2", unroll_with_torch, "nn.RNN"), ("01.2", unroll_written_out, None),
    ("01.3", count_with_torch, "nn.RNN"), ("01.7", clip_with_torch, "nn.utils.clip_grad_norm_"),
])
def test_a_helper_that_should_not_be_used_is_named(exercise_id, answer, helper):
    verdict = examine(exercise_id, answer)
    remark = f"\nPassed, but with {helper}: the exercise asks you to write it out. Try once more."
    assert verdict.status == PASSED and verdict.message.count("\n") == (helper is not None)
    assert helper is None or verdict.message.endswith(remark)


@each_exercise
def test_the_reference_keeps_to_the_rules(exercise):
    assert "\n" not in diagnose(exercise, exercise.reference).message


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("01.2", lambda x, *others: list(unroll_written_out(x, *others).unbind(1)), "Time stands before the batch"),
    ("01.2", lambda x, *others: (state for state in unroll_written_out(x, *others).unbind(1)), "Time stands before"),
    ("00.3", lambda logits, targets: -logits.softmax(-1).clamp(min=1e-8).log().gather(-1, targets[..., None]).mean(),
     "no position can cost more than 18.4"),
    ("01.1", lambda x, h, *weights: (h, h), "got a tuple of 2 tensors, each (2, 4)."),
    ("01.6", lambda ids, window: ids[:len(ids) // window * window].reshape(-1, window), "got one tensor (3, 3)."),
    ("01.6", lambda ids, window: ids, "got one tensor (11,)."),
])
def test_other_ways_to_make_a_known_mistake(exercise_id, answer, words):
    assert words in examine(exercise_id, answer).message


def test_the_count_of_weights_is_torchs():
    for case in engine.get("01.3").cases:
        assert count_with_torch(*case.make()) == engine.get("01.3").reference(*case.make())


def test_clipping_in_place_is_told():
    def in_place(gradients, max_norm):
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        for gradient in gradients:
            gradient.mul_((max_norm / norm).clamp(max=1.0))
        return gradients

    verdict = examine("01.7", in_place)
    assert verdict.status == NOT_YET and "gradients is changed in place" in verdict.message


# --- quizzes --------------------------------------------------------------------------------------------------------

@each_quiz
def test_each_question_has_one_right_choice_and_explains_all(name):
    for question in QUIZZES[name]:
        assert len(question.text) > 20 and 3 <= len(question.choices) <= 4
        assert sum(choice.correct for choice in question.choices) == 1, question.text
        assert all(len(choice.why) > 20 for choice in question.choices), question.text
        for texts in ([choice.text for choice in question.choices], [choice.why for choice in question.choices]):
            assert len(set(texts)) == len(texts), question.text


@each_quiz
def test_the_right_choice_shows_neither_by_place_nor_by_length(name):
    questions = QUIZZES[name]
    places = Counter([choice.correct for choice in question.choices].index(True) for question in questions)
    assert max(places.values()) <= max(2, len(questions) / 2) and len(places) >= 3
    for extreme in (max, min):
        found = sum(extreme(question.choices, key=lambda choice: len(choice.text)).correct for question in questions)
        assert found <= len(questions) / 2


@pytest.mark.parametrize("chapter", sorted({name[:2] for name in QUIZZES}))
def test_a_chapter_has_a_quiz_at_either_end(chapter):
    assert len(QUIZZES[f"{chapter}-opening"]) >= 4 and len(QUIZZES[f"{chapter}-closing"]) >= 6


def test_no_question_stands_twice():
    texts = [question.text for questions in QUIZZES.values() for question in questions]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize("chapter", ["00", "01"])
def test_chapters_hold_plain_data(chapter):
    module = importlib.import_module(f"course_utils.exercises.chapter_{chapter}")
    assert isinstance(module.EXERCISES, list) and isinstance(module.QUIZZES, dict)
    assert all(exercise.id.startswith(f"{chapter}.") for exercise in module.EXERCISES)
    assert all(name.startswith(f"{chapter}-") for name in module.QUIZZES)
