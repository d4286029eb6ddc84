"""Exercises and quizzes of chapter 05, Self-attention."""

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.exercises.combining import alone
from course_utils.exercises.comparing import EXACT, as_tensor, same
from course_utils.exercises.engine import Case, Choice, Exercise, Question, RuleBroken

# --- 05.1 -----------------------------------------------------------------------------------------------------------

def project(X, W_q, W_k, W_v):
    """Make the query, the key and the value of every word.

    X: (B, T, C), one row for each word; W_q, W_k: (C, d_k); W_v: (C, d_v).
    Returns (queries, keys, values): (B, T, d_k), (B, T, d_k), (B, T, d_v).
    """
    return X @ W_q, X @ W_k, X @ W_v


def _words_and_weights(B, T, C, d_k, d_v):
    return lambda: (torch.randn(B, T, C), torch.randn(C, d_k), torch.randn(C, d_k), torch.randn(C, d_v))


def _by_rows_of_the_weights(X, W_q, W_k, W_v):
    return F.linear(X, W_q), F.linear(X, W_k), F.linear(X, W_v)


PROJECT = Exercise(
    id="05.1",
    title="Queries, keys and values",
    about=("query-key-value",),
    reference=project,
    returns=("queries (B, T, d_k)", "keys (B, T, d_k)", "values (B, T, d_v)"),
    hints=(
        "Take one word, x of size (C,). Its query is x @ W_q. What changes where there are B · T words in X?",
        "@ multiplies the last two axes and keeps those before: (B, T, C) @ (C, d_k) is (B, T, d_k). No loop is "
        "needed.",
        "Three products with the same X and three matrices, returned in the order queries, keys, values.",
    ),
    cases=(
        Case("values of another size than keys", _words_and_weights(2, 5, 6, 3, 4)),
        Case("square matrices", _words_and_weights(3, 4, 5, 5, 5),
             "A square matrix can be multiplied from either side, and only one is right."),
        Case("one sentence of one word", _words_and_weights(1, 1, 7, 2, 6)),
        Case("as many words as features", _words_and_weights(4, 8, 8, 6, 3)),
    ),
    misconceptions=alone(
        (lambda X, W_q, W_k, W_v: (X @ W_q, X @ W_q, X @ W_q),
         "You use one matrix for all three. A word then asks for just what it offers; each of the three has a matrix "
         "of its own."),
        (lambda X, W_q, W_k, W_v: (X @ W_q, X @ W_k, X @ W_k),
         "Your values are the keys. A key says where a word can be found, a value what it gives: use W_v."),
        (lambda X, W_q, W_k, W_v: (X @ W_q, X @ W_q, X @ W_v),
         "Your keys are the queries: both come from W_q. Keys come from W_k."),
        (lambda X, W_q, W_k, W_v: (X @ W_k, X @ W_q, X @ W_v),
         "Your queries and keys are exchanged: W_q makes the queries, and they come first."),
        (lambda X, W_q, W_k, W_v: (X @ W_q, X @ W_v, X @ W_k),
         "Your keys and values are exchanged: the order is queries, keys, values."),
        (lambda X, W_q, W_k, W_v: (X @ W_k, X @ W_v, X @ W_q),
         "Your three results are right, but they come as keys, values, queries. The order is queries, keys, values."),
        (_by_rows_of_the_weights,
         "You multiply by the transposed matrices, X @ W.T, as nn.Linear and F.linear do. Here a matrix has one row "
         "for each input feature: X @ W_q."),
        (lambda X, W_q, W_k, W_v: tuple(W.T @ X.mT for W in (W_q, W_k, W_v)),
         "Your numbers are right, but features stand before words: you multiply from the left. X @ W_q keeps one row "
         "for each word."),
        (lambda X, W_q, W_k, W_v: (X @ W_q, X @ W_q @ W_k, X @ W_q @ W_k @ W_v),
         "You chain the matrices. All three products start from X."),
        (lambda X, W_q, W_k, W_v: (X @ W_q, X @ W_k, X),
         "Your values are the words themselves. They too go through a matrix: X @ W_v."),
        (lambda X, W_q, W_k, W_v: (X, X @ W_k, X @ W_v),
         "Your queries are the words themselves. They too go through a matrix: X @ W_q."),
        (lambda X, W_q, W_k, W_v: (X[:, 0] @ W_q, X @ W_k, X @ W_v),
         "You make a query for the first word only. In self-attention every word asks."),
        (lambda X, W_q, W_k, W_v: tuple((X @ W).softmax(-1) for W in (W_q, W_k, W_v)),
         "You take softmax here. Queries, keys and values are plain products; softmax comes later, on the scores."),
    ),
)

# --- 05.2 -----------------------------------------------------------------------------------------------------------

def attention(query, key, value, mask=None):
    """Scaled dot-product attention.

    query: (…, T_q, d_k); key: (…, T_k, d_k); value: (…, T_k, d_v); mask: boolean, broadcastable to (…, T_q, T_k),
    True = may attend. The scores are divided by √d_k.
    Returns (output (…, T_q, d_v), weights (…, T_q, T_k)). A query that may attend to nothing gets zeros in both.
    """
    scores = query @ key.mT / key.shape[-1] ** 0.5       # (…, T_q, T_k)
    if mask is None:
        weights = scores.softmax(-1)
    else:
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        weights = weights.masked_fill(~mask, 0)          # a row with -inf alone became NaN
    return weights @ value, weights


def _qkv(*batch, T_q, T_k, d_k, d_v, mask=None, size=1.5):
    """Random queries, keys and values, and a mask where one is given (a function without arguments)."""
    def make():
        inputs = (size * torch.randn(*batch, T_q, d_k), size * torch.randn(*batch, T_k, d_k),
                  torch.randn(*batch, T_k, d_v))
        return inputs if mask is None else (*inputs, mask())
    return make


def _padded_keys(*lengths, T_k):
    """(B, 1, 1, T_k): True at the real keys."""
    return lambda: (torch.arange(T_k) < torch.tensor(lengths).unsqueeze(1))[:, None, None]


def _no_looking_ahead(T):
    return lambda: torch.ones(T, T, dtype=torch.bool).tril()


def _one_empty_row():
    """(3, 5): the second query may attend to nothing."""
    return torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]]).bool()


def _far_below_zero():
    """Allowed scores of about -90,000 and one masked key with a score of 0."""
    draw = 200 * (1 + torch.rand(2, 4, 9)), -200 * (1 + torch.rand(2, 6, 9)), torch.randn(2, 6, 7)
    draw[1][:, 2] = 0
    return *draw, torch.arange(6) != 2


def _weighing(weigh):
    """A misconception with weights of its own. weigh: scores before the division, d_k, mask or None -> weights."""
    def answer(query, key, value, mask=None):
        weights = weigh(query @ key.mT, key.shape[-1], mask)
        return weights @ value, weights
    return answer


def _scaling(scale):
    """A misconception that divides the scores by something else. scale: query, key, value -> divisor."""
    def answer(query, key, value, mask=None):
        weights = _masked_weights(query @ key.mT / scale(query, key, value), mask)
        return weights @ value, weights
    return answer


def _normalising(over):
    """A misconception that takes softmax over the axis `over`."""
    return _weighing(lambda scores, d_k, mask: _masked_weights(scores / d_k**0.5, mask, over))


