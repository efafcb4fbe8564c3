"""Boxes and their labels on a picture, with Pillow: readable on every background."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from corrlight.reporting.best_iou import Array
from corrlight.reporting.names import font_file

__all__ = [
    "BLACK", "WHITE", "Color", "Rectangle", "font", "label", "outline", "painted", "rectangle",
    "rectangles",
]  # fmt: skip

Color = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)
# Share of the colour in the pixels of a mask.
_OPACITY = 0.45
# Luminance from which on black letters are read more easily than white ones.
_READABLE = 115
# Drawn texts that are kept: letters take five times as long as all else of a label.
_KEPT_PLATES = 512


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
    # Masks are told apart first, so that a picture is blended once and not once a mask.
    owner = np.zeros(pixels.shape[:2], np.int32)
    for k, mask in enumerate(masks, 1):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if rows.size:
            window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            np.copyto(owner[window], k, where=mask[window])
    inside = owner > 0
    own = np.array([*colors], np.float32).reshape(-1, 3)[owner[inside] - 1]
    mixed = (1 - _OPACITY) * pixels[inside].astype(np.float32) + _OPACITY * own
    found = pixels.copy()
    found[inside] = mixed.round().astype(np.uint8)
    return found


def rectangle(box: Array, size: tuple[int, int]) -> Rectangle:
    """Return the pixels of a box's outline inside a picture of ``size`` (width, height)."""
    return rectangles(np.asarray(box)[None], size)[0]


def rectangles(boxes: Array, size: tuple[int, int]) -> list[Rectangle]:
    """Return the pixels of the outlines of ``(D, 4)`` boxes inside a picture of ``size``."""
    limit = np.array([size[0], size[1]] * 2) - 1
    corners = np.clip(np.round(boxes), 0, limit).tolist()
    return [(x1, y1, max(x1, x2), max(y1, y2)) for x1, y1, x2, y2 in corners]


def _grown(box: Rectangle, by: int) -> Rectangle:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def outline(draw: ImageDraw.ImageDraw, box: Rectangle, color: Color, width: int = 3) -> None:
    """Draw the four sides of ``box``, ``width`` pixels wide, between two dark lines."""
    draw.rectangle(_grown(box, 2), outline=BLACK, width=width + 2)
    draw.rectangle(_grown(box, 1), outline=color, width=width)


def label(
    picture: Image.Image,
    box: Rectangle,
    text: str,
    color: Color,
    taken: Sequence[Rectangle],
    letters: int = 13,
    tail: str = "",
) -> Rectangle:
    """Write ``text`` at the first free corner of ``box`` and return the pixels that it covers.

    A text that is wider than the picture ends in an ellipsis; ``tail`` stays whole.

    Args:
        picture: The picture, which the text does not leave.
        box: What the text is about.
        text: What is on one line.
        color: Of the background; the text is black or white, whichever is readable.
        taken: Places of other texts.
        letters: Height of the letters in pixels.
        tail: What follows the text, a score for example.
    """
    plate = _plate(" ".join(text.split()), tail, color, letters, picture.width - 7)
    width, height = plate.width - 1, plate.height - 1
    x1, y1, x2, y2 = box
    right, bottom = max(0, picture.width - width - 1), max(0, picture.height - height - 1)
    first = None
    for x, y in (
        (x1 - 2, y1 - height - 2),
        (x2 - width + 2, y1 - height - 2),
        (x1 - 2, y2 + 2),
        (x2 - width + 2, y2 + 2),
        (x1, y1),
        (x2 - width, y2 - height),
    ):
        left = 0 if x < 0 else right if x > right else round(x)
        top = 0 if y < 0 else bottom if y > bottom else round(y)
        place = (left, top, left + width, top + height)
        first = first or place
        if _is_free(place, taken):
            break
    else:
        assert first is not None
        place = first
    picture.paste(plate, place[:2])
    return place


@lru_cache(_KEPT_PLATES)
def _plate(text: str, tail: str, color: Color, letters: int, room: int) -> Image.Image:
    """Return a text on its colour in a dark frame; the letters are at most ``room`` pixels wide."""
    face, text = _face(text, letters)
    text = _shortened(text, tail, face, room)
    left, top, right, bottom = face.getbbox(text)
    left, top = math.floor(left), math.floor(top)
    plate = Image.new("RGB", (math.ceil(right) - left + 7, math.ceil(bottom) - top + 7), color)
    draw = ImageDraw.Draw(plate)
    draw.rectangle((0, 0, plate.width - 1, plate.height - 1), outline=BLACK)
    luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    ink = BLACK if luminance > _READABLE else WHITE
    draw.text((3 - left, 3 - top), text, fill=ink, font=face)
    return plate


def _shortened(text: str, tail: str, face: Any, width: float) -> str:
    if face.getlength(text + tail) <= width:
        return text + tail
    for letters in range(len(text) - 1, 0, -1):
        shown = f"{text[:letters].rstrip()}\N{HORIZONTAL ELLIPSIS}{tail}"
        if face.getlength(shown) <= width:
            return shown
    return tail.strip() or text[:1]


def _is_free(place: Rectangle, taken: Sequence[Rectangle]) -> bool:
    left, top, right, bottom = place
    for x1, y1, x2, y2 in taken:  # with hundreds of labels most of the time was spent in calls
        if left < x2 and x1 < right and top < y2 and y1 < bottom:
            return False
    return True
