"""Chapter 11: next-sentence prediction (NSP) against sentence order (SOP): which of them can be solved by topic alone?

First without a network: one number a pair, how alike the words of its two sentences are. Then the course's BERT
checkpoint, trained on with one of the two tasks and tested on both, as in Lan et al., "ALBERT" (2020), table 5. Its
pooler and pair layer are drawn anew: those of the checkpoint have learned NSP before. Its other weights have, too.
"""

import functools
import itertools

import torch
import torch.nn.functional as F

from course_utils import recordings
from course_utils.data.docstrings import docstring_sentences
from course_utils.data.vocabulary import pad_ids
from course_utils.recordings.docstring_bert import CLS_ID, SEP_ID, corpus, pretrained
from course_utils.training import adamw_with_cosine, train

SETTINGS = {
    "steps": 300,
    "batch_size": 32,
    "rates": [1e-4, 3e-4, 1e-3, 3e-3],
    "warmup": 0.1,
    "weight_decay": 0.01,
    "max_norm": 1.0,
    "regularisation": 1.0,           # scikit-learn's C
    "seeds": [0, 1, 2],
}
TASKS = ("NSP", "SOP")


# ---------------------------------------------------------------- pairs of sentences


def pair_at(data, place, label, task, generator=None):
    """The places of two sentences. label 0: the sentence at `place` and its successor; 1: what the task sets against.

    task "SOP": the same two, swapped. "NSP": the successor of a sentence of another docstring takes the second place.
    """
    if label == 0:
        return place, place + 1
    if task == "SOP":
        return place + 1, place
    other = place
    while data.document[other] == data.document[place]:
        other = data.has_next[torch.randint(len(data.has_next), (1,), generator=generator).item()]
    return place, other + 1


def all_pairs(part, task, seed=0):
    """Every two neighbours of a part, once with label 0 and once with label 1: (pairs of places, labels (n,))."""
    data, generator = corpus(part), torch.Generator().manual_seed(seed)
    cells = list(itertools.product(data.has_next, (0, 1)))
    return [pair_at(data, *cell, task, generator) for cell in cells], torch.tensor([label for _, label in cells])


# ---------------------------------------------------------------- without a network


@functools.cache
def sentence_texts(part):
    """All sentences of a part, in the order of `corpus`."""
    return [sentence for document in docstring_sentences(part) for sentence in document]


