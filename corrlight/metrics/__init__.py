"""Measures: AP, oLRP, correlation, bounds; one matching serves them all."""

from corrlight.metrics.base import ImageRecord, Metric, MetricResult
from corrlight.metrics.calibration import Calibration
from corrlight.metrics.class_correlation import ClassCorrelation
from corrlight.metrics.coco_evaluate import CocoEvaluate
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.evaluator import DetectionEvaluator, EvaluationResult
from corrlight.metrics.ground_truth import GroundTruth
from corrlight.metrics.image_bounds import ImageBounds
from corrlight.metrics.image_correlation import ImageCorrelation
from corrlight.metrics.olrp import Olrp
from corrlight.metrics.results import Results
from corrlight.metrics.score_bounds import ScoreBounds

__all__ = [
    "Calibration",
    "ClassCorrelation",
    "CocoEvaluate",
    "DetectionEvaluator",
    "Evaluation",
    "EvaluationResult",
    "GroundTruth",
    "ImageBounds",
    "ImageCorrelation",
    "ImageRecord",
    "Metric",
    "MetricResult",
    "Olrp",
    "Results",
    "ScoreBounds",
]
