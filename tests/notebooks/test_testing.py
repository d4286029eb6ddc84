"""`test` tells the truth: what fails is reported as failed, and what did not run is not reported as passed."""

import argparse
import os

import pytest
import small

from course_utils.commands import assigning, solving, testing
from course_utils.commands.testing import Case, Report


def write(folder, *cells, name="small.ipynb"):
    return small.save(small.notebook(*cells), folder, name)


def compared(words):
    return small.code("compared", "print(6 * 7)", "nbval-check-output", outputs=[small.printed(words)])


# ---- notebooks under nbval

def test_a_notebook_that_passes(tmp_path):
    assert testing.check_notebook(write(tmp_path, small.text("title", "# T"), compared("42\n"))) == []


def test_a_tagged_output_that_differs_fails(tmp_path):
    [failure] = testing.check_notebook(write(tmp_path, compared("41\n")))
    assert failure == "FAILED small.ipynb, cell compared: Cell outputs differ"


def test_an_untagged_output_is_not_compared(tmp_path):
    cell = small.code("free-cell", "print(6 * 7)", outputs=[small.printed("41\n")])
    assert testing.check_notebook(write(tmp_path, cell)) == []


def test_a_cell_that_raises_fails_and_is_named(tmp_path):
    path = write(tmp_path, small.code("first-cell", "x = 1"), small.code("second-cell", "assert x == 2, 'not two'"))
    assert testing.check_notebook(path) == ["FAILED small.ipynb, cell second-cell: AssertionError: not two"]


def test_a_cell_that_is_skipped_was_not_tested(tmp_path):
    [failure] = testing.check_notebook(write(tmp_path, small.code("left-out", "x = 1", "nbval-skip")))
    assert "0 of 1 cells executed" in failure


def test_a_notebook_without_code_was_not_tested(tmp_path):
    [failure] = testing.check_notebook(write(tmp_path, small.text("title", "# T")))
    assert "0 of 0 cells executed" in failure


def test_what_is_no_notebook_fails(tmp_path):
    (tmp_path / "small.ipynb").write_text("{ broken")
    [failure] = testing.shipped_notebooks(tmp_path).failures
    assert failure.startswith("FAILED small.ipynb: it is not a readable notebook (")


def test_notebooks_are_tested_offline_with_their_own_progress(tmp_path):
    source = "import os\nprint(os.environ['COURSE_PROGRESS'])\nassert 'offline' in os.environ['PYTHONPATH']"
    leave = "open('place.txt', 'w').write(os.environ['COURSE_PROGRESS'])"
    assert testing.check_notebook(write(tmp_path, small.code("look-around", source), small.code("leave", leave))) == []
    place = (tmp_path / "place.txt").read_text()
    assert place != os.environ.get("COURSE_PROGRESS")
    assert not os.path.exists(place)


def test_every_notebook_on_disk_counts(tmp_path):
    write(tmp_path, compared("42\n"), name="00_good.ipynb")
    write(tmp_path, compared("41\n"), name="01_bad.ipynb")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    write(tmp_path / ".ipynb_checkpoints", compared("41\n"))
    report = testing.shipped_notebooks(tmp_path)
    assert (report.passed, report.failed) == (1, 1)
    assert report.words() == "1 of 2 notebooks"


def test_no_notebook_at_all_is_a_failure(tmp_path):
    assert testing.shipped_notebooks(tmp_path).failed == 1


def test_the_solved_edition_fails_where_an_exercise_does(tmp_path, monkeypatch):
    def no_solution(nb):
        return nb

    source = 'from course_utils.exercises import check\n\ndef one_hot_lookup(ids, table):\n    ...\n\n'
    write(tmp_path, small.code("answer", source + 'check("00.1", one_hot_lookup)', "exercise:00.1"))
    monkeypatch.setattr(solving, "solved", no_solution)
    report = testing.solved_notebooks(tmp_path)
    assert (report.passed, report.failed) == (0, 1)
    assert "cell answer: " in report.failures[0]


# ---- pytest stages

def pytest_on(folder, source):
    path = folder / "test_sample.py"
    path.write_text(source)
    return testing.run_pytest([path], dict(os.environ))


def test_cases_are_counted(tmp_path):
    status, cases = pytest_on(tmp_path, (
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0, 'wrong number'\n"
        "def test_c(): pytest.skip('no reason')\n@pytest.fixture\ndef f(): raise OSError('gone')\n"
        "def test_d(f): pass\n"))
    assert [case.outcome for case in cases] == ["passed", "failed", "skipped", "failed"]
    report = testing.tally("unit", status, cases)
    assert (report.passed, report.failed, report.skipped) == (1, 2, 1)
    assert "wrong number" in report.failures[0]
    assert report.words() == "1 of 3 unit (1 skipped)"


