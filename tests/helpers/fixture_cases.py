"""The cases of the detector fixtures, read from the data's own files.

Every test of a fixture is parametrised with :func:`each_case`, so that
``tests/detectors/fixtures/test_fixture_cases.py`` can tell which cases are not run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.paths import fixtures_root, stored_file

_GRADIENT = re.compile(r"corr_grad_(.+)_(?:stage\d+_cls|all_cls|cls_\d+)")


@dataclass(frozen=True, order=True)
class FixtureCase:
    """One quantity of one reduced model that the published implementation gives.

    Attributes:
        folder: ``atss``, ``atss_noaux``, ...
        quantity: "outputs", "assignment" and "cls_grad" (all arrays of the file), "losses",
            "grad_norm" and "corr_grad" (one a variant), "edge" (one a variant and batch),
            "detections" and "detections_v3" (one a tag).
        name: Variant, ``variant/batch`` or tag; empty for quantities with one case.
    """

    folder: str
    quantity: str
    name: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, (self.folder, self.quantity, self.name)))


def _folder_cases(folder: Path) -> Iterator[tuple[str, str]]:
    for quantity in ("outputs", "assignment", "cls_grad"):
        if stored_file(folder, f"{quantity}.npz").is_file():
            yield quantity, ""
    losses = json.loads((folder / "losses.json").read_text())
    for quantity in ("losses", "grad_norm"):
        for variant in losses.get(quantity, {}):
            yield quantity, variant
    # Norms lie beside the losses, gradients beside them or, of other heads, with the assignment.
    variants = dict.fromkeys(losses.get("corr_grad", {}))
    found = (_GRADIENT.fullmatch(key) for key in _keys(folder / "assignment.npz"))
    variants |= dict.fromkeys(match[1] for match in found if match is not None)
    for variant in variants:
        yield "corr_grad", variant
    for variant, batches in losses.get("edge", {}).items():
        for batch in batches:
            yield "edge", f"{variant}/{batch}"
    for quantity in ("detections", "detections_v3"):
        for key in _keys(folder / f"{quantity}.npz"):
            if key.endswith("boxes_0"):
                yield quantity, key.removesuffix("boxes_0").removesuffix("_")


def _keys(path: Path) -> list[str]:
    """Return the names of the arrays of a file, none if there is no file."""
    if not path.is_file():
        return []
    with np.load(path) as file:
        return file.files


@cache
def all_cases() -> tuple[FixtureCase, ...]:
    """Return every case of every folder that describes a detector."""
    return tuple(
        FixtureCase(path.parent.name, quantity, name)
        for path in sorted(fixtures_root().glob("*/losses.json"))
        for quantity, name in _folder_cases(path.parent)
    )


def each_case(folders: str, quantity: str) -> pytest.MarkDecorator:
    """Return the mark that runs a test for every case of a quantity, as its argument ``case``.

    Args:
        folders: Names separated by spaces.
        quantity: As in :class:`FixtureCase`.
    """
    own = [c for c in all_cases() if c.folder in folders.split() and c.quantity == quantity]
    return pytest.mark.parametrize("case", own, ids=str)
