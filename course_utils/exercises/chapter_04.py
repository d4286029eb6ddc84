"""Exercises and quizzes of chapter 04, Attention."""

import math

import torch

from course_utils.exercises.combining import alone, alone_and_in_pairs
from course_utils.exercises.engine import Case, Choice, Exercise, Question
from course_utils.exercises.refusing import refusing, value_or_refusal, weak_refusals

# --- 04.1 -----------------------------------------------------------------------------------------------------------

def look_up(query, keys, values):
    """Look a query up in a soft dictionary.

    query: (d,); keys: (S, d); values: (S, d_v); keys[s] and values[s] belong together.
    The score of an entry is the dot product of query and key, without any scale. Softmax makes weights of the scores,
    and the context is the sum of the values, each times its weight. Returns (context (d_v,), weights (S,)).
    """
    weights = torch.softmax(keys @ query, dim=0)      # (S, d) @ (d,) -> (S,)
    return weights @ values, weights                  # (S,) @ (S, d_v) -> (d_v,)


def _dictionary(entries, size, value_size):
    return lambda: (torch.randn(size), torch.randn(entries, size), 2 * torch.randn(entries, value_size))


def _one_key_for_all():
    query, keys, values = _dictionary(4, 7, 3)()
    return query, keys[:1].repeat(4, 1), values


def _weighing(weigh):
    """An answer that makes its weights in its own way and uses them rightly. weigh: query, keys -> (S,)."""
    def answer(query, keys, values):
        weights = weigh(query, keys)
        return weights @ values, weights
    return answer


def _using(context):
    """An answer with the right weights. context: weights, query, keys, values -> what is returned as the context."""
    def answer(query, keys, values):
        weights = torch.softmax(keys @ query, dim=0)
        return context(weights, query, keys, values), weights
    return answer


def _hard(query, keys):
    scores = keys @ query
    return torch.zeros_like(scores).index_fill(0, scores.argmax(), 1.0)


def _without_exp(query, keys):
    scores = keys @ query
    return scores / scores.sum()


def _cosines(query, keys):
    return torch.softmax(torch.cosine_similarity(keys, query, dim=1), dim=0)


def _matched_with_values(query, keys, values):
    weights = torch.softmax(values @ query, dim=0)
    return weights @ values, weights


LOOK_UP = Exercise(
    id="04.1",
    title="A soft look-up",
    about=("attention-as-lookup",),
    reference=look_up,
    returns=("context (d_v)", "weights (S)"),
    hints=(
        "Three steps: one score for each key, softmax over the scores, then the sum of the values, each times its "
        "weight.",
        "keys @ query gives all S dot products at once. Which shape has it, and over which axis does softmax run?",
        "weights @ values multiplies each row of values by its weight and adds the rows.",
    ),
    cases=(
        Case("five entries", _dictionary(5, 3, 2)),
        Case("values as wide as the keys", _dictionary(7, 4, 4)),
        Case("as many entries as features", _dictionary(6, 6, 3)),
        Case("a single entry", _dictionary(1, 5, 4), "There is only one key, so its weight is 1."),
        Case("four equal keys", _one_key_for_all, "All scores are equal, so the context is the mean of the values."),
    ),
    misconceptions=alone(
        (_weighing(_hard),
         "You take the value of the best key alone: that is a hard look-up. A soft one gives every entry a weight and "
         "adds them all up; only then can a gradient tell the keys how to change."),
        (_weighing(lambda query, keys: torch.softmax(keys @ query / keys.shape[1] ** 0.5, dim=0)),
         "You divide the scores by √d. That is a good idea, and the next chapter tells why; here the scores are plain "
         "dot products."),
        (_weighing(lambda query, keys: torch.softmax(keys @ query / keys.shape[1], dim=0)),
         "Your scores are means: they are divided by d. A dot product is the sum of the products."),
        (_weighing(lambda query, keys: keys @ query),
         "Your weights are the raw scores: some are negative, and they do not sum to 1. Put them through softmax."),
        (_weighing(_without_exp),
         "You divide the scores by their sum. A score may be negative, and the sum may be close to 0. Softmax takes "
         "exp of the scores first."),
        (_weighing(lambda query, keys: torch.exp(keys @ query)),
         "Your weights are exp of the scores, and they do not sum to 1. Divide by their sum: that is softmax."),
        (_weighing(lambda query, keys: torch.sigmoid(keys @ query)),
         "You put each score through a sigmoid, so the weights do not sum to 1. In softmax the entries compete."),
        (_weighing(lambda query, keys: torch.log_softmax(keys @ query, dim=0)),
         "Your weights are logarithms, all of them negative. Take softmax, not log_softmax."),
        (_weighing(lambda query, keys: torch.softmax(-keys @ query, dim=0)),
         "Your sign is turned round: the key that fits best gets the smallest weight."),
        (_weighing(lambda query, keys: torch.ones(len(keys), dtype=keys.dtype)),
         "Every weight is 1: your softmax runs along an axis of size 1. It must run over the S scores."),
        (_weighing(_cosines),
         "You compare directions only (cosine similarity). The lengths of query and key count too: take the dot "
         "product as it is."),
        (_weighing(lambda query, keys: torch.softmax(-torch.linalg.vector_norm(keys - query, dim=1), dim=0)),
         "You score by distance. Here the score of a key is its dot product with the query."),
        (_weighing(lambda query, keys: torch.softmax(-(keys - query).square().sum(1), dim=0)),
         "You score by squared distance. Here the score of a key is its dot product with the query."),
        (_weighing(lambda query, keys: torch.softmax(keys.T @ query, dim=0)),
         "You multiply keys.T by the query. Each key is a row: keys @ query takes the dot product with every row."),
        (_matched_with_values,
         "You compare the query with the values. It is compared with the keys; the values are what is read."),
        (_using(lambda weights, query, keys, values: weights @ keys),
         "Your context adds up the keys. The keys only say where to look; what is read are the values."),
        (_using(lambda weights, query, keys, values: values[weights.argmax()]),
         "Your weights are right, but the context is the value of the best key alone. Add up all values, each times "
         "its weight."),
        (_using(lambda weights, query, keys, values: weights @ values / len(keys)),
         "Your context is a mean over the entries, so it is divided by S once too often: the weights sum to 1 "
         "already."),
        (_using(lambda weights, query, keys, values: weights.unsqueeze(1) * values),
         "You multiply each value by its weight but do not add them up: the context is one vector."),
        (_using(lambda weights, query, keys, values: values.sum(0)),
         "Your context adds up the values without their weights."),
        (_using(lambda weights, query, keys, values: values.mean(0)),
         "Your context is the plain mean of the values. Each counts with its weight."),
        (_using(lambda weights, query, keys, values: (keys @ query) @ values),
         "Your context uses the scores, not the weights: softmax comes before the sum."),
        (lambda *inputs: look_up(*inputs)[::-1],
         "Your two results are exchanged: the context comes first, then the weights."),
        (lambda *inputs: look_up(*inputs)[0],
         "You return the context alone. The weights are wanted too: return context, weights."),
    ),
)

# --- 04.2 -----------------------------------------------------------------------------------------------------------

def masked_weights(scores, mask):
    """Softmax over the keys, but only over those that a query may attend to.

    scores: (B, T, S), for each of T queries a score for each of S keys; mask: boolean, of a shape that broadcasts to
    (B, T, S), True = may attend. Returns weights (B, T, S): 0 where the mask is False, and the others of a row sum to
    1. A row with nothing to attend to is all 0.
    """
    empty = ~mask.any(dim=-1, keepdim=True)                           # rows with nothing to attend to
    scores = scores.masked_fill(~mask, float("-inf")).masked_fill(empty, 0.0)
    return torch.softmax(scores, dim=-1).masked_fill(empty, 0.0)


def _scores_and_mask(shape, mask_shape=None):
    """A mask that leaves every row something, and takes something from every row."""
    def make():
        scores = 2 * torch.randn(*shape)
        mask = torch.rand(*(mask_shape or shape)) < 0.6
        mask[..., 0], mask[..., -1] = False, True
        return scores, mask
    return make


