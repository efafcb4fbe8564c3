"""Boxes of annotations against their images: which are of no use, which are dropped or cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from corrlight.coco.geometry import box_use, corners, likely_cause, odd_areas
from corrlight.coco.types import Array

if TYPE_CHECKING:
    from corrlight.coco.annotation_file.annotations import AnnotationList

__all__ = ["check_boxes", "check_repeated"]

# Coordinates beyond this are damaged numbers.
_MAX_COORDINATE = 1e9
# A training is refused if so large a share of the boxes leave their images; fewer are chance.
_MOST_LEAVING, _FEWEST_LEAVING = 0.1, 3
# Odd numbers of 62 bits that mix the seven words of a record into one.
_MIXERS = np.random.default_rng(0).integers(1 << 61, 1 << 62, 7) | 1


def check_boxes(annotations: AnnotationList, sizes: Array) -> Array:
    """Report boxes and areas that are none, and what becomes of the others in training.

    Args:
        annotations: All of them.
        sizes: ``(A, 2)`` height and width of their images, 0 where unknown.

    Returns:
        ``(A,)`` bool: annotations whose box is of no use in training (``INVALID_BOXES``).
    """
    boxes, areas = annotations.column("boxes"), annotations.column("areas")
    with np.errstate(invalid="ignore"):
        shaped = (boxes[:, 2:] >= 0).all(1)  # False for NaN, which has been reported
        huge = (np.abs(boxes) >= _MAX_COORDINATE).any(1)
        empty = shaped & ~huge & (boxes[:, 2:] == 0).any(1)
        negative = (areas < 0) | (areas >= _MAX_COORDINATE**2)
    sound = shaped & ~huge & ~empty
    known = sound & (sizes > 0).all(1)
    outside = np.zeros(len(boxes), dtype=bool)
    outside[known] = box_use(corners(boxes[known]), sizes[known], areas[known]).outside

    def box(row: int) -> str:
        return _plain(boxes[row].tolist())

    def image(row: int) -> str:
        return f"image of {sizes[row][1]}x{sizes[row][0]}"

    sized = "a bbox [x, y, width, height] with a size in"
    for kind, wrong, expected, what in (
        ("huge_box", huge, "a finite bbox in", "has a value that is no finite number"),
        ("empty_box", empty, sized, "has no positive width and height"),
    ):
        annotations.fault(
            kind,
            np.flatnonzero(wrong).tolist(),
            expected,
            lambda row, what=what: f"bbox {box(row)} {what}",  # type: ignore[misc]
            box,
        )
    annotations.fault(
        "outside_box",
        np.flatnonzero(outside).tolist(),
        lambda row: f"a bbox inside its {image(row)} in",
        lambda row: f"bbox {box(row)} lies outside its {image(row)}",
        box,
    )
    annotations.fault(
        "negative_area",
        np.flatnonzero(negative).tolist(),
        "an area of at least 0 in",
        lambda row: f"area is {_plain(areas[row].item())}, not a finite number >= 0",
        lambda row: _plain(areas[row].item()),
    )
    crowd = annotations.column("crowd").astype(bool)
    _check_fit(annotations, known & ~crowd, sizes)
    return ~sound | outside


def check_repeated(annotations: AnnotationList, image_idx: Array, category_idx: Array) -> None:
    """Report annotations whose image, class, box and crowd flag an earlier one has.

    Args:
        annotations: All of them.
        image_idx: ``(A,)`` places of the images, -1 without one.
        category_idx: ``(A,)`` places of the categories, -1 without one.
    """
    boxes, crowd = annotations.column("boxes"), annotations.column("crowd")
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero((image_idx >= 0) & (category_idx >= 0) & (boxes[:, 2:] > 0).all(1))
    if not len(rows):
        return
    # 0 is added because -0 has other bits.
    bits = np.ascontiguousarray(boxes[rows] + 0.0).view(np.int64)
    owners = np.stack([image_idx, category_idx, crowd.astype(np.int64)], 1)
    words = np.concatenate([owners[rows], bits], 1)
    # Sorted by one mixed number instead of seven; what agrees in it is compared in full.
    mixed = (words * _MIXERS).sum(1)
    order = np.argsort(mixed, kind="stable")
    before, after = order[:-1], order[1:]
    near = mixed[before] == mixed[after]
    before, after = before[near], after[near]
    again = np.sort(rows[after[(words[before] == words[after]).all(1)]])
    annotations.fault(
        "repeated_box",
        again.tolist(),
        "a box once, but it comes again in",
        lambda row: f"bbox {_plain(boxes[row].tolist())} again",
        lambda row: _plain(boxes[row].tolist()),
        share=len(again) / len(boxes),
    )


def _check_fit(annotations: AnnotationList, objects: Array, sizes: Array) -> None:
    """Report how many objects a training drops or cuts, and what they look like."""
    rows = np.flatnonzero(objects)
    if not len(rows):
        return
    boxes, areas = annotations.column("boxes")[rows], annotations.column("areas")[rows]
    areas = np.where(np.isnan(areas), boxes[:, 2] * boxes[:, 3], areas)
    use = box_use(corners(boxes), sizes[rows], areas)
    nothing_left = not use.usable.any()
    leaving = int(use.leaving.sum())
    too_many = leaving >= _FEWEST_LEAVING and leaving > _MOST_LEAVING * len(rows)
    odd = leaving or use.narrow.any()
    cause = likely_cause(boxes, sizes[rows]) if odd else ""

    def text(row: int) -> str:
        height, width = sizes[row]
        return f"bbox {_plain(annotations.column('boxes')[row].tolist())} in {width}x{height}"

    for kind, which, stops, why in (
        ("leaving_box", use.leaving, too_many, cause),
        ("narrow_box", use.narrow & ~use.outside, nothing_left, cause),
        ("area_0", use.area_0 & ~use.outside & ~use.narrow, nothing_left, ""),
        ("odd_area", odd_areas(boxes, areas) & use.usable, False, ""),
    ):
        annotations.fault(
            kind,
            rows[which].tolist(),
            "a bbox in its image in",
            text,
            text,
            stops=("train",) if stops else (),
            share=float(which.mean()),
            cause=why,
        )


def _plain(value: float | list[float]) -> str:
    """Return numbers of a column as the file may have written them: 5 instead of 5.0."""
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else str(value)
