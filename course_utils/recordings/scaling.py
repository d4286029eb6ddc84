"""Chapter 09: next-token loss against the number of parameters: small GPTs on docstrings, five widths, four budgets.

Every size reads the same tokens; a longer budget is a run of its own with its own schedule. The learning rate of each
width was chosen on the validation part, at the shortest budget; the test part is only reported. The longest budget goes
through the text about twice.
"""

import itertools
import math

import torch

from course_utils.models.gpt import GPT, GPTConfig
from course_utils.recordings import best_rate, docstring_gpt
from course_utils.recordings.docstring_gpt import bits_per_character, characters, token_stream, train_on_windows

SETTINGS = {
    "widths": [8, 16, 32, 64, 96],
    "n_layers": 2,
    "n_heads": 2,
    "max_length": 64,
    "batch_size": 8,
    "budgets": [200, 600, 1800, 5400],
    "seeds": {"200": [0, 1], "600": [0, 1], "1800": [0], "5400": [0]},
    "learning_rates": [3e-3, 6e-3, 1.2e-2, 2.4e-2],
    **{name: docstring_gpt.SETTINGS[name] for name in ("warmup", "weight_decay", "max_norm")},   # as it trains there
    "read": 8_000,
}


def new_model(width):
    """An untrained GPT of this width. Fewer features mean more spread at the start: sums start as large as in GPT-2."""
    sizes = {name: SETTINGS[name] for name in ("n_layers", "n_heads", "max_length")}
    return GPT(GPTConfig(vocab_size=docstring_gpt.SETTINGS["vocab_size"], d_model=width, dropout=0.0,
                         init_std=0.02 * math.sqrt(768 / width), **sizes))


def parameter_counts(model):
    """Parameters of a GPT, (in the blocks and the last norm, in all). The difference is the tables of vectors."""
    total = sum(weights.numel() for weights in model.parameters())
    return total - model.words.weight.numel() - model.positions.weight.numel(), total


def trained(width, steps, seed, learning_rate):
    """A model of that width, trained for so many steps of `batch_size` random windows; and its History."""
    torch.manual_seed(seed)
    model = new_model(width)
    history = train_on_windows(model, seed, steps, SETTINGS["batch_size"], learning_rate, label=f"width {width}")
    return model, history


def next_token_loss(model, part):
    """Mean loss of a next token of a part's first `read` tokens, in nats. -> (loss, bits per character)

    Both say the same: bits · ln 2 · characters is the loss of all tokens together.
    """
    stream = token_stream(part)[: SETTINGS["read"]]
    bits = bits_per_character(model, part, SETTINGS["read"])
    return bits * math.log(2) * characters(stream) / (len(stream) - 1), bits


def measured(width, steps, seed, learning_rate):
    """One run as a row of the recording: parameters, tokens read, loss on the validation and the test part."""
    model, history = trained(width, steps, seed, learning_rate)
    blocks, total = parameter_counts(model)
    tokens = steps * SETTINGS["batch_size"] * SETTINGS["max_length"]
    validation, _ = next_token_loss(model, "validation")
    test, bits = next_token_loss(model, "test")
    return {"width": width, "steps": steps, "seed": seed, "learning_rate": learning_rate, "blocks": blocks,
            "total": total, "tokens": tokens, "tokens_per_parameter": round(tokens / total, 1),
            "validation": round(validation, 4), "test": round(test, 4), "bits": round(bits, 4),
            "seconds": round(history.seconds, 1)}


def best_learning_rate(rows, width):
    """The learning rate with the smallest validation loss for a width, at the shortest budget and the first seed."""
    steps = SETTINGS["budgets"][0]
    seed = SETTINGS["seeds"][str(steps)][0]
    return best_rate(rows, "validation", min, "learning_rate", width=width, steps=steps, seed=seed)


def chosen_rows(rows, steps):
    """The runs of one budget with each width's chosen learning rate."""
    return [row for row in rows
            if row["steps"] == steps and row["learning_rate"] == best_learning_rate(rows, row["width"])]


def power_law(sizes, losses):
    """A straight line through log loss against log size, by least squares: loss ≈ factor · size^-exponent.

    Returns {"exponent", "factor", "farthest"}: farthest is the largest distance of a loss from the line, as a share.
    Raises ValueError for fewer than two sizes and for numbers that have no logarithm.
    """
    if len(set(sizes)) < 2 or len(sizes) != len(losses) or min(*sizes, *losses) <= 0:
        raise ValueError("a line needs as many losses as sizes, two different sizes, and numbers above 0")
    x, y = ([math.log(number) for number in numbers] for numbers in (sizes, losses))
    x_mean, y_mean = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True)) / sum((a - x_mean) ** 2 for a in x)
    start = y_mean - slope * x_mean
    farthest = max(abs(math.expm1(b - start - slope * a)) for a, b in zip(x, y, strict=True))
    return {"exponent": -slope, "factor": math.exp(start), "farthest": farthest}


def fits(rows):
    """The line of each budget, against all parameters ("total") and those in the blocks ("blocks"): a list of rows."""
    lines = []
    for steps, count in itertools.product(SETTINGS["budgets"], ("total", "blocks")):
        chosen = chosen_rows(rows, steps)
        line = power_law([row[count] for row in chosen], [row["test"] for row in chosen])
        lines.append({"steps": steps, "count": count} | {name: round(number, 4) for name, number in line.items()})
    return lines


def run(progress=list):
    """First the learning rates at the shortest budget, then the other runs with the chosen ones; and the lines."""
    widths, (shortest, *longer) = SETTINGS["widths"], SETTINGS["budgets"]
    first, *others = SETTINGS["seeds"][str(shortest)]
    grid = [(width, shortest, first, rate) for width, rate in itertools.product(widths, SETTINGS["learning_rates"])]
    grid += [(width, shortest, seed, None) for width, seed in itertools.product(widths, others)]
    grid += [(width, steps, seed, None) for steps in longer for seed in SETTINGS["seeds"][str(steps)]
             for width in widths]
    rows = []
    for width, steps, seed, rate in progress(grid):
        rows.append(measured(width, steps, seed, best_learning_rate(rows, width) if rate is None else rate))
    return {"rows": rows, "fits": fits(rows)}
