"""Chapter 04's recording: whole, repeatable, and its checkpoint does what the rows say."""

import pytest
import torch

from course_utils.data.translation import translation_splits
from course_utils.recordings import load_weights, recorded, translation_rnn
from course_utils.recordings import translation_attention as experiment


@pytest.fixture(scope="module")
def splits():
    return translation_splits(train=experiment.SETTINGS["pairs"])


@pytest.fixture(scope="module")
def model():
    return load_weights(experiment.translator(*experiment.VARIANTS[experiment.BEST]), "attention")


def test_every_variant_has_every_seed_and_the_decay_was_chosen_for_both_kinds():
    results, settings = recorded("translation_attention")["results"], experiment.SETTINGS
    assert [(row["variant"], row["seed"]) for row in results["rows"]] == [
        (variant, seed) for variant in experiment.VARIANTS for seed in settings["seeds"]]
    assert {(row["variant"], row["weight_decay"]) for row in results["choice"]} == {
        (variant, decay) for variant in ("no attention, both directions", experiment.BEST)
        for decay in settings["decays"]}


def test_data_batches_sizes_and_seeds_are_those_of_chapter_03():
    same = ("pairs", "embedding_size", "hidden_size", "batch_size", "warmup", "max_norm", "seeds", "buckets",
            "learning_rate")
    assert {name: experiment.SETTINGS[name] for name in same} == {
        name: translation_rnn.SETTINGS[name] for name in same}
    assert experiment.SETTINGS["steps"] <= translation_rnn.SETTINGS["steps"]


def test_the_checkpoint_is_the_recorded_model(model, splits):
    row = next(row for row in recorded("translation_attention")["results"]["rows"]
               if (row["variant"], row["seed"]) == (experiment.BEST, 0))
    found = experiment.measured(model, splits)
    assert all(abs(a - b) < 0.01 for a, b in zip(found["test"], row["test"], strict=True))
    assert abs(found["hits"] - row["hits"]) < 0.005 and found["weights"] == row["weights"]


def test_a_few_steps_can_be_repeated(splits):
    runs = []
    for _ in range(2):
        torch.manual_seed(1)
        net = experiment.translator("additive", True)
        runs.append(experiment.train_variant(net, splits.train[:500], seed=1, steps=4).losses)
    assert runs[0] == runs[1] and runs[0][-1] < runs[0][0]


def test_the_alignment_of_a_sentence_has_a_row_for_each_word_it_wrote(model):
    weights, written, read = experiment.alignment_of(model, "The cat drinks milk.", polite=True)
    assert read == ["<polite>", "the", "cat", "drinks", "milk"]
    assert written == ["고양이", "+는", "우유", "+를", "마셔요", "<eos>"]
    assert weights.shape == (6, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(6))
    assert weights[4].argmax() == 3 and weights[0].argmax() == 2       # the verb, and the cat


def test_a_sentence_outside_the_grammar_is_refused_in_one_line(model):
    with pytest.raises(ValueError, match="dragon") as error:
        experiment.alignment_of(model, "the dragon sleeps")
    assert "\n" not in str(error.value)


def test_hits_of_a_model_that_looks_at_the_right_word_are_one(splits):
    """A stand-in that looks where the links point, and one that always looks at the register."""
    pairs = splits.test[:40]

    class Looks:
        def __init__(self, right):
            self.right = right

        def alignment(self, ids, lengths, read):
            weights = torch.zeros(len(ids), read.shape[1], ids.shape[1])
            weights[:, :, 0] = 0.5
            for row, pair in enumerate(pairs if self.right else []):
                for t, s in experiment.content_links(pair):
                    weights[row, t, s] = 1.0
            return weights

    assert experiment.alignment_hits(Looks(True), pairs) == 1
    assert experiment.alignment_hits(Looks(False), pairs) == 0
