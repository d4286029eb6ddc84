"""Loss against size: sizes counted by hand, a line that is a line, and a recording that says what was run."""

import math

import pytest
import torch
import torch.nn.functional as F

from course_utils.recordings import recorded, scaling
from course_utils.recordings.docstring_gpt import bits_per_character, token_stream
from course_utils.recordings.scaling import (
    SETTINGS,
    best_learning_rate,
    chosen_rows,
    fits,
    measured,
    new_model,
    next_token_loss,
    parameter_counts,
    power_law,
    trained,
)


@pytest.fixture(scope="module")
def results():
    return recorded("scaling")["results"]


@pytest.fixture(scope="module")
def rows(results):
    return results["rows"]


# ---- sizes and measures


@pytest.mark.parametrize("width", SETTINGS["widths"])
def test_parameters_are_those_of_the_parts(width):
    C, N, V, T = width, SETTINGS["n_layers"], 2000, SETTINGS["max_length"]
    block = 4 * (C * C + C) + (C * 4 * C + 4 * C) + (4 * C * C + C) + 2 * 2 * C    # attention, two layers, two norms
    assert parameter_counts(new_model(width)) == (N * block + 2 * C, N * block + 2 * C + V * C + T * C)


def test_scores_at_the_start_are_small_at_every_width():
    """The start is scaled by width: no size begins far above the loss of guessing."""
    ids = token_stream("train")[None, : SETTINGS["max_length"]]
    for width in SETTINGS["widths"]:
        torch.manual_seed(0)
        with torch.no_grad():
            loss = F.cross_entropy(new_model(width)(ids)[0, :-1], ids[0, 1:])
        assert abs(loss - math.log(2000)) < 0.7, width


def test_the_loss_is_the_mean_over_tokens_that_bits_per_character_sums():
    torch.manual_seed(0)
    model, limit = new_model(8), SETTINGS["read"]
    loss, bits = next_token_loss(model, "validation")
    assert bits == bits_per_character(model, "validation", limit)
    with torch.no_grad():
        model.words.weight.zero_()                   # every token equally likely: each costs ln V, whatever the window
    assert next_token_loss(model, "validation")[0] == pytest.approx(math.log(2000), abs=1e-3)
    assert loss == pytest.approx(math.log(2000), abs=0.7)


# ---- the line


def test_a_line_through_a_power_law_finds_it():
    sizes = [10, 100, 1000, 5000]
    line = power_law(sizes, [7 * size ** -0.3 for size in sizes])
    assert line["exponent"] == pytest.approx(0.3) and line["factor"] == pytest.approx(7)
    assert line["farthest"] == pytest.approx(0, abs=1e-9)
    bent = power_law(sizes, [7 * size ** -0.3 + 2 for size in sizes])              # a floor bends it, and is told
    assert bent["exponent"] < 0.3 and bent["farthest"] > 0.02


def test_the_line_is_that_of_least_squares():
    sizes, losses = [3.0, 20.0, 90.0, 500.0], [5.0, 4.2, 4.4, 3.1]
    ones = torch.stack([torch.ones(4), torch.tensor(sizes).log()], dim=1)
    start, slope = torch.linalg.lstsq(ones, torch.tensor(losses).log()[:, None]).solution.flatten().tolist()
    line = power_law(sizes, losses)
    assert (line["exponent"], line["factor"]) == pytest.approx((-slope, math.exp(start)), rel=1e-4)


@pytest.mark.parametrize(("sizes", "losses"), [([5], [1]), ([5, 5], [1, 2]), ([1, 2], [1]), ([0, 2], [1, 2]),
                                               ([1, 2], [1, -2])])
def test_numbers_without_a_line_are_told_in_one_line(sizes, losses):
    with pytest.raises(ValueError, match="a line needs"):
        power_law(sizes, losses)


# ---- the recording


def test_every_run_is_recorded(rows):
    shortest = SETTINGS["budgets"][0]
    for width in SETTINGS["widths"]:
        tried = [row["learning_rate"] for row in rows if (row["width"], row["steps"], row["seed"]) == (
            width, shortest, SETTINGS["seeds"][str(shortest)][0])]
        assert tried == SETTINGS["learning_rates"]
        for steps in SETTINGS["budgets"]:
            seeds = [row["seed"] for row in chosen_rows(rows, steps) if row["width"] == width]
            assert sorted(seeds) == SETTINGS["seeds"][str(steps)]
    assert len(SETTINGS["widths"]) >= 5 and len(SETTINGS["seeds"][str(shortest)]) >= 2
    others = len(SETTINGS["learning_rates"]) - 1     # the rates that were tried and not chosen
    expected = len(SETTINGS["widths"]) * (others + sum(len(seeds) for seeds in SETTINGS["seeds"].values()))
    assert len(rows) == expected


