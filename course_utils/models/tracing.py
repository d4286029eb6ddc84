"""What happens inside a `Transformer` during one forward pass, part by part: for pictures and for questions.

The model itself keeps nothing: hooks listen while it runs, and are taken off again, as in `attention_maps`.
Shapes: B batch, T time (S source, T target), C features, H heads, V target vocabulary.
"""

import contextlib
import inspect
from typing import NamedTuple

import torch
from torch import nn

from course_utils.models.attention import MultiHeadAttention, attention_maps


class Stage(NamedTuple):
    """What leaves one part of the model.

    name: the part's path in the model, such as "decoder.blocks.0.cross_attention". values: (B, T, C); of the head
    (B, T, V). weights: of an attention (B, H, T_q, T_k), else None. allowed: its mask, or None where all is allowed.
    """

    name: str
    values: torch.Tensor
    weights: torch.Tensor | None = None
    allowed: torch.Tensor | None = None


@contextlib.contextmanager
def evaluating(model):
    """Put a model into evaluation mode for a `with` block. Then each of its modules gets back the mode that it had.

    `model.train(was_training)` would give all of them the mode of the outermost.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


def trace(model, source, lengths, tokens):
    """Everything that one forward pass of a `Transformer` computes: a list of Stages in the order of computing.

    source (B, S), lengths (B,) and tokens (B, T) are what the model's forward takes. For each side, "encoder" and then
    "decoder", there are: `words`, the word vectors times √d_model; `positions`, the same with positions added; for each
    block b and sublayer f: `blocks.b.f`, what the sublayer says, before it `blocks.b.f.hidden` of a feed-forward
    network; `blocks.b.around_f.sum`, that added to what came in; `blocks.b.around_f.norm`, the layer norm, before or
    after the others as the model has it. `norm` is the last one of a pre-norm stack. "head" comes last: the logits.
    A part that the model leaves out (see `without`) has no stage. Dropout is off meanwhile.
    """
    stages, handles = [], []
    sides = iter(("encoder", "decoder"))                 # both embed with the one module `positions`: encoder first

    def keep(name, values, *attention):
        stages.append(Stage(name, values.detach(), *attention))

    def keep_positions(layer, arguments, result):
        side = next(sides)
        keep(f"{side}.words", arguments[0])
        keep(f"{side}.positions", result)

    try:
        handles.append(model.positions.register_forward_hook(keep_positions))
        handles.append(model.head.register_forward_hook(lambda layer, arguments, logits: keep("head", logits)))
        for name, part in model.named_modules():
            handles += listen(name, part, keep)
        with evaluating(model):
            attention_maps(model, source, lengths, tokens)     # one forward pass, with the weights of every head
    finally:
        for handle in handles:
            handle.remove()
    return stages


def listen(name, part, keep):
    """Put hooks on one part of the model that hand what leaves it to keep(name, values, …). Returns their handles.

    Parts are known by what they have, not by their class: a notebook may have written the classes anew.
    """
    if isinstance(part, MultiHeadAttention):
        def attended(layer, arguments, keywords, result):
            call = inspect.signature(layer.forward).bind(*arguments, **keywords)
            keep(name, *result, call.arguments.get("mask"))
        return [part.register_forward_hook(attended, with_kwargs=True)]
    if hasattr(part, "w_1") and hasattr(part, "w_2"):
        return [part.w_2.register_forward_pre_hook(lambda layer, arguments: keep(f"{name}.hidden", *arguments)),
                part.register_forward_hook(lambda layer, arguments, result: keep(name, result))]
    if hasattr(part, "norm_at"):
        return frame_hooks(name, part, keep)
    if hasattr(part, "blocks") and isinstance(part.norm, nn.LayerNorm):
        return [part.norm.register_forward_hook(lambda layer, arguments, result: keep(f"{name}.norm", result))]
    return []


def frame_hooks(name, frame, keep):
    """The hooks of a `Residual`: the sum goes into the norm ("post") or leaves the frame ("pre", or no norm)."""
    def normed(layer, arguments, result):
        if frame.norm_at == "post":
            keep(f"{name}.sum", *arguments)
        keep(f"{name}.norm", result)

    def left(layer, arguments, result):
        if frame.norm_at != "post":
            keep(f"{name}.sum", result)

    return [frame.norm.register_forward_hook(normed), frame.register_forward_hook(left)]
