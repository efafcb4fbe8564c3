"""A picture with its boxes, masks and class names."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as mask_utils

from corrlight.coco.annotation_file.table import AnnotationTable
from corrlight.coco.segmentations import encode
from corrlight.coco.types import Array
from corrlight.data.images import decode_image
from corrlight.datasets.showing.choosing import View
from corrlight.reporting.outlines import Rectangle, label

__all__ = ["Color", "Drawn", "class_colors", "draw_view"]

Color = tuple[int, int, int]
_BLACK: Color = (0, 0, 0)
# Pictures with more objects than that have no names in them.
_MOST_NAMES = 20
# Pixels from which on a box has a thicker line.
_THICK = 24
# Part of a mask's colour in what is shown, inside of it and along its border.
_OPACITY, _OUTLINE = 0.35, 0.9
# A small picture is enlarged at most so often, and a crop shows so much around its object.
_MOST_ENLARGED, _AROUND, _LEAST_CROP = 4, 5.0, 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A drawn picture.

    Attributes:
        picture: The pixels, or None if the file cannot be read.
        problem: Why it cannot.
        num_objects: Annotations of the picture.
        num_hidden: Those among them without a box that could be drawn.
    """

    picture: Image.Image | None
    problem: str
    num_objects: int
    num_hidden: int


def class_colors(names: list[str]) -> dict[str, Color]:
    """Return a colour for every class; neighbours lie far apart on the circle of hues."""
    colors = {}
    for k, name in enumerate(names):
        hue = (0.58 + k * 0.618034) % 1
        light = (0.95, 0.75, 0.6)[k // 7 % 3]
        red, green, blue = (round(255 * v) for v in colorsys.hsv_to_rgb(hue, 0.75, light))
        colors[name] = (red, green, blue)
    return colors


def draw_view(
    view: View, table: AnnotationTable, folder: Path, colors: dict[str, Color], size: int = 320
) -> Drawn:
    """Return a picture with what is annotated in it.

    Args:
        view: What is shown.
        table: Annotations of its split, with segmentations where masks are to be drawn.
        folder: Folder of the pictures.
        colors: Of the classes.
        size: Pixels of its longer side.
    """
    rows = np.flatnonzero(table.image_idx == view.image)
    with np.errstate(invalid="ignore"):
        drawable = (table.boxes[rows, 2:] > 0).all(1) & (np.abs(table.boxes[rows]) < 1e6).all(1)
    hidden = int((~drawable).sum())
    height, width = table.sizes[view.image].tolist()
    path = folder / table.file_names[view.image]
    try:
        pixels = decode_image(path, (height, width))
    except ValueError as error:
        return Drawn(picture=None, problem=str(error), num_objects=len(rows), num_hidden=hidden)
    rows = rows[drawable]
    window = _window(view, table, (width, height))
    x0, y0, x1, y1 = window
    scale = size / max(x1 - x0, y1 - y0)
    scale = scale if view.crop else min(scale, _MOST_ENLARGED)
    shown = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    smooth = Image.Resampling.NEAREST if view.crop and scale > 3 else Image.Resampling.BICUBIC
    picture = Image.fromarray(pixels).crop(window).resize(shown, smooth)
    picture = _with_masks(picture, view, table, rows, window, colors)
    _draw_boxes(picture, view, table, rows, window, colors)
    return Drawn(picture=picture, problem="", num_objects=len(rows) + hidden, num_hidden=hidden)


def _window(view: View, table: AnnotationTable, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the pixels that are shown, as left, top, right and bottom."""
    if not view.crop or view.focus is None:
        return 0, 0, *size
    x, y, width, height = table.boxes[view.focus].tolist()
    side = max(_LEAST_CROP, _AROUND * max(width, height))
    edges = []
    for centre, whole in ((x + width / 2, size[0]), (y + height / 2, size[1])):
        low = int(min(max(centre - side / 2, 0), max(whole - side, 0)))
        edges.append((low, int(min(whole, low + side))))
    (left, right), (top, bottom) = edges
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _color(table: AnnotationTable, row: int, colors: dict[str, Color]) -> Color:
    category = int(table.category_idx[row])
    return colors[table.names[category]] if category >= 0 else _BLACK


def _with_masks(
    picture: Image.Image,
    view: View,
    table: AnnotationTable,
    rows: Array,
    window: tuple[int, int, int, int],
    colors: dict[str, Color],
) -> Image.Image:
    if table.segmentations is None or table.masked is None:
        return picture
    height, width = table.sizes[view.image].tolist()
    # One map of all masks, so that a picture is blended once and not once an object.
    owner = np.zeros((height, width), np.int32)
    palette = [_BLACK]
    for row in rows[table.masked[rows]].tolist():
        mask = mask_utils.decode(encode(table.segmentations[row], height, width))
        owner[mask > 0] = len(palette)
        palette.append(_color(table, row, colors))
    left, top, right, bottom = window
    cut = Image.fromarray(owner[top:bottom, left:right])
    shown = np.asarray(cut.resize(picture.size, Image.Resampling.NEAREST))
    border = np.zeros(shown.shape, bool)
    border[1:] |= shown[1:] != shown[:-1]
    border[:, 1:] |= shown[:, 1:] != shown[:, :-1]
    opacity = np.where(border, _OUTLINE, _OPACITY)[..., None] * (shown > 0)[..., None]
    plain = np.array(palette, np.float64)[shown]
    mixed = np.asarray(picture) * (1 - opacity) + plain * opacity
    return Image.fromarray(mixed.round().astype(np.uint8))


def _draw_boxes(
    picture: Image.Image,
    view: View,
    table: AnnotationTable,
    rows: Array,
    window: tuple[int, int, int, int],
    colors: dict[str, Color],
) -> None:
    draw = ImageDraw.Draw(picture)
    scale = picture.width / (window[2] - window[0])
    names: list[tuple[Rectangle, str, Color]] = []
    # Large ones first: small ones stay visible.
    for row in rows[np.argsort(-table.boxes[rows, 2:].prod(1), kind="stable")].tolist():
        x, y, w, h = table.boxes[row].tolist()
        left, top = (x - window[0]) * scale, (y - window[1]) * scale
        box = (left, top, left + w * scale - 1, top + h * scale - 1)
        box = (box[0], box[1], max(box[0], box[2]), max(box[1], box[3]))
        color, thick = _color(table, row, colors), 1 + (min(w, h) * scale > _THICK)
        thick += 2 * (row == view.focus)
        grown = (box[0] - thick, box[1] - thick, box[2] + thick, box[3] + thick)
        draw.rectangle(grown, outline=_BLACK, width=1)
        draw.rectangle(box, outline=color, width=thick)
        if view.focus is None or row == view.focus:
            name = table.names[table.category_idx[row]] if table.category_idx[row] >= 0 else "?"
            crowd = " (crowd)" if table.crowd[row] else ""
            names.append((box, f"{name[:24]}{crowd}", color))
    if len(names) > _MOST_NAMES:
        return
    taken: list[Rectangle] = []
    for box, name, color in names:
        x1, y1 = min(max(box[0], 0), picture.width - 1), min(max(box[1], 0), picture.height - 1)
        inside = (x1, y1, max(x1, min(box[2], picture.width)), max(y1, min(box[3], picture.height)))
        taken.append(label(picture, inside, name, color, taken))
