"""Exercises and quizzes of chapter 07, The Transformer."""

import re
import types

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.exercises.combining import alone, alone_and_in_pairs
from course_utils.exercises.comparing import EXACT, as_tensor, plain, same, short
from course_utils.exercises.engine import Case, Choice, Exercise, Question, RuleBroken
from course_utils.exercises.refusing import refusing, value_or_refusal, weak_refusals

# --- 07.1 -------------------------------------------------------------------------------------------------------------

def ffn(x, W_1, b_1, W_2, b_2):
    """The feed-forward network of a block: two linear layers with ReLU between them, at each position alone.

    x: (B, T, C); W_1: (d_ff, C) and b_1: (d_ff,) widen, W_2: (C, d_ff) and b_2: (C,) narrow again. The matrices are
    stored as nn.Linear stores them, (out, in). Returns (B, T, C).
    """
    hidden = torch.relu(x @ W_1.T + b_1)      # (B, T, C) @ (C, d_ff) -> (B, T, d_ff)
    return hidden @ W_2.T + b_2               # (B, T, d_ff) @ (d_ff, C) -> (B, T, C)


def _network(B, T, C, d_ff):
    """Random weights under which about half of the hidden numbers are negative."""
    return lambda: (torch.randn(B, T, C), torch.randn(d_ff, C), torch.randn(d_ff),
                    torch.randn(C, d_ff) / d_ff**0.5, torch.randn(C))


def _asleep():
    """All hidden numbers lie below 0."""
    x, W_1, b_1, W_2, b_2 = _network(2, 3, 5, 7)()
    return x, W_1, -20 - b_1.abs(), W_2, b_2


def _same(x):
    return x


def _feeding(curves=(_same, torch.relu, _same), biases=(1, 1), around=lambda x, out: out, read=_same):
    """A network with one part exchanged.

    curves: what acts on the input, on the hidden numbers and on the output; biases: how often each is added; around:
    input, output -> result; read: x -> what the network reads.
    """
    def answer(x, W_1, b_1, W_2, b_2):
        before, between, after = curves
        hidden = between(before(read(x)) @ W_1.T + biases[0] * b_1)
        return around(x, after(hidden @ W_2.T + biases[1] * b_2))
    return answer


def _curve(between):
    return {"curves": (_same, between, _same)}


def _late_bias(x, W_1, b_1, W_2, b_2):
    return (torch.relu(x @ W_1.T) + b_1) @ W_2.T + b_2


def _feature_major(x, W_1, b_1, W_2, b_2):
    return W_2 @ torch.relu(W_1 @ x.mT + b_1.unsqueeze(1)) + b_2.unsqueeze(1)


FFN = Exercise(
    id="07.1",
    title="The feed-forward network",
    about=("feed-forward",),
    reference=ffn,
    returns="(B, T, C)",
    hints=(
        "Take one position, x of size (C,). The first layer makes d_ff numbers of it, ReLU keeps those above 0, the "
        "second layer makes C numbers again.",
        "nn.Linear stores W as (out, in) and computes x @ W.T + b. @ leaves the axes B and T as they are: no loop is "
        "needed.",
        "hidden = torch.relu(x @ W_1.T + b_1), then hidden @ W_2.T + b_2, and no ReLU after it.",
    ),
    cases=(
        Case("all sizes differ", _network(2, 5, 3, 8)),
        Case("d_ff = C", _network(3, 4, 6, 6), "A square matrix can be multiplied with and without .T, and only one is "
                                               "right."),
        Case("as many words as features", _network(5, 4, 4, 9), "Words and features must not be mixed up."),
        Case("one sentence of one word", _network(1, 1, 5, 10)),
        Case("no hidden number is above 0", _asleep, "ReLU makes all of them 0, so every word's output is b_2."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _feeding,
            (_curve(_same), "The ReLU is missing. Two linear layers without it are one linear layer, with the matrix "
                            "W_2 W_1."),
            ({"curves": (_same, torch.relu, torch.relu)},
             "Your output goes through ReLU too, so it can never be negative. ReLU stands between the layers only."),
            ({"curves": (_same, _same, torch.relu)},
             "Your ReLU comes after the second layer. It stands between the two: behind W_1, before W_2."),
            ({"curves": (torch.relu, _same, _same)},
             "Your ReLU acts on x, before the first layer. It stands between the two: behind W_1, before W_2."),
            ({"biases": (0, 1)}, "The first bias is missing: x @ W_1.T + b_1."),
            ({"biases": (1, 0)}, "The second bias is missing: add b_2 at the end."),
            ({"biases": (0, 0)}, "You add no bias: both layers have one, b_1 and b_2."),
            ({"around": lambda x, out: x + out},
             "You add x. That is the residual connection around the network, and the next step's work."),
        ),
        *alone(
            (_feeding(**_curve(F.gelu)), "You use GELU, as BERT and GPT do. This network has ReLU."),
            (_feeding(**_curve(torch.tanh)), "You use tanh in place of ReLU."),
            (_feeding(**_curve(torch.sigmoid)), "You use a sigmoid in place of ReLU."),
            (_feeding(**_curve(F.leaky_relu)),
             "You use the leaky ReLU, which lets a little of a negative number through. ReLU makes it 0."),
            (_feeding(**_curve(torch.abs)),
             "You take the absolute value. ReLU makes negative numbers 0: torch.relu(x), or x.clamp(min=0)."),
            (_feeding(**_curve(lambda hidden: hidden.clamp(max=0))),
             "You keep the negative numbers and put 0 for the others. ReLU keeps the positive ones: max(0, x)."),
            (_feeding(**_curve(lambda hidden: hidden.softmax(-1))),
             "You take softmax of the hidden numbers. That belongs to attention; between the layers stands ReLU."),
            (_feeding(**_curve(lambda hidden: (hidden > 0).to(hidden.dtype))),
             "You keep only whether a hidden number is above 0, as 0 or 1. ReLU keeps the number itself."),
            (_late_bias, "You add b_1 after ReLU. It belongs to the first layer: relu(x @ W_1.T + b_1)."),
            (lambda x, W_1, b_1, W_2, b_2: torch.relu(x @ W_1 + b_1) @ W_2 + b_2,
             "Your matrices want .T, both of them: nn.Linear stores W as (out, in), so a layer is x @ W.T + b."),
            (lambda x, W_1, b_1, W_2, b_2: torch.relu(x @ W_1 + b_1) @ W_2.T + b_2,
             "Your first matrix wants .T: W_1 is stored as (out, in), so the layer is x @ W_1.T + b_1."),
            (lambda x, W_1, b_1, W_2, b_2: torch.relu(x @ W_1.T + b_1) @ W_2 + b_2,
             "Your second matrix wants .T: W_2 is stored as (out, in), so the layer is hidden @ W_2.T + b_2."),
            (lambda x, W_1, b_1, W_2, b_2: torch.relu(x @ W_2 + b_1) @ W_1 + b_2,
             "Your matrices changed places: W_2 fits without .T where W_1.T belongs, and the numbers are others."),
            (lambda x, W_1, b_1, W_2, b_2: torch.relu(x @ W_2.T + b_1) @ W_1.T + b_2,
             "Your matrices changed places: W_1 makes d_ff numbers of C and comes first."),
            (lambda x, W_1, b_1, W_2, b_2: torch.relu(x @ W_1.T + b_2) @ W_2.T + b_1,
             "Your biases changed places: b_1 has d_ff numbers and belongs to W_1, b_2 has C and belongs to W_2."),
            (lambda x, W_1, b_1, W_2, b_2: W_2 @ torch.relu(W_1 @ x + b_1) + b_2,
             "Your matrices stand on the left, as for a column vector. Here each word is a row: x @ W_1.T."),
            (_feature_major,
             "Your numbers are right, but features stand before words: you multiply from the left. x @ W_1.T keeps one "
             "row for each word."),
            (_feeding(read=lambda x: x.mean(1, keepdim=True).expand_as(x)),
             "You feed the mean of all words, so every position gets the same output. Each position goes through "
             "alone."),
            (_feeding(read=lambda x: x.mean(1, keepdim=True)),
             "You feed the mean of all words: one output for a sentence. Each position goes through alone, and T "
             "stays."),
            (_feeding(read=lambda x: x.mean(1)),
             "You take the mean over the words first, and the axis T is gone. Each position goes through alone."),
            (_feeding(read=lambda x: x[:, -1]),
             "You feed the last word alone. Every position goes through, with the same weights."),
            (_feeding(read=lambda x: x[:, 0]),
             "You feed the first word alone. Every position goes through, with the same weights."),
            (_feeding(read=lambda x: x.flatten(1)),
             "You flatten the words of a sentence into one row of T · C numbers. W_1 reads C numbers: one position at "
             "a time. Leave x as it is."),
            (_feeding(read=lambda x: x.flatten(0, 1)),
             "Your numbers are right, but the words of all sentences stand in one row, (B · T, C). Give them back "
             "their axes: .reshape(x.shape). Or leave x as it is: @ does not need the step."),
            (lambda x, W_1, b_1, W_2, b_2: torch.relu(x @ W_1.T + b_1),
             "You return the hidden numbers, (B, T, d_ff). The second layer makes C of them again."),
            (_feeding(around=lambda x, out: F.layer_norm(x + out, x.shape[-1:])),
             "You add x and normalise. That is the frame around the network, not the network itself."),
        ),
    ),
)


# --- 07.2 -------------------------------------------------------------------------------------------------------------

def normalise(x, gain, bias, eps=1e-5):
    """Layer norm: the C features of each word get mean 0 and variance 1, then times gain, plus bias.

    x: (B, T, C); gain, bias: (C,); eps is added to the variance, under the root. The variance divides by C.
    Returns (B, T, C).
    """
    mean = x.mean(-1, keepdim=True)                              # (B, T, C) -> (B, T, 1): one for each word
    variance = (x - mean).square().mean(-1, keepdim=True)        # (B, T, 1)
    return (x - mean) / (variance + eps).sqrt() * gain + bias


def _words(B, T, C, *eps, mean=2.0, size=3.0):
    """Words whose mean is not 0 and whose spread is not 1."""
    return lambda: (size * torch.randn(B, T, C) + mean, torch.randn(C) + 2, torch.randn(C), *eps)


def _plain_gain():
    x, gain, bias = _words(2, 4, 7)()
    return x, torch.ones_like(gain), torch.zeros_like(bias)


def _one_word_of_equal_features():
    x, gain, bias = _words(2, 3, 5)()
    x[1, 0] = 2.0
    return x, gain, bias


def _centred(x, axes):
    return x - x.mean(axes, keepdim=True)


def _variance(x, axes, unbiased=False):
    return x.var(axes, keepdim=True, unbiased=unbiased)


def _normalising(
    axes=-1, centre=_centred, divisor=lambda x, axes, eps: (_variance(x, axes) + eps).sqrt(),
    finish=lambda x, gain, bias: x * gain + bias,
):
    """A layer norm with one part exchanged. centre: x, axes -> tensor; divisor: x, axes, eps -> tensor."""
    def answer(x, gain, bias, eps=1e-5):
        return finish(centre(x, axes) / divisor(x, axes, eps), gain, bias)
    return answer


def _dividing(by_variance):
    """A misconception that makes another divisor of variance and eps."""
    return _normalising(divisor=lambda x, axes, eps: by_variance(_variance(x, axes), eps))


def _without_keepdim(divisor):
    """A misconception that loses the axis of the features. divisor: x, eps -> (B, T)."""
    return lambda x, gain, bias, eps=1e-5: (x - x.mean(-1)) / divisor(x, eps) * gain + bias


def _std_plus_eps(x, axes, eps):
    return _variance(x, axes, unbiased=True).sqrt() + eps


def _mean_square(x, axes):
    return x.square().mean(axes, keepdim=True)


NORMALISE = Exercise(
    id="07.2",
    title="Layer norm",
    about=("layer-norm",),
    reference=normalise,
    returns="(B, T, C)",
    without=("F.layer_norm", "nn.LayerNorm"),
    hints=(
        "Take one word: C numbers. Subtract their mean, divide by the root of their variance. No other word has a say.",
        "x.mean(-1, keepdim=True) is (B, T, 1): one mean for each word, and it broadcasts over the features.",
        "x.var and x.std divide by C - 1 unless they are told unbiased=False. (x - mean).square().mean(-1, "
        "keepdim=True) divides by C.",
        "eps stands under the root: (x - mean) / (variance + eps).sqrt(). Then times gain, plus bias.",
    ),
    cases=(
        Case("all sizes differ", _words(2, 5, 4)),
        Case("gain 1 and bias 0", _plain_gain, "Each word's features must then have mean 0 and variance 1."),
        Case("two features", _words(3, 4, 2), "With two features C and C - 1 differ most."),
        Case("features that hardly differ", _words(4, 3, 6, mean=0.01, size=0.003),
             "The variance is about 0.00001 here, as large as eps: now it matters where eps stands."),
        Case("a word with five equal features", _one_word_of_equal_features,
             "Its variance is 0. eps keeps the division from 0 / 0, and its output is the bias."),
        Case("eps = 0.5", _words(3, 2, 8, 0.5, size=1.0), "The caller chooses eps."),
        Case("as many sentences as words as features", _words(4, 4, 4),
             "Here the wrong axis gives no error, only wrong numbers."),
        Case("sentences of one word", _words(2, 1, 9), "A word is normalised by itself."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _normalising,
            ({"axes": (0, 1)},
             "Your mean and variance run over all words of the batch, one for each feature: that is batch norm. Layer "
             "norm takes each word by itself, over its features, the last axis."),
            ({"axes": 1},
             "Your mean and variance run over the words of a sentence (axis 1). They run over the features of one "
             "word, the last axis."),
            ({"axes": 0},
             "Your mean and variance run over the batch (axis 0), so sentences influence each other. They run over the "
             "features of one word, the last axis."),
            ({"divisor": lambda x, axes, eps: (_variance(x, axes, unbiased=True) + eps).sqrt()},
             "Your variance divides by C - 1, as x.var does by default. Layer norm divides by C: unbiased=False."),
            ({"divisor": _std_plus_eps},
             "Your divisor is x.std(…) + eps. It differs in two ways: x.std divides by C - 1, layer norm by C; and eps "
             "stands under the root, beside the variance."),
            ({"divisor": lambda x, axes, eps: _variance(x, axes).sqrt() + eps},
             "Your eps is added after the root. It stands under the root, beside the variance."),
            ({"divisor": lambda x, axes, eps: _variance(x, axes).sqrt()},
             "You leave eps out. It stands under the root and keeps the division from 0 / 0."),
            ({"divisor": lambda x, axes, eps: _variance(x, axes, unbiased=True).sqrt()},
             "You divide by x.std(…) alone: it divides by C - 1, layer norm by C; and eps is missing under the root."),
            ({"divisor": lambda x, axes, eps: (_variance(x, axes) + 1e-5).sqrt()},
             "Your eps is a number of your own, 0.00001. Use the argument: a caller may want another one."),
            ({"finish": lambda x, gain, bias: x}, "You leave gain and bias out: x · gain + bias comes at the end."),
        ),
        *alone(
            (_normalising(axes=(1, 2)),
             "Your mean and variance run over words and features of a sentence together. Each word has its own: the "
             "last axis alone."),
            (_normalising(axes=(0, 1, 2)),
             "You take one mean and one variance for the whole tensor. Each word has its own: mean(-1, keepdim=True)."),
            (_without_keepdim(lambda x, eps: (x.var(-1, unbiased=False) + eps).sqrt()),
             "Your mean lost its axis: (B, T) does not line up with (B, T, C), and where it does, the wrong numbers "
             "meet. keepdim=True keeps it as (B, T, 1)."),
            (_without_keepdim(lambda x, eps: (x.var(-1) + eps).sqrt()),
             "Your mean lost its axis, (B, T): keepdim=True keeps it as (B, T, 1). Besides, x.var and x.std divide by "
             "C - 1, and layer norm by C."),
            (_normalising(axes=(1, 2), divisor=_std_plus_eps),
             "Your mean and x.std(…) run over words and features of a sentence together. Each word has its own: the "
             "last axis alone. And the divisor is √(variance + eps), with a variance that divides by C."),
            (_normalising(axes=(0, 1, 2), divisor=_std_plus_eps),
             "You take one mean and one x.std() for the whole tensor. Each word has its own: dim=-1, keepdim=True. And "
             "the divisor is √(variance + eps), with a variance that divides by C."),
            (lambda x, gain, bias, eps=1e-5:
                 x - x.mean(-1, keepdim=True) / (_variance(x, -1) + eps).sqrt() * gain + bias,
             "You divide the mean alone: Python divides before it subtracts. Write (x - mean) in parentheses."),
            (_normalising(finish=lambda x, gain, bias: x * gain, centre=lambda x, axes: x,
                          divisor=lambda x, axes, eps: (_mean_square(x, axes) + eps).sqrt()),
             "You wrote RMS norm: the mean is not subtracted, and the bias is missing. Layer norm has both."),
            (_dividing(lambda variance, eps: variance + eps),
             "You divide by the variance plus eps. Take the root of that."),
            (_dividing(lambda variance, eps: variance),
             "You divide by the variance alone: take its root, with eps under it."),
            (_dividing(lambda variance, eps: (variance + eps).rsqrt()),
             "You multiply by the root, or you divide by its inverse: rsqrt is 1 / √ already. The spread is divided "
             "out."),
            (_dividing(lambda variance, eps: (variance + eps**2).sqrt()),
             "You square eps under the root. It is added to the variance as it is."),
            (_normalising(divisor=lambda x, axes, eps: (x.shape[-1] * _variance(x, axes) + eps).sqrt()),
             "Your variance is a sum of squares. Divide it by C: take the mean."),
            (lambda x, gain, bias, eps=1e-5: F.normalize(_centred(x, -1), dim=-1) * gain + bias,
             "You divide by the vector's length, as F.normalize does: the root of a sum of squares. Layer norm divides "
             "by the root of the variance, a mean of squares, with eps under the root."),
            (_normalising(divisor=lambda x, axes, eps: (_mean_square(x, axes) + eps).sqrt()),
             "Your variance is the mean of the squares of x itself. Subtract the mean before you square."),
            (_normalising(centre=lambda x, axes: x, divisor=lambda x, axes, eps: (_mean_square(x, axes) + eps).sqrt()),
             "You do not subtract the mean: that is RMS norm, which many newer models use. Layer norm subtracts it."),
            (_normalising(centre=lambda x, axes: x),
             "Your variance is right, but the mean is not subtracted from x before the division."),
            (_dividing(lambda variance, eps: torch.ones_like(variance)),
             "You subtract the mean and do not divide: the variance stays what it was."),
            (_normalising(finish=lambda x, gain, bias: x + bias),
             "You leave the gain out. It multiplies, before the bias is added."),
            (_normalising(finish=lambda x, gain, bias: x * gain), "You leave the bias out. It is added at the end."),
            (_normalising(finish=lambda x, gain, bias: (x + bias) * gain),
             "You add the bias before the gain. First times gain, then plus bias."),
            (_normalising(finish=lambda x, gain, bias: x * bias + gain),
             "You exchanged gain and bias: the gain multiplies, the bias is added."),
            (_normalising(finish=lambda x, gain, bias: x * (1 + gain) + bias),
             "You multiply by 1 + gain. Here the gain itself multiplies; it begins at 1."),
            (lambda x, gain, bias, eps=1e-5: F.normalize(x, dim=-1) * gain + bias,
             "You divide each word by its length. The mean is subtracted first, and the divisor is √(variance + eps)."),
        ),
    ),
)


