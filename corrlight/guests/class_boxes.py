"""Hypotheses with a box for every class, as Faster R-CNN has them, and their post-processing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import batched_nms, remove_small_boxes

from corrlight.arguments import check_at_least, check_share
from corrlight.boxes import clip_boxes, scale_boxes
from corrlight.guests.own import OwnPredictions
from corrlight.postprocess.masks import MASKS_AT_A_TIME, run_lengths
from corrlight.postprocess.scores import class_scores
from corrlight.structures import Detections, Predictions, ScoreOverride

__all__ = ["ClassBoxPostprocessor", "ClassBoxPredictions", "DetectionMasks"]


class DetectionMasks(ABC):
    """Masks of detections, made when these are known."""

    @abstractmethod
    def probabilities(self, image: int, boxes: Tensor, labels: Tensor) -> Tensor:
        """Return ``(D, 1, m, m)`` probabilities inside ``(D, 4)`` boxes of classes ``(D,)``."""

    @abstractmethod
    def sizes(self, image: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return height and width of the image's content and of its file."""

    @torch.no_grad()
    def encode(self, image: int, boxes: Tensor, labels: Tensor) -> list[dict[str, Any]]:
        """Return the masks as COCO run-length encodings at the size of the file."""
        if not len(boxes):
            return []
        valid_size, original_size = self.sizes(image)
        small = self.probabilities(image, boxes, labels)
        boxes = scale_boxes(boxes, valid_size, original_size)
        encoded: list[dict[str, Any]] = []
        for start in range(0, len(boxes), MASKS_AT_A_TIME):
            rows = slice(start, start + MASKS_AT_A_TIME)
            pasted = paste_masks_in_image(small[rows], boxes[rows], original_size)
            encoded += run_lengths(pasted[:, 0] > 0.5)
        return encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassBoxPredictions(OwnPredictions):
    """Predictions with boxes for every class.

    ``boxes`` has one of them: of a positive the one of its object's class, otherwise that of the
    best class.

    Attributes:
        class_boxes: ``(B, N, C, 4)`` decoded boxes, fp32.
        masks: Makes the masks of detections, or None.
    """

    class_boxes: Tensor
    masks: DetectionMasks | None = None


class ClassBoxPostprocessor:
    """Threshold and non-maximum suppression per class, every class with its own boxes.

    Args:
        score_thresh: Pairs of hypothesis and class must score more than this.
        nms_thresh: IoU above which the lower-scored box of the same class is dropped.
        max_detections: Detections of an image at most.
        min_size: Boxes with a shorter side, in pixels, are dropped.

    Raises:
        ValueError: An argument is out of range.
    """

    activation = "softmax"

    def __init__(
        self,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        max_detections: int = 100,
        min_size: float = 0.01,
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
        if not isinstance(predictions, ClassBoxPredictions):
            raise ValueError(
                "Expected predictions with boxes for every class, as detector=tv_faster_rcnn has, "
                f"but got {type(predictions).__name__}: another `postprocessor` fits."
            )
        scores = class_scores(predictions, score_override)  # (B, N, C)
        return [
            self._one_image(predictions, b, scores[b], size) for b, size in enumerate(image_sizes)
        ]

    def _one_image(
        self, predictions: ClassBoxPredictions, image: int, scores: Tensor, size: tuple[int, int]
    ) -> Detections:
        pred_idx, labels = (scores > self.score_thresh).nonzero(as_tuple=True)
        boxes = clip_boxes(predictions.class_boxes[image, pred_idx, labels], size)
        found = scores[pred_idx, labels]
        large = remove_small_boxes(boxes, self.min_size)
        boxes, found, labels, pred_idx = (v[large] for v in (boxes, found, labels, pred_idx))
        keep = batched_nms(boxes, found, labels, self.nms_thresh)[: self.max_detections]
        masks = None
        if predictions.masks is not None:
            masks = predictions.masks.encode(image, boxes[keep], labels[keep])
        return Detections(
            boxes=boxes[keep],
            scores=found[keep],
            labels=labels[keep],
            pred_idx=pred_idx[keep],
            masks=masks,
        )

    def ranking_scores(self, class_scores: Tensor, quality: Tensor) -> Tensor:
        """Return the class scores: there is no quality branch."""
        return class_scores
