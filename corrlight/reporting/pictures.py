"""Pictures of detections: boxes coloured by IoU, names and scores, objects as dashed outlines.

Drawn with Pillow alone, after the image is scaled up, so lines and numbers stay sharp on images of
128 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from corrlight.atomic import atomic_path
from corrlight.reporting.best_iou import Array, best_same_class_iou
from corrlight.reporting.outlines import (
    BLACK,
    WHITE,
    Color,
    Rectangle,
    font,
    label,
    outline,
    painted,
    rectangle,
)

__all__ = ["Scene", "contact_sheet", "draw_scene", "iou_color", "save_image"]

# Vermillion - yellow - blue of Okabe and Ito's palette: the hues stay apart for all common kinds of
# colour blindness, and the poor boxes are the loud ones.
_STOPS: tuple[tuple[float, Color], ...] = (
    (0.0, (213, 94, 0)),
    (0.5, (240, 228, 66)),
    (0.75, (86, 180, 233)),
    (1.0, (0, 114, 178)),
)
_LEGEND_HEIGHT = 40
_TITLE_HEIGHT = 20
_GAP = 6
# IoU from which on an object is found, as in AP50.
_MET = 0.5


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
        masks: ``(D, H, W)`` bool masks of the detections, or None.
    """

    image: Array
    boxes: Array
    scores: Array
    labels: Array
    gt_boxes: Array
    gt_labels: Array
    title: str = ""
    masks: Array | None = None

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


