"""Exercises and quizzes of chapter 09, GPT."""

import types

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.exercises.combining import alone, alone_and_in_pairs
from course_utils.exercises.comparing import short
from course_utils.exercises.engine import Case, Choice, Exercise, Misconception, Question, RuleBroken
from course_utils.exercises.refusing import refusing, value_or_refusal, weak_refusals

# --- 09.1 -------------------------------------------------------------------------------------------------------------

def merge_bytes(tokens, pair):
    """One merge of byte-level BPE: each occurrence of the pair becomes one token, from the left, without overlap.

    tokens: list of bytes objects, such as [b"t", b"h", b"e"]; pair: tuple of two bytes objects, such as (b"t", b"h").
    Returns a new list, here [b"th", b"e"]. The list tokens stays as it is.
    """
    merged, place = [], 0
    while place < len(tokens):
        if tuple(tokens[place:place + 2]) == pair:
            merged.append(pair[0] + pair[1])
            place += 2                         # both tokens are used up
        else:
            merged.append(tokens[place])
            place += 1
    return merged


def _piece_as_text(piece):
    """A piece as text that can be compared and shown: bytes as in Python's own b'…', str with a remark."""
    if isinstance(piece, np.ndarray) and piece.ndim == 0:
        piece = piece.item()
    if isinstance(piece, bytes):
        return repr(bytes(piece))[2:-1]
    if isinstance(piece, list | tuple):
        return f"({', '.join(str(_piece_as_text(part)) for part in piece)})"
    return f"{piece} (str)" if isinstance(piece, str) else piece


def _pieces(answer, tokens, pair):
    """What an answer makes of the tokens, as a list of texts. It must leave the caller's list as it is."""
    before = list(tokens)
    merged = answer(tokens, pair)
    if isinstance(merged, types.GeneratorType | np.ndarray):
        merged = list(merged)
    if tokens != before and merged == merge_bytes(before, pair):
        raise RuleBroken("Your tokens are right, but the caller's list is changed: expected a new list, got the same "
                         "one with fewer tokens. Start from an empty list and append to it.")
    return [_piece_as_text(piece) for piece in merged] if isinstance(merged, list | tuple) else merged


def _letters(text, *pair):
    """A case's tokens, one for each byte of the text, and the pair."""
    return lambda: ([bytes([byte]) for byte in text.encode()], pair)


def _tokens(*tokens, pair):
    return lambda: (list(tokens), pair)


def _is_pair(one, other, pair):
    return (one, other) == pair


def _plus(pair):
    return pair[0] + pair[1]


def _merging(is_pair=_is_pair, join=_plus, step=2, most=None, tail=True):
    """A merge with one part exchanged.

    is_pair: token, next token, pair -> bool; join: pair -> new token; step: how far a merge goes on; most: how many
    merges there are; tail: whether a last token without a partner is kept.
    """
    def answer(tokens, pair):
        merged, place, done = [], 0, 0
        while place < len(tokens):
            last = place == len(tokens) - 1
            if not last and done != most and is_pair(tokens[place], tokens[place + 1], pair):
                merged.append(join(pair))
                place, done = place + step, done + 1
                continue
            if tail or not last:
                merged.append(tokens[place])
            place += 1
        return merged
    return answer


def _each_start(tokens, pair):
    """Every place where the pair starts gives a joined token, also where two of them share a token."""
    starts = {place for place in range(len(tokens) - 1) if (tokens[place], tokens[place + 1]) == pair}
    used = starts | {place + 1 for place in starts}
    return [_plus(pair) if place in starts else token for place, token in enumerate(tokens)
            if place in starts or place not in used]


def _from_the_right(tokens, pair):
    walk = _merging(is_pair=lambda one, other, pair: (other, one) == pair)
    return walk(tokens[::-1], pair)[::-1]


def _through_the_whole_text(tokens, pair):
    """Joins all tokens to one string and cuts it again around the pair; the rest falls into single bytes."""
    whole, joined = b"".join(tokens), _plus(pair)
    parts = [[bytes([byte]) for byte in part] for part in whole.split(joined)]
    return [piece for number, part in enumerate(parts) for piece in ([joined] * (number > 0) + part)]


def _always_with_the_last(tokens, pair, last=lambda tokens: [tokens[-1]]):
    """Walks up to the last token but one, and then adds the last token whatever has happened to it."""
    return _merging(tail=False)(tokens, pair) + last(tokens)


def _deleting(tokens, pair):
    """Deletes from the list while a loop counts up to the length that it had before."""
    for place in range(len(tokens) - 1):
        if (tokens[place], tokens[place + 1]) == pair:
            tokens[place] = _plus(pair)
            del tokens[place + 1]
    return tokens


def _merging_what_was_merged(tokens, pair):
    joined = []
    for token in tokens:
        if joined and joined[-1].endswith(pair[0]) and token == pair[1]:
            joined[-1] += token
        else:
            joined.append(token)
    return joined


MERGE_BYTES = Exercise(
    id="09.1",
    title="Merge a pair of bytes",
    about=("byte-level-bpe", "byte-pair-encoding"),
    reference=merge_bytes,
    run=_pieces,
    hints=(
        "Walk through the list with a place that you move yourself: by 2 after a merge, else by 1.",
        "At a place the pair is tokens[place] and tokens[place + 1]. The last token has no partner: it is kept as it "
        "is.",
        "bytes are joined with +, as text is: b\"t\" + b\"h\" is b\"th\". Append to a new list.",
    ),
    cases=(
        Case("a pair that occurs twice", _letters("the then", b"t", b"h")),
        Case("a run of five equal bytes", _letters("aaaaab", b"a", b"a"),
             "From the left, without overlap: aa, aa, and the fifth a is left over."),
        Case("the pair at the very end", _letters("to eat", b"a", b"t")),
        Case("the pair turned round", _letters("baabba", b"a", b"b"), "b before a is another pair."),
        Case("tokens of several bytes", _tokens(b"t", b"he", b"on", b"the", b"th", b"e", pair=(b"th", b"e")),
             "t and he give the same bytes as th and e. They are not the pair."),
        Case("the bytes of two Korean syllables", _letters("가각", b"\xea", b"\xb0"),
             "A syllable has three bytes. Two of them are no text yet, and that is no problem for bytes."),
        Case("a pair that does not occur", _letters("bee", b"e", b"b")),
        Case("one token", _letters("a", b"a", b"a")),
        Case("no tokens", _tokens(pair=(b"a", b"b"))),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _merging,
            ({"step": 1}, "Your place moves on by 1 after a merge, so the second token of the pair is read again. A "
                          "merge uses up both: move on by 2."),
            ({"tail": False}, "Your loop ends one token too early: a last token that is in no pair gets lost."),
            ({"join": lambda pair: pair},
             "Your new token is the tuple of two tokens. Join them to one: pair[0] + pair[1]."),
            ({"join": lambda pair: _plus(pair).decode()},
             "You turn the joined token into text. It may be a part of a letter, as two of the three bytes of 가 are, "
             "and then there is no such text. Keep bytes."),
        ),
        *alone(
            (_merging(most=1), "You merge the first occurrence only. Every occurrence of the pair becomes one token."),
            (_merging(lambda one, other, pair: one + other == _plus(pair)),
             "You compare the joined bytes. b\"t\" + b\"he\" equals b\"th\" + b\"e\", but it is another pair: compare "
             "both tokens."),
            (_merging(lambda one, other, pair: {one, other} == set(pair)),
             "Your pair counts in either order. A pair has a first and a second token."),
            (_merging(lambda one, other, pair: one == pair[0]),
             "You compare the first token of the pair alone. The one after it must be the second."),
            (_merging(join=lambda pair: b" ".join(pair)),
             "Your joined token has a space in it. The bytes stand side by side: pair[0] + pair[1]."),
            (_merging(join=lambda pair: pair[1] + pair[0]),
             "Your joined token has its halves turned round: pair[0] comes first."),
            (_merging_what_was_merged,
             "Your merge goes on with a token that it has made itself: aa and the next a become aaa. The pair is "
             "looked for among the old tokens, and a merge uses both up."),
            (_each_start,
             "Your merges overlap: in a, a, a the middle a is in two of them. A token can be used once, from the "
             "left."),
            (_from_the_right,
             "You merge from the right. In a, a, a the first two become one token: start at the left."),
            (_through_the_whole_text,
             "You join all tokens and cut the bytes anew, so earlier merges are lost. Compare token by token."),
            (lambda tokens, pair: [piece.decode() for piece in merge_bytes(tokens, pair)],
             "You turn the tokens into text. A token may be a part of a letter, as each byte of 가 is. Keep bytes."),
            (lambda tokens, pair: [piece for piece in merge_bytes(tokens, pair) if piece == _plus(pair)],
             "You keep the joined tokens only. All the others stay in the list, in their places."),
            (_merging(most=0),
             "You merge nothing: all tokens come back as they are. A list never equals a tuple, so [one, other] == "
             "pair is always False: compare (one, other) == pair."),
            (_merging(most=0, tail=False),
             "You merge nothing, and the last token gets lost. A list never equals a tuple: compare (one, other) == "
             "pair. And the walk ends one token too early."),
            (_always_with_the_last,
             "You always add the last token, also where a merge has used it up; and without tokens there is no last "
             "one. Add it only if the walk has come to it."),
            (lambda tokens, pair: _always_with_the_last(tokens, pair, lambda tokens: tokens[-1:]),
             "You always add the last token. Where a merge has used it up it stands there twice: add it only if the "
             "walk has come to it."),
            (lambda tokens, pair: _deleting(list(tokens), pair),
             "Your list gets shorter while the for loop still counts up to its old length, so the last places are no "
             "longer there. Read from tokens with while, and append to a new list."),
            (_deleting,
             "You delete from the caller's list. It gets shorter while the for loop still counts up to its old length, "
             "and the caller's tokens are gone. Append to a new list, with while."),
        ),
    ),
)


# --- 09.2 -------------------------------------------------------------------------------------------------------------

def shifted_loss(logits, ids):
    """The loss of a language model: at each place it is asked for the next token.

    logits: (B, T, V), those at place t read the tokens 0 … t; ids: (B, T), the tokens of the text; T is at least 2.
    Returns the mean cross-entropy over all places that have a next token, one number.
    """
    answers, wanted = logits[:, :-1], ids[:, 1:]      # (B, T-1, V), (B, T-1): the last place has no next token
    return F.cross_entropy(answers.flatten(0, 1), wanted.flatten())


def _text(B, T, V, size=2.0):
    return lambda: (size * torch.randn(B, T, V), torch.randint(V, (B, T)))


def _next(logits, ids):
    return logits[:, :-1], ids[:, 1:]


def _each(logits, ids):
    """Cross-entropy at each place: (B, T, V), (B, T) -> (B, T)."""
    return F.cross_entropy(logits.mT, ids, reduction="none")


def _mean(losses, T):
    return losses.mean()


def _losing(match=_next, cost=_each, reduce=_mean):
    """A loss with one part exchanged.

    match: logits, ids -> the logits and the ids that are compared; cost: these -> (B, T'); reduce: (B, T'), T -> loss.
    """
    def answer(logits, ids):
        return reduce(cost(*match(logits, ids)), ids.shape[1])
    return answer


def _one_long_text(logits, ids):
    return logits.flatten(0, 1)[None, :-1], ids.flatten()[None, 1:]


def _chosen(values, ids):
    return values.gather(-1, ids.unsqueeze(-1)).squeeze(-1)


def _mixed_axes(logits, ids):
    B, T, V = logits.shape
    return F.cross_entropy(logits.reshape(B, V, T), ids, reduction="none")


