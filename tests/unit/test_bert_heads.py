"""Chapter 08's three kinds of heads: sentences that give nothing away, counting without BERT, and the recording."""

import collections
import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from course_utils.models.pretrained import load_pretrained
from course_utils.recordings import bert_heads, recorded
from course_utils.recordings.bert_heads import (
    MEN,
    WOMEN,
    all_heads,
    best_head,
    pronoun_hits,
    pronoun_sentences,
    things,
    token_habits,
)
from course_utils.recordings.real_heads import PRONOUNS, labelled_sentences

KINDS = ("previous token", "[SEP]", "pronoun")


@pytest.fixture(scope="module")
def bert():
    """The real model. The weights are optional: where set-up could not fetch them, these tests say so."""
    torch.set_num_threads(1)
    try:
        return load_pretrained(bert_heads.SETTINGS["weights"])
    except FileNotFoundError as error:
        pytest.skip(str(error))


# ---------------------------------------------------------------- sentences


@pytest.fixture(scope="module")
def people():
    return pronoun_sentences()


def test_every_sentence_has_a_woman_a_man_and_the_pronoun_of_one(people):
    women, men = ({name.lower() for name in names} for names in (WOMEN, MEN))
    assert not women & men and len(women) == len(WOMEN) and len(men) == len(MEN)
    for text, pronoun, own, other in people:
        words = re.findall("[a-z]+", text.lower())
        assert all(words.count(word) == 1 for word in (pronoun, own, other))
        assert max(words.index(own), words.index(other)) < words.index(pronoun)
        assert (own in women, other in women) == {"she": (True, False), "he": (False, True)}[pronoun]


def test_neither_the_pronoun_nor_the_order_tells_the_other(people):
    cases = collections.Counter((pronoun, text.lower().startswith(own)) for text, pronoun, own, _ in people)
    assert len(people) == sum(cases.values()) == bert_heads.SETTINGS["pronouns"]
    assert len(cases) == 4 and all(0.19 < count / len(people) < 0.31 for count in cases.values())


def test_sentences_are_different_and_a_shorter_list_is_the_start_of_a_longer_one(people):
    assert len({text for text, *_ in people}) == len(people)
    assert pronoun_sentences(40) == people[:40] != pronoun_sentences(40, seed=1)


def test_things_are_asked_in_pairs_that_differ_in_the_ending_only():
    found = things()
    assert len(found) == 2 * len(PRONOUNS)
    for (text, pronoun, own, other), (twin, *rest) in zip(found[::2], found[1::2], strict=True):
        assert rest == [pronoun, other, own] and pronoun == "it"
        words, twins = text.split(), twin.split()
        assert words[:-1] == twins[:-1] and words[-1] != twins[-1]
        assert all(re.findall("[a-z]+", text.lower()).count(word) == 1 for word in ("it", own, other))


# ---------------------------------------------------------------- counting


class Head(nn.Module):
    """A layer of made-up heads: each is a function of the number of tokens that returns weights (T, T)."""

    def __init__(self, *heads):
        super().__init__()
        self.heads = heads

    def forward(self, ids, need_weights=False):
        weights = torch.stack([head(ids.shape[1]) for head in self.heads]).unsqueeze(0)
        return ids, weights if need_weights else None


class Words:
    """A tokenizer with one token a word, lower-cased."""

    def encode(self, text):
        tokens = ["[CLS]", *re.findall(r"[a-z]+|\.", text.lower()), "[SEP]"]
        return SimpleNamespace(tokens=tokens, ids=list(range(len(tokens))))


def at(place):
    """A head that looks at one place, 90 %, from everywhere."""
    def weights(T):
        found = torch.full((T, T), 0.1 / (T - 1))
        found[:, place] = 0.9
        return found
    return weights


def before(T):
    """A head that looks at the token before."""
    return torch.eye(T).roll(-1, 1)


MODEL = nn.Sequential(Head(before, at(-1)), Head(at(0), torch.eye))


def run_layers(ids):
    for layer in MODEL:
        ids, _ = layer(ids)
    return ids


MODEL.forward = run_layers


def test_all_heads_are_layers_by_heads():
    tokens, weights = all_heads(MODEL, Words(), "The cat sleeps.")
    assert tokens == ["[CLS]", "the", "cat", "sleeps", ".", "[SEP]"] and weights.shape == (2, 2, 6, 6)
    assert torch.equal(weights[0, 0], before(6)) and torch.equal(weights[1, 1], torch.eye(6))


def test_habits_of_heads_whose_habit_is_known():
    """Nobody asks [CLS], [SEP] and the first word: a head that always looks at [CLS] does not look one back."""
    previous, on_sep, _ = token_habits(MODEL, Words(), ["The cat sleeps.", "Anna met Peter because she was late."])
    assert previous.tolist() == [[[1, 0], [0, 0]]] * 2
    for found, T in zip(on_sep, (6, 10), strict=True):
        torch.testing.assert_close(found, torch.tensor([[0, 0.9], [0.1 / (T - 1), 0]]))


