"""The places of a class' ranking that decide its measures: its detections that may be matched.

Between two of them there are false positives and ignored detections alone, after which precision is
not higher, and LRP not lower, than before. So what is counted there is one number, whatever the
threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from corrlight.coco.types import Array
from corrlight.metrics.matching import IOU_THRESHOLDS, RECALL_THRESHOLDS, Matches

__all__ = ["ClassCuts", "class_cuts", "precision_at_recalls"]

_ROW = np.arange(len(IOU_THRESHOLDS))[:, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCuts:
    """The columns of the matching in one area range, by class and descending score (stable).

    Attributes:
        rows: ``(M,)`` rows of the detections among the counted ones.
        slices: For every class, where its columns are.
        true: ``(T, M)`` bool: true positives.
        kept: ``(T, M)`` bool: not ignored.
        iou: ``(M,)`` IoU with the object matched at threshold 0.5, 0 without one.
        others: ``(M,)`` how many other detections of the class come before and are not ignored.
        tp: ``(T, M)`` true positives of the class up to each column.
        total: ``(T, M)`` true and false positives of the class up to each column.
        num_gt: ``(C,)`` objects that count.
    """

    rows: Array
    slices: list[slice]
    true: Array
    kept: Array
    iou: Array
    others: Array
    tp: Array
    total: Array
    num_gt: Array


def class_cuts(matches: Matches, class_order: Array, class_slices: Sequence[slice]) -> ClassCuts:
    """Return the columns of a matching, by class and descending score.

    Args:
        matches: Of an area range.
        class_order: ``(D,)`` detections by class and descending score.
        class_slices: For every class, where its detections are in that order.
    """
    place = np.empty(len(class_order), dtype=np.int64)
    place[class_order] = np.arange(len(place))
    place = place[matches.rows]
    order = np.argsort(place)
    rows, place = matches.rows[order], place[order]
    starts = np.array([s.start for s in class_slices], dtype=np.int64)
    edges = np.searchsorted(place, [*starts, len(class_order)])
    sizes = np.diff(edges)
    # Detections up to each column that count, without columns and those of earlier classes.
    counted = ~matches.outside[class_order]
    before = np.concatenate([[0], np.cumsum(counted)])
    others = before[place] - np.repeat(before[starts], sizes) - _up_to(counted[place], edges)
    others += counted[place]
    true, kept = matches.column_true[:, order], ~matches.column_ignored[:, order]
    return ClassCuts(
        rows=rows,
        slices=[slice(a, b) for a, b in pairwise(edges.tolist())],
        true=true,
        kept=kept,
        iou=matches.column_iou[0, order],
        others=others,
        tp=_up_to(true, edges),
        total=_up_to(kept, edges) + others,
        num_gt=matches.num_gt,
    )


def _up_to(columns: Array, edges: Array) -> Array:
    """Return how many columns of the class up to each one, itself included, ``(..., M)``."""
    sums = np.zeros((*columns.shape[:-1], columns.shape[-1] + 1), dtype=np.int64)
    np.cumsum(columns, axis=-1, out=sums[..., 1:])
    found: Array = sums[..., 1:] - np.repeat(sums[..., edges[:-1]], np.diff(edges), axis=-1)
    return found


def precision_at_recalls(tp: Array, total: Array, num_gt: int) -> Array:
    """Return ``(T, R)`` precision at 101 recalls: at each, the largest at this or a higher recall.

    Args:
        tp: ``(T, U)`` true positives up to each cut.
        total: ``(T, U)`` true and false positives up to each cut.
        num_gt: Number of objects, at least 1.

    Returns:
        0 where the recall is not reached.
    """
    precision = tp / (total + np.spacing(1))
    envelope = np.zeros((len(tp), tp.shape[1] + 1))
    np.maximum.accumulate(precision[:, ::-1], axis=1, out=envelope[:, -2::-1])
    # True positives that reach each recall, in the very arithmetic tp / num_gt >= recall.
    need = np.ceil(RECALL_THRESHOLDS * num_gt)
    need -= (need - 1) / num_gt >= RECALL_THRESHOLDS
    need += need / num_gt < RECALL_THRESHOLDS
    # One search for all thresholds: every row has a range of its own.
    row, step = _ROW[: len(tp)], 2 * num_gt + 2
    at = np.searchsorted((tp + step * row).ravel(), (need + step * row).ravel())
    at = at.reshape(len(tp), -1) - tp.shape[1] * row
    found: Array = envelope[row, np.minimum(at, tp.shape[1])]
    return found
