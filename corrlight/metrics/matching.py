"""The COCO matching of detections to objects, for all images, classes and thresholds at once.

Gives the same matches as pycocotools 2.0 (``COCOeval.evaluateImg``): detections of a class and
image visit their objects by descending score; each takes the object of the highest IoU that is
still free (the last one of equals), ignored objects only if no other is left, and crowds any number
of times.
Detections of different images or classes never compete, so the k-th detections of all of them
are matched together; most of them compete for one object alone, and these need no rounds.

Letters: M detections that may be matched, D detections kept, G objects, T IoU thresholds, R recall
thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_utils

from corrlight.coco.findings import MaskError
from corrlight.coco.types import Array, Rle
from corrlight.metrics.ranking.ordering import descending_ranks, order_by

__all__ = [
    "AREA_RANGES",
    "IOU_THRESHOLDS",
    "MAX_DETECTIONS",
    "RECALL_THRESHOLDS",
    "AtHalf",
    "Candidates",
    "Matches",
    "Pairs",
    "box_pairs",
    "candidates",
    "mask_pairs",
    "match",
]

# The very numbers of pycocotools: the ninth IoU threshold is 0.8999999999999999 there.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
# What an IoU has to reach, in the very numbers of pycocotools again.
_THRESHOLDS = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)
MAX_DETECTIONS = 100
# Borders belong to both ranges.
AREA_RANGES: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
_CHUNK = 1 << 16  # pairs whose IoUs are computed at once: so many stay in the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Detections and objects of the same image and class.

    Attributes:
        detection: ``(K,)`` row of the detection, of pairs whose IoU reaches what was asked for.
        gt: ``(K,)`` row of the object.
        iou: ``(K,)`` float64; for a crowd the share of the detection inside it.
        best_iou: ``(D,)`` largest IoU of every detection with an object that is no crowd; 0
            without any.
    """

    detection: Array
    gt: Array
    iou: Array
    best_iou: Array


class AtHalf(NamedTuple):
    """``gt``, ``iou`` and ``ignored`` of :class:`Matches` at the lowest threshold, ``(D,)``."""

    gt: Array
    iou: Array
    ignored: Array


@dataclass(frozen=True, kw_only=True)
class Matches:
    """The matching in one area range.

    Few detections are matched at all: what differs between the thresholds is kept for these, the
    columns, alone.

    Attributes:
        rows: ``(M,)`` ascending rows of the detections that may be matched.
        column_gt: ``(T, M)`` int32 row of the matched object, -1 without one.
        column_iou: ``(T, M)`` float64 IoU with it, 0 without one.
        column_ignored: ``(T, M)`` bool: neither true nor false positive.
        outside: ``(D,)`` bool: ignored if unmatched.
        num_gt: ``(C,)`` objects that count.
    """

    rows: Array
    column_gt: Array
    column_iou: Array
    column_ignored: Array
    outside: Array
    num_gt: Array

    @property
    def column_true(self) -> Array:
        """``(T, M)`` bool: true positives among the columns; there are no others."""
        return (self.column_gt >= 0) & ~self.column_ignored

    @cached_property
    def gt(self) -> Array:
        """``(T, D)`` int32 row of the matched object, -1 without one."""
        return self._wide(-1, np.int32, self.column_gt)

    @cached_property
    def iou(self) -> Array:
        """``(T, D)`` float64 IoU with the matched object, 0 without one."""
        return self._wide(0, np.float64, self.column_iou)

    @cached_property
    def ignored(self) -> Array:
        """``(T, D)`` bool: neither true nor false positive."""
        return self._wide(self.outside, bool, self.column_ignored)

    @cached_property
    def at_half(self) -> AtHalf:
        """The matching at IoU 0.5, of all detections."""
        return AtHalf(
            self._wide(-1, np.int32, self.column_gt[:1])[0],
            self._wide(0, np.float64, self.column_iou[:1])[0],
            self._wide(self.outside, bool, self.column_ignored[:1])[0],
        )

    @property
    def true_positive(self) -> Array:
        """``(T, D)`` bool."""
        return (self.gt >= 0) & ~self.ignored

    @property
    def false_positive(self) -> Array:
        """``(T, D)`` bool."""
        return (self.gt < 0) & ~self.ignored

    def _wide(self, others: Any, dtype: Any, columns: Array) -> Array:
        wide = np.empty((len(columns), len(self.outside)), dtype=dtype)
        wide[:] = others
        wide[:, self.rows] = columns
        return wide


