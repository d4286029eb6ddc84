"""Exercises 08.5 to 08.8, where the tests of all chapters cannot look: chance, other right answers, refusals."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.exercises import engine
from course_utils.exercises.chapter_08 import bert_parameters, choose_places, make_pair, mlm_loss
from course_utils.exercises.engine import NOT_YET, PASSED, RuleBroken, examine
from course_utils.exercises.running import run
from course_utils.models.bert import BERT, BERTConfig

CHOICE = engine.get("08.5")


def inputs_of(exercise_id, case):
    """The inputs of a case, drawn as the engine draws them."""
    return run(lambda *inputs: inputs, engine.get(exercise_id).cases[case].make, 5).inputs


def every_case(exercise_id):
    return pytest.mark.parametrize("case", range(len(engine.get(exercise_id).cases)))


# --- the references by themselves -----------------------------------------------------------------------------------

def test_the_papers_two_sizes():
    assert bert_parameters(30522, 768, 3072, 12) == 109_482_240
    assert bert_parameters(30522, 1024, 4096, 24) == 335_141_888


@pytest.mark.parametrize("sizes", [(100, 8, 24, 3, 20, 4), (50, 6, 10, 2, 12, 3), (30, 4, 20, 1, 7, 1)])
def test_the_count_is_that_of_the_courses_model(sizes):
    vocab, d_model, d_ff, n_layers, max_length, n_segments = sizes
    model = BERT(BERTConfig(vocab_size=vocab, d_model=d_model, n_heads=2, d_ff=d_ff, n_layers=n_layers,
                            max_length=max_length, n_segments=n_segments))
    assert bert_parameters(*sizes) == sum(parameter.numel() for parameter in model.parameters())


@every_case("08.6")
def test_the_loss_is_torchs(case):
    logits, labels = inputs_of("08.6", case)
    torch.testing.assert_close(mlm_loss(logits, labels), F.cross_entropy(logits.flatten(0, 1), labels.flatten()))


@every_case("08.6")
def test_token_0_is_among_the_labels(case):
    _, labels = inputs_of("08.6", case)
    assert (labels == 0).any() and ((labels >= 0) | (labels == -100)).all()


def test_pairs_of_two_documents_written_out():
    documents = [["a", "b", "c"], ["x", "y"]]
    assert make_pair(documents, 0, 1, True, (1, 0)) == ("b", "c", 0)
    assert make_pair(documents, 0, 2, False, (1, 1)) == ("c", "y", 1)
    with pytest.raises(ValueError, match="last sentence"):
        make_pair(documents, 1, 1, True, (0, 0))
    with pytest.raises(ValueError, match="another document"):
        make_pair(documents, 1, 0, False, (1, 1))


# --- chance: a right answer never fails -----------------------------------------------------------------------------

def by_bernoulli(ids, special, generator, rate=0.15):
    return torch.bernoulli(torch.full(ids.shape, rate).masked_fill(special, 0.0), generator=generator).bool()


def by_multinomial(ids, special, generator, rate=0.15):
    drawn = torch.multinomial(torch.tensor([1 - rate, rate]), ids.numel(), replacement=True, generator=generator)
    return drawn.bool().reshape(ids.shape) & ~special


def for_ordinary_tokens_only(ids, special, generator, rate=0.15):
    chosen = torch.zeros_like(special)
    chosen[~special] = torch.rand(int((~special).sum()), generator=generator) < rate
    return chosen


def from_the_upper_end(ids, special, generator, rate=0.15):
    numbers = torch.rand(ids.shape[::-1], generator=generator).T
    return (numbers >= 1 - rate) & ~special


def by_whole_numbers(ids, special, generator, rate=0.15):
    return (torch.randint(1000, ids.shape, generator=generator) < round(1000 * rate)) & ~special


def by_normal_numbers(ids, special, generator, rate=0.15):
    """The normal distribution's own function makes them uniform."""
    uniform = torch.special.ndtr(torch.randn(ids.shape, generator=generator))
    return (uniform < rate) & ~special