# --- 07.3 -------------------------------------------------------------------------------------------------------------

def residual_step(x, sublayer, norm, order):
    """Put the residual frame around a sublayer f.

    x: (B, T, C); sublayer, norm: functions (B, T, C) -> (B, T, C). order: "post", norm(x + f(x)), as in the paper, or
    "pre", x + f(norm(x)). The sublayer is called once, and x stays as it is.
    Returns (B, T, C). Raises ValueError for another order.
    """
    if order == "post":
        return norm(x + sublayer(x))
    if order == "pre":
        return x + sublayer(norm(x))
    raise ValueError(f"order is 'post' or 'pre', not {order!r}")


def _sublayer(size):
    """A random function (B, T, C) -> (B, T, C) in which each word looks at the mean of all."""
    W, b = torch.randn(size, size) / size**0.5, torch.randn(size)

    def f(x):
        x = torch.as_tensor(x)
        return torch.tanh((x + x.mean(1, keepdim=True)) @ W.to(x.dtype) + b.to(x.dtype))
    return f


def _layer_norm(size):
    """A layer norm with a gain and a bias of its own."""
    gain, bias = torch.rand(size) + 0.5, torch.randn(size)

    def norm(x):
        x = torch.as_tensor(x)
        return F.layer_norm(x, x.shape[-1:], gain.to(x.dtype), bias.to(x.dtype))
    return norm


def _silent(x):
    """A sublayer that says nothing."""
    return torch.zeros_like(torch.as_tensor(x))


def _framed(order, B, T, C, sublayer=_sublayer):
    return lambda: (2 * torch.randn(B, T, C) + 1, sublayer(C), _layer_norm(C), order)


def _no_order(x, sublayer, norm, order):
    return order not in ("post", "pre")


def _refusal(answer, *inputs):
    """What the answer does where the order is wrong, in words."""
    try:
        value = value_or_refusal(answer, inputs, wrong=True)
    except UnboundLocalError:  # if and elif, and a return after them
        return "goes on"
    except (KeyError, TypeError, NotImplementedError, RuntimeError) as error:
        if "exceptions must derive" in str(error):
            raise
        return "raises another kind of error"
    return value if isinstance(value, str) and value.startswith(("raises ", "returns a ")) else "goes on"


def _step_or_refusal(answer, x, sublayer, norm, order):
    """The answer's value, or what it does where the order is wrong.

    Raises RuleBroken where f is called too often, and where a right order is refused after its work was done.
    """
    calls = []

    def counted(*inputs):
        calls.append(inputs)
        return sublayer(*inputs)

    if _no_order(x, sublayer, norm, order):
        return _refusal(answer, x, sublayer, norm, order)
    try:
        value = answer(x, counted, norm, order)
    except ValueError as error:
        if type(error) is not ValueError or not calls:
            raise
        raise RuleBroken(f"Expected the result for the order {order!r}, got a ValueError. An else belongs to the if "
                         "right before it alone: write elif for the second order, or return in each if.") from error
    if len(calls) > 1 and same(residual_step(x, sublayer, norm, order), value):
        raise RuleBroken(f"Your numbers are right, but sublayer should be called once, and it is called {len(calls)} "
                         "times: that is twice the work, and with dropout the two results would differ.")
    return value


def _stepping(
    post=lambda x, f, norm: norm(x + f(x)), pre=lambda x, f, norm: x + f(norm(x)), refuses=True,
):
    """An answer with other formulae. post, pre: x, f, norm -> result; refuses: whether another order is refused."""
    def unchecked(x, f, norm, order):
        return (post if order == "post" else pre)(x, f, norm)

    return refusing(unchecked, _no_order) if refuses else unchecked


def _formulae(post=lambda x, f, norm: norm(x + f(x)), pre=lambda x, f, norm: x + f(norm(x))):
    """Settings of _stepping: always both, so that mistakes of one order are not paired with those of the other."""
    return {"post": post, "pre": pre}


def _both_orders(x, f, norm, order):
    return {"post": norm(x + f(x)), "pre": x + f(norm(x))}[order]


RESIDUAL_STEP = Exercise(
    id="07.3",
    title="The residual frame, both orders",
    about=("residual-connections", "pre-and-post-norm"),
    reference=residual_step,
    returns="(B, T, C)",
    run=_step_or_refusal,
    hints=(
        "In both orders the sum is x + f(something). In \"post\" f reads x, and norm takes the whole sum; in \"pre\" f "
        "reads norm(x), and x itself goes past.",
        "Look at the order first. For each of the two there is one line, with one call of sublayer and one of norm.",
        "Any other order: raise ValueError(…). An else without a condition would take a misspelt order for one of the "
        "two.",
    ),
    cases=(
        Case("order \"post\"", _framed("post", 2, 5, 3)),
        Case("order \"pre\"", _framed("pre", 3, 4, 6)),
        Case("order \"post\", and the sublayer says nothing", _framed("post", 4, 3, 5, lambda size: _silent),
             "f(x) is 0, so norm(x) is left."),
        Case("order \"pre\", and the sublayer says nothing", _framed("pre", 2, 6, 4, lambda size: _silent),
             "f(norm(x)) is 0, so x comes back as it was."),
        Case("order \"both\"", _framed("both", 2, 3, 4), "There are two orders, and this is none of them."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _stepping,
            (_formulae(lambda x, f, norm: x + f(norm(x)), lambda x, f, norm: norm(x + f(x))),
             "Your orders are exchanged: post-norm normalises the sum, pre-norm what the sublayer reads."),
            (_formulae(pre=lambda x, f, norm: norm(x + f(x))),
             "You give post-norm whatever the order is. In \"pre\" the sublayer reads norm(x), and x goes past it: "
             "x + f(norm(x))."),
            (_formulae(lambda x, f, norm: x + f(norm(x))),
             "You give pre-norm whatever the order is. In \"post\" the sublayer reads x, and the sum is normalised: "
             "norm(x + f(x))."),
            (_formulae(lambda x, f, norm: norm(f(x)), lambda x, f, norm: f(norm(x))),
             "You leave x out in both orders: the residual connection is missing. The sum is x + f(…)."),
            (_formulae(lambda x, f, norm: norm(f(x))),
             "Your \"post\" leaves x out: the residual connection is missing. norm(x + f(x))."),
            (_formulae(pre=lambda x, f, norm: f(norm(x))),
             "Your \"pre\" leaves x out: the residual connection is missing. x + f(norm(x))."),
            (_formulae(lambda x, f, norm: x + f(x), lambda x, f, norm: x + f(x)),
             "You leave the norm out in both orders: x + f(x)."),
            (_formulae(lambda x, f, norm: x + f(x)), "Your \"post\" leaves the norm out. norm(x + f(x))."),
            (_formulae(pre=lambda x, f, norm: x + f(x)), "Your \"pre\" leaves the norm out. x + f(norm(x))."),
            (_formulae(lambda x, f, norm: x + norm(f(x)), lambda x, f, norm: x + norm(f(x))),
             "You normalise what the sublayer says, in both orders. Post-norm normalises the sum, pre-norm what the "
             "sublayer reads."),
            (_formulae(lambda x, f, norm: x + norm(f(x))),
             "Your \"post\" normalises f(x) and adds x afterwards. The norm takes the whole sum: norm(x + f(x))."),
            (_formulae(pre=lambda x, f, norm: x + norm(f(x))),
             "Your \"pre\" normalises what the sublayer says. It is what the sublayer reads: x + f(norm(x))."),
            (_formulae(lambda x, f, norm: norm(x) + f(x)),
             "Your \"post\" normalises x and adds f(x) afterwards. The norm takes the whole sum: norm(x + f(x))."),
            (_formulae(pre=lambda x, f, norm: norm(x) + f(norm(x))),
             "Your \"pre\" adds norm(x), as where x is replaced by norm(x) first. x itself goes past the sublayer: "
             "x + f(norm(x))."),
            (_formulae(lambda x, f, norm: x + norm(f(x)), lambda x, f, norm: norm(x) + f(norm(x))),
             "Your \"post\" normalises f(x) alone, and your \"pre\" adds norm(x). They are norm(x + f(x)) and "
             "x + f(norm(x))."),
            ({"refuses": False},
             "You do not refuse another order: a misspelt one gives a result, None, or an error about something else. "
             "Write raise ValueError(…)."),
        ),
        *alone(
            (_stepping(pre=lambda x, f, norm: norm(x + f(norm(x)))),
             "Your \"pre\" normalises twice, before the sublayer and after the sum. Pre-norm leaves the sum as it is."),
            (_stepping(post=lambda x, f, norm: norm(x + f(norm(x)))),
             "Your \"post\" normalises twice, before the sublayer and after the sum. In post-norm the sublayer reads x "
             "as it is."),
            (_stepping(pre=lambda x, f, norm: norm(x) + f(x)),
             "Your \"pre\" normalises the wrong one: x goes past as it is, and the sublayer reads norm(x)."),
            (_stepping(**_formulae(lambda x, f, norm: F.layer_norm(x + f(x), x.shape[-1:]),
                                   lambda x, f, norm: x + f(F.layer_norm(x, x.shape[-1:])))),
             "Your formulae are right, but you normalise by F.layer_norm. Use the norm you are given: it has a trained "
             "gain and bias of its own."),
            (refusing(_both_orders, _no_order),
             "You compute both orders and choose afterwards, so sublayer is called twice, and one result is thrown "
             "away. Look at the order first."),
            (lambda x, f, norm, order: _both_orders(x, f, norm, order if order == "post" else "pre"),
             "You compute both orders and choose afterwards, so sublayer is called twice. Look at the order first, and "
             "refuse one that is none of the two: raise ValueError(…)."),
            (_both_orders,
             "You compute both orders, so sublayer is called twice, and you look up one of them: another order ends in "
             "a KeyError. Look at the order first, and write raise ValueError(…)."),
            (refusing(residual_step, _no_order, KeyError),
             "You refuse another order, but not with a ValueError: it ends in a KeyError, as after a look-up in a "
             "dict, or in a TypeError or the like. Write raise ValueError(…): it says that a value is wrong."),
        ),
        *weak_refusals(residual_step, _no_order, "another order")[1:],
    ),
)


# --- 07.4 -------------------------------------------------------------------------------------------------------------

def encode(ids, lengths, embedding, positions, blocks):
    """An encoder: word vectors times √C plus positions, then the blocks, one after another.

    ids: (B, T), filled up with 0; lengths: (B,), how many of a sentence's ids are real; embedding: (V, C), a row for
    each word; positions: (max_length, C), a row for each position. blocks: a list of functions (x, mask) -> x, with
    x (B, T, C) and mask (B, 1, 1, T), True = may attend: no word attends to padding.
    Returns (B, T, C). What stands at padding does not count.
    """
    B, T = ids.shape
    real = torch.arange(T) < lengths.unsqueeze(1)                            # (T,) < (B, 1) -> (B, T)
    x = embedding[ids] * embedding.shape[1] ** 0.5 + positions[:T]           # (B, T, C) + (T, C)
    for block in blocks:
        x = block(x, real.view(B, 1, 1, T))
    return x


def _block(size):
    """A block of an encoder with random weights: a function (x, mask) -> x."""
    attend, feed, first, second = _attention(size), _sublayer_for_each(size), _layer_norm(size), _layer_norm(size)

    def block(x, mask=None):
        x = torch.as_tensor(x)
        x = first(x + attend(x, x, x, mask))
        return second(x + feed(x))
    block.__qualname__ = "block"
    return block


def _sentences(lengths, V, C, max_length, n_blocks):
    """Word vectors of length about 1, so that √C matters, and positions as large as the scaled words."""
    def make():
        lengths_, T = torch.tensor(lengths), max(lengths)
        ids = torch.randint(1, V, (len(lengths), T)) * _real(lengths, T)
        return (ids, lengths_, torch.randn(V, C) / C**0.5, torch.randn(max_length, C),
                [_block(C) for _ in range(n_blocks)])
    return make


def _real_outputs(answer, ids, lengths, embedding, positions, blocks):
    """The answer's output with zeros at padding, where nothing is asked of it."""
    try:
        value = answer(ids, lengths, embedding, positions, blocks)
    except UnboundLocalError as error:
        if blocks:
            raise
        raise RuleBroken("Expected x itself where there are no blocks, got a name that only the loop makes.") from error
    except TypeError as error:
        if "'Tensor' object is not callable" not in str(error):
            raise
        raise RuleBroken("Expected rows of a table, embedding[ids] and positions[:T], got a call with (…). Here both "
                         "are plain tensors, no nn.Embedding.") from error
    output = as_tensor(value)
    if output is None or output.shape[:2] != ids.shape or output.ndim != 3:
        return value
    return output.masked_fill(~_real(lengths, ids.shape[1]).unsqueeze(-1), 0)


def _walking(step):
    """A way through the blocks. step: number of the block, block, x, mask, rows of positions -> x."""
    def place(x, blocks, mask, rows):
        for number, block in enumerate(blocks):
            x = step(number, block, x, mask, rows)
        return x
    return place


_one_by_one = _walking(lambda number, block, x, mask, rows: block(x, mask))


def _encoding(
    scale=lambda words, rows: words.shape[-1] ** 0.5 * words, place=_one_by_one,
    mask=lambda lengths, T: _real(lengths, T)[:, None, None], rows=lambda positions, ids: positions[:ids.shape[1]],
    start=lambda words, rows: words + rows,
):
    """An encoder with one part exchanged.

    scale: words, rows -> scaled words; start: words, rows -> what enters the blocks; place: x, blocks, mask, rows -> x,
    how the blocks follow each other; mask: lengths, T -> mask; rows: positions, ids -> the positions of the words.
    """
    def answer(ids, lengths, embedding, positions, blocks):
        taken = rows(positions, ids)
        words = scale(embedding[ids], taken)
        return place(start(words, taken), blocks, mask(lengths, ids.shape[1]), taken)
    return answer


def _words_alone(words, rows):
    return words


def _at_the_end(x, blocks, mask, rows):
    return _one_by_one(x, blocks, mask, rows) + rows


_after_every_block = _walking(lambda number, block, x, mask, rows: block(x, mask) + rows)


def _always_from_the_start(x, blocks, mask, rows):
    out = x
    for block in blocks:
        out = block(x, mask)
    return out


def _always_from_the_start_in_a_new_name(x, blocks, mask, rows):
    for block in blocks:
        out = block(x, mask)
    return out


def _without_vectors_at_padding(ids, lengths, embedding, positions, blocks):
    x = embedding[ids] * embedding.shape[1] ** 0.5 + positions[:ids.shape[1]]
    return _one_by_one(x * _real(lengths, ids.shape[1]).unsqueeze(-1), blocks, None, None)


def _return_in_the_loop(x, blocks, mask, rows):
    return next((block(x, mask) for block in blocks), None)


