"""Exercises and quizzes of chapter 03, Sequence to sequence."""

import difflib
import math
import re
import types
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.exercises.combining import alone
from course_utils.exercises.comparing import EXACT, as_tensor, plain, same
from course_utils.exercises.engine import Case, Choice, Exercise, Question, RuleBroken

PAD, SOS, EOS = 0, 1, 2

# --- 03.1 -----------------------------------------------------------------------------------------------------------

def shift_targets(target):
    """Split padded target sentences into what the decoder reads and what it should answer.

    target: (B, T) ids, each row <sos> … <eos> <pad> …, where <pad> is 0, <sos> is 1 and <eos> is 2.
    Returns (decoder_input, labels), each (B, T - 1): at every step the label is the token that follows the input in
    target. Where the label is <pad>, the input does not matter.
    """
    return target[:, :-1], target[:, 1:]


def _targets(*lengths):
    """Sentences of so many words between <sos> and <eos>, padded to the longest."""
    def make():
        target = torch.full((len(lengths), max(lengths) + 2), PAD)
        for row, length in zip(target, lengths, strict=True):
            row[0], row[1:length + 1], row[length + 1] = SOS, torch.randint(3, 60, (length,)), EOS
        return (target,)
    return make


def _where_it_matters(answer, target):
    """The answer's two tensors; inputs whose label is <pad> are set to the reference's, as they do not matter."""
    value = answer(target)
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 3:   # both stacked in one
        value = list(value)
    if not isinstance(value, list | tuple) or len(value) != 2:
        return value
    inputs, labels = shift_targets(target)
    got = as_tensor(value[0])
    if got is None or got.shape != inputs.shape:
        return value
    return torch.where(labels == PAD, inputs, got), value[1]


def _sos_once_more(target):
    return torch.cat([torch.full_like(target[:, :1], SOS), target[:, :-1]], dim=1), target


SHIFT_TARGETS = Exercise(
    id="03.1",
    title="Shift the target",
    reference=shift_targets,
    returns=("decoder_input (B, T-1)", "labels (B, T-1)"),
    run=_where_it_matters,
    about=("teacher-forcing", "special-tokens"),
    hints=(
        "Take one sentence, <sos> a b <eos>. The decoder reads <sos> and should answer a. What does it read next, and "
        "what should it answer? Write the two rows one below the other.",
        "The rows are <sos> a b and a b <eos>: the same sentence, once without its last and once without its first "
        "token.",
        "A slice leaves a column out: x[:, 1:] all but the first, x[:, :-1] all but the last. Which is which here?",
    ),
    cases=(
        Case("three sentences of different lengths", _targets(4, 2, 5)),
        Case("no padding", _targets(3, 3)),
        Case("as many sentences as columns", _targets(1, 3, 2, 1, 2)),
    ),
    misconceptions=alone(
        (lambda target: (target[:, 1:], target[:, :-1]),
         "Your two tensors are exchanged: the decoder would read the word that it should answer next, and answer the "
         "one before. It reads what begins with <sos>."),
        (lambda target: (target, target),
         "You return the target twice. The labels are one step ahead of the inputs, and each has T - 1 columns."),
        (lambda target: (target[:, :-1], target[:, :-1]),
         "Your labels equal your inputs: the decoder would learn to copy the word it has just read. The labels are one "
         "step ahead."),
        (lambda target: (target[:, 1:], target[:, 1:]),
         "Your inputs equal your labels, so the decoder reads the answer itself and never sees <sos>. The inputs start "
         "with <sos>."),
        (lambda target: (target, target[:, 1:]),
         "Your inputs keep their last column, and there is no label left for it. Both have T - 1 columns."),
        (lambda target: (target[:, :-1], target),
         "Your labels keep their first column: the decoder would have to answer <sos>, which it is given."),
        (lambda target: (target, target.roll(-1, dims=1)),
         "You rolled the rows: the last label is the <sos> of the same row. Nothing follows the last column, so it is "
         "no input at all."),
        (lambda target: (target[:-1], target[1:]),
         "You shift along the batch: the label would be the next sentence. Time is axis 1."),
        (lambda target: (target[:, :-1], target[:, 1:-1]),
         "Your labels lose their last column too, and with it the <eos> of the longest sentence. Without that label "
         "nothing teaches the decoder to stop."),
        (lambda target: (target[:, 1:-1], target[:, 1:-1]),
         "You cut <sos> and <eos> off. The decoder needs <sos> to start from and <eos> as the label that says stop."),
        (lambda target: (target[:, :-2], target[:, 2:]),
         "You shift by two, so the decoder would have to answer the word after the next. Shift by one."),
        (_sos_once_more,
         "You put a second <sos> in front of the inputs. The target begins with one already; leave the last column out "
         "instead, and <sos> out of the labels."),
        (lambda target: (target[:, :-1], target[:, 1:].masked_fill(target[:, 1:] == PAD, -100)),
         "You mark the padding in the labels by -100, as some libraries do. Here <pad> stays 0, and the loss is told "
         "to leave 0 out."),
    ),
)

# --- 03.2 -----------------------------------------------------------------------------------------------------------

def masked_loss(logits, labels, pad=0):
    """Mean cross-entropy over the real tokens of a padded batch.

    logits: (B, T, V); labels: (B, T) ids, `pad` where a sentence has ended. Returns a scalar: the sum of the losses at
    all labels that are not `pad`, divided by their number.
    """
    losses = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")   # (B, V, T) -> (B, T)
    return losses[labels != pad].mean()


def _logits_and_labels(lengths, steps, vocabulary, pad=None):
    """Labels without `pad` up to each length. pad=None: id 0, and the argument is left out."""
    def make():
        real = torch.arange(steps) < torch.tensor(lengths).unsqueeze(1)                            # (B, T)
        marked = pad or PAD
        labels = (marked + torch.randint(1, vocabulary, (len(lengths), steps))) % vocabulary       # never `pad`
        logits = 2 * torch.randn(len(lengths), steps, vocabulary)
        logits[:, :, marked] += 6.0 * ~real                                    # the model knows padding when it comes
        inputs = logits, labels.masked_fill(~real, marked)
        return inputs if pad is None else (*inputs, pad)
    return make


def _losses(logits, labels):
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")   # (B, T)


def _real_losses(logits, labels, pad=0):
    """(B, T): zero at the padding."""
    return _losses(logits, labels) * (labels != pad)


def _mean_of_means(logits, labels, pad=0):
    return (_real_losses(logits, labels, pad).sum(1) / (labels != pad).sum(1)).mean()


def _reshaped(logits, labels, pad=0):
    batch, steps, vocabulary = logits.shape
    return F.cross_entropy(logits.reshape(batch, vocabulary, steps), labels, ignore_index=pad)


def _without_log_softmax(logits, labels, pad=0):
    return F.nll_loss(logits.transpose(1, 2), labels, ignore_index=pad)


def _without_the_class(logits, labels, pad=0):
    return masked_loss(logits.index_fill(-1, torch.tensor(pad), -math.inf), labels, pad)


