"""The error of every detection and object, as TIDE defines it (Bolya et al., ECCV 2020).

Where the paper leaves something open, tidecv 1.0.1 decides; ``docs/measures.md`` names what differs
from the COCO matching.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np

from corrlight.coco.types import Array
from corrlight.metrics.errors.overlaps import Overlaps, best_pairs
from corrlight.metrics.ranking.ordering import descending_ranks, order_by

__all__ = ["ErrorTable", "ErrorType", "error_table"]


class ErrorType(IntEnum):
    """The main types of TIDE in its order, in words; all but ``MISSED`` are of detections.

    Attributes:
        CLASSIFICATION: The box would be right for an object of another class.
        LOCALISATION: The class is right, the IoU too low.
        BOTH: Some object is near, and neither class nor IoU is right.
        DUPLICATE: Another detection of a higher score has the object already.
        BACKGROUND: No object is near.
        MISSED: An object that nothing found, and that no other error stands for.
    """

    CLASSIFICATION = 0
    LOCALISATION = 1
    BOTH = 2
    DUPLICATE = 3
    BACKGROUND = 4
    MISSED = 5

    @property
    def key(self) -> str:
        """What keys of measures call it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorTable:
    """What is wrong with each detection and object; rows as in :class:`Overlaps`.

    Attributes:
        matched: ``(D,)`` object that the detection finds, -1 without one.
        ignored: ``(D,)`` bool: unmatched and inside a crowd: no false positive.
        error: ``(D,)`` :class:`ErrorType` of the unmatched detections, -1 of the others. Ignored
            ones have one too: were it corrected, it could find an object.
        target: ``(D,)`` object that a detection would find without its classification or
            localisation error, if no detection has it and no better one would find it; else -1.
        found: ``(G,)`` bool: objects that a detection finds.
        missed: ``(G,)`` bool: objects that count, are not found, and are no error's object.
    """

    matched: Array
    ignored: Array
    error: Array
    target: Array
    found: Array
    missed: Array


def error_table(pairs: Overlaps, positive: float = 0.5, background: float = 0.1) -> ErrorTable:
    """Tell the error of every detection and object.

    Detections take the free object of their class of the highest IoU, at or above ``positive``, by
    descending score. The others have the first type that fits: localisation (best IoU with an
    object of the class in [background, positive]), classification (with another class's object at
    or above positive), duplicate, background (no IoU above background), both.

    Args:
        pairs: All pairs whose IoU is at least ``background``.
        positive: IoU from which a detection is right.
        background: IoU up to which it lies on nothing.
    """
    of_object, same = pairs.of_object, pairs.same_class
    reaches = pairs.iou >= positive
    matched = _matched(pairs, np.flatnonzero(of_object & same & reaches))
    found = np.zeros(len(pairs.gt_image), dtype=bool)
    found[matched[matched >= 0]] = True
    inside = np.zeros(len(matched), dtype=bool)
    inside[pairs.detection[~of_object & same & (pairs.iou > positive)]] = True

    own_iou, own = best_pairs(pairs, of_object & same)
    other_iou, other = best_pairs(pairs, of_object & ~same)
    taken_iou, _ = best_pairs(pairs, of_object & same & reaches & found[pairs.gt])
    empty = np.ones(1 + max(pairs.det_image.max(initial=0), pairs.gt_image.max(initial=0)), bool)
    empty[pairs.gt_image[~pairs.crowd]] = False
    empty = empty[pairs.det_image]
    near = np.maximum(own_iou, other_iou)
    error = np.select(
        [
            empty,
            (background <= own_iou) & (own_iou <= positive),
            other_iou >= positive,
            taken_iou >= positive,
            near <= background,
        ],
        [
            ErrorType.BACKGROUND,
            ErrorType.LOCALISATION,
            ErrorType.CLASSIFICATION,
            ErrorType.DUPLICATE,
            ErrorType.BACKGROUND,
        ],
        ErrorType.BOTH,
    )
    error[matched >= 0] = -1
    target = np.where(error == ErrorType.LOCALISATION, own, -1)
    target = np.where(error == ErrorType.CLASSIFICATION, other, target)
    usable, target = _first_claims(target, found)
    return ErrorTable(
        matched=matched,
        ignored=inside & (matched < 0),
        error=error,
        target=target,
        found=found,
        missed=~pairs.crowd & ~found & ~usable,
    )


def _first_claims(target: Array, found: Array) -> tuple[Array, Array]:
    """Leave an object that is not found to the first detection (of the highest score) alone.

    Returns:
        ``(G,)`` bool, the objects that a detection could find, and ``(D,)`` the targets left.
    """
    usable = np.zeros(len(found), dtype=bool)
    rows = np.flatnonzero(target >= 0)
    rows = rows[~found[target[rows]]]
    objects, first = np.unique(target[rows], return_index=True)
    usable[objects] = True
    left = np.full(len(target), -1, dtype=np.int64)
    left[rows[first]] = objects
    return usable, left


def _matched(pairs: Overlaps, candidates: Array) -> Array:
    """Match detections by descending score to the best free object, the first one of equals.

    The k-th candidates of all images and classes are matched together: they never compete.

    Args:
        pairs: Pairs, by detection.
        candidates: ``(M,)`` rows of the pairs that may be matched.

    Returns:
        ``(D,)`` object, -1 without one.
    """
    matched = np.full(len(pairs.det_image), -1, dtype=np.int64)
    if not len(candidates):
        return matched
    detection, gt, iou = (c[candidates] for c in (pairs.detection, pairs.gt, pairs.iou))
    visited = np.unique(detection)
    cell = pairs.det_image[visited] * pairs.num_classes + pairs.det_label[visited]
    by_cell = order_by(cell)
    starts = np.flatnonzero(np.diff(cell[by_cell], prepend=-1))
    turn = np.empty(len(visited), dtype=np.int64)
    turn[by_cell] = np.arange(len(visited)) - np.repeat(
        starts, np.diff(starts, append=len(visited))
    )
    turn = turn[np.searchsorted(visited, detection)]
    order = order_by(turn, detection, descending_ranks(iou), gt)
    turn, detection, gt = turn[order], detection[order], gt[order]
    free = np.ones(len(pairs.gt_image), dtype=bool)
    edges = np.flatnonzero(np.diff(turn, prepend=-1, append=turn[-1] + 1))
    for start, stop in pairwise(edges.tolist()):
        rows = start + np.flatnonzero(free[gt[start:stop]])
        rows = rows[np.diff(detection[rows], prepend=-1) != 0]
        matched[detection[rows]] = gt[rows]
        free[gt[rows]] = False
    return matched
