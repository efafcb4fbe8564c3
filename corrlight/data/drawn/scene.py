"""One picture of the embedded data: where things lie and how they are painted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from corrlight.data.drawn.silhouettes import SHAPE_CLASSES, Layer, shape_layer
from corrlight.data.drawn.textures import (
    background,
    clutter_layers,
    object_color,
    object_fill,
    vivid_color,
)

__all__ = ["Scene", "SceneObject", "draw_scene"]

Array = npt.NDArray[Any]

# An object is placed only where this share of its own area stays visible, for itself (image border)
# and for those that it covers.
_MIN_VISIBLE = 0.6
_MIN_PIXELS = 24
_CROWD_PROBABILITY = 0.08
_LARGE_PROBABILITY = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneObject:
    """What the annotations say of one object.

    Attributes:
        label: Index into ``SHAPE_CLASSES``.
        mask: ``(H, W)`` bool, its visible pixels.
        crowd: Whether it is a group of many small objects.
    """

    label: int
    mask: Array
    crowd: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A picture and its objects, from back to front.

    Attributes:
        image: ``(H, W, 3)`` uint8.
        objects: Its annotated objects.
    """

    image: Array
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True, slots=True)
class _Item:
    layer: Layer
    label: int
    crowd: bool


class _Layout:
    """Objects accepted so far and the front-most object of every pixel."""

    def __init__(self, height: int, width: int) -> None:
        self.items: list[_Item] = []
        self.front = np.full((height, width), -1, np.int16)
        self._areas: list[int] = []

    def add(self, item: _Item) -> bool:
        """Put an item in front of the others, unless too little of it or of them stays visible."""
        image, inner = item.layer.window(*self.front.shape)
        solid = item.layer.alpha >= 128
        area, shown = int(solid.sum()), solid[inner]
        if shown.sum() < max(_MIN_PIXELS, _MIN_VISIBLE * area):
            return False
        front = self.front.copy()
        front[image][shown] = len(self.items)
        visible = np.bincount(front.ravel() + 1, minlength=len(self.items) + 2)[1:]
        areas = [*self._areas, area]
        if any(v < max(_MIN_PIXELS, _MIN_VISIBLE * a) for v, a in zip(visible, areas, strict=True)):
            return False
        self.items.append(item)
        self.front, self._areas = front, areas
        return True

    def objects(self) -> tuple[SceneObject, ...]:
        return tuple(
            SceneObject(label=item.label, mask=self.front == k, crowd=item.crowd)
            for k, item in enumerate(self.items)
        )


def _size(rng: np.random.Generator, extent: int) -> float:
    """Return the size of an object in pixels: log-uniform, now and then filling the picture."""
    if rng.random() < _LARGE_PROBABILITY:
        return extent * rng.uniform(0.45, 1.1)
    return math.exp(rng.uniform(math.log(max(16.0, 0.06 * extent)), math.log(0.45 * extent)))


def _centre(rng: np.random.Generator, size: float, h: int, w: int) -> tuple[float, float]:
    """Return where (x, y) an object lies: at least 0.35 of its size from the border."""
    x, y = (min(0.35 * size / side, 0.45) for side in (w, h))
    return rng.uniform(x, 1 - x) * w, rng.uniform(y, 1 - y) * h


def _crowd_layer(rng: np.random.Generator, label: int, h: int, w: int) -> Layer:
    """Return the union of 12 to 28 small objects of one class around a spot."""
    extent = max(h, w)
    spread = extent * rng.uniform(0.09, 0.15)
    spot = np.array([rng.uniform(0.25, 0.75) * w, rng.uniform(0.25, 0.75) * h])
    union = np.zeros((h, w), np.uint8)
    for _ in range(int(rng.integers(12, 29))):
        x, y = spot + spread * np.clip(rng.standard_normal(2), -2, 2)
        layer = shape_layer(rng, label, extent * rng.uniform(0.05, 0.08), (float(x), float(y)))
        image, inner = layer.window(h, w)
        union[image] = np.maximum(union[image], layer.alpha[inner])
    return Layer(alpha=union, x0=0, y0=0)


