"""Chapter 08: what is pre-training worth when labels are few? Six topics of docstring sentences, every seed.

Seven ways: real weights (MiniLM) fine-tuned, the same weights frozen under a logistic regression, the course's own BERT
fine-tuned after the longer and after the short pre-training, the networks of both from scratch, and TF-IDF with
logistic regression. All see the same sentences. The own models were pre-trained on the training files only, and each
got its learning rate by a search on training sentences that were held out. MiniLM's was not searched.
"""

import copy
import functools
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from course_utils import recordings
from course_utils.data.docstrings import TOPICS, topic_sentences
from course_utils.data.subword import load_tokenizer
from course_utils.data.vocabulary import pad_ids
from course_utils.models.bert import BERTClassifier, mean_state
from course_utils.models.pretrained import load_pretrained
from course_utils.recordings.docstring_bert import new_model, pretrained, trained
from course_utils.training import adamw_with_cosine, train

SETTINGS = {
    "labels": [10, 50, 100],         # a class
    "test": 40,                      # a class, from files that no method was trained on
    "tokens": 32,
    "batch_size": 16,
    "steps": {"10": 40, "50": 80, "100": 120},
    "rates": [5e-4, 1e-3, 2e-3, 4e-3, 8e-3],
    "learning_rate": {"real": 1e-4, "own": 1e-3, "short": 4e-3, "scratch": 4e-3, "scratch, small": 8e-3},
    "dropout": 0.1,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "pooling": "mean",
    "regularisation": 10.0,          # scikit-learn's C
    "seeds": [0, 1, 2],
}
METHODS = ("real", "real, frozen", "own", "short", "scratch", "scratch, small", "tf-idf")
SEARCHED = ("own", "short", "scratch", "scratch, small")


class Labelled(NamedTuple):
    """texts: list of sentences; topics: (n,) numbers of their topics in TOPICS."""

    texts: list
    topics: torch.Tensor


@functools.cache
def draw_sentences(part, count, seed=0):
    """`count` random sentences of each topic, a Labelled.

    part: "train"; "held out", others of the same files than "train" gives with this seed; or "test", the validation and
    test files. Raises ValueError where a topic has fewer: some Pythons come without some packages.
    """
    rows, skipped = topic_sentences("train"), max(SETTINGS["labels"]) if part == "held out" else 0
    if part == "test":
        seen = {text for text, _ in rows}                # programmers copy, also from file to file
        rows = [row for each in ("validation", "test") for row in topic_sentences(each) if row[0] not in seen]
    draw, texts, topics = np.random.default_rng(seed), [], []
    for number, topic in enumerate(TOPICS):
        found = [text for text, label in rows if label == number]
        if len(found) < skipped + count:
            raise ValueError(f"this Python's library has {len(found)} sentences about {topic}, not {skipped + count}")
        texts += [found[place] for place in draw.permutation(len(found))[skipped : skipped + count]]
        topics += [number] * count
    return Labelled(texts, torch.tensor(topics))


def encode(texts, tokenizer, tokens=SETTINGS["tokens"]):
    """ids (B, T) and lengths (B,) of texts, each `[CLS] … [SEP]` and at most `tokens` long."""
    rows = [row.ids for row in tokenizer.encode_batch(list(texts))]
    return pad_ids([row if len(row) <= tokens else [*row[: tokens - 1], row[-1]] for row in rows])


def start(method):
    """The encoder that a method begins with, and its tokenizer. Raises FileNotFoundError without the real weights."""
    if method.startswith("real"):
        return load_pretrained()
    model = {"own": lambda: pretrained()[0], "short": short_run, "scratch": lambda: new_model("longer"),
             "scratch, small": new_model}[method]()
    return model.bert, load_tokenizer("wordpiece")


def short_run():
    """A copy of the model that the chapter's notebook pre-trains, with seed 0."""
    return copy.deepcopy(pretrained_for_seconds())


@functools.cache
def pretrained_for_seconds():
    """The short pre-training, made once."""
    with torch.random.fork_rng(devices=[]):              # the seed of the fine-tuning stays as it was
        return trained(0)[0]


