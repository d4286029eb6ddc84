"""The course's models against PyTorch's own, on the same weights. A chapter adds its pair to PAIRS."""

from functools import partial

from bench.measuring import interleaved, markdown
from course_utils import training


def recurrent_step(kind):
    """Forward and backward through one recurrent layer ("RNN", "GRU", "LSTM"): B=32, T=64, C=32, H=128."""
    import torch
    from torch import nn

    from course_utils.models import recurrent

    torch.manual_seed(0)
    theirs = getattr(nn, kind)(32, 128, batch_first=True)
    ours = recurrent.Recurrent(getattr(recurrent, f"{kind}Cell"), 32, 128)
    recurrent.copy_torch_weights(ours, theirs)
    x = torch.randn(32, 64, 32)
    return ours, theirs, lambda model: step(model, x)


def attention_step(need_weights):
    """Forward and backward through causal self-attention: B=32, T=64, d_model=128, 8 heads."""
    import torch
    from torch import nn

    from course_utils.models.attention import MultiHeadAttention, causal_mask, copy_torch_attention

    torch.manual_seed(0)
    ours, theirs = MultiHeadAttention(128, 8), nn.MultiheadAttention(128, 8, batch_first=True)
    copy_torch_attention(ours, theirs)
    x, mask = torch.randn(32, 64, 128), causal_mask(64)

    def attend(model):
        if model is ours:
            return step(model, x, x, x, mask=mask, need_weights=need_weights)
        # torch's boolean masks say what is NOT allowed
        return step(model, x, x, x, attn_mask=~mask, need_weights=need_weights, average_attn_weights=False)

    return ours, theirs, attend


def step(model, *inputs, **options):
    """One forward and backward pass; the gradients are left in the parameters."""
    model.zero_grad()
    outputs, _ = model(*inputs, **options)
    outputs.square().mean().backward()
    return outputs.detach()


# name -> function that returns ours, theirs and what to do with either; the two must return the same tensor
PAIRS = {f"{kind} against `nn.{kind}`, forward and backward": partial(recurrent_step, kind)
         for kind in ("RNN", "GRU", "LSTM")}
PAIRS |= {f"MultiHeadAttention against `nn.MultiheadAttention`, {name}": partial(attention_step, need_weights)
          for name, need_weights in (("with weights", True), ("fused", False))}


def measure(rounds):
    """For each pair the median milliseconds of both sides. Raises AssertionError where their results differ."""
    import torch

    training.prepare()
    results = {}
    for name, make in PAIRS.items():
        ours, theirs, action = make()
        torch.testing.assert_close(action(ours), action(theirs), rtol=1e-5, atol=1e-5)
        pair = {"ours": lambda act=action, model=ours: act(model), "torch": lambda act=action, model=theirs: act(model)}
        results[name] = {side: round(1000 * seconds, 2) for side, seconds in interleaved(pair, 10 * rounds).items()}
    return results


def table(results):
    rows = [[name, f"{pair['ours']:.1f} ms", f"{pair['torch']:.1f} ms", f"{pair['ours'] / pair['torch']:.2f}"]
            for name, pair in results.items()]
    return markdown(["model", "the course's", "PyTorch's", "ratio"], rows)