MASKED_LOSS = Exercise(
    id="03.2",
    title="Leave the padding out of the loss",
    reference=masked_loss,
    about=("padding-and-packing",),
    hints=(
        "First the loss at every place, (B, T): F.cross_entropy(…, reduction=\"none\") does not take the mean. It "
        "wants the classes on axis 1.",
        "labels != pad is True at the real tokens. How many are there, and what must the sum be divided by?",
        "losses[mask] holds the losses where mask is True, as one row. Their mean is what is asked for.",
    ),
    cases=(
        Case("sentences of different lengths", _logits_and_labels([5, 2], 5, 7)),
        Case("no padding", _logits_and_labels([4, 4, 4], 4, 6)),
        Case("another id for the padding", _logits_and_labels([6, 1, 4], 6, 11, pad=3),
             "Here 0 is a word like any other, and 3 is the padding."),
        Case("mostly padding", _logits_and_labels([9, 1, 1, 2], 9, 8)),
    ),
    misconceptions=alone(
        (lambda logits, labels, pad=0: _losses(logits, labels).mean(),
         "Your mean runs over the padding too. A model that says <pad> after <pad> then looks better than it is."),
        (lambda logits, labels, pad=0: _real_losses(logits, labels, pad).mean(),
         "You set the losses at the padding to 0 but still divide by B * T. The more padding, the smaller your loss. "
         "Divide by the number of real labels."),
        (lambda logits, labels, pad=0: _real_losses(logits, labels, pad).sum(),
         "You return the sum. The mean is the sum divided by the number of real labels."),
        (lambda logits, labels, pad=0: _real_losses(logits, labels, pad).sum() / len(labels),
         "You divide by the number of sentences. The mean over tokens divides by the number of real labels."),
        (_mean_of_means,
         "You take the mean of each sentence, then the mean of these. A word of a short sentence then counts more than "
         "one of a long sentence; all real tokens should count alike."),
        (lambda logits, labels, pad=0: masked_loss(logits, labels),
         "You leave out the label 0, whatever pad says. Use the argument pad."),
        (lambda logits, labels, pad=0: _losses(logits, labels)[labels == pad].mean(),
         "Your mask is turned round: you keep the padding and leave out the words."),
        (lambda logits, labels, pad=0: _losses(logits, labels)[logits.argmax(-1) != pad].mean(),
         "Your mask comes from what the model predicts. Which places are padding is told by the labels."),
        (lambda logits, labels, pad=0: F.cross_entropy(logits, labels, ignore_index=pad),
         "F.cross_entropy takes axis 1 for the classes, and in (B, T, V) that is time. Flatten both, or move V with "
         "logits.transpose(1, 2)."),
        (_reshaped,
         "You reshape (B, T, V) to (B, V, T). That keeps the order of the numbers in memory and mixes steps with "
         "classes; transpose(1, 2) exchanges the axes."),
        (lambda logits, labels, pad=0: _losses(logits * (labels != pad).unsqueeze(-1), labels).mean(),
         "You set the logits at the padding to 0. That is an even guess, which costs log V at each such place. Leave "
         "the places out of the mean."),
        (lambda logits, labels, pad=0: masked_loss(logits.softmax(-1), labels, pad),
         "You take softmax before F.cross_entropy, which takes it itself. It wants the logits."),
        (_without_log_softmax,
         "You give logits to F.nll_loss, which wants log-probabilities: logits.log_softmax(-1). F.cross_entropy does "
         "both at once."),
        (lambda logits, labels, pad=0: masked_loss(logits, labels, pad).exp(),
         "You return exp(loss): that is the perplexity. The mean loss itself is wanted."),
        (lambda logits, labels, pad=0: -masked_loss(logits, labels, pad),
         "Your sign is wrong: cross-entropy is the mean of minus log p."),
        (_without_the_class,
         "You take <pad> out of the softmax. The model may still give it probability; only the places where the label "
         "is <pad> do not count."),
    ),
)

# --- 03.3 -----------------------------------------------------------------------------------------------------------

def next_inputs(reference, predicted, p, coins):
    """What the decoder reads next under teacher forcing with probability p.

    reference: (B,) the tokens that should have come; predicted: (B,) the model's own choices; p: probability of the
    reference token; coins: (B,) one random number for each sequence, uniform in [0, 1), 0 included and 1 not.
    Returns (B,): each sequence decides by its own coin. p = 0 never takes the reference, p = 1 always does.
    Raises ValueError for a p below 0 or above 1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p={p} is not a probability")
    return torch.where(coins < p, reference, predicted)


def _tokens_and_coins(p, *coins):
    """Tokens such that reference and prediction differ in every sequence."""
    def make():
        reference = torch.randint(3, 50, (len(coins),))
        return reference, reference + 50, p, torch.tensor(coins)
    return make


def _tokens_or_refusal(answer, reference, predicted, p, coins):
    """The answer's tokens; for a p that is no probability, what it does instead of giving tokens, as text."""
    if 0 <= p <= 1:
        return answer(reference, predicted, p, coins)
    try:
        value = answer(reference, predicted, p, coins)
    except (ValueError, AssertionError) as error:
        return "raises ValueError" if isinstance(error, ValueError) else "raises AssertionError"
    except Exception as error:
        if type(error) is Exception:
            return "raises Exception"
        raise
    return "returns None" if value is None else value


def _refusing(choose, error=ValueError):
    """A misconception that refuses a wrong p as it should, and else chooses in its own way."""
    def answer(reference, predicted, p, coins):
        if not 0 <= p <= 1:
            raise error(f"p={p}")
        return choose(reference, predicted, p, coins)
    return answer


def _unchecked(reference, predicted, p, coins):
    return torch.where(coins < p, reference, predicted)


def _error_handed_back(reference, predicted, p, coins):
    return _unchecked(reference, predicted, p, coins) if 0 <= p <= 1 else ValueError(f"p={p}")


def _nothing_handed_back(reference, predicted, p, coins):
    return _unchecked(reference, predicted, p, coins) if 0 <= p <= 1 else None


def _only_below_refused(reference, predicted, p, coins):
    if p < 0:
        raise ValueError(f"p={p}")
    return _unchecked(reference, predicted, p, coins)


def _only_above_refused(reference, predicted, p, coins):
    if p > 1:
        raise ValueError(f"p={p}")
    return _unchecked(reference, predicted, p, coins)


def _only_inside_allowed(reference, predicted, p, coins):
    if not 0 < p < 1:
        raise ValueError(f"p={p}")
    return _unchecked(reference, predicted, p, coins)


NEXT_INPUTS = Exercise(
    id="03.3",
    title="Teacher forcing with a probability",
    reference=next_inputs,
    returns="(B,)",
    run=_tokens_or_refusal,
    about=("teacher-forcing",),
    hints=(
        "A coin is uniform in [0, 1). How often does it lie below p, if p is 0.25? If p is 0, and the coin exactly 0?",
        "torch.where(condition, a, b) takes a where the condition is True and b elsewhere, sequence by sequence.",
        "Refuse a wrong p first: raise ValueError(…) in an if. A p of exactly 0 or 1 is allowed.",
    ),
    cases=(
        Case("p = 0.6", _tokens_and_coins(0.6, 0.71, 0.93, 0.07, 0.78, 0.64, 0.92, 0.55)),
        Case("p = 0: no sequence gets the reference", _tokens_and_coins(0, 0.0, 0.3, 0.0, 0.99, 0.5),
             "A coin may be exactly 0."),
        Case("p = 1: every sequence gets the reference", _tokens_and_coins(1, 0.0, 0.99999, 0.5, 0.2)),
        Case("a coin equal to p", _tokens_and_coins(0.25, 0.125, 0.25, 0.75),
             "In [0, 1) a quarter of all coins lies below 0.25, and 0.25 itself is not below it."),
        Case("p = 1.5, which is no probability", _tokens_and_coins(1.5, 0.4, 0.9), "A wrong p is refused."),
        Case("p = -0.2, which is no probability", _tokens_and_coins(-0.2, 0.4, 0.9), "A wrong p is refused."),
    ),
    misconceptions=alone(
        (_refusing(lambda reference, predicted, p, coins: torch.where(coins < p, predicted, reference)),
         "Your two tokens are exchanged: p is the probability of the reference, not of the model's own choice."),
        (_refusing(lambda reference, predicted, p, coins: torch.where(coins > p, reference, predicted)),
         "Your comparison is turned round: a coin lies above p with probability 1 - p. Take the reference where the "
         "coin lies below p."),
        (_refusing(lambda reference, predicted, p, coins: torch.where(coins <= p, reference, predicted)),
         "You compare with <=. A coin may be exactly 0, and then even p = 0 takes the reference. Write coins < p."),
        (_refusing(lambda reference, predicted, p, coins: reference if coins[0] < p else predicted),
         "You decide for the whole batch by the first coin. Each sequence has its own."),
        (_refusing(lambda reference, predicted, p, coins: reference if p > 0.5 else predicted),
         "You compare p with 0.5 and never look at the coins, so p = 0.9 would mean always."),
        (_refusing(lambda reference, predicted, p, coins: reference if coins.mean() < p else predicted),
         "You decide once for the whole batch, by all coins together or by their mean. Each sequence decides by its "
         "own coin: torch.where(coins < p, …)."),
        (_refusing(lambda reference, predicted, p, coins: reference if (coins < p).any() else predicted),
         "You decide once for the whole batch: if one coin lies below p, all sequences take the reference. Each "
         "decides by its own coin."),
        (_refusing(lambda reference, predicted, p, coins: torch.where(coins < 1 - p, reference, predicted)),
         "You compare with 1 - p, so p becomes the probability of the model's own choice. It is that of the reference: "
         "coins < p."),
        (_refusing(lambda reference, predicted, p, coins: torch.where(coins < 0.5, reference, predicted)),
         "You compare the coins with 0.5, whatever p is. Compare them with p."),
        (_refusing(lambda reference, predicted, p, coins: torch.where(
             torch.rand(len(reference)) < p, reference, predicted)),
         "You draw random numbers of your own. Use the coins you are given, so that a run can be repeated."),
        (_refusing(lambda reference, predicted, p, coins: p * reference + (1 - p) * predicted),
         "You mix the two ids as numbers. The id half-way between two words is a third word; choose one of the two."),
        (_refusing(lambda reference, predicted, p, coins: reference),
         "You always take the reference: that is teacher forcing with p = 1."),
        (_refusing(lambda reference, predicted, p, coins: predicted),
         "You always take the model's own choice: that is p = 0, free running."),
        (_unchecked,
         "Your choice is right, but a p of 1.5 or -0.2 is not refused. Write raise ValueError(…): such a p is a "
         "mistake of the caller, and a printed line does not stop it."),
        (_nothing_handed_back,
         "You return nothing for a wrong p, so the mistake shows only later, somewhere else. Write raise "
         "ValueError(…): it stops the caller here."),
        (_refusing(_unchecked, Exception),
         "You raise Exception, which may mean anything. Write raise ValueError(…): it says that a value is wrong, and "
         "a caller can catch just that."),
        (_only_below_refused, "You refuse a p below 0, but not one above 1."),
        (_only_above_refused, "You refuse a p above 1, but not one below 0."),
        (_only_inside_allowed, "You refuse 0 and 1 too. Both are allowed: free running, and full teacher forcing."),
        (_refusing(_unchecked, AssertionError),
         "You refuse a wrong p by assert. Python can be told to skip assertions (-O), so they are no guard against a "
         "caller's mistake: raise ValueError(…)."),
        (_error_handed_back, "You return the error. Write raise ValueError(…): only raise stops the caller."),
    ),
)

