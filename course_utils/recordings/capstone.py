"""Chapter 11's capstone: which library does this docstring belong to? From data to a small model in a file.

Five packages of Python's standard library, whole docstrings. What is tested comes from files that nothing was ever
trained on; what is chosen (learning rates, steps) is chosen on files of the training part that were held out. The
course's own BERT was pre-trained on the text of the whole training part, so the held-out files flatter it a little.
"""

import dataclasses
import functools
import json
import math
import re
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.data.docstrings import PARTS, SENTENCE_END, entries_of
from course_utils.data.subword import load_tokenizer
from course_utils.layout import write_whole
from course_utils.models.bert import BERT, BERTClassifier, BERTConfig
from course_utils.models.compact import soft_target_loss
from course_utils.models.pretrained import read
from course_utils.models.transformer import load_matching
from course_utils.recordings.few_labels import encode, regression, sentence_vectors, start, tf_idf
from course_utils.training import adamw_with_cosine, train, weights_of

SETTINGS = {
    "tokens": 64,                    # read of a docstring: as many places as the course's BERT has
    "held_out": 0.25,                # of each library's training files
    "splits": [0, 1],                # held-out files that choices are made on, by seed
    "leak": {"share": 0.25, "seeds": [0, 1, 2, 3, 4]},
    "regularisations": [1.0, 10.0],  # scikit-learn's C
    "search": {"rates": [1e-3, 2e-3, 4e-3], "steps": [150, 300]},
    "student_search": {"rates": [2e-3, 4e-3, 8e-3], "steps": 300},
    "real": {"learning_rate": 5e-4, "steps": 100, "tokens": 40},      # not searched
    "batch_size": 16,
    "dropout": 0.1,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "pooling": "mean",
    "student": {"vocab_size": 3000, "d_model": 64, "n_heads": 4, "d_ff": 256, "n_layers": 1, "max_length": 64,
                "dropout": 0.0, "init_std": 0.05},
    "temperature": 2.0,
    "unlabelled": 2000,
    "seeds": [0, 1, 2],
}
LIBRARIES = ("asyncio", "email", "importlib", "multiprocessing", "xml")
WAYS = ("labels", "soft targets", "soft targets, more text")
LONGEST_TEXT = 10_000                # characters that `predict` looks at: far more than the tokens it reads


class Row(NamedTuple):
    """One docstring. text: all of it; library: its number in LIBRARIES; file: as "email/message.py"."""

    text: str
    library: int
    file: str


# ---------------------------------------------------------------- data


def first_sentence(text):
    """How a docstring begins, in small letters and with single spaces: copies are told by it."""
    return SENTENCE_END.split(" ".join(text.split("\n\n")[0].split()))[0].lower()


@functools.cache
def deduplicated():
    """The libraries' docstrings without near-copies: a dict from "train" and "test" to tuples of Row.

    Of docstrings with the same first sentence only the first is kept, and those of the training part come first.
    """
    found = {}
    for part in PARTS:
        for entry in entries_of(part):
            if entry.package in LIBRARIES:
                row = Row(entry.text, LIBRARIES.index(entry.package), entry.module)
                found.setdefault(first_sentence(entry.text), ("train" if part == "train" else "test", row))
    return {name: tuple(row for part, row in found.values() if part == name) for name in ("train", "test")}


def library_docstrings(part):
    """Rows of one part, a list. part: "train", or "test", the validation and test files, that nothing was trained on.

    No two rows begin with the same sentence. Raises ValueError for another part.
    """
    if part not in ("train", "test"):
        raise ValueError(f"part={part!r} is neither 'train' nor 'test'")
    return list(deduplicated()[part])


def split_by_rows(rows, share, seed):
    """A random split that looks at no file: (the others, about `share` of the rows). A file may lie on both sides."""
    order = np.random.default_rng(seed).permutation(len(rows))
    count = round(share * len(rows))
    return [rows[place] for place in order[count:]], [rows[place] for place in order[:count]]


