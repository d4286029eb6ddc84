"""Chapter 06's ablation: the task allows exactly 1/(T-1) without order, the recording is whole and repeatable."""

import itertools

import pytest
import torch

from course_utils.recordings import position_ablation, recorded
from course_utils.recordings.position_ablation import (
    KINDS,
    SETTINGS,
    PositionReader,
    best_learning_rate,
    right_by_place,
    symbol_batch,
    train_reader,
)


@pytest.fixture(scope="module")
def rows():
    return recorded("position_ablation")["results"]["rows"]


def test_a_sentence_has_different_symbols_and_no_order_is_favoured():
    ids = symbol_batch(4000, 7, torch.Generator().manual_seed(0))
    assert ids.shape == (4000, 7) and ids.dtype == torch.int64
    assert all(len(set(row)) == 7 for row in ids.tolist())
    assert set(ids.flatten().tolist()) == set(range(SETTINGS["symbols"]))
    earlier = (ids[:, :-1] < ids[:, 1:]).float().mean(0)     # at each place, the smaller id comes first half the time
    assert (earlier - 0.5).abs().max() < 0.05
    assert torch.equal(ids, symbol_batch(4000, 7, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("T", [-1, 0, 1, SETTINGS["symbols"] + 1])
def test_a_length_without_a_task_is_refused(T):
    with pytest.raises(ValueError, match=f"T={T} must be from 2 to 50"):
        symbol_batch(3, T)


@pytest.mark.parametrize("kind", KINDS)
def test_only_positions_let_the_network_see_order(kind):
    torch.manual_seed(0)
    model, ids, order = PositionReader(kind), symbol_batch(3, 9), torch.randperm(9)
    assert model(ids).shape == (3, 9, SETTINGS["symbols"])
    same = torch.allclose(model(ids[:, order]), model(ids)[:, order], atol=1e-5)
    assert same == (kind == "none")


def test_a_word_sees_what_follows_it_so_no_mask_leaks_order():
    torch.manual_seed(0)
    model, ids = PositionReader("none"), symbol_batch(1, 9)
    changed = ids.clone()
    changed[0, -1] = next(number for number in range(SETTINGS["symbols"]) if number not in ids)
    assert not torch.allclose(model(ids)[:, 0], model(changed)[:, 0])


def test_an_unknown_kind_and_a_sentence_past_the_table_are_told_in_one_line():
    with pytest.raises(ValueError, match="positions='rope' is none of none, sinusoidal, learned"):
        PositionReader("rope")
    with pytest.raises(ValueError, match="a sequence of 41 words, but positions for 40"):
        PositionReader("learned")(symbol_batch(1, 41))


def test_every_run_is_recorded(rows):
    found = [(row["positions"], row["learning_rate"], row["seed"]) for row in rows]
    assert found == list(itertools.product(KINDS, SETTINGS["learning_rates"], SETTINGS["seeds"]))
    assert len(SETTINGS["seeds"]) >= 3
    for row in rows:
        assert len(row["test"]) == len(SETTINGS["tested_lengths"])
        assert len(row["by_place"]) == SETTINGS["tested_lengths"][-1] - 1 == SETTINGS["table"] - 1
        assert sum(row["by_place"]) / len(row["by_place"]) == pytest.approx(row["test"][-1], abs=0.001)


def test_the_learning_rate_is_chosen_by_validation_alone(rows):
    chosen = {kind: best_learning_rate(rows, kind) for kind in KINDS}
    without_test = [{**row, "test": None, "by_place": None} for row in rows]
    assert {kind: best_learning_rate(without_test, kind) for kind in KINDS} == chosen
    turned = [{**row, "validation": -row["validation"]} for row in rows]
    assert all(best_learning_rate(turned, kind) != chosen[kind] for kind in KINDS)
    edges = {SETTINGS["learning_rates"][0], SETTINGS["learning_rates"][-1]}
    assert not edges & {chosen["sinusoidal"], chosen["learned"]}     # at the edge, the grid might be too short


def test_without_positions_no_run_beats_the_limit(rows):
    """At most 1/(T-1): 500 sentences leave a little luck, by no more than about four standard errors."""
    for row in rows:
        for T, share in zip(SETTINGS["tested_lengths"], row["test"], strict=True):
            limit = 1 / (T - 1)
            luck = 4 * (limit * (1 - limit) / (500 * (T - 1))) ** 0.5
            assert row["positions"] != "none" or share < limit + luck


def test_one_run_can_be_repeated(rows):
    rate = best_learning_rate(rows, "learned")
    [row] = [r for r in rows if (r["positions"], r["learning_rate"], r["seed"]) == ("learned", rate, 1)]
    torch.manual_seed(1)
    model = PositionReader("learned")
    history = train_reader(model, 1, rate)
    assert len(history.losses) == SETTINGS["steps"] and not model.training
    for T, share in zip(SETTINGS["tested_lengths"], row["test"], strict=True):
        assert abs(right_by_place(model, T, seed=2).mean().item() - share) < 0.05


def test_a_trained_row_is_one_that_a_sentence_reached(rows):
    torch.manual_seed(0)
    model = PositionReader("learned")
    before = model.positions.table.detach().clone()
    train_reader(model, 0, 1e-3)
    moved = (model.positions.table - before).abs().amax(1) > 0
    longest = SETTINGS["trained_lengths"][1]
    assert moved[:longest].all() and not moved[longest:].any()


def test_the_recording_trains_what_it_says(monkeypatch):
    monkeypatch.setattr(position_ablation, "SETTINGS", {**SETTINGS, "steps": 3, "seeds": [0], "learning_rates": [1e-3]})
    small = position_ablation.run()["rows"]
    assert [row["positions"] for row in small] == list(KINDS)
    assert all(0 <= share <= 1 for row in small for share in (*row["test"], *row["by_place"], row["validation"]))