def _with_an_empty_row():
    scores, mask = _scores_and_mask((2, 5, 3))()
    mask[0, 1] = mask[1, 4] = False
    return scores, mask


def _far_from_zero():
    """One sentence with scores near -30,000, one with scores near 30,000.

    Whole numbers, 25 apart: every weight is 0 or 1 up to 1e-10, so that an answer by way of logsumexp, which float32
    rounds to steps of 0.002 out here, is right too.
    """
    scores, mask = _scores_and_mask((2, 4, 5))()
    return 25 * scores.argsort(-1) + torch.tensor([-3e4, 3e4]).view(2, 1, 1), mask


def _loud_where_masked():
    scores, mask = _scores_and_mask((3, 2, 4))()
    return scores.masked_fill(~mask, 500.0), mask


def _masking(fill, then=None, dim=-1):
    """An answer in three steps. fill: scores, mask -> scores; softmax over dim; then: weights, mask -> weights."""
    def answer(scores, mask):
        weights = torch.softmax(fill(scores, mask), dim=dim)
        return then(weights, mask) if then else weights
    return answer


def _filled(value):
    return lambda scores, mask: scores.masked_fill(~mask, value)


def _unmasked(scores, mask):
    return scores


def _zeroed(weights, mask):
    return weights.masked_fill(~mask, 0.0)


def _without_nan(weights, mask=None):
    return weights.nan_to_num(0.0)


def _renormalised(weights, mask):
    kept = weights * mask
    return kept / kept.sum(-1, keepdim=True)


def _renormalised_without_nan(weights, mask):
    return _without_nan(_renormalised(weights, mask))


def _turned_round(scores, mask):
    return scores.masked_fill(mask, -math.inf)


def _by_hand(scores, mask):
    powers = scores.masked_fill(~mask, -math.inf).exp()
    return powers / powers.sum(-1, keepdim=True)


def _by_hand_with_a_small_constant(scores, mask):
    powers = scores.masked_fill(~mask, -math.inf).exp()
    return powers / (powers.sum(-1, keepdim=True) + 1e-9)


def _by_hand_with_a_product(scores, mask):
    powers = scores.exp() * mask
    return powers / powers.sum(-1, keepdim=True)


def _zero_times_infinity(scores, mask):
    return scores + (~mask) * -math.inf


def _over_everything(scores, mask):
    mask = mask.expand_as(scores)
    weights = torch.zeros_like(scores)
    weights[mask] = torch.softmax(scores[mask], dim=0)
    return weights


def _indexed(then=None):
    def answer(scores, mask):
        scores = scores.clone()
        scores[~mask] = -math.inf
        return then(torch.softmax(scores, dim=-1)) if then else torch.softmax(scores, dim=-1)
    return answer


LOWEST = torch.finfo(torch.float32).min

MASKED_SOFTMAX = Exercise(
    id="04.2",
    title="Softmax with a mask",
    about=("source-mask",),
    reference=masked_weights,
    returns="(B, T, S)",
    hints=(
        "exp(-∞) is 0. So a score of -∞ gets no weight, and the others share the whole: "
        "scores.masked_fill(~mask, float(\"-inf\")), then softmax over the keys.",
        "In a row where every score is -∞ softmax computes 0 / 0, which is NaN. Which rows are these, and what should "
        "stand there?",
        "mask.any(dim=-1, keepdim=True) is False for the empty rows. Or look at the weights that come out: "
        "masked_fill(~mask, 0.0) replaces NaN too.",
    ),
    cases=(
        Case("some keys masked in every row", _scores_and_mask((2, 3, 4))),
        Case("one mask for all queries, (B, 1, S)", _scores_and_mask((3, 2, 5), (3, 1, 5)),
             "The mask broadcasts: each sentence has one row of it for all its queries."),
        Case("nothing is masked", lambda: (2 * torch.randn(1, 4, 6), torch.ones(1, 4, 6, dtype=torch.bool))),
        Case("two rows with nothing to attend to", _with_an_empty_row,
             "Only such a row is 0; the others keep their weights."),
        Case("scores near -30,000 and near 30,000", _far_from_zero,
             "Only the differences of the scores count. Scores may have any size, so a masked place needs -∞ itself. "
             "If the mask is right: subtract the largest allowed score of each row before exp."),
        Case("scores of 500 at the masked places", _loud_where_masked,
             "A masked place must not count, however large its score is."),
    ),
    misconceptions=alone(
        (_masking(_filled(-math.inf)),
         "Your mask is right, but a row with nothing to attend to comes out as NaN: softmax divides 0 by 0 there. Put "
         "0 into such rows."),
        (_masking(_filled(-1e4)),
         "You put a number such as -10,000 in place of -∞. Where real scores are lower still, the masked places win; "
         "and an empty row is shared out evenly. Fill with float(\"-inf\"), and put 0 into the empty rows."),
        (_masking(_filled(-1e4), _zeroed),
         "You put a number such as -10,000 in place of -∞. Where real scores are lower still, the masked places take "
         "the weight, and your last step throws it away. Fill with float(\"-inf\")."),
        (_masking(_filled(LOWEST)),
         "Your empty rows, with nothing to attend to, come out as 1/S for each key, as a very low number in place of "
         "-∞ gives. Put 0 into such rows."),
        (_masking(lambda scores, mask: scores + (~mask) * -1e4),
         "You add a number such as -10,000 at the masked places. In a row with nothing to attend to it is added "
         "everywhere and cancels: softmax shares the weight as if nothing were masked. Put 0 into such rows."),
        (_masking(_filled(0.0)),
         "You put 0 in place of the masked scores. exp(0) is 1, so these keys still get weight. Fill with "
         "float(\"-inf\"): exp(-∞) is 0."),
        (_masking(_filled(0.0), _zeroed),
         "You put 0 in place of the masked scores and remove their weight afterwards: what is left does not sum to 1. "
         "Fill with float(\"-inf\") before softmax."),
        (_masking(_filled(0.0), _renormalised),
         "You put 0 in place of the masked scores and divide by what is left. Where the real scores lie far below 0, "
         "nothing is left. Fill with float(\"-inf\") before softmax."),
        (_masking(_unmasked, _zeroed),
         "You mask after softmax: the masked keys have taken their share already, and what is left does not sum to 1. "
         "Mask the scores, before softmax."),
        (_masking(_unmasked, _renormalised),
         "You take softmax over all keys, mask, and divide by what is left. Where a masked key has by far the largest "
         "score, or a row is empty, nothing is left: 0 / 0. Mask the scores, before softmax."),
        (_masking(_unmasked, _renormalised_without_nan),
         "You take softmax over all keys, mask, and divide by what is left. Where a masked key has by far the largest "
         "score nothing is left, and the row becomes 0. Mask the scores, before softmax."),
        (_masking(_unmasked), "You do not use the mask."),
        (_masking(_turned_round),
         "Your mask is turned round: True means may attend. Fill where ~mask is True. A row with nothing to attend to "
         "needs 0 besides."),
        (_masking(_turned_round, _without_nan),
         "Your mask is turned round: the masked keys get all the weight. True means may attend; fill where ~mask is "
         "True."),
        (_masking(_turned_round, _zeroed),
         "Your mask is turned round in one of two places: you give the masked keys all the weight, then take it away. "
         "True means may attend, so ~mask stands in both."),
        (_masking(lambda scores, mask: scores.masked_fill(mask, LOWEST)),
         "Your mask is turned round, and a very low number stands in place of -∞. True means may attend; fill with "
         "float(\"-inf\") where ~mask is True."),
        (_masking(_unmasked, lambda weights, mask: weights.masked_fill(mask, 0.0)),
         "Your mask is turned round, and it comes after softmax. Fill the scores where ~mask is True, before softmax."),
        (_masking(_filled(-math.inf), dim=1),
         "Your softmax runs over the queries (axis 1): each column sums to 1. It must run over the keys, the last "
         "axis."),
        (_masking(_filled(-math.inf), _without_nan, dim=1),
         "Your softmax runs over the queries (axis 1), so each column sums to 1, or to 0. It must run over the keys, "
         "the last axis."),
        (_masking(_filled(LOWEST), dim=1),
         "Your softmax runs over the queries (axis 1), and a very low number stands in place of -∞. It must run over "
         "the keys, the last axis."),
        (_masking(_filled(-math.inf), dim=0),
         "Your softmax runs over the batch (axis 0), so sentences compete with each other. It must run over the keys, "
         "the last axis. Without a dim torch takes axis 0 for three axes."),
        (_masking(_filled(-math.inf), _without_nan, dim=0),
         "Your softmax runs over the batch (axis 0): the rows of different sentences share the weight. It must run "
         "over the keys, the last axis. Without a dim torch takes axis 0 for three axes."),
        (_over_everything,
         "Your softmax runs over all allowed places of the batch together. Each row has its own sum of 1."),
        (_masking(_zero_times_infinity),
         "You multiply the mask by -∞. Where the mask gives 0, that is 0 · ∞, which is NaN. Use masked_fill or "
         "torch.where."),
        (_masking(_zero_times_infinity, _without_nan),
         "You multiply the mask by -∞. Where the mask gives 0, that is 0 · ∞, which is NaN, and your last step turns "
         "it into 0. Use masked_fill or torch.where."),
        (_masking(_filled(math.inf)),
         "You fill with +∞, which would take all the weight: softmax gives NaN. It is -∞."),
        (_masking(lambda scores, mask: scores + mask),
         "You add the mask to the scores, so True adds 1. It should be 0 where a key is allowed and -∞ where it is "
         "not."),
        (_by_hand,
         "You take exp of the scores as they are. Near -30,000 it is 0, near 30,000 it is ∞, and the division gives "
         "NaN. Subtract the row's largest score first, as torch.softmax does. An empty row needs 0 besides."),
        (lambda scores, mask: _without_nan(_by_hand(scores, mask)),
         "You take exp of the scores as they are. Near -30,000 it is 0, near 30,000 it is ∞, and such rows are lost: "
         "all 0. Subtract the row's largest score first, as torch.softmax does."),
        (_by_hand_with_a_small_constant,
         "You take exp of the scores as they are, and a small constant keeps you from dividing by 0. But near -30,000 "
         "every exp is 0, so the row is lost, and near 30,000 it is ∞. Subtract the row's largest score first, as "
         "torch.softmax does."),
        (_by_hand_with_a_product,
         "You multiply exp(scores) by the mask. A score of 500 gives exp = ∞, and ∞ · 0 is NaN; scores near -30,000 "
         "give 0 / 0. Mask the scores with -∞ and leave the rest to torch.softmax."),
        (lambda scores, mask: _without_nan(_by_hand_with_a_product(scores, mask)),
         "You multiply exp(scores) by the mask. Very large and very low scores then give NaN, and your last step turns "
         "it into 0. Mask the scores with -∞ and leave the rest to torch.softmax."),
        (_indexed(),
         "You write scores[~mask] = …, which needs a mask of the full shape. One of shape (B, 1, S) has to broadcast: "
         "masked_fill and torch.where do that. Rows with nothing to attend to still come out as NaN."),
        (_indexed(_without_nan),
         "You write scores[~mask] = …, which needs a mask of the full shape. One of shape (B, 1, S) has to broadcast: "
         "masked_fill and torch.where do that."),
    ),
)

