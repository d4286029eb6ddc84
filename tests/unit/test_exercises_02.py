"""Chapter 02's exercises, where the tests of all chapters cannot look: right answers of other kinds, facts of torch."""

import json
from statistics import mean

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.exercises import chapter_02, engine
from course_utils.exercises.chapter_02 import (
    count_parameters,
    flip_update_gate,
    gru_step,
    keep_first,
    lstm_step,
    memory_left,
    set_forget_bias,
)
from course_utils.exercises.engine import NOT_YET, PASSED, examine
from course_utils.layout import ROOT
from course_utils.models.recurrent import RNNCell


def inputs_of(exercise_id, case=0, seed=0):
    torch.manual_seed(seed)
    return engine.get(exercise_id).cases[case].make()


def every_case(*exercise_ids):
    return [pytest.param(exercise_id, case, id=f"{exercise_id}-{case}")
            for exercise_id in exercise_ids for case in range(len(engine.get(exercise_id).cases))]


def filled(cell, *tensors):
    """A cell of torch with these weights, in the order of its parameters."""
    with torch.no_grad():
        for parameter, tensor in zip(cell.parameters(), tensors, strict=True):
            parameter.copy_(tensor)
    return cell


# --- the references are torch's -------------------------------------------------------------------------------------

def lstm_with_torch(x, h, c, W_ih, W_hh, b):
    return filled(nn.LSTMCell(x.shape[1], h.shape[1]), W_ih, W_hh, b, torch.zeros_like(b))(x, (h, c))


def gru_with_torch(x, h, *weights):
    return filled(nn.GRUCell(x.shape[1], h.shape[1]), *weights)(x, h)


