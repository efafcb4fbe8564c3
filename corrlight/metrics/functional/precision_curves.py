"""Precision-recall curves of every class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corrlight.coco.types import Array
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.coco_evaluate import class_precision, threshold_index
from corrlight.metrics.matching import RECALL_THRESHOLDS

__all__ = ["PrecisionCurves", "precision_curves"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionCurves:
    """Interpolated precision at 101 recalls; the mean over recalls is AP.

    Attributes:
        recall: ``(R,)`` 0, 0.01, ..., 1.
        precision: By IoU ("0.5", "0.75" and "mean", over 0.5, 0.55, ..., 0.95): ``(R, C)``, NaN for
            classes without objects.
    """

    recall: Array
    precision: dict[str, Array]

    def mean(self, iou: str) -> Array:
        """Return the ``(R,)`` mean over the classes with objects, NaN without any.

        Args:
            iou: A key of ``precision``.
        """
        curves = self.precision[iou]
        defined = ~np.isnan(curves[0])
        if not defined.any():
            return np.full(len(self.recall), np.nan)
        mean: Array = curves[:, defined].mean(1)
        return mean


def precision_curves(evaluation: Evaluation) -> PrecisionCurves:
    """Return the curves of the COCO matching, all sizes, 100 detections an image and class.

    Args:
        evaluation: Ground truth, detections and their matching.
    """
    curves = class_precision(evaluation.cuts())
    return PrecisionCurves(
        recall=RECALL_THRESHOLDS,
        precision={
            "0.5": curves[threshold_index(0.5)],
            "0.75": curves[threshold_index(0.75)],
            "mean": curves.mean(0),
        },
    )
