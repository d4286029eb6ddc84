"""The sub-word algorithms written out against the `tokenizers` library: cutting on thousands of texts, and training.

Where the rules are the same the results are equal. They differ in two places, told here too: which of equally frequent
pairs is joined first, and WordPiece's likelihood score, which the library's WordPieceTrainer does not use.
"""

import random
import sys
from collections import Counter

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from course_utils.data.docstrings import docstring_sentences, entries_of
from course_utils.data.subword import (
    BPE_SPECIAL,
    INSIDE,
    LONGEST_WORD,
    UNK,
    WORDPIECE_SPECIAL,
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
    vocabulary_of,
    wordpiece,
)
from course_utils.models.pretrained import find_weights

EDGES = [
    "", " ", "  \n\t ", "\r\n\r\n x", "  a  b  ", "\x00", "a\x00b", "\x07\x1b[31m", "\ufeffa", "\u200b", "a\u200db",
    "\u00a0", "\u3000a", "\u2028", "\u202ertl\u202c", "\ud7ff\ue000\uffff", "\U0010ffff", "e\u0301\u0323\u0308",
    "한국어 문장은 띄어쓰기가 중요하다.", "ㅎㅏㄴ", "\u1112\u1161\u11ab", "漢字かな", "مرحبا", "हिन्दी", "İstanbul ıŞ",
    "ß ẞ", "ﬁ", "Ａ１ full width", "🤖", "\U0001f469\u200d\U0001f469\u200d\U0001f467 family", "\U0001f1f0\U0001f1f7",
    "\u270c\ufe0f", "</script><b>", "don't we'll I'VE 'tis ''s", "a_b.c/d\\e", "1,234.5e-6", "##able ##", "#" * 9,
    "-" * 200, "x" * 99, "x" * 100, "x" * 101, "ab" * 60, "한" * 100, "한" * 101,
]
KINDS_OF_CHARACTER = {
    "any": lambda draw: chr(draw.randrange(sys.maxunicode + 1)),
    "ASCII": lambda draw: chr(draw.randrange(128)),
    "Latin with marks": lambda draw: draw.choice("aeinostu ") + chr(draw.randrange(0x300, 0x370)) * draw.randrange(3),
    "Korean": lambda draw: draw.choice([chr(draw.randrange(0xAC00, 0xD7A4)), chr(draw.randrange(0x1100, 0x1200)), " "]),
    "emoji": lambda draw: draw.choice([chr(draw.randrange(0x1F300, 0x1FAFF)), "\u200d", "\ufe0f", "a", " "]),
    "spaces and controls": lambda draw: draw.choice("ab'\t\n\r\x0b\x0c\x1c\x85\xa0\u2003\u2028\u3000\u200b\x00\x7f  "),
    "words": lambda draw: draw.choice(["file", "un", "s", "'s", "ing", " ", " ", ",", "(", "_", "3", "é", "은"]),
}


def random_texts(count, seed=0):
    """Texts of up to 40 draws from one kind of character each. Halves of surrogate pairs are no text: left out."""
    draw = random.Random(seed)
    for number in range(count):
        kind = list(KINDS_OF_CHARACTER.values())[number % len(KINDS_OF_CHARACTER)]
        text = "".join(kind(draw) for _ in range(draw.randrange(41)))
        yield "".join(character for character in text if not 0xD800 <= ord(character) < 0xE000)


@pytest.fixture(scope="module")
def texts():
    """Thousands of texts: docstrings and their sentences, edge cases, random ones."""
    sentences = [sentence for group in docstring_sentences("test") for sentence in group]
    found = [*EDGES, *sentences, *(entry.text for entry in entries_of("validation")[:60]), *random_texts(4200)]
    assert len(found) > 4500
    return found


# ---------------------------------------------------------------- WordPiece

def shipped_wordpiece():
    return load_tokenizer("wordpiece")


def pretrained_wordpiece():
    """all-MiniLM-L6-v2's, which is BERT's own of 30 522 tokens."""
    try:
        folder = find_weights()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@pytest.mark.parametrize("load", [shipped_wordpiece, pretrained_wordpiece])
def test_wordpiece_cuts_as_the_library_does(texts, load):
    tokenizer = load()
    vocabulary = tokenizer.get_vocab()
    normalize, split = tokenizer.normalizer.normalize_str, tokenizer.pre_tokenizer.pre_tokenize_str
    unknown = 0
    for text, encoding in zip(texts, tokenizer.encode_batch(texts, add_special_tokens=False), strict=True):
        ours = [piece for word, _ in split(normalize(text)) for piece in wordpiece(word, vocabulary)]
        assert ours == encoding.tokens, repr(text)
        assert [vocabulary[piece] for piece in ours] == encoding.ids
        unknown += UNK in ours
    assert unknown > 100, "texts with unknown words are among them"


def test_the_limit_on_a_words_length_is_the_librarys():
    model = models.WordPiece({UNK: 0, "한": 1, "##한": 2}, unk_token=UNK)
    for length in (1, LONGEST_WORD, LONGEST_WORD + 1):
        assert [token.value for token in model.tokenize("한" * length)] == wordpiece("한" * length, {"한", "##한"})


# ---------------------------------------------------------------- byte-level BPE

def test_the_byte_alphabet_is_the_librarys():
    assert set(byte_alphabet().values()) == set(pre_tokenizers.ByteLevel.alphabet())


def test_words_and_their_bytes_are_the_librarys(texts):
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in texts:
        theirs = [word for word, _ in byte_level.pre_tokenize_str(text)]
        assert list(map(to_byte_characters, gpt2_words(text))) == theirs, repr(text)


