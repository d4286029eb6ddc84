"""Chapter 08's small BERT: what it is given to read, how it is measured, the recording, and the checkpoint."""

import collections
import itertools
import math

import pytest
import torch

from course_utils.data.docstrings import docstring_sentences
from course_utils.data.subword import CLS, MASK, SEP, WORDPIECE_SPECIAL, load_tokenizer
from course_utils.models.bert import IGNORED
from course_utils.recordings import docstring_bert as experiment
from course_utils.recordings import recorded

SETTINGS = experiment.SETTINGS
SIZES = (3, 1, 2, 1, 4)             # sentences of five made-up docstrings


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def checkpoint():
    return experiment.pretrained()[0]


def made_up():
    """A Corpus whose sentence number n is the one token 100 + n."""
    document = [number for number, size in enumerate(SIZES) for _ in range(size)]
    has_next = [place for place, (a, b) in enumerate(itertools.pairwise(document)) if a == b]
    return experiment.Corpus([[100 + place] for place in range(len(document))], [*document, None], has_next)


def drawn_pairs(count=3000):
    """(place of the first sentence, place of the second or None, label) of many drawn rows of the made-up corpus."""
    batch, rows = experiment.draw_batch(made_up(), torch.Generator().manual_seed(0), count), []
    for ids, length, label in zip(batch.ids.tolist(), batch.lengths.tolist(), batch.is_random.tolist(), strict=True):
        assert ids[0] == experiment.CLS_ID and ids[2] == experiment.SEP_ID and not any(ids[length:])
        assert length == 3 or (length == 5 and ids[4] == experiment.SEP_ID)
        rows.append((ids[1] - 100, ids[3] - 100 if length == 5 else None, label))
    return rows


# ---------------------------------------------------------------- the corpus


def test_the_corpus_is_the_sentences_of_one_part_in_order():
    data, documents, tokenizer = experiment.corpus("test"), docstring_sentences("test"), load_tokenizer("wordpiece")
    sentences = [sentence for document in documents for sentence in document]
    assert len(data.sentences) == len(data.document) - 1 == len(sentences)
    assert data.document[-1] is None and data.document[:-1] == sorted(data.document[:-1])
    assert collections.Counter(data.document[:-1]) == {place: len(rows) for place, rows in enumerate(documents)}
    for place in range(0, len(sentences), 40):
        wanted = tokenizer.encode(sentences[place], add_special_tokens=False).ids[:SETTINGS["sentence_tokens"]]
        assert data.sentences[place] == wanted
    assert len(data.has_next) == sum(len(document) - 1 for document in documents)


def test_ids_are_those_of_the_tokenizer_and_two_sentences_fit_the_model():
    tokenizer = load_tokenizer("wordpiece")
    assert [tokenizer.token_to_id(token) for token in (CLS, SEP, MASK)] == [
        experiment.CLS_ID, experiment.SEP_ID, experiment.MASK_ID]
    assert tokenizer.get_vocab_size() == SETTINGS["vocab_size"]
    data = experiment.corpus("train")
    longest = max(map(len, data.sentences))
    assert min(map(len, data.sentences)) > 0 and longest == SETTINGS["sentence_tokens"]
    assert 2 * longest + 3 <= SETTINGS["max_length"]
    assert min(map(min, data.sentences)) >= 0 and max(map(max, data.sentences)) < SETTINGS["vocab_size"]


# ---------------------------------------------------------------- pairs


def test_a_true_second_sentence_is_the_successor_and_another_is_one_of_another_docstring():
    document, starts = made_up().document, {0, *itertools.accumulate(SIZES)}
    for first, second, label in drawn_pairs():
        if label == 0:
            assert second == first + 1 and document[second] == document[first]
        elif label == 1:
            assert document[second] != document[first]
            assert second not in starts, "a docstring's first sentence gives itself away"
        else:
            assert label == IGNORED and second is None


def test_a_sentence_is_alone_exactly_where_its_docstring_ends():
    ends = {end - 1 for end in itertools.accumulate(SIZES)}
    assert all((first in ends) == (second is None) for first, second, _ in drawn_pairs())


def test_every_sentence_is_drawn_and_half_of_the_seconds_are_random():
    rows = drawn_pairs()
    assert {first for first, _, _ in rows} == set(range(sum(SIZES)))
    assert {second for _, second, label in rows if label == 1} == {place + 1 for place in made_up().has_next}
    labels = [label for _, _, label in rows if label != IGNORED]
    assert 0.45 < sum(labels) / len(labels) < 0.55


