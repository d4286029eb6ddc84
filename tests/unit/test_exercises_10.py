"""Exercises of chapter 10: right answers that look different, and more ways to go wrong.

`test_exercises.py` holds every chapter's exercises to the same rules; here stands what is special to these.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.data.images import shift_images
from course_utils.exercises.chapter_10 import kernel_to_matrix, move_image, patch_rows, roll_out, similar_places
from course_utils.exercises.engine import NOT_YET, PASSED, examine
from course_utils.models.vit import attention_rollout, cut_patches, position_similarity

# --- what the references claim --------------------------------------------------------------------------------------

def test_the_matrix_does_to_rows_of_patches_what_the_convolution_does_to_the_image():
    torch.manual_seed(0)
    image, weight, bias = torch.rand(3, 8, 12), torch.randn(5, 3, 4, 4), torch.randn(5)
    rows = F.linear(patch_rows(image, 4), *kernel_to_matrix(weight, bias))
    torch.testing.assert_close(rows, F.conv2d(image[None], weight, bias, stride=4)[0].flatten(1).T)


def test_the_references_agree_with_the_package():
    torch.manual_seed(0)
    images, table, maps = torch.rand(2, 3, 6, 9), torch.randn(17, 5), [torch.rand(1, 2, 4, 4) for _ in range(3)]
    maps = [weights / weights.sum(-1, keepdim=True) for weights in maps]
    torch.testing.assert_close(patch_rows(images[1], 3), cut_patches(images, 3)[1])
    torch.testing.assert_close(similar_places(table, 1, 3, 4), position_similarity(table, 4)[7])
    torch.testing.assert_close(roll_out([weights[0] for weights in maps]), attention_rollout(maps)[0])
    assert torch.equal(move_image(images, -2, 4), shift_images(images, -2, 4))


def test_a_place_is_most_like_itself():
    torch.manual_seed(0)
    table = torch.randn(17, 6)
    for row, column in ((0, 3), (2, 1)):
        similar = similar_places(table, row, column, 4)
        assert divmod(int(similar.argmax()), 4) == (row, column)
        torch.testing.assert_close(similar.amax(), torch.tensor(1.0))


def test_rollout_is_a_mixture_of_the_input_tokens():
    torch.manual_seed(0)
    maps = [torch.randn(2, 5, 5).softmax(-1) for _ in range(3)]
    reached = roll_out(maps)
    torch.testing.assert_close(reached.sum(-1), torch.ones(5))
    assert (reached.diagonal() >= 1 / 8).all()       # half of each layer's sum stays with the token


def test_moving_there_and_back_leaves_the_middle():
    image = torch.arange(1.0, 31.0).view(1, 1, 5, 6)
    back = move_image(move_image(image, 2, -1), -2, 1)
    assert torch.equal(back[..., 1:, :-2], image[..., 1:, :-2]) and back.count_nonzero() == 16


# --- right answers that look different ------------------------------------------------------------------------------

def patches_in_lists(image, p):
    channels, height, width = image.shape
    return [[float(image[channel, top + row, left + column])
             for channel in range(channels) for row in range(p) for column in range(p)]
            for top in range(0, height, p) for left in range(0, width, p)]


def patches_by_chunks(image, p):
    return torch.stack([patch.flatten() for row in image.split(p, 1) for patch in row.split(p, 2)])


def patches_in_numpy(image, p):
    channels, height, width = image.shape
    tiles = image.numpy().reshape(channels, height // p, p, width // p, p)
    return tiles.transpose(1, 3, 0, 2, 4).reshape(-1, channels * p * p)


def layer_of_torch(weight, bias):
    layer = nn.Linear(weight[0].numel(), len(weight))
    with torch.no_grad():
        layer.weight.copy_(weight.reshape(len(weight), -1))
        layer.bias.copy_(bias)
    return layer


def matrix_by_probing(weight, bias):
    """The response of the convolution to each single pixel."""
    n = weight[0].numel()
    probes = torch.eye(n, dtype=weight.dtype).view(n, *weight.shape[1:])
    return F.conv2d(probes, weight).view(n, -1).T.numpy(), bias.tolist()


def tokens_in_a_loop(patches, cls, positions):
    images = []
    for image in patches:
        tokens = [cls + positions[0]] + [patch + position for patch, position in zip(image, positions[1:], strict=True)]
        images.append(torch.stack(tokens))
    return torch.stack(images)


def tokens_by_filling(patches, cls, positions):
    B, T, C = patches.shape
    tokens = torch.empty(B, T + 1, C, dtype=patches.dtype)
    tokens[:, 0], tokens[:, 1:] = cls, patches
    return tokens + positions[None]


def similar_in_numpy(table, row, column, grid):
    places = table.numpy()[1:].reshape(grid, grid, -1)
    lengths = np.linalg.norm(places, axis=-1)
    return places @ places[row, column] / (lengths * lengths[row, column])


def move_pixel_by_pixel(images, right, down):
    moved, (height, width) = torch.zeros_like(images), images.shape[-2:]
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                moved[:, :, y, x] = images[:, :, y - down, x - right]
    return moved


def move_by_slices(images, right, down):
    moved, (height, width) = torch.zeros_like(images), images.shape[-2:]
    moved[..., max(down, 0):height + min(down, 0), max(right, 0):width + min(right, 0)] = \
        images[..., max(-down, 0):height - max(down, 0), max(-right, 0):width - max(right, 0)]
    return moved


def move_by_roll_and_mask(images, right, down):
    y, x = (torch.arange(size) for size in images.shape[-2:])
    inside = ((y - down >= 0) & (y - down < len(y)))[:, None] & ((x - right >= 0) & (x - right < len(x)))
    return images.roll((down, right), (2, 3)) * inside


def rollout_by_halves(maps):
    mixed = [0.5 * weights.mean(0) + 0.5 * torch.eye(weights.shape[-1]) for weights in maps]
    return torch.linalg.multi_dot(mixed[::-1]) if len(mixed) > 1 else mixed[0]


def rollout_divided_at_the_end(maps):
    """Each row sums to 2 in each layer, so the product's rows sum to a power of 2."""
    reached = np.eye(maps[0].shape[-1])
    for weights in maps:
        reached = (weights.numpy().mean(0) + np.eye(len(reached))) @ reached
    return reached / reached.sum(-1, keepdims=True)


