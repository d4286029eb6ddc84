"""`record NAME`: make a recorded experiment again and write assets/results/NAME.json.

A recording is a module in `course_utils/recordings/` with `SETTINGS`, a dict that JSON can hold, and
`run(progress)`, which returns its results as a dict. `progress(list)` gives the list's entries and shows how far it is.
A recording that trains weights puts them under the key "weights", a dict from a checkpoint's name to its model; they go
to assets/checkpoints/ as safetensors, and not into the JSON. One that makes other files of the course puts them under
the key "files", a dict from a path inside assets/ to the file's text.
"""

import contextlib
import importlib
import json
import os
import pkgutil
import platform
import time

from course_utils import layout, recordings
from course_utils.commands import CommandError
from course_utils.layout import write_whole

LARGEST = 3_000_000       # bytes of one checkpoint


def add_arguments(parser):
    parser.add_argument("name", metavar="NAME", nargs="?", help="the recording; without one, all are listed")


def run(arguments):
    """Record one experiment, or list all. Returns the exit status."""
    if arguments.name is None:
        for name, purpose in listed().items():
            print(f"{name:24} {purpose}")
        return 0
    from tqdm.auto import tqdm

    path = record(arguments.name, tqdm)
    print(f"{path.relative_to(layout.ROOT)} written ({path.stat().st_size / 1000:.0f} kB)")
    return 0


def names():
    """Names of all recordings."""
    return [module.name for module in pkgutil.iter_modules(recordings.__path__)]


def listed():
    """Recordings as a dict from name to the first line of its docstring."""
    return {name: (load(name).__doc__ or "").strip().partition("\n")[0] for name in names()}


def load(name):
    """The module of one recording. Raises CommandError for a name that is none."""
    if name not in names():
        raise CommandError(f"There is no recording '{name}'; there are {', '.join(names()) or 'none'}.")
    return importlib.import_module(f"course_utils.recordings.{name}")


def record(name, progress=list):
    """Run the recording and write its results. Returns the path of the file.

    The file bears no date: the same run on the same machine differs in its seconds only.
    """
    module = load(name)
    with on_the_cpu():
        import torch

        from course_utils import training

        training.prepare()             # threads as in the notebooks: other numbers of them change the last digits
        started = time.perf_counter()
        results = module.run(progress)
        seconds = round(time.perf_counter() - started, 1)
    files = {layout.CHECKPOINTS / f"{checkpoint}.safetensors": as_safetensors(model, checkpoint)
             for checkpoint, model in results.pop("weights", {}).items()}
    files |= {layout.ASSETS / inner: text.encode() for inner, text in results.pop("files", {}).items()}
    content = {"name": name, "settings": module.SETTINGS, "versions": versions(), "threads": torch.get_num_threads(),
               "seconds": seconds, "results": results}
    path = layout.RESULTS / f"{name}.json"
    files[path] = as_json(content).encode()
    for file, data in files.items():     # nothing is written before all of it is ready
        write_whole(file, data)
    return path


def as_safetensors(model, name):
    """A model's weights as the bytes of a file. Raises CommandError above 3 MB and for weights that are not finite."""
    from safetensors.torch import save

    weights = {key: value.cpu().contiguous().clone() for key, value in model.state_dict().items()}
    if not all(value.isfinite().all() for value in weights.values()):
        raise CommandError(f"The weights {name} hold infinity or NaN; nothing was written.")
    content = save(weights)
    if len(content) > LARGEST:
        raise CommandError(f"The weights {name} have {len(content) / 1e6:.1f} MB; a file may have at most 3 MB.")
    return content


@contextlib.contextmanager
def on_the_cpu():
    """Recordings are made on the CPU: a live run of one seed is held against them there."""
    before = os.environ.get("COURSE_DEVICE")
    os.environ["COURSE_DEVICE"] = "cpu"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COURSE_DEVICE"]
        else:
            os.environ["COURSE_DEVICE"] = before


def versions():
    """Versions that the numbers depend on."""
    from importlib.metadata import version

    return {"python": platform.python_version(), "torch": version("torch"), "numpy": version("numpy")}


def as_json(content):
    """The content as JSON, one entry a line where entries are flat. Raises CommandError for what JSON cannot hold."""
    try:
        return layered(content) + "\n"
    except (TypeError, ValueError) as error:
        raise CommandError(f"These results cannot be written as JSON ({error}): use numbers that are finite, "
                           "texts, lists and dicts.") from None


def layered(value, indent=""):
    """JSON with a line for each entry, but flat lists and dicts on one line, so that files stay short and readable."""
    flat = json.dumps(value, ensure_ascii=False, allow_nan=False)
    children = list(value.values()) if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else []
    if not any(isinstance(child, (list, tuple, dict)) for child in children):
        return flat
    inner = indent + " "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(str(key), ensure_ascii=False)}: {layered(child, inner)}"
                 for key, child in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + layered(child, inner) for child in children) + f"\n{indent}]"
