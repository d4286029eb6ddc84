"""Positional encodings: the formula, wavelengths, the rotation, and lengths that do not fit."""

import math

import pytest
import torch
from torch import nn

from course_utils.models.positional import LearnedPositions, SinusoidalPositions, sinusoidal_positions

B, T, D, LONGEST = 3, 5, 8, 11
KINDS = {"sinusoidal": SinusoidalPositions, "learned": LearnedPositions}
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize(("length", "d_model", "base"), [(7, 6, 10000.0), (60, 512, 10000.0), (9, 4, 100.0), (3, 2, 7)])
def test_the_formula_number_by_number(length, d_model, base):
    table = sinusoidal_positions(length, d_model, base)
    assert table.shape == (length, d_model) and table.dtype == torch.float
    for p in range(length):
        for dimension in range(d_model):
            angle = p / base ** ((dimension - dimension % 2) / d_model)
            expected = math.cos(angle) if dimension % 2 else math.sin(angle)
            assert table[p, dimension].item() == pytest.approx(expected, abs=1e-6)


def test_the_worked_rows_for_four_dimensions():
    table = sinusoidal_positions(6, 4)
    assert table[0].tolist() == [0, 1, 0, 1]
    torch.testing.assert_close(table[1], torch.tensor([0.841, 0.540, 0.010, 1.000]), rtol=0, atol=5e-4)


def test_far_positions_are_as_exact_as_near_ones():
    """Angles in float32 would be off by 1e-3 here."""
    assert sinusoidal_positions(50_001, 2)[50_000, 0].item() == pytest.approx(math.sin(50_000), abs=1e-6)


@pytest.mark.parametrize(("d_model", "longest"), [(4, 100), (512, 9647)])
def test_wavelengths_grow_from_two_pi_to_less_than_the_base(d_model, longest):
    first, last = sinusoidal_positions(2, d_model)[1, [0, -2]].double().asin().tolist()       # radians per position
    assert first == pytest.approx(1, abs=1e-6) and 1 / last == pytest.approx(longest, rel=1e-4)
    rates = sinusoidal_positions(2, d_model)[1, ::2].double().asin()
    ratios = rates[1:] / rates[:-1]
    torch.testing.assert_close(ratios, torch.full_like(ratios, 10000 ** (-2 / d_model)), rtol=1e-3, atol=0)


def test_a_pair_repeats_after_its_wavelength():
    table = sinusoidal_positions(90, 4, base=100.0)                      # the second pair's wavelength is 2π·10 ≈ 62.83
    repeats = (table[63:90, 2:] - table[:27, 2:]).abs().max()
    halfway = (table[31:58, 2:] + table[:27, 2:]).abs().max()
    assert repeats < 0.02 and halfway < 0.05


@pytest.mark.parametrize("shift", [1, 3, 17])
def test_a_shift_is_one_rotation_for_all_positions(shift):
    """In (sin, cos) order PE(p+k) is PE(p) turned by -kω."""
    table = sinusoidal_positions(40, D).double()
    turned = torch.zeros(40 - shift, D, dtype=torch.double)
    for i in range(D // 2):
        angle = shift * 10000 ** (-2 * i / D)
        rotation = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]).double()
        turned[:, 2 * i:2 * i + 2] = table[:-shift, 2 * i:2 * i + 2] @ rotation.T
    torch.testing.assert_close(turned, table[shift:], rtol=0, atol=1e-6)


def test_the_product_of_two_positions_knows_their_distance_alone():
    table = sinusoidal_positions(40, D).double()
    products = table @ table.T
    for distance in range(40):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=0, atol=1e-5)
    assert products[0, 0].item() == pytest.approx(D / 2) and products[0, 1:].max() < D / 2 - 0.2
    torch.testing.assert_close(products, products.T)


def test_another_base_turns_at_another_speed():
    slow, fast = sinusoidal_positions(T, D, 10000.0), sinusoidal_positions(T, D, 100.0)
    torch.testing.assert_close(fast[:, :2], slow[:, :2])                 # the first pair does not depend on it
    assert not torch.isclose(fast[1:, 2::2], slow[1:, 2::2], atol=1e-4).any()


# ---------------------------------------------------------------- modules

@each_kind
def test_positions_are_added_and_the_input_is_left_alone(kind):
    torch.manual_seed(0)
    layer, x = KINDS[kind](LONGEST, D), torch.randn(B, T, D)
    before = x.clone()
    added = layer(x) - x
    assert torch.equal(x, before) and layer.table.shape == (LONGEST, D)
    for row in added:
        torch.testing.assert_close(row, layer.table[:T], rtol=0, atol=1e-6)
    torch.testing.assert_close(layer(x[:, :2]), layer(x)[:, :2])


@each_kind
def test_a_sequence_as_long_as_the_table_fits_and_a_longer_one_is_refused(kind):
    layer = KINDS[kind](LONGEST, D)
    assert layer(torch.zeros(B, LONGEST, D)).shape == (B, LONGEST, D)
    with pytest.raises(ValueError, match=f"a sequence of {LONGEST + 1} words, but positions for {LONGEST}"):
        layer(torch.zeros(B, LONGEST + 1, D))


@each_kind
@pytest.mark.parametrize("shape", [(T, D), (B, T, D + 2), (B, T, 1), (B, 1, T, D)])
def test_inputs_of_another_shape_are_refused(kind, shape):
    with pytest.raises(ValueError, match=rf"expected x of shape \(B, T, {D}\), got \({shape[0]}, "):
        KINDS[kind](LONGEST, D)(torch.zeros(shape))


def test_sinusoids_are_neither_trained_nor_saved_and_move_with_the_module():
    layer = SinusoidalPositions(LONGEST, D, base=50.0)
    assert list(layer.parameters()) == [] and layer.state_dict() == {}
    torch.testing.assert_close(layer.table, sinusoidal_positions(LONGEST, D, 50.0))
    assert layer.double().table.dtype == torch.double and layer.to("meta").table.is_meta


def test_learned_positions_are_trained_where_they_are_used():
    torch.manual_seed(1)
    layer = LearnedPositions(LONGEST, D)
    assert isinstance(layer.table, nn.Parameter) and list(layer.state_dict()) == ["table"]
    layer(torch.zeros(B, T, D)).sum().backward()
    assert layer.table.grad[:T].eq(B).all() and layer.table.grad[T:].eq(0).all()
    assert 0.01 < layer.table.std() < 0.03


@pytest.mark.parametrize(("make", "message"), [
    (lambda: sinusoidal_positions(T, 7), "d_model=7 is odd"),
    (lambda: SinusoidalPositions(T, 1), "d_model=1 is odd"),
    (lambda: sinusoidal_positions(0, 4), "T=0"),
    (lambda: sinusoidal_positions(3, 0), "d_model=0"),
    (lambda: sinusoidal_positions(2.5, 4), "T=2.5"),
    (lambda: sinusoidal_positions(3, 4, 0), "base=0 must be a number above 0"),
    (lambda: sinusoidal_positions(3, 4, -10.0), "base=-10.0"),
    (lambda: sinusoidal_positions(3, 4, float("nan")), "base=nan"),
    (lambda: sinusoidal_positions(3, 4, float("inf")), "base=inf"),
    (lambda: LearnedPositions(0, 4), "max_length=0"),
    (lambda: LearnedPositions(3, -4), "d_model=-4"),
])
def test_bad_sizes_are_one_clear_sentence(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