@pytest.mark.parametrize("exercise_id, answer", [
    ("10.1", patches_in_lists), ("10.1", patches_by_chunks), ("10.1", patches_in_numpy),
    ("10.1", lambda image, p: F.unfold(image[None], p, stride=p)[0].T),
    ("10.1", lambda image, p: F.pixel_unshuffle(image, p).flatten(1).T),
    ("10.1", lambda image, p: image.unfold(1, p, p).unfold(2, p, p).permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1)),
    ("10.2", layer_of_torch), ("10.2", matrix_by_probing),
    ("10.2", lambda weight, bias: [torch.stack([kernel.flatten() for kernel in weight]), bias]),
    ("10.3", tokens_in_a_loop), ("10.3", tokens_by_filling),
    ("10.3", lambda patches, cls, positions: torch.cat([cls.repeat(len(patches), 1, 1), patches], dim=1) + positions),
    ("10.3", lambda patches, cls, positions: F.pad(patches, (0, 0, 1, 0)) + positions
        + F.pad(cls[None], (0, 0, 0, patches.shape[1]))),
    ("10.4", similar_in_numpy),
    ("10.4", lambda table, row, column, grid: F.cosine_similarity(
        table[1:], table[1 + row * grid + column], dim=-1).reshape(grid, grid)),
    ("10.4", lambda table, row, column, grid: torch.nn.CosineSimilarity(0)(
        table[1:].T.reshape(-1, grid, grid), table[1:].T.reshape(-1, grid, grid)[:, row, column, None, None])),
    ("10.5", move_pixel_by_pixel), ("10.5", move_by_slices), ("10.5", move_by_roll_and_mask),
    ("10.6", rollout_by_halves), ("10.6", rollout_divided_at_the_end),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED and "\n" not in verdict.message, verdict.message


# --- mistakes, written in other ways --------------------------------------------------------------------------------

def patches_column_by_column(image, p):
    rows = []
    for left in range(0, image.shape[2], p):
        for top in range(0, image.shape[1], p):
            rows.append(image[:, top:top + p, left:left + p].flatten())
    return torch.stack(rows)


def cut_with_loops(image, p, height, width):
    return torch.stack([image[:, top:top + p, left:left + p].flatten()
                        for top in range(0, height, p) for left in range(0, width, p)])


def linear_without_bias(weight, bias):
    layer = nn.Linear(weight[0].numel(), len(weight), bias=False)
    layer.weight.data = weight.flatten(1)
    return layer


def class_token_of_one_image(patches, cls, positions):
    return torch.cat((cls.view(1, 1, -1), patches), dim=1) + positions


def adds_in_place(patches, cls, positions):
    patches += positions[1:]
    return torch.cat([(cls + positions[0]).expand(len(patches), 1, -1), patches], 1)


def dot_of_rows(table, row, column, grid):
    places = table[1:].view(grid, grid, -1)
    return torch.einsum("c,ijc->ij", places[row, column], places)


def counts_on_right_and_down(images, right, down):
    out = torch.zeros_like(images)
    height, width = images.shape[2:]
    out[:, :, down:, right:] = images[:, :, :height - down, :width - right]
    return out


def cuts_with_minus(images, right, down):
    out = torch.zeros_like(images)
    out[:, :, down:, right:] = images[:, :, :-down, :-right]
    return out


def rollout(maps, fuse=lambda weights: weights.mean(0), join=lambda weights, reached: weights @ reached, identity=1.0,
            divide=True):
    reached = torch.eye(maps[0].shape[-1])
    for weights in maps:
        mixed = fuse(weights) + identity * torch.eye(weights.shape[-1])
        reached = join(mixed / mixed.sum(-1, keepdim=True) if divide else mixed, reached)
    return reached


def linear_filled_in_place(weight, bias):
    layer = nn.Linear(weight[0].numel(), len(weight))
    layer.weight.copy_(weight.flatten(1))
    layer.bias.copy_(bias)
    return layer


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("10.1", patches_column_by_column, "Your patches go from top to bottom"),
    ("10.1", lambda image, p: image.view(-1, image.shape[0] * p ** 2), "You reshape and move no axis"),
    ("10.1", lambda image, p: F.unfold(image[None], p, stride=p)[0], "Your patches stand in columns"),
    ("10.1", lambda image, p: image.unfold(1, p, p).unfold(2, p, p).reshape(-1, len(image) * p * p),
     "Your channel is still the first axis"),
    ("10.1", lambda image, p: [patch.permute(1, 2, 0).flatten() for row in image.split(p, 1)
                               for patch in row.split(p, 2)], "Your channels come last"),
    ("10.1", lambda image, p: patches_column_by_column(image.mT, p), "pixel columns come before pixel rows"),
    ("10.1", lambda image, p: patch_rows(image.mT, p), "two mistakes at once. Your patches go from top to bottom"),
    ("10.1", lambda image, p: cut_with_loops(image, p, image.shape[1], image.shape[1]), "loops end at the height h"),
    ("10.1", lambda image, p: patch_rows(image, p).view(-1, len(image), p, p), "expected shape"),
    ("10.1", lambda image, p: patch_rows(image, 2), "Case: a high image"),
    ("10.1", lambda image, p: patch_rows(image, p) / 255, "the first difference is at index"),
    ("10.2", linear_filled_in_place, "begins with torch.no_grad()"),
    ("10.2", linear_without_bias, "got None. The convolution adds one to each feature"),
    ("10.2", lambda weight, bias: (weight.flatten(1), None), "got None. The convolution adds one to each feature"),
    ("10.2", lambda weight, bias: (weight.view(weight.shape[0], -1).t(), bias), "Your matrix is transposed"),
    ("10.2", lambda weight, bias: (weight.permute(0, 2, 3, 1).reshape(len(bias), -1), bias), "the channels last"),
    ("10.2", lambda weight, bias: (weight.view(-1, len(bias)), bias), "Your reshape puts d_model last"),
    ("10.2", lambda weight, bias: weight.view(len(bias), -1), "You return the matrix alone"),
    ("10.2", lambda weight, bias: (bias, weight.flatten(1)), "In matrix: expected shape"),
    ("10.3", class_token_of_one_image, "for one image only"),
    ("10.3", adds_in_place, "patches is changed in place"),
    ("10.3", lambda patches, cls, positions: torch.cat([patches, cls.repeat(len(patches), 1, 1)], 1) + positions,
     "Your class token stands at the end"),
    ("10.3", lambda patches, cls, positions: torch.cat(
        [cls.repeat(len(patches), 1, 1), patches + positions[:patches.shape[1]]], 1), "and from positions[0] on"),
    ("10.3", lambda patches, cls, positions: torch.cat([cls, patches], 1), "the same number of axes"),
    ("10.3", lambda patches, cls, positions: patches + positions, "one position too many"),
    ("10.4", dot_of_rows, "You take dot products"),
    ("10.4", lambda table, row, column, grid: torch.cdist(table[1:], table[1:]).view(
        grid, grid, grid, grid)[row, column], "You take distances"),
    ("10.4", lambda table, row, column, grid: similar_places(table, column, row, grid), "You swap row and column"),
    ("10.4", lambda table, row, column, grid: F.cosine_similarity(
        table[:-1], table[row * grid + column]).view(grid, grid), "Your first patch is the class token"),
    ("10.4", lambda table, row, column, grid: F.cosine_similarity(
        table, table[1 + row * grid + column]).view(grid, grid), "one number too many for the grid"),
    ("10.5", lambda images, right, down: torch.roll(images, shifts=(down, right), dims=(2, 3)), "come in again"),
    ("10.5", counts_on_right_and_down, "You count on steps above 0"),
    ("10.5", cuts_with_minus, "You cut with [:-right]"),
    ("10.5", lambda images, right, down: move_pixel_by_pixel(images, down, right), "You swap the two steps"),
    ("10.5", lambda images, right, down: move_pixel_by_pixel(images, -right, -down), "two mistakes at once"),
    ("10.5", lambda images, right, down: images, "1 of 6 cases agrees"),
    ("10.6", lambda maps: rollout(maps, identity=0.0), "You leave the identity out"),
    ("10.6", lambda maps: rollout(maps, divide=False), "You do not divide after adding the identity"),
    ("10.6", lambda maps: rollout(maps, join=lambda weights, reached: reached @ weights), "in the wrong order"),
    ("10.6", lambda maps: rollout(maps, fuse=lambda weights: weights.sum(0)), "You sum the heads"),
    ("10.6", lambda maps: rollout(maps, fuse=lambda weights: weights.min(0).values), "The first difference"),
    ("10.6", lambda maps: rollout(maps, join=torch.mul), "You begin with the identity"),
    ("10.6", lambda maps: roll_out(maps)[0, 1:], "expected shape"),
    ("10.6", lambda maps: roll_out(maps[::-1]), "in the wrong order"),
])
def test_other_ways_to_make_a_mistake(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and words.lower() in verdict.message.lower(), verdict.message
