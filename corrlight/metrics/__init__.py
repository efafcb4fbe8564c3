"""Measures: AP, oLRP, correlation, bounds; one matching serves them all.

What needs torch is imported when it is first asked for: results files are measured without it.
"""

from typing import TYPE_CHECKING, Any

from corrlight.coco.ground_truth import GroundTruth
from corrlight.coco.results import Results
from corrlight.coco.types import ImageRecord
from corrlight.metrics.base import MetricResult
from corrlight.metrics.calibration import Calibration
from corrlight.metrics.class_correlation import ClassCorrelation
from corrlight.metrics.coco_evaluate import CocoEvaluate
from corrlight.metrics.errors.metric import ErrorTypes
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.image_correlation import ImageCorrelation
from corrlight.metrics.metric import Metric
from corrlight.metrics.olrp import Olrp
from corrlight.metrics.score_bounds import ScoreBounds

if TYPE_CHECKING:
    from corrlight.metrics.evaluator import DetectionEvaluator, EvaluationResult
    from corrlight.metrics.image_bounds import ImageBounds

__all__ = [
    "Calibration",
    "ClassCorrelation",
    "CocoEvaluate",
    "DetectionEvaluator",
    "ErrorTypes",
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

_LATER = {
    "DetectionEvaluator": "evaluator",
    "EvaluationResult": "evaluator",
    "ImageBounds": "image_bounds",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
