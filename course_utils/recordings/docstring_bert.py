"""Chapter 08: a small BERT pre-trained on docstrings: three short runs, and one ten times as long as a checkpoint."""

import functools
from typing import NamedTuple

import torch
import torch.nn.functional as F

from course_utils.data.docstrings import docstring_sentences
from course_utils.data.subword import CLS, MASK, SEP, WORDPIECE_SPECIAL, load_tokenizer
from course_utils.data.vocabulary import pad_ids
from course_utils.models.bert import IGNORED, BERTConfig, PretrainingBERT, corrupt, pretraining_loss
from course_utils.recordings import load_weights
from course_utils.training import adamw_with_cosine, train

SETTINGS = {
    "live": {"d_model": 64, "n_heads": 4, "d_ff": 256, "n_layers": 2, "steps": 700, "batch_size": 16,
             "learning_rate": 3e-3},
    "longer": {"d_model": 96, "n_heads": 4, "d_ff": 384, "n_layers": 3, "steps": 9000, "batch_size": 32,
               "learning_rate": 1.5e-3},
    "vocab_size": 3000,
    "max_length": 64,
    "dropout": 0.0,
    "init_std": 0.05,                # 0.02 · √(768 / 96): sums over fewer features start as large as in BERT-BASE
    "sentence_tokens": 30,
    "rate": 0.15,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "max_norm": 1.0,
    "seeds": [0, 1, 2],
}
CLS_ID, SEP_ID, MASK_ID = (WORDPIECE_SPECIAL.index(token) for token in (CLS, SEP, MASK))


class Corpus(NamedTuple):
    """sentences: list of id lists. document: number of the docstring of each, and None at the end. has_next: the places
    of those whose successor stands in the same docstring."""

    sentences: list
    document: list
    has_next: list


class Batch(NamedTuple):
    """ids (B, T), lengths (B,), segments (B, T). is_random (B,): 0 for the true next sentence, 1 another, -100 none."""

    ids: torch.Tensor
    lengths: torch.Tensor
    segments: torch.Tensor
    is_random: torch.Tensor


@functools.cache
def corpus(part="train"):
    """The sentences of one part as a Corpus."""
    documents, tokenizer = docstring_sentences(part), load_tokenizer("wordpiece")
    numbered = [(number, sentence) for number, document in enumerate(documents) for sentence in document]
    encoded = tokenizer.encode_batch([sentence for _, sentence in numbered], add_special_tokens=False)
    document = [*(number for number, _ in numbered), None]
    has_next = [place for place in range(len(numbered)) if document[place] == document[place + 1]]
    return Corpus([row.ids[:SETTINGS["sentence_tokens"]] for row in encoded], document, has_next)


def draw_batch(data, generator, batch_size=32):
    """Random sentences, each with its successor, with the successor of another one, or, if it is the last, alone.

    Both kinds of second sentence are successors somewhere: the first sentence of a docstring looks different ("Return
    the …"), and a model could tell the pairs apart by that alone.
    """
    rows, segments, labels = [], [], []
    for first in torch.randint(len(data.sentences), (batch_size,), generator=generator).tolist():
        is_random, other = torch.randint(2, (1,), generator=generator).item(), first
        while data.document[other] == data.document[first]:
            other = data.has_next[torch.randint(len(data.has_next), (1,), generator=generator).item()]
        paired = data.document[first] == data.document[first + 1]
        second = data.sentences[(other if is_random else first) + 1] if paired else []
        start = [CLS_ID, *data.sentences[first], SEP_ID]
        rows.append([*start, *second, SEP_ID] if paired else start)
        segments.append([0] * len(start) + [1] * (len(rows[-1]) - len(start)))
        labels.append(is_random if paired else IGNORED)
    padded, lengths = pad_ids(rows)
    return Batch(padded, lengths, pad_ids(segments)[0], torch.tensor(labels))


def new_model(size="live"):
    """An untrained model. size: "live", for the notebook, or "longer", for the checkpoint.

    The scores of the words start at their log frequencies: what a model learns after that comes from the context.
    """
    sizes = {name: SETTINGS[size][name] for name in ("d_model", "n_heads", "d_ff", "n_layers")}
    model = PretrainingBERT(BERTConfig(**sizes, **{name: SETTINGS[name] for name in (
        "vocab_size", "max_length", "dropout", "init_std")}))
    with torch.no_grad():
        model.word_bias.copy_(unigram_log_probs())
    return model


