"""Chapter 11: DistilBERT's way. The course's longer-trained BERT (3 blocks) teaches a student with 2 of them.

Two things are changed one at a time: where the student starts (random weights, or two of the teacher's blocks) and what
it learns from (blanks alone, or blanks, the teacher's soft targets and its states). Each of the four got its learning
rate by a search on the validation part.
"""

import dataclasses

import torch
import torch.nn.functional as F

from course_utils import recordings
from course_utils.models.bert import IGNORED, PretrainingBERT
from course_utils.models.compact import cosine_state_loss, real_places, soft_target_loss, start_from_layers
from course_utils.recordings.docstring_bert import blanks, corpus, draw_batch, measured, pretrained, unigram_log_probs
from course_utils.training import adamw_with_cosine, train, weights_of

SETTINGS = {
    "layers": [0, 2],                # of the teacher's blocks, where the student starts from them
    "steps": 300,
    "batch_size": 16,
    "rates": [3e-4, 1e-3, 4e-3, 1e-2],
    "temperature": 2.0,
    "weights": {"soft": 5.0, "words": 2.0, "states": 1.0},
    "warmup": 0.1,
    "weight_decay": 0.01,
    "seeds": [0, 1, 2],
}
# name -> (starts from the teacher's blocks, learns from the teacher)
VARIANTS = {"random start, blanks alone": (False, False), "random start, taught": (False, True),
            "teacher's blocks, blanks alone": (True, False), "teacher's blocks, taught": (True, True)}


def new_student(teacher, from_teacher):
    """A PretrainingBERT with as many blocks as SETTINGS["layers"] names; its words start at their frequencies."""
    student = PretrainingBERT(dataclasses.replace(teacher.config, n_layers=len(SETTINGS["layers"])))
    with torch.no_grad():
        student.word_bias.copy_(unigram_log_probs())
    if from_teacher:
        start_from_layers(student.bert, teacher.bert, SETTINGS["layers"])
        for mine, other in ((student.transform, teacher.transform), (student.norm, teacher.norm)):
            mine.load_state_dict(other.state_dict())
    return student


def triple_loss(student, teacher, inputs, labels, lengths):
    """DistilBERT's loss: soft targets at every real place, true words at the blanks, and the direction of the states.

    inputs, labels (B, T), lengths (B,) -> a scalar, with the weights of SETTINGS (Sanh et al., section 2).
    """
    hidden = student.bert(inputs, lengths)                                   # (B, T) -> (B, T, C)
    with torch.no_grad():
        wanted = teacher.bert(inputs, lengths)
        targets = teacher.word_logits(wanted[real_places(wanted, lengths)])  # (real places, V)
    real, weights = real_places(hidden, lengths), SETTINGS["weights"]
    logits = student.word_logits(hidden[real])
    return (weights["soft"] * soft_target_loss(logits, targets, SETTINGS["temperature"])
            + weights["words"] * F.cross_entropy(logits, labels[real], ignore_index=IGNORED)
            + weights["states"] * cosine_state_loss(hidden, wanted, lengths))


def trained(variant, seed, rate):
    """A student trained in one of VARIANTS with a learning rate, and its History."""
    torch.manual_seed(seed)
    from_teacher, taught = VARIANTS[variant]
    teacher = pretrained()[0].requires_grad_(False)
    student, data, draw = new_student(teacher, from_teacher), corpus("train"), torch.Generator().manual_seed(seed)
    optimizer, schedule = adamw_with_cosine(student, SETTINGS["steps"], SETTINGS["warmup"], rate,
                                            SETTINGS["weight_decay"], fused=True)

    def loss_at(step):
        batch = draw_batch(data, draw, SETTINGS["batch_size"])
        inputs, labels = blanks(batch, draw)
        if taught:
            return triple_loss(student, teacher, inputs, labels, batch.lengths)
        hidden, chosen = student.bert(inputs, batch.lengths), labels != IGNORED
        return F.cross_entropy(student.word_logits(hidden[chosen]), labels[chosen])

    return student, train(student, SETTINGS["steps"], loss_at, optimizer, schedule, 1.0, label=variant)


def best_rate(search, variant):
    """The learning rate with the lowest word loss on the validation part. search: rows as `run` returns them."""
    return recordings.best_rate(search, "validation", min, variant=variant)


def run(progress=list):
    """The search with seed 0, then every variant and seed on the test part; and the teacher, for comparison."""
    cells = [(variant, rate) for variant in VARIANTS for rate in SETTINGS["rates"]]
    search = [{"variant": variant, "rate": rate, "validation": measured(trained(variant, 0, rate)[0])["word_loss"]}
              for variant, rate in progress(cells)]
    cells = [(variant, seed) for variant in VARIANTS for seed in SETTINGS["seeds"]]
    rows = [{"variant": variant, "seed": seed, "test": measured(student, "test"), "weights": weights_of(student)}
            for variant, seed in progress(cells)
            for student, _ in [trained(variant, seed, best_rate(search, variant))]]
    teacher = pretrained()[0]
    return {"search": search, "rows": rows, "teacher": {"test": measured(teacher, "test"),
                                                        "weights": weights_of(teacher)}}
