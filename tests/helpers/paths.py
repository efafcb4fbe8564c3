"""Where the committed oracle data lies; other data of the same form can be put in."""

import os
from pathlib import Path

import pytest

_DATA = Path(__file__).parents[1] / "data"
# Whose files a fixture has where it has none of its own: what is the same is stored once.
_BASES = {
    "tood_initial": "tood",
    "deformable_detr_refine": "deformable_detr",
    "deformable_detr_two_stage": "deformable_detr",
}


def golden_root() -> Path:
    """Return the folder of the golden vectors (``CORRLIGHT_GOLDEN``)."""
    return _existing(Path(os.environ.get("CORRLIGHT_GOLDEN", _DATA / "golden")))


def fixtures_root() -> Path:
    """Return the folder of the detector fixtures (``CORRLIGHT_FIXTURES``)."""
    return _existing(Path(os.environ.get("CORRLIGHT_FIXTURES", _DATA / "fixtures")))


def existing_fixture(name: str) -> Path:
    """Return the folder of one fixture; skip the test if other data without it was put in."""
    path = fixtures_root() / name
    if not path.is_dir() and "CORRLIGHT_FIXTURES" in os.environ:
        pytest.skip(f"CORRLIGHT_FIXTURES has no {name}")
    return _existing(path)


def stored_file(folder: Path, name: str) -> Path:
    """Return where a file of a fixture's folder lies: with its base, if both have the same."""
    own = folder / name
    return own if own.is_file() else folder.with_name(_BASES.get(folder.name, folder.name)) / name


def cases_root() -> Path:
    """Return the folder of files that other tools write (``CORRLIGHT_CASES``)."""
    return _existing(Path(os.environ.get("CORRLIGHT_CASES", _DATA / "cases")))


def _existing(path: Path) -> Path:
    if not path.is_dir():
        raise FileNotFoundError(f"Expected oracle data in {path}, but there is no such folder.")
    return path