SHIFTED_LOSS = Exercise(
    id="09.2",
    title="The loss of the next token",
    about=("causal-language-model",),
    reference=shifted_loss,
    returns="()",
    hints=(
        "The model has read the tokens 0 … t when it answers at place t. Which token is it asked for there?",
        "The first token is never asked for, and the last answer has no token to be compared with. So both sides have "
        "T - 1 places.",
        "logits[:, :-1] goes with ids[:, 1:]. F.cross_entropy wants (n, V) and (n,): flatten both.",
    ),
    cases=(
        Case("all sizes differ", _text(2, 5, 7)),
        Case("more texts than places", _text(6, 3, 4), "The last token of a text does not lead to the next text."),
        Case("as many classes as places", _text(3, 6, 6), "Time and vocabulary must not be mixed up."),
        Case("two tokens", _text(3, 2, 5), "One place is left: the second token, asked for at the first."),
        Case("logits in the hundreds", _text(4, 8, 9, size=300.0),
             "A small probability is rounded to 0 here: stay with logarithms."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _losing,
            ({"match": lambda logits, ids: (logits, ids)},
             "You compare each place with its own token, which the model has just read. It is to give the next one: "
             "logits[:, :-1] against ids[:, 1:]."),
            ({"match": lambda logits, ids: (logits[:, 1:], ids[:, :-1])},
             "Your shift goes the wrong way: each place is compared with the token before it. The next one is wanted: "
             "logits[:, :-1] against ids[:, 1:]."),
            ({"match": _one_long_text},
             "You flatten first and shift then, so the last token of a text is to give the first of the next text. "
             "Shift along T, then flatten."),
            ({"reduce": lambda losses, T: losses.sum()},
             "You sum over the places. The mean does not depend on how many there are."),
            ({"cost": _mixed_axes},
             "Your reshape from (B, T, V) to (B, V, T) mixes the numbers up. It moves no axis: flatten B and T, or use "
             ".transpose(1, 2)."),
        ),
        *alone(
            (_losing(lambda logits, ids: (logits, ids.roll(-1, 1))),
             "You use roll, so the last place is compared with the first token of the text. It has no next token: "
             "leave it out."),
            (_losing(reduce=lambda losses, T: losses),
             "You return the loss of each place. Their mean is wanted: one number."),
            (_losing(reduce=lambda losses, T: -losses.mean()),
             "Your sign is turned round: the loss is the negative log probability."),
            (_losing(lambda logits, ids: (logits, ids.roll(1, 1))),
             "Your roll goes the wrong way: each place is compared with the token before it, and the first with the "
             "last. Compare logits[:, :-1] with ids[:, 1:]."),
            (_losing(lambda logits, ids: (logits, F.pad(ids[:, 1:], (0, 1)))),
             "You fill up the ids with a 0, and the last place is asked for it. It has no next token: leave it out."),
            (_losing(lambda logits, ids: (logits[:, -2:-1], ids[:, -1:])),
             "You count the last token only. All places but the last one have a next token, and all are counted."),
            (_losing(lambda logits, ids: (logits[:, :-1], ids[:, :-1])),
             "Your last place is gone, but nothing is shifted: each place is compared with its own token. The ids "
             "start at 1: ids[:, 1:]."),
            (_losing(lambda logits, ids: (logits[:, 1:], ids[:, 1:])),
             "Your first place is gone, but nothing is shifted: each place is compared with its own token. The logits "
             "end one place earlier: logits[:, :-1]."),
            (_losing(reduce=lambda losses, T: losses.sum() / (len(losses) * T)),
             "You divide by B · T, but there are B · (T - 1) losses: the mean counts these."),
            (_losing(reduce=lambda losses, T: losses.sum(1).mean()),
             "You sum over the time and take the mean over the texts. The mean goes over both."),
            (_losing(reduce=lambda losses, T: losses.mean(1).sum()),
             "You add up the texts' means, so a larger batch has a larger loss. Take the mean over the texts, too."),
            (_losing(lambda logits, ids: (logits[:, :-2], ids[:, 2:])),
             "You look two places ahead: token t + 2 is compared with the answer at t. The next one is wanted: "
             "logits[:, :-1] against ids[:, 1:]."),
            (lambda logits, ids: F.cross_entropy(*(side.flatten(0, 1) for side in _next(logits, ids)), ignore_index=0),
             "You leave out the places where the next token is 0 (ignore_index=0). There is no padding here: 0 is a "
             "token like any other."),
            (_losing(reduce=lambda losses, T: -(-losses).exp().mean().log()),
             "You take the log of the mean probability. The mean of the logs is wanted: log first, then mean."),
            (_losing(reduce=lambda losses, T: losses.mean().exp()),
             "You return the perplexity, e to the power of the loss. The loss itself is wanted."),
            (_losing(reduce=lambda losses, T: losses.mean() / torch.tensor(2.0).log()),
             "Your loss is in bits: the logarithm has base 2. The course counts in nats, with the natural logarithm."),
            (_losing(cost=lambda logits, ids: _each(logits.softmax(-1), ids)),
             "The softmax is taken twice: F.cross_entropy wants logits and takes the softmax itself."),
            (_losing(cost=lambda logits, ids: -_chosen(logits.softmax(-1).log(), ids)),
             "You take the log after the softmax: a small probability is rounded to 0, and log 0 is minus infinity. "
             "log_softmax or F.cross_entropy computes both in one step."),
            (_losing(cost=lambda logits, ids: -_chosen(logits, ids)),
             "Your logits were never normalised: take log_softmax over the vocabulary, or F.cross_entropy."),
            (_losing(cost=lambda logits, ids: -_chosen(logits.softmax(-1), ids)),
             "You average the probabilities; the logarithm is missing."),
            (lambda logits, ids: F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()),
             "Your ids are shifted, the logits are not: there are T answers and T - 1 tokens. Leave out the last "
             "place: logits[:, :-1]."),
            (lambda logits, ids: F.cross_entropy(logits[:, :-1].flatten(0, 1), ids.flatten()),
             "Your logits have T - 1 places, the ids still T. The first token is never asked for: ids[:, 1:]."),
            (lambda logits, ids: F.cross_entropy(logits[:-1].flatten(0, 1), ids[1:].flatten()),
             "You shift along the batch: each text is compared with the one after it. Time is axis 1."),
        ),
    ),
)


# --- 09.3 -------------------------------------------------------------------------------------------------------------

def sharpen(logits, temperature):
    """Probabilities at a temperature: below 1 they are sharper than the model's own, above 1 flatter.

    logits: (B, V), no two in a row equal; temperature: a number, 0 or more. At 0 the largest logit of each row gets
    all the mass. Returns (B, V), rows sum to 1.
    """
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return (logits / temperature).softmax(-1)


def _scores(B, V, *setting, size=2.0, level=0.0):
    return lambda: (size * torch.randn(B, V) + level, *setting)


def _given(rows, setting):
    return lambda: (torch.tensor(rows), setting)


def _at_zero(logits):
    return sharpen(logits, 0)


def _divided(logits, T):
    return logits / T


def _cooling(scale=_divided, finish=lambda scores: scores.softmax(-1), zero=_at_zero):
    """Probabilities with one part exchanged.

    scale: logits, temperature -> scores; finish: scores -> result; zero: logits -> result at temperature 0, or None
    where 0 is treated as any other number.
    """
    def answer(logits, temperature):
        if temperature == 0 and zero is not None:
            return zero(logits)
        return finish(scale(logits, temperature))
    return answer


def _one_at(logits, place):
    """A single row (V,) with 1 at the place."""
    row = torch.zeros(logits.shape[-1])
    row[place] = 1.0
    return row


def _by_exponentials(scores):
    return scores.exp() / scores.exp().sum(-1, keepdim=True)


SHARPEN = Exercise(
    id="09.3",
    title="Temperature",
    about=("decoding-strategies",),
    reference=sharpen,
    returns="(B, V)",
    hints=(
        "The temperature acts on the logits, before softmax. Dividing by 0.5 doubles the distances between them.",
        "At temperature 0 there is nothing to divide by: it is the limit, greedy decoding. Treat it first.",
        "F.one_hot(logits.argmax(-1), V) puts 1 at the largest logit of each row. It gives integers: .to(logits.dtype) "
        "makes floats of them.",
    ),
    cases=(
        Case("temperature 0.5", _scores(2, 5, 0.5, size=1.0)),
        Case("temperature 3", _scores(4, 7, 3.0), "Flatter than at 1."),
        Case("temperature 1", _scores(3, 6, 1.0), "The model's own probabilities."),
        Case("temperature 0", _scores(3, 5, 0), "All the mass lies on the largest logit of each row."),
        Case("temperature 0.0 and logits below 0", _scores(4, 3, 0.0, level=-20.0), "0.0 is 0, too."),
        Case("temperature 0, and the last id is never the likeliest",
             _given([[0.5, 2.5, -1.0, 0.2, -0.3, 1.0], [1.5, -0.5, 0.1, -2.0, 0.4, 0.9],
                     [-1.5, 0.3, -0.8, 1.9, 0.7, 1.2]], 0), "A token that gets nothing keeps its column."),
        Case("temperature 0.01", _scores(5, 8, 0.01), "Divided by 0.01 the logits lie in the hundreds."),
        Case("temperature 100", _scores(2, 9, 100.0), "Nearly uniform."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _cooling,
            ({"scale": lambda logits, T: logits * T},
             "You multiply by the temperature, so a high one sharpens. Divide by it."),
            ({"scale": lambda logits, T: logits * T, "zero": None},
             "You multiply by the temperature, so a high one sharpens, and 0 makes all tokens alike. Divide by it, and "
             "treat 0 first."),
            ({"scale": lambda logits, T: logits},
             "Your temperature does nothing above 0: divide the logits by it, before softmax."),
            ({"scale": lambda logits, T: logits, "zero": None},
             "You do not use the temperature at all: divide the logits by it, before softmax, and treat 0 first."),
            ({"finish": lambda scores: scores.softmax(0)},
             "Your softmax runs over the batch (axis 0): each column sums to 1. The vocabulary is the last axis."),
            ({"scale": _divided, "zero": None},
             "You divide by the temperature 0, and softmax of infinities is NaN. Treat 0 first: all the mass on the "
             "largest logit."),
        ),
        *alone(
            (_cooling(lambda logits, T: logits / T**0.5),
             "You divide by the root of the temperature. Divide by the temperature itself."),
            (_cooling(finish=lambda scores: scores.log_softmax(-1)),
             "You return logarithms of probabilities. softmax in place of log_softmax gives the probabilities."),
            (_cooling(zero=lambda logits: logits.argmax(-1)),
             "You return the token itself at temperature 0. Probabilities are wanted, (B, V): 1 at the token, else 0."),
            (_cooling(finish=_by_exponentials),
             "Your e to the power of a divided logit is too large for a float at a low temperature. softmax subtracts "
             "the largest logit first."),
            (_cooling(finish=lambda scores: scores), "You return divided logits. Softmax makes probabilities of them."),
            (_cooling(finish=lambda scores: scores, zero=None),
             "You return divided logits, and at temperature 0 infinities. Softmax makes probabilities of them; at 0 "
             "all the mass lies on the largest logit."),
            (_cooling(finish=lambda scores: scores / scores.sum(-1, keepdim=True)),
             "You divide the logits by their sum. Softmax takes e to their power first, as logits may be negative."),
            (_cooling(zero=lambda logits: logits.softmax(-1)),
             "Your temperature 0 gives the model's own probabilities, as 1 does. At 0 the largest logit gets all."),
            (_cooling(zero=lambda logits: torch.full_like(logits, 1 / logits.shape[-1])),
             "Your temperature 0 gives all tokens alike. That is the limit of a very high one: at 0 the largest logit "
             "gets all."),
            (_cooling(zero=lambda logits: (logits == logits.max()).to(logits.dtype)),
             "You look for the largest logit of the whole batch at temperature 0. Each row has its own: argmax(-1)."),
            (_cooling(zero=lambda logits: F.one_hot(logits.argmax(-1))),
             "Your one_hot does not know V at temperature 0: it ends with the largest id that it sees, and columns are "
             "missing. Tell it: F.one_hot(logits.argmax(-1), V)."),
            (_cooling(zero=lambda logits: torch.zeros_like(logits).index_fill(1, logits.argmax(-1), 1.0)),
             "Your temperature 0 sets whole columns: p[:, ids] = 1 writes each row's id into all rows. Each row has "
             "one id of its own: F.one_hot, or p[torch.arange(B), ids] = 1."),
            (_cooling(zero=lambda logits: F.one_hot(logits.argmax(), logits.shape[-1])),
             "Your argmax() has no axis at temperature 0: it counts through the whole batch and gives one number, so "
             "one_hot makes a single row or fails. argmax(-1) gives one id a row."),
            (_cooling(zero=lambda logits: _one_at(logits, logits.argmax())),
             "Your argmax() has no axis at temperature 0: it counts through the whole batch, and you write one row, "
             "(V,), at a place that may not exist. argmax(-1) gives one id a row."),
            (_cooling(zero=lambda logits: (logits == logits.max(-1, keepdim=True).values) * logits),
             "You keep the logit itself at temperature 0. Its probability is 1."),
            (lambda logits, temperature: logits.softmax(-1) / temperature,
             "You divide the probabilities by the temperature, so they no longer sum to 1. Divide the logits, then "
             "take softmax."),
            (_cooling(lambda logits, T: logits.softmax(-1) / T, finish=lambda scores: scores),
             "You divide the probabilities by the temperature, so they no longer sum to 1. Divide the logits, then "
             "take softmax. (Your temperature 0 is right.)"),
            (_cooling(lambda logits, T: logits.softmax(-1) ** (1 / T), finish=lambda scores: scores),
             "You take the power 1/T of the probabilities. That is right so far, but then each row must be divided by "
             "its sum."),
            (_cooling(lambda logits, T: logits.softmax(-1) / T),
             "You take softmax twice: first of the logits, then of divided probabilities. Divide the logits, then take "
             "one softmax."),
            (_cooling(lambda logits, T: logits * (1 / T), zero=None),
             "You compute 1/temperature, and at 0 there is none. Treat 0 first: all the mass on the largest logit."),
            (_cooling(finish=_by_exponentials, zero=None),
             "You made two mistakes at once. You divide by the temperature 0: treat it first. And e to the power of a "
             "divided logit is too large for a float at a low temperature: take softmax."),
        ),
    ),
)


