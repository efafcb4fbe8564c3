"""COCO average precision and recall as a metric."""

from __future__ import annotations

from corrlight.metrics.base import MetricResult, none_if_nan
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.coco_evaluate import coco_evaluate
from corrlight.metrics.matching import MAX_DETECTIONS
from corrlight.metrics.metric import Metric

__all__ = ["CocoEvaluate"]


# Measures at a limit of one's own; AP_300 is AP at 300 detections an image and class.
_LIMITED = ("AP", "AP50", "AP75")


class CocoEvaluate(Metric):
    """The 12 COCO numbers; AP, AP50, AP75 and AP by size of every class.

    COCO counts at most 100 detections of a class in an image, which caps AP where there are more
    objects.

    Args:
        max_detections: Adds AP, AP50, AP75 and AR at this limit, under names of their own
            (``AP_300``); the 12 numbers stay as they are.

    Raises:
        ValueError: If ``max_detections`` is not above 100.
    """

    def __init__(self, max_detections: int | None = None) -> None:
        if max_detections is not None and (
            type(max_detections) is not int or max_detections <= MAX_DETECTIONS
        ):
            raise ValueError(
                f"Expected `max_detections` to be an int above {MAX_DETECTIONS} (what COCO "
                f"counts), but got {max_detections!r}."
            )
        self.max_detections = max_detections

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
        values = {**numbers.values, "num_classes_AP": numbers.num_classes}
        if (limit := self.max_detections) is not None:
            limited = coco_evaluate(evaluation.with_limit(limit))
            values |= {f"{name}_{limit}": limited.values[name] for name in _LIMITED}
            values[f"AR_{limit}"] = limited.values[f"AR_{limit}"]
            columns[f"AP_{limit}"] = limited.class_ap()
        return MetricResult(
            values=values,
            per_class={name: none_if_nan(column) for name, column in columns.items()},
        )
