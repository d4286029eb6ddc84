"""Chapter 10's data hunger: the networks, what they see, the moved test digits, and the recording."""

import statistics

import pytest
import torch
from torch import nn

from course_utils.data.images import digits, shift_images
from course_utils.recordings import data_hunger, recorded

SETTINGS = data_hunger.SETTINGS
SEARCH = SETTINGS["search"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def mean_of(name, method, count):
    """Mean over seeds of one number of the recording."""
    rows = recorded("data_hunger")["results"]["rows"]
    return statistics.mean(row[name] for row in rows if (row["method"], row["images"]) == (method, count))


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize(("kind", "least", "most"), [("vit", 50_000, 70_000), ("cnn", 5_000, 10_000),
                                                      ("mlp", 5_000, 10_000)])
def test_a_network_gives_ten_scores_and_has_the_size_that_the_recording_says(kind, least, most):
    model = data_hunger.new_model(kind)
    assert model(torch.rand(3, 1, 8, 8)).shape == (3, 10)
    weights = sum(weight.numel() for weight in model.parameters())
    assert least < weights < most and recorded("data_hunger")["results"]["sizes"][kind] == weights


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"kind='rnn' is none of vit, cnn, mlp"):
        data_hunger.new_model("rnn")


# ---------------------------------------------------------------- what they see


def test_fewer_images_are_the_first_of_more_and_another_seed_draws_others():
    few, many, other = (data_hunger.draw_images(count, seed) for count, seed in ((50, 0), (200, 0), (50, 1)))
    assert torch.equal(few[0], many[0][:50]) and torch.equal(few[1], many[1][:50])
    assert not torch.equal(few[0], other[0])
    everything = data_hunger.draw_images(1300, 3)
    assert torch.equal(everything[1].bincount(), digits("train").labels.bincount())
    assert len({image.numpy().tobytes() for image in everything[0]}) > 1290


def test_every_image_is_moved_by_itself_and_all_nine_moves_happen():
    images = torch.rand(200, 1, 8, 8) + 0.1
    found, seen = data_hunger.move_at_random(images, torch.Generator().manual_seed(0)), set()
    for image, moved in zip(images, found, strict=True):
        seen.update((right, down) for right in (-1, 0, 1) for down in (-1, 0, 1)
                    if torch.equal(shift_images(image, right, down), moved))
    assert len(seen) == 9
    again = data_hunger.move_at_random(images, torch.Generator().manual_seed(0))
    assert torch.equal(found, again)


def test_moved_digits_count_where_nine_tenths_of_their_ink_are_left():
    asked = []

    def says_zero(images):
        asked.append(images)
        return torch.eye(10)[torch.zeros(len(images), dtype=torch.long)]

    found, (images, labels) = data_hunger.moved_accuracy(says_zero), digits("test")
    assert list(found) == list(data_hunger.MOVES) == ["left", "right", "up", "down"]
    lost = {"left": images[..., 0], "right": images[..., 7], "up": images[..., 0, :], "down": images[..., 7, :]}
    for moved, (name, move) in zip(asked, data_hunger.MOVES.items(), strict=True):
        counts = lost[name].sum((1, 2)) <= 0.1 * images.sum((1, 2, 3)) + 1e-5
        assert torch.equal(moved, shift_images(images[counts], *move))
        assert found[name] == pytest.approx((labels[counts] == 0).float().mean().item())
    assert len(asked[0]) == len(asked[1]) == 300 and all(90 < len(moved) < 150 for moved in asked[2:])


def test_the_share_of_right_answers():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.zeros_(model[1].weight)
    with torch.no_grad():
        model[1].bias.copy_(torch.arange(10.0))
    assert data_hunger.accuracy(model, torch.rand(4, 1, 8, 8), torch.tensor([9, 1, 9, 9])) == 0.75


# ---------------------------------------------------------------- training


def test_training_can_be_repeated_and_moves_images_where_it_should(monkeypatch):
    moved, move_at_random = [], data_hunger.move_at_random
    monkeypatch.setattr(data_hunger, "move_at_random", lambda images, generator:
                        moved.append(len(images)) or move_at_random(images, generator))

    def losses(kind, seed, shifted):
        torch.manual_seed(seed)
        model = data_hunger.new_model(kind)
        return data_hunger.train_digits(model, *data_hunger.draw_images(50, 0), seed, 1e-2, shifted, steps=4).losses

    assert losses("mlp", 0, False) == losses("mlp", 0, False) != losses("mlp", 1, False) and not moved
    assert losses("vit", 0, True) == losses("vit", 0, True) != losses("vit", 0, False)
    assert moved == [SETTINGS["batch_size"]] * 8


