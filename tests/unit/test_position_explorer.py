"""PositionExplorer's Python side: its numpy formula against the course's torch one, rotations, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import traitlets

from course_utils.models.positional import LearnedPositions, sinusoidal_positions
from course_utils.widgets import PositionExplorer
from course_utils.widgets.position_explorer import (
    frequencies,
    rotation,
    similarities,
    sinusoidal_table,
    wavelengths,
)

# ---- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "d_model", "base"), [(6, 4, 10000.0), (50, 64, 10000.0), (200, 256, 2.0),
                                                         (7, 2, 1e6), (120, 30, 37.5)])
def test_the_table_is_the_courses(length, d_model, base):
    wanted = sinusoidal_positions(length, d_model, base).numpy()
    np.testing.assert_allclose(sinusoidal_table(length, d_model, base), wanted, atol=1e-6)


def test_the_first_rows_are_those_of_the_worked_example():
    np.testing.assert_allclose(sinusoidal_table(2, 4), [[0, 1, 0, 1], [0.841, 0.540, 0.010, 1.000]], atol=5e-4)


def test_waves_grow_from_two_pi_and_never_reach_the_base():
    for d_model, longest in ((4, 100), (512, 9647)):
        waves = wavelengths(d_model)
        assert waves[0] == pytest.approx(2 * np.pi)
        assert waves[-1] == pytest.approx(longest * 2 * np.pi, rel=1e-4) and waves[-1] < 10000 * 2 * np.pi
        assert (np.diff(waves) > 0).all()


def test_a_dimension_repeats_after_its_wavelength():
    """With base 16 and four pairs, pair 2 has the wavelength 2π·16^(2/4) = 8π: 25.13 positions."""
    wave = wavelengths(8, 16.0)[2]
    assert wave == pytest.approx(8 * np.pi)
    omega = frequencies(8, 16.0)[2]
    assert np.sin(3 * omega) == pytest.approx(np.sin((3 + wave) * omega))


@pytest.mark.parametrize("shift", [-7, 0, 3, 50])
def test_a_shift_is_one_rotation_for_every_position(shift):
    d_model, base = 12, 500.0
    table = sinusoidal_table(120, d_model, base)
    for pair in range(d_model // 2):
        matrix, angle = rotation(pair, shift, d_model, base), shift * frequencies(d_model, base)[pair]
        both = table[:, 2 * pair: 2 * pair + 2]
        before, after = (both[50:60], both[50 + shift: 60 + shift])
        np.testing.assert_allclose(before @ matrix.T, after, atol=1e-12)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(2), atol=1e-12)
        assert np.arctan2(matrix[1, 0], matrix[0, 0]) == pytest.approx(np.arctan2(np.sin(-angle), np.cos(angle)))


def test_the_dot_product_knows_the_distance_but_not_the_direction():
    table = sinusoidal_table(60, 32)
    found = similarities(table, 30)
    np.testing.assert_allclose(found[31:60], found[1:30][::-1])
    assert found[30] == pytest.approx(16) and (np.delete(found, 30) < 16).all()
    np.testing.assert_allclose(similarities(table, 30, cosine=True), found / 16)


def test_the_cosine_of_a_row_of_zeros_is_zero():
    np.testing.assert_array_equal(similarities(np.zeros((3, 4)), 1, cosine=True), np.zeros(3))
    found = similarities([[3.0, 4.0], [-6.0, -8.0]], 0, cosine=True)
    np.testing.assert_allclose(found, [1, -1])


# ---- the widget ------------------------------------------------------------------------------------------------------


def test_a_trained_table_is_taken_as_it_is_and_brings_its_own_sizes():
    torch.manual_seed(0)
    trained = LearnedPositions(20, 7).table
    widget = PositionExplorer(length=50, learned=trained, kind="learned", position=49)
    np.testing.assert_array_equal(widget.table(), trained.detach().numpy())
    assert repr(widget) == "PositionExplorer(learned, length=20, d_model=7)"
    widget.length = 5
    assert widget.table().shape == (5, 7)
    assert widget.picture()


def test_every_setting_changes_the_picture():
    widget = PositionExplorer(length=20, d_model=8, learned=np.eye(20, 8))
    pictures = [widget.picture()]
    for name, value in (("length", 30), ("d_model", 12), ("base", 50.0), ("position", 3), ("dimension", 7),
                        ("shift", -5), ("kind", "learned"), ("cosine", True), ("kind", "none")):
        setattr(widget, name, value)
        pictures.append(widget.picture())
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize("settings", [
    {"length": 1}, {"d_model": 2}, {"length": 200, "d_model": 256}, {"base": 2}, {"base": 10**6}, {"shift": 0},
    {"kind": "none"}, {"position": 199, "dimension": 255}, {"name": "$x_$ 위치 \x00"},
])
def test_extremes_have_a_picture(settings):
    assert len(PositionExplorer(**settings).picture()) < 150_000


def test_without_an_encoding_all_positions_are_alike():
    widget = PositionExplorer(kind="none")
    assert not widget.table().any() and not similarities(widget.table(), 3).any()


@pytest.mark.parametrize(("settings", "message"), [
    ({"d_model": 7}, "d_model=7 is odd"), ({"d_model": 258}, "d_model=258"), ({"d_model": 0}, "d_model=0"),
    ({"length": 0}, "length=0"), ({"length": 201}, "length=201"), ({"length": 2.5}, "length=2.5"),
    ({"length": True}, "length=True"), ({"base": 0}, "base=0"), ({"base": -1.0}, "base=-1"), ({"base": "10"}, "base="),
    ({"base": float("nan")}, "base=nan"), ({"base": float("inf")}, "base=inf"), ({"kind": "rope"}, "rope"),
    ({"kind": "learned"}, "trained table"), ({"position": -1}, "position=-1"), ({"dimension": 256}, "dimension=256"),
    ({"shift": 51}, "shift=51"), ({"name": 3}, "name=3"), ({"learned": np.zeros(4)}, r"\(4,\)"),
    ({"learned": np.zeros((0, 4))}, r"\(0, 4\)"), ({"learned": np.zeros((4, 300))}, r"\(4, 300\)"),
    ({"learned": [[0.0, float("nan")]]}, "NaN"), ({"learned": [[1e30]]}, "beyond"), ({"learned": "table"}, "learned"),
    ({"learned": [[1.0], [2.0, 3.0]]}, "learned"),
])
def test_settings_that_make_no_sense_are_refused_in_one_line(settings, message):
    with pytest.raises(ValueError, match=message) as problem:
        PositionExplorer(**settings)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(("name", "value"), [("length", 0), ("d_model", 5), ("base", 0.0), ("kind", "learned"),
                                             ("position", 200), ("dimension", -1), ("shift", -51)])
def test_a_bad_value_is_refused_later_too_and_the_last_good_one_stays(name, value):
    widget = PositionExplorer()
    before = getattr(widget, name)
    with pytest.raises(traitlets.TraitError, match=name):
        setattr(widget, name, value)
    assert getattr(widget, name) == before


def test_the_module_needs_no_torch():
    code = ("import sys\nfrom course_utils.widgets.position_explorer import PositionExplorer\n"
            "PositionExplorer().picture()\nprint('torch' in sys.modules)")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_tensors_that_numpy_does_not_know_are_taken():
    for table in (torch.eye(4).bfloat16(), torch.eye(4).to_sparse()):
        np.testing.assert_array_equal(PositionExplorer(learned=table).learned, np.eye(4))
