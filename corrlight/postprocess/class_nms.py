"""Non-maximum suppression within each class."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

__all__ = ["class_groups", "class_nms"]

# Fewer boxes torchvision shifts apart, class by class, and suppresses at once.
_MANY = 1000


def class_groups(labels: Tensor) -> tuple[Tensor, ...]:
    """Return the indices of each class of ``(K,)`` labels, ascending within the class."""
    order = labels.argsort(stable=True)
    return order.split(labels[order].unique_consecutive(return_counts=True)[1].tolist())


def class_nms(boxes: Tensor, scores: Tensor, labels: Tensor, nms_thresh: float) -> Tensor:
    """Return the boxes that no better one of their class overlaps by more than the threshold.

    Equals ``torchvision.ops.batched_nms``, which on a CPU looks through all boxes once a class
    where they are many; here they are sorted by class once, and as many classes are suppressed at a
    time as PyTorch has threads.

    Args:
        boxes: ``(K, 4)`` xyxy.
        scores: ``(K,)``.
        labels: ``(K,)`` ints.
        nms_thresh: IoU above which the lower-scored box is dropped.

    Returns:
        Their indices, by descending score.
    """
    if len(boxes) <= _MANY or boxes.device.type != "cpu":
        return batched_nms(boxes, scores, labels, nms_thresh)
    # What autocast, which other threads do not have, would see to.
    dtype = torch.promote_types(torch.promote_types(boxes.dtype, scores.dtype), torch.float32)
    groups = class_groups(labels)
    parts = [(boxes[own].to(dtype), scores[own].to(dtype)) for own in groups]
    with ThreadPoolExecutor(min(torch.get_num_threads(), len(parts))) as pool:
        results = [*pool.map(lambda part: nms(*part, nms_thresh), parts)]
    kept = torch.zeros(len(labels), dtype=torch.bool)
    for own, best in zip(groups, results, strict=True):
        kept[own[best]] = True
    kept_idx = kept.nonzero().squeeze(1)
    return kept_idx[scores[kept_idx].argsort(descending=True)]
