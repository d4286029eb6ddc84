"""The links between English and Korean content words that alignments are measured against."""

import pytest

from course_utils.data.alignment import content_links
from course_utils.data.translation import Pair, source_tokens, split, translate, translation_splits


def linked_words(english, polite=False):
    pair = Pair(source_tokens(english, polite), split(translate(english, polite)))
    return {(pair.source[s], pair.target[t]) for t, s in content_links(pair)}


@pytest.mark.parametrize(("english", "expected"), [
    ("the cat drinks milk", {("cat", "고양이"), ("milk", "우유"), ("drinks", "마셔")}),
    ("we will not go to the park tomorrow", {("go", "가지"), ("park", "공원")}),
    ("my friend is very busy", {("friend", "친구"), ("busy", "바빠")}),
    ("the small white dog always sleeps", {("small", "작고"), ("white", "하얀"), ("dog", "개"), ("always", "항상"),
                                           ("sleeps", "자")}),
    ("I love you", {("love", "사랑해")}),
])
def test_content_words_are_linked(english, expected):
    assert linked_words(english) == expected


def test_a_word_that_stands_twice_is_left_out():
    assert linked_words("the cat sees the cat") == {("sees", "봐")}


def test_two_words_with_one_translation_are_left_out():
    assert not {english for english, _ in linked_words("the house is at home")} & {"house", "home"}


def test_every_link_is_one_to_one_and_in_the_sentence():
    for pair in translation_splits(train=800, validation=0, test=0, longer=0).train:
        links = content_links(pair)
        assert len({t for t, _ in links}) == len({s for _, s in links}) == len(links)
        assert all(0 <= t < len(pair.target) and 1 <= s < len(pair.source) for t, s in links)
        assert links == sorted(links)


def test_most_content_words_have_a_link():
    pairs = translation_splits(train=800, validation=0, test=0, longer=0).train
    assert sum(len(content_links(pair)) for pair in pairs) > 2.5 * len(pairs)


def test_links_cross_because_the_verb_comes_last():
    pair = Pair(source_tokens("the cat drinks milk"), split(translate("the cat drinks milk")))
    places = {pair.source[s]: (s, t) for t, s in content_links(pair)}
    (verb_s, verb_t), (object_s, object_t) = places["drinks"], places["milk"]
    assert verb_s < object_s and verb_t > object_t