# --- 03.4 -----------------------------------------------------------------------------------------------------------

def greedy_decode(step, state, start, end, limit):
    """Write a sentence token by token, each time the likeliest one.

    step: a function, step(token, state) -> (logits (V,), next state), that reads one token id; state: the state before
    the first step; start: the id read first; end: the id that ends the sentence; limit: the most tokens to write.
    Returns the list of token ids, without start and end.
    """
    ids, token = [], start
    while len(ids) < limit:
        logits, state = step(token, state)
        token = int(logits.argmax())
        if token == end:
            break
        ids.append(token)
    return ids


PATIENCE = 100   # steps after which the decoder of a case gives up: long before the time limit


def _decoder(*path, start=SOS, end=EOS, limit=8, state=0, vocabulary=9):
    """A decoder that writes `path`, read greedily from `start`. It says `end` nowhere else.

    Its state is a number that grows by one a step. What it says depends on both the token and the state.
    """
    def make():
        table = torch.randn(state + PATIENCE, vocabulary, vocabulary)    # state, token read -> logits
        table[:, :, end] = -9.0
        for place, (read, said) in enumerate(zip((start, *path), path, strict=False), start=state):
            table[place, read, said] = table[place, read].max() + 0.7

        def step(token, steps):
            if steps == len(table):
                raise RuntimeError(f"step was called {PATIENCE} times, and limit is {limit}")
            return table[steps, int(token)], steps + 1

        return step, state, start, end, limit
    return make


# Errors of an answer that takes the result of step for the logits, or the logits' max for an id -> what to write.
STEP_MISREAD = (
    (r"'tuple' object has no attribute '(argmax|max|topk|sort|log_softmax|softmax|exp)'|must be Tensor, not tuple",
     "step returns two things, and you use both as one: write logits, state = step(token, state)."),
    (r"'int' object has no attribute '(argmax|max|topk|sort|log_softmax|softmax|exp)'|must be Tensor, not int",
     "step returns the logits first, then the next state: write logits, state = step(token, state)."),
    (r"return_types\.max",
     "logits.max(0) returns two things, the largest score and its id. logits.argmax() returns the id alone."),
)


def _ids_written(answer, step, state, start, end, limit):
    """The answer's ids. Leaving a `start` out that is written later is as right as keeping it."""
    try:
        ids = answer(step, state, start, end, limit)
        ids = plain(list(ids) if isinstance(ids, types.GeneratorType) else ids)
    except (AttributeError, TypeError) as error:
        for pattern, words in STEP_MISREAD:
            if re.search(pattern, str(error)):
                raise RuleBroken(words) from error
        raise
    whole = greedy_decode(step, state, start, end, limit)
    return whole if same([token for token in whole if token != start], ids, EXACT) else ids


def _likeliest(logits):
    return int(logits.argmax())


def _written(step, state, start, end, limit, choose=_likeliest):
    """All tokens up to `limit`, past any `end`."""
    ids, token = [], start
    for _ in range(limit):
        logits, state = step(token, state)
        token = choose(logits)
        ids.append(token)
    return ids


def _choosing(choose):
    """A misconception that takes something else for the next token. choose: logits -> token."""
    return lambda step, state, start, end, limit: _up_to_end(_written(step, state, start, end, limit, choose), end)


def _up_to_repeat(step, state, start, end, limit):
    ids = greedy_decode(step, state, start, end, limit)
    return ids[:next((place for place, token in enumerate(ids) if token in ids[:place]), len(ids))]


def _repeats_left_out(step, state, start, end, limit):
    return list(dict.fromkeys(greedy_decode(step, state, start, end, limit)))


def _repeats_forbidden(step, state, start, end, limit):
    ids, token = [], start
    while len(ids) < limit:
        logits, state = step(token, state)
        token = _likeliest(logits.index_fill(0, torch.tensor(ids, dtype=torch.long), -math.inf))
        if token == end:
            break
        ids.append(token)
    return ids


def _stopping_at_start(step, state, start, end, limit):
    return _up_to_end(greedy_decode(step, state, start, end, limit), start)


def _up_to_end(ids, end, keep=False):
    return ids[:ids.index(end) + keep] if end in ids else ids


def _with_end(step, state, start, end, limit):
    return _up_to_end(_written(step, state, start, end, limit), end, keep=True)


def _same_state(step, state, start, end, limit):
    return greedy_decode(lambda token, _: step(token, state), state, start, end, limit)


def _same_token(step, state, start, end, limit):
    return greedy_decode(lambda token, state: step(start, state), state, start, end, limit)


def _nothing_at_the_limit(step, state, start, end, limit):
    ids = _with_end(step, state, start, end, limit)
    return ids[:-1] if ids[-1] == end else None


GREEDY_DECODE = Exercise(
    id="03.4",
    title="Greedy decoding",
    reference=greedy_decode,
    returns="ids",
    run=_ids_written,
    about=("greedy-and-beam", "special-tokens"),
    hints=(
        "One turn of the loop: call step, take the likeliest token, stop if it is end, else keep it and read it next.",
        "step returns two things, the logits and the next state. Both the token and the state go into the next call.",
        "The loop must end even if end never comes: count the tokens kept, and stop at limit.",
    ),
    cases=(
        Case("four tokens, then the end", _decoder(5, 3, 8, 4, EOS)),
        Case("the limit comes before the end", _decoder(4, 7, 6, 3, 8, 5, 7, EOS, limit=5),
             "After limit tokens decoding stops, and what was written counts."),
        Case("the end comes at once", _decoder(EOS, limit=6), "The sentence is empty."),
        Case("as many tokens as the limit allows", _decoder(6, 3, 5, EOS, limit=3)),
        Case("other ids for start and end", _decoder(2, 1, 9, 0, 3, 7, start=10, end=7, limit=12, state=4,
                                                     vocabulary=11), "Here 2 is a word, and 7 is the end."),
        Case("one token three times", _decoder(3, 3, 6, 3, EOS, limit=7), "A token may be written more than once."),
        Case("the decoder writes start in the middle", _decoder(6, SOS, 8, 4, EOS, limit=9),
             "Only end and limit stop the loop."),
    ),
    misconceptions=alone(
        (_with_end,
         "Your list contains end. It only says that the sentence is over: test for it before you keep the token."),
        (lambda step, state, start, end, limit: [start, *greedy_decode(step, state, start, end, limit)],
         "Your list contains start. The decoder reads it, but does not write it."),
        (lambda step, state, start, end, limit: [start, *_with_end(step, state, start, end, limit)],
         "Your list contains start and end. Only the words between them are wanted."),
        (lambda step, state, start, end, limit: [start, *greedy_decode(step, state, start, end, limit - 1)],
         "Your list begins with start, which also takes one of the limit's places. The decoder reads start, but does "
         "not write it."),
        (_same_state, "Every step starts from the first state: the state that step returns is not handed on."),
        (_same_token, "Every step reads start: the token just chosen should be read next."),
        (lambda step, state, start, end, limit: greedy_decode(step, state, start, end, 10**9),
         "No limit stops your loop where end never comes. Count the tokens, and stop at limit."),
        (_written, "Your loop does not stop at end: it always writes limit tokens."),
        (lambda step, state, start, end, limit: [
             token for token in _written(step, state, start, end, limit) if token != end],
         "You leave end out of the list but go on after it. The sentence is over there: leave the loop, or cut the "
         "list at the first end."),
        (lambda step, state, start, end, limit: greedy_decode(step, state, start, end, limit - 1),
         "Your list lacks its last token where the limit comes first. Does the loop stop at limit - 1, or is the last "
         "token cut off even where it is not end?"),
        (lambda step, state, start, end, limit: greedy_decode(step, state, start, end, limit + 1),
         "You write one token too many: at most limit tokens."),
        (lambda step, state, start, end, limit: greedy_decode(step, state, start, EOS, limit),
         "You stop at the id 2. The id that ends a sentence is the argument end."),
        (lambda step, state, start, end, limit: greedy_decode(step, state, SOS, end, limit),
         "You begin with the id 1. The id that is read first is the argument start."),
        (_choosing(lambda logits: float(logits.max())),
         "You keep the score of the likeliest token. Its id is wanted: max gives the score, argmax the id."),
        (_choosing(lambda logits: int(logits.max())),
         "You keep the largest score, cut to a whole number. The id is wanted: max gives the score, argmax the id."),
        (_stopping_at_start,
         "Your loop stops at start too. Only end ends the sentence; a start that is written is a token like any "
         "other."),
        (_up_to_repeat,
         "You stop where a token comes again. A token may be written more than once: only end and limit stop the "
         "loop."),
        (_repeats_left_out,
         "You leave out a token that is already in the list. A token may be written more than once."),
        (_repeats_forbidden,
         "You forbid a token to come again and take the next likeliest. Greedy decoding always takes the likeliest, "
         "whatever has been written."),
        (lambda step, state, start, end, limit: greedy_decode(step, state, start, end, limit)[:1],
         "You return after the first token: the return stands inside the loop, or there is no loop."),
        (_nothing_at_the_limit,
         "You return only where end comes. What was written up to the limit counts too: put a return after the loop."),
        (_choosing(lambda logits: int(torch.multinomial(logits.softmax(-1), 1))),
         "You draw the token at random. Greedy decoding takes the likeliest token, so two runs write the same."),
    ),
)

