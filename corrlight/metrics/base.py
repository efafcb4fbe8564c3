"""What the evaluator collects and what a metric is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from corrlight.metrics.evaluation import Evaluation

__all__ = [
    "Array",
    "ImageRecord",
    "Metric",
    "MetricResult",
    "Number",
    "Rle",
    "mean_or_none",
    "none_if_nan",
]

Array = npt.NDArray[Any]
# A measure is a fraction, a count is an int, and None means undefined (never 0).
Number = float | int | None
# A mask as COCO writes it: {"size": [height, width], "counts": ...}.
Rle = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """Everything kept of one evaluated image; plain arrays, so it gathers across processes.

    Attributes:
        image_id: The data set's id.
        boxes: ``(D, 4)`` float64 final boxes, xyxy in the pixels of the file.
        scores: ``(D,)`` ranking scores.
        labels: ``(D,)`` classes in ``[0, C)``.
        positive_scores: ``(P,)`` class scores of the training assigner's positives, last stage.
        positive_ranking_scores: ``(P,)`` their ranking scores (class score times quality), or None.
        positive_ious: ``(P,)`` IoU of each positive with its ground truth.
        masks: COCO run-length encodings of the detections, or None.
    """

    image_id: int
    boxes: Array
    scores: Array
    labels: Array
    positive_scores: Array
    positive_ious: Array
    positive_ranking_scores: Array | None = None
    masks: list[Rle] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResult:
    """What a metric reports.

    Attributes:
        values: Measures and counts of the whole evaluation by name.
        per_class: Columns of ``per_class.csv``: one value a class, in the order of the labels.
    """

    values: Mapping[str, Number]
    per_class: Mapping[str, Sequence[Number]] = field(default_factory=dict)


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


def mean_or_none(values: Array) -> float | None:
    """Return the mean of the values that are not NaN; None if there are none."""
    defined = values[~np.isnan(values)]
    return float(np.mean(defined)) if defined.size else None


def none_if_nan(column: Array) -> list[Number]:
    """Return plain floats, None where a value is NaN."""
    return [None if np.isnan(v) else v for v in column.tolist()]
