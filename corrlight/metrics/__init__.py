"""Measures: AP, correlation. One matching of detections and objects serves all of them."""

from corrlight.metrics.base import ImageRecord, Metric, MetricResult
from corrlight.metrics.class_correlation import ClassCorrelation
from corrlight.metrics.coco_evaluate import CocoEvaluate
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.evaluator import DetectionEvaluator, EvaluationResult
from corrlight.metrics.ground_truth import GroundTruth
from corrlight.metrics.image_correlation import ImageCorrelation
from corrlight.metrics.results import Results

__all__ = [
    "ClassCorrelation",
    "CocoEvaluate",
    "DetectionEvaluator",
    "Evaluation",
    "EvaluationResult",
    "GroundTruth",
    "ImageCorrelation",
    "ImageRecord",
    "Metric",
    "MetricResult",
    "Results",
]
