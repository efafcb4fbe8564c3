"""Class-level AP bounds as a metric."""

from __future__ import annotations

from corrlight.metrics.base import MetricResult, none_if_nan
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.score_bounds import score_bounds
from corrlight.metrics.metric import Metric

__all__ = ["ScoreBounds"]


class ScoreBounds(Metric):
    """AP, AP50 and AP75 with true positives ranked by IoU, and against it."""

    def __call__(self, evaluation: Evaluation) -> MetricResult:
        """Return ``{AP,AP50,AP75}_{upper,lower}_cls`` and both APs of every class.

        ``num_classes_bounds_violated`` counts the classes whose AP lies outside: there, detections
        reach IoU 0.5 with several objects, and the bounds are no theorem.
        """
        bounds = score_bounds(evaluation)
        return MetricResult(
            values={
                **bounds.values,
                "num_classes_bounds_violated": int(bounds.violated.sum()),
            },
            per_class={
                "AP_upper_cls": none_if_nan(bounds.upper.mean((0, 1))),
                "AP_lower_cls": none_if_nan(bounds.lower.mean((0, 1))),
            },
        )
