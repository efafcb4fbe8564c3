"""The classes of splits beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from corrlight.coco.annotation_file.table import AnnotationTable
from corrlight.coco.findings import KEPT
from corrlight.coco.types import Array
from corrlight.datasets.checking.problems import Problem, counted

__all__ = ["class_counts", "class_problems"]

# A class that fewer objects have is hardly learned.
_FEW = 10


def class_counts(table: AnnotationTable) -> Array:
    """Return ``(C,)`` numbers of the objects of each class."""
    rows = table.category_idx[table.category_idx >= 0]
    return np.bincount(rows, minlength=len(table.names))


def class_problems(tables: Mapping[str, AnnotationTable]) -> list[Problem]:
    """Return what is wrong with the classes of some splits."""
    problems = [p for split, table in tables.items() for p in _own(split, table)]
    splits = list(tables)
    for k, one in enumerate(splits):
        for other in splits[k + 1 :]:
            problems += _between(one, tables[one], other, tables[other])
    return problems


def _own(split: str, table: AnnotationTable) -> list[Problem]:
    counts = dict(zip(table.names, class_counts(table).tolist(), strict=True))
    problems = []
    near: dict[str, list[str]] = {}
    for name in dict.fromkeys(table.names):
        near.setdefault(" ".join(name.casefold().split()), []).append(name)
    alike = [" and ".join(map(repr, names)) for names in near.values() if len(names) > 1]
    if alike:
        problems.append(
            Problem(
                kind="alike_classes",
                level="warning",
                where=split,
                count=len(alike),
                text="classes whose names differ in capitals or spaces alone",
                examples=tuple(alike[:KEPT]),
                way_out="They are different classes.",
            )
        )
    if not len(table):
        return problems
    unused = [name for name, count in counts.items() if not count]
    if unused:
        problems.append(_unused(split, unused))
    few = [f"{name}: {counts[name]}" for name in counts if 0 < counts[name] < _FEW]
    if few and split == "train":
        problems.append(
            Problem(
                kind="rare_class",
                level="note",
                where=split,
                count=len(few),
                text=f"{counted(len(few), 'class')} with fewer than {_FEW} objects",
                examples=tuple(few[:KEPT]),
            )
        )
    return problems


def _unused(split: str, names: Sequence[str]) -> Problem:
    way_out = "A detector cannot learn them." if split == "train" else "They are not measured."
    return Problem(
        kind="unused_class",
        level="warning" if split == "train" else "note",
        where=split,
        count=len(names),
        text=f"{counted(len(names), 'class')} without an object",
        examples=tuple(names[:KEPT]),
        way_out=way_out,
    )


def _between(
    one: str, first: AnnotationTable, other: str, second: AnnotationTable
) -> list[Problem]:
    where = f"{one} and {other}"
    if set(first.names) != set(second.names):
        lines = [
            f"{name!r} in {split} alone"
            for split, names, others in (
                (one, first.names, second.names),
                (other, second.names, first.names),
            )
            for name in names
            if name not in others
        ]
        return [
            Problem(
                kind="class_lists",
                level="error",
                where=where,
                count=len(lines),
                text=f"class lists that differ in {counted(len(lines), 'name')}",
                examples=tuple(lines[:KEPT]),
                way_out="Every split lists all classes, in `categories`.",
            )
        ]
    ids = [dict(zip(t.names, t.category_ids.tolist(), strict=True)) for t in (first, second)]
    moved = [name for name in ids[0] if ids[0][name] != ids[1][name]]
    if not moved:
        return []
    lines = [f"{name!r}: {ids[0][name]} in {one}, {ids[1][name]} in {other}" for name in moved]
    return [
        Problem(
            kind="class_order",
            level="warning",
            where=where,
            count=len(moved),
            text=f"{counted(len(moved), 'class')} with another id in the other file",
            examples=tuple(lines[:KEPT]),
            way_out="Training goes by their names, other tools may go by the ids.",
        )
    ]
