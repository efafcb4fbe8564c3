"""beta_cls as a metric."""

from __future__ import annotations

from corrlight.metrics.base import MetricResult, none_if_nan
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.class_correlation import class_correlation

__all__ = ["ClassCorrelation"]


class ClassCorrelation:
    """Class-level correlation of score and IoU of the true positives at IoU 0.5."""

    def __call__(self, evaluation: Evaluation) -> MetricResult:
        """Return beta_cls, the number of classes that define it, and beta_cls of every class."""
        found = class_correlation(evaluation)
        return MetricResult(
            values={"beta_cls": found.mean, "num_classes_beta_cls": found.num_defined},
            per_class={
                "beta_cls": none_if_nan(found.values),
                "num_true_positives": found.counts.tolist(),
            },
        )