ENCODE = Exercise(
    id="07.4",
    title="The encoder, from ids to vectors",
    about=("encoder-block", "attention-masks"),
    reference=encode,
    returns="(B, T, C)",
    run=_real_outputs,
    hints=(
        "Three parts: x from words and positions, the mask from the lengths, then a loop over the blocks. Positions "
        "are added once, before the first block.",
        "embedding[ids] is (B, T, C). Times C ** 0.5, and only then plus positions[:T]: the positions are not scaled.",
        "torch.arange(T) < lengths.unsqueeze(1) is (B, T), True at real words. [:, None, None] makes (B, 1, 1, T) of "
        "it.",
        "Every block gets the mask, and what the block before it returned: x = block(x, mask).",
    ),
    cases=(
        Case("three sentences, two blocks", _sentences([4, 2, 6], 8, 5, 9, 2)),
        Case("no padding", _sentences([5, 5], 8, 4, 7, 2), "All words are real: the mask hides nothing."),
        Case("one block", _sentences([1, 3, 4, 7], 9, 6, 8, 1)),
        Case("positions for exactly as many words", _sentences([3, 5], 12, 7, 5, 3)),
        Case("as many sentences as words", _sentences([2, 3, 4, 4], 7, 3, 6, 2)),
        Case("no blocks", _sentences([2, 3], 6, 8, 4, 0), "What enters the first block comes back."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _encoding,
            ({"start": _words_alone, "place": _walking(
                lambda number, block, x, mask, rows: block(x, mask) + (0 if number else rows))},
             "Your positions are added after the first block. That block does not know the order, so it cannot use it. "
             "Add them before."),
            ({"place": _walking(lambda number, block, x, mask, rows: block(x + rows if number else x, mask))},
             "Your positions are added again before every block. Once is enough, before the first: the residuals carry "
             "them on."),
            ({"start": _words_alone}, "Your positions are missing: the encoder then reads a bag of words."),
            ({"mask": lambda lengths, T: None},
             "Your blocks attend to padding: no mask, or one that is True everywhere. Then a sentence's vectors depend "
             "on how far it was filled up."),
            ({"mask": lambda lengths, T: _causal(T)},
             "Your mask is causal, alone or together with the padding. That is a decoder's mask: an encoder knows the "
             "whole sentence, so each word may look at all real words."),
            ({"mask": lambda lengths, T: ~_real(lengths, T)[:, None, None]},
             "Your mask is turned round: True means may attend, so it is True at the real words."),
            ({"scale": _words_alone},
             "Your word vectors are not multiplied by √C: beside the positions they are too small."),
            ({"scale": lambda words, rows: words * words.shape[-1] ** 0.5,
              "start": lambda words, rows: words + rows * words.shape[-1] ** 0.5},
             "You multiply words and positions by √C. Only the words are scaled: embedding[ids] * √C + positions."),
        ),
        *alone(
            (_encoding(scale=_words_alone, start=lambda words, rows: words + rows * words.shape[-1] ** 0.5),
             "You multiply the positions by √C, not the words."),
            (_encoding(scale=_words_alone, start=_words_alone, mask=lambda lengths, T: None),
             "You feed the bare word vectors to the blocks. Three things are missing: √C, the positions, and the "
             "mask."),
            (_encoding(scale=lambda words, rows: words * words.shape[-1]),
             "You multiply the words by C. It is the root, √C."),
            (_encoding(scale=lambda words, rows: words / words.shape[-1] ** 0.5),
             "You divide the words by √C. They are multiplied by it: division belongs to attention scores."),
            (_encoding(scale=lambda words, rows: words * words.shape[1] ** 0.5),
             "You multiply by √T, the root of the number of words. C is the number of features, the last axis."),
            (lambda ids, lengths, embedding, positions, blocks: _encoding(
                 scale=lambda words, rows: words * len(embedding) ** 0.5)(ids, lengths, embedding, positions, blocks),
             "You multiply by √V, the root of the number of words in the vocabulary. C is the number of features, "
             "embedding.shape[1]."),
            (_encoding(start=_words_alone, place=_at_the_end),
             "Your positions are added at the end, after all blocks. Add them before the first, so that attention can "
             "use them."),
            (_encoding(start=_words_alone, place=_after_every_block),
             "Your positions are added after every block, and not before the first. Add them once, at the start."),
            (_encoding(place=_after_every_block),
             "Your positions are added once more after every block. Once is enough, at the start."),
            (_encoding(rows=lambda positions, ids: positions[ids]),
             "You look the positions up by word, positions[ids]. A row belongs to a place: positions[:T]."),
            (_encoding(rows=lambda positions, ids: positions[1:ids.shape[1] + 1]),
             "Your first word gets row 1 of the positions. They begin with row 0: positions[:T]."),
            (_encoding(rows=lambda positions, ids: positions),
             "You add the whole table of positions, and that fits only where T is max_length. Take its first T rows: "
             "positions[:T]."),
            (_encoding(start=lambda words, rows: words * rows), "You multiply by the positions. They are added."),
            (_encoding(mask=lambda lengths, T: _real(lengths, T)),
             "Your mask is (B, T). Blocks want (B, 1, 1, T), with axes for heads and queries: [:, None, None]."),
            (_encoding(mask=lambda lengths, T: _real(lengths, T)[:, None]),
             "Your mask is (B, 1, T), which is read as (1, B, 1, T). Blocks want (B, 1, 1, T): [:, None, None]."),
            (_encoding(mask=lambda lengths, T: _real(lengths, T)[:, None, :, None]),
             "Your mask is (B, 1, T, 1): it hides padding that asks, and lets all words attend to padding. Keys are "
             "the last axis: (B, 1, 1, T)."),
            (_encoding(mask=lambda lengths, T: _real(lengths, T)[:, None, None].float()),
             "Your mask is made of numbers. It must be boolean, True = may attend: the comparison alone, without "
             ".float() or .int(), and no -∞."),
            (_encoding(mask=lambda lengths, T: _real(lengths + 1, T)[:, None, None]),
             "Your mask lets one word of padding through. Positions count from 0, so the real ones are those below the "
             "length: <, not <=."),
            (_encoding(mask=lambda lengths, T: _real(lengths - 1, T)[:, None, None]),
             "Your mask hides the last real word. Positions count from 0, so the real ones are all those below the "
             "length."),
            (_encoding(mask=lambda lengths, T: ~_causal(T)),
             "Your mask is causal and turned round: a word sees only those after it. An encoder's mask hides padding "
             "and nothing else."),
            (_without_vectors_at_padding,
             "You set the vectors at padding to 0 and pass no mask. A word of zeros still gets a weight from softmax, "
             "and after the first block it is no longer zero. Pass the mask."),
            (_encoding(place=_walking(lambda number, block, x, mask, rows: block(x, None if number else mask))),
             "Your mask reaches the first block alone. In the others words attend to padding: pass it to every block."),
            (_encoding(place=_always_from_the_start),
             "Your blocks all read the same x, and the last one's output is left. Each reads what the one before it "
             "returned: x = block(x, mask)."),
            (_encoding(place=_always_from_the_start_in_a_new_name),
             "Your blocks all read the same x, and the last one's output is left. Each reads what the one before it "
             "returned: x = block(x, mask). Then an empty list works, too."),
            (_encoding(place=_return_in_the_loop),
             "You return after the first block. Look where return stands: after the loop, not in it."),
            (_encoding(place=lambda x, blocks, mask, rows: _one_by_one(x, blocks[::-1], mask, rows)),
             "You go through the blocks from the last to the first."),
            (_encoding(place=lambda x, blocks, mask, rows: x),
             "You return what enters the first block: the blocks are not used, or their results are lost."),
            (_encoding(place=_walking(lambda number, block, x, mask, rows: x + block(x, mask))),
             "You add x around every block. The residuals are inside the blocks already."),
        ),
    ),
)


# --- 07.5 -------------------------------------------------------------------------------------------------------------

def decoder_step(x, memory, self_attention, cross_attention, feed_forward, norms, mask, memory_mask):
    """One block of a decoder, post-norm: self-attention, cross-attention, feed-forward network.

    x: (B, T, C), the target so far; memory: (B, S, C), the encoder's output. An attention is a function
    (query, key, value, mask) -> output, without weights; feed_forward: a function of x. norms: three functions, one
    after each sublayer's residual sum. mask: causal, (T, T); memory_mask: (B, 1, 1, S), True at real source words;
    either may be None. Returns (B, T, C); x stays as it is.
    """
    first, second, third = norms
    x = first(x + self_attention(x, x, x, mask))
    x = second(x + cross_attention(x, memory, memory, memory_mask))
    return third(x + feed_forward(x))


def _attention(size):
    """One head of attention with random matrices: a function (query, key, value, mask) -> (B, T_q, C)."""
    matrices = 2 * torch.randn(size, size), torch.randn(size, size), torch.randn(size, size)

    def attend(query, key, value, mask=None):
        parts = map(torch.as_tensor, (query, key, value))
        query, key, value = (part @ W.to(part.dtype) / size**0.5 for part, W in zip(parts, matrices, strict=True))
        scores = query.unsqueeze(-3) @ key.unsqueeze(-3).mT / size**0.5                    # (B, 1, T_q, T_k)
        return (_weights(scores, mask) @ value.unsqueeze(-3)).squeeze(-3)
    attend.__qualname__ = "attention"  # the name in Python's message about missing arguments
    return attend


def _weights(scores, mask):
    """Softmax over the allowed keys. Raises RuleBroken for a mask of another kind or shape."""
    if mask is None:
        return scores.softmax(-1)
    mask = torch.as_tensor(mask)
    if mask.dtype is not torch.bool:
        raise RuleBroken("An attention expected a boolean mask, True = may attend, and got one made of numbers.")
    fits = len(mask.shape) <= 4 and all(size in (1, wanted) for size, wanted in zip(
        reversed(mask.shape), reversed(scores.shape), strict=False))
    if not fits:
        batch, _, queries, keys = scores.shape
        raise RuleBroken(f"An attention expected a mask for scores (B={batch}, H=1, T_q={queries}, T_k={keys}), or one "
                         f"that broadcasts to it, and got {tuple(mask.shape)}.")
    return scores.masked_fill(~mask, -torch.inf).softmax(-1).masked_fill(~mask, 0.0)


def _sublayer_for_each(size):
    """A random function of each word alone."""
    W = 2 * torch.randn(size, size) / size**0.5

    def f(x):
        x = torch.as_tensor(x)
        return torch.tanh(x @ W.to(x.dtype))
    return f


def _no_attention(size):
    """An attention that says nothing."""
    return lambda query, key, value, mask=None: torch.zeros_like(torch.as_tensor(query))


def _block_inputs(T, C, S, lengths=None, batch=3, cross=_attention):
    """lengths: of the source sentences, or None where neither mask is given."""
    def make():
        mask = memory_mask = None
        if lengths is not None:
            mask, memory_mask = _causal(T), _real(lengths, S)[:, None, None]
        return (torch.randn(batch, T, C), torch.randn(batch, S, C), _attention(C), cross(C), _sublayer_for_each(C),
                [_layer_norm(C) for _ in range(3)], mask, memory_mask)
    return make


def _real(lengths, T):
    """(B, T): True at the real words."""
    return torch.arange(T) < torch.as_tensor(lengths).unsqueeze(1)


def _causal(T):
    return torch.ones(T, T, dtype=torch.bool).tril()


def _post(x, said, norm):
    return norm(x + said)


def _asked_rightly(x, start, memory, mask, memory_mask):
    return x, memory, memory, memory_mask


def _decoding(look=lambda x, memory, mask, memory_mask: (x, x, x, mask), ask=_asked_rightly,
              frames=(_post, _post, _post), norm_of=(0, 1, 2), order=(0, 1, 2), unpack=_same):
    """A decoder block with one part exchanged.

    look, ask: what self-attention and cross-attention are called with, from x, the block's input (ask alone), memory
    and both masks; frames: x, said, norm -> x, for each sublayer; norm_of: which norm each takes; order: of the
    sublayers; unpack: acts on what an attention returns.
    """
    def answer(x, memory, self_attention, cross_attention, feed_forward, norms, mask, memory_mask):
        start = x
        sublayers = (
            lambda x: unpack(self_attention(*look(x, memory, mask, memory_mask))),
            lambda x: unpack(cross_attention(*ask(x, start, memory, mask, memory_mask))),
            feed_forward,
        )
        for place in order:
            x = frames[place](x, sublayers[place](x), norms[norm_of[place]])
        return x
    return answer


def _asking(query_key_value, masked_by=lambda mask, memory_mask: memory_mask):
    """Settings of _decoding: cross-attention with other arguments. query_key_value: x, start, memory -> three."""
    return {"ask": lambda x, start, memory, mask, memory_mask: (
        *query_key_value(x, start, memory), masked_by(mask, memory_mask))}


def _from_memory(x, start, memory):
    return x, memory, memory


def _without(place, frame):
    """Settings of _decoding: another frame around one sublayer."""
    return {"frames": tuple(frame if place == other else _post for other in range(3))}


def _only_said(x, said, norm):
    return norm(said)


def _only_added(x, said, norm):
    return x + said


def _pre_norm(x, memory, self_attention, cross_attention, feed_forward, norms, mask, memory_mask):
    first, second, third = norms
    read = first(x)
    x = x + self_attention(read, read, read, mask)
    x = x + cross_attention(second(x), memory, memory, memory_mask)
    return x + feed_forward(third(x))


def _adding(second_base, third_base):
    """A block whose second and third sums add other vectors: "start", "looked", "asked" or "memory"."""
    def answer(x, memory, self_attention, cross_attention, feed_forward, norms, mask, memory_mask):
        first, second, third = norms
        known = {"start": x, "memory": memory, "looked": first(x + self_attention(x, x, x, mask))}
        said = cross_attention(known["looked"], memory, memory, memory_mask)
        known["asked"] = second(known[second_base] + said)
        return third(known[third_base] + feed_forward(known["asked"]))
    return answer


def _two_things(output):
    output, _ = output
    return output