def box_pairs(
    det_cell: Array,
    det_boxes: Array,
    gt_cell: Array,
    gt_boxes: Array,
    crowd: Array,
    order: Array | None = None,
    lowest: float = 0.5,
) -> Pairs:
    """Compute the IoUs between all boxes that share a cell (an image and a class, or an image).

    Args:
        det_cell: ``(D,)`` ascending cell numbers.
        det_boxes: ``(D, 4)`` boxes ``x, y, width, height``.
        gt_cell: ``(G,)`` ascending cell numbers.
        gt_boxes: ``(G, 4)``.
        crowd: ``(G,)`` bool.
        order: ``(D,)`` row of ``det_boxes`` of every detection; their own by default.
        lowest: IoU from which pairs are kept.

    Returns:
        The pairs, by detection, then object.
    """
    # Cells with objects are few: their detections are looked for, not objects of every detection.
    first_gt = np.flatnonzero(np.diff(gt_cell, prepend=-1))
    cells = gt_cell[first_gt]
    begin = np.searchsorted(det_cell, cells, "left")
    num_det = np.searchsorted(det_cell, cells, "right") - begin
    with_objects = np.arange(int(num_det.sum())) + np.repeat(
        begin - (np.cumsum(num_det) - num_det), num_det
    )
    first = np.repeat(first_gt, num_det)
    counts = np.repeat(np.diff(first_gt, append=len(gt_cell)), num_det)
    best = np.zeros(len(det_cell))
    kept: list[tuple[Array, Array, Array]] = []
    ends = np.cumsum(counts)
    objects = _columns(gt_boxes)
    start = 0
    while start < len(with_objects):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _CHUNK, "right")))
        rows, n = with_objects[start:stop], counts[start:stop]
        begin = np.cumsum(n) - n
        gt = np.arange(int(n.sum())) + np.repeat(first[start:stop] - begin, n)
        boxes = det_boxes[rows if order is None else order[rows]]
        iou = _iou(
            [np.repeat(column, n) for column in _columns(boxes)],
            [column[gt] for column in objects],
            crowd[gt],
        )
        best[rows] = np.maximum.reduceat(np.where(crowd[gt], 0.0, iou), begin)
        reaches = np.flatnonzero(iou >= lowest)
        kept.append((np.repeat(rows, n)[reaches], gt[reaches], iou[reaches]))
        start = stop
    return _collected(kept, best)


def mask_pairs(
    det_cell: Array,
    det_masks: Sequence[Rle],
    gt_cell: Array,
    gt_masks: Sequence[Rle],
    crowd: Array,
    lowest: float = 0.5,
) -> Pairs:
    """Compute the IoUs between all masks that share a cell, as :func:`box_pairs` does.

    Args:
        det_cell: ``(D,)`` ascending cell numbers.
        det_masks: D run-length encodings.
        gt_cell: ``(G,)`` ascending cell numbers.
        gt_masks: G run-length encodings.
        crowd: ``(G,)`` bool.
        lowest: IoU from which pairs are kept.

    Raises:
        MaskError: If two masks of a cell have different sizes.
    """
    best = np.zeros(len(det_cell))
    kept: list[tuple[Array, Array, Array]] = []
    cells, bits = np.intersect1d(det_cell, gt_cell), crowd.astype(np.uint8)
    borders = [
        np.searchsorted(column, limits).tolist()
        for column in (det_cell, gt_cell)
        for limits in (cells, cells + 1)
    ]
    for d, d_end, g, g_end in zip(*borders, strict=True):
        masks, objects = list(det_masks[d:d_end]), list(gt_masks[g:g_end])
        # pycocotools sees another size only where the boxes of two masks overlap.
        sizes = {tuple(m["size"]) for m in (*masks, *objects)}
        if len(sizes) > 1:
            raise MaskError(f"Expected masks of one size within an image, but got {sorted(sizes)}.")
        # (detections, objects) of this cell
        iou = np.asarray(mask_utils.iou(masks, objects, bits[g:g_end]))
        best[d:d_end] = (iou * (1 - bits[g:g_end])).max(1)
        row, column = (iou >= lowest).nonzero()
        kept.append((row + d, column + g, iou[row, column]))
    return _collected(kept, best)


