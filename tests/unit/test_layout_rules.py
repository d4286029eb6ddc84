"""Rules about the project as a whole: what may be imported where, and what may lie in it."""

import ast
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from course_utils import layout
from course_utils.commands import CommandError, bench, record

# Needed before the environment exists: no package may be imported at the top of these. Only `agreement` is imported
# late, by commands that run inside the environment.
COMMANDS = sorted(path for path in (layout.ROOT / "course_utils" / "commands").glob("*.py") if path.stem != "agreement")
EARLY = [layout.ROOT / "course_utils" / name for name in ("__init__.py", "__main__.py", "layout.py", "progress.py")]
SOURCES = sorted((layout.ROOT / "course_utils").rglob("*.py"))


def run_python(program):
    environment = {**os.environ, "PYTHONPATH": str(layout.ROOT)}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("module", ["course_utils", "course_utils.layout", "course_utils.progress",
                                    "course_utils.commands.dispatch", "course_utils.commands.notebooks",
                                    "course_utils.commands.testing", "course_utils.commands.bench",
                                    "course_utils.commands.record"])
def test_importing_it_loads_neither_torch_nor_matplotlib(module):
    program = f"import sys, {module}; print([name for name in ('torch', 'matplotlib', 'numpy') if name in sys.modules])"
    assert run_python(program).stdout == "[]\n"


@pytest.mark.parametrize("path", [*EARLY, *COMMANDS], ids=lambda path: path.stem)
def test_commands_start_with_the_standard_library_alone(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    imported += [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    foreign = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) - {"course_utils"}
    assert not foreign


def test_no_source_names_a_folder_of_one_machine():
    pattern = re.compile(r"(?<![\w.:/])/(home|root|Users)/\w")
    assert [str(path) for path in SOURCES if pattern.search(path.read_text(encoding="utf-8"))] == []


def test_pyplot_is_not_used():
    assert [str(path) for path in SOURCES if "pyplot" in imports_of(path)] == []


def imports_of(path):
    """Every word in the import statements of a file."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
             if isinstance(node, (ast.Import, ast.ImportFrom))]
    return set(re.findall(r"\w+", " ".join(ast.unparse(node) for node in nodes)))


def test_checkpoints_stay_small():
    sizes = {path.name: path.stat().st_size for path in layout.CHECKPOINTS.glob("*") if path.is_file()}
    assert all(name.endswith(".safetensors") for name in sizes)
    assert all(size <= 3_000_000 for size in sizes.values())
    assert sum(sizes.values()) <= 15_000_000


def test_requirements_are_exact():
    lines = [line.partition("#")[0].strip() for line in (layout.ROOT / "requirements.txt").read_text().splitlines()]
    lines = [line for line in lines if line]
    assert lines[-1] == "-e ."
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][\w.]*", line) for line in lines[:-1])


# ---- recordings

def test_every_recording_says_what_it_is_and_runs_with_settings():
    for name, purpose in record.listed().items():
        module = record.load(name)
        assert purpose, name
        assert isinstance(module.SETTINGS, dict) and callable(module.run), name


def test_every_result_belongs_to_a_recording_with_the_same_settings():
    for path in layout.RESULTS.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if path.stem != "bench":
            assert content["settings"] == json.loads(json.dumps(record.load(path.stem).SETTINGS)), path.name
            assert {"name", "versions", "seconds", "results"} <= set(content), path.name


@pytest.fixture
def recording(tmp_path, monkeypatch):
    """A recording `small` with results to be set; its file goes into a temporary folder."""
    def run(progress=list):
        assert [*progress([1, 2])] == [1, 2]
        return module.results

    module = SimpleNamespace(SETTINGS={"seeds": [0, 1]}, run=run, results={"rows": [{"seed": 0, "loss": 0.5}]})
    monkeypatch.setattr(record, "load", lambda name: module)
    monkeypatch.setattr(layout, "RESULTS", tmp_path)
    return module


def test_a_recording_is_written_with_settings_and_versions(recording, tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    path = record.record("small")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert path == tmp_path / "small.json"
    assert (content["settings"], content["results"]) == (recording.SETTINGS, recording.results)
    assert set(content["versions"]) == {"python", "torch", "numpy"}
    assert "COURSE_DEVICE" not in os.environ


@pytest.mark.parametrize("results", [{"loss": float("nan")}, {"model": object()}])
def test_results_that_json_cannot_hold_leave_the_old_file(recording, tmp_path, results):
    old = record.record("small").read_bytes()
    recording.results = results
    with pytest.raises(CommandError, match="cannot be written as JSON"):
        record.record("small")
    assert (tmp_path / "small.json").read_bytes() == old


def test_results_stay_readable_and_true():
    content = {"a": [1, 2], "b": {"c": {"d": 1.5}}, "e": [], "f": [[1], {"g": "다"}], "h": None}
    text = record.as_json(content)
    assert json.loads(text) == content
    assert ' "a": [1, 2],\n' in text


def test_an_unknown_recording_is_told_in_one_sentence():
    with pytest.raises(CommandError, match="There is no recording 'nothing'; there are "):
        record.load("nothing")


# ---- bench

def test_the_table_replaces_what_stands_between_the_markers(tmp_path):
    readme = tmp_path / "README.md"
    other = "<!-- chapters:start -->\nkept\n<!-- chapters:end -->\n"
    readme.write_text(f"before\n{other}<!-- bench:start -->\nold\n<!-- bench:end -->\nafter\n")
    bench.write_into_readme("bench", "| new |", readme)
    assert readme.read_text() == f"before\n{other}<!-- bench:start -->\n| new |\n<!-- bench:end -->\nafter\n"


def test_a_readme_without_markers_is_left_alone(tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("text\n")
    bench.write_into_readme("bench", "| new |", readme)
    assert readme.read_text() == "text\n"
    assert "has no lines" in capsys.readouterr().out


def test_every_part_of_the_bench_can_be_loaded_and_makes_a_table():
    results = {
        "import": {"bare Python": 0.02, "import course_utils": 0.03},
        "notebooks": {"01_rnn.ipynb": {"seconds": 30, "budget": 60, "slowest": {"train": 20}}},
        "models": {"pair": {"ours": 2.0, "torch": 1.0}},
        "widgets": {"Quiz": {"program_kB": 1, "data_kB": 1, "opens_ms": 9, "slider_opens_ms": 3, "key_ms": 1,
                             "slider_key_ms": 2}},
    }
    text = bench.tables(results, {"cores": 2, "system": "Linux", "python": "3", "torch": "2"})
    assert text.count("\n\n**") == len(bench.PARTS)
    for ratio in ("| 1.5 |", "| 0.50 |", "| 2.00 |", "| 3.0 |"):
        assert ratio in text
