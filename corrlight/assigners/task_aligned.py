"""Positives by how well scores and boxes of a hypothesis agree (Feng et al., 2021, Section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torchvision.ops import box_iou

from corrlight.arguments import check_at_least, check_number
from corrlight.structures import (
    BACKGROUND,
    Activation,
    Match,
    Positives,
    PredictionField,
    Predictions,
    Targets,
)

__all__ = ["TaskAlignedAssigner", "normalized_alignment"]

# Exponents of score and IoU, and what keeps the division by the largest from 0, as published.
ALPHA, BETA = 1.0, 6.0
_EPS = 1e-7


class TaskAlignedAssigner:
    """The best ``topk`` hypotheses of an object by score^alpha IoU^beta, if centred inside it.

    A hypothesis of several objects goes to the one of highest IoU.

    Args:
        topk: Candidates of an object.
        alpha: Exponent of the class score.
        beta: Exponent of the IoU.
        min_margin: Pixels by which the prior's centre must lie inside.

    Raises:
        ValueError: An argument is out of range.
    """

    needs: ClassVar[tuple[PredictionField, ...]] = ("priors",)
    activation: ClassVar[Activation | None] = "sigmoid"

    def __init__(
        self, topk: int = 13, alpha: float = ALPHA, beta: float = BETA, min_margin: float = 0.01
    ) -> None:
        check_at_least(1, topk=topk)
        self.topk, self.min_margin = topk, min_margin
        self.alpha, self.beta = check_number("alpha", alpha), check_number("beta", beta)

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> Match:
        """Return the match.

        Raises:
            ValueError: ``predictions`` have no priors.
        """
        images = [self._one_image(predictions, b, t) for b, t in enumerate(targets)]
        return Match(gt_idx=torch.stack(images))

    def _one_image(self, predictions: Predictions, image: int, targets: Targets) -> Tensor:
        """Return the ``(N,)`` object of each hypothesis."""
        priors, valid = predictions.shared_priors, predictions.valid[image]
        nothing = torch.full((len(priors),), BACKGROUND, device=priors.device)
        if not len(targets.labels):
            return nothing
        scores = predictions.logits[image][:, targets.labels].float().sigmoid()  # (N, G)
        ious = box_iou(predictions.boxes[image], targets.boxes)
        alignment = scores**self.alpha * ious**self.beta
        alignment = alignment.masked_fill(~valid[:, None], -1.0)
        best, index = alignment.topk(min(self.topk, len(priors)), dim=0)
        chosen = torch.zeros_like(alignment, dtype=torch.bool).scatter_(0, index, best > 0)
        centres = ((priors[:, :2] + priors[:, 2:]) / 2)[:, None]
        margins = torch.minimum(centres - targets.boxes[:, :2], targets.boxes[:, 2:] - centres)
        chosen &= margins.amin(-1) > self.min_margin
        overlap, owner = ious.masked_fill(~chosen, -1.0).max(1)
        return torch.where(overlap >= 0, owner, nothing)


def normalized_alignment(positives: Positives, alpha: float = ALPHA, beta: float = BETA) -> Tensor:
    """Return score^alpha IoU^beta, of each object scaled so that its largest is its largest IoU.

    Returns:
        ``(P,)`` in [0, 1], without gradient.
    """
    with torch.no_grad():
        ious = positives.ious()
        values = positives.scores**alpha * ious**beta
        if not len(values):
            return values
        group = positives.image_idx * (positives.gt_idx.max() + 1) + positives.gt_idx
        group = group.unique(return_inverse=True)[1]
        largest, largest_iou = (
            x.new_zeros(len(x)).scatter_reduce(0, group, x, "amax")[group] for x in (values, ious)
        )
        return values / (largest + _EPS) * largest_iou
