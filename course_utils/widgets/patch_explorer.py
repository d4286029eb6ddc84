"""`PatchExplorer`: an image becomes a sequence of patches; a click on one shows what it looks at, or what is like it.

What travels: the pixels of every image, and with a model the attention of all its layers and heads and three rollouts,
once for each image, so that the browser answers a click alone. Only another order of the patches, or a reader's own
image, needs the kernel.
"""

import contextlib
import io
import math
import os
import warnings
from dataclasses import dataclass

import numpy as np
import traitlets
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from PIL import Image, ImageOps

from course_utils import figures
from course_utils.widgets.base import CourseWidget, as_numpy, clean, one_line, pack, readable

SIDE = 224                        # pixels along one side that travel where no model says how many
SIZES = (1, 2, 4, 7, 8, 14, 16, 28, 32, 56, 112)           # of patches: offered where there are 4 to 256 of them
MOST_PATCHES = 256
MOST_IMAGES = 24
MOST_PIXELS = 50_000_000          # of an image file, before it becomes small
LARGE = 1024                      # pixels along a side: a larger photograph is made this small before all else
MOST_BYTES = 8_000_000            # of an image file: what the notebook's connection carries in one piece
MOST_WEIGHTS = 8_000_000          # of one image: what a browser takes without a pause
EXACT = 1_000_000                 # bytes up to which weights travel as float32, above as uint8
PREPARED = 4_000_000              # bytes of weights that are sent in advance, for images that are not yet shown
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
GREY = (0.299, 0.587, 0.114)      # how bright red, green and blue look
LARGEST_SEED = 2**31 - 1
SHOWS = ("attention", "rollout", "pixels")
FUSIONS = ("mean", "max", "min")
NAMED = 3                         # classes whose probability is shown
OWN = "your image"


# ---- images of any kind ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """An image as it is shown. values: (channels, s, s), floats 0…1; note: what was done to it."""

    name: str
    values: np.ndarray
    note: str

    @property
    def side(self):
        """Pixels along one side."""
        return self.values.shape[-1]

    @property
    def pixels(self):
        """The same as bytes, (s, s, channels): what the browser shows and compares."""
        return np.rint(self.values * 255).astype(np.uint8).transpose(1, 2, 0)


def read_image(image, what):
    """The middle square of any image: (floats 0…1, (1 or 3, edge, edge); (width, height) of the whole).

    image: array, tensor, Pillow image, bytes or path of a file. Transparent parts become white. what: how an error
    names it. Raises ValueError.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        return read_file(io.BytesIO(image), len(image), what)
    if isinstance(image, (str, os.PathLike)):
        try:
            with open(image, "rb") as file:
                return read_file(file, os.fstat(file.fileno()).st_size, what)
        except (OSError, ValueError) as error:
            known = isinstance(error, ValueError) and str(error).startswith(what)
            raise error if known else ValueError(f"{what} cannot be opened: {one_line(error)}") from None
    if isinstance(image, Image.Image):
        with decoding(what):                               # Pillow reads a file only when its pixels are asked for
            return read_pillow(image, what)
    return read_numbers(image, what)


@contextlib.contextmanager
def decoding(what):
    """Turn whatever Pillow raises into a ValueError of one line that begins with `what`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")                # of huge images and odd metadata; sizes are checked
            yield
    except Image.DecompressionBombError:
        raise ValueError(f"{what} has too many pixels: {MOST_PIXELS:,} is the most") from None
    except ValueError as error:
        raise error if str(error).startswith(what) else ValueError(f"{what} is broken: {one_line(error)}") from None
    except Exception:                                      # each decoder fails in its own way
        raise ValueError(f"{what} is no image that can be read, or it is broken ({', '.join(FORMATS)})") from None


def read_file(file, size, what):
    """An image file, read by Pillow if it is of a common format, neither too large nor broken."""
    if size > MOST_BYTES:
        raise ValueError(f"{what} has {size / 1e6:.1f} MB: {MOST_BYTES / 1e6:.0f} MB is the most")
    with decoding(what), Image.open(file, formats=FORMATS) as image:
        check_size(image.width, image.height, what)
        image.load()
        return read_pillow(image, what)


