"""Chapter 09: GPT-1's way to a task. Topics of sentences from the state of the extract token, with both losses or one.

The same sentences and topics as chapter 08's few labels; the model is the chapter's longer-trained GPT, or the same
network from scratch.
"""

import torch
import torch.nn.functional as F

from course_utils.data.docstrings import TOPICS
from course_utils.data.subword import BPE_SPECIAL, EXTRACT, load_tokenizer
from course_utils.data.vocabulary import pad_ids
from course_utils.models.gpt import GPTTask, causal_loss
from course_utils.recordings.docstring_gpt import END_ID, new_model, pretrained
from course_utils.recordings.few_labels import draw_sentences
from course_utils.training import adamw_with_cosine, train

SETTINGS = {
    "labels": 50,                    # a topic
    "test": 40,                      # a topic, from files that were not trained on
    "tokens": 40,
    "batch_size": 16,
    "steps": 120,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "language_weight": 0.5,          # λ of the paper
    "seeds": [0, 1, 2],
}
EXTRACT_ID = BPE_SPECIAL.index(EXTRACT)
# name -> (begins with the trained weights, weight of the language model's loss)
VARIANTS = {"pre-trained, both losses": (True, SETTINGS["language_weight"]), "pre-trained, task loss only": (True, 0.0),
            "from scratch, task loss only": (False, 0.0)}


def encode(texts):
    """`start text extract` for each text: ids (B, T), lengths (B,). <|endoftext|> is the start, as in training."""
    rows = load_tokenizer("bpe").encode_batch(texts)
    return pad_ids([[END_ID, *row.ids[: SETTINGS["tokens"]], EXTRACT_ID] for row in rows])


def joint_loss(model, ids, lengths, topics, language_weight):
    """Loss of the task plus language_weight times that of the next token (Radford et al., 2018, equation 5).

    ids (B, T), lengths (B,), topics (B,) -> a scalar. Padding is no next token.
    """
    scores, logits = model(ids, lengths)                                     # (B, n_topics), (B, T, V)
    loss = F.cross_entropy(scores, topics)
    if language_weight == 0:
        return loss
    real = torch.arange(ids.shape[1]) < lengths.unsqueeze(1)                 # (B, T)
    return loss + language_weight * causal_loss(logits, ids.masked_fill(~real, -100))


def fine_tune(variant, seed):
    """All weights and a new layer, trained on labelled sentences. Returns (GPTTask, History)."""
    torch.manual_seed(seed)
    trained, language_weight = VARIANTS[variant]
    model = GPTTask(pretrained()[0] if trained else new_model("longer"), len(TOPICS))
    data = draw_sentences("train", SETTINGS["labels"], seed)
    ids, lengths = encode(data.texts)
    steps, order = SETTINGS["steps"], torch.Generator().manual_seed(seed)
    optimizer, schedule = adamw_with_cosine(model, steps, SETTINGS["warmup"], SETTINGS["learning_rate"],
                                            SETTINGS["weight_decay"])

    def loss_at(step):
        rows = torch.randint(len(ids), (SETTINGS["batch_size"],), generator=order)
        return joint_loss(model, ids[rows], lengths[rows], data.topics[rows], language_weight)

    return model, train(model, steps, loss_at, optimizer, schedule, 1.0, label=variant)


def accuracy(model):
    """Share of the test sentences with the right topic."""
    test = draw_sentences("test", SETTINGS["test"])
    with torch.no_grad():
        return (model(*encode(test.texts))[0].argmax(-1) == test.topics).float().mean().item()


def run(progress=list):
    """All variants and seeds."""
    cells = [(variant, seed) for variant in VARIANTS for seed in SETTINGS["seeds"]]
    return {"rows": [{"variant": variant, "seed": seed, "test": accuracy(fine_tune(variant, seed)[0])}
                     for variant, seed in progress(cells)]}
