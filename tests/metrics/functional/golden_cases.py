"""The golden metric data sets: one a ``*_result.json`` file."""

import json
from functools import cache
from pathlib import Path

from corrlight.metrics import Evaluation
from tests.helpers.paths import golden_root


def case_names() -> list[str]:
    """Return the names of the data sets; an empty folder is an error."""
    files = sorted((golden_root() / "metrics").glob("*_result.json"))
    if not files:
        raise FileNotFoundError(f"Expected *_result.json files in {golden_root() / 'metrics'}.")
    return [f.name.removesuffix("_result.json") for f in files]


def path(name: str, what: str) -> Path:
    """Return the path of ``gt``, ``dt`` or ``result`` of a data set."""
    return golden_root() / "metrics" / f"{name}_{what}.json"


@cache
def result(name: str) -> dict:
    """Return the reference numbers of a data set."""
    return json.loads(path(name, "result").read_text())


@cache
def evaluation(name: str) -> Evaluation:
    """Return our evaluation of a data set, matched once for all tests."""
    return Evaluation.from_coco(path(name, "gt"), path(name, "dt"))