def _filling(fill):
    """A misconception that writes something else over the masked scores. fill: scores, mask -> scores."""
    return _weighing(lambda scores, d_k, mask: (
        scores / d_k**0.5 if mask is None else fill(scores / d_k**0.5, mask)).softmax(-1))


def _masked_weights(scores, mask, axis=-1):
    if mask is None:
        return scores.softmax(axis)
    return scores.masked_fill(~mask, -torch.inf).softmax(axis).masked_fill(~mask, 0)


def _mask_after_softmax(scores, d_k, mask):
    weights = (scores / d_k**0.5).softmax(-1)
    return weights if mask is None else weights * mask


def _renormalised(scores, d_k, mask):
    weights = _mask_after_softmax(scores, d_k, mask)
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)


def _without_the_largest(scores, d_k, mask):
    powers = (scores / d_k**0.5).exp()
    powers = powers if mask is None else powers * mask
    return powers / powers.sum(-1, keepdim=True)


def _infinity_times_zero(scores, mask):
    return scores - torch.inf * ~mask


def _weights_before_the_mask(query, key, value, mask=None):
    return attention(query, key, value, mask)[0], attention(query, key, value)[1]


def _scores_as_weights(query, key, value, mask=None):
    weights = attention(query, key, value, mask)[1]
    return query @ key.mT / key.shape[-1] ** 0.5 @ value, weights


def _keys_as_values(query, key, value, mask=None):
    weights = attention(query, key, value, mask)[1]
    return weights @ key, weights


def _keys_not_turned(query, key, value, mask=None):
    weights = _masked_weights(query @ key / key.shape[-1] ** 0.5, mask)
    return weights @ value, weights


def _turning_fixed_axes(query, key, value, mask=None):
    weights = _masked_weights(query @ key.transpose(1, 2) / key.shape[-1] ** 0.5, mask)
    return weights @ value, weights


def _scaled_after_softmax(scores, d_k, mask):
    return _masked_weights(scores, mask) / d_k**0.5


ATTENTION = Exercise(
    id="05.2",
    title="Scaled dot-product attention",
    about=("scaled-scores", "attention-masks"),
    reference=attention,
    returns=("output (…, T_q, d_v)", "weights (…, T_q, T_k)"),
    without=("F.scaled_dot_product_attention", "nn.MultiheadAttention"),
    hints=(
        "Four steps: scores (…, T_q, T_k), the division by √d_k, the mask, softmax over the keys. Then the weights "
        "times the values.",
        "key.mT exchanges the last two axes, however many stand before. d_k is the size of the last axis of key.",
        "scores.masked_fill(~mask, -torch.inf) gives masked keys the weight e^-∞ = 0. What does softmax give for a row "
        "in which every score is -∞?",
        "It gives NaN there. weights.masked_fill(~mask, 0) puts zeros at all that is masked, and so in the whole row.",
    ),
    cases=(
        Case("no mask", _qkv(2, T_q=3, T_k=5, d_k=4, d_v=6)),
        Case("two axes, no batch", _qkv(T_q=4, T_k=6, d_k=3, d_v=2)),
        Case("heads and padded keys, mask (B, 1, 1, T_k)",
             _qkv(2, 3, T_q=4, T_k=6, d_k=7, d_v=5, mask=_padded_keys(6, 4, T_k=6)),
             "A masked key gets the weight 0, and the others of its row sum to 1."),
        Case("a causal mask (T, T)", _qkv(3, T_q=6, T_k=6, d_k=8, d_v=5, mask=_no_looking_ahead(6)),
             "In a causal mask the first query sees the first key alone."),
        Case("a query that may attend to nothing", _qkv(2, T_q=3, T_k=5, d_k=6, d_v=4, mask=_one_empty_row),
             "Its weights and its output are zero."),
        Case("a large d_k", _qkv(2, T_q=7, T_k=9, d_k=144, d_v=3, size=1.0)),
        Case("scores far below zero, and a masked key with a score of 0", _far_below_zero,
             "However low the allowed scores are, a masked key gets the weight 0."),
        Case("as many keys as components", _qkv(3, T_q=2, T_k=4, d_k=4, d_v=4)),
    ),
    misconceptions=alone(
        (_scaling(lambda query, key, value: 1), "Your scores are not scaled. Divide them by √d_k before softmax."),
        (_scaling(lambda query, key, value: key.shape[-1]),
         "You divide by d_k, or by √d_k twice, once in the query and once in the scores. Divide once, by the root: the "
         "spread of the scores is √d_k."),
        (_scaling(lambda query, key, value: key.shape[-1] ** -0.5),
         "You multiply by √d_k, so the scores spread even more. Divide by it."),
        (_scaling(lambda query, key, value: key.shape[-2] ** 0.5),
         "You divide by the root of the number of keys. d_k is the size of one key: the last axis."),
        (_scaling(lambda query, key, value: value.shape[-1] ** 0.5),
         "You divide by √d_v, the root of the size of a value. A score is a sum of d_k products."),
        (_scaling(lambda query, key, value: query.norm(dim=-1, keepdim=True) * key.norm(dim=-1).unsqueeze(-2)),
         "You divide by the lengths of query and key: that is the cosine of their angle. Divide by √d_k."),
        (_weighing(_scaled_after_softmax),
         "You divide the weights, after softmax, so they no longer sum to 1. The scores are divided."),
        (_normalising(-2),
         "Your softmax runs over the queries: each column sums to 1. Each query shares out its own weight, so it runs "
         "over the keys, the last axis."),
        (_normalising(1),
         "Your softmax runs over axis 1, whatever that is. With a batch or heads in front it is not the keys; they are "
         "always the last axis, -1."),
        (_normalising(2),
         "Your softmax runs over axis 2. That is the keys only where there is one axis in front of the last two. Count "
         "from the end: -1."),
        (lambda query, key, value, mask=None: attention(query, key, value, None if mask is None else ~mask),
         "Your mask is turned round: you let each query see what it may not. True = may attend."),
        (_filling(lambda scores, mask: scores.masked_fill(mask, -torch.inf)),
         "Your -∞ stands at the wrong places: masked_fill writes where its mask is True, and True means may attend. "
         "Fill where ~mask is True."),
        (_filling(lambda scores, mask: scores.masked_fill(mask, -1e9)),
         "You write a large negative number where attention is allowed: masked_fill writes where its mask is True. "
         "Take ~mask, and -∞."),
        (lambda query, key, value, mask=None: attention(query, key, value), "Your answer does not look at the mask."),
        (_weighing(_mask_after_softmax),
         "You mask after softmax, so the rest of a row no longer sums to 1: the masked keys have taken their share. "
         "Mask the scores, with -∞."),
        (_weighing(_renormalised),
         "You mask after softmax and normalise again. Where a masked key has by far the highest score, the others are "
         "already rounded to 0 by then. Mask the scores, with -∞."),
        (_filling(lambda scores, mask: scores * mask),
         "You give masked keys a score of 0. That is a score like any other, with weight e^0 = 1 before normalising. "
         "Use -∞."),
        (_filling(lambda scores, mask: scores + mask),
         "You add the mask as 0 and 1, which only raises the allowed scores by 1. Masked scores become -∞."),
        (_filling(lambda scores, mask: scores.masked_fill(~mask, -1e4)),
         "Your masked scores are -10,000, and real scores can be lower than that. Only -∞ is below them all."),
        (_filling(lambda scores, mask: scores.masked_fill(~mask, -1e9)),
         "Your masked scores are a large negative number. It does its work until a whole row is masked: then all are "
         "equal, and weight is spread over keys that nobody may see. That row should be zero."),
        (_filling(lambda scores, mask: scores.masked_fill(~mask, -torch.inf)),
         "Your row with nothing to attend to is NaN: softmax divides 0 by 0 there. Its weights should be zero."),
        (_filling(_infinity_times_zero),
         "Your masked rows are NaN from end to end: ∞ times the 0 or False of an allowed key is NaN. Fill with "
         "masked_fill or torch.where instead of multiplying."),
        (_weights_before_the_mask,
         "Your output is right, but the weights you return do not know of the mask. Return the weights that made the "
         "output."),
        (_weighing(_without_the_largest),
         "You write softmax as exp(score) / sum without subtracting the largest score first. Where all scores are low, "
         "or one is high, float32 gives 0/0 or ∞/∞; a row with nothing to attend to is 0/0 too."),
        (_scores_as_weights, "Your output is made with the scores. It is made with the weights, after softmax."),
        (_keys_as_values, "Your output is a mean of the keys. The weights act on the values."),
        (lambda *inputs: attention(*inputs)[::-1],
         "Your two results are exchanged: the output comes first, then the weights."),
        (_keys_not_turned,
         "You multiply query @ key, which pairs components of a query with keys. Exchange the last two axes of key "
         "first: key.mT."),
        (_turning_fixed_axes,
         "You exchange axes 1 and 2 of key. With heads in front these are heads and words; the last two are always -2 "
         "and -1."),
    ),
)

