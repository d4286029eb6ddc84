"""Who does what, sensibly: the bare bones of every sentence that the grammar makes.

Who does what is a `Core`: subject noun, verb, complement noun ("cat", "eat", "fish"). All cores are listed once and
divided by a hash of their words, so that some combinations can be kept out of training.
"""

import functools
import zlib
from collections import defaultdict
from typing import NamedTuple

from course_utils.data import lexicon
from course_utils.data.lexicon import (
    ADJECTIVES,
    BECOME,
    IT,
    NOUNS,
    OPINION,
    PRONOUNS,
    STATE,
    TIMES,
    VERBS,
    Adjective,
    Noun,
    Pronoun,
)

HELD_OUT_SHARE = 6                                       # one core in six is kept out of training
PERSONS = tuple(pronoun for pronoun in PRONOUNS if pronoun is not IT)
PASSING = {"busy", "happy", "cold", "hot", "quiet"}      # states that come and go: a time can be named
YESTERDAY, TOMORROW, TODAY, NOW, EVERY_DAY, *PARTS = TIMES
HOURS = PARTS[:4]                                        # morning, evening, night, Sunday; then come the seasons


class Core(NamedTuple):
    """Who does what. kind as in Predicate; verb: for the kind "verb" alone; complement: a word or None."""

    subject: "Noun | Pronoun | None"
    kind: str
    verb: "lexicon.Verb | None"
    complement: "Noun | Pronoun | Adjective | None"

    def names(self):
        """The English words that the hash is taken of; "there" stands for a missing subject."""
        return name_of(self.subject) or "there", self.verb.base if self.verb else self.kind, name_of(self.complement)


def name_of(word):
    if word is None:
        return ""
    return word.subject if isinstance(word, Pronoun) else word.english


def is_held_out(core):
    """Is the combination kept out of training? Decided by a hash of its words alone: the same on every run."""
    return zlib.crc32(" ".join(core.names()).encode()) % HELD_OUT_SHARE == 0


@functools.cache
def tagged(tags):
    """The nouns that carry one of the tags, given as words of one string: a tuple."""
    return tuple(noun for noun in NOUNS.values() if noun.tags & set(tags.split()))


# ---- all cores

@functools.cache
def cores():
    """All cores, a tuple."""
    return *_verb_cores(), *_quality_cores(), *_being_cores(), *_having_cores(), *_existing_cores()


def _verb_cores():
    for verb in VERBS.values():
        for subject_tag, objects in verb.uses.items():
            subjects = [*tagged(subject_tag), *(PERSONS if subject_tag in ("person", "adult") else ())]
            complements = [*tagged(" ".join(sorted(objects))), *(PERSONS if "person" in objects else ())]
            if verb.object != "needed":
                complements.append(None)
            yield from (Core(subject, "verb", verb, complement) for subject in subjects for complement in complements
                        if sensible(subject, complement))


def sensible(subject, complement):
    """Nobody does to himself what he does to others, nor do "we" to "me"."""
    return subject is not complement and {name_of(subject), name_of(complement)} != {"I", "we"}


def _quality_cores():
    for adjective in ADJECTIVES.values():
        of_persons = PERSONS if adjective.suits & {"person", "adult"} else ()
        of_things = (IT,) if adjective.suits & {"thing", "media"} else ()
        for subject in (*tagged(" ".join(sorted(adjective.suits))), *of_persons, *of_things):
            yield Core(subject, "quality", None, adjective)


def _being_cores():
    for role in tagged("role"):
        for subject in [*PERSONS, *(NOUNS[name] for name in ("man", "woman", "friend"))]:
            yield Core(subject, "noun", None, role)
    for thing in tagged("animal thing text picture vehicle"):
        yield Core(IT, "noun", None, thing)
    for subject, places in WHEREABOUTS.items():
        people = PERSONS if subject == "person" else ()
        yield from (Core(thing, "place", None, place) for thing in (*tagged(subject), *people)
                    for place in tagged(places) if thing is not place)