DECODER_STEP = Exercise(
    id="07.5",
    title="The decoder's three sublayers",
    about=("decoder-block", "cross-attention"),
    reference=decoder_step,
    returns="(B, T, C)",
    hints=(
        "Three times the same frame: x = norm(x + sublayer(x)), each time with the next norm. The x of one sublayer is "
        "what the one before it left.",
        "In self-attention all three of query, key and value are x. The causal mask belongs here: the target must not "
        "see its own future.",
        "In cross-attention the target asks and the source answers: the query is x, key and value are memory. All of "
        "the source may be seen except its padding: memory_mask.",
    ),
    cases=(
        Case("four target words, six source words", _block_inputs(4, 5, 6, [6, 2, 4])),
        Case("as many target as source words", _block_inputs(5, 4, 5, [3, 5], batch=2),
             "Here target and source can be exchanged without an error."),
        Case("no masks", _block_inputs(3, 6, 2, batch=4), "Both masks are None: only the wiring counts."),
        Case("one target word", _block_inputs(1, 7, 4, [1, 4, 3], batch=3), "It may look at itself alone."),
        Case("cross-attention says nothing", _block_inputs(6, 3, 4, [4, 2], batch=2, cross=_no_attention),
             "Its frame stays: norms[1](x + 0)."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _decoding,
            ({"look": lambda x, memory, mask, memory_mask: (x, x, x, None)},
             "Your self-attention has no mask: a target word sees the words after it, which it should learn to "
             "predict. Pass mask."),
            ({"look": lambda x, memory, mask, memory_mask: (x, x, x, memory_mask)},
             "Your self-attention gets memory_mask. It hides the source's padding; the target needs mask, the causal "
             "one."),
            (_asking(_from_memory, lambda mask, memory_mask: mask),
             "Your cross-attention gets the causal mask. The source is known from its first to its last word, so "
             "nothing in it is future. Pass memory_mask."),
            (_asking(_from_memory, lambda mask, memory_mask: None),
             "Your cross-attention has no mask: the target reads the source's padding. Pass memory_mask."),
            (_asking(lambda x, start, memory: (memory, x, x)),
             "Your cross-attention takes the query from the encoder, keys and values from the target. The target asks: "
             "query x, key and value memory."),
            (_asking(lambda x, start, memory: (start, memory, memory)),
             "Your cross-attention asks with the block's input. It asks with what self-attention has left: the x "
             "after the first norm."),
            ({"frames": (_only_said,) * 3},
             "Your residuals are missing: each sublayer's output takes the place of x. norm(x + …)."),
            ({"frames": (_only_added,) * 3},
             "Your norms are missing: after each sum comes one of the three."),
        ),
        *alone(
            (_decoding(**_asking(lambda x, start, memory: (memory, memory, memory))),
             "Your cross-attention has memory for all three, so the target never asks. The query is x."),
            (_decoding(**_asking(lambda x, start, memory: (x, x, x))),
             "Your cross-attention has x for all three: with memory_mask, yet nothing of the source is read. Key and "
             "value are memory."),
            (_decoding(**_asking(lambda x, start, memory: (x, x, x), lambda mask, memory_mask: mask)),
             "Your cross-attention is a second self-attention: nothing of the source is read. Key and value are "
             "memory, the mask is memory_mask."),
            (_decoding(**_asking(lambda x, start, memory: (x, x, memory))),
             "Your cross-attention takes its keys from the target. Key and value both come from memory: the key says "
             "where in the source to look."),
            (_decoding(**_asking(lambda x, start, memory: (x, memory, x))),
             "Your cross-attention takes its values from the target. Key and value both come from memory: the value is "
             "what is read there."),
            (_decoding(**_asking(lambda x, start, memory: (memory, x, x), lambda mask, memory_mask: mask)),
             "Your cross-attention takes the query from the encoder, and the causal mask. The target asks: query x, "
             "key and value memory, memory_mask."),
            (_decoding(**_asking(lambda x, start, memory: (memory, x, x), lambda mask, memory_mask: None)),
             "Your cross-attention takes the query from the encoder, and no mask. The target asks: query x, key and "
             "value memory, memory_mask."),
            (_decoding(**_asking(lambda x, start, memory: (memory, memory, x))),
             "Your cross-attention has its arguments in another order: the query comes first, and it is x; then key "
             "and value, both memory."),
            (_decoding(look=lambda x, memory, mask, memory_mask: (x, x, x, ~mask)),
             "Your self-attention gets ~mask. True means may attend, so the mask goes in as it is."),
            (_decoding(**_asking(_from_memory, lambda mask, memory_mask: ~memory_mask)),
             "Your cross-attention gets ~memory_mask. True means may attend, so the mask goes in as it is."),
            (_decoding(look=lambda x, memory, mask, memory_mask: (x, x, x, ~mask),
                       **_asking(_from_memory, lambda mask, memory_mask: ~memory_mask)),
             "You turn both masks round with ~. True means may attend, so they go in as they are."),
            (lambda x, memory, one, other, *rest: decoder_step(x, memory, other, one, *rest),
             "You exchanged the two attention functions: cross_attention is called where self_attention belongs. Each "
             "has weights of its own."),
            (_decoding(frames=(_only_said, _only_said, _post)),
             "Your attentions have no residuals, and the feed-forward network has one. All three have: norm(x + …)."),
            (_decoding(**_without(0, _only_said)), "Your first residual is missing: norms[0](x + self-attention)."),
            (_decoding(**_without(1, _only_said)),
             "Your second residual is missing: norms[1](x + cross-attention). Without it the target is known only by "
             "what it asked for."),
            (_decoding(**_without(2, _only_said)), "Your third residual is missing: norms[2](x + feed_forward(x))."),
            (_decoding(**_without(0, _only_added)), "Your first norm is missing, the one after self-attention's sum."),
            (_decoding(**_without(1, _only_added)),
             "Your second norm is missing, the one after cross-attention's sum."),
            (_decoding(**_without(2, _only_added)), "Your third norm is missing, the one at the block's end."),
            (_decoding(frames=(lambda x, said, norm: x + norm(said),) * 3),
             "You normalise what a sublayer says and add x afterwards. In post-norm the norm takes the sum: norm(x + "
             "…)."),
            (_pre_norm,
             "You wrote the pre-norm block: each sublayer reads norm(x). Here the norm comes after the sum."),
            (_adding("start", "asked"),
             "Your second sum adds the block's input. It adds what self-attention left: the x after the first norm."),
            (_adding("memory", "asked"),
             "Your second sum adds memory. The target's x goes past the sublayer: norms[1](x + cross-attention)."),
            (_adding("start", "start"),
             "Your sums all add the block's input. Each adds what the sublayer before it left: x = norm(x + …)."),
            (_adding("looked", "start"),
             "Your third residual adds the block's input. Each adds what its own sublayer has read: what the sublayer "
             "before it left."),
            (_decoding(norm_of=(0, 0, 0)), "You use the first norm three times. Each sublayer has a norm of its own."),
            (_decoding(norm_of=(2, 1, 0)), "You use the norms in reverse order."),
            (_decoding(order=(1, 0, 2)),
             "Your cross-attention comes before self-attention. First the target looks at itself, then it asks the "
             "source. The norms belong to the sublayers in that order."),
            (_decoding(order=(1, 0, 2), norm_of=(1, 0, 2)),
             "Your cross-attention comes first, then self-attention. First the target looks at itself, then it asks "
             "the source."),
            (_decoding(order=(0, 2, 1), norm_of=(0, 2, 1)),
             "Your feed-forward network stands between the two attentions. It comes last."),
            (_decoding(order=(2, 0, 1), norm_of=(1, 2, 0)),
             "Your feed-forward network comes first. It comes last, after both attentions."),
            (_decoding(order=(0, 2), norm_of=(0, 1, 1)),
             "You leave out cross-attention, or do not use what it gave. Without the source this is a block of GPT."),
            (_decoding(order=(0, 1)),
             "You leave out the feed-forward network, or do not use what it gave. It is the third sublayer, with the "
             "third norm."),
            (_decoding(order=(1, 2)),
             "You leave out self-attention, or do not use what it gave. It is the first sublayer, with the first "
             "norm."),
            (_decoding(unpack=_two_things),
             "You unpack an attention's result in two. Here an attention is a function that returns the output alone."),
            (_decoding(unpack=lambda output: output[0]),
             "You take [0] of an attention's result, and that is the first sentence of the batch. Here an attention "
             "returns the output alone, without weights."),
        ),
    ),
)


# --- 07.6 -------------------------------------------------------------------------------------------------------------

def peeks(decode, tokens, vocab_size):
    """Does any output of a decoder depend on a token that comes after it?

    decode: a function, ids (B, T) -> (B, T, V), any number of sentences of any length; tokens: (B, T) ids to try it
    with; vocab_size: ids are 0 … vocab_size - 1, and decode refuses others.
    Returns True if an output at some place changes when tokens after that place are changed, else False. A place may
    see itself and those before it. Differences up to 1e-5 are rounding.
    """
    before = decode(tokens)                                        # (B, T, V)
    for t in range(1, tokens.shape[1]):
        changed = tokens.clone()
        changed[:, t] = (changed[:, t] + 1) % vocab_size
        after = decode(changed)
        if not torch.allclose(before[:, :t], after[:, :t], rtol=1e-5, atol=1e-5):
            return True
    return False


def _reader_of(allowed, size=1.0):
    """Makes a decoder whose output at each place is the mean of the vectors of the tokens it sees, times `size`.

    allowed: T -> boolean (T, T), True where the place of the row sees the token of the column. With size below 1 the
    rest of the output comes from the place's own token. A place that sees nothing gives zeros.
    """
    def make(table):
        def decode(ids):
            vectors, seen = F.embedding(ids, table), allowed(ids.shape[1]).float()
            mean = seen / seen.sum(-1, keepdim=True).clamp(min=1) @ vectors              # (T, T) @ (B, T, V)
            return mean if size == 1 else vectors + size * mean
        return decode
    return make


def _next_alone(T):
    return torch.ones(T, T).triu(1).tril(1)


def _own_and_two_ahead(T):
    return torch.eye(T) + torch.ones(T, T).triu(2).tril(2)


def _causal_and(rows, columns):
    """A causal mask; the places `rows` see the tokens `columns` too, where there are such. Both: T -> slice."""
    def allowed(T):
        mask = _causal(T)
        mask[rows(T), columns(T)] = True
        return mask
    return allowed


def _every_place(T):
    return slice(None)


def _only(place):
    return lambda T: slice(place, place + 1)


def _last(T):
    return slice(T - 1, T)


def _last_but_one(T):
    return slice(max(T - 2, 0), max(T - 1, 0))


def _peek_below_the_top(table):
    """A causal decoder; what it sees ahead lowers all scores but the highest one."""
    causal, ahead = _reader_of(_causal)(table), _reader_of(lambda T: ~_causal(T))(table)

    def decode(ids):
        scores = causal(ids)
        top = scores == scores.max(-1, keepdim=True).values
        return scores - ahead(ids).abs().masked_fill(top, 0)
    return decode


def _peek_in_some_sentences(table):
    """Sees all tokens in sentences that begin with id 1, and looks back only in others."""
    causal, whole = _reader_of(_causal)(table), _reader_of(lambda T: torch.ones(T, T))(table)
    return lambda ids: torch.where((ids[:, 0] == 1)[:, None, None], whole(ids), causal(ids))


def _all_less_what_comes(table):
    """The sum of the tokens so far, as the sum of all less the sum of those ahead: honest up to rounding."""
    def decode(ids):
        vectors = F.embedding(ids, table) + 5
        ahead = vectors.flip(1).cumsum(1).flip(1) - vectors
        return vectors.sum(1, keepdim=True) - ahead
    return decode


def _deaf(table):
    """The same scores at all places, whatever is read."""
    return lambda ids: table[0].expand(*ids.shape, -1) + 0 * F.embedding(ids, table)


def _decoder(make_decode, B, T, vocab_size, token=None, starts=None):
    """Inputs with a decoder. token: all tokens are this one; else places 1 and T-1 hold the last id and id 0.

    starts: the first token of each sentence.
    """
    def make():
        decode = make_decode(torch.randn(vocab_size, vocab_size))
        tokens = torch.randint(vocab_size, (B, T))
        tokens[:, 0] = torch.tensor(starts) if starts else tokens[:, 0].clamp(min=2)
        tokens[0, 1] = tokens[0, -1] = vocab_size - 1
        tokens[1, 1] = tokens[1, -1] = 0
        return decode, tokens if token is None else torch.full_like(tokens, token % vocab_size), vocab_size
    return make


def _changing(new):
    """A change of the tokens at some places. new: those that stand there, vocab_size -> what comes there."""
    def change(tokens, places, vocab_size):
        changed = tokens.clone()
        changed[:, places] = new(changed[:, places], vocab_size)
        return changed
    return change


_next_id = _changing(lambda old, vocab_size: (old + 1) % vocab_size)


def _set_to(token):
    return _changing(lambda old, vocab_size: token % vocab_size)


def _piling_up(decode, tokens, vocab_size):
    before, changed = decode(tokens), tokens.clone()
    for t in range(1, tokens.shape[1]):
        changed[:, t] = (changed[:, t] + 1) % vocab_size
        if _far(before[:, :t], decode(changed)[:, :t]):
            return True
    return False


def _far(before, after):
    return not torch.allclose(before, after, rtol=1e-5, atol=1e-5)


def _one_token(t, T):
    return slice(t, t + 1)


def _until(t, T):
    return slice(0, t)


def _tries(times=lambda T: range(1, T), places=_one_token, change=_next_id, compared=_until, differ=_far, join=any):
    """A misconception. times: T -> the places tried; places, compared: place and T -> what is changed and compared."""
    def answer(decode, tokens, vocab_size):
        T, before = tokens.shape[1], decode(tokens)
        pairs = ((before, decode(change(tokens, places(t, T), vocab_size)), compared(t, T)) for t in times(T))
        return join(differ(old[:, where], new[:, where]) for old, new, where in pairs)
    return answer


