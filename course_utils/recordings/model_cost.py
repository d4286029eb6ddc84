"""Chapter 07: what two layers of a GRU and of a Transformer encoder cost as the sequence grows, in time and in memory.

Memory is counted, not measured: the bytes of all tensors that the forward pass keeps for the backward pass, the
weights left out. Times are of one machine on one day, as in `sequence_cost`.
"""

import torch
from torch import nn

from course_utils.models.attention import MultiHeadAttention
from course_utils.models.transformer import EncoderBlock, Stack
from course_utils.recordings import sequence_cost

SETTINGS = {"lengths": [16, 32, 64, 128, 256, 512, 1024], "batch_size": 8, "d_model": 64, "n_heads": 4, "d_ff": 256,
            "n_layers": 2, "rounds": 9}


def stacks():
    """Two layers of each kind, from (B, T, d_model) to the same shape: a dict from name to a function of x."""
    d_model, n_layers = SETTINGS["d_model"], SETTINGS["n_layers"]
    gru = nn.GRU(d_model, d_model, n_layers, batch_first=True)
    fused = Stack(EncoderBlock, n_layers, d_model, SETTINGS["n_heads"], SETTINGS["d_ff"])
    explicit = Stack(EncoderBlock, n_layers, d_model, SETTINGS["n_heads"], SETTINGS["d_ff"])
    for layer in explicit.modules():
        if isinstance(layer, MultiHeadAttention):            # its weights are asked for, so all of them are computed
            layer.register_forward_pre_hook(
                lambda _, inputs, options: (inputs, {**options, "need_weights": True}), with_kwargs=True)
    return {"GRU": lambda x: gru(x)[0], "Transformer, explicit attention": explicit,
            "Transformer, fused attention": fused}


def kept_bytes(layer, x):
    """Bytes that a forward pass of layer(x) keeps for the backward pass; x and the weights do not count."""
    found = {}

    def keep(tensor):
        whole = tensor if tensor._base is None else tensor._base         # a transposed weight is a view of the weight
        if not whole.is_leaf:
            storage = tensor.untyped_storage()               # several views of one storage are kept once
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = layer(x)
    assert output.requires_grad                              # the graph must live until the bytes are counted
    return sum(found.values())


def run(progress=list):
    """Milliseconds, forward and backward, and megabytes kept, of each stack at each length."""
    lengths, rounds = SETTINGS["lengths"], SETTINGS["rounds"]
    torch.manual_seed(0)
    found = sequence_cost.measure(lengths, rounds, progress, stacks)
    kept = {name: [kept_bytes(layer, torch.randn(SETTINGS["batch_size"], T, SETTINGS["d_model"], requires_grad=True))
                   for T in lengths] for name, layer in stacks().items()}
    return {"milliseconds": {name: [round(value, 2) for value in values] for name, values in found.items()},
            "megabytes": {name: [round(value / 1e6, 3) for value in values] for name, values in kept.items()}}
