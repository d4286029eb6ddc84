"""Digits and photographs: the split, the shapes, the middle square and shifts."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_sample_image

from course_utils.data import images as module
from course_utils.data.images import PARTS, PHOTOGRAPHS, digits, middle_square, photograph, shift_images

SIZES = {"train": 1300, "validation": 197, "test": 300}


# ---------------------------------------------------------------- digits


@pytest.mark.parametrize("part", PARTS)
def test_a_part_holds_images_from_0_to_1_with_their_own_labels(part):
    found, original = digits(part), load_digits()
    n = SIZES[part]
    assert found.images.shape == (n, 1, 8, 8) and found.images.dtype == torch.float32
    assert found.labels.shape == (n,) and found.labels.dtype == torch.int64
    assert found.images.min() == 0 and found.images.max() == 1
    labels = {image.tobytes(): label for image, label in zip(original.images, original.target, strict=True)}
    pixels = (found.images * 16).squeeze(1).numpy().astype(original.images.dtype)
    assert [labels[image.tobytes()] for image in pixels] == found.labels.tolist()


def test_every_image_is_in_one_part():
    places = module.split_digits()[1]
    together = [place for part in PARTS for place in places[part]]
    assert sorted(together) == list(range(1797)) and len(places) == 3
    assert all(places[part] != sorted(places[part]) for part in PARTS), "drawn, not cut from the list's order"


@pytest.mark.parametrize("part", PARTS)
def test_each_digit_has_the_same_share_in_every_part(part):
    shares = digits(part).labels.bincount(minlength=10) / SIZES[part]
    everything = torch.from_numpy(np.bincount(load_digits().target) / 1797)
    assert (shares - everything).abs().max() < 0.006


def test_the_split_is_the_same_when_it_is_made_again():
    assert module.split_digits.__wrapped__()[1] == module.split_digits()[1]
    assert digits("test").labels[:12].tolist() == [4, 0, 7, 8, 7, 2, 3, 6, 1, 5, 8, 2]


def test_what_a_reader_writes_into_the_images_is_not_there_next_time():
    digits("test").images.zero_()
    assert digits("test").images.max() == 1


def test_another_part_is_refused():
    with pytest.raises(ValueError, match="part='tests' is none of train, validation, test"):
        digits("tests")


# ---------------------------------------------------------------- photographs


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_is_the_middle_square_in_colour(name):
    found = photograph(name)
    assert found.shape == (3, 224, 224) and found.dtype == torch.float32
    assert 0 <= found.min() < 0.1 and 0.9 < found.max() <= 1
    pixels = load_sample_image(f"{name}.jpg")                    # (427, 640, 3)
    left = (640 - 427) // 2
    middle = pixels[:, left : left + 427].mean((0, 1)) / 255
    torch.testing.assert_close(found.mean((1, 2)), torch.from_numpy(middle).float(), rtol=0, atol=0.003)
    corner = pixels[:60, left : left + 60].mean((0, 1)) / 255    # top and left stay top and left
    torch.testing.assert_close(found[:, :31, :31].mean((1, 2)), torch.from_numpy(corner).float(), rtol=0, atol=0.03)


def test_a_photograph_can_have_another_size_and_no_other_name():
    assert photograph("flower", 32).shape == (3, 32, 32)
    with pytest.raises(ValueError, match=r"name='flower\.jpg' is none of china, flower"):
        photograph("flower.jpg")
    with pytest.raises(ValueError, match="size of at least 1"):
        photograph("china", 0)


@pytest.mark.parametrize(("height", "width"), [(6, 10), (10, 6), (6, 6), (7, 10)])
def test_the_square_is_cut_from_the_middle(height, width):
    image = torch.rand(2, height, width)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    torch.testing.assert_close(middle_square(image, side), image[:, top : top + side, left : left + side])


def test_a_smaller_picture_averages_and_does_not_skip_pixels():
    stripes = (torch.arange(64) % 2).float().expand(1, 64, 64)   # every second column is white
    small = middle_square(stripes, 16)
    assert (small[:, :, 1:-1] - 0.5).abs().max() < 0.06


def test_one_pixel_and_no_pixel():
    assert torch.equal(middle_square(torch.full((3, 1, 1), 0.25), 2), torch.full((3, 2, 2), 0.25))
    for shape in ((3, 0, 5), (5, 5), (1, 3, 5, 5)):
        with pytest.raises(ValueError, match="channels, height, width"):
            middle_square(torch.zeros(shape), 4)


# ---------------------------------------------------------------- shifts


@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, 0), (-1, 0), (0, 2), (0, -2), (2, -1), (-3, 4), (4, -4)])
def test_every_pixel_moves_and_zeros_come_in(right, down):
    images = torch.rand(2, 3, 5, 6) + 1
    found = shift_images(images, right, down)
    assert found.shape == images.shape
    for row in range(5):
        for column in range(6):
            from_row, from_column = row - down, column - right
            inside = 0 <= from_row < 5 and 0 <= from_column < 6
            wanted = images[:, :, from_row, from_column] if inside else torch.zeros(2, 3)
            assert torch.equal(found[:, :, row, column], wanted)


def test_images_moved_out_of_sight_are_black_and_parts_of_a_pixel_are_refused():
    images = torch.ones(1, 1, 3, 4)
    for right, down in ((4, 0), (-9, 0), (0, 3), (0, -3)):
        assert torch.equal(shift_images(images, right, down), torch.zeros(1, 1, 3, 4))
    with pytest.raises(ValueError, match="whole pixels"):
        shift_images(images, 0.5, 0)
