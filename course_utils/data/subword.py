"""Sub-words: a text as pieces from a small vocabulary, so that no word is unknown. Chapters 08 and 09.

Sources: Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016), for byte-pair
encoding; Schuster and Nakajima, "Japanese and Korean Voice Search" (2012), for WordPiece; Radford et al., "Language
Models are Unsupervised Multitask Learners" (2019), for byte-level BPE. The work is done by the `tokenizers` library; the
algorithms are written out in this file, small enough to read.
"""

from course_utils.layout import ASSETS

TOKENIZERS = ASSETS / "tokenizers"
# BERT's own, in the order of their ids: [PAD] is 0, as everywhere in the course.
WORDPIECE_SPECIAL = PAD, UNK, CLS, SEP, MASK = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# GPT-2's own, which stands between two texts; the other two are GPT-1's, for its tasks.
BPE_SPECIAL = END_OF_TEXT, DELIMITER, EXTRACT = ("<|endoftext|>", "<|delimiter|>", "<|extract|>")
KINDS = ("wordpiece", "bpe")


# ---------------------------------------------------------------- the library at work


def train_tokenizer(kind, texts, vocab_size):
    """A `tokenizers.Tokenizer` learned from texts (an iterable of strings).

    kind: "wordpiece", lower-cased as BERT's uncased models, special tokens first, `[CLS] … [SEP]` put round a text and
    segment ids for pairs; or "bpe", GPT-2's byte-level pairs: no text is unknown, and decoding gives it back exactly.
    Raises ValueError for another kind and a vocab_size that leaves no room.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    check_kind(kind)
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
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=list(WORDPIECE_SPECIAL), show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (CLS, SEP)])
    return tokenizer


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