def by_a_number_for_each_row(ids, special, generator, rate=0.15):
    """The number of a row drawn first, as many single draws would give it, then so many of its tokens."""
    chosen = torch.zeros_like(special)
    for row, spared in zip(chosen, special, strict=True):
        ordinary = (~spared).nonzero().flatten()
        number = int(torch.bernoulli(torch.full(ordinary.shape, rate), generator=generator).sum())
        row[ordinary[torch.randperm(len(ordinary), generator=generator)[:number]]] = True
    return chosen


def by_loops(ids, special, generator, rate=0.15):
    return [[not spared and torch.rand(1, generator=generator).item() < rate for spared in row]
            for row in special.tolist()]


def in_numpy(ids, special, generator, rate=0.15):
    seed = torch.randint(2**31, (), generator=generator).item()
    return (np.random.default_rng(seed).random(tuple(ids.shape)) < rate) & ~special.numpy()


def rows_of_tensors(ids, special, generator, rate=0.15):
    return [(torch.rand(len(row), generator=generator) < rate) & ~row for row in special]


FAIR = [choose_places, by_bernoulli, by_multinomial, for_ordinary_tokens_only, from_the_upper_end, by_whole_numbers,
        by_normal_numbers, by_a_number_for_each_row, by_loops, in_numpy, rows_of_tensors]


@pytest.mark.parametrize("answer", FAIR, ids=lambda answer: answer.__name__)
def test_fair_choices_pass(answer):
    verdict = examine("08.5", answer)
    assert verdict.status == PASSED and "\n" not in verdict.message, verdict.message


@pytest.mark.parametrize("seed", range(3))
@every_case("08.5")
def test_no_seed_of_the_generator_fails_a_right_choice(case, seed):
    ids, special, generator, *rate = inputs_of("08.5", case)
    for answer in (choose_places, by_bernoulli, for_ordinary_tokens_only):
        assert CHOICE.run(answer, ids, special, generator.manual_seed(seed), *rate) == "as asked"


# --- chance: a wrong one never passes, and is named -----------------------------------------------------------------

def whole_rows_in_a_loop(ids, special, generator, rate=0.15):
    chosen = torch.zeros_like(special)
    for row in range(len(ids)):
        if torch.rand(1, generator=generator) < rate:
            chosen[row] = True
    return chosen & ~special


def top_numbers_of_each_row(ids, special, generator, rate=0.15):
    numbers = torch.rand(ids.shape, generator=generator)
    places = numbers.topk(int(rate * ids.shape[1]), dim=1).indices
    return torch.zeros_like(special).scatter(1, places, True) & ~special


def shuffled_ordinary_tokens(ids, special, generator, rate=0.15):
    places = (~special).flatten().nonzero().flatten()
    places = places[torch.randperm(len(places), generator=generator)[:int(rate * len(places))]]
    return torch.zeros_like(special).flatten().index_fill(0, places, True).reshape(ids.shape)


def every_seventh_of_all(ids, special, generator, rate=0.15):
    chosen = torch.zeros_like(special).flatten()
    chosen[::round(1 / rate)] = True
    return chosen.reshape(ids.shape) & ~special


def first_of_each_row(ids, special, generator, rate=0.15):
    return (torch.arange(ids.shape[1]) < rate * ids.shape[1]) & ~special


def by_the_global_numbers(ids, special, generator, rate=0.15):
    return torch.bernoulli(torch.full(ids.shape, rate)).bool() & ~special


def seeded_for_all(ids, special, generator, rate=0.15):
    torch.manual_seed(0)
    return (torch.rand(ids.shape) < rate) & ~special


def special_set_to_true(ids, special, generator, rate=0.15):
    chosen = torch.rand(ids.shape, generator=generator) < rate
    chosen[special] = True
    return chosen


