"""Sub-words: the algorithms written out, the course's own two tokenizers, and the recording that makes these."""

import json
import platform
from collections import Counter
from types import SimpleNamespace

import pytest

from course_utils import layout
from course_utils.data import subword
from course_utils.data.docstrings import Docstring, docstring_sentences, split_of
from course_utils.data.subword import (
    BPE_SPECIAL,
    INSIDE,
    LONGEST_WORD,
    UNK,
    WORDPIECE_SPECIAL,
    apply_merges,
    byte_alphabet,
    encode_bytes,
    from_byte_characters,
    gpt2_words,
    letters,
    likelihood_score,
    load_tokenizer,
    merge_pair,
    merges_of,
    pair_counts,
    to_byte_characters,
    train_bpe,
    train_tokenizer,
    vocabulary_of,
    wordpiece,
)
from course_utils.recordings import recorded, subword_vocabularies

HUGS = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}


# ---------------------------------------------------------------- byte-pair encoding

def test_pairs_are_counted_by_how_often_their_words_occur_and_never_across_words():
    counts = pair_counts({("a", "b"): 3, ("b", "a", "b"): 2, ("c",): 9})
    assert counts == {("a", "b"): 5, ("b", "a"): 2}
    assert pair_counts({("a", "b", "a", "b"): 2})["a", "b"] == 4, "twice in one word"
    assert pair_counts({}) == {} == pair_counts({(): 3})


@pytest.mark.parametrize(("pieces", "pair", "joined"), [
    ("aaa", "aa", ("aa", "a")),                            # from the left, without overlap
    ("aaaa", "aa", ("aa", "aa")),
    ("abcab", "ab", ("ab", "c", "ab")),
    ("ba", "ab", ("b", "a")),                              # the order matters
    ("", "ab", ()),
    (["ab", "a", "b", "c"], ("a", "b"), ("ab", "ab", "c")),     # a piece that is already joined stays
    ([b"\xea", b"\xb0", b"\x80"], (b"\xea", b"\xb0"), (b"\xea\xb0", b"\x80")),
])
def test_every_occurrence_of_a_pair_is_joined(pieces, pair, joined):
    assert merge_pair(tuple(pieces), tuple(pair)) == joined == merge_pair(list(pieces), list(pair))


def test_the_mark_of_the_second_piece_goes_when_it_is_joined():
    assert letters("hugs", INSIDE) == ("h", "##u", "##g", "##s") and letters("hugs") == tuple("hugs")
    assert letters("") == letters("", INSIDE) == ()
    assert merge_pair(("h", "##u", "##g"), ("##u", "##g"), INSIDE) == ("h", "##ug")
    assert merge_pair(("h", "##ug"), ("h", "##ug"), INSIDE) == ("hug",)
    assert merge_pair(("#", "#", "#"), ("#", "#")) == ("##", "#"), "without a mark, signs of a text stay"
    assert merge_pair(("##", "##"), ("##", "##")) == ("####",)
    assert merge_pair(letters("a##", INSIDE), ("###", "###"), INSIDE) == ("a", "####"), "a mark is taken once"


def test_training_joins_the_pair_that_occurs_most_often():
    words = {letters(word): count for word, count in HUGS.items()}
    assert pair_counts(words)["u", "g"] == 10 + 5 + 5
    assert train_bpe(HUGS, 3) == [("u", "g"), ("u", "n"), ("h", "ug")]
    assert train_bpe(HUGS, 0) == [] == train_bpe({}, 5)


def test_of_equal_pairs_the_first_in_the_order_of_characters_is_joined_whatever_the_order_of_words():
    counts = {"zy": 2, "ab": 2, "xa": 2}
    assert train_bpe(counts, 9) == [("a", "b"), ("x", "a"), ("z", "y")]
    assert train_bpe(dict(reversed(counts.items())), 9) == train_bpe(counts, 9)


