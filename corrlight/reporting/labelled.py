"""Pictures of predictions: boxes and masks in the colours of their classes, names and scores.

Nothing here compares with objects: where nobody says what is in a picture, nothing is wrong in it.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from corrlight.reporting.best_iou import Array
from corrlight.reporting.outlines import Color, Rectangle, label, outline, painted, rectangles

__all__ = ["class_color", "draw_labelled"]

# Okabe and Ito's palette without black and grey: apart for all common kinds of colour blindness.
_PALETTE: tuple[Color, ...] = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
)
# Pictures with a shorter long side are enlarged by a whole factor: a name needs some pixels.
_SMALL = 320
_GOLDEN_RATIO = 0.618034


def class_color(label: int) -> Color:
    """Return the colour of a class, the same in every picture; the first seven are far apart."""
    if label < len(_PALETTE):
        return _PALETTE[label]
    # Multiples of the golden ratio spread hues evenly, however many there are.
    hue = (label * _GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 0.65 + 0.3 * (label % 2))
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_labelled(
    pixels: Array,
    boxes: Array,
    labels: Array,
    scores: Array,
    names: Sequence[str],
    masks: Array | None = None,
) -> Image.Image:
    """Return a picture with what was found in it, the best on top.

    Pictures whose longer side is below 320 pixels are enlarged by a whole factor.

    Args:
        pixels: ``(H, W, 3)`` uint8.
        boxes: ``(D, 4)`` xyxy in its pixels.
        labels: ``(D,)`` classes.
        scores: ``(D,)``, written behind the name.
        names: Name of every class.
        masks: ``(D, H, W)`` bool, or None.
    """
    height, width = pixels.shape[:2]
    order = np.argsort(scores, kind="stable")
    if masks is not None and len(masks):
        colors = [class_color(int(k)) for k in labels[order]]
        pixels = painted(pixels, masks[order], colors)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    factor = max(1, -(-_SMALL // max(height, width)))
    shown = (width * factor, height * factor)
    if factor > 1:
        picture = picture.resize(shown, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    # Both grow with the picture: it is looked at as a whole.
    letters, line = max(11, max(shown) // 64), max(2, max(shown) // 320)
    edges = rectangles(boxes[order] * factor, shown)
    found = [(names[k], class_color(k)) for k in labels[order].tolist()]
    for sides, (_, color) in zip(edges, found, strict=True):
        outline(draw, sides, color, line)
    taken: list[Rectangle] = []
    named = list(zip(edges, found, scores[order].tolist(), strict=True))
    for sides, (name, color), score in reversed(named):  # the best scores get the best places
        taken.append(label(picture, sides, name, color, taken, letters, f" {score:.2f}"))
    return picture
