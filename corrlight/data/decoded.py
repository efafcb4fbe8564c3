"""Decoded pictures that the jobs of a sweep share: one of them decodes, all look at one memory.

A sweep names a folder in the environment of its jobs. What is decoded there is a file that each of
them maps, so that the system keeps its pages once, and may drop them where memory is short.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["DECODED_FOLDER", "shared_pixels"]

# Environment variable with the folder; without it nothing is shared.
DECODED_FOLDER = "CORRLIGHT_DECODED"

Array = npt.NDArray[Any]
log = logging.getLogger(__name__)


def shared_pixels(
    files: Sequence[Path], how: Sequence[object], size: int, fill: Callable[[Array], None]
) -> Array | None:
    """Return the decoded bytes of a data set, decoded here or by another job of this sweep.

    Args:
        files: The pictures, in the order of their bytes. Files that have changed since (by size or
            time) are decoded anew.
        how: What else the bytes depend on, as JSON takes it.
        size: Number of bytes.
        fill: Decodes all of them into an array; called by the first job, the others wait. Raises
            no OSError.

    Returns:
        ``(size,)`` uint8, whose changes stay in this process. None where nothing is shared: outside
        of sweeps, or, with a line in the log, where the folder has no room or no locks.

    What ``fill`` raises is raised; the next job then decodes.
    """
    folder = os.environ.get(DECODED_FOLDER)
    if folder is None or not size:
        return None
    try:
        stats = [file.stat() for file in files]
    except OSError:
        return None  # Decoding says which file is missing.
    facts = [
        [os.path.abspath(f), s.st_size, s.st_mtime_ns] for f, s in zip(files, stats, strict=True)
    ]
    name = hashlib.sha256(json.dumps([facts, list(how)]).encode()).hexdigest()[:24]
    path = Path(folder) / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                part = path.with_suffix(".part")
                reserved = _reserved(part, size)
                fill(reserved)
                part.replace(path)
        return _mapped(path, size)
    except OSError as error:
        log.info("Decoded pictures are not shared with other jobs: %s: %s.", folder, error.strerror)
        return None


def _reserved(path: Path, size: int) -> Array:
    """Return the bytes of a new file."""
    with path.open("w+b") as file:
        # Writing to a mapped page that a full disk cannot take would kill the process.
        os.posix_fallocate(file.fileno(), 0, size)
        return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)


def _mapped(path: Path, size: int) -> Array:
    """Return the bytes of a file; what is written to them stays in this process."""
    with path.open("rb") as file:
        return np.frombuffer(
            mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE),
            np.uint8,
        )