# --- 03.5 -----------------------------------------------------------------------------------------------------------

def beam_step(beams, log_probs, width, end):
    """One step of beam search: extend every unfinished beam, keep the best.

    beams: list of (ids, score), a tuple of token ids that begins with <sos> and the sum of its log-probabilities;
    log_probs: (number of beams, V), in row k the log-probabilities of the token after beam k; width: beams to keep;
    end: the id that ends a sentence. A beam that ends with it is finished: it stays as it is, with its score. Any
    other is replaced by V longer ones, one for each token. Finished or not, all compete by score.
    Returns a list of (ids, score): the `width` best, or all if there are fewer, best first.
    """
    candidates = []
    for (ids, score), row in zip(beams, log_probs.tolist(), strict=True):
        if ids[-1] == end:
            candidates.append((ids, score))
        else:
            candidates += [((*ids, token), score + log_prob) for token, log_prob in enumerate(row)]
    return sorted(candidates, key=lambda beam: beam[1], reverse=True)[:width]


def _beams(*beams, vocabulary, width, end=EOS):
    return lambda: (list(beams), torch.randn(len(beams), vocabulary).mul(1.5).log_softmax(-1), width, end)


def _extensions(ids, score, row, add=lambda score, log_prob: score + log_prob):
    return [((*ids, token), add(score, log_prob)) for token, log_prob in enumerate(row)]


def _candidates(beams, log_probs, end, finished=lambda ids, score, row: [(ids, score)], extend=_extensions):
    """What the beams become, as one list. finished, extend: (ids, score, row) -> list of beams."""
    rows = zip(beams, log_probs.tolist(), strict=True)
    return [new for (ids, score), row in rows for new in (finished if ids[-1] == end else extend)(ids, score, row)]


def _ranked(candidates, key=lambda beam: beam[1]):
    return sorted(candidates, key=key, reverse=True)


def _best(width, candidates):
    return _ranked(candidates)[:width]


def _dropping(ids, score, row):
    return []


def _adding(add):
    """A misconception that joins the score and the token's log-probability in its own way."""
    def extend(ids, score, row):
        return _extensions(ids, score, row, add)

    return lambda beams, log_probs, width, end: _best(width, _candidates(beams, log_probs, end, extend=extend))


def _treating_finished(finished):
    """A misconception that makes something else of a finished beam."""
    return lambda beams, log_probs, width, end: _best(width, _candidates(beams, log_probs, end, finished))


def _lengthening(lengthen):
    """A misconception that makes the longer ids in its own way. lengthen: ids, token -> ids."""
    def extend(ids, score, row):
        return [(lengthen(ids, token), score + log_prob) for token, log_prob in enumerate(row)]

    return lambda beams, log_probs, width, end: _best(width, _candidates(beams, log_probs, end, extend=extend))


def _never_ending(beams, log_probs, width, end):
    return _best(width, [
        new for new in _candidates(beams, log_probs, end) if new[0][-1] != end or new in beams])


def _one_end_more(beams, log_probs, width, end):
    return _best(width, _candidates(beams, log_probs, end, lambda ids, score, row: [((*ids, end), score)]))


def _scored_again(beams, log_probs, width, end):
    return _best(width, _candidates(beams, log_probs, end, lambda ids, score, row: [(ids, score + row[end])]))


def _in_the_order_of_the_beams(beams, log_probs, width, end):
    kept = beam_step(beams, log_probs, width, end)
    return [beam for beam in _candidates(beams, log_probs, end) if beam in kept]


def _by_score_per_token(beams, log_probs, width, end):
    return _ranked(_candidates(beams, log_probs, end), lambda beam: beam[1] / len(beam[0]))[:width]


def _with_topk(beams, log_probs, width, end):
    candidates = _candidates(beams, log_probs, end)
    return [candidates[k] for k in torch.tensor([score for _, score in candidates]).topk(width).indices]


def _best_of_each(kept):
    """A misconception that chooses within each beam. kept: width -> number of beams kept of each."""
    def answer(beams, log_probs, width, end):
        of_each = [
            _best(kept(width), _candidates([beam], row.unsqueeze(0), end))
            for beam, row in zip(beams, log_probs, strict=True)
        ]
        return _ranked([beam for group in of_each for beam in group])
    return answer


def _finished_first(beams, log_probs, width, end):
    finished = [(ids, score) for ids, score in beams if ids[-1] == end]
    open_ = _best(width - len(finished), _candidates(beams, log_probs, end, _dropping))
    return _ranked(finished + open_)


def _finished_besides(beams, log_probs, width, end):
    finished = [(ids, score) for ids, score in beams if ids[-1] == end]
    return _ranked(finished + _best(width, _candidates(beams, log_probs, end, _dropping)))


