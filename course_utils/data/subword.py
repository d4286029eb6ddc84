"""Sub-words: a text as pieces from a small vocabulary, so that no word is unknown. Chapters 08 and 09.

Sources: Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016), for byte-pair
encoding; Schuster and Nakajima, "Japanese and Korean Voice Search" (2012), for WordPiece; Radford et al., "Language
Models are Unsupervised Multitask Learners" (2019), for byte-level BPE. The algorithms are written out first, small
enough to read; the work is done by the `tokenizers` library, and tests hold both equal where their rules are the same.
"""

import json
from collections import Counter
from itertools import pairwise

from course_utils.layout import ASSETS

TOKENIZERS = ASSETS / "tokenizers"
# BERT's own, in the order of their ids: [PAD] is 0, as everywhere in the course.
WORDPIECE_SPECIAL = PAD, UNK, CLS, SEP, MASK = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# GPT-2's own, which stands between two texts; the other two are GPT-1's, for its tasks.
BPE_SPECIAL = END_OF_TEXT, DELIMITER, EXTRACT = ("<|endoftext|>", "<|delimiter|>", "<|extract|>")
KINDS = ("wordpiece", "bpe")
INSIDE = "##"              # WordPiece's mark of a piece that does not begin its word
LONGEST_WORD = 100         # characters; BERT calls a longer word unknown without trying
# GPT-2's words: an English ending such as 's; letters, digits or other signs, at most one space before them; spaces.
GPT2_WORD = r"'(?:[stmd]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


# ---------------------------------------------------------------- byte-pair encoding


def letters(word, mark=""):
    """A word as a tuple of its letters. mark: what all but the first begin with, INSIDE for WordPiece."""
    return tuple(mark + letter if place else letter for place, letter in enumerate(word))


def pair_counts(words):
    """How often each two pieces are neighbours: a Counter from (piece, piece) to a count.

    words: dict from a word, a tuple of its pieces, to how often the word occurs. No pair goes from word to word.
    """
    counts = Counter()
    for pieces, count in words.items():
        for pair in pairwise(pieces):
            counts[pair] += count
    return counts


def likelihood_score(words):
    """How much likelier each pair is than chance: a dict from pair to count(ab) / (count(a) · count(b)).

    words: as for `pair_counts`. This is the score usually given for WordPiece; the trainer that made BERT's vocabulary
    was never published. Two pieces that occur once, side by side, score 1, and nothing scores higher.
    """
    pieces = Counter()
    for word, count in words.items():
        for piece in word:
            pieces[piece] += count
    return {(a, b): count / (pieces[a] * pieces[b]) for (a, b), count in pair_counts(words).items()}


def merge_pair(pieces, pair, mark=""):
    """The pieces with each occurrence of the pair joined, from the left and without overlap. Returns a tuple.

    mark: what the second piece begins with and loses when it is joined, INSIDE for WordPiece.
    """
    first, second = pair
    joined = []
    for piece in pieces:
        if piece == second and joined[-1:] == [first]:
            joined[-1] = first + second[len(mark):]
        else:
            joined.append(piece)
    return tuple(joined)


def train_bpe(counts, n_merges, score=pair_counts, mark=""):
    """Merges learned from words: a list of at most n_merges pairs, in the order in which they were joined.

    counts: dict from a word, a string, to how often it occurs. score: function of words cut into pieces that returns
    a dict from pair to number: `pair_counts`, byte-pair encoding's rule, or `likelihood_score`. Each step joins the
    pair of the highest number; of equals, the first in the order of characters. mark: see `letters`.
    Raises ValueError for a negative n_merges and a count below 1.
    """
    if n_merges < 0 or any(count < 1 for count in counts.values()):
        raise ValueError("n_merges must be at least 0, and every word's count at least 1")
    words = {letters(word, mark): count for word, count in counts.items()}
    merges = []
    while len(merges) < n_merges and (scores := score(words)):
        best = min(scores, key=lambda pair: (-scores[pair], pair))
        words = {merge_pair(pieces, best, mark): count for pieces, count in words.items()}
        merges.append(best)
    return merges


def apply_merges(word, merges):
    """A word cut into pieces by learned merges, a tuple: of the pairs at hand, the one learned first is joined first.

    merges: pairs in the order in which they were learned, as from `train_bpe` without a mark, or a dict from pair to
    its place in that order.
    """
    ranks = merges if isinstance(merges, dict) else {tuple(pair): rank for rank, pair in enumerate(merges)}
    pieces = tuple(word)
    while known := [pair for pair in pairwise(pieces) if pair in ranks]:
        pieces = merge_pair(pieces, min(known, key=ranks.get))
    return pieces


def vocabulary_of(counts, merges, mark=""):
    """All pieces that training knows: the letters of the words and what each merge made of two pieces. Returns a set.

    counts, merges, mark: as given to `train_bpe` and returned by it.
    """
    return {*(piece for word in counts for piece in letters(word, mark)), *(a + b[len(mark):] for a, b in merges)}


# ---------------------------------------------------------------- WordPiece


def wordpiece(word, vocabulary):
    """A word cut into the longest pieces that the vocabulary has, from the left: a list. No merges are needed.

    vocabulary: set or dict of pieces; those inside a word begin with INSIDE. One rest without a piece makes the whole
    word UNK, and so does a length above LONGEST_WORD.
    """
    pieces, rest = [], word
    while rest:
        mark = INSIDE if pieces else ""
        length = next((n for n in range(len(rest), 0, -1) if mark + rest[:n] in vocabulary), None)
        if length is None or len(word) > LONGEST_WORD:
            return [UNK]
        pieces.append(mark + rest[:length])
        rest = rest[length:]
    return pieces


