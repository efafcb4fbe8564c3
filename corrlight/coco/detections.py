"""Detections of a COCO results file, some of them, as checked columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as mask_utils

from corrlight.coco.columns import Records
from corrlight.coco.findings import MaskError
from corrlight.coco.ground_truth import GroundTruth
from corrlight.coco.run_lengths import covered_pixels
from corrlight.coco.segmentations import (
    CompressedMask,
    check_masks,
    check_sizes,
    encode,
    has_mask,
    sound_compressed_masks,
)
from corrlight.coco.typed_columns import Box, boxes_of, floats_of, ints_of
from corrlight.coco.types import Array, Rle
from corrlight.coco.values import found_at, is_given

__all__ = ["RECORDS", "DetectionPiece", "read_detections", "typed_detections"]


class _DetectionRecord(msgspec.Struct, gc=False):
    image_id: int
    category_id: int
    bbox: Box
    score: float


class _BoxRecord(_DetectionRecord, gc=False):
    """A detection without mask, as nearly all files hold them."""

    # Nothing can be decoded to it: a record with the key, whatever its value, is none of these.
    segmentation: msgspec.UnsetType = msgspec.UNSET


class _MaskRecord(_DetectionRecord, gc=False, kw_only=True):
    """A detection with box and mask."""

    segmentation: CompressedMask


# What a good file of results is made of.
RECORDS: tuple[type[_DetectionRecord], ...] = (_BoxRecord, _MaskRecord)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionPiece:
    """Some detections of a file, in its order.

    Attributes:
        known: ``(N,)`` bool: which of the records count; the others are of images or categories
            that are not in the ground truth. Columns of D have only those that count.
        image_idx: ``(D,)`` row of the ground truth's ``image_ids``.
        labels: ``(D,)`` classes in ``[0, C)``.
        boxes: ``(D, 4)`` float64 boxes ``x, y, width, height``; of detections without one the
            extent of the mask.
        scores: ``(D,)`` float64.
        masked: ``(N,)`` bool: which of the records have a mask.
        masks: D run-length encodings, or None if they are not wanted or not all have one.
        areas: ``(D,)`` float64 pixels of the mask where ``by_mask`` holds, else width times height.
        by_mask: Whether the first detection of the file has a mask and no box.
        empty_masks: Whether one has the key of a mask, with an empty value.
    """

    known: Array
    image_idx: Array
    labels: Array
    boxes: Array
    scores: Array
    masked: Array
    masks: list[Rle] | None
    areas: Array
    by_mask: bool
    empty_masks: bool


def read_detections(
    content: Sequence[Mapping[str, Any]],
    ground_truth: GroundTruth,
    masks: bool | None,
    before: DetectionPiece | None = None,
    first: int = 0,
    skip_unknown: bool = False,
) -> DetectionPiece:
    """Check some detections of a file.

    Args:
        content: The detections.
        ground_truth: What their ids refer to.
        masks: Whether masks are wanted; None if all have one.
        before: The detections before them in the file.
        first: Number of the first of them in the file.
        skip_unknown: Whether to leave out what is of an unknown image or category.

    Raises:
        MaskError: If a mask is broken without which the file can be read.
        UnknownIdError: If (without ``skip_unknown``) one is of an unknown image or category.
        ValueError: If anything else is wrong with one; it names the record's number.
    """
    records = Records(content, "detection", first)
    by_id = np.argsort(ground_truth.category_ids)
    image_idx = records.places("image_id", ground_truth.image_ids, skip_unknown)
    category_idx = records.places("category_id", ground_truth.category_ids[by_id], skip_unknown)
    labels = by_id[category_idx] if len(by_id) else category_idx
    known = (image_idx >= 0) & (category_idx >= 0)
    scores = records.numbers("score", "score")
    masked = np.fromiter(map(has_mask, records.content), bool, len(records))
    boxed = np.fromiter((is_given(r.get("bbox")) for r in records.content), bool, len(records))
    alone = masked & ~boxed
    boxes = records.boxes(optional=alone)
    by_mask = bool(alone[:1].any()) if before is None else before.by_mask
    wanted = masks is True or (masks is None and bool(masked[known].all()))
    needed = by_mask or bool(alone[known].any())
    encoded: dict[int, Rle] = {}
    if wanted or needed:
        rows = np.flatnonzero(known if masks is True else known & masked)
        encoded = _encoded(records, rows.tolist(), ground_truth.sizes[image_idx], needed)
    for row in np.flatnonzero(known & alone).tolist():
        boxes[row] = mask_utils.toBbox(encoded[row])
    areas = boxes[:, 2] * boxes[:, 3]
    if by_mask:
        areas[list(encoded)] = covered_pixels([*encoded.values()])
    return DetectionPiece(
        known=known,
        image_idx=image_idx[known],
        labels=labels[known],
        boxes=boxes[known],
        scores=scores[known],
        masked=masked,
        masks=list(encoded.values()) if wanted else None,
        areas=areas[known],
        by_mask=by_mask,
        empty_masks=any(
            "segmentation" in records.content[k] for k in np.flatnonzero(~masked).tolist()
        ),
    )


def typed_detections(
    records: Sequence[_DetectionRecord],
    ground_truth: GroundTruth,
    wanted: bool | None = None,
    before: DetectionPiece | None = None,
) -> DetectionPiece | None:
    """Return some detections of a file as columns, those of :func:`read_detections`.

    Args:
        records: The detections, at least one, all of one of ``RECORDS``.
        ground_truth: What their ids refer to.
        wanted: Whether masks are; None if all have one.
        before: The detections before them in the file.

    Returns:
        None if anything is wrong with one: :func:`read_detections` says what.
    """
    image_ids, category_ids = ints_of(records, "image_id"), ints_of(records, "category_id")
    if image_ids is None or category_ids is None:
        return None
    masked = isinstance(records[0], _MaskRecord)
    by_mask = before is not None and before.by_mask
    if by_mask if masked else wanted:
        return None
    by_id = np.argsort(ground_truth.category_ids)
    image_idx = found_at(ground_truth.image_ids, image_ids)
    category_idx = found_at(ground_truth.category_ids[by_id], category_ids)
    boxes = boxes_of(records)
    if image_idx.min() < 0 or category_idx.min() < 0 or boxes[:, 2:].min() < 0:
        return None
    masks: list[Rle] | None = None
    if masked and wanted is not False:
        masks = [record.segmentation for record in records]  # type: ignore[attr-defined]
        if not sound_compressed_masks(masks, ground_truth.sizes[image_idx]):  # type: ignore[arg-type]
            return None
    return DetectionPiece(
        known=np.ones(len(records), dtype=bool),
        image_idx=image_idx,
        labels=by_id[category_idx],
        boxes=boxes,
        scores=floats_of(records, "score"),
        masked=np.full(len(records), masked),
        masks=masks,
        areas=boxes[:, 2] * boxes[:, 3],
        by_mask=by_mask,
        empty_masks=False,
    )


def _encoded(
    records: Records, rows: Sequence[int], image_sizes: Array, needed: bool
) -> dict[int, Rle]:
    """Return the masks of some records by row.

    Args:
        records: Some detections.
        rows: Which of them.
        image_sizes: ``(D, 2)`` height and width of their images, 0 where unknown.
        needed: Whether boxes or their sizes are taken from masks: there is no way on without them.
    """
    try:
        check_sizes(check_masks(records, rows), image_sizes, records.fault)
    except MaskError as error:
        raise (ValueError(*error.args) if needed else error) from None
    sizes = image_sizes.tolist()
    return {row: encode(records.content[row]["segmentation"], *sizes[row]) for row in rows}