BEAM_STEP = Exercise(
    id="03.5",
    title="One step of beam search",
    reference=beam_step,
    returns="beams",
    about=("greedy-and-beam",),
    hints=(
        "Make one list of candidates first, without any choice: a finished beam as it is, an unfinished one once for "
        "each token of the vocabulary.",
        "A probability of a sentence is a product, so its logarithm is a sum: the new score is the old one plus the "
        "token's log-probability.",
        "Sort all candidates together by score, largest first, and cut the list at width. Scores are negative: the "
        "largest is the one nearest to 0.",
    ),
    cases=(
        Case("three unfinished beams", _beams(
            ((1, 4), -0.9), ((1, 6), -1.3), ((1, 3), -2.1), vocabulary=7, width=4)),
        Case("a finished beam with a good score", _beams(
            ((1, 5, 3), -2.4), ((1, 4, 2), -2.2), ((1, 5, 4), -3.0), vocabulary=6, width=3),
            "It takes part with the score it has."),
        Case("a finished beam with a bad score", _beams(
            ((1, 3, 4), -0.4), ((1, 3, 3), -0.6), ((1, 2), -8.5), vocabulary=5, width=3),
            "It has to compete like all others, and falls out."),
        Case("two finished beams, and room for two", _beams(
            ((1, 4, 2), -5.5), ((1, 3, 5, 6), -1.2), ((1, 2), -1.9), vocabulary=8, width=2)),
        Case("all beams are finished", _beams(((1, 4, 2), -2.7), ((1, 3, 3, 2), -1.6), vocabulary=5, width=2),
             "The order is by score here too."),
        Case("the first step, with more room than tokens", _beams(((1,), 0.0), vocabulary=4, width=6),
             "There are only four candidates, and all are kept."),
        Case("other ids", _beams(
            ((8, 2), -3.5), ((8, 6, 0), -4.1), ((8, 5), -3.9), ((8, 7), -4.4), vocabulary=9, width=5, end=0),
            "Here 0 is the end, and 2 is a word."),
    ),
    misconceptions=alone(
        (lambda beams, log_probs, width, end: beam_step(beams, log_probs, width, -1),
         "You extend finished beams too: words come after their end. A beam that ends with end stays as it is."),
        (_treating_finished(_dropping),
         "You lose the finished beams. They are whole sentences and stay in the competition with their scores."),
        (_treating_finished(lambda ids, score, row: [(ids, score), *_extensions(ids, score, row)]),
         "You keep the finished beam but extend it too, so words come after its end. It stays as it is, and nothing "
         "else is made of it."),
        (_never_ending,
         "You never extend a beam by end, so no sentence would ever be finished. end is one of the V tokens."),
        (_lengthening(lambda ids, token: (token, *ids)),
         "You put the new token in front. It is the last one: (*ids, token)."),
        (_lengthening(lambda ids, token: (token,)),
         "You keep only the new token. A beam holds the whole sentence so far: (*ids, token)."),
        (_one_end_more, "You give a finished beam another end, at no cost. Its ids should stay as they are."),
        (_scored_again,
         "You add a log-probability to a finished beam at every step, so whole sentences sink. Its score stays."),
        (_finished_first,
         "You keep every finished beam, whatever its score. It has to compete with the others for one of the width "
         "places."),
        (_finished_besides,
         "You keep the finished beams besides the width best of the others, so there may be more than width beams. All "
         "compete for the same places."),
        (lambda beams, log_probs, width, end: beam_step(beams, log_probs, width, EOS),
         "You take the id 2 for the end. The id that ends a sentence is the argument end."),
        (_adding(lambda score, log_prob: score * log_prob),
         "You multiply the scores. Probabilities multiply; their logarithms are added."),
        (_adding(lambda score, log_prob: log_prob),
         "You forget the score so far: a beam's score is the sum over all its tokens, not that of the last one."),
        (_adding(lambda score, log_prob: score), "You forget to add the new token's log-probability to the score."),
        (_adding(lambda score, log_prob: score - log_prob),
         "You subtract the log-probability, so an unlikely token raises the score. Add it."),
        (_adding(lambda score, log_prob: score + math.exp(log_prob)),
         "You turn log_probs into probabilities before you add. The scores are logarithms: add the log-probability as "
         "it is."),
        (_best_of_each(lambda width: width),
         "You keep the width best of each beam. All candidates compete together, for width places in all."),
        (_best_of_each(lambda width: 1),
         "You take only the best token of each beam. That is greedy decoding, once for each beam: two good ones may "
         "come from the same beam."),
        (lambda beams, log_probs, width, end: _ranked(_candidates(beams, log_probs, end)),
         "You keep all candidates. Only the width best stay; without that cut their number grows by a factor of V at "
         "every step."),
        (lambda beams, log_probs, width, end: _ranked(_candidates(beams, log_probs, end))[::-1][:width],
         "You keep the worst: sorted begins with the smallest score. Log-probabilities are negative, and the best is "
         "the one nearest to 0."),
        (lambda beams, log_probs, width, end: sorted(_candidates(beams, log_probs, end))[:width],
         "You sort by ids: of two tuples Python compares what stands first. Sort by the score, largest first: "
         "key=lambda beam: beam[1], reverse=True."),
        (lambda beams, log_probs, width, end: sorted(_candidates(beams, log_probs, end), reverse=True)[:width],
         "You sort by ids, largest first: of two tuples Python compares what stands first. Sort by the score: "
         "key=lambda beam: beam[1]."),
        (lambda beams, log_probs, width, end: beam_step(beams, log_probs, width, end)[::-1],
         "Your beams are the right ones, but the best comes last. The best comes first."),
        (_in_the_order_of_the_beams,
         "Your beams are the right ones, but in the order in which they were made. Sort them by score, best first."),
        (_by_score_per_token,
         "You rank by score per token. That is a length penalty, and a good idea in real systems; here the score alone "
         "decides."),
        (_with_topk,
         "Your topk asks for more candidates than there are: in the first step one beam has only V. Take min(width, "
         "number of candidates)."),
    ),
)

# --- 03.6 -----------------------------------------------------------------------------------------------------------

def clipped_matches(hypothesis, reference, n):
    """How many n-grams of a translation are in its reference, counted as in BLEU.

    hypothesis, reference: lists of tokens; n: length of the n-grams. Each n-gram of the hypothesis counts at most as
    often as it occurs in the reference. Returns (matches, total), total being the number of n-grams in the hypothesis,
    repeated ones included; 0 if it has fewer than n tokens.
    """
    found = [tuple(hypothesis[i:i + n]) for i in range(len(hypothesis) - n + 1)]
    there = [tuple(reference[i:i + n]) for i in range(len(reference) - n + 1)]
    matches = sum(min(found.count(ngram), there.count(ngram)) for ngram in set(found))
    return matches, len(found)


def _sentences(hypothesis, reference, n):
    return lambda: (hypothesis.split(), reference.split(), n)


def _ngrams(tokens, n, stride=1):
    return [tuple(tokens[i:i + n]) for i in range(0, len(tokens) - n + 1, stride)]


def _overlap(found, there):
    return sum(min(found.count(ngram), there.count(ngram)) for ngram in set(found))


def _as_text(hypothesis, reference, n):
    """Clipped counts of the n-grams written as text in the reference written as text: "a" is found in "cat"."""
    found = [" ".join(ngram) for ngram in _ngrams(hypothesis, n)]
    return sum(min(found.count(text), " ".join(reference).count(text)) for text in set(found)), len(found)


def _by_position(hypothesis, reference, n):
    pairs = zip(_ngrams(hypothesis, n), _ngrams(reference, n), strict=False)
    return sum(one == other for one, other in pairs), len(_ngrams(hypothesis, n))


def _without_the_last(hypothesis, reference, n):
    found, there = _ngrams(hypothesis, n)[:-1], _ngrams(reference, n)[:-1]
    return _overlap(found, there), len(found)


def _side_by_side(hypothesis, reference, n):
    found, there = _ngrams(hypothesis, n, n), _ngrams(reference, n, n)
    return _overlap(found, there), len(found)


def _of_all_sizes(hypothesis, reference, n):
    counts = [clipped_matches(hypothesis, reference, size) for size in range(1, n + 1)]
    return sum(matches for matches, _ in counts), sum(total for _, total in counts)


def _as_bags(hypothesis, reference, n):
    found, there = ([tuple(sorted(ngram)) for ngram in _ngrams(tokens, n)] for tokens in (hypothesis, reference))
    return _overlap(found, there), len(found)


def _with_short_ones(hypothesis, reference, n):
    found, there = ([tuple(tokens[i:i + n]) for i in range(len(tokens))] for tokens in (hypothesis, reference))
    return _overlap(found, there), len(found)


def _in_order(found, there):
    blocks = difflib.SequenceMatcher(None, found, there, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks)


def _with_total(total):
    """A misconception that has the matches right and counts something else as the total."""
    return lambda hypothesis, reference, n: (
        clipped_matches(hypothesis, reference, n)[0], total(hypothesis, reference, n))


def _joined(ngrams):
    """N-grams as texts without spaces, in which different ones can be alike."""
    return ["".join(ngram) for ngram in ngrams]


def _with_matches(matches):
    """A misconception that has the total right. matches: called with both lists of n-grams."""
    return lambda hypothesis, reference, n: (
        matches(_ngrams(hypothesis, n), _ngrams(reference, n)), len(_ngrams(hypothesis, n)))


