"""SoftmaxScale's Python side: the slope against autograd, the random heads against real ones, and what is refused."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import traitlets

from course_utils.models.compact import soft_target_loss
from course_utils.widgets import SoftmaxScale
from course_utils.widgets.softmax_scale import (
    DRAWS,
    LISTED,
    SIZES,
    TEMPERATURES,
    median_slopes,
    over_temperatures,
    random_heads,
    soft_targets,
    softmax_row,
    softmax_slope,
)

DIRECTIONS = [1.3, -0.4, 0.2, -1.9, 0.6]
TEACHER, STUDENT = [9.1, 0.3, 3.9, 5.2, -1.5], [3.0, 1.2, 0.4, 1.9, -0.3]


# ---- one row ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("d_k", "temperature", "scaled"), [(1, 1.0, True), (64, 1.0, False), (256, 0.3, True),
                                                            (16, 4.0, False)])
def test_a_row_is_what_torch_computes(d_k, temperature, scaled):
    row = softmax_row(DIRECTIONS, d_k, temperature, scaled)
    raw = torch.tensor(DIRECTIONS, dtype=torch.float64) * d_k**0.5

    def weights_of(raw):
        return torch.softmax(raw / (d_k**0.5 if scaled else 1) / temperature, -1)

    weights = weights_of(raw)
    np.testing.assert_allclose(row["raw"], raw)
    np.testing.assert_allclose(row["weights"], weights, rtol=1e-10)
    jacobian = torch.autograd.functional.jacobian(weights_of, raw)
    np.testing.assert_allclose(row["slope"], torch.linalg.matrix_norm(jacobian), rtol=1e-9)
    np.testing.assert_allclose(row["entropy"], torch.distributions.Categorical(weights).entropy(), rtol=1e-9)
    np.testing.assert_allclose(row["variance"], raw.var())


def test_a_slope_near_zero_keeps_its_digits():
    """Far in the flat part w is 1 to the last digit: the slope is √2 times the other weight all the same."""
    slope = softmax_row([0.0, 50.0], d_k=1)["slope"]
    assert slope == pytest.approx(2 * math.exp(-50), rel=1e-9)
    assert softmax_row([0.0, 5000.0], d_k=1)["entropy"] == 0


def test_weights_do_not_depend_on_the_head_size_with_the_division_and_sharpen_without():
    scaled, plain = ([softmax_row(DIRECTIONS, d_k, scaled=on)["weights"] for d_k in SIZES] for on in (True, False))
    np.testing.assert_allclose(scaled, np.broadcast_to(scaled[0], (len(SIZES), 5)))
    largest = [weights.max() for weights in plain]
    assert largest == sorted(largest) and largest[-1] > 0.999


# ---- the random heads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d_k", [1, 4, 64])
def test_the_heads_scores_are_spread_like_those_of_real_queries_and_keys(d_k):
    noise, lengths = random_heads(8)
    short = np.abs(d_k**0.5 * lengths[SIZES.index(d_k)][:, None] * noise)
    torch.manual_seed(0)
    query, keys = torch.randn(20_000, 1, d_k), torch.randn(20_000, 8, d_k)
    real = (query * keys).sum(-1).abs().flatten()                               # scores of 20 000 heads
    for part in (0.25, 0.5, 0.9):
        assert np.quantile(short, part) == pytest.approx(torch.quantile(real, part).item(), rel=0.12), part


def test_the_division_lowers_the_slope_of_small_heads_and_saves_that_of_large_ones():
    for seed in range(5):
        scaled, plain = median_slopes(*random_heads(8, seed))
        gain = dict(zip(SIZES, scaled / plain, strict=True))
        assert gain[1] == 1 and gain[4] < 0.6 and gain[256] > 4 and gain[1024] > 100


def test_the_temperature_is_counted_in_the_slope():
    noise, lengths = random_heads(4)
    np.testing.assert_allclose(median_slopes(noise, lengths, 2.0)[1, 2], median_slopes(noise / 2, lengths)[1, 2] / 2)


def test_a_median_is_that_of_the_heads():
    noise, lengths = random_heads(3)
    slopes = [softmax_row(length * row, 16)["slope"] for row, length in zip(noise, lengths[4], strict=True)]
    assert median_slopes(noise, lengths)[0, 4] == pytest.approx(np.median(slopes))
    assert softmax_slope(np.array([0.5, 0.5]), 1.0) == 0.5


# ---- soft targets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 2.5, 20.0])
def test_soft_targets_and_their_gradient_are_those_of_the_models_loss(temperature):
    row = soft_targets(TEACHER, temperature, STUDENT)
    teacher, student = (torch.tensor(logits, dtype=torch.float64) for logits in (TEACHER, STUDENT))
    student.requires_grad_()
    soft_target_loss(student[None], teacher[None], temperature).backward()
    np.testing.assert_allclose(row["scaled"], student.grad, rtol=1e-9)
    np.testing.assert_allclose(row["gradient"], student.grad / temperature**2, rtol=1e-9)
    np.testing.assert_allclose(row["soft"], (teacher / temperature).softmax(-1), rtol=1e-12)
    np.testing.assert_allclose(row["hard"], teacher.softmax(-1), rtol=1e-12)
    entropy = torch.distributions.Categorical(logits=teacher / temperature).entropy()
    np.testing.assert_allclose(row["entropy"], entropy, rtol=1e-9)


def test_the_gradient_shrinks_as_the_square_of_the_temperature_and_the_factor_keeps_it():
    plain, scaled = over_temperatures(TEACHER, STUDENT)
    np.testing.assert_allclose(scaled, plain * np.square(TEMPERATURES))
    hot = [np.linalg.norm(soft_targets(TEACHER, T, STUDENT)["gradient"]) for T in (50, 100)]
    assert hot[0] / hot[1] == pytest.approx(4, rel=0.03)
    assert scaled[-1] / scaled[len(TEMPERATURES) // 2] == pytest.approx(1, abs=0.1)


def test_without_a_student_the_entropy_rises_towards_that_of_even_probabilities():
    (entropy,) = over_temperatures(TEACHER)
    assert (np.diff(entropy) > 0).all() and math.log(5) - 0.05 < entropy[-1] < math.log(5)
    assert "gradient" not in soft_targets(TEACHER, 4.0)


def test_logits_show_soft_targets_and_the_temperature_moves_them():
    widget = SoftmaxScale(logits=torch.tensor(TEACHER), student=STUDENT, tokens=list("abcde"))
    assert repr(widget) == "SoftmaxScale(soft targets, classes=5, temperature=4, with a student)"
    np.testing.assert_allclose(widget.row()["scaled"], soft_targets(TEACHER, 4.0, STUDENT)["scaled"], rtol=1e-6)
    first = widget.picture()
    assert "all classes but a get 0.454 of the probability, 0.025 at T = 1" in widget.figure().get_suptitle()
    widget.temperature = 20
    assert widget.picture() != first
    sure = SoftmaxScale(logits=[20.0, 0.0, 1.0])
    assert sure.figure().get_suptitle().endswith("get 0.015 of the probability, 8e-09 at T = 1")
    surer = SoftmaxScale(logits=[2000.0, 0.0, 1.0])
    assert surer.figure().get_suptitle().endswith("get 2e-217 of the probability, 0 at T = 1")
    assert SoftmaxScale(logits=[60.0, 0.0]).figure().get_suptitle().endswith("9e-27 at T = 1")
    assert repr(SoftmaxScale(logits=TEACHER)) == "SoftmaxScale(soft targets, classes=5, temperature=4)"


def test_a_student_that_equals_its_teacher_has_a_picture():
    widget = SoftmaxScale(logits=TEACHER, student=TEACHER)
    assert not widget.row()["scaled"].any() and widget.picture().startswith(b"\x89PNG")


def test_of_many_classes_the_likeliest_get_a_row_and_a_name_each():
    logits = np.random.default_rng(0).normal(size=3000)
    widget = SoftmaxScale(logits=logits, tokens=[f"word {number}" for number in range(3000)])
    assert widget.listed == np.argsort(logits)[::-1][:LISTED].tolist()
    assert widget.tokens == [f"word {number}" for number in widget.listed]
    names = [label.get_text() for label in widget.figure().axes[0].get_yticklabels()]
    assert names[-1] == "2,990 others" and len(names) == LISTED + 1
    assert SoftmaxScale(logits=logits[:16]).listed == list(range(16))


@pytest.mark.parametrize(("settings", "message"), [
    ({"logits": [1.0]}, "2 to 100,000"), ({"logits": [[1.0, 2.0]]}, r"\(1, 2\)"),
    ({"logits": [0, math.inf]}, "between"), ({"logits": ["a", "b"]}, "numbers"),
    ({"logits": [0.0, 1e9]}, "between"), ({"student": TEACHER}, "its teacher"),
    ({"logits": TEACHER, "student": [1.0, 2.0]}, "2 logits of the student for 5"),
    ({"logits": TEACHER, "student": [math.nan] * 5}, "student must lie"),
    ({"logits": TEACHER, "scores": TEACHER}, "belong to attention"), ({"logits": TEACHER, "d_k": 4}, "belong to"),
    ({"logits": TEACHER, "temperature": 0.5}, "from 1 to 20"), ({"logits": TEACHER, "tokens": ["a"]}, "1 tokens for 5"),
])
def test_soft_targets_that_make_no_sense_are_refused_in_one_line(settings, message):
    with pytest.raises(ValueError, match=message) as problem:
        SoftmaxScale(**settings)
    assert "\n" not in str(problem.value)


def test_a_temperature_below_one_is_refused_for_soft_targets_only():
    soft, row = SoftmaxScale(logits=TEACHER), SoftmaxScale()
    row.temperature = 0.5
    with pytest.raises(traitlets.TraitError, match="from 1 to 20"):
        soft.temperature = 0.5
    soft.temperature = 15
    assert soft.temperature == 15


# ---- the widget ------------------------------------------------------------------------------------------------------


def test_scores_are_those_that_were_given():
    scores = torch.tensor([16.0, -8.0, 4.0])
    widget = SoftmaxScale(scores, d_k=256, scaled=False)
    np.testing.assert_allclose(widget.row()["raw"], scores)
    widget.d_k = 64
    np.testing.assert_allclose(widget.row()["raw"], scores / 2)
    widget.draw = 1
    assert not np.allclose(widget.row()["raw"], scores / 2)


def test_draws_are_the_same_on_every_run_and_differ_with_the_seed():
    np.testing.assert_array_equal(SoftmaxScale(seed=3).draws, SoftmaxScale(seed=3).draws)
    assert not np.allclose(SoftmaxScale(seed=3).draws, SoftmaxScale(seed=4).draws)


def test_every_setting_changes_the_picture():
    widget = SoftmaxScale(tokens=list("abcdefgh"))
    pictures = [widget.picture()]
    for name, value in (("d_k", 4), ("temperature", 3.0), ("scaled", False), ("draw", 5)):
        setattr(widget, name, value)
        pictures.append(widget.picture())
    assert len(set(pictures)) == 5


@pytest.mark.parametrize(("settings", "message"), [
    ({"scores": [1.0]}, "2 to 16"), ({"scores": np.zeros(17)}, "2 to 16"), ({"scores": np.zeros((2, 3))}, r"\(2, 3\)"),
    ({"scores": [0.0, float("nan")]}, "NaN"), ({"scores": [0.0, 1e30]}, "1e\\+30"), ({"scores": ["a", "b"]}, "numbers"),
    ({"scores": object()}, "numbers|row"), ({"d_k": 48}, "d_k=48"), ({"d_k": 2048}, "d_k=2048"), ({"d_k": "64"}, "d_k"),
    ({"d_k": True}, "d_k"), ({"temperature": 0}, "temperature=0"), ({"temperature": float("nan")}, "nan"),
    ({"temperature": "hot"}, "hot"), ({"scaled": "yes"}, "scaled"), ({"tokens": ["a"]}, "1 tokens for 8"),
    ({"tokens": "abcdefgh"}, "list of texts"), ({"tokens": list(range(8))}, "list of texts"),
    ({"tokens": 8}, "list of texts"),
    ({"seed": -1}, "seed=-1"), ({"seed": 0.5}, "seed=0.5"),
])
def test_settings_that_make_no_sense_are_refused_in_one_line(settings, message):
    with pytest.raises(ValueError, match=message) as problem:
        SoftmaxScale(**settings)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(("name", "value"), [("d_k", 3), ("temperature", 11.0), ("draw", DRAWS), ("draw", -1)])
def test_a_bad_value_is_refused_later_too_and_the_last_good_one_stays(name, value):
    widget = SoftmaxScale()
    before = getattr(widget, name)
    with pytest.raises(traitlets.TraitError, match=name):
        setattr(widget, name, value)
    assert getattr(widget, name) == before


def test_the_module_needs_no_torch():
    code = ("import sys\nfrom course_utils.widgets.softmax_scale import SoftmaxScale\nSoftmaxScale().picture()\n"
            "print('torch' in sys.modules)")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_tensors_that_numpy_does_not_know_are_taken():
    np.testing.assert_allclose(SoftmaxScale(torch.tensor([1.0, 2.0]).bfloat16(), d_k=1).row()["raw"], [1, 2])


def test_a_boolean_is_no_size():
    widget = SoftmaxScale(d_k=1)
    widget.set_state({"d_k": True})
    assert type(widget.d_k) is int and "d_k=True" in widget.problem["message"]
