"""Sentences as trees, and the two ways to write one down: English words and Korean tokens.

Rules of the Korean side, the same in every sentence:

- The verb closes its clause; before it stand time, frequency, company, vehicle, goal, place, receiver and object.
- A subject that is known (a pronoun, "the", "this", "my", a whole kind: "cats") is the topic and takes 은/는. A new one
  ("a cat") takes 이/가, and so does what exists, is had, is missing, or what one is not or becomes.
- Persons in the plural take 들, animals only after a determiner, things never. There is no 들 after "no" and
  none on what somebody is ("we are students" -> 학생).
- Negation is -지 않다; what is not there is 없다; what somebody is not is 아니다. "will be" a teacher is 되다.
- Adjectives before one noun are linked by -고, and an opinion (pretty, good) moves to the end: 작고 예쁜 집.
- Two verbs of one subject are linked by -고, but by -서 where the second action happens where "go" or "come" leads.
  Two clauses are linked by 그리고 or 하지만.
"""

from typing import NamedTuple

from course_utils.data.korean import (
    COPULA_LINKED,
    NOT_BEING,
    NOT_BEING_LINKED,
    adnominal,
    conjugate,
    copula,
    linked,
    marked,
)
from course_utils.data.lexicon import (
    BE,
    BECOME,
    CONJUNCTIONS,
    EXIST,
    FREQUENCIES,
    HAVE,
    ME,
    MISSING,
    OPINION,
    PLACES,
    POINTERS,
    POSSESSIVES,
    TIMES,
    TOGETHER,
    VERY,
    VOWEL_LETTERS,
    Adjective,
    Noun,
    Pronoun,
    Time,
    Verb,
)


class Quality(NamedTuple):
    """An adjective, perhaps with "very"."""

    adjective: Adjective
    very: bool = False


class NounPhrase(NamedTuple):
    """ "my small white dogs": determiner ("a" stands for "an" too), qualities, noun. Pronouns stand for themselves."""

    noun: Noun
    determiner: str | None = None
    qualities: tuple = ()
    plural: bool = False


class Adjunct(NamedTuple):
    """What is added to a verb. kind: "place", "goal", "to", "with", "by" or "time"; phrase: a Time for "time"."""

    kind: str
    preposition: str
    phrase: "NounPhrase | Pronoun | Time"


class Predicate(NamedTuple):
    """What is said of a subject.

    kind: "verb"; "quality" (is busy), "noun" (is a student), "place" (is at home: an Adjunct), "have", "exist"
    (there is). complement: the object, Quality, NounPhrase or Adjunct. frequency: "always", "often" or "".
    """

    kind: str
    tense: str = "present"
    negated: bool = False
    verb: Verb | None = None
    complement: "NounPhrase | Pronoun | Quality | Adjunct | None" = None
    adjuncts: tuple = ()
    frequency: str = ""


class Clause(NamedTuple):
    """A subject (None where "there" stands for it), one or two predicates, and perhaps a time that comes first."""

    subject: NounPhrase | Pronoun | None
    predicates: tuple
    time: Time | None = None


class Sentence(NamedTuple):
    """Clauses and the words between them, "and" or "but": one fewer."""

    clauses: tuple
    links: tuple = ()


# ---- English

def english(sentence):
    """The sentence as a list of English words."""
    words = []
    for link, clause in zip(("", *sentence.links), sentence.clauses, strict=True):
        words += [*link.split(), *english_clause(clause)]
    return words


def english_clause(clause):
    words = list(clause.time.english) if clause.time else []
    words += ["there"] if clause.subject is None else english_phrase(clause.subject, is_subject=True)
    before = None
    for predicate in clause.predicates:
        number = agreement(predicate.complement if clause.subject is None else clause.subject)
        words += ["and"] if before else []
        words += english_predicate(predicate, number, before)
        before = predicate
    return words


def english_phrase(phrase, is_subject=False):
    """A noun phrase, a pronoun or a place."""
    if isinstance(phrase, Pronoun):
        return [phrase.subject if is_subject else phrase.object]
    words = [word for quality in phrase.qualities for word in english_quality(quality)]
    words.append(phrase.noun.plural if phrase.plural else phrase.noun.english)
    determiner = phrase.determiner
    if determiner == "a" and words[0][0] in VOWEL_LETTERS:
        determiner = "an"
    return [determiner, *words] if determiner else words


def english_quality(quality):
    return ["very"] * quality.very + [quality.adjective.english]


