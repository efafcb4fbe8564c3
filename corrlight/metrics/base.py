"""What a measure returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from corrlight.coco.types import Array

__all__ = ["MetricResult", "Number", "mean_or_none", "none_if_nan"]

# A measure is a fraction, a count is an int, and None means undefined (never 0).
Number = float | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResult:
    """What a metric reports.

    Attributes:
        values: Measures and counts of the whole evaluation by name.
        per_class: Columns of ``per_class.csv``: one value a class, in the order of the labels.
    """

    values: Mapping[str, Number]
    per_class: Mapping[str, Sequence[Number]] = field(default_factory=dict)


def mean_or_none(values: Array) -> float | None:
    """Return the mean of the values that are not NaN; None if there are none."""
    defined = values[~np.isnan(values)]
    return float(np.mean(defined)) if defined.size else None


def none_if_nan(column: Array) -> list[Number]:
    """Return plain floats, None where a value is NaN."""
    return [None if np.isnan(v) else v for v in column.tolist()]
