"""Chapter 08's few labels: the sentences that all methods see, each method on made-up data, and the recording."""

import statistics

import pytest
import torch
from torch import nn

from course_utils.data.docstrings import TOPICS, topic_sentences
from course_utils.data.subword import CLS, SEP, load_tokenizer
from course_utils.models.bert import BERT, BERTConfig, PretrainingBERT
from course_utils.models.pretrained import load_pretrained
from course_utils.recordings import few_labels, recorded

SETTINGS = few_labels.SETTINGS
SMALL = {"vocab_size": 3000, "d_model": 16, "n_heads": 2, "d_ff": 32, "n_layers": 1, "max_length": 64, "dropout": 0.0}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def small(monkeypatch):
    """A small network in place of the longer one's: what is tested is the way, not the model."""
    monkeypatch.setattr(few_labels, "new_model", lambda size="live": PretrainingBERT(BERTConfig(**SMALL)))


def means(labels):
    """Mean test share of each method over seeds, from the recording."""
    rows = [row for row in recorded("few_labels")["results"]["rows"] if row["labels"] == labels]
    return {method: statistics.mean(row["test"] for row in rows if row["method"] == method)
            for method in few_labels.METHODS}


# ---------------------------------------------------------------- sentences


@pytest.mark.parametrize(("part", "count"), [("train", 10), ("train", 100), ("test", SETTINGS["test"])])
def test_every_topic_has_as_many_sentences_none_of_them_twice(part, count):
    found = few_labels.draw_sentences(part, count)
    assert len(set(found.texts)) == len(found.texts) == count * len(TOPICS)
    assert found.topics.bincount().tolist() == [count] * len(TOPICS)


def test_sentences_come_with_their_topic_from_files_of_their_part():
    train = dict(topic_sentences("train"))
    other = dict(topic_sentences("validation") + topic_sentences("test"))
    for part, topics in (("train", train), ("test", other)):
        found = few_labels.draw_sentences(part, 50)
        assert [topics[text] for text in found.texts] == found.topics.tolist()


def test_no_test_sentence_and_none_held_out_is_learned_from():
    test, everywhere = few_labels.draw_sentences("test", SETTINGS["test"]).texts, dict(topic_sentences("train"))
    assert not set(test) & set(everywhere)
    for seed in SETTINGS["seeds"]:
        learned = few_labels.draw_sentences("train", max(SETTINGS["labels"]), seed).texts
        held_out = few_labels.draw_sentences("held out", SETTINGS["test"], seed).texts
        assert set(held_out) <= set(everywhere) and not set(held_out) & set(learned)


def test_more_labels_are_the_same_ones_and_others_and_another_seed_draws_others():
    few, many, other = (few_labels.draw_sentences("train", count, seed) for count, seed in ((10, 0), (50, 0), (10, 1)))
    assert set(few.texts) < set(many.texts) and set(few.texts) != set(other.texts)
    assert few_labels.draw_sentences.__wrapped__("train", 10, 0).texts == few.texts


def test_a_topic_with_too_few_sentences_is_told_in_one_line():
    with pytest.raises(ValueError, match=r"sentences about \w+, not 9999") as error:
        few_labels.draw_sentences("test", 9999)
    assert "\n" not in str(error.value)


def test_the_longest_texts_keep_their_sep_and_lose_what_is_before_it():
    tokenizer = load_tokenizer("wordpiece")
    start, end = tokenizer.token_to_id(CLS), tokenizer.token_to_id(SEP)
    texts = ["the file", *(" ".join(["file"] * count) for count in (29, 30, 31, 200))]
    ids, lengths = few_labels.encode(texts, tokenizer)
    assert lengths.tolist() == [4, 31, 32, 32, 32] and ids.shape == (5, SETTINGS["tokens"])
    word = tokenizer.token_to_id("file")
    for row, length in zip(ids.tolist(), lengths.tolist(), strict=True):
        assert row[0] == start and row[length - 1] == end and row.count(end) == 1 and not any(row[length:])
    assert ids[1:, 1:30].eq(word).all() and ids[2:, 30].eq(word).all()


