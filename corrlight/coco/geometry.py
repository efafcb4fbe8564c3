"""How boxes lie in their pictures: what a training uses, and what a misreading looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from corrlight.coco.types import Array

__all__ = [
    "BoxUse",
    "Reading",
    "box_use",
    "converted",
    "corners",
    "leaving",
    "likely_cause",
    "likely_reading",
    "odd_areas",
]

Reading = Literal["fractions", "corners", "centres", "exchanged"]

# Rounding, and corners that count from 1, reach so far over the border.
_TOLERANCE = 1.0
# Share of the boxes that a misreading has to explain.
_EXPLAINED = 0.99
# Below so many boxes, a pattern is chance.
_FEWEST = 3
# No object has more than its box, give or take a ring of pixels, or so small a share of it.
_LEAST_AREA, _MOST_AREA, _RING = 1e-3, 2.0, 16.0
_READINGS: dict[Reading, str] = {
    "fractions": "fractions of the picture's width and height",
    "corners": "corners [x1, y1, x2, y2]",
    "centres": "centres and sizes [cx, cy, width, height]",
    "exchanged": "boxes of pictures with width and height exchanged",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxUse:
    """What becomes of each annotation in training; ``(N,)`` bool all.

    Attributes:
        usable: It may be a target (or, of a crowd, a region).
        outside: Nothing of the box is in its picture.
        narrow: It is narrower or lower than a pixel.
        area_0: Its annotated area is 0.
        leaving: It reaches more than a pixel over the border, and is cut to the picture.
    """

    usable: Array
    outside: Array
    narrow: Array
    area_0: Array
    leaving: Array


def corners(boxes: Array) -> Array:
    """Return boxes ``x, y, width, height`` as ``(N, 4)`` float32 xyxy."""
    found = np.array(boxes, dtype=np.float64)
    found[:, 2:] += found[:, :2]
    return found.astype(np.float32)


def box_use(boxes: Array, sizes: Array, areas: Array) -> BoxUse:
    """Return what becomes of annotations, as published: three reasons to be no target, one cut.

    Args:
        boxes: ``(N, 4)`` float32 xyxy.
        sizes: ``(N, 2)`` height and width of their pictures.
        areas: ``(N,)`` annotated areas.
    """
    limits = sizes[:, [1, 0, 1, 0]].astype(np.float32)
    clipped = np.clip(boxes, 0, limits)
    outside: Array = ~np.all(clipped[:, 2:] > clipped[:, :2], axis=1)
    narrow: Array = ~np.all(boxes[:, 2:] - boxes[:, :2] >= 1, axis=1)
    area_0 = ~(areas > 0)
    return BoxUse(
        usable=~(outside | narrow | area_0),
        outside=outside,
        narrow=narrow,
        area_0=area_0,
        leaving=_leaves(boxes.T, limits.T[:2]),
    )


def odd_areas(boxes: Array, areas: Array) -> Array:
    """Return which areas, ``(N,)``, are those of no object in its box: ``(N,)`` bool.

    Args:
        boxes: ``(N, 4)`` ``x, y, width, height``.
        areas: ``(N,)``; NaN, where there is none, is not odd.
    """
    whole = boxes[:, 2] * boxes[:, 3]
    with np.errstate(invalid="ignore"):
        odd: Array = (areas < _LEAST_AREA * whole) | (areas > _MOST_AREA * whole + _RING)
    return odd


def leaving(boxes: Array, image_idx: Array, sizes: Array) -> Array:
    """Return which boxes reach more than a pixel over the border, ``(N,)`` bool.

    Args:
        boxes: ``(N, 4)`` boxes ``x, y, width, height``.
        image_idx: ``(N,)`` rows of ``sizes``.
        sizes: ``(I, 2)`` height and width of the pictures, 0 where unknown: nothing leaves those.
    """
    x, y, width, height = boxes.T
    columns = [column.astype(np.float32) for column in (x, y, width + x, height + y)]
    known: Array = np.all(sizes > 0, axis=1)
    borders = [size.astype(np.float32)[image_idx] for size in (sizes[:, 1], sizes[:, 0])]
    return known[image_idx] & _leaves(columns, borders)


def _leaves(columns: Sequence[Array] | Array, borders: Sequence[Array] | Array) -> Array:
    """Return which boxes reach over the border; float32 left, top, right and bottom."""
    far = np.zeros(len(columns[0]), dtype=bool)
    for k, column in enumerate(columns):
        far |= (column < -_TOLERANCE) | (column - borders[k % 2] > _TOLERANCE)
    return far


def likely_cause(boxes: Array, sizes: Array) -> str:
    """Return what boxes that do not fit their pictures probably are, or an empty text.

    Args:
        boxes: As for :func:`likely_reading`.
        sizes: As for :func:`likely_reading`.
    """
    reading = likely_reading(boxes, sizes)
    return "" if reading is None else f"they look like {_READINGS[reading]}"


def likely_reading(boxes: Array, sizes: Array) -> Reading | None:
    """Return what boxes that do not fit their pictures probably are, None if nobody knows.

    A misreading is named if it explains (nearly) all boxes, those included that fit by chance.

    Args:
        boxes: ``(N, 4)`` numbers of the file, read as ``x, y, width, height``.
        sizes: ``(N, 2)`` height and width of their pictures.
    """
    if len(boxes) < _FEWEST:
        return None
    width, height = sizes[:, 1], sizes[:, 0]
    a, b, c, d = boxes.T
    low, over = -_TOLERANCE, _TOLERANCE
    readings: dict[Reading, Array] = {
        "fractions": (boxes >= 0).all(1)
        & (boxes <= 1.0 + 1e-6).all(1)
        & (np.minimum(width, height) > 1),
        "corners": (c > a) & (d > b) & (a >= low) & (b >= low)
        & (c <= width + over) & (d <= height + over),
        "centres": (a - c / 2 >= low) & (b - d / 2 >= low)
        & (a + c / 2 <= width + over) & (b + d / 2 <= height + over),
        "exchanged": (a >= low) & (b >= low)
        & (a + c <= height + over) & (b + d <= width + over),
    }  # fmt: skip
    return next((name for name, fits in readings.items() if fits.mean() >= _EXPLAINED), None)


def converted(boxes: Array, sizes: Array, reading: Reading) -> Array:
    """Return ``(N, 4)`` boxes ``x, y, width, height`` of boxes that are written as a reading says.

    Args:
        boxes: As for :func:`likely_reading`.
        sizes: As for :func:`likely_reading`.
        reading: What they are; "exchanged" is wrong in the pictures' sizes, and changes nothing.
    """
    result = np.array(boxes, dtype=np.float64)
    if reading == "fractions":
        result *= sizes[:, [1, 0, 1, 0]]
    elif reading == "corners":
        result[:, 2:] -= result[:, :2]
    elif reading == "centres":
        result[:, :2] -= result[:, 2:] / 2
    return result
