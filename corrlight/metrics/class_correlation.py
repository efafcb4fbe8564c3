"""beta_cls as a metric."""

from __future__ import annotations

from corrlight.metrics.base import MetricResult, none_if_nan
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.class_correlation import class_correlation
from corrlight.metrics.functional.grouped_correlation import (
    CoefficientName,
    check_coefficient,
    measure_name,
)
from corrlight.metrics.metric import Metric

__all__ = ["ClassCorrelation"]


class ClassCorrelation(Metric):
    """Class-level correlation of score and IoU of the true positives at IoU 0.5.

    Args:
        coefficient: "spearman" gives ``beta_cls``, another one ``beta_cls_pearson`` and so on.
    """

    def __init__(self, coefficient: CoefficientName = "spearman") -> None:
        self.coefficient = check_coefficient(coefficient)

    def __call__(self, evaluation: Evaluation) -> MetricResult:
        """Return beta_cls, the number of classes that define it, and beta_cls of every class."""
        found = class_correlation(evaluation, self.coefficient)
        name = measure_name("beta_cls", self.coefficient)
        return MetricResult(
            values={name: found.mean, f"num_classes_{name}": found.num_defined},
            per_class={
                name: none_if_nan(found.values),
                "num_true_positives": found.counts.tolist(),
            },
        )
