"""Detections and positives of all images as columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
from pycocotools import mask as mask_utils

from corrlight.coco.columns import Records
from corrlight.coco.ground_truth import GroundTruth
from corrlight.coco.segmentations import encoded_masks
from corrlight.coco.types import Array, ImageRecord, Rle
from corrlight.json_files import iterate_list

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
    """

    image_idx: Array
    labels: Array
    boxes: Array
    scores: Array
    masks: tuple[Rle, ...] | None = None

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
    ) -> Self:
        """Read a COCO results file piece by piece; see :meth:`from_coco`.

        Args:
            results: The file.
            ground_truth: What the ids refer to.
            masks: Also read ``segmentation``.
            progress: Called with the share of the file that has been read.
        """
        pieces = [
            cls.from_coco(content, ground_truth, masks, first)
            for first, content in iterate_list(results, "detection", progress)
        ]
        return cls.joined(pieces)

    @classmethod
    def joined(cls, pieces: Sequence[Self]) -> Self:
        """Return the detections of all pieces, in order; without masks unless all have them."""
        masks = [p.masks for p in pieces if p.masks is not None]
        together = len(masks) == len(pieces) > 0
        return cls(
            image_idx=_joined([p.image_idx for p in pieces]).astype(np.int64),
            labels=_joined([p.labels for p in pieces]).astype(np.int64),
            boxes=_joined([p.boxes for p in pieces]).reshape(-1, 4),
            scores=_joined([p.scores for p in pieces]),
            masks=tuple(chain.from_iterable(masks)) if together else None,
        )

    @classmethod
    def from_coco(
        cls,
        content: Sequence[Mapping[str, Any]],
        ground_truth: GroundTruth,
        masks: bool | None = False,
        first: int = 0,
    ) -> Self:
        """Build the columns from a COCO results list (an empty one is allowed).

        Args:
            content: Detections with ``image_id``, ``category_id``, ``score`` and ``bbox``.
            ground_truth: What the ids refer to.
            masks: Also read ``segmentation`` (run-length encoded); boxes may then be missing. None
                reads it where every detection has one.
            first: Number of the first detection in its file.

        Raises:
            ValueError: Naming the record's number, if a key is missing, an id is unknown or a
                number is not finite.
        """
        records = Records(content, "detection", first)
        if masks is None:
            masks = bool(len(records)) and all("segmentation" in r for r in content)
        label_of = {c: k for k, c in enumerate(ground_truth.category_ids.tolist())}
        row_of = {i: k for k, i in enumerate(ground_truth.image_ids.tolist())}
        image_idx = records.rows("image_id", row_of)
        labels = records.rows("category_id", label_of)
        scores = records.numbers("score")
        encoded = None
        if masks:
            records.values("segmentation")
            sizes = ground_truth.sizes[image_idx]
            encoded = tuple(encoded_masks(records, range(len(records)), sizes))
        if encoded is None or all("bbox" in r for r in content):
            boxes = records.boxes()
        else:
            boxes = np.array([mask_utils.toBbox(m) for m in encoded], np.float64).reshape(-1, 4)
        return cls(image_idx=image_idx, labels=labels, boxes=boxes, scores=scores, masks=encoded)

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