def test_sizes_and_tokens_are_as_the_row_says(rows):
    for row in rows:
        assert (row["blocks"], row["total"]) == parameter_counts(new_model(row["width"]))
        assert row["tokens"] == row["steps"] * SETTINGS["batch_size"] * SETTINGS["max_length"]
        assert row["tokens_per_parameter"] == round(row["tokens"] / row["total"], 1)
        assert row["tokens"] < 6 * len(token_stream("train"))     # repeated text is worth less than new text


def test_the_learning_rate_is_chosen_by_validation_alone(rows):
    without_test = [{**row, "test": None, "bits": None} for row in rows]
    turned = [{**row, "validation": -row["validation"]} for row in rows]
    for width in SETTINGS["widths"]:
        chosen = best_learning_rate(rows, width)
        assert best_learning_rate(without_test, width) == chosen != best_learning_rate(turned, width)


def mean_losses(rows, steps):
    """Mean test loss of each width at one budget."""
    losses = [[row["test"] for row in chosen_rows(rows, steps) if row["width"] == width]
              for width in SETTINGS["widths"]]
    return [sum(found) / len(found) for found in losses]


def test_larger_models_have_a_smaller_loss_once_they_have_read_enough(rows):
    """At the longest budget every step up in size helps. At the shorter ones the largest has read too little."""
    for steps in SETTINGS["budgets"]:
        means = mean_losses(rows, steps)[:-1]
        assert means == sorted(means, reverse=True)
    gains = [means[-2] - means[-1] for means in (mean_losses(rows, steps) for steps in SETTINGS["budgets"])]
    assert gains == sorted(gains) and gains[0] < 0.05 < gains[-1]


def test_a_longer_budget_helps_every_size(rows):
    by_budget = [mean_losses(rows, steps) for steps in SETTINGS["budgets"]]
    assert all(list(means) == sorted(means, reverse=True) for means in zip(*by_budget, strict=True))


def test_the_lines_are_those_of_the_rows_and_the_exponent_grows_with_the_budget(results):
    assert results["fits"] == fits(results["rows"])
    for count in ("total", "blocks"):
        exponents = [line["exponent"] for line in results["fits"] if line["count"] == count]
        assert exponents == sorted(exponents) and exponents[-1] > 1.2 * exponents[0] > 0


def test_a_short_run_can_be_repeated():
    runs = [trained(8, 3, 0, 1e-2) for _ in range(2)]
    assert runs[0][1].losses == runs[1][1].losses and len(runs[0][1].losses) == 3
    assert trained(8, 3, 1, 1e-2)[1].losses != runs[0][1].losses
    assert not runs[0][0].training


def test_a_recorded_run_can_be_repeated(rows):
    """Another version of Python has other docstrings: the loss is near, not equal."""
    width, steps = SETTINGS["widths"][0], SETTINGS["budgets"][0]
    row = chosen_rows([row for row in rows if row["width"] == width], steps)[0]
    again = measured(width, steps, row["seed"], row["learning_rate"])
    assert again["test"] == pytest.approx(row["test"], abs=0.15)
    assert {**again, **{name: row[name] for name in ("seconds", "test", "validation", "bits")}} == row


def test_the_recording_trains_what_it_says(monkeypatch):
    small = {"widths": [8, 16], "budgets": [1, 2], "seeds": {"1": [0, 1], "2": [0]}, "learning_rates": [1e-3, 1e-2],
             "read": 200}
    monkeypatch.setattr(scaling, "SETTINGS", {**SETTINGS, **small})
    result = scaling.run()
    assert [(row["width"], row["steps"], row["seed"]) for row in result["rows"]] == [
        (8, 1, 0), (8, 1, 0), (16, 1, 0), (16, 1, 0), (8, 1, 1), (16, 1, 1), (8, 2, 0), (16, 2, 0)]
    assert [(line["steps"], line["count"]) for line in result["fits"]] == [
        (1, "total"), (1, "blocks"), (2, "total"), (2, "blocks")]
