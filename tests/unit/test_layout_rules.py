"""Rules about the project as a whole: what may be imported where, and what may lie in it."""

import ast
import fnmatch
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import urllib.parse
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from course_utils import layout
from course_utils.commands import CommandError, bench, lints, record

# Needed before the environment exists: no package may be imported at the top of these. Only `agreement` is imported
# late, by commands that run inside the environment.
COMMANDS = sorted(path for path in (layout.ROOT / "course_utils" / "commands").glob("*.py") if path.stem != "agreement")
EARLY = [layout.ROOT / "course_utils" / name for name in ("__init__.py", "__main__.py", "layout.py", "progress.py")]
REQUIREMENTS = layout.ROOT / "requirements.txt"
FOR_TEACHING = layout.ROOT / "requirements-teaching.txt"         # not always installed
SOURCES = sorted((layout.ROOT / "course_utils").rglob("*.py"))


def run_python(program):
    environment = {**os.environ, "PYTHONPATH": str(layout.ROOT)}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("module", ["course_utils", "course_utils.layout", "course_utils.progress",
                                    "course_utils.commands.dispatch", "course_utils.commands.notebooks",
                                    "course_utils.commands.testing", "course_utils.commands.bench",
                                    "course_utils.commands.record"])
def test_importing_it_loads_neither_torch_nor_matplotlib(module):
    program = f"import sys, {module}; print({{'torch', 'matplotlib', 'numpy', 'yaml'}} & set(sys.modules))"
    assert run_python(program).stdout == "set()\n"


def test_importing_the_widgets_loads_no_torch():
    assert run_python("import sys, course_utils.widgets; print('torch' in sys.modules)").stdout == "False\n"