# ---------------------------------------------------------------- byte-level BPE


def byte_alphabet():
    """GPT-2's printable character for each byte: a dict from 0 … 255 to 256 different characters.

    A byte whose Latin-1 character can be seen keeps it. The others, the space among them, get the characters from
    number 256 on, in their order: the space becomes Ġ, the line end Ċ.
    """
    seen = {byte: chr(byte) for byte in range(256) if chr(byte).isprintable() and chr(byte) != " "}
    unseen = [byte for byte in range(256) if byte not in seen]
    return seen | {byte: chr(256 + place) for place, byte in enumerate(unseen)}


def to_byte_characters(text):
    """The UTF-8 bytes of a text, each as its character of `byte_alphabet`: a string. "é" has two bytes, "한" three.

    Raises ValueError for half a surrogate pair, which has no bytes.
    """
    alphabet = byte_alphabet()
    return "".join(alphabet[byte] for byte in text.encode("utf-8"))


def from_byte_characters(characters):
    """The text whose `to_byte_characters` are given. Bytes that make no whole character become �.

    Raises ValueError for a character outside the alphabet.
    """
    byte_of = {character: byte for byte, character in byte_alphabet().items()}
    foreign = [character for character in characters if character not in byte_of]
    if foreign:
        raise ValueError(f"{foreign[0]!r} is no character of the byte alphabet")
    return bytes(byte_of[character] for character in characters).decode("utf-8", errors="replace")


def gpt2_words(text):
    """The text cut into GPT-2's words, a list of strings; a word carries the space before it. No merge crosses words.

    The library does the cutting: Python's `re` cannot ask for letters and digits of every script.
    """
    from tokenizers import Regex, pre_tokenizers

    return [word for word, _ in pre_tokenizers.Split(Regex(GPT2_WORD), "isolated").pre_tokenize_str(text)]


def encode_bytes(text, merges):
    """A text as tokens of byte-level BPE: a list of strings of `byte_alphabet`. No text is unknown.

    merges: pairs in the order in which they were learned, for example `merges_of(load_tokenizer("bpe"))`. A special
    token's name in the text is text like any other here; the library makes the special token of it.
    """
    ranks = {tuple(pair): rank for rank, pair in enumerate(merges)}
    return [piece for word in gpt2_words(text) for piece in apply_merges(to_byte_characters(word), ranks)]


def merges_of(tokenizer):
    """The merges of a `tokenizers.Tokenizer`, a list of pairs as learned. Raises ValueError for one that is no BPE."""
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] != "BPE":
        raise ValueError(f"a {model['type']} tokenizer has no merges")
    return [tuple(pair) for pair in model["merges"]]


# ---------------------------------------------------------------- the library at work


def train_tokenizer(kind, texts, vocab_size):
    """A `tokenizers.Tokenizer` learned from texts (an iterable of strings). The same texts give the same tokenizer.

    kind: "wordpiece", lower-cased as BERT's uncased models, special tokens first, `[CLS] … [SEP]` put round a text and
    segment ids for pairs; or "bpe", GPT-2's byte-level pairs: no text is unknown, and decoding gives it back exactly,
    but for names of special tokens in it. Both join the most frequent pairs.
    Raises ValueError for another kind, a vocab_size that leaves no room, and a single text in place of a list.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    check_kind(kind)
    if isinstance(texts, str):
        raise ValueError("texts is one string; a list of them is needed")
    if vocab_size < 300:
        raise ValueError(f"vocab_size={vocab_size} is below 300: characters or bytes alone take as many")
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=list(BPE_SPECIAL), show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
        return tokenizer
    texts, learner = list(texts), wordpiece_tokenizer({})
    # The library numbers letters inside words in another order at every run, and of equal pairs it joins that of the
    # lowest numbers. Letters given as special tokens keep their order; the result is built anew without that mark.
    learner.train_from_iterator(texts, trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=[*WORDPIECE_SPECIAL, *letters_of(learner, texts)], show_progress=False))
    return wordpiece_tokenizer(learner.get_vocab())


def wordpiece_tokenizer(vocabulary):
    """A WordPiece `tokenizers.Tokenizer` as BERT's uncased models have it. vocabulary: dict from piece to id, or {}."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNK, max_input_chars_per_word=LONGEST_WORD))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=INSIDE)
    if vocabulary:
        tokenizer.add_special_tokens(list(WORDPIECE_SPECIAL))
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
            special_tokens=[(token, vocabulary[token]) for token in (CLS, SEP)])
    return tokenizer


def letters_of(tokenizer, texts):
    """The letters of all words, as the tokenizer sees them, then those inside words with INSIDE; both in order."""
    normalize, split = tokenizer.normalizer.normalize_str, tokenizer.pre_tokenizer.pre_tokenize_str
    words = {word for text in texts for word, _ in split(normalize(text))}
    return [*sorted(set("".join(words))), *sorted({INSIDE + letter for word in words for letter in word[1:]})]


def load_tokenizer(kind):
    """The tokenizer that the course's own models were trained with, a `tokenizers.Tokenizer`.

    kind: "wordpiece" (chapter 08) or "bpe" (chapter 09), 3,000 and 2,000 tokens, learned from the docstrings of Python
    3.11. They are files of the course, so that the recorded weights fit on every Python. Raises ValueError for another.
    """
    from tokenizers import Tokenizer

    check_kind(kind)
    return Tokenizer.from_file(str(TOKENIZERS / f"docstrings-{kind}.json"))


def check_kind(kind):
    """Raise ValueError unless the course has this kind of tokenizer."""
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is none of {', '.join(map(repr, KINDS))}")