def test_byte_level_bpe_cuts_as_the_library_does_and_gives_every_text_back(texts):
    tokenizer = load_tokenizer("bpe")
    vocabulary, merges = tokenizer.get_vocab(), merges_of(tokenizer)
    for text, encoding in zip(texts, tokenizer.encode_batch(texts), strict=True):
        ours = encode_bytes(text, merges)
        assert ours == encoding.tokens, repr(text)
        assert [vocabulary[piece] for piece in ours] == encoding.ids
        assert tokenizer.decode(encoding.ids) == text == from_byte_characters("".join(ours))


def test_tokens_cut_anywhere_are_decoded_as_the_library_does(texts):
    """A model may end in the middle of a character: the bytes that are left become the same sign."""
    tokenizer, draw = load_tokenizer("bpe"), random.Random(0)
    for text in texts[:len(EDGES)] + texts[-500:]:
        tokens = tokenizer.encode(text).tokens
        part = tokens[draw.randrange(len(tokens) + 1):][:draw.randrange(len(tokens) + 1)]
        assert from_byte_characters("".join(part)) == tokenizer.decode([tokenizer.token_to_id(t) for t in part])


# ---------------------------------------------------------------- training

def word_counts(n_texts):
    """Words of docstrings in byte characters, a Counter, and the docstrings themselves."""
    texts = [entry.text for entry in entries_of("train")[:n_texts]]
    return Counter(to_byte_characters(word) for text in texts for word in gpt2_words(text)), texts


def library_bpe(texts, n_merges):
    """Merges of the library's trainer of byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=len(BPE_SPECIAL) + 256 + n_merges, special_tokens=list(BPE_SPECIAL), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return merges_of(tokenizer)


def replayed(counts, merges, mark=""):
    """For each merge: (the pair, all pairs that are the most frequent just before it is joined)."""
    words = {letters(word, mark): count for word, count in counts.items()}
    for pair in merges:
        found = pair_counts(words)
        most = max(found.values())
        yield pair, [each for each, count in found.items() if count == most]
        words = {merge_pair(pieces, pair, mark): count for pieces, count in words.items()}


def untied_corpus(seed, n_merges, mark=""):
    """Random words with random counts where, at each of n_merges steps, one pair alone is the most frequent."""
    draw = random.Random(seed)
    while True:
        counts = Counter()
        for _ in range(12):
            word = "".join(draw.choice("abcdef") for _ in range(draw.randrange(2, 7)))
            counts[word] += draw.randrange(1, 400)
        best = [pairs for _, pairs in replayed(counts, train_bpe(counts, n_merges, mark=mark), mark)]
        if list(map(len, best)) == [1] * n_merges:
            return counts


@pytest.mark.parametrize("seed", range(10))
def test_training_without_ties_learns_the_librarys_merges(seed):
    counts = untied_corpus(seed, 8)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator([f"{word} " * count for word, count in counts.items()],
                                  trainers.BpeTrainer(vocab_size=len(set("".join(counts))) + 8, show_progress=False))
    assert merges_of(tokenizer) == train_bpe(counts, 8)


def test_every_merge_of_the_library_is_a_most_frequent_pair_and_its_rule_for_ties_is_age():
    """On real text there are ties. Our rule is the order of characters, the library's: the older piece goes first."""
    counts, texts = word_counts(300)
    age = {piece: place for place, piece in enumerate(sorted(byte_alphabet().values()))}
    ties = 0
    for pair, best in replayed(counts, library_bpe(texts, 150)):
        assert pair == min(best, key=lambda each: (age[each[0]], age[each[1]]))
        age.setdefault("".join(pair), len(age))
        ties += len(best) > 1
    assert ties > 0


def test_up_to_the_first_tie_both_learn_the_same_from_docstrings():
    counts, texts = word_counts(300)
    ours, theirs = train_bpe(counts, 40), library_bpe(texts, 40)
    tied = [len(best) > 1 for _, best in replayed(counts, ours)]
    untied = [*tied, True].index(True)
    assert untied >= 5 and ours[:untied] == theirs[:untied]


def library_wordpiece(counts, n_merges):
    """The vocabulary of the library's WordPieceTrainer, special tokens left out."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    alphabet = set("".join(counts)) | vocabulary_of(counts, [], INSIDE)
    tokenizer.train_from_iterator([f"{word} " * count for word, count in counts.items()], trainers.WordPieceTrainer(
        vocab_size=len(WORDPIECE_SPECIAL) + len(alphabet) + n_merges, special_tokens=list(WORDPIECE_SPECIAL),
        show_progress=False))
    return set(tokenizer.get_vocab()) - set(WORDPIECE_SPECIAL), alphabet


def test_the_librarys_wordpiece_trainer_merges_by_frequency_not_by_likelihood():
    counts = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}
    for n_merges in (1, 2, 3, 4):
        learned, alphabet = library_wordpiece(counts, n_merges)
        by_count, by_score = (alphabet | vocabulary_of(counts, train_bpe(counts, n_merges, score, INSIDE), INSIDE)
                              for score in (pair_counts, likelihood_score))
        assert learned == by_count, n_merges
        assert learned != by_score, n_merges


@pytest.mark.parametrize("seed", range(5))
def test_that_holds_for_random_corpora_without_ties(seed):
    counts = untied_corpus(seed, 4, INSIDE)
    merges = train_bpe(counts, 4, mark=INSIDE)
    learned, alphabet = library_wordpiece(counts, 4)
    assert learned == alphabet | vocabulary_of(counts, merges, INSIDE)
    assert train_bpe(counts, 4, likelihood_score, INSIDE) != merges
