"""Detections and positives of all images as columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np

from corrlight.coco.detections import (
    RECORDS,
    DetectionPiece,
    read_detections,
    typed_detections,
)
from corrlight.coco.findings import UnknownIdError
from corrlight.coco.ground_truth import GroundTruth
from corrlight.coco.json_pieces import list_pieces
from corrlight.coco.types import Array, ImageRecord, Rle

__all__ = ["PositiveTable", "Results", "check_record"]


def check_record(record: ImageRecord) -> None:
    """Raise an error unless all numbers of ``record`` are finite and its columns fit together.

    Raises:
        ValueError: Naming image, column and row.
    """
    for name in ("boxes", "scores", "positive_scores", "positive_ious", "positive_ranking_scores"):
        values = getattr(record, name)
        if values is None or np.isfinite(values).all():
            continue
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise ValueError(
            f"Expected finite `{name}`, but got {values[row]} in row {row} of image "
            f"{record.image_id}."
        )
    lengths = {
        "detections": (len(record.boxes), len(record.scores), len(record.labels)),
        "positives": (len(record.positive_scores), len(record.positive_ious)),
    }
    if record.masks is not None:
        lengths["masks and boxes"] = (len(record.masks), len(record.boxes))
    for what, counts in lengths.items():
        if len(set(counts)) > 1:
            raise ValueError(
                f"Expected columns of equal length for the {what} of image {record.image_id}, "
                f"but got {counts}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PositiveTable:
    """The training assigner's positives of all images.

    Attributes:
        image_idx: ``(P,)`` row of the ground truth's ``image_ids``.
        scores: ``(P,)`` class scores.
        ious: ``(P,)`` IoU with the assigned ground truth.
        ranking_scores: ``(P,)`` ranking scores, or None where an image has none.
    """

    image_idx: Array
    scores: Array
    ious: Array
    ranking_scores: Array | None

    @classmethod
    def from_records(cls, records: Sequence[ImageRecord], ground_truth: GroundTruth) -> Self:
        """Join the positives of ``records``."""
        ids = np.array([r.image_id for r in records], dtype=np.int64)
        counts = np.array([len(r.positive_scores) for r in records], dtype=np.int64)
        ranking = [r.positive_ranking_scores for r in records]
        given = [r for r in ranking if r is not None]
        return cls(
            image_idx=np.repeat(np.searchsorted(ground_truth.image_ids, ids), counts),
            scores=_joined([r.positive_scores for r in records]),
            ious=_joined([r.positive_ious for r in records]),
            ranking_scores=_joined(given) if given and len(given) == len(ranking) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Final detections of all images, in their given order (it decides between equal scores).

    Attributes:
        image_idx: ``(D,)`` row of the ground truth's ``image_ids``.
        labels: ``(D,)`` classes in ``[0, C)``.
        boxes: ``(D, 4)`` float64 boxes ``x, y, width, height``, as in a COCO results file.
        scores: ``(D,)`` float64 ranking scores.
        masks: COCO run-length encodings in the same order, or None.
        areas: ``(D,)`` float64 sizes in pixels, of boxes and of masks alike; None means what
            each is itself, width times height or the area of the mask.
        without_mask: Places of the detections of a file that have no mask.
        unknown: Places of those that are left out: of images or categories that are not in the
            ground truth.
        empty_masks: Whether any of these has the key of one, with an empty value.
    """

    image_idx: Array
    labels: Array
    boxes: Array
    scores: Array
    masks: tuple[Rle, ...] | None = None
    areas: Array | None = None
    without_mask: Array = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    unknown: Array = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    empty_masks: bool = False

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def from_records(cls, records: Sequence[ImageRecord], ground_truth: GroundTruth) -> Self:
        """Join the detections of ``records`` in the given order.

        Raises:
            ValueError: If a number is not finite or a label is outside ``[0, C)``.
        """
        for record in records:
            check_record(record)
            wrong = (record.labels < 0) | (record.labels >= ground_truth.num_classes)
            if np.any(wrong):
                raise ValueError(
                    f"Expected labels in [0, {ground_truth.num_classes}), but got "
                    f"{record.labels[wrong][0]} in image {record.image_id}."
                )
        ids = np.array([r.image_id for r in records], dtype=np.int64)
        counts = np.array([len(r.scores) for r in records], dtype=np.int64)
        boxes = _joined([r.boxes for r in records]).reshape(-1, 4).astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        return cls(
            image_idx=np.repeat(np.searchsorted(ground_truth.image_ids, ids), counts),
            labels=_joined([r.labels for r in records]).astype(np.int64),
            boxes=boxes,
            scores=_joined([r.scores for r in records]).astype(np.float64),
            masks=_joined_masks(records),
        )

    @classmethod
    def load(
        cls,
        results: Path | str,
        ground_truth: GroundTruth,
        masks: bool | None = False,
        progress: Callable[[float], None] | None = None,
        skip_unknown: bool = False,
    ) -> Self:
        """Read a COCO results file piece by piece; see :meth:`from_coco`.

        Args:
            results: The file.
            ground_truth: What the ids refer to.
            masks: Also read ``segmentation``.
            progress: Called with the share of the file that has been read.
            skip_unknown: See :meth:`from_coco`.
        """
        pieces: list[DetectionPiece] = []
        for piece in list_pieces(results, "detection", RECORDS, progress):
            before = pieces[-1] if pieces else None
            typed = None
            if piece.records is not None:
                typed = typed_detections(piece.records, ground_truth, masks, before)
            pieces.append(
                typed
                or read_detections(
                    piece.content, ground_truth, masks, before, piece.first, skip_unknown
                )
            )
        return cls._of(pieces, masks)

    @classmethod
    def from_coco(
        cls,
        content: Sequence[Mapping[str, Any]],
        ground_truth: GroundTruth,
        masks: bool | None = False,
        skip_unknown: bool = False,
    ) -> Self:
        """Build the columns from a COCO results list (an empty one is allowed).

        A detection without ``bbox`` has the extent of its mask as box. As in pycocotools, the first
        detection decides what the sizes are, of boxes and of masks alike: width times height if it
        has a box, else the areas of the masks.

        Args:
            content: Detections with ``image_id``, ``category_id``, ``score``, and ``bbox`` or
                ``segmentation`` (run lengths or polygons) or both.
            ground_truth: What the ids refer to.
            masks: Also read ``segmentation``. None reads it where every detection has one, by its
                value: null and an empty list are none.
            skip_unknown: Leave out detections of images and categories that are not in the ground
                truth; ``unknown`` says which. pycocotools does so with categories.

        Raises:
            MaskError: If a mask is broken or has not its image's size, and is not needed for a box.
            UnknownIdError: If (without ``skip_unknown``) one is of an unknown image or category, or
                if all are.
            ValueError: Naming the record's number, if a key is missing or a number is not finite.
        """
        piece = read_detections(content, ground_truth, masks, skip_unknown=skip_unknown)
        return cls._of([piece], masks)

    @classmethod
    def _of(cls, pieces: Sequence[DetectionPiece], masks: bool | None) -> Self:
        known = _joined([p.known for p in pieces]).astype(bool)
        if len(known) and not known.any():
            raise UnknownIdError(
                f"Expected detections of images and categories of the annotations, but got "
                f"{len(known):,} of others."
            )
        without_mask = known & ~_joined([p.masked for p in pieces]).astype(bool)
        encoded = None
        if masks is not False and not without_mask.any() and (masks or len(known)):
            encoded = tuple(chain.from_iterable(p.masks for p in pieces if p.masks is not None))
        by_mask = bool(pieces) and pieces[0].by_mask
        return cls(
            image_idx=_joined([p.image_idx for p in pieces]).astype(np.int64),
            labels=_joined([p.labels for p in pieces]).astype(np.int64),
            boxes=_joined([p.boxes for p in pieces]).reshape(-1, 4),
            scores=_joined([p.scores for p in pieces]),
            masks=encoded,
            areas=_joined([p.areas for p in pieces]) if encoded or by_mask else None,
            without_mask=np.flatnonzero(without_mask),
            unknown=np.flatnonzero(~known),
            empty_masks=any(p.empty_masks for p in pieces),
        )

    def to_coco(self, ground_truth: GroundTruth) -> list[dict[str, Any]]:
        """Return the COCO results list, in the given order, unrounded."""
        columns = (
            ground_truth.image_ids[self.image_idx].tolist(),
            ground_truth.category_ids[self.labels].tolist(),
            self.boxes.tolist(),
            self.scores.tolist(),
        )
        content: list[dict[str, Any]] = [
            {"image_id": i, "category_id": c, "bbox": b, "score": s}
            for i, c, b, s in zip(*columns, strict=True)
        ]
        for detection, mask in zip(content, self.masks or (), strict=False):
            counts = mask["counts"]
            text = counts.decode("ascii") if isinstance(counts, bytes) else counts
            detection["segmentation"] = {"size": list(mask["size"]), "counts": text}
        return content


def _joined(columns: Sequence[Array]) -> Array:
    return np.concatenate(columns) if columns else np.zeros(0)


def _joined_masks(records: Sequence[ImageRecord]) -> tuple[Rle, ...] | None:
    given = [r.masks for r in records if r.masks is not None]
    if not given:
        return None
    if len(given) < len(records):
        raise ValueError(
            f"Expected masks for all of {len(records)} images or for none, but got them for "
            f"{len(given)}."
        )
    return tuple(mask for masks in given for mask in masks)