def split_by_files(rows, share, seed):
    """Split by whole files: (the others, about `share` of each library's files, at least one).

    Raises ValueError for a share outside 0 … 1 and where a library would have no file left.
    """
    if not 0 < share < 1:
        raise ValueError(f"share={share} must be between 0 and 1")
    draw, held = np.random.default_rng(seed), set()
    for library in sorted({row.library for row in rows}):
        files = sorted({row.file for row in rows if row.library == library})
        count = max(1, round(share * len(files)))
        if count == len(files):
            raise ValueError(f"{len(files)} files of {LIBRARIES[library]} are too few for a share of {share}")
        held.update(draw.permutation(files)[:count].tolist())
    return [row for row in rows if row.file not in held], [row for row in rows if row.file in held]


def texts_and_labels(rows):
    """Rows as a list of texts and a tensor (n,) of the libraries' numbers."""
    return [row.text for row in rows], torch.tensor([row.library for row in rows])


@functools.cache
def unlabelled_docstrings(count=SETTINGS["unlabelled"], seed=0):
    """`count` random docstrings of other packages, from training files: a tuple of texts. Nobody says what they are."""
    texts = [entry.text for entry in entries_of("train") if entry.package not in LIBRARIES]
    return tuple(texts[place] for place in np.random.default_rng(seed).permutation(len(texts))[:count])


# ---------------------------------------------------------------- how good?


def confusion(true, said, n):
    """How often which class was taken for which: (n, n) whole numbers, rows the true class, columns what was said."""
    return torch.bincount(true * n + said, minlength=n * n).view(n, n)


def scores(true, said):
    """Two measures of labels `said` against `true`, both (m,): a dict with accuracy and mean_recall.

    mean_recall: the share found of each library that occurs, averaged over libraries. A large one counts no more.
    """
    counts = confusion(true, said, len(LIBRARIES)).double()
    recalls = (counts.diag() / counts.sum(1))[counts.sum(1) > 0]
    return {"accuracy": (counts.trace() / counts.sum()).item(), "mean_recall": recalls.mean().item()}


def confident_errors(probabilities, true, count=5):
    """Places of the wrong answers that the model was surest of, a list. probabilities (m, n), true (m,)."""
    sureness, said = probabilities.max(-1)
    wrong = (said != true).nonzero().squeeze(-1)
    return wrong[sureness[wrong].argsort(descending=True)][:count].tolist()


# ---------------------------------------------------------------- without a network


def most_frequent(rows, texts):
    """The largest class of the rows, said of every text: (m,)."""
    return texts_and_labels(rows)[1].bincount().argmax().repeat(len(texts))


def name_rule(rows, texts):
    """The first library whose name stands in a text as a word; where there is none, the largest class. -> (m,)"""
    said = most_frequent(rows, texts)
    for place, text in enumerate(texts):
        found = re.search(rf"\b({'|'.join(LIBRARIES)})\b", text.lower())
        if found:
            said[place] = LIBRARIES.index(found[1])
    return said


def word_counts(rows, texts, regularisation=10.0, balanced=True):
    """TF-IDF of words and pairs of words, then logistic regression: learned from rows, said of texts. -> (m,)

    balanced: a row of a rare class weighs more, so that all classes weigh the same.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    learned, labels = texts_and_labels(rows)
    vectors, test_vectors = tf_idf(learned, texts)
    model = LogisticRegression(C=regularisation, max_iter=500, class_weight="balanced" if balanced else None)
    with threadpool_limits(1):       # on small tables a second thread only waits: ten times the time on a busy machine
        return torch.from_numpy(model.fit(vectors, labels.numpy()).predict(test_vectors))


def hide_names(text):
    """The text without the libraries' names, also where they are parts of words ("XMLParser")."""
    return re.sub("|".join(LIBRARIES), " ", text, flags=re.IGNORECASE)


def hidden(rows):
    """Rows with the libraries' names hidden in their texts."""
    return [row._replace(text=hide_names(row.text)) for row in rows]