def agreement(subject):
    """0 for I, 1 for he, she, it and one noun, 2 for all others: the place in a row of verb forms."""
    if isinstance(subject, Pronoun):
        return 0 if subject is ME else 1 if subject.subject in ("he", "she", "it") else 2
    return 2 if subject.plural else 1


def shares_will(before, predicate):
    """Does "will" of the predicate before count for this one too? "I will eat and drink"."""
    return (before is not None and before.tense == predicate.tense == "future"
            and not before.negated and not predicate.negated)


def shares_be(before, predicate):
    """Does "is" of the predicate before count for this one too? "The cat is small and white"."""
    return (before is not None and before.kind == predicate.kind == "quality" and before.tense == predicate.tense
            and not before.negated and not predicate.negated and not predicate.frequency)


def english_predicate(predicate, number, before=None):
    """number: see `agreement`. before: the first predicate of the same subject, for what need not be said again."""
    rest = english_complement(predicate)
    if shares_be(before, predicate):
        start = []
    else:
        start = _verb_words(predicate, number, shares_will(before, predicate))
    return start + rest + [word for adjunct in predicate.adjuncts for word in english_adjunct(adjunct)]


def _verb_words(predicate, number, shared_will):
    kind, tense, negated = predicate[:3]
    often = [predicate.frequency] if predicate.frequency else []
    negation = ["not"] if negated and not says_no(predicate) else []
    with_be = kind not in ("verb", "have")
    base = "be" if with_be else predicate.verb.base if kind == "verb" else "have"
    if tense == "future":
        return ([] if shared_will else ["will"]) + negation + often + [base]
    if with_be:
        return [BE[tense][number], *negation, *often]
    if negation:
        return ["did" if tense == "past" else "does" if number == 1 else "do", "not", base]
    if kind == "have":
        return [*often, HAVE[tense][number == 1]]
    return [*often, predicate.verb.past if tense == "past" else predicate.verb[number == 1]]


def says_no(predicate):
    """Is the negation in the noun phrase, as in "there is no cat" and "has no cat"?"""
    return isinstance(predicate.complement, NounPhrase) and predicate.complement.determiner == "no"


def english_complement(predicate):
    complement = predicate.complement
    if complement is None:
        return []
    if isinstance(complement, Quality):
        return english_quality(complement)
    if isinstance(complement, Adjunct):
        return english_adjunct(complement)
    link = [predicate.verb.link] if predicate.kind == "verb" and predicate.verb.link else []
    return link + english_phrase(complement)


def english_adjunct(adjunct):
    if adjunct.kind == "time":
        return list(adjunct.phrase.english)
    return ([adjunct.preposition] if adjunct.preposition else []) + english_phrase(adjunct.phrase)


# ---- Korean

def korean(sentence, polite=False):
    """The sentence as a list of Korean tokens: nouns and particles ("고양이", "+는"), verbs ("먹어"), small words."""
    tokens = []
    for link, clause in zip(("", *sentence.links), sentence.clauses, strict=True):
        tokens += [CONJUNCTIONS[link]] if link else []
        tokens += korean_clause(clause, polite)
    return tokens


def korean_clause(clause, polite):
    tokens = list(clause.time.korean) if clause.time else []
    subject = clause.subject
    if subject is not None:
        new = isinstance(subject, NounPhrase) and subject.determiner == "a"
        tokens += korean_phrase(subject, "subject" if new else "topic", polite)
    for predicate, following in zip(clause.predicates, (*clause.predicates[1:], None), strict=True):
        tokens += korean_predicate(predicate, polite, following)
    return tokens


def korean_phrase(phrase, role, polite, with_plural=True):
    """A noun phrase or pronoun with the particle of its role; role None: no particle, before 위 or the copula."""
    if isinstance(phrase, Pronoun):
        return list(marked(phrase.polite if polite else phrase.plain, role))
    tokens = korean_determiner(phrase.determiner, polite)
    qualities = sorted(phrase.qualities, key=lambda quality: quality.adjective.rank == OPINION)
    for number, quality in enumerate(qualities, start=1):
        tokens += [VERY] if quality.very else []
        tokens += [adnominal(quality.adjective.stem)] if number == len(qualities) else linked(
            quality.adjective.stem)
    if with_plural and has_plural_marker(phrase):
        return [*tokens, phrase.noun.korean, "+들", *marked("들", role)[1:]]
    return [*tokens, *(marked(phrase.noun.korean, role) if role else [phrase.noun.korean])]


