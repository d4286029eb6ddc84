"""Chapter 05: time of a GRU, of explicit and of fused self-attention, forward and backward, as the sequence grows.

Times are of one machine on one day: the recording says how many threads it had. Ratios travel better than milliseconds.
"""

from functools import partial

import torch
from torch import nn

from course_utils.models.attention import MultiHeadAttention
from course_utils.recordings import median_seconds

SETTINGS = {"lengths": [64, 128, 256, 512, 1024, 2048], "batch_size": 8, "d_model": 64, "n_heads": 1, "rounds": 9}


def sequence_layers(d_model=SETTINGS["d_model"], n_heads=SETTINGS["n_heads"]):
    """The three ways from (B, T, d_model) to (B, T, d_model): a dict from name to a function of x."""
    gru, attention = nn.GRU(d_model, d_model, batch_first=True), MultiHeadAttention(d_model, n_heads)
    return {"GRU": lambda x: gru(x)[0],
            "explicit attention": lambda x: attention(x, x, x)[0],
            "fused attention": lambda x: attention(x, x, x, need_weights=False)[0]}


def forward_and_backward(layer, x):
    """What is timed: the output's sum and its gradient, down to x."""
    layer(x).sum().backward()


def measure(lengths, rounds, progress=list, make=sequence_layers):
    """Milliseconds, the median of interleaved rounds: dict from name to one number for each length.

    make: function that returns the layers, functions of x (B, T, d_model) by name.
    """
    torch.manual_seed(0)
    layers = make()
    found = {name: [] for name in layers}
    for T in progress(lengths):
        x = torch.randn(SETTINGS["batch_size"], T, SETTINGS["d_model"], requires_grad=True)
        passes = {name: partial(forward_and_backward, layer, x) for name, layer in layers.items()}
        for name, seconds in median_seconds(passes, rounds).items():
            found[name].append(1000 * seconds)
    return found


def run(progress=list):
    """Milliseconds of each layer at each length."""
    found = measure(SETTINGS["lengths"], SETTINGS["rounds"], progress)
    return {"milliseconds": {name: [round(value, 2) for value in values] for name, values in found.items()}}
