"""One small training loop for the whole course, and the set-up that makes runs repeatable."""

import os
import time
from dataclasses import dataclass, field

import torch
from tqdm.auto import tqdm

from course_utils.models.recurrent import check_sizes


def prepare(threads=1):
    """Fix torch's CPU threads and return the device to train on; see `course_utils.set_up`.

    Raises ValueError when `COURSE_DEVICE` names a device that torch does not know.
    """
    torch.set_num_threads(threads)
    wanted = os.environ.get("COURSE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(wanted)
    except RuntimeError:
        raise ValueError(f"COURSE_DEVICE={wanted!r} is no device that torch knows; try 'cpu' or 'cuda'") from None


@dataclass
class History:
    """What a training run left behind. losses: one number a step. seconds: how long it took.

    interrupted: it was stopped by hand (Ctrl-C, or JupyterLab's stop button) and reached only len(losses) steps.
    """

    losses: list = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


def train(model, steps, loss_at, optimizer, schedule=None, max_norm=None, at=None, label="training"):
    """Run `steps` optimiser steps with a progress bar; an interrupt ends the run and keeps what was reached.

    loss_at: function of the step number (from 0) that returns the loss, a scalar tensor.
    schedule: learning-rate scheduler, stepped after every step. max_norm: clip the global gradient norm to this.
    at: dict from step number to a function without arguments, called once that many steps are done.
    Returns History. Raises FloatingPointError when the loss is no longer finite.
    """
    history, at, started = History(), at or {}, time.perf_counter()
    model.train()
    try:
        for step in tqdm(range(steps), desc=label, leave=False, mininterval=0.5):
            if step in at:
                at[step]()
            optimizer.zero_grad()
            loss = loss_at(step)
            loss.backward()
            if max_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()
            if schedule is not None:
                schedule.step()
            history.losses.append(loss.item())
            if not torch.isfinite(loss):
                raise FloatingPointError(f"the loss became {loss.item()} at step {step}: try a smaller learning rate")
        if steps in at:
            at[steps]()
    except KeyboardInterrupt:
        history.interrupted = True
        print(f"stopped after {len(history.losses)} of {steps} steps; the model keeps what it has learned")
    history.seconds = time.perf_counter() - started
    model.eval()
    return history


def weights_of(model):
    """How many numbers a model has learned, or can learn; those used twice are counted once."""
    return sum(weight.numel() for weight in model.parameters())


def warmup_then_cosine(steps, warmup):
    """Factor for the learning rate: a straight rise over `warmup` steps, then half a cosine wave down to 0.

    Use with `torch.optim.lr_scheduler.LambdaLR`. Returns a function of the step number (from 0).
    """
    def factor(step):
        rise = min(1.0, (step + 1) / max(1, warmup))
        progress = torch.tensor(min(1.0, step / max(1, steps)))
        return rise * float(0.5 * (1 + torch.cos(torch.pi * progress)))
    return factor


def adamw_with_cosine(model, steps, warmup, learning_rate, weight_decay, fused=False):
    """An AdamW optimizer and its `warmup_then_cosine` schedule: (optimizer, schedule), as `train` takes them.

    warmup: share of the steps in which the learning rate rises. fused: one pass over all weights instead of one each.
    """
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=weight_decay, fused=fused)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_then_cosine(steps, int(steps * warmup)))


def warmup_then_inverse_sqrt(d_model, warmup):
    """The Transformer's own learning rate: a straight rise over `warmup` steps, then a fall with 1/√step.

    d_model^-0.5 · min(step^-0.5, step · warmup^-1.5), steps counted from 1 (Vaswani et al., 2017, equation 3); its
    peak is (d_model · warmup)^-0.5. Use with `torch.optim.lr_scheduler.LambdaLR` and an optimizer whose learning rate
    is 1. Returns a function of the step number (from 0). Raises ValueError for sizes below 1.
    """
    check_sizes(d_model=d_model, warmup=warmup)

    def rate(step):
        return d_model ** -0.5 * min((step + 1) ** -0.5, (step + 1) * warmup ** -1.5)
    return rate


def smoothed_cross_entropy(logits, targets, smoothing=0.1, ignore_index=-100):
    """Cross-entropy against soft targets: 1 - smoothing for the right token, smoothing shared out evenly over all V.

    logits (…, V), targets (…) ids; those equal to ignore_index do not count. Returns the mean, a scalar; equal to
    `F.cross_entropy` with label_smoothing (Szegedy et al., 2016). Raises ValueError for a smoothing outside 0 … 1, and
    for shapes that do not fit.
    """
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing={smoothing} is not between 0 and 1")
    if targets.shape != logits.shape[:-1]:
        raise ValueError(f"targets {tuple(targets.shape)} do not fit logits {tuple(logits.shape)}")
    log_probs, real = logits.log_softmax(-1), targets != ignore_index
    right = log_probs.gather(-1, targets.where(real, 0).unsqueeze(-1)).squeeze(-1)           # (…, V) -> (…)
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)                       # (…)
    return losses[real].mean()
