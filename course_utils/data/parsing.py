"""English sentences of the grammar, read into trees. What the grammar does not cover is refused in one clear line."""

import difflib
import re

from course_utils.data.checking import COVERED, check_determiner, is_third, settle
from course_utils.data.clauses import Adjunct, Clause, NounPhrase, Predicate, Quality, Sentence, english
from course_utils.data.lexicon import (
    ADJECTIVES,
    BE,
    CONJUNCTIONS,
    DETERMINERS,
    FREQUENCIES,
    HAVE,
    NOUN_FORMS,
    NOUNS,
    OBJECTS,
    PLACES,
    SMALL_WORDS,
    SUBJECTS,
    TIMES,
    VERB_FORMS,
    Pronoun,
)

VEHICLES = tuple(noun.english for noun in NOUNS.values() if "vehicle" in noun.tags)
BARE_VEHICLES = [NounPhrase(NOUNS[name]) for name in VEHICLES]
BE_TENSES = {form: tense for tense, forms in BE.items() for form in forms}
HAVE_TENSES = {form: tense for tense, forms in HAVE.items() for form in forms}
TIME_WORDS = {word for time in TIMES for word in time.english}
WORDS = (
    set(NOUN_FORMS) | set(VERB_FORMS) | set(ADJECTIVES) | set(FREQUENCIES) | set(SUBJECTS) | set(OBJECTS)
    | set(DETERMINERS) | set(PLACES) | set(CONJUNCTIONS) | SMALL_WORDS | TIME_WORDS
)
SHORT_FORMS = (("won't", "will not"), ("n't", " not"), ("'m", " am"), ("'re", " are"), ("'ll", " will"))
AUXILIARIES = {"do": "present", "does": "present", "did": "past", "will": "future"}


def words_of(text):
    """The words of an English sentence, in lower case except "I", without commas and final . ! ?

    "don't" becomes "do not". Raises ValueError for an empty text and for words that the grammar does not know.
    """
    if not isinstance(text, str):
        raise ValueError(f"a sentence is a string, not {type(text).__name__}")
    plain = re.sub(r"[.!?\s]+$", "", text.lower().replace("’", "'")).replace(",", " ")
    for short, full in SHORT_FORMS:
        plain = re.sub(rf"{short}\b", full, plain)
    words = ["I" if word == "i" else word for word in plain.split()]
    if not words:
        raise ValueError(f"the sentence is empty. {COVERED}")
    for word in words:
        if word not in WORDS:
            close = difflib.get_close_matches(word[:30], WORDS, n=1, cutoff=0.75)
            hint = f' (do you mean "{close[0]}"?)' if close else ""
            raise ValueError(f'the grammar does not know the word "{_shown(word)}"{hint}. {COVERED}')
    return words


def _shown(text, limit=60):
    return text if len(text) <= limit else text[:limit] + "…"


def parse(text):
    """An English sentence as a tree. Raises ValueError, in one line, for what the grammar does not cover."""
    words = words_of(text)
    tree = _Reader(words).sentence()
    right = english(tree)
    if right != words:
        raise ValueError(f'"{_shown(" ".join(words))}" is not right: write "{_shown(" ".join(right), 200)}"')
    return tree


