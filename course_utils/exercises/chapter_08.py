"""Exercises and quizzes of chapter 08, BERT."""

import contextlib
import io
import math
from itertools import combinations, pairwise

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.exercises.combining import alone, alone_and_in_pairs
from course_utils.exercises.comparing import plain, short
from course_utils.exercises.engine import Case, Choice, Exercise, Question, RuleBroken
from course_utils.exercises.refusing import refusing, value_or_refusal, weak_refusals


def _texts(value):
    """`value` with numpy's arrays of text read as text and lists of text."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        return value.tolist()
    return type(value)(map(_texts, value)) if type(value) in (list, tuple) else value


def _with_texts(answer, *inputs):
    return _texts(answer(*inputs))


# --- 08.1 -------------------------------------------------------------------------------------------------------------

def best_pair(words):
    """The pair of neighbouring pieces that occurs most often: the one that byte-pair encoding joins next.

    words: dict from a word, as a tuple of pieces, to how often the word occurs in the text. Of pairs that occur equally
    often, the first in alphabetical order. Some word has two pieces or more. Returns a tuple of two pieces.
    """
    counts = {}
    for pieces, count in words.items():
        for place in range(len(pieces) - 1):
            pair = pieces[place], pieces[place + 1]
            counts[pair] = counts.get(pair, 0) + count           # once for each time that the word occurs
    return min(counts, key=lambda pair: (-counts[pair], pair))   # the most, and of these the first in the alphabet


def _text(what, words, why=""):
    """A case whose label shows its words. words: dict from "l o w" to a count."""
    listed = ", ".join(f"{word} ({count})" for word, count in words.items())
    return Case(f"{what}: {listed}", lambda: ({tuple(word.split()): count for word, count in words.items()},), why)


def _neighbours(pieces):
    return list(pairwise(pieces))


def _first_in_the_alphabet(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair))


def _first_that_came(counts):
    return max(counts, key=counts.get)


def _last_in_the_alphabet(counts):
    return max(counts, key=lambda pair: (counts[pair], pair))


def _tally(words, pairs=_neighbours, weight=lambda count: count):
    counts = {}
    for pieces, count in words.items():
        for pair in pairs(pieces):
            counts[pair] = counts.get(pair, 0) + weight(count)
    return counts


def _pairing(pairs=_neighbours, weight=lambda count: count, pick=_first_in_the_alphabet,
             give=lambda pair, counts: pair):
    """A best_pair with one part exchanged.

    pairs: pieces -> what is counted; weight: a word's count -> what is added; pick: counts -> the best; give: the best
    and the counts -> what is returned.
    """
    def answer(words):
        counts = _tally(words, pairs, weight)
        best = pick(counts)
        return give(best, counts)
    return answer


def _without_overlap(pieces):
    """The pairs of a word, counted as text.count counts: of a a in a a a, the second place is passed over."""
    pairs, taken = [], {}
    for place, pair in enumerate(pairwise(pieces)):
        if taken.get(pair, -2) < place - 1:
            pairs.append(pair)
            taken[pair] = place
    return pairs


def _found_in_text(between):
    """A misconception that looks for a pair in the word's text. between: what stands between two pieces there."""
    def answer(words):
        counts = {pair: sum(count * between.join(pieces).count(between.join(pair)) for pieces, count in words.items())
                  for pair in _tally(words)}
        return _first_in_the_alphabet(counts)
    return answer


def _whole_text(words):
    """All words one after another, each as often as it occurs, as if there were no word ends."""
    return {tuple(piece for pieces, count in words.items() for piece in pieces * count): 1}


def _two_commonest_pieces(order):
    """A misconception. order: count, piece -> what the pieces are sorted by."""
    def answer(words):
        counts = _tally(words, pairs=list)
        return tuple(sorted(counts, key=lambda piece: order(counts[piece], piece))[:2])
    return answer


def _by_likelihood(pick):
    def answer(words):
        pairs, pieces = _tally(words), _tally(words, pairs=list)
        return pick({(a, b): count / (pieces[a] * pieces[b]) for (a, b), count in pairs.items()})
    return answer


BEST_PAIR = Exercise(
    id="08.1",
    title="The commonest pair",
    about=("byte-pair-encoding",),
    reference=best_pair,
    run=_with_texts,
    hints=(
        "Take one word, such as (\"l\", \"o\", \"w\"), which occurs 5 times. Which pairs of neighbours has it, and how "
        "often does each of them stand in the text?",
        "zip(pieces[:-1], pieces[1:]) walks through the neighbours of one word. Add the word's count for each of them, "
        "in a dict or a Counter.",
        "To settle a tie, compare two things at once: min(counts, key=lambda pair: (-counts[pair], pair)).",
    ),
    cases=(
        _text("words of one letter to a piece", {"l o w": 5, "l o w e r": 2, "n e w e s t": 6, "w i d e s t": 3},
              "e s and s t stand 9 times each; e s is first in the alphabet."),
        _text("one frequent word", {"t o": 9, "i n": 2, "i n t": 3, "p i n": 1},
              "i n stands in three words, but these make 6 places of the text. t o has 9."),
        _text("a pair that would also span two words", {"o n": 5, "n o t": 3},
              "o n stands 5 times, n o 3 times. Nothing is joined over the end of a word."),
        _text("a pair twice in one word", {"t o t o": 3, "i n": 4, "i s": 5}, "t o stands twice in the first word: 6."),
        _text("a pair that overlaps itself", {"h a a a": 3, "i n": 5},
              "h a a a has two places with a a, which share a letter: 6 in all."),
        _text("a piece that ends like another one", {"ab a": 4, "b a": 2, "i n": 5},
              "ab a is no place of b a: its first piece is ab. i n has 5."),
        _text("a tie", {"d o": 3, "a d": 3, "i f": 3}, "All three occur 3 times. a d is first in the alphabet."),
        _text("pieces of several letters", {"un do": 5, "do ne": 4, "u n it": 3},
              "The pieces are un and do, not their letters."),
        _text("a pair and its mirror image", {"a t": 4, "t a": 3, "i s": 5}, "a t and t a are two pairs."),
        _text("letters that stand apart", {"c a t": 3, "c u t": 3, "c o t": 2, "i t": 4},
              "c and t are no neighbours in any of these words."),
        _text("words of a single piece", {"a": 20, "n o": 2, "i": 15, "s o": 2, "n o t": 1},
              "A word of one piece has no pair, however frequent it is."),
        _text("a frequent pair of frequent letters", {"e a t": 6, "t e a": 5, "e t a": 4, "q u a": 3, "q u e e t": 1},
              "Only how often a pair stands there counts, not how often its pieces stand elsewhere."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _pairing,
            ({"weight": lambda count: 1},
             "You count each word once. A word that occurs 5 times gives each of its pairs 5 times: add its count."),
            ({"pairs": lambda pieces: dict.fromkeys(_neighbours(pieces))},
             "You count a pair once for a word, even where it stands in it twice. Each place counts."),
            ({"pairs": lambda pieces: list(combinations(pieces, 2))},
             "You count every two pieces of a word. Only neighbours can be joined."),
            ({"pairs": lambda pieces: [tuple(sorted(pair)) for pair in _neighbours(pieces)]},
             "You count a pair and its mirror image as one, as if the order within a pair did not matter."),
            ({"pairs": lambda pieces: _neighbours("".join(pieces))},
             "You take the words apart into letters. Count the pieces of the tuple: some have been joined before."),
            ({"pick": _first_that_came},
             "You take the first of the commonest pairs that came. Where several occur equally often, the first in "
             "alphabetical order is asked for; max(counts, key=counts.get) and most_common(1) do not look at that."),
            ({"pick": _last_in_the_alphabet},
             "You take the last in the alphabet of the commonest pairs, where several occur equally often. The first "
             "is asked for: min over (-count, pair)."),
            ({"give": lambda pair, counts: "".join(pair)},
             "You return the joined piece. The pair is asked for, a tuple of two pieces."),
            ({"give": lambda pair, counts: (pair, counts[pair])},
             "You return the pair with its count. The pair alone is asked for."),
        ),
        *alone(
            (_pairing(give=lambda pair, counts: counts[pair]),
             "You return how often the commonest pair occurs. The pair itself is asked for."),
            (_pairing(give=lambda pair, counts: [pair]),
             "You return a list with the pair in it. The pair itself is asked for: take item [0]."),
            (_pairing(pick=_first_that_came, give=lambda pair, counts: [(pair, counts[pair])]),
             "You return what most_common(1) gives: a list with one item, the pair and its count. The pair is [0][0] "
             "of it. And look at ties: most_common keeps the order in which the pairs came."),
            (_pairing(pick=lambda counts: min(counts, key=lambda pair: (counts[pair], pair))),
             "You take the pair that occurs least often."),
            (_pairing(pick=min),
             "You take the first pair of the alphabet, however often it occurs. The alphabet only settles a tie."),
            (_pairing(pick=max),
             "You take the largest pair, max(counts), which compares the letters. Compare the counts."),
            (lambda words: best_pair(_whole_text(words)),
             "You also count pairs over the end of a word, of its last piece and the next word's first. Go through "
             "each word by itself."),
            (lambda words: _first_that_came(_tally(_whole_text(words))),
             "You also count pairs over the end of a word, of its last piece and the next word's first. And of pairs "
             "that occur equally often you take the first that came."),
            (_pairing(pairs=_without_overlap),
             "You count a a in a a a once, and the two places overlap. Each place with two neighbours counts; no piece "
             "is joined yet."),
            (_found_in_text(" "),
             "You look for the pair in the word's text, with spaces between the pieces. There b a is found in ab a, "
             "and count passes over places that overlap. Compare the pieces of the tuple."),
            (_found_in_text(""),
             "You look for the pair in the joined word. There the pieces cannot be told apart, and count passes over "
             "places that overlap. Compare the pieces of the tuple."),
            (_two_commonest_pieces(lambda count, piece: (-count, piece)),
             "You count single pieces and return the two commonest. Count pairs of neighbours: two frequent pieces may "
             "never stand together."),
            (_two_commonest_pieces(lambda count, piece: -count),
             "You count single pieces and return the two that come first in most_common. Count pairs of neighbours: "
             "two frequent pieces may never stand together."),
            (_pairing(pairs=list), "You count single pieces and return the commonest. Count pairs of neighbours."),
            (_by_likelihood(_first_in_the_alphabet),
             "You divide by how often the two pieces occur: that is WordPiece's score. Byte-pair encoding takes the "
             "pair that occurs most often."),
            (_by_likelihood(_first_that_came),
             "You divide by how often the two pieces occur, and of equal scores you take the first that came. That is "
             "WordPiece's score. Byte-pair encoding takes the pair that occurs most often."),
        ),
    ),
)



# --- 08.2 -------------------------------------------------------------------------------------------------------------

def split_word(word, vocabulary):
    """A word as WordPiece pieces: each time the longest piece of the vocabulary that fits, from the left.

    word: text of one letter or more; vocabulary: list of pieces. A piece that continues a word is written with "##" in
    front, in the vocabulary and in the result. Returns a list of pieces, or ["[UNK]"] where at some place none fits.
    """
    pieces, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        ends = [end for end in range(len(word), start, -1) if mark + word[start:end] in vocabulary]
        if not ends:
            return ["[UNK]"]
        pieces.append(mark + word[start:ends[0]])      # ends falls, so the first is the longest
        start = ends[0]
    return pieces


def _word(label, word, vocabulary, why=""):
    return Case(label, lambda: (word, vocabulary.split()), why)


def _longest_first(start, length):
    return range(length, start, -1)