def test_training_ends_where_every_word_is_one_piece():
    merges = train_bpe(HUGS, 1000)
    assert len(merges) < 20 and all(apply_merges(word, merges) == (word,) for word in HUGS)


@pytest.mark.parametrize("score", [pair_counts, likelihood_score])
def test_learned_merges_cut_the_training_words_as_training_left_them(score):
    text = "the cat sat on the mat and the other cat thought that it was the best mat"
    counts = Counter(text.split())
    for n_merges in (0, 1, 5, 12):
        merges = train_bpe(counts, n_merges, score)
        words = {word: letters(word) for word in counts}
        for pair in merges:
            words = {word: merge_pair(pieces, pair) for word, pieces in words.items()}
        assert {word: apply_merges(word, merges) for word in counts} == words


@pytest.mark.parametrize(("counts", "n_merges"), [(HUGS, -1), ({"ab": 0}, 1), ({"ab": -2}, 1)])
def test_training_refuses_what_makes_no_sense(counts, n_merges):
    with pytest.raises(ValueError, match="at least") as error:
        train_bpe(counts, n_merges)
    assert "\n" not in str(error.value)


def test_merges_are_applied_in_the_order_in_which_they_were_learned():
    assert apply_merges("abc", [("b", "c"), ("a", "b")]) == ("a", "bc")
    assert apply_merges("abc", [("a", "b"), ("b", "c")]) == ("ab", "c")
    assert apply_merges("abc", [["a", "b"], ["ab", "c"]]) == ("abc",), "lists, as a file holds them"
    assert apply_merges("abc", {("b", "c"): 0, ("a", "b"): 1}) == ("a", "bc"), "places, as a dict"
    assert apply_merges("xyz", [("a", "b")]) == ("x", "y", "z") and apply_merges("", [("a", "b")]) == ()


def test_a_word_that_training_never_saw_is_cut_into_pieces_that_it_did_see():
    merges = train_bpe(HUGS, 3)
    assert apply_merges("bugs", merges) == ("b", "ug", "s")
    vocabulary = vocabulary_of(HUGS, merges)
    assert vocabulary == {*"hugpnbs", "ug", "un", "hug"}
    assert set(apply_merges("shun", merges)) <= vocabulary


# ---------------------------------------------------------------- the likelihood score

def test_the_score_divides_by_what_chance_would_give():
    score = likelihood_score({("a", "b"): 3, ("a", "c"): 1})
    assert score == {("a", "b"): 3 / (4 * 3), ("a", "c"): 1 / (4 * 1)}
    assert likelihood_score({("a", "b", "a"): 2}) == {("a", "b"): 2 / (4 * 2), ("b", "a"): 2 / (4 * 2)}
    assert likelihood_score({}) == {}


def test_frequency_and_likelihood_join_different_pairs_on_the_same_corpus():
    by_count, by_score = (train_bpe(HUGS, 3, score, INSIDE) for score in (pair_counts, likelihood_score))
    assert by_count == [("##u", "##g"), ("##u", "##n"), ("h", "##ug")], "the most frequent pairs"
    assert by_score[0] == ("##g", "##s"), "##s never stands without ##g before it"
    assert vocabulary_of(HUGS, by_count, INSIDE) != vocabulary_of(HUGS, by_score, INSIDE)


def test_two_rare_letters_that_meet_once_score_highest():
    words = {letters(word): count for word, count in {**HUGS, "qj": 1}.items()}
    score = likelihood_score(words)
    assert max(score, key=score.get) == ("q", "j") and score["q", "j"] == 1
    assert pair_counts(words)["q", "j"] == min(pair_counts(words).values())


# ---------------------------------------------------------------- WordPiece

VOCABULARY = {"un", "unable", "##able", "##a", "##b", "##ble", "a", "b", "##aff"}


