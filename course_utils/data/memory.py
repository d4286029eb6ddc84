"""Two tasks that can only be solved by remembering across a gap. Both are made on the spot, without end.

The recall task follows the idea of Hochreiter and Schmidhuber (1997): one early symbol decides the answer. The adding
task is theirs too (section 5.4), with one mark in each half as in Arjovsky, Shah and Bengio (2016).
"""

import torch

SYMBOLS = 8


def recall_batch(batch_size, gap, generator=None):
    """Which symbol came first? A symbol, then `gap` other random symbols, then a cue that asks.

    Returns x (B, gap + 2, SYMBOLS + 1), one-hot, the last feature being the cue, and the first symbols (B,), int64.
    Guessing gets 1 in SYMBOLS right. Raises ValueError for a negative gap or an empty batch.
    """
    _check(batch_size >= 1, f"batch_size={batch_size} must be at least 1")
    _check(gap >= 0, f"gap={gap} must not be negative")
    ids = torch.randint(SYMBOLS, (batch_size, gap + 2), generator=generator)
    first = ids[:, 0].clone()
    ids[:, -1] = SYMBOLS                                                     # the cue
    return torch.nn.functional.one_hot(ids, SYMBOLS + 1).float(), first      # (B, T) -> (B, T, SYMBOLS + 1)


def adding_batch(batch_size, length, generator=None):
    """What is the sum of the two marked numbers? One mark lies in the first half, one in the second.

    Returns x (B, length, 2), a number in [0, 1) and a mark of 0 or 1, and sums (B,). Answering 1 always has a mean
    squared error of 1/6. Raises ValueError for a length below 2 or an empty batch.
    """
    _check(batch_size >= 1, f"batch_size={batch_size} must be at least 1")
    _check(length >= 2, f"length={length} must be at least 2: two numbers are marked")
    numbers = torch.rand(batch_size, length, generator=generator)
    marks = torch.zeros(batch_size, length)
    half = length // 2
    early = torch.randint(0, half, (batch_size, 1), generator=generator)
    late = torch.randint(half, length, (batch_size, 1), generator=generator)
    marks.scatter_(1, early, 1.0).scatter_(1, late, 1.0)
    return torch.stack([numbers, marks], dim=-1), (numbers * marks).sum(1)   # 2 times (B, T) -> (B, T, 2)


def _check(condition, message):
    if not condition:
        raise ValueError(message)