# --- 09.4 -------------------------------------------------------------------------------------------------------------

def keep_top_k(logits, k):
    """Probabilities in which only the k likeliest tokens of each row are left.

    logits: (B, V), the last one kept and the first one dropped are never equal; k: a whole number from 1 on, above V
    all tokens are kept. Returns (B, V): 0 for dropped tokens, rows sum to 1.
    """
    border = logits.topk(min(k, logits.shape[-1])).values[:, -1:]             # (B, 1): the smallest logit that is kept
    return logits.masked_fill(logits < border, -torch.inf).softmax(-1)


def _border(logits, k, axis=-1):
    """The k-th largest logit along the axis, which stays with size 1."""
    return logits.topk(min(k, logits.shape[axis]), axis).values.narrow(axis, -1, 1)


def _largest(logits, k):
    return logits >= _border(logits, k)


def _dropped(logits, kept):
    return logits.masked_fill(~kept, -torch.inf)


def _renormalised(logits, kept):
    return _dropped(logits, kept).softmax(-1)


def _leaving(choose, finish=_renormalised):
    """An answer that keeps some tokens. choose: logits, k or p -> boolean (B, V); finish: logits, this -> result."""
    return lambda logits, setting: finish(logits, choose(logits, setting))


def _leaving_k(choose=_largest, finish=_renormalised):
    return _leaving(choose, finish)


def _as_first_row(choose):
    return lambda logits, setting: choose(logits[:1], setting).expand_as(logits)


def _as_any_row(choose):
    return lambda logits, setting: choose(logits, setting).any(0).expand_as(logits)


def _in_order_of_size(logits, kept):
    return _renormalised(logits, kept).sort(-1, descending=True).values


NOT_RENORMALISED = (
    {"finish": lambda logits, kept: logits.softmax(-1) * kept},
    "Your rows no longer sum to 1: the dropped tokens' mass is gone. Put -torch.inf in place of the dropped logits, "
    "softmax comes after that. Or divide each row by its sum.",
)
LOGIT_ZERO = (
    {"finish": lambda logits, kept: (logits * kept).softmax(-1)},
    "Your dropped logits are 0, and e⁰ is 1, so they keep some mass. Softmax of -torch.inf is 0.",
)
WRONG_ENDS = (   # finishes of 09.4 and of 09.5, and what is wrong with them
    (
        _dropped,
        "You return logits. Softmax makes probabilities of them.",
    ),
    (
        lambda logits, kept: _dropped(logits, kept).log_softmax(-1),
        "You return logarithms of probabilities. softmax in place of log_softmax gives the probabilities.",
    ),
    (
        lambda logits, kept: _dropped(logits, kept).softmax(0),
        "Your softmax runs over the batch (axis 0): each column sums to 1. The vocabulary is the last axis.",
    ),
    (
        lambda logits, kept: _dropped(logits.softmax(-1), kept).softmax(-1),
        "You take softmax twice: of the logits, and of the probabilities that are left. Once is enough.",
    ),
    (
        lambda logits, kept: (logits.softmax(-1) * kept).softmax(-1),
        "You take softmax of the probabilities, in which e⁰ = 1 gives mass to dropped tokens. Divide each row by its "
        "sum.",
    ),
    (
        lambda logits, kept: logits.softmax(-1) * kept / (logits.softmax(-1) * kept).sum(),
        "You divide by the sum of the whole batch. Each row is divided by its own: sum(-1, keepdim=True).",
    ),
    (
        _in_order_of_size,
        "Your probabilities stand in order of size. Each token keeps the place of its id, as in logits.",
    ),
    (
        lambda logits, kept: kept,
        "You return which tokens are kept. Their probabilities are wanted.",
    ),
    (
        lambda logits, kept: kept / kept.sum(-1, keepdim=True),
        "You give all kept tokens alike. They keep their proportions to each other.",
    ),
)


def _ends(choose):
    return (Misconception(_leaving(choose, finish), sentence) for finish, sentence in WRONG_ENDS)


def _kth_smallest(logits, k):
    return logits.kthvalue(k, keepdim=True).values


def _at_most_all(answer):
    """The answer, where k is never above V."""
    return lambda logits, k: answer(logits, min(k, logits.shape[-1]))


def _ids_as_rows(logits, k):
    kept = logits.topk(k)
    result = torch.zeros_like(logits)
    result[kept.indices] = kept.values.softmax(-1)
    return result


KEEP_TOP_K = Exercise(
    id="09.4",
    title="Keep the k likeliest tokens",
    about=("decoding-strategies",),
    reference=keep_top_k,
    returns="(B, V)",
    hints=(
        "logits.topk(k) gives values and ids, both (B, k). The last of the values is the smallest one that is kept.",
        "logits.masked_fill(logits < border, -torch.inf) drops the smaller ones, with a border of (B, 1). Softmax of "
        "-inf is 0.",
        "topk fails where k is above V: take min(k, logits.shape[-1]).",
    ),
    cases=(
        Case("k = 2", _scores(3, 5, 2)),
        Case("k = 1", _scores(2, 6, 1), "One token gets all: greedy decoding."),
        Case("all logits below 0", _scores(4, 7, 3, level=-15.0)),
        Case("k = V", _scores(3, 4, 4), "Nothing is dropped."),
        Case("k above V", _scores(2, 3, 10), "There are no more than V tokens: all are kept."),
        Case("equal logits on one side of the border", _given([[2.0, 0.5, 2.0, -1.0, 0.5, -1.0, -1.0, 3.0],
                                                               [-2.0, 1.0, -2.0, 1.0, -2.0, 1.0, -2.0, -2.0]], 3)),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _leaving_k,
            ({"choose": lambda logits, k: _largest(-logits, k)},
             "You keep the k smallest logits. The likeliest tokens have the largest ones."),
            ({"choose": lambda logits, k: logits > _border(logits, k)},
             "You drop the k-th token, too: one too few is left. Keep what is >= the k-th largest logit."),
            ({"choose": lambda logits, k: _largest(logits, k + 1)},
             "You keep one token too many. Counting starts at 0: the k-th largest stands at index k - 1."),
            ({"choose": lambda logits, k: torch.arange(logits.shape[-1]).expand_as(logits) < k},
             "You keep the first k ids, as if the vocabulary stood in order of size. Keep the k largest logits of each "
             "row."),
            NOT_RENORMALISED,
            LOGIT_ZERO,
        ),
        *_ends(_largest),
        *alone(
            (_leaving_k(_as_first_row(_largest)),
             "You choose the tokens by the first row and keep the same ones in all rows. Each row has its own k."),
            (_leaving_k(lambda logits, k: logits >= _border(logits[0], k)),
             "You compare all rows with the border of the first one. Each row has its own: keep the axis, (B, 1)."),
            (_leaving_k(_as_any_row(_largest)),
             "You keep a token in all rows where it is among the k of any row. Each row has its own k: scatter(-1, "
             "ids, …), or compare with a border of (B, 1)."),
            (_leaving_k(lambda logits, k: logits >= _border(logits.flatten(), k)),
             "You keep the k largest logits of the whole batch. Each row keeps k of its own."),
            (_leaving_k(lambda logits, k: logits >= _border(logits, k, 0)),
             "Your topk runs over the batch (axis 0). The vocabulary is the last axis."),
            (lambda logits, k: logits.topk(min(k, logits.shape[-1])).values.softmax(-1),
             "You return k probabilities in order of size, (B, k). Nobody can see whose they are: put them in the "
             "places of their ids, (B, V)."),
            (_at_most_all(_leaving_k(lambda logits, k: logits >= _kth_smallest(logits, k))),
             "Your border is the k-th smallest logit, as kthvalue(k) counts from below. The k-th largest is the last "
             "of topk(k).values."),
            (_leaving_k(lambda logits, k: logits >= _kth_smallest(logits, k)),
             "Your border is the k-th smallest logit, as kthvalue(k) counts from below, and it fails where k is above "
             "V. The k-th largest is the last of topk(min(k, logits.shape[-1])).values."),
            (_at_most_all(_ids_as_rows),
             "You write out[ids] = …, and that takes the ids for numbers of rows. They are columns, in each row "
             "others: out.scatter(-1, ids, …)."),
            (_ids_as_rows,
             "You write out[ids] = …, and that takes the ids for numbers of rows; and topk fails where k is above V. "
             "Use out.scatter(-1, ids, …), and min(k, logits.shape[-1])."),
            (lambda logits, k: logits.masked_fill(logits < logits.topk(k).values[:, -1:], -torch.inf).softmax(-1),
             "Your topk fails where k is above V. Then all tokens are kept: take min(k, logits.shape[-1])."),
            (lambda logits, k: _largest(logits, logits.sort(-1, descending=True).values[:, k - 1]),
             "You read the k-th of the sorted logits, and with k above V there is none. Then all tokens are kept: take "
             "min(k, logits.shape[-1])."),
        ),
    ),
)


# --- 09.5 -------------------------------------------------------------------------------------------------------------

def keep_top_p(logits, p):
    """Probabilities in which the smallest group of likeliest tokens with a mass of at least p is left, in each row.

    The tokens join the group from the likeliest on. The one with which the mass reaches p belongs to it, so there is
    always one. logits: (B, V), the last one kept and the first one dropped are never equal; p: above 0, at most 1.
    Returns (B, V): 0 for dropped tokens, rows sum to 1.
    """
    ordered, ids = logits.softmax(-1).sort(-1, descending=True)               # (B, V), from the likeliest on
    before = ordered.cumsum(-1) - ordered                                     # the mass of all likelier tokens
    kept = ordered * (before < p)
    kept = kept / kept.sum(-1, keepdim=True)
    return torch.zeros_like(kept).scatter(-1, ids, kept)                      # back to the order of the ids


def _odds(*rows, p):
    """Logits with these probabilities; each row has a level of its own, which changes no probability."""
    return lambda: (torch.tensor(rows).log() + 5 * torch.rand(len(rows), 1) + 1, p)


