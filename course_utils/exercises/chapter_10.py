"""Exercises and quizzes of chapter 10, the Vision Transformer."""

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.exercises.combining import alone, alone_and_in_pairs
from course_utils.exercises.engine import Case, Choice, Exercise, Misconception, Question, RuleBroken

# --- 10.1 -------------------------------------------------------------------------------------------------------------

def patch_rows(image, p):
    """Cut an image into patches, and lay the numbers of each patch in a row.

    image: (channels, h, w); p: the side of a patch in pixels, it divides h and w. The patches go from left to right,
    one row of patches after the other. Inside a patch the channel comes first, then the rows, then the columns: first
    all of channel 0, pixel row by pixel row, then all of channel 1.
    Returns (T, channels * p * p), with T = (h / p) * (w / p).
    """
    channels, height, width = image.shape
    tiles = image.reshape(channels, height // p, p, width // p, p)        # (channels, rows, p, columns, p)
    tiles = tiles.permute(1, 3, 0, 2, 4)                                  # (rows, columns, channels, p, p)
    return tiles.reshape(-1, channels * p * p)


def _numbered_image(channels, height, width, p):
    """An image whose pixels are numbered in the order in which they lie in memory."""
    return lambda: (torch.arange(channels * height * width).float().view(channels, height, width), p)


def _tiles(image, p):
    channels, height, width = image.shape
    return image.reshape(channels, height // p, p, width // p, p)


def _cutting(outer=(1, 3), inner=(0, 2, 4), finish=lambda rows: rows):
    """A cut with one part exchanged. outer: which axes count the patches; inner: the order inside a patch."""
    def answer(image, p):
        return finish(_tiles(image, p).permute(*outer, *inner).flatten(2).flatten(0, 1))
    return answer


def _cut_at(image, tops, lefts, p):
    return torch.stack([image[:, top:top + p, left:left + p].reshape(-1) for top in tops for left in lefts])


def _cut_in_loops(side):
    """Cuts in two loops, both up to the same axis of the image."""
    def answer(image, p):
        starts = range(0, image.shape[side], p)
        return _cut_at(image, starts, starts, p)
    return answer


def _cut_as_a_square(side):
    """As many patches across as down."""
    def answer(image, p):
        channels, n = len(image), image.shape[side] // p
        return image.reshape(channels, n, p, n, p).permute(1, 3, 0, 2, 4).reshape(-1, channels * p * p)
    return answer


def _cut_without_the_last(image, p):
    """Loops up to the start of the last patch, which a range leaves out. Where nothing is left: no row."""
    tops, lefts = range(0, image.shape[1] - p, p), range(0, image.shape[2] - p, p)
    return _cut_at(image, tops, lefts, p) if tops and lefts else image.new_zeros(0, len(image) * p * p)


PATCH_ROWS = Exercise(
    id="10.1",
    title="Cut an image into patches",
    about=("patches",),
    reference=patch_rows,
    returns="(T, channels * p * p)",
    hints=(
        "Split each side into two axes: the number of the patch, and the place inside the patch. reshape gives "
        "(channels, rows, p, columns, p).",
        "Then permute brings the axes into the order of the result: row of patches, column of patches, channel, pixel "
        "row, pixel column.",
        "A last reshape joins the first two axes to T and the other three to channels * p * p.",
    ),
    cases=(
        Case("a wide image", _numbered_image(3, 4, 6, 2), "There are 2 rows of 3 patches."),
        Case("a high image with one channel", _numbered_image(1, 9, 6, 3), "There are 3 rows of 2 patches."),
        Case("a square image", _numbered_image(2, 8, 8, 4)),
        Case("patches of one pixel", _numbered_image(5, 2, 3, 1), "Each row holds the channels of one pixel."),
        Case("one patch, as large as the image", _numbered_image(4, 5, 5, 5)),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _cutting,
            ({"outer": (3, 1)},
             "Your patches go from top to bottom, column after column. They are read as text is: from left to right, "
             "one row of patches after the other."),
            ({"inner": (2, 4, 0)},
             "Your channels come last inside a patch: the numbers of one pixel stand side by side. First all of "
             "channel 0, then all of channel 1, as a convolution's kernel lies."),
            ({"inner": (0, 4, 2)},
             "Your patches are turned on their side: pixel columns come before pixel rows."),
            ({"finish": lambda rows: rows.T},
             "Your patches stand in columns, as F.unfold gives them. A patch is a token, so it is a row: .T at the "
             "end."),
        ),
        *alone(
            (lambda image, p: image.reshape(-1, len(image) * p * p),
             "You reshape and move no axis, so the numbers stay in the order of memory: a row holds pieces of whole "
             "pixel rows, not a square of the image. permute between two reshapes."),
            (lambda image, p: _tiles(image, p).permute(0, 1, 3, 2, 4).reshape(-1, len(image) * p * p),
             "Your channel is still the first axis when you reshape, so a row holds squares of one channel, from "
             "several patches. Bring the channel behind the two axes that count the patches."),
            (lambda image, p: F.unfold(image[None], p)[0].T,
             "Your patches overlap: each begins one pixel after the last one. The next begins where the last one ends, "
             "with stride=p."),
            (lambda image, p: image.reshape(len(image), p, image.shape[1] // p, p, image.shape[2] // p)
                 .permute(2, 4, 0, 1, 3).flatten(2).flatten(0, 1),
             "You split each side into (p, number of patches), so a row holds pixels that lie far from each other. The "
             "number of the patch comes first, the place inside it second: (rows, p, columns, p)."),
            (lambda image, p: _tiles(image, p).permute(1, 3, 0, 2, 4).flatten(0, 1),
             "You keep the axes of a patch. The numbers of a patch are wanted in one row, channels * p * p: flatten "
             "each."),
            (lambda image, p: _tiles(image, p).permute(1, 3, 0, 2, 4).flatten(0, 2).flatten(1),
             "You make one token of each channel of a patch. A patch is one token and holds all its channels."),
            (lambda image, p: _tiles(image, p).permute(1, 3, 0, 2, 4).flatten(2),
             "You keep the grid of patches as two axes. An encoder reads one sequence: join them to T."),
            (lambda image, p: _cut_at(image, range(image.shape[1] // p), range(image.shape[2] // p), p),
             "You count the patches, but you cut at these numbers as if they were pixels. Patch 1 begins at pixel p: "
             "multiply by p."),
            (_cut_without_the_last,
             "Your loops end one patch too early, so the last row and the last column of patches are missing. A range "
             "leaves its end out: range(0, h, p), or range(0, h - p + 1, p)."),
        ),
        *(Misconception(cut(side), f"Your {what} for both sides of the image. An image need not be square{how}.")
          for cut, side, what, how in (
              (_cut_as_a_square, 1, "height h gives the number of patches", ": w // p is the number of columns"),
              (_cut_as_a_square, 2, "width w gives the number of patches", ": h // p is the number of rows"),
              (_cut_in_loops, 1, "loops end at the height h", ": columns go up to w"),
              (_cut_in_loops, 2, "loops end at the width w", ": rows go up to h"),
          )),
    ),
)


# --- 10.2 -------------------------------------------------------------------------------------------------------------

def kernel_to_matrix(weight, bias):
    """The linear layer that does to rows of patches what a convolution does to the image.

    The convolution's stride is the size of its kernel, so no two patches overlap. weight: (d_model, channels, rows,
    columns), as F.conv2d takes it; bias: (d_model,). A patch is laid in a row as in 10.1: channel first, then rows,
    then columns.
    Returns (matrix, bias) as F.linear takes them, matrix (d_model, channels * rows * columns).
    """
    return weight.flatten(1), bias


def _weights_of(answer, weight, bias):
    """What an answer gives as (matrix, bias); a whole nn.Linear is welcome, too."""
    try:
        layer = answer(weight, bias)
    except RuntimeError as error:
        if "leaf Variable that requires grad" not in str(error):
            raise
        raise RuleBroken("Expected numbers copied into the layer without a gradient, got a change in place of a "
                         "trained weight, which autograd does not allow. Put the copies into a block that begins with "
                         "torch.no_grad().") from error
    pair = (layer.weight, layer.bias) if isinstance(layer, nn.Linear) else layer
    if isinstance(pair, list | tuple) and len(pair) == 2 and pair[1] is None:
        raise RuleBroken(f"Expected a bias of {len(bias)} numbers, got None. The convolution adds one to each feature, "
                         "and so does the linear layer.")
    return pair


def _kernels(*sizes):
    return lambda: (torch.randn(sizes), torch.randn(sizes[0]))


def _laying(order=lambda weight: weight, keep=lambda bias: bias, finish=lambda matrix: matrix):
    return lambda weight, bias: (finish(order(weight).flatten(1)), keep(bias))


KERNEL_TO_MATRIX = Exercise(
    id="10.2",
    title="A convolution as a linear layer",
    about=("patches",),
    reference=kernel_to_matrix,
    run=_weights_of,
    returns=("matrix (d_model, n)", "bias (d_model)"),
    hints=(
        "The convolution multiplies a patch by a kernel, number by number, and adds up. A linear layer does so with a "
        "row of its matrix.",
        "Feature i belongs to the kernel weight[i], (channels, rows, columns). Row i of the matrix is this kernel in "
        "one row.",
        "The kernel's axes lie in the order of 10.1 already. The bias is added once to each feature, as before.",
    ),
    cases=(
        Case("a kernel of 2 × 2 pixels", _kernels(4, 3, 2, 2)),
        Case("a kernel with 2 rows and 5 columns", _kernels(7, 4, 2, 5), "Rows come before columns."),
        Case("one channel", _kernels(5, 1, 3, 3)),
        Case("one feature", _kernels(1, 2, 4, 4)),
        Case("a kernel of one pixel", _kernels(3, 6, 1, 1)),
        Case("as many features as numbers in a patch", _kernels(8, 2, 2, 2)),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _laying,
            ({"order": lambda weight: weight.permute(0, 2, 3, 1)},
             "You lay the channels last. The rows of 10.1 hold all of channel 0 first, and so does the kernel as it "
             "lies."),
            ({"order": lambda weight: weight.mT},
             "You swap a kernel's rows and columns. Pixel rows come first, as in 10.1."),
            ({"order": lambda weight: weight.flip(-2, -1)},
             "You turn the kernels round. Mathematicians' convolution does, F.conv2d does not: it multiplies what lies "
             "on top of each other."),
            ({"keep": torch.zeros_like},
             "Your bias is 0. The convolution adds one to each feature, and so does the linear layer: keep it."),
            ({"finish": lambda matrix: matrix.T},
             "Your matrix is transposed. F.linear wants one row for each feature, (d_model, channels * rows * "
             "columns)."),
        ),
        *alone(
            (lambda weight, bias: weight.flatten(1),
             "You return the matrix alone. The bias belongs to it: return both."),
        ),
        *(Misconception(lambda weight, bias, finish=finish: (finish(weight.reshape(-1, len(weight))), bias),
                        "Your reshape puts d_model last, and it moves no numbers: a column holds pieces of several "
                        "kernels. " + rest)
          for finish, rest in ((lambda matrix: matrix, "weight.flatten(1) keeps each kernel in one row."),
                               (lambda matrix: matrix.T, "A .T behind it does not mend that: weight.flatten(1)."))),
        *alone(
            (lambda weight, bias: (bias, weight.flatten(1)),
             "You return the bias first. The matrix comes first, as for F.linear."),
            (lambda weight, bias: (weight.flatten(1), bias.repeat(weight[0].numel())),
             "You repeat the bias for each number of a patch. It is added once to each feature, so there are d_model "
             "numbers: return it as it is."),
            (lambda weight, bias: (weight.flatten(), bias),
             "You flatten all axes. The first one counts the features: weight.flatten(1) keeps it."),
            (lambda weight, bias: (weight.sum(1).flatten(1), bias),
             "You add up the channels of a kernel. Each channel of a patch meets weights of its own."),
        ),
    ),
)


# --- 10.3 -------------------------------------------------------------------------------------------------------------

def class_and_positions(patches, cls, positions):
    """Put the class token in front of the patches, and add the positions.

    patches: (B, T, C), the embedded patches; cls: (C,), the same for all images; positions: (T+1, C), one vector for
    each place, the first for the class token.
    Returns (B, T+1, C), what the first block reads.
    """
    first = cls.expand(patches.shape[0], 1, -1)                 # (C,) -> (B, 1, C), one for each image
    return torch.cat([first, patches], 1) + positions           # (B, T+1, C) + (T+1, C)


def _embedded(B, T, C):
    return lambda: (torch.randn(B, T, C), torch.randn(C), torch.randn(T + 1, C))


def _in_front(first, patches):
    return torch.cat([first, patches], 1)


def _copies(cls, patches):
    return cls.expand(len(patches), 1, -1)


def _behind(positions):
    """The positions of the patches, with nothing at the class token's place."""
    return F.pad(positions[1:], (0, 0, 1, 0))


def _preparing(first=_copies, join=_in_front, add=torch.add):
    """An input with one part exchanged. first: cls, patches -> (B, 1, C); add: (B, T+1, C), positions -> result."""
    return lambda patches, cls, positions: add(join(first(cls, patches), patches), positions)


CLASS_AND_POSITIONS = Exercise(
    id="10.3",
    title="The class token and the positions",
    about=("vit-model",),
    reference=class_and_positions,
    returns="(B, T+1, C)",
    hints=(
        "torch.cat wants three axes on both sides: cls becomes (B, 1, C), the same vector for each image.",
        "cls.expand(B, 1, -1) repeats it without a copy. The class token stands at place 0: it is the first one in the "
        "list for torch.cat along axis 1.",
        "positions has T+1 rows, as many as there are tokens now. Broadcasting adds them in each image.",
    ),
    cases=(
        Case("all sizes differ", _embedded(2, 4, 3)),
        Case("one image", _embedded(1, 5, 4)),
        Case("more images than patches", _embedded(7, 3, 6)),
        Case("as many images as places", _embedded(4, 3, 5), "Positions belong to places, not to images."),
        Case("one patch", _embedded(3, 1, 8)),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _preparing,
            ({"first": lambda cls, patches: patches.mean(1, keepdim=True)},
             "Your class token is the mean of the patches, and cls is not used. It is a vector of its own, learned, "
             "the same for all images."),
            ({"join": lambda first, patches: torch.cat([patches, first], 1)},
             "Your class token stands at the end. It is token 0, and the first position is meant for it."),
            ({"add": lambda tokens, positions: tokens},
             "You do not use the positions. Add them to all tokens."),
            ({"add": lambda tokens, positions: tokens + 2 * positions},
             "You add the positions twice. Once is enough."),
        ),
        *alone(
            (_preparing(add=lambda tokens, positions: tokens + _behind(positions)),
             "Your class token has no position. It has one of its own, positions[0]: join first, then add all of "
             "them."),
            (_preparing(add=lambda tokens, positions: tokens + F.pad(positions[:-1], (0, 0, 1, 0))),
             "You add positions to the patches only, and from positions[0] on. That one belongs to the class token: "
             "join first, then add all of them."),
            (_preparing(add=lambda tokens, positions: tokens + positions + _behind(positions)),
             "Your patches get their positions twice, before they are joined and after. Join first, then add once."),
            (lambda patches, cls, positions: torch.cat(
                 [patches + positions[1:], (cls + positions[0]).expand(len(patches), 1, -1)], 1),
             "Your class token has its own position, but it stands at the end. It is token 0."),
            (_preparing(add=lambda tokens, positions: tokens + torch.cat([positions[:1], positions[:-1]])),
             "Your patches get the positions from positions[0] on, and that one belongs to the class token. The "
             "patches have positions[1:]."),
            (_preparing(add=lambda tokens, positions: torch.cat([tokens, positions.expand(len(tokens), -1, -1)], -1)),
             "You put the positions beside the tokens, so a vector has 2C numbers. They are added, number by number."),
            (_preparing(add=torch.mul), "You multiply by the positions. They are added, number by number."),
            (_preparing(add=lambda tokens, positions: tokens + F.pad(positions[:1], (0, 0, 0, len(positions) - 1))),
             "Your patches have no position. Each token has one of its own: join first, then add all of them."),
            (_preparing(add=lambda tokens, positions: tokens + positions[0]),
             "You add positions[0] to all tokens. That one belongs to the class token: add the whole table, one row to "
             "each place."),
            (_preparing(first=lambda cls, patches: cls.expand_as(patches)),
             "You put as many class tokens in front as there are patches. One is enough: cls.expand(B, 1, -1)."),
            (lambda patches, cls, positions: torch.cat([cls[None, None], patches], 1) + positions,
             "Your class token is there for one image only, (1, 1, C), and torch.cat does not broadcast. cls.expand(B, "
             "1, -1) makes one for each image."),
            (lambda patches, cls, positions: patches + positions,
             "Your patches have no class token in front, so there is one position too many. Join first, then add."),
            (lambda patches, cls, positions: patches + positions[1:],
             "You leave the class token out. It is one more token, in front of the patches."),
            (lambda patches, cls, positions: patches + cls + positions[1:],
             "You add the class token to each patch. It is a token of its own: torch.cat puts it in front of them."),
        ),
    ),
)


# --- 10.4 -------------------------------------------------------------------------------------------------------------

def similar_places(table, row, column, grid):
    """How similar the learned position of one patch is to the positions of all patches.

    table: (1 + grid * grid, C), learned positions; the first is the class token's, the others belong to the patches,
    row by row; row, column: the patch that is asked about, both from 0; grid: number of patches along one side.
    Returns (grid, grid), cosine similarities: 1 for equal directions, 0 for a right angle.
    """
    patches = F.normalize(table[1:], dim=-1)             # (grid * grid, C), each row of length 1
    here = patches[row * grid + column]                  # (C,)
    return (patches @ here).view(grid, grid)


def _position_table(grid, C, row, column, size=1.0):
    """Positions of various lengths around a common direction."""
    return lambda: ((torch.randn(1 + grid ** 2, C) + 0.5) * (size + torch.rand(1 + grid ** 2, 1)), row, column, grid)


def _cosines(patches, here):
    return F.cosine_similarity(patches, here[None], dim=-1)


def _comparing(cut=lambda table: (table[1:], table[1:]), place=lambda row, column, grid: row * grid + column,
               measure=_cosines, shape=lambda values, grid: values.view(grid, grid)):
    """A similarity with one part exchanged. cut: table -> all the patches' rows, and those of which one is chosen."""
    def answer(table, row, column, grid):
        patches, choice = cut(table)
        return shape(measure(patches, choice[place(row, column, grid)]), grid)
    return answer


def _over_columns(patches, here):
    """Cosines after each feature was divided by its length over all the places."""
    lengths = patches.norm(dim=0)
    return (patches / lengths) @ (here / lengths)


SIMILAR_PLACES = Exercise(
    id="10.4",
    title="Which places are alike?",
    about=("vit-positions",),
    reference=similar_places,
    returns="(grid, grid)",
    hints=(
        "Row 0 of the table belongs to the class token, which has no place in the image. table[1:] are the patches.",
        "The patches are counted row by row: before row r there are r * grid of them.",
        "Divide each vector by its length (F.normalize(..., dim=-1)); then a dot product is a cosine. .view(grid, "
        "grid) makes a picture of the list.",
    ),
    cases=(
        Case("the upper right corner", _position_table(3, 5, 0, 2)),
        Case("a patch below the middle", _position_table(4, 7, 3, 1)),
        Case("a patch on the diagonal", _position_table(5, 6, 2, 2)),
        Case("long vectors", _position_table(2, 8, 1, 0, size=20.0), "A cosine does not depend on lengths."),
        Case("a grid of one patch", _position_table(1, 4, 0, 0), "It is equal to itself, and nothing else is there."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _comparing,
            ({"place": lambda row, column, grid: column * grid + row},
             "You swap row and column: the patches are counted row by row, so the place is row * grid + column."),
            ({"measure": lambda patches, here: patches @ here},
             "You take dot products, and they grow with the lengths of the vectors. Divide by both lengths for a "
             "cosine."),
            ({"measure": lambda patches, here: (patches - here).norm(dim=-1)},
             "You take distances: 0 means equal there. A cosine is 1 for equal directions."),
            ({"cut": lambda table: (table[:-1], table[:-1])},
             "Your first patch is the class token, so everything is one place too late, and the last patch is "
             "missing. Start at table[1:]."),
            ({"cut": lambda table: (table[1:], table)},
             "You read the chosen patch one place too early: in the whole table the class token stands in front of "
             "the patches. Add 1, or read it from table[1:]."),
        ),
        *alone(
            (_comparing(measure=lambda patches, here: 1 - _cosines(patches, here)),
             "You take 1 minus the cosine, a distance. The similarity is the cosine itself."),
            (_comparing(measure=_over_columns),
             "You divide along the wrong axis: each feature gets the length 1 over all places. Each place's vector "
             "must: dim=-1."),
            (_comparing(cut=lambda table: (table, table)),
             "You compare with the class token, too, so there is one number too many for the grid. It has no place in "
             "the image: start at table[1:]."),
            (_comparing(place=lambda row, column, grid: 1 + row * grid + column),
             "You step over the class token twice: the chosen patch is one place too late. In table[1:] the patches "
             "are counted from 0."),
            (_comparing(measure=lambda patches, here: F.normalize(patches, dim=-1) @ here),
             "You divide by the lengths of the patches' vectors, but not by that of the chosen one. A cosine divides "
             "by both."),
            (_comparing(measure=lambda patches, here: patches @ F.normalize(here, dim=0)),
             "You divide by the length of the chosen vector only. The others have lengths of their own."),
            (_comparing(measure=lambda patches, here: patches @ here / ((patches ** 2).sum(-1) * (here ** 2).sum())),
             "You divide by squared lengths. A length is the square root of the sum of squares."),
            (_comparing(measure=lambda patches, here: _cosines(patches, here).clamp(-1, 1).acos()),
             "You return angles: 0 means equal there. The similarity is the cosine itself, 1 for equal directions."),
            (_comparing(measure=lambda patches, here: _cosines(patches, here).softmax(-1)),
             "You put the cosines through softmax. No weights that sum to 1 are wanted, only the cosines."),
            (lambda table, row, column, grid: _cosines(table[1:], table[0]).view(grid, grid),
             "You compare all patches with the class token. Compare them with the patch at (row, column)."),
            (lambda table, row, column, grid: F.normalize(table[1:], dim=-1) @ F.normalize(table[1:], dim=-1).T,
             "You return the similarities of all patches with all. Choose the row of the patch that is asked about, "
             "and make a picture of it with .view(grid, grid)."),
            (_comparing(shape=lambda values, grid: values),
             "You return a list of grid * grid numbers. A picture of the places is wanted: .view(grid, grid)."),
            (_comparing(shape=lambda values, grid: values.view(grid, grid).T),
             "Your picture is transposed. The patches are counted row by row, and .view(grid, grid) lays them so."),
        ),
    ),
)


# --- 10.5 -------------------------------------------------------------------------------------------------------------

def move_image(images, right, down):
    """Move what the images show by whole pixels. What leaves the image is lost, and zeros come in.

    images: (B, channels, h, w); right, down: how far, below 0 for left and up, 0 for not at all; less than w and h.
    Returns images of the same shape; those of the caller stay as they are.
    """
    return F.pad(images, (right, -right, down, -down))   # zeros on one side; a number below 0 cuts off


def _images(B, channels, height, width, right, down):
    """Images without a black pixel, so that zeros that come in can be seen."""
    return lambda: (torch.rand(B, channels, height, width) + 0.1, right, down)


def _by_zeros(images, right, down):
    return F.pad(images, (right, -right, down, -down))


def _by_roll(images, right, down):
    return images.roll((down, right), (-2, -1))


def _by_edge(images, right, down):
    rows, columns = ((torch.arange(size) - by).clamp(0, size - 1) for size, by in
                     zip(images.shape[-2:], (down, right), strict=True))
    return images[..., rows[:, None], columns]


def _moving(fill=_by_zeros, right=1, down=1, swap=False):
    """A movement with one part exchanged. right, down: factors of the two steps; swap: exchanges the steps."""
    def answer(images, to_right, to_down):
        steps = (right * to_right, down * to_down)
        return fill(images, *(steps[::-1] if swap else steps))
    return answer


def _into_a_new_one(images, right, down, end):
    """Copies the part that stays into an image of zeros; right for steps above 0. end: size, step -> end of a slice."""
    moved, (height, width) = torch.zeros_like(images), images.shape[-2:]
    moved[..., down:, right:] = images[..., :end(height, down), :end(width, right)]
    return moved


def _one_step_over_the_other(images, right, down):
    """Moves to the side, and writes over that with what is moved up or down alone."""
    moved, (height, width) = torch.zeros_like(images), images.shape[-2:]
    for axis, size, by in ((3, width, right), (2, height, down)):
        if by:
            start = images.narrow(axis, max(-by, 0), size - abs(by))
            moved.narrow(axis, max(by, 0), size - abs(by)).copy_(start)
    return moved


def _roll_and_clear_above_zero(images, right, down):
    moved = _by_roll(images, right, down)
    moved[..., :max(down, 0), :] = 0
    moved[..., :max(right, 0)] = 0
    return moved


def _roll_and_clear(images, right, down):
    moved = _by_roll(images, right, down)
    moved[..., :down, :] = 0
    moved[..., :right] = 0
    return moved


MOVE_IMAGE = Exercise(
    id="10.5",
    title="Move an image",
    about=("inductive-bias",),
    reference=move_image,
    returns="(B, channels, h, w)",
    hints=(
        "Start from torch.zeros_like(images) and copy the part that stays. Which rows and columns does it leave, and "
        "which does it reach?",
        "To the right by 2: the columns 0 … w-3 go to 2 … w-1. To the left by 2: the columns 2 … w-1 go to 0 … w-3. "
        "A step of 0 leaves all of them in place; mind that [:-0] is empty.",
        "F.pad takes (left, right, top, bottom). Numbers above 0 add zeros on a side, numbers below 0 cut pixels off.",
    ),
    cases=(
        Case("2 to the right, 1 down", _images(2, 1, 5, 6, 2, 1)),
        Case("1 to the left, 3 up", _images(3, 4, 6, 8, -1, -3), "Steps below 0 go to the left and up."),
        Case("1 to the right, 2 up", _images(1, 2, 4, 7, 1, -2)),
        Case("2 to the right, not up or down", _images(2, 3, 4, 5, 2, 0), "One step is 0."),
        Case("not to the side, 3 down", _images(4, 1, 7, 7, 0, 3), "One step is 0."),
        Case("no movement", _images(2, 2, 3, 4, 0, 0)),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _moving,
            ({"fill": _by_roll},
             "Your pixels come in again on the other side, as torch.roll does it. What leaves the image is lost: "
             "zeros come in."),
            ({"right": -1},
             "Your image moves to the left where it should go to the right."),
            ({"down": -1},
             "Your image moves up where it should go down. Rows are counted from the top."),
            ({"swap": True},
             "You swap the two steps: right changes the columns (the last axis), down the rows."),
        ),
        *alone(
            (_moving(fill=_by_edge), "You repeat the pixels of the edge. Zeros come in."),
            (lambda images, right, down: _into_a_new_one(images, right, down, lambda size, step: size - step),
             "You count on steps above 0. For steps below 0 a slice such as [-1:] is the last row alone, and the parts "
             "do not fit. For those the image goes to the left and up."),
            (lambda images, right, down: _into_a_new_one(images, right, down, lambda size, step: -step),
             "You cut with [:-right], and for a step of 0 that is empty; for steps below 0 it is the wrong end. Count "
             "from the front, [:w - right], and treat steps below 0 apart."),
            (lambda images, right, down: _by_zeros(images, max(right, 0), max(down, 0)),
             "You do nothing for steps below 0. They move the image to the left and up."),
            (lambda images, right, down: _by_zeros(images, abs(right), abs(down)),
             "You move to the right and down also for steps below 0. Those go to the left and up."),
            (_roll_and_clear,
             "You roll and then clear the upper and the left edge. For steps below 0 the pixels come in at the lower "
             "and the right edge, and [:-1] clears nearly everything."),
            (_roll_and_clear_above_zero,
             "Your pixels come in again on the other side for steps below 0. After a roll clear the lower and the "
             "right edge, too; in a loop ask whether the place is at least 0, as Python counts -1 from the end."),
            (_one_step_over_the_other,
             "Your second step copies from images again, so the first one is written over. It must start from what the "
             "first step gave."),
            (lambda images, right, down: _by_zeros(images, right, 0),
             "You move to the side only. down moves the rows."),
            (lambda images, right, down: F.pad(images, (right, 0, down, 0)),
             "Your images change their size: you add zeros on one side and cut nothing off on the other."),
            (lambda images, right, down: F.pad(images, (right, 0, down, 0))[..., :images.shape[2], :images.shape[3]],
             "You add zeros on one side and cut the image to its size. Steps below 0 add none: pixels are cut off, and "
             "the zeros on the other side are missing."),
        ),
    ),
)


# --- 10.6 -------------------------------------------------------------------------------------------------------------

def roll_out(maps):
    """Attention rollout (Abnar & Zuidema, 2020): how much of each input token reaches each state of the last layer.

    maps: the attention weights of one image, one tensor (H, T, T) for each layer, the first layer first; rows are
    queries and sum to 1. In each layer: take the mean of the heads, add the identity for the residual connection, and
    divide each row by its sum. Then multiply the layers, the later one on the left.
    Returns (T, T), rows sum to 1.
    """
    reached = torch.eye(maps[0].shape[-1], dtype=maps[0].dtype)  # before the first layer a state is its own token
    for weights in maps:
        mixed = weights.mean(0) + torch.eye(len(reached))       # (H, T, T) -> (T, T)
        reached = mixed / mixed.sum(-1, keepdim=True) @ reached
    return reached


def _layers(n_layers, n_heads, T, size=2.0):
    """Weights of softmax rows; each layer prefers other tokens."""
    return lambda: ([(size * torch.randn(n_heads, T, T) + torch.randn(T)).softmax(-1) for _ in range(n_layers)],)


def _heads_mean(weights):
    return weights.mean(-3)


def _plus_identity(weights):
    return weights + torch.eye(weights.shape[-1])


def _half_identity(weights, axis=-1):
    mixed = _plus_identity(weights)
    return mixed / mixed.sum(axis, keepdim=True)


def _product(layers):
    reached = layers[0]
    for layer in layers[1:]:
        reached = layer @ reached
    return reached


def _elementwise(layers):
    return torch.stack(layers).prod(0)


def _rolling(fuse=_heads_mean, mix=_half_identity, chain=_product, finish=lambda reached: reached):
    """A rollout with one part exchanged. fuse: the heads; mix: what comes after that; chain: list of layers -> one."""
    return lambda maps: finish(chain([mix(fuse(weights)) for weights in maps]))


ROLL_OUT = Exercise(
    id="10.6",
    title="Attention rollout",
    about=("attention-rollout",),
    reference=roll_out,
    returns="(T, T)",
    hints=(
        "weights.mean(0) fuses the heads. The residual connection carries each state on as it is: as attention that "
        "would be torch.eye(T).",
        "After adding it a row sums to 2, so divide by .sum(-1, keepdim=True).",
        "Row q of a layer says of which states below the new state q is made. So the next layer's matrix stands on the "
        "left: layer @ reached.",
    ),
    cases=(
        Case("two layers", _layers(2, 3, 4)),
        Case("one layer", _layers(1, 2, 5)),
        Case("four layers with one head", _layers(4, 1, 3)),
        Case("sharp heads", _layers(3, 4, 6, size=8.0)),
        Case("an image of 3 × 3 patches", _layers(6, 5, 10), "With the class token there are 10 tokens."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _rolling,
            ({"fuse": lambda weights: weights.sum(-3)},
             "You sum the heads. Their mean keeps the rows at a sum of 1, as much as the identity has."),
            ({"mix": lambda weights: weights},
             "You leave the identity out. The residual connection carries each state past attention: add "
             "torch.eye(T), and divide each row by its sum."),
            ({"mix": _plus_identity},
             "You do not divide after adding the identity. Rows sum to 2, and the numbers grow with each layer: divide "
             "each row by its sum."),
            ({"chain": lambda layers: _product(layers[::-1])},
             "Your layers are multiplied in the wrong order. A state of the last layer looks at states of the layer "
             "before, and so on down: the later layer stands on the left."),
        ),
        *alone(
            (_rolling(fuse=lambda weights: weights.amax(-3)),
             "You take the largest weight of the heads. That is another way to fuse them; the mean is asked for."),
            (_rolling(mix=lambda weights: _half_identity(weights, -2)),
             "You divide by the sums of the columns. A row belongs to a query and must sum to 1: .sum(-1, "
             "keepdim=True)."),
            (_rolling(chain=lambda layers: sum(layers) / len(layers)),
             "You take the mean of the layers. A path goes through one layer after the other: multiply the matrices."),
            (_rolling(chain=_elementwise),
             "You multiply number by number (*). Paths through all the tokens between are added up: use @."),
            (_rolling(chain=lambda layers: _elementwise([torch.eye(len(layers[0])), *layers])),
             "You begin with the identity and multiply number by number (*), so all but the diagonal stays 0. Use @: "
             "it adds up the paths through all the tokens between."),
            (_rolling(chain=lambda layers: layers[-1]),
             "You return the last layer alone. What its states had looked at before lies in the layers below: multiply "
             "them all."),
            (_rolling(mix=lambda weights: weights, finish=_half_identity),
             "You add the identity once, at the end. Each layer has a residual connection: add it in each of them, and "
             "divide there."),
            (_rolling(fuse=lambda weights: weights, finish=_heads_mean),
             "You multiply head by head and fuse at the end. Heads with the same number have no path of their own: "
             "each layer joins its heads. Take the mean in each layer."),
            (lambda maps: _rolling()([maps[0], *maps]),
             "You multiply by the first layer twice: the product begins with it, and the loop meets it again. Begin "
             "with the identity, or let the loop run over maps[1:]."),
            (lambda maps: torch.zeros_like(maps[0][0]),
             "Your result is all zeros. A product that begins with zeros stays zero: begin with torch.eye(T)."),
            (_rolling(chain=lambda layers: layers[0]),
             "You return the first layer alone. Multiply all of them; does your return stand inside the loop?"),
            (_rolling(finish=lambda reached: reached[0]),
             "You return the class token's row alone. The whole matrix is wanted, a row for each state."),
            (_rolling(fuse=lambda weights: weights[..., 0, :, :]),
             "You take the first head only. Take the mean of all heads."),
            (lambda maps: _product([_heads_mean(maps[0]), *map(_half_identity, map(_heads_mean, maps[1:]))]),
             "You start from the first layer's weights as they are. It has a residual connection, too: add the "
             "identity there as well."),
            (_rolling(mix=lambda weights: _plus_identity(weights).softmax(-1)),
             "You use softmax to make the rows sum to 1. The weights have been through softmax: divide by the sum."),
            (_rolling(finish=lambda reached: reached.T),
             "Your result is transposed. Rows are the states of the last layer, columns the input tokens."),
        ),
    ),
)


EXERCISES = [PATCH_ROWS, KERNEL_TO_MATRIX, CLASS_AND_POSITIONS, SIMILAR_PLACES, MOVE_IMAGE, ROLL_OUT]

# --- quizzes --------------------------------------------------------------------------------------------------------

QUIZZES = {
    "10-opening": [
        Question(
            "An encoder has no positions. Two words of a sentence change places; [CLS] stays in front. What becomes of "
            "the last state at [CLS]?",
            (
                Choice("It changes a little: two of its keys come in another order",
                       "Attention adds up over the keys. A sum does not depend on the order."),
                Choice("It changes from the second block on",
                       "The states of the two words change places, too, and no state is a new one. The sum is the "
                       "same."),
                Choice("Nothing: it is the same",
                       "In each block it adds up the same keys and values, with the same weights.", correct=True),
                Choice("It is exchanged for the state of a word",
                       "The two words exchange their states. [CLS] is not one of them."),
            ),
            about=("permutation-equivariance",),
        ),
        Question(
            "A convolution has kernels of 3×3 pixels, 8 channels in, 16 channels out, and biases. How many weights?",
            (
                Choice("1,168", "16 kernels of 8 · 9 numbers, and 16 biases.", correct=True),
                Choice("160", "That is 16 · 9 + 16. Each kernel reaches through all 8 channels."),
                Choice("1,160", "That has one bias for each channel that goes in. It is one for each that comes out."),
                Choice("That depends on the size of the image",
                       "The same kernels are used at each place, however many places there are."),
            ),
            about=("inductive-bias",),
        ),
        Question(
            "A photograph of 224×224 pixels is read with one token for each pixel. How many scores does one head "
            "compute in one block?",
            (
                Choice("About 50 thousand", "So many tokens there are, 224². Each of them asks each of them."),
                Choice("About 150 thousand", "These are the numbers in the image, three for each pixel."),
                Choice("About 11 million", "That is 224³: each pixel would ask one row of pixels."),
                Choice("About 2.5 billion",
                       "50,176 queries meet 50,176 keys. So pixels are too small as tokens.", correct=True),
            ),
            about=("patches", "parallel-not-free"),
        ),
        Question(
            "Why does a pre-norm stack end with one more LayerNorm, after the last block?",
            (
                Choice("It takes the place of the norms inside the blocks",
                       "Those stay. Each sublayer reads what its own norm has made."),
                Choice("No norm acts on the sum that runs through the blocks",
                       "Each sublayer adds a term, and the sum grows. The last norm gives the head a known "
                       "scale.", correct=True),
                Choice("Without it the gradient would vanish in the first blocks",
                       "The free way along the sum takes care of that, with the last norm or without."),
                Choice("Without it the softmax of the last block would saturate",
                       "Attention in the last block reads normalised vectors already."),
            ),
            about=("pre-and-post-norm",),
        ),
        Question(
            "BERT's classifier reads the state of [CLS]. [CLS] is the same token in each text. How does its state come "
            "to depend on the words?",
            (
                Choice("Its row in the word table was trained on many texts",
                       "Then it holds something about all texts together, and the same for each of them."),
                Choice("The last block sets it to the mean of the words' states",
                       "That would be mean pooling, done after the encoder. No block does so on purpose."),
                Choice("In each block it attends to the words", "Their values are added to its state.", correct=True),
                Choice("The feed-forward networks join it to the words",
                       "They act on each place alone. Attention is what joins places."),
            ),
            about=("pooling-vs-cls",),
        ),
        Question(
            "A CNN and a ViT are trained from scratch on 50 labelled digits. Which one is better on new digits? (A "
            "guess is fine.)",
            (
                Choice("The CNN",
                       "It need not learn that neighbours belong together. This chapter measures how its lead changes "
                       "with more data.", correct=True),
                Choice("The ViT",
                       "It can look anywhere from the first block on, but where to look it must learn from 50 digits."),
                Choice("They are equal", "It is with little data that they differ most. See this chapter's curves."),
                Choice("Neither learns anything", "Both come far above chance, even from 50 digits."),
            ),
            about=("data-hunger",),
        ),
    ],
    "10-closing": [
        Question(
            "A ViT with patches of 16 pixels reads images of 384×384. How many tokens does its encoder see?",
            (
                Choice("197", "That is for 224×224. The patches keep their size, so there are more of them."),
                Choice("576", "These are the patches, 24 · 24. The class token is one more."),
                Choice("577", "24 · 24 patches and the class token.", correct=True),
                Choice("1,729", "That counts the three colours apart. A patch holds all its channels."),
            ),
            about=("patches", "vit-model"),
        ),
        Question(
            "Which convolution does the same as the linear embedding of 16×16 patches into 768 features?",
            (
                Choice("Kernel 16, stride 16, 768 channels out",
                       "Each patch meets each kernel once, and each of the 768 kernels is a row of the "
                       "matrix.", correct=True),
                Choice("Kernel 16, stride 1, 768 channels out", "Then the patches overlap: there are far more."),
                Choice("Kernel 1, stride 16, 768 channels out", "That reads one pixel of each patch."),
                Choice("Kernel 16, stride 16, 3 channels out", "Three channels go in. Features come out."),
            ),
            about=("patches",),
        ),
        Question(
            "Two patches at different places have equal pixels. Where in a ViT do their vectors begin to differ?",
            (
                Choice("In the linear embedding: each place has its own matrix",
                       "All places share one matrix. This is a part of the little that a ViT is told about images."),
                Choice("In the first block: each attends to other patches",
                       "Both attend to all patches. Equal queries get equal weights."),
                Choice("Nowhere: equal pixels give equal states", "That would be a ViT without positions."),
                Choice("Before the first block, where positions are added",
                       "Each place has a learned vector of its own. Up to there the two are equal.", correct=True),
            ),
            about=("vit-positions",),
        ),
        Question(
            "What stands on top of the class token's state in the paper's pre-training, and in its fine-tuning?",
            (
                Choice("One linear layer; then the same layer, trained on",
                       "The classes of the new task are others, so the last layer cannot stay."),
                Choice("A network with a hidden layer; then one linear layer",
                       "The head of the pre-training is taken off. The new one is smaller.", correct=True),
                Choice("One linear layer; then a network with a hidden layer",
                       "Turned round: the hidden layer belongs to the pre-training."),
                Choice("A network with a hidden layer, both times, but a new one",
                       "A new one, yes. In fine-tuning one linear layer is enough."),
            ),
            about=("vit-model",),
        ),
        Question(
            "The patches of an image are shuffled, and the ViT has no positions. What changes in the encoder's output?",
            (
                Choice("All states, since each patch has other neighbours",
                       "Without positions there are no neighbours: each patch sees the same set of patches."),
                Choice("The class token's state, as it sums up the whole image",
                       "The sum has the same terms. Their order does not matter."),
                Choice("Nothing: the output is the same, token by token",
                       "The class token's state is. The patches' states go where the patches went."),
                Choice("The order of the patches' states, and nothing else",
                       "Each state goes with its patch. The class token's state does not change at all.", correct=True),
            ),
            about=("vit-positions", "permutation-equivariance"),
        ),
        Question(
            "The images of a data set, for training and test alike, are shuffled by one and the same permutation of "
            "the patches. Who learns as well as before?",
            (
                Choice("A ViT with learned positions",
                       "Before training all places are alike to it, so any order will do, if it is always the "
                       "same.", correct=True),
                Choice("A CNN with kernels of 3×3 pixels",
                       "Its kernels reach over the cuts, and there the neighbours do not belong together any more."),
                Choice("Both, as no pixel has been lost", "A CNN's kernels need the right pixels side by side."),
                Choice("Neither, as no object can be seen", "Not by us. A model that knows no order loses nothing."),
            ),
            about=("vit-positions", "inductive-bias"),
        ),
        Question(
            "The object in an image moves two pixels to the right, and stays far from the borders. What does a "
            "convolution with stride 1 give for it?",
            (
                Choice("The same feature map as before",
                       "That would be invariance. Pooling over all places can make it of this map."),
                Choice("A feature map that cannot be derived from the first one",
                       "So it is with an MLP, where each place has weights of its own."),
                Choice("The same feature map, moved by two pixels",
                       "The same kernel acts at each place. This is translation equivariance.", correct=True),
                Choice("The same feature map, only weaker, as for all that moves",
                       "No weight of a kernel depends on the place in the image."),
            ),
            about=("inductive-bias",),
        ),
        Question(
            "A ViT was trained on digits, cut into patches. The test digits are moved by one pixel, and it makes more "
            "mistakes. Why?",
            (
                Choice("Its attention reaches no further than the next patches",
                       "It reaches all patches, in each block."),
                Choice("The cuts run elsewhere, so most patches look new",
                       "No weight says that these are the same strokes, one pixel further on. It must learn that from "
                       "data.", correct=True),
                Choice("Its positions move with the digit, and the cuts do not",
                       "Positions belong to places in the grid. They stay."),
                Choice("Its class token does not see the patches at the edge",
                       "The class token sees every patch, wherever it is."),
            ),
            about=("inductive-bias",),
        ),
        Question(
            "On small sets of digits an MLP beats a ViT, though an MLP knows nothing about neighbours. What follows?",
            (
                Choice("The CNN's lead does not come from locality either",
                       "It may in part: the CNN is ahead of the MLP as well."),
                Choice("An MLP is the better choice for images", "Small sets of digits say little about other data."),
                Choice("The ViT was too small to learn the digits",
                       "A model can be too large for 50 digits as well. The score alone does not tell."),
                Choice("Missing locality is not all that slows the ViT",
                       "Else the MLP would be behind, too. What else it is, this comparison leaves "
                       "open.", correct=True),
            ),
            about=("data-hunger", "inductive-bias"),
        ),
        Question(
            "On 8×8 digits the ViT is far behind the CNN at 50 images and a little behind at 1,300. Does it win with "
            "enough digits?",
            (
                Choice("Yes: the gap shrinks, and so it must change its sign",
                       "It may shrink to nothing and stay there. Both get nearly all digits right."),
                Choice("Not known: no crossing was measured here",
                       "In the paper one was, with other images, larger models and far more data.", correct=True),
                Choice("No: locality helps at any number of images",
                       "In the paper, with enough data, large ResNets fell behind."),
                Choice("Not known: the spread of five seeds hides the crossing",
                       "At every size the CNN's median is ahead. What is missing is more images, not more seeds."),
            ),
            about=("data-hunger",),
        ),
        Question(
            "With which pre-training did the paper's ViT pass the large ResNets?",
            (
                Choice("ImageNet with 1.3 million images, but many more epochs",
                       "With these alone the large ViTs stayed below the ResNets."),
                Choice("Masked patches of images without any labels",
                       "The paper tried it on the side. It stayed behind pre-training with labels."),
                Choice("JFT with its 300 million labelled images",
                       "With so much data, what a CNN is told about images could be learned.", correct=True),
                Choice("Pairs of an image and its caption from the web",
                       "Other models learn from such pairs. This one had class labels."),
            ),
            about=("data-hunger",),
        ),
        Question(
            "How did DeiT reach good results with ImageNet alone?",
            (
                Choice("Strong augmentation, regularisation, and a CNN as teacher",
                       "The model is a ViT. What is new is how it is trained.", correct=True),
                Choice("Patches taken from the feature map of a CNN, not from pixels",
                       "That is a hybrid, and it is in ViT's own paper."),
                Choice("Attention within windows, and fewer patches from level to level",
                       "That is Swin, which builds locality in. DeiT keeps ViT's blocks."),
                Choice("Hidden patches, to be restored before training with labels",
                       "That is masked image modelling, as in BEiT and MAE."),
            ),
            about=("data-hunger", "beyond-patches"),
        ),
        Question(
            "There are two tokens and one head, and both of its rows are (0.2, 0.8). Which matrix does attention "
            "rollout use for this layer?",
            (
                Choice("(0.2, 0.8), (0.2, 0.8)", "That leaves out the residual connection: add the identity."),
                Choice("(0.6, 0.4), (0.1, 0.9)", "(1.2, 0.8) and (0.2, 1.8), each divided by 2.", correct=True),
                Choice("(1.2, 0.8), (0.2, 1.8)", "The identity is added. Then each row is divided by its sum."),
                Choice("(0.6, 0.4), (0.6, 0.4)", "That adds 1 to the first column. The identity is a diagonal."),
            ),
            about=("attention-rollout",),
        ),
        Question(
            "A rollout is bright on the head of a bird, and the ViT says \"bird\". What has been shown?",
            (
                Choice("Without the head the score for \"bird\" would fall",
                       "To know that, hide the head and look at the score."),
                Choice("In the last block the class token looks at the head",
                       "The layers below have mixed the patches. Rollout follows all layers."),
                Choice("The patches of the head have the largest values",
                       "Rollout reads attention weights only, and no value vector."),
                Choice("Much weight leads from the head to the class token",
                       "Not more: values, feed-forward networks and the classes play no part in a "
                       "rollout.", correct=True),
            ),
            about=("attention-rollout", "attention-is-not-explanation"),
        ),
        Question(
            "MAE hides 75 % of the patches, BERT 15 % of the words. Why so many more?",
            (
                Choice("Its encoder must see [MASK] often, to know it later",
                       "Its encoder reads the visible patches only, and that saves most of the work."),
                Choice("A patch holds fewer numbers than the vector of a word",
                       "16 · 16 · 3 is 768, as many as in a vector of BERT-BASE."),
                Choice("Else a gap could be filled from the patches around it",
                       "Neighbouring patches are much alike. With few gaps, copying them would be "
                       "enough.", correct=True),
                Choice("Its labels tell the class, whatever else is hidden",
                       "It learns from images without labels. The hidden pixels are what it must give."),
            ),
            about=("beyond-patches",),
        ),
        Question(
            "Swin attends inside windows of patches. Why are the windows shifted in every other block?",
            (
                Choice("So that patches on both sides of a border meet",
                       "On one level, windows that stay where they are exchange nothing.", correct=True),
                Choice("So that the cost grows with the patches, not their square",
                       "Windows do that alone, shifted or not."),
                Choice("So that each window sees the class token", "Swin has none. It takes the mean at the end."),
                Choice("So that the windows cover more of the image, level by level",
                       "Merging patches does that. It is what makes Swin hierarchical."),
            ),
            about=("beyond-patches",),
        ),
        Question(
            "In the paper's trained ViT a patch's position is most like those of its own row and column. Why?",
            (
                Choice("The table starts from sines and cosines in two directions",
                       "It starts at random. Nothing in it points to rows or columns."),
                Choice("It was learned: images show which places go together",
                       "The model is told numbers of places, not that they form a grid.", correct=True),
                Choice("A position is the sum of a row vector and a column vector",
                       "There is one free vector for each place."),
                Choice("The embedding adds the row and the column to each patch",
                       "It is one matrix, the same at each place, and it sees pixels only."),
            ),
            about=("vit-positions",),
        ),
    ],
}
