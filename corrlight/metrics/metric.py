"""What a metric is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.base import MetricResult

__all__ = ["Metric"]


class Metric(Protocol):
    """A measure of an evaluation: one file here, its maths in ``functional``, one YAML.

    Attributes:
        of_positives: Reads the positives before post-processing, not the final detections; it is
            then not computed again for masks.
    """

    of_positives: bool = False

    def __call__(self, evaluation: Evaluation) -> MetricResult:
        """Return the measure; everything expensive is cached in ``evaluation``."""
        ...
