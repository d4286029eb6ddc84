"""Chapter 09: a small GPT learns to learn from its prompt: repeated sequences, and tasks given by examples, every seed.

"repeats": random symbols, the same row again and again. What follows a symbol is known once it has been seen, and only
from this prompt. How long the row is varies, or one layer could look back a fixed number of places.
"labels": words of four kinds, each followed by the label of its kind. Which kind has which label is the hidden task; it
is drawn anew for each prompt. A fifth of the tasks is never trained. The model has learned "repeats" before: from an
untrained one, as many steps of "labels" leave it where it names any label that it has seen (recorded too).
"""

import copy
import functools
import itertools

import torch

from course_utils.models.attention import attention_maps
from course_utils.models.gpt import GPT, GPTConfig, causal_loss
from course_utils.training import train

SETTINGS = {
    "d_model": 64,
    "n_heads": 2,
    "init_std": 0.05,
    "warmup": 25,
    "max_norm": 1.0,
    "batch_size": 32,
    "repeats": {"periods": [5, 12], "steps": 240, "learning_rate": 3e-3},
    "labels": {"shots": [0, 1, 2, 4, 8, 16], "unseen": 0.2, "steps": 400, "learning_rate": 5e-3},
    "looks": 20,
    "seeds": [0, 1, 2],
}
KINDS = {
    "animal": ["dog", "cow", "horse", "duck"],
    "food": ["bread", "rice", "soup", "apple"],
    "tool": ["saw", "axe", "spade", "drill"],
    "clothes": ["hat", "coat", "shoe", "scarf"],
}
LABELS = "ABCDEFGH"
WORDS = [word for words in KINDS.values() for word in words]
VOCABULARY = [*WORDS, *LABELS]                       # words first, then labels; in "repeats" all are symbols alike
LENGTH = 2 * SETTINGS["labels"]["shots"][-1] + 2     # T: tokens of a training prompt


# ---------------------------------------------------------------- prompts


def repeated_batch(batch_size, generator=None):
    """Rows of different random symbols, each repeated to the same length: ids (B, T), periods (B,).

    In a period no symbol comes twice: whatever has been seen before has one answer, the symbol that followed it.
    """
    low, high = SETTINGS["repeats"]["periods"]
    periods = torch.randint(low, high + 1, (batch_size, 1), generator=generator)
    symbols = torch.rand(batch_size, len(VOCABULARY), generator=generator).argsort(1)        # (B, V): each once
    return symbols.gather(1, torch.arange(LENGTH) % periods), periods.squeeze(1)


@functools.cache
def labelling_tasks():
    """All hidden tasks, each the labels of the kinds in their order, as trained (n, kinds) and unseen (m, kinds).

    A task gives different labels to different kinds. Which are unseen was drawn once, with a seed of its own.
    """
    tasks = torch.tensor(list(itertools.permutations(range(len(LABELS)), len(KINDS))))
    order = torch.randperm(len(tasks), generator=torch.Generator().manual_seed(0))
    unseen = round(len(tasks) * SETTINGS["labels"]["unseen"])
    return tasks[order[unseen:]], tasks[order[:unseen]]


def labelling_batch(batch_size, tasks, shots, generator=None, new_word=False):
    """Prompts word, label, word, label, …: `shots` examples, the question and its answer: ids (B, 2·shots + 2).

    Each prompt has a task of its own. Each word is of any kind with equal chance, whatever stands beside it.
    new_word: the question's word is in none of the examples, so its label cannot be copied from the same word.
    """
    size = len(WORDS) // len(KINDS)
    task = tasks[torch.randint(len(tasks), (batch_size,), generator=generator)]              # (B, kinds)
    kind = torch.randint(len(KINDS), (batch_size, shots + 1), generator=generator)           # (B, shots + 1)
    word = torch.randint(size, (batch_size, shots + 1), generator=generator)
    if new_word:
        step = torch.randint(1, size, (batch_size, shots), generator=generator)              # to another of its kind
        word[:, :-1] = torch.where(kind[:, :-1] == kind[:, -1:], (word[:, -1:] + step) % size, word[:, :-1])
    pairs = torch.stack([kind * size + word, len(WORDS) + task.gather(1, kind)], dim=2)      # (B, shots + 1, 2)
    return pairs.flatten(1)


def prompt_text(ids):
    """A prompt of "labels" to read: a row of ids -> "dog A, saw B, …"; a word without a label comes last."""
    names = [VOCABULARY[number] for number in torch.as_tensor(ids).tolist()]
    return ", ".join(" ".join(names[start : start + 2]) for start in range(0, len(names), 2))


