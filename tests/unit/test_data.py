"""The data modules: memory tasks, vocabulary, docstrings."""

import json
import subprocess
import sys

import pytest
import torch

from course_utils.data import docstrings, memory
from course_utils.data.vocabulary import PAD_ID, Vocabulary, pad_ids


def test_recall_batch_asks_for_its_first_symbol():
    x, first = memory.recall_batch(50, gap=6, generator=torch.Generator().manual_seed(0))
    assert x.shape == (50, 8, memory.SYMBOLS + 1)
    ids = x.argmax(-1)
    assert torch.equal(ids[:, 0], first)
    assert (ids[:, -1] == memory.SYMBOLS).all() and (ids[:, :-1] < memory.SYMBOLS).all()
    assert (x.sum(-1) == 1).all()


def test_adding_batch_marks_one_number_in_each_half():
    x, sums = memory.adding_batch(200, length=9, generator=torch.Generator().manual_seed(0))
    numbers, marks = x.unbind(-1)
    assert (marks[:, :4].sum(1) == 1).all() and (marks[:, 4:].sum(1) == 1).all()
    torch.testing.assert_close((numbers * marks).sum(1), sums)
    error_of_answering_one = (sums - 1).square().mean().item()
    assert abs(error_of_answering_one - 1 / 6) < 0.03


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: memory.recall_batch(0, 3), "at least 1"),
        (lambda: memory.recall_batch(3, -1), "not be negative"),
        (lambda: memory.adding_batch(3, 1), "two numbers"),
    ],
)
def test_impossible_tasks_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_same_generator_gives_the_same_batch():
    for make in (lambda g: memory.recall_batch(4, 5, g), lambda g: memory.adding_batch(4, 5, g)):
        one, two = (make(torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])


def test_vocabulary_goes_there_and_back():
    vocabulary = Vocabulary.of_characters("나는 너를 사랑해")
    assert vocabulary.decode(vocabulary.encode("사랑해 나는")) == "사랑해 나는"
    with pytest.raises(ValueError, match="'x'"):
        vocabulary.encode("x")
    with pytest.raises(ValueError, match="outside"):
        vocabulary.decode([len(vocabulary)])


def test_vocabulary_with_an_unknown_token():
    vocabulary = Vocabulary(["<unk>", "a", "b"], unknown="<unk>")
    assert vocabulary.encode(["a", "z", "b"]) == [1, 0, 2]
    with pytest.raises(ValueError, match="not in the vocabulary"):
        Vocabulary(["a"], unknown="<unk>")
    with pytest.raises(ValueError, match="distinct"):
        Vocabulary(["a", "a"])


SOURCE = b'''"""A module with a docstring long enough."""
class Outer:
    """A class with a docstring long enough."""
    def method(self):
        """A method with a docstring long enough."""
    def bare(self):
        return "not a docstring, although it is long"
'''


def test_docstrings_are_found_with_their_names():
    assert [name for name, _ in docstrings.docstrings_of(SOURCE)] == ["", "Outer", "Outer.method"]
    assert list(docstrings.docstrings_of(b'"""broken')) == []


def test_reading_a_folder_leaves_out_tests_and_repeated_texts(tmp_path):
    (tmp_path / "pack" / "test").mkdir(parents=True)
    (tmp_path / "pack" / "a.py").write_bytes(SOURCE)
    (tmp_path / "pack" / "b.py").write_bytes(SOURCE)
    (tmp_path / "pack" / "test" / "c.py").write_bytes(SOURCE.replace(b"docstring", b"sentence"))
    (tmp_path / "bad.py").write_bytes(b'"""\xff not utf-8, and nothing to be parsed"""')
    found = docstrings.read_docstrings(tmp_path)
    assert [(entry.module, entry.package, entry.name) for entry in found] == [
        ("pack/a.py", "pack", ""), ("pack/a.py", "pack", "Outer"), ("pack/a.py", "pack", "Outer.method"),
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="without the sources"):
        docstrings.read_docstrings(tmp_path / "empty")


def test_the_real_corpus_is_large_and_split_by_file(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    found = docstrings.load_docstrings()
    assert sum(len(entry.text) for entry in found) > 1_000_000
    assert docstrings.load_docstrings() == found, "the cache gives back what was read"
    modules = {part: set() for part in ("train", "validation", "test")}
    for entry in found:
        modules[docstrings.split_of(entry.module)].add(entry.module)
    assert all(modules.values())
    share = len(modules["train"]) / sum(map(len, modules.values()))
    assert 0.7 < share < 0.9
    with pytest.raises(ValueError, match="none of"):
        docstrings.docstring_text("tests", found)


def test_a_broken_or_unwritable_cache_only_costs_time(monkeypatch, tmp_path):
    entries = [docstrings.Docstring("a.py", "a", "", "some text")]
    monkeypatch.setattr(docstrings, "read_docstrings", lambda folder: entries)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    docstrings.load_docstrings()
    cache = next(tmp_path.glob("docstrings-*.json"))
    cache.write_text(cache.read_text()[:-5])
    assert docstrings.load_docstrings() == entries
    assert json.loads(cache.read_text()), "and it is whole again"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file" / "inside"))
    with pytest.warns(UserWarning, match="could not be kept"):
        assert docstrings.load_docstrings() == entries


def test_the_split_does_not_depend_on_the_python_that_runs():
    code = "from course_utils.data.docstrings import split_of; print([split_of(f'm{i}.py') for i in range(50)])"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other == f"{[docstrings.split_of(f'm{i}.py') for i in range(50)]}\n"


# ---- blocks of ids

def test_ids_are_filled_up_with_the_padding_id():
    ids, lengths = pad_ids([[5, 6, 7], [8]])
    assert ids.tolist() == [[5, 6, 7], [8, PAD_ID, PAD_ID]] and lengths.tolist() == [3, 1]
    assert ids.dtype == lengths.dtype == torch.int64
    assert pad_ids([torch.tensor([4, 5])])[0].tolist() == [[4, 5]]


@pytest.mark.parametrize("sequences", [[], [[]], [[1], []], [[1, 2], [1.5]], [["a"]], [1, 2], [[[1]]]])
def test_what_is_no_list_of_ids_is_refused(sequences):
    with pytest.raises(ValueError) as error:
        pad_ids(sequences)
    assert "\n" not in str(error.value)
