"""L_OD of detectors that predict a set: Sparse R-CNN and DETR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from corrlight.boxes import xyxy_to_cxcywh
from corrlight.criteria.base import Criterion
from corrlight.losses import giou_loss, l1_loss, sigmoid_focal_loss
from corrlight.structures import Match, Positives, Predictions, Targets

__all__ = ["SetPredictionCriterion"]


class SetPredictionCriterion(Criterion):
    """Classification of all hypotheses, L1 and GIoU of the matched ones.

    Box losses and the focal loss are divided by the number of positives averaged over the ranks,
    at least 1. Cross-entropy is divided by the sum of its class weights over the rank's hypotheses.

    Deviation: without any ground truth the published focal loss is divided by 0 and infinite; here
    it is the loss of the negatives.

    Args:
        cls_loss: "focal" for sigmoid classifiers, "cross_entropy" for softmax.
        cls_weight: Weight of the classification loss.
        box_weight: Weight of the L1 loss of boxes as fractions of the image.
        giou_weight: Weight of the GIoU loss.
        box_format: Coordinates of the L1 loss: "xyxy" (Sparse R-CNN) or "cxcywh" (DETR).
        alpha: Weight of the positive class in the focal loss.
        gamma: Exponent of the focal loss.
        background_weight: Weight of the background class in the cross-entropy.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        cls_loss: Literal["focal", "cross_entropy"] = "focal",
        cls_weight: float = 2.0,
        box_weight: float = 5.0,
        giou_weight: float = 2.0,
        box_format: Literal["xyxy", "cxcywh"] = "xyxy",
        alpha: float = 0.25,
        gamma: float = 2.0,
        background_weight: float = 0.1,
    ) -> None:
        super().__init__()
        for name, value, choices in (
            ("cls_loss", cls_loss, ("focal", "cross_entropy")),
            ("box_format", box_format, ("xyxy", "cxcywh")),
        ):
            if value not in choices:
                raise ValueError(
                    f"Expected `{name}` to be one of {choices[0]!r}, {choices[1]!r}, "
                    f"but got {value!r}."
                )
        for name, weight in (
            ("cls_weight", cls_weight),
            ("box_weight", box_weight),
            ("giou_weight", giou_weight),
            ("background_weight", background_weight),
        ):
            if not 0 <= weight < float("inf"):
                raise ValueError(f"Expected `{name}` to be finite and >= 0, but got {weight}.")
        self.cls_loss, self.box_format = cls_loss, box_format
        self.cls_weight, self.box_weight, self.giou_weight = cls_weight, box_weight, giou_weight
        self.alpha, self.gamma = alpha, gamma
        self.background_weight = background_weight

    def normalizers(
        self, predictions: Predictions, targets: Sequence[Targets], match: Match
    ) -> dict[str, Tensor]:
        """Return the number of positives."""
        return {"positives": match.positive.sum().float()}

    def forward(
        self,
        predictions: Predictions,
        targets: Sequence[Targets],
        match: Match,
        normalizers: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return ``loss_cls``, ``loss_box`` and ``loss_giou``; see the base class."""
        positives = Positives.gather(predictions, targets, match)
        normalizer = normalizers["positives"].clamp(min=1)
        sizes = predictions.boxes.new_tensor(
            [[w, h, w, h] for h, w in (t.valid_size for t in targets)]
        )[positives.image_idx]
        boxes, gt_boxes = positives.pred_boxes / sizes, positives.gt_boxes / sizes
        if self.box_format == "cxcywh":
            boxes, gt_boxes = xyxy_to_cxcywh(boxes), xyxy_to_cxcywh(gt_boxes)
        box = l1_loss(boxes, gt_boxes, normalizer=normalizer)
        giou = giou_loss(positives.pred_boxes, positives.gt_boxes, normalizer=normalizer)
        return {
            "loss_cls": self.cls_weight * self._classification(predictions, positives, normalizer),
            "loss_box": self.box_weight * box,
            "loss_giou": self.giou_weight * giou,
        }

    def _classification(
        self, predictions: Predictions, positives: Positives, normalizer: Tensor
    ) -> Tensor:
        num_classes = predictions.num_classes
        labels = torch.full_like(predictions.valid, num_classes, dtype=torch.long)  # background
        labels[positives.image_idx, positives.pred_idx] = positives.labels
        logits, labels = predictions.logits.flatten(0, 1), labels.flatten()
        if self.cls_loss == "focal":
            return sigmoid_focal_loss(
                logits, labels, alpha=self.alpha, gamma=self.gamma, normalizer=normalizer
            )
        weights = logits.new_ones(num_classes + 1, dtype=torch.float32)
        weights[-1] = self.background_weight
        total = F.cross_entropy(logits.float(), labels, weight=weights, reduction="sum")
        return total / weights[labels].sum().clamp(min=1)
