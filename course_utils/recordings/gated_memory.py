"""Chapter 02: what do gates hold across a gap? Recall and adding, RNN, LSTM and GRU, every gap, learning rate and seed.

The sweep takes most of an hour; the chapter draws it and runs some of it again. The plain network's recall is not run
here: it is chapter 01's recording `recall_rnn`, made with the same settings.
"""

import itertools

import torch
import torch.nn.functional as F

from course_utils.data.memory import SYMBOLS, adding_batch, recall_batch
from course_utils.models.recurrent import GRUCell, LSTMCell, RNNCell, SequenceReader, set_gate_bias
from course_utils.training import train

SETTINGS = {
    "lengths": [10, 20, 40, 80],
    "learning_rates": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2],
    "seeds": [0, 1, 2],
    "gate_bias": 5.0,
    "batch_size": 64,
    "max_norm": 1.0,
    "recall": {"hidden_size": 64, "steps": 500},
    "adding": {"hidden_size": 32, "steps": 800},
}
CELLS = {"RNN": RNNCell, "LSTM": LSTMCell, "GRU": GRUCell}


def fresh_answers(task, model, length, data, size):
    """The model's answers to a new batch, and the right ones. length: the gap of "recall", the length of "adding"."""
    batch = recall_batch if task == "recall" else adding_batch
    x, right = batch(size, length, data)                        # (B, T, C), (B,)
    return model(x).squeeze(1), right                           # recall: (B, SYMBOLS), (B,); adding: (B,), (B,)


def memory_score(task, cell, gate_bias, length, learning_rate, seed):
    """Train a network on a memory task; its score on fresh sequences (validation, test).

    task: "recall" (score: share of right answers) or "adding" (score: mean squared error). cell: "RNN", "LSTM" or
    "GRU". gate_bias: where the gates start, or None for torch's own start. length: the gap of recall, T of adding.
    """
    torch.manual_seed(seed)
    features, answers = (SYMBOLS + 1, SYMBOLS) if task == "recall" else (2, 1)
    model = SequenceReader(features, SETTINGS[task]["hidden_size"], answers, CELLS[cell])
    if gate_bias is not None:
        set_gate_bias(model, gate_bias)
    data = torch.Generator().manual_seed(1000 + seed)
    loss = F.cross_entropy if task == "recall" else F.mse_loss
    train(model, SETTINGS[task]["steps"], lambda step: loss(*fresh_answers(task, model, length, data, 64)),
          torch.optim.Adam(model.parameters(), lr=learning_rate), max_norm=1.0, label=f"{cell}, {length} steps")
    with torch.no_grad():
        fresh = [fresh_answers(task, model, length, data, 1000) for _ in ("validation", "test")]
    if task == "recall":
        return tuple(float((scores.argmax(-1) == right).float().mean()) for scores, right in fresh)
    return tuple(float(F.mse_loss(sums, right)) for sums, right in fresh)


def run(progress=list):
    """All runs; progress wraps the list of them. Returns rows of task, cell, gate_bias, length, … and both scores."""
    biases = {"RNN": [None], "LSTM": [None, SETTINGS["gate_bias"]], "GRU": [None, SETTINGS["gate_bias"]]}
    grid = [(task, cell, bias, *rest) for task in ("recall", "adding") for cell in CELLS for bias in biases[cell]
            for rest in itertools.product(SETTINGS["lengths"], SETTINGS["learning_rates"], SETTINGS["seeds"])
            if (task, cell) != ("recall", "RNN")]
    names = ("task", "cell", "gate_bias", "length", "learning_rate", "seed")
    rows = []
    for settings in progress(grid):
        validation, test = memory_score(*settings)
        rows.append({**dict(zip(names, settings, strict=True)), "validation": validation, "test": test})
    return {"rows": rows}
