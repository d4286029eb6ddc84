"""Chapter 10: how many images does a ViT need? Against a CNN and an MLP on digits, and on digits moved by one pixel.

All see the same images and take the same number of steps. Each got its learning rate by a search on the validation
part, with other seeds than those reported. "vit, shifted" is the ViT again, trained on images that are moved at random
by one pixel: more data from the same images, as DeiT does on a larger scale (Touvron et al., 2021).
"""

import torch
import torch.nn.functional as F
from torch import nn

from course_utils import recordings
from course_utils.data.images import digits, shift_images
from course_utils.models.vit import ViT, ViTClassifier, ViTConfig
from course_utils.training import adamw_with_cosine, train, weights_of

SETTINGS = {
    "images": [50, 100, 200, 400, 800, 1300],
    "vit": {"image_size": 8, "patch_size": 2, "n_channels": 1, "d_model": 48, "n_heads": 4, "d_ff": 192, "n_layers": 2,
            "init_std": 0.08},       # 0.02 · √(768 / 48): sums over fewer features start as large as in ViT-Base
    "steps": 400,
    "batch_size": 32,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "search": {"images": [100, 1300], "rates": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1], "seeds": [100, 101]},
    "learning_rate": {"vit": 3e-3, "cnn": 3e-2, "mlp": 3e-2, "vit, shifted": 1e-3},
    "least_ink": 0.9,                # a moved image counts where so much of its ink is left: digits have little margin
    "seeds": [0, 1, 2, 3, 4],
}
METHODS = ("vit", "cnn", "mlp", "vit, shifted")
MOVES = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def new_model(kind):
    """An untrained network for digits, images (B, 1, 8, 8) -> scores (B, 10). kind: "vit", "cnn" or "mlp"."""
    if kind == "vit":
        return ViTClassifier(ViT(ViTConfig(**SETTINGS["vit"])), 10)
    if kind == "cnn":
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),              # (B, 1, 8, 8) -> (B, 16, 4, 4)
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),             # -> (B, 32, 2, 2)
            nn.Flatten(), nn.Linear(128, 10))
    if kind == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    raise ValueError(f"kind={kind!r} is none of vit, cnn, mlp")


def draw_images(count, seed):
    """`count` random images of the training part: images (count, 1, 8, 8) and labels (count,)."""
    images, labels = digits("train")
    places = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))[:count]
    return images[places], labels[places]


def move_at_random(images, generator):
    """Every image moved by -1, 0 or 1 pixels to the right and down."""
    moves = torch.randint(-1, 2, (len(images), 2), generator=generator).tolist()
    return torch.stack([shift_images(image, *move) for image, move in zip(images, moves, strict=True)])


def train_digits(model, images, labels, seed, rate, shifted=False, steps=SETTINGS["steps"]):
    """Train on random batches of images with AdamW. shifted: move them at random. Returns the History."""
    draw = torch.Generator().manual_seed(seed)
    warmup, weight_decay = SETTINGS["warmup"], SETTINGS["weight_decay"]
    optimizer, schedule = adamw_with_cosine(model, steps, warmup, rate, weight_decay, fused=True)

    def loss_at(step):
        rows = torch.randint(len(images), (SETTINGS["batch_size"],), generator=draw)
        batch = move_at_random(images[rows], draw) if shifted else images[rows]
        return F.cross_entropy(model(batch), labels[rows])

    return train(model, steps, loss_at, optimizer, schedule, max_norm=1.0, label=f"{len(images)} images")


def accuracy(model, images, labels):
    """Share of images whose highest score is that of their label."""
    with torch.no_grad():
        return (model(images).argmax(-1) == labels).float().mean().item()


def moved_accuracy(model):
    """Accuracy on test images moved by one pixel, for each of MOVES. Those that lose too much ink do not count."""
    (images, labels), found = digits("test"), {}
    for name, move in MOVES.items():
        moved = shift_images(images, *move)
        counts = moved.sum((1, 2, 3)) >= SETTINGS["least_ink"] * images.sum((1, 2, 3))       # (300,)
        found[name] = accuracy(model, moved[counts], labels[counts])
    return found


def trained(method, count, seed, rate=None):
    """A network of METHODS after learning from `count` images. rate: another learning rate than the method's own."""
    torch.manual_seed(seed)
    kind, _, shifted = method.partition(", ")
    model = new_model(kind)
    train_digits(model, *draw_images(count, seed), seed, rate or SETTINGS["learning_rate"][method], bool(shifted))
    return model


def search(progress=list):
    """Accuracy on the validation part with every learning rate: a list of dicts."""
    cells = [(method, count, rate, seed) for method in METHODS for count in SETTINGS["search"]["images"]
             for rate in SETTINGS["search"]["rates"] for seed in SETTINGS["search"]["seeds"]]
    return [{"method": method, "images": count, "rate": rate, "seed": seed,
             "validation": accuracy(trained(method, count, seed, rate), *digits("validation"))}
            for method, count, rate, seed in progress(cells)]


def best_rate(rows, method):
    """The learning rate with the best mean over numbers of images and seeds. rows: as `search` returns them."""
    return recordings.best_rate(rows, "validation", method=method)


def run(progress=list):
    """The search, then every method, number of images and seed; progress wraps the list of them."""
    rows, searched = [], search(progress)
    cells = [(method, count, seed) for method in METHODS for count in SETTINGS["images"] for seed in SETTINGS["seeds"]]
    for method, count, seed in progress(cells):
        model = trained(method, count, seed)
        rows.append({"method": method, "images": count, "seed": seed, "test": accuracy(model, *digits("test")),
                     **moved_accuracy(model)})
    sizes = {kind: weights_of(new_model(kind)) for kind in METHODS[:3]}
    return {"search": searched, "rows": rows, "sizes": sizes}
