"""COCO annotation files, packed into arrays by image for training."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from corrlight.coco.annotation_file.table import (
    AnnotationTable,
    annotation_table,
    read_annotations,
)
from corrlight.coco.findings import CocoFormatError
from corrlight.coco.geometry import box_use, corners
from corrlight.coco.kinds import INVALID_BOXES
from corrlight.coco.segmentations import encode
from corrlight.json_files import JsonFileError, read_json

__all__ = [
    "CocoAnnotations",
    "CocoFormatError",
    "InvalidBoxes",
    "load_annotations",
    "read_coco_json",
]

Array = npt.NDArray[Any]
InvalidBoxes = Literal["error", "drop", "cut"]

# What a training may go on with, by the option `invalid_boxes`.
_ALLOWED: dict[str, tuple[str, ...]] = {
    "error": (),
    "drop": INVALID_BOXES,
    "cut": (*INVALID_BOXES, "leaving_box"),
}

# So many classes are listed in a message.
_FEW_CLASSES = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoAnnotations:
    """The content of an annotation file; annotations are sorted by image.

    Attributes:
        path: The file.
        image_ids: ``(n,)`` int64, in the order of the file.
        file_names: Paths relative to the image folder.
        sizes: ``(n, 2)`` int64 heights and widths.
        offsets: ``(n + 1,)`` int64; annotations ``offsets[k]:offsets[k + 1]`` belong to image k.
        boxes: ``(m, 4)`` float32, xyxy as annotated (they may reach over the border).
        labels: ``(m,)`` int64 in ``[0, C)``.
        areas: ``(m,)`` float64 areas of the segmentations.
        crowd: ``(m,)`` bool.
        usable: ``(m,)`` bool: not narrower or lower than a pixel, with an area, and inside its
            image at least in part.
        annotation_ids: ``(m,)`` int64.
        segmentations: One polygon list or run-length encoding an annotation, or None.
        category_ids: The C category ids; a label is a position in it.
        class_names: The C names.
        notes: What was filled in or dropped, one line each.
    """

    path: Path
    image_ids: Array
    file_names: tuple[str, ...]
    sizes: Array
    offsets: Array
    boxes: Array
    labels: Array
    areas: Array
    crowd: Array
    usable: Array
    annotation_ids: Array
    segmentations: list[Any] | None
    category_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.image_ids)

    def rows(self, index: int) -> slice:
        """Return where the annotations of an image lie."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def masks(self, rows: Array, size: tuple[int, int]) -> Array:
        """Return the ``(k, H, W)`` uint8 masks of some annotations of an image of ``size``.

        Raises:
            ValueError: If the annotations were read without masks.
        """
        if self.segmentations is None:
            raise ValueError("Expected `load_masks` to be True to decode masks, but got False.")
        masks = np.zeros((len(rows), *size), np.uint8)
        for k, row in enumerate(rows):
            masks[k] = coco_mask.decode(encode(self.segmentations[int(row)], *size))
        return masks

    def with_classes_of(self, other: CocoAnnotations) -> CocoAnnotations:
        """Return these annotations with the labels of another file: class names decide.

        Category ids are those of a file: equal names under other ids are the same classes.

        Raises:
            ValueError: If the files have not the same class names.
        """
        if self.class_names == other.class_names:
            return self
        if set(self.class_names) != set(other.class_names):
            raise ValueError(
                f"Expected the same categories in {self.path} and {other.path}, but "
                f"{_differing(self, other)}."
            )
        place = {name: k for k, name in enumerate(self.class_names)}
        # Label in the other file -> label here, and the other way round.
        mine = np.array([place[name] for name in other.class_names], np.int64)
        note = f"classes are numbered as in {other.path.name}, by their names"
        log.warning("%s: %s", self.path.name, note)
        return replace(
            self,
            labels=np.argsort(mine)[self.labels],
            category_ids=tuple(self.category_ids[k] for k in mine),
            class_names=other.class_names,
            notes=(*self.notes, note),
        )


def read_coco_json(
    path: str | Path,
    *,
    invalid_boxes: InvalidBoxes = "error",
    masks: bool = False,
    annotated: bool = True,
) -> tuple[dict[str, Any], list[str]]:
    """Return the checked content of an annotation file and notes on what was changed.

    A missing ``area`` becomes width x height of the box, a missing ``iscrowd`` 0.

    Args:
        path: The JSON file.
        invalid_boxes: See :func:`load_annotations`.
        masks: Whether to check the segmentations too.
        annotated: False for a file that may lack ``annotations`` (COCO's test-dev).

    Raises:
        CocoFormatError: If the file is missing or unusable; it counts all problems.
        ValueError: If ``invalid_boxes`` is unknown.
    """
    try:
        data = read_json(path, "COCO annotation file")
    except JsonFileError as error:
        raise CocoFormatError(str(error), [error.reason]) from None
    if not annotated and isinstance(data, dict):
        data.setdefault("annotations", [])
    table = annotation_table(data, masks=masks)
    notes = _checked(table, Path(path), invalid_boxes)
    kept = data["annotations"]
    if invalid_boxes != "error":
        kept = [a for a, invalid in zip(kept, table.invalid.tolist(), strict=True) if not invalid]
    for annotation in kept:
        if annotation.get("area") is None:
            annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
        if annotation.get("iscrowd") is None:
            annotation["iscrowd"] = 0
    return {**data, "annotations": kept}, notes