def training_batch(task, generator=None):
    """New prompts of "repeats" or "labels", and where a token can be known: ids (B, T), asked (B, T) bool.

    Raises ValueError for another task.
    """
    if task not in ("repeats", "labels"):
        raise ValueError(f"task={task!r} is none of repeats, labels")
    if task == "repeats":
        ids, periods = repeated_batch(SETTINGS["batch_size"], generator)
        return ids, known_places(periods)
    ids = labelling_batch(SETTINGS["batch_size"], labelling_tasks()[0], SETTINGS["labels"]["shots"][-1], generator)
    return ids, (torch.arange(ids.shape[1]) % 2 == 1).expand(ids.shape)      # every label


def known_places(periods):
    """Where a repeated row can be known: (B,) -> (B, T) bool. The first period and one more token are chance."""
    return torch.arange(LENGTH) > periods[:, None]


# ---------------------------------------------------------------- training


def new_model(n_layers=2):
    """An untrained GPT for both tasks."""
    sizes = {name: SETTINGS[name] for name in ("d_model", "n_heads", "init_std")}
    return GPT(GPTConfig(vocab_size=len(VOCABULARY), n_layers=n_layers, max_length=LENGTH, dropout=0.0, **sizes))


def train_in_context(model, task, seed, at=None):
    """Train on new prompts at every step with the next-token loss, where the token can be known. Returns the History.

    Elsewhere the next token is chance: leaving it out of the loss takes away noise and no information.
    """
    steps, draw = SETTINGS[task]["steps"], torch.Generator().manual_seed(1000 + seed)
    optimizer = torch.optim.AdamW(model.parameters(), SETTINGS[task]["learning_rate"], fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / SETTINGS["warmup"]))
    device = next(model.parameters()).device

    def loss_at(step):
        ids, asked = (tensor.to(device) for tensor in training_batch(task, draw))
        return causal_loss(model(ids), ids.where(asked, -100))

    return train(model, steps, loss_at, optimizer, schedule, SETTINGS["max_norm"], at, label=f"training on {task}")


def trained(task, seed, n_layers=2):
    """A model trained on "repeats", or on "repeats" and then on "labels", from that seed; and the last History."""
    torch.manual_seed(seed)
    model = new_model(n_layers)
    histories = [train_in_context(model, stage, seed) for stage in dict.fromkeys(("repeats", task))]
    return model, histories[-1]


# ---------------------------------------------------------------- what it can do


def right_answers(model, ids):
    """Whether each token but the first is the model's likeliest: ids (B, T) -> (B, T - 1) bool. Weights stay."""
    with torch.no_grad():
        return model(ids)[:, :-1].argmax(-1) == ids[:, 1:]


def repeat_accuracy(model, seed=1, prompts=200):
    """Share of right symbols in new "repeats" prompts, where the symbol before has come before."""
    ids, periods = repeated_batch(prompts, torch.Generator().manual_seed(seed))
    return right_answers(model, ids)[known_places(periods)[:, 1:]].float().mean().item()


def accuracy_by_shots(model, tasks, seed=1, prompts=1000, new_word=True):
    """Share of right answers after 0, 1, 2, 4, 8, 16 examples, in new prompts of these hidden tasks: a list."""
    draw = torch.Generator().manual_seed(seed)
    batches = (labelling_batch(prompts, tasks, shots, draw, new_word) for shots in SETTINGS["labels"]["shots"])
    return [right_answers(model, ids)[:, -1].float().mean().item() for ids in batches]


def best_possible(shots):
    """The best share of right answers after so many examples, where every task is equally likely.

    An example of the question's own kind settles it. Without one, the answer is any label that was not seen.
    """
    kinds = len(KINDS)
    open_with = [1.0] + [0.0] * (kinds - 1)          # chance of: not settled yet, and d other kinds were seen
    for _ in range(shots):
        open_with = [(open_with[d] * d + (open_with[d - 1] * (kinds - d) if d else 0)) / kinds for d in range(kinds)]
    return 1 - sum(open_with) + sum(chance / (len(LABELS) - d) for d, chance in enumerate(open_with))


# ---------------------------------------------------------------- where it lives


