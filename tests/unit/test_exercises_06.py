"""Chapter 06's exercises, where the tests of all chapters cannot look: right answers of other kinds, printed tables."""

import cmath
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils.exercises import engine
from course_utils.exercises.chapter_06 import (
    add_positions,
    position_table,
    shift_matrix,
    similarity,
    wavelengths,
    wrong_cells,
)
from course_utils.exercises.engine import NOT_YET, PASSED, examine
from course_utils.exercises.running import run
from course_utils.models.positional import LearnedPositions, sinusoidal_positions


def inputs_of(exercise_id, case):
    """The inputs of a case, drawn as the engine draws them."""
    return run(lambda *inputs: inputs, engine.get(exercise_id).cases[case].make, 5).inputs


def every_case(exercise_id):
    return pytest.mark.parametrize("case", range(len(engine.get(exercise_id).cases)))


# --- the references by themselves -----------------------------------------------------------------------------------

@every_case("06.1")
def test_the_table_is_the_packages(case):
    sizes = inputs_of("06.1", case)
    torch.testing.assert_close(position_table(*sizes), sinusoidal_positions(*sizes), rtol=1e-5, atol=1e-5)


def test_the_table_of_six_words_written_out():
    table = position_table(6, 4).round(decimals=3)
    torch.testing.assert_close(table[:2], torch.tensor([[0, 1, 0, 1], [0.841, 0.540, 0.010, 1.000]]))


@every_case("06.2")
def test_printed_tables_are_rounded_and_no_cell_is_at_the_limit(case):
    table, base = (*inputs_of("06.2", case), 10000.0)[:2]
    torch.testing.assert_close(table, table.double().round(decimals=3).float(), rtol=0, atol=1e-6)
    distance = (table - sinusoidal_positions(*table.shape, base)).abs()
    assert ((distance < 0.00051) | (distance > 0.0014)).all()
    assert torch.equal(wrong_cells(table, base), distance > 0.001)


def test_the_often_printed_table_is_wrong_in_its_second_pair_alone():
    table, = inputs_of("06.2", 0)
    torch.testing.assert_close(table[0], torch.tensor([0, 1, 0.841, 0.540]))
    assert wrong_cells(table).any(0).tolist() == [False, False, True, True]
    assert not torch.allclose(table[:, 3], torch.cos(torch.arange(6) + 1.0), atol=0.001)


def test_wrong_cells_counted():
    counts = [int(wrong_cells(*inputs_of("06.2", case)).sum()) for case in range(7)]
    assert counts[0] == 12 and counts[1] == 0 and counts[2] == 3 and min(counts[3:6]) > 5
    assert counts[6] == 6                                    # cos 2, cos 3, cos 4 and sin 4, sin 5, sin 6


@pytest.mark.parametrize("d_model, base", [(4, 10000.0), (10, 100.0)])
def test_a_wavelength_is_a_full_turn(d_model, base):
    """Each pair, read at real positions, is the same one wavelength later and another half a wavelength later."""
    for pair, length in enumerate(wavelengths(d_model, base).tolist()):
        frequency = base ** (-2 * pair / d_model)
        assert cmath.exp(1j * frequency * length) == pytest.approx(1, abs=1e-5)
        assert cmath.exp(1j * frequency * length / 2) == pytest.approx(-1, abs=1e-5)


def test_the_longest_wavelength_stays_below_the_base():
    assert wavelengths(4)[-1].item() == pytest.approx(100 * 2 * math.pi)
    assert wavelengths(512)[-1].item() == pytest.approx(9647 * 2 * math.pi, rel=1e-4)


@every_case("06.4")
def test_the_shift_moves_every_position_and_is_a_rotation(case):
    k, d_model, base = (*inputs_of("06.4", case), 10000.0)[:3]
    M, table = shift_matrix(k, d_model, base), sinusoidal_positions(60, d_model, base)
    first, last = max(0, -k), min(60, 60 - k)
    torch.testing.assert_close(table[first:last] @ M.T, table[first + k:last + k], rtol=0, atol=1e-5)
    torch.testing.assert_close(M @ M.T, torch.eye(d_model))
    assert torch.linalg.det(M).item() == pytest.approx(1, abs=1e-5)


@every_case("06.5")
def test_the_similarity_is_the_product_of_two_rows(case):
    p, q, d_model, base = (*inputs_of("06.5", case), 10000.0)[:4]
    table = sinusoidal_positions(max(p, q) + 1, d_model, base)
    assert similarity(p, q, d_model, base) == pytest.approx((table[p] @ table[q]).item(), abs=1e-4)
    assert similarity(p, q, d_model, base) == similarity(q, p, d_model, base)
    assert similarity(p + 7, q + 7, d_model, base) == similarity(p, q, d_model, base)