# --- 04.3 -----------------------------------------------------------------------------------------------------------

def additive_attention(query, keys, W_q, W_k, v):
    """Bahdanau's attention: score(q, k) = vᵀ tanh(W_q q + W_k k). The keys are the values, too.

    query: (B, Q), one for each sentence; keys: (B, S, K); W_q: (A, Q); W_k: (A, K); v: (A,).
    Returns (context (B, K), weights (B, S)). No biases, no mask.
    """
    pairs = (query @ W_q.T).unsqueeze(1) + keys @ W_k.T               # (B, 1, A) + (B, S, A) -> (B, S, A)
    weights = torch.softmax(torch.tanh(pairs) @ v, dim=-1)            # (B, S, A) @ (A,) -> (B, S)
    return (weights.unsqueeze(1) @ keys).squeeze(1), weights          # (B, 1, S) @ (B, S, K) -> (B, K)


def _additive_inputs(batch, words, query_size, key_size, attention_size):
    return lambda: (
        torch.randn(batch, query_size), torch.randn(batch, words, key_size),
        torch.randn(attention_size, query_size) / query_size ** 0.5,
        torch.randn(attention_size, key_size) / key_size ** 0.5, 2 * torch.randn(attention_size))


def _sum_of_keys(weights, keys, W_k):
    return (weights.unsqueeze(1) @ keys).squeeze(1)


def _additive(
    pair=lambda q, k: q.unsqueeze(1) + k, squash=torch.tanh, weigh=lambda scores: scores.softmax(-1),
    context=_sum_of_keys,
):
    """An additive attention with one step exchanged.

    pair: W_q q (B, A), W_k k (B, S, A) -> (B, S, A); weigh: scores (B, S) -> weights; context: weights, keys, W_k.
    """
    def answer(query, keys, W_q, W_k, v):
        weights = weigh(squash(pair(query @ W_q.T, keys @ W_k.T)) @ v)
        return context(weights, keys, W_k), weights
    return answer


def _with_W_as_it_is(query, keys, W_q, W_k, v):
    return additive_attention(query, keys, W_q.T, W_k.T, v)


def _divided_by_root_A(query, keys, W_q, W_k, v):
    return additive_attention(query, keys, W_q, W_k, v / len(v) ** 0.5)


def _along_an_axis_of_one(query, keys, W_q, W_k, v):
    """All weights 1, with the axis that the softmax ran along."""
    return keys.sum(1), keys.new_ones(*keys.shape[:2], 1)


def _without_v(query, keys, W_q, W_k, v):
    return additive_attention(query, keys, W_q, W_k, torch.ones_like(v))