# --- 05.3 -----------------------------------------------------------------------------------------------------------

def rescale(weights, d_k=64):
    """weights: (..., n), rows sum to 1. Returns the weights after scaling the scores by 1/sqrt(d_k).

    The weights are the softmax of scores that were not scaled. A masked key has weight 0, and keeps it.
    """
    return (weights.log() / d_k**0.5).softmax(-1)


def _unscaled(*shape, d_k=None, masked=0):
    """Weights (…, n), none of them tiny; the last `masked` keys of each row have weight 0. d_k=None: left out."""
    def make():
        scores = 1.5 * torch.randn(*shape)
        if masked:
            scores[..., -masked:] = -torch.inf
        weights = scores.softmax(-1)
        return (weights,) if d_k is None else (weights, d_k)
    return make


def _masked_stays_masked(answer, weights, *d_k):
    """The answer's weights. One that gives masked keys weight is told so, whatever number it put in place of log 0."""
    value = answer(weights, *d_k)
    got = as_tensor(value)
    if got is not None and got.shape == weights.shape and (got[weights == 0] > 1e-5).any():
        raise RuleBroken("Expected weight 0 for every masked key, got a weight above 0.")
    return value


def _powers(weights, power):
    raised = weights**power
    return raised / raised.sum(-1, keepdim=True)


RESCALE = Exercise(
    id="05.3",
    title="Spot the scale",
    about=("scaled-scores",),
    reference=rescale,
    run=_masked_stays_masked,
    hints=(
        "A weight is e^score, divided by the sum of its row. What is the logarithm of a weight?",
        "log(weight) is the score less one number, the same for the whole row. Softmax forgets such a number: "
        "softmax(s + c) = softmax(s).",
        "So the logarithms serve as scores. Divide them by √d_k, and take softmax over the keys again.",
    ),
    cases=(
        Case("d_k = 64, as many rows as there are heads", _unscaled(3, 7)),
        Case("d_k = 16", _unscaled(2, 4, 5, d_k=16), "d_k is an argument."),
        Case("masked keys, with weight 0", _unscaled(4, 3, 6, d_k=36, masked=2),
             "log 0 = -∞, and e^-∞ = 0: what was masked stays masked."),
        Case("one row", _unscaled(9, d_k=100)),
        Case("one key, d_k = 4", _unscaled(5, 1, d_k=4), "With a single key its weight is 1 at any scale."),
    ),
    misconceptions=alone(
        (lambda weights, d_k=64: weights / d_k**0.5,
         "You divide the weights, so the rows no longer sum to 1. The scores are to be divided: how do you get them "
         "from the weights?"),
        (lambda weights, d_k=64: weights.clone(),
         "Your weights are those you were given. If you divided them and normalised the rows again, the divisor "
         "cancelled out."),
        (lambda weights, d_k=64: (weights.log() / d_k).softmax(-1),
         "You divide the scores by d_k. Its root is wanted."),
        (lambda weights, d_k=64: (weights.log() * d_k**0.5).softmax(-1),
         "You multiply the scores by √d_k, which makes attention sharper still. They are to be divided."),
        (lambda weights, d_k=64: weights ** (1 / d_k**0.5),
         "You raise the weights to the power 1/√d_k, as e^(s/√d_k) asks for, but the rows do not sum to 1 any more. "
         "Divide each by its sum."),
        (lambda weights, d_k=64: _powers(weights, 0.5),
         "You take the square root of the weights. That halves the scores, which is right for d_k = 4 alone. The power "
         "is 1/√d_k."),
        (lambda weights, d_k=64: weights.sqrt(),
         "You take the square root of the weights and do not normalise. It is the scores that are divided, by √d_k; "
         "afterwards the rows sum to 1."),
        (lambda weights, d_k=64: (weights / d_k**0.5).softmax(-1),
         "You put the weights themselves into softmax. Scores belong there, and those are the logarithms of the "
         "weights."),
        (lambda weights, d_k=64: weights.log() / d_k**0.5, "You return scaled scores. Softmax makes weights of them."),
        (lambda weights, d_k=64: rescale(weights), "You divide by 8, whatever d_k is. Use the argument d_k."),
        (lambda weights, d_k=64: (weights.log() / d_k**0.5).softmax(0),
         "Your softmax runs over the first axis. Each row of keys sums to 1: the last axis."),
        (lambda weights, d_k=64: ((weights + 1e-9).log() / d_k**0.5).softmax(-1),
         "You put something in place of log 0 = -∞: a small number added, a lower bound, or 0. After the division it "
         "is small no more, and masked keys get weight. -∞ is what is needed here: leave it."),
        (lambda weights, d_k=64: (weights.log10() / d_k**0.5).softmax(-1),
         "You take the logarithm to base 10. Softmax uses e, so the natural logarithm undoes it: log."),
        (lambda weights, d_k=64: (weights.log2() / d_k**0.5).softmax(-1),
         "You take the logarithm to base 2. Softmax uses e, so the natural logarithm undoes it: log."),
    ),
)

# --- 05.4 -----------------------------------------------------------------------------------------------------------

def split_heads(x, n_heads):
    """Deal the features out to the heads: the first d_k go to head 0, the next d_k to head 1, and so on.

    x: (B, T, C), C divisible by n_heads. Returns (B, n_heads, T, d_k) with d_k = C / n_heads.
    """
    B, T, C = x.shape
    return x.reshape(B, T, n_heads, C // n_heads).transpose(1, 2)      # (B, T, H, d_k) -> (B, H, T, d_k)


def _features(B, T, H, d_k):
    return lambda: (torch.randn(B, T, H * d_k), H)


def _heads_first(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=-1))


