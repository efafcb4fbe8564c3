"""What a metric is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from corrlight.metrics.base import MetricResult
from corrlight.metrics.evaluation import Evaluation

__all__ = ["Metric"]


class Metric(Protocol):
    """A measure of an evaluation: one file here, its maths in ``functional``, one YAML.

    Attributes:
        of_positives: Reads the positives before post-processing, not the final detections; it is
            then not computed again for masks.
        smaller_is_better: Names of those of its values that improve downwards; ``best.ckpt``,
            tables and colours follow them. All others improve upwards.
    """

    of_positives: bool = False
    smaller_is_better: Collection[str] = ()

    def __call__(self, evaluation: Evaluation) -> MetricResult:
        """Return the measure; everything expensive is cached in ``evaluation``."""
        ...
