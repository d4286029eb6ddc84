"""Exercises and quizzes of chapter 06, Positional encoding."""

import math

import torch

from course_utils.exercises.combining import alone, alone_and_in_pairs
from course_utils.exercises.engine import Case, Choice, Exercise, Question
from course_utils.exercises.refusing import refusing, value_or_refusal, weak_refusals

# --- wrong encodings, for several exercises -------------------------------------------------------------------------


def _even(d_model):
    """2i / d_model for each pair i: the right exponents."""
    return torch.arange(0, d_model, 2, dtype=torch.float64) / d_model


def _pair_index(d_model):
    return _even(d_model) / 2


def _doubled(d_model):
    return 2 * _even(d_model)


def _one_pair_late(d_model):
    return _even(d_model) + 2 / d_model


def _up_to_the_base(d_model):
    return torch.arange(0, d_model, 2, dtype=torch.float64) / max(d_model - 2, 1)


def _whole_numbers(d_model):
    return torch.zeros(d_model // 2, dtype=torch.float64)


def _each_its_own(d_model):
    """Exponents of the sines and of the cosines where every dimension j takes j / d_model."""
    return _even(d_model), _even(d_model) + 1 / d_model


def _each_as_a_pair(d_model):
    """The same where every dimension j takes 2j / d_model."""
    return _doubled(d_model), _doubled(d_model) + 2 / d_model


def _in_turn(sines, cosines):
    return torch.stack([sines, cosines], dim=-1).flatten(1)


def _in_halves(sines, cosines):
    return torch.cat([sines, cosines], dim=1)


def _cosines_first(sines, cosines):
    return _in_turn(cosines, sines)


def _encoding(layout=_in_turn, exponents=_even, start=0, factor=1.0, sign=-1, natural=False, base_is=None):
    """A table of positions with parts of it exchanged.

    layout: sines, cosines (each (T, d_model/2)) -> table; exponents: d_model -> of each pair, or a tuple, of sines and
    of cosines; start: the first position; factor: of all angles; sign: of the exponents; natural: e in place of the
    base; base_is: a base that is taken in place of the argument.
    """
    def table(T, d_model, base=10000.0):
        found = exponents(d_model)
        of_sines, of_cosines = found if isinstance(found, tuple) else (found, found)
        base = math.e if natural else base_is or base
        positions = factor * torch.arange(start, start + T, dtype=torch.float64).unsqueeze(1)
        return layout((positions * base ** (sign * of_sines)).sin(), (positions * base ** (sign * of_cosines)).cos())
    return table


RIGHT = _encoding()


def _only_sines(sines, cosines):
    return _in_turn(sines, sines)


def _by_parity_of_the_position(sines, cosines):
    even = torch.arange(len(sines)).unsqueeze(1) % 2 == 0
    return torch.where(even, sines, cosines).repeat_interleave(2, dim=1)


def _next_position_in_the_next_pair(T, d_model, base=10000.0):
    angles = torch.arange(T, dtype=torch.float64).unsqueeze(1) + torch.arange(d_model // 2)
    return _in_turn(angles.sin(), angles.cos())


def _pair_into_its_number(T, d_model, base=10000.0):
    """Pair i stands in the dimensions i and i + 1: each pair writes over the cosine of the one before."""
    right, table = RIGHT(T, d_model, base), torch.zeros(T, d_model, dtype=torch.float64)
    for i in range(d_model // 2):
        table[:, i], table[:, i + 1] = right[:, 2 * i], right[:, 2 * i + 1]
    return table


# --- 06.1 -----------------------------------------------------------------------------------------------------------

def position_table(T, d_model, base=10000.0):
    """The sinusoidal encoding of the positions 0 … T-1.

    Dimensions 2i and 2i+1 are the pair i: sine and cosine of one angle, p / base^(2i/d_model) at position p. d_model is
    even. Returns (T, d_model).
    """
    positions = torch.arange(T).unsqueeze(1)                          # (T, 1)
    frequencies = base ** (-torch.arange(0, d_model, 2) / d_model)    # (d_model/2,), in radians per position
    angles = positions * frequencies                                  # (T, 1) * (d_model/2,) -> (T, d_model/2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


POSITION_TABLE = Exercise(
    id="06.1",
    title="The table of positions",
    about=("sinusoidal-encoding",),
    reference=position_table,
    returns="(T, d_model)",
    hints=(
        "Begin with the angles: a column of positions, (T, 1), times a row of frequencies, (d_model/2,), gives one "
        "angle for each position and pair.",
        "torch.arange(0, d_model, 2) is 0, 2, 4, …: these are the 2i of the formula, so they are not doubled again.",
        "Sines go to the dimensions 0, 2, 4, …, cosines to 1, 3, 5, …: fill table[:, 0::2] and table[:, 1::2], or "
        "stack the two on a new last axis and flatten it.",
    ),
    cases=(
        Case("six words, d_model = 4", lambda: (6, 4), "Row 0 is [0, 1, 0, 1], and row 1 begins 0.841, 0.540."),
        Case("ten dimensions, base 100", lambda: (9, 10, 100.0)),
        Case("another base", lambda: (5, 8, 50.0), "The base is an argument."),
        Case("a single position", lambda: (1, 6), "At position 0 every sine is 0 and every cosine 1."),
        Case("a single pair", lambda: (40, 2), "Pair 0 turns by one radian a position."),
        Case("more dimensions than positions", lambda: (7, 12, 20.0)),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _encoding,
            ({"layout": _in_halves},
             "Your sines fill the first half and your cosines the second. They should take turns: the dimensions 2i "
             "and 2i+1 are the sine and the cosine of one angle. (Some programs use halves; both work, but not "
             "mixed.)"),
            ({"layout": _cosines_first},
             "Your sines and cosines are exchanged: the sine comes first, in the even dimensions."),
            ({"exponents": _pair_index},
             "Your exponent is i/d_model. It is 2i/d_model: the dimension number 2i, not the pair's number i."),
            ({"exponents": _doubled},
             "Your exponent is 4i/d_model: 2i was doubled once more. torch.arange(0, d_model, 2) is 2i already."),
            ({"exponents": _each_its_own},
             "Every dimension of yours has a frequency of its own: you use the dimension number as the exponent. "
             "Sine and cosine of a pair share one, 2i/d_model for both."),
            ({"start": 1}, "Your positions begin with 1. The first one is 0."),
        ),
        *alone(
            (_encoding(exponents=_each_as_a_pair),
             "Your exponent is 2j/d_model with the number j of the dimension. In 2i/d_model i is the number of the "
             "pair: the dimensions 2i and 2i+1 share one exponent."),
            (_encoding(exponents=_one_pair_late),
             "Your exponents begin with 2/d_model. The first pair has i = 0 and turns by one radian a position."),
            (_encoding(exponents=_up_to_the_base),
             "You divide by d_model - 2, so that the last pair reaches the base itself. Some programs do; the formula "
             "divides by d_model and never quite reaches it."),
            (_encoding(exponents=_whole_numbers),
             "Your exponents are all 0: // drops what is behind the point. Write 2i / d_model."),
            (_encoding(sign=1),
             "You multiply the position by base^(2i/d_model). It is divided: later pairs turn more slowly."),
            (_encoding(natural=True),
             "You take exp(-2i/d_model), so the base is e. For another base it is exp(-2i/d_model · log(base))."),
            (_encoding(base_is=10000.0), "You use 10000, whatever base is."),
            (lambda T, d_model, base=10000.0: RIGHT(T, d_model, math.exp(math.log10(base))),
             "You take the logarithm to base 10 and then exp, the inverse of the natural one. math.log and torch.log "
             "are natural; or write base ** exponent."),
            (lambda T, d_model, base=10000.0: _encoding(factor=1 / T)(T, d_model, base),
             "You divide the position by T, so one step means less in a longer sentence. The angle takes p as it is."),
            (_pair_into_its_number,
             "You write pair i into the dimensions i and i + 1, so each pair writes over half of the one before. Pair "
             "i belongs in 2i and 2i + 1."),
            (_encoding(factor=2 * math.pi),
             "You multiply the angles by 2π. The formula has none: pair 0 turns by one radian a position."),
            (_encoding(factor=math.pi / 180), "You turn degrees into radians. The angles are radians already."),
            (_encoding(layout=_only_sines), "You take the sine in every dimension. The odd ones are cosines."),
            (_encoding(layout=_by_parity_of_the_position),
             "You choose between sine and cosine by the position. It is the dimension that decides: even ones sine, "
             "odd ones cosine, at every position."),
            (_next_position_in_the_next_pair,
             "Your second pair holds the next position's first pair: you add i to the position. All pairs of a row "
             "belong to one position; they differ in how fast they turn."),
            (lambda T, d_model, base=10000.0: position_table(T, d_model, base).T,
             "Your table is transposed: one row for each position, (T, d_model)."),
        ),
    ),
    atol=1e-4,
)

# --- 06.2 -----------------------------------------------------------------------------------------------------------

def wrong_cells(table, base=10000.0):
    """Which cells of a printed table of positions are not the right encoding?

    table: (T, d_model), rounded to 3 decimals. A cell is wrong where it is more than 0.0006 away from the sinusoidal
    encoding of that position and dimension. Returns booleans (T, d_model), True = wrong.
    """
    T, d_model = table.shape
    angles = torch.arange(T).unsqueeze(1) * base ** (-torch.arange(0, d_model, 2) / d_model)
    right = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)          # (T, d_model/2, 2) -> (T, d_model)
    return (table - right).abs() > 0.0006


def _printed(T, d_model, base=10000.0, make=RIGHT, changes=()):
    """A printed table of make(T, d_model, base). changes: (position, dimension, what is added to the cell)."""
    def inputs():
        table = make(T, d_model, base).round(decimals=3).float()
        for position, dimension, error in changes:
            table[position, dimension] += error
        return (table,) if base == 10000.0 else (table, base)
    return inputs


def _often_printed(T, d_model, base):
    """The next position's first pair stands in the second pair, and its cosines have lost their signs."""
    table = _next_position_in_the_next_pair(T, d_model, base)
    table[:, 3] = table[:, 3].abs()
    return table


def _minus_lost(T, d_model, base):
    return position_table(T, d_model, base).abs()


def _rows_exchanged(T, d_model, base):
    return position_table(T, d_model, base)[[0, 2, 1, *range(3, T)]]


def _comparing(differ=lambda table, right: (table - right).abs() > 0.0006, encoding=position_table):
    """An answer that compares with another encoding, or in another way. differ: table, right -> booleans."""
    return lambda table, base=10000.0: differ(table, encoding(*table.shape, base))


WRONG_CELLS = Exercise(
    id="06.2",
    title="Find the wrong cells",
    about=("pe-worked",),
    reference=wrong_cells,
    returns="(T, d_model)",
    hints=(
        "Compute the right table first, of the same T and d_model: table.shape gives both.",
        "A printed number is up to 0.0005 away from the right one. So ask how far the two are apart, not whether they "
        "are equal.",
        "(table - right).abs() > 0.0006 gives True and False for each cell. Without .abs() half of the mistakes "
        "would be missed.",
    ),
    cases=(
        Case("a table that is often printed", _printed(6, 4, make=_often_printed),
             "1 stands for True, a wrong cell, and 0 for False."),
        Case("no cell is wrong", _printed(5, 6)),
        Case("a few cells slightly off", _printed(8, 10, changes=[(2, 3, 0.002), (5, 0, -0.004), (7, 9, -0.002)]),
             "An error of 0.002 is more than rounding."),
        Case("two rows exchanged, base 100", _printed(4, 8, 100.0, make=_rows_exchanged)),
        Case("sines in the first half, cosines in the second", _printed(7, 6, make=_encoding(layout=_in_halves))),
        Case("positions from 1", _printed(3, 12, 20.0, make=_encoding(start=1))),
        Case("every minus is lost", _printed(7, 4, make=_minus_lost), "A lost minus sign is an error too."),
    ),
    misconceptions=alone(
        (_comparing(lambda table, right: (table - right).abs() <= 0.0006),
         "Your answer is turned round: True is for the wrong cells."),
        (_comparing(lambda table, right: table != right),
         "You ask whether the numbers are equal. Printed ones are rounded, so nearly all of them differ a little: "
         "allow 0.0006."),
        (_comparing(lambda table, right: ~torch.isclose(table.double(), right.double())),
         "You use isclose with its own tolerance, which is far finer than 3 decimals: nearly every cell counts as "
         "wrong. Give it atol=0.0006, rtol=0."),
        (_comparing(lambda table, right: table - right > 0.0006),
         "You find only the cells that are too large. Take the absolute difference."),
        (_comparing(lambda table, right: right - table > 0.0006),
         "You find only the cells that are too small. Take the absolute difference."),
        (_comparing(lambda table, right: (table - right).abs() > 0.01),
         "Your tolerance is too wide: an error of 0.002 is not found. Rounding to 3 decimals moves a number by 0.0005 "
         "at most."),
        (_comparing(lambda table, right: (table - right).abs() > 0.05),
         "Your tolerance is far too wide: cells that are off by 0.002, and even by 0.03, count as right. Rounding to 3 "
         "decimals moves a number by 0.0005 at most."),
        (_comparing(lambda table, right: (table.abs() - right.abs()).abs() > 0.0006),
         "You compare the absolute values, so a lost minus sign is not found. Take the difference first, then its "
         "absolute value."),
        (_comparing(lambda table, right: (table - right).abs() > 0.0001),
         "Your tolerance is too narrow: rounding alone moves a number by up to 0.0005."),
        (_comparing(lambda table, right: table - right),
         "You return the differences. True or False is wanted for each cell."),
        (_comparing(lambda table, right: (table - right).abs()),
         "You return how far the cells are off. True or False is wanted: is it more than 0.0006?"),
        (_comparing(lambda table, right: ((table - right).abs() > 0.0006).any(1)),
         "You return one answer for each row. Every cell has its own."),
        (_comparing(lambda table, right: ((table - right).abs() > 0.0006).nonzero()),
         "You return the places of the wrong cells. A boolean for every cell is wanted, in the shape of the table."),
        (_comparing(encoding=_encoding(layout=_in_halves)),
         "Your own table has the sines in its first half and the cosines in the second. They take turns."),
        (_comparing(encoding=_encoding(layout=_cosines_first)),
         "Your own table has the cosines first. The sine stands in the even dimensions."),
        (_comparing(encoding=_encoding(exponents=_pair_index)),
         "Your own table has the exponent i/d_model. It is 2i/d_model."),
        (_comparing(encoding=_encoding(exponents=_doubled)),
         "Your own table has the exponent 4i/d_model: 2i was doubled once more."),
        (_comparing(encoding=_encoding(exponents=_each_its_own)),
         "Your own table gives each dimension a frequency of its own. Sine and cosine of a pair share one."),
        (_comparing(encoding=_encoding(start=1)), "Your own table begins with position 1. The first one is 0."),
        (_comparing(encoding=_encoding(base_is=10000.0)), "Your own table uses 10000, whatever base is."),
    ),
)

# --- 06.3 -----------------------------------------------------------------------------------------------------------

def wavelengths(d_model, base=10000.0):
    """After how many positions does each pair of the sinusoidal encoding come back to its start?

    Pair i has the angle p / base^(2i/d_model) at position p; a full turn is 2π. Returns (d_model/2,), in positions,
    pair 0 first. They need not be whole numbers.
    """
    return 2 * torch.pi * base ** (torch.arange(0, d_model, 2) / d_model)


def _lengths(exponents=_even, factor=2 * math.pi, sign=1, base_is=None):
    return lambda d_model, base=10000.0: factor * (base_is or base) ** (sign * exponents(d_model))


WAVELENGTHS = Exercise(
    id="06.3",
    title="Wavelengths",
    about=("sinusoidal-encoding",),
    reference=wavelengths,
    returns="(d_model/2)",
    hints=(
        "Pair 0 turns by one radian a position. How many positions does it take to turn by 2π?",
        "Set the angle to 2π and solve for p: p / base^(2i/d_model) = 2π.",
    ),
    cases=(
        Case("d_model = 4", lambda: (4,), "The longest of them is 100 · 2π."),
        Case("base 100", lambda: (10, 100.0)),
        Case("d_model = 512", lambda: (512,), "The longest is 9647 · 2π: it does not reach 10000 · 2π."),
        Case("a single pair", lambda: (2, 30.0), "With i = 0 the base does not matter."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _lengths,
            ({"factor": 1.0},
             "Your 2π is missing: after base^(2i/d_model) positions the angle is 1, and a full turn is 2π."),
            ({"exponents": _pair_index}, "Your exponent is i/d_model. It is 2i/d_model."),
            ({"exponents": _doubled},
             "Your exponent is 4i/d_model: torch.arange(0, d_model, 2) is 2i already."),
            ({"exponents": _up_to_the_base},
             "You divide by d_model - 2, so the longest wavelength is 2π · base. The formula divides by d_model and "
             "never quite reaches that."),
            ({"exponents": _one_pair_late}, "Your exponents begin with 2/d_model. The first pair has i = 0."),
            ({"base_is": 10000.0}, "You use 10000, whatever base is."),
        ),
        *alone(
            (_lengths(factor=math.pi),
             "Your turn is half a turn: after π the sine has its other sign. A full turn is 2π."),
            (_lengths(factor=360.0), "You count a turn in degrees, 360. The angles are radians: a full turn is 2π."),
            (lambda d_model, base=10000.0: (2 * math.pi * base) ** _even(d_model),
             "You raise 2π to the power as well. Only the base has the exponent: 2π · base^(2i/d_model)."),
            (lambda d_model, base=10000.0: torch.linspace(2 * math.pi, 2 * math.pi * base, d_model // 2),
             "Your wavelengths grow by equal steps. They grow by equal factors: 2π · base^(2i/d_model)."),
            (lambda d_model, base=10000.0: _lengths()(d_model, base).round(),
             "You round to whole positions. A wavelength need not be a whole number: leave it as it is."),
            (_lengths(sign=-1),
             "Your exponent has the wrong sign: later pairs turn more slowly, so their wavelengths are longer."),
            (_lengths(factor=1.0, sign=-1),
             "You return the frequencies, in radians per position. A wavelength is 2π divided by the frequency."),
            (_lengths(factor=1 / (2 * math.pi), sign=-1),
             "You return turns per position. The wavelength is positions per turn: one divided by that."),
            (lambda d_model, base=10000.0: wavelengths(d_model, base).repeat_interleave(2),
             "You return one number for each dimension. Sine and cosine of a pair share a wavelength: d_model/2 "
             "numbers."),
            (lambda d_model, base=10000.0: 2 * math.pi * base ** (torch.arange(d_model) / d_model),
             "You use every dimension number as an exponent. There is one wavelength for each pair, with exponent "
             "2i/d_model."),
            (lambda d_model, base=10000.0: wavelengths(d_model, base).flip(0),
             "Your wavelengths are in reverse order: pair 0, the shortest, comes first."),
        ),
    ),
)

# --- 06.4 -----------------------------------------------------------------------------------------------------------

def shift_matrix(k, d_model, base=10000.0):
    """The matrix that moves an encoding on by k positions.

    Returns M (d_model, d_model) with PE(p + k) = M @ PE(p) for every p, where PE(p) is the row of position p in the
    sinusoidal table, sine and cosine in turn, as a column. k is any whole number.
    """
    M = torch.zeros(d_model, d_model)
    for i in range(0, d_model, 2):                                    # dimensions i and i+1 are one pair
        angle = torch.tensor(k / base ** (i / d_model))
        M[i, i], M[i, i + 1] = angle.cos(), angle.sin()               # sin(a + b) = sin a cos b + cos a sin b
        M[i + 1, i], M[i + 1, i + 1] = -angle.sin(), angle.cos()      # cos(a + b) = cos a cos b - sin a sin b
    return M


def _blocks(cosine, sine):
    return torch.stack([torch.stack([cosine, sine], -1), torch.stack([-sine, cosine], -1)], -2)


def _shift(block=_blocks, exponents=_even, halves=False, turn=lambda k, frequencies: k * frequencies, base_is=None):
    """A shift with parts of it exchanged.

    block: cosines, sines of the pairs' angles -> (d_model/2, 2, 2); halves: for tables of two halves; turn: k,
    frequencies -> angles.
    """
    def matrix(k, d_model, base=10000.0):
        angles = turn(k, (base_is or base) ** -exponents(d_model))
        whole = torch.block_diag(*block(angles.cos(), angles.sin()))
        order = torch.arange(d_model).view(-1, 2).T.flatten()         # 0, 2, 4, …, 1, 3, 5, …
        return whole[order][:, order] if halves else whole
    return matrix


def _square(one, two, three, four):
    """A block from its four numbers, row by row. Each is called with cosine and sine."""
    return lambda cosine, sine: torch.stack(
        [number(cosine, sine) for number in (one, two, three, four)], -1).unflatten(-1, (2, 2))


SHIFT_MATRIX = Exercise(
    id="06.4",
    title="A shift is a rotation",
    about=("relative-shift",),
    reference=shift_matrix,
    returns="(d_model, d_model)",
    hints=(
        "Take one pair, with frequency ω. How do sin((p + k)ω) and cos((p + k)ω) follow from sin(pω) and cos(pω)? "
        "Look up sin(a + b) and cos(a + b).",
        "For each pair the two formulas make a block of 2 × 2 numbers that does not depend on p. The blocks stand on "
        "the diagonal, and everything else is 0.",
        "The block is [[cos kω, sin kω], [-sin kω, cos kω]]. torch.block_diag(*blocks) puts blocks on the diagonal.",
    ),
    cases=(
        Case("three positions on, d_model = 4", lambda: (3, 4)),
        Case("one position on, base 100", lambda: (1, 8, 100.0)),
        Case("no shift", lambda: (0, 6), "Nothing moves: M is the identity."),
        Case("two positions back", lambda: (-2, 6), "k may be negative."),
        Case("a single pair", lambda: (10, 2, 50.0)),
        Case("ten dimensions", lambda: (5, 10, 30.0)),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _shift,
            ({"block": lambda cosine, sine: _blocks(cosine, -sine)},
             "Your matrix goes the other way: it gives PE(p - k), or it works from the right, as PE(p) @ M. In the "
             "order (sine, cosine) the minus stands below: [[cos, sin], [-sin, cos]]."),
            ({"halves": True},
             "Your matrix is for a table of two halves, sines and then cosines. Here they take turns, so each block "
             "covers two neighbours."),
            ({"exponents": _pair_index}, "Your exponent is i/d_model. It is 2i/d_model, for pair i."),
            ({"exponents": _doubled},
             "Your exponent is 4i/d_model. It is 2i/d_model for pair i: a loop over 0, 2, 4, … has 2i already."),
            ({"base_is": 10000.0}, "You use 10000, whatever base is."),
        ),
        *alone(
            (_shift(turn=lambda k, frequencies: k * torch.ones_like(frequencies)),
             "Every pair turns by k in your matrix. Pair i turns by k times its own frequency, base^(-2i/d_model)."),
            (_shift(turn=lambda k, frequencies: frequencies),
             "Your matrix moves on by one position, whatever k is: the angle is k times the frequency."),
            (_shift(turn=lambda k, frequencies: k / frequencies),
             "You multiply k by base^(2i/d_model). It is divided: later pairs turn more slowly."),
            (_shift(turn=lambda k, frequencies: 2 * math.pi * k * frequencies),
             "You multiply the angles by 2π. They are radians already."),
            (_shift(turn=lambda k, frequencies: abs(k) * frequencies),
             "You lose the sign of k: a shift back turns the other way."),
            (_shift(_square(lambda c, s: c, lambda c, s: s, lambda c, s: s, lambda c, s: c)),
             "Your minus is missing: cos(a + b) = cos a cos b - sin a sin b."),
            (_shift(_square(lambda c, s: c, lambda c, s: -s, lambda c, s: -s, lambda c, s: c)),
             "You have the minus twice. sin(a + b) = sin a cos b + cos a sin b has none: only the sine below the "
             "diagonal has it."),
            (_shift(_square(lambda c, s: c, lambda c, s: s, lambda c, s: s, lambda c, s: -c)),
             "Your block is a mirror, not a rotation: the minus belongs to the sine below the diagonal, [[cos, sin], "
             "[-sin, cos]]."),
            (lambda k, d_model, base=10000.0: k * _shift()(1, d_model, base),
             "You multiply the matrix of one step by k. It is the angle that is multiplied: k steps are k rotations "
             "one after another."),
            (_shift(_square(lambda c, s: s, lambda c, s: c, lambda c, s: c, lambda c, s: -s)),
             "Your block holds the right numbers at the wrong places: sin(a + b) = sin a cos b + cos a sin b, so cos "
             "kω stands on the diagonal."),
            (_shift(_square(lambda c, s: s, lambda c, s: c, lambda c, s: -c, lambda c, s: s)),
             "Your sines and cosines are exchanged: cos kω stands on the diagonal. For k = 0 the matrix must be the "
             "identity."),
            (_shift(_square(lambda c, s: c, lambda c, s: 0 * s, lambda c, s: 0 * s, lambda c, s: c)),
             "Your matrix has a diagonal only, so sine and cosine of a pair do not mix. A rotation needs both."),
            (lambda k, d_model, base=10000.0: torch.diag(position_table(abs(k) + 1, d_model, base)[-1]),
             "You put PE(k) on the diagonal. The encodings do not multiply; each pair is rotated."),
        ),
    ),
    atol=1e-4,
)

# --- 06.5 -----------------------------------------------------------------------------------------------------------

def similarity(p, q, d_model, base=10000.0):
    """The dot product of two positions' encodings, PE(p) · PE(q): one number.

    p, q: positions, whole numbers from 0 on. A product of sines plus a product of cosines is the cosine of the
    difference, so no table is needed: there is one cosine for each pair.
    """
    frequencies = base ** (-torch.arange(0, d_model, 2) / d_model)    # (d_model/2,)
    return ((p - q) * frequencies).cos().sum().item()


def _over_pairs(of_pair=lambda p, q, w: ((p - q) * w).cos(), exponents=_even, total=torch.sum, base_is=None):
    """A similarity with parts of it exchanged. of_pair: p, q, frequencies -> what each pair adds."""
    def answer(p, q, d_model, base=10000.0):
        return float(total(of_pair(p, q, (base_is or base) ** -exponents(d_model))))
    return answer


def _over_dimensions(step):
    """A similarity with a cosine for each dimension j, with the exponent step · j / d_model."""
    def answer(p, q, d_model, base=10000.0):
        w = base ** (-step * torch.arange(d_model, dtype=torch.float64) / d_model)
        return float(((p - q) * w).cos().sum())
    return answer


def _from_table(product, make=RIGHT):
    def answer(p, q, d_model, base=10000.0):
        table = make(max(p, q) + 1, d_model, base)
        return float(product(table[p], table[q]))
    return answer


SIMILARITY = Exercise(
    id="06.5",
    title="How alike are two positions?",
    about=("relative-shift",),
    reference=similarity,
    hints=(
        "Write one pair out: sin(pω) sin(qω) + cos(pω) cos(qω). There is a formula for that sum.",
        "It is cos((p - q)ω). Add it up over the pairs. What must come out for p = q?",
    ),
    cases=(
        Case("positions 3 and 7, d_model = 4", lambda: (3, 7, 4)),
        Case("base 100", lambda: (10, 3, 6, 100.0)),
        Case("a position with itself", lambda: (5, 5, 8), "Every pair adds cos 0 = 1, so it is d_model/2."),
        Case("far apart", lambda: (40, 2, 10, 20.0)),
        Case("a single pair", lambda: (2, 9, 2)),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _over_pairs,
            ({"total": torch.mean},
             "You divide by d_model/2, which makes a cosine similarity of it. The plain dot product is the sum."),
            ({"exponents": _pair_index}, "Your exponent is i/d_model. It is 2i/d_model."),
            ({"exponents": _doubled},
             "Your exponent is 4i/d_model: torch.arange(0, d_model, 2) is 2i already."),
            ({"base_is": 10000.0}, "You use 10000, whatever base is."),
            ({"of_pair": lambda p, q, w: ((p + q) * w).cos()},
             "You take the cosine of the sum. sin a sin b + cos a cos b = cos(a - b): it is the difference that "
             "counts."),
        ),
        *alone(
            (_over_pairs(lambda p, q, w: 2 * ((p - q) * w).cos()),
             "Your sum is twice too large: sine and cosine of a pair add one cosine together, not one each."),
            (_over_pairs(total=lambda terms: terms.sum() / (2 * len(terms))),
             "You divide by d_model. The plain dot product is the sum."),
            (_over_pairs(total=lambda terms: terms.sum() / (2 * len(terms)) ** 0.5),
             "You divide by √d_model, as attention does with its scores. The plain dot product is asked for."),
            (_over_pairs(lambda p, q, w: ((p - q) * w).sin()),
             "You add up sines of the difference. sin a sin b + cos a cos b is its cosine; for p = q yours gives 0."),
            (_over_pairs(lambda p, q, w: ((p + q) * w).sin()),
             "You multiply each sine with the other position's cosine. A dot product multiplies like with like: sin a "
             "sin b + cos a cos b."),
            (_over_dimensions(1),
             "You add up d_model cosines, one for each dimension j with the exponent j/d_model. There is one for each "
             "pair: exponents 0, 2/d_model, 4/d_model, …"),
            (_over_dimensions(2),
             "You add up d_model cosines, with i from 0 to d_model - 1. There are d_model/2 pairs: range(d_model // "
             "2)."),
            (lambda p, q, d_model, base=10000.0: ((p - q) * base ** -_even(d_model)).cos(),
             "You return one number for each pair. Their sum is asked for: one number."),
            (lambda p, q, d_model, base=10000.0: RIGHT(p + 1, d_model, base)[p] * RIGHT(q + 1, d_model, base)[q],
             "You return one product for each dimension. A dot product is their sum: one number."),
            (_over_pairs(lambda p, q, w: (p * w).sin() * (q * w).sin()),
             "You use the sines alone. The cosines are half of the encoding."),
            (_over_pairs(lambda p, q, w: (p * w).cos() * (q * w).cos()),
             "You use the cosines alone. The sines are half of the encoding."),
            (_over_pairs(lambda p, q, w: (p * q * w).cos()),
             "You multiply the positions. It is their difference that counts."),
            (_over_pairs(lambda p, q, w: ((p - q) / w).cos()),
             "You multiply by base^(2i/d_model). It is divided: later pairs turn more slowly."),
            (lambda p, q, d_model, base=10000.0: math.cos(p - q),
             "You use the first pair alone. Add up all d_model/2 of them."),
            (_from_table(lambda one, other: one @ other, _encoding(exponents=_each_its_own)),
             "Every dimension of your table has a frequency of its own. Sine and cosine of a pair share one, "
             "2i/d_model."),
            (_from_table(lambda one, other: (one - other).norm()),
             "You return the distance of the two encodings. The dot product is asked for."),
            (_from_table(lambda one, other: (one - other).square().sum()),
             "You return the squared distance of the two encodings. The dot product is asked for."),
        ),
    ),
    atol=1e-3,
)

