"""Chapter 10: a ViT trained longer on all training digits, with and without positions, shuffled, and shifted.

Four ways, each from three seeds: "plain"; "no positions"; "shuffled", where the patches of every image, in training and
in the test, stand in one other order; and "shifted", where training images are moved at random by at most one pixel.
The network is that of `data_hunger`. The learning rate is the one found there for the plain ViT in shorter runs; it was
not searched again for any way.
"""

import torch

from course_utils.data.images import digits
from course_utils.models.vit import ViT, ViTClassifier, ViTConfig, cut_patches, join_patches, position_similarity
from course_utils.recordings import data_hunger, load_weights
from course_utils.recordings.data_hunger import accuracy, moved_accuracy, train_digits

SETTINGS = {
    "steps": 1000,
    "learning_rate": 3e-3,
    "order": 0,                      # seed of the order that "shuffled" trains with
    "orders": [1, 2, 3, 4, 5],       # seeds of the orders that every model is tested with
    "seeds": [0, 1, 2],
}
WAYS = ("plain", "no positions", "shuffled", "shifted")


def new_model(way="plain"):
    """An untrained ViTClassifier with the sizes of `data_hunger`."""
    return ViTClassifier(ViT(ViTConfig(**data_hunger.SETTINGS["vit"], positions=way != "no positions")), 10)


def draw_order(seed):
    """A random order of the 16 patches."""
    return torch.randperm(new_model().vit.config.n_patches, generator=torch.Generator().manual_seed(seed))


def shuffle_patches(images, order):
    """Images (B, 1, 8, 8) whose patches stand in another order: what `order` does inside a ViT, done to the pixels."""
    size = data_hunger.SETTINGS["vit"]["patch_size"]
    return join_patches(cut_patches(images, size)[:, order], images.shape[1], images.shape[2] // size, size)


def trained(way, seed, steps=SETTINGS["steps"]):
    """A model after training in one of WAYS, and what its positions were like before (None where it has none)."""
    torch.manual_seed(seed)
    (images, labels), model = digits("train"), new_model(way)
    before = similarity(model)
    if way == "shuffled":
        images = shuffle_patches(images, draw_order(SETTINGS["order"]))
    train_digits(model, images, labels, seed, SETTINGS["learning_rate"], way == "shifted", steps)
    return model, before


def pretrained():
    """The ViTClassifier that was trained with shifts, from its checkpoint."""
    return load_weights(new_model("shifted"), "vit")


def similarity(model):
    """Mean cosine similarity of the positions of two patches, or None for a model without positions.

    Returns a dict. by_offset: a list for each number of rows between the two, with a number for each number of columns.
    by_distance: for 1, 2, … steps along rows and columns. line: pairs in one row or column; other: all other pairs.
    """
    if not model.vit.config.positions:
        return None
    grid = model.vit.config.grid
    found = position_similarity(model.vit.positions.table.detach(), grid).flatten(1)             # (T, T)
    place = torch.arange(grid ** 2)
    rows, columns = ((line[:, None] - line).abs() for line in (place // grid, place % grid))     # (T, T) each

    def mean(where):
        return round(found[where].mean().item(), 4)

    return {"by_offset": [[mean((rows == i) & (columns == j)) for j in range(grid)] for i in range(grid)],
            "by_distance": [mean(rows + columns == steps) for steps in range(1, 2 * grid - 1)],
            "line": mean((rows == 0) != (columns == 0)), "other": mean((rows > 0) & (columns > 0))}


def measured(model, way):
    """Accuracies of a model: validation and test as the way says, test with other orders, and with moved images."""
    order = draw_order(SETTINGS["order"])
    reader = (lambda images: model(images, order)) if way == "shuffled" else model
    (images, labels), orders = digits("test"), [draw_order(seed) for seed in SETTINGS["orders"]]
    return {"validation": accuracy(reader, *digits("validation")), "test": accuracy(reader, images, labels),
            "other_orders": [accuracy(lambda pixels, order=order: model(pixels, order), images, labels)
                             for order in orders],
            "moved": moved_accuracy(reader)}


def run(progress=list):
    """All ways and seeds. The shifted model that is best on the validation part is kept as the checkpoint "vit"."""
    rows, shifted = [], []
    for way, seed in progress([(way, seed) for way in WAYS for seed in SETTINGS["seeds"]]):
        model, before = trained(way, seed)
        rows.append({"way": way, "seed": seed, **measured(model, way), "before": before, "after": similarity(model)})
        if way == "shifted":
            shifted.append((rows[-1]["validation"], seed, model))
    seed, model = max(shifted, key=lambda entry: entry[0])[1:]
    return {"rows": rows, "kept": seed, "weights": {"vit": model}}