def check_size(width, height, what):
    """Raise ValueError for an image that is empty or too large."""
    if width * height == 0:
        raise ValueError(f"{what} is empty: it has {width} × {height} pixels")
    if width * height > MOST_PIXELS:
        raise ValueError(f"{what} has {width:,} × {height:,} pixels: {MOST_PIXELS:,} is the most")


def middle_of(width, height):
    """Where the middle square lies, and its side: (left, top, edge)."""
    edge = min(width, height)
    return (width - edge) // 2, (height - edge) // 2, edge


def read_pillow(image, what):
    """A Pillow image of any mode, the right way up: the same as `read_image`."""
    check_size(image.width, image.height, what)
    image = ImageOps.exif_transpose(image)
    size = image.size
    left, top, edge = middle_of(*size)
    image = image.crop((left, top, left + edge, top + edge))
    if image.mode[0] in "IF":                              # of 16 or 32 bits; the format does not say up to what number
        values = np.asarray(image, dtype=np.float64)
        largest = values.max()
        return read_numbers(values / next((top for top in (1, 255, 65535) if largest <= top), largest), what)[0], size
    image = on_white(image)
    if edge > LARGE:                                       # as floats, 50 million pixels would take gigabytes
        image = image.resize((LARGE, LARGE), Image.Resampling.BILINEAR, reducing_gap=3)
    values = np.asarray(image)
    return read_numbers(values if values.ndim == 2 else values.transpose(2, 0, 1), what)[0], size


def on_white(image):
    """A Pillow image of any 8-bit mode as grey or RGB. Transparent parts become white."""
    image = image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode))
    if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
        return image.convert("L" if image.mode in ("1", "L") else "RGB")
    clear, white = image.convert("RGBA"), Image.new("RGB", image.size, "white")
    white.paste(clear, mask=clear.getchannel("A"))
    return white


def read_numbers(image, what):
    """An array (h, w) or (1, 3 or 4, h, w), floats 0…1, whole numbers 0…255 or booleans: the same as `read_image`."""
    form = "an array (channels, height, width) or (height, width), or the bytes or the path of an image file"
    values = as_numpy(image, what, form)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{what} must be {form}, not numbers of type {values.dtype}")
    values = values[None] if values.ndim == 2 else values
    if values.ndim != 3 or len(values) not in (1, 3, 4):
        turn = "; .transpose(2, 0, 1) brings the channels to the front" if values.shape[-1:] in ((3,), (4,)) else ""
        raise ValueError(f"{what} has the shape {values.shape}: (height, width) or (channels, height, width) with 1, 3 "
                         f"or 4 channels is needed{turn}")
    size = values.shape[2], values.shape[1]
    check_size(*size, what)
    left, above, edge = middle_of(*size)
    values = values[:, above : above + edge, left : left + edge]
    top = 255 if values.dtype.kind in "iu" else 1
    if not np.isfinite(values).all():
        raise ValueError(f"{what} holds NaN or infinite numbers")
    if values.min() < -1e-3 or values.max() > top + 1e-3:
        raise ValueError(f"{what} holds numbers from {values.min():.4g} to {values.max():.4g}: floats must lie in 0…1, "
                         "whole numbers in 0…255")
    values = np.clip(values.astype(np.float32) / top, 0, 1)
    return (values if len(values) < 4 else values[:3] * values[3:] + 1 - values[3:]), size


def fitted(values, size, side=None, n_channels=None):
    """A square image, made at most SIDE pixels along a side or exactly `side`, and a line that says so.

    values, size: as from `read_image`. n_channels: 1 turns colours into grey, 3 repeats grey; None keeps what there is.
    """
    channels, (width, height) = len(values), size
    told, edge = [], min(size)
    if height != width:
        told.append(f"the middle {edge} × {edge} of {width} × {height} pixels")
    side = min(edge, SIDE) if side is None else side
    if values.shape[-1] != side:
        values = np.stack([np.asarray(Image.fromarray(np.ascontiguousarray(channel)).resize(
            (side, side), Image.Resampling.BILINEAR)) for channel in values]).clip(0, 1)
        told.append(f"{'brought' if told else f'{edge} × {edge} pixels brought'} to {side} × {side}")
    if n_channels == 1 and channels == 3:
        values = np.tensordot(np.float32(GREY), values, 1)[None]
        told.append("made grey")
    if n_channels == 3 and channels == 1:
        values = np.repeat(values, 3, axis=0)
    return np.ascontiguousarray(values, dtype=np.float32), ", ".join(told)