def _marked(start):
    return "##" if start else ""


def _bare(start):
    return ""


def _always(start):
    return "##"


def _all_unknown(pieces, word, start):
    return ["[UNK]"]


def _spelled_out(pieces, word, start):
    return [_marked(place) + word[place] for place in range(len(word))]


def _splitting(ends=_longest_first, marks=(_marked, _marked), unknown=_all_unknown, give=lambda pieces: pieces):
    """A split_word with one part exchanged.

    ends: start and the word's length -> the ends to try, in order; marks: twice start -> the mark of a piece, in the
    vocabulary and in the result; unknown: pieces so far, word and start -> what is returned where nothing fits; give:
    pieces -> what is returned at the end.
    """
    def answer(word, vocabulary):
        look, write = marks
        pieces, start = [], 0
        while start < len(word):
            end = next((end for end in ends(start, len(word)) if look(start) + word[start:end] in vocabulary), None)
            if end is None:
                return give(unknown(pieces, word, start))
            pieces.append(write(start) + word[start:end])
            start = end
        return give(pieces)
    return answer


def _going_on(skipped):
    """A misconception that leaves out a letter where nothing fits. skipped: what is written for it, a list."""
    def answer(word, vocabulary):
        pieces, start = [], 0
        while start < len(word):
            mark = _marked(start)
            end = next((end for end in _longest_first(start, len(word)) if mark + word[start:end] in vocabulary), None)
            pieces += skipped if end is None else [mark + word[start:end]]
            start = end or start + 1
        return pieces
    return answer


def _by_search(word, vocabulary, start=0):
    """The first split that works, longer pieces tried first, with steps back where there is no way on."""
    if start == len(word):
        return []
    for end in _longest_first(start, len(word)):
        piece = _marked(start) + word[start:end]
        rest = _by_search(word, vocabulary, end) if piece in vocabulary else ["[UNK]"]
        if rest != ["[UNK]"]:
            return [piece, *rest]
    return ["[UNK]"]


def _from_the_right(word, vocabulary):
    pieces, end = [], len(word)
    while end:
        start = next((start for start in range(end) if _marked(start) + word[start:end] in vocabulary), None)
        if start is None:
            return ["[UNK]"]
        pieces.insert(0, _marked(start) + word[start:end])
        end = start
    return pieces


def _longest_anywhere(word, vocabulary, begin=0, end=None):
    """The longest piece that stands anywhere in the word, then the same with what is left on both sides."""
    end = len(word) if end is None else end
    if begin == end:
        return []
    spans = [(start, stop) for start, stop in combinations(range(begin, end + 1), 2)
             if _marked(start) + word[start:stop] in vocabulary]
    if not spans:
        return ["[UNK]"]
    start, stop = max(spans, key=lambda span: (span[1] - span[0], -span[0]))
    before, after = (_longest_anywhere(word, vocabulary, *side) for side in ((begin, start), (stop, end)))
    if ["[UNK]"] in (before, after):
        return ["[UNK]"]
    return [*before, _marked(start) + word[start:stop], *after]


SPLIT_WORD = Exercise(
    id="08.2",
    title="Split a word, longest piece first",
    about=("wordpiece",),
    reference=split_word,
    run=_with_texts,
    hints=(
        "Stand at the beginning of the word. Is the whole word in the vocabulary? If not, is it without its last "
        "letter? Shorten until something fits. Go on behind it in the same way.",
        "A while loop over start, and in it a loop over end from len(word) down to start + 1. The candidate is "
        "word[start:end], with \"##\" in front of it where start is not 0.",
        "If no end fits, return [\"[UNK]\"] at once: the pieces found so far are given up.",
    ),
    cases=(
        _word("two ways to begin", "reading", "re read ##a ##d ##i ##ing ##n ##g", "read is longer than re."),
        _word("a word that is a piece itself", "set", "s ##e ##t se ##et set", "The whole word is the longest piece."),
        _word("able stands in the list, ##able does not", "doable", "do able ##a ##b ##ble ##le",
              "able without ## may only begin a word."),
        _word("##re stands in the list, re does not", "rerun", "r ##re ##e ##r ##run run ##un",
              "A piece with ## can not begin a word."),
        _word("a letter in the middle that no piece has", "plaxing", "p pla ##ing ##in play",
              "One place where nothing fits is enough: the whole word becomes [UNK]."),
        _word("a first letter that no piece has", "xray", "ray ##ray r ##a ##y"),
        _word("a last letter that no piece has", "sums", "sum s su ##m ##um"),
        _word("a way that the longest piece closes", "undone", "un und ##done ##do ##ne",
              "und is longer than un and is taken. Nothing fits behind it, and nobody steps back."),
        _word("a longer piece that begins later", "tokenizer", "to token ##kenize ##ize ##r ##er",
              "From the left, token comes before anything that begins later."),
        _word("a longer piece at the end", "unlocked", "un ##lock ##locke ##d ##ed ##ked ##loc",
              "The pieces are taken from the left: ##locke before ##ked."),
        _word("one letter", "a", "b ##a a"),
        _word("a piece of one letter between others", "banana", "ba ##nan ##a ##na ban b"),
        _word("a Korean word", "한국어를", "한 한국 ##국 ##어 ##를 어 를"),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _splitting,
            ({"ends": lambda start, length: range(start + 1, length + 1)},
             "You take the shortest piece that fits. Start with the whole rest of the word and shorten it."),
            ({"marks": (_bare, _bare)},
             "You leave \"##\" out altogether. A piece that continues a word has it in front, in the vocabulary and in "
             "the result."),
            ({"marks": (_marked, _bare)},
             "You find the right pieces and write those that continue the word without \"##\"."),
            ({"marks": (_bare, _marked)},
             "You look for a continuation without \"##\" and write it with it. Look for \"##\" + word[start:end]."),
            ({"marks": (_marked, _always)},
             "You write \"##\" in front of the first piece, too. Only pieces that continue a word have it."),
            ({"unknown": lambda pieces, word, start: [*pieces, "[UNK]"]},
             "You keep the pieces in front of the place where nothing fits. The whole word becomes [\"[UNK]\"]."),
            ({"unknown": lambda pieces, word, start: pieces},
             "You stop where nothing fits and return the pieces so far, so a part of the word is lost without a trace. "
             "The whole word becomes [\"[UNK]\"]."),
            ({"unknown": lambda pieces, word, start: []},
             "You return an empty list where nothing fits. A word must not vanish: return [\"[UNK]\"]."),
            ({"unknown": lambda pieces, word, start: [word]},
             "You return the word itself where nothing fits. It has no id: return [\"[UNK]\"]."),
        ),
        *alone(
            (_splitting(unknown=lambda pieces, word, start: "[UNK]"),
             "Your unknown word is text. A list is asked for, with one piece in it: [\"[UNK]\"]."),
            (_splitting(unknown=lambda pieces, word, start: None),
             "You return nothing where nothing fits. Return [\"[UNK]\"]."),
            (_splitting(unknown=_spelled_out),
             "You spell a word out where nothing fits. Its letters may have no id either: return [\"[UNK]\"]."),
            (_splitting(give=" ".join), "You return one text with spaces. A list of pieces is asked for."),
            (_splitting(marks=(_always, _marked)),
             "You look for \"##\" at the beginning of the word, too. The first piece has no mark."),
            (_splitting(marks=(_always, _always)),
             "You put \"##\" in front of the first piece as well, in the vocabulary and in the result. It has no "
             "mark."),
            (_splitting(ends=lambda start, length: range(length - 1, start, -1)),
             "Your answer never accepts a piece that reaches the end of the word. Is the whole rest tried, and does "
             "your loop stop when nothing is left?"),
            (_splitting(ends=lambda start, length: range(length, start + 1, -1)),
             "You never try a single letter. range stops before its end: range(len(word), start, -1)."),
            (_going_on(["[UNK]"]),
             "You write [UNK] for one letter and go on behind it. One place where nothing fits makes the whole word "
             "[\"[UNK]\"]."),
            (_going_on([]),
             "You leave out a letter where nothing fits and go on behind it. The whole word becomes [\"[UNK]\"]."),
            (_by_search,
             "You step back and try a shorter piece where there is no way on. WordPiece never does: it takes the "
             "longest piece, and if nothing fits behind it, the word is [\"[UNK]\"]."),
            (_from_the_right, "You begin at the end of the word. The pieces are taken from the left."),
            (_longest_anywhere,
             "You take the longest piece that stands anywhere in the word. Take the longest that begins where the last "
             "one ended."),
        ),
    ),
)


# --- 08.3 -------------------------------------------------------------------------------------------------------------

def segment_ids(ids, sep=3):
    """Which text each token belongs to: 0 for the first, 1 for the second.

    ids: (B, T), rows such as [CLS] a a [SEP] b b [SEP] [PAD] or, for a single text, [CLS] a a [SEP] [PAD] [PAD]; sep:
    the id of [SEP]; the id of [PAD] is 0. A [SEP] belongs to the text that it ends. Padding gets 0. Returns (B, T).
    """
    is_sep = (ids == sep).long()
    ended = is_sep.cumsum(1) - is_sep                # (B, T): texts that have ended in front of this place
    return ((ended == 1) & (ids != 0)).long()


def _pairs_of_texts(T, *lengths, sep=3, pass_sep=True):
    """Rows [CLS] first [SEP] second [SEP], filled up to T. lengths: (first, second), second 0 for a single text."""
    def make():
        ids = torch.zeros(len(lengths), T, dtype=torch.long)
        for row, (first, second) in zip(ids, lengths, strict=True):
            end = first + second + (3 if second else 2)
            row[:end] = torch.randint(200, 999, (end,))
            row[0] = sep - 1
            row[first + 1] = row[end - 1] = sep
        return (ids, sep) if pass_sep else (ids,)
    return make


def _ended(ids, sep, axis=1, itself=False):
    """How many [SEP] stand in front of each place, itself included or not."""
    is_sep = (ids == sep).long()
    return is_sep.cumsum(axis) - (0 if itself else is_sep)


def _numbering(count=_ended, number=lambda ended: (ended == 1).long(), real=lambda ids: ids != 0, first=0):
    """A segment_ids with one part exchanged.

    count: ids, sep -> number of [SEP]; number: that -> a segment; real: ids -> where the segment stays as it is; first:
    added everywhere in the end.
    """
    def answer(ids, sep=3):
        return number(count(ids, sep)) * real(ids) + first
    return answer


def _everywhere(ids):
    return torch.ones_like(ids)


def _with_itself(ids, sep):
    return _ended(ids, sep, itself=True)


