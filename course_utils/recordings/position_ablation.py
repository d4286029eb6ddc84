"""Chapter 06: which symbol stood before this one? Attention with no, sinusoidal and learned positions, every seed.

One layer of attention without a mask; everything but the positions is the same. Sentences of up to 20 symbols are
trained, longer ones only tested.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.attention import MultiHeadAttention
from course_utils.models.positional import LearnedPositions, SinusoidalPositions
from course_utils.recordings import best_rate
from course_utils.training import train, warmup_then_cosine

SETTINGS = {
    "symbols": 50,
    "d_model": 64,
    "n_heads": 1,
    "table": 40,
    "trained_lengths": [4, 20],
    "tested_lengths": [5, 10, 15, 20, 25, 30, 35, 40],
    "batch_size": 64,
    "steps": 600,
    "warmup": 30,
    "learning_rates": [1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
    "seeds": [0, 1, 2, 3, 4],
}
KINDS = ("none", "sinusoidal", "learned")


def symbol_batch(batch_size, T, generator=None):
    """Sentences of T different symbols in random order: (B, T), int64. Every order is equally likely.

    Raises ValueError for a T below 2 or above the number of symbols.
    """
    if not 2 <= T <= SETTINGS["symbols"]:
        raise ValueError(f"T={T} must be from 2 to {SETTINGS['symbols']}: no symbol comes twice")
    return torch.rand(batch_size, SETTINGS["symbols"], generator=generator).argsort(1)[:, :T]


class PositionReader(nn.Module):
    """Symbols, their positions added, one layer of attention added to that, scores. forward: (B, T) -> (B, T, V).

    positions: "none", "sinusoidal" or "learned", else ValueError.
    """

    def __init__(self, positions):
        super().__init__()
        if positions not in KINDS:
            raise ValueError(f"positions={positions!r} is none of {', '.join(KINDS)}")
        V, C, table = (SETTINGS[name] for name in ("symbols", "d_model", "table"))
        self.embedding = nn.Embedding(V, C)
        layers = {"sinusoidal": SinusoidalPositions, "learned": LearnedPositions}
        self.positions = layers[positions](table, C) if positions in layers else nn.Identity()
        self.attention = MultiHeadAttention(C, SETTINGS["n_heads"])
        self.head = nn.Linear(C, V)

    def forward(self, ids):
        x = self.positions(self.embedding(ids))                              # (B, T) -> (B, T, C)
        seen, _ = self.attention(x, x, x, need_weights=False)                # no mask: every word sees every word
        return self.head(x + seen)                                           # (B, T, C) -> (B, T, V)


def train_reader(model, seed, learning_rate):
    """Train with Adam to name the symbol before each one, in sentences of the trained lengths. Returns the History."""
    draw, (low, high) = torch.Generator().manual_seed(1000 + seed), SETTINGS["trained_lengths"]
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    factor = warmup_then_cosine(SETTINGS["steps"], SETTINGS["warmup"])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

    def loss_at(step):
        T = int(torch.randint(low, high + 1, (), generator=draw))
        ids = symbol_batch(SETTINGS["batch_size"], T, draw)                  # (B, T)
        scores = model(ids)[:, 1:]                                           # the first symbol has none before it
        return F.cross_entropy(scores.flatten(0, 1), ids[:, :-1].flatten())

    return train(model, SETTINGS["steps"], loss_at, optimizer, schedule, label="the symbol before")


def right_by_place(model, T, seed, sentences=500):
    """Share of right answers at each place of new sentences of T symbols: (T - 1,). The first place is not asked."""
    ids = symbol_batch(sentences, T, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return (model(ids)[:, 1:].argmax(-1) == ids[:, :-1]).float().mean(0)


def trained(positions, seed, learning_rate):
    """A network with these positions, trained; and its History."""
    torch.manual_seed(seed)
    model = PositionReader(positions)
    return model, train_reader(model, seed, learning_rate)


def best_learning_rate(rows, positions):
    """The learning rate with the best mean validation over the seeds; the smallest of equals."""
    return best_rate(rows, "validation", rate="learning_rate", positions=positions)


def run(progress=list):
    """All runs; progress wraps the list of them. Returns a row for each.

    validation: share right, the mean over the tested lengths that were trained. test: the same for each tested length,
    on other sentences. by_place: for each place but the first of the longest sentences.
    """
    lengths, longest = SETTINGS["tested_lengths"], SETTINGS["trained_lengths"][1]
    grid = list(itertools.product(KINDS, SETTINGS["learning_rates"], SETTINGS["seeds"]))
    rows = []
    for positions, learning_rate, seed in progress(grid):
        model, history = trained(positions, seed, learning_rate)
        known = [right_by_place(model, T, seed=1).mean().item() for T in lengths if longest >= T]
        places = [right_by_place(model, T, seed=2) for T in lengths]
        rows.append({"positions": positions, "learning_rate": learning_rate, "seed": seed,
                     "seconds": round(history.seconds, 1), "validation": round(sum(known) / len(known), 4),
                     "test": [round(share.mean().item(), 4) for share in places],
                     "by_place": [round(share, 3) for share in places[-1].tolist()]})
    return {"rows": rows}
