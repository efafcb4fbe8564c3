"""The COCO matching of detections to objects, for all images, classes and thresholds at once.

Gives the same matches as pycocotools 2.0 (``COCOeval.evaluateImg``): detections of a class and
image visit their objects by descending score; each takes the object of the highest IoU that is
still free (the last one of equals), ignored objects only if no other is left, and crowds any number
of times.
Detections of different images or classes never compete, so the k-th detections of all of them
are matched together.

Letters: D detections kept, G objects, T IoU thresholds, R recall thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from pycocotools import mask as mask_utils

from corrlight.coco.findings import MaskError
from corrlight.coco.types import Array, Rle

__all__ = [
    "AREA_RANGES",
    "IOU_THRESHOLDS",
    "MAX_DETECTIONS",
    "RECALL_THRESHOLDS",
    "Matches",
    "Pairs",
    "box_pairs",
    "mask_pairs",
    "match",
]

# The very numbers of pycocotools: the ninth IoU threshold is 0.8999999999999999 there.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 100
# Borders belong to both ranges.
AREA_RANGES: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
_CHUNK = 1 << 20  # pairs whose IoUs are computed at once (about 100 MB)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Detections and objects of the same image and class.

    Attributes:
        detection: ``(K,)`` row of the detection, of pairs whose IoU reaches the lowest threshold.
        gt: ``(K,)`` row of the object.
        iou: ``(K,)`` float64; for a crowd the share of the detection inside it.
        best_iou: ``(D,)`` largest IoU of every detection with an object that is no crowd; 0
            without any.
    """

    detection: Array
    gt: Array
    iou: Array
    best_iou: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """The matching in one area range.

    Attributes:
        gt: ``(T, D)`` int32 row of the matched object, -1 without one.
        iou: ``(T, D)`` float64 IoU with it, 0 without one.
        ignored: ``(T, D)`` bool: neither true nor false positive.
        num_gt: ``(C,)`` objects that count.
    """

    gt: Array
    iou: Array
    ignored: Array
    num_gt: Array

    @property
    def true_positive(self) -> Array:
        """``(T, D)`` bool."""
        return (self.gt >= 0) & ~self.ignored

    @property
    def false_positive(self) -> Array:
        """``(T, D)`` bool."""
        return (self.gt < 0) & ~self.ignored


def box_pairs(
    det_cell: Array, det_boxes: Array, gt_cell: Array, gt_boxes: Array, crowd: Array
) -> Pairs:
    """Compute the IoUs between all boxes that share a cell (an image and a class).

    Args:
        det_cell: ``(D,)`` ascending cell numbers.
        det_boxes: ``(D, 4)`` boxes ``x, y, width, height``.
        gt_cell: ``(G,)`` ascending cell numbers.
        gt_boxes: ``(G, 4)``.
        crowd: ``(G,)`` bool.

    Returns:
        The pairs with IoU of at least 0.5, by detection, then object.
    """
    first = np.searchsorted(gt_cell, det_cell, "left")
    counts = np.searchsorted(gt_cell, det_cell, "right") - first
    best = np.zeros(len(det_cell))
    kept: list[tuple[Array, Array, Array]] = []
    ends = np.cumsum(counts)
    start = 0
    while start < len(det_cell):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _CHUNK, "right")))
        n = counts[start:stop]
        total = int(n.sum())
        detection = np.repeat(np.arange(start, stop), n)
        gt = np.arange(total) + np.repeat(first[start:stop] - (np.cumsum(n) - n), n)
        iou = _iou(det_boxes[detection], gt_boxes[gt], crowd[gt])
        solid = ~crowd[gt]
        np.maximum.at(best, detection[solid], iou[solid])
        reaches = iou >= IOU_THRESHOLDS[0]
        kept.append((detection[reaches], gt[reaches], iou[reaches]))
        start = stop
    return _collected(kept, best)


def mask_pairs(
    det_cell: Array,
    det_masks: Sequence[Rle],
    gt_cell: Array,
    gt_masks: Sequence[Rle],
    crowd: Array,
) -> Pairs:
    """Compute the IoUs between all masks that share a cell, as :func:`box_pairs` does.

    Args:
        det_cell: ``(D,)`` ascending cell numbers.
        det_masks: D run-length encodings.
        gt_cell: ``(G,)`` ascending cell numbers.
        gt_masks: G run-length encodings.
        crowd: ``(G,)`` bool.

    Raises:
        MaskError: If two masks of a cell have different sizes.
    """
    best = np.zeros(len(det_cell))
    kept: list[tuple[Array, Array, Array]] = []
    for cell in np.intersect1d(det_cell, gt_cell):
        d, d_end = np.searchsorted(det_cell, [cell, cell + 1]).tolist()
        g, g_end = np.searchsorted(gt_cell, [cell, cell + 1]).tolist()
        masks, objects = list(det_masks[d:d_end]), list(gt_masks[g:g_end])
        sizes = {tuple(m["size"]) for m in (*masks, *objects)}
        if len(sizes) > 1:
            raise MaskError(f"Expected masks of one size within an image, but got {sorted(sizes)}.")
        # (detections, objects) of this cell
        iou = np.asarray(mask_utils.iou(masks, objects, crowd[g:g_end].astype(np.uint8)))
        best[d:d_end] = np.where(crowd[g:g_end], 0.0, iou).max(1)
        row, column = np.nonzero(iou >= IOU_THRESHOLDS[0])
        kept.append((row + d, column + g, iou[row, column]))
    return _collected(kept, best)


