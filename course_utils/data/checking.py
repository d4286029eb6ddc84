"""What the parts of an English clause owe one another; what does not go together is refused in one clear line."""

from collections import Counter

from course_utils.data.clauses import NounPhrase, Quality
from course_utils.data.lexicon import BECOME, IT, NOUNS, POINTERS, YOU, Pronoun

COVERED = (
    'The grammar covers statements like "my friend does not eat cold bread in the park every day", "there is no milk", '
    '"I have a dog", "he was a student", joined by "and" or "but".'
)


def is_third(subject):
    """Does a verb in the present take -s after this subject?"""
    return not subject.plural and (isinstance(subject, NounPhrase) or subject.subject in ("he", "she", "it"))


def check_determiner(phrase, bare):
    """Refuse "a milk", "this dogs" and a lone "dog"; bare: nouns that may stand alone here."""
    noun, determiner = phrase.noun, phrase.determiner
    shown = noun.plural if phrase.plural else noun.english
    uncounted = noun.plural is None
    if (determiner == "a" and (phrase.plural or uncounted)) or (determiner in POINTERS and phrase.plural):
        raise ValueError(f'"{determiner}" and "{shown}" do not go together. {COVERED}')
    alone = determiner is None and not phrase.qualities and noun.english in bare
    if noun is NOUNS["home"] and not alone:
        raise ValueError(f'"home" stands alone, after "go", "come" or "at". {COVERED}')
    if determiner is None and not (phrase.plural or uncounted or alone):
        raise ValueError(f'before "{shown}" stands "a", "the" or "my"; or write "{noun.plural}". {COVERED}')


def settle(subject, predicates, time):
    """The predicates of one subject with their tenses settled, as a tuple; refuses those that do not go together."""
    tenses = [predicate.tense or _open_tense(predicate, predicates, time) for predicate in predicates]
    predicates = [predicate._replace(tense=tense) for predicate, tense in zip(predicates, tenses, strict=True)]
    first, last = predicates[0], predicates[-1]
    if first.tense != last.tense:
        raise ValueError(f"two verbs of one subject need the same tense here: say the subject again. {COVERED}")
    if first is not last:
        _check_pair(subject, first, last)
    for predicate in predicates:
        _check_predicate(subject, predicate)
        times = [time, *(adjunct.phrase for adjunct in predicate.adjuncts if adjunct.kind == "time")]
        if any(times.count(each) > 1 for each in times if each):
            raise ValueError(f"a time stands twice. {COVERED}")
        for each in times:
            if each and predicate.tense not in each.tenses:
                raise ValueError(f'"{" ".join(each.english)}" does not go with the {predicate.tense} tense. {COVERED}')
    return tuple(predicates)


def _open_tense(predicate, predicates, time):
    """ "I read": past beside "yesterday" or another verb in the past, else present."""
    times = [time, *(adjunct.phrase for adjunct in predicate.adjuncts if adjunct.kind == "time")]
    if any(each and each.tenses == {"past"} for each in times):
        return "past"
    return next((other.tense for other in predicates if other.tense), "present")


def _check_pair(subject, first, last):
    helped = first.kind in ("verb", "have") and first.negated
    bare = last.kind in ("verb", "have") and not last.negated and last.tense == "present"
    if helped and bare and not is_third(subject):
        raise ValueError(f'does "not" hold for both verbs? Say the subject again before the second. {COVERED}')
    if first.kind in ("noun", "place", "have") and first.tense == "past":
        raise ValueError(f'after "was a …", "was at …" or "had" say the subject again. {COVERED}')


def _check_sense(subject, predicate):
    """Refuse what would be wrong Korean, or no English: a cold person, "listen to you", "I love me", two places."""
    kinds = Counter(adjunct.kind for adjunct in predicate.adjuncts if adjunct.kind != "time")
    if max(kinds.values(), default=0) > 1:
        raise ValueError(f"one place, one goal, one companion in a clause. {COVERED}")
    complement = predicate.complement
    if isinstance(complement, Quality) and _is_person(subject):
        adjective = complement.adjective
        if not adjective.suits & ({"person", "adult"} if isinstance(subject, Pronoun) else subject.noun.tags):
            raise ValueError(f'"{adjective.english}" is said of things here, not of persons. {COVERED}')
    if predicate.kind == "verb" and _is_person(complement):
        if subject is complement and complement.subject in ("I", "you", "we"):
            raise ValueError(f'"{subject.subject}" and "{complement.object}" are the same person. {COVERED}')
        if predicate.verb is not BECOME and not any("person" in objects for objects in predicate.verb.uses.values()):
            raise ValueError(f'"{predicate.verb.base}" goes with things here, not with persons. {COVERED}')


def _is_person(phrase):
    if isinstance(phrase, Pronoun):
        return phrase is not IT
    return isinstance(phrase, NounPhrase) and "person" in phrase.noun.tags


def _check_predicate(subject, predicate):
    _check_sense(subject, predicate)
    if predicate.negated and predicate.frequency:
        raise ValueError(f'"{predicate.frequency}" and "not" together can be understood in two ways. {COVERED}')
    complement = predicate.complement
    if predicate.negated and isinstance(complement, Quality) and complement.very:
        raise ValueError(f'"not very" has no single Korean word for "very": leave it out. {COVERED}')
    becomes = predicate.kind == "noun" or (predicate.verb is BECOME and isinstance(complement, NounPhrase))
    if becomes and complement.noun.plural and subject is not YOU and subject.plural != complement.plural:
        shown = complement.noun.plural if complement.plural else complement.noun.english
        other = complement.noun.english if complement.plural else complement.noun.plural
        raise ValueError(f'"{shown}" does not fit the number of its subject: try "{other}". {COVERED}')