SPLIT_HEADS = Exercise(
    id="05.4",
    title="Split into heads",
    about=("multi-head",),
    reference=split_heads,
    returns="(B, H, T, d_k)",
    hints=(
        "Look at one word: its C numbers lie in a row, and the row is cut into n_heads pieces of d_k. Which shape is "
        "that for all words?",
        "Cutting the last axis is a reshape: (B, T, C) -> (B, T, n_heads, d_k). It moves no number.",
        "Then the heads go before the words. transpose(1, 2) exchanges two axes; a reshape cannot do that.",
    ),
    cases=(
        Case("three heads", _features(2, 5, 3, 4)),
        Case("as many words as heads", _features(3, 4, 4, 2), "Exchanged axes do not show in the shape here."),
        Case("heads as large as there are words", _features(4, 3, 2, 3)),
        Case("one head", _features(3, 6, 1, 5)),
        Case("heads of size 1", _features(1, 2, 7, 1)),
    ),
    misconceptions=alone(
        (lambda x, n_heads: x.reshape(len(x), n_heads, x.shape[1], -1),
         "You reshape to (B, H, T, d_k) at once. The shape is right, but each head gets pieces of other words: reshape "
         "keeps the order of the numbers in memory. Cut first, then transpose."),
        (lambda x, n_heads: x.reshape(*x.shape[:2], n_heads, -1),
         "You cut the features, but words still stand before heads. Exchange axes 1 and 2."),
        (lambda x, n_heads: x.reshape(*x.shape[:2], -1, n_heads).permute(0, 3, 1, 2),
         "Your heads get every n_heads-th feature. Head 0 gets the first d_k features, so the heads come before d_k "
         "when the last axis is cut."),
        (lambda x, n_heads: x.mT.reshape(len(x), n_heads, x.shape[1], -1),
         "You transpose before you cut, and reshape then reads words as features. Cut the last axis first."),
        (lambda x, n_heads: split_heads(x, n_heads).mT,
         "Your heads hold the right numbers, but features stand before words: (B, H, d_k, T)."),
        (_heads_first, "Your heads stand before the batch: (H, B, T, d_k). The batch comes first."),
        (lambda x, n_heads: x.unsqueeze(1).expand(-1, n_heads, -1, -1).clone(),
         "Every head gets all C features. They are dealt out: each head gets C / n_heads of them."),
        (lambda x, n_heads: split_heads(x, x.shape[-1] // n_heads),
         "You take n_heads for the size of a head. It is their number; the size is C / n_heads."),
        (lambda x, n_heads: x.reshape(*x.shape[:2], n_heads, -1).transpose(1, 3),
         "You exchange axes 1 and 3, words and features of a head. Exchange words and heads, axes 1 and 2."),
    ),
)

# --- 05.5 -----------------------------------------------------------------------------------------------------------

def merge_heads(x):
    """Put the outputs of the heads side by side again, head 0 first: the inverse of split_heads.

    x: (B, H, T, d_k). Returns (B, T, H * d_k).
    """
    B, H, T, d_k = x.shape
    return x.transpose(1, 2).reshape(B, T, H * d_k)      # (B, T, H, d_k) -> (B, T, C)


MERGE_HEADS = Exercise(
    id="05.5",
    title="Merge the heads",
    about=("multi-head",),
    reference=merge_heads,
    returns="(B, T, C)",
    hints=(
        "Walk split_heads backwards: which was its last step, and what undoes it?",
        "First words before heads again: (B, H, T, d_k) -> (B, T, H, d_k). Then the last two axes become one.",
        "After a transpose the numbers do not lie in order in memory, so view refuses; reshape or flatten(2) copies "
        "them.",
    ),
    cases=(
        Case("three heads", lambda: (torch.randn(2, 3, 5, 4),)),
        Case("as many words as heads", lambda: (torch.randn(3, 4, 4, 2),)),
        Case("one head", lambda: (torch.randn(3, 1, 6, 5),)),
        Case("heads of size 1", lambda: (torch.randn(1, 7, 2, 1),)),
        Case("one word", lambda: (torch.randn(4, 2, 1, 3),)),
    ),
    misconceptions=alone(
        (lambda x: x.reshape(len(x), x.shape[2], -1),
         "You reshape without a transpose. The shape is right, but a row holds pieces of several words: reshape keeps "
         "the order of the numbers in memory."),
        (lambda x: x.transpose(1, 2).view(len(x), x.shape[2], -1),
         "Your steps are right, but view needs numbers that lie in order in memory, and a transpose does not move "
         "them. Use reshape."),
        (lambda x: x.mean(1), "You take the mean of the heads. Each keeps its own place: they are put side by side."),
        (lambda x: x.sum(1), "You add the heads up. Each keeps its own place: they are put side by side."),
        (lambda x: x.permute(0, 2, 3, 1).flatten(2),
         "You interleave the heads: the first feature of each, then the second. Head 0 comes whole, then head 1."),
        (lambda x: x.flatten(1, 2),
         "You put the heads one after another in time: (B, H * T, d_k). They go side by side in the features of each "
         "word."),
        (lambda x: x.transpose(1, 2),
         "You move the heads behind the words, and stop there. The last two axes are still to become one."),
        (lambda x: x.mT.reshape(len(x), x.shape[2], -1),
         "You exchange words and features of a head, axes 2 and 3. Exchange heads and words, axes 1 and 2."),
        (lambda x: x[:, 0], "You return the first head alone."),
        (lambda x: merge_heads(x).flatten(0, 1),
         "You merge the batch into the words: (B * T, C). Keep the batch apart."),
        (lambda x: merge_heads(x.flip(1)), "You put the last head first. Head 0 comes first."),
    ),
)

# --- 05.6 -----------------------------------------------------------------------------------------------------------

def decoder_mask(lengths, T):
    """Who may look at whom in a padded batch in which nobody may look ahead.

    lengths: (B,) numbers of real words; T: number of words with padding. Returns a boolean mask (B, 1, T, T), True
    where the key is real and does not stand after the query. The 1 stands for the heads. Queries that are padding see
    the real keys before them: nobody reads their output.
    """
    causal = torch.ones(T, T, dtype=torch.bool).tril()             # (T, T): key <= query
    real = torch.arange(T) < lengths.unsqueeze(1)                  # (B, T)
    return causal & real[:, None, None]                            # (T, T) & (B, 1, 1, T) -> (B, 1, T, T)


def _lengths(*lengths, T):
    return lambda: (torch.tensor(lengths), T)


def _boolean_mask(answer, lengths, T):
    """The answer's mask. One of the right values and another dtype is named, as ~mask would not turn it round.

    Numbers below 0 are told as such, whatever stands in place of -∞.
    """
    mask = answer(lengths, T)
    got = as_tensor(mask)
    if got is not None and got.is_floating_point() and (got < 0).any():
        raise RuleBroken("Expected a boolean mask, got numbers below 0.")
    kind = str(mask.dtype).removeprefix("torch.") if isinstance(mask, torch.Tensor | np.ndarray) else "bool"
    if kind != "bool" and same(decoder_mask(lengths, T), mask, EXACT):
        raise RuleBroken(f"Your values are right, but they are {kind} where bool is expected: 0 and 1 as numbers are "
                         "not turned round by ~mask. mask.bool() makes True and False of them.")
    return mask


def _causal(T):
    return torch.ones(T, T, dtype=torch.bool).tril()


def _real(lengths, T):
    """(B, 1, 1, T): True at the real keys."""
    return (torch.arange(T) < lengths.unsqueeze(1))[:, None, None]


def _to_be_added(lengths, T):
    return torch.zeros(len(lengths), 1, T, T).masked_fill(~decoder_mask(lengths, T), -torch.inf)


DECODER_MASK = Exercise(
    id="05.6",
    title="A causal mask for a padded batch",
    about=("attention-masks",),
    reference=decoder_mask,
    returns="(B, 1, T, T)",
    run=_boolean_mask,
    hints=(
        "Two masks: one says that key j does not stand after query i, the other that key j is real. What joins them?",
        "torch.ones(T, T, dtype=torch.bool).tril() keeps the diagonal and what lies below: row i, columns 0 to i.",
        "torch.arange(T) < lengths.unsqueeze(1) is (B, T), True at the real words. Which axis of (B, 1, T, T) are the "
        "keys, and where does real need axes of size 1?",
    ),
    cases=(
        Case("three sentences, one without padding", _lengths(3, 5, 1, T=5)),
        Case("padding in every sentence", _lengths(2, 4, T=7)),
        Case("no padding at all", _lengths(6, 6, 6, 6, T=6), "Only the causal part is left."),
        Case("one sentence", _lengths(1, T=3)),
        Case("a sentence without words", _lengths(0, 3, 2, 4, 1, T=4), "Its rows are empty."),
    ),
    misconceptions=alone(
        (lambda lengths, T: ~decoder_mask(lengths, T),
         "Your mask is turned round: True at what is forbidden, as nn.MultiheadAttention wants it. In this course True "
         "= may attend."),
        (lambda lengths, T: _causal(T).expand(len(lengths), 1, T, T),
         "Your mask is causal, and no more: at the end of a short sentence padding looks at padding. The key must be "
         "real, too."),
        (lambda lengths, T: _real(lengths, T).expand(-1, -1, T, -1),
         "Your mask hides the padding, but lets words look ahead."),
        (lambda lengths, T: _causal(T) | _real(lengths, T),
         "You join the two masks by or: one permission is enough. Both are needed: &."),
        (lambda lengths, T: _causal(T).T & _real(lengths, T),
         "Your causal part is turned round: triu keeps the keys at and after the query. tril keeps those up to it."),
        (lambda lengths, T: ~_causal(T) & _real(lengths, T),
         "Your causal part is turned round: triu(1) marks the keys that are forbidden, and True = may attend."),
        (lambda lengths, T: _causal(T).tril(-1) & _real(lengths, T),
         "Your words may not look at themselves: the diagonal is False. tril() keeps it."),
        (lambda lengths, T: _causal(T) & ~_real(lengths, T),
         "Your padding part is turned round: it allows the padding and hides the words."),
        (lambda lengths, T: _causal(T) & _real(lengths, T).mT,
         "You empty the rows of queries that are padding. The mask is about keys, the last axis: such a query may see "
         "the real keys before it. Empty rows are what some libraries turn into NaN."),
        (lambda lengths, T: decoder_mask(lengths + 1, T),
         "Your padding part lets one key too many through. Positions count from 0, so the real ones are those below "
         "the length."),
        (lambda lengths, T: decoder_mask(lengths - 1, T),
         "Your padding part hides the last real word. Positions count from 0, so the real ones are all those below the "
         "length."),
        (lambda lengths, T: decoder_mask(lengths, T).mT,
         "Your mask has queries and keys exchanged. Each row belongs to a query, each column to a key: (B, 1, T_q, "
         "T_k)."),
        (lambda lengths, T: _causal(T) & _real(T - lengths, T).logical_not(),
         "Your mask takes the first positions for padding. Sentences are filled up at the end."),
        (lambda lengths, T: decoder_mask(lengths, T).squeeze(1),
         "Your mask lacks the axis for the heads: (B, T, T) would be read as (1, H, T, T). unsqueeze(1) adds it."),
        (_to_be_added,
         "You return numbers to be added to the scores: 0, and -∞ or far below 0. A boolean mask is wanted, True = may "
         "attend."),
        (lambda lengths, T: _causal(T)[None, None],
         "Your mask is causal, one for all sentences, and lengths is not used. Each sentence has its own padding, so "
         "the batch is axis 0."),
    ),
)

# --- 05.7 -----------------------------------------------------------------------------------------------------------

def is_equivariant(f, x, order):
    """Does shuffling the words before f give the same as shuffling them after it?

    f: a function (B, T, C) -> (B, T, C); x: (B, T, C); order: (T,) a permutation of 0 … T-1.
    Returns True where both results agree within 1e-5, for this x and this order.
    """
    return torch.allclose(f(x[:, order]), f(x)[:, order], rtol=1e-5, atol=1e-5)


def _look_at_all(x):
    """Self-attention without matrices and without a mask."""
    return (x @ x.mT / x.shape[-1] ** 0.5).softmax(-1) @ x


def _look_back(x):
    """The same under a causal mask."""
    ahead = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
    return (x @ x.mT / x.shape[-1] ** 0.5).masked_fill(ahead, -torch.inf).softmax(-1) @ x


def _add_positions(x):
    return x + torch.arange(x.shape[1]).unsqueeze(1)


def _add_positions_to_the_second(x):
    """Positions are added in the second sentence of the batch, and the others stay as they are."""
    return torch.cat([x[:1], _add_positions(x[1:2]), x[2:]])


def _add_small_positions(x):
    return x + 0.01 * torch.arange(x.shape[1]).unsqueeze(1)


def _add_the_sum(x):
    """x plus the sum of all words, added up one after another, so that the rounding depends on the order."""
    total = torch.zeros_like(x[:, 0])
    for word in x.unbind(1):
        total = total + word
    return x + total.unsqueeze(1)


def _mean_in_the_first_place(x):
    return torch.cat([x.mean(1, keepdim=True), torch.zeros_like(x[:, 1:])], dim=1)


def _function_and_words(f, B, T, C, *order, size=1.0):
    return lambda: (f, size * torch.randn(B, T, C), torch.tensor(order))


def _no_shuffle_of_the_output(f, x, order):
    return torch.allclose(f(x[:, order]), f(x), rtol=1e-5, atol=1e-5)


def _shuffled_twice(f, x, order):
    return torch.allclose(f(x[:, order])[:, order], f(x), rtol=1e-5, atol=1e-5)


IS_EQUIVARIANT = Exercise(
    id="05.7",
    title="Is the order seen?",
    about=("permutation-equivariance",),
    reference=is_equivariant,
    hints=(
        "Two ways from x to a result: shuffle, then f; or f, then shuffle. f is equivariant if both end at the same "
        "numbers.",
        "x[:, order] shuffles the words: word order[0] comes first. Which axis of f(x) are the words?",
        "Adding up in another order rounds differently, so compare with a tolerance: torch.allclose(a, b, atol=1e-5).",
    ),
    cases=(
        Case("f is self-attention without a mask", _function_and_words(_look_at_all, 2, 5, 3, 3, 0, 4, 1, 2)),
        Case("f is self-attention under a causal mask", _function_and_words(_look_back, 3, 4, 6, 2, 0, 3, 1)),
        Case("f adds the number of its position to each word",
             _function_and_words(_add_positions, 2, 6, 4, 5, 0, 1, 2, 4, 3)),
        Case("f turns the sentence round", _function_and_words(lambda x: x.flip(1), 4, 3, 5, 1, 2, 0)),
        Case("f takes tanh of every number", _function_and_words(torch.tanh, 3, 4, 7, 1, 3, 0, 2)),
        Case("f adds the sum of all words to each", _function_and_words(
            _add_the_sum, 3, 9, 4, 8, 1, 4, 6, 0, 2, 7, 5, 3), "Rounding depends on the order of a sum."),
        Case("f moves each word one place on, and so does order", _function_and_words(
            lambda x: x.roll(1, dims=1), 2, 5, 4, 4, 0, 1, 2, 3),
            "Equivariant for this order; another one would tell that f sees the order."),
        Case("order leaves every word in its place", _function_and_words(_look_back, 2, 4, 3, 0, 1, 2, 3)),
        Case("f gives every word the mean of all", _function_and_words(
            lambda x: x.mean(1, keepdim=True).expand_as(x), 5, 3, 4, 2, 0, 1)),
        Case("f puts the mean of all words in the first place, zeros elsewhere", _function_and_words(
            _mean_in_the_first_place, 2, 4, 5, 1, 3, 0, 2), "The output stays, and it should have been shuffled."),
        Case("order is its own inverse", _function_and_words(_look_at_all, 3, 6, 2, 1, 0, 5, 4, 3, 2)),
        Case("as many sentences as words", _function_and_words(_look_back, 4, 4, 4, 3, 1, 0, 2)),
        Case("f gives back the words as they are", _function_and_words(torch.clone, 2, 4, 3, 2, 3, 1, 0)),
        Case("f sees the order in the second of three sentences, and there alone",
             _function_and_words(_add_positions_to_the_second, 3, 4, 2, 3, 2, 0, 1),
             "All sentences are compared."),
        Case("f adds positions, and order leaves the first word in its place",
             _function_and_words(_add_positions, 2, 4, 3, 0, 2, 3, 1), "All words are compared."),
        Case("f adds 0.01 times the position", _function_and_words(_add_small_positions, 2, 5, 4, 1, 0, 3, 4, 2),
             "A difference of 0.01 is far more than rounding."),
    ),
    misconceptions=alone(
        (_no_shuffle_of_the_output,
         "You ask whether the output stays as it is: that is invariance. Equivariant means that it is shuffled like "
         "the input."),
        (_shuffled_twice,
         "You shuffle the output back by the same order, or f(x) by order.argsort(). Both are right only where order "
         "is its own inverse. f(x) is shuffled as x is: f(x)[:, order]."),
        (lambda f, x, order: torch.allclose(f(x), f(x)[:, order], rtol=1e-5, atol=1e-5),
         "You compare f(x) with f(x) shuffled. The input is never shuffled."),
        (lambda f, x, order: torch.equal(f(x[:, order]), f(x)[:, order]),
         "You ask for exactly equal numbers. A sum in another order is rounded in another way: allow 1e-5."),
        (lambda f, x, order: not is_equivariant(f, x, order), "Your answer is turned round: True where the two agree."),
        (lambda f, x, order: torch.allclose(f(x[order]), f(x)[order], rtol=1e-5, atol=1e-5),
         "You shuffle axis 0, the sentences of the batch. Words are axis 1."),
        (lambda f, x, order: torch.allclose(f(x[..., order]), f(x)[..., order], rtol=1e-5, atol=1e-5),
         "You shuffle the last axis, the features. Words are axis 1."),
        (lambda f, x, order: torch.allclose(f(x[:, order]).mean(1), f(x).mean(1), rtol=1e-5, atol=1e-5),
         "You compare the means over the words. They agree although words stand in the wrong places. Compare word by "
         "word."),
        (lambda f, x, order: is_equivariant(f, x, torch.randperm(x.shape[1])),
         "You draw an order of your own. The question is about the order you are given."),
        (lambda f, x, order: torch.allclose(f(x[:, order]), x[:, order], rtol=1e-5, atol=1e-5),
         "You compare the output with the shuffled input, so you ask whether f changes anything. Compare with f(x), "
         "shuffled."),
        (lambda f, x, order: torch.allclose(f(x[:, order])[0], f(x)[0, order], rtol=1e-5, atol=1e-5),
         "You compare the first sentence alone. f may see the order in another one."),
        (lambda f, x, order: torch.allclose(f(x[:, order])[:, 0], f(x)[:, order[0]], rtol=1e-5, atol=1e-5),
         "You compare the first place alone. A word there can be right while others are not."),
        (lambda f, x, order: torch.allclose(f(x[:, order]), f(x)[:, order], rtol=0, atol=0.1),
         "Your tolerance is too wide: differences of 0.01 pass as rounding. Allow 1e-5."),
        (lambda f, x, order: False,
         "Your answer is False each time, even where the two results agree. Do you compare their numbers? `is` asks "
         "whether both are one object."),
        (lambda f, x, order: True,
         "Your answer is True each time, even where f sees the order. Do you compare two results, one shuffled before "
         "f and one after it?"),
    ),
)

EXERCISES = [PROJECT, ATTENTION, RESCALE, SPLIT_HEADS, MERGE_HEADS, DECODER_MASK, IS_EQUIVARIANT]

# --- quizzes --------------------------------------------------------------------------------------------------------

QUIZZES = {
    "05-opening": [
        Question(
            "A query gives three words the weights 0.5, 0.25 and 0.25. Their values are (4, 0), (0, 8) and (0, 0). "
            "What does attention return?",
            (
                Choice("(4, 0)", "That is the value of the heaviest word alone: hard lookup."),
                Choice("(4, 8)", "That is the sum without the weights."),
                Choice("(2, 2)", "0.5 · (4, 0) + 0.25 · (0, 8) + 0.25 · (0, 0).", correct=True),
                Choice("(1.33, 2.67)", "That is the plain mean, as if all three weights were 1/3."),
            ),
            about=("dot-product-attention",),
        ),
        Question(
            "The real words of a source sentence get the scores -2 and -1. The padding's score is set to 0, and then "
            "comes softmax. What happens?",
            (
                Choice("The padding gets the largest weight of the three",
                       "e^0 = 1 is more than e^-1 and e^-2. Only a score of -∞ gives weight 0.", correct=True),
                Choice("The padding gets weight 0", "That takes a score of -∞. A score of 0 is one like any other."),
                Choice("All three get the same weight", "Different scores give different weights."),
                Choice("Softmax fails, as two scores are negative",
                       "Softmax takes any scores: e^x is positive for all x."),
            ),
            about=("source-mask",),
        ),
        Question(
            "A GRU decoder with Luong's attention is trained with teacher forcing. Which of these cannot be computed "
            "for all target steps at once?",
            (
                Choice("The logits", "Once the features of all steps are there, one product gives all logits."),
                Choice("The decoder's states",
                       "Each needs the one before. That is what this chapter gets rid of.", correct=True),
                Choice("The scores against all encoder outputs",
                       "Once the states are there, one product of two matrices gives all scores."),
                Choice("The embeddings of the target words",
                       "All target words are known in training, and a lookup needs nothing else."),
            ),
            about=("attention-cost", "teacher-forcing"),
        ),
        Question(
            "You shuffle the words of a source sentence: each key moves together with its value. The query stays. What "
            "becomes of the context vector of dot-product attention?",
            (
                Choice("It is shuffled, too", "A context is one vector, not a list of words."),
                Choice("It changes, as each weight now stands elsewhere", "The weight moves along with its value."),
                Choice("It stays as it was",
                       "It is a sum over pairs of weight and value, and a sum has no order.", correct=True),
                Choice("It becomes zero", "Nothing cancels: the weights are the same numbers, each at its value."),
            ),
            about=("dot-product-attention", "permutation-equivariance"),
        ),
        Question(
            "In chapter 04, what did the gradient gain from attention on its way from an output word to a source word "
            "far away?",
            (
                Choice("A way of one step, beside the long one through the states",
                       "The weight links the two words directly. The way through all states is still there, "
                       "too.", correct=True),
                Choice("A longer way with more weights to learn from",
                       "The way through the states was long before. Attention adds a short one."),
                Choice("Nothing: attention changes only the forward pass",
                       "The gradient flows back wherever a number was used in the forward pass."),
            ),
            about=("shortcut-gradient",),
        ),
        Question(
            "The words of a sentence look at each other by the dot products of their own vectors. All vectors have the "
            "same length, and no two are equal. Where does each word look most? (A guess is fine.)",
            (
                Choice("At the word before it", "The dot product does not know which word stands where."),
                Choice("At all words alike", "Then all dot products would have to be equal."),
                Choice("At the word that explains it best",
                       "That is what should be learned. Nothing is learned yet: the vectors are compared as they are."),
                Choice("At itself",
                       "Of vectors of one length, none has a larger dot product with x than x itself. So queries and "
                       "keys should not be the same vector.", correct=True),
            ),
            about=("query-key-value",),
        ),
    ],
    "05-closing": [
        Question(
            "A layer of multi-head self-attention computes its output. In which step does the vector of one word "
            "receive something from another word?",
            (
                Choice("X W_Q", "This acts on each row of X alone: a word's query depends on that word only."),
                Choice("The weights times the values",
                       "Here alone rows of different words are added up.", correct=True),
                Choice("The concatenation of the heads", "It puts the parts of one and the same word side by side."),
                Choice("The product with W_O", "It mixes the heads of one word, not the words."),
            ),
            about=("set-of-elements",),
        ),
        Question(
            "At a meeting you have a question. Everybody wears a badge that lists their topics; you compare your "
            "question with the badges, and then listen longer to some and shorter to others. What is a badge?",
            (
                Choice("A query", "That is your question."),
                Choice("A value", "That is what somebody says."),
                Choice("A weight", "That is how long you listen to somebody."),
                Choice("A key",
                       "It is what a question is compared with. What is then said, the value, may be something "
                       "else.", correct=True),
            ),
            about=("query-key-value",),
        ),
        Question(
            "Six scores 0.2, 1.0, 0.8, 0.1, 0.3, 0.5 stand beside the weights 0.05, 0.40, 0.35, 0.02, 0.08, 0.10. "
            "What shows that these are not their softmax, at any temperature?",
            (
                Choice("Equal steps in score do not give equal ratios of weights",
                       "From 0.1 to 0.2 to 0.3 both steps are 0.1, so both ratios must be equal. Here they are 2.5 and "
                       "1.6.", correct=True),
                Choice("The weights do not sum to 1", "They do: 0.05 + 0.40 + 0.35 + 0.02 + 0.08 + 0.10 = 1."),
                Choice("The order of the weights is not the order of the scores",
                       "It is: the higher score always has the larger weight."),
                Choice("A score of 1.0 must give more than 0.5",
                       "With a high temperature all weights come close to 1/6."),
            ),
            about=("self-attention-worked",),
        ),
        Question(
            "A head has d_k = 16. A query's dot products with two keys are 4.39 and 0. Which weight does the first key "
            "get? (e^4.39 ≈ 81, e^1.1 ≈ 3, e^0.27 ≈ 1.3)",
            (
                Choice("0.99", "81 / 82 is the weight without the division by √16."),
                Choice("0.57", "1.3 / 2.3 comes from a division by d_k = 16. It is divided by its root."),
                Choice("0.75", "4.39 / 4 ≈ 1.1, and 3 / (3 + 1) = 0.75.", correct=True),
                Choice("1", "81 / 82 is not 1, and the division makes it smaller still."),
            ),
            about=("self-attention-worked", "scaled-scores"),
        ),
        Question(
            "The components of queries and keys are independent, with mean 0 and variance 1. d_k grows from 64 to 256. "
            "What becomes of a typical dot product, not divided by anything?",
            (
                Choice("It stays", "There are four times as many products in the sum. They cancel out in part only."),
                Choice("It doubles", "The variance is d_k, so the typical size is √d_k: 8, then 16.", correct=True),
                Choice("It grows to four times", "That is the variance. The typical size is its root."),
                Choice("It grows by 192", "256 - 64 counts the new products, as if all of them were +1."),
            ),
            about=("scaled-scores",),
        ),
        Question(
            "Without the division by √d_k, a head starts with one key at 0.9999 and all others near 0. The key is the "
            "wrong one. Why does training take so long to change that?",
            (
                Choice("The values of the other keys are 0", "Their weights are near 0. The values are what they are."),
                Choice("The gradient becomes too large and must be clipped",
                       "The scores are large, not the gradient: a saturated softmax lets hardly any through."),
                Choice("Softmax has no gradient at its largest entry",
                       "It has one at each entry, of size w · (1 - w) with respect to its own score."),
                Choice("There softmax is flat, so hardly any gradient passes",
                       "Its slope there is 0.9999 · 0.0001. A softer start leaves more to learn from.", correct=True),
            ),
            about=("scaled-scores",),
        ),
        Question(
            "A layer with d_model = 512 gets 16 heads instead of 8. All else stays. What becomes of the number of its "
            "parameters?",
            (
                Choice("It doubles",
                       "Then each head would need to keep its size. But 512 features are dealt out to more heads."),
                Choice("It grows by one W_O for each new head",
                       "There is one W_O, (512, 512), for all heads together."),
                Choice("It stays as it was",
                       "W_Q, W_K, W_V and W_O are (512, 512) for any number of heads: more heads are smaller "
                       "heads.", correct=True),
                Choice("It is halved", "The size of a head is halved, but there are twice as many."),
            ),
            about=("multi-head",),
        ),
        Question(
            "Side by side, 8 heads of 64 already make 512 features. What would be lost without W_O?",
            (
                Choice("The next layer could not read the result", "The shape would fit: 512 features as before."),
                Choice("Each feature would come from one head alone",
                       "W_O lets every feature of the output draw on all heads.", correct=True),
                Choice("The heads would all learn the same",
                       "Each has its own part of W_Q, W_K and W_V, with or without W_O."),
            ),
            about=("multi-head",),
        ),
        Question(
            "The verb should learn who acts and where. One head gives the subject and the place 0.5 each. Two heads "
            "give one 1.0 to the subject, the other 1.0 to the place. What do the two heads keep that the one head "
            "loses?",
            (
                Choice("Which part came from which word",
                       "The one head returns a single sum, half and half. Two heads return two vectors, side by "
                       "side.", correct=True),
                Choice("The sum of the weights: it is 2, not 1",
                       "The weights of each head sum to 1, and that alone says nothing of what is kept."),
                Choice("The order of subject and place",
                       "Without positions and without a mask no head knows of order. That is the next chapter's "
                       "subject."),
            ),
            about=("multi-head",),
        ),
        Question(
            "In 56 % of the sentences a head's largest weight at the verb lies on the subject; the best head of random "
            "weights reaches 18 %. What do you check before you call it a head for subjects?",
            (
                Choice("Whether the weights at the verb sum to 1",
                       "They do in every head, whatever it looks for: that is softmax."),
                Choice("Whether \"the word before\" hits as often",
                       "A fixed distance is the simplest rival. Here it hits in 49 %, and where it fails the head is "
                       "no better than random weights.", correct=True),
                Choice("Whether a second head does the same",
                       "Then there would be two of them. What this one looks for stays open."),
                Choice("Whether the weight is large, near 1",
                       "A head that always looks one word back may do so with all its weight."),
            ),
            about=("multi-head",),
        ),
        Question(
            "A boolean causal mask, True at the diagonal and below, is right for F.scaled_dot_product_attention. By "
            "mistake it goes to nn.MultiheadAttention as attn_mask. What does each word see?",
            (
                Choice("The same: both belong to PyTorch",
                       "They have opposite conventions: the first takes True as allowed, the other as forbidden."),
                Choice("All words, as a boolean mask is ignored there",
                       "It is not ignored. True is read as forbidden."),
                Choice("Itself and the words before",
                       "That is so where True = may attend. nn.MultiheadAttention reads True as forbidden."),
                Choice("Only the words after it; the last one gets NaN",
                       "Forbidden are itself and all before. For the last word nothing is left.", correct=True),
            ),
            about=("attention-masks",),
        ),
        Question(
            "Somebody masks with -1e9 in place of -∞. Now a query comes that may attend to nothing. What are its "
            "weights?",
            (
                Choice("All zero, as this course defines it",
                       "That must be written down. Softmax itself always sums to 1."),
                Choice("NaN", "That is what -∞ gives in the whole row: 0/0."),
                Choice("Equal for all keys",
                       "Softmax sees only differences, and all scores are the same. Forbidden keys get weight, and no "
                       "error tells.", correct=True),
                Choice("Those it would have without a mask", "The scores are overwritten, so what they were is lost."),
            ),
            about=("attention-masks",),
        ),
        Question(
            "A batch for a decoder is filled up to 5 words. Sentence 2 has 3 real words. Which keys may its fourth "
            "position, which is padding, attend to under causal & padding mask (positions counted from 1)?",
            (
                Choice("1, 2, 3 and 4", "Causal alone allows 4, but key 4 is padding."),
                Choice("None, as it is padding itself",
                       "The padding mask is about keys. The output of this row is never read, so it does no harm."),
                Choice("1, 2 and 3", "They are real, and they do not stand after position 4.", correct=True),
                Choice("1 and 2", "Key 3 is real too: it is the third of three words."),
            ),
            about=("attention-masks",),
        ),
        Question(
            "\"bank\" stands in \"the bank of the river\" and in \"the bank gave a loan\". In the first layer its "
            "embedding is the same in both. What makes its output differ?",
            (
                Choice("Its own query", "It is made from the embedding alone, so it is the same in both."),
                Choice("The keys and values of the other words",
                       "The same question meets other words, so the weighted sum is another one.", correct=True),
                Choice("The matrices W_Q, W_K and W_V, chosen by the sentence",
                       "They are the same for all sentences: that is what is trained."),
                Choice("Its position", "Nothing in this chapter's layer knows of positions."),
            ),
            about=("contextual-meaning",),
        ),
        Question(
            "Self-attention without a mask reads \"the dog bit the man\", then \"the man bit the dog\", without "
            "positions. What can be said of the vector it returns for \"dog\"?",
            (
                Choice("It is another one: the dog has another role",
                       "The role lies in the order, and the layer sees none."),
                Choice("It differs, but only slightly", "Up to rounding there is no difference at all."),
                Choice("It is the same in both",
                       "The words are the same, and the sum over them has no order. Shuffled words give shuffled "
                       "outputs.", correct=True),
                Choice("It is exchanged with that of \"man\"",
                       "The outputs move along with their words: dog's vector stays dog's."),
            ),
            about=("permutation-equivariance",),
        ),
        Question(
            "One layer of self-attention under a causal mask reads \"a b c\", then \"b a c\". Whose output stays the "
            "same?",
            (
                Choice("That of c alone",
                       "c sees a, b and c in both. a and b each see other words than before: so the mask lets order "
                       "show.", correct=True),
                Choice("All three, only in another order",
                       "That holds without a mask. Here a sees b only in the second sentence."),
                Choice("That of a and b, which exchange places",
                       "In \"a b c\" a sees itself alone, in \"b a c\" it sees b too."),
                Choice("None of them", "One of the three sees the same set of words in both sentences."),
            ),
            about=("permutation-equivariance",),
        ),
        Question(
            "A sentence becomes 4 times as long, d stays. How does the work grow, for the scores of self-attention and "
            "for a GRU?",
            (
                Choice("4 times for both", "Each of the 4 T words is compared with 4 T words."),
                Choice("16 times for both", "A GRU does the same work for each word, whatever the length."),
                Choice("4 times for attention, 16 times for the GRU",
                       "It is the other way round: the scores are a matrix of T × T."),
                Choice("16 times for attention, 4 times for the GRU",
                       "T² · d against T · d². Attention needs fewer steps one after another, not less "
                       "work.", correct=True),
            ),
            about=("parallel-not-free",),
        ),
        Question(
            "The first and the last of 50 words are to influence each other. How many steps does the signal take in a "
            "GRU, and how many in one layer of self-attention?",
            (
                Choice("49 and 1",
                       "A GRU passes it on from state to state. Attention compares any two words "
                       "directly.", correct=True),
                Choice("1 and 49", "A state of a GRU reaches its neighbour only."),
                Choice("49 and 49", "In self-attention the distance of two words does not matter."),
                Choice("50 and 2500",
                       "2500 is the number of scores. They are computed side by side, not one after another."),
            ),
            about=("parallel-not-free",),
        ),
        Question(
            "What does the fused attention of PyTorch save, compared with the explicit four steps?",
            (
                Choice("It leaves out the products of far-away words",
                       "Its output is the same, and so every pair is still compared."),
                Choice("It never stores the T × T weights as a whole",
                       "It works through them block by block. The number of products stays.", correct=True),
                Choice("It needs no softmax", "The result equals the explicit one, softmax included."),
                Choice("It replaces T² by T in the work", "It saves memory, not products: the work stays T² · d."),
            ),
            about=("parallel-not-free",),
        ),
    ],
}