def test_segments_are_zero_up_to_the_first_sep_and_one_to_the_end():
    data = experiment.corpus("validation")
    batch = experiment.draw_batch(data, torch.Generator().manual_seed(1), 200)
    assert batch.ids.shape == batch.segments.shape and batch.ids.shape[1] == batch.lengths.max()
    for ids, length, segments, label in zip(*map(torch.Tensor.tolist, (
            batch.ids, batch.lengths, batch.segments, batch.is_random)), strict=True):
        first = ids.index(experiment.SEP_ID) + 1
        assert ids[length - 1] == experiment.SEP_ID and not any(ids[length:])
        assert segments == [0] * first + [1] * (length - first) + [0] * (len(ids) - length)
        assert ids[:length].count(experiment.SEP_ID) == (1 if label == IGNORED else 2)


def test_the_same_seed_draws_the_same_batch():
    draws = [experiment.draw_batch(made_up(), torch.Generator().manual_seed(seed), 20) for seed in (5, 5, 6)]
    assert torch.equal(draws[0].ids, draws[1].ids) and torch.equal(draws[0].is_random, draws[1].is_random)
    assert not (draws[0].ids.shape == draws[2].ids.shape and torch.equal(draws[0].ids, draws[2].ids))


def test_blanks_spare_special_tokens_and_padding_and_are_fifteen_in_a_hundred():
    draw = torch.Generator().manual_seed(0)
    batch = experiment.draw_batch(experiment.corpus("validation"), draw, 600)
    inputs, labels = experiment.blanks(batch, draw)
    chosen, special = labels != IGNORED, batch.ids < len(WORDPIECE_SPECIAL)
    assert not (chosen & special).any() and torch.equal(inputs[~chosen], batch.ids[~chosen])
    assert torch.equal(labels[chosen], batch.ids[chosen])
    assert abs(chosen.sum() / (~special).sum() - SETTINGS["rate"]) < 0.02
    assert abs((inputs[chosen] == experiment.MASK_ID).float().mean() - 0.8) < 0.04


# ---------------------------------------------------------------- the measure


def test_the_baseline_is_each_tokens_share_with_one_added():
    counts = collections.Counter(token for sentence in experiment.corpus("train").sentences for token in sentence)
    found, total = experiment.unigram_log_probs(), sum(counts.values()) + SETTINGS["vocab_size"]
    assert found.shape == (SETTINGS["vocab_size"],) and abs(found.exp().sum() - 1) < 1e-4
    for token in (experiment.MASK_ID, *(token for token, _ in counts.most_common()[::500])):
        assert found[token].item() == pytest.approx(math.log((counts[token] + 1) / total), abs=1e-5)


def test_a_model_that_knows_only_frequencies_has_the_loss_of_the_baseline():
    torch.manual_seed(0)
    model = experiment.new_model()
    torch.nn.init.zeros_(model.norm.weight)                  # what it says no longer depends on what it reads
    model.train()
    found = experiment.measured(model, batches=4)
    assert model.training
    assert found["word_loss"] == pytest.approx(found["unigram_loss"], abs=1e-4)
    assert 0.01 < found["word_accuracy"] < 0.15              # the share of the most frequent token
    assert 0.3 < found["pair_accuracy"] < 0.7


def test_every_model_is_measured_at_the_same_blanks(checkpoint):
    torch.manual_seed(0)
    untrained, trained = (experiment.measured(model, batches=4) for model in (experiment.new_model(), checkpoint))
    assert untrained["unigram_loss"] == trained["unigram_loss"] < untrained["word_loss"] + 0.2
    assert trained["word_loss"] < untrained["word_loss"] - 1
    assert experiment.measured(checkpoint, batches=4) == trained


# ---------------------------------------------------------------- the recording


