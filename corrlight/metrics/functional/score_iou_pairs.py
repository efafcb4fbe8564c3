"""Score against IoU of every final detection (Figure 2.2 of the thesis)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corrlight.coco.types import Array
from corrlight.metrics.evaluation import Evaluation

__all__ = ["ScoreIouPairs", "score_iou_pairs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreIouPairs:
    """One point for each final detection, in the order of the results.

    Attributes:
        scores: ``(D,)`` ranking scores.
        ious: ``(D,)`` largest IoU with an object of the same image and class.
        labels: ``(D,)`` classes.
    """

    scores: Array
    ious: Array
    labels: Array


def score_iou_pairs(evaluation: Evaluation) -> ScoreIouPairs:
    """Pair every detection's score with its best IoU; no matching is involved.

    Crowds are no objects; a detection without any object of its class has IoU 0.

    Args:
        evaluation: Ground truth and detections.
    """
    ious = np.empty(len(evaluation.results))
    ious[evaluation.order] = evaluation.pairs.best_iou
    results = evaluation.results
    return ScoreIouPairs(scores=results.scores, ious=ious, labels=results.labels)
