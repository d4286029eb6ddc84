"""`bench`: measure times and sizes; write assets/results/bench.json and the table in the README.

The measurements themselves are in tests/bench.
"""

import importlib
import json
import os
import platform
import sys

from course_utils import layout
from course_utils.commands import CommandError, record
from course_utils.layout import write_whole

# part -> (module in tests/bench, title of its table, rounds)
PARTS = {
    "import": ("imports", "Importing the package", 9),
    "notebooks": ("chapters", "Executing the notebooks", 1),
    "widgets": ("widgets", "Widgets in JupyterLab", 5),
    "attention": ("attention_view", "AttentionView at its largest", 5),
    "models": ("models", "The course's models against PyTorch's", 5),
}


def add_arguments(parser):
    parser.add_argument("--only", choices=PARTS, help="measure this part and keep the earlier figures of the others")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each measurement is repeated")


def run(arguments):
    """Measure, print the tables, write them. Returns the exit status."""
    if arguments.rounds is not None and arguments.rounds < 1:
        raise CommandError("--rounds needs a number of at least 1.")
    result_file = layout.RESULTS / "bench.json"
    earlier = earlier_results(result_file)
    results = {part: earlier[part] for part in PARTS if part in earlier}
    for part in [arguments.only] if arguments.only else PARTS:
        module, title, rounds = measurement(part)
        print(f"── {title}", flush=True)
        results[part] = module.measure(arguments.rounds or rounds)
        print(module.table(results[part]), flush=True)
    machine = {"cores": os.cpu_count(), "system": platform.system(), **record.versions()}
    write_whole(result_file, record.as_json({"machine": machine, **results}).encode())
    write_into_readme("bench", tables(results, machine))
    if "notebooks" in results:
        write_into_readme("chapters", measurement("notebooks")[0].chapter_table(results["notebooks"]))
    return 0


def earlier_results(path):
    """What was measured before; nothing where there is no such file. Raises CommandError for a broken one."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError):
        raise CommandError(f"{path} is damaged: remove it, and everything is measured anew.") from None


def measurement(part):
    """Module, title and usual number of rounds of one part."""
    name, title, rounds = PARTS[part]
    folder = str(layout.ROOT / "tests")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(f"bench.{name}"), title, rounds


def tables(results, machine):
    """Everything measured so far as Markdown, in the order of PARTS."""
    versions = f"{machine['cores']} cores, {machine['system']}, Python {machine['python']}, torch {machine['torch']}"
    parts = [f"Measured by `python3 -m course_utils bench` on {versions}; ratios come from runs in turns."]
    for part in PARTS:
        if part in results:
            module, title, _ = measurement(part)
            parts.append(f"**{title}**\n\n{module.table(results[part])}")
    return "\n\n".join(parts)


def write_into_readme(name, text, path=layout.ROOT / "README.md"):
    """Replace what stands between the two markers of `name`. Says so where they are missing, and changes nothing."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    readme = path.read_text(encoding="utf-8") if path.exists() else ""
    before, found_start, rest = readme.partition(start)
    _, found_end, after = rest.partition(end)
    if not found_start or not found_end:
        print(f"{path.name} has no lines {start} and {end}: the table was not written there.")
        return
    write_whole(path, f"{before}{start}\n{text}\n{end}{after}".encode())