def _before(ordered):
    return ordered.cumsum(-1) - ordered


def _back_by_scatter(kept, ids):
    return torch.zeros_like(kept).scatter(-1, ids, kept)


def _group(join=lambda ordered, p: _before(ordered) < p, descending=True, back=_back_by_scatter,
           masses=lambda logits: logits.softmax(-1)):
    """A choice of tokens with one part exchanged.

    join: masses in order, p -> boolean (B, V); descending: the order; back: this, ids -> the same in the order of the
    ids; masses: logits -> (B, V).
    """
    def choose(logits, p):
        ordered, ids = masses(logits).sort(-1, descending=descending)
        return back(join(ordered, p), ids)
    return choose


def _below(ordered, p):
    return ordered.cumsum(-1) <= p


def _below_but_one(ordered, p):
    return _below(ordered, p) | (torch.arange(ordered.shape[-1]) == 0)


def _one_more(ordered, p):
    return F.pad(_before(ordered)[:, :-1], (1, 0)) < p


def _counted(count):
    """Keeps the first so many tokens of each row. count: boolean (B, V), True before the mass is p -> (B, 1) or ()."""
    return _group(lambda ordered, p: (torch.arange(ordered.shape[-1]) < count(ordered.cumsum(-1) < p))
                  .expand_as(ordered))


def _zeros_for_nothing(logits, kept):
    """Renormalised; a row of zeros where no token is kept."""
    return _renormalised(logits, kept).masked_fill(~kept, 0.0)


_smallest_group = _group()


def _leaving_p(choose=_smallest_group, finish=_renormalised):
    return _leaving(choose, finish)


KEEP_TOP_P = Exercise(
    id="09.5",
    title="Keep the tokens that make up the mass p",
    about=("decoding-strategies",),
    reference=keep_top_p,
    returns="(B, V)",
    hints=(
        "Softmax, then sort(-1, descending=True): it gives the probabilities from the likeliest on, and their ids. "
        "cumsum(-1) adds them up.",
        "A token is kept if the mass in front of it has not reached p yet: cumsum minus its own probability is below "
        "p. In front of the first one the mass is 0, so it is always kept.",
        "Divide what is kept by its sum. torch.zeros_like(kept).scatter(-1, ids, kept) puts each probability in the "
        "place of its id.",
    ),
    cases=(
        Case("p = 0.6", _odds([0.05, 0.4, 0.1, 0.3, 0.15], [0.15, 0.3, 0.1, 0.25, 0.2], p=0.6),
             "In the first row the mass goes 0.4, 0.7: two tokens. In the second 0.3, 0.55, 0.75: three."),
        Case("one token has more than p", _odds([0.1, 0.04, 0.74, 0.12], [0.7, 0.1, 0.15, 0.05],
                                                [0.05, 0.12, 0.2, 0.63], p=0.5), "It is kept, and it gets all."),
        Case("p = 0.9", _scores(4, 7, 0.9, size=1.0)),
        Case("p = 1", _scores(3, 6, 1.0, size=1.0), "Nothing is dropped."),
        Case("p = 0.000001", _scores(5, 8, 1e-6), "There is always one token: the likeliest."),
        Case("equal probabilities on one side of the border", _odds(
            [0.2, 0.1, 0.2, 0.1, 0.3, 0.1], [0.28, 0.04, 0.28, 0.28, 0.06, 0.06], p=0.65)),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _leaving_p,
            ({"choose": _group(_below)},
             "You drop the token with which the mass reaches p. It belongs to the group: without it the mass is too "
             "small, and where one token has more than p nothing is left."),
            ({"choose": _group(_below_but_one)},
             "You drop the token with which the mass reaches p, except where it is the first. It belongs to the group: "
             "look at the mass in front of a token."),
            ({"choose": _group(_one_more)},
             "You keep one token too many. The group ends with the token with which the mass reaches p."),
            ({"choose": lambda logits, p: logits.softmax(-1) >= p},
             "You keep the tokens with a probability of p or more. The probabilities are added up, from the largest "
             "on, until they reach p."),
            ({"choose": _group(descending=False)},
             "You start at the least likely token. Sort with descending=True."),
            ({"choose": _group(back=lambda kept, ids: kept)},
             "Your choice is still in order of size, and the logits are in the order of the ids. Bring it back with "
             "scatter(-1, ids, …)."),
            NOT_RENORMALISED,
            LOGIT_ZERO,
        ),
        *_ends(_smallest_group),
        *alone(
            (_leaving_p(_group(back=lambda kept, ids: kept.gather(-1, ids))),
             "You use gather to go back to the order of the ids. It reads at the ids; scatter writes to them."),
            (_leaving_p(lambda logits, p: logits.softmax(-1) >= p * logits.softmax(-1).max(-1, keepdim=True).values),
             "You compare each token with p times the likeliest one. That is min-p, another filter. Here the "
             "probabilities are added up until they reach p."),
            (_leaving_p(_group(lambda ordered, p: (torch.arange(ordered.shape[-1]) < p * ordered.shape[-1])
                               .expand_as(ordered))),
             "You keep a share p of the vocabulary. It is the mass that must reach p, with as few tokens as it takes."),
            (_leaving_p(_group(lambda ordered, p: _before(ordered) < 1 - p)),
             "Your group has the mass 1 - p. It is to reach p."),
            (_leaving_p(_group(masses=lambda logits: logits)),
             "You add up logits. Take softmax first: the mass is one of probabilities."),
            (_leaving_p(lambda logits, p: _smallest_group(logits.flatten()[None], p * len(logits)).view_as(logits)),
             "You sort all rows together. Each row has a group of its own: sort(-1)."),
            (_leaving_p(_as_first_row(_smallest_group)),
             "You choose the group by the first row and keep the same tokens in all rows. Each row has its own."),
            (_leaving_p(_as_any_row(_smallest_group)),
             "You keep a token in all rows where it is in the group of any row. Each row has its own: scatter(-1, ids, "
             "…)."),
            (_leaving_p(lambda logits, p: _before(logits.softmax(-1)) < p),
             "You add up the probabilities in the order of the ids. The likeliest tokens come first: sort(-1, "
             "descending=True)."),
            (_leaving_p(lambda logits, p: _below(logits.softmax(-1), p)),
             "You add up the probabilities in the order of the ids, and you drop the token with which the mass reaches "
             "p. Sort with descending=True, and look at the mass in front of a token."),
            (_leaving_p(_counted(lambda below: below.sum(-1, keepdim=True))),
             "You count the tokens with which the mass is still below p. The group has one more, with which it reaches "
             "p: the count + 1."),
            (_leaving_p(_counted(lambda below: below.sum(-1, keepdim=True)), _zeros_for_nothing),
             "You count the tokens with which the mass is still below p, and rows in which the first one reaches it "
             "get nothing but 0. The group has one more: the count + 1."),
            (_leaving_p(_counted(lambda below: below[0].sum() + 1)),
             "You use the first row's count for all rows. Each row has a count of its own: sum(-1, keepdim=True)."),
            (_leaving_p(_counted(lambda below: below.sum(-1).max() + 1)),
             "You use the largest count for all rows, so some keep too many. Each row has a count of its own: sum(-1, "
             "keepdim=True)."),
            (_leaving_p(_counted(lambda below: below.sum() + 1)),
             "You count through the whole batch, and all rows keep that many. Each row has a count of its own: sum(-1, "
             "keepdim=True)."),
            (lambda logits, p: logits.softmax(-1) * _smallest_group(logits, p) / p,
             "You divide by p. The group's mass is p or more: divide each row by its own sum."),
        ),
    ),
)


# --- 09.6 -------------------------------------------------------------------------------------------------------------

def cached_step(query, key, value, cache):
    """One step of one head with a key-value cache: the new token attends to all tokens before it and to itself.

    query, key, value: (1, d_k), of the new token alone; cache: a dict, empty at the first token, later with "key" and
    "value" (t, d_k) of the t tokens before, oldest first. After the call both have the new token's row at the end.
    The scores are divided by the root of d_k. Returns the output (1, d_k).
    """
    if cache:
        key = torch.cat([cache["key"], key])            # (t, d_k) and (1, d_k) -> (t + 1, d_k)
        value = torch.cat([cache["value"], value])
    cache["key"], cache["value"] = key, value
    scores = query @ key.T / key.shape[-1] ** 0.5       # (1, d_k) @ (d_k, t + 1) -> (1, t + 1): no row needs a mask
    return scores.softmax(-1) @ value                   # (1, t + 1) @ (t + 1, d_k) -> (1, d_k)


def _token_and_cache(t, d_k, size=1.5):
    """A new token and the cache of the t tokens before it."""
    def make():
        past = {"key": size * torch.randn(t, d_k), "value": torch.randn(t, d_k)}
        return *(size * torch.randn(1, d_k) for _ in range(2)), torch.randn(1, d_k), past if t else {}
    return make


def _output_and_cache(answer, query, key, value, cache):
    """What comes back, and what the cache holds afterwards."""
    before = dict(cache)
    try:
        output = answer(query, key, value, cache)
    except KeyError as error:
        if not error.args or error.args[0] in ("key", "value"):
            raise
        raise RuleBroken("Expected the cache to be read under the names 'key' and 'value', got a KeyError for "
                         f"{short(error.args[0])}.") from error
    if output is None:
        return None
    strange = [short(name) for name in cache if name not in before and name not in ("key", "value")]
    if strange and all(cache.get(name) is before.get(name) for name in ("key", "value")):
        raise RuleBroken("Expected the new rows under the names 'key' and 'value' in the cache, got them under "
                         f"{' and '.join(strange)}. Whoever reads the cache next looks for 'key' and 'value'.")
    missing = [name for name in ("key", "value") if name not in cache]
    if missing:
        raise RuleBroken(f"Expected a cache with 'key' and 'value' after the call, got none for {short(missing[0])}.")
    if strange and getattr(answer(query, key, value, dict(cache)), "shape", None) != getattr(output, "shape", None):
        raise RuleBroken("Expected one row of output at the next token too, got another shape: the cache holds more "
                         "than keys and values.")
    return output, cache["key"], cache["value"]


def _old_and_new(old, new):
    return torch.cat([old, new])


def _root_of_size(scores, keys):
    return scores / keys.shape[-1] ** 0.5


def _step(
    read=_old_and_new, store=_old_and_new, scale=_root_of_size, weigh=lambda scores: scores.softmax(-1),
    names=("key", "value"), finish=lambda weights, values, cache: weights @ values,
):
    """A step with one part exchanged.

    read, store: old rows, new row -> the rows that are attended to, the rows that are kept (None: the cache stays);
    scale: scores, keys -> scores; weigh: scores -> weights; names: where the new key and the new value are kept.
    """
    def answer(query, key, value, cache):
        old = [cache.get(name, key[:0]) for name in ("key", "value")]
        keys, values = read(old[0], key), read(old[1], value)
        kept = [store(*rows) for rows in zip(old, (key, value), strict=True)]
        cache.update({name: rows for name, rows in zip(names, kept, strict=True) if rows is not None})
        return finish(weigh(scale(query @ keys.T, keys)), values, cache)
    return answer


def _hidden(allowed):
    """Weights under a mask. allowed: number of keys -> (n,), True where the new token may attend."""
    return lambda scores: scores.masked_fill(~allowed(scores.shape[-1]), float("-inf")).softmax(-1)


def _doubled_at_first(old, new):
    """What cache.get("key", key) leads to: where there are no old rows, the new one takes their place, too."""
    return torch.cat([old if len(old) else new, new])


def _without_asking(query, key, value, cache):
    cache["key"], cache["value"] = torch.cat([cache["key"], key]), torch.cat([cache["value"], value])
    return _root_of_size(query @ cache["key"].T, key).softmax(-1) @ cache["value"]


