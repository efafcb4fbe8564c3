"""What AP would be if scores ranked as IoU does, and against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from corrlight.coco.types import Array
from corrlight.metrics.base import mean_or_none
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.coco_evaluate import interpolated_precision, threshold_index
from corrlight.metrics.matching import IOU_THRESHOLDS, RECALL_THRESHOLDS

__all__ = ["BoundNumbers", "Direction", "classes_outside", "reranked_scores", "score_bounds"]

Direction = Literal["upper", "lower"]
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundNumbers:
    """AP with the best and the worst class-level correlation.

    Attributes:
        upper: ``(T, R, C)`` interpolated precision with true positives by descending IoU; NaN for
            classes without objects.
        lower: ``(T, R, C)`` the same by ascending IoU.
        own: ``(T, R, C)`` the same in the order of the scores: AP itself.
    """

    upper: Array
    lower: Array
    own: Array

    @property
    def violated(self) -> Array:
        """``(C,)`` bool: AP of the class lies outside its bounds.

        It cannot where no detection reaches IoU 0.5 with two objects of its class.
        """
        upper, lower, own = (p.mean((0, 1)) for p in (self.upper, self.lower, self.own))
        return (own > upper + _ROUNDING) | (own < lower - _ROUNDING)

    @property
    def values(self) -> dict[str, float | None]:
        """``AP_upper_cls AP50_upper_cls ... AP75_lower_cls``; None if undefined."""
        values: dict[str, float | None] = {}
        for name, precision in (("upper", self.upper), ("lower", self.lower)):
            values |= {
                f"AP_{name}_cls": mean_or_none(precision),
                f"AP50_{name}_cls": mean_or_none(precision[threshold_index(0.5)]),
                f"AP75_{name}_cls": mean_or_none(precision[threshold_index(0.75)]),
            }
        return values


def classes_outside(
    own: Mapping[str, Array], lower: Mapping[str, Array], upper: Mapping[str, Array]
) -> int:
    """Return how many classes have a measure outside of its image-level bounds.

    Nothing forbids it there: a permutation changes what suppression keeps, how images rank among
    each other, and so AP of a class, either way.

    Args:
        own: ``(C,)`` AP of every class by measure, NaN where undefined.
        lower: The same of the lower bounds.
        upper: The same of the upper bounds.
    """
    outside = [
        (own[name] > upper[name] + _ROUNDING) | (own[name] < lower[name] - _ROUNDING)
        for name in own
    ]
    return int(np.logical_or.reduce(outside).sum()) if outside else 0


def score_bounds(evaluation: Evaluation) -> BoundNumbers:
    """Bound AP at class level (Table 3.2 of the thesis).

    The true positives at IoU 0.5 of a class are permuted over the *rank positions* that they occupy
    in its stable score order; equal IoUs keep their order. Every other detection stays where it
    is, and every threshold keeps its own matches. AP50 is therefore exactly AP50.

    Where a detection reaches IoU 0.5 with two objects of its class, thresholds may match it to
    different ones, and then "bound" is only a name.

    Args:
        evaluation: Ground truth, detections and their matching.
    """
    matches = evaluation.matches("all")
    true, false = matches.true_positive, matches.false_positive
    num_classes = evaluation.ground_truth.num_classes
    shape = (len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), num_classes)
    bounds = {name: np.full(shape, np.nan) for name in (*get_args(Direction), "own")}
    for label in np.flatnonzero(matches.num_gt).tolist():
        order = evaluation.class_order[evaluation.class_slices[label]]
        places = np.flatnonzero(true[0, order])
        ious = matches.iou[0, order[places]]
        for name, key in (("upper", -ious), ("lower", ious), ("own", None)):
            permuted = order.copy()
            if key is not None:
                permuted[places] = order[places[np.argsort(key, kind="stable")]]
            bounds[name][..., label] = interpolated_precision(
                true[:, permuted], false[:, permuted], int(matches.num_gt[label])
            )
    return BoundNumbers(**bounds)


def reranked_scores(
    scores: npt.ArrayLike, ious: npt.ArrayLike, groups: npt.ArrayLike, direction: Direction
) -> Array:
    """Permute scores within each group so that they rank by, or against, IoU.

    The image-level bounds (Table 3.1 of the thesis) put these in place of the class scores of the
    positives and post-process again.

    Args:
        scores: ``(P,)``.
        ious: ``(P,)``.
        groups: ``(P,)`` group (image) numbers.
        direction: "upper": the largest score of a group goes to its largest IoU; "lower": to its
            smallest. Equal IoUs keep the order of their scores.

    Returns:
        ``(P,)`` the same scores in each group, permuted.

    Raises:
        ValueError: If ``direction`` is neither.
    """
    if direction not in get_args(Direction):
        raise ValueError(
            f"Expected `direction` to be one of {get_args(Direction)}, but got {direction!r}."
        )
    scores, ious, groups = np.asarray(scores), np.asarray(ious), np.asarray(groups)
    by_score = np.lexsort((scores, groups))
    by_iou = np.lexsort((scores, ious if direction == "upper" else -ious, groups))
    result = np.empty_like(scores)
    result[by_iou] = scores[by_score]
    return result