def leak(seed):
    """The same method on two splits of the training rows: a dict with the scores of "rows" and of "files"."""
    found, share = {}, SETTINGS["leak"]["share"]
    for name, split in (("rows", split_by_rows), ("files", split_by_files)):
        learned, held_out = split(library_docstrings("train"), share, seed)
        texts, labels = texts_and_labels(held_out)
        found[name] = scores(labels, word_counts(learned, texts))
    return found


# ---------------------------------------------------------------- fine-tuning


def logits_of(model, tokenizer, texts, tokens=SETTINGS["tokens"]):
    """Scores of the libraries for each text (m, 5). Texts of like length go together: little padding is computed."""
    ids, lengths = encode(texts, tokenizer, tokens)
    order = lengths.argsort()
    with torch.no_grad():
        said = torch.cat([model(ids[rows, : lengths[rows].max()], lengths[rows]) for rows in order.split(50)])
    return said[order.argsort()]


def fit(model, texts, tokenizer, loss_of, steps, rate, seed, weights=None, tokens=SETTINGS["tokens"]):
    """Train on random batches of texts. loss_of(scores (B, 5), their places (B,)) -> loss. Returns the History.

    weights (m,): how often each text is drawn; None: all alike.
    """
    ids, lengths = encode(texts, tokenizer, tokens)
    draw, weights = torch.Generator().manual_seed(seed), torch.ones(len(ids)) if weights is None else weights
    optimizer, schedule = adamw_with_cosine(model, steps, SETTINGS["warmup"], rate, SETTINGS["weight_decay"],
                                            fused=True)

    def loss_at(step):
        rows = torch.multinomial(weights, SETTINGS["batch_size"], replacement=True, generator=draw)
        return loss_of(model(ids[rows, : lengths[rows].max()], lengths[rows]), rows)

    return train(model, steps, loss_at, optimizer, schedule, 1.0, label="which library?")


def fine_tune(rows, seed, rate, steps, method="own", tokens=SETTINGS["tokens"]):
    """Train all weights and a new layer on rows. Returns (BERTClassifier, tokenizer, History).

    method: what it starts with, as `few_labels.start` has it: "own", the course's BERT, or "real", MiniLM. Raises
    FileNotFoundError without the real weights.
    """
    torch.manual_seed(seed)
    bert, tokenizer = start(method)
    model = BERTClassifier(bert, len(LIBRARIES), SETTINGS["dropout"], SETTINGS["pooling"])
    texts, labels = texts_and_labels(rows)

    def loss_of(logits, places):
        return F.cross_entropy(logits, labels[places])

    return model, tokenizer, fit(model, texts, tokenizer, loss_of, steps, rate, seed, tokens=tokens)


# ---------------------------------------------------------------- a smaller one


def new_student(seed):
    """An untrained student: one block, 64 features. It starts from nothing, so it can be smaller than its teacher."""
    torch.manual_seed(seed)
    return BERTClassifier(BERT(BERTConfig(**SETTINGS["student"])), len(LIBRARIES), SETTINGS["dropout"],
                          SETTINGS["pooling"])


def train_student(way, rows, teacher_logits, seed, rate, steps, more=None):
    """A student and its History. way: "labels", "soft targets", or "soft targets, more text".

    more: other texts, whose labels nobody knows; None: `unlabelled_docstrings()`. teacher_logits: the teacher's scores
    (m, 5) of the rows' texts, then of those. With more text every second docstring is, on average, one of those.
    """
    student, tokenizer = new_student(seed), load_tokenizer("wordpiece")
    texts, labels = texts_and_labels(rows)
    weights = torch.full((len(texts),), 1 / len(texts))
    if way == "soft targets, more text":
        more = unlabelled_docstrings() if more is None else more
        texts, weights = [*texts, *more], torch.cat([weights, torch.full((len(more),), 1 / len(more))])

    def loss_of(logits, places):
        if way == "labels":
            return F.cross_entropy(logits, labels[places])
        return soft_target_loss(logits, teacher_logits[places], SETTINGS["temperature"])

    return student, fit(student, texts, tokenizer, loss_of, steps, rate, seed, weights)


