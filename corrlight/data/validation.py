"""What can be wrong in a COCO annotation file, found in one pass over its content."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

__all__ = ["CocoFormatError", "ContentReport", "check_content", "summarize"]

# Coordinates beyond this are damaged numbers; it also excludes NaN and infinity.
_MAX_COORDINATE = 1e9
_SHOWN = 5


class CocoFormatError(ValueError):
    """Data that cannot be trained on or evaluated.

    Attributes:
        problems: All of them, one line each; the message shows the first few.
    """

    def __init__(self, message: str, problems: list[str]) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def summarize(expectation: str, problems: list[str]) -> CocoFormatError:
    """Return the one-line error "Expected ..., but found n problems: ..."."""
    shown = "; ".join(problems[:_SHOWN])
    more = f"; and {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
    count = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}"
    return CocoFormatError(f"Expected {expectation}, but found {count}: {shown}{more}.", problems)


@dataclass(slots=True)
class ContentReport:
    """What :func:`check_content` found.

    Attributes:
        problems: What makes the content unusable, one line each.
        invalid_boxes: Position in ``annotations`` -> line, for boxes that are negative, empty,
            not finite or outside their image; an error unless they are to be dropped.
        missing_area: Number of annotations without ``area``.
        missing_iscrowd: Number of annotations without ``iscrowd``.
    """

    problems: list[str] = field(default_factory=list)
    invalid_boxes: dict[int, str] = field(default_factory=dict)
    missing_area: int = 0
    missing_iscrowd: int = 0


def check_content(data: Any, masks: bool = False) -> ContentReport:
    """Return everything that is wrong with the parsed JSON of an annotation file.

    Args:
        data: What ``json.load`` returned.
        masks: Whether the segmentations of the annotations are needed too.
    """
    report = ContentReport()
    if not isinstance(data, dict):
        report.problems.append(
            "no COCO file: an object with images, annotations and categories is expected, but it "
            f"is a {type(data).__name__}"
        )
        return report
    for key in ("images", "annotations", "categories"):
        if key not in data:
            report.problems.append(f"no COCO file: the key {key!r} is missing")
        elif not isinstance(data[key], list):
            report.problems.append(f"no COCO file: {key!r} is a {type(data[key]).__name__}")
        elif key != "annotations" and not data[key]:
            report.problems.append(f"{key!r} is empty")
    if report.problems:
        return report
    sizes = _check_images(data["images"], report.problems)
    categories = _check_categories(data["categories"], report.problems)
    _check_annotations(data["annotations"], sizes, categories, masks, report)
    return report


def _is_int(value: Any) -> bool:
    return type(value) is int  # bool is an int, but no id


def _entries(entries: list[Any], kind: str, key: str, problems: list[str]) -> Iterator[Any]:
    """Yield the entries that are objects, after a note of those that are not or lack an id."""
    seen = set()
    for k, entry in enumerate(entries):
        if not isinstance(entry, dict):
            problems.append(f"{key}[{k}]: a {type(entry).__name__} instead of an object")
            continue
        identity = entry.get("id")
        if not _is_int(identity):
            problems.append(f"{key}[{k}]: id is {_short(identity)}, not an int")
            continue
        if identity in seen:
            problems.append(f"{kind} {identity}: duplicate id")
            continue
        seen.add(identity)
        yield entry


def _short(value: Any) -> str:
    return reprlib.repr(value)


def _check_images(images: list[Any], problems: list[str]) -> dict[int, tuple[int, int]]:
    """Return the (height, width) of every image by its id."""
    sizes: dict[int, tuple[int, int]] = {}
    names: dict[str, int] = {}
    for image in _entries(images, "image", "images", problems):
        identity, name = image["id"], image.get("file_name")
        size = image.get("height"), image.get("width")
        # Known even if broken, so that its annotations are not reported too.
        sizes[identity] = (0, 0)
        if not isinstance(name, str) or not name:
            problems.append(f"image {identity}: file_name is {_short(name)}, not a name")
        elif not _is_inside(name):
            problems.append(f"image {identity}: file_name {_short(name)} leaves the image folder")
        elif name in names:
            problems.append(f"image {identity}: same file_name {name!r} as image {names[name]}")
        else:
            names[name] = identity
        if all(_is_int(v) and v > 0 for v in size):
            sizes[identity] = size
        else:
            problems.append(
                f"image {identity}: height {_short(size[0])} and width {_short(size[1])} are not "
                "positive ints"
            )
    return sizes


def _is_inside(name: str) -> bool:
    """Return whether a file name stays inside its folder, on any system."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return "\0" not in name and not any(
        p.is_absolute() or p.drive or ".." in p.parts for p in paths
    )


