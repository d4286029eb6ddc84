"""Chapter 07's recordings: whole, repeatable, and the checkpoint does what its row says."""

import pytest
import torch

from course_utils.data.translation import translation_splits
from course_utils.data.vocabulary import SOS_ID
from course_utils.models.transformer import Residual
from course_utils.recordings import load_weights, recorded, translation_attention, translation_rnn
from course_utils.recordings import translation_transformer as experiment
from course_utils.recordings.translation_rnn import encode_pairs


@pytest.fixture(scope="module")
def splits():
    return translation_splits(train=experiment.SETTINGS["pairs"])


@pytest.fixture(scope="module")
def model():
    return load_weights(experiment.translator(), "transformer")


def test_every_variant_has_every_seed_and_a_whole_curve():
    rows, settings = recorded("translation_transformer")["results"]["rows"], experiment.SETTINGS
    assert [(row["variant"], row["seed"]) for row in rows] == [
        (variant, seed) for variant in experiment.VARIANTS for seed in settings["seeds"]]
    assert {len(row["losses"]) for row in rows} == {settings["steps"] // 50}


def test_pairs_buckets_and_seeds_are_those_of_chapters_03_and_04():
    same = ("pairs", "max_norm", "seeds", "longest", "buckets")
    for other in (translation_rnn.SETTINGS, translation_attention.SETTINGS):
        assert {name: experiment.SETTINGS[name] for name in same} == {name: other[name] for name in same}


def test_the_live_training_is_right_on_held_out_sentences_with_every_seed():
    rows = [row for row in recorded("translation_transformer")["results"]["rows"]
            if row["variant"] == experiment.LIVE]
    assert min(row["exact"] for row in rows) >= 0.97


def test_the_checkpoint_is_the_recorded_model(model, splits):
    row = recorded("translation_transformer")["results"]["long"]
    few = splits._replace(test=splits.test[:400], longer=splits.longer[:50])
    found = experiment.measured(model, few)
    assert abs(found["exact"] - row["exact"]) < 0.03 and found["weights"] == row["weights"]
    hits = torch.tensor(experiment.head_hits(model, splits.test))
    torch.testing.assert_close(hits, torch.tensor(row["hits"]), atol=0.005, rtol=0)


def test_a_few_steps_can_be_repeated_and_variants_differ(splits):
    few, first = splits._replace(train=splits.train[:500]), {}
    for variant in experiment.VARIANTS:
        losses = experiment.trained(variant, 1, few, steps=3)[1].losses
        assert experiment.trained(variant, 1, few, steps=3)[1].losses == losses
        first[variant] = tuple(losses)
    assert len(set(first.values())) == len(first)


def test_batch_norm_stands_in_every_frame_and_normalises_over_the_tokens():
    model = experiment.translator(batch_norm=True)
    frames = [module for module in model.modules() if isinstance(module, Residual)]
    assert frames and all(isinstance(frame.norm, experiment.TokenBatchNorm) for frame in frames)
    normed = frames[0].norm(torch.randn(5, 3, experiment.SETTINGS["d_model"]) * 4 + 2)
    torch.testing.assert_close(normed.mean((0, 1)), torch.zeros(normed.shape[-1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.var((0, 1), correction=0), torch.ones(normed.shape[-1]), atol=1e-3, rtol=0)


def test_the_alignment_of_a_sentence_has_every_layer_and_head(model):
    weights, written, read = experiment.alignment_of(model, "The cat drinks milk.", polite=True)
    assert read == ["<polite>", "the", "cat", "drinks", "milk"]
    assert written == ["고양이", "+는", "우유", "+를", "마셔요", "<eos>"]
    assert weights.shape == (experiment.SETTINGS["n_layers"], experiment.SETTINGS["n_heads"], 6, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_a_sentence_outside_the_grammar_is_refused_in_one_line(model):
    with pytest.raises(ValueError, match="dragon") as error:
        experiment.alignment_of(model, "the dragon sleeps")
    assert "\n" not in str(error.value)


def test_head_hits_are_counted_pair_by_pair(model, splits):
    """The same number from one sentence at a time, with a loop."""
    from course_utils.data.alignment import content_links

    pairs, hits, total = splits.test[:12], 0, 0
    for pair in pairs:
        ids, lengths, wanted = encode_pairs([pair])
        assert wanted[0, 0] == SOS_ID
        looked_at = experiment.cross_weights(model, ids, lengths, wanted[:, :-1])[1, 0, 2].argmax(-1)       # (T,)
        hits += sum(int(looked_at[t]) == s for t, s in content_links(pair))
        total += len(content_links(pair))
    assert experiment.head_hits(model, pairs)[1][2] == pytest.approx(hits / total)


def test_a_curve_is_the_means_of_its_parts():
    assert experiment.curve([1.0, 3.0, 5.0, 7.0, 100.0], every=2) == [2.0, 6.0]
