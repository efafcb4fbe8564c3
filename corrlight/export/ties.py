"""Detections that a file and its detector choose differently because scores are nearly equal.

Of two boxes of a class that overlap, NMS keeps the one that scores more. Where both scores are as
close as two orders of addition, either is right, and so is what follows: a third one that only one
of them overlaps. Nothing else may differ.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

from corrlight.postprocess.fast_nms import FastNMSPostprocessor
from corrlight.postprocess.nms import NMSPostprocessor
from corrlight.structures import Detections

__all__ = ["near_ties"]

# What corners that are some ten-thousandths of a pixel apart make of an IoU.
_IOU_TOLERANCE = 1e-4


def near_ties(
    postprocessor: NMSPostprocessor,
    candidates: Detections,
    own: Detections,
    other: Detections,
    only: tuple[Tensor, Tensor],
    tolerances: tuple[float, float],
) -> Tensor:
    """Return which detections of one side may be missing on the other.

    Such a detection is one of the candidates, and there is a rival on the other side: of its class,
    overlapping it by more than the threshold, scoring as much or more, and missing on this side for
    such a reason itself (or overlapping by the threshold exactly). With Fast NMS, whose candidates
    drop others without being detections, the rival may be any candidate of an equal score.

    Args:
        postprocessor: The run's.
        candidates: Of the image, before NMS.
        own: Detections of the side that is asked about.
        other: Those of the other side.
        only: ``(D,)`` and ``(E,)`` bool: which of both are on one side only.
        tolerances: What is equal, of boxes in pixels and of scores.

    Returns:
        ``(D,)`` bool, False for those that both have.
    """
    places, is_candidate = _places(postprocessor, candidates, own, tolerances)
    rivals, there = _places(postprocessor, candidates, other, tolerances)
    boxes = candidates.boxes  # Those of detections may have been voted on.
    least = own.scores[:, None] - tolerances[1]
    limit = postprocessor.nms_thresh
    ious = box_iou(boxes[places], boxes[rivals]).nan_to_num(0.0)  # (D, E)
    wins = (own.labels[:, None] == other.labels) & (other.scores >= least) & there
    wins &= (ious > limit - _IOU_TOLERANCE) & (only[1] | (ious <= limit + _IOU_TOLERANCE))
    found = wins.any(1)
    if isinstance(postprocessor, FastNMSPostprocessor):
        ious = box_iou(boxes[places], boxes).nan_to_num(0.0)  # (D, K)
        tied = (own.labels[:, None] == candidates.labels) & (ious > limit - _IOU_TOLERANCE)
        tied &= (own.scores[:, None] - candidates.scores).abs() <= tolerances[1]
        tied &= torch.arange(len(boxes)) != places[:, None]
        found |= tied.any(1)
    return only[0] & is_candidate & found


def _places(
    postprocessor: NMSPostprocessor,
    candidates: Detections,
    rows: Detections,
    tolerances: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """Return which candidate ``(D,)`` each of D detections is, and whether it is one at all."""
    places = torch.zeros(len(rows), dtype=torch.int64)
    found = torch.zeros(len(rows), dtype=torch.bool)
    for k in range(len(rows)):
        same = candidates.labels == rows.labels[k]
        same &= (candidates.scores - rows.scores[k]).abs() <= tolerances[1]
        options = same.nonzero().squeeze(1)
        if len(options):
            boxes = postprocessor.voted_boxes(candidates, options)
            distance, best = (boxes - rows.boxes[k]).abs().amax(1).min(0)
            places[k], found[k] = options[best], bool(distance <= tolerances[0])
    return places, found
