"""All measures of an evaluation, as they stand in ``metrics.json`` and ``per_class.csv``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from corrlight.metrics.base import Number
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.metric import Metric

__all__ = ["Measured", "measure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the measures of an evaluation are.

    Attributes:
        metrics: Measures (fractions, None = undefined) and counts by plain name.
        per_class: One row a class, in the order of the labels.
        seconds: What each measure took, and the matching before them.
    """

    metrics: dict[str, Number]
    per_class: list[dict[str, Any]]
    seconds: dict[str, float]


@dataclass(slots=True)
class _Collected:
    values: dict[str, Number] = field(default_factory=dict)
    columns: dict[str, Sequence[Number]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def add(self, evaluation: Evaluation, metrics: Sequence[Metric], prefix: str) -> None:
        with self.timed(f"{prefix}matching"):
            evaluation.matches()
        for metric in metrics:
            # The attribute is optional: a metric is any callable.
            if evaluation.masks and getattr(metric, "of_positives", False):
                continue
            with self.timed(f"{prefix}{type(metric).__name__}"):
                result = metric(evaluation)
            self.values |= {prefix + name: value for name, value in result.values.items()}
            self.columns |= {prefix + name: column for name, column in result.per_class.items()}


def measure(
    boxes: Evaluation,
    metrics: Sequence[Metric],
    masks: Evaluation | None = None,
    step: Callable[[], None] = lambda: None,
) -> Measured:
    """Compute all measures of final detections.

    Args:
        boxes: The evaluation.
        metrics: What to measure; one matching serves them all.
        masks: The evaluation of the masks of the same detections, if there are any: its measures
            carry the prefix ``mask_``.
        step: Called after boxes and after masks.

    Returns:
        Measures of ``metrics``, and the numbers of images, objects and detections.
    """
    found = _Collected()
    found.add(boxes, metrics, "")
    step()
    if masks is not None:
        found.add(masks, metrics, "mask_")
        step()
    ground_truth, results = boxes.ground_truth, boxes.results
    objects = ground_truth.labels[~ground_truth.crowd]
    num_classes = ground_truth.num_classes
    table: dict[str, Sequence[Any]] = {
        "category_id": ground_truth.category_ids.tolist(),
        "name": ground_truth.names,
        "num_objects": np.bincount(objects, minlength=num_classes).tolist(),
        "num_detections": np.bincount(results.labels, minlength=num_classes).tolist(),
        **found.columns,
    }
    counts = {
        "num_images": ground_truth.num_images,
        "num_objects": len(objects),
        "num_detections": len(results),
    }
    return Measured(
        metrics={**found.values, **counts},
        per_class=[dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)],
        seconds=found.seconds,
    )