def _collected(kept: Sequence[tuple[Array, Array, Array]], best: Array) -> Pairs:
    none = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
    columns = zip(none, *kept, strict=True)
    detection, gt, iou = (np.concatenate(column) for column in columns)
    return Pairs(detection=detection, gt=gt, iou=iou, best_iou=best)


def _columns(boxes: Array) -> tuple[Array, ...]:
    """Return left, top, right and bottom, and the area, ``(N,)`` each."""
    x, y, width, height = np.ascontiguousarray(boxes.T)
    return x, y, width + x, height + y, width * height


def _iou(det: Sequence[Array], gt: Sequence[Array], crowd: Array) -> Array:
    """Return the IoU of row k with row k, in the order of operations of pycocotools."""
    width = np.minimum(det[2], gt[2]) - np.maximum(det[0], gt[0])
    height = np.minimum(det[3], gt[3]) - np.maximum(det[1], gt[1])
    overlap = (width > 0) & (height > 0)
    intersection = np.where(overlap, width * height, 0.0)
    union = np.where(crowd, det[4], det[4] + gt[4] - intersection)
    return np.divide(intersection, union, out=np.zeros(len(crowd)), where=overlap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The detections that may be matched, and how those are that compete for one object alone.

    Whether an object is ignored decides only between the objects of one detection. Where every
    detection of an object has no other, the matching is the same in all area ranges: the first of
    them whose IoU reaches a threshold takes the object.

    Attributes:
        rows: ``(M,)`` ascending rows of the detections.
        gt: ``(T, M)`` int32 row of the matched object, -1 without one or where several compete.
        iou: ``(T, M)`` IoU with it, 0 without one.
        others: Pairs of the objects that compete, with columns in place of rows of detections.
        cell: ``(M,)`` cells of the detections.
    """

    rows: Array
    gt: Array
    iou: Array
    others: Pairs
    cell: Array


def candidates(pairs: Pairs, det_cell: Array, crowd: Array) -> Candidates:
    """Match the detections of objects without competition at all IoU thresholds.

    Args:
        pairs: Candidates; detections of a cell have ascending rows by descending score.
        det_cell: ``(D,)`` cell of every detection.
        crowd: ``(G,)`` bool.
    """
    several = np.bincount(pairs.detection, minlength=len(det_cell)) > 1
    competing = np.zeros(len(crowd), dtype=bool)
    competing[pairs.gt[several[pairs.detection]]] = True
    alone = np.flatnonzero(~competing[pairs.gt])
    alone = alone[order_by(pairs.gt[alone])]  # stable: by object, then detection
    detection, gt, iou = pairs.detection[alone], pairs.gt[alone], pairs.iou[alone]
    # Thresholds below `stop` are reached; those below `start` an earlier detection has reached.
    stop = np.searchsorted(_THRESHOLDS, iou, "right")
    new = np.diff(gt, prepend=-1) != 0
    level = 16 * np.cumsum(new) + stop
    before = np.maximum.accumulate(level)
    start = np.where(new, 0, np.concatenate([[0], before[:-1]])[: len(level)] - 16 * np.cumsum(new))
    start = np.where(crowd[gt], 0, start)
    takes = np.flatnonzero(stop > start)
    rest = np.flatnonzero(competing[pairs.gt])
    rows = np.concatenate([detection[takes], np.unique(pairs.detection[rest])])
    order = np.argsort(rows)
    rows = rows[order]
    number = np.arange(len(IOU_THRESHOLDS))[:, None]
    taken = (start[takes] <= number) & (number < stop[takes])
    gt_of = np.full((len(IOU_THRESHOLDS), len(rows)), -1, dtype=np.int32)
    iou_of = np.zeros(gt_of.shape)
    columns = np.searchsorted(rows, detection[takes])
    gt_of[:, columns] = np.where(taken, gt[takes], -1)
    iou_of[:, columns] = np.where(taken, iou[takes], 0.0)
    return Candidates(
        rows=rows,
        gt=gt_of,
        iou=iou_of,
        others=Pairs(
            detection=np.searchsorted(rows, pairs.detection[rest]),
            gt=pairs.gt[rest],
            iou=pairs.iou[rest],
            best_iou=pairs.best_iou,
        ),
        cell=det_cell[rows],
    )


def match(found: Candidates, gt_ignored: Array, crowd: Array) -> tuple[Array, Array]:
    """Match greedily at all IoU thresholds, with ignored objects taken last.

    Args:
        found: The detections that may be matched.
        gt_ignored: ``(G,)`` bool.
        crowd: ``(G,)`` bool.

    Returns:
        ``column_gt`` and ``column_iou`` of :class:`Matches`.
    """
    pairs, thresholds = found.others, _THRESHOLDS[:, None]
    gt_of, iou_of = found.gt, found.iou
    if not len(pairs.gt):
        return gt_of, iou_of
    gt_of, iou_of = gt_of.copy(), iou_of.copy()
    num_columns = len(found.rows)
    # Objects are numbered anew: few of them compete.
    objects, gt = np.unique(pairs.gt, return_inverse=True)
    taken = np.zeros((len(thresholds), len(objects)), dtype=bool)

    # The r-th candidate detection of every cell is visited in round r; within a detection the
    # pairs stand in the order in which it would take them.
    visited = np.unique(pairs.detection)
    cells = found.cell[visited]
    new_cell = np.flatnonzero(np.diff(cells, prepend=-1))
    round_of = np.zeros(num_columns, dtype=np.int64)
    round_of[visited] = np.arange(len(visited)) - np.repeat(
        new_cell, np.diff(new_cell, append=len(visited))
    )
    order = order_by(
        round_of[pairs.detection],
        pairs.detection,
        gt_ignored[pairs.gt].astype(np.int64),
        descending_ranks(pairs.iou),
        len(objects) - 1 - gt,
    )
    detection, gt, iou = pairs.detection[order], gt[order], pairs.iou[order]
    repeatable = crowd[objects]
    rounds = np.flatnonzero(np.diff(round_of[detection], prepend=-1, append=num_columns + 1))
    for start, stop in pairwise(rounds.tolist()):
        d, g, x = detection[start:stop], gt[start:stop], iou[start:stop]
        # One detection a cell: no two of a round can want the same object.
        free = (x >= thresholds) & ~taken[:, g]
        first_pair = np.flatnonzero(np.diff(d, prepend=-1))
        index = np.where(free, np.arange(stop - start), stop - start)
        chosen = np.minimum.reduceat(index, first_pair, axis=1)  # (T, detections of this round)
        t, column = np.nonzero(chosen < stop - start)
        pair = chosen[t, column]
        gt_of[t, d[pair]] = objects[g[pair]]
        iou_of[t, d[pair]] = x[pair]
        taken[t, g[pair]] = ~repeatable[g[pair]]
    return gt_of, iou_of