# --- 06.6 -----------------------------------------------------------------------------------------------------------

def add_positions(x, table):
    """Tell every word where it stands.

    x: (B, T, C), embedded words; table: (max_length, C), one vector for each position.
    Returns (B, T, C): to the word at position t of each sentence the t-th row is added, the first being 0. x stays as
    it is. Raises ValueError where T is above max_length.
    """
    if x.shape[1] > len(table):
        raise ValueError(f"a sequence of {x.shape[1]} words, but positions for {len(table)}")
    return x + table[:x.shape[1]]                                     # (B, T, C) + (T, C)


def _words_and_table(batch, words, size, max_length):
    return lambda: (torch.randn(batch, words, size), torch.randn(max_length, size))


def _too_long(x, table):
    return x.shape[1] > len(table)


def _sum_or_refusal(answer, x, table):
    try:
        return value_or_refusal(answer, (x, table), _too_long(x, table))
    except (IndexError, RuntimeError) as error:
        # Torch's own complaint about shapes is a mistake in the answer's code, and is told as such.
        if not _too_long(x, table) or "size of tensor" in str(error):
            raise
        return "raises IndexError" if isinstance(error, IndexError) else "raises RuntimeError"


def _adding(add):
    """An answer that refuses what is too long and else gives add(x, table)."""
    return refusing(add, _too_long)


