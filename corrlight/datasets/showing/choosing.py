"""Which pictures of a set are worth a look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from corrlight.coco.annotation_file.table import AnnotationTable
from corrlight.coco.types import Array

__all__ = ["Section", "View", "sections"]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A picture to be shown.

    Attributes:
        split: Its split.
        image: Its place in the table of the split.
        focus: The annotation that it is about, as a place in the table; None for all.
        crop: Whether only the surroundings of that one are shown.
    """

    split: str
    image: int
    focus: int | None = None
    crop: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Pictures under a heading.

    Attributes:
        title: The heading.
        text: What they have in common, and how many there are.
        views: The pictures.
        part_of: Heading of a group of sections; empty if it stands alone.
    """

    title: str
    text: str
    views: tuple[View, ...]
    part_of: str = ""


def sections(
    tables: Mapping[str, AnnotationTable], limit: int = 48, seed: int = 0
) -> list[Section]:
    """Return the pictures by class, the smallest and largest objects, the crowded, the empty.

    Args:
        tables: Annotations of every split.
        limit: Most pictures of a section; the classes share one.
        seed: Of the draw of pictures for each class.
    """
    owners = np.concatenate(
        [np.full(len(table), k) for k, table in enumerate(tables.values())] or [np.zeros(0)]
    ).astype(np.int64)
    rows = np.concatenate([np.arange(len(t)) for t in tables.values()] or [np.zeros(0, np.int64)])
    splits = list(tables)
    found = _by_class(tables, limit, seed)
    areas = np.concatenate([_areas(table) for table in tables.values()] or [np.zeros(0)])
    order = np.argsort(areas, kind="stable")
    order = order[np.isfinite(areas[order])]

    def view(place: int, crop: bool) -> View:
        split, row = splits[owners[place]], int(rows[place])
        image = int(tables[split].image_idx[row])
        return View(split=split, image=image, focus=row, crop=crop)

    smallest = [view(int(place), True) for place in order[:limit]]
    largest = [view(int(place), False) for place in order[::-1][:limit]]
    crowded, empty = _by_count(tables, limit)
    num_empty = sum(int((_counts(table) == 0).sum()) for table in tables.values())
    for title, text, views in (
        ("Smallest objects", "The surroundings of each, enlarged.", smallest),
        ("Largest objects", "The object is drawn thick.", largest),
        ("Most objects", "Pictures with the most objects.", crowded),
        ("Empty pictures", f"{num_empty:,} pictures have no object.", empty),
    ):
        if views:
            found.append(Section(title=title, text=text, views=tuple(views)))
    return found


def _areas(table: AnnotationTable) -> Array:
    """Return ``(A,)`` areas of the boxes, NaN for those that cannot be drawn."""
    areas = table.boxes[:, 2:].prod(1)
    areas[table.invalid | table.crowd | (table.image_idx < 0)] = np.nan
    return areas


def _counts(table: AnnotationTable) -> Array:
    owners = table.image_idx[table.image_idx >= 0]
    return np.bincount(owners, minlength=len(table.image_ids))


def _by_class(tables: Mapping[str, AnnotationTable], limit: int, seed: int) -> list[Section]:
    members: dict[str, list[tuple[str, int]]] = {}
    totals: dict[str, int] = {}
    for split, table in tables.items():
        good = (table.category_idx >= 0) & (table.image_idx >= 0)
        pairs = np.unique(np.stack([table.category_idx, table.image_idx], 1)[good], axis=0)
        for category, image in pairs.tolist():
            members.setdefault(table.names[category], []).append((split, image))
        for name, count in zip(
            table.names,
            np.bincount(table.category_idx[good], minlength=len(table.names)).tolist(),
            strict=True,
        ):
            totals[name] = totals.get(name, 0) + count
    names = sorted(members, key=lambda name: -totals[name])
    each = max(1, limit // max(1, len(names)))
    rng = np.random.default_rng(seed)
    found = []
    for name in names[:limit]:
        those = members[name]
        drawn = np.sort(rng.permutation(len(those))[:each]).tolist()
        views = tuple(View(split=those[k][0], image=those[k][1]) for k in drawn)
        text = f"{totals[name]:,} objects in {len(those):,} pictures"
        text += f", {each:,} of them drawn at random." if len(those) > each else "."
        found.append(Section(title=name, text=text, views=views, part_of="By class"))
    return found


def _by_count(tables: Mapping[str, AnnotationTable], limit: int) -> tuple[list[View], list[View]]:
    counted = [
        (count, split, image)
        for split, table in tables.items()
        for image, count in enumerate(_counts(table).tolist())
    ]
    most = sorted((c for c in counted if c[0]), key=lambda c: -c[0])[:limit]
    empty = [c for c in counted if not c[0]][:limit]
    crowded, none = ([View(split=s, image=k) for _, s, k in views] for views in (most, empty))
    return crowded, none
