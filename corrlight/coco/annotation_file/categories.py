"""The categories of an annotation file: ids and names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from corrlight.coco.annotation_file.lists import RecordList
from corrlight.coco.findings import Findings, short
from corrlight.coco.json_pieces import Piece, object_pieces
from corrlight.coco.types import Array

__all__ = ["CategoryList", "read_categories"]


def read_categories(path: Path | str) -> dict[int, str]:
    """Return the name of every category of an annotation file by id, ascending.

    Nothing else in the file is looked at.

    Raises:
        JsonFileError: If the file cannot be read or parsed.
        ValueError: If it has no categories, or one has no id or name of its own; it counts all
            problems.
    """
    findings = Findings()
    listed = CategoryList(findings)
    for key, piece in object_pieces(path, "COCO annotation file", {"categories": None}):
        if key is not None and isinstance(piece, Piece):
            listed.add(piece.content, piece.first)
    rows = listed.finish().tolist()
    # Names are what the caller is after: the checks are those of a training.
    findings.raise_all("train", path)
    if not rows:
        raise ValueError(f"Expected `categories` with id and name in {path}, but found none.")
    return {int(listed.ids[row]): listed.names[row] for row in rows}


class CategoryList(RecordList):
    """The categories. One that comes again as it is counts once; another of its id is a fault.

    Attributes:
        names: Their names; the id where there is none.
    """

    def __init__(self, findings: Findings) -> None:
        super().__init__("category", findings)
        self.names: list[str] = []
        self._named: list[bool] = []

    def add(self, piece: Sequence[Any], first: int) -> None:
        """Take the next categories."""
        records = self.records(piece, first)
        given = [record.get("name") for record in records.content]
        named = [isinstance(name, str) and name != "" for name in given]
        records.fault(
            "category_name",
            [row for row, is_named in enumerate(named) if not is_named],
            "a name as name of",
            lambda row: f"name is {short(given[row])}, not a name",
            given.__getitem__,
        )
        self.names += [
            str(record.get("id") if name is None else name)
            for record, name in zip(records.content, given, strict=True)
        ]
        self._named += named

    def finish(self) -> Array:
        """Report what categories have together; return the rows that count, by ascending id."""
        ids, names = self.ids, self.names
        again = self.repeated()
        kept = np.setdiff1d(np.arange(len(ids)), again)
        name_of = {int(ids[row]): names[row] for row in kept}
        same = np.array([names[row] == name_of[int(ids[row])] for row in again], dtype=bool)
        self.report_repeated(again[~same])
        self.fault(
            "merged_category",
            again[same].tolist(),
            "a category once, but it comes again in",
            lambda row: short(names[row]),
            lambda row: "",
        )
        named = [row for row in kept.tolist() if self._named[row]]
        owner: dict[str, int] = {}
        self.fault(
            "repeated_name",
            [row for row in named if owner.setdefault(names[row], row) != row],
            "a name of its own in",
            lambda row: f"same name {names[row]!r} as category {ids[owner[names[row]]]}",
            lambda row: short(names[row]),
        )
        kept = kept[self.good[kept]]
        return kept[np.argsort(ids[kept], kind="stable")]
