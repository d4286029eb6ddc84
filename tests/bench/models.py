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


def step(model, x):
    """One forward and backward pass; the gradients are left in the parameters."""
    model.zero_grad()
    outputs, _ = model(x)
    outputs.square().mean().backward()
    return outputs.detach()


# name -> function that returns ours, theirs and what to do with either; the two must return the same tensor
PAIRS = {f"{kind} against `nn.{kind}`, forward and backward": partial(recurrent_step, kind)
         for kind in ("RNN", "GRU", "LSTM")}


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
