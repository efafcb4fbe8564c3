"""What is looked at beside the numbers: the confusion matrix and the precision-recall curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from corrlight.coco.types import Array
from corrlight.metrics.base import none_if_nan
from corrlight.metrics.errors.confusion import (
    MIN_IOU,
    MIN_SCORE,
    ConfusionMatrix,
    confusion_matrix,
)
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.precision_curves import PrecisionCurves, precision_curves

__all__ = ["BACKGROUND", "MISSED", "ErrorView", "error_view"]

# The last row and the last column of a confusion matrix.
BACKGROUND, MISSED = "background", "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorView:
    """Confusion matrix and curves of one evaluation.

    Attributes:
        confusion: Which class is taken for which.
        curves: Of every class.
        class_names: By label.
    """

    confusion: ConfusionMatrix
    curves: PrecisionCurves
    class_names: tuple[str, ...]

    def content(self) -> dict[str, Any]:
        """Return it as JSON: precision is null for classes without objects."""
        matrix = self.confusion
        return {
            "confusion_matrix": {
                "rows": [*self.class_names, BACKGROUND],
                "columns": [*self.class_names, MISSED],
                "counts": matrix.counts.tolist(),
                "min_score": matrix.min_score,
                "min_iou": matrix.min_iou,
                "num_ignored": matrix.num_ignored,
            },
            "pr_curves": {
                "classes": list(self.class_names),
                "recall": self.curves.recall.tolist(),
                "precision": {
                    iou: {
                        "mean": none_if_nan(self.curves.mean(iou)),
                        "by_class": [none_if_nan(column) for column in curves.T],
                    }
                    for iou, curves in self.curves.precision.items()
                },
            },
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return the confusion matrix as one row a class of objects, and one of the background."""
        return matrix_rows(self.confusion.counts, self.class_names)


def matrix_rows(counts: Array, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return rows of a table; two classes of one name are told apart by their number.

    Args:
        counts: ``(C + 1, C + 1)``.
        class_names: C names.
    """
    taken = {"object", BACKGROUND, MISSED}
    names = []
    for k, name in enumerate(class_names):
        names.append(f"{name} ({k})" if name in taken else name)
        taken.add(names[-1])
    columns = [*names, MISSED]
    return [
        {"object": name, **dict(zip(columns, row, strict=True))}
        for name, row in zip([*names, BACKGROUND], counts.tolist(), strict=True)
    ]


def error_view(
    evaluation: Evaluation, min_score: float = MIN_SCORE, min_iou: float = MIN_IOU
) -> ErrorView:
    """Return the confusion matrix and the curves of an evaluation.

    Args:
        evaluation: Ground truth and detections.
        min_score: See :func:`confusion_matrix`.
        min_iou: See :func:`confusion_matrix`.
    """
    return ErrorView(
        confusion=confusion_matrix(evaluation, min_score, min_iou),
        curves=precision_curves(evaluation),
        class_names=evaluation.ground_truth.names,
    )