def test_the_recording_has_every_run_with_its_whole_log():
    rows = recorded("docstring_bert")["results"]["rows"]
    assert [(row["seed"], row["size"]) for row in rows] == [
        *((seed, "live") for seed in SETTINGS["seeds"]), (0, "longer")]
    for row in rows:
        steps = SETTINGS[row["size"]]["steps"]
        assert [look["step"] for look in row["log"]] == [number * steps // 10 for number in range(11)]
        assert len(row["losses"]) == -(-steps // max(1, steps // 300))
        assert all(math.isfinite(value) for look in (*row["log"], row["test"]) for value in look.values())
    assert len({look["unigram_loss"] for row in rows for look in row["log"]}) == 1, "the same blanks at every look"


def test_every_run_falls_from_look_to_look_and_ends_below_the_baseline():
    for row in recorded("docstring_bert")["results"]["rows"]:
        losses = [look["word_loss"] for look in row["log"]]
        assert all(later < earlier + 0.02 for earlier, later in itertools.pairwise(losses))
        assert losses[0] > row["log"][0]["unigram_loss"] > losses[-1] + 0.2
        assert row["test"]["word_loss"] < row["test"]["unigram_loss"] - 0.2


def test_the_longer_run_is_far_better_at_words_and_the_only_one_above_chance_at_pairs():
    *live, longer = (row["test"] for row in recorded("docstring_bert")["results"]["rows"])
    assert longer["word_loss"] < min(row["word_loss"] for row in live) - 1.5
    assert longer["word_accuracy"] > 2 * max(row["word_accuracy"] for row in live)
    assert longer["pair_accuracy"] > 0.6 and all(abs(row["pair_accuracy"] - 0.5) < 0.05 for row in live)


def test_the_checkpoint_does_what_its_row_says(checkpoint):
    """Other Pythons have other docstrings; where the baseline is the recorded one, the text is the same."""
    row, found = recorded("docstring_bert")["results"]["rows"][-1]["test"], experiment.measured(checkpoint, "test")
    same_text = abs(found["unigram_loss"] - row["unigram_loss"]) < 1e-3
    tolerances = {"word_loss": 0.4, "unigram_loss": 0.4, "word_accuracy": 0.06, "pair_accuracy": 0.08}
    for name, tolerance in tolerances.items():
        assert found[name] == pytest.approx(row[name], abs=0.01 if same_text else tolerance), name


def test_the_checkpoint_comes_ready_to_use_with_its_tokenizer():
    model, tokenizer = experiment.pretrained()
    assert not model.training and model.config == experiment.new_model("longer").config
    encoding = tokenizer.encode("Return the [MASK] of the file.")
    with torch.no_grad():
        logits, next_logits = model(torch.tensor([encoding.ids]))
    assert logits.shape == (1, len(encoding.ids), SETTINGS["vocab_size"]) and next_logits.shape == (1, 2)
    said = logits[0, encoding.tokens.index(MASK)].topk(20).indices.tolist()
    assert set(map(tokenizer.id_to_token, said)) & {"name", "contents", "path", "size", "number", "type", "value"}


# ---------------------------------------------------------------- a short run


def test_a_few_steps_can_be_repeated_and_seeds_differ(monkeypatch):
    monkeypatch.setitem(SETTINGS["live"], "steps", 3)
    first, again, other = (experiment.trained(seed)[1].losses for seed in (1, 1, 2))
    assert first == again != other and len(first) == 3


def test_forty_steps_already_say_more_about_words(monkeypatch):
    monkeypatch.setitem(SETTINGS["live"], "steps", 40)
    torch.manual_seed(0)
    before = experiment.measured(experiment.new_model(), batches=8)
    model, history = experiment.trained(0)
    after = experiment.measured(model, batches=8)
    assert len(history.losses) == 40 and not model.training
    assert after["unigram_loss"] == before["unigram_loss"] and after["word_loss"] < before["word_loss"] - 0.02


def test_a_recorded_run_looks_at_equal_distances_and_at_the_end(monkeypatch):
    seen = []
    monkeypatch.setitem(SETTINGS["live"], "steps", 4)
    monkeypatch.setattr(experiment, "measured", lambda model, part="validation": seen.append(part) or {"loss": 1.0})
    _, row = experiment.recorded_run(0, "live", looks=2)
    assert [look["step"] for look in row["log"]] == [0, 2, 4] and seen == [*["validation"] * 3, "test"]
    assert row["test"] == {"loss": 1.0} and len(row["losses"]) == 4 and row["seed"] == 0


def test_training_reads_the_training_files_only(monkeypatch):
    asked, corpus = [], experiment.corpus
    monkeypatch.setitem(SETTINGS["live"], "steps", 1)
    monkeypatch.setattr(experiment, "corpus", lambda part: asked.append(part) or corpus(part))
    experiment.trained(0)
    assert set(asked) == {"train"}
