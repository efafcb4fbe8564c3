"""Optimal localisation-recall-precision error (Oksuz et al., TPAMI 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corrlight.coco.types import Array
from corrlight.metrics.base import mean_or_none
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.matching import AREA_RANGES

__all__ = ["LrpCurve", "LrpNumbers", "lrp_curve", "olrp"]

_AREAS = tuple(AREA_RANGES)
_TAU = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LrpNumbers:
    """oLRP and its parts for every class and area range; lower is better.

    Attributes:
        olrp: ``(C, 4)`` smallest LRP over the score thresholds, last axis as ``AREA_RANGES``; NaN
            for a class without objects, 1 for one without true positives.
        loc: ``(C, 4)`` mean of 1 - IoU of the true positives at the optimum; NaN without any.
        fp: ``(C, 4)`` 1 - precision at the optimum; NaN if nothing that counts is kept there.
        fn: ``(C, 4)`` 1 - recall at the optimum.
        threshold: ``(C, 4)`` score of the last detection kept at the optimum; NaN for a class
            without true positives.
    """

    olrp: Array
    loc: Array
    fp: Array
    fn: Array
    threshold: Array

    @property
    def values(self) -> dict[str, float | None]:
        """Means over the classes that define each number; None without any."""
        parts = {"oLRP": self.olrp, "oLRP_Loc": self.loc, "oLRP_FP": self.fp, "oLRP_FN": self.fn}
        values = {name: mean_or_none(part[:, 0]) for name, part in parts.items()}
        sizes = {f"oLRP_{a}": mean_or_none(self.olrp[:, i]) for i, a in enumerate(_AREAS) if i}
        return values | sizes

    @property
    def counts(self) -> dict[str, int]:
        """Classes that each of ``oLRP``, ``oLRP_Loc`` and ``oLRP_FP`` averages over."""
        parts = {"oLRP": self.olrp, "oLRP_Loc": self.loc, "oLRP_FP": self.fp}
        return {n: int(np.count_nonzero(~np.isnan(part[:, 0]))) for n, part in parts.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class LrpCurve:
    """LRP of one class after keeping the first n detections, n = 1, 2, ...

    Attributes:
        scores: ``(n,)`` score of the last detection kept.
        lrp: ``(n,)`` error in [0, 1].
        loc: ``(n,)`` mean of 1 - IoU of the true positives, NaN without any.
        fp: ``(n,)`` 1 - precision, NaN as long as all detections are ignored.
        fn: ``(n,)`` 1 - recall.
    """

    scores: Array
    lrp: Array
    loc: Array
    fp: Array
    fn: Array


def lrp_curve(evaluation: Evaluation, label: int, area: str = "all") -> LrpCurve:
    """Return the error of a class at every number of kept detections.

    LRP = (sum over TP of (1 - IoU) / (1 - tau) + FP + FN) / (TP + FP + FN) with tau = 0.5.
    Detections enter one by one in stable score order, so a cut may fall between equal scores.

    Args:
        evaluation: Ground truth, detections and their matching.
        label: A class that has objects in the area range.
        area: A key of ``AREA_RANGES``.

    Raises:
        ValueError: If the class has no object that counts.
    """
    matches = evaluation.matches(area)
    num_gt = int(matches.num_gt[label])
    if num_gt == 0:
        raise ValueError(
            f"Expected `label` to be a class with {area} objects, but got {label}, which has none."
        )
    order = evaluation.class_order[evaluation.class_slices[label]]
    true = matches.at_half.gt[order] >= 0
    ignored = matches.at_half.ignored[order]
    true_positive = true & ~ignored
    tp = np.cumsum(true_positive, dtype=np.float64)
    fp = np.cumsum(~true & ~ignored, dtype=np.float64)
    loc = np.cumsum(np.where(true_positive, 1 - matches.at_half.iou[order], 0.0))
    fn = num_gt - tp
    with np.errstate(invalid="ignore"):
        return LrpCurve(
            scores=evaluation.scores[order],
            lrp=(loc / (1 - _TAU) + fp + fn) / (tp + fp + fn),
            loc=loc / tp,
            fp=fp / (tp + fp),
            fn=fn / num_gt,
        )


def olrp(evaluation: Evaluation) -> LrpNumbers:
    """Compute optimal LRP, its parts and the optimal score threshold of every class.

    The first minimum of :func:`lrp_curve` is the optimum; keeping no detection is not tried. It
    reads the COCO matching at IoU 0.5 with 100 detections an image and class.

    Args:
        evaluation: Ground truth, detections and their matching.
    """
    shape = (evaluation.ground_truth.num_classes, len(_AREAS))
    numbers = LrpNumbers(**{name: np.full(shape, np.nan) for name in LrpNumbers.__slots__})
    for a, area in enumerate(_AREAS):
        cuts = evaluation.cuts(area)
        all_loc = np.where(cuts.true[0], 1 - cuts.iou, 0.0)
        for label in np.flatnonzero(cuts.num_gt).tolist():
            columns, num_gt = cuts.slices[label], int(cuts.num_gt[label])
            tp, loc = cuts.tp[0, columns].astype(np.float64), all_loc[columns]
            if not cuts.true[0, columns].any():
                numbers.olrp[label, a] = numbers.fn[label, a] = 1.0
                continue
            fp, loc = cuts.total[0, columns] - tp, np.cumsum(loc)
            fn = num_gt - tp
            lrp = (loc / (1 - _TAU) + fp + fn) / (tp + fp + fn)
            best = int(np.argmin(lrp))
            if lrp[best] >= 1:
                # The first detection is as good as any: what is kept there may be no column.
                curve = lrp_curve(evaluation, label, area)
                found = (curve.lrp[0], curve.loc[0], curve.fp[0], curve.fn[0], curve.scores[0])
            else:
                found = (
                    lrp[best],
                    loc[best] / tp[best],
                    fp[best] / (tp[best] + fp[best]),
                    fn[best] / num_gt,
                    evaluation.scores[cuts.rows[columns][best]],
                )
            names = ("olrp", "loc", "fp", "fn", "threshold")
            for name, value in zip(names, found, strict=True):
                getattr(numbers, name)[label, a] = value
    return numbers
