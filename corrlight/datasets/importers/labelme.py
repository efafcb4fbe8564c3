"""LabelMe: one JSON file a picture, with shapes in pixels; the picture may be inside.

Polygons, rectangles, circles, oriented rectangles and masks are read. Shapes of one ``group_id``
and label are parts of one object, as in LabelMe's own conversion to COCO. Points and lines have no
box.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from corrlight.datasets.outlines import (
    ELLIPSE_CORNERS,
    Shape,
    from_bitmap,
    from_corners,
    from_ellipse,
    from_polygon,
    joined,
    pasted,
)
from corrlight.datasets.pictures import PictureIndex, picture_frame, split_of_path, walk
from corrlight.datasets.records import (
    Annotation,
    Content,
    Ledger,
    Picture,
    ReadOptions,
    RecordError,
    entry,
    number,
    pairs,
)
from corrlight.json_files import JsonFileError, read_json

__all__ = ["read_labelme"]

_POLYGONS = ("polygon", "rotation", "oriented_rectangle")
_NO_BOX = ("point", "points", "line", "linestrip")


def read_labelme(source: Path, ledger: Ledger, options: ReadOptions) -> Content:
    """Return the pictures and shapes of a folder; classes are not declared.

    Raises:
        ValueError: It is no folder with LabelMe files.
    """
    index = PictureIndex(options.images or source)
    pictures, seen, stems = [], set[Path](), set[tuple[Path, str]]()
    for file in (p for p in walk(source) if p.suffix.lower() == ".json"):
        with ledger.record(file):
            try:
                data = read_json(file)
            except JsonFileError as error:
                raise RecordError(f"it is no JSON file ({error.reason})") from None
            if not isinstance(data, dict) or "shapes" not in data:
                ledger.drop("JSON files that are not of LabelMe", file)
                continue
            stems.add((file.parent, file.stem))
            picture = _picture(data, file, index, ledger, options)
            picture.splits = split_of_path(file, source)
            if picture.path in seen:
                raise RecordError(f"{picture.path} is annotated in another file too")
            seen.add(picture.path)
            pictures.append(picture)
    if not stems and not ledger.problems:
        raise ValueError(f"Expected a folder with LabelMe files (.json), but got {source}.")
    for path in index.paths:
        if path not in seen and (path.parent, path.stem) not in stems:
            with ledger.record(path):
                splits = split_of_path(path, index.folder)
                size = picture_frame(path, None, ledger)
                pictures.append(Picture(path=path, size=size, splits=splits, labelled=False))
    return Content(pictures=sorted(pictures, key=lambda p: p.path))


def _picture(
    data: dict[str, Any], file: Path, index: PictureIndex, ledger: Ledger, options: ReadOptions
) -> Picture:
    content = None
    try:
        path = index.find(entry(data, "imagePath", str), near=file)
    except RecordError:
        if not data.get("imageData"):
            raise
        content = _decoded(data["imageData"], "imageData")
        path = file
        ledger.change("pictures taken out of the annotation file (imageData)", file)
    declared = None
    if data.get("imageHeight") is not None and data.get("imageWidth") is not None:
        height, width = (number(data[k], k) for k in ("imageHeight", "imageWidth"))
        declared = (int(height), int(width))
    size = picture_frame(path, declared, ledger, ignore_size=options.ignore_size, content=content)
    picture = Picture(path=path, size=size, content=content)
    groups: dict[Any, Annotation] = {}
    parts: dict[Any, list[Shape]] = {}
    for k, item in enumerate(entry(data, "shapes", list), 1):
        where = f"{file}: shape {k}"
        with ledger.record(where):
            label = entry(item, "label", str)
            if not label.strip():
                raise RecordError("label is empty")
            shape = _shape(item, size, where, ledger)
            if shape is None:
                continue
            group = item.get("group_id")
            key = (label, group) if isinstance(group, int | str) else k
            if key in groups:
                ledger.change("shapes joined to one object by label and group_id", where)
            extra = {"difficult": 1} if item.get("difficult") is True else {}
            groups.setdefault(key, Annotation(label=label, shape=shape, where=where, extra=extra))
            parts.setdefault(key, []).append(shape)
    for key, annotation in groups.items():
        annotation.shape = joined(parts[key], size)
        picture.annotations.append(annotation)
    return picture


def _shape(item: Any, size: tuple[int, int], where: str, ledger: Ledger) -> Shape | None:
    kind = item.get("shape_type") or "polygon"
    if kind in _NO_BOX:
        ledger.drop(f"shapes without a box ({kind})", where)
        return None
    points = pairs(entry(item, "points", list), "points")
    if kind in _POLYGONS:
        if len(points) < 3:
            raise RecordError(f"a {kind} of {len(points)} points")
        return from_polygon(points)
    if kind not in ("rectangle", "circle", "mask"):
        raise RecordError(f"shape_type is {kind!r}, which LabelMe has not")
    if len(points) == 4 and kind == "rectangle":
        return _around(points)
    if len(points) != 2:
        raise RecordError(f"a {kind} of {len(points)} points instead of 2")
    if kind == "rectangle":
        return _around(points)
    if kind == "circle":
        radius = math.dist(*points)
        ledger.change(f"circles drawn as polygons of {ELLIPSE_CORNERS} corners", where)
        return from_ellipse(points[0], (radius, radius))
    content = _decoded(entry(item, "mask", str), "mask")
    try:
        with Image.open(io.BytesIO(content)) as image:
            bitmap = np.asarray(image.convert("L"))
    except (OSError, SyntaxError, ValueError):
        raise RecordError("mask is no picture") from None
    left, top = (round(v) for v in points[0])
    return from_bitmap(pasted(bitmap, left, top, size))


def _around(points: list[tuple[float, float]]) -> Shape:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return from_corners(min(xs), min(ys), max(xs), max(ys))


def _decoded(text: Any, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, TypeError, ValueError):
        raise RecordError(f"{name} is no base64 text") from None