@pytest.mark.parametrize("source", ["import no_such_module_anywhere", "", "import os\ndef test_a(): os._exit(3)"])
def test_a_stage_that_tested_nothing_fails(tmp_path, source):
    assert testing.tally("unit", *pytest_on(tmp_path, source)).failed == 1


def test_a_crash_after_passing_tests_fails():
    report = testing.tally("unit", 3, [Case("a.py", "test_a", "passed")])
    assert (report.passed, report.failed) == (1, 1)


def test_a_failure_in_one_suite_does_not_spoil_the_others(monkeypatch):
    cases = [Case("tests/unit/a.py", "a", "passed"), Case("tests/notebooks/b.py", "b", "failed", "no"),
             Case("tests/parity/c.py", "c", "passed")]
    monkeypatch.setattr(testing, "run_pytest", lambda *_: (1, cases))
    assert [report.failed for report in testing.suites()] == [0, 1, 0]


def test_a_suite_without_tests_fails(monkeypatch):
    monkeypatch.setattr(testing, "run_pytest", lambda *_: (0, [Case("tests/unit/a.py", "a", "passed")]))
    assert [report.failed for report in testing.suites()] == [0, 1, 1]


# ---- the browser and nbgrader

MISSING = [("browser", "Chromium"), ("grading", "nbgrader")]


@pytest.fixture
def nothing_there(monkeypatch):
    monkeypatch.setattr(testing, "find_chromium", lambda: None)
    monkeypatch.setattr(assigning, "missing_nbgrader", lambda: "nbgrader is not installed")


@pytest.mark.parametrize(("label", "needed"), MISSING)
def test_without_what_they_need_tests_are_not_run(nothing_there, monkeypatch, label, needed):
    monkeypatch.delenv(f"COURSE_REQUIRE_{label.upper()}", raising=False)
    report = getattr(testing, label)()
    assert report.words() == f"{label} not run (no {needed})"
    assert report.failed == 0


@pytest.mark.parametrize(("label", "needed"), MISSING)
def test_where_it_is_required_its_absence_fails(nothing_there, monkeypatch, label, needed):
    monkeypatch.setenv(f"COURSE_REQUIRE_{label.upper()}", "1")
    report = getattr(testing, label)()
    assert report.failed == 1 and report.failures == [f"FAILED {label}: there is no {needed}, but it is required"]


# ---- the end

def last_lines(capsys):
    return capsys.readouterr().out.rstrip("\n").splitlines()[-2:]


def test_the_last_line_says_what_ran(capsys):
    reports = [Report("ruff", 1, counted=False), Report("unit", 350), Report("browser", not_run="no Chromium")]
    testing.conclude(reports, 370)
    assert last_lines(capsys) == [
        "351 passed, 0 failed", "351 passed, 0 failed: ruff, 350 unit, browser not run (no Chromium) (in 6 min 10 s)"]


def test_failures_are_listed_before_the_totals(capsys):
    testing.conclude([Report("ruff", 0, 1, failures=["FAILED ruff: see above"], counted=False)], 5)
    assert capsys.readouterr().out.splitlines()[1:3] == ["── failures", "FAILED ruff: see above"]


def test_a_failing_stage_does_not_hide_the_next(monkeypatch, capsys):
    both = [("one", lambda: [Report("one", 0, 1, failures=["FAILED one"])]), ("two", lambda: [Report("two", 2)])]
    monkeypatch.setattr(testing, "stages", lambda fast: both)
    assert testing.run(argparse.Namespace(fast=False)) == 1
    assert last_lines(capsys)[0] == "2 passed, 1 failed"


def test_fast_leaves_out_the_solved_edition_grading_and_the_browser():
    assert [title for title, _ in testing.stages(True)][-1] == "left out by --fast"
    assert [report.words() for report in testing.left_out()] == [
        "solved not run (--fast)", "grading not run (--fast)", "browser not run (--fast)"]
    assert len(testing.stages(False)) == len(testing.stages(True)) - 1 + len(testing.left_out())


def test_a_hanging_program_is_stopped(monkeypatch):
    monkeypatch.setattr(testing, "STAGE_SECONDS", 0.5)
    assert testing.call(["sleep", "60"]) is None
    assert testing.tally("unit", None, [Case("a.py", "a", "passed")]).failed == 1