def test_the_share_of_a_head_is_that_of_the_tokens_that_ask():
    def sometimes(T):
        return torch.stack([before(T)[t] if t in (2, 3) else torch.eye(T)[t] for t in range(T)])

    model = nn.Sequential(Head(sometimes))
    previous, on_sep, _ = token_habits(model, Words(), ["the small cat sleeps now"])        # 2, 3, 4 and 5 ask
    assert previous.tolist() == [[[0.5]]] and on_sep.tolist() == [[[0.0]]]


def test_pronoun_hits_of_heads_whose_choice_is_known():
    sentences = [("Anna met Peter because she was late.", "she", "anna", "peter"),
                 ("Anna met Peter because he was late.", "he", "peter", "anna")]
    model = nn.Sequential(Head(at(1), at(3), torch.eye))         # the first name, the second, neither
    assert pronoun_hits(model, Words(), sentences).tolist() == [[[1, 0, 0]], [[0, 1, 0]]]


def test_the_head_is_chosen_on_one_half_and_reported_on_the_other():
    scores = torch.zeros(8, 3, 4)
    scores[::2, 1, 2] = 1                                        # the best of texts 0, 2, 4, 6 …
    scores[1, 1, 2] = 1                                          # … is right on one of the other four
    scores[1::2, 2, 3] = scores[:4:2, 2, 3] = 1                  # best on those, and of all eight: too late
    assert best_head(scores) == {"head": [1, 2], "share": 0.25, "texts": 4}
    assert best_head(scores[:7]) == {"head": [1, 2], "share": pytest.approx(1 / 3), "texts": 3}


# ---------------------------------------------------------------- the recording


def test_the_recording_is_whole():
    results, settings = recorded("bert_heads")["results"], bert_heads.SETTINGS
    assert tuple(results["by_head"]) == tuple(results["best"]) == KINDS
    for name in KINDS:
        by_head, best = torch.tensor(results["by_head"][name]), results["best"][name]
        assert by_head.shape == (6, 12) and by_head.min() >= 0 and by_head.max() <= 1
        assert best["texts"] == settings["pronouns" if name == "pronoun" else "sentences"] // 2
        layer, number = best["head"]
        assert by_head[layer, number] > by_head.max() - 0.05, "the best of a half is about the best of all"
    assert results["hard"]["texts"] == len(things()) and 0.03 < results["uniform"] < 0.15


def test_what_the_recording_is_quoted_for():
    results = recorded("bert_heads")["results"]
    best = {name: row["share"] for name, row in results["best"].items()}
    assert best["previous token"] > 0.95 and best["pronoun"] > 0.85
    assert results["uniform"] < best["[SEP]"] < 3 * results["uniform"], "no head of this model rests on [SEP]"
    assert results["hard"]["share"] < 0.75, "where only the meaning tells, the pronoun's head is near chance"


def test_the_real_heads_do_as_recorded(bert, people):
    results = recorded("bert_heads")["results"]
    texts = [" ".join(words) + "." for words, _ in labelled_sentences(bert_heads.SETTINGS["sentences"])][:30]
    previous, on_sep, _ = token_habits(*bert, texts)
    few = pronoun_hits(*bert, people[:40])
    for name, scores in zip(KINDS, (previous, on_sep, few), strict=True):
        layer, number = results["best"][name]["head"]
        assert scores[:, layer, number].mean().item() == pytest.approx(results["best"][name]["share"], abs=0.1)
        difference = scores.mean(0) - torch.tensor(results["by_head"][name])
        assert difference.abs().mean() < (0.01 if name == "[SEP]" else 0.06)
    assert best_head(previous)["head"] == results["best"]["previous token"]["head"]
    layer, number = results["best"]["pronoun"]["head"]
    hard = pronoun_hits(*bert, things())[:, layer, number].mean().item()
    assert hard == pytest.approx(results["hard"]["share"], abs=1e-3)


def test_names_and_pronouns_are_whole_tokens_of_the_real_tokenizer(bert, people):
    for text, *words in (*people, *things()):
        tokens = bert[1].encode(text).tokens
        assert all(tokens.count(word) == 1 for word in words), (text, words)


def test_a_whole_run_gives_what_the_recording_holds(monkeypatch):
    """Made-up heads in place of BERT's: the parts of the results, and that the hard ones are asked of the same head."""
    monkeypatch.setattr(bert_heads, "load_pretrained", lambda name: (MODEL, Words()))
    results = bert_heads.run()
    recording = recorded("bert_heads")["results"]
    assert {name: set(part) for name, part in results.items() if isinstance(part, dict)} == {
        name: set(part) for name, part in recording.items() if isinstance(part, dict)}
    assert results["best"]["previous token"] == {"head": [0, 0], "share": 1, "texts": 150}
