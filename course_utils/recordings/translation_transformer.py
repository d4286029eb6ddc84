"""Chapter 07: chapter 03's translation once more, by a Transformer. The live training, variants of it, a longer one.

The pairs, their split and the lengths of a batch are those of chapters 03 and 04. The variants change one thing each:
where the norm stands, whether the learning rate warms up, which norm, whether there are residual connections and norms
at all, whether the targets are smoothed. The longer training is the checkpoint `transformer`.
"""

from types import SimpleNamespace

import torch
from torch import nn

from course_utils.data.alignment import content_links
from course_utils.data.translation import translation_splits, vocabularies
from course_utils.data.vocabulary import PAD_ID
from course_utils.metrics import exact_match
from course_utils.models.attention import attention_maps
from course_utils.models.transformer import Residual, Transformer, without
from course_utils.recordings import translation_attention, translation_rnn
from course_utils.recordings.translation_rnn import batches, encode_pairs, exact_by_length, in_bucket, translations
from course_utils.training import smoothed_cross_entropy, train, warmup_then_cosine, weights_of

SETTINGS = {
    **{name: translation_rnn.SETTINGS[name] for name in ("pairs", "max_norm", "seeds", "longest", "buckets")},
    "d_model": 64,
    "n_heads": 4,
    "d_ff": 256,
    "n_layers": 2,
    "dropout": 0.0,
    "batch_size": 32,
    "steps": 2200,
    "learning_rate": 6e-3,
    "warmup": 100,
    "betas": [0.9, 0.98],
    "weight_decay": 0.3,
    "smoothing": 0.1,
    "short_first": 0.8,
    "longer_steps": 8000,
}
# name -> what differs from the settings, and which parts are taken out
VARIANTS = {
    "post-norm, warm-up": {},
    "post-norm, no warm-up": {"warmup": 1},
    "pre-norm, warm-up": {"norm": "pre"},
    "pre-norm, no warm-up": {"norm": "pre", "warmup": 1},
    "batch norm": {"batch_norm": True},
    "no norm": {"without": ("norm",)},
    "no residual": {"without": ("residual",)},
    "no positions": {"without": ("positions",)},
    "no smoothing": {"smoothing": 0.0},
}
LIVE = "post-norm, warm-up"


class TokenBatchNorm(nn.BatchNorm1d):
    """Batch norm where a layer norm stood: each feature gets mean 0 and variance 1 over all tokens of the batch.

    forward: x (B, T, C) -> the same shape. After training the running averages take the place of the batch's own.
    """

    def forward(self, x):
        return super().forward(x.flatten(0, 1)).view_as(x)                   # (B, T, C) -> (B·T, C) -> (B, T, C)


def translator(norm="post", batch_norm=False, removed=()):
    """An untrained model with the recording's sizes. removed: parts to take out, see `without`."""
    source, target = vocabularies()
    sizes = [SETTINGS[name] for name in ("d_model", "n_heads", "d_ff", "n_layers", "dropout")]
    model = Transformer(len(source), len(target), *sizes, norm=norm)
    if batch_norm:
        for frame in model.modules():
            if isinstance(frame, Residual):
                frame.norm = TokenBatchNorm(SETTINGS["d_model"])
    return without(model, *removed)


def train_transformer(model, pairs, seed, steps=SETTINGS["steps"], warmup=SETTINGS["warmup"],
                      smoothing=SETTINGS["smoothing"]):
    """Train on batches of sentences of similar length, long ones a little more often. Returns the History."""
    draw = torch.Generator().manual_seed(seed)
    batch = batches(pairs, draw, SETTINGS["short_first"], SETTINGS["batch_size"])
    optimizer = torch.optim.AdamW(model.parameters(), SETTINGS["learning_rate"], SETTINGS["betas"],
                                  weight_decay=SETTINGS["weight_decay"], fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_then_cosine(steps, warmup))

    def loss_at(step):
        source, lengths, target = batch()
        return smoothed_cross_entropy(model(source, lengths, target[:, :-1]), target[:, 1:], smoothing, PAD_ID)

    return train(model, steps, loss_at, optimizer, schedule, SETTINGS["max_norm"], label="learning to translate")


