"""Sentences at random: cores (who does what) dressed with articles, adjectives, tenses, places, times and more."""

from course_utils.data.clauses import Adjunct, Clause, NounPhrase, Predicate, Quality, Sentence, agreement
from course_utils.data.cores import (
    HOURS,
    PARTS,
    PASSING,
    PERSONS,
    WHEREABOUTS,
    YESTERDAY,
    eaten,
    follows,
    go_together,
    moves,
    places_of,
    possible_tense,
    sensible,
    side,
    tagged,
    times_for,
)
from course_utils.data.lexicon import (
    ADJECTIVES,
    AT_PLACES,
    BECOME,
    NOUNS,
    POINTERS,
    POSSESSIVES,
    Noun,
    Pronoun,
)

KINDS = {"verb": 60, "quality": 15, "noun": 6, "place": 6, "have": 6, "exist": 7}
TENSES = {"present": 45, "past": 33, "future": 22}
SUITED = {noun.english: [adjective for adjective in ADJECTIVES.values() if noun.tags & adjective.suits]
          for noun in NOUNS.values()}
COMPANIONS = (*tagged("person dog"), *PERSONS)
# Not the teacher: to give him something needs an honorific verb.
RECEIVERS = (*(noun for noun in tagged("person") if noun.english != "teacher"), *PERSONS)

# How often a noun phrase of each role begins so; "own" stands for "my", "your" …, "s" for a plural.
OPENINGS = {
    "subject": {"the": 46, "this": 6, "that": 6, "own": 14, "s": 12, "the s": 10, "own s": 4, "a": 10},
    "object": {"a": 32, "the": 26, "this": 5, "that": 4, "own": 12, "s": 16, "the s": 5},
    "person": {"the": 40, "own": 40, "a": 6, "the s": 7, "own s": 7},
    "place": {"the": 80, "this": 6, "that": 4, "own": 12},
    "role": {"a": 85, "own": 15},
    "new": {"a": 70, "s": 30},
    "one": {"a": 100},
    "none": {"no": 60, "no s": 40},
}
OWNERS = {"my": 10, "your": 3, "his": 2, "her": 2, "their": 1}


