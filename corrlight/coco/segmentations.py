"""Segmentations of COCO records: which there are, checked, and as run lengths.

A segmentation is a list of polygons, or run lengths as a list of numbers or compressed to a string.
What counts is its value, not its key: exporters write null or an empty list where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Annotated, Any, TypedDict

import msgspec
import numpy as np
from pycocotools import mask as mask_utils

from corrlight.coco.columns import Records
from corrlight.coco.findings import Findings, short
from corrlight.coco.run_lengths import broken_encodings
from corrlight.coco.types import Array, Rle
from corrlight.coco.values import is_given

__all__ = [
    "CompressedMask",
    "Segmentation",
    "check_masks",
    "check_sizes",
    "encode",
    "extent",
    "has_mask",
    "missing_text",
    "sound_compressed_masks",
    "sound_masks",
]

# Coordinates beyond this are damaged numbers.
_MAX_COORDINATE = 1e9
# What a decoder checks by itself: polygons of six or more numbers in range, or run lengths.
_Coordinate = Annotated[float, msgspec.Meta(gt=-_MAX_COORDINATE, lt=_MAX_COORDINATE)]
_Polygon = Annotated[list[_Coordinate], msgspec.Meta(min_length=6)]
Segmentation = list[_Polygon] | dict[str, Any] | None
_MAX_PIXELS = 1 << 32


class CompressedMask(TypedDict):
    """Run lengths compressed to a string, as files of results hold them."""

    size: Annotated[
        list[Annotated[int, msgspec.Meta(ge=1, lt=_MAX_PIXELS)]],
        msgspec.Meta(min_length=2, max_length=2),
    ]
    counts: str


# Kind, rows, expected, text and got: as Records.fault.
SizeFault = Callable[
    [str, list[int], str | Callable[[int], str], Callable[[int], str], Callable[[int], Any]], None
]


def has_mask(record: dict[str, Any]) -> bool:
    """Return whether a record has a segmentation that covers anything, or a broken one."""
    shape = record.get("segmentation")
    return is_given(shape) and not _covers_nothing(shape)


def check_masks(records: Records, rows: Sequence[int] | None = None) -> Array:
    """Report segmentations that are none or broken, whatever the size of their image.

    Args:
        records: Some records of a file.
        rows: Which of them; all by default.

    Returns:
        ``(N, 2)`` int64 height and width that each is for: (-1, -1) for polygons, which are for
        any, and (0, 0) where there is none or a broken one.
    """
    sizes = np.zeros((len(records), 2), dtype=np.int64)
    given: list[Any] = [record.get("segmentation") for record in records.content]
    missing: dict[int, str] = {}
    faults: dict[int, tuple[str, str, Any]] = {}
    compressed: list[int] = []
    wanted = range(len(records)) if rows is None else rows
    good = _good_polygons(given, wanted)
    sizes[good] = -1
    known = set(good)
    for row in wanted:
        shape = given[row]
        if row in known:
            continue
        if not is_given(shape):
            missing[row] = missing_text(shape)
        elif _covers_nothing(shape):
            missing[row] = "has a polygon that is not 3 or more pairs of numbers"
        elif (fault := _fault(shape)) is not None:
            faults[row] = fault
        elif isinstance(shape, list):
            sizes[row] = -1
        else:
            sizes[row] = shape["size"]
            if isinstance(shape["counts"], str):
                compressed.append(row)
    texts = [given[row]["counts"] for row in compressed]
    broken = broken_encodings(texts, sizes[compressed].prod(1))
    for row in np.array(compressed, dtype=np.int64)[broken].tolist():
        text = "has run lengths that are damaged or not those of its size"
        faults[row] = ("a valid run-length encoding in", text, given[row]["counts"])
        sizes[row] = 0
    records.fault(
        "no_mask",
        list(missing),
        "a segmentation in",
        lambda row: f"segmentation {missing[row]}",
        given.__getitem__,
    )
    for expected in dict.fromkeys(fault[0] for fault in faults.values()):
        records.fault(
            "broken_mask",
            sorted(row for row, fault in faults.items() if fault[0] == expected),
            expected,
            lambda row: f"segmentation {faults[row][1]}",
            lambda row: faults[row][2],
        )
    return sizes


def sound_masks(shapes: Sequence[Segmentation]) -> Array | None:
    """Return what :func:`check_masks` does where nothing is wrong, many times faster.

    Args:
        shapes: Segmentations that a decoder has checked the type of.

    Returns:
        ``(N, 2)`` int64, or None if one is broken and :func:`check_masks` has to say how. Rows
        without a segmentation are (0, 0), and no fault here.
    """
    sizes = np.zeros((len(shapes), 2), dtype=np.int64)
    polygons = [row for row, shape in enumerate(shapes) if type(shape) is list and shape]
    lengths = set(map(len, chain.from_iterable(shapes[row] for row in polygons)))  # type: ignore[misc]
    if any(length % 2 for length in lengths):
        return None
    sizes[polygons] = -1
    compressed: list[int] = []
    for row in [row for row, shape in enumerate(shapes) if type(shape) is dict and shape]:
        shape: Any = shapes[row]
        if _fault(shape) is not None:
            return None
        sizes[row] = shape["size"]
        if isinstance(shape["counts"], str):
            compressed.append(row)
    texts = [shapes[row]["counts"] for row in compressed]  # type: ignore[index, call-overload]
    return None if broken_encodings(texts, sizes[compressed].prod(1)).any() else sizes


def sound_compressed_masks(masks: Sequence[CompressedMask], image_sizes: Array) -> bool:
    """Return whether nothing is wrong with masks that a decoder has checked the type of.

    Args:
        masks: One or more.
        image_sizes: ``(N, 2)`` height and width of their images, 0 where unknown.
    """
    sizes = np.array([mask["size"] for mask in masks], dtype=np.int64)
    known = (image_sizes > 0).all(1)
    if (known & (sizes != image_sizes).any(1)).any() or sizes.prod(1).max() >= _MAX_PIXELS:
        return False
    return not broken_encodings([mask["counts"] for mask in masks], sizes.prod(1)).any()


def missing_text(shape: Any) -> str:
    """Return what is said of a segmentation that there is not."""
    empty = shape is not None and not isinstance(shape, str)
    return "is empty" if empty else f"is {shape}, neither polygons nor run lengths"


def check_sizes(mask_sizes: Array, image_sizes: Array, fault: SizeFault) -> None:
    """Report masks that do not fit their image.

    Args:
        mask_sizes: ``(N, 2)`` as :func:`check_masks` returns them.
        image_sizes: ``(N, 2)`` height and width of their images, 0 where unknown.
        fault: Called with kind and rows of the finding, and what was expected, what is wrong and
            what there is instead of a row.
    """
    known = (image_sizes > 0).all(1)
    runs = (mask_sizes > 0).all(1)
    fault(
        "mask_size",
        np.flatnonzero(known & runs & (mask_sizes != image_sizes).any(1)).tolist(),
        lambda row: f"a mask of the size {image_sizes[row].tolist()} in",
        lambda row: (
            f"segmentation has the size {mask_sizes[row].tolist()}, not {image_sizes[row].tolist()}"
        ),
        lambda row: mask_sizes[row].tolist(),
    )
    fault(
        "polygon_size",
        np.flatnonzero(~known & (mask_sizes[:, 0] < 0)).tolist(),
        "an image with height and width for the polygons of",
        lambda row: "segmentation is of polygons, but its image has no height and width",
        lambda row: None,
    )


def encode(shape: Any, height: int, width: int) -> Rle:
    """Return a checked segmentation as compressed run lengths, as pycocotools makes them.

    Parts of fewer than three points cover nothing and are left out.

    Args:
        shape: Polygons or run lengths.
        height: Of the image in pixels; polygons need it.
        width: Of the image.
    """
    rle: Rle = shape
    if isinstance(shape, list):
        # Parts of fewer than three points cover nothing.
        parts = [part for part in shape if len(part) >= 6]
        rle = mask_utils.merge(mask_utils.frPyObjects(parts, height, width))
    elif isinstance(shape["counts"], list):
        rle = mask_utils.frPyObjects(shape, *shape["size"])
    return rle


def extent(shape: Any, height: int, width: int) -> list[float] | None:
    """Return the box ``x, y, width, height`` of a segmentation as read, or None if it is broken.

    Args:
        shape: Polygons or run lengths, unchecked.
        height: Of the image in pixels, 0 if unknown: run lengths bring their own, polygons do not.
        width: Of the image.
    """
    findings = Findings()
    records = Records([{"segmentation": shape}], "annotation", 0, findings)
    own = check_masks(records)[0].tolist()
    image = [height, width]
    fits = min(image) > 0 if own[0] < 0 else 0 in image or own == image
    if len(findings) or not fits:
        return None
    return [float(v) for v in mask_utils.toBbox(encode(shape, height, width))]


def _covers_nothing(shape: Any) -> bool:
    """Return whether these are polygons of fewer than three points each."""
    return isinstance(shape, list) and all(
        isinstance(part, list) and len(part) < 6 and _are_numbers(part) for part in shape
    )


def _fault(shape: Any) -> tuple[str, str, Any] | None:
    """Return what was expected, what is wrong and what there is instead, or None."""
    if isinstance(shape, list):
        for part in shape:
            if not isinstance(part, list) or len(part) % 2:
                text = "has a polygon that is not 3 or more pairs of numbers"
            elif not _are_numbers(part):
                text = "has a polygon with a value that is no finite number"
            else:
                continue
            return "polygons of three or more x, y as segmentation of", text, shape
        return None
    if not isinstance(shape, dict):
        text = f"is {short(shape)}, neither polygons nor run lengths"
        return "polygons or run lengths as segmentation of", text, shape
    counts, size = shape.get("counts"), shape.get("size")
    if not isinstance(counts, str | list):
        return "a run-length encoding as segmentation of", "has no run lengths", shape
    if not isinstance(size, list) or [type(v) for v in size] != [int, int]:
        text = f"has the size {short(size)}, not [height, width]"
        return "a [height, width] as size of the mask of", text, size
    pixels = size[0] * size[1]
    if min(size) < 1 or pixels >= _MAX_PIXELS:
        return "a positive size of the mask of", f"has the size {size}", size
    if isinstance(counts, list) and (
        not set(map(type, counts)) <= {int} or min(counts, default=0) < 0 or sum(counts) != pixels
    ):
        text = "has run lengths that do not add up to its image"
        return f"run lengths that add up to {pixels} in", text, counts
    return None


def _good_polygons(given: Sequence[Any], rows: Sequence[int]) -> list[int]:
    """Return rows whose polygons have no fault, looked at all at once.

    It may miss some, which are then looked at one by one: all of them if a number of any is bad.
    """
    good = [
        row
        for row in rows
        if type(given[row]) is list
        and given[row]
        and all(type(p) is list and len(p) >= 6 and not len(p) % 2 for p in given[row])
    ]
    parts = chain.from_iterable(given[row] for row in good)
    values = list(chain.from_iterable(parts))
    if not set(map(type, values)) <= {int, float}:
        return []
    try:
        numbers = np.array(values, dtype=np.float64)
    except OverflowError:  # an int beyond the largest float
        return []
    # Written so that NaN is bad.
    return good if bool((np.abs(numbers) < _MAX_COORDINATE).all()) else []


def _are_numbers(values: Sequence[Any]) -> bool:
    if not set(map(type, values)) <= {int, float}:
        return False
    if not values:
        return True
    # A NaN passes both comparisons or fails them, by its place; the sum has it in any case.
    total = sum(values)
    return min(values) > -_MAX_COORDINATE and max(values) < _MAX_COORDINATE and total == total
