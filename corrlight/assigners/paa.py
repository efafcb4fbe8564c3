"""Probabilistic anchor assignment (Kim and Lee, 2020, Section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from corrlight.arguments import check_at_least, check_number
from corrlight.assigners.gaussian_mixture import two_gaussians
from corrlight.assigners.max_iou import MaxIoUAssigner
from corrlight.losses import giou_loss, sigmoid_focal_loss
from corrlight.structures import (
    BACKGROUND,
    Activation,
    Match,
    Positives,
    PredictionField,
    Predictions,
    Targets,
)

__all__ = ["PAAAssigner"]


class PAAAssigner:
    """Positives by how well the network already predicts an object from an anchor.

    Candidates of an object are, a level, the ``topk`` anchors of least loss among those whose IoU
    with it reaches ``candidate_iou``. A mixture of two Gaussians is fitted to their losses. Of the
    candidates in its low component, sorted by loss, those up to the most likely one are positive;
    all other anchors are background. An object with fewer than two candidates gets none.

    Args:
        candidate_iou: IoU that makes an anchor a candidate.
        topk: Candidates per level and object.
        cls_weight: Weight of the focal loss within the loss of a candidate.
        box_weight: Weight of the GIoU loss.
        alpha: Weight of the positive class in the focal loss.
        gamma: Exponent of the focal loss.

    Raises:
        ValueError: An argument is out of range.
    """

    needs: ClassVar[tuple[PredictionField, ...]] = ("priors",)
    # Its focal loss reads each class score by itself.
    activation: ClassVar[Activation | None] = "sigmoid"

    def __init__(
        self,
        candidate_iou: float = 0.1,
        topk: int = 9,
        cls_weight: float = 1.0,
        box_weight: float = 1.3,
        alpha: float = 0.25,
        gamma: float = 2.0,
    ) -> None:
        if not 0 < candidate_iou <= 1:
            raise ValueError(f"Expected `candidate_iou` to be in (0, 1], but got {candidate_iou}.")
        check_at_least(1, topk=topk)
        check_number("cls_weight", cls_weight)
        check_number("box_weight", box_weight)
        self.candidates = MaxIoUAssigner(candidate_iou, candidate_iou)
        self.topk, self.cls_weight, self.box_weight = topk, cls_weight, box_weight
        self.alpha, self.gamma = alpha, gamma

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> Match:
        """Return the match; all objects of the batch are treated at once.

        Raises:
            ValueError: ``predictions`` have no priors.
        """
        candidates = self.candidates(predictions, targets)
        found = Positives.gather(predictions, targets, candidates)
        gt_idx = torch.full_like(candidates.gt_idx, BACKGROUND)
        if len(found):
            chosen = self._choose(found, self.losses(predictions, found))
            where = (found.image_idx[chosen], found.pred_idx[chosen])
            gt_idx[where] = found.gt_idx[chosen]
        return Match(gt_idx=gt_idx)

    def losses(self, predictions: Predictions, candidates: Positives) -> Tensor:
        """Return the ``(P,)`` weighted loss of every candidate, summed over classes."""
        rows = predictions.logits[candidates.image_idx, candidates.pred_idx]
        focal = sigmoid_focal_loss(
            rows, candidates.labels, alpha=self.alpha, gamma=self.gamma, reduction="none"
        ).sum(1)
        boxes = giou_loss(candidates.pred_boxes, candidates.gt_boxes, reduction="none")
        return self.cls_weight * focal + self.box_weight * boxes

    def _choose(self, candidates: Positives, losses: Tensor) -> Tensor:
        """Return the ``(Q,)`` indices of the candidates that become positive."""
        num_levels = int(candidates.level_idx.max()) + 1
        num_objects = int(candidates.gt_idx.max()) + 1
        objects = candidates.image_idx * num_objects + candidates.gt_idx
        # By object and level, then by loss; the first of each group stay.
        groups = objects * num_levels + candidates.level_idx
        order = losses.argsort(stable=True)
        order = order[groups[order].argsort(stable=True)]
        order = order[_rank_in_run(groups[order]) < self.topk]
        # By object, then by loss, one object a row.
        order = order[losses[order].argsort(stable=True)]
        order = order[objects[order].argsort(stable=True)]
        rows, counts = objects[order].unique_consecutive(return_inverse=True, return_counts=True)[
            1:
        ]
        columns = _rank_in_run(rows)
        table = losses.new_zeros((len(counts), int(counts.max())), dtype=torch.float64)
        table[rows, columns] = losses[order].double()
        present = torch.arange(table.shape[1], device=table.device) < counts[:, None]

        low, likelihood = two_gaussians(table, present)
        low &= present & (counts >= 2)[:, None]
        peak = likelihood.masked_fill(~low, -torch.inf).argmax(1)
        positive = low & (torch.arange(table.shape[1], device=table.device) <= peak[:, None])
        return order[positive[rows, columns]]


def _rank_in_run(values: Tensor) -> Tensor:
    """Return the place of each of ``(M,)`` sorted integers among its equals, from 0."""
    counts = values.unique_consecutive(return_counts=True)[1]
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    return torch.arange(len(values), device=values.device) - starts
