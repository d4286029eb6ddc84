"""Chapter 11: TinyBERT's way. MiniLM's real weights, fine-tuned on the six topics, teach a student a seventh its size.

Six students of one shape, each with the same labelled sentences: trained on the labels alone; on the teacher's soft
targets; on those and on sentences without a label; with TinyBERT's task stage, in which states and scores are matched
before the soft targets; and with both of its stages, the first on text without labels, from the teacher before it was
fine-tuned. The last control has the first stage and then the labels alone.
"""

import functools

import torch
import torch.nn.functional as F
from torch import nn

from course_utils import recordings
from course_utils.data.docstrings import TOPICS, docstring_sentences, topic_sentences
from course_utils.models.bert import BERT, BERTClassifier, BERTConfig
from course_utils.models.compact import (
    attention_score_loss,
    attention_scores,
    hidden_state_loss,
    map_layers,
    soft_target_loss,
)
from course_utils.models.pretrained import load_pretrained
from course_utils.recordings.few_labels import draw_sentences, encode, fine_tune, predict
from course_utils.training import adamw_with_cosine, train, weights_of

SETTINGS = {
    "labels": 100,                   # a topic
    "unlabelled": 100,               # a topic, from the training files too
    "test": 40,                      # a topic, from files that nobody was trained on
    "d_model": 96,
    "n_heads": 12,                   # as many as the teacher's: head h learns from head h
    "d_ff": 384,
    "n_layers": 2,
    "max_length": 64,
    "batch_size": 16,
    "steps": {"general": 400, "states": 150, "answers": 200},
    "rates": {"general": 1e-3, "states": 1e-3},
    "answer_rates": [5e-4, 1e-3, 3e-3],
    "temperature": 2.0,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "seeds": [0, 1, 2],
}
# name -> (first stage, task stage with states and scores, soft targets, sentences without label)
VARIANTS = {
    "labels alone": (False, False, False, False),
    "soft targets": (False, False, True, False),
    "soft targets, more text": (False, False, True, True),
    "states, then soft targets": (False, True, True, False),
    "first stage, then labels": (True, False, False, False),
    "both stages": (True, True, True, False),
}
SEARCHED = ("labels alone", "soft targets")      # one for each loss of the last stage, by held-out sentences


def new_student(teacher):
    """An untrained BERT with the teacher's vocabulary and heads, and layers from its features to the teacher's."""
    student = BERT(BERTConfig(teacher.config.vocab_size, max_length=SETTINGS["max_length"], dropout=0.0, init_std=0.05,
                              **{name: SETTINGS[name] for name in ("d_model", "n_heads", "d_ff", "n_layers")}))
    projections = nn.ModuleList(nn.Linear(student.config.d_model, teacher.config.d_model)
                                for _ in range(SETTINGS["n_layers"] + 1))
    return student, projections


def state_loss(student, teacher, projections, ids, lengths):
    """TinyBERT's loss before the answers: embedding, hidden states and attention scores, each layer from its teacher's.

    ids (B, T), lengths (B,), read by both; projections: a layer for each of the student's states -> a scalar
    (Jiao et al., equation 11).
    """
    numbers = map_layers(len(student.encoder.blocks), len(teacher.encoder.blocks))
    mine = student.hidden_states(ids, lengths)
    with torch.no_grad():
        others = teacher.hidden_states(ids, lengths)
    loss = sum(hidden_state_loss(states, others[number], lengths, project)
               for states, number, project in zip(mine, numbers, projections, strict=True))
    for states, block, number in zip(mine, student.encoder.blocks, numbers[1:], strict=False):
        with torch.no_grad():
            wanted = attention_scores(teacher.encoder.blocks[number - 1].attention, others[number - 1])
        loss = loss + attention_score_loss(attention_scores(block.attention, states), wanted, lengths)
    return loss


def train_on(model, texts, stage, rate, seed, loss_of, tokenizer):
    """Train with random batches of texts; loss_of(rows, ids, lengths) -> a scalar. Returns the History."""
    ids, lengths = encode(texts, tokenizer)
    draw, steps = torch.Generator().manual_seed(seed), SETTINGS["steps"][stage]
    optimizer, schedule = adamw_with_cosine(model, steps, SETTINGS["warmup"], rate, SETTINGS["weight_decay"],
                                            fused=True)

    def loss_at(step):
        rows = torch.randint(len(ids), (SETTINGS["batch_size"],), generator=draw)
        longest = int(lengths[rows].max())
        return loss_of(rows, ids[rows, :longest], lengths[rows])

    return train(model, steps, loss_at, optimizer, schedule, 1.0, label=stage)