def teacher_says(teacher, tokenizer, rows, more=None):
    """What a teacher says of the rows' texts and of `more`: (m, 5), as `train_student` takes it."""
    return logits_of(teacher, tokenizer, [*(row.text for row in rows),
                                          *(unlabelled_docstrings() if more is None else more)])


def milliseconds(model, tokenizer, texts):
    """Median time of one docstring alone, from text to scores. It depends on the machine and on what else runs."""
    taken = []
    for text in texts:
        began = time.perf_counter()
        logits_of(model, tokenizer, [text])
        taken.append(1000 * (time.perf_counter() - began))
    return float(np.median(taken))


# ---------------------------------------------------------------- into a file and back


class Bundle(NamedTuple):
    """All that a user needs. model: BERTClassifier; labels: list of names; measured: how good it is, a dict."""

    model: BERTClassifier
    tokenizer: object
    labels: list
    measured: dict


FILES = {"weights": "model.safetensors", "description": "bundle.json", "tokenizer": "tokenizer.json"}


def save_bundle(folder, model, tokenizer, labels, measured):
    """Write a classifier into a folder: weights, tokenizer, and what they are as JSON. No pickle: it can run code.

    measured: a dict of numbers, such as the scores on the test files. Returns the folder. Raises ValueError where the
    labels do not fit the model, and for weights and measures that are not finite.
    """
    from safetensors.torch import save

    weights = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    if len(labels) != model.head.out_features:
        raise ValueError(f"{len(labels)} labels for a model that tells {model.head.out_features} classes apart")
    if not all(value.isfinite().all() for value in weights.values()) or not all(map(math.isfinite, measured.values())):
        raise ValueError("the weights or the measures hold infinity or NaN; nothing was written")
    description = {"config": dataclasses.asdict(model.bert.config), "pooling": model.pooling, "labels": list(labels),
                   "measured": measured}
    content = {"weights": save(weights), "tokenizer": tokenizer.to_str().encode(),
               "description": json.dumps(description, indent=1).encode()}
    for name, file in FILES.items():
        write_whole(Path(folder) / file, content[name])
    return Path(folder)


def load_bundle(folder):
    """What `save_bundle` wrote, as a Bundle, ready to use. Nothing in it is run.

    Raises FileNotFoundError for a missing file and ValueError, in one line, for parts that do not fit together.
    """
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    paths = {name: Path(folder) / file for name, file in FILES.items()}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"the folder {Path(folder).name} has no {', '.join(missing)}")
    weights = read(load_file, paths["weights"])
    config, pooling, labels, measured = read(description_in, paths["description"])
    tokenizer = read(Tokenizer.from_file, paths["tokenizer"])
    words = weights.get("bert.embedding.words.weight", torch.empty(0)).shape
    if tuple(words) != (config.vocab_size, config.d_model) or tokenizer.get_vocab_size() != config.vocab_size:
        raise ValueError(f"the parts are of different models: a table of words {tuple(words)}, a tokenizer of "
                         f"{tokenizer.get_vocab_size()}, and {config.vocab_size} words of {config.d_model} features")
    if not all(value.isfinite().all() for value in weights.values()):
        raise ValueError(f"{FILES['weights']} holds infinity or NaN")
    model = BERTClassifier(BERT(config), len(labels), 0.0, pooling)
    load_matching(model, weights)
    return Bundle(model.eval(), tokenizer, labels, measured)