def _second_half(ids, sep=3):
    return (torch.arange(ids.shape[1]) >= ids.shape[1] // 2).long().expand_as(ids)


SEGMENT_IDS = Exercise(
    id="08.3",
    title="Segment ids",
    about=("bert-input",),
    reference=segment_ids,
    returns="(B, T)",
    hints=(
        "Walk along one row with a counter. It is 0 at first and rises by one behind each [SEP]. Where it is 1 and a "
        "token stands there, the segment is 1.",
        "(ids == sep).long().cumsum(1) counts the [SEP] up to each place, this place included. Subtract "
        "(ids == sep).long() and only those in front of it are left.",
        "Padding behind the second [SEP] has 2 in front of it, padding behind a single text has 1: ids != 0 tells it "
        "from tokens.",
    ),
    cases=(
        Case("two texts and padding", _pairs_of_texts(10, (3, 2), (1, 4))),
        Case("no padding", _pairs_of_texts(7, (2, 2), (1, 3), (3, 1)),
             "The last token of a row is the second text's [SEP]."),
        Case("single texts among pairs", _pairs_of_texts(9, (2, 0), (2, 3), (4, 0), (1, 1)),
             "Padding gets 0, behind a single text, too."),
        Case("[SEP] has the id 102, as in the published BERT", _pairs_of_texts(8, (2, 3), (1, 1), (3, 2), sep=102),
             "The caller chooses sep."),
        Case("sep is not given", _pairs_of_texts(6, (1, 1), (2, 1), pass_sep=False), "sep is 3 by default."),
        Case("one row of five tokens", _pairs_of_texts(5, (1, 1))),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _numbering,
            ({"count": _with_itself},
             "Your [SEP] counts itself, so it gets the number of the next text. It belongs to the text that it ends: "
             "subtract (ids == sep) from the running count."),
            ({"number": lambda ended: ended, "real": _everywhere},
             "Your number goes on rising: behind the second [SEP] stands 2. There are two segments, 0 and 1, and "
             "padding gets 0."),
            ({"number": lambda ended: ended.clamp(max=1), "real": _everywhere},
             "Your padding gets 1. It belongs to no text, and 0 is asked for."),
            ({"real": _everywhere},
             "Your padding behind a single text gets 1. One [SEP] stands in front of it, but it is no second text: "
             "look at ids != 0."),
            ({"number": lambda ended: 1 - (ended == 1).long()},
             "Your numbers are turned round: the first text gets 0, the second 1."),
            ({"first": 1},
             "Your numbers begin with 1. The first text gets 0, the second 1."),
            ({"count": lambda ids, sep: _ended(ids.flatten(), sep, axis=0).view_as(ids)},
             "You count the [SEP] of all rows in one go. Each row begins anew."),
        ),
        *alone(
            (_numbering(count=_with_itself, number=lambda ended: ended.clamp(max=1)),
             "Your first [SEP] gets 1. It belongs to the text that it ends: subtract (ids == sep) from the running "
             "count."),
            (_numbering(count=_with_itself, number=lambda ended: ended),
             "Your first [SEP] gets 1 and your second 2, as each counts itself. It belongs to the text that it ends: "
             "subtract (ids == sep) from the running count."),
            (_numbering(count=lambda ids, sep: _ended(ids, sep, axis=0)),
             "You count along the batch (axis 0). Count along the tokens of a row, axis 1."),
            (_numbering(count=lambda ids, sep: _ended(ids[:1], sep).expand_as(ids)),
             "You look for [SEP] in the first row only and give every row its numbers. Texts differ in length."),
            (_numbering(count=lambda ids, sep: _ended(ids, 3)),
             "You look for the id 3. The caller says which id [SEP] has: ids == sep."),
            (lambda ids, sep=3: torch.zeros_like(ids),
             "Your rows are 0 throughout. The second text, behind the first [SEP], gets 1."),
            (lambda ids, sep=3: torch.ones_like(ids), "Your rows are 1 throughout. The first text gets 0."),
            (lambda ids, sep=3: torch.arange(len(ids)).unsqueeze(1).expand_as(ids),
             "You number the rows of the batch. The numbers tell the two texts inside a row apart."),
            (lambda ids, sep=3: torch.arange(ids.shape[1]).expand_as(ids),
             "You number the places. That is what the positions are for; the segments are 0 and 1."),
            (lambda ids, sep=3: (ids != 0).long(),
             "You mark tokens and padding: that is the mask for attention. Segments tell the two texts apart."),
            (lambda ids, sep=3: (ids == sep).long(),
             "You mark the [SEP] themselves. All tokens of the second text get 1."),
            (_second_half, "You cut each row in the middle. The first text ends at the first [SEP], wherever that is."),
        ),
    ),
)


# --- 08.4 -------------------------------------------------------------------------------------------------------------

def mask_tokens(ids, chosen, action, mask_id, random_ids):
    """What a masked language model reads, and what it should say.

    ids, random_ids: (B, T) tokens; chosen: bool (B, T), the places that the loss looks at; action: (B, T), a number
    from 0 up to 1 for each place. At a chosen place, an action below 0.8 puts mask_id there, one from 0.8 to below 0.9
    the token of random_ids, and any other keeps the token. Returns inputs (B, T) and labels (B, T): the true token at
    chosen places, -100 elsewhere. ids stays as it is.
    """
    inputs = torch.where(chosen & (action < 0.8), mask_id, ids)
    inputs = torch.where(chosen & (action >= 0.8) & (action < 0.9), random_ids, inputs)
    return inputs, torch.where(chosen, ids, -100)


def _masking_case(B, T, mask_id, actions=None, rate=0.4):
    """Chosen and other places of every kind. actions: numbers to draw from in place of all from 0 to 1."""
    def make():
        ids, random_ids = torch.randint(200, 999, (2, B, T))
        action = torch.rand(B, T) if actions is None else torch.tensor(actions)[torch.randint(len(actions), (B, T))]
        return ids, torch.rand(B, T) < rate, action, mask_id, random_ids
    return make


def _the_same_token_drawn():
    ids, chosen, action, mask_id, random_ids = _masking_case(3, 5, 4, (0.82, 0.88, 0.5))()
    return ids, torch.ones_like(chosen), action, mask_id, torch.where(random_ids % 2 == 0, ids, random_ids)


def _low(action):
    return action < 0.8


def _middle(action):
    return (action >= 0.8) & (action < 0.9)


def _true_tokens(ids, inputs, chosen, action, mask_id):
    return torch.where(chosen, ids, -100)


def _of_the_chosen(masked=_low, drawn=_middle):
    """Where mask_id and where random tokens go, both among the chosen places. masked, drawn: action -> bool."""
    return lambda chosen, action: (chosen & masked(action), chosen & drawn(action))


def _nowhere(action):
    return torch.zeros_like(action, dtype=torch.bool)


_by_the_rule = _of_the_chosen()


def _masking(places=_by_the_rule, labels=_true_tokens, give=lambda inputs, labels: (inputs, labels),
             mask=lambda mask_id: mask_id):
    """A mask_tokens with one part exchanged.

    places: chosen, action -> the places of mask_id and those of random tokens; labels: ids, inputs, chosen, action,
    mask_id -> labels; give: inputs, labels -> what is returned; mask: mask_id -> what is written for it.
    """
    def answer(ids, chosen, action, mask_id, random_ids):
        masked, drawn = places(chosen, action)
        inputs = torch.where(masked, mask(mask_id), ids)
        inputs = torch.where(drawn, random_ids, inputs)
        return give(inputs, labels(ids, inputs, chosen, action, mask_id))
    return answer


MASK_TOKENS = Exercise(
    id="08.4",
    title="The 80/10/10 rule",
    about=("masked-language-model",),
    reference=mask_tokens,
    returns=("inputs (B, T)", "labels (B, T)"),
    hints=(
        "First the labels: they do not depend on action. Wherever chosen is True stands the true token, else -100.",
        "Then the inputs, in two steps. torch.where(places, mask_id, ids) makes a new tensor, with mask_id at the "
        "places and ids elsewhere. Combine conditions with &, each in parentheses.",
        "The places for random tokens are chosen & (action >= 0.8) & (action < 0.9).",
    ),
    cases=(
        Case("all sizes differ", _masking_case(3, 11, 4), "Only chosen places may change."),
        Case("every place is chosen", _masking_case(4, 9, 103, rate=2.0)),
        Case("no place is chosen", _masking_case(2, 7, 4, rate=-1.0), "All labels are -100 and ids is read as it is."),
        Case("all chosen places are kept", _masking_case(2, 6, 5, (0.92, 0.95, 0.99)),
             "The inputs are ids. The labels still hold the true tokens: the model must not know which word it may "
             "trust."),
        Case("all chosen places get random tokens", _masking_case(3, 8, 4, (0.81, 0.85, 0.89))),
        Case("some random tokens are the true ones by chance", _the_same_token_drawn,
             "Such a place is chosen all the same, and its label is the true token."),
        Case("some actions are 0 and some 0.8", _masking_case(5, 4, 7, (0.0, 0.8), rate=0.7),
             "0 is below 0.8, and 0.8 is not."),
        Case("a token that is mask_id itself", lambda: (
            torch.tensor([[300, 4, 301, 4, 4]]), torch.tensor([[True, False, False, True, True]]),
            torch.tensor([[0.3, 0.3, 0.85, 0.95, 0.3]]), 4, torch.tensor([[400, 401, 402, 403, 404]]))),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _masking,
            ({"places": _of_the_chosen(masked=torch.isfinite, drawn=_nowhere)},
             "You mask every chosen token. Of the chosen ones, 80 % are masked, 10 % become a random token and 10 % "
             "stay: action decides."),
            ({"places": _of_the_chosen(drawn=_nowhere)},
             "You put no random tokens in. Where action is from 0.8 to below 0.9, the token of random_ids goes in."),
            ({"places": _of_the_chosen(drawn=lambda action: action >= 0.9)},
             "Your random tokens and kept tokens changed places: from 0.8 to below 0.9 is random, from 0.9 on the "
             "token stays."),
            ({"places": _of_the_chosen(drawn=lambda action: action < 0.9)},
             "Your random tokens also replace the masked ones. Random starts at 0.8."),
            ({"places": _of_the_chosen(drawn=lambda action: action >= 0.8)},
             "You keep no chosen token: all from 0.8 on become random. From 0.9 on the token stays."),
            ({"places": lambda chosen, action: (chosen & _low(action), _middle(action))},
             "Your random tokens go to all places with such an action, chosen or not. It is 10 % of the chosen tokens: "
             "chosen & …."),
            ({"places": lambda chosen, action: (_low(action), chosen & _middle(action))},
             "You mask all places with an action below 0.8, chosen or not. It is 80 % of the chosen tokens: chosen & "
             "…."),
            ({"places": lambda chosen, action: (_low(action), _middle(action))},
             "You look at action alone, so every token of the text is masked, random or kept. Only chosen places may "
             "change."),
            ({"labels": lambda ids, inputs, chosen, action, mask_id: torch.where(chosen & (action < 0.9), ids, -100)},
             "Your kept tokens have no label. They are chosen too, and the loss looks at them: the labels depend on "
             "chosen alone."),
            ({"labels": lambda ids, inputs, chosen, action, mask_id: torch.where(chosen & (action < 0.8), ids, -100)},
             "Your labels stand at the masked places only. Random and kept tokens are chosen too: the labels depend on "
             "chosen alone."),
            ({"labels": lambda ids, inputs, chosen, action, mask_id: torch.where(inputs != ids, ids, -100)},
             "Your labels stand where the token changed. A kept token, or a random one that is the true one by chance, "
             "is chosen too."),
            ({"labels": lambda ids, inputs, chosen, action, mask_id: torch.where(chosen, inputs, -100)},
             "Your labels hold what the model reads, not the true tokens. Take them from ids. (If inputs = ids and you "
             "write into it, ids changes too: .clone() makes a copy.)"),
            ({"labels": lambda ids, inputs, chosen, action, mask_id: ids},
             "Your labels hold every token, so the loss looks at all places. Where nothing is chosen stands -100."),
        ),
        *alone(
            (_masking(labels=lambda ids, inputs, chosen, action, mask_id: torch.where(inputs == mask_id, ids, -100)),
             "Your labels stand where the input is mask_id. Random and kept tokens are chosen too, and a text may hold "
             "that token itself: the labels depend on chosen alone."),
            (_masking(labels=lambda ids, inputs, chosen, action, mask_id: torch.where(chosen, ids, 0)),
             "Your labels are 0 where nothing is chosen. 0 is a token, [PAD], and the loss would count it: -100 is "
             "left out."),
            (_masking(labels=lambda ids, inputs, chosen, action, mask_id: torch.where(chosen, -100, ids)),
             "Your labels are turned round: -100 where a place is chosen, and the token where it is not."),
            (_masking(give=lambda inputs, labels: (labels, inputs)),
             "You return the labels first. inputs come first, then labels."),
            (_masking(labels=lambda ids, inputs, chosen, action, mask_id: chosen),
             "Your labels say only which places are chosen. They are tokens: the true one there, and -100 elsewhere."),
            (_masking(give=lambda inputs, labels: inputs),
             "You return the inputs alone. The labels are asked for as well: return inputs, labels."),
            (_masking(give=lambda inputs, labels: labels),
             "You return the labels alone. The inputs are asked for as well: return inputs, labels."),
            (_masking(_of_the_chosen(lambda action: action <= 0.8, lambda action: (action > 0.8) & (action < 0.9))),
             "You mask at an action of exactly 0.8, too. Only below 0.8 is masked."),
            (_masking(_of_the_chosen(drawn=lambda action: (action > 0.8) & (action < 0.9))),
             "You keep the token at an action of exactly 0.8. From 0.8 on, 0.8 included, the token is random."),
            (_masking(_of_the_chosen(drawn=lambda action: action < 0.1)),
             "You put random tokens in where action is below 0.1, and these were to be masked. The 10 % lie from 0.8 "
             "to below 0.9."),
            (_masking(_of_the_chosen(lambda action: action >= 0.2, lambda action: (action >= 0.1) & (action < 0.2))),
             "You count from the other end: masked from 0.2 on. Masked is what lies below 0.8."),
            (_masking(lambda chosen, action: _by_the_rule(~chosen, action)),
             "You change the places that are not chosen. chosen is True where something happens."),
            (_masking(lambda chosen, action: (chosen & action < 0.8, chosen & _middle(action))),
             "Your & binds more tightly than <. Write chosen & (action < 0.8)."),
            (_masking(mask=lambda mask_id: 4),
             "You write the id 4 for [MASK]. The caller says which id it has: mask_id."),
            (_masking(mask=lambda mask_id: 0),
             "You write 0 for a masked token. 0 is [PAD]; the masked places get mask_id."),
            (_masking(mask=lambda mask_id: -100),
             "You write -100 into the inputs. That is a label, no token; the masked places get mask_id."),
        ),
    ),
)