def _plain_sum(x, table):
    return x + table[:x.shape[1]]


def _with_rows(rows):
    """An answer without a check, that takes rows of the table. rows: T, max_length -> positions."""
    return lambda x, table: x + table[rows(x.shape[1], len(table))]


def _with_nothing_beyond(x, table):
    missing = table.new_zeros(max(x.shape[1] - len(table), 0), table.shape[1])
    return _plain_sum(x, torch.cat([table, missing]))


ADD_POSITIONS = Exercise(
    id="06.6",
    title="Add the positions",
    about=("sinusoidal-encoding", "learned-positions"),
    reference=add_positions,
    returns="(B, T, C)",
    run=_sum_or_refusal,
    hints=(
        "All sentences begin at position 0, so they share the same T rows of the table. Which ones?",
        "(B, T, C) + (T, C) broadcasts over the batch: x + table[:T] with T = x.shape[1].",
        "Look at T first: raise ValueError(…) if it is above len(table). A slice does not complain about it.",
    ),
    cases=(
        Case("a table longer than the sentences", _words_and_table(2, 4, 6, 9)),
        Case("as many sentences as words", _words_and_table(3, 3, 5, 7),
             "Positions count words, not sentences of the batch."),
        Case("sentences as long as the table", _words_and_table(4, 5, 2, 5), "The last row is used too."),
        Case("one sentence", _words_and_table(1, 3, 4, 8)),
        Case("sentences longer than the table", _words_and_table(2, 6, 3, 4), "There is no row for the fifth word."),
        Case("a table of one row, sentences of three words", _words_and_table(2, 3, 4, 1),
             "Broadcasting would give the one row to all three words without a complaint."),
    ),
    misconceptions=(
        *alone(
            (_adding(lambda x, table: x * table[:x.shape[1]]),
             "You multiply by the positions. They are added: a position of 0 would wipe the word out."),
            (_adding(lambda x, table: x - table[:x.shape[1]]), "You subtract the positions. They are added."),
            (_adding(lambda x, table: x + table[:x.shape[1]].mean(0)),
             "You add the mean of the rows, so all words get the same vector and the order is lost. Each word gets its "
             "own row."),
            (lambda x, table: x * table[:x.shape[1]],
             "You multiply by the positions, where they are added; and what is longer than the table is not refused "
             "with a ValueError."),
            (_plain_sum,
             "Your sum is right, but a sentence longer than the table is not refused: torch complains only as long as "
             "shapes do not fit, and a table of one row fits always. Write raise ValueError(…) yourself."),
            (lambda x, table: x + table,
             "You add the whole table, and that fits only where T equals max_length. Take its first T rows: "
             "table[:T]."),
            (_adding(lambda x, table: x + table),
             "You add the whole table. A shorter sentence needs only its first T rows: table[:T]."),
            (_adding(lambda x, table: x + table[:len(x)].unsqueeze(1)),
             "You give every word of a sentence the same row, counted along the batch. Positions count words: axis 1."),
            (_adding(lambda x, table: x + table[:len(x)]),
             "You take as many rows as there are sentences, len(x). You need one for each word: x.shape[1]."),
            (_adding(lambda x, table: x + table[1:x.shape[1] + 1]),
             "Your first word gets row 1. Positions begin with 0, and the last row would be missing where T equals "
             "max_length."),
            (_adding(lambda x, table: x + table[-x.shape[1]:]),
             "You take the last T rows. The first word stands at position 0."),
            (_adding(lambda x, table: x + table[:x.shape[1]].flip(0)), "Your positions run backwards."),
            (_adding(lambda x, table: x + table[x.shape[1] - 1]),
             "You add one row, the last position's, to all words. Each word has its own."),
            (_adding(lambda x, table: x + table[0]), "You add row 0 to all words. Each word has its own."),
            (_adding(lambda x, table: table[:x.shape[1]].expand_as(x)),
             "You return the positions alone: the words are lost. Add them."),
            (_adding(lambda x, table: torch.cat([x, table[:x.shape[1]].expand_as(x)], dim=-1)),
             "You put the positions behind the words, which makes 2C features. They are added, so C stays C."),
            (_adding(lambda x, table: x * x.shape[2] ** 0.5 + table[:x.shape[1]]),
             "You multiply the words by √C, as the first Transformer does with its embeddings. Here x is added as it "
             "is."),
            (_adding(lambda x, table: (x + table[:x.shape[1]]) / 2),
             "You take the mean of word and position. The sum is wanted."),
            (refusing(_plain_sum, lambda x, table: x.shape[1] >= len(table)),
             "You refuse sentences as long as the table too. There is a row for each of their words: refuse T > "
             "max_length, not >=."),
            (lambda x, table: x[:, :len(table)] + table[:x.shape[1]],
             "You cut sentences that are too long, and nobody learns that words are lost. Write raise ValueError(…)."),
            (_with_rows(lambda T, max_length: torch.arange(T) % max_length),
             "You begin again with row 0 where the table ends: two words then stand at one position. Write raise "
             "ValueError(…)."),
            (_with_rows(lambda T, max_length: torch.arange(T).clamp(max=max_length - 1)),
             "You give all words past the end the last row: they then stand at one position. Write raise "
             "ValueError(…)."),
            (_with_nothing_beyond, "You give words past the end no position at all. Write raise ValueError(…)."),
            (refusing(_plain_sum, _too_long, IndexError),
             "You refuse with IndexError, or an index runs past the table. Write raise ValueError(…): it is the "
             "argument that is wrong, and a caller can catch just that."),
            (refusing(_plain_sum, _too_long, RuntimeError),
             "You refuse with RuntimeError. Write raise ValueError(…): it says that a value is wrong."),
            (refusing(_plain_sum, lambda x, table: len(x) > len(table)),
             "You compare the number of sentences, x.shape[0], with the table. It is the number of words that must "
             "fit: x.shape[1]."),
        ),
        *weak_refusals(_plain_sum, _too_long, "a sentence longer than the table"),
    ),
)