PEEKS = Exercise(
    id="07.6",
    title="A test that nobody peeks",
    about=("no-peeking",),
    reference=peeks,
    hints=(
        "Two runs: decode(tokens), and decode of a copy in which a token is another. At which places must the outputs "
        "stay as they were, if nobody peeks?",
        "Change the token at place t: the outputs at 0 … t - 1 must stay, outputs[:, :t]. Those at t and after may "
        "change. Do so for every t from 1 on.",
        "(token + 1) % vocab_size is another token in any case, and never out of range. tokens.clone() keeps the "
        "original. Compare with torch.allclose(…, atol=1e-5), and return False only after the whole loop.",
    ),
    cases=(
        Case("decode sees all tokens from every place", _decoder(_reader_of(lambda T: torch.ones(T, T)), 2, 5, 11),
             "All places before a changed token change."),
        Case("decode has a causal mask", _decoder(_reader_of(_causal), 3, 6, 13),
             "A place sees itself and those before it: nobody peeks."),
        Case("every place sees the next token too: the mask is off by one",
             _decoder(_reader_of(lambda T: torch.ones(T, T).tril(1)), 2, 7, 17),
             "The place just before a changed token changes."),
        Case("the last place sees all tokens, and the others see none",
             _decoder(_reader_of(lambda T: _causal(T) & (torch.arange(T) == 3).unsqueeze(1)), 3, 4, 12),
             "A changed token changes the output at its own place and after it. That is no peeking."),
        Case("the mask is turned round: every place sees those after it",
             _decoder(_reader_of(lambda T: ~_causal(T)), 2, 6, 14), "All places before a changed token change."),
        Case("every place sees the last token", _decoder(_reader_of(_causal_and(_every_place, _last)), 3, 7, 16),
             "It shows where the last token is changed, and nowhere else."),
        Case("every place sees those before it, and not itself",
             _decoder(_reader_of(lambda T: _causal(T).tril(-1)), 2, 8, 15), "Less than allowed is no peeking."),
        Case("the last place but one sees the last token, and no other place peeks",
             _decoder(_reader_of(_causal_and(_last_but_one, _last)), 4, 6, 18),
             "It shows at that place, where the last token is changed, and nowhere else."),
        Case("the first place sees the second token, and no other place peeks",
             _decoder(_reader_of(_causal_and(_only(0), _only(1))), 2, 9, 19),
             "It shows at place 0, where the token at place 1 is changed, and nowhere else."),
        Case("the fourth of seven tokens is seen from every place, no other is",
             _decoder(_reader_of(_causal_and(_every_place, _only(3))), 3, 7, 13),
             "It shows where the token at place 3 is changed, and nowhere else."),
        Case("every place sees itself and the token two ahead", _decoder(_reader_of(_own_and_two_ahead), 2, 6, 17),
             "The place just before a changed token stays; the one before that changes."),
        Case("tokens ahead change the output by some hundredths",
             _decoder(_reader_of(lambda T: ~_causal(T), size=0.02), 3, 5, 14), "Rounding is far smaller."),
        Case("tokens ahead change all scores but the highest", _decoder(_peek_below_the_top, 2, 6, 20),
             "The likeliest token stays the same, and the scores do not."),
        Case("only the second of three sentences is peeked into",
             _decoder(_peek_in_some_sentences, 3, 5, 21, starts=(4, 1, 2)), "All sentences are compared."),
        Case("decode takes what is ahead out of a sum of all: nobody peeks, but rounding differs",
             _decoder(_all_less_what_comes, 2, 9, 16), "A difference of 1e-6 is rounding."),
        Case("every place sees the next token alone, and all tokens are 0",
             _decoder(_reader_of(_next_alone), 3, 4, 10, token=0),
             "To be changed, a token must become another one."),
        Case("every place sees the next token alone, and all tokens are the last id",
             _decoder(_reader_of(_next_alone), 2, 6, 9, token=-1),
             "To be changed, a token must become another one."),
        Case("every place sees the next token alone, and all tokens are 1",
             _decoder(_reader_of(_next_alone), 3, 5, 12, token=1),
             "To be changed, a token must become another one."),
        Case("decode gives the same scores whatever it reads", _decoder(_deaf, 2, 4, 13)),
    ),
    misconceptions=alone(
        (_tries(compared=lambda t, T: slice(0, t + 1)),
         "You compare the changed place itself, and so accuse decoders with a right causal mask. A place may see its "
         "own token: compare the outputs before it, [:, :t]."),
        (_tries(times=lambda T: range(T - 1), compared=lambda t, T: slice(0, t + 1)),
         "Your changes begin at place t, and place t is compared too. It may see its own token: change what comes "
         "after it, [:, t + 1:], or compare what comes before, [:, :t]."),
        (_tries(compared=lambda t, T: slice(0, t - 1)),
         "Your comparison stops one place too early. A mask that is off by one shows at the place just before the "
         "changed token: compare [:, :t]."),
        (_tries(compared=lambda t, T: slice(None)),
         "You compare the outputs at all places, and so accuse every decoder that reads. Those at and after the "
         "changed token may change: compare [:, :t]."),
        (_tries(compared=lambda t, T: slice(t + 1, None), times=lambda T: range(T - 1)),
         "You change a token and look at the places after it: that asks whether a decoder looks back, and it may. Look "
         "at the places before it."),
        (_tries(times=lambda T: [0], compared=lambda t, T: slice(None)),
         "You change the first token. No place comes before it, so it can betray nobody; whoever looks back is "
         "accused. Change the later ones."),
        (_tries(compared=lambda t, T: slice(t, t + 1)),
         "You compare the changed place alone. That tells whether a place reads its own token, and it may. Compare the "
         "places before it."),
        (_tries(times=lambda T: [T - 1]),
         "You change the last token alone, or the last turn of your loop decides alone. Who sees another token ahead "
         "is missed, such as the second from the first place. Try every place."),
        (_tries(times=lambda T: range(1, T - 1)),
         "Your loop never changes the last token, so a place that sees just that one is missed. range(1, T) reaches T "
         "- 1."),
        (_tries(times=lambda T: range(2, T)),
         "Your loop never changes the second token, place 1, so the first place can look at it unseen. Begin with "
         "place 1."),
        (_tries(times=lambda T: [1]),
         "You try one place, the second token, and return. A return of False belongs after the loop: one honest place "
         "does not clear the others."),
        (_tries(times=lambda T: [T // 2], places=lambda t, T: slice(t, None)),
         "You cut the sentence once, in the middle. Who peeks within the first half, or within the second, is missed. "
         "Try every place."),
        (_tries(times=lambda T: [T // 2]),
         "You change one token, in the middle. A decoder that sees another one ahead is missed. Try every place."),
        (_tries(times=lambda T: [1], places=lambda t, T: slice(1, None)),
         "You compare the first place alone, and so miss the last place but one that peeks. Try every place."),
        (_tries(compared=lambda t, T: slice(t - 1, t)),
         "You compare only the place just before the changed token. Who looks further ahead, such as at the token two "
         "ahead, is missed. Compare all places before it."),
        (_tries(differ=lambda before, after: bool((before.argmax(-1) != after.argmax(-1)).any())),
         "You look at the likeliest token only. A decoder whose scores change, but not their order at the top, is "
         "missed. Compare the outputs themselves."),
        (_tries(differ=lambda before, after: not torch.equal(before, after)),
         "You ask for exactly equal numbers, and so accuse a decoder that only rounds in another way. Allow 1e-5."),
        (_tries(differ=lambda before, after: not torch.allclose(before, after, rtol=0, atol=0.1)),
         "Your tolerance is too wide: a leak of some hundredths passes as rounding. Allow 1e-5."),
        (_tries(differ=lambda before, after: _far(before[:1], after[:1])),
         "You look at the first sentence alone, and so miss a leak in the second. Change and compare all of them."),
        (_tries(differ=lambda before, after: bool(((before - after).abs() > 1e-5).all())),
         "You ask whether all numbers before the changed token differ. One is enough: a single place of a single "
         "sentence may be the only one that peeks."),
        (_tries(join=all),
         "You ask whether every token is seen by a place before it. One is enough: return True at the first "
         "difference."),
        (_tries(change=_set_to(0)),
         "You set tokens to 0. A token that is 0 already stays the same, and a leak is missed. (token + 1) % "
         "vocab_size is another one in any case."),
        (_tries(change=_set_to(1)),
         "You set tokens to 1. A token that is 1 already stays the same, and a leak is missed. (token + 1) % "
         "vocab_size is another one in any case."),
        (_tries(change=_set_to(-1)),
         "You set tokens to the last id, vocab_size - 1. A token that has it already stays the same, and a leak is "
         "missed. (token + 1) % vocab_size is another one in any case."),
        (_tries(change=_changing(lambda old, vocab_size: old.flip(1)), places=lambda t, T: slice(t, None)),
         "You put the later tokens into another order. Who sees their mean or their sum sees no difference, and is "
         "missed. Change the tokens themselves."),
        (_tries(change=_changing(lambda old, vocab_size: old + 1)),
         "You add 1 to a token, and the last id then leaves the vocabulary. (token + 1) % vocab_size stays inside."),
        (_tries(change=_changing(lambda old, vocab_size: vocab_size)),
         "You set tokens to vocab_size, and the last id is vocab_size - 1. (token + 1) % vocab_size stays inside."),
        (_tries(change=_changing(lambda old, vocab_size: old - 1)),
         "You subtract 1 from a token, and 0 then leaves the vocabulary. (token - 1) % vocab_size stays inside."),
        (_piling_up,
         "Your changes pile up: the copy keeps those of the turns before, so honest decoders are accused. Make a new "
         "tokens.clone() in every turn."),
        (lambda decode, tokens, vocab_size: not peeks(decode, tokens, vocab_size),
         "Your answer is turned round: True where somebody peeks."),
        (lambda decode, tokens, vocab_size: False,
         "Your answer is False each time, even for a decoder without a mask. Does only the second run read changed "
         "tokens? changed = tokens makes no copy. And do you compare places? [:, :0] holds none."),
        (lambda decode, tokens, vocab_size: True,
         "Your answer is True each time, even for a decoder that gives the same scores whatever it reads. Do you "
         "compare numbers? `is` asks whether both are one object."),
    ),
)


# --- 07.7 -------------------------------------------------------------------------------------------------------------

def shift_targets(target, pad=0):
    """Split padded targets into what the decoder reads, what it should answer, and which answers count.

    target: (B, T + 1) ids, each row <sos> … <eos>, then `pad` up to the longest.
    Returns (decoder_input, wanted, counts), each (B, T). At every place, wanted is the token that follows the input in
    target; counts is boolean, True where wanted is a real token (<eos> is one). Where it is not, the input does not
    matter.
    """
    wanted = target[:, 1:]                                         # (B, T + 1) -> (B, T)
    return target[:, :-1], wanted, wanted != pad


def _padded_targets(*lengths, pad=None):
    """Sentences of so many words between <sos> and <eos>. pad=None: id 0, and the argument is left out.

    With another id for the padding <sos> is 3 and <eos> is 4, and the ids 0, 1 and 2 are the first words of row 1.
    """
    def make():
        padding, sos, eos = (0, 1, 2) if pad is None else (pad, 3, 4)
        target = torch.full((len(lengths), max(lengths) + 2), padding)
        for row, length in zip(target, lengths, strict=True):
            row[0], row[1:length + 1], row[length + 1] = sos, torch.randint(10, 50, (length,)), eos
        if pad is not None:
            target[1, 1:4] = torch.arange(3)
        return (target,) if pad is None else (target, pad)
    return make


def _shift_where_it_matters(answer, target, *pad):
    """The answer's three tensors; inputs whose answer is padding are set to the reference's, as they do not matter.

    counts of the right values and another dtype is named: as an index, numbers pick rows and do not choose.
    """
    value = answer(target, *pad)
    if not isinstance(value, list | tuple) or len(value) != 3:
        return value
    inputs, _, counts = shift_targets(target, *pad)
    kind = str(value[2].dtype).removeprefix("torch.") if isinstance(value[2], torch.Tensor | np.ndarray) else "bool"
    if kind != "bool" and same(counts, value[2], EXACT):
        raise RuleBroken(f"The values of counts are right, but they are {kind} where bool is expected: losses[counts] "
                         "takes numbers for positions, and not for a choice.")
    got = as_tensor(value[0])
    if got is None or got.shape != inputs.shape:
        return value
    return torch.where(counts, got, inputs), value[1], value[2]


def _shifting(inputs=lambda target: target[:, :-1], wanted=lambda target: target[:, 1:], counts=None):
    """A misconception. inputs, wanted: functions of the target; counts: of target, inputs, wanted and pad."""
    def answer(target, pad=0):
        read, said = inputs(target), wanted(target)
        return read, said, said != pad if counts is None else counts(target, read, said, pad)
    return answer


def _real_but_the_last(target, read, wanted, pad):
    """True at the words alone: the last real token of each row is <eos>."""
    real = wanted != pad
    return real & real.roll(-1, dims=1) & (torch.arange(real.shape[1]) < real.shape[1] - 1)


def _ends_not_wanted(target, pad=0):
    wanted = target[:, 1:]
    keep = _real_but_the_last(target, None, wanted, pad)
    return target[:, :-1], wanted.where(keep, pad), keep


def _wanted_filled_up(target, pad=0):
    wanted = torch.cat([target[:, 1:], torch.full_like(target[:, :1], pad)], dim=1)
    return target, wanted, wanted != pad


SHIFT_TARGETS = Exercise(
    id="07.7",
    title="Shifted targets",
    about=("shifted-targets", "teacher-forcing"),
    reference=shift_targets,
    returns=("decoder_input (B, T)", "wanted (B, T)", "counts (B, T)"),
    run=_shift_where_it_matters,
    hints=(
        "Take one row, <sos> a b <eos> <pad>. The decoder reads <sos> and should answer a. Write what it reads and "
        "what it should answer in two lines, one below the other.",
        "The two lines are <sos> a b <eos> and a b <eos> <pad>: the row without its last and without its first token.",
        "An answer counts where it is real, and that is asked of wanted, not of the input: which tokens of the second "
        "line differ from pad?",
    ),
    cases=(
        Case("three sentences of different lengths", _padded_targets(4, 2, 5),
             "A short sentence's <eos> is an answer that counts. What follows is padding."),
        Case("no padding", _padded_targets(3, 3), "Every answer counts."),
        Case("another id for the padding", _padded_targets(1, 6, 3, 4, pad=9),
             "Here 0, 1 and 2 are words, and 9 is the padding."),
        Case("as many sentences as places", _padded_targets(1, 3, 2, 1)),
    ),
    misconceptions=alone(
        (_shifting(wanted=lambda target: target[:, :-1]),
         "Your wanted tokens equal the inputs: nothing is shifted. The decoder would learn to copy the token that it "
         "has just read. wanted is one place ahead."),
        (_shifting(inputs=lambda target: target, wanted=lambda target: target),
         "You return the target as it is, twice. wanted is one place ahead of the input, and each has one column less "
         "than target."),
        (_shifting(inputs=lambda target: target[:, 1:], wanted=lambda target: target[:, :-1]),
         "Your shift goes the wrong way: the decoder would read a word and answer the one before. It reads what begins "
         "with <sos>."),
        (_shifting(inputs=lambda target: target[:, 1:]),
         "Your inputs equal the wanted tokens: the decoder reads the answer itself, and never <sos>. The input is "
         "target without its last column."),
        (_shifting(inputs=lambda target: target[:, 1:-1], wanted=lambda target: target[:, 1:-1]),
         "You cut both ends off. The decoder starts from <sos>, and <eos> is the answer that says stop."),
        (_shifting(wanted=lambda target: target[:, 1:-1]),
         "Your wanted tokens lose the last column too, and with it the <eos> of the longest sentence. Nothing would "
         "teach the decoder to stop there."),
        (_ends_not_wanted,
         "You take <eos> out of the wanted tokens. It is the answer after the last word: without it nothing teaches "
         "the decoder to stop."),
        (_shifting(counts=_real_but_the_last),
         "Your counts leave <eos> out. It is an answer like any other: without it nothing teaches the decoder to "
         "stop."),
        (_shifting(counts=lambda target, read, wanted, pad: torch.ones_like(wanted, dtype=torch.bool)),
         "Your counts are True at the padding too. The loss would then reward a model for saying <pad> after <pad>."),
        (_shifting(counts=lambda target, read, wanted, pad: read != pad),
         "Your counts ask which inputs are real. In a short sentence <eos> is a real input, and what follows it is "
         "padding. Ask it of the wanted tokens."),
        (_shifting(counts=lambda target, read, wanted, pad: (wanted != pad) & (read != pad)
                                                            & (read != read[:, :1])),
         "Your counts leave the first place out. Its input is <sos>, and the answer is the first word, a real token."),
        (_shifting(counts=lambda target, read, wanted, pad: target != pad),
         "Your counts have T + 1 columns: they come from the whole target. Ask which wanted tokens are real."),
        (_shifting(counts=lambda target, read, wanted, pad: wanted == pad),
         "Your counts are turned round: True at the padding. True = this answer counts."),
        (_shifting(counts=lambda target, read, wanted, pad: wanted != 0),
         "Your counts take 0 for the padding, whatever pad says. Use the argument pad."),
        (_shifting(counts=lambda target, read, wanted, pad: ((wanted == 2).cumsum(1) - (wanted == 2).int()) == 0),
         "You count up to the id 2, and <eos> may have another. What is not real is told by pad: wanted != pad."),
        (_wanted_filled_up,
         "You keep T + 1 columns and fill wanted up with padding. What the decoder would read in the last one, nothing "
         "follows: each result has T columns."),
        (lambda target, pad=0: (target[:, :-1], target[:, 1:].masked_fill(target[:, 1:] == pad, -100),
                                target[:, 1:] != pad),
         "You mark the padding in wanted by -100, as some libraries do. Here it stays, and counts says which tokens "
         "are real."),
        (_shifting(counts=lambda target, read, wanted, pad: (wanted != pad).sum(1)),
         "You count the real tokens of each sentence. counts says it place by place: (B, T), True or False."),
        (_shifting(counts=lambda target, read, wanted, pad: wanted[wanted != pad]),
         "Your counts are the real tokens themselves. The mask alone is asked for, (B, T), True or False: wanted != "
         "pad."),
        (_shifting(counts=lambda target, read, wanted, pad: (wanted != pad).sum()),
         "You count the real tokens of the whole batch. counts says it place by place: (B, T), True or False."),
        (_shifting(inputs=lambda target: target[:, :-2], wanted=lambda target: target[:, 2:]),
         "You shift by two, so the decoder would have to answer the word after the next. Shift by one."),
        (_shifting(inputs=lambda target: target[:-1], wanted=lambda target: target[1:]),
         "You shift along the batch: the answer would be the next sentence. Time is axis 1."),
        (_shifting(inputs=lambda target: target, wanted=lambda target: target.roll(-1, dims=1)),
         "You rolled the rows: the last answer is the <sos> of the same row. Nothing follows the last column, so it is "
         "no input at all."),
        (_shifting(inputs=lambda target: target),
         "Your inputs keep their last column, and there is no answer left for it. Each result has T columns."),
        (_shifting(wanted=lambda target: target),
         "Your wanted tokens keep their first column: the decoder would have to answer <sos>, which it is given."),
        (lambda target, pad=0: (target[:, 1:], target[:, :-1], target[:, 1:] != pad),
         "Your first two results are exchanged: the input comes first, then what is wanted."),
    ),
)


# --- 07.8 -------------------------------------------------------------------------------------------------------------

def greedy_decode(model, source, lengths, start, end, limit):
    """Translate one sentence, each time with the likeliest next token.

    model: encode(source, lengths) reads the source and returns a state; step(tokens, state) reads one token of each
    sentence, (1,), and returns (logits (1, V), the next state); eval(), train() and training are as in nn.Module.
    source: ids (1, S); lengths: (1,), how many of them are real; start: the id read first; end: the id that ends the
    sentence; limit: the most tokens to write.
    Returns the list of ids, without start and end. The source is encoded once, dropout is off, and afterwards the
    model is in the mode, training or evaluation, in which it came.
    """
    was_training = model.training
    model.eval()
    ids, tokens = [], torch.tensor([start])
    with torch.no_grad():
        state = model.encode(source, lengths)
        while len(ids) < limit:
            logits, state = model.step(tokens, state)
            tokens = logits.argmax(-1)                             # (1, V) -> (1,)
            if tokens.item() == end:
                break
            ids.append(tokens.item())
    model.train(was_training)
    return ids


ROWS, MOST_STEPS = 64, 200   # a case's decoder gives up after so many steps: long before the time limit


class State:
    """What the model of a case hands from step to step: a number made of the source, and how many tokens were read."""

    def __init__(self, row, tokens_read=0):
        self.row, self.tokens_read = row, tokens_read


class Translator:
    """A tiny encoder and decoder with dropout that write a planned sentence, and keep count of how they are used.

    What it says next depends on the source's real words, on the number of tokens read and on the last of them. It says
    `end` at the planned place only.
    """

    def __init__(self, source, lengths, path, start, end, vocabulary, training):
        self.training, self.dropout = training, nn.Dropout(0.5)
        self.dropout.train(training)
        self.table = torch.randn(ROWS, vocabulary, vocabulary)          # row, token read -> logits
        self.table[:, :, end] = -9.0
        first = self._row(source[0, :lengths[0]])
        for place, (read, said) in enumerate(zip((start, *path), path, strict=False)):
            scores = self.table[(first + place) % ROWS, read]
            scores[said] = scores.max() + 0.7
        self.steps = self.encodings = 0
        self.noisy = set()                                              # methods that ran with dropout on

    def train(self, mode=True):
        self.training = mode
        self.dropout.train(mode)
        return self

    def eval(self):
        return self.train(False)

    def parameters(self):
        return iter([self.table])

    def encode(self, source, lengths):
        if source.shape[0] != 1 or tuple(lengths.shape) != (1,):
            raise ValueError(f"encode reads one sentence here: source (1, S) and lengths (1,), got "
                             f"{tuple(source.shape)} and {tuple(lengths.shape)}")
        self._use("encode")
        self.encodings += 1
        real = torch.arange(source.shape[1]) < lengths.unsqueeze(1)     # (1, S)
        return State(self._row(self.dropout((source * real).float())))

    def step(self, tokens, state):
        vocabulary = self.table.shape[-1]
        if isinstance(tokens, State):
            raise ValueError("the tokens come first, then the state: step(tokens, state)")
        if not isinstance(state, State):
            raise ValueError("state is none of what encode and step return")
        if fault := self._fault_of(tokens):
            raise ValueError(f"step reads a tensor (1,), the token of the one sentence, got {fault}")
        if self.steps == MOST_STEPS:
            raise RuntimeError(f"step was called {MOST_STEPS} times, far beyond limit")
        if not 0 <= int(tokens) < vocabulary:
            raise ValueError(f"token {float(tokens):g} is none of the {vocabulary} ids")
        self._use("step")
        self.steps += 1
        logits = self.dropout(self.table[(state.row + state.tokens_read) % ROWS, int(tokens)])
        return logits.unsqueeze(0).clone(), State(state.row, state.tokens_read + 1)

    @staticmethod
    def _fault_of(tokens):
        """What is wrong with tokens, in words; empty where nothing is."""
        if not isinstance(tokens, torch.Tensor):
            return f"{short(tokens)}: torch.tensor([token]) makes one"
        if tokens.ndim == 0:
            return "a tensor without an axis: logits.argmax(-1) keeps the axis, torch.tensor([token]) makes one"
        if tokens.ndim > 1:
            return f"{tuple(tokens.shape)}: no more axes, and one token only, as the state knows those before"
        if len(tokens) > 1:
            return f"{tuple(tokens.shape)}"
        return "a score: max gives the score, argmax the id" if tokens.is_floating_point() else ""

    def _use(self, method):
        if self.dropout.training:
            self.noisy.add(method)

    @staticmethod
    def _row(words):
        return int(words.sum()) % ROWS


def _translator(*path, words, padding=0, start=1, end=2, limit=8, vocabulary=9, training=True):
    """Inputs with a model that writes `path`. words: real words of the source; padding: places filled up after them.

    The padded places hold a number that is not 0, so that it shows whether they are read.
    """
    def make():
        source = torch.randint(3, 30, (1, words + padding))
        source[:, words:] = 31
        lengths = torch.tensor([words])
        return Translator(source, lengths, path, start, end, vocabulary, training), source, lengths, start, end, limit
    return make


# Errors of an answer that misreads what encode and step return -> what to write.
MISREAD = (
    (r"cannot unpack non-iterable State|'State' object is not (iterable|subscriptable)",
     "encode returns one thing, the state. step reads it and returns the next one: keep it whole."),
    (r"'tuple' object has no attribute '(argmax|max|topk|sort|log_softmax|softmax|exp)'|must be Tensor, not tuple",
     "step returns two things, and you use both as one: write logits, state = model.step(tokens, state)."),
    (r"'State' object has no attribute '(argmax|max|topk|sort|log_softmax|softmax|exp)'|must be Tensor, not State",
     "step returns the logits first, then the next state: write logits, state = model.step(tokens, state)."),
    (r"'Translator' object is not callable|'Translator' object has no attribute '(forward|decode|encoder|decoder)'",
     "Use encode(source, lengths) and step(tokens, state): the model here has no more than these."),
    (r"return_types\.max",
     "logits.max(-1) returns two things, the largest score and its id. logits.argmax(-1) returns the id alone."),
    (r"Boolean value of Tensor with more than one value|a Tensor with \d+ elements cannot be converted|"
     r"only one element tensors can be converted|only integer tensors of a single element|"
     r"the token of the one sentence, got \(\d+,\)$",
     "One token was expected, and your code has several where it chooses, compares or reads it. logits is (1, V): "
     "argmax over V, the last axis, gives one."),
)


def _ids_and_manners(answer, model, source, lengths, start, end, limit):
    """The answer's ids. An answer that used the model wrongly is told that first: its ids may be right by luck."""
    found = model.training
    try:
        ids = answer(model, source, lengths, start, end, limit)
        ids = plain(list(ids) if isinstance(ids, types.GeneratorType) else ids)
    except (AttributeError, TypeError, RuntimeError, ValueError) as error:
        for pattern, words in MISREAD:
            if re.search(pattern, str(error)):
                raise RuleBroken(words) from error
        raise
    if ids is None:
        return None
    if model.noisy:
        raise RuleBroken(f"Expected dropout to be off, got training mode in {' and in '.join(sorted(model.noisy))}.")
    if model.encodings > 1:
        raise RuleBroken("Expected one call of encode, got more: a decoder that writes 30 tokens would read the source "
                         "30 times.")
    if model.training != found or model.dropout.training != found:
        modes = "evaluation", "training"
        raise RuleBroken(f"Expected the model back in {modes[found]} mode, in which it came, got {modes[not found]} "
                         "mode.")
    return ids


def _mode(during=False, back=lambda found, ids, limit: found):
    """What an answer does with the mode. during: while it writes; back: found, ids, limit -> the mode it leaves."""
    def around(model, decode, limit):
        found = model.training
        ids = decode(model.train(during))
        model.train(back(found, ids, limit))
        return ids
    return around


_in_eval_mode = _mode()


def _in_any_mode(model, decode, limit):
    return decode(model)


def _encode_as_asked(model, source, lengths):
    return model.encode(source, lengths)


def _likeliest(logits):
    return int(logits.argmax(-1))


def _write(model, state, start, end, limit, choose=_likeliest, read=lambda token, start: token, keep=lambda new: new):
    """The greedy loop. choose: logits -> token; read: token, start -> the token that is read next; keep: state."""
    ids, token = [], start
    while len(ids) < limit:
        logits, new = model.step(torch.tensor([read(token, start)]), state)
        state, token = keep(new) or state, choose(logits)
        if token == end:
            break
        ids.append(token)
    return ids


def _writing(**changes):
    return lambda model, state, start, end, limit: _write(model, state, start, end, limit, **changes)


def _past_the_end(model, state, start, end, limit):
    """Always `limit` tokens: no end stops it."""
    return _write(model, state, start, None, limit)


def _ending_with_end(model, state, start, end, limit):
    ids = _past_the_end(model, state, start, end, limit)
    return ids[:ids.index(end) + 1] if end in ids else ids


def _greedy(mode=_in_eval_mode, encode=_encode_as_asked, write=_write):
    """A misconception made of three parts: the mode of the model, the call of encode, and the loop."""
    def answer(model, source, lengths, start, end, limit):
        return mode(model, lambda model: write(model, encode(model, source, lengths), start, end, limit), limit)
    return answer


def _encoding_before_eval(model, source, lengths, start, end, limit):
    state = model.encode(source, lengths)
    return _greedy(encode=lambda model, source, lengths: state)(model, source, lengths, start, end, limit)


def _encoding_at_every_step(model, source, lengths, start, end, limit):
    was_training, ids, token = model.training, [], start
    model.eval()
    while len(ids) < limit:
        logits, _ = model.step(torch.tensor([token]), model.encode(source, lengths))
        token = _likeliest(logits)
        if token == end:
            break
        ids.append(token)
    model.train(was_training)
    return ids


def _nothing_at_the_limit(model, source, lengths, start, end, limit):
    ids = _greedy(write=_ending_with_end)(model, source, lengths, start, end, limit)
    return ids[:-1] if ids[-1] == end else None


GREEDY_DECODE = Exercise(
    id="07.8",
    title="Greedy decoding with the whole model",
    about=("autoregressive-decoding", "dropout"),
    reference=greedy_decode,
    returns="ids",
    run=_ids_and_manners,
    hints=(
        "Before the loop: remember model.training, call model.eval() (it switches dropout off), then encode once. "
        "After the loop: model.train(was_training).",
        "One turn of the loop: step reads a tensor of one token and the state, and returns the logits and the next "
        "state. Take the likeliest token; stop if it is end; else keep it, and read it next.",
        "logits is (1, V): argmax(-1) gives (1,), which step can read, and .item() makes a number of it. Stop at "
        "limit, too. Does every way out of your function pass model.train(was_training)?",
    ),
    cases=(
        Case("four tokens, then the end; the model comes in training mode",
             _translator(5, 3, 8, 4, 2, words=4), "Dropout off, the sentence is 5 3 8 4."),
        Case("three tokens, then the end, evaluation mode", _translator(6, 4, 7, 2, words=3, training=False)),
        Case("the limit comes before the end, training mode",
             _translator(4, 7, 6, 3, 8, 5, 7, 2, words=5, limit=5), "At most limit tokens are written."),
        Case("the limit comes before the end, evaluation mode",
             _translator(8, 5, 6, 3, 4, 7, 2, words=2, limit=4, vocabulary=10, training=False),
             "At most limit tokens are written."),
        Case("a source with padding", _translator(3, 6, 5, 7, 2, words=3, padding=2, training=False),
             "lengths tells encode how many words are real."),
        Case("a source with padding, training mode", _translator(7, 4, 6, 2, words=2, padding=4, limit=9)),
        Case("the end comes at once", _translator(2, words=6, limit=6, training=False), "The sentence is empty."),
        Case("other ids for start and end", _translator(2, 1, 9, 0, 3, 7, words=4, start=10, end=7, limit=12,
                                                        vocabulary=11, training=False),
             "Here 2 is a word, and 7 is the end."),
        Case("as many tokens as the limit allows", _translator(6, 3, 5, 2, words=3, limit=3)),
        Case("one token three times", _translator(3, 3, 6, 3, 2, words=5, limit=7, training=False),
             "A token may be written more than once."),
        Case("the model writes start in the middle", _translator(6, 1, 8, 4, 2, words=4, training=False),
             "Only end and limit stop the loop."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _greedy,
            ({"mode": _in_any_mode},
             "You leave dropout on. At test the model is to use all its features: model.eval() switches dropout off. "
             "torch.no_grad() does not; it only saves the work for the gradient."),
            ({"mode": _mode(back=lambda found, ids, limit: False)},
             "You leave the model in evaluation mode, so the training that goes on afterwards has no dropout. Remember "
             "model.training, and give it to model.train(…) at the end."),
            ({"mode": _mode(back=lambda found, ids, limit: True)},
             "You put the model into training mode at the end, however it came. Give model.train(…) what "
             "model.training was before."),
            ({"write": _ending_with_end},
             "Your list contains end. It says that the sentence is over: test for it before you keep the token."),
            ({"write": _past_the_end},
             "Your loop does not stop at end: it always writes limit tokens."),
            ({"write": _writing(read=lambda token, start: start)},
             "Every step reads start: the token just chosen is to be read next."),
            ({"write": lambda model, state, start, end, limit: _write(model, state, start, end, limit - 1)},
             "Your list lacks its last token where the limit comes first: it stops at limit - 1, or the last token is "
             "cut off even where it is not end."),
            ({"write": lambda model, state, start, end, limit: _write(model, state, start, end, limit + 1)},
             "You write one token too many: at most limit tokens."),
            ({"write": lambda model, state, start, end, limit: [start, *_write(model, state, start, end, limit)]},
             "Your list contains start. The decoder reads it, but does not write it."),
        ),
        *alone(
            (_greedy(mode=_mode(during=True)),
             "You call model.train() first: that switches dropout on. model.eval() switches it off."),
            (_greedy(mode=_mode(back=lambda found, ids, limit: found and len(ids) == limit)),
             "You leave the model in evaluation mode where end comes: a return inside the loop passes by "
             "model.train(…). Leave the loop by break, and set the mode back after it."),
            (_greedy(mode=_mode(back=lambda found, ids, limit: found and len(ids) < limit)),
             "You leave the model in evaluation mode where the limit comes. Set it back after the loop, whatever ended "
             "it."),
            (_encoding_before_eval,
             "You call model.eval() after encode, so the source is read with dropout on. The encoder has dropout too: "
             "eval() comes first."),
            (_encoding_at_every_step,
             "You encode at every step. The source does not change, and encode returns a state in which nothing is "
             "written yet. Encode once, before the loop, and hand on the state that step returns."),
            (_greedy(write=_writing(keep=lambda new: None)),
             "Every step gets the state that encode returned. Hand on the one that step returns: it knows the tokens "
             "read so far."),
            (_greedy(encode=lambda model, source, lengths: model.encode(source, torch.tensor([source.shape[1]]))),
             "You tell encode that all S places of the source are real, so the padding is read too. Give it lengths."),
            (_greedy(write=lambda model, state, start, end, limit: _write(model, state, start, end, 10**9)),
             "No limit stops your loop where end never comes. Count the tokens, and stop at limit."),
            (_greedy(write=lambda model, state, start, end, limit: [
                 token for token in _past_the_end(model, state, start, end, limit) if token != end]),
             "You leave end out of the list but go on after it. The sentence is over there: leave the loop, or cut the "
             "list at the first end."),
            (_greedy(write=lambda model, state, start, end, limit: [
                 start, *_ending_with_end(model, state, start, end, limit)]),
             "Your list contains start and end. Only the tokens between them are wanted."),
            (_greedy(write=lambda model, state, start, end, limit: [
                 start, *_write(model, state, start, end, limit - 1)]),
             "Your list begins with start, which also takes one of the limit's places. The decoder reads start, but "
             "does not write it."),
            (_greedy(write=_writing(choose=lambda logits: int(logits.argmax(0)))),
             "Your argmax runs over axis 0, the batch: it gives V numbers, all 0. The ids are the last axis, -1."),
            (_greedy(write=_writing(choose=lambda logits: int(logits.argmax(0)[0]))),
             "Your token is 0 each time. logits is (1, V): argmax over axis 0, the batch, gives V zeros, and logits[:, "
             "-1] is one score alone. logits.argmax(-1) looks at all V."),
            (_greedy(write=_writing(choose=lambda logits: int(logits[0].argmin()))),
             "You take the least likely token. argmax gives the likeliest."),
            (_greedy(write=_writing(choose=lambda logits: int(torch.multinomial(logits.softmax(-1), 1)))),
             "You draw the token at random. Greedy decoding takes the likeliest token, so two runs write the same."),
            (_greedy(write=lambda model, state, start, end, limit: _write(model, state, start, 2, limit)),
             "You stop at the id 2. The id that ends a sentence is the argument end."),
            (_greedy(write=lambda model, state, start, end, limit: _write(model, state, 1, end, limit)),
             "You begin with the id 1. The id that is read first is the argument start."),
            (_greedy(write=lambda model, state, start, end, limit: _write(model, state, start, end, limit)[:1]),
             "You return after the first token: the return stands inside the loop, or there is no loop."),
            (_nothing_at_the_limit,
             "You return only where end comes. What was written up to the limit counts too: put the return after the "
             "loop."),
            (_greedy(write=lambda model, state, start, end, limit: [
                 torch.tensor([token]) for token in _write(model, state, start, end, limit)]),
             "Your list holds tensors (1,). The ids themselves are wanted: .item() makes a number of each."),
            (_greedy(write=lambda model, state, start, end, limit: [_write(model, state, start, end, limit)]),
             "Your list holds a list of ids. There is one sentence: return its ids."),
        ),
    ),
)


# --- 07.9 -------------------------------------------------------------------------------------------------------------

def learning_rate(step, d_model, warmup):
    """The learning rate of "Attention Is All You Need" at one step: a straight rise, then a fall with 1/√step.

    step: counted from 1; d_model: features; warmup: steps until the peak, where both parts meet.
    Returns d_model^-0.5 · min(step^-0.5, step · warmup^-1.5), a number.
    """
    return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)


def _rate(scale=lambda d_model: d_model**-0.5, rise=lambda step, warmup: step * warmup**-1.5,
          fall=lambda step, warmup: step**-0.5, choose=min, first=0):
    """A misconception. first: what is added to the step."""
    def answer(step, d_model, warmup):
        step = step + first
        return scale(d_model) * choose(rise(step, warmup), fall(step, warmup))
    return answer


def _from_zero(step, d_model, warmup):
    return learning_rate(step - 1, d_model, warmup)


def _at(*numbers):
    return lambda: numbers


def _rate_in_python(answer, step, d_model, warmup):
    """The answer's rate. An operator or a function that is none for Python's numbers is named."""
    try:
        return answer(step, d_model, warmup)
    except TypeError as error:
        if re.search(r"for \^: ", str(error)):
            raise RuleBroken("Expected a power, got ^, which is none in Python. Write step ** -0.5.") from error
        if re.search(r"min\(\)(:| received)", str(error)):
            raise RuleBroken("Expected Python's own min(…, …), got torch.min: that one takes tensors.") from error
        raise


LEARNING_RATE = Exercise(
    id="07.9",
    title="The warm-up schedule",
    about=("warmup-schedule",),
    reference=learning_rate,
    run=_rate_in_python,
    rtol=1e-5,
    atol=0.0,
    hints=(
        "Two curves: step^-0.5 falls for ever, step · warmup^-1.5 is a straight line through 0. min takes the lower "
        "one. In Python step^-0.5 is step ** -0.5.",
        "Put step = warmup into both curves. Which number do you get? If the two differ, an exponent is wrong.",
        "Both are multiplied by d_model ** -0.5: a wider model learns with smaller steps.",
    ),
    cases=(
        Case("on the way up", _at(300, 64, 1200), "Before warmup the rate rises in a straight line."),
        Case("after the peak", _at(2000, 128, 500), "After warmup the rate falls with 1/√step."),
        Case("the first step", _at(1, 64, 100), "Steps are counted from 1."),
        Case("the peak", _at(4000, 512, 4000), "At step = warmup both curves have the same height."),
        Case("one step after the peak", _at(51, 100, 50)),
        Case("far from the peak", _at(90000, 256, 10), "The rate falls, and never reaches 0."),
        Case("no warm-up to speak of", _at(7, 9, 1), "With warmup = 1 the peak is the first step."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _rate,
            ({"rise": lambda step, warmup: step * warmup**-0.5},
             "Your rise is step · warmup^-0.5. It must meet the other curve at step = warmup, where that one is "
             "warmup^-0.5: so the exponent is -1.5."),
            ({"choose": max},
             "You take the larger of the two curves. The rate would fall from a high start until the warm-up ends, "
             "and then rise without end: take min."),
            ({"scale": lambda d_model: d_model**0.5},
             "You multiply by √d_model. A wider model learns with smaller steps: the factor is d_model^-0.5."),
            ({"scale": lambda d_model: 1 / d_model},
             "You divide by d_model. It is divided by its root."),
            ({"scale": lambda d_model: 1},
             "Your answer does not know d_model: its factor d_model^-0.5 is missing."),
            ({"first": 1},
             "Your rate is that of the next step: you add 1 to step. It is counted from 1 already."),
        ),
        *alone(
            (_rate(rise=lambda step, warmup: step / warmup),
             "Your rise is step / warmup, which is 1 at the peak. The other curve is warmup^-0.5 there, so the "
             "exponent is -1.5."),
            (lambda step, d_model, warmup: d_model**-0.5 * (step / warmup if step < warmup else step**-0.5),
             "Your rate jumps at the peak: step / warmup reaches 1, and step^-0.5 starts at warmup^-0.5. With step · "
             "warmup^-1.5 the two meet."),
            (_rate(choose=lambda rise, fall: rise + fall),
             "You add the two curves. At each step only the lower one counts: take min."),
            (_rate(choose=lambda rise, fall: rise * fall),
             "You multiply the two curves. At each step only the lower one counts: take min."),
            (_rate(rise=lambda step, warmup: step * warmup**-2),
             "Your rise is step · warmup^-2, too low for the two curves to meet at warmup. The exponent is -1.5."),
            (_rate(rise=lambda step, warmup: warmup * step**-1.5),
             "You exchanged step and warmup in the rise: it is step · warmup^-1.5."),
            (_rate(fall=lambda step, warmup: 1 / step),
             "Your second curve is 1/step. It falls more slowly, with 1/√step."),
            (_from_zero,
             "You count steps from 0: you subtract 1, and the first step is divided by zero. Here step is 1 at the "
             "first step."),
            (lambda step, d_model, warmup: d_model**-0.5 * step * warmup**-1.5,
             "Your rate rises for ever. After warmup it falls with step^-0.5: min takes the lower curve."),
            (lambda step, d_model, warmup: d_model**-0.5 * step**-0.5,
             "Your rate has no warm-up: it begins at its highest. Before warmup the straight line is the lower one, if "
             "its exponent is -1.5."),
            (lambda step, d_model, warmup: (d_model * warmup)**-0.5 * min(1, step / warmup),
             "Your rate rises as it should, and then stays at its peak. After warmup it falls with step^-0.5."),
            (lambda step, d_model, warmup: (d_model * warmup)**-0.5 * min(step / warmup, max(0, 2 - step / warmup)),
             "Your rate falls in a straight line, and stays at 0 from twice the warm-up on. After the peak it falls "
             "with step^-0.5."),
            (lambda step, d_model, warmup: (d_model * warmup)**-0.5 * min(step / warmup, 2 - step / warmup),
             "Your rate falls in a straight line and below 0. After the peak it falls with step^-0.5."),
            (_rate(fall=lambda step, warmup: warmup**0.5 / step),
             "Your rate falls with 1/step after the peak. It falls more slowly, with 1/√step."),
            (_rate(fall=lambda step, warmup: step**0.5),
             "Your second curve is √step, which rises. The exponent is -0.5."),
            (_rate(fall=lambda step, warmup: (step - warmup)**-0.5 if step > warmup else warmup**-0.5),
             "Your fall counts its steps from the peak on, so it starts near 1 / √d_model again. step is always "
             "counted from the beginning."),
            (lambda step, d_model, warmup: min(step / warmup, (warmup / step)**0.5),
             "Your rate has the right form, but its peak is 1. The peak is (d_model · warmup)^-0.5."),
            (lambda step, d_model, warmup: d_model**-0.5 * min(step / warmup, (warmup / step)**0.5),
             "Your peak is d_model^-0.5. It is (d_model · warmup)^-0.5: both curves are warmup^-0.5 there, not 1."),
            (lambda step, d_model, warmup: d_model**-0.5 * min(step**-0.5, step * warmup)**-1.5,
             "Your exponent -1.5 is applied to the result of min. It belongs to warmup alone: step * warmup ** -1.5."),
            (lambda step, d_model, warmup: d_model**-0.5 * min(step**-0.5, (step * warmup)**-1.5),
             "Your exponent -1.5 is applied to step · warmup. It belongs to warmup alone."),
            (_rate(rise=lambda step, warmup: (step / warmup)**1.5),
             "Your exponent is applied to step / warmup. It belongs to warmup alone: step * warmup ** -1.5, a straight "
             "line."),
        ),
    ),
)


# --- 07.10 ------------------------------------------------------------------------------------------------------------

def smoothed_loss(logits, targets, smoothing, pad=0):
    """Cross-entropy against soft targets: mostly the right token, and a little of every token.

    logits: (B, T, V); targets: (B, T) ids, `pad` where a sentence has ended; smoothing: ε between 0 and 1.
    A soft target gives ε / V to each of the V tokens and 1 - ε more to the right one, which so gets 1 - ε + ε / V.
    Returns the mean of -Σ (soft target · log-probability) over all targets that are not `pad`, a scalar.
    """
    log_probs = logits.log_softmax(-1)                                             # (B, T, V)
    right = log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)                # (B, T)
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)             # (B, T)
    return losses[targets != pad].mean()


def _scored(lengths, steps, vocabulary, smoothing, pad=None, size=2.0):
    """Logits, targets without `pad` up to each length, and ε. pad=None: id 0, and the argument is left out."""
    def make():
        real = torch.arange(steps) < torch.tensor(lengths).unsqueeze(1)                             # (B, T)
        padding = pad or 0
        targets = (padding + torch.randint(1, vocabulary, (len(lengths), steps))) % vocabulary      # never `pad`
        logits = size * torch.randn(len(lengths), steps, vocabulary)
        logits[:, :, padding] += 5.0 * ~real                                # the model knows padding when it comes
        inputs = logits, targets.masked_fill(~real, padding), smoothing
        return inputs if pad is None else (*inputs, pad)
    return make


def _token_losses(logits, targets, smoothing, pad):
    """(B, T)."""
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none", label_smoothing=smoothing)


def _mean_over_real(losses, targets, pad):
    return losses[targets != pad].mean()


def _right_and_all(logits, targets):
    """Log-probabilities of the right token, (B, T), and of all tokens, (B, T, V)."""
    log_probs = logits.log_softmax(-1)
    return log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1), log_probs