# --- 08.5 -------------------------------------------------------------------------------------------------------------

def choose_places(ids, special, generator, rate=0.15):
    """Choose the tokens that a model is to guess: each one that is not special with probability `rate`, on its own.

    ids: (B, T) token ids; special: (B, T) bool, True at tokens that are never chosen, such as [CLS], [SEP] and [PAD];
    generator: a torch.Generator, the only source of random numbers. Returns (B, T) bool, True = chosen.
    """
    return (torch.rand(ids.shape, generator=generator) < rate) & ~special


_CALLS = 60   # a choice is judged by so many calls, each with new random numbers


def _with_specials(lengths, T, *rate, vocabulary=13, one_more=False):
    """Rows [CLS] words [SEP] [PAD] …, up to each length, and which of them are special.

    one_more: at some places the word 9 is special, too, and some other words are [UNK], which is not special.
    """
    def make():
        place, length = torch.arange(T), torch.tensor(lengths).unsqueeze(1)
        words = torch.randint(5, vocabulary, (len(lengths), T))
        if one_more:
            words[:, 3::6], words[:, 4::6] = 1, 9
        ids = words.masked_fill(place >= length, 0).masked_fill(place == length - 1, 3).masked_fill(place == 0, 2)
        special = (ids == 0) | (ids == 2) | (ids == 3)
        if one_more:
            special[:, 4::6] = True
        return ids, special, torch.Generator().manual_seed(8), *rate
    return make


def _nothing_to_choose():
    ids = torch.tensor([[2, 3, 0, 0], [2, 3, 3, 0], [2, 3, 0, 0]])
    return ids, torch.ones_like(ids, dtype=torch.bool), torch.Generator().manual_seed(8)


def _require(holds, expected, got):
    if not holds:
        raise RuleBroken(f"Expected {expected}, got {got}.")


def _as_choice(value, ids):
    """The reader's choice as a bool tensor (B, T), None as it is; anything else breaks a rule."""
    if isinstance(value, list | tuple):
        with contextlib.suppress(RuntimeError, TypeError, ValueError):   # what cannot be read is told below
            value = torch.stack([torch.as_tensor(row) for row in value])
    value = plain(value)
    if value is None:
        return None
    got = torch.as_tensor(value) if isinstance(value, torch.Tensor | np.ndarray) else None
    _require(got is not None and got.shape == ids.shape,
             f"a bool tensor of shape (B={ids.shape[0]}, T={ids.shape[1]})", short(value))
    kind = str(got.dtype).removeprefix("torch.")
    if kind != "bool":
        numbers = "the numbers 0 and 1" if set(got.unique().tolist()) <= {0, 1} else "other numbers"
        raise RuleBroken(f"Expected True or False at each place, got {numbers}, {kind}.")
    return got


def _judged_choice(answer, ids, special, generator, *rate):
    """None where nothing comes back, else "as asked". A choice that breaks a rule raises RuleBroken.

    A right answer may draw its numbers in any order, so the rules are about what many calls have in common. The
    margins are wide: at five standard deviations or more, a right answer does not meet them by chance. No text holds a
    number that chance could change, so that one mistake reads alike however it is drawn.
    """
    state, copies = generator.get_state(), (ids.clone(), special.clone())

    def choice(*inputs):
        return _as_choice(answer(*inputs, generator, *rate), ids)

    def next_choice():
        with contextlib.redirect_stdout(io.StringIO()):    # what an answer prints counts once, not for every call
            return choice(*(copy.clone() for copy in copies))

    first = choice(ids, special)
    if first is None:
        return None
    generator.set_state(state)
    _require(torch.equal(first, next_choice()),
             "the same places from a generator in the same state", "other ones")
    draws = torch.stack([first] + [next_choice() for _ in range(_CALLS - 1)])
    _require_no_special(draws, *copies)
    if not copies[1].all():
        _require_new_and_apart(draws, ~copies[1])
        _require_everywhere(draws, copies[0], ~copies[1])
        _require_rate(draws, ~copies[1], *(rate or (0.15,)))
    return "as asked"


def _require_no_special(draws, ids, special):
    found = ids[special & draws.any(0)].unique().tolist()
    others = ", and no other token" if found and not (draws & ~special).any() else ""
    _require(not found, "no special token among the chosen ones", f"some with id {', '.join(map(str, found))}{others}")


def _when(one, other, ordinary):
    """How often a place of `other` is chosen if that of `one` is, both ordinary; None where too few are."""
    given = one & ordinary
    return (other & given).sum().item() / given.sum().item() if given.sum() >= 200 else None


def _require_new_and_apart(draws, ordinary):
    """No choice hangs on another one: that of the last call, of a neighbour, or a number of tokens to keep."""
    share = (draws & ordinary).sum().item() / (len(draws) * ordinary.sum().item())
    if not 0 < share < 0.95:
        return
    calls = _when(draws[:-1], draws[1:], ordinary)
    tokens = _when(draws[:, :, :-1], draws[:, :, 1:], ordinary[:, :-1] & ordinary[:, 1:])
    rows = _when(draws[:, :-1], draws[:, 1:], ordinary[:-1] & ordinary[1:])
    along, across = tokens is not None and tokens > 0.98, rows is None or rows > 0.98
    steps = [step for row in draws[0].long() for step in row.nonzero().flatten().diff().tolist()]
    _require(calls is None or calls < 0.98, "new places at each call",
             f"the same ones each time{', evenly spaced' if steps and math.gcd(*steps) > 1 else ''}")
    _require(not (along and across), "each token drawn on its own", "all tokens of the batch or none")
    _require(not along, "each token drawn on its own", "whole rows")
    _require(rows is None or not across, "each token drawn on its own", "the same places in every row")
    numbers = (draws & ordinary).sum(2).float()       # (calls, B): how many tokens of a row are chosen
    own = ordinary.sum(1) * share * (1 - share)       # (B,): the variance of this number if each token is on its own
    spread = (numbers.var(0) / own)[own > 0].mean() if len(ordinary) >= 10 else 1.0
    spread_of_batch = numbers.sum(1).var() / own.sum()
    _require(spread > 0.7, "each token drawn on its own", "a row's number of tokens nearly fixed")
    _require(spread_of_batch > 0.25, "each token drawn on its own", "the batch's number of tokens nearly fixed")
    for name, value in (("the call before", calls), ("the token in front", tokens), ("the row above", rows)):
        _require(value is None or abs(value - share) < 0.15, "each token drawn on its own",
                 f"a choice that hangs on {name}")
    _require(spread < 1.5, "each token drawn on its own", "a choice that hangs on the rest of the row")


def _require_everywhere(draws, ids, ordinary):
    """All ordinary tokens are chosen alike often, whichever id, place and row they have."""
    often = draws.float().mean(0)                                                   # (B, T): share of the calls
    share = often[ordinary].mean().item()
    place, row = torch.arange(ids.shape[1]).expand_as(ids), torch.arange(len(ids)).unsqueeze(1).expand_as(ids)
    for name, label in (("id", ids), ("place", place), ("row", row)):
        for one in label[ordinary].unique().tolist():
            here = often[ordinary & (label == one)]
            among = here.mean().item()
            _require(len(here) < 12 or abs(among - share) < 0.12, "all ordinary tokens chosen alike often",
                     f"{name} {one} {'never' if among == 0 else 'more often' if among > share else 'less often'}")


def _require_rate(draws, ordinary, rate):
    share = draws[:, ordinary].float().mean().item()
    below = 0.5 * (1 + math.erf(rate / 2**0.5))          # what a normally distributed number below rate would give
    known = min((rate, 1 - rate, 0.15, below), key=lambda value: abs(value - share))
    near = known if abs(known - share) < 0.03 else share
    _require(near == rate, f"about {100 * rate:.0f} of 100 ordinary tokens chosen", f"about {100 * near:.0f}")


def _choosing(draw=lambda shape, generator: torch.rand(shape, generator=generator),
              below=lambda numbers, rate: numbers < rate, spare=lambda ids, special: special):
    """A choice with one part exchanged.

    draw: shape, generator -> numbers; below: numbers, rate -> bool; spare: ids, special -> which are never chosen.
    """
    def answer(ids, special, generator, rate=0.15):
        return below(draw(ids.shape, generator), rate).expand(ids.shape) & ~spare(ids, special)
    return answer


def _evenly_spaced(ids, special, generator, rate=0.15):
    return (torch.arange(ids.shape[1]) % round(1 / rate) == 0).expand_as(ids) & ~special


def _exact_number(numbers, special, rate):
    """In each row the smallest numbers of ordinary tokens, so many that they are the share `rate`."""
    rank = numbers.masked_fill(special, 2.0).argsort(-1).argsort(-1)
    return rank < (rate * (~special).sum(-1, keepdim=True)).round()


def _exact_in_rows(ids, special, generator, rate=0.15):
    return _exact_number(torch.rand(ids.shape, generator=generator), special, rate)


def _exact_in_batch(ids, special, generator, rate=0.15):
    numbers = torch.rand(1, ids.numel(), generator=generator)
    return _exact_number(numbers, special.reshape(1, -1), rate).reshape(ids.shape)