EXERCISES = [POSITION_TABLE, WRONG_CELLS, WAVELENGTHS, SHIFT_MATRIX, SIMILARITY, ADD_POSITIONS]

# --- quizzes --------------------------------------------------------------------------------------------------------

QUIZZES = {
    "06-opening": [
        Question(
            "In chapter 05's self-attention, query t and key s have the score (W_Q x_t) · (W_K x_s) / √d_k. Both words "
            "move to other places in the sentence. What happens to the score of this query and this key?",
            (
                Choice("It stays as it was",
                       "The formula holds the two word vectors and two matrices. No place stands in it.", correct=True),
                Choice("It falls if they are further apart now",
                       "Near words often matter more. But no part of the formula is a distance."),
                Choice("It changes if other words stand between them",
                       "Those have scores of their own. They share in the softmax, but not in this score."),
                Choice("It turns its sign if they change sides", "Nothing in the formula says which comes first."),
            ),
            about=("why-position",),
        ),
        Question(
            "You shuffle the words of an input. In which of these does the shuffle do more than shuffle the outputs "
            "in the same way?",
            (
                Choice("A linear layer on each word", "It treats each word alone, whatever its place."),
                Choice("Self-attention without a mask", "Every word still sees all the others, with the same scores."),
                Choice("Self-attention with a causal mask",
                       "Now a word sees other words than before: those that stand in front of it have "
                       "changed.", correct=True),
                Choice("ReLU", "It treats each number alone."),
            ),
            about=("permutation-equivariance",),
        ),
        Question(
            "An RNN gets no positions at all and still tells \"dog bites man\" from \"man bites dog\". Where does it "
            "get the order from?",
            (
                Choice("From the embeddings", "The same word has the same embedding at every place."),
                Choice("From the length of the sentence", "Both have three words."),
                Choice("From the words around", "It needs the order to know which is before and which is behind."),
                Choice("From its steps",
                       "It reads one word after the other, and the state has already changed when the next comes. The "
                       "order of the steps is the position.", correct=True),
            ),
            about=("rnn-needs-none",),
        ),
        Question(
            "After how many positions p has sin(p/100) made one whole wave and comes back to its start?",
            (
                Choice("100", "There the angle is 1, and a full turn is 2π ≈ 6.28."),
                Choice("About 628", "The angle must grow by 2π: p/100 = 2π.", correct=True),
                Choice("About 6.28", "That is for sin(p). Divided by 100, it takes 100 times as long."),
                Choice("About 314", "After half a turn the sine is 0 again, but it goes on with the other sign."),
            ),
            about=("sinusoidal-encoding",),
        ),
        Question(
            "The simplest idea: add the number p to every feature of the word at position p. The embeddings have "
            "numbers near 1 in size. What goes wrong? (A guess is fine.)",
            (
                Choice("Two words at different positions could not be told apart",
                       "They could: their features differ by the difference of positions."),
                Choice("In a long text the position drowns the word",
                       "At position 500 each feature is near 500, and the word's own part is lost in it. Sine and "
                       "cosine stay between -1 and 1.", correct=True),
                Choice("The gradient cannot pass an addition",
                       "It passes a sum unchanged: a sum is the easiest thing there is."),
                Choice("Nothing goes wrong",
                       "Words and positions must be of one size to be heard both. A feature of 0.3 becomes 500.3."),
            ),
            about=("why-position",),
        ),
    ],
    "06-closing": [
        Question(
            "A classifier takes embeddings, self-attention without mask or positions, and the mean over the words. "
            "Half of its test is \"the cat ate the woman\", half \"the woman ate the cat\". Who ate? How often can "
            "it be right?",
            (
                Choice("Always, after enough training", "No training helps: both sentences give the same mean."),
                Choice("In one half",
                       "It gives the same answer to both sentences, so it is right in one half.", correct=True),
                Choice("Never",
                       "It has to say something, and one of the two answers is right for one of the sentences."),
                Choice("In three quarters",
                       "For that it would need a hint that tells the two sentences apart a little."),
            ),
            about=("why-position",),
        ),
        Question(
            "d_model = 4, base 10000. Which row belongs to position 1?",
            (
                Choice("[0.841, 0.010, 0.540, 1.000]",
                       "These are the right numbers, sines first and cosines behind. They should take turns."),
                Choice("[0.841, 0.540, 0.909, -0.416]",
                       "The second pair holds sin 2 and cos 2: the first pair of position 2."),
                Choice("[0.540, 0.841, 1.000, 0.010]", "Sine and cosine are exchanged. The sine comes first."),
                Choice("[0.841, 0.540, 0.010, 1.000]", "sin 1, cos 1, then sin 0.01 and cos 0.01.", correct=True),
            ),
            about=("pe-worked",),
        ),
        Question(
            "A page prints [0, 1, 0.841, 0.540] as the encoding of position 0. Which of its cells are wrong?",
            (
                Choice("None of them", "0.841 and 0.540 are sin 1 and cos 1. At position 0 no angle is 1: all are 0."),
                Choice("The last two", "At position 0 every angle is 0, in every pair: 0 and 1 again.", correct=True),
                Choice("The first two", "sin 0 = 0 and cos 0 = 1, as it should be."),
                Choice("The third alone", "cos 0 is 1, so 0.540 in the last cell cannot be right either."),
            ),
            about=("pe-worked",),
        ),
        Question(
            "What is the longest wavelength at d_model = 4 and base 10000?",
            (
                Choice("10000 · 2π", "That would need the exponent 1. The last pair has 2i/d_model = 2/4."),
                Choice("2π", "That is pair 0, the shortest."),
                Choice("100 · 2π", "The last pair is i = 1, and 10000 to the power 2/4 is 100.", correct=True),
                Choice("9647 · 2π",
                       "That is so at d_model = 512. The more pairs, the nearer the last one comes to the base."),
            ),
            about=("sinusoidal-encoding",),
        ),
        Question(
            "d_model = 512. Which angle has dimension 6 at position p? Dimensions are counted from 0.",
            (
                Choice("p / 10000^(6/512)", "Dimension 6 is the sine of pair 3, and 2i = 6.", correct=True),
                Choice("p / 10000^(12/512)",
                       "That takes 6 for the number of the pair. It is the number of the dimension, 2i."),
                Choice("p / 10000^(3/512)", "The pair is i = 3, but the exponent has 2i."),
                Choice("p / 10000^(7/512)", "Dimension 7 is the cosine of the same pair, with the same angle as 6."),
            ),
            about=("sinusoidal-encoding",),
        ),
        Question(
            "A pair has the wavelength 200π. You move on by 50 positions. How does the pair change?",
            (
                Choice("It depends on the position you start from",
                       "The numbers do. The angle by which they turn does not."),
                Choice("It turns by 50 radians", "That is pair 0, with a frequency of one radian a position."),
                Choice("It turns by 0.5 radians",
                       "A full turn of 2π takes 200π positions, so each is 1/100 radian.", correct=True),
                Choice("It is multiplied by 0.5", "The length of a pair is always 1: sin² + cos². It only turns."),
            ),
            about=("relative-shift",),
        ),
        Question(
            "Which of these is in general not equal to PE(4) · PE(7)?",
            (
                Choice("PE(7) · PE(4)", "A dot product has no order, and cos(-x) = cos x."),
                Choice("PE(104) · PE(101)", "Far along, but three positions apart as well."),
                Choice("PE(0) · PE(3)", "Three positions apart as well. Only the distance counts."),
                Choice("PE(7) · PE(11)", "The distance is four here, and three there.", correct=True),
            ),
            about=("relative-shift",),
        ),
        Question(
            "PE(p) · PE(q) cannot tell whether q stands before or after p. How can attention still learn \"look one "
            "word to the left\"?",
            (
                Choice("With W_Q and W_K: they can turn one side before the product",
                       "A shift by one position is a rotation, so a matrix can do it: the score is then largest one "
                       "word to the left.", correct=True),
                Choice("It cannot, and that is why every model has a causal mask",
                       "Encoders have no causal mask and learn to look left and right."),
                Choice("With softmax: it treats smaller positions in another way",
                       "Softmax looks at scores only, wherever they stand."),
            ),
            about=("relative-shift",),
        ),
        Question(
            "One model has a learned table of 128 positions, another has sinusoids. Both were trained on texts of up "
            "to 128 words, and now get one of 200. What is certain?",
            (
                Choice("Both work as before", "The first has no vector for word 129."),
                Choice("The sinusoids work as before",
                       "They give a vector for each position. Whether the model can use what it never saw is another "
                       "question."),
                Choice("The learned table has no row for word 129",
                       "A table ends where it ends. A formula can be computed anywhere, which does not yet mean that "
                       "the model reads it well.", correct=True),
            ),
            about=("learned-positions",),
        ),
        Question(
            "A small task that needs the order is trained on bare attention: without positions it stays at chance. "
            "You add a causal mask, still no positions, and it learns something. How can that be?",
            (
                Choice("The mask makes the gradient larger",
                       "It takes keys away. That alone tells nothing about order."),
                Choice("A word sees only those in front of it, and that depends on the order",
                       "The mask lets order in without positions. So the comparison is made without it.", correct=True),
                Choice("The embeddings have learned the positions", "A word has one embedding, wherever it stands."),
                Choice("Fewer keys make every task easier",
                       "The task needs the order. Seeing less of a set does not give its order."),
            ),
            about=("position-ablation",),
        ),
        Question(
            "At one learning rate, 0.001, a network with sinusoidal positions is right in 0.92 of the cases, one with "
            "learned positions in 0.12. No other rate was tried. What follows?",
            (
                Choice("Learned positions cannot do this task",
                       "At 0.01 they are nearly always right. One rate says little about them."),
                Choice("A formula wins where sentences are few", "They are not few: every batch is drawn anew."),
                Choice("The learned table has too few rows",
                       "It has 40, and no sentence is longer than 20. A missing row is an error, not a low score."),
                Choice("Nothing yet about the two kinds",
                       "Each kind needs the rate that suits it, chosen on validation sentences. Then both are right "
                       "nearly always.", correct=True),
            ),
            about=("position-ablation",),
        ),
        Question(
            "By mistake a program multiplies: x * table[:T] in place of x + table[:T]. What happens to the first "
            "word of every sentence?",
            (
                Choice("Half of its features become 0",
                       "Position 0 is 0, 1, 0, 1, …: the sines wipe out what they multiply.", correct=True),
                Choice("Nothing", "Only the features under a cosine stay, as it is 1 there."),
                Choice("All of its features become 0",
                       "The cosines are 1 at position 0, so every other feature stays."),
                Choice("It becomes twice as large", "For that all factors would have to be 2."),
            ),
            about=("sinusoidal-encoding",),
        ),
        Question(
            "Rotary positions (RoPE) and ALiBi add nothing to the embeddings. Where do they put the position?",
            (
                Choice("Both into the values",
                       "What is read stays as it is in both. The position decides where to look."),
                Choice("RoPE into the scores, ALiBi into queries and keys", "It is the other way round."),
                Choice("RoPE into queries and keys, ALiBi into the scores",
                       "RoPE turns queries and keys by an angle that grows with the position. ALiBi takes off more "
                       "from a score the further away the key is.", correct=True),
                Choice("Both into the softmax's temperature",
                       "A temperature would change all keys alike, near or far."),
            ),
            about=("modern-positions",),
        ),
    ],
}