ADDITIVE_ATTENTION = Exercise(
    id="04.3",
    title="Additive attention",
    about=("additive-attention",),
    reference=additive_attention,
    returns=("context (B, K)", "weights (B, S)"),
    hints=(
        "W_q q is one vector of A numbers for each sentence, W_k k one for each word. To add them, the first needs an "
        "axis for the words: unsqueeze(1).",
        "Every W is stored as (out, in), as in nn.Linear: query @ W_q.T. After tanh, @ v turns the A numbers of each "
        "word into one score.",
        "The context is the sum of the keys, each times its weight: (B, 1, S) @ (B, S, K), and then without the axis "
        "of size 1.",
    ),
    cases=(
        Case("two sentences of four words", _additive_inputs(2, 4, 3, 5, 6)),
        Case("more sentences than words", _additive_inputs(5, 3, 4, 2, 7)),
        Case("as many sentences as words", _additive_inputs(4, 4, 2, 6, 5),
             "Each sentence has its own query, which meets all words of that sentence."),
        Case("all sizes equal but B and S", _additive_inputs(2, 5, 3, 3, 3)),
        Case("a single word", _additive_inputs(3, 1, 4, 6, 2), "Its weight is 1, whatever its score."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _additive,
            ({"squash": lambda pairs: pairs},
             "The tanh is missing. Without it the query's part of the score is the same for every key and cancels in "
             "softmax: the weights would not depend on the query at all."),
            ({"weigh": lambda scores: scores.softmax(0)},
             "Your softmax runs over the batch. It must run over the S words, the last axis of the scores."),
            ({"context": lambda weights, keys, W_k: (weights.unsqueeze(1) @ (keys @ W_k.T)).squeeze(1)},
             "Your context adds up W_k k. That is for the scores only; what is read are the keys themselves."),
        ),
        *alone(
            (_additive(weigh=lambda scores: scores), "Your weights are the raw scores. Put them through softmax."),
            (_additive(weigh=lambda scores: (scores / scores.shape[-1] ** 0.5).softmax(-1)),
             "You divide the scores by √S. They go into softmax as they are."),
            (_divided_by_root_A, "You divide the scores by √A. They go into softmax as they are: v can learn a scale."),
            (_additive(weigh=torch.exp),
             "You take exp of the scores but do not divide by its sum over the words: the weights of a sentence must "
             "sum to 1."),
            (_additive(weigh=torch.ones_like),
             "Every weight is 1: your softmax runs along an axis of size 1. It must run over the S words."),
            (_along_an_axis_of_one,
             "Every weight is 1: your softmax runs along an axis of size 1, and your weights still have that axis, (B, "
             "S, 1). Take it off with squeeze(-1), before softmax."),
            (_additive(context=lambda weights, keys, W_k: weights @ keys),
             "Your product weights @ keys pairs the weights of each sentence with the keys of every sentence. Give the "
             "weights an axis first: weights.unsqueeze(1), (B, 1, S)."),
            (_additive(context=lambda weights, keys, W_k: (weights.unsqueeze(-1) * keys).mean(1)),
             "Your context is a mean over the words. The weights sum to 1 already: take the sum."),
            (_additive(context=lambda weights, keys, W_k: weights.unsqueeze(-1) * keys),
             "Your keys are multiplied by their weights but not added up: sum over the words, axis 1."),
            (_additive(squash=torch.sigmoid), "You use a sigmoid in place of tanh."),
            (_additive(squash=torch.relu), "You use ReLU in place of tanh."),
            (_additive(squash=lambda pairs: pairs, weigh=lambda scores: scores.tanh().softmax(-1)),
             "Your tanh comes too late: it acts on the finished score. It acts on W_q q + W_k k, before v."),
            (_additive(weigh=lambda scores: scores.tanh().softmax(-1)),
             "You take tanh twice: a second one squeezes the finished scores into -1 … 1."),
            (_additive(pair=lambda q, k: k),
             "Your weights do not depend on the query. Either it is missing from the score, or you take tanh of W_q q "
             "and of W_k k apart: then its part is the same for every key and cancels in softmax. Add first, then "
             "tanh."),
            (_additive(pair=lambda q, k: q.unsqueeze(1) * k),
             "You multiply W_q q and W_k k. This attention is called additive because they are added."),
            (_additive(pair=lambda q, k: q.unsqueeze(1) - k), "You subtract W_k k. It is added."),
            (_additive(pair=lambda q, k: q + k),
             "Your sum lacks an axis: (B, A) + (B, S, A) lines B up with S, so a word would meet the query of another "
             "sentence. Write (query @ W_q.T).unsqueeze(1)."),
            (_without_v, "You add up the A numbers of a word. Each has its own weight: multiply by v."),
            (_with_W_as_it_is, "Your matrices want .T: W is stored as (out, in), so W q is query @ W_q.T."),
            (lambda query, keys, W_q, W_k, v: additive_attention(query, keys, W_k, W_q, v),
             "You exchanged W_q and W_k: W_q goes with the query, W_k with the keys."),
            (lambda *inputs: additive_attention(*inputs)[::-1],
             "Your two results are exchanged: the context comes first, then the weights."),
            (lambda *inputs: additive_attention(*inputs)[0],
             "You return the context alone. The weights are wanted too: return context, weights."),
        ),
    ),
)

# --- 04.4 -----------------------------------------------------------------------------------------------------------

def general_score(query, keys, W):
    """Luong's general score, qᵀ W k.

    query: (B, Q), one for each sentence; keys: (B, S, K); W: (Q, K). Returns scores (B, S), before softmax.
    """
    return (keys @ (query @ W).unsqueeze(-1)).squeeze(-1)             # (B, S, K) @ (B, K, 1) -> (B, S)


def _general_inputs(batch, words, query_size, key_size):
    return lambda: (
        torch.randn(batch, query_size), torch.randn(batch, words, key_size), torch.randn(query_size, key_size))


def _general(change=lambda scores: scores):
    return lambda query, keys, W: change(general_score(query, keys, W))


def _without_the_matrix(query, keys, W):
    return (keys @ query.unsqueeze(-1)).squeeze(-1)


def _reshaped_keys(query, keys, W):
    batch, words, size = keys.shape
    return ((query @ W).unsqueeze(1) @ keys.reshape(batch, size, words)).squeeze(1)


GENERAL_SCORE = Exercise(
    id="04.4",
    title="The general score",
    about=("luong-variants",),
    reference=general_score,
    returns="(B, S)",
    hints=(
        "Take one sentence and one word first: q is (Q,), k is (K,), so q @ W @ k is one number.",
        "query @ W is (B, K): the query, brought into the keys' space. It meets all S words of its own sentence.",
        "A batched product (B, S, K) @ (B, K, 1) gives (B, S, 1). Or multiply by (query @ W).unsqueeze(1) and sum over "
        "the last axis. torch.einsum(\"bq,qk,bsk->bs\", …) does it in one line.",
    ),
    cases=(
        Case("sizes that differ", _general_inputs(2, 4, 3, 5)),
        Case("as many sentences as words", _general_inputs(4, 4, 6, 2),
             "A query meets the words of its own sentence only."),
        Case("query and keys of one size", _general_inputs(3, 5, 4, 4)),
        Case("as many words as features of a key", _general_inputs(5, 3, 2, 3)),
        Case("one sentence", _general_inputs(1, 6, 5, 7), "The batch keeps its axis, even of size 1."),
    ),
    misconceptions=alone(
        (lambda query, keys, W: general_score(query, keys, W.T),
         "Your matrix is transposed: qᵀ W k wants W with a row for each number of the query, which is how it comes."),
        (_without_the_matrix, "You leave W out: that is the dot score."),
        (_general(lambda scores: scores.softmax(-1)), "You return the weights. The scores are wanted, before softmax."),
        (_general(torch.tanh), "You put the score through tanh. Only the concat and the additive score have one."),
        (lambda query, keys, W: general_score(query, keys, W) / keys.shape[-1] ** 0.5,
         "You divide by √K. The general score has no scale: W can learn one."),
        (lambda query, keys, W: ((query @ W).unsqueeze(1) * keys).mean(-1),
         "You take the mean over the features. A dot product is the sum."),
        (lambda query, keys, W: ((query @ W).unsqueeze(1) * keys).sum(1),
         "Your sum runs over the words (axis 1). Sum over the features, the last axis: one score for each word."),
        (lambda query, keys, W: ((query @ W) * keys).sum(-1),
         "Your product lacks an axis: (B, K) * (B, S, K) lines B up with S, so a word would meet the query of another "
         "sentence. Write (query @ W).unsqueeze(1)."),
        (lambda query, keys, W: query @ W @ keys.mT,
         "You pair each query with the words of every sentence. Give the query an axis first: (query @ W).unsqueeze(1) "
         "is (B, 1, K), and the batched product then stays inside a sentence."),
        (lambda query, keys, W: keys @ W.T @ query.T,
         "You pair each word with the queries of all sentences. Each has one of its own: query.unsqueeze(-1) is (B, Q, "
         "1), and the batched product then stays inside a sentence."),
        (lambda query, keys, W: (query @ W).unsqueeze(1) @ keys.mT,
         "Your scores are right, but an axis of size 1 is left: (B, 1, S). squeeze(1) takes it off."),
        (lambda query, keys, W: keys @ (query @ W).unsqueeze(-1),
         "Your scores are right, but an axis of size 1 is left: (B, S, 1). squeeze(-1) takes it off."),
        (lambda query, keys, W: (keys @ (query @ W).unsqueeze(-1)).squeeze(),
         "Your scores are right, but squeeze() without an axis takes off every axis of size 1, the batch of one "
         "sentence too. Write squeeze(-1)."),
        (_reshaped_keys,
         "You reshape the keys to (B, K, S). That keeps the order of the numbers in memory and mixes words with "
         "features; keys.mT exchanges the axes."),
    ),
)