@pytest.mark.parametrize(("word", "pieces"), [
    ("unable", ["unable"]),
    ("unaffable", ["un", "##aff", "##able"]),
    ("able", ["a", "##ble"]),                              # "##able" is no beginning
    ("ab", ["a", "##b"]),
    ("unx", [UNK]),                                        # the whole word, not its rest
    ("xun", [UNK]),
    ("unaf", [UNK]),
    ("", []),
])
def test_the_longest_piece_from_the_left_is_taken(word, pieces):
    assert wordpiece(word, VOCABULARY) == pieces == wordpiece(word, dict.fromkeys(VOCABULARY, 0))


def test_greedy_is_not_clever():
    assert wordpiece("abc", {"ab", "a", "##bc"}) == [UNK], "a + ##bc would do, but ab is longer than a"


def test_a_word_above_the_limit_is_unknown():
    assert wordpiece("a" * LONGEST_WORD, {"a", "##a"}) == ["a"] + ["##a"] * (LONGEST_WORD - 1)
    assert wordpiece("a" * (LONGEST_WORD + 1), {"a", "##a"}) == [UNK]
    assert len(wordpiece("한" * LONGEST_WORD, {"한", "##한"})) == LONGEST_WORD, "characters are counted, not bytes"


# ---------------------------------------------------------------- byte-level BPE

def test_every_byte_has_a_character_of_its_own_that_can_be_seen():
    alphabet = byte_alphabet()
    assert list(alphabet) != [] and set(alphabet) == set(range(256)) and len(set(alphabet.values())) == 256
    assert all(len(character) == 1 and character.isprintable() and not character.isspace()
               for character in alphabet.values())
    assert (alphabet[ord("A")], alphabet[ord(" ")], alphabet[ord("\n")], alphabet[0xE9]) == ("A", "Ġ", "Ċ", "é")


@pytest.mark.parametrize("text", ["", "a b", "é", "한국어", "🤖👩‍👩‍👧", "\x00\t\r\n", "e\u0301", "<|endoftext|>"])
def test_a_text_goes_to_byte_characters_and_back(text):
    characters = to_byte_characters(text)
    assert len(characters) == len(text.encode()) and from_byte_characters(characters) == text
    assert not any(character.isspace() for character in characters)


def test_part_of_a_character_becomes_a_sign_of_its_own():
    assert from_byte_characters(to_byte_characters("a한")[:-1]) == "a\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("refused", [lambda: to_byte_characters("a\ud83d"), lambda: from_byte_characters("a b"),
                                     lambda: from_byte_characters("한")])
def test_what_has_no_bytes_or_is_none_is_refused_in_one_line(refused):
    with pytest.raises(ValueError) as error:
        refused()
    assert "\n" not in str(error.value)


def test_gpt2s_words_carry_their_space_and_give_the_text_back():
    text = "We're here,  and\n 42km: 한국!"
    assert gpt2_words(text) == ["We", "'re", " here", ",", " ", " and", "\n", " 42", "km", ":", " 한국", "!"]
    assert "".join(gpt2_words(text)) == text and gpt2_words("") == []


def test_merges_on_bytes_are_learned_and_applied_within_words():
    text = "한 가지, 한 사람, 한 번"
    merges = train_bpe(Counter(map(to_byte_characters, gpt2_words(text))), 20)
    tokens = encode_bytes(text, merges)
    assert from_byte_characters("".join(tokens)) == text and to_byte_characters(" 한") in tokens
    assert len(tokens) < len(text.encode()) == len(encode_bytes(text, []))
    assert encode_bytes("", merges) == []


# ---------------------------------------------------------------- the library at work

def test_the_shipped_tokenizers_have_their_special_tokens_first():
    for kind, size, special in (("wordpiece", 3000, WORDPIECE_SPECIAL), ("bpe", 2000, BPE_SPECIAL)):
        tokenizer = load_tokenizer(kind)
        assert tokenizer.get_vocab_size() == size
        assert [tokenizer.id_to_token(number) for number in range(len(special))] == list(special)
        assert sorted(tokenizer.get_vocab().values()) == list(range(size))


