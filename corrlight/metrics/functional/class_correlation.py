"""beta_cls: correlation of score and IoU of a class' true positives, after post-processing."""

from __future__ import annotations

import numpy as np

from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.grouped_correlation import (
    CoefficientName,
    GroupedCorrelation,
    grouped_correlation,
)

__all__ = ["class_correlation"]


def class_correlation(
    evaluation: Evaluation, coefficient: CoefficientName = "spearman"
) -> GroupedCorrelation:
    """Correlate scores and IoUs of the true positives of every class (Eq. 3.2 of the thesis).

    True positives are those of the COCO matching at IoU 0.5, 100 detections an image and class,
    all sizes; the IoU is that with the matched object.

    Args:
        evaluation: Ground truth, detections and their matching.
        coefficient: "spearman" is the thesis' choice.

    Returns:
        One coefficient a class, with the number of true positives as ``counts``. ``mean`` is
        beta_cls: the mean over the classes whose coefficient is defined.
    """
    matches = evaluation.matches("all")
    columns = np.flatnonzero(matches.column_true[0])
    true = matches.rows[columns]
    return grouped_correlation(
        evaluation.scores[true],
        matches.column_iou[0, columns],
        evaluation.labels[true],
        evaluation.ground_truth.num_classes,
        coefficient,
    )
