"""Pictures of equal content, within splits and in several."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path

__all__ = ["Member", "same_content"]

# Split and place in it.
Member = tuple[str, int]
# Bytes by which files are told apart before they are read as a whole.
_BEGIN = 16_384


def same_content(paths: Mapping[str, Sequence[str]]) -> list[list[Member]]:
    """Return groups of files with the same bytes; of each, splits and places in order.

    Only files whose size agrees are read, and only those whose beginning agrees as a whole. One
    file that several names mean (a link) is one of the group.

    Args:
        paths: Files of every split; those that cannot be read are left out.
    """
    groups: list[list[Member]] = [[(s, k) for s, names in paths.items() for k in range(len(names))]]
    for key in (_size, _begin, _whole):
        groups = [part for group in groups for part in _parted(group, paths, key)]
    return groups


def _parted(
    group: Iterable[Member],
    paths: Mapping[str, Sequence[str]],
    key: Callable[[str], Hashable],
) -> list[list[Member]]:
    parts: dict[Hashable, list[Member]] = defaultdict(list)
    for member in group:
        try:
            parts[key(paths[member[0]][member[1]])].append(member)
        except OSError:
            continue
    return [part for part in parts.values() if len(part) > 1]


def _size(path: str) -> int:
    return os.stat(path).st_size


def _begin(path: str) -> bytes:
    # Calls of the system: `open` takes longer than the hash.
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return hashlib.blake2b(os.read(file, _BEGIN), digest_size=16).digest()
    finally:
        os.close(file)


def _whole(path: str) -> bytes:
    if _size(path) <= _BEGIN:
        return b""  # Its beginning was all.
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()
