"""Chapter 09's small GPT: its stream, bits per character and their baselines, the recording, the checkpoint."""

import collections
import dataclasses
import itertools
import math

import pytest
import torch

from course_utils.data.docstrings import docstring_text, entries_of
from course_utils.data.subword import END_OF_TEXT, load_tokenizer
from course_utils.models.gpt import GPT, GPTConfig
from course_utils.recordings import docstring_gpt as experiment
from course_utils.recordings import recorded

SETTINGS = experiment.SETTINGS
TINY = GPTConfig(vocab_size=SETTINGS["vocab_size"], d_model=16, n_heads=2, n_layers=1, max_length=8, dropout=0.0,
                 init_std=0.5)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def checkpoint():
    return experiment.pretrained()[0]


@pytest.fixture
def text_of(monkeypatch):
    """A function that makes given docstrings the whole text; returns its stream."""
    def put(*docstrings):
        rows = [[experiment.END_ID, *load_tokenizer("bpe").encode(text).ids] for text in docstrings]
        stream = torch.tensor([*itertools.chain.from_iterable(rows), experiment.END_ID])
        monkeypatch.setattr(experiment, "token_stream", lambda part="train": stream)
        return stream
    return put


def tiny_model(**changes):
    torch.manual_seed(0)
    return GPT(dataclasses.replace(TINY, **changes))


def bits_one_by_one(model, ids):
    """-log₂ of a text's probability, each token on its own, from the first window that holds it."""
    length, total, step = model.config.max_length, 0.0, model.config.max_length // 2
    for place in range(1, len(ids)):
        start = next(start for start in range(0, len(ids), step) if place < start + length)
        with torch.no_grad():
            scores = model(ids[None, start:place])[0, -1]
        total -= scores.double().log_softmax(-1)[ids[place]].item() / math.log(2)
    return total


# ---------------------------------------------------------------- the stream


def test_the_stream_is_every_docstring_with_an_end_of_text_round_it():
    tokenizer, stream = load_tokenizer("bpe"), experiment.token_stream("test")
    assert tokenizer.token_to_id(END_OF_TEXT) == experiment.END_ID
    assert tokenizer.get_vocab_size() == SETTINGS["vocab_size"]
    ends = (stream == experiment.END_ID).nonzero().flatten().tolist()
    assert ends[0] == 0 and ends[-1] == len(stream) - 1
    entries = entries_of("test")
    assert len(ends) == len(entries) + 1
    for place in range(0, len(entries), 50):
        assert tokenizer.decode(stream[ends[place] + 1 : ends[place + 1]].tolist()) == entries[place].text


def test_the_characters_of_a_stream_are_those_of_its_text():
    """Between n docstrings the text has n - 1 times two line feeds; the stream counts one more, at the end."""
    for part in ("validation", "test"):
        assert experiment.characters(experiment.token_stream(part)) == len(docstring_text(part)) + 2


@pytest.mark.parametrize(("texts", "count"), [(["abc"], 5), (["Read it.", "한글, é"], 17), ([" x\n"], 5)])
def test_the_characters_of_short_texts(text_of, texts, count):
    assert experiment.characters(text_of(*texts)) == count == sum(map(len, texts)) + 2 * len(texts)


def test_windows_are_whole_pieces_of_the_stream_and_reach_both_ends():
    stream, draw = torch.arange(100, 130), torch.Generator().manual_seed(0)
    found = experiment.windows(stream, 8, 1000, draw)
    assert found.shape == (1000, 8) and torch.equal(found - found[:, :1], torch.arange(8).expand(1000, 8))
    assert set(found[:, 0].tolist()) == set(range(100, 123))
    assert torch.equal(experiment.windows(stream, 30, 2, draw), stream.expand(2, 30))


# ---------------------------------------------------------------- bits per character


@pytest.mark.parametrize("text", ["Read it.", "Return a copy of the list, and raise ValueError where there is none.",
                                  "한글 and é are characters of several bytes"])
