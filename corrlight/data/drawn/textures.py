"""Colours, backgrounds, fills and clutter of the embedded data."""

from __future__ import annotations

import colorsys
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from corrlight.data.drawn.silhouettes import Layer, rasterize

__all__ = ["background", "clutter_layers", "object_color", "object_fill", "vivid_color"]

Array = npt.NDArray[Any]

# Share of objects painted in the hue of their class. Colour lets a small network be sure of the
# class early, while the extent of a turned, faded or occluded object stays hard to see.
_HUE_CUE = 0.9
# Red, orange, yellow, green, cyan, blue, violet and pink, in degrees.
_HUES = (0, 30, 56, 120, 182, 222, 272, 322)
_HUE_JITTER = 10.0


def _rgb(hue: float, saturation: float, value: float) -> Array:
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32)


def vivid_color(rng: np.random.Generator) -> Array:
    """Return a ``(3,)`` saturated colour of any hue, 0..255."""
    return _rgb(rng.random(), rng.uniform(0.5, 0.95), rng.uniform(0.5, 1.0))


def object_color(rng: np.random.Generator, label: int) -> Array:
    """Return the ``(3,)`` colour of an object, mostly near the hue of its class, 0..255."""
    if rng.random() > _HUE_CUE:
        return vivid_color(rng)
    hue = (_HUES[label] + rng.uniform(-_HUE_JITTER, _HUE_JITTER)) / 360
    return _rgb(hue, rng.uniform(0.55, 0.95), rng.uniform(0.55, 1.0))


def _smooth_noise(rng: np.random.Generator, h: int, w: int, cells: float) -> Array:
    """Return ``(h, w)`` noise in about [0, 1] with ``cells`` bumps along the longer side."""
    scale = cells / max(h, w)
    grid = rng.random((max(2, round(h * scale) + 1), max(2, round(w * scale) + 1)))
    image = Image.fromarray(grid.astype(np.float32))
    return np.asarray(image.resize((w, h), Image.Resampling.BICUBIC))


def _plane(rng: np.random.Generator, h: int, w: int) -> Array:
    """Return ``(h, w)`` positions in pixels along a random direction."""
    angle = rng.random() * math.pi
    y, x = np.ogrid[:h, :w]
    return (x * math.cos(angle) + y * math.sin(angle)).astype(np.float32)


def _pattern(rng: np.random.Generator, h: int, w: int, period: float) -> Array:
    """Return an ``(h, w)`` pattern in [0, 1]: stripes, checks, waves, lines or dots."""
    kind = int(rng.integers(5))
    a, b = _plane(rng, h, w) / period, _plane(rng, h, w) / period
    if kind == 0:
        return (a % 1 < 0.5).astype(np.float32)
    if kind == 1:
        return ((np.floor(a) + np.floor(b)) % 2).astype(np.float32)
    if kind == 2:
        return 0.5 + 0.5 * np.sin(2 * math.pi * (a + 0.4 * np.sin(2 * b)))
    if kind == 3:
        return ((a % 1 < 0.15) | (b % 1 < 0.15)).astype(np.float32)
    return ((a % 1 - 0.5) ** 2 + (b % 1 - 0.5) ** 2 < 0.06).astype(np.float32)


def background(rng: np.random.Generator, h: int, w: int) -> Array:
    """Return an ``(h, w, 3)`` float32 background, 0..255: two muted colours, noise, a pattern."""
    hue, value = rng.random(), rng.uniform(0.25, 0.85)
    contrast = rng.uniform(0.1, 0.35) * (1 if rng.random() < 0.5 else -1)
    other = float(np.clip(value + contrast, 0, 1))
    low = _rgb(hue, rng.uniform(0.0, 0.35), value)
    high = _rgb(hue + rng.uniform(-0.2, 0.2), rng.uniform(0.0, 0.4), other)
    mix: Array = np.zeros((h, w), np.float32)
    for weight, cells in ((0.55, rng.uniform(1.5, 4)), (0.3, rng.uniform(5, 12)), (0.15, 32)):
        mix += weight * _smooth_noise(rng, h, w, cells)
    if rng.random() < 0.6:
        strength = rng.uniform(0.1, 0.6)
        period = max(h, w) * rng.uniform(0.05, 0.25)
        mix = (1 - strength) * mix + strength * _pattern(rng, h, w, period)
    return low + (high - low) * mix[..., None]


def object_fill(rng: np.random.Generator, color: Array, h: int, w: int) -> Array:
    """Return an ``(h, w, 3)`` surface around ``color``: shaded, patterned or mottled, 0..255."""
    plane = _plane(rng, h, w)
    shade = rng.uniform(0.0, 0.5) * (plane / max(float(plane.max() - plane.min()), 1.0) - 0.5)
    style = rng.random()
    if style < 0.25:
        shade = shade + rng.uniform(0.15, 0.4) * (_pattern(rng, h, w, rng.uniform(4, 10)) - 0.5)
    elif style < 0.5:
        shade = shade + rng.uniform(0.2, 0.5) * (_smooth_noise(rng, h, w, 6) - 0.5)
    return color * (1 + shade[..., None])


def _stroke(rng: np.random.Generator, size: int) -> Layer:
    """Return an open arc or a line: a fragment that is no object."""
    extent = max(6, int(size * rng.uniform(0.08, 0.3)))
    canvas = Image.new("L", (4 * extent, 4 * extent))
    draw, width = ImageDraw.Draw(canvas), min(int(rng.integers(4, 13)), extent)
    if rng.random() < 0.5:
        start = rng.uniform(0, 360)
        box = (width, width, 4 * extent - width, 4 * extent * rng.uniform(0.5, 1.0) - width)
        draw.arc(box, start, start + rng.uniform(50, 170), fill=255, width=width)
    else:
        draw.line([int(v) for v in rng.uniform(0, 4 * extent, 4)], fill=255, width=width)
    x, y = rng.integers(-extent // 2, size - extent // 2, 2)
    return Layer(alpha=np.asarray(canvas.reduce(4)), x0=int(x), y0=int(y))


def _shard(rng: np.random.Generator, size: int) -> Layer:
    """Return an irregular blob or splinter with 5 to 9 corners."""
    n = int(rng.integers(5, 10))
    t = np.sort(rng.random(n)) * 2 * math.pi
    r = size * rng.uniform(0.025, 0.075) * rng.uniform(0.3, 1.3, n)
    points = np.stack([r * np.cos(t) * rng.uniform(0.5, 1.5), r * np.sin(t)], 1)
    return rasterize((points + rng.uniform(0, size, 2),))


def clutter_layers(rng: np.random.Generator, size: int) -> list[Layer]:
    """Return 1 to 6 distractor fragments for an image of about ``size`` pixels."""
    makers = (_stroke, _shard)
    return [makers[int(rng.integers(2))](rng, size) for _ in range(int(rng.integers(1, 7)))]