def _seeded_inside(ids, special, generator, rate=0.15):
    return choose_places(ids, special, torch.Generator().manual_seed(1), rate)


CHOOSE_PLACES = Exercise(
    id="08.5",
    title="Which tokens to guess",
    about=("masked-language-model",),
    reference=choose_places,
    returns="(B, T)",
    run=_judged_choice,
    seconds=10.0,
    hints=(
        "How do you let something happen with probability 0.15? Draw a number between 0 and 1, all alike likely, and "
        "ask whether it is below 0.15.",
        "Each token needs a number of its own: torch.rand(ids.shape, generator=generator) is (B, T).",
        "Special tokens are taken out after the draw: chosen & ~special. This does not change the rate of the others.",
    ),
    cases=(
        Case("a padded batch, rate left out", _with_specials([30, 24, 30, 17, 28] * 4, 30)),
        Case("rate = 0.4", _with_specials([25] * 12 + [22] * 12, 25, 0.4), "The rate is an argument."),
        Case("a word that is special at some places, and [UNK], which is not special",
             _with_specials([31] * 16, 31, 0.2, one_more=True), "special says which tokens those are, not their ids."),
        Case("one long row", _with_specials([400], 410, 0.28)),
        Case("rate = 1", _with_specials([6, 9, 4], 9, 1.0), "All ordinary tokens are chosen."),
        Case("special tokens only", _nothing_to_choose, "Nothing can be chosen."),
    ),
    misconceptions=alone(
        (_choosing(draw=lambda shape, generator: torch.rand(shape[0], 1, generator=generator)),
         "You draw one number for each row, so a row is chosen whole or not at all. Each token needs its own."),
        (_choosing(draw=lambda shape, generator: torch.rand(shape[1], generator=generator)),
         "You draw one number for each place t and use it for all rows. Each token of each row needs its own."),
        (_choosing(draw=lambda shape, generator: torch.rand(1, generator=generator)),
         "You draw one number for the whole batch. Each token needs its own: torch.rand(ids.shape, …)."),
        (_choosing(draw=lambda shape, generator: torch.rand(shape)),
         "You draw without the generator, so a run cannot be repeated. Hand it over: torch.rand(…, "
         "generator=generator)."),
        (_seeded_inside,
         "You choose the same places at each call. Either a seed is set inside the function, or a rule such as \"the "
         "first 15 % of a row\" chooses. Draw new numbers from the generator each time."),
        (_evenly_spaced,
         "You choose at even distances, such as every seventh token, and nothing is drawn. A model can count: each "
         "token must be chosen by chance."),
        (_exact_in_rows,
         "You choose an exact share of each row, as the published code does. Here each token is drawn on its own, so "
         "the number differs from row to row: about 15 % on average."),
        (_exact_in_batch,
         "You choose an exact share of the batch. Here each token is drawn on its own, so the number differs from call "
         "to call."),
        (_choosing(spare=lambda ids, special: torch.zeros_like(special)),
         "Your answer chooses special tokens. They must be False: [CLS], [SEP] and [PAD] are no words to guess, and & "
         "~special takes them out."),
        (_choosing(spare=lambda ids, special: ~special),
         "Your mask is turned round: you choose among the special tokens. special is True at what may not be chosen."),
        (_choosing(spare=lambda ids, special: ids == 0),
         "You spare the padding only. special names [CLS] and [SEP], too."),
        (_choosing(spare=lambda ids, special: ids < 5),
         "You tell special tokens by their ids. The argument special says it for each place: a word can be special, "
         "and [UNK] is not."),
        (_choosing(below=lambda numbers, rate: numbers > rate),
         "Your comparison is turned round: a number is above 0.15 in 85 of 100 cases. Choose where it is below rate."),
        (_choosing(below=lambda numbers, rate: numbers < 0.15),
         "You choose with 0.15, whatever rate says. Use the argument."),
        (_choosing(draw=lambda shape, generator: torch.randn(shape, generator=generator)),
         "You draw from the normal distribution. More than half of its numbers are below 0.15. torch.rand, without the "
         "n, draws between 0 and 1."),
        (lambda ids, special, generator, rate=0.15: choose_places(ids, special, generator, rate).float(),
         "Your places are numbers, 0.0 and 1.0. True and False are asked for, as numbers are no mask: .bool() makes it "
         "of them."),
        (lambda ids, special, generator, rate=0.15: choose_places(ids, special, generator, rate).long(),
         "Your places are whole numbers, 0 and 1. ids[places] would read them as indices. True and False are asked "
         "for: .bool() makes it of them."),
    ),
)


# --- 08.6 -------------------------------------------------------------------------------------------------------------

def mlm_loss(logits, labels):
    """The loss of masked language modelling: mean cross-entropy over the places that have a label.

    logits: (B, T, V); labels: (B, T) ids, the right token at each chosen place and -100 at all others, which do not
    count. At least one place has a label. Returns a scalar, in nats.
    """
    chosen = labels != -100                                                     # (B, T)
    log_probs = logits[chosen].log_softmax(-1)                                  # (B, T, V) -> (n, V): n chosen places
    return -log_probs.gather(-1, labels[chosen].unsqueeze(-1)).mean()


def _labelled(counts, T, vocabulary, size=2.0):
    """Logits and labels with so many labelled places in each row. One of the labels is 0, a token like any other."""
    def make():
        order = torch.rand(len(counts), T).argsort(-1)                                        # places in random order
        labels = torch.randint(1, vocabulary, (len(counts), T))
        labels[labels == labels[order < torch.tensor(counts).unsqueeze(1)][0]] = 0
        return size * torch.randn(len(counts), T, vocabulary), \
            labels.masked_fill(order >= torch.tensor(counts).unsqueeze(1), -100)
    return make


def _log_p(logits, labels):
    """The log-probability of each label, (B, T); that of token 0 where there is none."""
    return logits.log_softmax(-1).gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)


def _mlm(losses=lambda logits, labels: -_log_p(logits, labels), mean=lambda losses, chosen: losses[chosen].mean(),
         chosen=lambda labels: labels != -100):
    """A loss with one part exchanged. losses: logits, labels -> (B, T); mean: losses, chosen -> result."""
    return lambda logits, labels: mean(losses(logits, labels), chosen(labels))


def _row_means(fewest):
    def mean(losses, chosen):
        return ((losses * chosen).sum(1) / chosen.sum(1).clamp(min=fewest)).mean()
    return mean


def _picked(values):
    """Losses that are minus what `values` makes of the logits, at each label."""
    return lambda logits, labels: -values(logits).gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)


def _of_zeros(logits, labels):
    """The losses where the logits of places without a label were made 0, and their labels 0."""
    return -_log_p(logits * (labels != -100).unsqueeze(-1), labels)


def _by_index(logits, labels):
    rows, places = torch.arange(len(labels)).unsqueeze(1), torch.arange(labels.shape[1])
    return -logits.log_softmax(-1)[rows, places, labels].mean()


MLM_LOSS = Exercise(
    id="08.6",
    title="The loss of the masked tokens",
    about=("masked-language-model", "cross-entropy"),
    reference=mlm_loss,
    returns="()",
    without=("F.cross_entropy", "nn.CrossEntropyLoss", "F.nll_loss", "nn.NLLLoss"),
    hints=(
        "Which places count? labels != -100 is a mask (B, T). logits[mask] keeps the rows of these places, (n, V).",
        "Then it is the cross-entropy that you know: minus the log-probability of the right token. log_softmax(-1) "
        "gives all V of them, gather(-1, right.unsqueeze(-1)) picks one.",
        "The mean is taken over the n places: not over B · T, and not row by row.",
    ),
    cases=(
        Case("different numbers of labels in the rows", _labelled([1, 4, 2], 8, 7)),
        Case("a row without a label", _labelled([3, 0, 2, 5], 6, 11), "Such a row adds nothing to the mean."),
        Case("one label in all", _labelled([0, 1], 5, 6)),
        Case("every place has a label", _labelled([9, 9, 9, 9, 9], 9, 10)),
        Case("a vocabulary of 120 tokens", _labelled([2, 3], 7, 120),
             "In Python the index -100 counts from the end; here it marks a place without a label."),
        Case("logits of some hundreds", _labelled([3, 4, 1], 6, 8, size=150.0),
             "A probability of e^-300 is 0 in float32; its logarithm is not."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _mlm,
            ({"chosen": lambda labels: labels > 0},
             "Your mask leaves out token 0, too. The mark is -100, and 0 is a token: labels != -100."),
            ({"mean": lambda losses, chosen: (losses * chosen).sum() / losses.numel()},
             "You divide by B · T, so the loss is several times too small. Divide by the number of labels."),
            ({"mean": lambda losses, chosen: losses[chosen].sum()},
             "You return the sum over the labels. The mean does not depend on how many there are."),
        ),
        *alone(
            (_mlm(chosen=lambda labels: torch.ones_like(labels, dtype=torch.bool)),
             "Your loss counts every place, as if -100 were token 0. Only places with a label count."),
            (_mlm(mean=lambda losses, chosen: losses.sum()),
             "Your loss is the sum over every place, as if -100 were token 0. The mean over places with a label is "
             "wanted."),
            (_mlm(mean=lambda losses, chosen: (losses * chosen).sum() / len(losses)),
             "You divide by the number of rows. Divide by the number of labels."),
            (_mlm(mean=_row_means(0)),
             "You take the mean of each row, then the mean of these: a label in a row with few counts more, and a row "
             "without any gives 0/0. All labels count alike."),
            (_mlm(mean=_row_means(1)),
             "You take the mean of each row, then the mean of these. A label in a row with few labels then counts "
             "more. All labels count alike."),
            (_mlm(chosen=lambda labels: labels == -100),
             "Your mask is turned round: you keep the places without a label, and leave out the others."),
            (lambda logits, labels: -logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).mean(),
             "You look up -100 in the vocabulary. It is no id but the mark of a place that does not count: take these "
             "places out before gather."),
            (_by_index,
             "You use -100 as an index. It is no id but the mark of a place that does not count, and in a large "
             "vocabulary Python counts it from the end, without an error."),
            (lambda logits, labels: F.cross_entropy(logits, labels),
             "F.cross_entropy wants the classes on axis 1, and yours lie on the last axis. Here the loss is to be "
             "written out anyway."),
            (lambda logits, labels: F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=0),
             "F.cross_entropy gets ignore_index=0 from you, as if padding were to be left out. Here -100 marks what "
             "does not count, and that is its default."),
            (_mlm(losses=_picked(lambda logits: logits.softmax(-1).log())),
             "You take the logarithm of softmax. A small probability is rounded to 0, and log 0 is minus infinity. "
             "log_softmax does both at once and keeps the number."),
            (_mlm(losses=_picked(lambda logits: logits.softmax(-1).log_softmax(-1))),
             "The softmax is taken twice in your answer. log_softmax wants the logits."),
            (_mlm(losses=_picked(lambda logits: logits.softmax(-1))),
             "You average probabilities; the logarithm is missing: log_softmax(-1), not softmax(-1)."),
            (_mlm(losses=_picked(lambda logits: logits)),
             "You use the logits as if they were log-probabilities. log_softmax(-1) makes them so."),
            (_mlm(losses=_picked(lambda logits: logits.log_softmax(1))),
             "Your softmax runs over time, axis 1. Probabilities sum to 1 over the vocabulary, the last axis."),
            (_mlm(losses=_of_zeros, mean=lambda losses, chosen: losses.mean()),
             "You multiply the logits by the mask. A place of zeros still costs ln V, and it is in your mean. Take the "
             "places with a label out: logits[mask]."),
            (_mlm(losses=_of_zeros, mean=lambda losses, chosen: losses.sum() / chosen.sum()),
             "You multiply the logits by the mask and divide by the number of labels. A place of zeros still costs ln "
             "V, and it is in your sum. Take the places with a label out: logits[mask]."),
            (lambda logits, labels: -mlm_loss(logits, labels),
             "Your sign is wrong: a loss is minus a mean of log-probabilities."),
            (lambda logits, labels: mlm_loss(logits, labels) / logits.shape[-1],
             "Your mean runs over the V tokens of the vocabulary too. Each place has one loss, that of its right "
             "token."),
            (lambda logits, labels: -logits[labels != -100].log_softmax(-1).mean(),
             "You average the log-probabilities of all V tokens. Only that of the right one counts: gather picks it."),
            (_mlm(mean=lambda losses, chosen: losses[chosen]),
             "You return the loss of each label. One number is wanted, their mean."),
            (_mlm(mean=lambda losses, chosen: losses * chosen),
             "You return the loss of each place. One number is wanted, the mean over the places with a label."),
            (lambda logits, labels: mlm_loss(logits, labels).exp(),
             "You return exp(loss), the perplexity. The mean loss itself is wanted."),
        ),
    ),
)


