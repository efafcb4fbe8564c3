"""Calibration of scores to IoU as a metric."""

from __future__ import annotations

import numpy as np

from corrlight.arguments import check_at_least
from corrlight.metrics.base import MetricResult
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.calibration import calibration
from corrlight.metrics.functional.score_iou_pairs import score_iou_pairs
from corrlight.metrics.metric import Metric

__all__ = ["Calibration"]


class Calibration(Metric):
    """Expected |score - IoU| over score bins of all final detections.

    Args:
        num_bins: Number of equally wide score bins.
    """

    smaller_is_better = ("calibration_error",)

    def __init__(self, num_bins: int = 10) -> None:
        check_at_least(1, num_bins=num_bins)
        self.num_bins = num_bins

    def __call__(self, evaluation: Evaluation) -> MetricResult:
        """Return ``calibration_error`` (each detection against its best IoU of the class).

        It is None if a score of a results file lies outside [0, 1].
        """
        pairs = score_iou_pairs(evaluation)
        if np.any((pairs.scores < 0) | (pairs.scores > 1)):
            return MetricResult(values={"calibration_error": None})
        bins = calibration(pairs.scores, pairs.ious, self.num_bins)
        return MetricResult(values={"calibration_error": bins.error})