def match_states(student, projections, teacher, tokenizer, texts, stage, seed):
    """Train a student's states and scores towards the teacher's on texts. Changes student and projections."""
    both = nn.ModuleList([student, projections])
    return train_on(both, texts, stage, SETTINGS["rates"][stage], seed,
                    lambda rows, ids, lengths: state_loss(student, teacher, projections, ids, lengths), tokenizer)


@functools.cache
def teacher_for(seed):
    """MiniLM fine-tuned on the labelled sentences of that seed, as in chapter 08: (BERTClassifier, Tokenizer)."""
    model, tokenizer, _ = fine_tune("real", SETTINGS["labels"], seed)
    return model.requires_grad_(False), tokenizer


@functools.cache
def teachers_logits(seed, more):
    """What the teacher answers to the labelled sentences of that seed, or to all of `more_texts`: (n, topics)."""
    texts = more_texts(seed) if more else draw_sentences("train", SETTINGS["labels"], seed).texts
    return predict(*teacher_for(seed), texts)


def more_texts(seed):
    """The labelled sentences of that seed, and as many others of the same files, whose labels are not used."""
    labelled = draw_sentences("train", SETTINGS["labels"], seed).texts
    others = [text for text, _ in topic_sentences("train") if text not in set(labelled) | held_out_texts()]
    order = torch.randperm(len(others), generator=torch.Generator().manual_seed(seed)).tolist()
    return [*labelled, *(others[place] for place in order[: SETTINGS["unlabelled"] * len(TOPICS)])]


@functools.cache
def held_out_texts():
    """Sentences by which learning rates are chosen; no student is trained on them."""
    return set(draw_sentences("held out", SETTINGS["test"], 0).texts)


@functools.cache
def general_student(seed):
    """The first stage: states and scores of MiniLM as it was published, on sentences of all training files."""
    torch.manual_seed(seed)
    teacher, tokenizer = load_pretrained()
    student, projections = new_student(teacher)
    texts = [sentence for document in docstring_sentences("train") for sentence in document]
    match_states(student, projections, teacher.requires_grad_(False), tokenizer, texts, "general", seed)
    return student.state_dict(), projections.state_dict()


def trained(variant, seed, rate):
    """A student of one of VARIANTS, a BERTClassifier. rate: the learning rate of its last stage."""
    general, states, soft, more = VARIANTS[variant]
    teacher, tokenizer = teacher_for(seed)
    torch.manual_seed(seed)
    student, projections = new_student(teacher.bert)
    if general:
        for module, weights in zip((student, projections), general_student(seed), strict=True):
            module.load_state_dict(weights)
    data = draw_sentences("train", SETTINGS["labels"], seed)
    if states:
        match_states(student, projections, teacher.bert, tokenizer, data.texts, "states", seed)
    texts = more_texts(seed) if more else data.texts
    targets = teachers_logits(seed, more)
    model = BERTClassifier(student, len(TOPICS), dropout=0.0, pooling="mean")

    def loss_of(rows, ids, lengths):
        if soft:
            return soft_target_loss(model(ids, lengths), targets[rows], SETTINGS["temperature"])
        return F.cross_entropy(model(ids, lengths), data.topics[rows])

    train_on(model, texts, "answers", rate, seed, loss_of, tokenizer)
    return model


def accuracy(model, tokenizer, part):
    """Share of right topics on the sentences of a part, "test" or "held out"."""
    data = draw_sentences(part, SETTINGS["test"], 0)
    return (predict(model, tokenizer, data.texts).argmax(-1) == data.topics).float().mean().item()


def best_rate(search, variant):
    """The learning rate of a variant's last stage, searched for its loss. search: rows as `run` returns them."""
    return recordings.best_rate(search, "held_out", variant=SEARCHED[VARIANTS[variant][2]])


def run(progress=list):
    """The search with seed 0, then every variant and seed, and the teachers. Needs the real weights."""
    cells = [(variant, rate) for variant in SEARCHED for rate in SETTINGS["answer_rates"]]
    search = [{"variant": variant, "rate": rate,
               "held_out": accuracy(trained(variant, 0, rate), teacher_for(0)[1], "held out")}
              for variant, rate in progress(cells)]
    cells = [(variant, seed) for seed in SETTINGS["seeds"] for variant in VARIANTS]
    rows = [{"variant": variant, "seed": seed,
             "test": accuracy(trained(variant, seed, best_rate(search, variant)), teacher_for(seed)[1], "test")}
            for variant, seed in progress(cells)]
    teachers = [{"seed": seed, "test": accuracy(*teacher_for(seed), "test")} for seed in SETTINGS["seeds"]]
    sizes = {"teacher": weights_of(teacher_for(0)[0]), "student": weights_of(new_student(teacher_for(0)[0].bert)[0])}
    return {"search": search, "rows": rows, "teachers": teachers, "weights_of": sizes}