def _collected(kept: Sequence[tuple[Array, Array, Array]], best: Array) -> Pairs:
    none = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
    columns = zip(none, *kept, strict=True)
    detection, gt, iou = (np.concatenate(column) for column in columns)
    return Pairs(detection=detection, gt=gt, iou=iou, best_iou=best)


def _iou(det: Array, gt: Array, crowd: Array) -> Array:
    """Return the IoU of row k with row k, in the order of operations of pycocotools."""
    low = np.maximum(det[:, :2], gt[:, :2])
    inner = np.minimum(det[:, 2:] + det[:, :2], gt[:, 2:] + gt[:, :2]) - low
    overlap = np.all(inner > 0, axis=1)
    intersection = np.where(overlap, inner[:, 0] * inner[:, 1], 0.0)
    area = det[:, 2] * det[:, 3]
    union = np.where(crowd, area, area + gt[:, 2] * gt[:, 3] - intersection)
    return np.divide(intersection, union, out=np.zeros(len(det)), where=overlap)


def match(
    pairs: Pairs, det_cell: Array, det_ignorable: Array, gt_ignored: Array, crowd: Array
) -> tuple[Array, Array, Array]:
    """Match greedily at all IoU thresholds.

    Args:
        pairs: Candidates; detections of a cell have ascending rows by descending score.
        det_cell: ``(D,)`` cell of every detection.
        det_ignorable: ``(D,)`` bool: ignored if unmatched (outside the area range).
        gt_ignored: ``(G,)`` bool.
        crowd: ``(G,)`` bool.

    Returns:
        ``gt``, ``iou`` and ``ignored`` of :class:`Matches`.
    """
    # The bound that pycocotools begins its search with.
    thresholds = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)[:, None]
    num_thresholds, num_det = len(thresholds), len(det_cell)
    gt_of = np.full((num_thresholds, num_det), -1, dtype=np.int32)
    iou_of = np.zeros((num_thresholds, num_det))
    taken = np.zeros((num_thresholds, len(gt_ignored)), dtype=bool)

    # The r-th candidate detection of every cell is visited in round r; within a detection the
    # pairs stand in the order in which it would take them.
    candidates = np.unique(pairs.detection)
    cells = det_cell[candidates]
    new_cell = np.flatnonzero(np.diff(cells, prepend=-1))
    number = np.arange(len(candidates)) - np.repeat(
        new_cell, np.diff(new_cell, append=len(candidates))
    )
    round_of_det = np.zeros(num_det, dtype=np.int64)
    round_of_det[candidates] = number
    # From the last key on: objects that count before ignored ones, then the highest IoU, and of
    # equal ones the last object, which is where pycocotools' loop ends.
    order = np.lexsort(
        (
            -pairs.gt,
            -pairs.iou,
            gt_ignored[pairs.gt],
            pairs.detection,
            round_of_det[pairs.detection],
        )
    )
    detection, gt, iou = pairs.detection[order], pairs.gt[order], pairs.iou[order]
    rounds = np.flatnonzero(np.diff(round_of_det[detection], prepend=-1, append=num_det + 1))
    for start, stop in pairwise(rounds.tolist()):
        d, g, x = detection[start:stop], gt[start:stop], iou[start:stop]
        # One detection a cell: no two of a round can want the same object.
        free = (x >= thresholds) & ~taken[:, g]
        first_pair = np.flatnonzero(np.diff(d, prepend=-1))
        index = np.where(free, np.arange(stop - start), stop - start)
        chosen = np.minimum.reduceat(index, first_pair, axis=1)  # (T, detections of this round)
        t, column = np.nonzero(chosen < stop - start)
        pair = chosen[t, column]
        gt_of[t, d[pair]] = g[pair]
        iou_of[t, d[pair]] = x[pair]
        taken[t, g[pair]] = ~crowd[g[pair]]  # crowds stay free
    matched = gt_of >= 0
    # Without any object there is nothing to index; no detection is matched then.
    ignored = gt_ignored[gt_of] if len(gt_ignored) else np.zeros_like(matched)
    return gt_of, iou_of, np.where(matched, ignored, det_ignorable)
