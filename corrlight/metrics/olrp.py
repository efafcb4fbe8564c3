"""oLRP as a metric."""

from __future__ import annotations

from corrlight.metrics.base import MetricResult, none_if_nan
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.olrp import olrp
from corrlight.metrics.matching import AREA_RANGES
from corrlight.metrics.metric import Metric

__all__ = ["Olrp"]


class Olrp(Metric):
    """Optimal LRP error, its parts and the optimal score threshold of every class."""

    smaller_is_better = (
        *("oLRP", "oLRP_Loc", "oLRP_FP", "oLRP_FN"),
        *(f"oLRP_{area}" for area in AREA_RANGES if area != "all"),
    )

    def __call__(self, evaluation: Evaluation) -> MetricResult:
        """Return oLRP, oLRP_Loc, oLRP_FP, oLRP_FN and oLRP by size, with class counts."""
        numbers = olrp(evaluation)
        columns = {f"oLRP_{a}": numbers.olrp[:, i] for i, a in enumerate(AREA_RANGES) if i}
        columns = {
            "oLRP": numbers.olrp[:, 0],
            "oLRP_Loc": numbers.loc[:, 0],
            "oLRP_FP": numbers.fp[:, 0],
            "oLRP_FN": numbers.fn[:, 0],
            "oLRP_threshold": numbers.threshold[:, 0],
            **columns,
        }
        counts = {f"num_classes_{name}": count for name, count in numbers.counts.items()}
        return MetricResult(
            values={**numbers.values, **counts},
            per_class={name: none_if_nan(column) for name, column in columns.items()},
        )
