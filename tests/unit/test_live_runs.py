"""The kept live trainings: they are the runs that the chapters tell of, and they go into the chapters' models only."""

import pytest
import torch

from course_utils.data.translation import translation_splits
from course_utils.metrics import exact_match
from course_utils.models.gpt import causal_loss
from course_utils.recordings import (
    docstring_gpt,
    live_runs,
    recorded,
    translation_attention,
    translation_rnn,
    translation_transformer,
)

TRANSLATORS = {
    "03": (translation_rnn, translation_rnn.translator),
    "04": (translation_attention, lambda: translation_attention.translator(
        *translation_attention.VARIANTS[translation_attention.BEST])),
    "07": (translation_transformer, translation_transformer.translator),
}


def recorded_row(chapter):
    """What the chapter's own recording says of the same run."""
    wanted = {"03": {"teacher_forcing": 1.0}, "04": {"variant": translation_attention.BEST},
              "07": {"variant": "post-norm, warm-up"}}[chapter] | {"seed": 0}
    rows = recorded(TRANSLATORS[chapter][0].__name__.rpartition(".")[2])["results"]["rows"]
    return next(row for row in rows if all(row[key] == value for key, value in wanted.items()))


@pytest.mark.parametrize("chapter", TRANSLATORS)
def test_a_restored_translator_is_the_recorded_run(chapter, capsys):
    recording, make = TRANSLATORS[chapter]
    model = make()
    history = live_runs.restore(model, chapter)
    assert len(history.losses) == recording.SETTINGS["steps"] and not history.interrupted
    assert f"{len(history.losses):,} steps" in capsys.readouterr().out
    splits = translation_splits(train=recording.SETTINGS["pairs"])
    bucket = 1                                               # of lengths: short sentences, so the test is quick
    pairs = translation_rnn.in_bucket(splits.test, recording.SETTINGS["buckets"][bucket])
    found = exact_match(translation_rnn.translations(model, pairs), [pair.target for pair in pairs])
    assert found == pytest.approx(recorded_row(chapter)["test"][bucket], abs=0.5 / len(pairs))


def test_a_restored_gpt_has_learned_what_its_losses_say():
    model = docstring_gpt.new_model("live")
    ids = docstring_gpt.token_stream("train")[: 8 * model.config.max_length].view(8, -1)
    with torch.no_grad():
        before = causal_loss(model(ids), ids).item()
        losses = live_runs.restore(model, "09").losses
        after = causal_loss(model(ids), ids).item()
    assert before == pytest.approx(losses[0], abs=0.5) and after == pytest.approx(sum(losses[-50:]) / 50, abs=0.5)


def test_another_model_is_refused_and_stays_as_it_was():
    model = translation_rnn.translator(hidden_size=64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="of another model"):
        live_runs.restore(model, "03")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
