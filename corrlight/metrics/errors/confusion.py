"""Which class is taken for which: the confusion matrix of a detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corrlight.coco.types import Array
from corrlight.metrics.errors.overlaps import Overlaps, overlaps
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.ranking.ordering import descending_ranks, order_by

__all__ = ["MIN_IOU", "MIN_SCORE", "ConfusionMatrix", "confusion_matrix"]

MIN_SCORE, MIN_IOU = 0.25, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusionMatrix:
    """Objects by their class and that of the detection that stands for them.

    Attributes:
        counts: ``(C + 1, C + 1)`` int64: rows are the classes of objects, columns those of
            detections. The last row holds detections without an object (background), the last
            column objects without a detection (missed); their corner is 0.
        min_score: Detections below it are left out.
        min_iou: IoU from which a detection can stand for an object.
        num_ignored: Detections without an object that lie inside a crowd of their class.
    """

    counts: Array
    min_score: float
    min_iou: float
    num_ignored: int

    @property
    def shares(self) -> Array:
        """``(C + 1, C + 1)`` share of its row, NaN in empty rows."""
        total = self.counts.sum(1, keepdims=True)
        shares = np.full(self.counts.shape, np.nan)
        return np.divide(self.counts, total, out=shares, where=total > 0)

    def confusions(self) -> list[tuple[int, int, int]]:
        """Return object class, class of the detection and count of two classes, most first."""
        between = self.counts[:-1, :-1].copy()
        np.fill_diagonal(between, 0)
        rows, columns = np.nonzero(between)
        found = zip(rows.tolist(), columns.tolist(), between[rows, columns].tolist(), strict=True)
        return sorted(found, key=lambda c: (-c[2], c[0], c[1]))


def confusion_matrix(
    evaluation: Evaluation, min_score: float = MIN_SCORE, min_iou: float = MIN_IOU
) -> ConfusionMatrix:
    """Match detections and objects one to one across classes, and count the pairs of classes.

    The pair of the highest IoU first (of equal IoUs that of the higher score, then that of equal
    classes, then the first in the files), then the best of those that are left, as long as the IoU
    reaches ``min_iou``. Crowds are no objects; a detection that is left over and lies in a crowd
    of its class, by a share of at least ``min_iou`` of its area, is ignored.

    Args:
        evaluation: Ground truth and detections, whose limit of 100 an image and class is kept.
        min_score: Detections below it are left out.
        min_iou: In (0, 1].

    Raises:
        ValueError: If ``min_iou`` is not in (0, 1], or ``min_score`` not finite.
    """
    if not 0 < min_iou <= 1:
        raise ValueError(f"Expected `min_iou` to be in (0, 1], but got {min_iou!r}.")
    if not np.isfinite(min_score):
        raise ValueError(f"Expected a finite `min_score`, but got {min_score}.")
    pairs = overlaps(evaluation, min_iou, min_score)
    detection, gt = _one_to_one(pairs)
    num_classes = pairs.num_classes
    # Every detection starts on the background, every object missed; pairs are moved.
    background = np.ones(len(pairs.det_image), dtype=bool)
    background[detection] = False
    inside = np.zeros(len(background), dtype=bool)
    inside[pairs.detection[~pairs.of_object & pairs.same_class]] = True
    ignored = background & inside
    missed = ~pairs.crowd
    missed[gt] = False
    counts = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    np.add.at(counts, (pairs.gt_label[gt], pairs.det_label[detection]), 1)
    labels = pairs.det_label[background & ~ignored]
    counts[-1, :-1] = np.bincount(labels, minlength=num_classes)
    counts[:-1, -1] = np.bincount(pairs.gt_label[missed], minlength=num_classes)
    return ConfusionMatrix(
        counts=counts,
        min_score=float(min_score),
        min_iou=float(min_iou),
        num_ignored=int(ignored.sum()),
    )


def _one_to_one(pairs: Overlaps) -> tuple[Array, Array]:
    """Return the rows of detections and objects that stand for each other.

    A pair that is the first left of its detection and of its object is the one that the greedy
    order would take, whatever happens elsewhere: all of these are taken at once.
    """
    rows = np.flatnonzero(pairs.of_object)
    if not len(rows):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    detection, gt = pairs.detection[rows], pairs.gt[rows]
    order = order_by(
        descending_ranks(pairs.iou[rows]),
        pairs.score_rank[detection],
        (~pairs.same_class[rows]).astype(np.int64),
    )
    detection, gt = detection[order], gt[order]
    taken: list[tuple[Array, Array]] = []
    while len(detection):
        first = _is_first(detection) & _is_first(gt)
        taken.append((detection[first], gt[first]))
        left = ~np.isin(detection, detection[first]) & ~np.isin(gt, gt[first])
        detection, gt = detection[left], gt[left]
    return np.concatenate([d for d, _ in taken]), np.concatenate([g for _, g in taken])


def _is_first(values: Array) -> Array:
    first = np.zeros(len(values), dtype=bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first