# ---------------------------------------------------------------- methods


def test_where_each_method_begins(monkeypatch):
    begun = {method: few_labels.start(method)[0] for method in ("own", "scratch")}
    assert begun["own"].config == begun["scratch"].config and isinstance(begun["own"], BERT)
    assert torch.equal(begun["own"].pooler.weight, few_labels.start("own")[0].pooler.weight)
    assert not torch.equal(begun["scratch"].pooler.weight, few_labels.start("scratch")[0].pooler.weight)
    with pytest.raises(KeyError):
        few_labels.start("no method")
    monkeypatch.setattr(few_labels, "load_pretrained", lambda: ("real", "its tokenizer"))
    assert few_labels.start("real") == few_labels.start("real, frozen") == ("real", "its tokenizer")


def test_the_short_run_is_the_chapters_own_made_once_and_never_changed(monkeypatch):
    asked = []

    def pretend(seed):
        asked.append(seed)
        torch.manual_seed(99)                                    # as a real run would, for itself
        return PretrainingBERT(BERTConfig(**SMALL)), None

    monkeypatch.setattr(few_labels, "trained", pretend)
    few_labels.pretrained_for_seconds.cache_clear()
    torch.manual_seed(0)
    wanted = torch.rand(2)
    torch.manual_seed(0)
    first = few_labels.start("short")[0]
    assert torch.equal(torch.rand(2), wanted), "the seed of the fine-tuning stays as it was"
    nn.init.zeros_(first.pooler.weight)
    assert few_labels.start("short")[0].pooler.weight.abs().sum() > 0 and asked == [0]
    few_labels.pretrained_for_seconds.cache_clear()


def test_fine_tuning_can_be_repeated_and_trains_all_weights(small, monkeypatch):
    monkeypatch.setitem(SETTINGS["steps"], "10", 30)
    torch.manual_seed(1)
    before = few_labels.start("scratch")[0].state_dict()         # what fine_tune begins with, for this seed
    model, tokenizer, history = few_labels.fine_tune("scratch", 10, 1)
    again = few_labels.fine_tune("scratch", 10, 1)[2]
    assert history.losses == again.losses != few_labels.fine_tune("scratch", 10, 2)[2].losses
    assert len(history.losses) == 30 and not model.training and tokenizer.get_vocab_size() == 3000
    moved = {name for name, value in model.bert.state_dict().items() if not torch.equal(value, before[name])}
    assert moved >= {name for name in before if not name.startswith("pooler")}


def test_fine_tuning_lowers_the_loss(monkeypatch):
    """The pre-trained weights, thirty steps: the first ten losses against the last ten."""
    monkeypatch.setitem(SETTINGS["steps"], "10", 30)
    losses = few_labels.fine_tune("own", 10, 0)[2].losses
    assert statistics.mean(losses[-10:]) < statistics.mean(losses[:10]) - 0.3


def test_scores_in_pieces_are_those_of_each_text_on_its_own(small):
    torch.manual_seed(0)
    model = few_labels.BERTClassifier(few_labels.start("scratch")[0], 6, 0.0, SETTINGS["pooling"]).eval()
    texts, tokenizer = few_labels.draw_sentences("test", 20).texts, load_tokenizer("wordpiece")
    found = few_labels.predict(model, tokenizer, texts)
    assert found.shape == (120, 6)
    for place in (0, 49, 50, 119):
        alone = few_labels.predict(model, tokenizer, texts[place : place + 1])
        torch.testing.assert_close(found[place : place + 1], alone, rtol=1e-4, atol=1e-5)


