"""Prose out of docstrings: sentences, what they are about, and the parts that they fall into."""

import re

import pytest

from course_utils.data.docstrings import (
    PARTS,
    TOPICS,
    Docstring,
    docstring_sentences,
    docstring_text,
    entries_of,
    load_docstrings,
    sentences_of,
    split_of,
    topic_sentences,
)


def entry(module, text):
    return Docstring(module, module.removesuffix(".py").split("/")[0], "f", text)


def in_part(part, package="m"):
    """The path of a file that falls into the part."""
    return next(module for n in range(1000) if split_of(module := f"{package}/f{n}.py") == part)


# ---------------------------------------------------------------- sentences

@pytest.mark.parametrize(("text", "sentences"), [
    ("Open the file now. It is read at once.", ["Open the file now.", "It is read at once."]),
    ("A line that goes\non in the next\tline.", ["A line that goes on in the next line."]),
    ("Is the file open? Then close the file! \"Quoted\" words begin one too.",
     ["Is the file open?", "Then close the file!", '"Quoted" words begin one too.']),
    ("Use a large number, e.g. one hundred, where allowed.", ["Use a large number, e.g. one hundred, where allowed."]),
    ("One paragraph without full stop\n\nand then another of words", ["One paragraph without full stop",
                                                                      "and then another of words"]),
    ("The file is open.   \n \n  Deeper lines are left out.\n\nThe file is closed.",
     ["The file is open.", "The file is closed."]),
    ("Too short here. A sentence has four words.", ["A sentence has four words."]),
    ("", []), (" \n\n\n ", []),
])
def test_prose_is_cut_into_sentences(text, sentences):
    assert sentences_of(text) == sentences


@pytest.mark.parametrize("paragraph", [
    ">>> this is what you type here\nthis is what comes back",
    "A session follows this line:\n>>> print(1)",
    "$ python program with some words",
    "Name of option  Meaning of option\n------------------------------",
    "====================\nA title of several words",
    "    an indented block of many words",
    "f(a, b, c) -> [(x, 1), (y, 2), (z, 3)] of the four words",
])
def test_what_is_no_prose_is_left_out(paragraph):
    assert sentences_of(f"The first sentence stays here.\n\n{paragraph}\n\nThe last sentence stays here.") == [
        "The first sentence stays here.", "The last sentence stays here."]


def test_a_sentence_that_stood_before_is_left_out_and_so_is_a_docstring_without_any():
    module = in_part("test")
    entries = [entry(module, "Return the file name. Raise an error if closed. Return the file name."),
               entry(module, "Return the file name."),
               entry(module, "no prose"),
               entry(module, "Write the file name. Return the file name. Never close this file.")]
    assert docstring_sentences("test", entries) == [
        ["Return the file name.", "Raise an error if closed."],
        ["Write the file name.", "Never close this file."]]
    assert docstring_sentences("train", entries) == [] == docstring_sentences("test", [])


# ---------------------------------------------------------------- topics

def test_a_sentence_gets_the_topic_of_its_package():
    names = list(TOPICS)
    rows = [(name, in_part("train", TOPICS[name][0])) for name in ("xml", "mail", "files")]
    entries = [entry(module, f"This sentence is about {name}.") for name, module in rows]
    entries += [entry(in_part("train", "zoneinfo"), "This package has no topic."),
                entry(in_part("test", "xml"), "This is another part entirely.")]
    assert topic_sentences("train", entries) == [
        (f"This sentence is about {name}.", names.index(name)) for name, _ in rows]


def test_a_module_that_is_one_file_has_a_topic_too():
    module = next(f"{name}.py" for name in TOPICS["numbers"] if split_of(f"{name}.py") == "train")
    for package in (module, module.removesuffix(".py")):
        row = Docstring(module, package, "f", "The mean of all numbers.")
        assert topic_sentences("train", [row]) == [("The mean of all numbers.", list(TOPICS).index("numbers"))]


def test_a_sentence_found_in_two_packages_counts_once_with_its_first_topic():
    entries = [entry(in_part("train", package), "Return a copy of it.") for package in ("email", "xml")]
    assert topic_sentences("train", entries) == [("Return a copy of it.", list(TOPICS).index("mail"))]


def test_no_package_has_two_topics():
    packages = [package for names in TOPICS.values() for package in names]
    assert len(packages) == len(set(packages)) and len(TOPICS) == 6


# ---------------------------------------------------------------- the parts of the real corpus

def test_every_docstring_is_in_one_part():
    found = load_docstrings()
    parts = {part: entries_of(part, found) for part in PARTS}
    assert sum(map(len, parts.values())) == len(found) and all(parts.values())
    assert set().union(*parts.values()) == set(found)
    assert docstring_text("test", found) == "\n\n".join(row.text for row in parts["test"])


@pytest.mark.parametrize("call", [entries_of, docstring_text, docstring_sentences, topic_sentences])
@pytest.mark.parametrize("part", ["", "Train", "all", None])
def test_a_part_that_is_none_is_refused_in_one_line(call, part):
    with pytest.raises(ValueError, match="is none of 'train', 'validation', 'test'") as error:
        call(part, [])
    assert "\n" not in str(error.value)


def test_the_real_sentences_are_prose_and_there_are_enough_to_learn_from():
    docstrings = docstring_sentences("train")
    sentences = [sentence for group in docstrings for sentence in group]
    assert all(docstrings) and len(sentences) == len(set(sentences)) > 8000
    assert sum(len(group) > 1 for group in docstrings) > 1000, "pairs of neighbours, for next-sentence prediction"
    for sentence in sentences:
        assert sentence == " ".join(sentence.split()) and ">>>" not in sentence[:4]
        assert len(re.findall("[A-Za-z]{2,}", sentence)) >= 4


def test_every_topic_has_sentences_to_learn_from():
    found = topic_sentences("train")
    assert len({sentence for sentence, _ in found}) == len(found)
    for number, name in enumerate(TOPICS):
        assert sum(topic == number for _, topic in found) >= 200, name