@pytest.mark.parametrize("path", [*EARLY, *COMMANDS], ids=lambda path: path.stem)
def test_commands_start_with_the_standard_library_alone(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    imported += [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    foreign = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) - {"course_utils"}
    assert not foreign


# ---- what lies in the project

def project_files():
    """Every file that git would track: all but git's own folder and the folders that .gitignore names."""
    patterns = (layout.ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert all(pattern.endswith("/") for pattern in patterns), "only patterns of folders are understood here"
    everywhere = [pattern[:-1] for pattern in patterns if not pattern.startswith("/")]
    at_the_top = [pattern[1:-1] for pattern in patterns if pattern.startswith("/")] + [".git"]
    for folder, folders, names in os.walk(layout.ROOT):
        ignored = everywhere + (at_the_top if Path(folder) == layout.ROOT else [])
        folders[:] = [name for name in folders if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)]
        yield from (Path(folder, name) for name in names if name != ".git")


def text_of(path):
    """What a reader can see in a file, escapes resolved: "\\n/x" in a source is a line end and a path. Else ""."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""
    return text.replace("\\n", "\n").replace("\\t", "\t")


MACHINE_PATH = re.compile(r"(?<![\w.:/}>)])/(?:work/|root/|(?:home|Users)/\w+|tmp/\w)")
ALLOWED = {
    "tests/notebooks/test_lints.py": ["/home/me"],       # made up: an output that the lint must find
    "tests/unit/test_layout_rules.py": ["/home/me", "/work/"],     # this list
    ".gitignore": ["/work/"],                            # git's way to say: at the top of the project
}


def machine_paths(path):
    found = MACHINE_PATH.findall(text_of(path))
    allowed = ALLOWED.get(path.relative_to(layout.ROOT).as_posix(), [])
    return [text for text in found if text not in allowed]


def test_no_file_names_a_folder_of_one_machine():
    files = set(project_files())
    for known in ("README.md", ".ci/run", "assets/chapters.yml", "course_utils/widgets/static/core.js",
                  "tests/unit/test_layout_rules.py", "notebooks/00_start_here.ipynb"):
        assert layout.ROOT / known in files
    assert {str(path): found for path in files if (found := machine_paths(path))} == {}


@pytest.mark.parametrize(("text", "names_one"), [
    ("open('{}work/x')", True), ("see {}root/.cache", True), ("a\\n{}home/jo/x", True), ("'{}Users/jo'", True),
    ("{}tmp/wheels", True), ("{}home", False), ("https://host{}work/x", False), ("..{}work/x", False),
    ("f'{{own}}{}work/x'", False),
])
def test_a_folder_of_one_machine_is_found(tmp_path, monkeypatch, text, names_one):
    monkeypatch.setattr(layout, "ROOT", tmp_path)
    path = tmp_path / "file.txt"
    path.write_text(text.format("/"))                    # put together here: this file is searched too
    assert bool(machine_paths(path)) is names_one


def test_every_import_is_pinned():
    """Everything imported anywhere in the package and the tests: what nobody pins may change or vanish."""
    folders = [layout.ROOT / "course_utils", layout.ROOT / "tests"]
    sources = [path for path in project_files() if path.suffix == ".py" and set(path.parents) & set(folders)]
    assert len(sources) > 50
    tests = [path for path in sources if folders[1] in path.parents]
    own = {"course_utils", *(path.stem for path in tests), *(path.parent.name for path in tests)}
    text = REQUIREMENTS.read_text() + FOR_TEACHING.read_text()
    pins = {normalised(name) for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    distributions = importlib.metadata.packages_distributions()
    for path in sources:
        for name in imported_modules(path) - own - set(sys.stdlib_module_names):
            providers = {normalised(distribution) for distribution in distributions.get(name, [name])}
            where = path.relative_to(layout.ROOT)
            assert providers & pins, f"{where} imports {name}, which no requirements file pins"


def normalised(name):
    """The name of a distribution as indexes compare it: PyYAML and pyyaml are one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_modules(path):
    """First parts of all modules that a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.append(node.module)
    return {name.partition(".")[0] for name in names}


def test_every_relative_link_leads_to_a_file():
    texts = [(layout.ROOT, (layout.ROOT / "README.md").read_text(encoding="utf-8"))]
    for path in layout.chapter_notebooks().values():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts += [(path.parent, "".join(cell["source"])) for cell in cells if cell["cell_type"] == "markdown"]
    targets = [(folder, target) for folder, text in texts for target in relative_links(text)]
    assert (layout.ROOT, "LICENSE") in targets
    assert [target for folder, target in targets if not (folder / target).is_file()] == []


def relative_links(text):
    """Targets of Markdown links and pictures that are neither addresses nor places in the same text."""
    text = lints.CODE_SPAN.sub(" ", text)
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)", text) + re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, re.MULTILINE)
    paths = [urllib.parse.unquote(target.partition("#")[0]) for target in targets if not re.match(r"[a-z]+:", target)]
    return [path for path in paths if path]


def test_links_are_found():
    text = "[a](b.md) ![p](c%20d/e.png \"title\") [w](https://x.org) [m](mailto:a@b.c) [s](#part) [t](f.md#part)\n" \
           "`[code](no.md)` [r][1]\n\n[1]: g.md"
    assert relative_links(text) == ["b.md", "c d/e.png", "f.md", "g.md"]


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
    lines = [line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines()]
    lines = [line for line in lines if line]
    assert lines[-1] == "-e ."
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][\w.]*", line) for line in lines[:-1])


# ---- recordings

def test_every_recording_says_what_it_is_and_runs_with_settings():
    for name, purpose in record.listed().items():
        module = record.load(name)
        assert purpose, name
        assert isinstance(module.SETTINGS, dict) and callable(module.run), name


@pytest.fixture
def recording(tmp_path, monkeypatch):
    """A recording `small` with results to be set; its file goes into a temporary folder."""
    def run(progress=list):
        assert [*progress([1, 2])] == [1, 2]
        return module.results

    module = SimpleNamespace(SETTINGS={"seeds": [0, 1]}, run=run, results={"rows": [{"seed": 0, "loss": 0.5}]})
    monkeypatch.setattr(record, "load", lambda name: module)
    monkeypatch.setattr(layout, "RESULTS", tmp_path)
    monkeypatch.setattr(layout, "CHECKPOINTS", tmp_path / "weights")
    monkeypatch.setattr(layout, "ASSETS", tmp_path)
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


def test_weights_of_a_recording_become_safetensors_and_stay_out_of_the_json(recording, tmp_path):
    layer = torch.nn.Linear(3, 2)
    recording.results = {"loss": 0.5, "weights": {"small_one": layer}}
    content = json.loads(record.record("small").read_text(encoding="utf-8"))
    assert content["results"] == {"loss": 0.5}
    saved = load_file(tmp_path / "weights" / "small_one.safetensors")
    assert set(saved) == {"weight", "bias"} and torch.equal(saved["weight"], layer.weight)


def test_other_files_of_a_recording_go_into_assets_and_stay_out_of_the_json(recording, tmp_path):
    recording.results = {"loss": 0.5, "files": {"inner/small.txt": "한 line\n"}}
    content = json.loads(record.record("small").read_text(encoding="utf-8"))
    assert content["results"] == {"loss": 0.5}
    assert (tmp_path / "inner" / "small.txt").read_bytes() == "한 line\n".encode()
    recording.results = {"loss": float("nan"), "files": {"inner/small.txt": "new", "inner/other.txt": "new"}}
    with pytest.raises(CommandError, match="cannot be written as JSON"):
        record.record("small")
    assert [path.read_bytes() for path in (tmp_path / "inner").iterdir()] == ["한 line\n".encode()]


@pytest.mark.parametrize(("change", "message"), [
    ({"weights": {"fine": torch.nn.Linear(2, 2), "large": torch.nn.Linear(1000, 800)}}, r"large have 3\.2 MB; a file"),
    ({"weights": {"fine": torch.nn.Linear(2, 2)}, "loss": float("nan")}, "cannot be written as JSON"),
])
def test_nothing_is_written_where_a_part_cannot_be(recording, tmp_path, change, message):
    recording.results = change
    with pytest.raises(CommandError, match=message):
        record.record("small")
    assert not (tmp_path / "weights").exists() and not (tmp_path / "small.json").exists()


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
        "import": {"bare Python": 0.02, "import course_utils": 0.018, "import torch": 0.05},
        "notebooks": {"01_rnn.ipynb": {"seconds": 30, "budget": 60, "slowest": {"train": 20}}},
        "models": {"pair": {"ours": 2.0, "torch": 1.0}},
        "widgets": {"Quiz": {"program_kB": 1, "data_kB": 1, "opens_ms": 9, "slider_opens_ms": 3, "key_ms": 1,
                             "slider_key_ms": 2}},
        "attention": {"program_kB": 90, "first_paint_kB": 140, "stack_kB": 2400, "arrival_to_paint_ms": 300,
                      "head_change_ms": 5.0, "slowest_head_change_ms": 9.0},
    }
    text = bench.tables(results, {"cores": 2, "system": "Linux", "python": "3", "torch": "2"})
    assert text.count("\n\n**") == len(bench.PARTS)
    for ratio in ("| 0.03 s | 2.5 |", "| 0.018 s | < 0.01 s | about 1 |", "| 0.50 |", "| 2.00 |", "| 3.0 |"):
        assert ratio in text
