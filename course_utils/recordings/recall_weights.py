"""Chapter 02: the three small networks of GateExplorer, trained to recall the first symbol over gaps up to 30."""

import itertools

import torch
import torch.nn.functional as F

from course_utils.data.memory import SYMBOLS, recall_batch
from course_utils.models.recurrent import GRUCell, LSTMCell, RNNCell, SequenceReader, set_gate_bias
from course_utils.training import train

SETTINGS = {
    "longest_gap": 30,
    "learning_rates": [1e-3, 3e-3, 1e-2],
    "hidden_size": 16,
    "gate_bias": 3.0,
    "batch_size": 64,
    "steps": 3000,
    "max_norm": 1.0,
    "seed": 0,
    "tested_gaps": [2, 5, 10, 20, 30, 60],
}
CELLS = {"recall_rnn": RNNCell, "recall_lstm": LSTMCell, "recall_gru": GRUCell}


def recall_reader(name):
    """A network with the sizes of the checkpoint `name`: "recall_rnn", "recall_lstm" or "recall_gru"."""
    return SequenceReader(SYMBOLS + 1, SETTINGS["hidden_size"], SYMBOLS, CELLS[name])


def trained_reader(name, learning_rate):
    """Train one network on gaps of 1 … longest_gap, a new one for each batch."""
    torch.manual_seed(SETTINGS["seed"])
    model = recall_reader(name)
    set_gate_bias(model, SETTINGS["gate_bias"])
    data = torch.Generator().manual_seed(1000 + SETTINGS["seed"])

    def loss_at(step):
        gap = int(torch.randint(1, SETTINGS["longest_gap"] + 1, (), generator=data))
        x, first = recall_batch(SETTINGS["batch_size"], gap, data)
        return F.cross_entropy(model(x), first)

    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    train(model, SETTINGS["steps"], loss_at, optimizer, max_norm=SETTINGS["max_norm"], label=name)
    return model


def accuracy(model, gap, seed):
    """Share of 1000 sequences with this gap that the network answers rightly."""
    x, first = recall_batch(1000, gap, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return float((model(x).argmax(-1) == first).float().mean())


def run(progress=list):
    """Train each network at every learning rate and keep the best by validation. Returns rows and the weights."""
    rows, best = [], {}
    for name, rate in progress(list(itertools.product(CELLS, SETTINGS["learning_rates"]))):
        model = trained_reader(name, rate)
        validation = sum(accuracy(model, gap, 1) for gap in SETTINGS["tested_gaps"])
        rows.append({"name": name, "learning_rate": rate, "validation": validation / len(SETTINGS["tested_gaps"]),
                     "test": [accuracy(model, gap, 2) for gap in SETTINGS["tested_gaps"]]})
        if name not in best or validation > best[name][0]:
            best[name] = validation, model
    return {"rows": rows, "weights": {name: model for name, (_, model) in best.items()}}
