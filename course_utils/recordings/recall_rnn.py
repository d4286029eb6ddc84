"""Chapter 01: can a plain RNN recall the first symbol across a gap? Every gap, learning rate and seed.

The sweep takes several minutes; the chapter draws it and runs one seed again.
"""

import itertools

import torch
import torch.nn.functional as F

from course_utils.data.memory import SYMBOLS, recall_batch
from course_utils.models.recurrent import SequenceReader

SETTINGS = {
    "gaps": [2, 5, 10, 20, 40, 80],
    "learning_rates": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2],
    "seeds": [0, 1, 2, 3, 4],
    "hidden_size": 64,
    "batch_size": 64,
    "steps": 500,
    "max_norm": 1.0,
}


def recall_accuracy(gap, learning_rate, seed, steps=500, hidden_size=64, batch_size=64, max_norm=1.0):
    """Train an RNN on the recall task; its share of right answers on fresh sequences (validation, test)."""
    torch.manual_seed(seed)
    model = SequenceReader(SYMBOLS + 1, hidden_size, SYMBOLS)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    data = torch.Generator().manual_seed(1000 + seed)
    for _ in range(steps):
        x, first = recall_batch(batch_size, gap, data)          # (B, gap + 2, SYMBOLS + 1), (B,)
        loss = F.cross_entropy(model(x), first)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
    with torch.no_grad():
        fresh = [recall_batch(1000, gap, data) for _ in ("validation", "test")]
        return tuple(float((model(x).argmax(-1) == first).float().mean()) for x, first in fresh)


def run(progress=list):
    """All runs; progress wraps the list of them. Returns rows of gap, learning_rate, seed, validation, test."""
    training = {name: SETTINGS[name] for name in ("steps", "hidden_size", "batch_size", "max_norm")}
    grid = list(itertools.product(SETTINGS["gaps"], SETTINGS["learning_rates"], SETTINGS["seeds"]))
    rows = []
    for gap, learning_rate, seed in progress(grid):
        validation, test = recall_accuracy(gap, learning_rate, seed, **training)
        rows.append({"gap": gap, "learning_rate": learning_rate, "seed": seed, "validation": validation, "test": test})
    return {"rows": rows}