def fine_tune(method, count, seed, rate=None):
    """Train all weights and a new layer on `count` sentences a topic. Returns (BERTClassifier, tokenizer, History).

    rate: another learning rate than the method's own.
    """
    torch.manual_seed(seed)
    bert, tokenizer = start(method)
    rate = rate or SETTINGS["learning_rate"][method]
    model, history = train_classifier(bert, tokenizer, count, seed, rate, f"{method}, {count} labels")
    return model, tokenizer, history


def train_classifier(bert, tokenizer, count, seed, rate, label):
    """Put a new layer on an encoder and train both on `count` sentences a topic. Returns (BERTClassifier, History).

    label: what the progress bar says. The new layer's start comes from torch's generator as the caller left it.
    """
    data = draw_sentences("train", count, seed)
    ids, lengths = encode(data.texts, tokenizer)
    model = BERTClassifier(bert, len(TOPICS), SETTINGS["dropout"], SETTINGS["pooling"])
    steps, order = SETTINGS["steps"][str(count)], torch.Generator().manual_seed(seed)
    optimizer, schedule = adamw_with_cosine(model, steps, SETTINGS["warmup"], rate, SETTINGS["weight_decay"])

    def loss_at(step):
        rows = torch.randint(len(ids), (SETTINGS["batch_size"],), generator=order)
        longest = int(lengths[rows].max())
        return F.cross_entropy(model(ids[rows, :longest], lengths[rows]), data.topics[rows])

    return model, train(model, steps, loss_at, optimizer, schedule, 1.0, label=label)


def predict(model, tokenizer, texts):
    """Scores of the topics, (n, 6), in pieces of 50 sentences."""
    with torch.no_grad():
        return torch.cat([model(*encode(texts[place : place + 50], tokenizer)) for place in range(0, len(texts), 50)])


def sentence_vectors(texts):
    """The frozen real weights' mean states, an array (n, 384)."""
    bert, tokenizer = load_pretrained()
    return predict(lambda ids, lengths: mean_state(bert(ids, lengths), lengths), tokenizer, texts).numpy()


def regression(vectors, topics, test_vectors):
    """Topics (m,) of test vectors, by logistic regression on vectors (n, features) with topics (n,)."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=SETTINGS["regularisation"], max_iter=2000).fit(vectors, topics).predict(test_vectors)


def tf_idf(texts, test_texts):
    """TF-IDF vectors of words and pairs of words, learned from texts: (for texts, for test texts)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return vectorizer.fit_transform(texts), vectorizer.transform(test_texts)


def accuracy(method, count, seed):
    """Share of the test sentences with the right topic, after learning from `count` labels a topic."""
    data, test = draw_sentences("train", count, seed), draw_sentences("test", SETTINGS["test"])
    if method in ("real, frozen", "tf-idf"):
        vectors = (tf_idf(data.texts, test.texts) if method == "tf-idf" else
                   (sentence_vectors(data.texts), sentence_vectors(test.texts)))
        said = torch.from_numpy(regression(vectors[0], data.topics.numpy(), vectors[1]))
    else:
        model, tokenizer, _ = fine_tune(method, count, seed)
        said = predict(model, tokenizer, test.texts).argmax(-1)
    return (said == test.topics).float().mean().item()


def held_out_accuracy(method, count, rate):
    """Share of right topics on held-out training sentences, seed 0: what learning rates are chosen by."""
    model, tokenizer, _ = fine_tune(method, count, 0, rate)
    held_out = draw_sentences("held out", SETTINGS["test"], 0)
    return (predict(model, tokenizer, held_out.texts).argmax(-1) == held_out.topics).float().mean().item()


def best_rate(search, method):
    """The learning rate with the best mean over the numbers of labels. search: rows as `run` returns them."""
    return recordings.best_rate(search, "held_out", method=method)


def run(progress=list):
    """The search for learning rates, then all methods, numbers of labels and seeds. Needs the real weights."""
    cells = [(method, count, rate) for method in SEARCHED for count in SETTINGS["labels"] for rate in SETTINGS["rates"]]
    search = [{"method": method, "labels": count, "rate": rate, "held_out": held_out_accuracy(method, count, rate)}
              for method, count, rate in progress(cells)]
    cells = [(method, count, seed) for method in METHODS for count in SETTINGS["labels"] for seed in SETTINGS["seeds"]]
    rows = [{"method": method, "labels": count, "seed": seed, "test": accuracy(method, count, seed)}
            for method, count, seed in progress(cells)]
    return {"search": search, "rows": rows}