@pytest.mark.parametrize("exercise_id, case", every_case("02.2"))
def test_the_lstm_step_is_torchs(exercise_id, case):
    inputs = inputs_of(exercise_id, case)
    torch.testing.assert_close(lstm_step(*inputs), tuple(lstm_with_torch(*inputs)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("exercise_id, case", every_case("02.5"))
def test_the_gru_step_is_torchs(exercise_id, case):
    inputs = inputs_of(exercise_id, case)
    torch.testing.assert_close(gru_step(*inputs), gru_with_torch(*inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("exercise_id, case", every_case("02.1"))
def test_what_is_left_of_a_memory_is_its_gradient(exercise_id, case):
    f, = inputs_of(exercise_id, case)
    torch.testing.assert_close(memory_left(f), memory_by_gradient(f), rtol=1e-5, atol=1e-7)


def memory_by_gradient(f):
    """∂c_T/∂c_t by autograd: one number added to each c_t, and the sum over c_T taken back to it."""
    added = torch.zeros_like(f, requires_grad=True)
    c = torch.zeros_like(f[:, 0])
    for f_t, added_t in zip(f.unbind(1), added.unbind(1), strict=True):
        c = f_t * c + added_t
    return torch.autograd.grad(c.sum(), added)[0]


@pytest.mark.parametrize("T", [1, 2, 5, 100])
def test_the_first_symbol_is_kept(T):
    f, i = keep_first(T)
    torch.manual_seed(T)
    c, g = torch.randn(50), torch.randn(T, 50)
    for t in range(T):
        c = f[t] * c + i[t] * g[t]
    assert torch.equal(c, g[0])


@pytest.mark.parametrize("exercise_id, case", every_case("02.4"))
def test_the_forget_gate_of_torchs_cell_gets_the_bias(exercise_id, case):
    bias_ih, bias_hh, value = inputs_of(exercise_id, case)
    H = len(bias_ih) // 4
    weights = torch.zeros(4 * H, 3), torch.zeros(4 * H, H)
    x, h, c = torch.randn(2, 3), torch.randn(2, H), torch.randn(2, H)
    before = filled(nn.LSTMCell(3, H), *weights, bias_ih, bias_hh)
    after = filled(nn.LSTMCell(3, H), *weights, *set_forget_bias(bias_ih, bias_hh, value))
    without_memory, with_memory = torch.zeros_like(c), c
    written = before(x, (h, without_memory))[1]                            # i * g: no forget gate acts on zeros
    torch.testing.assert_close(after(x, (h, without_memory))[1], written)
    kept = after(x, (h, with_memory))[1] - written
    torch.testing.assert_close(kept, torch.tensor(value).sigmoid() * c, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("exercise_id, case", every_case("02.6"))
def test_flipped_weights_compute_the_same(exercise_id, case):
    weights = inputs_of(exercise_id, case)
    H, C = weights[1].shape[1], weights[0].shape[1]
    x, h = torch.randn(6, C), torch.randn(6, H)
    _, z, n = gates_of(x, h, *weights)
    other_convention = z * n + (1 - z) * h
    torch.testing.assert_close(gru_step(x, h, *flip_update_gate(*weights)), other_convention, rtol=1e-5, atol=1e-6)
    assert (gru_step(x, h, *weights) - other_convention).abs().max() > 0.1


def gates_of(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    r_x, z_x, n_x = (x @ weight_ih.T + bias_ih).chunk(3, dim=1)
    r_h, z_h, n_h = (h @ weight_hh.T + bias_hh).chunk(3, dim=1)
    r = torch.sigmoid(r_x + r_h)
    return r, torch.sigmoid(z_x + z_h), torch.tanh(n_x + r * n_h)


def count_with_torch(kind, input_size, hidden_size):
    layer = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind](input_size, hidden_size)
    return sum(parameter.numel() for parameter in layer.parameters())


@pytest.mark.parametrize("exercise_id, case", every_case("02.7"))
def test_the_count_is_torchs(exercise_id, case):
    inputs = inputs_of(exercise_id, case)
    assert count_parameters(*inputs) == count_with_torch(*inputs)


# --- right answers that look different ------------------------------------------------------------------------------

def memory_by_loops(f):
    steps = [f[:, t + 1:].prod(1) for t in range(f.shape[1])]              # the product of no gates is 1
    return torch.stack(steps, dim=1)


def memory_backwards_in_numpy(f):
    f = f.numpy()
    left = np.ones_like(f)
    for t in range(f.shape[1] - 2, -1, -1):
        left[:, t] = left[:, t + 1] * f[:, t + 1]
    return left


def memory_by_logarithms(f):
    logs = torch.cat([f[:, 1:].double().log(), torch.zeros_like(f[:, :1], dtype=torch.float64)], dim=1)
    return logs.flip(1).cumsum(1).flip(1).exp()


def lstm_by_blocks(x, h, c, W_ih, W_hh, b):
    H = h.shape[1]
    i, f, g, o = (x @ W_ih[k * H:(k + 1) * H].T + h @ W_hh[k * H:(k + 1) * H].T + b[k * H:(k + 1) * H]
                  for k in range(4))
    c = torch.addcmul(f.sigmoid() * c, i.sigmoid(), g.tanh())
    return [o.sigmoid() * torch.tanh(c), c]


def lstm_in_numpy(x, h, c, W_ih, W_hh, b):
    x, h, c, W_ih, W_hh, b = (tensor.double().numpy() for tensor in (x, h, c, W_ih, W_hh, b))
    i, f, g, o = np.split(np.concatenate([x, h], 1) @ np.concatenate([W_ih, W_hh], 1).T + b, 4, axis=1)
    c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
    return np.tanh(c) / (1 + np.exp(-o)), c


def keep_first_with_booleans(T):
    first = torch.arange(T) == 0
    return ~first, first


def bias_split_in_two(bias_ih, bias_hh, value):
    of_x, of_h = (bias.view(4, -1).clone() for bias in (bias_ih, bias_hh))
    of_x[1] = of_h[1] = value / 2
    return of_x.flatten(), of_h.flatten()


def bias_by_the_difference(bias_ih, bias_hh, value):
    H = len(bias_ih) // 4
    new = bias_ih.clone()
    new[H:2 * H] = value - bias_hh[H:2 * H]
    return new, bias_hh


def bias_all_in_the_second(bias_ih, bias_hh, value):
    H = len(bias_ih) // 4
    of_x, of_h = bias_ih.tolist(), bias_hh.tolist()
    of_x[H:2 * H], of_h[H:2 * H] = [0.0] * H, [value] * H
    return of_x, of_h


def gru_from_the_old_state(x, h, W_ih, W_hh, b_ih, b_hh):
    _, z, n = gates_of(x, h, W_ih, W_hh, b_ih, b_hh)
    return torch.lerp(n, h, z)                                             # n + z (h - n)


def flipped_by_a_sign(weight_ih, weight_hh, bias_ih, bias_hh):
    sign = torch.tensor([1.0, -1.0, 1.0]).repeat_interleave(weight_hh.shape[1])
    return weight_ih * sign[:, None], weight_hh * sign[:, None], bias_ih * sign, bias_hh * sign


def flipped_with_one_bias(weight_ih, weight_hh, bias_ih, bias_hh):
    """z and r need only the sum of their biases; n needs its two apart."""
    H = weight_hh.shape[1]
    weight_ih, weight_hh, of_x, of_h = flip_update_gate(weight_ih, weight_hh, bias_ih, bias_hh)
    of_x[:2 * H], of_h[:2 * H] = of_x[:2 * H] + of_h[:2 * H], 0.0
    return [weight_ih, weight_hh, of_x, of_h]


@pytest.mark.parametrize("exercise_id, answer", [
    ("02.1", memory_by_loops), ("02.1", memory_backwards_in_numpy), ("02.1", memory_by_logarithms),
    ("02.1", memory_by_gradient), ("02.2", lstm_by_blocks), ("02.2", lstm_in_numpy),
    ("02.3", keep_first_with_booleans),
    ("02.3", lambda T: ([0] + [1] * (T - 1), [1] + [0] * (T - 1))),
    ("02.3", lambda T: torch.stack(keep_first(T))),
    ("02.3", lambda T: np.stack([np.arange(T) > 0, np.arange(T) < 1])),
    ("02.3", lambda T: (gate for gate in keep_first(T))),
    ("02.3", lambda T: tuple(gate + 5e-7 for gate in keep_first(T))),
    ("02.4", lambda *inputs: (bias for bias in bias_split_in_two(*inputs))),
    ("02.4", lambda *inputs: map(torch.clone, bias_by_the_difference(*inputs))),
    ("02.6", lambda *weights: (tensor for tensor in flipped_with_one_bias(*weights))),
    ("02.6", lambda *weights: map(torch.clone, flipped_with_one_bias(*weights))),
    ("02.6", lambda *weights: iter(flipped_with_one_bias(*weights))),
    ("02.4", bias_split_in_two), ("02.4", bias_by_the_difference), ("02.4", bias_all_in_the_second),
    ("02.5", gru_from_the_old_state), ("02.6", flipped_by_a_sign), ("02.6", flipped_with_one_bias),
    ("02.7", lambda kind, C, H: {"r": 1.0, "g": 3.0, "l": 4.0}[kind[0]] * (C * H + H * H + 2 * H)),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED and "\n" not in verdict.message, verdict.message


def count_with_the_courses_cell(kind, input_size, hidden_size):
    weights = sum(parameter.numel() for parameter in RNNCell(input_size, hidden_size).parameters())
    return {"rnn": 1, "gru": 3, "lstm": 4}[kind] * weights


@pytest.mark.parametrize("exercise_id, answer, helper", [
    ("02.2", lambda x, h, c, W_ih, W_hh, b:
        filled(nn.LSTMCell(x.shape[1], h.shape[1]), W_ih, W_hh, b, 0 * b)(x, (h, c)), "nn.LSTMCell"),
    ("02.5", lambda x, h, *weights: filled(nn.GRUCell(x.shape[1], h.shape[1]), *weights)(x, h), "nn.GRUCell"),
    ("02.2", lambda x, h, c, W_ih, W_hh, b: torch.lstm_cell(x, (h, c), W_ih, W_hh, b, 0 * b), "torch.lstm_cell"),
    ("02.5", lambda x, h, *weights: torch.gru_cell(x, h, *weights), "torch.gru_cell"),
    ("02.7", count_with_torch, "nn.RNN"), ("02.7", count_with_the_courses_cell, "RNNCell"),
])
def test_torchs_own_cell_passes_with_a_remark(exercise_id, answer, helper):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED and f"Passed, but with {helper}:" in verdict.message


# --- wrong answers --------------------------------------------------------------------------------------------------

def keep_last(T):
    f, i = torch.ones(T), torch.zeros(T)
    f[-1], i[-1] = 0.0, 1.0
    return f, i


def bias_cleared_and_added(bias_ih, bias_hh, value):
    H = len(bias_ih) // 4
    bias_ih, bias_hh = bias_ih.clone(), bias_hh.clone()
    bias_ih[H:2 * H] += value
    bias_hh[H:2 * H] = 0.0
    return bias_ih, bias_hh


def bias_with_a_float_size(bias_ih, bias_hh, value):
    H = len(bias_ih) / 4
    bias_ih = bias_ih.clone()
    bias_ih[H:2 * H] = value
    return bias_ih, bias_hh


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("02.3", keep_last, "Your c_T is the last g"),
    ("02.3", lambda T: keep_first(T)[::-1], "the wrong way round"),
    ("02.4", bias_cleared_and_added, "The old bias_ih is still in the sum"),
    ("02.2", lambda *inputs: lstm_step(*inputs)[1], "Expected 2 things (h, c), got one tensor (2, 4)"),
    ("02.2", lambda *inputs: torch.stack(lstm_step(*inputs)).permute(1, 2, 0), "In h: expected shape (B=2, H=4)"),
    ("02.3", lambda T: torch.tensor(1.0), "Expected 2 things"),
    ("02.3", lambda T: (1.0, 0.0), "In f, by the share of c_{t-1} in c_T: expected shape (T=5,), got ()."),
    ("02.3", lambda T: (keep_first(T)[0], torch.ones(T, 1)),
     "In i, by the share of g_t in c_T: expected shape (T=5,), got (5, 1)."),
    ("02.3", lambda T: keep_first(T)[0], "Expected 2 things"),
    ("02.3", lambda T: (keep_first(T)[0], torch.roll(keep_first(T)[1], -1)), "Index 0 belongs to step 1."),
    ("02.3", lambda T: (torch.full((T,), 0.5), torch.full((T,), 0.5)),
     "Every gate must be exactly 0 or 1. In f, index [0]: expected 0 or 1, got 0.5."),
    ("02.3", lambda T: (0.999 * keep_first(T)[0], keep_first(T)[1]), "In f, index [1]: expected 0 or 1, got 0.999."),
    ("02.3", lambda T: (keep_first(T)[0], keep_first(T)[1] * 0.99999), "In i, index [0]: expected 0 or 1, got 0.99999"),
    ("02.3", lambda T: (keep_first(T)[0] / 0, keep_first(T)[1]), "In f, index [0]: expected 0 or 1, got nan."),
    ("02.4", bias_with_a_float_size, "`/` gives a float; `//` gives a whole number."),
    ("02.4", lambda *inputs: (bias + 1 for bias in set_forget_bias(*inputs)), "In bias_ih, the sum of both"),
    ("02.6", lambda *weights: map(torch.neg, flip_update_gate(*weights)[:3]), "Expected 4 things"),
    ("02.1", lambda f: torch.ones_like(f).long(), "Your tensor is int64: it holds whole numbers"),
    ("02.4", lambda bias_ih, bias_hh, value: bias_ih + bias_hh, "Expected 2 things"),
    ("02.4", lambda bias_ih, bias_hh, value: (bias_ih[:3], bias_hh), "expected shape (4H=12,), got (3,)"),
    ("02.6", lambda *weights: flip_update_gate(*weights)[:2], "Expected 4 things"),
    ("02.6", lambda *weights: tuple(tensor.T for tensor in flip_update_gate(*weights)[:2]) + weights[2:],
     "In weight_ih: expected shape (3H=12, C=3), got (3, 12). These are the right axes in another order."),
    ("02.7", lambda kind, C, H: {"rnn": 1, "gru": 3, "lstm": 4}[kind], "Expected 50, got 1."),
])
def test_other_wrong_answers_are_told(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET
    assert words in verdict.message, verdict.message


def bias_in_place(bias_ih, bias_hh, value):
    H = len(bias_ih) // 4
    bias_ih[H:2 * H] = value
    bias_hh[H:2 * H] = 0.0
    return bias_ih, bias_hh


def flip_in_place(weight_ih, weight_hh, bias_ih, bias_hh):
    H = weight_hh.shape[1]
    for tensor in (weight_ih, weight_hh, bias_ih, bias_hh):
        tensor[H:2 * H] *= -1
    return weight_ih, weight_hh, bias_ih, bias_hh


def lstm_in_place(x, h, c, W_ih, W_hh, b):
    i, f, g, o = (x @ W_ih.T + h @ W_hh.T + b).chunk(4, dim=1)
    c *= f.sigmoid()
    c += i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@pytest.mark.parametrize("exercise_id, answer, changed", [
    ("02.2", lstm_in_place, "c"), ("02.4", bias_in_place, "bias_ih"), ("02.6", flip_in_place, "weight_ih"),
])
def test_changing_the_arguments_is_told(exercise_id, answer, changed):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET
    assert f"Your numbers are right, but {changed} is changed in place" in verdict.message


@pytest.mark.parametrize("exercise_id, answer", [
    ("02.1", lambda f: torch.cat([f[:, t + 1:].prod(1) for t in range(f.shape[1])]).view(5, 2, 3).transpose(0, 1)),
    ("02.2", lambda x, h, c, *weights: tuple(state.view(2, 4) for state in lstm_step(x, h, c, *weights))),
    ("02.3", lambda T: keep_first(5)),
    ("02.4", lambda bias_ih, bias_hh, value: bias_by_the_difference(bias_ih, bias_hh, 1.0)),
    ("02.5", lambda x, h, *weights: gru_step(x, h, *weights).view(2, 4)),
    ("02.6", lambda *weights: flipped_by_a_sign(weights[0], weights[1].view(12, 4), *weights[2:])),
    ("02.7", lambda kind, C, H: {"rnn": 50, "gru": 273}.get(kind, 4 * H * (C + H + 2))),
])
def test_sizes_written_as_numbers_do_not_pass(exercise_id, answer):
    assert examine(exercise_id, answer).status == NOT_YET


# --- what the sentences and questions claim -------------------------------------------------------------------------

def test_chapter_holds_plain_data():
    assert [exercise.id for exercise in chapter_02.EXERCISES] == [f"02.{number}" for number in range(1, 8)]
    assert list(chapter_02.QUIZZES) == ["02-opening", "02-closing"]


def right_choice(quiz, words):
    question, = (question for question in engine.questions(quiz) if words in question.text)
    return next(choice for choice in question.choices if choice.correct)


def test_the_quiz_numbers_are_right():
    assert 0.45 < 0.93 ** 10 < 0.55 and "0.93" in right_choice("02-opening", "10 steps").text
    whys = {choice.text: choice.why for choice in engine.questions("02-opening")[0].choices}
    for base in (0.5, 0.93, 0.99):
        assert f"{base}¹⁰ ≈ {base ** 10:.{3 if base == 0.5 else 2}f}" in whys[f"About {base}"]
    assert round(0.9 ** 100, 5) == 0.00003 and "0.00003" in right_choice("02-closing", "stay at 0.9").text
    gate = torch.tensor(2.0).sigmoid().item()
    assert f"{gate:.2f}" in right_choice("02-closing", "sigmoid(1)").text
    larger = (1_000_000 + 4 * 10_000) / (1_000_000 + 10_000) - 1
    assert f"{larger:.0%}".replace("%", " %") in right_choice("02-closing", "embedding").text


def fixed_gates(i, f, o, steps=5):
    """States h, cells c and candidates g of torch's LSTM cell with its gates held at 0 or 1, from random h and c."""
    torch.manual_seed(0)
    cell, H = nn.LSTMCell(3, 4), 4
    with torch.no_grad():
        for block, value in ((0, i), (1, f), (3, o)):
            if value is not None:
                cell.weight_ih[block * H:(block + 1) * H] = 0
                cell.weight_hh[block * H:(block + 1) * H] = 0
                cell.bias_ih[block * H:(block + 1) * H] = 1000.0 * (2 * value - 1)     # sigmoid is exactly 0 or 1
        h, c = torch.randn(2, 4), torch.randn(2, 4)
        states = [(h, c)]
        inputs = torch.randn(steps, 2, 3)
        for x in inputs:
            h, c = cell(x, (h, c))
            states.append((h, c))
    return cell, inputs, states


def test_a_frozen_cell_still_shows_changing_states():
    _, _, states = fixed_gates(i=0, f=1, o=None)
    assert all(torch.equal(c, states[0][1]) for _, c in states)
    assert (states[1][0] - states[2][0]).abs().max() > 1e-3
    assert right_choice("02-closing", "f = 1 and i = 0").text == "A frozen cell; h may still change"


def test_the_gates_closest_to_a_plain_rnn_leave_one_tanh_more():
    cell, inputs, states = fixed_gates(i=1, f=0, o=1)
    g = slice(8, 12)
    for x, (before, _), (after, _) in zip(inputs, states, states[1:], strict=False):
        summed = x @ cell.weight_ih[g].T + before @ cell.weight_hh[g].T + cell.bias_ih[g] + cell.bias_hh[g]
        torch.testing.assert_close(after, summed.tanh().tanh())
    assert right_choice("02-closing", "closest to a plain RNN").text == "f = 0, i = 1, o = 1"


def recorded_scores(task, cell, gate_bias, length):
    """Test scores of the three seeds for each learning rate, and the rate whose validation scores are best."""
    rows = json.loads((ROOT / "assets" / "results" / "gated_memory.json").read_text())["results"]["rows"]
    wanted = task, cell, gate_bias, length
    rates = {}
    for row in rows:
        if (row["task"], row["cell"], row["gate_bias"], row["length"]) == wanted:
            rates.setdefault(row["learning_rate"], []).append(row)
    best = (max if task == "recall" else min)(rates, key=lambda rate: mean(row["validation"] for row in rates[rate]))
    return {rate: [row["test"] for row in runs] for rate, runs in rates.items()}, best


def test_the_question_on_the_sweep_agrees_with_the_recording():
    question, = (question for question in engine.questions("02-closing") if "gap of 40" in question.text)
    assert "usual start failed" in question.text and "on every seed, at the best rate" in question.text
    usual, _ = recorded_scores("recall", "LSTM", None, 40)
    assert len(usual) == 5 and max(max(scores) for scores in usual.values()) < 0.2
    opened, best = recorded_scores("recall", "LSTM", 5.0, 40)
    assert len(opened[best]) == 3 and min(opened[best]) > 0.99
    useless, = (choice for choice in question.choices if "on any task" in choice.text)
    assert "adding was solved at T = 80 with either start" in useless.why and not useless.correct
    for cell in ("LSTM", "GRU"):
        for bias in (None, 5.0):
            errors, best = recorded_scores("adding", cell, bias, 80)
            assert max(errors[best]) < 0.01


def test_the_opening_quiz_does_not_give_the_notebooks_first_answer_away():
    texts = [text for question in engine.questions("02-opening")
             for text in (question.text, *(choice.text + choice.why for choice in question.choices))]
    assert not any(number in text for text in texts for number in ("0.37", "0.00003"))


def test_default_biases_lose_the_gradient_over_80_steps():
    ratios = []
    for seed in range(3):
        torch.manual_seed(seed)
        layer, x = nn.LSTM(9, 64, batch_first=True), torch.randn(4, 80, 9, requires_grad=True)
        gradient, = torch.autograd.grad(layer(x)[0][:, -1].sum(), x)
        ratios.append((gradient[:, 0].norm() / gradient[:, -1].norm()).item())
    assert max(ratios) < 1e-9
