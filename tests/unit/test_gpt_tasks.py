"""Chapter 09's fine-tuning of a GPT: its inputs, its two losses against a direct computation, and the recording."""

import itertools
import math
import statistics

import pytest
import torch
from torch import nn

from course_utils.data.docstrings import TOPICS
from course_utils.data.subword import END_OF_TEXT, EXTRACT, load_tokenizer
from course_utils.models.gpt import GPT, GPTConfig, GPTTask
from course_utils.recordings import gpt_tasks, recorded
from course_utils.recordings.gpt_tasks import SETTINGS, VARIANTS, encode, joint_loss

SMALL = GPTConfig(vocab_size=2000, d_model=16, n_heads=2, n_layers=1, max_length=128, dropout=0.0, init_std=0.3)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def small_task():
    torch.manual_seed(0)
    return GPTTask(GPT(SMALL), len(TOPICS)).eval()


# ---------------------------------------------------------------- what the model reads


def test_a_text_stands_between_the_start_and_the_extract_token():
    tokenizer, texts = load_tokenizer("bpe"), ["Read the file.", "Close it.", "한글", ""]
    ids, lengths = encode(texts)
    for text, row, length in zip(texts, ids.tolist(), lengths.tolist(), strict=True):
        assert row[0] == tokenizer.token_to_id(END_OF_TEXT) and row[length - 1] == tokenizer.token_to_id(EXTRACT)
        assert tokenizer.decode(row[1 : length - 1]) == text and not any(row[length:])


def test_a_long_text_keeps_its_extract_token():
    ids, lengths = encode(["file " * 200, "a file"])
    assert lengths[0] == ids.shape[1] == SETTINGS["tokens"] + 2
    assert ids[0, -1] == gpt_tasks.EXTRACT_ID and (ids == gpt_tasks.EXTRACT_ID).sum() == 2


# ---------------------------------------------------------------- the loss


def direct_losses(model, texts, topics):
    """Both losses from one text at a time, without padding: (of the task, of the next token)."""
    task, words = [], []
    for text, topic in zip(texts, topics, strict=True):
        ids, lengths = encode([text])
        with torch.no_grad():
            scores, logits = model(ids, lengths)
        task.append(-scores[0].log_softmax(-1)[topic].item())
        words += [-logits[0, t].log_softmax(-1)[ids[0, t + 1]].item() for t in range(ids.shape[1] - 1)]
    return statistics.mean(task), statistics.mean(words)


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_the_loss_is_that_of_the_task_plus_weight_times_that_of_real_next_tokens(weight):
    model, texts, topics = small_task(), ["Read the file.", "Close", "Return a copy of the list."], [0, 3, 5]
    task, words = direct_losses(model, texts, topics)
    found = joint_loss(model, *encode(texts), torch.tensor(topics), weight)
    assert found.item() == pytest.approx(task + weight * words, rel=1e-5)


def test_padding_changes_nothing():
    model, topics = small_task(), torch.tensor([1, 2])
    ids, lengths = encode(["Read the file.", "Close"])
    padded = nn.functional.pad(ids, (0, 9), value=7)
    for weight in (0.0, 0.5):
        torch.testing.assert_close(joint_loss(model, padded, lengths, topics, weight),
                                   joint_loss(model, ids, lengths, topics, weight))


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_few_steps_can_be_repeated(variant, monkeypatch):
    monkeypatch.setitem(SETTINGS, "steps", 2)
    first, again, other = (gpt_tasks.fine_tune(variant, seed)[1].losses for seed in (1, 1, 2))
    assert first == again != other and len(first) == 2


def test_each_variant_starts_where_its_name_says(monkeypatch):
    monkeypatch.setitem(SETTINGS, "steps", 1)
    monkeypatch.setitem(SETTINGS, "learning_rate", 0.0)
    weights, losses = gpt_tasks.pretrained()[0].state_dict(), {}
    for variant, (trained, language_weight) in VARIANTS.items():
        model, history = gpt_tasks.fine_tune(variant, 0)
        same = [torch.equal(value, weights[name]) for name, value in model.gpt.state_dict().items()]
        assert all(same) if trained else not any(same[:2])
        assert ("pre-trained" in variant, "both" in variant) == (trained, language_weight > 0)
        losses[variant] = history.losses[0]
    both, task, scratch = losses.values()
    assert both > task + 0.2 and abs(scratch - math.log(len(TOPICS))) < 0.4


def test_thirty_steps_lower_the_loss(monkeypatch):
    monkeypatch.setitem(SETTINGS, "steps", 30)
    losses = gpt_tasks.fine_tune("pre-trained, task loss only", 0)[1].losses
    assert statistics.mean(losses[-8:]) < statistics.mean(losses[:8]) - 0.2


def test_accuracy_is_the_share_of_right_topics():
    topics = gpt_tasks.draw_sentences("test", SETTINGS["test"]).topics
    said = torch.where(torch.arange(len(topics)) % 4 == 0, (topics + 1) % len(TOPICS), topics)     # a quarter wrong
    assert gpt_tasks.accuracy(lambda ids, lengths: (nn.functional.one_hot(said), None)) == pytest.approx(0.75)


# ---------------------------------------------------------------- the recording


def test_the_recording_has_every_variant_and_seed():
    rows = recorded("gpt_tasks")["results"]["rows"]
    assert [(row["variant"], row["seed"]) for row in rows] == list(itertools.product(VARIANTS, SETTINGS["seeds"]))
    sentences = SETTINGS["test"] * len(TOPICS)
    assert all(abs(row["test"] * sentences - round(row["test"] * sentences)) < 1e-3 for row in rows)


def test_what_the_recording_is_quoted_for():
    """Pre-training is worth more than any seed; the second loss, at this size, is not."""
    shares = {variant: [row["test"] for row in recorded("gpt_tasks")["results"]["rows"] if row["variant"] == variant]
              for variant in VARIANTS}
    both, task, scratch = shares.values()
    assert min(both + task) > max(scratch) + 0.1 and min(scratch) > 1 / len(TOPICS)
    assert min(both) < max(task) and min(task) < max(both)


def test_a_recorded_share_comes_again():
    """Another Python has other sentences: of the 300 that are asked some tens may be answered otherwise."""
    rows = recorded("gpt_tasks")["results"]["rows"]
    row = next(row for row in rows if row["variant"] == "pre-trained, task loss only")
    model, history = gpt_tasks.fine_tune(row["variant"], row["seed"])
    assert len(history.losses) == SETTINGS["steps"]
    assert gpt_tasks.accuracy(model) == pytest.approx(row["test"], abs=0.15)
