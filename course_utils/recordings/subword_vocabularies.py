"""Chapters 08 and 09: the two sub-word vocabularies of the course, learned from the docstrings, and how well they cut.

The files assets/tokenizers/docstrings-….json are made here, from the docstrings of one Python. Weights are recorded for
their ids, so they are part of the course and serve on every other Python too.

Made again on the same Python they stay the same, ids included: where training finds the pieces that a file has already,
it keeps the ids of the file, since weights were trained with them.
"""

from course_utils.data.docstrings import docstring_sentences, entries_of
from course_utils.data.subword import TOKENIZERS, UNK, merges_of, train_tokenizer

SETTINGS = {"vocab_sizes": {"wordpiece": 3000, "bpe": 2000}, "part": "train"}


def texts_of(kind, part, docstrings=None):
    """What a tokenizer learns from, a list of strings: sentences of prose for "wordpiece", whole docstrings for "bpe".

    The models of chapters 08 and 09 read the same. docstrings: as for `entries_of`.
    """
    if kind == "wordpiece":
        return [sentence for sentences in docstring_sentences(part, docstrings) for sentence in sentences]
    return [entry.text for entry in entries_of(part, docstrings)]


def rules_of(tokenizer):
    """What decides how a tokenizer cuts, apart from the numbers of its pieces: the pieces, and the merges of a BPE."""
    return set(tokenizer.get_vocab()), merges_of(tokenizer) if type(tokenizer.model).__name__ == "BPE" else []


def settled(tokenizer, path):
    """The tokenizer that the file holds where it has the same pieces and merges, with its own ids; else the new one."""
    from tokenizers import Tokenizer

    if not path.exists():
        return tokenizer
    before = Tokenizer.from_file(str(path))
    return before if rules_of(before) == rules_of(tokenizer) else tokenizer


def cutting(tokenizer, texts):
    """How a tokenizer cuts texts: a dict with "characters_per_token", "whole_words" and "unknown_words".

    Characters are those of the text as it stands; [CLS] and [SEP] are no tokens here. A word is what the tokenizer's
    own rule takes for one, so a full stop is one too. The last two are shares of all words: those that are one known
    token, and those that are [UNK].
    """
    words = [word for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)
             for word in tokens_of_words(encoding)]
    unknown = words.count([UNK])
    return {"characters_per_token": round(sum(map(len, texts)) / sum(map(len, words)), 3),
            "whole_words": round((sum(len(word) == 1 for word in words) - unknown) / len(words), 4),
            "unknown_words": round(unknown / len(words), 6)}


def tokens_of_words(encoding):
    """The tokens of each word of an encoded text: a list of lists."""
    words = {}
    for token, word in zip(encoding.tokens, encoding.word_ids, strict=True):
        words.setdefault(word, []).append(token)
    return list(words.values())


def run(progress=list):
    """Learn both vocabularies. Returns for each its size and how it cuts the prose of the test part, and the files."""
    rows, files = {}, {}
    unseen = texts_of("wordpiece", "test")               # the same for both, so that they can be compared
    for kind, size in progress(list(SETTINGS["vocab_sizes"].items())):
        name = f"docstrings-{kind}.json"
        tokenizer = settled(train_tokenizer(kind, texts_of(kind, SETTINGS["part"]), size), TOKENIZERS / name)
        rows[kind] = {"size": tokenizer.get_vocab_size(), **cutting(tokenizer, unseen)}
        files[f"tokenizers/{name}"] = tokenizer.to_str(pretty=True)
    return {"rows": rows, "files": files}