# --- 08.7 -------------------------------------------------------------------------------------------------------------

def make_pair(documents, place, sentence, is_next, other):
    """A pair of sentences for next-sentence prediction: (first, second, label).

    documents: a list of documents, each a list of sentences; first is documents[place][sentence].
    is_next=True: second is the sentence behind it, and the label is 0. ValueError where nothing stands behind it.
    is_next=False: second is the sentence that other = (document, sentence) names, drawn beforehand, and the label is 1.
    ValueError where that is the same document. For is_next=True other is not used.
    """
    first = documents[place][sentence]
    if is_next:
        if sentence + 1 == len(documents[place]):
            raise ValueError("the last sentence of a document has no next one")
        return first, documents[place][sentence + 1], 0
    if other[0] == place:
        raise ValueError("the other sentence must come from another document")
    return first, documents[other[0]][other[1]], 1


_BOOKS = (
    ("It rains.", "We stay at home.", "The tea is hot.", "It rains."),
    ("A list keeps order.", "A set does not.", "Both can be empty."),
    ("Open the file.", "Wait.", "Read a line.", "Wait.", "Close the file."),
)


def _pair_of(place, sentence, is_next, other):
    return lambda: ([list(book) for book in _BOOKS], place, sentence, is_next, other)


def _no_next(documents, place, sentence, is_next, other):
    return is_next and sentence + 1 == len(documents[place])


def _same_document(documents, place, sentence, is_next, other):
    return not is_next and other[0] == place


def _no_pair(*inputs):
    return _no_next(*inputs) or _same_document(*inputs)


def _pair_or_refusal(answer, *inputs):
    return _texts(value_or_refusal(answer, inputs, wrong=_no_pair(*inputs)))


def _pair_with(
    labels=(0, 1), after=lambda documents, place, sentence: documents[place][sentence + 1],
    elsewhere=lambda documents, place, other: documents[other[0]][other[1]], turned=(False, False), wrong=_no_pair,
):
    """A pair with one part exchanged.

    labels: of a next sentence and of another; after: documents, place, sentence -> the next sentence; elsewhere:
    documents, place, other -> the other one; turned: whether first and second change places, for each label; wrong:
    inputs -> whether they are refused.
    """
    def pair(documents, place, sentence, is_next, other):
        first = documents[place][sentence]
        second = after(documents, place, sentence) if is_next else elsewhere(documents, place, other)
        both = (second, first) if turned[not is_next] else (first, second)
        return *both, labels[not is_next]
    return refusing(pair, wrong)


def _into_next_document(documents, place, sentence):
    return [line for document in documents[place:] + documents[:place] for line in document][sentence + 1]


def _other_at_the_end(label):
    """A misconception that takes `other` where there is no next sentence, with that label."""
    def pair(documents, place, sentence, is_next, other):
        if _no_next(documents, place, sentence, is_next, other):
            return documents[place][sentence], documents[other[0]][other[1]], label
        return make_pair(documents, place, sentence, is_next, other)
    return pair


def _number_by_text(documents, place, sentence):
    return documents[place].index(documents[place][sentence])


def _next_by_text(documents, place, sentence):
    return documents[place][_number_by_text(documents, place, sentence) + 1]


MAKE_PAIR = Exercise(
    id="08.7",
    title="Two sentences for next-sentence prediction",
    about=("next-sentence-prediction",),
    reference=make_pair,
    returns=("first", "second", "label"),
    run=_pair_or_refusal,
    hints=(
        "Two ways, one for each is_next. first is the same in both: documents[place][sentence].",
        "The next sentence is documents[place][sentence + 1], with label 0. Does it exist? Ask len(documents[place]) "
        "before you take it.",
        "other is a pair of numbers: document, index = other. Refuse with raise ValueError(…) where document == place.",
    ),
    cases=(
        Case("the next sentence", _pair_of(0, 1, True, (2, 4))),
        Case("a sentence of another document", _pair_of(1, 0, False, (2, 3))),
        Case("a sentence of an earlier document", _pair_of(2, 4, False, (0, 2)),
             "first is its document's last sentence. For is_next=False that does not matter."),
        Case("the next sentence is the document's last one", _pair_of(1, 1, True, (0, 0))),
        Case("is_next, and other names the same document", _pair_of(2, 2, True, (2, 0)),
             "For is_next=True other is not used."),
        Case("first stands again at the end of its document", _pair_of(0, 0, True, (1, 2)),
             "The number says which one it is, not its text."),
        Case("first stands in its document twice", _pair_of(2, 3, True, (0, 1)),
             "The number says which one it is, not its text."),
        Case("the other sentence has the same number", _pair_of(0, 2, False, (1, 2)),
             "Another document is asked for, not another number."),
        Case("other names the same document", _pair_of(0, 1, False, (0, 3)),
             "A sentence of the same document may well follow: a wrong label."),
        Case("other names first itself", _pair_of(1, 2, False, (1, 2))),
        Case("is_next at the end of a document", _pair_of(0, 3, True, (1, 1)), "Nothing stands behind the last one."),
        Case("is_next at the end of the last document", _pair_of(2, 4, True, (0, 1))),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _pair_with,
            ({"labels": (1, 0)},
             "Your labels are exchanged: 0 says that second is the next sentence, 1 that it is not, as in the "
             "published code."),
            ({"after": lambda documents, place, sentence: documents[place][sentence]},
             "Your next sentence is first itself. The one behind it is sentence + 1."),
            ({"after": lambda documents, place, sentence: documents[place][sentence - 1]},
             "Your next sentence is the one in front. The one behind it is sentence + 1."),
            ({"elsewhere": lambda documents, place, other: documents[place][other[1] % len(documents[place])]},
             "Your other sentence comes from the same document. other names the document, too: documents[other[0]]."),
            ({"turned": (True, True)}, "Your sentences are exchanged: first is documents[place][sentence]."),
            ({"wrong": _no_next}, "You take other from the same document without a word. Its sentences may well follow "
                                  "one another, and the label would be wrong: raise ValueError(…)."),
        ),
        *alone(
            (_pair_with(wrong=_same_document),
             "You do not ask whether there is a next sentence. Python's own error, the IndexError, does not say what "
             "is wrong: raise ValueError(…) at the end of a document."),
            (_pair_with(wrong=lambda *inputs: False),
             "You refuse nothing. raise ValueError(…) at the end of a document, and where other names the same "
             "document."),
            (_pair_with(wrong=_same_document, after=lambda documents, place, sentence:
                      documents[place][(sentence + 1) % len(documents[place])]),
             "You start again at the document's beginning: its first sentence does not follow its last one. raise "
             "ValueError(…) there."),
            (_pair_with(wrong=_same_document, after=_into_next_document),
             "You go on in the next document: its first sentence does not follow this document's last one. raise "
             "ValueError(…) there."),
            (_pair_with(wrong=_same_document, after=lambda documents, place, sentence:
                      documents[place][min(sentence + 1, len(documents[place]) - 1)]),
             "Your last sentence follows itself. Nothing stands behind it: raise ValueError(…) there."),
            (_other_at_the_end(1),
             "You took the other sentence at the end of a document. is_next=True asks for the next one, and there is "
             "none."),
            (_other_at_the_end(0),
             "You took the other sentence at the end of a document, with the label 0. is_next=True asks for the next "
             "one, and there is none."),
            (_pair_with(after=_next_by_text),
             "You look first up by its text, as .index() does, and find the earliest sentence with this text. The one "
             "behind it is sentence + 1."),
            (_pair_with(after=_next_by_text, wrong=lambda documents, place, sentence, is_next, other: _no_pair(
                 documents, place, _number_by_text(documents, place, sentence), is_next, other)),
             "You look first up by its text, as .index() does, even to see whether it is the last. The same text may "
             "stand earlier, too: its number is sentence."),
            (_pair_with(wrong=lambda *inputs: _no_pair(*inputs) or inputs[4][0] == inputs[1]),
             "You refuse other even where is_next is True. It is not used then, so any other will do."),
            (_pair_with(wrong=lambda *inputs: _no_next(*inputs) or (not inputs[3] and inputs[4] == inputs[1:3])),
             "You refuse the same sentence only. Any sentence of the same document is to be refused: other[0] == "
             "place."),
            (_pair_with(wrong=lambda *inputs: _no_pair(*inputs) or (not inputs[3] and inputs[4][1] == inputs[2])),
             "You compare the number of the sentence, too. A sentence of another document may have the same number."),
            (_pair_with(wrong=lambda *inputs: inputs[2] + 1 == len(inputs[0][inputs[1]]) or _same_document(*inputs)),
             "You refuse the last sentence even where is_next is False. A pair with another document needs no next "
             "one."),
            (_pair_with(wrong=lambda documents, place, sentence, is_next, other:
                      _same_document(documents, place, sentence, is_next, other)
                      or (is_next and sentence + 2 >= len(documents[place]))),
             "You stop one sentence too early: the last sentence but one has a next one, the last."),
            (_pair_with(turned=(False, True)),
             "Your sentences are exchanged where is_next is False: first is documents[place][sentence] in both ways."),
            (_pair_with(labels=("IsNext", "NotNext")),
             "Your labels are words, as in the paper. The loss wants numbers: 0 for the next sentence, 1 for another."),
            (_pair_with(labels=(0, 0)), "Your label is always 0. A sentence of another document has the label 1."),
            (_pair_with(elsewhere=lambda documents, place, other: other),
             "You return other itself, two numbers. The sentence that it names is documents[other[0]][other[1]]."),
        ),
        *weak_refusals(make_pair, _no_pair, "a pair that cannot be made"),
    ),
)


# --- 08.8 -------------------------------------------------------------------------------------------------------------

def bert_parameters(vocab, d_model, d_ff, n_layers, max_length=512, n_segments=2):
    """How many numbers BERT learns: embeddings, n_layers encoder blocks and the pooler. Returns an int.

    vocab, max_length, n_segments: rows of the three embedding tables, for words, positions and segments, each row of
    size d_model; their sum goes through a layer norm. All linear layers have a bias. The pooler is a linear layer,
    d_model to d_model. Nothing is counted for the two tasks of the pre-training.
    """
    norm = 2 * d_model                                              # gain and bias
    embeddings = (vocab + max_length + n_segments) * d_model + norm
    attention = 4 * (d_model * d_model + d_model)                   # W_Q, W_K, W_V and W_O: the heads share them
    feed_forward = d_model * d_ff + d_ff + d_ff * d_model + d_model
    pooler = d_model * d_model + d_model
    return embeddings + n_layers * (attention + feed_forward + 2 * norm) + pooler