def _with_losses(losses_at):
    """A misconception with another loss at each token. losses_at: log p of the right token, of all, ε -> (B, T)."""
    def losses(logits, targets, smoothing, pad):
        right, log_probs = _right_and_all(logits, targets)
        return losses_at(right, log_probs, smoothing)
    return losses


def _smoothed(losses=_token_losses, mean=_mean_over_real):
    """An answer made of the losses of all tokens and of what makes one number of them."""
    def answer(logits, targets, smoothing, pad=0):
        return mean(losses(logits, targets, smoothing, pad), targets, pad)
    return answer


def _mean_of_sentence_means(losses, targets, pad):
    real = targets != pad
    return ((losses * real).sum(1) / real.sum(1)).mean()


def _second_part(part):
    """A misconception in what ε is given to. part: log p of the right token, of all -> (B, T)."""
    return _with_losses(
        lambda right, log_probs, smoothing: -(1 - smoothing) * right - smoothing * part(right, log_probs))


def _over_neither_right_nor_pad(logits, targets, smoothing, pad):
    right, log_probs = _right_and_all(logits, targets)
    others = log_probs.sum(-1) - right - log_probs[..., pad]
    return -(1 - smoothing) * right - smoothing * others / (log_probs.shape[-1] - 2)


def _over_all_but_pad(logits, targets, smoothing, pad):
    right, log_probs = _right_and_all(logits, targets)
    spread = (log_probs.sum(-1) - log_probs[..., pad]) / (log_probs.shape[-1] - 1)
    return -(1 - smoothing) * right - smoothing * spread