CLIPPED_MATCHES = Exercise(
    id="03.6",
    title="Clipped n-gram matches",
    reference=clipped_matches,
    returns=("matches", "total"),
    about=("bleu",),
    hints=(
        "The n-grams of a list start at every place where n tokens are left: tokens[i:i + n] for i from 0 to "
        "len(tokens) - n. Make them tuples, so that they can stand in a set or a dict.",
        "For each different n-gram of the hypothesis count it on both sides. Which of the two counts may it add?",
        "min(count in the hypothesis, count in the reference), summed over the different n-grams. list.count counts.",
    ),
    cases=(
        Case("one word again and again", _sentences("the the the cat the", "the cat saw the dog", 1),
             "The reference has only two of them."),
        Case("pairs", _sentences("a cat and a cat and a hat", "we saw a cat and a dog", 2)),
        Case("the reference repeats, the translation does not", _sentences(
            "a big cat", "a big cat and a big dog", 2),
            "A match counts no more often than it is in the translation."),
        Case("words inside other words", _sentences("a man at a hat", "that woman has a cat", 1)),
        Case("tokens that give the same letters together", _sentences("ab c d", "a bc d", 2),
             "The pairs (ab, c) and (a, bc) are different tokens."),
        Case("the same words in another order", _sentences("man bites dog again", "dog bites man again", 2)),
        Case("triples", _sentences("at home we read and read and read", "we read and read at home", 3)),
        Case("the two halves exchanged", _sentences("c d a b", "a b c d", 2),
             "An n-gram may stand anywhere in the reference."),
        Case("fewer tokens than n", _sentences("long ago", "long ago and far away", 4),
             "There is no 4-gram in two tokens."),
        Case("exactly n tokens", _sentences("a b c", "x a b c", 3)),
    ),
    misconceptions=alone(
        (_with_matches(lambda found, there: sum(ngram in there for ngram in found)),
         "You count every n-gram that is somewhere in the reference, without clipping: a translation that repeats one "
         "right word again and again would be perfect."),
        (_with_matches(lambda found, there: sum(min(found.count(one), there.count(one)) for one in found)),
         "You add the smaller count once for every repeat of an n-gram. Add it once for each different n-gram: loop "
         "over set(found), not over found."),
        (_with_matches(lambda found, there: len(_joined(found)) - sum((Counter(_joined(found)) - Counter(
            _joined(there))).values())),
         "You join the tokens of an n-gram to one text. `ab c` and `a bc` are then alike: keep them apart in a tuple."),
        (_with_matches(lambda found, there: sum(one == other for one in found for other in there)),
         "You count every pair of equal n-grams: one that is twice on both sides counts four times. Take the smaller "
         "of its two counts."),
        (_with_matches(_in_order),
         "You look for matches in the same order on both sides. An n-gram may stand anywhere in the reference."),
        (_with_short_ones,
         "Your last n-grams are too short: near the end fewer than n tokens are left. The starts go up to len(tokens) "
         "- n."),
        (lambda *inputs: clipped_matches(*inputs)[::-1],
         "Your two numbers are exchanged: matches come first, then the total."),
        (_with_matches(lambda found, there: len(set(found) & set(there))),
         "You count each different n-gram once. One that is twice on both sides counts twice."),
        (lambda hypothesis, reference, n: (
             len(set(_ngrams(hypothesis, n)) & set(_ngrams(reference, n))), len(set(_ngrams(hypothesis, n)))),
         "You count different n-grams only, in both numbers. Repeated ones count too, in the matches up to the "
         "reference's count, in the total all of them."),
        (_with_matches(lambda found, there: sum(there.count(ngram) for ngram in set(found))),
         "You take the reference's counts alone. An n-gram that is once in the translation and three times in the "
         "reference matches once: take the smaller count."),
        (_with_total(lambda hypothesis, reference, n: len(_ngrams(reference, n))),
         "Your total counts the reference's n-grams: that would be recall. BLEU asks how many of the translation's "
         "n-grams are right."),
        (_with_total(lambda hypothesis, reference, n: len(hypothesis)),
         "Your total counts tokens. There are fewer n-grams than tokens as soon as n is above 1."),
        (_with_total(lambda hypothesis, reference, n: len(set(_ngrams(hypothesis, n)))),
         "Your total counts each different n-gram once. Repeated ones count every time."),
        (_with_total(lambda hypothesis, reference, n: len(hypothesis) - n + 1),
         "Your total is below 0 for a translation with fewer than n tokens. There it is 0."),
        (lambda hypothesis, reference, n: clipped_matches(hypothesis, reference, 1),
         "You count single tokens, whatever n is."),
        (_by_position, "You compare n-grams at the same place. A match may stand anywhere in the reference."),
        (_side_by_side, "Your n-grams do not overlap. One starts at every token, not at every n-th."),
        (_without_the_last,
         "You miss the last n-gram: the starts go up to len(tokens) - n, so range needs len(tokens) - n + 1."),
        (_of_all_sizes,
         "You add up all sizes from 1 to n. BLEU keeps them apart; only n-grams of exactly n tokens are wanted."),
        (_as_bags, "You ignore the order inside an n-gram, so 'dog bites' matches 'bites dog'."),
        (_as_text, "You look for text inside text, so 'a' is found in 'cat'. Compare lists of tokens."),
        (lambda hypothesis, reference, n: (
             lambda matches, total: matches / total if total else 0.0)(*clipped_matches(hypothesis, reference, n)),
         "You return the precision. Two numbers are wanted, matches and total: BLEU adds both up over all sentences "
         "before it divides."),
    ),
)

# --- 03.7 -----------------------------------------------------------------------------------------------------------

def exact_match_by_length(hypotheses, references, lengths):
    """Share of the translations that equal their reference exactly, for each source length.

    hypotheses, references: lists of N sentences, each a list of tokens; lengths: list of the N source lengths.
    Returns a dict {length: share between 0 and 1} for the lengths that occur, in ascending order.
    """
    hits = {length: [] for length in sorted(set(lengths))}
    for hypothesis, reference, length in zip(hypotheses, references, lengths, strict=True):
        hits[length].append(hypothesis == reference)
    return {length: sum(found) / len(found) for length, found in hits.items()}


def _translations(*rows):
    """rows: (translation, reference, source length)."""
    return lambda: ([row[0].split() for row in rows], [row[1].split() for row in rows], [row[2] for row in rows])


def _shares_and_order(answer, hypotheses, references, lengths):
    """The answer's dict and the order of its keys; numpy's integers count as keys."""
    value = answer(hypotheses, references, lengths)
    if not isinstance(value, dict):
        return None if value is None else (value, [])
    shares = {key.item() if hasattr(key, "dtype") and not isinstance(key, torch.Tensor) else key: share
              for key, share in value.items()}
    return shares, list(shares)


def _grouped(rows, summary):
    """{length: summary(values)} in ascending order. rows: (length, value) pairs."""
    groups = {}
    for length, value in rows:
        groups.setdefault(length, []).append(value)
    return {length: summary(groups[length]) for length in sorted(groups)}


def _mean(values):
    return sum(values) / len(values)


def _comparing(equal):
    """A misconception that groups rightly and compares two sentences in its own way."""
    return lambda hypotheses, references, lengths: _grouped(
        zip(lengths, map(equal, hypotheses, references), strict=True), _mean)


def _finding(found):
    """A misconception that looks at all sentences. found: hypothesis, reference, all hypotheses, all references."""
    return lambda hypotheses, references, lengths: _comparing(
        lambda hypothesis, reference: found(hypothesis, reference, hypotheses, references),
    )(hypotheses, references, lengths)


def _summing_up(summary):
    """A misconception that compares rightly. summary: hits of one length, number of all sentences -> number."""
    return lambda hypotheses, references, lengths: _grouped(
        zip(lengths, map(list.__eq__, hypotheses, references), strict=True),
        lambda hits: summary(hits, len(lengths)))


def _token_accuracy(hypothesis, reference):
    return sum(map(str.__eq__, hypothesis, reference)) / len(reference)


def _by_first_appearance(hypotheses, references, lengths):
    shares = exact_match_by_length(hypotheses, references, lengths)
    return {length: shares[length] for length in dict.fromkeys(lengths)}


def _by_share(hypotheses, references, lengths):
    shares = exact_match_by_length(hypotheses, references, lengths)
    return dict(sorted(shares.items(), key=lambda item: item[1]))


def _every_length_between(hypotheses, references, lengths):
    shares = exact_match_by_length(hypotheses, references, lengths)
    return {length: shares.get(length, 0.0) for length in range(min(lengths), max(lengths) + 1)}