class _Reader:
    """Reads words from left to right. Agreement (I loves, a apple) is read mildly: `parse` compares afterwards."""

    def __init__(self, words):
        self.words = words
        self.at = 0

    # -- small steps

    def peek(self, ahead=0):
        place = self.at + ahead
        return self.words[place] if place < len(self.words) else ""

    def take(self, *wanted):
        """Step over the next word if it is one of `wanted`; returns it, or "" when it is another one."""
        word = self.peek()
        if word and word in wanted:
            self.at += 1
            return word
        return ""

    def step(self):
        self.at += 1
        return self.words[self.at - 1]

    def refuse(self, wanted):
        read = " ".join(self.words[max(0, self.at - 4):self.at])
        place = f'after "{read}"' if read else "at the start"
        found = f'comes "{self.peek()}"' if self.peek() else "the sentence ends"
        raise ValueError(f"{place} {found}, where {wanted} should stand. {COVERED}")

    # -- sentences

    def sentence(self):
        clauses, links = [self.clause()], []
        while self.peek():
            link = self.take(*CONJUNCTIONS)
            if not link:
                self.refuse('"and", "but" or the end')
            links.append(link)
            clauses.append(self.clause())
        return Sentence(tuple(clauses), tuple(links))

    def clause(self):
        time = self.time()
        exists = self.take("there")
        subject = None if exists else self.phrase(is_subject=True)
        predicates = [self.existence() if exists else self.predicate(subject)]
        if not exists and self.peek() == "and" and self.starts_predicate(1):
            self.take("and")
            predicates.append(self.predicate(subject, predicates[0]))
        return Clause(subject, settle(subject, predicates, time), time)

    def starts_predicate(self, ahead):
        word = self.peek(ahead)
        return (word in VERB_FORMS or word in BE_TENSES or word in HAVE_TENSES or word in AUXILIARIES
                or word in FREQUENCIES or word == "be" or self.starts_quality(ahead))

    def starts_quality(self, ahead=0):
        """Is an adjective next that describes the subject, not a noun: "and white" but not "and white cats"?"""
        while self.peek(ahead) == "very":
            ahead += 1
        return self.peek(ahead) in ADJECTIVES and not (
            self.peek(ahead + 1) in NOUN_FORMS or self.peek(ahead + 1) in ADJECTIVES)

    # -- phrases

    def phrase(self, is_subject=False, with_no=False, bare=()):
        """A noun phrase or pronoun. bare: nouns that may stand without a determiner here, as in "to school"."""
        pronouns = SUBJECTS if is_subject else OBJECTS
        if self.peek() in pronouns and not (self.peek() == "her" and self.starts_noun(1)):
            return pronouns[self.step()]
        determiner = self.take(*DETERMINERS, *(["no"] if with_no else []))
        qualities = self.qualities()
        if self.peek() not in NOUN_FORMS:
            self.refuse("a noun" if determiner or qualities else "a noun or a pronoun")
        noun, plural = NOUN_FORMS[self.step()]
        phrase = NounPhrase(noun, "a" if determiner == "an" else determiner or None, qualities, plural)
        check_determiner(phrase, bare)
        return phrase

    def noun_phrase(self, with_no=False):
        phrase = self.phrase(with_no=with_no)
        if isinstance(phrase, Pronoun):
            self.at -= 1
            self.refuse("a noun")
        return phrase

    def starts_noun(self, ahead=0):
        word = self.peek(ahead)
        return word in NOUN_FORMS or word in ADJECTIVES or word == "very"

    def qualities(self):
        found = []
        while self.peek() in ADJECTIVES or self.peek() == "very":
            found.append(self.quality())
        return tuple(found)

    def quality(self):
        very = bool(self.take("very"))
        if self.peek() not in ADJECTIVES:
            self.refuse("an adjective")
        return Quality(ADJECTIVES[self.step()], very)

    def time(self):
        for time in TIMES:
            if tuple(self.words[self.at:self.at + len(time.english)]) == time.english:
                self.at += len(time.english)
                return time
        return None

    # -- predicates

    def existence(self):
        tense, negated = self.auxiliary(frozenset(BE_TENSES))
        if negated:
            raise ValueError(f'for what is not there, write "there is no …" or "there will be no …". {COVERED}')
        negated = self.peek() == "no"
        thing = self.noun_phrase(with_no=True)
        return Predicate("exist", tense, negated, None, thing, self.adjuncts(None))

    def auxiliary(self, forms):
        """Tense and negation of "is", "was not", "will not be" …"""
        if self.take("will"):
            negated = bool(self.take("not"))
            if not self.take("be"):
                self.refuse('"be"')
            return "future", negated
        form = self.take(*forms)
        if not form:
            self.refuse('"is", "was" or "will be"')
        return BE_TENSES[form], bool(self.take("not"))

    def predicate(self, subject, before=None):
        """One predicate; its tense is None where "read" leaves it open (settled with the clause)."""
        if before is not None and before.kind == "quality" and self.starts_quality():
            return Predicate("quality", before.tense, complement=self.quality(), adjuncts=self.adjuncts(None))
        helper = self.take(*AUXILIARIES)
        negated = bool(helper and self.take("not"))
        if helper and helper != "will" and not negated:
            self.refuse('"not"')
        frequency = self.take(*FREQUENCIES)
        shared = before is not None and not helper and before.tense == "future" and not before.negated
        if self.peek() in BE_TENSES or self.peek() == "be":
            return self.being(helper, negated, frequency, shared)
        tense = AUXILIARIES.get(helper)
        if self.peek() in HAVE_TENSES:
            return self.having(tense, negated, frequency, shared)
        if self.peek() not in VERB_FORMS:
            self.refuse("a verb")
        verb, number = VERB_FORMS[self.step()]
        if tense is None:
            tense = finite_tense(verb, number, subject)
            tense = "future" if shared and number == 0 else tense
        complement = self.object_of(verb)
        return Predicate("verb", tense, negated, verb, complement, self.adjuncts(verb), frequency)

    def object_of(self, verb):
        linked = bool(verb.link and self.take(verb.link))
        starts = self.peek() in OBJECTS or self.peek() in DETERMINERS or self.starts_noun()
        if self.peek() == "home" or not (starts or linked or verb.object == "needed"):
            return None
        if verb.object == "none":
            self.refuse(f'no object of "{verb.base}"')
        if verb.link and not linked:
            self.refuse(f'"{verb.link}"')
        return self.phrase()

    def being(self, helper, negated, frequency, shared):
        """What follows "is", "was" or "will be": a quality, a place or a noun."""
        form = self.take("be", *BE_TENSES)
        if form == "be":
            if helper != "will" and not shared:
                self.refuse('"is" or "was"')
            tense = "future"
        else:
            if helper:
                self.refuse('"be"')
            tense = BE_TENSES[form]
            negated = bool(self.take("not"))
            frequency = self.take(*FREQUENCIES) or frequency
        if self.starts_quality():
            return Predicate("quality", tense, negated, None, self.quality(), self.adjuncts(None), frequency)
        if self.peek() in PLACES and not self.starts_time():
            return Predicate("place", tense, negated, None, self.adjunct(None), self.adjuncts(None), frequency)
        return Predicate("noun", tense, negated, None, self.noun_phrase(), self.adjuncts(None), frequency)

    def having(self, tense, negated, frequency, shared):
        form = self.take(*HAVE_TENSES)
        if tense is None:
            tense = "future" if shared and form == "have" else HAVE_TENSES[form]
        negated = negated or self.peek() == "no"
        thing = self.phrase(with_no=True)
        return Predicate("have", tense, negated, None, thing, self.adjuncts(None), frequency)

    # -- adjuncts

    def starts_time(self):
        return any(tuple(self.words[self.at:self.at + len(time.english)]) == time.english for time in TIMES)

    def adjuncts(self, verb):
        found = []
        while adjunct := self.adjunct(verb):
            found.append(adjunct)
        return tuple(found)

    def adjunct(self, verb):
        """The next adjunct, or None where none begins."""
        if time := self.time():
            return Adjunct("time", "", time)
        traits = verb.traits if verb else frozenset()
        if self.peek() == "home" and "motion" in traits:
            return Adjunct("goal", "", self.phrase(bare=("home",)))
        word = self.peek()
        if word not in ("to", "with", "by", *PLACES):
            return None
        if word == "to" and not traits & {"motion", "receiver"}:
            self.refuse('no "to"')
        if word in PLACES and "motion" in traits:
            self.refuse('"to"')
        self.step()
        bare = {"to": ("school",), "at": ("school", "home"), "by": VEHICLES}.get(word, ())
        start = self.at
        phrase = self.phrase(bare=bare)
        living = isinstance(phrase, Pronoun) or phrase.noun.tags & {"person", "animal"}
        wrong = (living and word in PLACES) or (word == "by" and (phrase not in BARE_VEHICLES))
        if wrong:
            self.at = start
            self.refuse("a place" if word in PLACES else f"one of {', '.join(VEHICLES)}")
        kind = "place" if word in PLACES else "goal" if word == "to" and not living else word
        return Adjunct(kind, word, phrase)


def finite_tense(verb, number, subject):
    """The tense of a verb form without a helper: base 0, third person 1, past 2. None: "I read" may be both."""
    if verb.base == verb.past and number != 1:
        third = subject is not None and is_third(subject)
        return "past" if third else None
    return "past" if number == 2 else "present"
