"""A vocabulary: tokens on one side, their ids on the other."""

from collections import Counter

# Tokens that no text holds. Every vocabulary of sentences begins with them, so their ids are the same everywhere.
PAD, SOS, EOS, UNK = SPECIAL = ("<pad>", "<sos>", "<eos>", "<unk>")
PAD_ID, SOS_ID, EOS_ID, UNK_ID = range(4)


def pad_ids(sequences):
    """Sequences of ids as one block: B lists -> ids (B, T), int64, filled up with PAD_ID, and lengths (B,).

    Raises ValueError when there is no sequence, an empty one, or one that holds anything but whole numbers.
    """
    import torch  # not above: a vocabulary needs none, and the widgets start without it

    rows = [torch.as_tensor(sequence) for sequence in sequences]
    if not rows or any(row.dim() != 1 or len(row) == 0 for row in rows):
        raise ValueError("pad_ids needs at least one sequence of ids, and none may be empty")
    if any(row.dtype != torch.int64 for row in rows):
        raise ValueError("ids must be whole numbers")
    return torch.nn.utils.rnn.pad_sequence(rows, True, PAD_ID), torch.tensor([len(row) for row in rows])


class Vocabulary:
    """A fixed list of tokens; a token's id is its place in the list.

    tokens: distinct strings. unknown: a token of the list that stands for all others, or None: then an unknown token
    is an error.
    """

    def __init__(self, tokens, unknown=None):
        self.tokens = list(tokens)
        self.ids = {token: number for number, token in enumerate(self.tokens)}
        if len(self.ids) != len(self.tokens):
            raise ValueError("a vocabulary needs distinct tokens")
        if unknown is not None and unknown not in self.ids:
            raise ValueError(f"the unknown token {unknown!r} is not in the vocabulary")
        self.unknown = unknown

    @classmethod
    def of_characters(cls, text, min_count=1):
        """All characters that occur at least `min_count` times in `text`, sorted."""
        return cls(sorted(character for character, count in Counter(text).items() if count >= min_count))

    def __len__(self):
        return len(self.tokens)

    def __contains__(self, token):
        return token in self.ids

    def encode(self, tokens):
        """Ids of a string's characters or of a list's tokens. Raises ValueError for an unknown token."""
        missing = sorted({token for token in tokens if token not in self.ids})
        if missing and self.unknown is None:
            shown = ", ".join(repr(token) for token in missing[:5])
            raise ValueError(f"not in the vocabulary: {shown}")
        return [self.ids[token if token in self.ids else self.unknown] for token in tokens]

    def decode(self, ids, separator=""):
        """The tokens of `ids` joined to a string. Raises ValueError for an id outside the vocabulary."""
        ids = [int(number) for number in ids]
        for number in ids:
            if not 0 <= number < len(self.tokens):
                raise ValueError(f"id {number} is outside a vocabulary of {len(self.tokens)}")
        return separator.join(self.tokens[number] for number in ids)
