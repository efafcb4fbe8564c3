"""Detections and objects that share an image, whatever their classes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from corrlight.coco.types import Array
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.matching import box_pairs, mask_pairs
from corrlight.metrics.ranking.ordering import descending_ranks, order_by

__all__ = ["Overlaps", "best_pairs", "overlaps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlaps:
    """The pairs of a detection and an object that overlap.

    Detections are sorted by image (the order of the annotation file) and descending score, equal
    scores in the order of the results; objects by image and place in the file.

    Attributes:
        num_classes: Number of classes C.
        det_image: ``(D,)`` ascending place of the image in the annotation file.
        det_label: ``(D,)`` classes.
        score: ``(D,)``.
        score_rank: ``(D,)`` 0 for the highest score of all; equal scores have one rank.
        gt_image: ``(G,)`` ascending place of the image in the annotation file.
        gt_label: ``(G,)`` classes.
        crowd: ``(G,)`` bool.
        detection: ``(K,)`` ascending detection of each pair whose IoU is high enough.
        gt: ``(K,)`` its object, ascending within a detection.
        iou: ``(K,)``; for a crowd the share of the detection inside it.
    """

    num_classes: int
    det_image: Array
    det_label: Array
    score: Array
    score_rank: Array
    gt_image: Array
    gt_label: Array
    crowd: Array
    detection: Array
    gt: Array
    iou: Array
    same_class: Array = field(init=False)
    of_object: Array = field(init=False)

    def __post_init__(self) -> None:
        """Say of each pair whether the classes are equal, and whether the object is no crowd."""
        same = self.det_label[self.detection] == self.gt_label[self.gt]
        object.__setattr__(self, "same_class", same)
        object.__setattr__(self, "of_object", ~self.crowd[self.gt])


def overlaps(evaluation: Evaluation, lowest: float, min_score: float = -np.inf) -> Overlaps:
    """Return the pairs of all classes; the IoUs of an image with many objects take longest.

    Args:
        evaluation: Ground truth and detections, whose limit of an image and class is kept.
        lowest: IoU from which pairs are kept, above 0.
        min_score: Detections below this score are left out.
    """
    truth, results = evaluation.ground_truth, evaluation.results
    rows = np.sort(evaluation.order[evaluation.counted])
    rows = rows[results.scores[rows] >= min_score]
    image = truth.image_rows[results.image_idx[rows]]
    rank = descending_ranks(results.scores[rows])
    order = order_by(image, rank)
    rows, image, rank = rows[order], image[order], rank[order]
    gt_image = truth.image_rows[truth.image_idx]
    objects = order_by(gt_image, truth.rows) if len(truth) else np.zeros(0, dtype=np.int64)
    gt_image, crowd = gt_image[objects], truth.crowd[objects]
    if evaluation.masks:
        masks, gt_masks = results.masks, truth.masks
        assert masks is not None  # checked by the evaluation, as the next
        assert gt_masks is not None
        pairs = mask_pairs(
            image,
            [masks[k] for k in rows.tolist()],
            gt_image,
            [gt_masks[k] for k in objects.tolist()],
            crowd,
            lowest,
        )
    else:
        pairs = box_pairs(image, results.boxes, gt_image, truth.boxes[objects], crowd, rows, lowest)
    return Overlaps(
        num_classes=truth.num_classes,
        det_image=image,
        det_label=results.labels[rows],
        score=results.scores[rows],
        score_rank=rank,
        gt_image=gt_image,
        gt_label=truth.labels[objects],
        crowd=crowd,
        detection=pairs.detection,
        gt=pairs.gt,
        iou=pairs.iou,
    )


def best_pairs(found: Overlaps, chosen: Array) -> tuple[Array, Array]:
    """Return the best object of every detection among some pairs, the first one of equals.

    Args:
        found: Pairs.
        chosen: ``(K,)`` bool: which of them.

    Returns:
        ``(D,)`` highest IoU, 0 without any, and ``(D,)`` int64 object, -1 without any.
    """
    best = np.zeros(len(found.det_image))
    gt_of = np.full(len(best), -1, dtype=np.int64)
    rows = np.flatnonzero(chosen)
    if not len(rows):
        return best, gt_of
    detection, iou = found.detection[rows], found.iou[rows]
    starts = np.flatnonzero(np.diff(detection, prepend=-1))
    highest = np.maximum.reduceat(iou, starts)
    lengths = np.diff(starts, append=len(rows))
    place = np.where(iou == np.repeat(highest, lengths), np.arange(len(rows)), len(rows))
    first = np.minimum.reduceat(place, starts)
    best[detection[starts]] = highest
    gt_of[detection[starts]] = found.gt[rows[first]]
    return best, gt_of
