"""Boxes, polygons, ellipses and masks as COCO writes them.

Coordinates are edges of pixels counted from 0: a picture reaches from 0 to its width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as mask_utils

__all__ = [
    "ELLIPSE_CORNERS",
    "Shape",
    "from_bitmap",
    "from_corners",
    "from_ellipse",
    "from_polygon",
    "from_turned_box",
    "joined",
    "pasted",
]

ELLIPSE_CORNERS = 64

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """Where an object is.

    Attributes:
        box: Left, top, width and height.
        area: In pixels.
        segmentation: COCO's polygons or run lengths; None where there is a box alone.
    """

    box: Box
    area: float
    segmentation: Any = None


def from_corners(left: float, top: float, right: float, bottom: float) -> Shape:
    """Return a box; its width and height may be negative, for the caller to see."""
    width, height = _tidy(right - left), _tidy(bottom - top)
    return Shape((_tidy(left), _tidy(top), width, height), _tidy(width * height))


def from_polygon(points: Sequence[Point]) -> Shape:
    """Return a polygon with the box around it; its area is that of the shoelace formula."""
    flat = [_tidy(v) for point in points for v in point]
    xs, ys = np.array(flat[::2]), np.array(flat[1::2])
    # Relative to a corner, so that far away from the origin no digits are lost.
    x, y = xs - xs[0], ys - ys[0]
    area = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    box = _around([(xs.min(), ys.min()), (xs.max(), ys.max())])
    return Shape(box, _tidy(area), [flat])


def from_turned_box(corner: Point, width: float, height: float, degrees: float) -> Shape:
    """Return a rectangle turned clockwise around its first corner, as a polygon unless upright."""
    x, y = corner
    if degrees % 360 == 0:
        return from_corners(x, y, x + width, y + height)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    along, down = (width * cos, width * sin), (-height * sin, height * cos)
    return from_polygon(
        [
            (x, y),
            (x + along[0], y + along[1]),
            (x + along[0] + down[0], y + along[1] + down[1]),
            (x + down[0], y + down[1]),
        ]
    )


def from_ellipse(centre: Point, radii: Point, degrees: float = 0.0) -> Shape:
    """Return an ellipse turned clockwise: box and area are exact, the outline has 64 corners."""
    (x, y), (a, b) = centre, radii
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    points = []
    for k in range(ELLIPSE_CORNERS):
        u = a * math.cos(2 * math.pi * k / ELLIPSE_CORNERS)
        v = b * math.sin(2 * math.pi * k / ELLIPSE_CORNERS)
        points.append((x + u * cos - v * sin, y + u * sin + v * cos))
    half_width, half_height = math.hypot(a * cos, b * sin), math.hypot(a * sin, b * cos)
    box = _around([(x - half_width, y - half_height), (x + half_width, y + half_height)])
    return Shape(box, _tidy(math.pi * a * b), from_polygon(points).segmentation)


def from_bitmap(bitmap: npt.NDArray[Any]) -> Shape:
    """Return the mask of a whole ``(H, W)`` picture; an empty one has a box of no size."""
    rle = mask_utils.encode(np.asfortranarray(bitmap, dtype=np.uint8))
    return _from_rle(rle)


def pasted(
    bitmap: npt.NDArray[Any], left: int, top: int, size: tuple[int, int]
) -> npt.NDArray[Any]:
    """Return a ``size`` bitmap with a smaller one at a place; what reaches over is cut off."""
    whole = np.zeros(size, np.uint8)
    height, width = bitmap.shape
    y0, x0, y1, x1 = (
        max(top, 0),
        max(left, 0),
        min(top + height, size[0]),
        min(left + width, size[1]),
    )
    if y1 > y0 and x1 > x0:
        whole[y0:y1, x0:x1] = bitmap[y0 - top : y1 - top, x0 - left : x1 - left] != 0
    return whole


def joined(shapes: Sequence[Shape], size: tuple[int, int]) -> Shape:
    """Return several parts of one object as one shape.

    Polygons stay polygons, boxes stay a box. Where parts are of different kinds or overlap, the
    area counts every pixel of the picture of ``size`` once.
    """
    if len(shapes) == 1:
        return shapes[0]
    boxes = [s.box for s in shapes]
    box = _around([(x, y) for x, y, _, _ in boxes] + [(x + w, y + h) for x, y, w, h in boxes])
    segmentations = [s.segmentation for s in shapes]
    if all(s is None for s in segmentations):
        return Shape(box, _tidy(box[2] * box[3]))
    rles: list[dict[str, Any]] = []
    for shape in shapes:
        x, y, w, h = shape.box
        parts = shape.segmentation or [[x, y, x + w, y, x + w, y + h, x, y + h]]
        rles += mask_utils.frPyObjects(parts, *size) if isinstance(parts, list) else [parts]
    merged = _from_rle(mask_utils.merge(rles))
    if all(isinstance(s, list) for s in segmentations):
        return Shape(box, merged.area, [polygon for s in segmentations for polygon in s])
    return Shape(box, merged.area, merged.segmentation)


def _from_rle(rle: dict[str, Any]) -> Shape:
    x, y, w, h = (float(v) for v in mask_utils.toBbox(rle))
    counts = {"size": [int(v) for v in rle["size"]], "counts": rle["counts"].decode("ascii")}
    return Shape((x, y, w, h), float(mask_utils.area(rle)), counts)


def _around(points: Sequence[tuple[Any, Any]]) -> Box:
    xs, ys = [float(x) for x, _ in points], [float(y) for _, y in points]
    left, top = min(xs), min(ys)
    return _tidy(left), _tidy(top), _tidy(max(xs) - left), _tidy(max(ys) - top)


def _tidy(value: float) -> float:
    # 115.19999999999999 says no more than 115.2; a millionth of a pixel is nobody's intention.
    return round(float(value), 6) + 0.0  # no -0.0
