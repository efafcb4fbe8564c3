"""Detections of hypotheses with a box for every class, as Faster R-CNN has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchvision.ops import remove_small_boxes

from corrlight.arguments import check_at_least, check_share
from corrlight.boxes import clip_boxes, scale_boxes
from corrlight.postprocess.class_nms import class_nms
from corrlight.postprocess.masks import MASKS_AT_A_TIME, paste_masks, run_lengths
from corrlight.postprocess.scores import class_scores
from corrlight.structures import Detections, PredictionField, Predictions, ScoreOverride

__all__ = ["ClassBoxPostprocessor"]


class ClassBoxPostprocessor:
    """Threshold and non-maximum suppression per class, every class with its own boxes.

    Masks, where there are some, are made of the detections alone.

    Args:
        score_thresh: Pairs of hypothesis and class must score more than this.
        nms_thresh: IoU above which the lower-scored box of the same class is dropped.
        max_detections: Detections of an image at most.
        min_size: Boxes with a shorter side, in pixels, are dropped.

    Raises:
        ValueError: An argument is out of range.
    """

    needs: ClassVar[tuple[PredictionField, ...]] = ("class_boxes",)

    def __init__(
        self,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        max_detections: int = 100,
        min_size: float = 0.0,
    ) -> None:
        check_share(score_thresh=score_thresh, nms_thresh=nms_thresh)
        check_at_least(1, max_detections=max_detections)
        check_at_least(0, min_size=min_size)
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.max_detections, self.min_size = max_detections, min_size

    @torch.no_grad()
    def __call__(
        self,
        predictions: Predictions,
        image_sizes: Sequence[tuple[int, int]],
        score_override: ScoreOverride | None = None,
    ) -> list[Detections]:
        """Return the detections of every image, by descending score, in input pixels.

        Args:
            predictions: The last stage.
            image_sizes: Height and width of each image's content.
            score_override: Class scores to be replaced first.

        Raises:
            ValueError: The predictions have one box for all classes.
        """
        if predictions.class_boxes is None:
            raise ValueError(
                "Expected predictions with boxes for every class, as detector=faster_rcnn has, "
                "but got one box for all: another `postprocessor` fits."
            )
        scores = class_scores(predictions, score_override)  # (B, N, C)
        return [
            self._one_image(predictions, predictions.class_boxes[b], b, scores[b], size)
            for b, size in enumerate(image_sizes)
        ]

    def _one_image(
        self,
        predictions: Predictions,
        class_boxes: Tensor,
        image: int,
        scores: Tensor,
        size: tuple[int, int],
    ) -> Detections:
        pred_idx, labels = (scores > self.score_thresh).nonzero(as_tuple=True)
        boxes = clip_boxes(class_boxes[pred_idx, labels], size)
        found = scores[pred_idx, labels]
        large = remove_small_boxes(boxes, self.min_size)
        boxes, found, labels, pred_idx = (v[large] for v in (boxes, found, labels, pred_idx))
        keep = class_nms(boxes, found, labels, self.nms_thresh)[: self.max_detections]
        return Detections(
            boxes=boxes[keep],
            scores=found[keep],
            labels=labels[keep],
            pred_idx=pred_idx[keep],
            masks=self._encode(predictions, image, boxes[keep], labels[keep]),
        )

    def _encode(
        self, predictions: Predictions, image: int, boxes: Tensor, labels: Tensor
    ) -> list[dict[str, Any]] | None:
        """Return the masks as COCO run-length encodings at the size of the file."""
        masks = predictions.region_masks
        if masks is None:
            return None
        if not len(boxes):
            return []
        valid_size, original_size = masks.sizes(image)
        probabilities = masks.logits(torch.full_like(labels, image), boxes, labels).sigmoid()
        boxes = scale_boxes(boxes, valid_size, original_size)
        encoded: list[dict[str, Any]] = []
        for start in range(0, len(boxes), MASKS_AT_A_TIME):
            rows = slice(start, start + MASKS_AT_A_TIME)
            encoded += run_lengths(self._paste(probabilities[rows], boxes[rows], original_size))
        return encoded

    def _paste(self, probabilities: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """Return ``(K, H, W)`` bool masks of ``(K, m, m)`` probabilities inside boxes."""
        return paste_masks(probabilities, boxes, size) >= 0.5

    def ranking_scores(self, class_scores: Tensor, quality: Tensor) -> Tensor:
        """Return the class scores: there is no quality branch."""
        return class_scores