# --- 04.5 -----------------------------------------------------------------------------------------------------------

def count_weights(kind, query_size, key_size, attention_size):
    """Number of weights that a score brings with it. No biases; the layer after the concat [a; s] does not count.

    kind: "dot" qᵀk, "general" qᵀ W k, "concat" vᵀ tanh(W [q; k]) or "additive" vᵀ tanh(W_q q + W_k k); query_size,
    key_size: Q and K; attention_size: A, the length of v. Raises ValueError for "dot" where Q and K differ.
    """
    if kind == "dot" and query_size != key_size:
        raise ValueError(f"a dot product needs equal sizes, got {query_size} and {key_size}")
    return {
        "dot": 0,
        "general": query_size * key_size,
        "concat": attention_size * (query_size + key_size) + attention_size,
        "additive": attention_size * query_size + attention_size * key_size + attention_size,
    }[kind]


def _no_product(kind, query_size, key_size, attention_size):
    return kind == "dot" and query_size != key_size


def _count_or_refusal(answer, kind, query_size, key_size, attention_size):
    sizes = kind, query_size, key_size, attention_size
    return value_or_refusal(answer, sizes, _no_product(*sizes))


def _counting(**other):
    """An answer that refuses as it should; for the kinds in `other` it counts by that function of Q, K and A."""
    def unchecked(kind, *sizes):
        return other[kind](*sizes) if kind in other else count_weights(kind, *sizes)

    return refusing(unchecked, _no_product)


def _tanh_scores(count):
    return _counting(concat=count, additive=count)


COUNT_WEIGHTS = Exercise(
    id="04.5",
    title="What a score costs",
    about=("luong-variants", "attention-cost"),
    reference=count_weights,
    run=_count_or_refusal,
    hints=(
        "Write down the shape of each matrix and vector in the formula. A matrix that turns n numbers into m has n · m "
        "weights.",
        "Of which lengths is [q; k], and which length must W [q; k] have, so that vᵀ fits? v counts too.",
        "qᵀk needs no weights at all, but it needs vectors of one length: raise ValueError(…) where they differ.",
    ),
    cases=(
        Case("general", lambda: ("general", 5, 7, 3)),
        Case("additive", lambda: ("additive", 6, 4, 9)),
        Case("concat", lambda: ("concat", 8, 3, 5)),
        Case("dot", lambda: ("dot", 6, 6, 4), "It has no weights."),
        Case("dot with two sizes", lambda: ("dot", 6, 12, 4), "There is no dot product of vectors of two lengths."),
        Case("general with equal sizes", lambda: ("general", 4, 4, 9)),
    ),
    misconceptions=(
        *alone(
            (_tanh_scores(lambda Q, K, A: A * (Q + K)),
             "You forget v. It has A weights, one for each number that tanh gives."),
            (_counting(concat=lambda Q, K, A: A * (Q + K)),
             "You forget v in the concat score. It has A weights there too."),
            (_counting(additive=lambda Q, K, A: A * (Q + K)),
             "You forget v in the additive score. It has A weights there too."),
            (_tanh_scores(lambda Q, K, A: A * (Q + K) + 1), "You count v as one number. It has A of them."),
            (_tanh_scores(lambda Q, K, A: A * (Q + K) + 2 * A),
             "You count A weights too many: a bias, or v twice. The formula has no bias."),
            (_counting(additive=lambda Q, K, A: A * (Q + K) + 3 * A),
             "You count a bias for W_q and one for W_k. The formula has no biases."),
            (_counting(concat=lambda Q, K, A: A * Q * K + A),
             "You multiply Q and K in the concat score. [q; k] puts them one behind the other: it has Q + K numbers."),
            (_tanh_scores(lambda Q, K, A: A * Q * K + A),
             "You multiply Q and K in the scores with tanh. Q · K weights belong to qᵀ W k; here each number of q and "
             "of k has A weights, so A · (Q + K)."),
            (_counting(concat=lambda Q, K, A: Q * (Q + K) + Q),
             "Your W in the concat score has Q rows. It has A of them here, so that vᵀ fits."),
            (_counting(general=lambda Q, K, A: Q + K),
             "You add Q and K for the general score. W has a row for each number of q and a column for each of k."),
            (_counting(general=lambda Q, K, A: Q * Q),
             "Your W in the general score is (Q, Q). It turns K numbers into Q: qᵀ W k."),
            (_counting(general=lambda Q, K, A: K * K),
             "Your W in the general score is (K, K). It meets q on one side: it is (Q, K)."),
            (_counting(general=lambda Q, K, A: Q * A + K * A),
             "You give the general score two matrices. qᵀ W k has one, (Q, K); attention_size plays no part in it."),
            (_counting(dot=lambda Q, K, A: Q),
             "You count the Q products of the dot score. They are computed, not learned: it has no weights."),
            (_counting(dot=lambda Q, K, A: Q * K),
             "You count a matrix for the dot score. qᵀk has no weights; with a matrix it is the general score."),
            (lambda kind, *sizes: 0 if kind == "dot" else count_weights(kind, *sizes),
             "Your counts are right, but \"dot\" with two sizes is not refused. Write raise ValueError(…): the product "
             "does not exist, and a count of 0 would hide that."),
            (refusing(count_weights, lambda kind, query_size, key_size, _: kind in ("dot", "general")
                      and query_size != key_size),
             "You refuse the general score with two sizes too. That is what its W is for: only \"dot\" needs equal "
             "ones."),
            (refusing(count_weights, lambda kind, query_size, key_size, _: query_size != key_size),
             "You refuse two sizes for every kind. Only \"dot\" needs equal ones."),
            (refusing(count_weights, lambda kind, *sizes: kind == "dot"),
             "You refuse \"dot\" always. With equal sizes it is fine, and has no weights."),
        ),
        *weak_refusals(count_weights, _no_product, "\"dot\" with two sizes"),
    ),
)

# --- 04.6 -----------------------------------------------------------------------------------------------------------

def attention_vector(state, outputs, mask, W_c):
    """The decoder's state after it has looked at the source: tanh(W_c [a; s]).

    state: (B, H), the decoder's s; outputs: (B, S, H), the encoder's, keys and values in one; mask: (B, S) boolean,
    True where a word is real, at least one in each sentence; W_c: (H_out, 2H).
    a is the context of dot-product attention, without a scale. Returns (B, H_out).
    """
    scores = (outputs @ state.unsqueeze(-1)).squeeze(-1)                  # (B, S, H) @ (B, H, 1) -> (B, S)
    weights = scores.masked_fill(~mask, float("-inf")).softmax(dim=-1)    # (B, S)
    context = (weights.unsqueeze(1) @ outputs).squeeze(1)                 # (B, 1, S) @ (B, S, H) -> (B, H)
    return torch.tanh(torch.cat([context, state], dim=-1) @ W_c.T)        # (B, 2H) @ (2H, H_out)


def _decoder_step(lengths, size, out):
    """Numbers as an encoder that reads padding too would give: what stands there is not zero."""
    def make():
        mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
        return (torch.randn(len(lengths), size), torch.randn(len(lengths), max(lengths), size), mask,
                torch.randn(out, 2 * size) / (2 * size) ** 0.5)
    return make


def _dot_weights(scores, mask):
    return scores.masked_fill(~mask, -math.inf).softmax(-1)


def _in_product(state, outputs):
    return (outputs * state.unsqueeze(1)).sum(-1)


def _attending(
    score=_in_product, weigh=_dot_weights, join=lambda context, state: torch.cat([context, state], -1),
    out=lambda joined, W_c: torch.tanh(joined @ W_c.T), read=lambda outputs, mask: outputs,
):
    """One decoder step with one part exchanged: scores (B, S), weights (B, S), [a; s] (B, 2H), and the result.

    read: outputs, mask -> what stands for the outputs from the start.
    """
    def answer(state, outputs, mask, W_c):
        outputs = read(outputs, mask)
        weights = weigh(score(state, outputs), mask)
        return out(join((weights.unsqueeze(-1) * outputs).sum(1), state), W_c)
    return answer


