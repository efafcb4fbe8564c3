"""The AP that each type of error costs, as a metric."""

from __future__ import annotations

from corrlight.metrics.base import MetricResult, none_if_nan
from corrlight.metrics.errors.costs import SPECIAL, error_costs
from corrlight.metrics.errors.types import ErrorType
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.metric import Metric

__all__ = ["ErrorTypes"]

_NAMES = (*(error.key for error in ErrorType), *SPECIAL)


class ErrorTypes(Metric):
    """TIDE: AP at IoU 0.5 that each type of error costs, and how many there are.

    Args:
        positive: IoU from which a detection is right.
        background: IoU up to which it lies on nothing.
    """

    smaller_is_better = tuple(f"dAP_{name}" for name in _NAMES)

    def __init__(self, positive: float = 0.5, background: float = 0.1) -> None:
        if not 0 < background < positive <= 1:
            raise ValueError(
                f"Expected 0 < `background` < `positive` <= 1, but got {background} and {positive}."
            )
        self.positive = positive
        self.background = background

    def __call__(self, evaluation: Evaluation) -> MetricResult:
        """Return ``AP_tide``, ``dAP_...`` and ``num_errors_...``; of every class the last two."""
        found = error_costs(evaluation, self.positive, self.background)
        counts = {f"num_errors_{t.key}": found.counts[t] for t in ErrorType}
        return MetricResult(
            values={
                "AP_tide": found.mean_ap,
                **{f"dAP_{name}": found.cost(name) for name in _NAMES},
                **{name: int(column.sum()) for name, column in counts.items()},
                "num_ignored_tide": found.num_ignored,
                "num_classes_unasked_tide": len(found.unasked),
            },
            per_class={
                **{f"dAP_{name}": none_if_nan(found.corrected[name] - found.ap) for name in _NAMES},
                **{name: column.tolist() for name, column in counts.items()},
            },
        )