def _keeping_queries(query, key, value, cache):
    for name, row in (("query", query), ("key", key), ("value", value)):
        cache[name] = torch.cat([cache[name], row]) if name in cache else row
    return _root_of_size(cache["query"] @ cache["key"].T, key).softmax(-1) @ cache["value"]


CACHED_STEP = Exercise(
    id="09.6",
    title="A step with the key-value cache",
    about=("kv-cache",),
    reference=cached_step,
    returns=("output (1, d_k)", "cache['key'] (t + 1, d_k)", "cache['value'] (t + 1, d_k)"),
    run=_output_and_cache,
    hints=(
        "First let the cache grow by one row, then attend: the one query to all keys in it.",
        "torch.cat([cache[\"key\"], key]) puts the new row below the old ones. At the first token the dict is empty: "
        "ask `if cache:` first.",
        "cache[\"key\"] = … changes the caller's own dict. cache = {…} only gives your local name another dict.",
        "(query @ keys.T / d_k ** 0.5).softmax(-1) @ values. All keys in the cache stand before the query or are its "
        "own, so there is nothing to mask.",
    ),
    cases=(
        Case("four tokens in the cache", _token_and_cache(4, 3), "The new token has five keys to look at: four old "
                                                                 "ones and its own."),
        Case("the first token: the cache is empty", _token_and_cache(0, 5),
             "It can attend to itself alone, so the output is its own value."),
        Case("one token in the cache", _token_and_cache(1, 4)),
        Case("as many tokens as features", _token_and_cache(6, 6), "Rows are tokens, columns are features."),
        Case("many features", _token_and_cache(3, 64), "Without the root of d_k one key takes nearly all of the "
                                                       "weight."),
        Case("large scores", _token_and_cache(7, 8, size=4.0)),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _step,
            ({"store": lambda old, new: None},
             "Your cache does not grow: the next token will not find this one. Write to the caller's dict, "
             "cache[\"key\"] = …; a new dict under the name cache is another dict."),
            ({"store": lambda old, new: new},
             "Your cache forgets the earlier tokens: the new row takes their place. It belongs below them: "
             "torch.cat([cache[\"key\"], key])."),
            ({"store": lambda old, new: torch.cat([new, old])},
             "Your cache has the new token first. The output is the same today, as softmax knows no order, but the "
             "rows must stay in the order of the text: the oldest first, the new one last."),
            ({"scale": lambda scores, keys: scores}, "Your scores are not divided by the root of d_k."),
            ({"scale": lambda scores, keys: scores / keys.shape[-1]},
             "Your scores are divided by d_k. Divide by its root: d_k ** 0.5."),
            ({"scale": lambda scores, keys: scores / keys.shape[0] ** 0.5},
             "Your scores are divided by the root of the number of keys, so the softmax changes as the text grows. "
             "Divide by the root of d_k, the last axis."),
            ({"scale": lambda scores, keys: scores * keys.shape[-1] ** 0.5},
             "Your scores are multiplied by the root of d_k. Divide by it."),
        ),
        *alone(
            (_step(read=lambda old, new: old),
             "Your new token looks at the cache only, not at itself. Let the cache grow first, then attend."),
            (_step(read=lambda old, new: old if len(old) else new),
             "Your new token looks at itself only when the cache is empty. It always does: let the cache grow first, "
             "then attend."),
            (_step(weigh=_hidden(lambda n: torch.arange(n) < n - 1)),
             "Your mask hides the new token from itself. A query may attend to its own key."),
            (_step(weigh=_hidden(lambda n: torch.arange(n) < 1)),
             "Your mask is the first row of a causal mask: it leaves the first key alone. This query is the last one, "
             "and all keys stand before it or are its own. No mask is needed."),
            (_step(read=lambda old, new: new),
             "Your new token looks at itself alone, so the output is its value. The cache grows, but nothing reads "
             "it."),
            (_step(read=lambda old, new: new, store=lambda old, new: new),
             "You overwrite the cache with the new token, so there is nothing else left to look at. Add its row below "
             "the old ones: torch.cat([cache[\"key\"], key])."),
            (_keeping_queries,
             "You keep the queries, too, so from the next token on you answer all of them. An earlier token's query "
             "has been answered: only keys and values are needed again."),
            (_without_asking,
             "Your code reads cache[\"key\"] at the first token, too, where the dict is empty. Ask `if cache:` first."),
            (_step(read=_doubled_at_first, store=_doubled_at_first),
             "Your first token stands in the cache twice: where the dict is empty, cache.get(\"key\", key) gives the "
             "new row, and you add it once more. Ask `if cache:` first, or take key[:0], which has no rows."),
            (_step(names=("value", "key")), "Your cache has keys under \"value\" and values under \"key\"."),
            (_step(names=("key", "key")),
             "You write the values to cache[\"key\"], over the keys. They belong to cache[\"value\"]."),
            (lambda query, key, value, cache: _step()(query, key, key, cache),
             "You put the key into both lists. What is mixed at the end is the values."),
            (lambda query, key, value, cache: _step()(query, query, value, cache),
             "You keep the query in place of the key. A query is used once, by its own token; the keys are what later "
             "tokens need."),
            (_step(weigh=lambda scores: scores.softmax(0)),
             "Your softmax runs over axis 0, which has one row: all weights are 1, and the values are added up. It "
             "runs over the keys, the last axis."),
            (_step(weigh=lambda scores: scores),
             "The softmax is missing: you mix the values with the scores themselves."),
            (_step(finish=lambda weights, values, cache: weights),
             "You return the weights. The output is weights @ values."),
            (_step(finish=lambda weights, values, cache: (weights @ values, cache)),
             "You return the cache, too. It is the caller's own dict and has grown already: the output alone is "
             "enough."),
            (_step(finish=lambda weights, values, cache: (weights @ values)[0]),
             "Your numbers are right, but the axis of the token is gone: the output is (1, d_k), not (d_k,)."),
        ),
    ),
)


# --- 09.7 -------------------------------------------------------------------------------------------------------------

def embed_step(token_ids, cached, word_table, position_table):
    """What enters the first block when `cached` tokens of each text are in the cache already: word plus position.

    token_ids: (B, T_new), the new tokens alone; cached: a whole number, 0 at the start; word_table: (V, C);
    position_table: (T_max, C), its row p for place p. A text's first token has place 0. Returns (B, T_new, C).
    """
    places = torch.arange(cached, cached + token_ids.shape[1])      # (T_new,): they go on where the cache ends
    return word_table[token_ids] + position_table[places]           # (B, T_new, C) + (T_new, C)


def _new_tokens(B, T_new, cached, V, C, T_max):
    return lambda: (torch.randint(V, (B, T_new)), cached, torch.randn(V, C), torch.randn(T_max, C))


def _running_places(cached, B, T):
    return cached + torch.arange(T)


def _rows_added(words, rows):
    return words + rows


def _embedding(places=_running_places, join=_rows_added):
    """An answer with one part exchanged.

    places: cached, B, T_new -> (T_new,), (1,) or (B, 1); join: words, rows -> result.
    """
    def answer(token_ids, cached, word_table, position_table):
        return join(word_table[token_ids], position_table[places(cached, *token_ids.shape)])
    return answer


def _with_the_words_own_table(token_ids, cached, word_table, position_table):
    return word_table[token_ids] + word_table[_running_places(cached, *token_ids.shape)]


EMBED_STEP = Exercise(
    id="09.7",
    title="Where the new tokens stand",
    about=("kv-cache", "learned-positions"),
    reference=embed_step,
    returns="(B, T_new, C)",
    hints=(
        "Ten tokens are in the cache: they have the places 0 to 9. Which place has the next one?",
        "torch.arange(start, stop) counts from start to stop - 1. Start at cached.",
        "position_table[cached:cached + T_new] is (T_new, C) and broadcasts over the batch.",
    ),
    cases=(
        Case("three new tokens after four", _new_tokens(2, 3, 4, 11, 5, 13), "Their places are 4, 5 and 6."),
        Case("one new token after six, as in writing", _new_tokens(3, 1, 6, 12, 4, 22), "Its place is 6: the places 0 "
                                                                                        "to 5 are taken."),
        Case("the cache is empty", _new_tokens(2, 5, 0, 9, 4, 10), "The places are 0, 1, 2, 3 and 4."),
        Case("as many texts as new tokens", _new_tokens(4, 4, 3, 15, 6, 17), "Places run along the tokens, not along "
                                                                             "the batch."),
        Case("one token in the cache", _new_tokens(3, 2, 1, 8, 7, 9)),
        Case("one text, one token, far on", _new_tokens(1, 1, 17, 21, 3, 22)),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _embedding,
            ({"places": lambda cached, B, T: torch.arange(T)},
             "Your places begin at 0 again. The new tokens stand behind those in the cache: the first has place "
             "cached. This is the usual mistake with a cache, and it gives no error, only worse text."),
            ({"places": lambda cached, B, T: cached + 1 + torch.arange(T)},
             "Your places are one too high. Tokens in the cache have the places 0 to cached - 1, so the next place is "
             "cached."),
            ({"places": lambda cached, B, T: torch.arange(cached - 1, cached - 1 + T).clamp(min=0)},
             "Your places are one too low: cached - 1 belongs to the last token in the cache."),
            ({"places": lambda cached, B, T: torch.tensor([cached])},
             "Your new tokens all get the place `cached`. Each has its own: the places go on counting."),
            ({"places": lambda cached, B, T: torch.tensor([cached + T - 1])},
             "Your new tokens all get the place of the last one. Each has its own: cached, cached + 1, and so on."),
            ({"join": torch.mul}, "You multiply words and positions. They are added."),
            ({"join": lambda words, rows: words.shape[-1] ** 0.5 * words + rows},
             "You multiply the words by the root of C, as the first Transformer did. GPT does not."),
        ),
        *alone(
            (_embedding(lambda cached, B, T: _running_places(cached if T == 1 else 0, B, T)),
             "Your places are right for one new token. Several at a time begin at 0 again: they, too, go on at "
             "cached."),
            (_embedding(lambda cached, B, T: torch.arange(cached - 1, cached - 1 + T)),
             "Your places are one too low: cached - 1 belongs to the last token in the cache. With an empty cache it "
             "is -1, and Python takes the last row of the table without a word."),
            (_embedding(lambda cached, B, T: cached + torch.arange(B)[:, None]),
             "Your places run along the batch: each text gets a place of its own. They run along the tokens of a "
             "text."),
            (_embedding(lambda cached, B, T: cached + torch.arange(B)[:, None] + torch.arange(T)),
             "Your places grow with the number of the text in the batch, too, as in cached + b + j. All texts have the "
             "same places: cached + j."),
            (_embedding(lambda cached, B, T: torch.arange(cached, max(cached, T))),
             "Your slice ends at T_new. A slice names the place where it ends, not how many rows it takes: "
             "position_table[cached:cached + T_new]."),
            (_embedding(lambda cached, B, T: cached * B + torch.arange(T)),
             "Your places count the tokens of all texts in the batch. Each text has its own places, from 0 on."),
            (_embedding(lambda cached, B, T: cached + torch.arange(T).flip(0)),
             "Your places run backwards: the first of the new tokens has place cached, the last has the highest."),
            (_embedding(join=lambda words, rows: words),
             "The positions are missing. Attention alone does not know the order of the tokens."),
            (_embedding(join=lambda words, rows: rows.expand_as(words)),
             "You return the positions alone. Each new token is its word's row plus its place's row."),
            (_embedding(join=lambda words, rows: words - rows), "You subtract the positions. They are added."),
            (_embedding(join=lambda words, rows: torch.cat([words, rows.expand_as(words)], -1)),
             "You put the positions beside the words: 2 C numbers. They are added, and C numbers stay."),
            (_embedding(join=lambda words, rows: (words + rows)[:, -1:]),
             "You return the last of the new tokens alone. All of them go through the blocks: each leaves its key and "
             "value in the cache."),
            (_embedding(join=lambda words, rows: (words + rows).transpose(0, 1)),
             "Your numbers are right, but tokens stand before texts: (T_new, B, C)."),
            (_with_the_words_own_table,
             "You look the places up in word_table. They have a table of their own, position_table."),
            (lambda token_ids, cached, word_table, position_table:
                 word_table[token_ids] + position_table[token_ids],
             "You look the token ids up in both tables. A position depends on where a token stands, not on which it "
             "is."),
        ),
    ),
)