def test_a_pair_of_texts_gets_its_marks_and_segments():
    encoding = load_tokenizer("wordpiece").encode("The FILE is open.", "close it")
    assert encoding.tokens == ["[CLS]", "the", "file", "is", "open", ".", "[SEP]", "close", "it", "[SEP]"]
    assert encoding.type_ids == [0] * 7 + [1] * 3


def test_nothing_is_unknown_to_bytes_and_much_to_wordpiece():
    text = "Ünïcode, 한국어 and 🤖"
    assert UNK in load_tokenizer("wordpiece").encode(text).tokens
    tokenizer = load_tokenizer("bpe")
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_name_of_a_special_token_in_a_text_becomes_the_token():
    """A user who types it reaches the model's own signs: told in chapter 09, and `decode` leaves it out by default."""
    tokenizer, text = load_tokenizer("bpe"), "end<|endoftext|>start"
    ids = tokenizer.encode(text).ids
    assert 0 in ids and tokenizer.decode(ids) == "endstart"
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert from_byte_characters("".join(encode_bytes(text, merges_of(tokenizer)))) == text
    assert "<|endoftext|>" not in encode_bytes(text, merges_of(tokenizer))


TIES = [f"{a}{b}{c} {c}{a}" for a in "bcdfgh" for b in "aeiou" for c in "klmnrs"]     # most pairs occur equally often


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_the_same_texts_give_the_same_tokenizer(kind):
    made = {train_tokenizer(kind, iter(TIES), 400).to_str() for _ in range(5)}
    assert len(made) == 1


@pytest.mark.parametrize(("kind", "special"), [("wordpiece", WORDPIECE_SPECIAL), ("bpe", BPE_SPECIAL)])
def test_a_new_tokenizer_has_the_wanted_size_and_reads_what_it_learned(kind, special):
    tokenizer = train_tokenizer(kind, [*TIES, "Read the FILE."] * 2, 300)
    assert tokenizer.get_vocab_size() <= 300
    assert [tokenizer.id_to_token(number) for number in range(len(special))] == list(special)
    assert {added["content"] for added in json.loads(tokenizer.to_str())["added_tokens"]} == set(special)
    assert UNK not in tokenizer.encode("fed the reader.").tokens


def test_a_learned_wordpiece_has_the_shape_of_the_shipped_one():
    new, shipped = (json.loads(tokenizer.to_str())
                    for tokenizer in (train_tokenizer("wordpiece", TIES, 300), load_tokenizer("wordpiece")))
    for content in (new, shipped):
        assert len(content["model"].pop("vocab")) >= 50
    assert new == shipped


@pytest.mark.parametrize(("call", "message"), [
    (lambda: train_tokenizer("words", [], 1000), "none of 'wordpiece', 'bpe'"),
    (lambda: train_tokenizer("bpe", ["a"], 200), "below 300"),
    (lambda: train_tokenizer("wordpiece", "one text", 300), "a list of them is needed"),
    (lambda: load_tokenizer("../chapters"), "none of 'wordpiece', 'bpe'"),
    (lambda: merges_of(load_tokenizer("wordpiece")), "a WordPiece tokenizer has no merges"),
])
def test_the_librarys_part_refuses_bad_input_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------- the recording

ENTRIES = [Docstring(f"m{n}.py", f"m{n}", "f", f"Return the number {word} of the open file. It is never closed again.")
           for n, word in enumerate(f"{a}{b}" for a in "bcdfghklmn" for b in ("ade", "ine", "orm", "ust"))]