def trained(variant, seed, splits, steps=SETTINGS["steps"]):
    """A model of that variant, trained from that seed, and its History."""
    options = dict(VARIANTS[variant])
    training = {name: options.pop(name) for name in ("warmup", "smoothing") if name in options}
    torch.manual_seed(seed)
    model = translator(removed=options.pop("without", ()), **options)
    return model, train_transformer(model, splits.train, seed, steps, **training)


def alignment_of(model, english, polite=False):
    """Chapter 04's `alignment_of` with all layers and heads of the cross-attention: weights (N, H, T, S), T Korean
    tokens, S English tokens. Raises ValueError for a sentence that the grammar does not cover.
    """
    def alignment(*inputs):
        return cross_weights(model, *inputs).transpose(0, 1)                 # (N, B, H, T, S) -> (B, N, H, T, S)

    looking = SimpleNamespace(encode=model.encode, step=model.step, alignment=alignment)
    return translation_attention.alignment_of(looking, english, polite)


def cross_weights(model, source, lengths, decoder_input):
    """Cross-attention weights of all layers and heads in one parallel pass: (N, B, H, T, S)."""
    maps = attention_maps(model, source, lengths, decoder_input)
    return torch.stack([weights for name, weights in maps if name.endswith("cross_attention")])


def head_hits(model, pairs):
    """For each head of each layer: the share of content words whose row is largest at their own English word.

    Returns a list of N lists of H numbers; right inputs are read, as in chapter 04.
    """
    ids, lengths, wanted = encode_pairs(pairs)
    looked_at = cross_weights(model, ids, lengths, wanted[:, :-1]).argmax(-1)                # (N, B, H, T)
    places = [(row, t, s) for row, pair in enumerate(pairs) for t, s in content_links(pair)]
    rows, steps, words = torch.tensor(places).T                              # (links, 3) -> three of (links,)
    hits = looked_at[:, rows, :, steps] == words[:, None, None]              # (links, N, H)
    return hits.float().mean(0).tolist()


def measured(model, splits):
    """All scores of one trained model."""
    by_length = exact_by_length(model, splits.test)
    sizes = [len(in_bucket(splits.test, bucket)) for bucket in SETTINGS["buckets"]]
    return {
        "exact": sum(share * size for share, size in zip(by_length, sizes, strict=True)) / sum(sizes),
        "test": by_length,
        "exact_longer": exact_match(translations(model, splits.longer), [pair.target for pair in splits.longer]),
        "weights": weights_of(model),
    }


def curve(losses, every=50):
    """Means of runs of losses, for drawing."""
    return [round(sum(losses[first:first + every]) / every, 4) for first in range(0, len(losses) - every + 1, every)]


def run(progress=list):
    """All runs; progress wraps the list of them. Returns a row for each, and the longer training with its weights."""
    splits = translation_splits(train=SETTINGS["pairs"])
    rows = []
    for variant, seed in progress([*((name, seed) for name in VARIANTS for seed in SETTINGS["seeds"]), ("long", 0)]):
        if variant == "long":
            model, history = train_longer(splits, seed)
        else:
            model, history = trained(variant, seed, splits)
        rows.append({"variant": variant, "seed": seed, "seconds": round(history.seconds, 1),
                     "losses": curve(history.losses), **measured(model, splits)})
    return {"rows": rows[:-1], "long": {**rows[-1], "hits": head_hits(model, splits.test)},
            "weights": {"transformer": model}}


def train_longer(splits, seed):
    """The checkpoint's model: the live training with more steps; and its History."""
    torch.manual_seed(seed)
    model = translator()
    return model, train_transformer(model, splits.train, seed, SETTINGS["longer_steps"])
