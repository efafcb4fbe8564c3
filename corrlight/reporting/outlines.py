"""Boxes and their labels on a picture, with Pillow: readable on every background."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import ImageDraw, ImageFont

from corrlight.reporting.best_iou import Array
from corrlight.reporting.names import font_file

__all__ = [
    "BLACK", "WHITE", "Color", "Rectangle", "font", "label", "outline", "painted", "rectangle",
]  # fmt: skip

Color = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)
# Share of the colour in the pixels of a mask.
_OPACITY = 0.45


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font with letters of so many pixels."""
    return ImageFont.load_default(size)


@cache
def _font_of(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def _face(text: str, size: int) -> tuple[Any, str]:
    """Return a font for ``text`` and what of it can be drawn: Pillow's own has ASCII only."""
    if text.isascii():
        return font(size), text
    path, shown = font_file(text)
    return _font_of(path, size), shown


def painted(pixels: Array, masks: Iterable[Array], colors: Sequence[Color]) -> Array:
    """Return ``(H, W, 3)`` uint8 pixels with masks over them; later ones cover earlier ones.

    Args:
        pixels: ``(H, W, 3)`` uint8.
        masks: D of ``(H, W)`` bool.
        colors: D of them.
    """
    plain = pixels.astype(np.float32)
    found = plain.copy()
    for mask, color in zip(masks, colors, strict=True):
        found[mask] = (1 - _OPACITY) * plain[mask] + _OPACITY * np.array(color, np.float32)
    return found.round().astype(np.uint8)


def rectangle(box: Array, size: tuple[int, int]) -> Rectangle:
    """Return the pixels of a box's outline inside a picture of ``size`` (width, height)."""
    limit = np.array([size[0], size[1]] * 2) - 1
    x1, y1, x2, y2 = (float(v) for v in np.clip(np.round(box), 0, limit))
    return x1, y1, max(x1, x2), max(y1, y2)


def _grown(box: Rectangle, by: int) -> Rectangle:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def outline(draw: ImageDraw.ImageDraw, box: Rectangle, color: Color, width: int = 3) -> None:
    """Draw the four sides of ``box``, ``width`` pixels wide, between two dark lines."""
    draw.rectangle(_grown(box, 2), outline=BLACK, width=width + 2)
    draw.rectangle(_grown(box, 1), outline=color, width=width)


def label(
    draw: ImageDraw.ImageDraw,
    box: Rectangle,
    text: str,
    color: Color,
    size: tuple[int, int],
    taken: Sequence[Rectangle],
    letters: int = 13,
    tail: str = "",
) -> Rectangle:
    """Draw ``text`` at the first free corner of ``box`` and return the pixels that it covers.

    A text that is wider than the picture ends in an ellipsis; ``tail`` stays whole.

    Args:
        draw: The picture.
        box: What the text is about.
        text: What is on one line.
        color: Of the background; the text is black or white, whichever is readable.
        size: Width and height of the picture, which the text does not leave.
        taken: Places of other texts.
        letters: Height of the letters in pixels.
        tail: What follows the text, a score for example.
    """
    face, text = _face(" ".join(text.split()), letters)
    text = _shortened(text, tail, face, size[0] - 7)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=face)
    width, height = right - left + 6, bottom - top + 6
    x1, y1, x2, y2 = box
    corners = [
        (x1 - 2, y1 - height - 2),
        (x2 - width + 2, y1 - height - 2),
        (x1 - 2, y2 + 2),
        (x2 - width + 2, y2 + 2),
        (x1, y1),
        (x2 - width, y2 - height),
    ]
    limits = (max(0.0, size[0] - width - 1), max(0.0, size[1] - height - 1))
    places = [
        (x, y, x + width, y + height)
        for x, y in ((min(max(cx, 0), limits[0]), min(max(cy, 0), limits[1])) for cx, cy in corners)
    ]
    place = next((p for p in places if not any(_overlap(p, t) for t in taken)), places[0])
    luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    draw.rectangle(place, fill=color, outline=BLACK)
    at = (place[0] + 3 - left, place[1] + 3 - top)
    draw.text(at, text, fill=BLACK if luminance > 115 else WHITE, font=face)
    return place


def _shortened(text: str, tail: str, face: Any, width: float) -> str:
    if face.getlength(text + tail) <= width:
        return text + tail
    for letters in range(len(text) - 1, 0, -1):
        shown = f"{text[:letters].rstrip()}\N{HORIZONTAL ELLIPSIS}{tail}"
        if face.getlength(shown) <= width:
            return shown
    return tail.strip() or text[:1]


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
