"""Picture files of a source that no reader took, so that none is lost without a count."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from corrlight.datasets.pictures import walk
from corrlight.datasets.records import Content, Ledger
from corrlight.picture_files import is_picture

__all__ = ["count_unused"]

# Pictures by their name that Pillow, as it is installed here, does not read.
_UNREAD = frozenset(
    f".{name}"
    for name in "heic heif avif svg psd jxl tga dng cr2 cr3 nef arw raw dcm".split()  # noqa: SIM905
)


def count_unused(
    sources: Iterable[Path], images: Path | None, contents: Sequence[Content], ledger: Ledger
) -> None:
    """Count the picture files of the sources that are in none of their contents.

    Looked at is the folder of the pictures, or else a source that is a folder, or else the folders
    that a source's pictures lie in. Masks beside the pictures of Pascal VOC are no pictures.

    Args:
        sources: Files and folders that were read.
        images: Folder of the pictures, if it was given.
        contents: What the readers returned, one a source.
        ledger: Where they are counted.
    """
    taken = {os.path.abspath(p.path) for content in contents for p in content.pictures}
    files: dict[Path, None] = {}
    for source, content in zip(sources, contents, strict=True):
        whole = images or (source if source.is_dir() else None)
        if whole is not None:
            files |= dict.fromkeys(walk(whole))
            continue
        folders = {p.path.parent for p in content.pictures if p.content is None}
        files |= dict.fromkeys(f for d in sorted(folders) for f in sorted(d.iterdir()))
    unnamed = []
    for file in files:
        ending = file.suffix.lower()
        if file.name.startswith(".") or file.parent.name.startswith("Segmentation"):
            continue
        if ending in _UNREAD:
            ledger.drop(f"files in a format that is not read ({ending})", file)
        elif is_picture(file.name) and os.path.abspath(file) not in taken:
            unnamed.append(file)
    # Links are followed for what is left alone: for every picture it takes seconds.
    real = {os.path.realpath(path) for path in taken} if unnamed else set()
    for file in unnamed:
        if os.path.realpath(file) not in real:
            ledger.drop("pictures of the source that the annotations do not name", file)
