"""Chapter 11: a CNN teaches a ViT to read digits. 200 images have labels, 1,100 more have none.

What the student sees is changed one thing at a time: the teacher's soft targets in place of the labels, more images,
and, with the same images, the teacher's plain answers in place of its soft targets.
"""

import torch
import torch.nn.functional as F

from course_utils.data.images import digits
from course_utils.models.compact import soft_target_loss
from course_utils.recordings.data_hunger import SETTINGS as HUNGER
from course_utils.recordings.data_hunger import accuracy, draw_images, new_model, trained
from course_utils.training import adamw_with_cosine, train

SETTINGS = {"labels": 200, "temperature": 4.0, "steps": 400, "batch_size": 32, "learning_rate": 3e-3, "warmup": 0.1,
            "weight_decay": 0.01, "seeds": [0, 1, 2, 3, 4]}
# name -> (what the student is told of an image, whether it sees the images without a label, too)
VARIANTS = {"labels": ("labels", False), "soft targets": ("soft", False), "soft targets, all images": ("soft", True),
            "teacher's answers, all images": ("answers", True)}


def student_images(seed, every):
    """The labelled images of that seed and their labels; or all images of the training part, and None."""
    return (digits("train").images, None) if every else draw_images(SETTINGS["labels"], seed)


def taught(variant, teacher, seed):
    """A ViT after learning in one of VARIANTS. teacher: a trained network for digits."""
    torch.manual_seed(seed)
    told, every = VARIANTS[variant]
    images, labels = student_images(seed, every)
    with torch.no_grad():
        scores = teacher(images)                                             # (n, 1, 8, 8) -> (n, 10)
    labels = scores.argmax(-1) if told == "answers" else labels
    model, draw, steps = new_model("vit"), torch.Generator().manual_seed(seed), SETTINGS["steps"]
    optimizer, schedule = adamw_with_cosine(model, steps, SETTINGS["warmup"], SETTINGS["learning_rate"],
                                            SETTINGS["weight_decay"])

    def loss_at(step):
        rows = torch.randint(len(images), (SETTINGS["batch_size"],), generator=draw)
        if told == "soft":
            return soft_target_loss(model(images[rows]), scores[rows], SETTINGS["temperature"])
        return F.cross_entropy(model(images[rows]), labels[rows])

    train(model, steps, loss_at, optimizer, schedule, max_norm=1.0, label=variant)
    return model


def teacher_for(seed):
    """A CNN trained on the labelled images of that seed, with chapter 10's settings."""
    return trained("cnn", SETTINGS["labels"], seed, HUNGER["learning_rate"]["cnn"])


def run(progress=list):
    """Every variant and seed, and the teachers."""
    rows = []
    for seed in progress(SETTINGS["seeds"]):
        teacher = teacher_for(seed)
        rows.append({"variant": "the teacher", "seed": seed, "test": accuracy(teacher, *digits("test"))})
        rows += [{"variant": variant, "seed": seed, "test": accuracy(taught(variant, teacher, seed), *digits("test"))}
                 for variant in VARIANTS]
    return {"rows": rows}