class Writer:
    """Draws sentences. rng: a random.Random; held_out: the side of the split that its cores come from."""

    def __init__(self, rng, held_out=False):
        self.rng = rng
        self.side = side(held_out)
        self.length = 0                                  # words wanted
        self.richness = 0.0                              # 0 for bare sentences to 1 for the fullest

    def chance(self, share):
        return self.rng.random() < share

    def weighted(self, weights):
        return self.rng.choices(list(weights), list(weights.values()))[0]

    # -- sentences and clauses

    def sentence(self, length):
        """A sentence of about `length` words; the caller counts them and draws again where it matters."""
        shape = self.shape(length)
        self.length = length
        self.richness = min(1.0, max(0.0, (length / sum(shape) - 2.8) / 5.5))
        links = tuple("but" if self.chance(0.4) else "and" for _ in shape[1:])
        tense, clauses = self.weighted(TENSES), []
        for number, predicates in enumerate(shape):
            if number and self.chance(0.25):
                tense = self.weighted(TENSES)
            before = clauses[-1].subject if clauses else None
            negation = 0.5 if number and links[number - 1] == "but" else 0.2
            clauses.append(self.clause(predicates, tense, negation, before))
        return Sentence(tuple(clauses), links)

    def shape(self, length):
        """How many predicates each clause has: (1,) is a simple sentence, (2, 1) "A does and does, but B does"."""
        if length <= 4:
            return (1,)
        if length <= 7:
            return self.rng.choice(((1,), (1,), (1,), (2,), (1, 1)))
        if length <= 10:
            return self.rng.choice(((1,), (1,), (2,), (1, 1)))
        if length <= 16:
            return self.rng.choice(((1,), (2,), (1, 1), (1, 1), (2, 1) if length > 12 else (1, 1)))
        return self.rng.choice(((1, 1), (2, 1), (1, 2), (1, 1, 1), (2, 2), (2, 1, 1) if length > 20 else (2, 1)))

    def clause(self, predicates, tense, negation, before=None):
        """A clause of one or two predicates; before: the subject of the clause before, not to be taken again."""
        core = self.core(before)
        second = self.second(core, tense) if predicates == 2 else None
        tense = "present" if self.length == 2 and isinstance(core.subject, Noun) else possible_tense(core, tense)
        subject = self.subject(core, second, tense)
        if second:
            return self.pair(core, second, subject, tense)
        predicate = _unmistakable(subject, self.predicate(core, subject, tense, negation))
        last = predicate.adjuncts[-1] if predicate.adjuncts else None
        if last and last.kind == "time" and self.chance(0.3):
            return Clause(subject, (predicate._replace(adjuncts=predicate.adjuncts[:-1]),), last.phrase)
        return Clause(subject, (predicate,))

    def pair(self, core, second, subject, tense):
        """A clause of two predicates. A time stands first, where it counts for both."""
        may_negate = core.kind == "noun" or tense == "past" or agreement(subject) == 1     # else "not" may cover both
        chosen = (self.predicate(core, subject, tense, 0.12 if may_negate else 0, timed=False),
                  self.predicate(second, subject, tense, 0 if moves(core) else 0.15, timed=False))
        if moves(core) and moves(second):                # there in the morning and back in the evening
            return Clause(subject, tuple(
                predicate._replace(adjuncts=(*predicate.adjuncts, Adjunct("time", "", time)), frequency="")
                for predicate, time in zip(chosen, HOURS, strict=False)))
        times = times_for(core, tense) if core.kind == "verb" else []
        time = self.rng.choice(times) if times and self.chance(0.1 + 0.5 * self.richness) else None
        return Clause(subject, chosen, time)

    def core(self, before):
        for _ in range(5):
            kind = "alone" if self.length == 2 else self.weighted(KINDS)
            core = self.rng.choice(self.rng.choice(self.side.by_kind[kind]))
            if before is None or (core.subject is not before and core.subject is not getattr(before, "noun", before)):
                break
        return core

    def second(self, core, tense):
        """Another core of the same subject that can follow with "and"; None where there is none at hand."""
        if core.kind in ("place", "exist") or (core.kind in ("noun", "have") and tense != "present"):
            return None
        groups = self.side.by_subject.get((core.subject, "verb" if core.kind == "noun" else core.kind))
        if not groups:
            return None
        if moves(core) and self.chance(0.3):             # to go and come back
            groups = [group for group in groups if moves(group[0])]
        for _ in range(4):
            other = self.rng.choice(self.rng.choice(groups))
            if follows(core, other):
                return other
        return None

    # -- noun phrases

    def subject(self, core, second, tense):
        if core.subject is None or isinstance(core.subject, Pronoun):
            return core.subject
        if self.length == 2:
            return NounPhrase(core.subject, plural=True)
        acts = all(each is None or (each.verb and "state" not in each.verb.traits) for each in (core, second))
        without = ("a",) * (not acts or tense == "present") + ("s",) * (tense != "present")
        said = [each.complement for each in (core, second) if each and each.kind == "quality"]
        return self.phrase(core.subject, "subject", without=without, said=said)

    def phrase(self, word, role, subject=None, without=(), said=()):
        """A noun dressed for its role. without: openings left out; said: adjectives that the predicate says."""
        if isinstance(word, Pronoun):
            return word
        determiner, plural = self.opening(word, role, subject, without)
        pointing = determiner in POINTERS or determiner in POSSESSIVES
        return NounPhrase(word, determiner, self.qualities(word, said, 0 if pointing else 0.2), plural)

    def opening(self, noun, role, subject, without):
        """Determiner and number; subject: of the clause, because "he" and "his" would be unclear together."""
        if noun.plural is None:
            return self.uncounted_opening(noun, role), False
        if "unique" in noun.tags:
            return "the", False
        living = noun.tags & {"person", "animal"}
        choices = {opening: share for opening, share in OPENINGS[role].items()
                   if opening not in without and not (opening in ("the s", "own s") and not living)
                   and not (opening.startswith("own") and not noun.tags & {"own", "ours"})}
        first, _, plural = self.weighted(choices).partition(" ")
        if first == "own":
            return self.owner(noun, subject), bool(plural)
        return (None, True) if first == "s" else (first, bool(plural))

    def uncounted_opening(self, noun, role):
        if role == "none":
            return "no"
        if role == "new" or noun.tags & {"subject", "home", "music"}:
            return None
        return self.weighted({None: 60, "the": 28, "this": 6, "that": 6})

    def owner(self, noun, subject):
        """ "my", "your" …"""
        if "own" not in noun.tags:
            return "our"
        owners = {**OWNERS, "our": 4} if "ours" in noun.tags else dict(OWNERS)
        if subject is not None and agreement(subject) == 1:
            owners = {owner: share for owner, share in owners.items() if owner not in ("his", "her", "their")}
        return self.weighted(owners)

    def qualities(self, noun, said=(), very=0.2):
        """No, one or two adjectives that go together, in the order of English; very: how often the first has "very"."""
        found = []
        for share in (0.6, 0.4):
            fitting = [adjective for adjective in SUITED[noun.english]
                       if all(go_together(adjective, other) for other in (*said, *found))]
            if not fitting or not self.chance(self.richness * share):
                break
            found.append(self.rng.choice(fitting))
        found.sort(key=lambda adjective: adjective.rank)
        very = self.chance(very)
        return tuple(Quality(adjective, very and number == 0) for number, adjective in enumerate(found))

    # -- predicates

    def predicate(self, core, subject, tense, negation, timed=True):
        new = isinstance(subject, NounPhrase) and subject.determiner == "a"
        negated = not new and self.chance(negation)
        adjuncts = self.adjuncts(core, subject, tense, timed)
        frequency = "" if negated or new else self.frequency(core, tense, adjuncts)
        complement = self.complement(core, subject, negated)
        return Predicate(core.kind, tense, negated, core.verb, complement, adjuncts, frequency)

    def complement(self, core, subject, negated):
        word = core.complement
        if word is None:
            return None
        if core.kind == "quality":
            return Quality(word, not negated and self.chance(0.1 + 0.2 * self.richness))
        if core.kind == "place":
            return self.place(word, subject, lies=eaten(core.subject))
        if core.kind == "noun" or core.verb is BECOME:
            return self.being(word, subject, "role" if core.kind == "noun" else "one")
        if core.kind == "exist":
            return self.phrase(word, "none" if negated else "new", subject)
        if core.kind == "have":
            return self.possession(word, subject, negated)
        return self.phrase(word, "object", subject)

    def being(self, word, subject, role):
        """What somebody is or becomes: "a good doctor", "doctors" for several."""
        if subject.plural:
            return NounPhrase(word, None, self.qualities(word), True)
        while True:                                      # nobody is his own teacher
            found = self.phrase(word, role, subject)
            if not isinstance(subject, Pronoun) or found.determiner != subject.possessive:
                return found

    def possession(self, word, subject, negated):
        several = word.tags & {"pet", "friend", "book", "flower"}
        role = "none" if negated and self.chance(0.6) else "new" if several else "one"
        return self.phrase(word, role, subject, without=() if several else ("no s",))

    def place(self, noun, subject, lies=False):
        """A place; lies: of food and drink, which nobody looks for under a desk."""
        if "base" in noun.tags:
            word = "under" if noun.english == "car" or (not lies and self.chance(0.5)) else "on"
            return Adjunct("place", word, self.phrase(noun, "place", subject))
        return self.at("place", "at" if noun.english in AT_PLACES else "in", noun, subject)

    def at(self, kind, word, noun, subject):
        if noun.english == "home" or (noun.english == "school" and self.chance(0.7)):
            return Adjunct(kind, "" if kind == "goal" and noun.english == "home" else word, NounPhrase(noun))
        return Adjunct(kind, word, self.phrase(noun, "place", subject))

    # -- adjuncts, in the order of English

    def adjuncts(self, core, subject, tense, timed):
        found, verb, rich = [], core.verb, self.richness
        traits = verb.traits if verb else frozenset()
        if "receiver" in traits and self.receives(core):
            found.append(self.beside("to", RECEIVERS, core, subject))
        if "motion" in traits and self.length > 2 and self.chance(0.85):
            found += self.way(core, subject)
        if "company" in traits and self.chance(0.3 * rich):
            found.append(self.beside("with", COMPANIONS, core, subject))
        if "place" in traits or (verb and verb.places and self.chance(0.08 + 0.5 * rich)):
            found.append(self.place(self.rng.choice(places_of(core)), subject))
        if core.kind == "exist" and self.chance(0.35 + 0.6 * rich):
            found.append(self.whereabouts(core.complement))
        if timed and (times := times_for(core, tense)) and self.chance(0.06 + 0.6 * rich):
            found.append(Adjunct("time", "", self.rng.choice(times)))
        return tuple(found)

    def receives(self, core):
        base = core.verb.base
        return base == "give" or (base == "send" and self.chance(0.8)) or (
            core.complement is NOUNS["letter"] and self.chance(0.5))

    def beside(self, kind, words, core, subject):
        """With whom, to whom: neither the subject nor the object."""
        while True:
            word = self.rng.choice(words)
            if word is not core.complement and sensible(core.subject, word):
                return Adjunct(kind, kind, self.phrase(word, "person", subject))

    def way(self, core, subject):
        """Where to, and perhaps by what."""
        person = isinstance(core.subject, Pronoun) or "person" in core.subject.tags
        goal = self.rng.choice(tagged("place home nature" if person else "green house room"))
        found = [self.at("goal", "to", goal, subject)]
        far = goal.tags & {"town", "study", "nature", "living", "store", "home"}
        if person and far and self.chance(0.4 * self.richness):
            found.append(Adjunct("by", "by", NounPhrase(self.rng.choice(tagged("vehicle")))))
        return found

    def whereabouts(self, noun):
        """Where there is something: food on a desk, a bird in the garden, a school in the village."""
        if "place" in noun.tags:
            return self.place(self.rng.choice(tagged("living")), None)
        if noun.english in ("chair", "desk"):
            return self.place(self.rng.choice(tagged("room house school library")), None)
        places = next(places for tag, places in WHEREABOUTS.items() if tag in noun.tags)
        return self.place(self.rng.choice(tagged(places)), None, lies=eaten(noun))

    def frequency(self, core, tense, adjuncts):
        times = [adjunct.phrase for adjunct in adjuncts if adjunct.kind == "time"]
        if tense == "future" or any(time not in PARTS for time in times) or not self.chance(0.05 + 0.1 * self.richness):
            return ""
        if core.kind == "verb" and core.verb.base not in ("become", "build", "live"):
            return "always" if "state" in core.verb.traits else self.rng.choice(("always", "often"))
        passing = core.kind == "place" or (core.kind == "quality" and core.complement.english in PASSING)
        return "always" if passing else ""


def _unmistakable(subject, predicate):
    """ "I read" may be present or past: where nothing else tells, "yesterday" is added."""
    verb = predicate.verb
    if predicate.tense != "past" or predicate.negated or not verb or verb.base != verb.past or agreement(subject) == 1:
        return predicate
    kept = tuple(adjunct for adjunct in predicate.adjuncts if adjunct.kind != "time")
    return predicate._replace(adjuncts=(*kept, Adjunct("time", "", YESTERDAY)), frequency="")