def kept_by_bernoulli(ids, special, generator, rate=0.15):
    return ~torch.bernoulli(torch.full(ids.shape, rate), generator=generator).bool() & ~special


@pytest.mark.parametrize("answer, words", [
    (whole_rows_in_a_loop, "one number for each row"),
    (top_numbers_of_each_row, "an exact share of each row"),
    (shuffled_ordinary_tokens, "an exact share of the batch"),
    (every_seventh_of_all, "at even distances"),
    (first_of_each_row, "the same places at each call"),
    (by_the_global_numbers, "without the generator"),
    (seeded_for_all, "the same places at each call"),
    (kept_by_bernoulli, "Your comparison is turned round"),
    (lambda ids, special, generator, rate=0.15: torch.rand(ids.shape, generator=generator) < rate,
     "Your answer chooses special tokens. They must be False"),
    (lambda ids, special, generator, rate=0.15: choose_places(ids, special, generator, rate) | special,
     "Your answer chooses special tokens. They must be False"),
    (special_set_to_true, "Your answer chooses special tokens. They must be False"),
    (lambda ids, special, generator, rate=0.15: by_bernoulli(ids, ids == 0, generator, rate), "the padding only"),
    (lambda ids, special, generator, rate=0.15: by_bernoulli(ids, special, generator, rate).int().double().float(),
     "Your places are numbers"),
    (lambda ids, special, generator, rate=0.15: by_multinomial(ids, special, generator), "whatever rate says"),
])
def test_unfair_choices_are_named(answer, words):
    verdict = examine("08.5", answer)
    assert verdict.status == NOT_YET and verdict.misconception is not None, verdict.message
    assert words in verdict.misconception.sentence, verdict.message


def spans_of_three(ids, special, generator, rate=0.15):
    starts = torch.rand(ids.shape, generator=generator) < rate / 3
    return (starts | starts.roll(1, 1) | starts.roll(2, 1)) & ~special


def more_in_front(ids, special, generator, rate=0.15):
    slope = torch.linspace(2 * rate, 0, ids.shape[1]).clamp(max=1)
    return (torch.rand(ids.shape, generator=generator) < slope) & ~special


def frequent_words_spared(ids, special, generator, rate=0.15):
    return choose_places(ids, special | (ids == 7), generator, rate)


def drawn_twice(ids, special, generator, rate=0.15):
    return choose_places(ids, special, generator, rate) & choose_places(ids, special, generator, rate)


def even_distances_from_a_drawn_start(ids, special, generator, rate=0.15):
    step = round(1 / rate)
    start = torch.randint(step, (len(ids), 1), generator=generator)
    return ((torch.arange(ids.shape[1]) - start) % step == 0) & ~special


def share_of_all_tokens(ids, special, generator, rate=0.15):
    """As many as 15 of 100 of all tokens, taken from the ordinary ones alone."""
    higher = rate * ids.numel() / max(int((~special).sum()), 1)
    return choose_places(ids, special, generator, higher)


@pytest.mark.parametrize("answer, words", [
    (spans_of_three, "hangs on the token in front"),
    (more_in_front, "more often"),
    (frequent_words_spared, "id 7 never"),
    (drawn_twice, "Expected about 15 of 100 ordinary tokens chosen, got about 2."),
    (even_distances_from_a_drawn_start, "each token drawn on its own"),
    (share_of_all_tokens, "Expected about 15 of 100 ordinary tokens chosen, got about 19."),
    (lambda *inputs: choose_places(*inputs).nonzero(), "Expected a bool tensor of shape (B=20, T=30), got a tensor ("),
    (lambda ids, *inputs: ids.masked_fill(choose_places(ids, *inputs), 4), "got other numbers, int64"),
    (lambda *inputs: [[True], [True, False]], "got a list of length 2"),
    (lambda *inputs: {"chosen": True}, "got a dict with 1 key"),
])
def test_other_unfair_choices_get_the_rule_they_break(answer, words):
    verdict = examine("08.5", answer)
    assert verdict.status == NOT_YET and words in verdict.message, verdict.message


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("answer", [
    whole_rows_in_a_loop, top_numbers_of_each_row, shuffled_ordinary_tokens, kept_by_bernoulli, spans_of_three,
    more_in_front, drawn_twice, even_distances_from_a_drawn_start, share_of_all_tokens,
], ids=lambda answer: answer.__name__)
def test_no_seed_of_the_generator_passes_a_wrong_choice(answer, seed):
    ids, special, generator = inputs_of("08.5", 0)
    with pytest.raises(RuleBroken):
        CHOICE.run(answer, ids, special, generator.manual_seed(seed))


