"""Recorded experiments: complete, made with the settings that stand in the code, and repeatable."""

import itertools
import json

import pytest
import torch
from safetensors.torch import save_file

from course_utils import layout, recordings
from course_utils.commands import record
from course_utils.data.memory import recall_batch
from course_utils.data.translation import translation_splits
from course_utils.recordings import gated_memory, load_weights, recall_rnn, recall_weights, recorded, translation_rnn


@pytest.mark.parametrize("name", record.names())
def test_a_recording_holds_the_settings_of_its_script(name):
    recorded = json.loads((layout.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert recorded["settings"] == record.load(name).SETTINGS
    assert recorded["seconds"] > 0 and {"python", "torch", "numpy"} <= set(recorded["versions"])


def test_the_recall_sweep_is_whole_and_one_seed_of_it_can_be_repeated():
    rows = json.loads((layout.RESULTS / "recall_rnn.json").read_text(encoding="utf-8"))["results"]["rows"]
    settings = recall_rnn.SETTINGS
    found = {(row["gap"], row["learning_rate"], row["seed"]) for row in rows}
    assert len(rows) == len(found) == (
        len(settings["gaps"]) * len(settings["learning_rates"]) * len(settings["seeds"])
    )
    for gap, learning_rate in ((10, 3e-3), (40, 1e-3)):      # as in the chapter: one that is solved, one that fails
        row = next(r for r in rows if (r["gap"], r["learning_rate"], r["seed"]) == (gap, learning_rate, 0))
        validation, test = recall_rnn.recall_accuracy(gap, learning_rate, seed=0)
        assert abs(validation - row["validation"]) < 0.1 and abs(test - row["test"]) < 0.1


def test_the_gated_sweep_is_whole_and_some_of_it_can_be_repeated():
    rows, settings = recorded("gated_memory")["results"]["rows"], gated_memory.SETTINGS
    keys = ("task", "cell", "gate_bias", "length", "learning_rate", "seed")
    found = {tuple(row[key] for key in keys): row for row in rows}
    starts = [("RNN", None), *itertools.product(("LSTM", "GRU"), (None, settings["gate_bias"]))]
    expected = {(task, *start, *rest) for task in ("recall", "adding") for start in starts
                for rest in itertools.product(settings["lengths"], settings["learning_rates"], settings["seeds"])
                if (task, start[0]) != ("recall", "RNN")}
    assert len(rows) == len(found) and set(found) == expected
    for run, tolerance in ((("recall", "LSTM", 5.0, 10, 1e-2, 0), 0.1), (("adding", "GRU", None, 10, 1e-2, 1), 0.01)):
        validation, test = gated_memory.memory_score(*run)
        assert abs(validation - found[run]["validation"]) < tolerance and abs(test - found[run]["test"]) < tolerance


def test_the_plain_networks_recall_is_the_recording_of_chapter_01():
    """Chapter 02 takes its rows from there: the same settings, and the same run gives the same numbers."""
    settings = gated_memory.SETTINGS
    same = {"hidden_size": 64, "steps": 500} | {name: settings[name] for name in ("batch_size", "max_norm")}
    assert {name: recall_rnn.SETTINGS[name] for name in same} == same == same | settings["recall"]
    assert settings["learning_rates"] == recall_rnn.SETTINGS["learning_rates"]
    assert gated_memory.memory_score("recall", "RNN", None, 5, 3e-3, 0) == recall_rnn.recall_accuracy(5, 3e-3, 0)


def test_the_recorded_weights_do_what_the_recording_says():
    rows = recorded("recall_weights")["results"]["rows"]
    for name in recall_weights.CELLS:
        best = max((row for row in rows if row["name"] == name), key=lambda row: row["validation"])
        model = load_weights(recall_weights.recall_reader(name), name)
        for gap, share in zip(recall_weights.SETTINGS["tested_gaps"], best["test"], strict=True):
            assert abs(recall_weights.accuracy(model, gap, 2) - share) < 0.01
        x, _ = recall_batch(2, 3)
        assert not model.training and torch.isfinite(model(x)).all()


def test_the_translation_recording_is_whole_and_its_weights_translate_as_it_says():
    results, settings = recorded("translation_rnn")["results"], translation_rnn.SETTINGS
    assert [(row["teacher_forcing"], row["seed"]) for row in results["rows"]] == [
        (ratio, seed) for ratio in settings["ratios"] for seed in settings["seeds"]]
    model = load_weights(translation_rnn.translator(settings["checkpoint"]["hidden_size"]), "seq2seq")
    test = translation_splits(train=settings["pairs"]).test
    shares = translation_rnn.exact_by_length(model, test)
    assert all(abs(a - b) < 0.02 for a, b in zip(shares, results["long"]["test"], strict=True))


def test_weights_that_are_missing_or_do_not_fit_are_told_in_one_line():
    with pytest.raises(FileNotFoundError, match=r"there is no nothing\.safetensors"):
        load_weights(torch.nn.Linear(1, 1), "nothing")
    model = recall_weights.recall_reader("recall_lstm")
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(ValueError, match="the weights 'recall_gru' are of another model") as error:
        load_weights(model, "recall_gru")
    assert "\n" not in str(error.value)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    for name in ("../checkpoints/recall_lstm", "x" * 300, ""):
        with pytest.raises(FileNotFoundError):
            load_weights(model, name)


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\x00" * 64])
def test_a_broken_file_of_weights_is_told_in_one_line(tmp_path, monkeypatch, content):
    monkeypatch.setattr(recordings, "CHECKPOINTS", tmp_path)
    (tmp_path / "broken.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.safetensors cannot be read") as error:
        load_weights(torch.nn.Linear(1, 1), "broken")
    assert "\n" not in str(error.value)


def test_weights_that_are_no_numbers_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "CHECKPOINTS", tmp_path)
    save_file({"weight": torch.tensor([[torch.nan]]), "bias": torch.zeros(1)}, tmp_path / "nan.safetensors")
    with pytest.raises(ValueError, match="hold infinity or NaN"):
        load_weights(torch.nn.Linear(1, 1), "nan")


def test_checkpoints_stay_small():
    sizes = {path.name: path.stat().st_size for path in layout.CHECKPOINTS.iterdir()}
    assert set(sizes) >= {"recall_rnn.safetensors", "recall_lstm.safetensors", "recall_gru.safetensors",
                          "seq2seq.safetensors"}
    assert all(name.endswith(".safetensors") and size <= 3_000_000 for name, size in sizes.items())
    assert sum(sizes.values()) <= 15_000_000
