"""Post-processing without NMS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from corrlight.arguments import check_at_least, check_choice
from corrlight.boxes import clip_boxes
from corrlight.postprocess.scores import class_scores
from corrlight.structures import Detections, Predictions, ScoreOverride

__all__ = ["TopKPostprocessor"]


class TopKPostprocessor:
    """The highest scores of a set of hypotheses, without threshold and without NMS.

    Args:
        max_detections: Detections of an image at most.
        select: "pairs" ranks all (hypothesis, class) pairs, so a box may be reported with several
            classes (Sparse R-CNN); "argmax" reports each hypothesis once, with its best class
            (DETR).
        clip_boxes: Cut boxes to the image. Sparse R-CNN reports them as they are.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        max_detections: int = 100,
        select: Literal["pairs", "argmax"] = "pairs",
        clip_boxes: bool = True,
    ) -> None:
        check_at_least(1, max_detections=max_detections)
        check_choice("select", select, ("pairs", "argmax"))
        self.max_detections, self.select, self.clip_boxes = max_detections, select, clip_boxes

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
        """
        scores = class_scores(predictions, score_override)  # (B, N, C)
        num_classes = scores.shape[-1]
        if self.select == "pairs":
            top, flat = scores.flatten(1).topk(min(self.max_detections, scores[0].numel()))
            pred_idx, labels = flat // num_classes, flat % num_classes
        else:
            best, best_class = scores.max(-1)
            top, pred_idx = best.topk(min(self.max_detections, best.shape[1]))
            labels = best_class.gather(1, pred_idx)
        boxes = predictions.boxes.gather(1, pred_idx[..., None].expand(-1, -1, 4))
        return [
            self._detections(top[b], boxes[b], labels[b], pred_idx[b], size)
            for b, size in enumerate(image_sizes)
        ]

    def _detections(
        self, scores: Tensor, boxes: Tensor, labels: Tensor, pred_idx: Tensor, size: tuple[int, int]
    ) -> Detections:
        keep = scores >= 0
        return Detections(
            boxes=(clip_boxes(boxes, size) if self.clip_boxes else boxes)[keep],
            scores=scores[keep],
            labels=labels[keep],
            pred_idx=pred_idx[keep],
        )

    def ranking_scores(self, class_scores: Tensor, quality: Tensor) -> Tensor:
        """Return the class scores: set-prediction detectors have no quality branch."""
        return class_scores