# Who and what is found where. Things lie on a chair or a desk (tag "base"), animals also under one.
WHEREABOUTS = {
    "person": "study town green inside home store", "animal": "park garden room house base",
    "carried": "room house base", "food": "desk house", "drink": "desk", "vehicle": "station school",
}


def _having_cores():
    owned = tagged("pet thing book house friend car bicycle")
    for subject in [*PERSONS, *tagged("person")]:
        yield from (Core(subject, "have", None, thing) for thing in owned if sensible(subject, thing))


def _existing_cores():
    for noun in tagged("person animal food drink carried chair desk vehicle town study park garden house"):
        yield Core(None, "exist", None, noun)


class Side(NamedTuple):
    """The cores of one side of the split: for a kind, or a subject and a kind, one list of cores for each verb or
    adjective. Kind "alone": verbs without an object."""

    by_kind: dict
    by_subject: dict


@functools.cache
def side(held_out):
    """All cores of one side: held_out True or False."""
    by_kind, by_subject = defaultdict(lambda: defaultdict(list)), defaultdict(lambda: defaultdict(list))
    for core in cores():
        if is_held_out(core) is held_out:
            key = core.complement if core.kind == "quality" else core.names()[1]
            by_kind[core.kind][key].append(core)
            by_subject[core.subject, core.kind][key].append(core)
            if core.kind == "verb" and core.complement is None:
                by_kind["alone"][key].append(core)
    return Side(*({key: list(groups.values()) for key, groups in table.items()} for table in (by_kind, by_subject)))


# ---- what goes with what

def moves(core):
    return core.verb is not None and "motion" in core.verb.traits


def places_of(core):
    """Where something is done."""
    animal = isinstance(core.subject, Noun) and "animal" in core.subject.tags
    if not animal or "place" in core.verb.traits:
        return tagged(" ".join(sorted(core.verb.places)))
    return tagged("base garden room house" if core.verb.base in ("sleep", "rest") else "garden park house room")


def times_for(core, tense):
    """When a core can happen."""
    own = {"present": [NOW], "past": [YESTERDAY], "future": [TOMORROW]}[tense]
    if core.kind == "quality":
        lasting = core.complement.english not in PASSING
        return [] if lasting else own + [TODAY] * (tense == "present")
    if core.kind in ("noun", "have"):
        return own if tense == "present" and core.subject is not IT else []
    if core.kind in ("place", "exist"):
        what = core.subject or core.complement
        if isinstance(what, Noun) and not what.tags & {"person", "animal"}:
            return [] if "place" in what.tags else own
        return [*own, TODAY, *HOURS]
    if "state" in core.verb.traits or core.verb.base in ("live", "become"):
        return own if tense == "present" and core.verb.base == "live" else []
    if tense == "present":
        return [] if core.verb.base == "build" else [*PARTS, EVERY_DAY]
    return [*own, *own, TODAY, *PARTS]


def possible_tense(core, tense):
    """The tense, or another where it makes no sense with the core: "it will be a hat", "I will have a dog"."""
    if core.kind == "have":
        return "past" if tense == "future" else tense
    return "present" if core.kind == "noun" and core.subject is IT and tense == "future" else tense


def go_together(one, other):
    """Can both adjectives be said of one thing? "good" joins size and colour only."""
    if one.rank == other.rank:
        return False
    return STATE not in (one.rank, other.rank) or "good" not in (one.english, other.english)


def follows(core, other):
    """Can the second core follow the first with "and"? Actions follow actions, states follow states."""
    if core.complement is not None and core.complement is other.complement:
        return False
    if core.kind == "quality":
        in_order = core.complement.rank < other.complement.rank or other.complement.rank == OPINION
        return in_order and go_together(core.complement, other.complement)
    if core.kind == "have":
        return True
    state = "state" in other.verb.traits
    if core.kind == "noun":
        return state or other.verb.base in ("live", "learn")
    return core.verb is not other.verb and other.verb is not BECOME and ("state" in core.verb.traits) == state


def eaten(word):
    return isinstance(word, Noun) and bool(word.tags & {"food", "drink"})