@pytest.mark.parametrize("change, name", [(lambda ids, special, chosen: ids.masked_fill_(chosen, 4), "ids"),
                                          (lambda ids, special, chosen: special.logical_or_(chosen), "special")])
def test_inputs_changed_by_a_choice_are_told(change, name):
    def answer(ids, special, generator, rate=0.15):
        chosen = choose_places(ids, special, generator, rate)
        change(ids, special, chosen)
        return chosen

    verdict = examine("08.5", answer)
    assert verdict.status == NOT_YET and f"{name} is changed in place" in verdict.message


# --- right answers of other kinds -----------------------------------------------------------------------------------

def loss_by_loops(logits, labels):
    losses = []
    for row, wanted in zip(logits.double(), labels.tolist(), strict=True):
        losses += [float(scores.logsumexp(0) - scores[label]) for scores, label in zip(row, wanted, strict=True)
                   if label != -100]
    return sum(losses) / len(losses)


def loss_in_numpy(logits, labels):
    scores, wanted = logits.double().numpy().reshape(-1, logits.shape[-1]), labels.numpy().ravel()
    kept = wanted >= 0
    scores, wanted = scores[kept], wanted[kept]
    scores = scores - scores.max(1, keepdims=True)
    return (np.log(np.exp(scores).sum(1)) - scores[np.arange(len(wanted)), wanted]).mean()


def loss_by_weights(logits, labels):
    counts = (labels != -100).float()
    right = F.one_hot(labels.clamp(min=0), logits.shape[-1])
    losses = -(right * logits.log_softmax(-1)).sum(-1)
    return (counts * losses).sum() / counts.sum()


def pair_by_try(documents, place, sentence, is_next, other):
    first = documents[place][sentence]
    if is_next:
        try:
            return first, documents[place][sentence + 1], False
        except IndexError:
            raise ValueError("no next sentence") from None
    document, index = other
    if document == place:
        raise ValueError("same document")
    return [first, documents[document][index], torch.tensor(1)]


def pair_checked_first(documents, place, sentence, is_next, other):
    if (is_next and sentence >= len(documents[place]) - 1) or (not is_next and place == other[0]):
        raise ValueError
    places = (place, sentence), (place, sentence + 1) if is_next else other
    return *(documents[document][index] for document, index in places), int(not is_next)


def parameters_of_torchs_layers(vocab, d_model, d_ff, n_layers, max_length=512, n_segments=2):
    tables = [nn.Embedding(rows, d_model, device="meta") for rows in (vocab, max_length, n_segments)]
    layers = [nn.TransformerEncoderLayer(d_model, 1, d_ff, device="meta") for _ in range(n_layers)]
    others = [nn.LayerNorm(d_model, device="meta"), nn.Linear(d_model, d_model, device="meta")]
    return sum(parameter.numel() for parameter in nn.ModuleList([*tables, *layers, *others]).parameters())


def parameters_collected_by_power(vocab, d_model, d_ff, n_layers, max_length=512, n_segments=2):
    squares, singles = 4 * n_layers + 1, vocab + max_length + n_segments + 3 + n_layers * (2 * d_ff + 9)
    return torch.tensor(d_model * (squares * d_model + singles) + n_layers * d_ff)


