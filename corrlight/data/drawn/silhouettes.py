"""Outlines of the shape classes and their rasterised silhouettes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

__all__ = ["SHAPE_CLASSES", "Layer", "rasterize", "shape_layer"]

Array = npt.NDArray[Any]

# Sub-pixels per pixel and axis: 16 grey values along an edge.
_SUPERSAMPLING = 4


@dataclass(frozen=True, slots=True)
class _Shape:
    """Polygons of a class, the first filled and the others cut out, and its elongation."""

    polygons: tuple[Array, ...]
    aspect: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A silhouette somewhere in (or partly outside) an image.

    Attributes:
        alpha: ``(h, w)`` uint8 coverage.
        x0: Column of the image at which ``alpha`` begins; may be negative.
        y0: Row at which it begins; may be negative.
    """

    alpha: Array
    x0: int
    y0: int

    def window(self, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return the slices of an image and of ``alpha`` where the two overlap."""
        h, w = self.alpha.shape
        y, x = max(self.y0, 0), max(self.x0, 0)
        y_end, x_end = max(min(self.y0 + h, height), y), max(min(self.x0 + w, width), x)
        inner = slice(y - self.y0, y_end - self.y0), slice(x - self.x0, x_end - self.x0)
        return (slice(y, y_end), slice(x, x_end)), inner


def _circle(radius: float = 1.0, start: float = 0.0, stop: float = 360.0, n: int = 40) -> Array:
    t = np.radians(np.linspace(start, stop, n, endpoint=stop - start < 360))
    return radius * np.stack([np.cos(t), np.sin(t)], 1)


def _star() -> Array:
    t = np.radians(-90 + 36 * np.arange(10))
    r = np.where(np.arange(10) % 2 == 0, 1.0, 0.44)
    return np.stack([r * np.cos(t), r * np.sin(t)], 1)


def _heart() -> Array:
    t = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y], 1)


def _unit(*polygons: Any) -> tuple[Array, ...]:
    """Return the polygons moved and stretched so that the first one fills [-1, 1] x [-1, 1]."""
    arrays = [np.asarray(p, np.float64) for p in polygons]
    low, high = arrays[0].min(0), arrays[0].max(0)
    return tuple((a - (low + high) / 2) * (2 / (high - low)) for a in arrays)


_CROSS = [
    (-1, -0.36), (-0.36, -0.36), (-0.36, -1), (0.36, -1), (0.36, -0.36), (1, -0.36),
    (1, 0.36), (0.36, 0.36), (0.36, 1), (-0.36, 1), (-0.36, 0.36), (-1, 0.36),
]  # fmt: skip
_ARROW = [(1, 0), (0.1, 1), (0.1, 0.38), (-1, 0.38), (-1, -0.38), (0.1, -0.38), (0.1, -1)]

_SHAPES = {
    "disc": _Shape(_unit(_circle()), (1.0, 2.4)),
    "bar": _Shape(_unit([(-1, -1), (1, -1), (1, 1), (-1, 1)]), (2.0, 5.0)),
    "triangle": _Shape(_unit([(0, -1), (1, 1), (-1, 1)]), (1.0, 2.2)),
    "star": _Shape(_unit(_star()), (1.0, 1.7)),
    "cross": _Shape(_unit(_CROSS), (1.0, 2.0)),
    "ring": _Shape(_unit(_circle(), _circle(0.56)), (1.0, 2.0)),
    "heart": _Shape(_unit(_heart()), (1.0, 1.7)),
    "arrow": _Shape(_unit(_ARROW), (1.2, 3.0)),
}
SHAPE_CLASSES: tuple[str, ...] = tuple(_SHAPES)


def rasterize(polygons: tuple[Array, ...]) -> Layer:
    """Return the anti-aliased silhouette of polygons given in pixels.

    Args:
        polygons: ``(k, 2)`` points (x, y); the first is filled, the others are cut out.
    """
    low = np.floor(polygons[0].min(0)).astype(int) - 1
    w, h = np.ceil(polygons[0].max(0)).astype(int) + 1 - low
    canvas = Image.new("L", (int(w) * _SUPERSAMPLING, int(h) * _SUPERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    for k, polygon in enumerate(polygons):
        points = np.rint((polygon - low) * _SUPERSAMPLING).astype(int)
        draw.polygon(points.ravel().tolist(), fill=0 if k else 255)
    return Layer(alpha=np.asarray(canvas.reduce(_SUPERSAMPLING)), x0=int(low[0]), y0=int(low[1]))


def shape_layer(
    rng: np.random.Generator, label: int, size: float, centre: tuple[float, float]
) -> Layer:
    """Return the silhouette of one object, turned and elongated at random.

    Args:
        rng: Source of the elongation and the angle.
        label: Index into ``SHAPE_CLASSES``.
        size: Geometric mean of the lengths of its two axes in pixels.
        centre: Its middle (x, y) in pixels.
    """
    shape = _SHAPES[SHAPE_CLASSES[label]]
    low, high = shape.aspect
    # Long objects are rarer than compact ones.
    aspect = low + (high - low) * rng.random() ** 1.6
    angle = rng.random() * 2 * math.pi
    half = size / 2 * np.array([math.sqrt(aspect), 1 / math.sqrt(aspect)])
    if rng.random() < 0.5:
        half = half[::-1]
    c, s = math.cos(angle), math.sin(angle)
    turn = np.array([[c, s], [-s, c]])
    return rasterize(tuple((p * half) @ turn + np.array(centre) for p in shape.polygons))
