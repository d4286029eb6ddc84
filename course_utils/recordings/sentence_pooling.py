"""Chapter 07: from the vectors of all words to one answer. Mean pooling against a <cls> vector, every seed.

The question: what does the *last* statement of an English sentence say, in which tense, and is it denied? Sentences
with two statements often have two tenses, so a count of words does not answer it.
"""

import functools

import torch
import torch.nn.functional as F

from course_utils.data.parsing import parse
from course_utils.data.translation import translation_splits, vocabularies
from course_utils.data.vocabulary import pad_ids
from course_utils.models.transformer import Classifier
from course_utils.training import train, warmup_then_cosine

SETTINGS = {
    "pairs": 8000,
    "d_model": 32,
    "n_heads": 4,
    "d_ff": 64,
    "n_layers": 2,
    "dropout": 0.0,
    "batch_size": 64,
    "steps": 300,
    "warmup": 30,
    "learning_rate": 3e-3,
    "weight_decay": 0.1,
    "seeds": [0, 1, 2, 3, 4],
}
POOLINGS = ("mean", "cls")
CLASSES = [(tense, denied) for tense in ("past", "present", "future") for denied in (False, True)]


def last_statement(pair):
    """The class of a pair's last predicate, a number: its place in CLASSES."""
    predicate = parse(" ".join(pair.source[1:])).clauses[-1].predicates[-1]
    return CLASSES.index((predicate.tense, predicate.negated))


@functools.cache
def classified():
    """Sentences and their classes: a dict with "train" and "test", each ids (N, T), lengths (N,), classes (N,)."""
    splits, source = translation_splits(train=SETTINGS["pairs"]), vocabularies()[0]
    return {name: (*pad_ids([source.encode(pair.source) for pair in pairs]),
                   torch.tensor([last_statement(pair) for pair in pairs]))
            for name, pairs in (("train", splits.train), ("test", splits.test))}


def classifier(pooling):
    """An untrained model with the recording's sizes. pooling: "mean" or "cls"."""
    sizes = [SETTINGS[name] for name in ("d_model", "n_heads", "d_ff", "n_layers", "dropout")]
    return Classifier(len(vocabularies()[0]), len(CLASSES), pooling, *sizes)


def train_classifier(model, seed, steps=SETTINGS["steps"]):
    """Train on random batches, with cross-entropy and AdamW. Returns the History."""
    ids, lengths, classes = classified()["train"]
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), SETTINGS["learning_rate"], weight_decay=SETTINGS["weight_decay"])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_then_cosine(steps, SETTINGS["warmup"]))

    def loss_at(step):
        rows = torch.randint(len(ids), (SETTINGS["batch_size"],), generator=draw)
        return F.cross_entropy(model(ids[rows], lengths[rows]), classes[rows])

    return train(model, steps, loss_at, optimizer, schedule, max_norm=1.0, label=f"pooling: {model.pooling}")


def accuracy(model):
    """Share of the test sentences with the right class."""
    ids, lengths, classes = classified()["test"]
    with torch.no_grad():
        return (model(ids, lengths).argmax(-1) == classes).float().mean().item()


def trained(pooling, seed):
    """A model trained from that seed, and its History."""
    torch.manual_seed(seed)
    model = classifier(pooling)
    return model, train_classifier(model, seed)


def run(progress=list):
    """All runs; progress wraps the list of them. Returns a row for each, and the share of the commonest class."""
    rows = []
    for pooling, seed in progress([(pooling, seed) for pooling in POOLINGS for seed in SETTINGS["seeds"]]):
        model, history = trained(pooling, seed)
        rows.append({"pooling": pooling, "seed": seed, "seconds": round(history.seconds, 1),
                     "train_loss": sum(history.losses[-20:]) / 20, "test": accuracy(model)})
    classes = classified()["test"][2]
    return {"rows": rows, "commonest": classes.bincount().max().item() / len(classes)}
