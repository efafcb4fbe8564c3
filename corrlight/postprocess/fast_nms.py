"""Fast NMS and masks: the post-processing of YOLACT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torchvision.ops import box_iou

from corrlight.arguments import check_at_least, check_share
from corrlight.postprocess.masks import encode_masks
from corrlight.postprocess.nms import NMSPostprocessor
from corrlight.structures import Detections, Predictions, ScoreOverride

__all__ = ["FastNMSPostprocessor", "fast_nms"]


class FastNMSPostprocessor(NMSPostprocessor):
    """As :class:`NMSPostprocessor` with Fast NMS, and with masks where there are prototypes.

    In each level the hypotheses are cut to the ``topk_candidates`` of the best class scores, then
    the pairs above the threshold of all levels to the best ``topk_per_class`` of each class.

    Args:
        score_thresh: Pairs must score more than this.
        topk_candidates: Hypotheses kept of each level.
        nms_thresh: IoU above which the lower-scored box of the same class is dropped.
        topk_per_class: Pairs of a class that take part in the suppression.
        max_detections: Detections of an image at most.
        mask_thresh: Probability above which a pixel belongs to a mask.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        score_thresh: float = 0.05,
        topk_candidates: int = 1000,
        nms_thresh: float = 0.5,
        topk_per_class: int = 200,
        max_detections: int = 100,
        mask_thresh: float = 0.5,
    ) -> None:
        super().__init__(
            score_thresh,
            topk_candidates,
            nms_thresh,
            max_detections,
            preselect="class_scores",
        )
        check_at_least(1, topk_per_class=topk_per_class)
        check_share(mask_thresh=mask_thresh)
        self.topk_per_class, self.mask_thresh = topk_per_class, mask_thresh

    @torch.no_grad()
    def __call__(
        self,
        predictions: Predictions,
        image_sizes: Sequence[tuple[int, int]],
        score_override: ScoreOverride | None = None,
    ) -> list[Detections]:
        """Return the detections of every image; see the base class.

        Boxes are in input pixels, masks at the size of the image files.
        """
        found = super().__call__(predictions, image_sizes, score_override)
        if predictions.mask is None:
            return found
        return [
            replace(
                detections,
                masks=encode_masks(
                    predictions.mask,
                    b,
                    detections.pred_idx,
                    detections.boxes,
                    size,
                    self.mask_thresh,
                ),
            )
            for b, (detections, size) in enumerate(zip(found, image_sizes, strict=True))
        ]

    def _suppress(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        return fast_nms(boxes, scores, labels, self.nms_thresh, self.topk_per_class)


def fast_nms(
    boxes: Tensor, scores: Tensor, labels: Tensor, nms_thresh: float, topk_per_class: int
) -> Tensor:
    """Return the candidates that no better one of their class overlaps (Bolya et al., Sec. 3.4).

    Unlike in NMS, candidates that are dropped themselves suppress others too, so that all pairs
    are looked at at once.

    Args:
        boxes: ``(K, 4)``.
        scores: ``(K,)``.
        labels: ``(K,)``.
        nms_thresh: IoU above which the lower-scored one is dropped.
        topk_per_class: Candidates of a class that take part.

    Returns:
        Their indices, by descending score.
    """
    # Sorted by class, then by descending score; `rank` counts within the class.
    order = scores.argsort(descending=True, stable=True)
    order = order[labels[order].argsort(stable=True)]
    _, class_idx, counts = labels[order].unique(return_inverse=True, return_counts=True)
    rank = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[class_idx]
    inside = rank < topk_per_class
    order, class_idx, rank = order[inside], class_idx[inside], rank[inside]
    width = int(counts.max().clamp(max=topk_per_class)) if len(counts) else 0
    table = boxes.new_zeros(len(counts), width, 4)  # one row a class, padded with empty boxes
    table[class_idx, rank] = boxes[order]
    # Above the diagonal a column has the better ones alone: its maximum decides, whether they are
    # kept themselves or not.
    ious = _pairwise_iou(table).triu_(1)  # (classes, better, worse)
    worst = ious.amax(1)[class_idx, rank] if width else scores[order]
    kept = order[worst <= nms_thresh]
    return kept[scores[kept].argsort(descending=True, stable=True)]


def _pairwise_iou(boxes: Tensor) -> Tensor:
    """Return the ``(L, M, M)`` IoUs within each of L sets of boxes ``(L, M, 4)``."""
    if not len(boxes):
        return boxes.new_zeros(0, boxes.shape[1], boxes.shape[1])
    return torch.stack([box_iou(own, own) for own in boxes]).nan_to_num_(0.0)
