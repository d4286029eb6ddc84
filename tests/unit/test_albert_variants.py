"""ALBERT's savings, one at a time: weights counted by hand, the same computing, blanks, and the recording."""

import itertools
import statistics

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.data.subword import CLS, SEP, WORDPIECE_SPECIAL
from course_utils.models.bert import IGNORED
from course_utils.recordings import albert_variants as experiment
from course_utils.recordings import recorded
from course_utils.recordings.docstring_bert import corpus, unigram_log_probs

SETTINGS = experiment.SETTINGS


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def results():
    return recorded("albert_variants")["results"]


def encoder_weights(factorised, shared):
    """The weights of an encoder, from its sizes."""
    C, d_ff, N = (SETTINGS["sizes"][name] for name in ("d_model", "d_ff", "n_layers"))
    E = SETTINGS["d_embedding"] if factorised else C
    embedding = (SETTINGS["vocab_size"] + 2 + SETTINGS["max_length"] + 2) * E + factorised * (E * C + C)
    block = 4 * (C * C + C) + (C * d_ff + d_ff) + (d_ff * C + C) + 4 * C
    return embedding + (1 if shared else N) * block + C * C + C


# ---------------------------------------------------------------- models and costs


@pytest.mark.parametrize("variant", experiment.VARIANTS)
def test_a_variant_has_the_weights_of_its_sizes_and_starts_at_the_frequencies(variant):
    model = experiment.new_model(variant)
    assert sum(weight.numel() for weight in model.bert.parameters()) == encoder_weights(*experiment.VARIANTS[variant])
    assert torch.equal(model.word_bias, unigram_log_probs())


def test_sharing_saves_weights_and_no_computing_and_factorising_nearly_none(results):
    found = {row["variant"]: row for row in experiment.costs(1)}
    for row in results["costs"]:
        assert found[row["variant"]]["weights"] == row["weights"] == encoder_weights(
            *experiment.VARIANTS[row["variant"]])
        assert found[row["variant"]]["mflops"] == pytest.approx(row["mflops"], rel=0.2)      # another Python's texts
    assert found["plain"]["mflops"] == found["shared"]["mflops"] >= found["both"]["mflops"] > (
        0.9 * found["plain"]["mflops"])
    assert found["both"]["weights"] < 0.4 * found["plain"]["weights"]


def test_operations_are_two_for_each_product_forward_and_twice_that_backward():
    layer, x = nn.Linear(30, 50, bias=False), torch.randn(7, 30, requires_grad=True)
    assert experiment.counted_flops(lambda: layer(x).sum()) * 1e6 == pytest.approx(3 * 2 * 7 * 30 * 50)
    heads = torch.randn(2, 3, 5, 4, requires_grad=True)                      # attention counts: scores, weighted sums
    flops = experiment.counted_flops(lambda: F.scaled_dot_product_attention(heads, heads, heads).sum()) * 1e6
    assert flops == pytest.approx(3 * 2 * 2 * (2 * 3 * 5 * 5 * 4))


# ---------------------------------------------------------------- text and measures


def test_a_batch_holds_whole_sentences_each_alone():
    data, draw = corpus("validation"), torch.Generator().manual_seed(0)
    batch = experiment.sentence_batch(data, draw, 8)
    cls, sep, known = WORDPIECE_SPECIAL.index(CLS), WORDPIECE_SPECIAL.index(SEP), {tuple(s) for s in data.sentences}
    for row, length in zip(batch.ids.tolist(), batch.lengths.tolist(), strict=True):
        assert row[0] == cls and row[length - 1] == sep and tuple(row[1 : length - 1]) in known
        assert not any(row[length:])
    assert not batch.segments.any() and (batch.is_random == IGNORED).all()


def test_a_model_that_knows_only_frequencies_has_their_loss(monkeypatch):
    monkeypatch.setitem(SETTINGS, "test_batches", 4)
    model = experiment.new_model("both")
    nn.init.zeros_(model.norm.weight)                        # what it says no longer depends on what it reads
    found, again = experiment.measured(model), experiment.measured(model)
    assert found == again and found["word_loss"] == pytest.approx(found["unigram_loss"], abs=1e-4)
    assert 0.01 < found["word_accuracy"] < 0.15


def test_a_few_steps_can_be_repeated_and_forty_learn(monkeypatch):
    monkeypatch.setitem(SETTINGS, "steps", 3)
    first, again, other = (experiment.trained("both", seed, 3e-3)[1].losses for seed in (1, 1, 2))
    assert first == again != other and len(first) == 3
    monkeypatch.setitem(SETTINGS, "steps", 40)
    monkeypatch.setitem(SETTINGS, "test_batches", 8)
    torch.manual_seed(0)
    before, model = experiment.measured(experiment.new_model("shared")), experiment.trained("shared", 0, 3e-3)[0]
    assert experiment.measured(model)["word_loss"] < before["word_loss"] - 0.02


# ---------------------------------------------------------------- the recording


def test_the_recording_has_every_rate_once_and_every_seed_with_the_best(results):
    first, *others = SETTINGS["seeds"]
    for variant in experiment.VARIANTS:
        rows = [row for row in results["rows"] if row["variant"] == variant]
        best = experiment.best_rate(results["rows"], variant)
        assert [(row["seed"], row["rate"]) for row in rows] == [
            *itertools.product([first], SETTINGS["rates"]), *((seed, best) for seed in others)]
    assert len(experiment.chosen_rows(results["rows"])) == len(experiment.VARIANTS) * len(SETTINGS["seeds"])
    assert len({row[part]["unigram_loss"] for row in results["rows"] for part in ("test",)}) == 1, "the same blanks"


def test_every_variant_learns_more_than_frequencies(results):
    for variant in experiment.VARIANTS:
        tests = [row["test"] for row in experiment.chosen_rows(results["rows"]) if row["variant"] == variant]
        assert all(test["word_loss"] < test["unigram_loss"] - 0.2 for test in tests)
        assert statistics.mean(test["word_accuracy"] for test in tests) > 0.09


def test_one_block_costs_little_and_the_narrow_embedding_more(results):
    """After so few steps. In the paper, after far more, it is the shared block that costs more."""
    rows = experiment.chosen_rows(results["rows"])
    means = {variant: statistics.mean(row["test"]["word_loss"] for row in rows if row["variant"] == variant)
             for variant in experiment.VARIANTS}
    assert 0 < means["shared"] - means["plain"] < 0.1 < means["factorised"] - means["plain"]
    assert abs(means["both"] - means["factorised"]) < 0.05