# ---- patches ---------------------------------------------------------------------------------------------------------


def offered_sizes(side, wanted=None):
    """Sizes of patches that cut an image of side × side pixels into 4 to 256 patches, and the wanted one if it can."""
    sizes = {size for size in SIZES if side // size >= 2 and (side // size) ** 2 <= MOST_PATCHES}
    if wanted is not None and side // wanted >= 1 and (side // wanted) ** 2 <= MOST_PATCHES:
        sizes.add(wanted)
    return sorted(sizes) or [side]


def nearest_size(sizes, wanted):
    """The offered size that is nearest to the wanted one, by their ratio; the smaller of two."""
    return min(sizes, key=lambda size: (round(abs(math.log(size / wanted)), 9), size))


def patches_of(pixels, size):
    """Patches of (s, s, channels), cut from the middle, row by row: (grid, T, size, size, channels) -> grid, array."""
    grid = pixels.shape[0] // size
    start = (pixels.shape[0] - grid * size) // 2
    middle = pixels[start : start + grid * size, start : start + grid * size]
    cut = middle.reshape(grid, size, grid, size, -1).transpose(0, 2, 1, 3, 4)
    return grid, cut.reshape(grid * grid, size, size, -1)


def likeness(patches, number):
    """Cosine similarity of one patch with each, (T,), after the image's mean colour is taken off. NaN: no direction."""
    vectors = patches.astype(np.float64)
    vectors = (vectors - vectors.mean((0, 1, 2))).reshape(len(patches), -1)
    lengths = np.linalg.norm(vectors, axis=1)
    lengths[lengths < 1e-9] = np.nan
    return vectors @ vectors[number] / (lengths * lengths[number])


def shuffled(T, seed):
    """A permutation of 0 … T − 1 that only depends on T and seed; 0 changes nothing. The browser has the same function.

    order[t] is the patch that stands at place t.
    """
    order, state = list(range(T)), seed
    if seed == 0:
        return order
    for step in range(-4, T - 1):                          # the first numbers of neighbouring seeds are alike
        state = (state * 1664525 + 1013904223) % 2**32
        if step >= 0:
            last = T - 1 - step
            other = state * (last + 1) // 2**32
            order[last], order[other] = order[other], order[last]
    return order


# ---- what a model says -----------------------------------------------------------------------------------------------


def sizes_of(model, what):
    """(image_size, patch_size, n_channels) of a ViT, or of a classifier with one in `.vit`. Raises ValueError."""
    config = getattr(getattr(model, "vit", model), "config", None)
    names = ("image_size", "patch_size", "n_channels")
    sizes = [getattr(config, name, None) for name in names]
    if not callable(model) or not hasattr(model, "named_modules") or not all(
            isinstance(size, int) and size > 0 for size in sizes) or sizes[0] % sizes[1]:
        raise ValueError(f"{what} must be a ViTClassifier: its vit.config says {', '.join(names)}; this is "
                         f"{type(model).__name__}")
    return tuple(sizes)


def look(model, values, order, what):
    """One forward pass for an image (channels, s, s): attention (N, H, 1 + T, 1 + T), probabilities (classes,).

    order: patch order[t] stands at place t; None leaves them. Raises ValueError, in one line that begins with `what`.
    """
    import torch

    from course_utils.models.attention import attention_maps
    from course_utils.models.tracing import evaluating

    said, options = [], {} if order is None else {"order": torch.tensor(order)}
    device = next((parameter.device for parameter in model.parameters()), "cpu")
    handle = model.register_forward_hook(lambda *call: said.append(call[-1]))
    try:
        with evaluating(model):
            maps = attention_maps(model, torch.tensor(values[None], device=device), **options)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{what} failed: {one_line(error)}") from error
    finally:
        handle.remove()
    scores = said[-1]
    if not isinstance(scores, torch.Tensor) or scores.dim() != 2 or len(scores) != 1 or scores.shape[1] == 0:
        found = tuple(getattr(scores, "shape", ())) or type(scores).__name__
        raise ValueError(f"{what} must return scores (1, classes) for one image, not {found}")
    chances = scores.detach().float().softmax(-1)[0].cpu().numpy()
    if not np.isfinite(chances).all():
        raise ValueError(f"{what} computes NaN or infinite numbers. Did the training diverge?")
    return [weights.float().cpu() for _, weights in maps], chances


def pack_weights(weights):
    """Weights (…, T, T) as they travel: exact while they are few, else one byte each, 255 for a row's largest."""
    if weights.nbytes <= EXACT:
        return {"weights": pack(weights)}
    largest = weights.max(-1)
    scale = np.where(largest > 0, largest, 1)[..., None]
    return {"weights": pack(np.rint(weights * (255 / scale)), "uint8"), "largest": pack(largest)}


def bytes_of(reading):
    """Bytes of the packed arrays in a reading."""
    return sum(len(part["data"]) for name in ("attention", "rollouts") for part in reading[name].values())


class Reader:
    """A model that reads images, and one without positions beside it, or None. Raises ValueError where one is wrong."""

    def __init__(self, model, without, classes):
        self.model, self.without = model, without
        self.image_size, self.patch_size, self.n_channels = sizes_of(model, "the model")
        if without is not None and sizes_of(without, "without_positions")[:3] != sizes_of(model, "the model"):
            raise ValueError("without_positions must read images and patches of the same sizes as the model")
        self.classes = None if classes is None else read_classes(classes)

    def read(self, values, order=None):
        """Everything about one image: (attention (N, H, 1 + T, 1 + T), rollouts (3, 1 + T, 1 + T), says, without).

        The last two are lists of the likeliest classes, as pairs of name and probability.
        """
        from course_utils.models.vit import attention_rollout

        maps, chances = look(self.model, values, order, "the model")
        tokens = 1 + (self.image_size // self.patch_size) ** 2
        shapes = {tuple(weights.shape) for weights in maps}
        if len(shapes) != 1 or shapes != {(1, next(iter(shapes))[1], tokens, tokens)}:
            found = ", ".join(map(str, sorted(shapes))) or "none"
            raise ValueError(f"the model must have attention (1, H, {tokens}, {tokens}) in every layer, for a class "
                             f"token and {tokens - 1} patches; found: {found}")
        count = len(maps) * maps[0].numel()
        if count > MOST_WEIGHTS:
            raise ValueError(f"{count:,} attention weights for one image are too many to draw: {MOST_WEIGHTS:,} is the "
                             "most")
        rollouts = np.stack([attention_rollout(maps, fusion)[0].numpy() for fusion in FUSIONS])
        attention = np.concatenate([weights.numpy() for weights in maps])
        if not np.isfinite(attention).all() or not np.isfinite(rollouts).all():
            raise ValueError("the model computes NaN or infinite numbers. Did the training diverge?")
        others = [] if self.without is None else look(self.without, values, order, "without_positions")[1]
        return attention, rollouts, self._name(chances), self._name(others)

    def _name(self, chances):
        """The likeliest classes with their probabilities."""
        if len(chances) == 0:
            return []
        if self.classes is None:
            self.classes = [str(number) for number in range(len(chances))]
        if len(self.classes) != len(chances):
            raise ValueError(f"{len(self.classes)} classes are named, but a model tells {len(chances)} apart")
        best = np.argsort(-chances, kind="stable")[:NAMED]
        return [(self.classes[number], float(chances[number])) for number in best]


def read_classes(classes):
    """Names of the classes as a list of texts. Raises ValueError for anything else."""
    if isinstance(classes, (str, bytes)) or not hasattr(classes, "__len__") or len(classes) == 0:
        raise ValueError("classes must be a list of names, one for each class")
    return [clean(name) for name in classes]


def read_labels(labels, names, classes):
    """The true class of each image as a text, None where it is not known. labels: by name, or in the images' order."""
    if labels is None:
        return [None] * len(names)
    if isinstance(labels, dict):
        unknown = [name for name in labels if name not in names]
        if unknown:
            raise ValueError(f"labels name {readable(clean(unknown[0]), 40)!r}, but there is no such image")
        labels = [labels.get(name) for name in names]
    labels = labels.tolist() if hasattr(labels, "tolist") else labels
    if not isinstance(labels, (list, tuple)) or len(labels) != len(names):
        raise ValueError(f"labels must be a dict, or a list of {len(names)}, one for each image")
    return [read_label(label, classes) for label in labels]


def read_label(label, classes):
    """One label as a text: a number names a class, a text stands for itself, None stays."""
    label = label.item() if hasattr(label, "item") else label
    if label is None or isinstance(label, str):
        return label if label is None else clean(label)
    if isinstance(label, bool) or not isinstance(label, int) or label < 0 or (classes and label >= len(classes)):
        last = f" from 0 to {len(classes) - 1}" if classes else ""
        raise ValueError(f"the label {readable(clean(label), 40)} is neither a text nor the number of a class{last}")
    return classes[label] if classes else str(label)


# ---- the widget ------------------------------------------------------------------------------------------------------


class PatchExplorer(CourseWidget):
    """Choose an image and a patch size, click a patch: over the image stands what it looks at. Shuffle the patches.

    images: a dict from a name to an image: (channels, h, w) or (h, w), floats 0…1 or whole numbers 0…255, grey, RGB or
    RGBA, of any size, or the bytes or the path of an image file. The reader can add one. model: a `ViTClassifier`; the
    images are brought to its size, and a click shows attention or rollout. Without one a click shows how much the
    pixels of the patches are alike. patch_size: pixels along one side, only without a model, 16 or the nearest that is
    possible. labels: true classes of the images, by name or in order. classes: names of the classes.
    without_positions: a second classifier, whose answer stands beside the model's. image: number or name of the first
    image. token: what is clicked first, 0 for the class token, 1 … T for patches. seed: 0 leaves the patches in order.
    Raises ValueError where one of these makes no sense.
    """

    script = "patch_explorer.js"
    picture_depends_on = ("image", "patch_size", "seed", "token", "show", "layer", "head", "fusion", "uploads")

    pictures = traitlets.List(traitlets.Dict()).tag(sync=True)
    uploaded = traitlets.Dict().tag(sync=True)        # the reader's own image, the last of them
    sizes = traitlets.Dict().tag(sync=True)           # layers and heads of the model; empty without one
    image = traitlets.Int(0).tag(sync=True)
    patch_size = traitlets.Int(16).tag(sync=True)     # what the reader wants: an image that cannot gets the nearest
    seed = traitlets.Int(0).tag(sync=True)
    token = traitlets.Int(1).tag(sync=True)
    show = traitlets.Unicode("pixels").tag(sync=True)
    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(-1).tag(sync=True)           # -1: the mean of all
    fusion = traitlets.Unicode("mean").tag(sync=True)

    def __init__(self, images, model=None, patch_size=None, labels=None, classes=None, without_positions=None, image=0,
                 token=None, seed=0):
        if model is None and without_positions is not None:
            raise ValueError("without_positions needs a model to stand beside")
        self._reader = None if model is None else Reader(model, without_positions, classes)
        self._readings, self._sizes, self._file = {}, {}, None
        names = read_names(images)
        self._images = [self._picture(name, values, f"the image {readable(name, 40)!r}")
                          for name, values in zip(names, images.values(), strict=True)]
        image = names.index(clean(image)) if isinstance(image, str) and clean(image) in names else image
        check_number("image", image, 0, len(names) - 1)
        patch_size = self._read_size(patch_size, self._images[image])
        pictures = self._prepare(image, patch_size)
        known = classes if self._reader is None else self._reader.classes
        labels = read_labels(labels, list(images), None if known is None else read_classes(known))
        for picture, label in zip(pictures, labels, strict=True):
            picture["label"] = label
        grid = self._images[image].side // nearest_size(pictures[image]["sizes"], patch_size)
        token = self._first_token(grid) if token is None else token
        check_number("token", token, 0 if model is not None else 1, grid * grid)
        check_number("seed", seed, 0, LARGEST_SEED)
        super().__init__(pictures=pictures, sizes=self._sizes, image=int(image), patch_size=patch_size,
                         token=int(token), show=SHOWS[-1] if model is None else SHOWS[0],
                         layer=self._sizes.get("layers", 1) - 1)
        if seed:
            self.answer = {**self.respond(self.image, int(seed)), "id": 0}
            self.seed = int(seed)
        self.on_msg(self._keep_file)

    # ---- what is given

    def _picture(self, name, values, what):
        reader = self._reader
        sizes = () if reader is None else (reader.image_size, reader.n_channels)
        return Picture(name, *fitted(*read_image(values, what), *sizes))

    def _read_size(self, patch_size, picture):
        """The wanted patch size, checked. Raises ValueError where it cannot cut the first image."""
        own = None if self._reader is None else self._reader.patch_size
        if patch_size is None:
            return own or 16
        check_number("patch_size", patch_size, 1, LARGEST_SEED)
        if own is not None and patch_size != own:
            raise ValueError(f"patch_size={patch_size} does not fit a model with patches of {own} × {own} pixels")
        count = (picture.side // patch_size) ** 2
        if own is None and not 1 <= count <= MOST_PATCHES:
            raise ValueError(f"patch_size={patch_size} cuts {picture.side} × {picture.side} pixels into {count:,} "
                             f"patches: 1 to {MOST_PATCHES} can be shown")
        return int(patch_size)

    def _first_token(self, grid):
        """The class token where there is one; else a patch near the middle."""
        return 0 if self._reader is not None else (grid // 2) * grid + grid // 2 + 1

    def _prepare(self, first, wanted):
        """The pictures as they travel, and what the model says about the first, and about all if that is little."""
        sent = [self._travel(picture, wanted) for picture in self._images]
        if self._reader is None:
            return sent
        sent[first]["reading"] = self._reading(first, 0)
        if bytes_of(sent[first]["reading"]) * len(sent) <= PREPARED:
            for number, entry in enumerate(sent):
                entry["reading"] = self._reading(number, 0)
        return sent

    def _travel(self, picture, wanted=None):
        sizes = offered_sizes(picture.side, wanted) if self._reader is None else [self._reader.patch_size]
        return {"name": picture.name, "note": picture.note, "label": None, "reading": None, "sizes": sizes,
                "pixels": pack(picture.pixels, "uint8")}

    # ---- what the model says

    def _read(self, number, seed):
        """What the model says about an image with its patches in that order, kept: arrays and lists of classes."""
        picture = self._images[number]
        order = shuffled((picture.side // self._reader.patch_size) ** 2, seed) if seed else None
        if (number, seed) not in self._readings:
            found = self._reader.read(picture.values, order)
            self._sizes = {"layers": found[0].shape[0], "heads": found[0].shape[1]}
            if len(self._readings) >= 2 * MOST_IMAGES:     # orders that the reader has left long ago
                self._readings.pop(next(key for key in self._readings if key[1]))
            self._readings[number, seed] = found
        return self._readings[number, seed]

    def _reading(self, number, seed):
        """The same as it travels; None without a model."""
        if self._reader is None:
            return None
        attention, rollouts, says, without = self._read(number, seed)
        _, _, before, before_without = self._read(number, 0)
        return {"attention": pack_weights(attention), "rollouts": pack_weights(rollouts), "says": says,
                "without": without, "before": before, "before_without": before_without}

    def respond(self, image=0, seed=0, file=None):
        """What the model says about an image whose patches are in another order; or take the file that came."""
        if file is not None:
            image, seed = self._take_file(file), 0
        check_number("image", image, 0, len(self._images) - 1)
        check_number("seed", seed, 0, LARGEST_SEED)
        return {"image": image, "seed": seed, "upload": self.uploads, "reading": self._reading(image, seed)}

    def _keep_file(self, _, content, buffers):
        """The bytes of a file come as a message of their own, so that no saved notebook holds them."""
        if isinstance(content, dict) and content.get("kind") == "file":
            self._file = bytes(buffers[0]) if buffers else b""

    def _take_file(self, name):
        """Read the file that came last as one of the images; its number. Nothing changes if the file is no good."""
        name, file, self._file = clean(name), self._file, None
        if not file:
            raise ValueError(f"the file {readable(name, 40)!r} is empty")
        picture = self._picture(f"{OWN}: {name[:200]}", file, f"the file {readable(name, 40)!r}")
        number, before = len(self.pictures), (self._images, self._readings)
        self._images = [*self._images[:number], picture]
        self._readings = {key: found for key, found in self._readings.items() if key[0] != number}
        try:
            reading = self._reading(number, 0)
        except ValueError:
            self._images, self._readings = before
            raise
        self.uploaded = {**self._travel(picture), "reading": reading, "id": self.uploads + 1}
        return number

    uploads = property(lambda self: self.uploaded.get("id", 0))

    # ---- what is shown

    @property
    def grid(self):
        """Patches along one side of the shown image."""
        return patches_of(self._shown.pixels, self._cut)[0]

    @property
    def order(self):
        """Which patch stands at each place, counted from 0."""
        return shuffled(self.grid**2, self.seed)

    _shown = property(lambda self: self._images[self.image])
    _sent = property(lambda self: [*self.pictures, self.uploaded][self.image])
    _cut = property(lambda self: nearest_size(self._sent["sizes"], self.patch_size))

    def weights(self):
        """What the clicked token's places hold: (1 + T,) with the class token first, or (T,) without one.

        Attention, rollout, or the cosine similarity of pixels, as the widget shows; NaN where there is no direction.
        """
        token = min(self.token, self.grid**2)
        if self.show == "pixels":
            _, patches = patches_of(self._shown.pixels, self._cut)
            return likeness(patches[self.order], max(token, 1) - 1)
        attention, rollouts, _, _ = self._read(self.image, self.seed)
        if self.show == "rollout":
            return rollouts[FUSIONS.index(self.fusion), token]
        return attention[self.layer, :, token].mean(0) if self.head < 0 else attention[self.layer, self.head, token]

    def predictions(self):
        """The likeliest classes: {"model": [(name, probability), …], "without positions": […]}, as far as there are."""
        says = [] if self._reader is None else self._read(self.image, self.seed)[2:]
        return {name: said for name, said in zip(("model", "without positions"), says, strict=False) if said}

    @traitlets.validate("image", "patch_size", "seed", "token", "show", "layer", "head", "fusion")
    def _fits(self, proposal):
        """A setting that makes no sense is refused when it is made; the last good one stays."""
        name, value = proposal["trait"].name, proposal["value"]
        first = 0 if self._reader is not None else 1
        choices = {"show": SHOWS if self._reader is not None else SHOWS[-1:], "fusion": FUSIONS}
        ranges = {"image": (0, len(self._images) - 1), "patch_size": (1, LARGEST_SEED), "seed": (0, LARGEST_SEED),
                  "token": (first, LARGEST_SEED), "layer": (0, self._sizes.get("layers", 1) - 1),
                  "head": (-1, self._sizes.get("heads", 0) - 1)}
        try:
            if name not in choices:
                check_number(name, value, *ranges[name])
            elif value not in choices[name]:
                raise ValueError(f"{name}={value!r} must be {' or '.join(map(repr, choices[name]))}")
        except ValueError as problem:
            raise traitlets.TraitError(str(problem)) from None
        return value

    # ---- the other faces

    def summary(self):
        model = "".join(f", {name}={count}" for name, count in self._sizes.items())
        cut = f"images={len(self._images)}, patches={self.grid}×{self.grid}, patch_size={self._cut}"
        return f"PatchExplorer({cut}{model})"

    def figure(self):
        figure, axes = figures.new_figure(8.0, 4.2, columns=2)
        _, patches = patches_of(self._shown.pixels, self._cut)
        values = self.weights()
        values = values[-len(patches):].reshape(self.grid, self.grid)
        draw_patches(axes[0], joined(patches[self.order], self.grid), self.grid)
        token = min(self.token, len(patches))
        draw_values(axes[1], values, self.show == "pixels", token if self.show != "pixels" else max(token, 1))
        for panel in axes:
            frame(panel, self.grid, max(token, 1) if self.show == "pixels" else token)
        axes[0].set_title(self._what(), fontsize=9.5, fontweight="normal", pad=4)
        axes[1].set_title(self._showing(), fontsize=9.5, fontweight="normal", pad=4)
        figure.suptitle(self._finding(), x=0.01, ha="left", fontsize=11, fontweight="bold")
        return figure

    def _what(self):
        """The name of the image and how it is cut."""
        order = ", shuffled" if self.seed else ""
        return f"{readable(self._shown.name, 28)}: {self.grid} × {self.grid} patches{order}"

    def _showing(self):
        """What the right panel shows."""
        token = min(self.token, self.grid**2)
        who = "the class token" if token == 0 else f"patch {self.order[token - 1] + 1}"
        if self.show == "pixels":
            return f"cosine similarity of pixels with patch {self.order[max(token, 1) - 1] + 1}"
        if self.show == "rollout":
            return f"rollout ({self.fusion} of heads), from {who}"
        head = "mean of heads" if self.head < 0 else f"head {self.head + 1}"
        return f"attention from {who}, layer {self.layer + 1}, {head}"

    def _finding(self):
        """The picture's title: what the models say; without one, which patch is most alike."""
        said = self.predictions()
        if said:
            label = self._sent["label"]
            label = "" if label is None else f" (true: {readable(label, 20)})"
            told = (f"{name}: {readable(best[0][0], 20)} {best[0][1]:.2f}" for name, best in said.items())
            return " · ".join(told) + label
        values, place = self.weights(), max(min(self.token, self.grid**2), 1) - 1
        values[place] = np.nan
        if np.isnan(values).all():
            return "An image as a sequence of patches"
        best = int(np.nanargmax(values))
        return (f"Patch {self.order[place] + 1} is most like patch {self.order[best] + 1} "
                f"(cosine of pixels {values[best]:.2f})")


def read_names(images):
    """The names of the images, cleaned. Raises ValueError unless `images` is a dict with at least one."""
    if not isinstance(images, dict):
        raise ValueError(f"images must be a dict from a name to an image, not {type(images).__name__}")
    if not 1 <= len(images) <= MOST_IMAGES:
        raise ValueError(f"{len(images)} images: 1 to {MOST_IMAGES} can be chosen from")
    return [clean(name) for name in images]


def check_number(name, value, first, last):
    """Raise ValueError unless value is a whole number from first to last."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not first <= value <= last:
        raise ValueError(f"{name}={readable(repr(value), 40)} must be a whole number from {first} to {last}")


# ---- the PNG ---------------------------------------------------------------------------------------------------------


def joined(patches, grid):
    """Patches (T, p, p, channels), row by row, as one image (s, s, 3) with every patch at its place."""
    size = patches.shape[1]
    image = patches.reshape(grid, grid, size, size, -1).transpose(0, 2, 1, 3, 4).reshape(grid * size, grid * size, -1)
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def draw_patches(axes, image, grid):
    """An image with white lines where it is cut. One patch is one unit wide."""
    axes.imshow(image, extent=(0, grid, grid, 0), interpolation="nearest")
    axes.hlines(range(1, grid), 0, grid, color="white", linewidth=0.8)
    axes.vlines(range(1, grid), 0, grid, color="white", linewidth=0.8)
    axes.set_axis_off()


def draw_values(axes, values, signed, token):
    """A value for every patch as a colour, with its number where there is room; NaN is hatched."""
    grid = len(values)
    others = np.delete(values.ravel(), token - 1) if token and values.size > 1 else values.ravel()
    top = 1.0 if signed else max(others.max(), 2 * others.mean(), 1e-9)
    colormap = figures.SIGNED if signed else figures.WEIGHTS
    share = (values + 1) / 2 if signed else values / top
    colours = colormap(np.clip(np.nan_to_num(share), 0, 1))
    colours[np.isnan(values)] = to_rgba("white")
    axes.imshow(colours, extent=(0, grid, grid, 0), interpolation="nearest")
    axes.set_axis_off()
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            axes.add_patch(Rectangle((column, row), 1, 1, fill=False, hatch="////", linewidth=0,
                                     edgecolor=figures.COLOURS["mask"]))
        elif grid <= 8:
            dark = np.dot(colours[row, column, :3], GREY) < 0.55
            axes.text(column + 0.5, row + 0.5, f"{value:.2f}".replace("-", "−"), ha="center", va="center", fontsize=8,
                      color="white" if dark else figures.COLOURS["ink"])


def frame(axes, grid, token):
    """Outline the clicked patch; the class token is none of them."""
    if token:
        row, column = divmod(token - 1, grid)
        for colour, width in (("white", 4.0), (figures.COLOURS["query"], 2.0)):
            axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=colour, linewidth=width, clip_on=False))
