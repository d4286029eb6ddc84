"""Chapter 11: time of dense, masked dense and sparse attention, forward and backward, as the sequence grows.

Times are of one machine on one day: the recording says how many threads it had. Ratios travel better than milliseconds.
"""

import functools

import torch
import torch.nn.functional as F

from course_utils.models.compact import bigbird_mask, draw_random_keys, expand_layout, sparse_attention
from course_utils.recordings.sequence_cost import measure

SETTINGS = {"lengths": [256, 512, 1024, 2048, 4096], "block": 64, "window": 1, "n_global": 1, "n_random": 2,
            "rounds": 5}


@functools.cache
def layout_of(T, seed=0):
    """BigBird's blocks for T tokens: (n, n), n = T / block. Window, global and random blocks as in SETTINGS."""
    n = T // SETTINGS["block"]
    near = bigbird_mask(n, SETTINGS["window"], SETTINGS["n_global"])
    keys = draw_random_keys(near, SETTINGS["n_random"], torch.Generator().manual_seed(seed))
    return bigbird_mask(n, SETTINGS["window"], SETTINGS["n_global"], keys)


@functools.cache
def token_mask(T):
    """The same for tokens, (T, T): what a dense attention needs for the same result."""
    return expand_layout(layout_of(T), SETTINGS["block"])


def attention_layers():
    """Three ways from (B, T, C) to (B, 1, T, C), one head, x is query, key and value: a dict from name to function."""
    def attend(function):
        return lambda x: function(*[x.unsqueeze(1)] * 3)

    return {"dense": attend(F.scaled_dot_product_attention),
            "dense, masked": lambda x: attend(functools.partial(
                F.scaled_dot_product_attention, attn_mask=token_mask(x.shape[1])))(x),
            "sparse": lambda x: attend(functools.partial(
                sparse_attention, layout=layout_of(x.shape[1]), block=SETTINGS["block"]))(x)}


def run(progress=list):
    """Milliseconds of each way at each length, and the share of the T² pairs that the sparse one computes."""
    found = measure(SETTINGS["lengths"], SETTINGS["rounds"], progress, attention_layers)
    return {"milliseconds": {name: [round(value, 2) for value in values] for name, values in found.items()},
            "share": [round(layout_of(T).float().mean().item(), 4) for T in SETTINGS["lengths"]]}