def test_bits_are_those_of_every_token_counted_once(text_of, text):
    stream, model = text_of(text, "Close the file."), tiny_model()
    direct = bits_one_by_one(model, stream) / experiment.characters(stream)
    assert experiment.bits_per_character(model) == pytest.approx(direct, rel=1e-5)


@pytest.mark.parametrize("limit", range(4, 22))
def test_no_end_of_the_text_is_lost_or_counted_twice(text_of, limit):
    stream, model = text_of("the " * 40)[:limit], tiny_model()
    direct = bits_one_by_one(model, stream) / experiment.characters(stream)
    assert experiment.bits_per_character(model, limit=limit) == pytest.approx(direct, rel=1e-5)


def test_a_model_that_knows_nothing_pays_the_same_for_every_token(text_of):
    stream, model = text_of("Return a copy of the list."), tiny_model()
    torch.nn.init.zeros_(model.norm.weight)
    wanted = (len(stream) - 1) * math.log2(SETTINGS["vocab_size"]) / experiment.characters(stream)
    assert experiment.bits_per_character(model) == pytest.approx(wanted, rel=1e-5)


def test_measuring_leaves_the_model_as_it_was(text_of):
    text_of("Return a copy of the list.")
    model = tiny_model(dropout=0.5).train()
    assert experiment.bits_per_character(model) == experiment.bits_per_character(model) and model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_where_windows_fall_hardly_matters(checkpoint, monkeypatch):
    stream = experiment.token_stream("test")[:3000]
    found = []
    for skipped, length in ((0, 128), (0, 112), (0, 96), (37, 128)):
        monkeypatch.setattr(experiment, "token_stream", lambda part, skipped=skipped: stream[skipped:])
        monkeypatch.setattr(checkpoint, "config", dataclasses.replace(checkpoint.config, max_length=length))
        found.append(experiment.bits_per_character(checkpoint))
    assert max(found) < 1.03 * min(found) and len(set(found)) == 4


# ---------------------------------------------------------------- baselines


def test_the_unigram_baseline_is_each_tokens_share_with_one_added(text_of):
    stream = text_of("Return a copy of the list.", "Close the file.").tolist()
    counts = collections.Counter(stream)
    bits = -sum(math.log2((counts[token] + 1) / (len(stream) + SETTINGS["vocab_size"])) for token in stream[1:])
    characters = len("Return a copy of the list.Close the file.") + 4
    assert experiment.unigram_bits_per_character() == pytest.approx(bits / characters, rel=1e-5)


def test_lzma_pays_only_for_what_it_has_not_seen(monkeypatch):
    sentence = "A sentence of many different words, for example zebra, quilt, oxygen and jackdaw."
    texts = {"train": sentence, "test": sentence, "other": sentence[::-1]}
    monkeypatch.setattr(experiment, "docstring_text", texts.get)
    seen, unseen = (experiment.compressed_bits_per_character(part) for part in ("test", "other"))
    assert 0 < seen < unseen / 3 and unseen < 16


def test_the_baselines_are_in_the_right_order_on_this_python(checkpoint):
    unigram, compressed = experiment.unigram_bits_per_character(), experiment.compressed_bits_per_character()
    assert 1 < compressed < unigram - 0.5 and unigram < 8
    assert experiment.bits_per_character(checkpoint, limit=20_000) < unigram - 0.5


# ---------------------------------------------------------------- the recording


