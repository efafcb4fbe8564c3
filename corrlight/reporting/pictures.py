"""Pictures of detections: boxes coloured by IoU, scores printed, objects as dashed outlines.

Drawn with Pillow alone, after the image is scaled up, so lines and numbers stay sharp on images of
128 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from corrlight.atomic import atomic_path
from corrlight.reporting.best_iou import Array, best_same_class_iou

__all__ = [
    "Rectangle",
    "Scene",
    "contact_sheet",
    "draw_label",
    "draw_scene",
    "iou_color",
    "save_image",
]

Color = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

# Vermillion - yellow - blue of Okabe and Ito's palette: the hues stay apart for all common kinds of
# colour blindness, and the poor boxes are the loud ones.
_STOPS: tuple[tuple[float, Color], ...] = (
    (0.0, (213, 94, 0)),
    (0.5, (240, 228, 66)),
    (0.75, (86, 180, 233)),
    (1.0, (0, 114, 178)),
)
_BLACK: Color = (0, 0, 0)
_WHITE: Color = (255, 255, 255)
_LEGEND_HEIGHT = 40
_TITLE_HEIGHT = 20
_GAP = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One image with its detections and objects, all in the pixels of ``image``.

    Attributes:
        image: ``(H, W, 3)`` uint8.
        boxes: ``(D, 4)`` detections, xyxy.
        scores: ``(D,)`` their scores.
        labels: ``(D,)`` their classes.
        gt_boxes: ``(G, 4)`` objects, xyxy.
        gt_labels: ``(G,)`` their classes.
        title: Written above the image on a contact sheet.
    """

    image: Array
    boxes: Array
    scores: Array
    labels: Array
    gt_boxes: Array
    gt_labels: Array
    title: str = ""

    def __post_init__(self) -> None:
        shape = np.shape(self.image)
        if len(shape) != 3 or shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(
                "Expected `image` to be a uint8 array of shape (H, W, 3), "
                f"but got {self.image.dtype} of shape {shape}."
            )

    def ious(self) -> Array:
        """Return the ``(D,)`` best IoU of each detection with an object of its class."""
        return best_same_class_iou(self.boxes, self.labels, self.gt_boxes, self.gt_labels)


def iou_color(iou: float) -> Color:
    """Return the colour of an IoU: orange 0, yellow 0.5, light blue 0.75, blue 1."""
    positions = [position for position, _ in _STOPS]
    channels = zip(*(color for _, color in _STOPS), strict=True)
    red, green, blue = (round(float(np.interp(iou, positions, values))) for values in channels)
    return red, green, blue


