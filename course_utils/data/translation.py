"""English and Korean sentences from the course's own grammar: translated, drawn at random and split.

A pair is two lists of tokens. The English side begins with the register, `<plain>` (해체) or `<polite>` (해요체),
because English does not show it. On the Korean side a noun and its particle are two tokens, "고양이" and "+는"; each
written word of a verb is one: "먹어", "먹을" and "거야".
"""

import functools
import itertools
import random
from collections import Counter
from typing import NamedTuple

from tqdm.auto import tqdm

from course_utils.data import clauses, korean, lexicon
from course_utils.data.checking import COVERED
from course_utils.data.korean import join
from course_utils.data.parsing import WORDS, parse
from course_utils.data.sentences import Writer
from course_utils.data.vocabulary import SPECIAL, UNK, Vocabulary

__all__ = ["COVERED", "PLAIN", "POLITE", "Pair", "Splits", "join", "source_tokens", "split", "translate",
           "translation_splits", "vocabularies"]

PLAIN, POLITE = "<plain>", "<polite>"
NOUN_ROLES = tuple(role for role in korean.PARTICLES if role != "by")       # vehicles alone are gone by
LENGTHS = range(2, 17)
LONGER = range(17, 25)
MOST = 1_000_000                                         # of a size: many times more than there is time to train on
PATIENCE = 300                                           # draws without a new sentence before a length is given up


class Pair(NamedTuple):
    """A sentence in both languages. source: register and English words; target: Korean tokens. Both are tuples."""

    source: tuple
    target: tuple


class Splits(NamedTuple):
    """Lists of Pair. validation, test: combinations that train has not; longer: more words, none held out."""

    train: list
    validation: list
    test: list
    longer: list


def translate(english, polite=False):
    """The grammar's own Korean: "I love you" -> "나는 너를 사랑해", and with polite=True "저는 당신을 사랑해요".

    Raises ValueError, in one line, for anything that the grammar does not cover; COVERED says what it does.
    """
    return join(clauses.korean(parse(english), polite))


def source_tokens(english, polite=False):
    """The source tokens of an English sentence: ("<plain>", "I", "love", "you"). Raises ValueError like `translate`."""
    return (POLITE if polite else PLAIN, *clauses.english(parse(english)))


def pair_of(sentence, polite):
    """The Pair of a sentence's tree."""
    return Pair((POLITE if polite else PLAIN, *clauses.english(sentence)), tuple(clauses.korean(sentence, polite)))


# ---- written Korean to tokens

def split(text):
    """Written Korean to tokens, the inverse of `join` for all that the grammar makes.

    Raises ValueError for a word that the grammar cannot have made.
    """
    tokens = []
    for word in text.replace(",", " ").split():
        pieces = _words().get(word)
        if pieces is None:
            raise ValueError(f"{word[:30]!r} is no Korean word of the grammar")
        tokens += pieces
    return tuple(tokens)


@functools.cache
def _words():
    """Every written word that can occur -> its tokens. Two readings of one word would be an error of the lexicon."""
    found = {token: (token,) for token in target_tokens() if not token.startswith("+")}
    for pieces in _inflected():
        found[join(pieces)] = tuple(pieces)
    return found


def _inflected():
    """All nouns and pronouns with all their endings, as token lists."""
    for noun in lexicon.NOUNS.values():
        if "vehicle" in noun.tags:
            yield [*korean.marked(noun.korean, "by")]
    nouns = dict.fromkeys([*(noun.korean for noun in lexicon.NOUNS.values()), *_pronouns(), "위", "밑",
                           *(time.korean[0] for time in lexicon.TIMES if len(time.korean) == 2)])
    for noun in nouns:
        stems = [[noun]] if noun in _pronouns() else [[noun], [noun, "+들"]]
        for stem, role in itertools.product(stems, NOUN_ROLES):
            marked = korean.marked(stem[-1].removeprefix("+"), role)
            yield [*stem[:-1], *marked] if len(stem) == 1 else [*stem, marked[1]]
        yield from ([*stem] for stem in stems)
        for tense, polite in korean.COPULA:
            yield list(korean.copula(noun, tense, polite))
        yield [noun, korean.COPULA_LINKED]


@functools.cache
def _pronouns():
    return {word for pronoun in lexicon.PRONOUNS for word in (pronoun.plain, pronoun.polite)}


# ---- vocabularies

@functools.cache
def vocabularies():
    """The source and the target Vocabulary: special tokens, then all tokens of the grammar, sorted."""
    return tuple(Vocabulary([*SPECIAL, *sorted(tokens)], unknown=UNK)
                 for tokens in ({PLAIN, POLITE, *WORDS}, target_tokens()))


