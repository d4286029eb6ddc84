"""Mistakes that are made alone or two at a time."""

from itertools import combinations

from course_utils.exercises.engine import Misconception


def alone(*mistakes):
    """A misconception for each of the mistakes, (answer, sentence) pairs."""
    return tuple(Misconception(answer, sentence) for answer, sentence in mistakes)


def alone_and_in_pairs(build, *mistakes):
    """Misconceptions for each of the mistakes, and for each two of them that change different settings.

    build: called with settings by name, gives an answer; mistakes: (settings, sentence) pairs, settings a dict.
    """
    single = [Misconception(build(**settings), sentence) for settings, sentence in mistakes]
    double = [
        Misconception(build(**one, **other), f"You made two mistakes at once. {first} {second}")
        for (one, first), (other, second) in combinations(mistakes, 2) if not one.keys() & other.keys()
    ]
    return (*single, *double)