@every_case("06.6")
def test_positions_are_added_as_the_packages_layers_do(case):
    x, table = inputs_of("06.6", case)
    layer = LearnedPositions(*table.shape)
    with torch.no_grad():
        layer.table.copy_(table)
    if x.shape[1] > len(table):
        for add in (layer, lambda x: add_positions(x, table)):
            with pytest.raises(ValueError, match="positions for"):
                add(x)
    else:
        torch.testing.assert_close(add_positions(x, table), layer(x).detach(), rtol=0, atol=0)


# --- right answers that look different ------------------------------------------------------------------------------

def table_by_loop(T, d_model, base=10000.0):
    rows = []
    for p in range(T):
        row = []
        for j in range(d_model):
            angle = p / base ** (2 * (j // 2) / d_model)
            row.append(math.cos(angle) if j % 2 else math.sin(angle))
        rows.append(row)
    return rows


def table_in_numpy(T, d_model, base=10000.0):
    dimensions = np.arange(d_model)
    angles = np.arange(T)[:, None] / np.power(base, 2 * (dimensions // 2) / d_model)
    return np.where(dimensions % 2 == 0, np.sin(angles), np.cos(angles))


def table_by_exponentials(T, d_model, base=10000.0):
    table = torch.zeros(T, d_model)
    factor = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(base) / d_model))
    table[:, 0::2] = torch.sin(torch.arange(T)[:, None] * factor)
    table[:, 1::2] = torch.cos(torch.arange(T)[:, None] * factor)
    return table


def table_of_phases(T, d_model, base=10000.0):
    """A cosine is a sine a quarter of a turn ahead."""
    dimensions = torch.arange(d_model, dtype=torch.float64)
    angles = torch.outer(torch.arange(T).double(), base ** -((dimensions - dimensions % 2) / d_model))
    return torch.sin(angles + dimensions % 2 * math.pi / 2)


def cells_as_nested_lists(table, base=10000.0):
    right = table_by_loop(*table.shape, base)
    rows = zip(table.tolist(), right, strict=True)
    return [[abs(a - b) > 0.0006 for a, b in zip(*pair, strict=True)] for pair in rows]


def cells_in_numpy(table, base=10000.0):
    return ~np.isclose(table.numpy(), table_in_numpy(*table.shape, base), rtol=0, atol=6e-4)


def cells_by_rounding(table, base=10000.0):
    return np.round(table_in_numpy(*table.shape, base), 3).astype(np.float32) != table.numpy()


def cells_as_numbers(table, base=10000.0):
    return ((table - position_table(*table.shape, base)).abs() > 0.001).long()


def lengths_by_loop(d_model, base=10000.0):
    return [2 * math.pi * base ** (2 * i / d_model) for i in range(d_model // 2)]


def shift_by_least_squares(k, d_model, base=10000.0):
    table = torch.tensor(table_by_loop(400, d_model, base), dtype=torch.float64)
    start = max(0, -k)
    before, after = table[start:start + 300], table[start + k:start + k + 300]
    return torch.linalg.lstsq(before, after).solution.T


def shift_by_kron(k, d_model, base=10000.0):
    angles = k * base ** (-np.arange(0, d_model, 2) / d_model)
    turned = np.kron(np.diag(np.cos(angles)), np.eye(2))
    return turned + np.kron(np.diag(np.sin(angles)), np.array([[0, 1], [-1, 0]]))


def shift_by_the_matrix_exponential(k, d_model, base=10000.0):
    quarter = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    return torch.matrix_exp(torch.block_diag(*[k * base ** (-i / d_model) * quarter for i in range(0, d_model, 2)]))


def similarity_by_table(p, q, d_model, base=10000.0):
    table = table_by_exponentials(max(p, q) + 1, d_model, base)
    return table[p] @ table[q]


def similarity_of_halves_from_one(p, q, d_model, base=10000.0):
    """The order of the dimensions and the first position do not matter to a product."""
    w = base ** (-torch.arange(0, d_model, 2) / d_model)
    one, other = (torch.cat([((n + 1) * w).sin(), ((n + 1) * w).cos()]) for n in (p, q))
    return F.cosine_similarity(one, other, dim=0) * d_model / 2


def added_by_loop(x, table):
    batch, words, _ = x.shape
    if words > table.shape[0]:
        raise ValueError("too long")
    found = torch.empty_like(x)
    for b in range(batch):
        for t in range(words):
            found[b, t] = x[b, t] + table[t]
    return found


def added_by_embedding(x, table):
    if x.size(1) > table.size(0):
        raise ValueError
    return x + F.embedding(torch.arange(x.size(1)), table).unsqueeze(0)


def added_after_trying(x, table):
    try:
        rows = torch.stack([table[t] for t in range(x.shape[1])])
    except IndexError as error:
        raise ValueError("no such position") from error
    return x.numpy() + rows.numpy()


@pytest.mark.parametrize("exercise_id, answer", [
    ("06.1", table_by_loop), ("06.1", table_in_numpy), ("06.1", table_by_exponentials), ("06.1", table_of_phases),
    ("06.1", sinusoidal_positions),
    ("06.2", cells_as_nested_lists), ("06.2", cells_in_numpy), ("06.2", cells_by_rounding), ("06.2", cells_as_numbers),
    ("06.3", lengths_by_loop), ("06.3", lambda d_model, base=10000.0: np.array(lengths_by_loop(d_model, base))),
    ("06.4", shift_by_least_squares), ("06.4", shift_by_kron), ("06.4", shift_by_the_matrix_exponential),
    ("06.5", similarity_by_table), ("06.5", similarity_of_halves_from_one),
    ("06.5", lambda p, q, d_model, base=1e4: sum(math.cos((q - p) / base ** (2 * i / d_model))
                                                 for i in range(d_model // 2))),
    ("06.6", added_by_loop), ("06.6", added_by_embedding), ("06.6", added_after_trying),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED, verdict.message


# --- mistakes written in another way --------------------------------------------------------------------------------

def table_by(exponent, sine=0, first=0):
    """A reader's loop. exponent: dimension, d_model -> exponent; sine: the parity of the sines; first: position."""
    def answer(T, d_model, base=10000.0):
        table = np.zeros((T, d_model))
        for p in range(T):
            for j in range(d_model):
                function = math.sin if j % 2 == sine else math.cos
                table[p, j] = function((p + first) / base ** exponent(j, d_model))
        return table
    return answer


def table_of_overwritten_pairs(T, d_model, base=10000.0):
    table = torch.zeros(T, d_model)
    for p in range(T):
        for i in range(d_model // 2):
            table[p, i] = math.sin(p / base ** (2 * i / d_model))
            table[p, i + 1] = math.cos(p / base ** (2 * i / d_model))
    return table


def table_of_shares(T, d_model, base=10000.0):
    dimensions = np.arange(d_model)
    angles = np.arange(T)[:, None] / T / np.power(base, 2 * (dimensions // 2) / d_model)
    return np.where(dimensions % 2 == 0, np.sin(angles), np.cos(angles))


def table_by_log10(T, d_model, base=10000.0):
    factor = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log10(base) / d_model))
    angles = torch.arange(T)[:, None] * factor
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def table_by_halves(T, d_model, base=10000.0):
    half = torch.exp(-torch.arange(d_model // 2) * math.log(base) / (d_model // 2))
    angles = torch.arange(T)[:, None] * half[None]
    return torch.cat((torch.sin(angles), torch.cos(angles)), dim=-1)


def table_with_both_at_once(T, d_model, base=10000.0):
    half = torch.exp(-torch.arange(0, d_model, 2) * math.log(base) / (d_model // 2))
    angles = torch.arange(T)[:, None] * half[None]
    return torch.cat((torch.sin(angles), torch.cos(angles)), dim=-1)


def shift_by(block):
    """A reader's matrix of blocks. block: cosine, sine -> four numbers in a list of rows."""
    def answer(k, d_model, base=10000.0):
        M = np.zeros((d_model, d_model))
        for i in range(d_model // 2):
            angle = k * base ** (-2 * i / d_model)
            M[2 * i:2 * i + 2, 2 * i:2 * i + 2] = block(math.cos(angle), math.sin(angle))
        return M
    return answer


def similarity_of_dimensions(p, q, d_model, base=10000.0):
    return sum(math.cos((p - q) / base ** (2 * i / d_model)) for i in range(d_model))


def similarity_crossed(p, q, d_model, base=10000.0):
    angles = [(p / base ** (2 * i / d_model), q / base ** (2 * i / d_model)) for i in range(d_model // 2)]
    return sum(math.sin(a) * math.cos(b) + math.cos(a) * math.sin(b) for a, b in angles)


def refused_by(error):
    """Adds positions and refuses a sentence that is too long with this error."""
    def answer(x, table):
        if x.shape[1] > table.shape[0]:
            raise error
        return x + table[:x.shape[1]]
    return answer


def added_after_counting_sentences(x, table):
    if x.shape[0] > table.shape[0]:
        raise ValueError("too long")
    return x + table[:x.shape[1]]


def added_in_place_of_a_check(x, table):
    assert x.shape[1] <= len(table), "too long"
    return x + table[:x.shape[1]]


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("06.1", table_by_halves, "Your sines fill the first half"),
    ("06.1", table_with_both_at_once, "You made two mistakes at once. Your sines fill the first half"),
    ("06.1", table_with_both_at_once, "Your exponent is 4i/d_model"),
    ("06.1", table_by(lambda j, d: j / d), "you use the dimension number as the exponent"),
    ("06.1", table_by(lambda j, d: 2 * j / d), "with the number j of the dimension"),
    ("06.1", table_by(lambda j, d: j // 2 / d), "Your exponent is i/d_model."),
    ("06.1", table_by(lambda j, d: 4 * (j // 2) / d), "Your exponent is 4i/d_model"),
    ("06.1", table_by(lambda j, d: 2 * (j // 2) / d, sine=1), "Your sines and cosines are exchanged"),
    ("06.1", table_by(lambda j, d: 2 * (j // 2) / d, first=1), "Your positions begin with 1."),
    ("06.1", table_by(lambda j, d: j // 2 / d, first=1), "You made two mistakes at once."),
    ("06.1", table_by(lambda j, d: 2 * (j // 2 + 1) / d), "Your exponents begin with 2/d_model."),
    ("06.1", table_of_overwritten_pairs, "You write pair i into the dimensions i and i + 1"),
    ("06.1", table_by_log10, "You take the logarithm to base 10"),
    ("06.1", table_of_shares, "You divide the position by T"),
    ("06.2", lambda table, base=1e4: torch.isclose(table, position_table(*table.shape, base), atol=6e-4),
     "Your answer is turned round"),
    ("06.2", lambda table, base=1e4: ~torch.isclose(table, position_table(*table.shape, base), atol=1e-2, rtol=0),
     "Your tolerance is too wide"),
    ("06.2", lambda table, base=1e4: (table - table_by_halves(*table.shape, base)).abs() > 1e-3,
     "Your own table has the sines in its first half"),
    ("06.2", lambda table, base=1e4: np.argwhere(wrong_cells(table, base).numpy()), "You return the places"),
    ("06.2", lambda table, base=1e4: ~torch.isclose(table, position_table(*table.shape, base), atol=5e-2, rtol=0),
     "Your tolerance is far too wide"),
    ("06.2", lambda table, base=1e4: abs(abs(table) - abs(position_table(*table.shape, base))) > 6e-4,
     "You compare the absolute values"),
    ("06.3", lambda d_model, base=1e4: [round(length) for length in lengths_by_loop(d_model, base)],
     "You round to whole positions"),
    ("06.3", lambda d_model, base=1e4: [360 * base ** (2 * i / d_model) for i in range(d_model // 2)],
     "You count a turn in degrees"),
    ("06.3", lambda d_model, base=1e4: [(2 * math.pi * base) ** (2 * i / d_model) for i in range(d_model // 2)],
     "You raise 2π to the power as well"),
    ("06.3", lambda d_model, base=1e4: np.linspace(2 * np.pi, 2 * np.pi * base, d_model // 2),
     "Your wavelengths grow by equal steps"),
    ("06.3", lambda d_model, base=1e4: [base ** (2 * i / d_model) for i in range(d_model // 2)], "Your 2π is missing"),
    ("06.3", lambda d_model, base=1e4: [base ** (i / d_model) for i in range(d_model // 2)],
     "You made two mistakes at once. Your 2π is missing"),
    ("06.4", shift_by(lambda c, s: [[c, -s], [s, c]]), "Your matrix goes the other way"),
    ("06.4", shift_by(lambda c, s: [[c, s], [s, c]]), "Your minus is missing"),
    ("06.4", shift_by(lambda c, s: [[c, s], [s, -c]]), "Your block is a mirror"),
    ("06.4", shift_by(lambda c, s: [[c, -s], [-s, c]]), "You have the minus twice"),
    ("06.4", lambda k, d_model, base=1e4: k * shift_by_kron(1, d_model, base), "You multiply the matrix of one step"),
    ("06.4", lambda k, d_model, base=1e4: shift_by_least_squares(-k, d_model, base), "Your matrix goes the other way"),
    ("06.5", lambda p, q, d_model, base=1e4: F.cosine_similarity(
        *position_table(41, d_model, base)[[p, q]].double().unsqueeze(1)).item(), "makes a cosine similarity of it"),
    ("06.5", lambda p, q, d_model, base=1e4: math.dist(*position_table(41, d_model, base)[[p, q]].tolist()),
     "You return the distance"),
    ("06.5", similarity_of_dimensions, "You add up d_model cosines, with i from 0"),
    ("06.5", similarity_crossed, "You multiply each sine with the other position's cosine"),
    ("06.5", lambda p, q, d_model, base=1e4: [math.cos((p - q) / base ** (2 * i / d_model))
                                              for i in range(d_model // 2)], "You return one number for each pair"),
    ("06.6", refused_by(IndexError("too long")), "You refuse with IndexError"),
    ("06.6", lambda x, table: x + F.embedding(torch.arange(x.shape[1]), table), "You refuse with IndexError"),
    ("06.6", refused_by(RuntimeError("too long")), "You refuse with RuntimeError"),
    ("06.6", added_after_counting_sentences, "You compare the number of sentences"),
    ("06.6", added_in_place_of_a_check, "You refuse a sentence longer than the table by assert."),
    ("06.6", lambda x, table: x + table[None, :x.shape[1]], "a table of one row fits always"),
    ("06.6", lambda x, table: torch.cat([x[:, :len(table)] + table[:x.shape[1]], x[:, len(table):]], 1),
     "You give words past the end no position at all."),
])
def test_other_ways_to_make_a_known_mistake(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and words in verdict.message, verdict.message


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("06.1", lambda *sizes: position_table(*sizes)[:, :-1], "Expected shape (T=6, d_model=4), got (6, 3)."),
    ("06.1", table_by(lambda j, d: 3 * j / d), "first difference is at index [1, 1] of (T, d_model)"),
    ("06.2", lambda table, base=1e4: wrong_cells(table, base) ^ (torch.arange(len(table)) == 0)[:, None],
     "expected 0, got 1"),
    ("06.3", lambda *sizes: wavelengths(*sizes)[1:], "Expected shape (d_model/2=2,), got (1,)."),
    ("06.4", lambda *inputs: shift_matrix(*inputs) + 1, "Case: three positions on, d_model = 4."),
    ("06.5", lambda *inputs: similarity(*inputs) + 3, "Called with p = 3, q = 7, d_model = 4."),
    ("06.6", lambda x, table: add_positions(x, table) + 1, "Called with x (2, 4, 6), table (9, 6)."),
])
def test_a_mistake_on_nobodys_list_is_told_with_what_was_got(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and verdict.misconception is None, verdict.message
    assert words in verdict.message, verdict.message


def test_the_parts_of_the_readers_answers_are_right_by_themselves():
    """So that each mistake above is the only one in its answer."""
    for exercise_id, answer in {
        "06.1": table_by(lambda j, d: 2 * (j // 2) / d), "06.4": shift_by(lambda c, s: [[c, s], [-s, c]]),
    }.items():
        assert examine(exercise_id, answer).status == PASSED


def test_positions_added_in_place_are_told():
    def answer(x, table):
        if x.shape[1] > len(table):
            raise ValueError("too long")
        x += table[:x.shape[1]]
        return x

    verdict = examine("06.6", answer)
    assert verdict.status == NOT_YET and "x is changed in place" in verdict.message


def test_torchs_own_complaint_is_no_refusal():
    """A slice that does not fit raises RuntimeError, which says nothing about positions to a caller."""
    verdict = examine("06.6", lambda x, table: x + table[:x.shape[1]])
    assert verdict.status == NOT_YET and "Your code raised RuntimeError" in verdict.message


@pytest.mark.parametrize("exercise_id, answer", [
    ("06.1", lambda T, d_model, base=10000.0: position_table(T, 4, base)),
    ("06.2", lambda table, base=10000.0: wrong_cells(table.reshape(6, 4), base)),
    ("06.3", lambda d_model, base=10000.0: wavelengths(4, base)),
    ("06.4", lambda k, d_model, base=10000.0: shift_matrix(3, d_model, base)),
    ("06.5", lambda p, q, d_model, base=10000.0: similarity(p, q, 4, base)),
    ("06.6", lambda x, table: add_positions(x, table.reshape(9, 6))),
])
def test_sizes_written_as_numbers_do_not_pass(exercise_id, answer):
    assert examine(exercise_id, answer).status == NOT_YET