@pytest.mark.parametrize("exercise_id, answer", [
    ("08.6", loss_by_loops), ("08.6", loss_in_numpy), ("08.6", loss_by_weights),
    ("08.7", pair_by_try), ("08.7", pair_checked_first),
    ("08.8", parameters_of_torchs_layers), ("08.8", parameters_collected_by_power),
    ("08.8", lambda *sizes: float(bert_parameters(*sizes))),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED and "\n" not in verdict.message, verdict.message


@pytest.mark.parametrize("answer, helper", [
    (lambda logits, labels: F.cross_entropy(logits.mT, labels), "F.cross_entropy"),
    (lambda logits, labels: nn.CrossEntropyLoss()(logits.flatten(0, 1), labels.flatten()), "nn.CrossEntropyLoss"),
    (lambda logits, labels: F.nll_loss(logits.log_softmax(-1).mT, labels), "F.nll_loss"),
])
def test_torchs_own_loss_passes_with_a_remark(answer, helper):
    verdict = examine("08.6", answer)
    assert verdict.status == PASSED and f"Passed, but with {helper}" in verdict.message


# --- mistakes, written in another way than the exercise's own -------------------------------------------------------

def _losses(logits, labels):
    return F.cross_entropy(logits.mT, labels, reduction="none")     # 0 where there is no label


def pair_without_questions(documents, place, sentence, is_next, other):
    document, index = (place, sentence + 1) if is_next else other
    return documents[place][sentence], documents[document][index], 0 if is_next else 1


def pair_with_the_end_as_none(documents, place, sentence, is_next, other):
    if is_next and sentence + 1 < len(documents[place]):
        return documents[place][sentence], documents[place][sentence + 1], 0
    if not is_next and other[0] != place:
        return documents[place][sentence], documents[other[0]][other[1]], 1
    return None


def pair_with_other_at_the_end(documents, place, sentence, is_next, other):
    if is_next and sentence < len(documents[place]) - 1:
        return documents[place][sentence], documents[place][sentence + 1], 0
    if other[0] == place:
        raise ValueError("the same document")
    return documents[place][sentence], documents[other[0]][other[1]], 1


def pair_with_the_last_by_text(documents, place, sentence, is_next, other):
    if is_next and documents[place][sentence] == documents[place][-1]:
        raise ValueError("no next sentence")
    return make_pair(documents, place, sentence, is_next, other)


def pair_by_index(documents, place, sentence, is_next, other):
    first, second, label = make_pair(documents, place, sentence, is_next, other)
    return first, documents[place][documents[place].index(first) + 1] if is_next else second, label


def pair_by_index_alone(documents, place, sentence, is_next, other):
    return make_pair(documents, place, documents[place].index(documents[place][sentence]), is_next, other)


def pair_cut_out(documents, place, sentence, is_next, other):
    """A right pair, but first leaves the caller's document."""
    pair = make_pair(documents, place, sentence, is_next, other)
    documents[place].pop(sentence)
    return pair


def parameters_with_heads(vocab, d_model, d_ff, n_layers, max_length=512, n_segments=2, n_heads=12):
    attention = n_heads * 4 * (d_model**2 + d_model)
    return bert_parameters(vocab, d_model, d_ff, n_layers, max_length, n_segments) + \
        n_layers * (attention - 4 * (d_model**2 + d_model))


def parameters_with_short_biases(vocab, d_model, d_ff, n_layers, max_length=512, n_segments=2):
    all_right = bert_parameters(vocab, d_model, d_ff, n_layers, max_length, n_segments)
    return all_right + n_layers * (2 * d_model - (d_ff + d_model))


def parameters_with_a_table_of_both(vocab, d_model, d_ff, n_layers, max_length=512, n_segments=2):
    return bert_parameters(vocab + max_length * n_segments, d_model, d_ff, n_layers, 0, 0)


def parameters_with_many_poolers(vocab, d_model, *others):
    n_layers, pooler = others[1], d_model * d_model + d_model
    return bert_parameters(vocab, d_model, *others) - pooler + n_layers * pooler


def parameters_without_norms(vocab, d_model, d_ff, n_layers, max_length=512, n_segments=2):
    linear = [(d_model, d_model)] * 4 + [(d_model, d_ff), (d_ff, d_model)]
    block = sum(a * b + b for a, b in linear)
    return (vocab + max_length + n_segments) * d_model + n_layers * block + d_model * d_model + d_model


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("08.6", lambda logits, labels: _losses(logits, labels).mean(), "You divide by B · T"),
    ("08.6", lambda logits, labels: F.cross_entropy(logits.mT, labels, reduction="sum"), "the sum over the labels"),
    ("08.6", lambda logits, labels: F.cross_entropy(logits.mT, labels.clamp(min=0)), "counts every place"),
    ("08.6", lambda logits, labels: torch.stack([F.cross_entropy(*row) for row in zip(logits, labels, strict=True)]
                                                ).mean(), "gives 0/0"),
    ("08.6", lambda logits, labels: F.cross_entropy(logits.softmax(-1).mT, labels), "The softmax is taken twice"),
    ("08.6", lambda logits, labels: F.nll_loss(logits.softmax(-1).mT, labels), "the logarithm is missing"),
    ("08.6", lambda logits, labels: F.cross_entropy(logits.mT, labels.masked_fill(labels == 0, -100)),
     "leaves out token 0"),
    ("08.6", _losses, "the loss of each place"),
    ("08.6", lambda logits, labels: F.cross_entropy((logits * (labels != -100)[..., None]).mT, labels.clamp(min=0)),
     "A place of zeros still costs ln V, and it is in your mean"),
    ("08.6", lambda logits, labels: F.cross_entropy((logits * (labels != -100)[..., None]).mT, labels.clamp(min=0),
                                                    reduction="sum") / (labels != -100).sum(),
     "ln V, and it is in your sum"),
    ("08.7", pair_without_questions, "You refuse nothing"),
    ("08.7", pair_with_the_end_as_none, "You return nothing for a pair"),
    ("08.7", lambda documents, place, sentence, is_next, other:
     (*make_pair(documents, place, sentence, is_next, other)[:2], is_next), "Your labels are exchanged"),
    ("08.7", lambda documents, place, sentence, is_next, other:
     make_pair(documents, place, sentence, is_next, other)[:2], "xpected 3 things (first, second, label)"),
    ("08.7", pair_with_other_at_the_end, "You took the other sentence at the end of a document. is_next=True"),
    ("08.7", pair_with_the_last_by_text, "Case: first stands again at the end of its document."),
    ("08.7", pair_by_index, "The one behind it is sentence + 1"),
    ("08.7", pair_by_index_alone, "even to see whether it is the last"),
    ("08.7", pair_cut_out, "documents is changed in place"),
    ("08.8", parameters_with_heads, "once for each of 12 heads"),
    ("08.8", parameters_with_short_biases, "the first layer's bias has d_ff numbers"),
    ("08.8", parameters_with_a_table_of_both, "max_length + n_segments rows"),
    ("08.8", parameters_with_many_poolers, "You count a pooler in each layer"),
    ("08.8", parameters_without_norms, "two mistakes at once. You leave out the layer norm of the embeddings"),
    ("08.8", lambda *sizes: bert_parameters(*sizes) - sizes[1], "the pooler's bias"),
    ("08.8", lambda *sizes: bert_parameters(*sizes) + 1, "Expected 3288, got 3289"),
])
def test_other_ways_to_make_a_mistake(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and words in verdict.message, verdict.message