def head_scores(model, seed=1, prompts=100):
    """What the heads look at in "repeats" prompts: {"previous": (N, H), "induction": (N, H)}, mean weights.

    previous: from each token to the one before it. induction: from a symbol that has come before to the tokens that
    followed it, at all earlier times together.
    """
    ids, periods = repeated_batch(prompts, torch.Generator().manual_seed(seed))
    weights = torch.stack([weights for _, weights in attention_maps(model, ids)])            # (N, B, H, T, T)
    previous = weights.diagonal(-1, -2, -1).mean((1, 3))                                     # (N, B, H, T - 1): (N, H)
    follows = (ids[:, :, None] == ids[:, None, :-1])[:, None]                                # (B, 1, T, T - 1)
    induction = (weights[..., 1:] * follows).sum(-1)                                         # (N, B, H, T)
    again = torch.arange(ids.shape[1]) >= periods[:, None]                                   # (B, T)
    return {"previous": previous, "induction": (induction * again[:, None]).sum((1, 3)) / again.sum()}


def without_head(model, layer, head):
    """A copy of the model in which one head says nothing: its columns of w_o are zero. The model stays as it was.

    Raises ValueError for a layer or a head that is not there.
    """
    n_layers, n_heads = len(model.blocks), model.config.n_heads
    if not (0 <= layer < n_layers and 0 <= head < n_heads):
        raise ValueError(f"layer {layer}, head {head}: the model has {n_layers} layers of {n_heads} heads")
    changed = copy.deepcopy(model)
    d_k = model.config.d_model // n_heads
    with torch.no_grad():
        changed.blocks[layer].attention.w_o.weight[:, head * d_k : (head + 1) * d_k] = 0
    return changed


def heads_removed(model, seed=2):
    """Accuracy on "repeats" without each head in turn, N lists of H numbers, and without all heads of a layer, N."""
    n_layers, heads = len(model.blocks), range(model.config.n_heads)
    single = [[repeat_accuracy(without_head(model, layer, head), seed) for head in heads] for layer in range(n_layers)]
    whole = []
    for layer in range(n_layers):
        changed = model
        for head in heads:
            changed = without_head(changed, layer, head)
        whole.append(repeat_accuracy(changed, seed))
    return single, whole


# ---------------------------------------------------------------- the recording


def run(progress=list):
    """One layer and two, every seed, "repeats" and then "labels"; and two layers on "labels" alone. A row for each run.

    log: accuracy at `looks` + 1 moments, a list: one for "repeats", one for each number of examples for "labels", with
    unseen tasks and a new word as question.
    "labels" rows also have trained and unseen, the last accuracies on more prompts, and same_word, unseen tasks where
    the question's word may be in the examples. "repeats" rows have the heads' scores, and the accuracy without each
    head and without each layer's attention. best: the most that "labels" allows.
    """
    grid = [(layers, stages, seed) for layers, stages in ((1, ("repeats", "labels")), (2, ("repeats", "labels")),
                                                          (2, ("labels",))) for seed in SETTINGS["seeds"]]
    rows = [row for settings in progress(grid) for row in recorded_runs(*settings)]
    return {"best": rounded(best_possible(shots) for shots in SETTINGS["labels"]["shots"]), "rows": rows}


def recorded_runs(n_layers, stages, seed):
    """One model trained on one task after another: a row for each, measured when that task ends."""
    torch.manual_seed(seed)
    model, rows = new_model(n_layers), []
    for task in stages:
        row = {"task": task, "alone": "repeats" not in stages, "layers": n_layers, "seed": seed}
        rows.append(row | recorded_stage(model, task, seed))
    return rows


def recorded_stage(model, task, seed):
    """Train the model on a task; its log and what it can do then, as part of a row."""
    log, (known, unseen), every = [], labelling_tasks(), SETTINGS[task]["steps"] // SETTINGS["looks"]

    def look():
        score = [repeat_accuracy(model)] if task == "repeats" else accuracy_by_shots(model, unseen, prompts=300)
        log.append({"step": len(log) * every, "accuracy": rounded(score)})

    history = train_in_context(model, task, seed, {number * every: look for number in range(SETTINGS["looks"] + 1)})
    row = {"seconds": round(history.seconds, 1), "log": log}
    if task == "labels":
        return row | {"trained": rounded(accuracy_by_shots(model, known, seed=2)),
                      "unseen": rounded(accuracy_by_shots(model, unseen, seed=2)),
                      "same_word": rounded(accuracy_by_shots(model, unseen, seed=2, new_word=False))}
    scores = {name: [rounded(heads) for heads in shares.tolist()] for name, shares in head_scores(model, 2).items()}
    single, whole = heads_removed(model)
    return row | {"accuracy": round(repeat_accuracy(model, 2), 4), "heads": scores,
                  "without": [rounded(heads) for heads in single], "without_layer": rounded(whole)}


def rounded(numbers):
    return [round(number, 4) for number in numbers]
