"""COCO annotation files: read, checked, and packed into arrays by image."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from corrlight.data.validation import CocoFormatError, check_content, summarize
from corrlight.json_files import JsonFileError, read_json

__all__ = [
    "CocoAnnotations",
    "CocoFormatError",
    "InvalidBoxes",
    "load_annotations",
    "read_coco_json",
]

Array = npt.NDArray[Any]
InvalidBoxes = Literal["error", "drop"]

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
        annotation_ids: ``(m,)`` int64.
        segmentations: One polygon list or run-length encoding an annotation, or None.
        category_ids: The C category ids, ascending; a label is a position in it.
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
            masks[k] = _decode_mask(self.segmentations[int(row)], size)
        return masks


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
        invalid_boxes: What happens to annotations whose box is negative, empty, not finite or
            outside its image: "error", or "drop" (COCO's own files contain a few).
        masks: Whether to check the segmentations too.
        annotated: False for a file that may lack ``annotations`` (COCO's test-dev).

    Raises:
        CocoFormatError: If the file is missing or unusable; it lists all problems.
        ValueError: If ``invalid_boxes`` is unknown.
    """
    if invalid_boxes not in get_args(InvalidBoxes):
        raise ValueError(
            f"Expected `invalid_boxes` to be 'error' or 'drop', but got {invalid_boxes!r}."
        )
    path = Path(path)
    data = _parsed(path)
    if not annotated and isinstance(data, dict):
        data.setdefault("annotations", [])
    report = check_content(data, masks)
    problems, notes = report.problems, []
    if report.invalid_boxes and invalid_boxes == "error":
        problems = [*problems, *report.invalid_boxes.values()]
    if problems:
        raise summarize(f"{path} to be a valid COCO annotation file", problems)
    if report.invalid_boxes:
        kept = [a for k, a in enumerate(data["annotations"]) if k not in report.invalid_boxes]
        data["annotations"] = kept
        first = next(iter(report.invalid_boxes.values()))
        notes.append(f"dropped {len(report.invalid_boxes):,} invalid boxes ({first}, ...)")
    if report.missing_area:
        notes.append(f"filled {report.missing_area:,} missing areas with width x height")
    if report.missing_iscrowd:
        notes.append(f"filled {report.missing_iscrowd:,} missing iscrowd flags with 0")
    if report.missing_area or report.missing_iscrowd:
        for annotation in data["annotations"]:
            if annotation.get("area") is None:
                annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
            if annotation.get("iscrowd") is None:
                annotation["iscrowd"] = 0
    for note in notes:
        log.warning("%s: %s", path.name, note)
    return data, notes


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
        invalid_boxes: See :func:`read_coco_json`.
        load_masks: Whether to keep the segmentations.
        annotated: False for a file that may lack ``annotations`` (COCO's test-dev).

    Raises:
        CocoFormatError: If the file is missing or unusable; it lists all problems.
    """
    data, notes = read_coco_json(
        path, invalid_boxes=invalid_boxes, masks=load_masks, annotated=annotated
    )
    categories = sorted(data["categories"], key=lambda c: c["id"])
    images, annotations = data["images"], data["annotations"]
    position = {image["id"]: k for k, image in enumerate(images)}
    label = {category["id"]: k for k, category in enumerate(categories)}
    owner = np.array([position[a["image_id"]] for a in annotations], np.int64)
    order = np.argsort(owner, kind="stable")
    annotations = [annotations[k] for k in order]
    boxes = np.array([a["bbox"] for a in annotations], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    offsets = np.zeros(len(images) + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=len(images)), out=offsets[1:])
    return CocoAnnotations(
        path=Path(path),
        image_ids=np.array([i["id"] for i in images], np.int64),
        file_names=tuple(i["file_name"] for i in images),
        sizes=np.array([(i["height"], i["width"]) for i in images], np.int64).reshape(-1, 2),
        offsets=offsets,
        boxes=boxes.astype(np.float32),
        labels=np.array([label[a["category_id"]] for a in annotations], np.int64),
        areas=np.array([a["area"] for a in annotations], np.float64),
        crowd=np.array([a["iscrowd"] for a in annotations], bool),
        annotation_ids=np.array([a["id"] for a in annotations], np.int64),
        segmentations=[a["segmentation"] for a in annotations] if load_masks else None,
        category_ids=tuple(c["id"] for c in categories),
        class_names=tuple(c["name"] for c in categories),
        notes=tuple(notes),
    )


def _parsed(path: Path) -> Any:
    try:
        return read_json(path, "COCO annotation file")
    except JsonFileError as error:
        raise CocoFormatError(str(error), [error.reason]) from None


def _decode_mask(segmentation: Any, size: tuple[int, int]) -> Array:
    if isinstance(segmentation, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    elif isinstance(segmentation["counts"], list):
        rle = coco_mask.frPyObjects(segmentation, *size)
    else:
        rle = {"size": list(size), "counts": segmentation["counts"].encode()}
    return coco_mask.decode(rle)