def test_each_method_trains_with_its_own_rate_and_only_one_with_moved_images(monkeypatch):
    asked = {}
    monkeypatch.setattr(data_hunger, "train_digits", lambda model, images, labels, seed, rate, shifted:
                        asked.update({method: (type(model).__name__, len(images), seed, rate, shifted)}))
    for method in data_hunger.METHODS:
        data_hunger.trained(method, 200, 2)
    rates = SETTINGS["learning_rate"]
    assert asked == {"vit": ("ViTClassifier", 200, 2, rates["vit"], False),
                     "cnn": ("Sequential", 200, 2, rates["cnn"], False),
                     "mlp": ("Sequential", 200, 2, rates["mlp"], False),
                     "vit, shifted": ("ViTClassifier", 200, 2, rates["vit, shifted"], True)}


# ---------------------------------------------------------------- the recording


def test_the_best_rate_has_the_best_mean(monkeypatch):
    monkeypatch.setitem(SEARCH, "rates", [1e-3, 3e-3, 1e-2])
    rows = [{"method": method, "rate": rate, "validation": validation} for method, rate, validation in (
        ("cnn", 1e-3, 0.9), ("cnn", 1e-3, 0.1), ("cnn", 3e-3, 0.6), ("cnn", 3e-3, 0.6), ("cnn", 1e-2, 0.5),
        ("vit", 1e-3, 1.0), ("vit", 3e-3, 0.0), ("vit", 1e-2, 0.0))]
    assert data_hunger.best_rate(rows, "cnn") == 3e-3 and data_hunger.best_rate(rows, "vit") == 1e-3


def test_the_recording_is_whole_and_was_made_with_these_settings():
    recording = recorded("data_hunger")
    assert recording["settings"] == SETTINGS
    assert [(row["method"], row["images"], row["seed"]) for row in recording["results"]["rows"]] == [
        (method, count, seed) for method in data_hunger.METHODS for count in SETTINGS["images"]
        for seed in SETTINGS["seeds"]]
    assert [(row["method"], row["images"], row["rate"], row["seed"]) for row in recording["results"]["search"]] == [
        (method, count, rate, seed) for method in data_hunger.METHODS for count in SEARCH["images"]
        for rate in SEARCH["rates"] for seed in SEARCH["seeds"]]


@pytest.mark.parametrize("method", data_hunger.METHODS)
def test_each_rate_is_the_best_of_the_search_and_lies_inside_its_grid(method):
    assert not set(SEARCH["seeds"]) & set(SETTINGS["seeds"])
    best = data_hunger.best_rate(recorded("data_hunger")["results"]["search"], method)
    assert SETTINGS["learning_rate"][method] == best
    assert min(SEARCH["rates"]) < best < max(SEARCH["rates"])


@pytest.mark.parametrize(("method", "count", "seed"), [("mlp", 1300, 1), ("cnn", 50, 0), ("vit", 200, 0)])
def test_one_cell_can_be_repeated(method, count, seed):
    row = next(row for row in recorded("data_hunger")["results"]["rows"]
               if (row["method"], row["images"], row["seed"]) == (method, count, seed))
    model = data_hunger.trained(method, count, seed)
    assert data_hunger.accuracy(model, *digits("test")) == pytest.approx(row["test"], abs=0.03)
    assert data_hunger.moved_accuracy(model) == pytest.approx({name: row[name] for name in data_hunger.MOVES}, abs=0.05)


def test_few_images_cost_the_vit_most_and_the_gap_to_the_cnn_narrows():
    gaps = [mean_of("test", "cnn", count) - mean_of("test", "vit", count) for count in SETTINGS["images"]]
    assert gaps[0] > 0.1 and 0 < gaps[-1] < 0.03
    assert all(mean_of("test", "mlp", count) > mean_of("test", "vit", count) for count in SETTINGS["images"])


def test_moved_by_one_pixel_the_cnn_keeps_most_of_those_trained_without_moves():
    def kept(method):
        return statistics.mean(mean_of(name, method, 1300) for name in data_hunger.MOVES)

    assert kept("cnn") > max(kept("vit"), kept("mlp")) + 0.15
    assert abs(kept("vit, shifted") - mean_of("test", "vit, shifted", 1300)) < 0.06
    assert mean_of("test", "vit, shifted", 1300) < mean_of("test", "vit", 1300) - 0.1, "400 steps are too few for both"
