"""Which Korean token stands for which English word: what alignments are measured against. Chapters 04 and 07."""

import functools
import itertools
from collections import defaultdict

from course_utils.data import korean
from course_utils.data.lexicon import ADJECTIVES, FREQUENCIES, NOUN_FORMS, VERB_FORMS


def content_links(pair):
    """The links of a sentence pair's content words: a list of (target place, source place), in target order.

    Content words are nouns, verbs, adjectives, "always" and "often". A word is left out where it is not clear which
    token is its: where the sentence has two candidates ("the big cat saw the big dog"), or two words that share one.
    The source places count the register token, so place 1 is the first English word.
    """
    candidates = {}                                      # source place -> target places that may be its translation
    for place, word in enumerate(pair.source):
        forms = korean_forms().get(word, ())
        candidates[place] = {t for t, token in enumerate(pair.target) if token in forms}
    claims = [t for places in candidates.values() for t in places]
    return sorted((*places, s) for s, places in candidates.items() if len(places) == 1 and claims.count(*places) == 1)


@functools.cache
def korean_forms():
    """English content word -> the Korean tokens that can stand for it, a dict of sets."""
    found = defaultdict(set)
    for form, (noun, _) in NOUN_FORMS.items():
        found[form].add(noun.korean)
    for form, (verb, _) in VERB_FORMS.items():
        found[form] |= inflected(verb.stem)
    for word, adjective in ADJECTIVES.items():
        found[word] |= {*inflected(adjective.stem), korean.adnominal(adjective.stem)}
    for word, adverb in FREQUENCIES.items():
        found[word].add(adverb)
    return dict(found)


def inflected(stem):
    """The first written word of every form of a stem: 먹어, 먹었어요, 먹을 (거야), 먹지 (않아), 먹고 …"""
    endings = itertools.product(korean.TENSES, (False, True), (False, True))             # tense, polite, negated
    forms = [korean.conjugate(stem, *ending) for ending in endings]
    forms += [korean.linked(stem), korean.linked(stem, motion=True), korean.linked(stem, negated=True)]
    return {form[0] for form in forms}