def draw_scene(
    scene: Scene, size: int = 320, score_thresh: float = 0.3, names: Sequence[str] = ()
) -> Image.Image:
    """Return the image, scaled so that its longer side has ``size`` pixels, with what was found.

    Args:
        scene: The image and its boxes.
        size: Pixels of the longer side.
        score_thresh: Detections with a lower score are left out.
        names: Name of every class, written before the scores, and at the objects that no shown
            detection of their class meets with an IoU of 0.5; none without them.
    """
    height, width = scene.image.shape[:2]
    scale = size / max(height, width)
    shown = (max(1, round(width * scale)), max(1, round(height * scale)))
    ious = scene.ious()
    kept = [k for k in np.argsort(scene.scores, kind="stable") if scene.scores[k] >= score_thresh]
    pixels = scene.image
    if scene.masks is not None:
        colors = [iou_color(float(ious[k])) for k in kept]
        pixels = painted(pixels, [scene.masks[k] for k in kept], colors)
    picture = Image.fromarray(pixels).resize(shown, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    factor = np.array([shown[0] / width, shown[1] / height] * 2)
    outlines = {int(k): rectangle(scene.boxes[k] * factor, shown) for k in kept}
    objects = [
        rectangle(box * factor, shown)
        for box in np.asarray(scene.gt_boxes, np.float64).reshape(-1, 4)
    ]
    for edges in objects:
        _dashed_outline(draw, edges, (WHITE, BLACK))
    for k, edges in outlines.items():
        outline(draw, edges, iou_color(float(ious[k])))
    for edges in objects:  # again where a detection covers it, the colour kept in between
        _dashed_outline(draw, edges, (WHITE, None, None, None))
    taken: list[Rectangle] = []
    for k in reversed(list(outlines)):  # the best scores get the best places
        color = iou_color(float(ious[k]))
        name = _name(names, scene.labels[k])
        score = f"{scene.scores[k]:.2f}"
        text, tail = (name, f" {score}") if name else (score, "")
        taken.append(label(picture, outlines[k], text, color, taken, tail=tail))
    if len(names):
        met = best_same_class_iou(
            scene.gt_boxes, scene.gt_labels, scene.boxes[kept], scene.labels[kept]
        )
        for edges, of_class, iou in zip(objects, scene.gt_labels, met, strict=True):
            if iou < _MET:
                name = _name(names, of_class)
                taken.append(label(picture, edges, name, WHITE, taken))
    return picture


def _name(names: Sequence[str], label: int) -> str:
    if not len(names):
        return ""
    return names[label] if 0 <= label < len(names) else str(label)


def contact_sheet(
    scenes: Sequence[Scene],
    columns: int = 3,
    size: int = 320,
    score_thresh: float = 0.3,
    names: Sequence[str] = (),
) -> Image.Image:
    """Return several images in a grid, with a legend below.

    Args:
        scenes: At least one image.
        columns: Images in a row.
        size: Pixels of the longer side of each image.
        score_thresh: Detections with a lower score are left out.
        names: Name of every class; without them only scores are written.

    Raises:
        ValueError: If ``scenes`` is empty or ``columns`` not positive.
    """
    if not scenes:
        raise ValueError("Expected `scenes` to hold at least one image, but got none.")
    if columns < 1:
        raise ValueError(f"Expected `columns` to be at least 1, but got {columns}.")
    pictures = [draw_scene(scene, size, score_thresh, names) for scene in scenes]
    columns = min(columns, len(pictures))
    titles = [math.ceil(font(13).getlength(scene.title)) for scene in scenes]
    cell_width = max(*titles, *(picture.width for picture in pictures))
    cell_height = max(picture.height for picture in pictures) + _TITLE_HEIGHT
    rows = math.ceil(len(pictures) / columns)
    width = columns * (cell_width + _GAP) + _GAP
    legend = _legend(width, score_thresh, named=len(names) > 0)
    height = rows * (cell_height + _GAP) + _GAP
    sheet = Image.new("RGB", (max(width, legend.width), height + legend.height), WHITE)
    draw = ImageDraw.Draw(sheet)
    for index, (scene, picture) in enumerate(zip(scenes, pictures, strict=True)):
        row, column = divmod(index, columns)
        x, y = _GAP + column * (cell_width + _GAP), _GAP + row * (cell_height + _GAP)
        draw.text((x, y), scene.title, fill=BLACK, font=font(13))
        sheet.paste(picture, (x, y + _TITLE_HEIGHT))
    sheet.paste(legend, (0, height))
    return sheet


def save_image(image: Image.Image, path: str | Path) -> Path:
    """Write ``image`` atomically, in the format of the suffix, and return its path."""
    with atomic_path(path) as temporary:
        image.save(temporary)
    return Path(path)


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


def _legend(width: int, score_thresh: float, *, named: bool) -> Image.Image:
    """Return the legend, in as many rows as ``width`` asks for, wider where one item is."""
    small, bar, left = font(12), 90, 30
    of_objects = "object, named where missed" if named else "object"
    of_labels = "class and score" if named else "number: score"
    of_labels += f", from {score_thresh:.2f}"
    widths = [
        left + bar + 12,
        32 + math.ceil(small.getlength(of_objects)),
        math.ceil(small.getlength(of_labels)),
    ]
    places, x, y = [], _GAP, 0
    for item in widths:
        if x > _GAP and x + item + _GAP > width:
            x, y = _GAP, y + _LEGEND_HEIGHT
        places.append((x, y))
        x += item + 14
    size = (max(width, max(widths) + 2 * _GAP), y + _LEGEND_HEIGHT)
    legend = Image.new("RGB", size, WHITE)
    draw = ImageDraw.Draw(legend)
    x, y = places[0]
    draw.text((x, y + 10), "IoU", fill=BLACK, font=small)
    for k in range(bar):
        draw.line([(x + left + k, y + 8), (x + left + k, y + 20)], fill=iou_color(k / (bar - 1)))
    for value in (0, 0.5, 1):
        at = (x + left + value * bar, y + 22)
        draw.text(at, f"{value:g}", fill=BLACK, font=small, anchor="ma")
    x, y = places[1]
    _dashed_outline(draw, (x, y + 8, x + 24, y + 20), (WHITE, BLACK))
    draw.text((x + 32, y + 7), of_objects, fill=BLACK, font=small)
    x, y = places[2]
    draw.text((x, y + 7), of_labels, fill=BLACK, font=small)
    return legend