# --- 09.8 -------------------------------------------------------------------------------------------------------------

def gpt1_inputs(task, texts, start, delimiter, extract):
    """Write the texts of a task as the sequences that GPT-1 reads (Radford et al. 2018, figure 1).

    texts: a list of texts, each a list of ids; start, delimiter, extract: one id each. `task` says what is in texts:
    "classification": [text] -> one sequence, start text extract
    "entailment": [premise, hypothesis] -> one, start premise delimiter hypothesis extract
    "similarity": [a, b] -> two, start a delimiter b extract, then start b delimiter a extract
    "choice": [context, answer_1, answer_2, …] -> one for each answer, start context delimiter answer extract
    Returns a list of sequences, each a list of ids, also where it is one. texts stays as it is.
    Raises ValueError for another task.
    """
    if task in ("classification", "entailment"):
        orders = [texts]
    elif task == "similarity":
        orders = [texts, texts[::-1]]
    elif task == "choice":
        orders = [[texts[0], answer] for answer in texts[1:]]
    else:
        raise ValueError(f"task is 'classification', 'entailment', 'similarity' or 'choice', not {task!r}")
    sequences = []
    for first, *others in orders:
        ids = [start, *first]
        for text in others:
            ids = [*ids, delimiter, *text]
        sequences.append([*ids, extract])
    return sequences


TASKS = ("classification", "entailment", "similarity", "choice")


def _task(task, texts, *special):
    return lambda: (task, [list(text) for text in texts], *special)


def _no_task(task, *others):
    return task not in TASKS


def _sequences_or_refusal(answer, task, texts, start, delimiter, extract):
    """The answer's sequences, or what it does where the task is none of the four."""
    inputs = (task, texts, start, delimiter, extract)
    try:
        return value_or_refusal(answer, inputs, _no_task(*inputs))
    except UnboundLocalError as error:   # if and elif without else, and a return after them
        if not _no_task(*inputs):
            raise
        raise RuleBroken(f"Expected a ValueError for the task {task!r}, got a name that only the branches of the four "
                         "tasks give a value. Add a last branch, else: raise ValueError(…).") from error


def _framed_by_both(start, body, delimiter, extract):
    return [start, *body, extract]


def _delimited(one, other, delimiter, extract):
    return [*one, delimiter, *other]


def _orders(classification=lambda texts: [texts], entailment=lambda texts: [texts],
            similarity=lambda texts: [texts, texts[::-1]],
            choice=lambda texts: [[texts[0], answer] for answer in texts[1:]]):
    """A function from a task and its texts to a list with the texts of each sequence, with one task exchanged."""
    of_task = dict(zip(TASKS, (classification, entailment, similarity, choice), strict=True))
    return lambda task, texts: of_task[task](texts)


def _arranging(frame=_framed_by_both, join=_delimited, orders=None, refuses=True, finish=lambda sequences: sequences):
    """An answer with one part exchanged.

    frame: start, body, delimiter, extract -> sequence; join: two texts, delimiter, extract -> body; orders: see
    _orders; refuses: whether another task is refused, or else read as a choice; finish: sequences -> result.
    """
    def unchecked(task, texts, start, delimiter, extract):
        sequences = []
        for first, *others in (orders or _orders())(task if task in TASKS else "choice", texts):
            body = list(first)
            for text in others:
                body = join(body, text, delimiter, extract)
            sequences.append(frame(start, body, delimiter, extract))
        return finish(sequences)

    return refusing(unchecked, _no_task) if refuses else unchecked


def _start_before_each_text(task, texts, start, delimiter, extract):
    return _arranging(join=lambda one, other, mark, _: [*one, mark, start, *other])(
        task, texts, start, delimiter, extract)


def _with_the_first_one_backwards(task, texts, *special):
    sequences = _arranging()(task, texts, *special)
    return [sequences[0], sequences[0][::-1]] if task == "similarity" else sequences


def _as_lists(task, texts):
    """The texts of each sequence, each as one thing in place of its ids."""
    return [[[text] for text in order] for order in _orders()(task, texts)]


def _with_key_error(task, texts, *special):
    return {name: gpt1_inputs(name, texts, *special) for name in TASKS}[task]


GPT1_INPUTS = Exercise(
    id="09.8",
    title="GPT-1's inputs for four tasks",
    about=("gpt1",),
    reference=gpt1_inputs,
    returns="sequences (n,)",
    run=_sequences_or_refusal,
    hints=(
        "First decide which texts each sequence holds, and in which order: [a] or [a, b]. Then all sequences are "
        "written in the same way.",
        "A sequence begins with start and ends with extract; a delimiter stands between two texts. "
        "[start, *a, delimiter, *b, extract] makes a new list.",
        "\"similarity\" has no natural order, so both are read. \"choice\" has one sequence for each answer, "
        "texts[1:], and each begins with the context, texts[0].",
        "The last branch, else: raise ValueError(…).",
    ),
    cases=(
        Case("classification of [5, 6, 7]", _task("classification", [[5, 6, 7]], 90, 70, 80),
             "One sequence, and still a list of sequences: [[…]]."),
        Case("entailment, [14, 15] and [24]", _task("entailment", [[14, 15], [24]], 0, 1, 2),
             "The premise comes first. One order is enough: the two texts have different parts to play."),
        Case("similarity of [31, 32, 33] and [41, 42]", _task("similarity", [[31, 32, 33], [41, 42]], 50, 60, 55),
             "Neither text comes first by nature, so the model reads both orders."),
        Case("the context [4, 5] and a choice of [6], [7, 8, 9] and [10, 11]",
             _task("choice", [[4, 5], [6], [7, 8, 9], [10, 11]], 92, 73, 84),
             "One sequence for each answer. They need not have the same length."),
        Case("the context [17, 18, 19] and one answer, [20]", _task("choice", [[17, 18, 19], [20]], 2, 0, 1)),
        Case("similarity of [3, 4] and the same text again", _task("similarity", [[3, 4], [3, 4]], 95, 75, 85),
             "Two sequences all the same: what is added up is always two."),
        Case("a task that GPT-1 does not know", _task("translation", [[5], [6]], 91, 71, 81)),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _arranging,
            ({"join": lambda one, other, delimiter, extract: [*one, *other]},
             "The delimiter is missing: the model cannot see where the first text ends."),
            ({"join": lambda one, other, delimiter, extract: [*one, extract, *other]},
             "You put extract between the texts. There stands the delimiter; extract comes once, at the end."),
            ({"frame": lambda start, body, delimiter, extract: [start, *body]},
             "Your sequences have no extract at the end. The linear layer of the task reads the state of this token."),
            ({"frame": lambda start, body, delimiter, extract: [*body, extract]},
             "Your sequences have no start token."),
            ({"frame": lambda start, body, delimiter, extract: [start, extract, *body]},
             "Your extract stands in front. A decoder looks back only: there it would have read nothing of the text. "
             "It belongs to the end."),
            ({"frame": lambda start, body, delimiter, extract: [start, *body, delimiter, extract]},
             "You write a delimiter in front of extract, too. It stands between two texts only."),
            ({"orders": _orders(similarity=lambda texts: [texts])},
             "Your similarity has one order only. It has no first text by nature: both orders are read, and the two "
             "states are added up."),
            ({"orders": _orders(choice=lambda texts: [texts])},
             "You put all answers of a choice into one sequence. Each answer gets a sequence of its own, with the "
             "context in front, and the scores are compared."),
        ),
        *alone(
            (_arranging(lambda start, body, delimiter, extract: [extract, *body, start]),
             "Your start and extract changed places."),
            (_arranging(lambda start, body, delimiter, extract: [extract, *body]),
             "You begin with extract and have neither start nor an end, as with BERT's [CLS]. A decoder looks back "
             "only, so the token that is read out stands last."),
            (_arranging(lambda start, body, delimiter, extract: [start, *body, delimiter]),
             "Your sequences end with the delimiter, as BERT's end with [SEP]. GPT-1's end with extract."),
            (_arranging(lambda start, body, delimiter, extract: body), "Your start and extract are both missing."),
            (_start_before_each_text, "You write start again after the delimiter. A sequence has one start, in front."),
            (_arranging(join=lambda one, other, delimiter, extract: [*one, extract, delimiter, *other]),
             "You write extract after each text. It comes once, at the end, where the whole sequence has been read."),
            (_arranging(orders=_orders(similarity=lambda texts: [texts[::-1]])),
             "Your similarity has only the order b, a. Give both: first a, b, then b, a."),
            (_arranging(orders=_orders(similarity=lambda texts: [texts[::-1], texts])),
             "Your similarity has both sequences in the other order. First comes a, b, then b, a."),
            (_arranging(orders=_orders(similarity=lambda texts: [[*texts, *texts[::-1]]])),
             "Your similarity has both orders in one sequence. They are two sequences, and the model reads each "
             "alone."),
            (_arranging(orders=_orders(similarity=lambda texts: [texts, texts])),
             "Your similarity has the same order twice. In the second sequence b comes first."),
            (_arranging(orders=_orders(similarity=lambda texts: [texts, [text[::-1] for text in texts[::-1]]])),
             "Your second sequence of similarity has the tokens turned round, so its texts are read backwards. The "
             "texts change places, and each stays as it is: b, delimiter, a."),
            (_arranging(orders=_orders(similarity=lambda texts: [texts, [text[::-1] for text in texts]])),
             "Your second sequence of similarity has each text turned round in its own place. The texts change places, "
             "and each stays as it is: b, delimiter, a."),
            (_with_the_first_one_backwards,
             "Your second sequence of similarity is the first one backwards, start and extract among it. The texts "
             "change places, and each stays as it is: start, b, delimiter, a, extract."),
            (_arranging(orders=_orders(similarity=lambda texts: [[text] for text in texts])),
             "Your similarity has a sequence for each text. The model compares them inside one: a, delimiter, b."),
            (_arranging(orders=_orders(entailment=lambda texts: [texts[::-1]])),
             "Your entailment has the hypothesis in front. The premise comes first."),
            (_arranging(orders=_orders(entailment=lambda texts: [texts, texts[::-1]])),
             "Your entailment has both orders. \"A dog sleeps\" follows from \"a brown dog sleeps\", and not the other "
             "way round: one sequence, the premise first. Both orders belong to similarity."),
            (_arranging(orders=_orders(choice=lambda texts: [[answer] for answer in texts[1:]])),
             "Your choice has no context. Each of its sequences begins with it."),
            (_arranging(orders=_orders(choice=lambda texts: [[answer, texts[0]] for answer in texts[1:]])),
             "Your choice has the answer in front of the context. The context comes first."),
            (_arranging(orders=_orders(choice=lambda texts: [[texts[0], answer] for answer in texts])),
             "Your choice takes the context for an answer, too. The answers are texts[1:]."),
            (_arranging(orders=_orders(choice=lambda texts: [[texts[0], answer] for answer in texts[:-1]])),
             "Your choice counts the answers from 0. There stands the context, and the last answer gets lost: the "
             "answers are texts[1:]."),
            (_arranging(orders=_orders(choice=lambda texts: [texts[:2]])),
             "Your choice has a sequence for the first answer only. Each answer gets one."),
            (_arranging(finish=lambda sequences: sequences[0] if len(sequences) == 1 else sequences),
             "Your numbers are right, but one sequence also comes in a list: [sequence]. Then a caller can treat all "
             "tasks alike."),
            (_arranging(orders=_as_lists),
             "Your texts stand in the sequences as lists: [start, [5, 6, 7], extract]. A star puts their ids there: "
             "[start, *text, extract]."),
            (_arranging(finish=lambda sequences: [id_ for sequence in sequences for id_ in sequence]),
             "You join all sequences into one list of ids (+= adds the ids, append adds the sequence). Give a list of "
             "sequences."),
            (_arranging(refuses=False), "You treat another task as one of the four. Refuse it: raise ValueError(…)."),
            (lambda *inputs: [] if _no_task(*inputs) else gpt1_inputs(*inputs),
             "You return an empty list for another task, so the mistake shows only later, somewhere else. Write raise "
             "ValueError(…): it stops the caller here."),
        ),
        *weak_refusals(gpt1_inputs, _no_task, "another task"),
        *alone(
            (_with_key_error,
             "Your dict of tasks raises KeyError for another task. Raise ValueError(…), with the four names in it."),
        ),
    ),
)


