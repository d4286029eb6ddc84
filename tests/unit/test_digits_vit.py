"""Chapter 10's longer ViT: patches in another order, the similarity of positions, the recording and the checkpoint."""

import math

import pytest
import torch
from torch import nn

from course_utils.data.images import digits
from course_utils.recordings import data_hunger, digits_vit, recorded

SETTINGS = digits_vit.SETTINGS


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def rows_of(way):
    return [row for row in recorded("digits_vit")["results"]["rows"] if row["way"] == way]


# ---------------------------------------------------------------- patches and positions


def test_shuffled_pixels_are_what_an_order_does_inside_the_model():
    images, order, model = digits("test").images[:5], digits_vit.draw_order(3), digits_vit.new_model()
    shuffled = digits_vit.shuffle_patches(images, order)
    assert shuffled.shape == images.shape and not torch.equal(shuffled, images)
    assert torch.equal(shuffled[:, 0, :2, 2:4], images[:, 0, (order[1] // 4) * 2 :, (order[1] % 4) * 2 :][:, :2, :2])
    with torch.no_grad():
        torch.testing.assert_close(model(shuffled), model(images, order))


def test_orders_differ_from_seed_to_seed_and_none_is_that_of_the_image():
    orders = [digits_vit.draw_order(seed).tolist() for seed in (SETTINGS["order"], *SETTINGS["orders"])]
    assert len(set(map(tuple, orders))) == 6 and all(sorted(order) == list(range(16)) != order for order in orders)


def with_positions(vector_of):
    """A model whose position at (row, column) is vector_of(row, column)."""
    model = digits_vit.new_model()
    with torch.no_grad():
        for place in range(16):
            vector = torch.zeros(48)
            vector[: len(found)] = (found := torch.tensor(vector_of(place // 4, place % 4)))
            model.vit.positions.table[1 + place] = vector
    return model


def test_similarity_of_positions_that_say_their_row():
    found = digits_vit.similarity(with_positions(lambda row, column: [float(row == each) for each in range(4)]))
    assert found["by_offset"] == [[1.0] * 4, *[[0.0] * 4] * 3]
    pairs = {steps: [(i, j) for i in range(4) for j in range(4) if i + j == steps] for steps in range(1, 7)}
    weights = {(i, j): (4 - i) * (4 - j) * (2 if i and j else 1) for i in range(4) for j in range(4)}
    wanted = [sum(weights[pair] for pair in pairs[steps] if pair[0] == 0) / sum(weights[pair] for pair in pairs[steps])
              for steps in range(1, 7)]
    assert found["by_distance"] == pytest.approx(wanted, abs=1e-4)
    assert found["line"] == 0.5 and found["other"] == 0


def test_similarity_does_not_see_how_long_positions_are_and_not_the_class_token():
    model = with_positions(lambda row, column: [1.0 + row, 0.0])
    with torch.no_grad():
        model.vit.positions.table[0] = -1
    found = digits_vit.similarity(model)
    assert found["line"] == found["other"] == 1 and set(found["by_distance"]) == {1.0}


def test_a_model_without_positions_has_no_similarity_and_no_order():
    model, images = digits_vit.new_model("no positions"), digits("test").images[:5]
    assert digits_vit.similarity(model) is None and isinstance(model.vit.positions, nn.Identity)
    with torch.no_grad():
        torch.testing.assert_close(model(images), model(images, digits_vit.draw_order(1)))


# ---------------------------------------------------------------- training and measures


def test_what_each_way_trains_on(monkeypatch):
    asked = {}
    monkeypatch.setattr(digits_vit, "train_digits", lambda model, images, labels, seed, rate, shifted, steps:
                        asked.update({way: (images, labels, seed, rate, shifted, steps)}))
    for way in digits_vit.WAYS:
        digits_vit.trained(way, 2, 7)
    images, labels = digits("train")
    for way, (seen, seen_labels, *rest) in asked.items():
        order = digits_vit.draw_order(SETTINGS["order"])
        wanted = digits_vit.shuffle_patches(images, order) if way == "shuffled" else images
        assert torch.equal(seen, wanted) and torch.equal(seen_labels, labels)
        assert rest == [2, SETTINGS["learning_rate"], way == "shifted", 7]


def test_a_few_steps_can_be_repeated_and_begin_where_the_similarity_was_measured():
    (first, before), (again, _), (other, _) = (digits_vit.trained("shifted", seed, 2) for seed in (1, 1, 2))
    weights = [model.vit.patches.project.weight for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    torch.manual_seed(1)
    assert before == digits_vit.similarity(digits_vit.new_model("shifted")) != digits_vit.similarity(first)


def test_the_shuffled_way_is_tested_in_its_own_order():
    torch.manual_seed(0)
    model = digits_vit.new_model()
    nn.init.normal_(model.head.weight)
    found, plain = (digits_vit.measured(model, way) for way in ("shuffled", "plain"))
    images, labels = digits("test")
    seen = digits_vit.shuffle_patches(images, digits_vit.draw_order(SETTINGS["order"]))
    assert found["test"] == pytest.approx(data_hunger.accuracy(model, seen, labels), abs=0.004)
    assert plain["test"] == data_hunger.accuracy(model, images, labels)
    assert found["other_orders"] == plain["other_orders"]
    assert plain["moved"] == data_hunger.moved_accuracy(model)


# ---------------------------------------------------------------- the recording


def test_the_recording_is_whole_and_was_made_with_these_settings():
    recording = recorded("digits_vit")
    rows = recording["results"]["rows"]
    assert recording["settings"] == SETTINGS
    assert SETTINGS["learning_rate"] == data_hunger.SETTINGS["learning_rate"]["vit"]
    assert [(row["way"], row["seed"]) for row in rows] == [
        (way, seed) for way in digits_vit.WAYS for seed in SETTINGS["seeds"]]
    for row in rows:
        assert len(row["other_orders"]) == len(SETTINGS["orders"]) and list(row["moved"]) == list(data_hunger.MOVES)
        for moment in ("before", "after"):
            assert (row[moment] is None) == (row["way"] == "no positions")
            numbers = [] if row[moment] is None else [*row[moment]["by_distance"], row[moment]["line"]]
            assert all(math.isfinite(number) and -1 <= number <= 1 for number in numbers)


def test_without_positions_every_order_is_the_same_and_less_is_understood():
    for row in rows_of("no positions"):
        assert row["other_orders"] == pytest.approx([row["test"]] * len(SETTINGS["orders"]), abs=0.004)
    best_without = max(row["test"] for row in rows_of("no positions"))
    assert best_without < min(row["test"] for way in ("plain", "shuffled") for row in rows_of(way)) - 0.1


def test_with_positions_another_order_ruins_the_answer():
    for way in ("plain", "shuffled", "shifted"):
        assert all(max(row["other_orders"]) < row["test"] - 0.3 for row in rows_of(way))


def test_patches_in_one_line_get_more_similar_positions_where_the_line_is_one_of_the_image():
    """The gap is small; it is there in every run but those whose neighbours in the grid are none in the image."""
    gaps = {(way, moment): [row[moment]["line"] - row[moment]["other"] for row in rows_of(way)]
            for way in ("plain", "shuffled", "shifted") for moment in ("before", "after")}
    assert min(gaps["plain", "after"] + gaps["shifted", "after"]) > 0.09
    assert max(gaps["shuffled", "after"] + gaps["plain", "before"]) < 0.09


def test_only_shifts_teach_to_read_moved_digits():
    means = {way: [sum(row["moved"].values()) / 4 for row in rows_of(way)] for way in ("plain", "shifted")}
    assert max(means["plain"]) < 0.7 and min(means["shifted"]) > 0.85
    assert min(row["test"] for row in rows_of("plain")) > max(row["test"] for row in rows_of("shifted"))


def test_the_checkpoint_is_the_best_shifted_model_and_does_what_its_row_says():
    results = recorded("digits_vit")["results"]
    row = next(row for row in rows_of("shifted") if row["seed"] == results["kept"])
    assert row["validation"] == max(row["validation"] for row in rows_of("shifted"))
    model = digits_vit.pretrained()
    assert not model.training
    found = digits_vit.measured(model, "shifted")
    assert found["test"] == pytest.approx(row["test"], abs=0.007)
    assert found["moved"] == pytest.approx(row["moved"], abs=0.02)
    assert digits_vit.similarity(model)["by_distance"] == pytest.approx(row["after"]["by_distance"], abs=1e-3)