def _bert_count(
    tables=(1, 1, 1), first_norm=2, block_norms=4, matrices=4, attention_biases=4, widths=(1, 1), pooler=(1, 1),
    feed_forward=2, around=lambda C, N: N, more=lambda V, C, N: 0, given=lambda *sizes: sizes,
):
    """A count with one part exchanged.

    tables: how often words, positions and segments count; first_norm, block_norms: vectors of size C in the norms;
    matrices, attention_biases: of an attention; widths: how often the biases of d_ff and of C count; feed_forward: its
    matrices; pooler: how often its matrix and bias count; around: C, N -> how often a block counts; more: V, C, N ->
    what is added; given: all sizes -> the sizes that are used.
    """
    def answer(vocab, d_model, d_ff, n_layers, max_length=512, n_segments=2):
        V, C, hidden, N, length, segments = given(vocab, d_model, d_ff, n_layers, max_length, n_segments)
        rows = tables[0] * V + tables[1] * length + tables[2] * segments
        block = matrices * C * C + (attention_biases + block_norms) * C + feed_forward * C * hidden
        block += widths[0] * hidden + widths[1] * C
        return rows * C + first_norm * C + around(C, N) * block + pooler[0] * C * C + pooler[1] * C + more(V, C, N)
    return answer


BERT_PARAMETERS = Exercise(
    id="08.8",
    title="Count BERT's parameters",
    about=("bert-sizes", "parameter-counts"),
    reference=bert_parameters,
    seconds=30.0,
    hints=(
        "Three parts: the embeddings, one block n_layers times, the pooler. Count each alone.",
        "A linear layer from a to b has a · b weights and b biases. A layer norm over d_model features has d_model "
        "gains and as many biases.",
        "A block: four linear layers d_model to d_model (W_Q, W_K, W_V, W_O), the feed-forward network's two, and two "
        "norms. The number of heads does not matter: the heads share out the rows of the same matrices.",
        "The embeddings: (vocab + max_length + n_segments) rows of size d_model, and one norm.",
    ),
    cases=(
        Case("small sizes", lambda: (100, 8, 24, 3, 20, 4)),
        Case("d_ff is not 4 · d_model", lambda: (50, 6, 10, 2, 12, 3)),
        Case("the sizes of BERT-BASE", lambda: (30522, 768, 3072, 12), "109,482,240: the paper says 110M."),
        Case("one layer", lambda: (1000, 64, 128, 1, 128, 2)),
        Case("no layer", lambda: (30, 5, 20, 0, 7, 1), "Embeddings and pooler are left."),
    ),
    misconceptions=(
        *alone_and_in_pairs(
            _bert_count,
            ({"first_norm": 0}, "You leave out the layer norm of the embeddings, 2 · d_model."),
            ({"block_norms": 0}, "You leave out 4 · d_model in each block. Two things have this size: the biases of "
                                 "W_Q, W_K, W_V and W_O, and the two layer norms."),
            ({"widths": (0, 0)}, "You leave out the biases of the feed-forward network, d_ff + d_model in each block."),
            ({"pooler": (0, 0)}, "You leave out the pooler, d_model² + d_model."),
            ({"tables": (1, 1, 0)}, "You leave out the table of segments, n_segments · d_model."),
            ({"tables": (1, 0, 1)}, "You leave out the table of positions. BERT learns it: max_length · d_model."),
        ),
        *alone(
            (_bert_count(first_norm=1, block_norms=2),
             "You count one vector for each layer norm. It has two, gain and bias: 2 · d_model."),
            (_bert_count(block_norms=2),
             "You count one layer norm in each block. There are two, behind the attention and behind the feed-forward "
             "network."),
            (_bert_count(attention_biases=0, widths=(0, 0), pooler=(1, 0)),
             "You count no biases of linear layers. In BERT each linear layer has one, the pooler too."),
            (_bert_count(attention_biases=0, widths=(0, 0), pooler=(1, 0), first_norm=0, block_norms=0),
             "You count matrices and tables only. The biases of the linear layers are missing, and the layer norms."),
            (_bert_count(attention_biases=0, widths=(0, 0), pooler=(0, 0), first_norm=0, block_norms=0),
             "You count matrices and tables only, and no pooler. The biases and the layer norms are missing, too."),
            (_bert_count(pooler=(1, 0)), "You leave out the pooler's bias, d_model."),
            (_bert_count(matrices=48, attention_biases=48),
             "You count W_Q, W_K, W_V and W_O once for each of 12 heads. The heads share out d_model features: a head "
             "has d_model/12 rows, and all of them together are one matrix d_model × d_model."),
            (_bert_count(matrices=37, attention_biases=37),
             "You count W_Q, W_K and W_V once for each of 12 heads. A head has d_model/12 rows of them, and all "
             "together are three matrices d_model × d_model."),
            (_bert_count(matrices=3, attention_biases=3),
             "You leave out W_O, which mixes the heads: an attention has four matrices with a bias each."),
            (_bert_count(matrices=1, attention_biases=1),
             "You count one matrix for each attention. There are four: W_Q, W_K, W_V and W_O."),
            (_bert_count(feed_forward=1, widths=(1, 0)),
             "You count one layer of the feed-forward network. A second one leads back, d_ff to d_model."),
            (_bert_count(widths=(1, 0)), "You leave out the bias of the feed-forward network's second layer, d_model."),
            (_bert_count(widths=(2, 0)),
             "You give the second layer of the feed-forward network d_ff biases. A bias has the size of the output: "
             "d_model."),
            (_bert_count(widths=(0, 2)),
             "You give both layers of the feed-forward network d_model biases. A bias has the size of the output: the "
             "first layer's bias has d_ff numbers."),
            (_bert_count(given=lambda V, C, hidden, N, length, segments: (V, C, hidden, N, length * segments, 0)),
             "You count max_length · n_segments rows. Positions and segments have a table each, and their vectors are "
             "added: max_length + n_segments rows."),
            (_bert_count(more=lambda V, C, N: (N - 1) * (C * C + C)),
             "You count a pooler in each layer. There is one, behind the last block."),
            (_bert_count(around=lambda C, N: min(N, 1)),
             "You count one block. All n_layers of them have weights of their own."),
            (_bert_count(around=lambda C, N: 2 * N),
             "You count each block twice, as if there were an encoder and a decoder. BERT has an encoder only."),
            (_bert_count(matrices=8, attention_biases=8, block_norms=6),
             "You count a cross-attention and its norm in each block. That is the decoder's; BERT has an encoder "
             "only."),
            (_bert_count(more=lambda V, C, N: V * C),
             "You count an output layer, vocab · d_model. It belongs to the pre-training, and shares the word table "
             "anyway."),
            (_bert_count(more=lambda V, C, N: V * C + V),
             "You count an output layer with its bias, vocab · (d_model + 1). It belongs to the pre-training, and its "
             "matrix is the word table anyway."),
            (_bert_count(more=lambda V, C, N: C * C + 3 * C + V + 2 * C + 2),
             "You count the heads of the two pre-training tasks. They are left away afterwards; embeddings, blocks and "
             "pooler are asked for."),
            (_bert_count(more=lambda V, C, N: 2 * C),
             "You count a layer norm behind the last block. BERT is post-norm: the last block ends with a norm of its "
             "own."),
            (_bert_count(given=lambda V, C, hidden, *others: (V, C, 4 * C, *others)),
             "You take 4 · d_model in place of d_ff. That is usual, but d_ff is an argument."),
            (_bert_count(given=lambda V, C, hidden, N, length, segments: (V, C, hidden, N, 512, segments)),
             "You count 512 positions, whatever max_length says. Use the argument."),
            (_bert_count(given=lambda V, C, hidden, N, length, segments: (V, C, hidden, N, length, 2)),
             "You count two segments, whatever n_segments says. Use the argument."),
            (_bert_count(first_norm=6),
             "You count a layer norm for each of the three tables. Their sum goes through one."),
            (lambda *sizes: bert_parameters(*sizes) / 1e6, "You return millions. The whole number is asked for."),
        ),
    ),
)


EXERCISES = [
    BEST_PAIR, SPLIT_WORD, SEGMENT_IDS, MASK_TOKENS, CHOOSE_PLACES, MLM_LOSS, MAKE_PAIR, BERT_PARAMETERS,
]

# --- quizzes --------------------------------------------------------------------------------------------------------

