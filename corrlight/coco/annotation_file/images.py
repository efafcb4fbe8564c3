"""The images of an annotation file: ids, sizes, file names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from corrlight.coco.annotation_file.lists import RecordList, joined
from corrlight.coco.columns import Records
from corrlight.coco.findings import Findings, short
from corrlight.coco.types import Array
from corrlight.coco.values import is_given, whole_numbers

__all__ = ["ImageList", "is_inside"]


class ImageList(RecordList):
    """The images.

    LVIS names its images by their address in COCO (``coco_url``) alone. They get its last part as
    name, and the folder before it as well if not all of them lie in one folder.

    Attributes:
        file_names: Names, empty where there is none.
    """

    def __init__(self, findings: Findings) -> None:
        super().__init__("image", findings)
        self.file_names: list[str] = []
        self._sizes: list[Array] = []
        self._addresses: dict[int, PurePosixPath] = {}

    @property
    def sizes(self) -> Array:
        """``(I, 2)`` int64 height and width, 0 where the file does not say."""
        return joined(self._sizes).reshape(-1, 2).astype(np.int64)

    def add(self, piece: Sequence[Any], first: int) -> None:
        """Take the next images."""
        records = self.records(piece, first)
        self._sizes.append(_sizes(records))
        nameless = []
        for row, record in enumerate(records.content):
            name, address = record.get("file_name"), record.get("coco_url")
            if not is_given(name) and isinstance(address, str) and address:
                self._addresses[first + row] = PurePosixPath(address)
            elif not isinstance(name, str) or not name:
                nameless.append(row)
            self.file_names.append(name if isinstance(name, str) else "")
        given = [record.get("file_name") for record in records.content]
        records.fault(
            "file_name",
            nameless,
            "a name as file_name of",
            lambda row: f"file_name is {short(given[row])}, not a name",
            given.__getitem__,
        )

    def finish(self) -> None:
        """Report what images have together."""
        self.report_repeated(self.repeated())
        self._take_addresses()
        names, ids = self.file_names, self.ids
        self.fault(
            "outside_folder",
            [row for row, name in enumerate(names) if name and not is_inside(name)],
            "a file_name inside the image folder in",
            lambda row: f"file_name {short(names[row])} leaves the image folder",
            lambda row: short(names[row]),
        )
        owner: dict[str, int] = {}
        self.fault(
            "repeated_file_name",
            [r for r, name in enumerate(names) if name and owner.setdefault(name, r) != r],
            "a file_name of its own in",
            lambda row: f"same file_name {names[row]!r} as image {ids[owner[names[row]]]}",
            lambda row: short(names[row]),
        )

    def _take_addresses(self) -> None:
        folders = {address.parent.name for address in self._addresses.values()}
        for row, address in self._addresses.items():
            folder = "" if len(folders) == 1 else f"{address.parent.name}/"
            self.file_names[row] = folder + address.name
        self.fault(
            "coco_url",
            list(self._addresses),
            "a file_name in",
            lambda row: f"{short(self.file_names[row])}",
            lambda row: "none",
        )


def _sizes(records: Records) -> Array:
    given = [(record.get("height"), record.get("width")) for record in records.content]
    numbers, good = whole_numbers(list(chain.from_iterable(given)))
    sizes = numbers.reshape(-1, 2)
    absent = np.array([[v is None for v in pair] for pair in given], dtype=bool).reshape(-1, 2)
    wrong = ((~good.reshape(-1, 2) & ~absent) | (sizes < 0)).any(1)
    sizes[wrong] = 0
    for kind, rows in (("size", wrong), ("no_size", (sizes == 0).any(1) & ~wrong)):
        records.fault(
            kind,
            np.flatnonzero(rows).tolist(),
            "whole numbers as height and width of",
            lambda row: "height {} and width {} are not positive ints".format(
                *map(short, given[row])
            ),
            lambda row: list(given[row]),
        )
    return sizes


def is_inside(name: str) -> bool:
    """Return whether a file name stays inside its folder, on any system."""
    if name[:1] != "/" and not any(part in name for part in ("..", ":", "\\", "\0")):
        return True  # What follows takes 30 times as long.
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return "\0" not in name and not any(
        p.is_absolute() or p.drive or ".." in p.parts for p in paths
    )
