"""The measures as functions of an :class:`~corrlight.metrics.evaluation.Evaluation` or arrays."""

from corrlight.metrics.functional.calibration import CalibrationBins, calibration
from corrlight.metrics.functional.class_correlation import class_correlation
from corrlight.metrics.functional.coco_evaluate import (
    CocoNumbers,
    coco_evaluate,
    interpolated_precision,
)
from corrlight.metrics.functional.grouped_correlation import (
    GroupedCorrelation,
    average_ranks,
    grouped_correlation,
)
from corrlight.metrics.functional.image_correlation import image_correlation
from corrlight.metrics.functional.olrp import LrpCurve, LrpNumbers, lrp_curve, olrp
from corrlight.metrics.functional.precision_curves import PrecisionCurves, precision_curves
from corrlight.metrics.functional.score_bounds import BoundNumbers, reranked_scores, score_bounds
from corrlight.metrics.functional.score_iou_pairs import ScoreIouPairs, score_iou_pairs

__all__ = [
    "BoundNumbers",
    "CalibrationBins",
    "CocoNumbers",
    "GroupedCorrelation",
    "LrpCurve",
    "LrpNumbers",
    "PrecisionCurves",
    "ScoreIouPairs",
    "average_ranks",
    "calibration",
    "class_correlation",
    "coco_evaluate",
    "grouped_correlation",
    "image_correlation",
    "interpolated_precision",
    "lrp_curve",
    "olrp",
    "precision_curves",
    "reranked_scores",
    "score_bounds",
    "score_iou_pairs",
]