@functools.cache
def target_tokens():
    """All Korean tokens of the grammar, a frozenset."""
    stems = [*(verb.stem for verb in lexicon.VERBS.values()), korean.NOT]
    qualities = [adjective.stem for adjective in lexicon.ADJECTIVES.values()]
    found = set()
    for stem in [*stems, *qualities, lexicon.EXIST, lexicon.MISSING]:
        for tense, polite in itertools.product(korean.TENSES, (False, True)):
            found.update(korean.conjugate(stem, tense, polite))
        found.update(korean.linked(stem))
    for stem in [*stems[:-1], *qualities]:
        found.update(korean.linked(stem, negated=True))
    found.update(korean.adnominal(stem) for stem in qualities)
    for verb in lexicon.VERBS.values():
        found.update(korean.linked(verb.stem, motion=True) if "motion" in verb.traits else ())
    found.update(noun.korean for noun in lexicon.NOUNS.values())
    found.update(word for pronoun in lexicon.PRONOUNS for word in (
        pronoun.plain, pronoun.polite, *pronoun.plain_of, *pronoun.polite_of))
    found.update(word for time in lexicon.TIMES for word in time.korean)
    particles = [endings for role, endings in korean.PARTICLES.items() if role in NOUN_ROLES]
    found.update("+" + ending for endings in (*particles, *korean.COPULA.values()) for ending in endings)
    found.update(korean.particle(noun.korean, "by") for noun in lexicon.NOUNS.values() if "vehicle" in noun.tags)
    found.update(word for word in lexicon.PLACES.values() if word)
    found.update([*lexicon.POINTERS.values(), *lexicon.FREQUENCIES.values(), *korean.NOT_BEING.values(),
                  *korean.CONJUNCTIONS, korean.NOT_BEING_LINKED, korean.COPULA_LINKED, lexicon.VERY, lexicon.TOGETHER])
    return frozenset(found)


# ---- random pairs

def translation_splits(train=20_000, validation=500, test=2_000, longer=500, seed=0):
    """Distinct pairs, the same for the same arguments; returns Splits.

    English lengths (without the register) are 2 to 16, as even as the grammar allows, and 17 to 24 in `longer`.
    Every combination of subject, verb and object or complement in validation and test is held out of train and longer.
    Raises ValueError for a size that is no whole number from 0 to a million, or for more than can be drawn from the
    words that train holds.
    """
    sizes = {"train": train, "validation": validation, "test": test, "longer": longer}
    for name, size in {**sizes, "seed": seed}.items():
        if not isinstance(size, int) or not 0 <= size <= MOST:
            raise ValueError(f"{name}={size!r} must be a whole number from 0 to {MOST:,}")
    rng = random.Random(seed)
    trained = _draw(Writer(rng), train, LENGTHS, set(), None, "train")
    known = {token for pair in trained for token in pair.source + pair.target}
    held_out, seen = Writer(rng, held_out=True), set()
    parts = [_draw(held_out, size, LENGTHS, seen, known, name) for name, size in
             (("validation", validation), ("test", test))]
    return Splits(trained, *parts, _draw(Writer(rng), longer, LONGER, seen, known, "longer"))


def _draw(writer, size, lengths, seen, known, name):
    """`size` new pairs, lengths as even as can be; only with tokens in `known`, or any where it is None.

    seen: pairs not to be repeated; the new ones are added.
    """
    pairs, alive, misses = [], list(lengths), Counter()
    missing = Counter(lengths[number % len(lengths)] for number in range(size))
    bar = tqdm(total=size, desc=f"drawing sentences ({name})", leave=False, delay=0.5)
    while missing.total():
        wanted = writer.rng.choice([length for length in alive if missing[length]])
        sentence, polite = writer.sentence(wanted), writer.chance(0.5)
        length = len(clauses.english(sentence))
        pair = pair_of(sentence, polite) if missing[length] > 0 else None
        if pair and pair not in seen and (known is None or known.issuperset(pair.source + pair.target)):
            pairs.append(pair)
            seen.add(pair)
            missing[length] -= 1
            misses[length] = 0
            bar.update()
            continue
        misses[wanted] += 1
        if misses[wanted] == PATIENCE:                   # what is left to draw goes to the other lengths
            alive.remove(wanted)
            if not alive:
                raise ValueError(f"{name}={size} is more than the grammar can make of new sentences with trained words")
            for number in range(missing.pop(wanted)):
                missing[alive[number % len(alive)]] += 1
    bar.close()
    writer.rng.shuffle(pairs)
    return pairs
