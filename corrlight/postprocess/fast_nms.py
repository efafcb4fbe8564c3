"""Fast NMS and masks: the post-processing of YOLACT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from corrlight.arguments import check_at_least, check_share
from corrlight.postprocess.class_nms import class_groups
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
    order = scores.argsort(descending=True, stable=True)
    kept = []
    for own in class_groups(labels[order]):
        best = order[own[:topk_per_class]]  # The class' own, by descending score.
        kept.append(best[_overlap_with_better(boxes[best]) <= nms_thresh])
    kept_idx = torch.cat([order[:0], *kept])
    return kept_idx[scores[kept_idx].argsort(descending=True, stable=True)]


def _overlap_with_better(boxes: Tensor) -> Tensor:
    """Return the largest IoU of every box with those before it; of the first it is 0.

    The very numbers of ``torchvision.ops.box_iou``, which works on pairs of numbers and so takes
    three times as long.

    Args:
        boxes: ``(M, 4)`` by descending score.

    Returns:
        ``(M,)``.
    """
    left, top, right, bottom = boxes.T.contiguous()
    areas = (right - left) * (bottom - top)
    # (better, worse)
    overlap = (torch.minimum(right[:, None], right) - torch.maximum(left[:, None], left)).clamp_(0)
    overlap *= (torch.minimum(bottom[:, None], bottom) - torch.maximum(top[:, None], top)).clamp_(0)
    ious = overlap / (areas[:, None] + areas).sub_(overlap)
    # Empty boxes; and above the diagonal a column has the better ones alone.
    return ious.nan_to_num_(0.0).triu_(1).amax(0)
