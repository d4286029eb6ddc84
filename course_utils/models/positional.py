"""Positional encodings: they tell attention the order of the words. Chapter 06 on.

Sources: Vaswani et al., "Attention Is All You Need" (2017), section 3.5, for the sinusoids; Gehring et al.,
"Convolutional Sequence to Sequence Learning" (2017), for learned positions.

Shapes: B batch, T time, C or d_model features.
"""

import torch
from torch import nn

from course_utils.models.recurrent import check_sizes


def sinusoidal_positions(T, d_model, base=10000.0):
    """PE(p, 2i) = sin(p / base^(2i/d_model)) and PE(p, 2i+1) = cos of the same angle: (T, d_model), in -1 … 1.

    Pair i (dimensions 2i and 2i+1) turns with the wavelength 2π·base^(2i/d_model) positions.
    Raises ValueError for an odd d_model, sizes below 1, or a base that is not above 0.
    """
    check_sizes(T=T, d_model=d_model)
    if d_model % 2:
        raise ValueError(f"d_model={d_model} is odd: sines and cosines come in pairs")
    if not 0 < base < float("inf"):
        raise ValueError(f"base={base} must be a number above 0")
    pairs = torch.arange(d_model // 2, dtype=torch.float64)                  # i = 0, 1, …, d_model/2 - 1
    frequencies = base ** (-2 * pairs / d_model)                             # (d_model/2,), radians per position
    angles = torch.arange(T, dtype=torch.float64).unsqueeze(1) * frequencies               # (T, 1) * (d_model/2,)
    table = torch.stack([angles.sin(), angles.cos()], dim=-1)                # (T, d_model/2, 2): sine, cosine in turn
    return table.flatten(1).float()                                          # (T, d_model)


class SinusoidalPositions(nn.Module):
    """Adds the sinusoids to word vectors; nothing is trained. forward: x (B, T, d_model) -> the same shape.

    Raises ValueError for a sequence longer than max_length, and in the constructor as `sinusoidal_positions`.
    """

    def __init__(self, max_length, d_model, base=10000.0):
        super().__init__()
        # not saved with the weights: the formula gives it again
        self.register_buffer("table", sinusoidal_positions(max_length, d_model, base), persistent=False)

    def forward(self, x):
        check_length(x, self.table)
        return x + self.table[: x.shape[1]]                                  # (B, T, d_model) + (T, d_model)


class LearnedPositions(nn.Module):
    """Adds a trained vector for each position. forward: x (B, T, d_model) -> the same shape.

    There is no vector past max_length: ValueError for a longer sequence, and for sizes below 1.
    """

    def __init__(self, max_length, d_model):
        super().__init__()
        check_sizes(max_length=max_length, d_model=d_model)
        self.table = nn.Parameter(0.02 * torch.randn(max_length, d_model))   # small, as BERT and GPT start

    def forward(self, x):
        check_length(x, self.table)
        return x + self.table[: x.shape[1]]                                  # (B, T, d_model) + (T, d_model)


def check_length(x, table):
    """Raise ValueError unless x is (B, T, d_model) and the table has a row for every position."""
    if x.dim() != 3 or x.shape[2] != table.shape[1]:
        raise ValueError(f"expected x of shape (B, T, {table.shape[1]}), got {tuple(x.shape)}")
    if x.shape[1] > len(table):
        raise ValueError(f"a sequence of {x.shape[1]} words, but positions for {len(table)}")
