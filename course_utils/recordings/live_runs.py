"""The longer trainings of chapters 03, 04, 07 and 09, as their notebooks run them live, kept for `present`.

A class need not wait for them: `present` puts `restore` in the place of the training. Weights and losses are those of
the notebook's own run with seed 0, so every later cell shows what the chapter shows.
"""

import torch

from course_utils.data.translation import translation_splits
from course_utils.recordings import (
    docstring_gpt,
    load_weights,
    recorded,
    translation_attention,
    translation_rnn,
    translation_transformer,
)
from course_utils.training import History

SETTINGS = {"seed": 0}
# Chapter 04's run is the one whose weights its own recording keeps.
WEIGHTS = {"03": "live_03", "04": "attention", "07": "live_07", "09": "live_09"}


def seq2seq_run(seed):
    """Chapter 03's translator, trained, and its History."""
    torch.manual_seed(seed)
    settings = translation_rnn.SETTINGS
    model, splits = translation_rnn.translator(), translation_splits(train=settings["pairs"])
    return model, translation_rnn.train_translator(model, splits.train, seed, settings["steps"])


def attention_run(seed):
    """Chapter 04's translator, trained, and its History."""
    splits = translation_splits(train=translation_attention.SETTINGS["pairs"])
    return translation_attention.trained(translation_attention.BEST, seed, splits)


def transformer_run(seed):
    """Chapter 07's translator, trained, and its History."""
    splits = translation_splits(train=translation_transformer.SETTINGS["pairs"])
    return translation_transformer.trained("post-norm, warm-up", seed, splits)


RUNS = {"03": seq2seq_run, "04": attention_run, "07": transformer_run, "09": docstring_gpt.trained}


def restore(model, chapter):
    """Put the weights of a chapter's live run into an untrained model of its sizes; returns the run's History.

    chapter: one of WEIGHTS. Raises ValueError for a model of other sizes, FileNotFoundError where the recording is not
    there.
    """
    losses = recorded("live_runs")["results"]["losses"][chapter]
    load_weights(model, WEIGHTS[chapter])
    print(f"loaded: the weights that this training gave, after {len(losses):,} steps")
    return History(losses=list(losses))


def run(progress=list):
    """Every run once: the loss at each step, and the weights that no other recording keeps."""
    losses, weights = {}, {}
    for chapter in progress(list(RUNS)):
        model, history = RUNS[chapter](SETTINGS["seed"])
        losses[chapter] = [round(loss, 5) for loss in history.losses]
        if WEIGHTS[chapter].startswith("live"):
            weights[WEIGHTS[chapter]] = model
    return {"losses": losses, "weights": weights}