def blanks(batch, generator):
    """What the model reads and must say, by BERT's rule: inputs and labels (B, T)."""
    can_choose = batch.ids >= len(WORDPIECE_SPECIAL)                         # no special token, no padding
    return corrupt(batch.ids, can_choose, SETTINGS["vocab_size"], MASK_ID, generator, SETTINGS["rate"])


def train_bert(model, seed, size="live", at=None):
    """Pre-train on both tasks at once, with AdamW, warm-up and a cosine. Returns the History of the summed losses."""
    steps, batch_size = SETTINGS[size]["steps"], SETTINGS[size]["batch_size"]
    data, draw = corpus("train"), torch.Generator().manual_seed(seed)
    optimizer, schedule = adamw_with_cosine(model, steps, SETTINGS["warmup"], SETTINGS[size]["learning_rate"],
                                            SETTINGS["weight_decay"], fused=True)
    device = next(model.parameters()).device

    def loss_at(step):
        batch = draw_batch(data, draw, batch_size)
        inputs, labels = blanks(batch, draw)
        tensors = [part.to(device) for part in (inputs, labels, batch.lengths, batch.segments, batch.is_random)]
        return sum(pretraining_loss(model, *tensors))

    return train(model, steps, loss_at, optimizer, schedule, SETTINGS["max_norm"], at, label="pre-training BERT")


def trained(seed, size="live", at=None):
    """A model pre-trained from that seed, and its History."""
    torch.manual_seed(seed)
    model = new_model(size)
    return model, train_bert(model, seed, size, at)


def pretrained():
    """The model that was trained longer, from its checkpoint, and its tokenizer: (PretrainingBERT, Tokenizer)."""
    return load_weights(new_model("longer"), "bert"), load_tokenizer("wordpiece")


# ---------------------------------------------------------------- how good is it?


@functools.cache
def unigram_log_probs():
    """log of each token's share of the training text (V,): what can be known of a blank without its context.

    One is added to every count: a token that was never seen is not impossible.
    """
    ids = torch.tensor([token for sentence in corpus("train").sentences for token in sentence])
    counts = ids.bincount(minlength=SETTINGS["vocab_size"]) + 1
    return (counts / counts.sum()).log()


def measured(model, part="validation", batches=40, seed=0):
    """Both tasks on text that was not trained on, the same blanks for every model.

    Returns a dict: word_loss (nats) and word_accuracy at the blanks, unigram_loss at the same blanks, pair_accuracy.
    """
    data, draw = corpus(part), torch.Generator().manual_seed(seed)
    losses, baseline, hits, pairs = [], [], [], []
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for _ in range(batches):
            batch = draw_batch(data, draw)
            inputs, labels = blanks(batch, draw)
            hidden = model.bert(inputs, batch.lengths, batch.segments)
            wanted = labels[labels != IGNORED]
            logits = model.word_logits(hidden[labels != IGNORED])                            # (blanks, V)
            losses.append(F.cross_entropy(logits, wanted, reduction="none"))
            baseline.append(-unigram_log_probs()[wanted])
            hits.append(logits.argmax(-1) == wanted)
            said, paired = model.next_logits(hidden).argmax(-1), batch.is_random != IGNORED
            pairs.append((said == batch.is_random)[paired])
    model.train(was_training)
    names = ("word_loss", "unigram_loss", "word_accuracy", "pair_accuracy")
    return {name: torch.cat(values).float().mean().item()
            for name, values in zip(names, (losses, baseline, hits, pairs), strict=True)}


def run(progress=list):
    """Three short runs and a longer one, measured on the validation part on the way. The longer one is kept."""
    rows = []
    for seed, size in progress([*((seed, "live") for seed in SETTINGS["seeds"]), (0, "longer")]):
        model, row = recorded_run(seed, size)
        rows.append(row)
    return {"rows": rows, "weights": {"bert": model}}


def recorded_run(seed, size, looks=10):
    """One run with its log: the measures on the validation part at `looks` + 1 moments, on the test part at the end."""
    torch.manual_seed(seed)
    model, log, steps = new_model(size), [], SETTINGS[size]["steps"]

    def look():
        log.append({"step": len(log) * steps // looks, **measured(model)})

    history = train_bert(model, seed, size, at={number * steps // looks: look for number in range(looks + 1)})
    return model, {"seed": seed, "size": size, "seconds": round(history.seconds, 1), "log": log,
                   "test": measured(model, "test"), "losses": history.losses[::max(1, steps // 300)]}
