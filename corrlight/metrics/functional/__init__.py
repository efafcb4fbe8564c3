"""The measures as functions of an :class:`~corrlight.metrics.evaluation.Evaluation` or arrays."""

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
from corrlight.metrics.functional.score_iou_pairs import ScoreIouPairs, score_iou_pairs

__all__ = [
    "CocoNumbers",
    "GroupedCorrelation",
    "ScoreIouPairs",
    "average_ranks",
    "class_correlation",
    "coco_evaluate",
    "grouped_correlation",
    "image_correlation",
    "interpolated_precision",
    "score_iou_pairs",
]
