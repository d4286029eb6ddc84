"""Experiments too long to run in a notebook, one module each, and what came of them."""

import json

from course_utils.layout import RESULTS


def recorded(name):
    """The recording `name` as a dict with settings, versions, seconds and results.

    Raises FileNotFoundError, with the command that makes it, where there is none.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"there is no {path.name}; make it with: python3 -m course_utils record {name}")
    return json.loads(path.read_text(encoding="utf-8"))
