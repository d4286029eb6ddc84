"""Experiments too long to run in a notebook, one module each, and what came of them."""

import json

from course_utils.layout import CHECKPOINTS, RESULTS


def recorded(name):
    """The recording `name` as a dict with settings, versions, seconds and results.

    Raises FileNotFoundError, with the command that makes it, where there is none.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"there is no {path.name}; make it with: python3 -m course_utils record {name}")
    return json.loads(path.read_text(encoding="utf-8"))


def load_weights(model, name):
    """Put the recorded weights `name` into a model of the same sizes; returns the model, ready to use.

    Raises FileNotFoundError where there are none, ValueError where they do not fit the model.
    """
    from safetensors.torch import load_file  # not above: listing the recordings needs no torch

    path = CHECKPOINTS / f"{name}.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"there is no {path.name} in {path.parent.name}/; `record` without a name lists all")
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise ValueError(f"the weights {name!r} are of another model: {' '.join(str(error).split())[:200]}") from None
    return model.eval()