def _mixed_probabilities(right, log_probs, smoothing):
    return -((1 - smoothing) * right.exp() + smoothing / log_probs.shape[-1]).log()


def _soft_targets(logits, targets, smoothing):
    return (1 - smoothing) * F.one_hot(targets, logits.shape[-1]) + smoothing / logits.shape[-1]


def _divergence(logits, targets, smoothing, pad):
    return F.kl_div(logits.log_softmax(-1), _soft_targets(logits, targets, smoothing), reduction="none").sum(-1)


def _divergence_without_pad(logits, targets, smoothing, pad):
    soft = torch.full_like(logits, smoothing / (logits.shape[-1] - 2))
    soft = soft.scatter(-1, targets.unsqueeze(-1), 1 - smoothing).index_fill(-1, torch.tensor(pad), 0)
    return F.kl_div(logits.log_softmax(-1), soft, reduction="none").sum(-1)


def _smoothing_the_padding_too(logits, targets, smoothing, pad=0):
    right, log_probs = _right_and_all(logits, targets)
    return -(1 - smoothing) * right[targets != pad].mean() - smoothing * log_probs.mean()


def _with_scores(scores_of):
    """A misconception with other numbers in place of the log-probabilities. scores_of: logits -> (B, T, V)."""
    def losses(logits, targets, smoothing, pad):
        scores = scores_of(logits)
        right = scores.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        return -(1 - smoothing) * right - smoothing * scores.mean(-1)
    return losses


def _without_log(logits, targets, smoothing, pad):
    return -(_soft_targets(logits, targets, smoothing) * logits.softmax(-1)).sum(-1)


def _no_share_for_pad(logits, targets, smoothing, pad):
    soft = _soft_targets(logits, targets, smoothing).index_fill(-1, torch.tensor(pad), 0.0)
    return -(soft * logits.log_softmax(-1)).sum(-1)


SMOOTHED_LOSS = Exercise(
    id="07.10",
    title="Label smoothing",
    about=("label-smoothing",),
    reference=smoothed_loss,
    without=("F.cross_entropy", "nn.CrossEntropyLoss"),
    hints=(
        "Cross-entropy is -Σ q · log p over the V tokens, and the soft target is q = (1 - ε) · one-hot + ε / V. Put q "
        "in: which two sums come out?",
        "The first is (1 - ε) times the log-probability of the right token; gather(-1, targets.unsqueeze(-1)) picks "
        "it. The second is ε times the mean of all V log-probabilities.",
        "That makes a loss for each place, (B, T). losses[targets != pad] leaves the padding out; its mean is wanted.",
    ),
    cases=(
        Case("sentences of different lengths, smoothing = 0.1", _scored([5, 2], 5, 7, 0.1)),
        Case("no padding, smoothing = 0.3", _scored([4, 4, 4], 4, 6, 0.3), "ε is an argument."),
        Case("no smoothing", _scored([3, 5, 1, 2], 5, 9, 0.0), "With ε = 0 this is plain cross-entropy."),
        Case("another id for the padding", _scored([6, 1, 4], 6, 11, 0.2, pad=3),
             "Here 0 is a word like any other, and 3 is the padding."),
        Case("nothing but smoothing", _scored([3, 2], 4, 5, 1.0), "With ε = 1 the soft target is even."),
        Case("mostly padding", _scored([8, 1, 1, 2, 1], 8, 10, 0.1)),
        Case("logits of some hundreds", _scored([3, 4], 4, 8, 0.1, size=150.0),
             "A probability of e^-300 is 0 in float32; its logarithm is not."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _smoothed,
            ({"losses": _second_part(
                lambda right, log_probs: (log_probs.sum(-1) - right) / (log_probs.shape[-1] - 1))},
             "You share ε among the V - 1 wrong tokens, and the right one gets 1 - ε. That is one convention. Here, as "
             "in PyTorch, all V get ε / V, so the right token has 1 - ε + ε / V."),
            ({"losses": lambda logits, targets, smoothing, pad: _token_losses(logits, targets, 0.0, pad)},
             "Your loss is plain cross-entropy: smoothing changes nothing."),
            ({"mean": lambda losses, targets, pad: losses.mean()},
             "Your mean runs over the padding too. A model that says <pad> after <pad> then looks better than it is."),
            ({"mean": lambda losses, targets, pad: (losses * (targets != pad)).mean()},
             "You set the losses at the padding to 0, but divide by B · T. The more padding, the smaller your loss. "
             "Divide by the number of real tokens."),
            ({"mean": lambda losses, targets, pad: losses[targets != pad].sum()},
             "You return the sum over the tokens. The mean is asked for."),
        ),
        *alone(
            (_smoothed(_second_part(lambda right, log_probs: (log_probs.sum(-1) - right) / log_probs.shape[-1])),
             "Your soft target does not sum to 1: the wrong tokens get ε / V, and the right one only 1 - ε. It gets "
             "its ε / V too. Where scatter writes 1 - ε, it writes over that share."),
            (_smoothed(_over_neither_right_nor_pad),
             "You share ε among the V - 2 tokens that are neither right nor <pad>. Some do so; here, as in PyTorch, "
             "all V get ε / V."),
            (_smoothed(_over_all_but_pad),
             "You give <pad> no share of ε. Here, as in PyTorch, each of the V tokens gets ε / V. Only places where "
             "the target is <pad> are left out."),
            (_smoothed(_with_losses(lambda right, log_probs, smoothing: -(1 - smoothing) * right)),
             "You multiply the loss by 1 - ε and stop there. The other part is missing: ε times the mean of all V "
             "log-probabilities."),
            (_smoothed(_second_part(lambda right, log_probs: log_probs.sum(-1))),
             "You give ε to each of the V tokens. Together they get ε, so each gets ε / V: the mean of the "
             "log-probabilities, not their sum."),
            (_smoothed(_second_part(lambda right, log_probs: log_probs.sum(-1) - right)),
             "You give ε to each of the wrong tokens. All V tokens share it: ε / V for each, the right one too."),
            (_smoothed(_with_losses(lambda right, log_probs, smoothing:
                                    (-(1 - smoothing) * right - smoothing * log_probs.mean(-1)) / log_probs.shape[-1])),
             "Your mean runs over the vocabulary too. The loss of one token is the sum over its V products; the mean "
             "is taken over the tokens."),
            (_smoothing_the_padding_too,
             "Your first part leaves the padding out, your second does not: the mean of the log-probabilities, too, is "
             "taken at real tokens only."),
            (_smoothed(_divergence_without_pad),
             "You share ε among the V - 2 tokens that are neither right nor <pad>, and take F.kl_div on top, as one "
             "well-known implementation does. Here all V get ε / V, and the loss is cross-entropy."),
            (lambda logits, targets, smoothing, pad=0: smoothed_loss(logits, targets, smoothing, pad).exp(),
             "You return exp(loss). The mean loss itself is wanted."),
            (_smoothed(_with_losses(lambda right, log_probs, smoothing: -right - smoothing * log_probs.mean(-1))),
             "Your right token keeps its whole 1, so the soft target sums to 1 + ε. What is shared out is taken from "
             "it: 1 - ε."),
            (_smoothed(_with_losses(lambda right, log_probs, smoothing:
                                    -smoothing * right - (1 - smoothing) * log_probs.mean(-1))),
             "Your two weights are exchanged: the right token has 1 - ε, and ε is shared out."),
            (_smoothed(_second_part(lambda right, log_probs: -log_probs.mean(-1))),
             "Your second part has the wrong sign: both parts are minus a mean of log-probabilities."),
            (_smoothed(_second_part(lambda right, log_probs: log_probs.exp().mean(-1).log())),
             "You take the log of the mean probability, and that is always log(1 / V). The mean of the logs is wanted: "
             "first log, then mean."),
            (_smoothed(_second_part(lambda right, log_probs: log_probs.exp().mean(-1))),
             "Your second part is the mean of the probabilities, and that is always 1 / V. The mean of their "
             "logarithms is wanted."),
            (_smoothed(_with_losses(_mixed_probabilities)),
             "You smooth what the model says, log((1 - ε) · p + ε / V). The targets are smoothed, and p stays as it "
             "is."),
            (lambda logits, targets, smoothing, pad=0: smoothed_loss(
                 (1 - smoothing) * logits + smoothing / logits.shape[-1], targets, 0.0, pad),
             "You smooth the logits. The targets are smoothed: q = (1 - ε) · one-hot + ε / V."),
            (lambda logits, targets, smoothing, pad=0: smoothed_loss(
                 (1 - smoothing) * logits.softmax(-1) + smoothing / logits.shape[-1], targets, 0.0, pad),
             "You smooth the probabilities and take softmax of them once more. The targets are smoothed, and softmax "
             "is taken once."),
            (_smoothed(_divergence),
             "You compute the Kullback-Leibler divergence, as F.kl_div does: cross-entropy less the entropy of the "
             "soft target. The gradient is the same, the number is not. Leave q · log q out."),
            (_smoothed(_with_scores(lambda logits: logits.softmax(-1).log())),
             "You take the logarithm of softmax. A small probability is rounded to 0, and log 0 is minus infinity. "
             "log_softmax does both at once and keeps the number."),
            (_smoothed(_with_scores(lambda logits: logits)),
             "You use the logits as if they were log-probabilities. log_softmax(-1) makes them so."),
            (_smoothed(_without_log),
             "You weight the probabilities. Cross-entropy weights their logarithms: log_softmax(-1), not softmax(-1)."),
            (_smoothed(_no_share_for_pad),
             "Your soft target has 0 in the column of <pad>, so it does not sum to 1. Here all V tokens get ε / V. "
             "Only places where the target is <pad> are left out."),
            (_smoothed(_with_scores(lambda logits: logits.log_softmax(1))),
             "Your softmax runs over time, axis 1. Probabilities sum to 1 over the vocabulary, the last axis."),
            (lambda logits, targets, smoothing, pad=0: smoothed_loss(logits.softmax(-1), targets, smoothing, pad),
             "You take softmax twice. log_softmax wants the logits."),
            (lambda logits, targets, smoothing, pad=0: -smoothed_loss(logits, targets, smoothing, pad),
             "Your sign is wrong: a loss is minus a mean of log-probabilities."),
            (lambda logits, targets, smoothing, pad=0: smoothed_loss(logits, targets, smoothing),
             "You leave out the target 0, whatever pad says. Use the argument pad."),
            (lambda logits, targets, smoothing, pad=0: smoothed_loss(logits, targets, 0.1, pad),
             "You smooth by 0.1, whatever smoothing says. Use the argument."),
            (_smoothed(mean=lambda losses, targets, pad: losses[targets == pad].mean()),
             "Your mask is turned round: you keep the padding and leave out the words."),
            (_smoothed(mean=_mean_of_sentence_means),
             "You take the mean of each sentence, then the mean of these. A token of a short sentence then counts more "
             "than one of a long sentence; all real tokens count alike."),
            (_smoothed(mean=lambda losses, targets, pad: losses[targets != pad].sum() / len(targets)),
             "You divide by the number of sentences. The mean over tokens divides by the number of real tokens."),
            (_smoothed(mean=lambda losses, targets, pad: losses * (targets != pad)),
             "You return the loss of every token. One number is wanted, the mean over the real ones."),
        ),
    ),
)


