"""Chapter 03: translation without attention. Exact match by source length, teacher forcing 1, 0.5 and 0, every seed.

Three sizes of claim: runs as long as the notebook's own (three seeds), the three teacher-forcing ratios on the same
budget, and one longer run whose weights are the checkpoint `seq2seq`.
"""

import torch
import torch.nn.functional as F

from course_utils.data.translation import translation_splits, vocabularies
from course_utils.data.vocabulary import EOS_ID, PAD_ID, SOS_ID, pad_ids
from course_utils.decoding import greedy_search
from course_utils.metrics import bleu, exact_match, token_accuracy
from course_utils.models.seq2seq import EncoderDecoder
from course_utils.training import train, warmup_then_cosine

SETTINGS = {
    "pairs": 30000,
    "embedding_size": 64,
    "hidden_size": 128,
    "batch_size": 64,
    "steps": 2200,
    "learning_rate": 1e-2,
    "warmup": 50,
    "max_norm": 1.0,
    "seeds": [0, 1, 2],
    "ratios": [1.0, 0.5, 0.0],
    "longest": 30,
    "buckets": [[2, 4], [5, 7], [8, 10], [11, 13], [14, 16]],
    "checkpoint": {"steps": 8000, "hidden_size": 256, "learning_rate": 3e-3},
}


def translator(hidden_size=None):
    """An untrained encoder-decoder with the recording's sizes."""
    source, target = vocabularies()
    return EncoderDecoder(len(source), len(target), SETTINGS["embedding_size"], hidden_size or SETTINGS["hidden_size"])


def encode_pairs(pairs):
    """Sentence pairs as ids: source (N, S), lengths (N,), target (N, T) from <sos> to <eos>, filled up with <pad>."""
    source, target = vocabularies()
    ids, lengths = pad_ids([source.encode(pair.source) for pair in pairs])
    wanted, _ = pad_ids([[SOS_ID, *target.encode(pair.target), EOS_ID] for pair in pairs])
    return ids, lengths, wanted


def batches(pairs, draw, short_first, batch_size=SETTINGS["batch_size"]):
    """A function that gives a batch of sentences of similar length: source (B, S), lengths (B,), target (B, T).

    A batch is a run of neighbours among the pairs sorted by length, which leaves little padding. Its place is u to
    the power of short_first, u drawn evenly between 0 and 1: with 2 half of the batches lie in the shortest quarter,
    with 1 all lengths come equally often. draw: the generator of the random numbers.
    """
    pairs = sorted(pairs, key=lambda pair: (len(pair.source), len(pair.target)))
    ids, lengths, wanted = encode_pairs(pairs)
    real = (wanted != PAD_ID).sum(1)                                          # (N,)

    def batch():
        first = int((len(pairs) - batch_size) * torch.rand((), generator=draw) ** short_first)
        rows = slice(first, first + batch_size)
        return ids[rows, : lengths[rows].max()], lengths[rows], wanted[rows, : real[rows].max()]

    return batch


def train_translator(model, pairs, seed, steps, teacher_forcing=1.0, learning_rate=SETTINGS["learning_rate"],
                     optimizer=None, short_first=2.0):
    """Train on batches of sentences of similar length; the loss leaves out padding. Returns the History.

    short_first: see `batches`. optimizer: Adam with learning_rate, unless one is given.
    """
    draw = torch.Generator().manual_seed(seed)
    batch = batches(pairs, draw, short_first)
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_then_cosine(steps, SETTINGS["warmup"]))

    def loss_at(step):
        source, lengths, target = batch()
        logits = model(source, lengths, target[:, :-1], teacher_forcing, draw)
        return F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD_ID)

    return train(model, steps, loss_at, optimizer, schedule, SETTINGS["max_norm"], label="learning to translate")


def translations(model, pairs):
    """The model's greedy translation of each pair's source: a list of token lists."""
    ids, lengths, _ = encode_pairs(pairs)
    with torch.no_grad():
        written = greedy_search(model.step, model.encode(ids, lengths), len(pairs), SOS_ID, EOS_ID, SETTINGS["longest"])
    tokens = vocabularies()[1].tokens
    return [[tokens[number] for number in row] for row in written]


def in_bucket(pairs, bucket):
    """Pairs whose English has from bucket[0] to bucket[1] words; the register token does not count."""
    return [pair for pair in pairs if bucket[0] <= len(pair.source) - 1 <= bucket[1]]


def exact_by_length(model, pairs):
    """Share of exactly right translations in each bucket of source lengths."""
    groups = [in_bucket(pairs, bucket) for bucket in SETTINGS["buckets"]]
    return [exact_match(translations(model, group), [pair.target for pair in group]) for group in groups]


def accuracy_by_position(model, pairs, teacher_forcing):
    """Share of right tokens at each place of the target, up to and with <eos>, fed with right or with own words."""
    ids, lengths, wanted = encode_pairs(pairs)
    with torch.no_grad():
        chosen = model(ids, lengths, wanted[:, :-1], teacher_forcing).argmax(-1)              # (N, T)
    real = wanted[:, 1:] != PAD_ID
    right = (chosen == wanted[:, 1:]) & real
    return (right.sum(0) / real.sum(0)).tolist()


def measured(model, splits):
    """All scores of one trained model: by bucket of lengths, by place in the target, and as a whole."""
    medium = in_bucket(splits.test, SETTINGS["buckets"][2])
    written = {name: translations(model, part) for name, part in (("test", splits.test), ("longer", splits.longer))}
    references = {name: [pair.target for pair in getattr(splits, name)] for name in written}
    forced, free = (accuracy_by_position(model, medium, ratio) for ratio in (1.0, 0.0))
    return {
        "exact": exact_match(written["test"], references["test"]),
        "token_accuracy": token_accuracy(written["test"], references["test"]),
        "bleu": bleu(written["test"], references["test"]),
        "exact_longer": exact_match(written["longer"], references["longer"]),
        "test": exact_by_length(model, splits.test),
        "train": exact_by_length(model, splits.train[:4000]),
        "forced_by_place": forced[:9],
        "free_by_place": free[:9],
    }


def run(progress=list):
    """All runs; progress wraps the list of them. Returns a row for each, and the weights of the long one."""
    splits = translation_splits(train=SETTINGS["pairs"])
    names = ("steps", "hidden_size", "learning_rate")
    short = [(ratio, seed, [SETTINGS[name] for name in names])
             for ratio in SETTINGS["ratios"] for seed in SETTINGS["seeds"]]
    long = (1.0, 0, [SETTINGS["checkpoint"][name] for name in names])
    rows = []
    for ratio, seed, (steps, hidden_size, learning_rate) in progress([*short, long]):
        torch.manual_seed(seed)
        model = translator(hidden_size)
        history = train_translator(model, splits.train, seed, steps, ratio, learning_rate)
        rows.append({"teacher_forcing": ratio, "seed": seed, "steps": steps, "hidden_size": hidden_size,
                     "seconds": round(history.seconds, 1), **measured(model, splits)})
    return {"rows": rows[:-1], "long": rows[-1], "weights": {"seq2seq": model}}
