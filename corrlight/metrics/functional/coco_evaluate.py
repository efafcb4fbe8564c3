"""The 12 numbers of the COCO evaluation, and AP of every class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corrlight.coco.types import Array
from corrlight.metrics.base import mean_or_none
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.matching import AREA_RANGES, IOU_THRESHOLDS, RECALL_THRESHOLDS
from corrlight.metrics.ranking.class_cuts import ClassCuts, precision_at_recalls

__all__ = [
    "CocoNumbers",
    "class_precision",
    "coco_evaluate",
    "interpolated_precision",
    "threshold_index",
]

_AREAS = tuple(AREA_RANGES)
# And with as many as the evaluation counts: 100, unless it has another limit.
_RECALL_AT = (1, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoNumbers:
    """COCO precision and recall; fractions, undefined where a class has no object that counts.

    Attributes:
        values: The 12 numbers ``AP AP50 AP75 AP_small AP_medium AP_large AR_1 AR_10 AR_100
            AR_small AR_medium AR_large``; None if undefined for every class.
        precision: ``(T, R, C, 4)`` interpolated precision at 100 detections, last axis as
            ``AREA_RANGES``; NaN for undefined classes.
        recall: ``(T, C, 4, 3)`` recall with 1, 10 and 100 detections; NaN for undefined classes.
            Of an evaluation with another limit than 100, that stands in its place.
        num_classes: Classes with objects in the area range "all".
    """

    values: dict[str, float | None]
    precision: Array
    recall: Array
    num_classes: int

    def class_ap(self, iou_threshold: float | None = None, area: str = "all") -> Array:
        """Return the ``(C,)`` AP of every class, NaN if undefined.

        Args:
            iou_threshold: One of ``IOU_THRESHOLDS``, or None for the mean over all of them.
            area: A key of ``AREA_RANGES``.
        """
        precision = self.precision[..., _AREAS.index(area)]
        if iou_threshold is not None:
            precision = precision[threshold_index(iou_threshold)][None]
        return precision.mean(axis=(0, 1))


def coco_evaluate(evaluation: Evaluation) -> CocoNumbers:
    """Compute average precision and recall as COCO defines them.

    The numbers are those of pycocotools 2.0 (tested to 1e-12), whose -1 is None here.

    Args:
        evaluation: Ground truth, detections and their matching.

    Returns:
        All curves, the 12 numbers and AP of every class. No detections at all give 0, no objects
        at all None.
    """
    num_classes = evaluation.ground_truth.num_classes
    shape = (len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), num_classes, len(_AREAS))
    precision = np.empty(shape)
    limits = (*_RECALL_AT, evaluation.max_detections)
    recall = np.full((len(IOU_THRESHOLDS), num_classes, len(_AREAS), len(limits)), np.nan)
    rank = evaluation.rank[evaluation.counted]
    for a, area in enumerate(_AREAS):
        cuts = evaluation.cuts(area)
        defined = cuts.num_gt > 0
        precision[..., a] = class_precision(cuts)
        edges = [s.start for s in cuts.slices], [s.stop for s in cuts.slices]
        for m, limit in enumerate(limits):
            found = np.zeros((len(cuts.true), len(cuts.rows) + 1), dtype=np.int64)
            np.cumsum(cuts.true & (rank[cuts.rows] < limit), axis=1, out=found[:, 1:])
            of_class = found[:, edges[1]] - found[:, edges[0]]
            recall[:, defined, a, m] = of_class[:, defined] / cuts.num_gt[defined]
    return CocoNumbers(
        values=_summary(precision, recall, limits),
        precision=precision,
        recall=recall,
        num_classes=int(np.count_nonzero(evaluation.matches("all").num_gt)),
    )


def class_precision(cuts: ClassCuts) -> Array:
    """Return the ``(T, R, C)`` interpolated precision, NaN for classes without objects.

    Args:
        cuts: Of an area range.
    """
    shape = (len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), len(cuts.num_gt))
    precision = np.full(shape, np.nan)
    for k in np.flatnonzero(cuts.num_gt).tolist():
        columns = cuts.slices[k]
        precision[..., k] = precision_at_recalls(
            cuts.tp[:, columns], cuts.total[:, columns], int(cuts.num_gt[k])
        )
    return precision


def interpolated_precision(true: Array, false: Array, num_gt: int) -> Array:
    """Return the precision at 101 recalls: at each, the largest at this or a higher recall.

    Args:
        true: ``(T, n)`` bool, by descending score.
        false: ``(T, n)`` bool; a detection that is neither is ignored.
        num_gt: Number of objects, at least 1.

    Returns:
        ``(T, R)`` float64; 0 where the recall is not reached.
    """
    found = np.zeros((len(true), len(RECALL_THRESHOLDS)))
    if true.shape[1] == 0:
        return found
    tp = np.cumsum(true, axis=1, dtype=np.float64)
    fp = np.cumsum(false, axis=1, dtype=np.float64)
    recall = tp / num_gt
    envelope = np.maximum.accumulate((tp / (fp + tp + np.spacing(1)))[:, ::-1], axis=1)[:, ::-1]
    for t in range(len(true)):
        at = np.searchsorted(recall[t], RECALL_THRESHOLDS, side="left")
        reached = at < true.shape[1]
        found[t, reached] = envelope[t, at[reached]]
    return found


def threshold_index(iou_threshold: float) -> int:
    """Return the place of an IoU threshold in ``IOU_THRESHOLDS``.

    Raises:
        ValueError: If it is none of them.
    """
    index = int(np.argmin(np.abs(IOU_THRESHOLDS - iou_threshold)))
    if abs(IOU_THRESHOLDS[index] - iou_threshold) > 1e-9:
        raise ValueError(
            f"Expected `iou_threshold` to be one of 0.5, 0.55, ..., 0.95, but got {iou_threshold}."
        )
    return index


def _summary(precision: Array, recall: Array, limits: tuple[int, ...]) -> dict[str, float | None]:
    at50, at75 = threshold_index(0.5), threshold_index(0.75)
    values = {
        "AP": mean_or_none(precision[..., 0]),
        "AP50": mean_or_none(precision[at50, ..., 0]),
        "AP75": mean_or_none(precision[at75, ..., 0]),
    }
    values |= {f"AP_{a}": mean_or_none(precision[..., i]) for i, a in enumerate(_AREAS) if i}
    values |= {f"AR_{m}": mean_or_none(recall[..., 0, i]) for i, m in enumerate(limits)}
    values |= {f"AR_{a}": mean_or_none(recall[:, :, i, -1]) for i, a in enumerate(_AREAS) if i}
    return values
