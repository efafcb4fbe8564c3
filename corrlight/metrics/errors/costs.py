"""The AP that each type of error costs, as TIDE defines it (Bolya et al., ECCV 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from corrlight.coco.types import Array
from corrlight.metrics.errors.overlaps import Overlaps, overlaps
from corrlight.metrics.errors.types import ErrorTable, ErrorType, error_table
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.ranking.ordering import order_by

__all__ = ["SPECIAL", "ErrorCosts", "error_costs"]

SPECIAL = ("false_positive", "false_negative")
# tidecv divides; COCO multiplies by 0.01, which is another number for 7, 14, 28, 29, ...
_RECALLS = np.arange(101) / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCosts:
    """AP as it is and with one type of error corrected; fractions.

    Attributes:
        ap: ``(C,)`` AP at the positive threshold of every class, NaN for classes without objects
            and detections.
        corrected: By ``ErrorType.key`` and ``SPECIAL``: ``(C,)`` AP without the errors of the type.
        counts: ``(6, C)`` errors of every type: by the class of the detection, and of the object
            for ``MISSED``.
        num_ignored: Unmatched detections inside crowds.
        unasked: Classes with detections and without objects, whose AP counts as 0.
    """

    ap: Array
    corrected: Mapping[str, Array]
    counts: Array
    num_ignored: int
    unasked: Array

    @property
    def mean_ap(self) -> float | None:
        """Mean over the classes with objects or detections; None without any."""
        return _mean(self.ap)

    def cost(self, name: str) -> float | None:
        """Return the AP that a type of error costs; None where one of the two APs is undefined.

        A main type costs at least 0: ties of scores, or another number of objects, can lower AP.

        Args:
            name: An ``ErrorType.key`` or one of ``SPECIAL``.
        """
        before, after = self.mean_ap, _mean(self.corrected[name])
        if before is None or after is None:
            return None
        return after - before if name in SPECIAL else max(after - before, 0.0)


def error_costs(
    evaluation: Evaluation, positive: float = 0.5, background: float = 0.1
) -> ErrorCosts:
    """Correct the errors of one type after the other, each alone, and measure AP.

    Wrong class or place: the detection of the highest score becomes a true positive of the object
    that it would find, the others go. Both, duplicate, background: the detections go. Missed: the
    objects go. False positives: all go behind the true positives. False negatives: all objects that
    are not found go.

    Args:
        evaluation: Ground truth and detections, whose limit of 100 an image and class is kept.
        positive: IoU from which a detection is right.
        background: IoU up to which it lies on nothing.

    Raises:
        ValueError: If not 0 < background < positive <= 1.
    """
    if not 0 < background < positive <= 1:
        raise ValueError(
            f"Expected 0 < `background` < `positive` <= 1, but got {background} and {positive}."
        )
    pairs = overlaps(evaluation, background)
    table = error_table(pairs, positive, background)
    num_classes = pairs.num_classes
    num_gt = _per_class(pairs.gt_label[~pairs.crowd], num_classes)
    counts = np.stack(
        [_per_class(pairs.det_label[table.error == t], num_classes) for t in ErrorType]
    )
    counts[ErrorType.MISSED] = _per_class(pairs.gt_label[table.missed], num_classes)
    num_points = _per_class(pairs.det_label[~table.ignored], num_classes)
    true, kept = table.matched >= 0, ~table.ignored
    plain = _order(pairs.det_label, pairs.score_rank)
    # tidecv ranks errors before detections of equal scores that are right, once one is corrected.
    tied = _order(pairs.det_label, pairs.score_rank, true)
    right_first = _order(pairs.det_label, ~true)
    found = _per_class(pairs.det_label[true], num_classes)
    corrected = {t.key: _without(t, pairs, table, tied) for t in ErrorType}
    corrected["false_positive"] = _class_ap(pairs.det_label, true, kept, right_first, num_gt)
    corrected["false_negative"] = _class_ap(pairs.det_label, true, kept, tied, found)
    return ErrorCosts(
        ap=_class_ap(pairs.det_label, true, kept, plain, num_gt),
        corrected=corrected,
        counts=counts,
        num_ignored=int(table.ignored.sum()),
        unasked=np.flatnonzero((num_gt == 0) & (num_points > 0)),
    )


def _without(error: ErrorType, pairs: Overlaps, table: ErrorTable, order: Array) -> Array:
    """Return ``(C,)`` AP without the errors of one type; ``order`` is that of the detections."""
    matched, label, kept = table.matched >= 0, pairs.det_label, ~table.ignored
    counting = ~pairs.crowd
    if error is ErrorType.MISSED:
        num_gt = _per_class(pairs.gt_label[counting & ~table.missed], pairs.num_classes)
        return _class_ap(label, matched, kept, order, num_gt)
    num_gt = _per_class(pairs.gt_label[counting], pairs.num_classes)
    wrong = table.error == error
    right = wrong & (table.target >= 0)
    if error is ErrorType.CLASSIFICATION and right.any():
        label = np.where(right, pairs.gt_label[table.target], label)
        order = _order(label, pairs.score_rank, matched)
    return _class_ap(label, matched | right, np.where(wrong, right, kept), order, num_gt)


def _order(*keys: Array) -> Array:
    return order_by(*(key.astype(np.int64) for key in keys)) if len(keys[0]) else keys[0]


def _class_ap(label: Array, true: Array, kept: Array, order: Array, num_gt: Array) -> Array:
    """Return ``(C,)`` AP, NaN for classes with neither objects nor detections, 0 without objects.

    Args:
        label: ``(D,)`` classes.
        true: ``(D,)`` bool: true positives.
        kept: ``(D,)`` bool: true and false positives.
        order: ``(D,)`` detections by ascending class, then as they are ranked.
        num_gt: ``(C,)`` objects that count.
    """
    order = order[kept[order]]
    label, true = label[order], true[order]
    num_points = _per_class(label, len(num_gt))
    ap = np.where((num_points > 0) | (num_gt > 0), 0.0, np.nan)
    places = np.flatnonzero(true)
    starts = np.cumsum(num_points) - num_points
    edges = np.searchsorted(label[places], np.arange(len(num_gt) + 1)).tolist()
    for k, (start, stop) in enumerate(pairwise(edges)):
        if start == stop or num_gt[k] == 0:
            continue
        tp = np.arange(1, stop - start + 1)
        precision = tp / (places[start:stop] - starts[k] + 1)
        # Between two true positives precision falls: the largest at this or a higher recall is
        # that of a true positive.
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(tp / num_gt[k], _RECALLS)
        ap[k] = envelope[at[at < len(tp)]].sum() / len(_RECALLS)
    return ap


def _per_class(labels: Array, num_classes: int) -> Array:
    return np.bincount(labels, minlength=num_classes)


def _mean(ap: Array) -> float | None:
    defined = ap[~np.isnan(ap)]
    return float(defined.mean()) if len(defined) else None
