"""What a split is like: objects by class and size, empty pictures, anchors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corrlight.coco.annotation_file.table import AnnotationTable
from corrlight.coco.types import Array
from corrlight.data.fitting.input_size import fitted
from corrlight.datasets.checking.classes import class_counts

__all__ = ["SIZE_EDGES", "Statistics", "input_object_sizes", "statistics_of"]

# Borders of the size classes in pixels, the square root of width x height.
SIZE_EDGES = (0, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Numbers of a split.

    Attributes:
        num_images: Pictures.
        num_objects: Annotations, crowds included.
        num_empty: Pictures without any.
        num_crowds: Annotations that are crowds.
        num_masks: Annotations with a sound mask.
        classes: Class name -> objects.
        sizes: Objects in each class of ``SIZE_EDGES``, the last one open.
        edges: ``(n,)`` square roots of width x height of all objects with a sound box.
        per_image: ``(I,)`` objects of each picture.
        picture_sizes: Smallest and largest longer side in pixels, None without a known one.
    """

    num_images: int
    num_objects: int
    num_empty: int
    num_crowds: int
    num_masks: int
    classes: dict[str, int]
    sizes: tuple[int, ...]
    edges: Array
    per_image: Array
    picture_sizes: tuple[int, int] | None


def statistics_of(table: AnnotationTable) -> Statistics:
    """Return the numbers of a table."""
    owners = table.image_idx[table.image_idx >= 0]
    per_image = np.bincount(owners, minlength=len(table.image_ids))
    edges = table.boxes[~table.invalid & ~np.isnan(table.boxes).any(1), 2:].prod(1) ** 0.5
    classes = class_counts(table).tolist()
    counts: dict[str, int] = {}
    for name, count in zip(table.names, classes, strict=True):
        counts[name] = counts.get(name, 0) + count
    longest = table.sizes.max(1) if len(table.sizes) else np.zeros(0)
    known = longest[longest > 0]
    return Statistics(
        num_images=len(table.image_ids),
        num_objects=len(table),
        num_empty=int((per_image == 0).sum()),
        num_crowds=int(table.crowd.sum()),
        num_masks=0 if table.masked is None else int(table.masked.sum()),
        classes=counts,
        sizes=tuple(np.histogram(edges, (*SIZE_EDGES, np.inf))[0].tolist()),
        edges=edges,
        per_image=per_image,
        picture_sizes=(int(known.min()), int(known.max())) if len(known) else None,
    )


def input_object_sizes(table: AnnotationTable, side: int | None = None) -> Array:
    """Return ``(n, 2)`` widths and heights of the objects as a network sees them.

    As in training, crowds and objects narrower or lower than a pixel are left out.

    Args:
        table: The annotations.
        side: ``data.size``; None as the pictures are, shrunk where they are too large.
    """
    with np.errstate(invalid="ignore"):
        kept = (
            ~table.invalid
            & ~table.crowd
            & (table.image_idx >= 0)
            & (table.boxes[:, 2:] >= 1).all(1)
        )
    owners = table.image_idx[kept]
    kept[kept] = (table.sizes[owners] > 0).all(1)
    owners = table.image_idx[kept]
    if not len(owners):
        return np.zeros((0, 2))
    known, place = np.unique(table.sizes, axis=0, return_inverse=True)
    after = np.array([fitted((h, w), side) if h and w else (0, 0) for h, w in known.tolist()])
    factors = (after / np.maximum(known, 1))[place.reshape(-1)][owners]
    sizes: Array = table.boxes[kept, 2:] * factors[:, ::-1]
    return sizes