# --- 09.9 -------------------------------------------------------------------------------------------------------------

def few_shot_prompt(instruction, examples, question):
    """Write the text that a language model is to go on from. instruction, question: texts; examples: a list of
    (input, output), both texts; it may be empty (zero-shot). Returns one text with these lines:

        the instruction
        an empty line
        Input: …         these three lines for each example:
        Output: …        its input, its output
                         and an empty line
        Input: …         the question
        Output:          no space and no new line after this colon
    """
    shots = [f"Input: {given}\nOutput: {wanted}" for given, wanted in examples]
    return "\n\n".join([instruction, *shots, f"Input: {question}\nOutput:"])


LINES = 40   # of a prompt that are compared
END = "(the end of the text)"


def _lines_of(answer, instruction, examples, question):
    """The lines of the prompt; a mark stands for each line after its end.

    Raises RuleBroken for anything but a text, and where signs in the inputs were read as commands.
    """
    try:
        text = answer(instruction, examples, question)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        if "{}" not in question:
            raise
        raise RuleBroken("Expected the texts as they are, got an error: .format and % read the signs { } and % in a "
                         "text as commands. Put the texts in by f\"…\" or +, after all else is done.") from error
    if isinstance(text, np.ndarray) and text.ndim == 0:
        text = text.item()
    if text is None:
        return None
    if isinstance(text, bytes):
        raise RuleBroken("Expected one text, got bytes: a str is wanted, without .encode().")
    if not isinstance(text, str):
        got = "several things" if isinstance(text, list | tuple) else short(text)
        raise RuleBroken(f"Expected one text, got {got}.")
    return [*text.split("\n"), *[END] * LINES][:LINES]


def _prompt_of(*prompt):
    """The inputs of a case, the list of examples made anew."""
    instruction, examples, question = prompt
    return lambda: (instruction, list(examples), question)


def _shot(given, wanted):
    return f"Input: {given}\nOutput: {wanted}"


def _asked(question):
    return f"Input: {question}\nOutput:"


def _in_order(instruction, shots, question):
    return [instruction, *shots, question]


def _writing(
    shot=_shot, asked=_asked, order=_in_order, chosen=lambda examples: examples, after_instruction="\n\n",
    between="\n\n", end="",
):
    """A prompt with one part exchanged.

    shot: input, output -> text; asked: question -> text; order: the three parts -> list of texts; chosen: examples ->
    those that are used; after_instruction, between: what stands between the texts; end: what stands behind the last.
    """
    def answer(instruction, examples, question):
        shots = [shot(given, wanted) for given, wanted in chosen(list(examples))]
        first, *others = order(instruction, shots, asked(question))
        return first + after_instruction + between.join(others) + end
    return answer


def _labelled(one, other):
    """Settings of _writing with other words in front of inputs and outputs."""
    return {"shot": lambda given, wanted: f"{one} {given}\n{other} {wanted}",
            "asked": lambda question: f"{one} {question}\n{other}"}


def _with_the_last_output(instruction, examples, question):
    return _writing()(instruction, examples, question) + (f" {examples[-1][1]}" if examples else "")


def _three_blocks(instruction, examples, question):
    return "\n\n".join([instruction, "\n\n".join(_shot(*example) for example in examples), _asked(question)])


def _two_lines_without_examples(instruction, examples, question):
    return _writing()(instruction, examples, question) if examples else f"{instruction}\n{question}"


FEW_SHOT_PROMPT = Exercise(
    id="09.9",
    title="The few-shot prompt",
    about=("gpt3",),
    reference=few_shot_prompt,
    returns=tuple(f"line {number}" for number in range(1, LINES + 1)),
    run=_lines_of,
    hints=(
        "Write the prompt for one example on paper, line by line. Which lines are empty? How does the last one end?",
        "f\"Input: {given}\\nOutput: {wanted}\" is one example. The question is written in the same way, with nothing "
        "after its \"Output:\".",
        "All parts, the instruction and the question among them, have one empty line between them: \"\\n\\n\".join(a "
        "list of parts). It works for no examples, too.",
    ),
    cases=(
        Case("two examples", _prompt_of("Write the opposite.", [("hot", "cold"), ("up", "down")], "big"),
             "Print your text with print(repr(…)) to see its spaces and new lines."),
        Case("no examples: the zero-shot prompt", _prompt_of("Write the opposite.", [], "late"),
             "Four lines: the instruction, an empty line, the question and \"Output:\"."),
        Case("one example", _prompt_of("Name the colour.", [("grass", "green")], "snow")),
        Case("three examples, Korean among them",
             _prompt_of("Translate to Korean.", [("water", "물"), ("tree", "나무"), ("a book", "책 한 권")], "house")),
        Case("texts with braces and percent signs",
             _prompt_of("What does Python print?", [("len({1, 2})", "2"), ("'%d' % 3", "3")], "{}"),
             "The texts are data: they stand in the prompt as they are."),
        Case("the same input three times",
             _prompt_of("Where is the word used?", [("bank", "money"), ("bank", "river")], "bank"),
             "An input is no key: it may come again, with another output."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _writing,
            ({"between": "\n"}, "The empty line after an example is missing. It tells the model where one example ends "
                                "and the next one begins."),
            ({"after_instruction": "\n"}, "The empty line after the instruction is missing."),
            ({"end": " "},
             "Your text ends with a space. GPT's tokens bring their space with them: \" down\" is one token. After a "
             "space that is already there the model must go on with \"down\", a pair of tokens that it has hardly "
             "seen. End with the colon."),
            ({"end": "\n"}, "Your text ends with a new line, so the answer would begin on a line of its own, other "
                            "than in the examples. End with the colon."),
            ({"chosen": lambda examples: examples[::-1]}, "Your examples come in the reverse order."),
            ({"order": lambda instruction, shots, question: [instruction, question, *shots]},
             "Your examples stand after the question. The model writes on at the end, so the question comes last."),
        ),
        *alone(
            (_writing(end=" \n\n"),
             "You write the question as an example with an empty output, so a space and an empty line stand at the "
             "end. End with the colon."),
            (_writing(end="\n\n"),
             "Your text ends with an empty line, as after an example. The question's output is still to be written: "
             "end with the colon."),
            (_writing(asked=lambda question: f"Input: {question}"),
             "Your text ends with the question. The last line, \"Output:\", asks the model for the answer."),
            (_with_the_last_output,
             "You write an output after the last \"Output:\". There the model goes on: leave it open."),
            (_writing(asked=lambda question: f"Input: {question}\nOutput: {question}"),
             "You write the question again after the last \"Output:\". There the model goes on: leave it open."),
            (_writing(shot=lambda given, wanted: f"Input: {given}\nOutput:"),
             "Your examples have no outputs. What the model is to do, it can see only from both."),
            (_writing(shot=lambda given, wanted: _shot(wanted, given)),
             "Your inputs and outputs changed places. An example is (input, output)."),
            (_writing(shot=lambda given, wanted: f"Input: {given} Output: {wanted}"),
             "Your examples have input and output on one line. The output has a line of its own."),
            (_writing(shot=lambda given, wanted: f"Input: {given} Output: {wanted}",
                      asked=lambda question: f"Input: {question} Output:"),
             "You write input and output on one line, in the examples and at the end. The output has a line of its "
             "own."),
            (_writing(shot=lambda given, wanted: f"Input:{given}\nOutput:{wanted}",
                      asked=lambda question: f"Input:{question}\nOutput:"),
             "The space after the colons is missing: \"Input: hot\". Only the last colon has none: nothing follows "
             "it."),
            (_writing(chosen=lambda examples: examples[:1]),
             "You use the first example only. That is the one-shot prompt; here all of them are shown."),
            (_writing(chosen=lambda examples: examples[-1:]),
             "You use the last example only. Does your loop write over what it wrote before? All of them are shown."),
            (_writing(chosen=lambda examples: []), "Your examples are missing: you always write the zero-shot prompt."),
            (_writing(chosen=lambda examples: list(dict(examples).items())),
             "You put the examples into a dict. It keeps one output for each input, and here an input comes twice."),
            (lambda instruction, examples, question: _writing()(instruction, examples, question).split("\n\n", 1)[1],
             "The instruction is missing. It is the first line."),
            (_writing(order=lambda instruction, shots, question: [*shots, instruction, question]),
             "Your instruction stands between the examples and the question. It is the first line."),
            (_writing(order=lambda instruction, shots, question: [f"{instruction}\n\n{part}" for part in
                                                                  (*shots, question)]),
             "You write the instruction again for each example. It stands in the prompt once, on the first line."),
            (_writing(**_labelled("Q:", "A:")),
             "You write Q: and A:. Models can read that, too; here the words are Input: and Output:."),
            (_writing(**_labelled("input:", "output:")),
             "You write input: and output: in small letters. They begin with a capital, Input: and Output:."),
            (_three_blocks,
             "Your prompt is right where there are examples. Without any, an empty text is joined in, too, and there "
             "are two empty lines more."),
            (_two_lines_without_examples,
             "Your prompt is right where there are examples. Without any, the rest stays: an empty line, \"Input: …\" "
             "and \"Output:\"."),
            (lambda *inputs: "\n" + few_shot_prompt(*inputs),
             "Your text begins with a new line. (After three quotation marks a backslash \\ keeps it away.)"),
            (lambda *inputs: few_shot_prompt(*inputs).replace("\n", "\n    "),
             "Your lines are indented: spaces inside three quotation marks belong to the text."),
            (lambda *inputs: few_shot_prompt(*inputs).split("\n"),
             "You return a list. A model reads one text: \"\\n\".join(lines) makes one of the lines."),
        ),
    ),
)


EXERCISES = [
    MERGE_BYTES, SHIFTED_LOSS, SHARPEN, KEEP_TOP_K, KEEP_TOP_P, CACHED_STEP, EMBED_STEP, GPT1_INPUTS, FEW_SHOT_PROMPT,
]

# --- quizzes --------------------------------------------------------------------------------------------------------

