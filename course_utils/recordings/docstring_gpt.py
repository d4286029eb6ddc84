"""Chapter 09: a small GPT trained on docstrings: three short runs, and a longer one as a checkpoint."""

import functools
import lzma
import math

import torch
import torch.nn.functional as F

from course_utils.data.docstrings import docstring_text, entries_of
from course_utils.data.subword import BPE_SPECIAL, END_OF_TEXT, load_tokenizer
from course_utils.models.gpt import GPT, GPTConfig, causal_loss
from course_utils.recordings import load_weights
from course_utils.training import adamw_with_cosine, train

SETTINGS = {
    "live": {"d_model": 96, "n_heads": 4, "n_layers": 2, "max_length": 64, "dropout": 0.0,
             "steps": 400, "batch_size": 16, "learning_rate": 5e-3},
    "longer": {"d_model": 96, "n_heads": 4, "n_layers": 4, "max_length": 128, "dropout": 0.0,
               "steps": 6000, "batch_size": 16, "learning_rate": 3e-3},
    "vocab_size": 2000,
    "init_std": 0.05,                # 0.02 · √(768 / 96): sums over fewer features start as large as in GPT-2
    "warmup": 0.05,
    "weight_decay": 0.1,
    "max_norm": 1.0,
    "seeds": [0, 1, 2],
}
END_ID = BPE_SPECIAL.index(END_OF_TEXT)


@functools.cache
def token_stream(part="train"):
    """All docstrings of one part as one row of ids, <|endoftext|> before each and after the last."""
    rows = load_tokenizer("bpe").encode_batch([entry.text for entry in entries_of(part)])
    return torch.tensor([END_ID] + [token for row in rows for token in (*row.ids, END_ID)])


def new_model(size="live"):
    """An untrained model. size: "live", for the notebook, or "longer", for the checkpoint."""
    sizes = {name: SETTINGS[size][name] for name in ("d_model", "n_heads", "n_layers", "max_length", "dropout")}
    return GPT(GPTConfig(**sizes, vocab_size=SETTINGS["vocab_size"], init_std=SETTINGS["init_std"]))


def windows(stream, length, count, generator):
    """Random pieces of the stream, ids (count, length): most begin in the middle of a sentence."""
    starts = torch.randint(len(stream) - length + 1, (count, 1), generator=generator)
    return stream[starts + torch.arange(length)]                             # (count, 1) + (length,)


def train_gpt(model, seed, size="live", at=None):
    """Train with the settings of "live" or "longer"; see `train_on_windows`. Returns the History."""
    settings = SETTINGS[size]
    return train_on_windows(model, seed, settings["steps"], settings["batch_size"], settings["learning_rate"], at)


def train_on_windows(model, seed, steps, batch_size, learning_rate, at=None, label="training GPT"):
    """Train on random windows with the next-token loss, AdamW, warm-up and a cosine. Returns the History."""
    stream, draw = token_stream("train"), torch.Generator().manual_seed(seed)
    optimizer, schedule = adamw_with_cosine(model, steps, SETTINGS["warmup"], learning_rate, SETTINGS["weight_decay"],
                                            fused=True)
    device = next(model.parameters()).device

    def loss_at(step):
        ids = windows(stream, model.config.max_length, batch_size, draw).to(device)
        return causal_loss(model(ids), ids)

    return train(model, steps, loss_at, optimizer, schedule, SETTINGS["max_norm"], at, label)


def trained(seed, size="live", at=None):
    """A model trained from that seed, and its History."""
    torch.manual_seed(seed)
    model = new_model(size)
    return model, train_gpt(model, seed, size, at)


def pretrained():
    """The model that was trained longer, from its checkpoint, and its tokenizer: (GPT, Tokenizer)."""
    return load_weights(new_model("longer"), "gpt"), load_tokenizer("bpe")


# ---------------------------------------------------------------- how good is it?


def bits_per_character(model, part="test", limit=None):
    """What a text costs under the model: -log₂ of its probability, divided by its number of characters.

    The text is read in windows that overlap by half; each token is counted once, with at least half a window before it
    (but for the first half window). Each docstring's end counts as the two line feeds that separate docstrings in
    `docstring_text`. limit: read only so many tokens. With it the characters are those of the tokens read.
    """
    stream = token_stream(part)[:limit]
    length, total = model.config.max_length, 0.0
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for start in range(0, max(1, len(stream) - length // 2), length // 2):
            ids = stream[None, start : start + length]
            losses = F.cross_entropy(model(ids)[0, :-1], ids[0, 1:], reduction="none")       # (T - 1,)
            total += losses[length // 2 - 1 if start else 0 :].sum().item()
    model.train(was_training)
    return total / math.log(2) / characters(stream)


def characters(stream):
    """How many characters the ids of a stream stand for; an end of text counts as two line feeds."""
    return len(load_tokenizer("bpe").decode(stream[1:].tolist())) + 2 * int((stream[1:] == END_ID).sum())


def compressed_bits_per_character(part="test"):
    """What `lzma` needs for a text when it has seen the training text: the bits by which the archive of both is longer.
    """
    seen, text = docstring_text("train"), docstring_text(part)
    before, after = (len(lzma.compress(piece.encode(), preset=9 | lzma.PRESET_EXTREME))
                     for piece in (seen, f"{seen}\n\n{text}"))
    return (after - before) * 8 / len(text)


def unigram_bits_per_character(part="test"):
    """What a text costs when each token's probability is its share of the training text, whatever stands before it."""
    counts = token_stream("train").bincount(minlength=SETTINGS["vocab_size"]) + 1
    stream = token_stream(part)
    return -(counts / counts.sum()).log2()[stream[1:]].sum().item() / characters(stream)


def run(progress=list):
    """Three short runs and a longer one, measured on the validation part on the way. The longer one is kept."""
    rows = []
    for seed, size in progress([*((seed, "live") for seed in SETTINGS["seeds"]), (0, "longer")]):
        model, row = recorded_run(seed, size)
        rows.append(row)
    baselines = {"lzma": compressed_bits_per_character(), "unigram": unigram_bits_per_character(),
                 "lzma_validation": compressed_bits_per_character("validation")}
    return {"rows": rows, **baselines, "weights": {"gpt": model}}


def recorded_run(seed, size, looks=10):
    """One run with its log: bits per character of the validation part at `looks` + 1 moments, of the test part after.
    """
    torch.manual_seed(seed)
    model, log, steps = new_model(size), [], SETTINGS[size]["steps"]

    def look():
        log.append({"step": len(log) * steps // looks, "bits": bits_per_character(model, "validation", limit=20_000)})

    history = train_gpt(model, seed, size, at={number * steps // looks: look for number in range(looks + 1)})
    return model, {"seed": seed, "size": size, "seconds": round(history.seconds, 1), "log": log,
                   "test": bits_per_character(model), "losses": history.losses[::max(1, steps // 300)]}