def test_regression_tells_clouds_apart_and_tf_idf_learns_no_word_of_the_test_texts():
    draw = torch.Generator().manual_seed(0)
    topics = torch.arange(6).repeat(20)
    vectors = 5 * torch.eye(8)[topics] + torch.randn(120, 8, generator=draw)
    said = few_labels.regression(vectors[:60].numpy(), topics[:60].numpy(), vectors[60:].numpy())
    assert (torch.from_numpy(said) == topics[60:]).float().mean() > 0.95
    learned, asked = few_labels.tf_idf(["open the file", "close the file"], ["open zebra", "zebra"])
    assert learned.shape[1] == asked.shape[1] and (asked != 0).sum(1).ravel().tolist()[0] == [1, 0]


def test_accuracy_is_the_share_of_right_topics(monkeypatch):
    topics = few_labels.draw_sentences("test", SETTINGS["test"]).topics
    said = torch.where(torch.arange(len(topics)) % 3 == 0, (topics + 1) % 6, topics)           # a third wrong
    monkeypatch.setattr(few_labels, "regression", lambda *_: said.numpy())
    assert few_labels.accuracy("tf-idf", 10, 0) == pytest.approx(2 / 3)
    monkeypatch.setattr(few_labels, "fine_tune", lambda *_: (None, None, None))
    monkeypatch.setattr(few_labels, "predict", lambda *_: nn.functional.one_hot(said, 6))
    assert few_labels.accuracy("scratch", 10, 0) == pytest.approx(2 / 3)


def test_the_real_vectors_are_the_mean_state_of_each_text():
    try:
        bert, tokenizer = load_pretrained()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    texts = few_labels.draw_sentences("test", 1).texts
    vectors = few_labels.sentence_vectors(texts)
    assert vectors.shape == (6, bert.config.d_model)
    for text, vector in zip(texts, vectors, strict=True):
        ids, lengths = few_labels.encode([text], tokenizer)
        with torch.no_grad():
            wanted = bert(ids)[0, : lengths[0]].mean(0)
        torch.testing.assert_close(torch.from_numpy(vector), wanted, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- the recording


def test_the_recording_has_every_method_number_of_labels_and_seed():
    rows = recorded("few_labels")["results"]["rows"]
    assert [(row["method"], row["labels"], row["seed"]) for row in rows] == [
        (method, count, seed) for method in few_labels.METHODS for count in SETTINGS["labels"]
        for seed in SETTINGS["seeds"]]
    sentences = SETTINGS["test"] * len(TOPICS)
    assert all(abs(row["test"] * sentences - round(row["test"] * sentences)) < 1e-3 for row in rows)


def test_what_the_recording_is_quoted_for():
    for labels in SETTINGS["labels"]:
        share = means(labels)
        assert min(share["real"], share["real, frozen"], share["own"]) > share["tf-idf"] + 0.03
        assert share["own"] > max(share["scratch"], share["scratch, small"]) + 0.05
        assert share["short"] < share["scratch, small"] + 0.05
    assert means(10)["real, frozen"] > means(10)["real"] + 0.05, "ten labels are too few to train all weights"
    for method in few_labels.METHODS:
        assert means(100)[method] > means(10)[method] - 0.02


def test_learning_rates_are_those_of_the_search():
    search = recorded("few_labels")["results"]["search"]
    assert {row["rate"] for row in search} == set(SETTINGS["rates"])
    for method in few_labels.SEARCHED:
        assert SETTINGS["learning_rate"][method] == few_labels.best_rate(search, method)


@pytest.mark.parametrize(("method", "labels"), [("tf-idf", 50), ("own", 10)])
def test_a_recorded_share_comes_again(method, labels):
    """Another Python has other sentences: of the 240 that are asked some tens may be answered otherwise."""
    row = next(row for row in recorded("few_labels")["results"]["rows"]
               if (row["method"], row["labels"], row["seed"]) == (method, labels, 0))
    assert few_labels.accuracy(method, labels, 0) == pytest.approx(row["test"], abs=0.15)
