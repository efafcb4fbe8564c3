"""How boxes lie in their pictures: what a training uses, and what a misreading looks like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corrlight.coco.types import Array

__all__ = ["BoxUse", "box_use", "corners", "likely_cause"]

# Rounding, and corners that count from 1, reach so far over the border.
_TOLERANCE = 1.0
# Share of the boxes that a misreading has to explain.
_EXPLAINED = 0.99
# Below so many boxes, a pattern is chance.
_FEWEST = 3


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
        leaving=(np.abs(boxes - clipped) > _TOLERANCE).any(1),
    )


def likely_cause(boxes: Array, sizes: Array) -> str:
    """Return what boxes that do not fit their pictures probably are, or an empty text.

    A misreading is named if it explains (nearly) all boxes, those included that fit by chance.

    Args:
        boxes: ``(N, 4)`` numbers of the file, read as ``x, y, width, height``.
        sizes: ``(N, 2)`` height and width of their pictures.
    """
    if len(boxes) < _FEWEST:
        return ""
    width, height = sizes[:, 1], sizes[:, 0]
    a, b, c, d = boxes.T
    low, over = -_TOLERANCE, _TOLERANCE
    readings = {
        "fractions of the picture's width and height": (boxes >= 0).all(1)
        & (boxes <= 1.0 + 1e-6).all(1)
        & (np.minimum(width, height) > 1),
        "corners [x1, y1, x2, y2]": (c > a) & (d > b) & (a >= low) & (b >= low)
        & (c <= width + over) & (d <= height + over),
        "centres and sizes [cx, cy, width, height]": (a - c / 2 >= low) & (b - d / 2 >= low)
        & (a + c / 2 <= width + over) & (b + d / 2 <= height + over),
        "boxes of pictures with width and height exchanged": (a >= low) & (b >= low)
        & (a + c <= height + over) & (b + d <= width + over),
    }  # fmt: skip
    for reading, fits in readings.items():
        if fits.mean() >= _EXPLAINED:
            return f"they look like {reading}"
    return ""