@pytest.fixture
def small_recording(tmp_path, monkeypatch):
    """The recording on a few docstrings, its files read from and written to a temporary folder."""
    monkeypatch.setattr(subword_vocabularies, "TOKENIZERS", tmp_path / "tokenizers")
    monkeypatch.setattr(subword_vocabularies, "SETTINGS", {"vocab_sizes": {"wordpiece": 300, "bpe": 320},
                                                           "part": "train"})
    texts_of = subword_vocabularies.texts_of
    monkeypatch.setattr(subword_vocabularies, "texts_of", lambda kind, part: texts_of(kind, part, ENTRIES))

    def run():
        results = subword_vocabularies.run()
        for name, text in results["files"].items():
            layout.write_whole(tmp_path / name, text.encode())
        return results
    return SimpleNamespace(run=run, folder=tmp_path / "tokenizers")


def test_the_recording_gives_both_files_and_says_how_they_cut(small_recording):
    assert {split_of(entry.module) for entry in ENTRIES} == {"train", "validation", "test"}
    results = small_recording.run()
    assert set(results["files"]) == {"tokenizers/docstrings-wordpiece.json", "tokenizers/docstrings-bpe.json"}
    for kind, row in results["rows"].items():
        vocabulary = json.loads(results["files"][f"tokenizers/docstrings-{kind}.json"])["model"]["vocab"]
        assert row["size"] == len(vocabulary) and "the" in "".join(vocabulary)
        assert row["characters_per_token"] > 1 and 0 < row["whole_words"] <= 1 and 0 <= row["unknown_words"] < 1


def test_made_again_the_files_keep_their_ids(small_recording):
    first = small_recording.run()["files"]
    path = small_recording.folder / "docstrings-wordpiece.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    tokens = list(content["model"]["vocab"])
    others = tokens[:5] + tokens[:4:-1]                    # the same pieces, other ids
    content["model"]["vocab"] = {token: number for number, token in enumerate(others)}
    path.write_text(json.dumps(content), encoding="utf-8")
    again = small_recording.run()["files"]
    assert json.loads(again["tokenizers/docstrings-wordpiece.json"])["model"]["vocab"] == content["model"]["vocab"]
    assert again["tokenizers/docstrings-bpe.json"] == first["tokenizers/docstrings-bpe.json"]


def test_other_docstrings_give_other_files(small_recording, monkeypatch):
    before = small_recording.run()["files"]
    texts = subword_vocabularies.texts_of
    monkeypatch.setattr(subword_vocabularies, "texts_of",
                        lambda kind, part: [text.replace("number", "amount") for text in texts(kind, part)])
    after = small_recording.run()["files"]
    assert all(before[name] != after[name] for name in before)


def test_how_a_text_is_cut_is_counted_without_the_special_tokens():
    row = subword_vocabularies.cutting(load_tokenizer("wordpiece"), ["the file.", "한국어 file"])
    words = ["the", "file", ".", UNK, "file"]
    assert row == {"characters_per_token": round((9 + 8) / len(words), 3), "whole_words": 4 / 5, "unknown_words": 1 / 5}


MADE_WITH = recorded("subword_vocabularies")["versions"]["python"]


@pytest.mark.skipif(platform.python_version() != MADE_WITH, reason=f"other docstrings than those of Python {MADE_WITH}")
def test_the_shipped_files_are_what_the_recording_makes():
    results = subword_vocabularies.run()
    assert results["rows"] == recorded("subword_vocabularies")["results"]["rows"]
    for name, text in results["files"].items():
        assert text.encode() == (layout.ASSETS / name).read_bytes()


def test_the_shipped_tokenizers_fit_the_docstrings_of_this_python():
    """Learned from one Python's docstrings, they must serve on every other: few words are unknown, most are whole."""
    sentences = [sentence for group in docstring_sentences("test") for sentence in group]
    for kind in subword.KINDS:
        row = subword_vocabularies.cutting(load_tokenizer(kind), sentences)
        assert row["characters_per_token"] > 2.5 and row["whole_words"] > 0.6 and row["unknown_words"] < 0.01