def has_plural_marker(phrase):
    """Persons in the plural take 들, animals only after a determiner; see the rules above."""
    known = phrase.determiner not in (None, "no")
    return phrase.plural and phrase.determiner != "no" and (
        "person" in phrase.noun.tags or ("animal" in phrase.noun.tags and known))


def korean_determiner(determiner, polite):
    if determiner in POINTERS:
        return [POINTERS[determiner]]
    if determiner in POSSESSIVES:
        owner = POSSESSIVES[determiner]
        return list(owner.polite_of if polite else owner.plain_of)
    return []                                            # Korean has no articles


def korean_place(adjunct, role, polite):
    """A place with its particle: 공원에, 의자 밑에서."""
    inner = PLACES.get(adjunct.preposition)
    if inner:
        return [*korean_phrase(adjunct.phrase, None, polite, with_plural=False), *marked(inner, role)]
    return korean_phrase(adjunct.phrase, role, polite, with_plural=False)


ORDER = ("time", "frequency", "with", "by", "place", "goal", "to")


def korean_predicate(predicate, polite, following=None):
    """Adjuncts in Korean order, the complement, and the verb. following: the next predicate of the same subject."""
    place_role = "at" if predicate.kind == "exist" else "in"
    parts = {kind: [] for kind in ORDER}
    parts["frequency"] += [FREQUENCIES[predicate.frequency]] if predicate.frequency else []
    times = [adjunct.phrase for adjunct in predicate.adjuncts if adjunct.kind == "time"]
    for time in sorted(times, key=TIMES.index):          # the day before the hour: 어제 아침에
        parts["time"] += time.korean
    for adjunct in predicate.adjuncts:
        if adjunct.kind == "time":
            continue
        if adjunct.kind == "place":
            parts["place"] += korean_place(adjunct, place_role, polite)
        else:
            role = "at" if adjunct.kind == "goal" else adjunct.kind
            parts[adjunct.kind] += korean_phrase(adjunct.phrase, role, polite)
            parts[adjunct.kind] += [TOGETHER] if adjunct.kind == "with" else []
    tokens = [token for kind in ORDER for token in parts[kind]]
    if predicate.kind == "noun":
        return tokens + korean_copula(predicate, polite, following)
    stem, negated = korean_stem(predicate)
    tokens += korean_complement(predicate, polite)
    if following is None:
        return [*tokens, *conjugate(stem, predicate.tense, polite, negated)]
    return [*tokens, *linked(stem, negated, motion=acts_at_goal(predicate, following))]


def korean_stem(predicate):
    """The stem that closes the predicate, and whether -지 않다 negates it: 있다 has a negative of its own, 없다."""
    if predicate.kind == "verb":
        return predicate.verb.stem, predicate.negated
    if predicate.kind == "quality":
        return predicate.complement.adjective.stem, predicate.negated
    return (MISSING if predicate.negated else EXIST), False


def korean_complement(predicate, polite):
    complement = predicate.complement
    if complement is None:
        return []
    if isinstance(complement, Quality):
        return [VERY] if complement.very else []
    if isinstance(complement, Adjunct):
        return korean_place(complement, "at", polite)
    if predicate.kind == "verb" and predicate.verb is not BECOME:
        return korean_phrase(complement, "object", polite)
    with_plural = predicate.verb is not BECOME and not predicate.negated
    return korean_phrase(complement, "subject", polite, with_plural)


def korean_copula(predicate, polite, following):
    """ "is a student": 학생이야; "is not": 학생이 아니야; "will be": 학생이 될 거야."""
    phrase, tense = predicate.complement, predicate.tense
    as_subject = korean_phrase(phrase, "subject", polite, with_plural=False)
    if tense == "future":
        ending = linked(BECOME.stem, predicate.negated) if following else conjugate(
            BECOME.stem, tense, polite, predicate.negated)
        return [*as_subject, *ending]
    if predicate.negated:
        return [*as_subject, NOT_BEING_LINKED if following else NOT_BEING[tense, polite]]
    bare = korean_phrase(phrase, None, polite, with_plural=False)
    return [*bare, COPULA_LINKED if following else copula(bare[-1], tense, polite)[1]]


def acts_at_goal(predicate, following):
    """Is the second action done where the first one leads? "went to the shop and bought bread": 가서, not 가고."""
    return (predicate.kind == following.kind == "verb" and "motion" in predicate.verb.traits
            and "motion" not in following.verb.traits and not following.negated
            and all(adjunct.kind != "time" for adjunct in following.adjuncts))