def _the_best_alone(scores, mask):
    scores = scores.masked_fill(~mask, -math.inf)
    return torch.zeros_like(scores).scatter(-1, scores.argmax(-1, keepdim=True), 1.0)


def _the_last_alone(scores, mask):
    return torch.zeros_like(scores).scatter(-1, mask.sum(-1, keepdim=True) - 1, 1.0)


ATTENTION_VECTOR = Exercise(
    id="04.6",
    title="One step of a decoder that looks back",
    about=("dot-product-attention", "source-mask"),
    reference=attention_vector,
    returns="(B, H_out)",
    hints=(
        "The four steps: scores of the state with each output, softmax over the words, weighted sum a, then [a; s] "
        "through W_c and tanh.",
        "Set the scores of padding to -∞ before softmax: scores.masked_fill(~mask, float(\"-inf\")).",
        "torch.cat([context, state], dim=-1) is (B, 2H). W_c is stored as (out, in), so multiply by W_c.T.",
    ),
    cases=(
        Case("two sentences of different lengths", _decoder_step([4, 2], 3, 5)),
        Case("as many sentences as words", _decoder_step([3, 1, 4, 2], 2, 7),
             "A state meets the words of its own sentence only."),
        Case("W_c as wide as high", _decoder_step([1, 5, 3], 4, 8)),
        Case("no padding", _decoder_step([6, 6], 5, 3)),
        Case("one sentence of one word", _decoder_step([1], 6, 4), "Its weight is 1: a is the word's own output."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _attending,
            ({"join": lambda context, state: torch.cat([state, context], -1)},
             "You put the state first. W_c expects [a; s]: the context first, then the state."),
            ({"out": lambda joined, W_c: joined @ W_c.T}, "The tanh around W_c [a; s] is missing."),
            ({"weigh": lambda scores, mask: scores.softmax(-1)},
             "You do not use the mask: padding gets weight, and a sentence depends on how far it was padded."),
            ({"weigh": lambda scores, mask: scores.softmax(-1) * mask},
             "You mask after softmax, and the weights that are left do not sum to 1. Mask the scores, before softmax."),
            ({"weigh": lambda scores, mask: (scores * mask).softmax(-1)},
             "You set the scores of padding to 0. exp(0) is 1, so padding still gets weight. Set them to -∞."),
            ({"read": lambda outputs, mask: outputs * mask.unsqueeze(-1),
              "weigh": lambda scores, mask: scores.softmax(-1)},
             "You set padding to zero vectors. Their score is 0, exp(0) is 1: they still take weight from the others. "
             "Set the scores of padding to -∞."),
            ({"score": lambda state, outputs: _in_product(state, outputs) / state.shape[-1] ** 0.5},
             "You divide the scores by √H. Here they are plain dot products; chapter 05 has the scale."),
        ),
        *alone(
            (_attending(weigh=lambda scores, mask: scores.masked_fill(mask, -math.inf).softmax(-1)),
             "Your mask is turned round: the real words get -∞. Fill where ~mask is True."),
            (_attending(weigh=lambda scores, mask: scores.masked_fill(~mask, -math.inf).softmax(0)),
             "Your softmax runs over the batch (axis 0). It must run over the words, the last axis of the scores."),
            (_attending(weigh=_the_best_alone),
             "You take the best word alone. Softmax gives every real word a weight."),
            (_attending(weigh=_the_last_alone),
             "Your context is the last real output, whatever the scores are. It is the sum of all real ones, each "
             "times its weight."),
            (_attending(weigh=lambda scores, mask: scores.masked_fill(~mask, 0.0)),
             "Your weights are the raw scores: the softmax is missing."),
            (_attending(weigh=lambda scores, mask: mask / mask.sum(-1, keepdim=True)),
             "Your context is the plain mean of the real words. The scores decide how much each one counts."),
            (_attending(score=lambda state, outputs: _in_product(state, outputs) / state.shape[-1]),
             "Your scores are means over the features. A dot product is the sum."),
            (_attending(out=lambda joined, W_c: torch.tanh(joined) @ W_c.T),
             "You take tanh of [a; s] and then multiply by W_c. First W_c, then tanh."),
            (_attending(out=lambda joined, W_c: torch.tanh(joined @ W_c)),
             "You multiply by W_c without .T. It is stored as (out, in), so it is [a; s] @ W_c.T."),
            (_attending(join=lambda context, state: torch.cat([context, context], -1)),
             "Your concat holds the context twice. The second half is the state."),
            (_attending(score=lambda state, outputs: (outputs * state).sum(-1)),
             "Your product lacks an axis: (B, S, H) * (B, H) lines S up with B, so a word would meet the state of "
             "another sentence. Write state.unsqueeze(1)."),
            (_attending(join=lambda context, state: context + state, out=lambda joined, W_c: torch.tanh(joined)),
             "You add context and state and leave W_c out. They stand side by side, [a; s], and W_c mixes them."),
            (_attending(join=lambda context, state: context + state),
             "You give W_c only H numbers: the context alone, or context and state added. It wants 2H, the two side by "
             "side: torch.cat([context, state], dim=-1)."),
            (_attending(join=lambda context, state: torch.cat([context, state])),
             "You join along the batch. Context and state of a sentence stand side by side: dim=-1."),
            (_attending(out=lambda joined, W_c: joined[:, :joined.shape[1] // 2]),
             "You return the context. It still goes through tanh(W_c [a; s])."),
        ),
    ),
)

# --- 04.7 -----------------------------------------------------------------------------------------------------------

def alignment_hits(weights, links):
    """How often the largest weight of a target word lies on a source word that it is linked with.

    weights: (T, S), a row of attention weights for each target word; links: list of pairs (t, s): target word t belongs
    to source word s. A link is a hit where the largest weight of row t is at s. Returns the share of the links that are
    hits, a float from 0 to 1. Raises ValueError for an empty list.
    """
    if not links:
        raise ValueError("no links to count")
    best = weights.argmax(dim=1).tolist()                             # for each target word the source word it looks at
    return sum(best[t] == s for t, s in links) / len(links)


def _alignment(words, looks_at, links):
    """Random weights over so many source words, their largest where `looks_at` says."""
    def make():
        scores = torch.randn(len(looks_at), words)
        for row, place in zip(scores, looks_at, strict=True):
            row[place] = row.max() + 0.2
        return scores.softmax(1), list(links)
    return make


def _no_links(weights, links):
    return not links


def _hits_or_refusal(answer, weights, links):
    return value_or_refusal(answer, (weights, links), _no_links(weights, links))


def _sharing(share):
    """An answer that refuses an empty list and else gives share(weights, links)."""
    return refusing(share, _no_links)


def _count_hits(weights, links):
    return sum(int(weights[t].argmax()) == s for t, s in links)


def _plain_share(weights, links):
    return _count_hits(weights, links) / len(links)


ALIGNMENT_HITS = Exercise(
    id="04.7",
    title="Does it look at the right word?",
    about=("alignment-matrix",),
    reference=alignment_hits,
    run=_hits_or_refusal,
    hints=(
        "weights[t] is one row. argmax tells where its largest weight lies: one number for each target word.",
        "Go through the links and count those with argmax of row t equal to s. The share divides by the number of "
        "links.",
        "An empty list has no share: raise ValueError(…) before you divide.",
    ),
    cases=(
        Case("four target words, six source words", _alignment(6, [2, 5, 3, 0], [(0, 2), (1, 0), (3, 0)]),
             "Target word 2 has no link, so it does not count."),
        Case("more target than source words", _alignment(3, [2, 1, 1, 0, 2], [(1, 1), (2, 0), (4, 2), (3, 0), (0, 1)])),
        Case("as many target as source words", _alignment(4, [0, 3, 1, 2], [(0, 0), (1, 3), (2, 1), (3, 1)])),
        Case("one word linked with two", _alignment(5, [4, 1, 3], [(0, 4), (1, 2), (1, 1), (2, 0)]),
             "Each link counts by itself; only one of the two can be a hit."),
        Case("weights spread widely", _alignment(9, [7, 0, 4], [(0, 7), (1, 0), (2, 8)]),
             "The largest weight counts, even where it is well below one half."),
        Case("no link is a hit", _alignment(4, [1, 2], [(0, 3), (1, 0)])),
        Case("no links", _alignment(4, [1, 2, 0], []), "There is nothing to take a share of."),
    ),
    misconceptions=(
        *alone(
            (_sharing(lambda weights, links: sum(int(weights[:, s].argmax()) == t for t, s in links) / len(links)),
             "You look down the columns: which target word gives source word s its largest weight. A target word looks "
             "along its row: weights[t].argmax()."),
            (_sharing(lambda weights, links: sum(int(weights[s].argmax()) == t for t, s in links) / len(links)),
             "You read each pair the wrong way round: it is (t, s), the target word first."),
            (_sharing(lambda weights, links: float(_count_hits(weights, links))),
             "You return the number of hits. The share divides it by the number of links."),
            (_sharing(lambda weights, links: _count_hits(weights, links) / len(weights)),
             "You divide by the number of target words. Some have no link, and some have two: divide by the number of "
             "links."),
            (_sharing(lambda weights, links: _count_hits(weights, links) / len({t for t, _ in links})),
             "You divide by the number of target words with a link, so one with two links counts once. Each link "
             "counts by itself: divide by the number of links."),
            (_sharing(lambda weights, links: _count_hits(weights, links) / weights.numel()),
             "You divide by the number of weights. Divide by the number of links."),
            (_sharing(lambda weights, links: 1 - _plain_share(weights, links)), "You return the share of the misses."),
            (_sharing(lambda weights, links: _count_hits(weights, links) // len(links)),
             "Your result is 0 or 1, as // or all() gives. Count the hits and divide by the number of links with /."),
            (_sharing(lambda weights, links: 100 * _plain_share(weights, links)),
             "You return per cent. A share lies between 0 and 1."),
            (_sharing(lambda weights, links: sum(float(weights[t, s]) for t, s in links) / len(links)),
             "You take the mean weight of the links. A hit is counted 1, and anything else 0."),
            (_sharing(lambda weights, links: sum(float(weights[t, s]) > 0.5 for t, s in links) / len(links)),
             "You ask for a weight above 0.5. The largest weight of a row may be smaller than that."),
            (_sharing(lambda weights, links: sum(float(weights[t, s]) > 1 / weights.shape[1] for t, s in links)
                      / len(links)),
             "You ask for a weight above 1/S, the even share. Several words of a row may have that; only the largest "
             "is a hit."),
            (_sharing(lambda weights, links: sum(
                 s in weights[t].topk(2).indices.tolist() for t, s in links) / len(links)),
             "You count the second largest weight too. Only the largest is a hit."),
            (_sharing(lambda weights, links: sum(
                 divmod(int(weights.argmax()), weights.shape[1]) == (t, s) for t, s in links) / len(links)),
             "You take the largest weight of the whole matrix. Every row has its own."),
            (lambda weights, links: _plain_share(weights, links) if links else 0.0,
             "Your shares are right, but an empty list gives 0, as if all links were missed. Write raise "
             "ValueError(…): there is nothing to take a share of."),
            (lambda weights, links: _plain_share(weights, links) if links else 1.0,
             "Your shares are right, but an empty list gives 1, as if all were well. Write raise ValueError(…): there "
             "is nothing to take a share of."),
            (lambda weights, links: _plain_share(weights, links) if links else math.nan,
             "Your shares are right, but an empty list gives NaN, which spreads into every mean it enters. Write raise "
             "ValueError(…)."),
            (_plain_share,
             "Your shares are right, but an empty list ends in a division by 0. Look first, and write raise "
             "ValueError(…), with words that say what is wrong."),
        ),
        *weak_refusals(_plain_share, _no_links, "an empty list"),
    ),
)

EXERCISES = [
    LOOK_UP, MASKED_SOFTMAX, ADDITIVE_ATTENTION, GENERAL_SCORE, COUNT_WEIGHTS, ATTENTION_VECTOR, ALIGNMENT_HITS,
]

# --- quizzes --------------------------------------------------------------------------------------------------------

QUIZZES = {
    "04-opening": [
        Question(
            "A GRU encoder with 128 hidden units reads a sentence of 30 words, then one of 3 words. Only its last "
            "state goes to the decoder. How many numbers does the decoder get about each sentence?",
            (
                Choice("3840 and 384",
                       "That would be all states: 128 for each word. Only the last one is handed over."),
                Choice("128 and 128",
                       "The state has one size, however long the sentence is. This is the bottleneck.", correct=True),
                Choice("30 and 3", "The size of the state does not depend on the number of words."),
                Choice("128 and 13", "A shorter sentence gets the same state, and so more numbers for each word."),
            ),
            about=("context-bottleneck",),
        ),
        Question(
            "You add 5 to every score of a row and then take softmax. What happens to the weights?",
            (
                Choice("They become more even", "Dividing the scores would do that. Their differences are as before."),
                Choice("The largest one grows", "exp(5) multiplies every term, the sum too."),
                Choice("Nothing",
                       "Each exp is multiplied by exp(5), and so is their sum: it cancels. Only differences of scores "
                       "count.", correct=True),
            ),
            about=("softmax",),
        ),
        Question(
            "A query is [1, 2]. With which of these keys is its dot product largest?",
            (
                Choice("[3, 0]", "1 · 3 + 2 · 0 = 3. Another one gives more."),
                Choice("[0, 2]", "1 · 0 + 2 · 2 = 4, and the others give 3.", correct=True),
                Choice("[-3, 3]", "1 · (-3) + 2 · 3 = 3. The sign counts."),
                Choice("[5, -1]", "1 · 5 + 2 · (-1) = 3. One large number is not enough."),
            ),
            about=("dot-product-attention",),
        ),
        Question(
            "The source has 20 words, and there is no attention. What the encoder knew after word 1 is needed for "
            "target word 3. How many further states does it pass through, up to the decoder's third?",
            (
                Choice("3", "Those are the decoder's states. Before them come the encoder's."),
                Choice("19", "Those are the encoder's states, from the second to the last. Then come three more."),
                Choice("60", "Steps are passed one after the other: 19 and 3. Nothing multiplies."),
                Choice("22",
                       "19 more states of the encoder, and 3 of the decoder. At each of them something is "
                       "lost.", correct=True),
            ),
            about=("long-range-dependence", "encoder-decoder"),
        ),
        Question(
            "A bidirectional GRU with 64 units in each direction reads 7 words. What is its output at the third word?",
            (
                Choice("128 numbers that depend on all 7 words",
                       "64 from the left, which have read words 1 to 3, and 64 from the right, which have read 7 to "
                       "3.", correct=True),
                Choice("128 numbers that depend on words 1 to 3", "The second half has come from the other end."),
                Choice("64 numbers that depend on all 7 words",
                       "The two directions stand side by side; they are not added."),
            ),
            about=("bidirectional-rnn",),
        ),
        Question(
            "At each step a decoder may now look at all outputs of the encoder. It should learn by gradient where to "
            "look. How could it read them? (A guess is fine.)",
            (
                Choice("It takes the output with the best score",
                       "A small change of the scores then changes nothing, or everything at once: no gradient tells "
                       "how to score better."),
                Choice("It takes the output at its own position",
                       "Then there is nothing to learn, and the two languages would need one word order."),
                Choice("It takes the mean of all outputs",
                       "That is one vector for the whole sentence once more, the same at every step."),
                Choice("It mixes all, by weights",
                       "Each output counts with a weight that a gradient can make larger or smaller. That is "
                       "attention.", correct=True),
            ),
            about=("attention-as-lookup",),
        ),
    ],
    "04-closing": [
        Question(
            "In a soft look-up a query fits two keys equally well, and all other keys far worse. What comes back?",
            (
                Choice("The value of the first of the two",
                       "A hard look-up would have to choose one. A soft one mixes."),
                Choice("About the mean of their two values",
                       "Each of them gets a weight near one half, the others near 0.", correct=True),
                Choice("The mean of all values", "For that all keys would have to fit equally well."),
                Choice("A KeyError",
                       "A dict needs an equal key. Here every key has a score, and so there is always an answer."),
            ),
            about=("attention-as-lookup",),
        ),
        Question(
            "Two words have the scores 0 and ln 3. Their values are 8 and 4. What is the context?",
            (
                Choice("6", "That is the plain mean. The weights are not equal."),
                Choice("4", "That is the value of the best word alone. The other one still has a weight of 1/4."),
                Choice("5", "exp gives 1 and 3, so the weights are 1/4 and 3/4: 2 + 3.", correct=True),
                Choice("4.39", "4 · ln 3: that takes the scores as weights. Softmax comes first."),
            ),
            about=("dot-product-attention",),
        ),
        Question(
            "A decoder with attention writes a sentence. Which of these is computed once, and not again at every step?",
            (
                Choice("The encoder's outputs",
                       "The source does not change, so keys and values stay. The query does change.", correct=True),
                Choice("The scores", "Each new state of the decoder is a new query, with new scores."),
                Choice("The context",
                       "New scores give new weights and so a new sum. One context for all steps would be the "
                       "bottleneck again."),
                Choice("[a; s]", "Both halves change at every step."),
            ),
            about=("dot-product-attention",),
        ),
        Question(
            "A sentence of 2 words is padded to 4, and all four scores happen to be 0. Someone masks by setting the "
            "scores of the padding to 0 in place of -∞. How much weight does the padding get?",
            (
                Choice("None", "Only a score of -∞ gives a weight of 0, as exp(-∞) = 0."),
                Choice("A quarter", "That is one padded place. There are two of them."),
                Choice("Half", "exp(0) = 1 at all four places, so two of four quarters go to padding.", correct=True),
                Choice("All", "The two real words have a score of 0 as well, and get as much as the padding."),
            ),
            about=("source-mask",),
        ),
        Question(
            "A mask fills scores with -10,000 in place of -∞, and a library's tests pass. Where will it go wrong?",
            (
                Choice("Nowhere: exp(-10,000) is 0 in float32",
                       "That is why the tests pass. But softmax looks at differences: against another -10,000 it is "
                       "not small."),
                Choice("In a row where everything is masked",
                       "All its scores are equal there, so padding is read evenly, as if it were text. Real scores "
                       "below -10,000 are the other case.", correct=True),
                Choice("In every row: a little weight is always left at the masked places",
                       "exp(-10,000) is not merely small in float32. It is exactly 0."),
            ),
            about=("source-mask",),
        ),
        Question(
            "In Bahdanau's model the context goes into the step that makes s_t. Which state can then be the query "
            "for this context?",
            (
                Choice("s_t",
                       "It does not exist yet: it is made with the context. Luong's model asks with it, as there the "
                       "context comes after the step."),
                Choice("h_S, the encoder's last",
                       "It is the same for all target words. The query should say what is wanted now."),
                Choice("s_{t-1}", "It is the newest state there is when the context is needed.", correct=True),
            ),
            about=("additive-attention",),
        ),
        Question(
            "How many weights has the additive score for queries of 3 numbers, keys of 4 numbers and an attention "
            "size of 2? No biases.",
            (
                Choice("16", "W_q has 2 · 3, W_k has 2 · 4, and v has 2.", correct=True),
                Choice("14", "v is missing: it turns the 2 numbers behind tanh into one score."),
                Choice("12", "That is the general score, one matrix of 3 · 4."),
                Choice("24", "3 · 4 · 2 would be a weight for each pair of numbers, twice. W_q and W_k act apart."),
            ),
            about=("additive-attention", "attention-cost"),
        ),
        Question(
            "The decoder's state has 128 numbers. The encoder is bidirectional with 128 units in each direction. "
            "Nothing is projected. Which score cannot be used?",
            (
                Choice("Dot",
                       "The outputs have 256 numbers, the state has 128. A dot product needs equal "
                       "sizes.", correct=True),
                Choice("General", "Its W is then (128, 256), and that is no obstacle."),
                Choice("Concat", "[q; k] has 384 numbers, and W takes them."),
                Choice("Additive", "W_q takes 128 numbers and W_k takes 256. Both give the attention size."),
            ),
            about=("luong-variants",),
        ),
        Question(
            "\"I read books\" becomes \"나는 책을 읽어\" (I, books, read). Rows are target words, columns are source "
            "words. Where are the large weights, row by row?",
            (
                Choice("Columns 1, 2, 3",
                       "That would be one word order in both languages. The verb goes to the end here."),
                Choice("Columns 3, 2, 1", "That would turn the whole sentence round. The subject stays in front."),
                Choice("Column 3 in every row",
                       "The last output has read the whole sentence. But attention can look at each word where it "
                       "stands."),
                Choice("Columns 1, 3, 2",
                       "The second target word is the object, the third the verb: the two cross.", correct=True),
            ),
            about=("alignment-matrix",),
        ),
        Question(
            "Model A: no attention, the encoder reads left to right. Model B: attention, and a bidirectional "
            "encoder. B is far better on long sentences. What do you need before you credit attention?",
            (
                Choice("A longer training of B", "B is better already. The question is which of two changes did it."),
                Choice("A model without attention whose encoder reads both ways",
                       "A and B differ in two things. This control has only one of them.", correct=True),
                Choice("A test on sentences that are longer than all in training",
                       "Interesting, but it compares the same two models, with the same two differences."),
                Choice("Nothing: the gap is large", "A large gap says that something helped. It does not say what."),
            ),
            about=("attention-beats-bottleneck",),
        ),
        Question(
            "The source has 40 words. With attention the gradient of the loss at the first word's vector is larger by "
            "orders of magnitude than without. Why?",
            (
                Choice("Softmax makes gradients larger",
                       "Its slope is at most 1/4 for a weight and its own score. It makes nothing larger."),
                Choice("Attention has more weights to train",
                       "It has, as the decoder reads the context too. But more weights do not shorten the way back."),
                Choice("The encoder no longer passes its state on", "It does, as before. The long way is still there."),
                Choice("There is a way past the other 39 states",
                       "Each context holds the encoder's first state times its weight. From there it is one step back "
                       "to the word.", correct=True),
            ),
            about=("shortcut-gradient",),
        ),
        Question(
            "With attention added to a recurrent decoder, what still forces training to compute the target steps one "
            "after the other?",
            (
                Choice("The softmax over the source", "It needs all scores of one step, but no other step."),
                Choice("s_t is made from s_{t-1}",
                       "This is the recurrence. Without it all queries would be known at once: chapter "
                       "05.", correct=True),
                Choice("The number of scores, source length times target length",
                       "It is much work, and all of it could be done at once if the states were known."),
                Choice("The next input word is not known", "In training with teacher forcing all inputs are known."),
            ),
            about=("attention-cost",),
        ),
        Question(
            "While the verb is translated, \"not\" in the source has a weight of 0.01, and the verb has 0.97. What "
            "follows?",
            (
                Choice("\"not\" had next to no influence on this step",
                       "The verb's encoder state has read \"not\" too. What is looked at is a state, and not a word "
                       "alone."),
                Choice("The model has overlooked the negation",
                       "It may know of it from the verb's state, or from the decoder's own. Look at the output to find "
                       "out."),
                Choice("Its influence cannot be read from this weight",
                       "A weight says how much of a state is mixed in. What the state knows, and from where, it does "
                       "not say.", correct=True),
            ),
            about=("attention-is-not-explanation",),
        ),
    ],
}