EXERCISES = [
    FFN, NORMALISE, RESIDUAL_STEP, ENCODE, DECODER_STEP,
    PEEKS, SHIFT_TARGETS, GREEDY_DECODE, LEARNING_RATE, SMOOTHED_LOSS,
]

# --- quizzes --------------------------------------------------------------------------------------------------------

QUIZZES = {
    "07-opening": [
        Question(
            "In chapter 04 the decoder looked back at the source. Where did query, key and value come from?",
            (
                Choice("All three from the encoder", "Then nothing would say which word is being written."),
                Choice("All three from the decoder", "That would be self-attention: no source word would be read."),
                Choice("The query from the decoder, key and value from the encoder",
                       "The decoder asks, the source answers. This chapter uses the same again.", correct=True),
                Choice("The query from the encoder, key and value from the decoder",
                       "Then each source word would ask the target, and the decoder would get one vector a source "
                       "word."),
            ),
            about=("attention-as-lookup", "query-key-value"),
        ),
        Question(
            "Teacher forcing, and the reference is: 저 +는 물 +을 마셔요 <eos>. Which token does the decoder read at "
            "the step that should write 물?",
            (
                Choice("물", "Then it would read what it should write."),
                Choice("+는", "The input is the reference, one place later, behind <sos>.", correct=True),
                Choice("<sos>", "That is read once, at the first step. It should write 저."),
                Choice("The token that the model wrote last", "That is free running, not teacher forcing."),
            ),
            about=("teacher-forcing",),
        ),
        Question(
            "Chapter 02: what lets the gradient of an LSTM pass a hundred steps?",
            (
                Choice("A smaller learning rate", "It changes how far the weights move, not what the gradient is."),
                Choice("The tanh on its output", "Its slope is at most 1, so it never makes a gradient larger."),
                Choice("A matrix for each gate", "Matrices on the way are what makes a gradient vanish or explode."),
                Choice("A cell state that is added to, with a forget gate near 1",
                       "A sum passes the gradient on unchanged. This chapter does the same from layer to "
                       "layer.", correct=True),
            ),
            about=("cell-state", "vanishing-gradient"),
        ),
        Question(
            "A decoder with self-attention reads all T reference tokens in one pass. What keeps output 3 from using "
            "token 5?",
            (
                Choice("The causal mask", "Key 5 gets weight 0 for query 3.", correct=True),
                Choice("The positions", "They tell where a token stands. That forbids nothing."),
                Choice("The padding mask", "It hides filler. Token 5 is a real token."),
                Choice("The order of the computation", "All places are computed at once: nothing is read later."),
            ),
            about=("attention-masks",),
        ),
        Question(
            "Hold the attention weights fixed. Which of these can one head then not compute from the words' vectors?",
            (
                Choice("Their mean", "Equal weights give it."),
                Choice("A copy of one word's vector", "One weight is 1, and W_V and W_O may be the identity."),
                Choice("The larger of two features of a word",
                       "With fixed weights each output is a linear function of the vectors, and a maximum is not "
                       "linear. A block needs one more part.", correct=True),
                Choice("The difference of two features of a word", "W_V can subtract one feature from another."),
            ),
            about=("self-attention-worked", "feed-forward"),
        ),
        Question(
            "A Transformer with sinusoidal positions learns to translate sentences of up to 16 words. Then it gets "
            "sentences of 20 words, made of known words. What does it do? (A guess is fine.)",
            (
                Choice("It stops with an error",
                       "The formula gives positions for any length, so every word gets its vector."),
                Choice("It translates them as well as before",
                       "The formula goes on. Does that say that the model can read what it gives?"),
                Choice("It makes many more mistakes",
                       "It never saw a word at position 18. This chapter measures how much that costs.", correct=True),
                Choice("It translates the first 16 words and leaves out the rest",
                       "No part of the model counts to 16. All 20 words are read."),
            ),
            about=("sinusoidal-encoding", "translate-en-ko"),
        ),
    ],
    "07-closing": [
        Question(
            "A post-norm encoder block gets x. What goes into its feed-forward network?",
            (
                Choice("attention(x)", "The residual connection and the norm come between the two."),
                Choice("x + attention(x)", "In post-norm the sum is normalised before it goes on."),
                Choice("LayerNorm(x + attention(x))",
                       "First the sum, then the norm, then the next sublayer.", correct=True),
                Choice("LayerNorm(attention(x)) + x", "The norm is on the wrong side: it acts on the sum."),
            ),
            about=("encoder-block", "pre-and-post-norm"),
        ),
        Question(
            "d_model = 512, d_ff = 2048. Biases and norms aside, which part of an encoder block's weights is in the "
            "feed-forward network?",
            (
                Choice("A third", "That is the attention's part: 4 · 512² of 12 · 512²."),
                Choice("A half", "That counts one of the two layers. W_1 and W_2 are 4 · 512² each."),
                Choice("Two thirds", "8 · 512² against 4 · 512² for W_Q, W_K, W_V and W_O.", correct=True),
                Choice("Four fifths", "That counts two matrices for the attention. It has four."),
            ),
            about=("feed-forward", "parameter-counts"),
        ),
        Question(
            "Somebody forgets the ReLU: FFN(x) = W_2 (W_1 x + b_1) + b_2. No error comes. What has been lost?",
            (
                Choice("Two layers do no more than one of size d_model × d_model",
                       "W_2 W_1 is one matrix. All of d_ff adds nothing that one linear layer could not "
                       "do.", correct=True),
                Choice("The words no longer exchange anything here", "They never did: each position stands alone."),
                Choice("The gradient vanishes", "A linear layer passes it well. Another thing is missing."),
                Choice("The outputs can no longer be negative", "They can: W_2 comes after the ReLU anyway."),
            ),
            about=("feed-forward",),
        ),
        Question(
            "A sublayer f gives back a tenth of the gradient that reaches it. What is left after six of them in a row, "
            "and what after six of x + f(x)? (No norms.)",
            (
                Choice("10^-6, and about 1",
                       "0.1 six times over. With the sum the factor is between 0.9 and 1.1 each time, so about 0.5 to "
                       "1.8 in all.", correct=True),
                Choice("10^-6, and 6 · 10^-6", "The ways through the additions do not pass f at all: they keep all."),
                Choice("0.1, and 1.1", "That is one layer. Through six the factors are multiplied."),
                Choice("0.6, and 6.6", "The factors of layers in a row are multiplied, not added up."),
            ),
            about=("residual-connections",),
        ),
        Question(
            "A batch has two tokens, (1, 3) and (5, 9). What does layer norm make of the second, with gain 1, bias 0 "
            "and eps 0?",
            (
                Choice("(1, 1)", "That is batch norm: each feature compared with that of the other token."),
                Choice("(-1, 1)", "Its mean is 7 and its variance 4, so (5 - 7)/2 and (9 - 7)/2.", correct=True),
                Choice("(-0.5, 0.5)", "That divides by the variance. It is divided by its root."),
                Choice("(-0.71, 0.71)", "That divides the squares by C - 1. Layer norm divides by C."),
            ),
            about=("layer-norm", "batch-norm"),
        ),
        Question(
            "A pre-norm stack ends with one more layer norm, the paper's post-norm stack does not. Why?",
            (
                Choice("Pre-norm has one norm less in each block", "Both have one for each sublayer."),
                Choice("The output layer takes numbers between -1 and 1 only",
                       "A linear layer takes any numbers, and a norm does not keep to -1 … 1."),
                Choice("Otherwise the first block would get no gradient",
                       "The way through the sums is free. In pre-norm it meets no norm at all."),
                Choice("In pre-norm the sum that leaves the last block was never normalised",
                       "Each norm acts on a sublayer's input only. The sum itself grows from block to "
                       "block.", correct=True),
            ),
            about=("pre-and-post-norm", "residual-stream"),
        ),
        Question(
            "The source has 8 words, the decoder has read 5 tokens. Which shape have the weights of one head in "
            "cross-attention?",
            (
                Choice("(8, 5)", "That has the queries from the source. They come from the target."),
                Choice("(5, 5)", "That is the decoder's self-attention."),
                Choice("(8, 8)", "That is the encoder's self-attention."),
                Choice("(5, 8)",
                       "A row for each query, from the target; a column for each key, from the source.", correct=True),
            ),
            about=("decoder-block", "cross-attention"),
        ),
        Question(
            "By mistake the encoder gets a causal mask, too. Training runs without an error. What is lost?",
            (
                Choice("Nothing: the encoder reads from left to right anyway",
                       "It reads all words at once, and a word may need what stands behind it."),
                Choice("The first word's vector knows nothing of the words behind it",
                       "Each word sees itself and those in front of it. In \"the bank of the river\", bank does not "
                       "see river.", correct=True),
                Choice("The decoder sees only the first source word",
                       "Cross-attention has a mask of its own. It allows all real words."),
                Choice("The decoder can now see the future",
                       "The future is in the target. The encoder never reads that."),
            ),
            about=("encoder-block", "attention-masks"),
        ),
        Question(
            "To test a decoder you change the fourth of six input tokens. At which places may the logits change, if "
            "all is right?",
            (
                Choice("4, 5 and 6",
                       "Place 4 reads its own token, which helps to write the next. Earlier ones must "
                       "stay.", correct=True),
                Choice("5 and 6", "Place 4 reads token 4, too: it is no answer any more, it is the input."),
                Choice("1, 2 and 3", "These come before it. If they change, the decoder looks at the future."),
                Choice("4 alone", "5 and 6 may look back at it. That is what attention is for."),
            ),
            about=("no-peeking",),
        ),
        Question(
            "The target embedding and the output layer share one matrix. What is the logit of a word then, its bias "
            "aside?",
            (
                Choice("The cosine of the last vector and the word's embedding",
                       "Nothing divides by their lengths: a longer embedding gets more."),
                Choice("The distance from the last vector to the word's embedding",
                       "A linear layer computes no distances."),
                Choice("The dot product of the last vector and the word's embedding",
                       "A row of the output layer is the embedding of its word.", correct=True),
                Choice("The word's probability", "Softmax comes after the logits."),
            ),
            about=("output-head", "weight-tying"),
        ),
        Question(
            "The paper's schedule with a warm-up of 400 steps. At which later step is the learning rate what it was "
            "at step 100?",
            (
                Choice("700", "That would be a fall as straight as the rise."),
                Choice("1,600", "That would be a fall with 1/step. It is 1/√step."),
                Choice("6,400", "At step 100 it is 1/4 of the peak, and √(400/6,400) = 1/4.", correct=True),
                Choice("Never: it only falls and does not come back",
                       "It passes every value below its peak twice: on the way up and on the way down."),
            ),
            about=("warmup-schedule",),
        ),
        Question(
            "Label smoothing of 0.1, shared out evenly over a vocabulary of 5 tokens. Which probability of the right "
            "token gives the smallest loss?",
            (
                Choice("0.2", "That is no knowledge at all: each of 5 tokens alike."),
                Choice("0.9",
                       "The right token gets its part of what is shared out, too: 0.1/5. (Some programs share it out "
                       "among the 4 others; there it is 0.9.)"),
                Choice("0.92",
                       "0.9 + 0.1/5. The loss is smallest where the model says what the target says.", correct=True),
                Choice("1", "Then the others get 0, and as each has a target of 0.02, the loss has no bound."),
            ),
            about=("label-smoothing",),
        ),
        Question(
            "A translation has 12 tokens with its <eos>. How often does a greedy decoder run encoder and decoder, and "
            "how often does a training step?",
            (
                Choice("12 and 12; then 12 and 12",
                       "The source does not change, so it is read once. And in training all inputs are known."),
                Choice("1 and 12; then 1 and 1",
                       "In use each token waits for the one before. In training the reference stands shifted at the "
                       "input, and the mask hides the rest.", correct=True),
                Choice("1 and 1; then 1 and 1", "In use token 2 cannot be read before it is written."),
                Choice("1 and 12; then 1 and 12",
                       "That was the recurrent decoder's way. Here one pass gives all places."),
            ),
            about=("autoregressive-decoding", "shifted-targets"),
        ),
        Question(
            "A greedy decoder, run twice on one sentence with the same weights, gives two translations. What is the "
            "likeliest cause?",
            (
                Choice("Dropout is still on",
                       "model.eval() was forgotten: in training mode each call drops other features.", correct=True),
                Choice("Greedy search draws tokens at random",
                       "It takes the likeliest token: there is no chance in it."),
                Choice("The causal mask is missing", "That would be wrong in both runs in the same way."),
                Choice("The encoder was run again",
                       "The same source gives the same memory, unless something is random."),
            ),
            about=("dropout", "autoregressive-decoding"),
        ),
        Question(
            "On sentences longer than any it was trained on, this Transformer does worse than chapter 04's recurrent "
            "models with attention. Which explanation fits?",
            (
                Choice("The causal mask hides the words behind the longest trained place",
                       "The mask is made for the length at hand. It hides later target tokens, no source word."),
                Choice("Its vectors of far positions are new to it; a recurrent step is the same at every place",
                       "The formula gives a vector for each place. Reading it had to be learned, and far places never "
                       "came up.", correct=True),
                Choice("The table of positions ends at the longest trained sentence",
                       "Then there would be an error, not a wrong translation. The table is longer."),
                Choice("The long sentences hold words that it never saw",
                       "They are made of the same words, and chapter 04's models get the same sentences."),
            ),
            about=("translate-en-ko", "sinusoidal-encoding"),
        ),
        Question(
            "A cross-attention map names each row by the token that is written there. \"I drink water\" becomes "
            "저 +는 물 +을 마셔요. In row 마셔요 a head looks at drink. Which token did the decoder read last?",
            (
                Choice("drink", "The decoder never reads English tokens. It looks at the encoder's output."),
                Choice("+을",
                       "The query is made from what is already written. It must find drink before the verb is "
                       "there.", correct=True),
                Choice("마셔요", "That is what this step writes. It is read at the next one."),
                Choice("<eos>", "It ends the sentence. Nothing is read after it."),
            ),
            about=("cross-attention-map", "autoregressive-decoding"),
        ),
        Question(
            "A classifier puts a trained vector <cls> in front of the words. It stands for no word. You change this "
            "vector. Which outputs of the encoder change?",
            (
                Choice("None: it has no content", "It has no word, but it has a key and a value like any other token."),
                Choice("That of <cls> alone", "The words attend to it, too."),
                Choice("Those of all tokens",
                       "Each word has a weight on it, so each gets something of its value.", correct=True),
                Choice("Those of the words behind it, but not its own", "Its own output is made from it first of all."),
            ),
            about=("pooling-vs-cls",),
        ),
        Question(
            "A model is to write on from a beginning; there is no source. Which part of this chapter's decoder block "
            "does it not need?",
            (
                Choice("The causal mask", "Without it the model learns to copy the next token from its input."),
                Choice("The feed-forward network", "It holds most of the weights, with a source or without."),
                Choice("The self-attention", "That is how a new token reads the beginning."),
                Choice("The cross-attention",
                       "There is nothing to look at. Decoders alone, such as GPT, leave it out.", correct=True),
            ),
            about=("three-families", "decoder-block"),
        ),
        Question(
            "Each word of a sentence is to get a label: person, place or neither. Which family fits best?",
            (
                Choice("An encoder",
                       "The whole sentence is known, and each word may look to both sides.", correct=True),
                Choice("A decoder", "Its mask would hide what stands to the right, and \"Jordan\" may be either."),
                Choice("An encoder and a decoder",
                       "The decoder would write a new text. Here each word needs one label."),
                Choice("An encoder with a causal mask",
                       "All of the sentence is there to be read. The mask would throw half of it away."),
            ),
            about=("three-families",),
        ),
        Question(
            "A GRU model and a Transformer are trained, then each writes a translation of 20 tokens. For which part "
            "does the Transformer need fewer steps one after another?",
            (
                Choice("For both", "In writing, each token waits for the one before, in both models."),
                Choice("For the training alone",
                       "There all tokens are known, so all places are computed at once. A GRU goes from state to state "
                       "even then.", correct=True),
                Choice("For the writing alone", "There the next token is not known, so nothing can be done ahead."),
                Choice("For neither", "In training its layers are few, and all places of a layer go at once."),
            ),
            about=("rnn-vs-transformer", "autoregressive-decoding"),
        ),
    ],
}
