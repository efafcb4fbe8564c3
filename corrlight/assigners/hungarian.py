"""Bipartite matching of hypotheses and ground truths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from corrlight.arguments import check_choice, check_number
from corrlight.boxes import xyxy_to_cxcywh
from corrlight.losses.box import paired_giou
from corrlight.structures import BACKGROUND, Match, Predictions, Targets

__all__ = ["HungarianAssigner"]


class HungarianAssigner:
    """The one-to-one assignment of least cost (Carion et al., 2020, Eq. 1); the rest is background.

    cost = cls_cost * classification + box_cost * L1 of boxes as fractions of the image
    + giou_cost * (-GIoU). The classification cost follows the activation: for sigmoid the focal
    loss of a positive minus that of a negative (Zhu et al., 2021), for softmax the negative
    probability.

    Args:
        cls_cost: Weight of the classification cost.
        box_cost: Weight of the L1 cost.
        giou_cost: Weight of the GIoU cost.
        box_format: Coordinates of the L1 cost: "xyxy" (Sparse R-CNN) or "cxcywh" (DETR).
        alpha: Weight of the positive class in the focal cost.
        gamma: Exponent of the focal cost.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        cls_cost: float = 2.0,
        box_cost: float = 5.0,
        giou_cost: float = 2.0,
        box_format: Literal["xyxy", "cxcywh"] = "xyxy",
        alpha: float = 0.25,
        gamma: float = 2.0,
    ) -> None:
        weights = {"cls_cost": cls_cost, "box_cost": box_cost, "giou_cost": giou_cost}
        for name, value in weights.items():
            check_number(name, value)
        if not any(weights.values()):
            raise ValueError("Expected one of `cls_cost`, `box_cost`, `giou_cost` to be positive.")
        check_choice("box_format", box_format, ("xyxy", "cxcywh"))
        self.weights = weights
        self.box_format, self.alpha, self.gamma = box_format, alpha, gamma

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> Match:
        """Return the match of one stage.

        Raises:
            FloatingPointError: A cost is not finite; names the terms and the images.
        """
        batch, num_preds = predictions.boxes.shape[:2]
        gt_idx = np.full((batch, num_preds), BACKGROUND, dtype=np.int64)
        counts = [len(t.labels) for t in targets]
        if any(counts):
            terms = self._costs(predictions, targets)
            total = terms["cls_cost"] + terms["box_cost"] + terms["giou_cost"]
            costs = total.cpu().numpy()  # (B, N, G), the only transfer of a stage
            for b, count in enumerate(counts):
                cost = costs[b, :, :count]
                if not np.isfinite(cost).all():
                    raise FloatingPointError(_describe(terms, targets, counts))
                rows, columns = linear_sum_assignment(cost)
                gt_idx[b, rows] = columns
        return Match(gt_idx=torch.from_numpy(gt_idx).to(predictions.boxes.device))

    def _costs(self, predictions: Predictions, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """Return the weighted costs ``(B, N, G)`` of all images, G padded to the largest."""
        labels = pad_sequence([t.labels for t in targets], batch_first=True)  # (B, G)
        gt_boxes = pad_sequence([t.boxes for t in targets], batch_first=True).float()
        boxes = predictions.boxes.float()
        sizes = boxes.new_tensor([[w, h, w, h] for h, w in (t.valid_size for t in targets)])
        terms = {
            "cls_cost": self._cls_cost(predictions, labels),
            "box_cost": self._box_cost(boxes / sizes[:, None], gt_boxes / sizes[:, None]),
            "giou_cost": _giou_cost(boxes, gt_boxes),
        }
        return {name: self.weights[name] * term for name, term in terms.items()}

    def _cls_cost(self, predictions: Predictions, labels: Tensor) -> Tensor:
        logits = predictions.logits.float()
        columns = labels[:, None].expand(-1, logits.shape[1], -1)
        if predictions.activation == "softmax":
            return -logits.softmax(-1).gather(2, columns)
        logits = logits.gather(2, columns)  # (B, N, G): only the classes that are needed
        score = logits.sigmoid()
        positive = self.alpha * (1 - score) ** self.gamma * F.softplus(-logits)
        negative = (1 - self.alpha) * score**self.gamma * F.softplus(logits)
        return positive - negative

    def _box_cost(self, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        if self.box_format == "cxcywh":
            boxes, gt_boxes = xyxy_to_cxcywh(boxes), xyxy_to_cxcywh(gt_boxes)
        return (boxes[:, :, None] - gt_boxes[:, None]).abs().sum(-1)


def _giou_cost(boxes: Tensor, gt_boxes: Tensor) -> Tensor:
    shape = (*boxes.shape[:2], gt_boxes.shape[1], 4)
    left = boxes[:, :, None].expand(shape).reshape(-1, 4)
    right = gt_boxes[:, None].expand(shape).reshape(-1, 4)
    return -paired_giou(left, right).view(shape[:3])


def _describe(terms: dict[str, Tensor], targets: Sequence[Targets], counts: Sequence[int]) -> str:
    wrong: dict[str, list[int]] = {}
    for name, term in terms.items():
        for b, count in enumerate(counts):
            if not torch.isfinite(term[b, :, :count]).all():
                wrong.setdefault(name, []).append(targets[b].image_id)
    where = "; ".join(f"`{name}` in the images {ids}" for name, ids in wrong.items())
    return f"Expected finite matching costs, but they are not: {where or 'their sum overflows'}."