def test_the_recording_has_every_run_with_its_whole_log():
    rows = recorded("docstring_gpt")["results"]["rows"]
    assert [(row["seed"], row["size"]) for row in rows] == [
        *((seed, "live") for seed in SETTINGS["seeds"]), (0, "longer")]
    for row in rows:
        steps = SETTINGS[row["size"]]["steps"]
        assert [look["step"] for look in row["log"]] == [number * steps // 10 for number in range(11)]
        assert len(row["losses"]) == -(-steps // max(1, steps // 300))
        assert all(math.isfinite(value) for value in (row["test"], *(look["bits"] for look in row["log"])))


def test_every_run_falls_from_look_to_look():
    for row in recorded("docstring_gpt")["results"]["rows"]:
        bits = [look["bits"] for look in row["log"]]
        assert all(later < earlier + 0.02 for earlier, later in itertools.pairwise(bits))
        assert bits[-1] < 0.75 * bits[0] and bits[-1] < min(bits) + 0.01
        assert abs(row["losses"][0] - math.log(SETTINGS["vocab_size"])) < 0.3, "nothing known at the start"


def test_live_runs_are_below_the_unigram_baseline_and_the_longer_one_below_lzma():
    results = recorded("docstring_gpt")["results"]
    *live, longer = (row["test"] for row in results["rows"])
    assert max(live) < results["unigram"] - 0.5
    assert longer < min(min(live) - 0.2, results["lzma"] - 0.03) and results["lzma"] < results["unigram"]


def test_the_checkpoint_does_what_its_row_says(checkpoint):
    """Other Pythons have other docstrings; where the baseline is the recorded one, the text is the same."""
    results = recorded("docstring_gpt")["results"]
    same_text = abs(experiment.unigram_bits_per_character() - results["unigram"]) < 1e-4
    found = experiment.bits_per_character(checkpoint)
    assert found == pytest.approx(results["rows"][-1]["test"], abs=0.005 if same_text else 0.25)


def test_the_checkpoint_comes_ready_to_use_with_its_tokenizer():
    model, tokenizer = experiment.pretrained()
    assert not model.training and model.config == experiment.new_model("longer").config
    ids = [experiment.END_ID, *tokenizer.encode("Return a list of").ids]
    with torch.no_grad():
        logits = model(torch.tensor([ids]))
    assert logits.shape == (1, len(ids), SETTINGS["vocab_size"])
    said = "".join(map(tokenizer.decode, logits[0, -1].topk(20).indices[:, None].tolist()))
    assert " the" in said or " all" in said


# ---------------------------------------------------------------- a short run


def test_a_few_steps_can_be_repeated_and_seeds_differ(monkeypatch):
    monkeypatch.setitem(SETTINGS["live"], "steps", 3)
    first, again, other = (experiment.trained(seed)[1].losses for seed in (1, 1, 2))
    assert first == again != other and len(first) == 3


def test_twenty_steps_already_cost_fewer_bits(monkeypatch):
    monkeypatch.setitem(SETTINGS["live"], "steps", 20)
    torch.manual_seed(0)
    before = experiment.bits_per_character(experiment.new_model(), limit=1000)
    model, history = experiment.trained(0)
    assert len(history.losses) == 20 and not model.training
    assert experiment.bits_per_character(model, limit=1000) < before - 0.2


def test_a_recorded_run_looks_at_equal_distances_and_at_the_end(monkeypatch):
    seen = []
    monkeypatch.setitem(SETTINGS["live"], "steps", 4)
    monkeypatch.setattr(experiment, "bits_per_character",
                        lambda model, part="test", limit=None: seen.append((part, limit)) or 2.0)
    _, row = experiment.recorded_run(0, "live", looks=2)
    assert [look["step"] for look in row["log"]] == [0, 2, 4]
    assert [part for part, _ in seen] == [*["validation"] * 3, "test"] and seen[-1][1] is None
    assert row["test"] == 2.0 and len(row["losses"]) == 4 and row["seed"] == 0


def test_training_reads_the_training_files_only(monkeypatch):
    asked, stream = [], experiment.token_stream
    monkeypatch.setitem(SETTINGS["live"], "steps", 1)
    monkeypatch.setattr(experiment, "token_stream", lambda part="train": asked.append(part) or stream(part))
    experiment.trained(0)
    assert set(asked) == {"train"}
