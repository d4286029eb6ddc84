"""Experiments too long to run in a notebook, one module each, and what came of them."""

import json
import statistics
import time

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

    Raises FileNotFoundError where there are none, ValueError where they cannot be read or do not fit the model, which
    then stays as it was.
    """
    from safetensors import SafetensorError  # not above: listing the recordings needs no torch
    from safetensors.torch import load_file

    path = CHECKPOINTS / f"{name}.safetensors"
    if path.parent != CHECKPOINTS or path.name not in {found.name for found in CHECKPOINTS.glob("*.safetensors")}:
        raise FileNotFoundError(f"there is no {path.name} in {CHECKPOINTS.name}/; `record` without a name lists all")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read: {' '.join(str(error).split())[:100]}") from None
    found, wanted = ({key: tuple(value.shape) for key, value in state.items()}
                     for state in (weights, model.state_dict()))
    if found != wanted:
        key = next(key for key in {**wanted, **found} if found.get(key) != wanted.get(key))
        raise ValueError(f"the weights {name!r} are of another model: {key} is {found.get(key)}, not {wanted.get(key)}")
    if not all(value.isfinite().all() for value in weights.values()):
        raise ValueError(f"the weights {name!r} hold infinity or NaN")
    model.load_state_dict(weights)
    return model.eval()


def best_rate(rows, measure, better=max, rate="rate", **where):
    """The learning rate with the best mean of `measure` among the rows that hold what `where` says; first of equals.

    rows: dicts, one for each run of a search. measure, rate: the keys of what came out and of what was tried. better:
    max or min. Raises ValueError where no row fits.
    """
    found = {}
    for row in rows:
        if all(row[key] == value for key, value in where.items()):
            found.setdefault(row[rate], []).append(row[measure])
    if not found:
        raise ValueError(f"no row has {where}")
    return better(found, key=lambda tried: statistics.fmean(found[tried]))


def median_seconds(functions, rounds):
    """Seconds that each function takes, the median of interleaved rounds: a dict by name. functions take no arguments.

    Interleaved: in every round each runs once, so that another program's load falls on all of them. A first run of each
    does not count: memory is fetched there, and kernels are chosen.
    """
    taken = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if number:
                taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}