def _lay_out(rng: np.random.Generator, h: int, w: int) -> _Layout:
    layout = _Layout(h, w)
    if rng.random() < _CROWD_PROBABILITY:
        label = int(rng.integers(len(SHAPE_CLASSES)))
        layout.add(_Item(_crowd_layer(rng, label, h, w), label, crowd=True))
    sizes = [_size(rng, max(h, w)) for _ in range(int(rng.integers(2, 7)))]
    # Large objects tend to lie behind small ones.
    for size in sorted(sizes, key=lambda v: v * rng.uniform(0.4, 1.6), reverse=True):
        label = int(rng.integers(len(SHAPE_CLASSES)))
        # An object that finds no place within a few trials is left out.
        for _ in range(6):
            layer = shape_layer(rng, label, size, _centre(rng, size, h, w))
            if layout.add(_Item(layer, label, crowd=False)):
                break
    return layout


def _blurred(layer: Layer, sigma: float) -> Layer:
    margin = math.ceil(2.5 * sigma)
    image = Image.fromarray(np.pad(layer.alpha, margin)).filter(ImageFilter.GaussianBlur(sigma))
    return Layer(alpha=np.asarray(image), x0=layer.x0 - margin, y0=layer.y0 - margin)


def _blend(canvas: Array, layer: Layer, color: Array, opacity: Array | float) -> None:
    """Paint ``color`` (broadcast to the layer's ``(h, w, 3)``) over the canvas, in place."""
    image, inner = layer.window(*canvas.shape[:2])
    alpha = (layer.alpha * (opacity / np.float32(255)))[inner][..., None]
    color = np.broadcast_to(color, (*layer.alpha.shape, 3))[inner]
    canvas[image] += alpha * (color - canvas[image])


def _fade(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return an ``(h, w)`` opacity that falls along a random direction: one end is hard to see."""
    h, w = shape
    angle = rng.random() * 2 * math.pi
    y, x = np.ogrid[:h, :w]
    plane = (x / w - 0.5) * math.cos(angle) + (y / h - 0.5) * math.sin(angle)
    return np.clip(0.65 + rng.uniform(0.6, 1.1) * plane, 0.12, 1).astype(np.float32)


def _paint(rng: np.random.Generator, canvas: Array, item: _Item) -> None:
    layer = item.layer
    length = math.sqrt(float((layer.alpha >= 128).sum()))
    if rng.random() < 0.35 and not item.crowd:
        dx, dy = rng.uniform(-0.12, 0.12, 2) * length
        shadow = _blurred(layer, 1 + 0.05 * length)
        shadow = Layer(alpha=shadow.alpha, x0=shadow.x0 + round(dx), y0=shadow.y0 + round(dy))
        _blend(canvas, shadow, np.zeros(3, np.float32), rng.uniform(0.2, 0.5))
    color = object_color(rng, item.label)
    if rng.random() < 0.45 and not item.crowd:
        layer = _blurred(layer, rng.uniform(0.5, 1.0 + 0.05 * length))
    opacity: Array | float = rng.uniform(0.8, 1.0)
    if rng.random() < 0.2 and not item.crowd:
        opacity = opacity * _fade(rng, layer.alpha.shape)
    _blend(canvas, layer, object_fill(rng, color, *layer.alpha.shape), opacity)


def draw_scene(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Return a picture of 1 to 7 objects, drawn from ``rng`` alone.

    Args:
        rng: Source of everything random.
        height: Height in pixels.
        width: Width in pixels.
    """
    layout = _lay_out(rng, height, width)
    canvas = background(rng, height, width)
    for layer in clutter_layers(rng, max(height, width)):
        _blend(canvas, layer, vivid_color(rng), rng.uniform(0.4, 0.9))
    for item in layout.items:
        _paint(rng, canvas, item)
    canvas *= rng.uniform(0.75, 1.15)
    canvas += rng.uniform(1.0, 8.0) * rng.standard_normal(canvas.shape, np.float32)
    image = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    return Scene(image=image, objects=layout.objects())