def load_annotations(
    path: str | Path,
    *,
    invalid_boxes: InvalidBoxes = "error",
    load_masks: bool = False,
    annotated: bool = True,
) -> CocoAnnotations:
    """Return the checked annotations of a COCO file as arrays.

    Args:
        path: The JSON file.
        invalid_boxes: What happens to annotations whose box is negative, empty, not finite or
            outside its image: "error", or "drop" (COCO's own files contain a few). "cut" drops them
            too, and takes boxes that leave their images however many they are; otherwise more than
            a tenth of them is an error.
        load_masks: Whether to keep the segmentations.
        annotated: False for a file that may lack ``annotations`` (COCO's test-dev).

    Raises:
        CocoFormatError: If the file is missing or unusable; it counts all problems.
        ValueError: If ``invalid_boxes`` is unknown.
    """
    path = Path(path)
    try:
        table = read_annotations(path, keep_masks=load_masks, annotated=annotated)
    except JsonFileError as error:
        raise CocoFormatError(str(error), [error.reason]) from None
    notes = _checked(table, path, invalid_boxes)
    kept = np.flatnonzero(~table.invalid)
    owner = table.image_idx[kept]
    rows = kept[np.argsort(owner, kind="stable")]
    boxes = table.boxes[rows]
    areas = table.areas[rows]
    areas = np.where(np.isnan(areas), boxes[:, 2] * boxes[:, 3], areas)
    offsets = np.zeros(len(table.image_ids) + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=len(table.image_ids)), out=offsets[1:])
    xyxy = corners(boxes)
    return CocoAnnotations(
        path=path,
        image_ids=table.image_ids,
        file_names=table.file_names,
        sizes=table.sizes,
        offsets=offsets,
        boxes=xyxy,
        labels=table.category_idx[rows],
        areas=areas,
        crowd=table.crowd[rows],
        usable=box_use(xyxy, table.sizes[table.image_idx[rows]], areas).usable,
        annotation_ids=table.ids[rows],
        segmentations=_of_rows(table.segmentations, rows),
        category_ids=tuple(table.category_ids.tolist()),
        class_names=table.names,
        notes=tuple(notes),
    )


def _checked(table: AnnotationTable, path: Path, invalid_boxes: InvalidBoxes) -> list[str]:
    """Raise an error if the file is unusable; log and return what was filled in or left out."""
    if invalid_boxes not in get_args(InvalidBoxes):
        raise ValueError(
            f"Expected `invalid_boxes` to be 'error', 'drop' or 'cut', but got {invalid_boxes!r}."
        )
    findings = table.findings
    findings.raise_all("train", path, _ALLOWED[invalid_boxes])
    notes = []
    dropped = [finding for finding in findings if finding.kind in INVALID_BOXES]
    if dropped:
        count, first = int(table.invalid.sum()), dropped[0].examples[0].line
        notes.append(f"dropped {count:,} invalid boxes ({first}, ...)")
    if count := findings.count("no_area"):
        notes.append(f"filled {count:,} missing areas with width x height")
    if count := findings.count("no_iscrowd"):
        notes.append(f"filled {count:,} missing iscrowd flags with 0")
    worded = (*INVALID_BOXES, "no_area", "no_iscrowd")
    others = [finding for finding in findings if finding.kind not in worded]
    notes += [f.said() for f in others if f.level("train") != "note"]
    for note in notes:
        log.warning("%s: %s", path.name, note)
    for finding in others:
        if finding.level("train") == "note":
            log.info("%s: %s", path.name, finding.said())
    return notes


def _of_rows(segmentations: list[Any] | None, rows: Array) -> list[Any] | None:
    return None if segmentations is None else [segmentations[row] for row in rows.tolist()]


def _differing(first: CocoAnnotations, second: CocoAnnotations) -> str:
    """Return "got {0: cat} and {0: dog}", or of many classes those that only one file has."""
    if max(len(first.class_names), len(second.class_names)) <= _FEW_CLASSES:
        return f"got {_categories(first)} and {_categories(second)}"
    words = []
    for one, other in ((first, second), (second, first)):
        only = [name for name in one.class_names if name not in other.class_names]
        if only:
            more = f" and {len(only) - 3} more" if len(only) > 3 else ""
            words.append(f"{', '.join(map(repr, only[:3]))}{more} only in {one.path.name}")
    return f"got {' and '.join(words)}"


def _categories(data: CocoAnnotations) -> str:
    pairs = zip(data.category_ids, data.class_names, strict=True)
    return "{" + ", ".join(f"{k}: {name}" for k, name in pairs) + "}"
