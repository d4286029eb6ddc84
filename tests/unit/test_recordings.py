"""Recorded experiments: complete, made with the settings that stand in the code, and repeatable."""

import json

import pytest

from course_utils import layout
from course_utils.commands import record
from course_utils.recordings import recall_rnn


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