EXACT_MATCH_BY_LENGTH = Exercise(
    id="03.7",
    title="Exact match by length",
    reference=exact_match_by_length,
    returns=("the shares", "the order of the lengths"),
    run=_shares_and_order,
    about=("translation-metrics", "context-bottleneck"),
    hints=(
        "Two lists of tokens are equal with == if they have the same tokens in the same order and number.",
        "Collect True or False for each sentence in a dict from length to list; zip walks through three lists at once.",
        "The share is sum(hits) / len(hits): True counts as 1. A dict keeps the order in which its keys came, so go "
        "through sorted(set(lengths)).",
    ),
    cases=(
        Case("three lengths, not in order", _translations(
            ("나 +는 자", "나 +는 자", 2), ("나 +는 학교 +에 가", "나 +는 공원 +에 가", 5),
            ("너 +는 웃어", "너 +는 웃어", 3), ("너 +는 가", "나 +는 가", 2),
            ("개 +는 집 +에 와", "개 +는 집 +에 와", 5), ("나 +는 와", "나 +는 와", 2),
            ("나 +는 책 +을 사", "나 +는 책 +을 읽어", 5), ("나 +는 책 +을 봐", "나 +는 책 +을 읽어", 5))),
        Case("a length at which nothing is right", _translations(
            ("너 +는 자", "나 +는 자", 7), ("개 +가 와", "개 +가 와", 4), ("물 +을 사", "빵 +을 사", 7),
            ("개 +는 물 +을 봐", "개 +는 물 +을 봐", 4), ("개 +는 물 +을", "개 +는 물 +을 봐", 6))),
        Case("translations that stop early, or go on too long", _translations(
            ("나 +는 빵 +을", "나 +는 빵 +을 먹어", 4), ("나 +는 자 자", "나 +는 자", 3), ("", "나 +는 가", 3),
            ("나 +는 가", "나 +는 가", 3)), "They are not equal to their references."),
        Case("the right tokens in another order", _translations(
            ("너 +를 나 +는 사랑해", "나 +는 너 +를 사랑해", 3), ("나 +는 자", "나 +는 자", 2)),
            "The order counts."),
        Case("translations that belong to other sentences", _translations(
            ("개 +가 물 +을 봐", "개 +가 빵 +을 봐", 4), ("개 +가 물 +을 봐", "개 +가 물 +을 봐", 4),
            ("나 +는 와", "나 +는 자", 3), ("나 +는 자", "나 +는 가", 3)),
            "A translation is right only if it equals the reference of its own sentence."),
        Case("a single sentence", _translations(("나 +는 자", "나 +는 자", 9))),
    ),
    misconceptions=alone(
        (_comparing(_token_accuracy),
         "You count the tokens that are right. Exact match counts whole sentences: one wrong token, and the sentence "
         "is wrong."),
        (_comparing(lambda hypothesis, reference: all(map(str.__eq__, hypothesis, reference))),
         "You compare token by token only as far as the shorter sentence goes, so a translation that stops early "
         "counts as right. Compare the lists themselves."),
        (_finding(lambda hypothesis, reference, hypotheses, references: hypothesis in references),
         "You look for the translation among all references, so one that belongs to another sentence counts as right. "
         "Compare it with its own reference."),
        (_finding(lambda hypothesis, reference, hypotheses, references: reference in hypotheses),
         "You look for the reference among all translations. Compare it with the translation of its own sentence."),
        (_comparing(lambda hypothesis, reference: sorted(hypothesis) == sorted(reference)),
         "You ignore the order of the tokens. In an exact match each stands in its place."),
        (_comparing(lambda hypothesis, reference: set(hypothesis) == set(reference)),
         "You compare sets of tokens. They know neither the order nor that a token comes twice."),
        (_comparing(lambda hypothesis, reference: len(hypothesis) == len(reference)),
         "You compare the numbers of tokens, not the tokens."),
        (_summing_up(lambda hits, everyone: sum(hits)),
         "You return the number of right sentences. The share divides it by the number of sentences of that length."),
        (_summing_up(lambda hits, everyone: sum(hits) / everyone),
         "You divide by the number of all sentences. Divide by those of the same length."),
        (_summing_up(lambda hits, everyone: 1 - _mean(hits)),
         "You return the share of wrong translations. The right ones are wanted."),
        (_summing_up(lambda hits, everyone: sum(hits) // len(hits)),
         "Your division drops what is behind the point: // gives whole numbers. Write /."),
        (_summing_up(lambda hits, everyone: 100 * _mean(hits)), "You return per cent. A share lies between 0 and 1."),
        (_summing_up(lambda hits, everyone: float(hits[-1])),
         "You store each result in place of the one before, so the last sentence of a length decides alone. Collect "
         "them first."),
        (lambda hypotheses, references, lengths: dict.fromkeys(
             sorted(set(lengths)), _mean([*map(list.__eq__, hypotheses, references)])),
         "You give every length the share of all sentences together. Each length has its own."),
        (lambda hypotheses, references, lengths: exact_match_by_length(
             hypotheses, references, [len(hypothesis) for hypothesis in hypotheses]),
         "You group by the length of the translation. The lengths of the source sentences are given."),
        (lambda hypotheses, references, lengths: exact_match_by_length(
             hypotheses, references, [len(reference) for reference in references]),
         "You group by the length of the reference. The lengths of the source sentences are given."),
        (lambda *inputs: {length: share for length, share in exact_match_by_length(*inputs).items() if share},
         "You leave out the lengths at which nothing is right. A share of 0 is the most telling of all."),
        (_every_length_between,
         "You list lengths that do not occur, as if all their translations were wrong. Nothing is known of them."),
        (_by_first_appearance,
         "Your numbers are right, but the lengths stand in the order in which they came. Sort them: a dict keeps the "
         "order of its keys."),
        (_by_share, "Your numbers are right, but sorted by share. Sort by length."),
        (lambda hypotheses, references, lengths: {
             torch.tensor(length): share
             for length, share in exact_match_by_length(hypotheses, references, lengths).items()},
         "Your keys are tensors. A dict finds a tensor only by the very object, not by its number: use .item() or "
         ".tolist()."),
        (lambda *inputs: list(exact_match_by_length(*inputs).items()),
         "You return pairs in a list. dict(pairs) makes a dict of them."),
    ),
)

EXERCISES = [
    SHIFT_TARGETS, MASKED_LOSS, NEXT_INPUTS, GREEDY_DECODE, BEAM_STEP, CLIPPED_MATCHES, EXACT_MATCH_BY_LENGTH,
]

# --- quizzes --------------------------------------------------------------------------------------------------------

QUIZZES = {
    "03-opening": [
        Question(
            "One LSTM has read a sentence. A second one of the same sizes is to go on exactly where the first has "
            "stopped. What must it be given?",
            (
                Choice("h alone", "The memory is in c. Without it the second LSTM starts with an empty cell."),
                Choice("c alone",
                       "h goes into every gate of the next step, and c alone does not tell which part of it was "
                       "shown."),
                Choice("h and c",
                       "A step of an LSTM starts from both. Neither can be made from the other.", correct=True),
                Choice("The outputs of all steps",
                       "They are the h of every step. The next step reads the last h, and c, which is not among them."),
            ),
            about=("cell-state", "lstm-gates"),
        ),
        Question(
            "A sentence of 4 tokens is padded to 9, and a GRU reads all 9 steps. Which of its states should stand for "
            "the sentence?",
            (
                Choice("The one after step 9", "Since step 4 it has read padding five times, and changed each time."),
                Choice("The one after step 4", "It has read the whole sentence and nothing else.", correct=True),
                Choice("Either: padding is zero and changes nothing",
                       "Even an input of zeros moves the state: its own weights and the biases still act."),
                Choice("The mean of all 9", "Five of the nine were made by reading padding."),
            ),
            about=("padding",),
        ),
        Question(
            "A batch has 10 places, and 4 of them are padding. The mean loss over all ten is 2.0; each padding place "
            "has a loss of 0.5. What is the mean loss of the real tokens?",
            (
                Choice("1.8", "(20 - 2) / 10: the losses of the padding are out, but its places are still counted."),
                Choice("2.0", "That is the mean over all places. Padding is easy here, so it makes the mean smaller."),
                Choice("1.5",
                       "2.0 - 0.5 subtracts one mean from another. Go back to the sums: 20 in all, 2 of them from the "
                       "padding."),
                Choice("3.0",
                       "All losses sum to 20, those of the padding to 2. The rest, 18, belongs to 6 "
                       "tokens.", correct=True),
            ),
            about=("padding", "cross-entropy"),
        ),
        Question(
            "\"we saw the bat fly\" and \"we saw the bat break\" differ only in the last word. A one-directional RNN "
            "gives an output at each word. Which of its five outputs can differ between the two?",
            (
                Choice("All five", "For that a second direction would have to read from the end."),
                Choice("The fourth and the fifth, as the bat is another one",
                       "The reader knows that from the last word, which is not read yet there."),
                Choice("The fifth",
                       "An output depends on what has been read so far: the first four words are the "
                       "same.", correct=True),
                Choice("None: the weights are the same", "The weights are, but the last input is not."),
            ),
            about=("many-to-many",),
        ),
        Question(
            "A GRU reads two different sentences and, by chance, ends in the same state. A second network gets this "
            "last state and nothing else, and writes the likeliest word at each step. What does it write?",
            (
                Choice("The same for both sentences",
                       "It is given the same numbers. What the state does not hold is lost to it.", correct=True),
                Choice("Different things: the sentences differ", "It has not read them. It knows only the state."),
                Choice("Different things, if it is trained well",
                       "Training changes its weights, and they too are the same for both."),
            ),
            about=("encoder-decoder", "context-vector"),
        ),
        Question(
            "At each step a model gives every word a probability, and the likeliest word is taken. Is the sentence "
            "that comes out the likeliest one of all? (A guess is fine.)",
            (
                Choice("Yes: every factor of the product is the largest",
                       "The later factors depend on the words taken before. A likely first word may leave only "
                       "unlikely words to follow."),
                Choice("Yes, if the model is trained well",
                       "Better probabilities do not help: the question is how to search among them."),
                Choice("Not always: a likely start may end badly",
                       "What is best now need not be best in the end. This chapter shows a case.", correct=True),
                Choice("Never: it has to be searched for among all sentences",
                       "Often the likeliest words do make the likeliest sentence. There is only no promise that they "
                       "do."),
            ),
            about=("greedy-and-beam",),
        ),
    ],
    "03-closing": [
        Question(
            "A bidirectional tagger writes exactly one word for each word it reads. What can it not do?",
            (
                Choice("Put the last word first", "Each of its outputs may depend on all words, the last one too."),
                Choice("Choose a word by what follows it", "The backward direction has read what follows."),
                Choice("Turn three words into one",
                       "It must write as many words as it reads. \"I love you\" as \"사랑해\" needs two networks: one "
                       "reads, one writes.", correct=True),
            ),
            about=("many-to-many",),
        ),
        Question(
            "A GRU of one layer reads a sentence without padding: `outputs, h_n = encoder(x)`. The decoder starts from "
            "`h_n`, and `outputs` is not used. What does the decoder not get?",
            (
                Choice("It gets everything: h_n holds all outputs",
                       "h_n is the last of them, the same numbers as outputs[:, -1]."),
                Choice("The logits of the encoder", "An nn.GRU makes no logits: its outputs are its hidden states."),
                Choice("A way for the gradient to the encoder",
                       "The gradient flows back through h_n and from there through every step, so the encoder is "
                       "trained."),
                Choice("The states before the last one",
                       "What they knew reaches the decoder only as far as it was passed on from step to "
                       "step.", correct=True),
            ),
            about=("encoder-decoder", "rnn-output-is-state"),
        ),
        Question(
            "By mistake the targets of a training set have no `<eos>`. What will the trained model do when it "
            "translates?",
            (
                Choice("It writes on until the limit",
                       "`<eos>` was never a label, so it stays improbable. Only the limit ends the "
                       "sentence.", correct=True),
                Choice("It stops when the sentence is complete",
                       "To stop is to write `<eos>`, a token like any other: it has to be learned."),
                Choice("It writes `<pad>` after the last word",
                       "The loss leaves padding out, so `<pad>` is never taught either."),
                Choice("It writes nothing", "The first words were labels as always, and it has learned to write them."),
            ),
            about=("special-tokens",),
        ),
        Question(
            "On new sentences the loss with teacher forcing is low. Yet when the model translates on its own, one "
            "wrong word is often followed by many more. Why?",
            (
                Choice("It has learned its training sentences by heart",
                       "Then the loss on new sentences would be high."),
                Choice("In training it never read its own mistakes",
                       "It has learned to continue right beginnings only. The name for this is exposure "
                       "bias.", correct=True),
                Choice("The context fades with each word",
                       "With teacher forcing it would fade just as much, and the loss would show it."),
                Choice("argmax lets no gradient through", "No gradient is needed to translate."),
            ),
            about=("exposure-bias", "teacher-forcing"),
        ),
        Question(
            "You train with a teacher-forcing ratio of 0 from the first step on: the decoder always reads its own "
            "choices. What makes the start hard?",
            (
                Choice("No gradient reaches the weights, as argmax has none",
                       "The logits of each step get a gradient from their own label. Only the way through the chosen "
                       "token is closed."),
                Choice("There are fewer labels than inputs", "There is one label for each step, as before."),
                Choice("`<sos>` is no longer read", "The first input is `<sos>` at any ratio."),
                Choice("It reads noise: its own first choices",
                       "The words it reads have little to do with the sentence, and so it learns little about how one "
                       "right word follows another.", correct=True),
            ),
            about=("teacher-forcing",),
        ),
        Question(
            "The loss is a mean over all places, and where a sentence has ended the label is `<pad>`. Half of all "
            "places are padding. What does the reported loss do early in training?",
            (
                Choice("It falls fast: `<pad>` is soon learned",
                       "Half of the mean goes to nearly 0, and that says nothing about the "
                       "translations.", correct=True),
                Choice("It stays high: `<pad>` cannot be predicted",
                       "Nothing is easier to predict: after `<eos>` and after `<pad>` there is always `<pad>`."),
                Choice("It doubles: twice as many places count", "It is a mean; a sum would grow with the places."),
                Choice("Nothing: padding has no gradient", "That is so only where the loss leaves the padding out."),
            ),
            about=("padding-and-packing",),
        ),
        Question(
            "The encoder gets a padded batch, once packed with its lengths and once as it is. What does packing "
            "change?",
            (
                Choice("Only the speed: h_n is the same",
                       "It saves steps too. But without it h_n is the state after the padding."),
                Choice("The loss no longer counts the padding of the target",
                       "That takes a mask in the loss. Packing is about what the encoder reads."),
                Choice("h_n is the state after the last real token",
                       "No padding is read, so a sentence gets the same state in every batch.", correct=True),
                Choice("The embedding of `<pad>` becomes zero",
                       "Even zeros as input would move the state. Packing leaves these steps out."),
            ),
            about=("padding-and-packing",),
        ),
        Question(
            "After `<sos>` the word A has probability 0.55 and B has 0.45. The best continuation of A has probability "
            "0.4, that of B 0.6, and both end there. What do greedy search and a beam of width 2 return?",
            (
                Choice("Both return A", "The beam keeps B too, and finds 0.45 · 0.6 = 0.27. That is more than 0.22."),
                Choice("Greedy B, the beam A", "Greedy search takes the likelier first word, which is A."),
                Choice("Both return B", "Greedy search takes A first and never looks back."),
                Choice("Greedy A, the beam B",
                       "0.55 · 0.4 = 0.22 is what greedy search finds, 0.45 · 0.6 = 0.27 is better, and a beam of 2 "
                       "keeps both beginnings.", correct=True),
            ),
            about=("greedy-and-beam",),
        ),
        Question(
            "Two finished sentences compete in a beam search without a length penalty. One has 4 tokens, the other 12, "
            "and every token has probability 0.8. Which one wins?",
            (
                Choice("The one of 12 tokens",
                       "Each token adds log 0.8, a negative number. Twelve of them make a smaller sum than four."),
                Choice("The one of 4 tokens",
                       "0.8⁴ ≈ 0.41 against 0.8¹² ≈ 0.07. Sums of log-probabilities favour short "
                       "sentences.", correct=True),
                Choice("Neither: both have a probability of 0.8",
                       "0.8 is the probability of one token. That of the sentence is the product over its tokens."),
            ),
            about=("greedy-and-beam",),
        ),
        Question(
            "The translation is \"the the the\", the reference \"the cat saw the dog\". What is BLEU's clipped "
            "precision of single words?",
            (
                Choice("3/3", "Without clipping, yes. But the reference has \"the\" only twice."),
                Choice("1/3", "Each different word is not counted once, but as often as the reference has it."),
                Choice("2/3", "Three words, and two of them find a partner in the reference.", correct=True),
                Choice("2/5",
                       "A precision divides by the words of the translation. By those of the reference it would be a "
                       "recall."),
            ),
            about=("bleu", "translation-metrics"),
        ),
        Question(
            "Every translation of a test set has 12 tokens, and exactly one of them is a wrong particle. Which metric "
            "is 0?",
            (
                Choice("Exact match",
                       "No sentence is right as a whole. It is the strictest of the three.", correct=True),
                Choice("Token accuracy", "11 of 12 tokens are right."),
                Choice("BLEU", "Most of the n-grams up to length 4 are still right, so it stays well above 0."),
            ),
            about=("translation-metrics",),
        ),
        Question(
            "A decoder without attention gets the first ten words of a long translation as they should be, and still "
            "names a wrong noun as the next one. It does so on training sentences too, and lengths are evenly spread "
            "there. What is the likely cause?",
            (
                Choice("Exposure bias: its own errors mislead it",
                       "It reads the right words here, so there is no error of its own to go on from."),
                Choice("The noun is lost in the one vector",
                       "All of the sentence had to fit into it. The longer the sentence, the less is left of each "
                       "word.", correct=True),
                Choice("Overfitting to the training sentences", "Then it would at least be right on those."),
                Choice("Long sentences are too rare to be learned", "They are as frequent as the others here."),
            ),
            about=("context-bottleneck", "context-vector"),
        ),
        Question(
            "Chapter 04 lets the decoder look back at the encoder at each step. In the words of attention: what asks, "
            "and where is the answer sought?",
            (
                Choice("The query is the encoder's last state; keys and values are the decoder's states",
                       "It is the decoder that needs something at each step. The encoder has finished."),
                Choice("The query is the next target word; keys and values are the source words",
                       "The next word is not known yet: it is what the step is to find."),
                Choice("The query is the decoder's state; keys and values are the encoder's states",
                       "The state says what is wanted now; every encoder state can be found by its key and read as a "
                       "value.", correct=True),
            ),
            about=("attention-as-qkv-preview",),
        ),
    ],
}
