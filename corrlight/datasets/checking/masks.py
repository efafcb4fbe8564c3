"""Masks decoded: whether they cover anything, and what their boxes say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as mask_utils

from corrlight.coco.annotation_file.table import AnnotationTable
from corrlight.coco.findings import KEPT
from corrlight.coco.segmentations import encode
from corrlight.coco.types import Array
from corrlight.datasets.checking.problems import Problem, counted

__all__ = ["decoded_masks"]

# Masks that are decoded together: pycocotools 2.0.11 counts those of `area` in a byte.
_PIECE = 255
# A mask's own box and the annotated one have at least this IoU.
_AGREES = 0.5
# Or their sides lie so many pixels apart: of an object of a pixel's height, nothing else is left.
_NEAR = 2.0


def decoded_masks(table: AnnotationTable, where: str) -> tuple[int, list[Problem]]:
    """Return how many masks were decoded, and what is wrong with them.

    Args:
        table: Annotations with all segmentations or a sample of them.
        where: The split.
    """
    shapes = table.segmentations
    if shapes is None or table.masked is None:
        return 0, []
    usable = table.masked & (table.image_idx >= 0) & ~table.invalid
    rows = [row for row in np.flatnonzero(usable).tolist() if shapes[row] is not None]
    sizes = table.sizes[table.image_idx]
    empty, elsewhere = [], []
    for start in range(0, len(rows), _PIECE):
        piece = rows[start : start + _PIECE]
        encoded = [encode(shapes[row], *sizes[row].tolist()) for row in piece]
        areas = np.asarray(mask_utils.area(encoded))
        covered = np.asarray(mask_utils.toBbox(encoded)).reshape(-1, 4)
        boxes = table.boxes[piece]
        near = (np.abs(_corners(covered) - _corners(boxes)) <= _NEAR).all(1)
        agree = near | (_iou(covered, boxes) >= _AGREES)
        empty += [row for row, area in zip(piece, areas, strict=True) if not area]
        elsewhere += [
            row for row, a, fits in zip(piece, areas, agree, strict=True) if a and not fits
        ]
    problems = [
        _problem(table, where, *case)
        for case in (
            ("empty_mask", empty, "covers no pixel", len(rows)),
            ("mask_elsewhere", elsewhere, "lies elsewhere than its bbox", len(rows)),
        )
        if case[1]
    ]
    return len(rows), problems


def _problem(
    table: AnnotationTable, where: str, kind: str, rows: Sequence[int], title: str, looked: int
) -> Problem:
    return Problem(
        kind=kind,
        level="warning",
        where=where,
        count=len(rows),
        text=f"{counted(len(rows), 'annotation')} whose mask {title}"
        + (f" (of {looked:,} decoded)" if looked < len(table) else ""),
        examples=tuple(
            f"annotation {table.ids[row]}: bbox {table.boxes[row].tolist()}" for row in rows[:KEPT]
        ),
        way_out="Coordinates of polygons are pixels: x1, y1, x2, y2, ...",
    )


def _corners(boxes: Array) -> Array:
    corners: Array = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    return corners


def _iou(a: Array, b: Array) -> Array:
    """Return IoUs of boxes ``x, y, width, height`` in pairs, ``(N,)``."""
    low = np.maximum(a[:, :2], b[:, :2])
    high = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    inter = np.clip(high - low, 0, None).prod(1)
    union = a[:, 2:].prod(1) + b[:, 2:].prod(1) - inter
    iou: Array = inter / np.maximum(union, 1e-9)
    return iou