QUIZZES = {
    "09-opening": [
        Question(
            "Four tokens, a causal mask, and all scores of a head are equal. Which weight does the third token give "
            "to the first?",
            (
                Choice("0", "That is the mask turned round: the third would see only what comes after it."),
                Choice("1/4", "That is without a mask. The fourth token is hidden from the third."),
                Choice("1/3",
                       "It sees the first, the second and itself, and shares its weight among them.", correct=True),
                Choice("1/2", "That leaves out the token itself. The diagonal is allowed."),
            ),
            about=("attention-masks",),
        ),
        Question(
            "In a pre-norm stack of 12 encoder blocks each sublayer adds a term of variance 1, independent of all "
            "others. By how much has the variance of the sum grown at the end?",
            (
                Choice("By 24", "A block has two sublayers, and variances of independent terms add up.", correct=True),
                Choice("By 12", "That is one term a block. Attention and feed-forward network each add one."),
                Choice("Not at all", "That is post-norm. In pre-norm no norm acts on the sum itself."),
                Choice("By 144", "Variances of independent terms are added up, not multiplied."),
            ),
            about=("pre-and-post-norm", "residual-stream"),
        ),
        Question(
            "A decoder under a causal mask, dropout off, has read 100 tokens. Token 101 is added, and all is computed "
            "anew. Which keys of the first 100 tokens are other ones now?",
            (
                Choice("All of them, since each token can attend to one more",
                       "The mask hides token 101 from the first 100."),
                Choice("Those of all blocks but the first",
                       "So it would be in an encoder: from the second block on, a vector holds what it has looked at."),
                Choice("Those of the last block only",
                       "It reads what the blocks before it gave, and this has not changed."),
                Choice("None of their keys, in none of the blocks",
                       "No vector of the first 100 ever holds anything of token 101. Keys can be kept.", correct=True),
            ),
            about=("no-peeking",),
        ),
        Question(
            "Chapter 08's tokenizer made [UNK] of 한국어. Which change would have prevented it?",
            (
                Choice("More merges on the same docstrings", "Merges join what is in the text. Korean is not in it."),
                Choice("All units of Korean in the vocabulary from the start",
                       "Then a word never seen has pieces, however small. This chapter goes one step "
                       "further.", correct=True),
                Choice("Merges by the likelihood score in place of the counts",
                       "Both choose among pairs that occur. No Korean pair does."),
                Choice("A smaller vocabulary: the letters of the docstrings",
                       "Letters are the right idea, but no Korean one occurs there."),
            ),
            about=("wordpiece",),
        ),
        Question(
            "BERT fills \"He lives in [MASK] [MASK].\" in one pass, the likeliest word at each place. What can go "
            "wrong?",
            (
                Choice("It may give New Francisco",
                       "Each place is filled without knowing what was chosen for the other one.", correct=True),
                Choice("It fills the first place and leaves the second",
                       "Each place gets its scores in the same pass, however many are hidden."),
                Choice("It must give the same word twice",
                       "The two [MASK] have different positions, so different vectors."),
                Choice("It gives the words of the right answer, turned round",
                       "Positions tell the two places apart, and it has learned word order."),
            ),
            about=("masked-language-model",),
        ),
        Question(
            "A small language model writes 200 tokens, and each time it takes the likeliest one. What will the text "
            "look like? (A guess is fine.)",
            (
                Choice("As good as this model can write: each token is its best",
                       "The best single token each time need not give the best text. Try it in this chapter."),
                Choice("Another one each time that it is run",
                       "Nothing is drawn at random here: the same beginning gives the same text."),
                Choice("It soon says the same phrase again and again",
                       "A phrase that has just been said becomes likelier, so it is said again.", correct=True),
                Choice("Less and less sure of itself, until it is noise",
                       "The other way round: text that repeats itself makes the model surer."),
            ),
            about=("decoding-strategies", "greedy-and-beam"),
        ),
    ],
    "09-closing": [
        Question(
            "A causal model has read five tokens and gives five rows of scores. Which rows meet which tokens in its "
            "loss?",
            (
                Choice("Rows 1 to 5 meet tokens 1 to 5", "Each row has read its own token, so this teaches copying."),
                Choice("Rows 2 to 5 meet tokens 1 to 4", "That is the wrong way round: these rows have read them."),
                Choice("Rows 1 to 5 meet tokens 2 to 5 and 1",
                       "The last row has no partner here. The first token is not what comes next."),
                Choice("Rows 1 to 4 meet tokens 2 to 5", "The row at a token is for the token after it.", correct=True),
            ),
            about=("causal-language-model",),
        ),
        Question(
            "GPT-1 is to say how similar two texts A and B are. What does it read?",
            (
                Choice("A, delimiter, B; the answer comes from the last state",
                       "The task does not order the two. Here only B is read with the other one in view."),
                Choice("A, delimiter, B; and B, delimiter, A; the two last states are added",
                       "Under a causal mask only the second text sees the first. So both orders are "
                       "read.", correct=True),
                Choice("A alone; and B alone; the two last states are compared by cosine",
                       "Then no word of A is ever read beside a word of B. GPT-1 joins the texts."),
                Choice("A, delimiter, B, delimiter, A, in one go; the state of the last token",
                       "GPT-1 reads the two orders apart. A text read twice also fills the context."),
            ),
            about=("gpt1",),
        ),
        Question(
            "In fine-tuning GPT-1 minimises the task's loss plus a factor times a second loss. Which one?",
            (
                Choice("The next-token loss on the texts of the task",
                       "The same texts give both. In the paper it helped on larger tasks; here it made no difference.",
                       correct=True),
                Choice("The next-token loss on the books of the pre-training",
                       "The books are not read any more. The task's own texts serve for both losses."),
                Choice("The distance of the weights from the pre-trained ones",
                       "That would hold the weights back. The paper asks for something to be predicted."),
                Choice("The losses of the other tasks", "Each task has a fine-tuned model of its own."),
            ),
            about=("gpt1",),
        ),
        Question(
            "GPT-2 has N blocks, and its start uses the factor 1/√(2N). What is made smaller by it?",
            (
                Choice("The last matrix of each sublayer, the more the higher the block",
                       "Often said. N is the number of all blocks, not the place of this one."),
                Choice("All matrices in all blocks, by the same factor",
                       "Queries, keys and values do not add to the sum. Only what ends a sublayer does."),
                Choice("The last matrix of each sublayer, by the same factor in all blocks",
                       "2N such terms are added up. So much smaller, together they have the variance of "
                       "one.", correct=True),
                Choice("The sums that run from block to block, each time that one is passed on",
                       "Nothing is scaled while it runs. Only the weights at the start are smaller."),
            ),
            about=("gpt2",),
        ),
        Question(
            "Which texts are in WebText, GPT-2's training data?",
            (
                Choice("Reddit posts that got 3 karma or more", "Not the posts. The pages that they link to."),
                Choice("Pages to which three or more Reddit posts link",
                       "One post is enough. The 3 counts the karma that it got."),
                Choice("Pages that three readers or more had been paid to check",
                       "Nobody was paid. That a link was found good stands in for such a check."),
                Choice("Pages to which a Reddit post with 3 karma or more links",
                       "Somebody found the link worth it: a cheap filter for quality.", correct=True),
            ),
            about=("gpt2",),
        ),
        Question(
            "A prompt holds ten solved examples and an eleventh one without its answer. The model solves it, though "
            "it failed without the examples. What have the ten changed?",
            (
                Choice("All weights, by a small step for each example",
                       "That is fine-tuning. Here no gradient is computed."),
                Choice("The last layer's weights, until the prompt ends", "No weight changes, not even for a while."),
                Choice("The states that the next token can look at",
                       "The examples are context and no more. Their keys and values are there; the weights "
                       "stay.", correct=True),
                Choice("The vectors of their words in the word table",
                       "The table is part of the weights. It stays as it was trained."),
            ),
            about=("gpt3",),
        ),
        Question(
            "GPT-3 has 96 blocks of width 12,288, and 12 · 96 · 12,288² gives 174 of its 175 billion weights. What "
            "does the 12 count?",
            (
                Choice("The matrices for query, key and value, four of each",
                       "One of each is enough: the heads share it out. W_O and two more are missing."),
                Choice("4 matrices of attention; 8 in size for the feed-forward part",
                       "W_Q, W_K, W_V, W_O, then W_1 and W_2, each four times as large.", correct=True),
                Choice("The heads of one block, each with a matrix of its own size",
                       "GPT-3 has 96 heads in a block, and heads cost no extra weights."),
                Choice("8 matrices of attention; 4 in size for the feed-forward part",
                       "Turned round: two thirds of a block's weights are in its feed-forward network."),
            ),
            about=("gpt3",),
        ),
        Question(
            "Loss against the number of weights, both on log axes, lies near a line. The same sizes are trained on "
            "three times as many tokens: another line, with another slope. What follows?",
            (
                Choice("One of the two series was measured wrongly",
                       "A slope is no constant of nature. It was measured under certain conditions."),
                Choice("The slope holds for a budget of training, not for any",
                       "With little training large models stay far from their best. So an exponent needs its "
                       "conditions beside it.", correct=True),
                Choice("On more tokens the large models lose their lead",
                       "They need the tokens: with more of them a large model gains more than a small one."),
                Choice("Where the two lines cross, the loss cannot fall further",
                       "A crossing says where two fits agree. Neither line has a floor there."),
            ),
            about=("scaling",),
        ),
        Question(
            "At temperature 1 a token is 9 times as likely as another. How many times at temperature 0.5?",
            (
                Choice("3", "That multiplies the scores by the temperature. They are divided by it."),
                Choice("9",
                       "That divides the probabilities by 0.5 and normalises: nothing changes. It acts on scores."),
                Choice("18", "That doubles the ratio. The difference of the scores doubles, so the ratio is squared."),
                Choice("81", "The scores' difference, ln 9, is divided by 0.5, and e^(2 ln 9) = 81.", correct=True),
            ),
            about=("decoding-strategies",),
        ),
        Question(
            "Five tokens have the probabilities 0.40, 0.24, 0.16, 0.12 and 0.08. Which ones does top-p draw from for "
            "p = 0.7, and with which probabilities?",
            (
                Choice("Three: 0.50, 0.30, 0.20",
                       "0.64 is not enough, so the third stays, too. Then each is divided by 0.80.", correct=True),
                Choice("Two: 0.625, 0.375", "That drops the token that passes 0.7. What is kept must reach it."),
                Choice("Three: 0.40, 0.24, 0.16",
                       "The right ones, but they sum to 0.80. What is dropped must be shared out."),
                Choice("One: 1.00", "p is no bound for a single token. It is for the sum, the likeliest first."),
            ),
            about=("decoding-strategies",),
        ),
        Question(
            "With a cache the text must be the same as without. A program writes another one. Which slip explains it?",
            (
                Choice("It keeps no queries of the tokens before",
                       "An old query is asked once. No later token needs it."),
                Choice("It keeps the keys of all heads in one tensor", "Where the numbers lie changes none of them."),
                Choice("It puts the one new token at place 0 in each call",
                       "It comes alone, but it stands behind all that the cache holds. Its position must say "
                       "so.", correct=True),
                Choice("It gives the one new token no causal mask at all",
                       "It is the last token: all others are in its past, so it may see everything."),
            ),
            about=("kv-cache",),
        ),
        Question(
            "A cache grows from 500 to 1,000 tokens. What becomes of its size, and of the work that attention has for "
            "one new token?",
            (
                Choice("Size times two, work times two",
                       "One key and one value a token; and one query meets twice as many keys.", correct=True),
                Choice("Size times two, work times four",
                       "Four times is the work for all tokens together. Here one query is asked."),
                Choice("Size times four, work times four",
                       "That would keep a weight for each pair of tokens. Keys and values alone are kept."),
                Choice("Size as before, work times two",
                       "Nothing is thrown away: each token adds a key and a value in each block."),
            ),
            about=("kv-cache",),
        ),
        Question(
            "A byte-level tokenizer has learned its merges from text in plain English letters. It reads 한, three "
            "bytes in UTF-8. What comes out?",
            (
                Choice("One token for the unknown", "There is none: every byte is in the vocabulary from the start."),
                Choice("Three tokens, one for each byte",
                       "No merge joins them, as they never occurred. But each is known, and together they give 한 "
                       "back.", correct=True),
                Choice("One token, as for any character",
                       "Unicode has far more characters than the vocabulary has tokens. The units are bytes."),
                Choice("Nothing: it is left out of the text",
                       "Then the text could not be given back. From bytes it always can."),
            ),
            about=("byte-level-bpe",),
        ),
        Question(
            "BERT-BASE beats GPT-1 on many tasks. Why does this comparison alone not show that seeing both sides is "
            "what helps?",
            (
                Choice("BERT-BASE has more layers and features", "It was given GPT-1's sizes, for this comparison."),
                Choice("GPT-1 was trained on each task from scratch",
                       "It was pre-trained, too. Fine-tuning after that was its idea."),
                Choice("The data, batches and learning rates differ, too",
                       "And BERT learns its separators and segments in pre-training. Its paper needs tests of its own "
                       "for the direction.", correct=True),
                Choice("GPT-1 sees both sides as well, in fine-tuning",
                       "Its causal mask stays. No token ever sees what stands on its right."),
            ),
            about=("gpt1-vs-bert",),
        ),
    ],
}
