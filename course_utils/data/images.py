"""Images without a download: 1,797 small digits and two photographs, both from scikit-learn's own files. Chapter 10.

Shapes: images (B, channels, height, width), float32, 0 for black to 1 for white; a photograph has no B.
Sources: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998); the photographs were published on
Flickr under CC BY 2.0, "china" by danielbuechele and "flower" by vultilion.
"""

import functools
from typing import NamedTuple

import torch
import torch.nn.functional as F

PARTS = ("train", "validation", "test")
PHOTOGRAPHS = ("china", "flower")
N_TEST, N_VALIDATION = 300, 197          # images; the other 1,300 are for training


class Digits(NamedTuple):
    """images: (n, 1, 8, 8), 1 where the ink is. labels: (n,), the digits 0 … 9 as whole numbers."""

    images: torch.Tensor
    labels: torch.Tensor


def digits(part):
    """One part of scikit-learn's digits as a Digits: "train" (1,300 images), "validation" (197) or "test" (300).

    The split never changes, and each digit has the same share in every part. The 13 people who wrote the digits are in
    all three parts. Raises ValueError for another part.
    """
    if part not in PARTS:
        raise ValueError(f"part={part!r} is none of {', '.join(PARTS)}")
    everything, places = split_digits()
    return Digits(everything.images[places[part]], everything.labels[places[part]])


@functools.cache
def split_digits():
    """All 1,797 digits as a Digits, and a dict from each part to the places of its images, made once."""
    from sklearn.datasets import load_digits  # not above: it takes a second
    from sklearn.model_selection import train_test_split

    found = load_digits()
    images, labels = torch.from_numpy(found.images).float().unsqueeze(1) / 16, torch.from_numpy(found.target).long()
    others, test = train_test_split(range(len(labels)), test_size=N_TEST, random_state=0, stratify=labels)
    train, validation = train_test_split(others, test_size=N_VALIDATION, random_state=0, stratify=labels[others])
    return Digits(images, labels), {"train": train, "validation": validation, "test": test}


def photograph(name, size=224):
    """The middle square of the photograph "china" or "flower", (3, size, size): red, green and blue.

    Raises ValueError for another name and for a size below 1.
    """
    if name not in PHOTOGRAPHS:
        raise ValueError(f"name={name!r} is none of {', '.join(PHOTOGRAPHS)}")
    from sklearn.datasets import load_sample_image

    pixels = torch.from_numpy(load_sample_image(f"{name}.jpg").copy())       # (height, width, 3), 0 … 255
    return middle_square(pixels.permute(2, 0, 1) / 255, size)                # (3, height, width) -> (3, size, size)


def middle_square(image, size):
    """Cut the largest square from the middle and resize it: (channels, height, width) -> (channels, size, size).

    Every new pixel is a mean over the old pixels that it covers, so fine patterns do not turn into false ones.
    Raises ValueError for an image without pixels or of another shape, and for a size below 1.
    """
    if image.dim() != 3 or not image.numel() or size < 1:
        raise ValueError(f"an image (channels, height, width) and a size of at least 1 are needed, "
                         f"got {tuple(image.shape)} and {size}")
    side = min(image.shape[1:])
    top, left = (image.shape[1] - side) // 2, (image.shape[2] - side) // 2
    square = image[None, :, top : top + side, left : left + side].float()    # (1, channels, side, side)
    return F.interpolate(square, (size, size), mode="bilinear", antialias=True)[0].clamp(0, 1)


def shift_images(images, right, down):
    """Move images (…, height, width) by whole pixels, also by negative ones; zeros come in at the other side.

    Raises ValueError for parts of a pixel.
    """
    if right != int(right) or down != int(down):
        raise ValueError(f"images move by whole pixels, got right={right} and down={down}")
    height, width = images.shape[-2:]
    if abs(right) >= width or abs(down) >= height:
        return torch.zeros_like(images)                                      # nothing of them is left to be seen
    right, down = int(right), int(down)
    return F.pad(images, (right, -right, down, -down))                       # a negative side is cut off
