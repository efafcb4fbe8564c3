"""COCO average precision and recall as a metric."""

from __future__ import annotations

from corrlight.metrics.base import MetricResult, none_if_nan
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.coco_evaluate import coco_evaluate
from corrlight.metrics.metric import Metric

__all__ = ["CocoEvaluate"]


class CocoEvaluate(Metric):
    """The 12 COCO numbers; AP, AP50, AP75 and AP by size of every class."""

    def __call__(self, evaluation: Evaluation) -> MetricResult:
        """Return AP and AR with the number of classes that have objects."""
        numbers = coco_evaluate(evaluation)
        columns = {
            "AP": numbers.class_ap(),
            "AP50": numbers.class_ap(0.5),
            "AP75": numbers.class_ap(0.75),
            "AP_small": numbers.class_ap(area="small"),
            "AP_medium": numbers.class_ap(area="medium"),
            "AP_large": numbers.class_ap(area="large"),
        }
        return MetricResult(
            values={**numbers.values, "num_classes_AP": numbers.num_classes},
            per_class={name: none_if_nan(column) for name, column in columns.items()},
        )