@functools.cache
def sentence_vectors(part):
    """TF-IDF vectors of a part's sentences, a sparse matrix (sentences, words), each of length 1.

    Words are weighed by how rare they are in the training sentences.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True).fit(sentence_texts("train")).transform(sentence_texts(part))


def likeness(part, task):
    """How alike the words of each pair are, the cosine of its TF-IDF vectors (n,), and the labels (n,)."""
    pairs, labels = all_pairs(part, task)
    first, second = (sentence_vectors(part)[list(places)] for places in zip(*pairs, strict=True))
    cosine = first.multiply(second).sum(axis=1)                              # (n, words) -> (n, 1)
    return torch.from_numpy(cosine).flatten(), labels


def best_threshold(scores, labels):
    """The threshold with the most right answers, where "alike" means label 0. scores, labels (n,) -> float"""
    ordered, order = scores.sort()
    gained = torch.where(labels[order] == 1, 1, -1).cumsum(0)                # right answers more than with none below
    last = torch.cat([ordered[1:] != ordered[:-1], torch.tensor([True])])    # equal scores fall on one side
    return ordered[gained.masked_fill(~last, -len(scores)).argmax()].item()


def topic_accuracy(task):
    """Share of right answers on the test files from the likeness alone; the threshold is chosen on training files."""
    threshold = best_threshold(*likeness("train", task))
    scores, labels = likeness("test", task)
    return ((scores <= threshold).long() == labels).float().mean().item()


def order_accuracy():
    """Share of right answers to SOP from the words alone: a weight for each says how early in a text it stands.

    Logistic regression on the difference of the two TF-IDF vectors, so swapping a pair turns the answer round.
    """
    from sklearn.linear_model import LogisticRegression

    def differences(part):
        pairs, labels = all_pairs(part, "SOP")
        first, second = (sentence_vectors(part)[list(places)] for places in zip(*pairs, strict=True))
        return first - second, labels.numpy()

    model = LogisticRegression(C=SETTINGS["regularisation"], fit_intercept=False, max_iter=1000)
    return float(model.fit(*differences("train")).score(*differences("test")))


# ---------------------------------------------------------------- with a network


def as_batch(data, pairs):
    """Pairs of places as BERT reads them, `[CLS] first [SEP] second [SEP]`: ids (B, T), lengths (B,), segments."""
    halves = [([CLS_ID, *data.sentences[first], SEP_ID], [*data.sentences[second], SEP_ID]) for first, second in pairs]
    ids, lengths = pad_ids([first + second for first, second in halves])
    segments, _ = pad_ids([[0] * len(first) + [1] * len(second) for first, second in halves])
    return ids, lengths, segments


def new_start(seed):
    """The checkpoint with a new pooler and pair layer."""
    torch.manual_seed(seed)
    model, _ = pretrained()
    for layer in (model.bert.pooler, model.next):
        torch.nn.init.normal_(layer.weight, std=model.config.init_std)
        torch.nn.init.zeros_(layer.bias)
    return model


def train_pairs(model, task, rate, seed):
    """Train all weights on one task for `steps` batches of random training pairs. Returns the History."""
    data, draw = corpus("train"), torch.Generator().manual_seed(seed)
    optimizer, schedule = adamw_with_cosine(model, SETTINGS["steps"], SETTINGS["warmup"], rate,
                                            SETTINGS["weight_decay"], fused=True)

    def loss_at(step):
        places = torch.randint(len(data.has_next), (SETTINGS["batch_size"],), generator=draw).tolist()
        labels = torch.randint(2, (SETTINGS["batch_size"],), generator=draw)
        pairs = [pair_at(data, data.has_next[place], label, task, draw)
                 for place, label in zip(places, labels.tolist(), strict=True)]
        return F.cross_entropy(model.next_logits(model.bert(*as_batch(data, pairs))), labels)

    return train(model, SETTINGS["steps"], loss_at, optimizer, schedule, SETTINGS["max_norm"], label=task)


def pair_accuracy(model, task, part="test"):
    """Share of right answers over `all_pairs` of a part: label 0 is "the second follows the first"."""
    pairs, labels = all_pairs(part, task)
    order = sorted(range(len(pairs)), key=lambda n: sum(len(corpus(part).sentences[p]) for p in pairs[n]))
    hits = []
    with torch.no_grad():
        for start in range(0, len(order), 64):                               # pairs of one length need no padding
            rows = order[start : start + 64]
            hidden = model.bert(*as_batch(corpus(part), [pairs[row] for row in rows]))
            hits.append(model.next_logits(hidden).argmax(-1) == labels[rows])
    return torch.cat(hits).float().mean().item()


def tested(task, rate, seed, part="test", tasks=TASKS):
    """Train on with one task, then the share of right answers in each of `tasks`: {"NSP": …, "SOP": …}."""
    model = new_start(seed)
    train_pairs(model, task, rate, seed)
    return {name: pair_accuracy(model, name, part) for name in tasks}


def best_rate(search, task):
    """The learning rate with the most right answers in its own task on the validation files."""
    return recordings.best_rate(search, "validation", task=task)


def run(progress=list):
    """Likeness of words, the checkpoint as it is, the search for learning rates, then both tasks with every seed."""
    words = {task: topic_accuracy(task) for task in TASKS} | {"SOP, weighed words": order_accuracy()}
    untouched = {task: pair_accuracy(pretrained()[0], task) for task in TASKS}
    search, rows = [], []
    for task, rate in progress(list(itertools.product(TASKS, SETTINGS["rates"]))):
        search.append({"task": task, "rate": rate, "validation": tested(task, rate, 0, "validation", (task,))[task]})
    for task, seed in progress(list(itertools.product(TASKS, SETTINGS["seeds"]))):
        rate = best_rate(search, task)
        rows.append({"task": task, "rate": rate, "seed": seed, **tested(task, rate, seed)})
    return {"words": words, "checkpoint": untouched, "search": search, "rows": rows}
