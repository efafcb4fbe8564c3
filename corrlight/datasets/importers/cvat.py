"""CVAT for images 1.1: one XML file for all pictures.

Boxes and ellipses may be turned (clockwise, around their centre), polygons and masks stay what
they are. Points, lines, cuboids, skeletons and tags have no box.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from corrlight.datasets.outlines import (
    ELLIPSE_CORNERS,
    Shape,
    from_bitmap,
    from_ellipse,
    from_polygon,
    from_turned_box,
    pasted,
)
from corrlight.datasets.pictures import PictureIndex, picture_frame, split_of_path
from corrlight.datasets.records import (
    Annotation,
    Content,
    Ledger,
    Picture,
    ReadOptions,
    RecordError,
    number,
)
from corrlight.datasets.xml_files import read_xml

__all__ = ["read_cvat"]

_NO_BOX = ("points", "polyline", "cuboid", "skeleton", "tag")


def read_cvat(source: Path, ledger: Ledger, options: ReadOptions) -> Content:
    """Return the pictures and shapes of an XML file, or of ``annotations.xml`` in a folder.

    Classes are in the order of the task's labels.

    Raises:
        ValueError: There is no such file, or it is of videos.
    """
    file = source if source.is_file() else source / "annotations.xml"
    if not file.is_file():
        raise ValueError(f"Expected CVAT's annotations.xml in {source}, but found none.")
    try:
        root = read_xml(file)
    except RecordError as error:
        raise ValueError(f"Expected {file} to be an XML file, but {error}.") from None
    if root.find("track") is not None:
        raise ValueError(f"Expected {file} in the format CVAT for images, but it is of a video.")
    elements = root.findall("image")
    if not elements:
        raise ValueError(f"Expected <image> elements of CVAT in {file}, but found none.")
    index = PictureIndex(options.images or file.parent)
    pictures: dict[Path, Picture] = {}
    for element in elements:
        name = element.get("name", "")
        with ledger.record(f"{file}: image {name!r}"):
            path = index.find(name)
            size = picture_frame(
                path,
                (int(_value(element, "height")), int(_value(element, "width"))),
                ledger,
                ignore_size=options.ignore_size,
            )
            if path in pictures:
                raise RecordError(f"{path} is annotated twice")
            subset = element.get("subset")
            splits = frozenset([subset]) if subset else split_of_path(path, index.folder)
            pictures[path] = Picture(path=path, size=size, splits=splits)
            for k, shape in enumerate(element, 1):
                where = f"{file}: image {name!r}, {shape.tag} {k}"
                with ledger.record(where):
                    pictures[path].annotations += _annotation(shape, size, where, ledger)
    classes = [(e.findtext("name") or "").strip() for e in root.findall("meta//labels/label")]
    # The parts of a skeleton are labels with a parent.
    parents = [e.findtext("parent") for e in root.findall("meta//labels/label")]
    declared = [c for c, parent in zip(classes, parents, strict=True) if c and not parent]
    return Content(pictures=list(pictures.values()), classes=list(dict.fromkeys(declared)))


def _annotation(
    element: Element, size: tuple[int, int], where: str, ledger: Ledger
) -> list[Annotation]:
    if element.tag in _NO_BOX:
        ledger.drop(f"shapes without a box ({element.tag})", where)
        return []
    label = element.get("label", "").strip()
    if not label:
        raise RecordError("it has no label")
    extra: dict[str, Any] = {"occluded": 1} if element.get("occluded") == "1" else {}
    attributes = {a.get("name", ""): (a.text or "").strip() for a in element.findall("attribute")}
    if attributes:
        extra["attributes"] = attributes
    if element.tag == "ellipse":
        ledger.change(f"ellipses drawn as polygons of {ELLIPSE_CORNERS} corners", where)
    shape = _shape(element, size)
    return [Annotation(label=label, shape=shape, where=where, extra=extra)]


def _shape(element: Element, size: tuple[int, int]) -> Shape:
    degrees = number(element.get("rotation", "0"), "rotation")
    if element.tag == "box":
        left, top, right, bottom = (_value(element, k) for k in ("xtl", "ytl", "xbr", "ybr"))
        width, height = right - left, bottom - top
        # CVAT turns around the centre; the first corner goes round with it.
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        x = (left + right) / 2 - width / 2 * cos + height / 2 * sin
        y = (top + bottom) / 2 - width / 2 * sin - height / 2 * cos
        return from_turned_box((x, y) if degrees % 360 else (left, top), width, height, degrees)
    if element.tag == "ellipse":
        centre = (_value(element, "cx"), _value(element, "cy"))
        return from_ellipse(centre, (_value(element, "rx"), _value(element, "ry")), degrees)
    if element.tag == "polygon":
        words = [pair.split(",") for pair in element.get("points", "").split(";")]
        if len(words) < 3 or any(len(pair) != 2 for pair in words):
            raise RecordError("points are not three or more x,y")
        return from_polygon([(number(x, "points"), number(y, "points")) for x, y in words])
    if element.tag == "mask":
        left, top, width, height = (
            int(_value(element, k)) for k in ("left", "top", "width", "height")
        )
        counts = [int(number(c, "rle")) for c in element.get("rle", "").split(",")]
        if min(width, height, *counts) < 0 or sum(counts) != width * height:
            raise RecordError("the run lengths of its rle do not add up to width x height")
        # Runs of rows, of background first.
        values = np.arange(len(counts)) % 2
        bitmap = np.repeat(values, counts).reshape(height, width)
        return from_bitmap(pasted(bitmap, left, top, size))
    raise RecordError(f"<{element.tag}> is no shape of CVAT")


def _value(element: Element, key: str) -> float:
    return number(element.get(key), key)
