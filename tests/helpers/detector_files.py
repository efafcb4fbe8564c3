"""The files of ``conf/detector`` that tests run over."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from corrlight.config.compose import config_dir

__all__ = ["OTHER_LIBRARIES", "marked", "names", "of_ours"]

# How the names of detectors of other libraries begin, and the marker of their tests.
OTHER_LIBRARIES = {"hf": "hf", "tv": None}


def names(pattern: str = "*", *, installed: bool = False) -> list[str]:
    """Return the names of the files, sorted.

    Args:
        pattern: Of their names.
        installed: Leave out those whose library is not there.
    """
    found = sorted(p.stem for p in (config_dir() / "detector").glob(f"{pattern}.yaml"))
    if installed and importlib.util.find_spec("transformers") is None:
        found = [name for name in found if _marker(name) != "hf"]
    return found


def marked(found: list[str]) -> list[Any]:
    """Return the names as parameters of a test, with the marker of the library they need."""
    return [
        pytest.param(name, marks=[getattr(pytest.mark, marker)] if marker else [])
        for name, marker in ((name, _marker(name)) for name in found)
    ]


def of_ours(found: list[str]) -> list[str]:
    """Return the detectors that are not of another library."""
    return [name for name in found if name.partition("_")[0] not in OTHER_LIBRARIES]


def _marker(name: str) -> str | None:
    return OTHER_LIBRARIES.get(name.partition("_")[0])
