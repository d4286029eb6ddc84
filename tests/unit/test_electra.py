"""ELECTRA against the masked language model: equal operations, what is kept, the measures, and the recording."""

import itertools
import statistics

import pytest
import torch
from torch import nn

from course_utils.data.docstrings import TOPICS
from course_utils.models.bert import BERT, IGNORED
from course_utils.models.compact import ELECTRA
from course_utils.recordings import electra as experiment
from course_utils.recordings import few_labels, recorded
from course_utils.recordings.docstring_bert import MASK_ID, corpus

SETTINGS = experiment.SETTINGS


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def results():
    return recorded("electra")["results"]


def some_sentences(count=8):
    draw = torch.Generator().manual_seed(0)
    return experiment.sentence_batch(corpus("validation"), draw, count), draw


# ---------------------------------------------------------------- models and operations


def test_both_methods_pre_train_the_same_body_and_the_generator_is_smaller():
    torch.manual_seed(0)
    electra, plain = experiment.new_model("ELECTRA"), experiment.new_model("MLM")
    kept = experiment.body(electra)
    assert isinstance(electra, ELECTRA) and isinstance(kept, BERT) and kept.config == experiment.body(plain).config
    assert kept.state_dict().keys() == plain.bert.state_dict().keys()
    generator = electra.generator.bert
    assert generator.embedding is electra.discriminator.bert.embedding is not kept.embedding
    small, large = (sum(weight.numel() for weight in bert.encoder.parameters()) for bert in (generator, kept))
    assert small < 0.4 * large


def test_electra_gets_the_steps_of_the_same_operations(results):
    for method in ("MLM", "ELECTRA"):
        assert experiment.step_flops(method) == pytest.approx(results["costs"][method]["mflops"], rel=0.2)
    ratio = experiment.step_flops("ELECTRA") / experiment.step_flops("MLM")
    assert experiment.steps_of("MLM") == SETTINGS["steps"]
    assert experiment.steps_of("ELECTRA") == pytest.approx(SETTINGS["steps"] / ratio, abs=1) and 1 < ratio < 2


def test_every_blank_is_a_mask_and_nothing_else_is_changed():
    batch, draw = some_sentences(64)
    inputs, labels = experiment.masked(batch, draw)
    chosen = labels != IGNORED
    assert (inputs[chosen] == MASK_ID).all() and torch.equal(inputs[~chosen], batch.ids[~chosen])
    assert torch.equal(labels[chosen], batch.ids[chosen]) and chosen.any(1).float().mean() > 0.5


# ---------------------------------------------------------------- measures


def test_a_detector_that_says_original_everywhere_gets_the_share_of_originals(monkeypatch):
    monkeypatch.setitem(SETTINGS, "test_batches", 2)
    torch.manual_seed(0)
    model = experiment.new_model("ELECTRA").eval()
    nn.init.zeros_(model.discriminator.detect.weight)
    for bias, found in ((-1.0, 0.0), (1.0, 1.0)):
        nn.init.constant_(model.discriminator.detect.bias, bias)
        measures = experiment.detection(model)
        share = measures["original_share"]
        assert measures["accuracy"] == pytest.approx(1 - share if found else share) and measures["found"] == found
    assert 0.7 < share < 1 and share > 1 - experiment.blank_share() - 0.05, "words that were drawn right are originals"
    assert experiment.detection(model) == measures


def test_the_blanks_are_as_many_as_the_rate_says():
    assert 0.8 * SETTINGS["rate"] < experiment.blank_share() <= SETTINGS["rate"]             # [CLS], [SEP] have none


def test_fine_tuning_is_that_of_the_few_labels(monkeypatch):
    """The same body, sentences, steps and rate give the same losses and the same scores."""
    monkeypatch.setitem(few_labels.SETTINGS["steps"], "50", 4)
    torch.manual_seed(3)
    bert = experiment.body(experiment.new_model("MLM"))
    monkeypatch.setattr(few_labels, "start", lambda method: (experiment.body(nn.ModuleDict({"bert": bert})),
                                                             few_labels.load_tokenizer("wordpiece")))
    wanted, tokenizer, _ = few_labels.fine_tune("own", SETTINGS["labels"], 1, 2e-3)
    found = experiment.fine_tune(experiment.body(nn.ModuleDict({"bert": bert})), 1, 2e-3)
    texts = few_labels.draw_sentences("test", 2).texts
    scores = few_labels.predict(found, tokenizer, texts)
    assert scores.shape == (2 * len(TOPICS), len(TOPICS))
    torch.testing.assert_close(scores, few_labels.predict(wanted, tokenizer, texts))


# ---------------------------------------------------------------- a short run


@pytest.mark.parametrize("method", ["MLM", "ELECTRA"])
def test_a_few_steps_can_be_repeated_and_move_the_body(method, monkeypatch):
    monkeypatch.setitem(SETTINGS, "steps", 6)
    runs = [experiment.trained(method, seed, 3e-3) for seed in (0, 0, 1)]
    losses = [history.losses for _, history in runs]
    assert losses[0] == losses[1] != losses[2] and len(losses[0]) == experiment.steps_of(method)
    torch.manual_seed(0)
    before = experiment.body(experiment.new_model(method)).state_dict()
    after = experiment.body(runs[0][0]).state_dict()
    assert {name for name in before if torch.equal(before[name], after[name])} <= {
        "pooler.weight", "pooler.bias"}


# ---------------------------------------------------------------- the recording


def test_the_recording_has_every_pair_of_rates_and_every_seed_with_the_best(results):
    pairs = [(row["method"], row["rate"], row["fine_tuning_rate"]) for row in results["search"]]
    assert pairs == [(method, *rates) for method in experiment.METHODS for rates in itertools.product(
        [None] if method == "scratch" else SETTINGS["rates"], SETTINGS["fine_tuning_rates"])]
    assert [(row["method"], row["seed"]) for row in results["rows"]] == list(
        itertools.product(experiment.METHODS, SETTINGS["seeds"]))
    for row in results["rows"]:
        assert (row["rate"], row["fine_tuning_rate"]) == experiment.best_rates(results["search"], row["method"])
        assert 1 / len(TOPICS) < row["test"] < 1


def test_what_the_recording_is_quoted_for(results):
    """So few steps teach the words' shares and a little context; the detector has not begun to find anything."""
    rows = {method: [row for row in results["rows"] if row["method"] == method] for method in experiment.METHODS}
    unigram = rows["MLM"][0]["words"]["unigram_loss"]
    assert all(row["words"]["word_loss"] < unigram - 0.3 for row in rows["MLM"])
    for found in (row["detection"] for row in rows["ELECTRA"]):
        assert found["word_loss"] < unigram - 0.1 and 0 < found["drawn_right"] < 0.1
        assert abs(found["accuracy"] - found["original_share"]) < 0.01 and found["found"] < 0.05
    means = {method: statistics.mean(row["test"] for row in rows[method]) for method in rows}
    assert max(means.values()) - min(means.values()) < 0.08, "no method is ahead by more than its seeds differ"
    costs = results["costs"]
    assert costs["ELECTRA"]["milliseconds"] / costs["MLM"]["milliseconds"] > (
        costs["ELECTRA"]["mflops"] / costs["MLM"]["mflops"]), "equal operations are not equal time here"


def test_one_fine_tuning_comes_again(results):
    row = next(row for row in results["rows"] if (row["method"], row["seed"]) == ("scratch", 0))
    found = experiment.topic_accuracy(experiment.body(experiment.start("scratch", 0, None)), 0,
                                      row["fine_tuning_rate"], "test")
    assert found == pytest.approx(row["test"], abs=0.12)