def draw_scene(scene: Scene, size: int = 320, score_thresh: float = 0.3) -> Image.Image:
    """Return the image, scaled so that its longer side has ``size`` pixels, with what was found.

    Args:
        scene: The image and its boxes.
        size: Pixels of the longer side.
        score_thresh: Detections with a lower score are left out.
    """
    height, width = scene.image.shape[:2]
    scale = size / max(height, width)
    shown = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(scene.image).resize(shown, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    factor = np.array([shown[0] / width, shown[1] / height] * 2)
    ious = scene.ious()
    kept = [k for k in np.argsort(scene.scores, kind="stable") if scene.scores[k] >= score_thresh]
    outlines = {int(k): _rectangle(scene.boxes[k] * factor, shown) for k in kept}
    objects = [
        _rectangle(box * factor, shown)
        for box in np.asarray(scene.gt_boxes, np.float64).reshape(-1, 4)
    ]
    for rectangle in objects:
        _dashed_outline(draw, rectangle, (_WHITE, _BLACK))
    for k, outline in outlines.items():
        _outline(draw, outline, iou_color(float(ious[k])))
    for rectangle in objects:  # again where a detection covers it, the colour kept in between
        _dashed_outline(draw, rectangle, (_WHITE, None, None, None))
    taken: list[Rectangle] = []
    for k in reversed(list(outlines)):  # the best scores get the best places
        color = iou_color(float(ious[k]))
        taken.append(draw_label(draw, outlines[k], f"{scene.scores[k]:.2f}", color, shown, taken))
    return picture


def contact_sheet(
    scenes: Sequence[Scene], columns: int = 3, size: int = 320, score_thresh: float = 0.3
) -> Image.Image:
    """Return several images in a grid, with a legend below.

    Args:
        scenes: At least one image.
        columns: Images in a row.
        size: Pixels of the longer side of each image.
        score_thresh: Detections with a lower score are left out.

    Raises:
        ValueError: If ``scenes`` is empty or ``columns`` not positive.
    """
    if not scenes:
        raise ValueError("Expected `scenes` to hold at least one image, but got none.")
    if columns < 1:
        raise ValueError(f"Expected `columns` to be at least 1, but got {columns}.")
    pictures = [draw_scene(scene, size, score_thresh) for scene in scenes]
    columns = min(columns, len(pictures))
    cell_width = max(picture.width for picture in pictures)
    cell_height = max(picture.height for picture in pictures) + _TITLE_HEIGHT
    rows = math.ceil(len(pictures) / columns)
    width = columns * (cell_width + _GAP) + _GAP
    height = rows * (cell_height + _GAP) + _GAP + _LEGEND_HEIGHT
    sheet = Image.new("RGB", (width, height), _WHITE)
    draw = ImageDraw.Draw(sheet)
    for index, (scene, picture) in enumerate(zip(scenes, pictures, strict=True)):
        row, column = divmod(index, columns)
        x, y = _GAP + column * (cell_width + _GAP), _GAP + row * (cell_height + _GAP)
        draw.text((x, y), scene.title, fill=_BLACK, font=_font(13))
        sheet.paste(picture, (x, y + _TITLE_HEIGHT))
    sheet.paste(_legend(width, score_thresh), (0, height - _LEGEND_HEIGHT))
    return sheet


def save_image(image: Image.Image, path: str | Path) -> Path:
    """Write ``image`` atomically, in the format of the suffix, and return its path."""
    with atomic_path(path) as temporary:
        image.save(temporary)
    return Path(path)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _rectangle(box: Array, size: tuple[int, int]) -> Rectangle:
    """Return the pixels of a box's outline inside a picture of ``size`` (width, height)."""
    limit = np.array([size[0], size[1]] * 2) - 1
    x1, y1, x2, y2 = (float(v) for v in np.clip(np.round(box), 0, limit))
    return x1, y1, max(x1, x2), max(y1, y2)


def _grown(box: Rectangle, by: int) -> Rectangle:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _outline(draw: ImageDraw.ImageDraw, box: Rectangle, color: Color) -> None:
    # A dark line on both sides keeps every colour readable on every background.
    draw.rectangle(_grown(box, 2), outline=_BLACK, width=5)
    draw.rectangle(_grown(box, 1), outline=color, width=3)


def _dashed_outline(
    draw: ImageDraw.ImageDraw, box: Rectangle, colors: Sequence[Color | None], dash: int = 4
) -> None:
    """Draw dashes in turn in ``colors``; None is a gap."""
    x1, y1, x2, y2 = box
    sides = [(x1, y1, x2, y1), (x2, y1, x2, y2), (x1, y2, x2, y2), (x1, y1, x1, y2)]
    for ax, ay, bx, by in sides:
        length = max(bx - ax, by - ay)
        unit = (bx > ax, by > ay)
        for number, start in enumerate(np.arange(0, length, dash)):
            end = min(start + dash - 1, length)
            line = [
                (ax + unit[0] * start, ay + unit[1] * start),
                (ax + unit[0] * end, ay + unit[1] * end),
            ]
            if (color := colors[number % len(colors)]) is not None:
                draw.line(line, fill=color, width=1)


def draw_label(
    draw: ImageDraw.ImageDraw,
    box: Rectangle,
    text: str,
    color: Color,
    size: tuple[int, int],
    taken: Sequence[Rectangle],
) -> Rectangle:
    """Draw ``text`` at the first free corner of ``box`` and return the pixels that it covers."""
    font = _font(13)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
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
    draw.rectangle(place, fill=color, outline=_BLACK)
    at = (place[0] + 3 - left, place[1] + 3 - top)
    draw.text(at, text, fill=_BLACK if luminance > 115 else _WHITE, font=font)
    return place


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _legend(width: int, score_thresh: float) -> Image.Image:
    legend = Image.new("RGB", (width, _LEGEND_HEIGHT), _WHITE)
    draw = ImageDraw.Draw(legend)
    font, bar, left = _font(12), 90, 36
    draw.text((_GAP, 10), "IoU", fill=_BLACK, font=font)
    for x in range(bar):
        draw.line([(left + x, 8), (left + x, 20)], fill=iou_color(x / (bar - 1)))
    for value in (0, 0.5, 1):
        draw.text((left + value * bar, 22), f"{value:g}", fill=_BLACK, font=font, anchor="ma")
    x = left + bar + 20
    _dashed_outline(draw, (x, 8, x + 24, 20), (_WHITE, _BLACK))
    draw.text((x + 32, 7), "object", fill=_BLACK, font=font)
    draw.text((x + 84, 7), f"number: score, from {score_thresh:.2f}", fill=_BLACK, font=font)
    return legend
