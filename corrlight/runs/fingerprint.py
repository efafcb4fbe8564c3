"""Data by content: what a run id takes from annotation files and pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from corrlight.picture_files import is_picture

__all__ = ["data_fingerprint", "file_digest", "file_stamp", "picture_list"]


def data_fingerprint(files: Iterable[Path], folders: Iterable[Path] = ()) -> dict[str, str]:
    """Return the sha256 of every annotation file and of every folder's list of pictures.

    Neither where they are nor what they are called is part of it, so that data that have moved
    are the same data.

    Args:
        files: The annotation files, in the order of their splits.
        folders: The folders of pictures, in the order of their splits (:func:`picture_list`).
    """
    content = {f"annotations {k}": file_digest(path) for k, path in enumerate(files)}
    return content | {f"pictures {k}": picture_list(path) for k, path in enumerate(folders)}


def picture_list(folder: Path) -> str:
    """Return the sha256 of the names and sizes of all pictures below ``folder``.

    Reading the bytes of COCO's 123,000 pictures would take minutes, their sizes take half a second.
    A picture whose content changes and whose size in bytes does not is not noticed.
    """
    listed = "\n".join(f"{size} {name}" for name, size in sorted(_pictures(folder, "")))
    return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()


def _pictures(folder: Path | str, prefix: str) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _pictures(entry.path, f"{prefix}{entry.name}/")
            elif is_picture(entry.name):
                try:
                    yield f"{prefix}{entry.name}", entry.stat().st_size
                except FileNotFoundError:  # A link to nothing: reading it will say so.
                    yield f"{prefix}{entry.name}", -1


def file_stamp(path: Path) -> tuple[int, int, int, int]:
    """Return what changes whenever the content of a file does: size, times and inode.

    The time of the last change of the inode is among them, which no user can set back.
    """
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, read once a process as long as it is not written."""
    return _sha256(path, file_stamp(path))


@lru_cache(maxsize=64)
def _sha256(path: Path, stamp: tuple[int, int, int, int]) -> str:
    """Hash a file once a process: all jobs of a sweep name the same ones."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
