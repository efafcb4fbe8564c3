"""Data by content: what a run id takes from the annotation files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

__all__ = ["data_fingerprint"]


def data_fingerprint(files: Iterable[Path]) -> dict[str, str]:
    """Return the sha256 of every annotation file, by file name."""
    fingerprint: dict[str, str] = {}
    for path in files:
        name = path.name
        while name in fingerprint:  # train/instances.json and val/instances.json
            name += "'"
        stat = path.stat()
        fingerprint[name] = _sha256(path, stat.st_size, stat.st_mtime_ns)
    return fingerprint


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, modified: int) -> str:
    """Hash a file once a process: all jobs of a sweep name the same ones."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