def description_in(path):
    """(BERTConfig, pooling, labels, measured) from a bundle's JSON. Raises an error for anything else."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    config, labels, measured = BERTConfig(**found["config"]), found["labels"], found["measured"]
    sizes = [value for name, value in found["config"].items() if name not in ("dropout", "eps", "init_std")]
    if not all(type(size) is int and 0 < size <= 100_000 for size in sizes) or config.n_layers > 100:
        raise ValueError("a size is no whole number, or too large")
    if not labels or not all(isinstance(label, str) for label in labels):
        raise ValueError("the labels are no list of names")
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in measured.values()):
        raise ValueError("a measure is no number")
    return config, found["pooling"], labels, measured


def predict(bundle, text):
    """The probabilities of the bundle's labels for one text: a tensor (n,) with sum 1. Only its beginning is read.

    Raises ValueError, in one line, for what is no text and for a text without a word that the model knows.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError("Type a docstring: there is nothing to read.")
    text = text[:LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8")          # half a surrogate pair has no bytes
    special = {number for number, token in bundle.tokenizer.get_added_tokens_decoder().items() if token.special}
    tokens = min(SETTINGS["tokens"], bundle.model.bert.config.max_length)
    if special.issuperset(encode([text], bundle.tokenizer, tokens)[0][0].tolist()):
        raise ValueError("The model knows no word of this text.")
    return logits_of(bundle.model, bundle.tokenizer, [text], tokens)[0].softmax(-1)


# ---------------------------------------------------------------- the recording


def measured_row(method, seed, said):
    """One entry of the table, from what a method said of the test rows (m,)."""
    labels = texts_and_labels(library_docstrings("test"))[1]
    return {"method": method, "seed": seed, **scores(labels, said),
            "confusion": confusion(labels, said, len(LIBRARIES)).tolist()}


def best(search, *names):
    """The entries `names` of the settings with the best mean recall on held-out files, averaged over splits: a dict."""
    keys = list(dict.fromkeys(tuple(row[name] for name in names) for row in search))

    def mean(key):
        return np.mean([row["mean_recall"] for row in search if tuple(row[name] for name in names) == key])
    return dict(zip(names, max(keys, key=mean), strict=True))


def held_out_splits():
    """(seed, rows to learn from, held-out texts, their labels) for each of the splits that choices are made on."""
    for seed in SETTINGS["splits"]:
        learned, held_out = split_by_files(library_docstrings("train"), SETTINGS["held_out"], seed)
        yield seed, learned, *texts_and_labels(held_out)


def search_words():
    """Regularisation and balance of the word counts, on held-out files: a list of dicts."""
    return [{"split": seed, "regularisation": strength, "balanced": balanced,
             **scores(labels, word_counts(learned, texts, strength, balanced))}
            for seed, learned, texts, labels in held_out_splits()
            for strength in SETTINGS["regularisations"] for balanced in (False, True)]


def search_fine_tuning(progress=list):
    """Learning rate and steps of the course's BERT, on held-out files: a list of dicts."""
    found = []
    for seed, learned, texts, labels in progress([*held_out_splits()]):
        for steps in SETTINGS["search"]["steps"]:
            for rate in SETTINGS["search"]["rates"]:
                model, tokenizer, _ = fine_tune(learned, seed, rate, steps)
                said = logits_of(model, tokenizer, texts).argmax(-1)
                found.append({"split": seed, "steps": steps, "rate": rate, **scores(labels, said)})
    return found


def search_students(choice, progress=list):
    """A learning rate for each way to train a student, on the first split's held-out files: a list of dicts."""
    seed, learned, texts, labels = next(held_out_splits())
    teacher, tokenizer, _ = fine_tune(learned, seed, **choice)
    says, steps, found = teacher_says(teacher, tokenizer, learned), SETTINGS["student_search"]["steps"], []
    for way in progress(WAYS):
        for rate in SETTINGS["student_search"]["rates"]:
            student, _ = train_student(way, learned, says, seed, rate, steps)
            said = logits_of(student, tokenizer, texts).argmax(-1)
            found.append({"way": way, "steps": steps, "rate": rate, **scores(labels, said)})
    return found


def simple_rows(choice):
    """The methods without a network, and word counts with the names hidden."""
    learned, test = library_docstrings("train"), library_docstrings("test")
    texts, bare = ([row.text for row in rows] for rows in (test, hidden(test)))
    return [measured_row("most frequent", None, most_frequent(learned, texts)),
            measured_row("name rule", None, name_rule(learned, texts)),
            measured_row("word counts", None, word_counts(learned, texts, **choice)),
            measured_row("word counts, names hidden", None, word_counts(hidden(learned), bare, **choice))]


def network_rows(seed, choice, student_choices):
    """The fine-tuned model of one seed, the same where the test texts lost the names, and its students."""
    learned, test = library_docstrings("train"), library_docstrings("test")
    texts, bare = ([row.text for row in rows] for rows in (test, hidden(test)))
    teacher, tokenizer, history = fine_tune(learned, seed, **choice)
    rows = [{**measured_row("fine-tuned", seed, logits_of(teacher, tokenizer, texts).argmax(-1)),
             "seconds": round(history.seconds, 1), "weights": weights_of(teacher),
             "milliseconds": milliseconds(teacher, tokenizer, texts[:50])},
            measured_row("fine-tuned, names hidden", seed, logits_of(teacher, tokenizer, bare).argmax(-1))]
    says = teacher_says(teacher, tokenizer, learned)
    for way in WAYS:
        student, history = train_student(way, learned, says, seed, **student_choices[way])
        rows.append({**measured_row(f"student, {way}", seed, logits_of(student, tokenizer, texts).argmax(-1)),
                     "seconds": round(history.seconds, 1), "weights": weights_of(student),
                     "milliseconds": milliseconds(student, tokenizer, texts[:50])})
    return rows


def frozen_row():
    """MiniLM as it is, under chapter 08's logistic regression."""
    learned, labels = texts_and_labels(library_docstrings("train"))
    vectors = [sentence_vectors(texts) for texts in (learned, [row.text for row in library_docstrings("test")])]
    return measured_row("MiniLM, frozen", None, torch.from_numpy(regression(vectors[0], labels.numpy(), vectors[1])))


def real_row(seed):
    """MiniLM fine-tuned, one seed."""
    test, tokens = library_docstrings("test"), SETTINGS["real"]["tokens"]
    model, tokenizer, history = fine_tune(library_docstrings("train"), seed, SETTINGS["real"]["learning_rate"],
                                          SETTINGS["real"]["steps"], "real", tokens)
    said = logits_of(model, tokenizer, [row.text for row in test], tokens).argmax(-1)
    return {**measured_row("MiniLM, fine-tuned", seed, said), "seconds": round(history.seconds, 1),
            "weights": weights_of(model)}


def counts():
    """How many docstrings and files each part has of each library, and how many tokens a docstring has."""
    found = {}
    for part in ("train", "test"):
        rows = library_docstrings(part)
        lengths = [len(row.ids) for row in load_tokenizer("wordpiece").encode_batch([row.text for row in rows])]
        found[part] = {"docstrings": texts_and_labels(rows)[1].bincount(minlength=len(LIBRARIES)).tolist(),
                       "files": [len({row.file for row in rows if row.library == number})
                                 for number in range(len(LIBRARIES))],
                       "tokens": np.percentile(lengths, [25, 50, 75, 90]).tolist()}
    return found


def run(progress=list):
    """The leak, the three searches, then every method with every seed on the test files. Needs the real weights."""
    results = {"counts": counts(), "leak": [{"seed": seed, **leak(seed)} for seed in SETTINGS["leak"]["seeds"]]}
    results["search"] = {"word counts": search_words(), "fine-tuned": search_fine_tuning(progress)}
    chosen = {"word counts": best(results["search"]["word counts"], "regularisation", "balanced"),
              "fine-tuned": best(results["search"]["fine-tuned"], "rate", "steps")}
    results["search"]["students"] = search_students(chosen["fine-tuned"], progress)
    chosen["students"] = {way: best([row for row in results["search"]["students"] if row["way"] == way],
                                    "rate", "steps") for way in WAYS}
    rows = [*simple_rows(chosen["word counts"]), frozen_row()]
    for seed in progress(SETTINGS["seeds"]):
        rows += [*network_rows(seed, chosen["fine-tuned"], chosen["students"]), real_row(seed)]
    return {**results, "chosen": chosen, "rows": rows}