def _check_categories(categories: list[Any], problems: list[str]) -> set[int]:
    known: set[int] = set()
    names: dict[str, int] = {}
    for category in _entries(categories, "category", "categories", problems):
        identity, name = category["id"], category.get("name")
        known.add(identity)
        if not isinstance(name, str) or not name:
            problems.append(f"category {identity}: name is {_short(name)}, not a name")
        elif name in names:
            problems.append(f"category {identity}: same name {name!r} as category {names[name]}")
        else:
            names[name] = identity
    return known


def _check_annotations(
    annotations: list[Any],
    sizes: dict[int, tuple[int, int]],
    categories: set[int],
    masks: bool,
    report: ContentReport,
) -> None:
    problems, seen = report.problems, set()
    for k, annotation in enumerate(annotations):
        if not isinstance(annotation, dict):
            problems.append(f"annotations[{k}]: a {type(annotation).__name__} instead of an object")
            continue
        identity: Any = annotation.get("id")
        if not _is_int(identity) or identity <= 0:
            # pycocotools takes id 0 for "not matched" and silently counts the object as missed.
            problems.append(f"annotations[{k}]: id is {_short(identity)}, not a positive int")
            name = f"annotations[{k}]"
        else:
            name = f"annotation {identity}"
            if identity in seen:
                problems.append(f"{name}: duplicate id")
            seen.add(identity)
        image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
        if not _is_int(image_id) or image_id not in sizes:
            problems.append(f"{name}: unknown image_id {_short(image_id)}")
            size = (0, 0)
        else:
            size = sizes[image_id]
        if not _is_int(category_id) or category_id not in categories:
            problems.append(f"{name}: unknown category_id {_short(category_id)}")
        crowd = annotation.get("iscrowd")
        if crowd is None:
            report.missing_iscrowd += 1
        elif type(crowd) not in (int, bool) or crowd not in (0, 1):
            problems.append(f"{name}: iscrowd is {_short(crowd)}, not 0 or 1")
        area = annotation.get("area")
        if area is None:
            report.missing_area += 1
        elif type(area) not in (int, float) or not 0 <= area < _MAX_COORDINATE**2:
            problems.append(f"{name}: area is {_short(area)}, not a finite number >= 0")
        fault = _box_fault(annotation.get("bbox"), size)
        if fault:
            report.invalid_boxes[k] = f"{name}: bbox {_short(annotation.get('bbox'))} {fault}"
        if masks:
            fault = _segmentation_fault(annotation.get("segmentation"), size)
            if fault:
                problems.append(f"{name}: segmentation {fault}")


def _box_fault(box: Any, size: tuple[int, int]) -> str | None:
    """Return what is wrong with a box ``[x, y, width, height]``, or None."""
    if not isinstance(box, list) or len(box) != 4:
        return "is not [x, y, width, height]"
    # Several types, no NaN: one comparison a number keeps this fast on a million boxes.
    if any(type(v) not in (int, float) or not abs(v) < _MAX_COORDINATE for v in box):
        return "has a value that is no finite number"
    x, y, width, height = box
    if width <= 0 or height <= 0:
        return "has no positive width and height"
    if size[0] and (x >= size[1] or y >= size[0] or x + width <= 0 or y + height <= 0):
        return f"lies outside its image of {size[1]}x{size[0]}"
    return None


def _segmentation_fault(segmentation: Any, size: tuple[int, int]) -> str | None:
    if isinstance(segmentation, list):
        if not segmentation:
            return "is empty"
        for polygon in segmentation:
            if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
                return "has a polygon that is not 3 or more pairs of numbers"
            if any(type(v) not in (int, float) or not abs(v) < _MAX_COORDINATE for v in polygon):
                return "has a polygon with a value that is no finite number"
        return None
    if isinstance(segmentation, dict):
        counts = segmentation.get("counts")
        if segmentation.get("size") != list(size):
            return f"has the size {_short(segmentation.get('size'))}, not {list(size)}"
        if isinstance(counts, list):
            whole = all(_is_int(v) and v >= 0 for v in counts) and sum(counts) == size[0] * size[1]
            return None if whole else "has run lengths that do not add up to its image"
        return None if isinstance(counts, str) and counts else "has no run lengths"
    return f"is {_short(segmentation)}, neither polygons nor run lengths"
