"""The Vision Transformer: an image becomes a sequence of patches, and the encoder of chapter 07 reads it. Chapter 10.

Sources: Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale" (2021);
Abnar and Zuidema, "Quantifying Attention Flow in Transformers" (2020), for the rollout.

Shapes: B images, T patches, p pixels along a patch, C or d_model features, H heads, N layers.
Images are (B, channels, height, width).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.bert import initialise
from course_utils.models.positional import LearnedPositions
from course_utils.models.recurrent import check_sizes
from course_utils.models.transformer import EncoderBlock, Stack, check_choice, load_matching, renamed

FUSIONS = ("mean", "max", "min")


@dataclass(frozen=True)
class ViTConfig:
    """The sizes of a ViT. The defaults are ViT-Base with patches of 16 × 16 pixels."""

    image_size: int = 224       # pixels along one side; images are squares
    patch_size: int = 16        # p: pixels along one side of a patch
    n_channels: int = 3         # red, green, blue; 1 for grey
    d_model: int = 768          # C: features of a token
    n_heads: int = 12           # H
    d_ff: int = 3072            # features inside a feed-forward network
    n_layers: int = 12          # N
    dropout: float = 0.0
    eps: float = 1e-12          # inside every layer norm's root
    init_std: float = 0.02      # spread of the matrices at the start
    positions: bool = True      # whether each place has a trained vector

    @property
    def grid(self):
        """Patches along one side."""
        return self.image_size // self.patch_size

    @property
    def n_patches(self):
        """T: patches of one image; the class token comes in front of them."""
        return self.grid ** 2


# ---------------------------------------------------------------- an image as a sequence


def cut_patches(images, patch_size):
    """Images as sequences of patches: (B, channels, height, width) -> (B, T, channels·p·p).

    Patches come row by row. Inside a patch the channel comes first, then rows, then columns, as in a convolution's
    kernel. Raises ValueError where patches of patch_size pixels do not fill the image.
    """
    check_sizes(patch_size=patch_size)
    if images.dim() != 4 or images.shape[2] % patch_size or images.shape[3] % patch_size:
        raise ValueError(f"images of shape {tuple(images.shape)} cannot be cut into patches of {patch_size} × "
                         f"{patch_size} pixels: (B, channels, height, width) is needed, and no rest")
    B, channels, height, width = images.shape
    rows, columns = height // patch_size, width // patch_size
    x = images.reshape(B, channels, rows, patch_size, columns, patch_size)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(B, rows * columns, -1)        # (B, rows, columns, channels, p, p)


def join_patches(patches, n_channels, rows, patch_size):
    """The way back: (B, T, channels·p·p) with `rows` rows of patches -> images (B, channels, height, width).

    Raises ValueError where the sizes do not fit.
    """
    check_sizes(n_channels=n_channels, rows=rows, patch_size=patch_size)
    if patches.dim() != 3 or patches.shape[1] % rows or patches.shape[2] != n_channels * patch_size ** 2:
        raise ValueError(f"patches of shape {tuple(patches.shape)} do not give {rows} rows of {n_channels} × "
                         f"{patch_size} × {patch_size} numbers")
    B, T, _ = patches.shape
    x = patches.reshape(B, rows, T // rows, n_channels, patch_size, patch_size)
    return x.permute(0, 3, 1, 4, 2, 5).reshape(B, n_channels, rows * patch_size, -1)


class PatchEmbedding(nn.Module):
    """Each patch, a row of pixels, times one matrix. forward: images (B, channels, s, s) -> (B, T, d_model).

    The same as a convolution with kernels of p × p pixels that moves p pixels at a time.
    Raises ValueError where patches do not fill the image, and for images of another size.
    """

    def __init__(self, config):
        super().__init__()
        check_sizes(image_size=config.image_size, patch_size=config.patch_size, n_channels=config.n_channels)
        if config.image_size % config.patch_size:
            raise ValueError(f"patch_size={config.patch_size} does not divide image_size={config.image_size}")
        self.config = config
        self.project = nn.Linear(config.n_channels * config.patch_size ** 2, config.d_model)

    def forward(self, images):
        wanted = (self.config.n_channels, self.config.image_size, self.config.image_size)
        if images.shape[1:] != wanted:
            raise ValueError(f"images must be (B, {', '.join(map(str, wanted))}), got {tuple(images.shape)}")
        return self.project(cut_patches(images, self.config.patch_size))     # (B, T, channels·p·p) -> (B, T, C)


# ---------------------------------------------------------------- the model


class ViT(nn.Module):
    """A class token and the patches, with trained positions, through N pre-norm encoder blocks and a last layer norm.

    forward: images (B, channels, s, s), order: a permutation (T,) that puts patch order[t] at place t, or None
    -> states (B, 1 + T, d_model), the class token's first. `hidden_states` gives those of every layer.
    Raises ValueError for sizes that do not fit, and for an order that is no permutation.
    """

    def __init__(self, config):
        super().__init__()
        self.config, self.patches = config, PatchEmbedding(config)
        self.cls = nn.Parameter(torch.zeros(config.d_model))
        length = 1 + config.n_patches
        self.positions = LearnedPositions(length, config.d_model) if config.positions else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        sizes = (config.n_layers, config.d_model, config.n_heads, config.d_ff)
        self.encoder = Stack(EncoderBlock, *sizes, config.dropout, activation="gelu", norm="pre")
        initialise(self, config)

    def embed(self, images, order=None):
        """The vectors that enter the first block: (B, 1 + T, d_model)."""
        x = self.patches(images)                                             # (B, channels, s, s) -> (B, T, C)
        if order is not None:
            check_order(order, x.shape[1])
            x = x[:, order]                                                  # other patches at the same places
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1)            # (B, T, C) -> (B, 1 + T, C)
        return self.dropout(self.positions(x))

    def forward(self, images, order=None):
        return self.encoder(self.embed(images, order))                       # (B, 1 + T, C) -> (B, 1 + T, C)

    def hidden_states(self, images, order=None):
        """What enters the first block and what leaves each, the last layer norm not applied: N + 1 tensors."""
        states = [self.embed(images, order)]
        for block in self.encoder.blocks:
            states.append(block(states[-1]))
        return states


def check_order(order, T):
    """Raise ValueError unless order is a permutation of the numbers 0 … T - 1."""
    order = torch.as_tensor(order)
    if order.shape != (T,) or order.is_floating_point() or order.sort().values.tolist() != list(range(T)):
        raise ValueError(f"order must hold each number from 0 to {T - 1} once, got {order.tolist()}")


class ViTClassifier(nn.Module):
    """A ViT and a head that reads the class token's state. forward: as ViT -> scores (B, n_classes).

    hidden: features of a tanh layer in the head, as the paper pre-trains; None: one linear layer, as it fine-tunes.
    Raises ValueError for sizes below 1.
    """

    def __init__(self, vit, n_classes, hidden=None):
        super().__init__()
        check_sizes(n_classes=n_classes)
        self.vit, size = vit, vit.config.d_model
        if hidden is None:
            self.head = nn.Linear(size, n_classes)
        else:
            check_sizes(hidden=hidden)
            self.head = nn.Sequential(nn.Linear(size, hidden), nn.Tanh(), nn.Linear(hidden, n_classes))
        initialise(self.head, vit.config)

    def forward(self, images, order=None):
        return self.head(self.vit(images, order)[:, 0])                      # (B, 1 + T, C) -> (B, C) -> (B, classes)


# ---------------------------------------------------------------- looking inside


def attention_rollout(maps, fusion="mean"):
    """How much of each input token is in each state after all layers, if attention were all that moves information.

    maps: weights (B, H, T, T) of every layer, the first layer first. Heads are fused by their mean, max or min;
    the identity stands for the residual path; rows are made to sum to 1 again; and the layers are multiplied, a later
    one from the left. -> (B, T, T), rows are the last layer's tokens (Abnar and Zuidema, section 3).
    Raises ValueError for another fusion, no layer, and maps that do not fit.
    """
    check_choice("fusion", fusion, FUSIONS)
    shapes = {tuple(weights.shape) for weights in maps}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 4 or shape[2] != shape[3]:
        raise ValueError(f"a rollout needs one (B, H, T, T) for each layer, got {[tuple(w.shape) for w in maps]}")
    fuse = {"mean": lambda weights: weights.mean(1), "max": lambda weights: weights.amax(1),
            "min": lambda weights: weights.amin(1)}[fusion]                  # (B, H, T, T) -> (B, T, T)
    identity = torch.eye(shape[3], dtype=maps[0].dtype, device=maps[0].device)
    rolled = identity.expand(shape[0], -1, -1)
    for weights in maps:
        mixed = fuse(weights) + identity                                     # the residual path
        rolled = mixed / mixed.sum(-1, keepdim=True) @ rolled                # (B, T, T) @ (B, T, T)
    return rolled


def position_similarity(table, grid):
    """Cosine similarity of every patch's position with every other's, as pictures.

    table: positions (1 + grid², C), the class token's first -> (grid², grid, grid). Raises ValueError for another size.
    """
    if table.dim() != 2 or len(table) != 1 + grid ** 2:
        raise ValueError(f"{grid} × {grid} patches and a class token need {1 + grid ** 2} positions, got a table of "
                         f"shape {tuple(table.shape)}")
    directions = F.normalize(table[1:], dim=-1)                              # (T, C), each of length 1
    return (directions @ directions.T).view(-1, grid, grid)                  # (T, T) -> (T, grid, grid)


# ---------------------------------------------------------------- published weights

# Names in `transformers`, and ours. The pooler of ViTModel has no part here: the class token's state goes to the head.
NAMES = (
    ("embeddings.cls_token", "cls"), ("embeddings.position_embeddings", "positions.table"),
    ("embeddings.patch_embeddings.projection", "patches.project"), ("layers.", "encoder.blocks."),
    ("attention.q_proj", "attention.w_q"), ("attention.k_proj", "attention.w_k"),
    ("attention.v_proj", "attention.w_v"), ("attention.o_proj", "attention.w_o"),
    ("layernorm_before", "around_attention.norm"), ("layernorm_after", "around_feed_forward.norm"),
    ("mlp.fc1", "feed_forward.w_1"), ("mlp.fc2", "feed_forward.w_2"), ("layernorm.", "encoder.norm."),
    ("classifier.", "head."),
)


def copy_transformers_vit(ours, theirs):
    """Copy the weights of `transformers`' ViTModel or ViTForImageClassification, or a state dict, into our model.

    Theirs is a convolution: its kernels (C, channels, p, p) become the rows of our matrix. Raises ValueError where
    names or sizes differ, before anything is copied.
    """
    weights = {}
    for name, value in (theirs.state_dict() if isinstance(theirs, nn.Module) else theirs).items():
        name = renamed(name, NAMES)
        if hasattr(ours, "cls"):                                             # a ViT on its own has no prefix
            name = name.removeprefix("vit.")
        weights[name] = value.reshape(value.shape[-1]) if name.endswith("cls") else (
            value.squeeze(0) if name.endswith("positions.table") else
            value.flatten(1) if name.endswith("patches.project.weight") else value)
    load_matching(ours, weights)