QUIZZES = {
    "08-opening": [
        Question(
            "Two sentences of 5 and 9 tokens stand in one batch. An encoder reads them, and the padding mask is "
            "forgotten. Whose outputs are spoiled?",
            (
                Choice("Those at the padding places, and no others",
                       "Nobody reads these. But the words of the short sentence give some of their weight to filler."),
                Choice("Those of the words of the short sentence",
                       "They attend to four tokens that are no words. The long sentence has no filler.", correct=True),
                Choice("Those of the words of both sentences",
                       "The rows of a batch do not meet in attention. The long sentence has no filler to look at."),
                Choice("None: a filler vector of zeros adds nothing",
                       "A score of 0 still gets weight, e^0 = 1 before it is shared out. The words lose that."),
            ),
            about=("attention-masks", "padding"),
        ),
        Question(
            "Chapter 06: a model has a learned table of 512 positions. What happens when it gets 600 tokens?",
            (
                Choice("It reads all 600, only worse at the end",
                       "That is the sinusoidal formula, which goes on. A table ends."),
                Choice("The places from 513 on start again at 1",
                       "Nothing counts in circles by itself. And two words would then share a place."),
                Choice("It reads the first 512 and drops the rest",
                       "Somebody may cut the text before. The model itself drops nothing."),
                Choice("It fails: token 513 has no vector",
                       "The table is looked up, and there is no such row.", correct=True),
            ),
            about=("learned-positions",),
        ),
        Question(
            "A block has d_model = 768 and 12 heads. How many features has the query of one word in one head?",
            (
                Choice("64", "The heads share the features out: 768/12.", correct=True),
                Choice("768", "That is the query of all 12 heads side by side."),
                Choice("12", "That is the number of heads, not the size of one."),
                Choice("9,216", "That would give each head the full size. Then more heads would cost more weights."),
            ),
            about=("multi-head",),
        ),
        Question(
            "A post-norm encoder with gain 1 and bias 0 in its norms. What can be said of the vectors that leave its "
            "last block?",
            (
                Choice("The numbers of a vector lie between 0 and 1 and sum to 1",
                       "That is a softmax. Attention weights are like this, outputs not."),
                Choice("A feature has mean 0 and variance 1 over the tokens of the batch",
                       "That is batch norm. Layer norm looks at one token."),
                Choice("The numbers of a vector have mean 0 and variance 1",
                       "The norm comes last, after the sum: LayerNorm(x + f(x)).", correct=True),
                Choice("Nothing: sums of sublayers leave it as they are",
                       "That is pre-norm. There a last norm is added behind the stack."),
            ),
            about=("layer-norm", "pre-and-post-norm"),
        ),
        Question(
            "hidden (B, T, C) comes from an encoder with a padding mask. A sentence's vector is taken as "
            "hidden.mean(1). What is wrong?",
            (
                Choice("The mean is taken over the features", "Axis 1 counts the tokens. The features stand last."),
                Choice("The outputs at padding count as words",
                       "The mask hides filler as keys. At its own places there are outputs nevertheless, and they go "
                       "into the mean.", correct=True),
                Choice("The words have already read the padding", "The padding mask prevents that in every block."),
                Choice("Nothing: the outputs at padding are zero",
                       "Attention and feed-forward network give something at every place, filler or not."),
            ),
            about=("pooling-vs-cls",),
        ),
        Question(
            "A model learns to name hidden words; each of them is replaced by the token [MASK]. Later it reads texts "
            "with no [MASK] in them. What may go wrong? (A guess is fine.)",
            (
                Choice("It cannot read ordinary words: in training it met holes only",
                       "Most tokens of its training were ordinary words."),
                Choice("It replaces some of the words by [MASK] by itself",
                       "The hiding was done to the input, by the program. The model only reads."),
                Choice("It repeats each word that it reads and learns no more",
                       "Nobody ever asked it for a word that it could see. It never learned that."),
                Choice("Nothing was asked of it at ordinary words, so their vectors may be poor",
                       "Only the vectors at [MASK] were ever used. This chapter shows how BERT softens "
                       "that.", correct=True),
            ),
            about=("masked-language-model",),
        ),
    ],
    "08-closing": [
        Question(
            "The words are band 2 times, sand 3, hand 1, bat 9, all cut into letters. Which pair does byte-pair "
            "encoding join first, and which one the score count(xy) / (count(x) · count(y))?",
            (
                Choice("b a, and n d",
                       "b a occurs 2 + 9 = 11 times, more than any other. n and d never stand apart: 6/(6 · 6) is more "
                       "than 11/(11 · 15).", correct=True),
                Choice("n d, and b a",
                       "The other way round: counting prefers what is frequent, the score what belongs together."),
                Choice("a n, and n d",
                       "a n stands in three of the four words. But a word counts as often as it occurs: 6 times in "
                       "all."),
                Choice("b a, and b a",
                       "The letter a stands with many others, and that lowers the score: 11/(11 · 15)."),
            ),
            about=("byte-pair-encoding", "wordpiece"),
        ),
        Question(
            "A vocabulary holds un, und and ##do, and no other piece that fits. What does WordPiece make of undo?",
            (
                Choice("un ##do", "This cut exists. But the longest start is taken first, und, and never given back."),
                Choice("und [UNK]", "If a rest has no piece, the whole word is unknown, not its rest."),
                Choice("[UNK]",
                       "und is the longest start. For the rest, o, there is no piece, so the word is "
                       "unknown.", correct=True),
                Choice("und ##do", "That would use the d twice. The pieces together must give the word."),
            ),
            about=("wordpiece",),
        ),
        Question(
            "BERT reads [CLS] A [SEP] B [SEP], then the same two sentences as [CLS] B [SEP] A [SEP]. Which of the "
            "vectors that are added up for a word of A are other ones now?",
            (
                Choice("None of the three: it is the same word", "Its row of the word table is. Two more are added."),
                Choice("That of the position, but not of the segment",
                       "The tokens up to the first [SEP] are segment 0, those after it segment 1. A has moved."),
                Choice("That of the segment, but not of the position",
                       "Places are counted from the start of the input, and B now stands in front of A."),
                Choice("Those of position and segment",
                       "It is told its place and its sentence anew. Its word is the same.", correct=True),
            ),
            about=("bert-input",),
        ),
        Question(
            "A sentence of 40 tokens goes through masked language modelling. At which of its tokens is the loss taken?",
            (
                Choice("At all 40, as a model must know each word",
                       "Most words stand in the input: naming them is copying, and would fill the loss."),
                Choice("At the chosen ones, whatever became of them",
                       "Some are [MASK], some random, some unchanged. All of these have a label.", correct=True),
                Choice("At those that the model reads as [MASK]",
                       "Then the random and the unchanged ones would do nothing, and only [MASK] would need a good "
                       "vector."),
                Choice("At all 40, but in 15 % of the sentences only",
                       "15 % of the tokens are chosen, each on its own. Every sentence takes part."),
            ),
            about=("masked-language-model",),
        ),
        Question(
            "Somebody's program chooses each place of the batch with probability 0.15: words, [CLS], [SEP] and "
            "padding alike. What does it do to the result?",
            (
                Choice("Part of the loss is for tokens that nobody needs context for",
                       "[CLS] always stands first, filler always at the end. The loss looks better than it "
                       "is.", correct=True),
                Choice("Fewer than 15 % of the words are chosen, so it learns less",
                       "Each word is still chosen with probability 0.15. Others are chosen besides."),
                Choice("Nothing: these tokens are hidden by the padding mask anyway",
                       "[CLS] and [SEP] are not, and a label on filler counts in the loss, masked as key or not."),
                Choice("The model gets no gradient where a special token is hidden",
                       "It gets one, as for any label. It is spent on what is known."),
            ),
            about=("masked-language-model", "bert-input"),
        ),
        Question(
            "BERT told true next sentences from others with 97 to 98 %. What does this number say?",
            (
                Choice("It named 97 of 100 hidden words",
                       "That is the other task. There BASE's size had perplexity 3.99, so it was often wrong."),
                Choice("It knows which of two neighbours comes first",
                       "The false partners were no neighbours in the wrong order. They came from other texts."),
                Choice("It sees when two sentences have different topics",
                       "A sentence of another text mostly speaks of something else. That is an easy "
                       "clue.", correct=True),
                Choice("It follows the argument of a text from sentence to sentence",
                       "Nothing in the task asks for that: comparing topics is enough."),
            ),
            about=("next-sentence-prediction",),
        ),
        Question(
            "After some training the loss at the blanks is still equal to the unigram baseline. What does the model "
            "use?",
            (
                Choice("Nothing: it guesses among all words alike",
                       "That would cost ln V, which is more. Some words are far more frequent."),
                Choice("How frequent each word is, nothing else",
                       "That is what the baseline knows. All that lies below it comes from the context.", correct=True),
                Choice("The words on the left, not those on the right",
                       "One side alone already tells much: its loss lies below the baseline."),
                Choice("All of the sentence, but not its order",
                       "A set of words tells what the text is about. That brings the loss below the baseline, too."),
            ),
            about=("bert-pretraining", "baseline"),
        ),
        Question(
            "Which of these is self-supervised learning?",
            (
                Choice("Film reviews and their stars: say the stars",
                       "People gave the stars. This is supervised learning."),
                Choice("Sentences and their translations: translate",
                       "Somebody wrote the translations. The source alone does not hold them."),
                Choice("Articles without labels: put similar ones together",
                       "There is no right answer to learn from. That is unsupervised."),
                Choice("Articles without labels: hide a word, name it",
                       "The text itself holds the answer, and there is a right one.", correct=True),
            ),
            about=("self-supervision",),
        ),
        Question(
            "A model sees both sides of every blank. What is the price of it?",
            (
                Choice("It cannot write from left to right",
                       "It has never learned to do without the words on the right. When it writes, there are "
                       "none.", correct=True),
                Choice("It needs two sets of weights, one for each side",
                       "The same matrices read every place, before the blank and behind it."),
                Choice("It has to read each sentence twice, from both ends",
                       "That is two LSTMs, one in each direction. Attention reads all places at once."),
                Choice("It cannot tell the left side from the right side",
                       "The position vectors tell it, for each token."),
            ),
            about=("bidirectional-context", "bert-limits"),
        ),
        Question(
            "ELMo, too, reads a sentence from the left and from the right. What does BERT do that ELMo does not?",
            (
                Choice("It gives a word another vector in another sentence",
                       "So does ELMo. The static vectors are those of word2vec and GloVe."),
                Choice("It learns from text that nobody has labelled",
                       "So does ELMo: from the next word and from the previous one."),
                Choice("It mixes the two sides in every layer",
                       "ELMo's two readers work apart, and what they found is put side by side at the "
                       "end.", correct=True),
                Choice("It takes ready-made word vectors and trains only what comes after",
                       "Its word table is learned with all the rest."),
            ),
            about=("elmo-to-bert", "bidirectional-context"),
        ),
        Question(
            "BERT-BASE has 12 layers, 768 features, 12 heads; LARGE 24, 1,024 and 16; in both d_ff = 4 · d_model. How "
            "many times as many weights has one block of LARGE? (Biases and norms aside.)",
            (
                Choice("1.3", "That is 1,024/768. A matrix grows in both of its sizes."),
                Choice("1.8", "All matrices of a block grow with d_model²: (4/3)² = 16/9.", correct=True),
                Choice("2.4", "That counts the heads as well. They share the same matrices and cost nothing."),
                Choice("3.6", "That counts the layers as well: it is the factor of the whole stack, not of a block."),
            ),
            about=("bert-sizes",),
        ),
        Question(
            "BERT is fine-tuned to mark the names of people and places in texts. What is added, and what is trained?",
            (
                Choice("A linear layer on [CLS]; this layer and BERT",
                       "[CLS] gives one answer for the whole text. Here each token needs one."),
                Choice("A linear layer on every token; this layer alone",
                       "That is a frozen BERT. In fine-tuning its weights move, too, in small steps."),
                Choice("A decoder that writes the names; decoder and BERT",
                       "Nothing has to be written. The names stand in the input: their places are asked."),
                Choice("A linear layer on every token; this layer and BERT",
                       "Each last state gets a class: begins a name, continues one, none. All weights "
                       "learn.", correct=True),
            ),
            about=("token-tasks", "fine-tuning"),
        ),
        Question(
            "A small BERT is pre-trained for some seconds. Fine-tuned with ten labels a class, it is no better than "
            "the same network from scratch. What follows?",
            (
                Choice("Pre-training helps only where there are many labels",
                       "In this chapter it was the other way round: the longer-trained model led most with ten "
                       "labels."),
                Choice("This much pre-training did not help on this task",
                       "The same recipe with many more steps did. One run speaks for its length, its text, its "
                       "labels.", correct=True),
                Choice("There is a mistake somewhere, as pre-training always helps",
                       "What has learned little more than how frequent words are has little to hand on."),
                Choice("With ten labels a class no model can learn the task",
                       "Frozen MiniLM had 0.54 right after ten labels of each of six topics; a guess has 0.17."),
            ),
            about=("fine-tuning", "bert-pretraining"),
        ),
        Question(
            "In \"Peter called Anna because she was late\" a head leads from she to Anna, and so it does in 300 such "
            "sentences. Does it match gender, or does it understand who was late? Which test tells?",
            (
                Choice("Sentences about Anna and Maria, where the meaning decides",
                       "Gender fits both now. A head that only matches it falls to chance.", correct=True),
                Choice("The same sentences, with the two names in the other order",
                       "This tells whether it goes by place or distance. Gender still gives the answer."),
                Choice("Another 3,000 sentences with the names of a man and a woman",
                       "More of the same: gender gives the answer in each of them."),
                Choice("The weights of the other heads on the first sentence",
                       "They tell what others do there, on one sentence. The question is about this head."),
            ),
            about=("real-bert", "attention-is-not-explanation"),
        ),
        Question(
            "\"The capital of France is [MASK].\" BERT says paris. Why is it no database all the same?",
            (
                Choice("It looks the fact up in Wikipedia, which may be wrong",
                       "It has no access to any text when it is used. All it knows is in its weights."),
                Choice("It can only return sentences that stood in its training text",
                       "It stores no sentences. It gives scores to words, also in sentences that are new."),
                Choice("It may answer otherwise when the question is worded otherwise",
                       "And it names no source, and what changed after training is unknown to it.", correct=True),
                Choice("It knows facts about countries only if somebody labelled them",
                       "Facts came with the raw text, without labels. That they are there at all is the surprise."),
            ),
            about=("bert-limits",),
        ),
    ],
}
