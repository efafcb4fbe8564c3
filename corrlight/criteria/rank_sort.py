"""Rank & Sort Loss as the classification part of a dense criterion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from corrlight.arguments import check_number
from corrlight.criteria.sample import BoxWeighting, ClassificationLoss, DenseSample
from corrlight.losses import rank_sort_loss
from corrlight.losses.balance import balance_to
from corrlight.structures import Activation

__all__ = ["RankSortClassification"]

# An IoU of 0 would make a positive a negative; the floor of the correlation loss.
_LEAST_TARGET = 1e-6


class RankSortClassification(ClassificationLoss):
    """Rank & Sort Loss (Oksuz et al., 2021), which gives the box loss its own value in every step.

    Ranking targets are the IoUs of the positives, constants. The box loss is the mean over the
    positives weighted by their best class score, scaled to the sum of both classification terms;
    the criterion's ``box_weight`` has no say in it.

    Deviation: a positive with an IoU of 0 stays a positive (target 1e-6); in the published head it
    becomes a negative, which :func:`corrlight.losses.rank_sort_loss` does for a target of 0.

    Args:
        delta: Half width of the smoothed step, >= 0.

    Raises:
        ValueError: An argument is out of range.
    """

    box_weighting: ClassVar[BoxWeighting | None] = "score"
    box_weight: ClassVar[float | None] = 1.0

    activation: ClassVar[Activation | None] = "sigmoid"

    def __init__(self, delta: float = 0.5) -> None:
        super().__init__()
        self.delta = check_number("delta", delta)

    def forward(
        self, sample: DenseSample, num_positives: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Return ``loss_rank`` and ``loss_sort``; see the base class."""
        sample.check_activation(self.activation, "Rank & Sort Loss")
        ious = sample.positives.ious().detach().clamp(min=_LEAST_TARGET)
        targets = sample.class_targets(ious)
        ranking, sorting = rank_sort_loss(sample.predictions.logits, targets, self.delta)
        return {"loss_rank": ranking, "loss_sort": sorting}

    def box_term(
        self, box_losses: Tensor, weights: Tensor, normalizer: Tensor, terms: Mapping[str, Tensor]
    ) -> Tensor:
        """Return the box loss with the value of both terms; see the base class."""
        # The normaliser would cancel out.
        total = weights.sum()
        box = (box_losses * weights).sum() / total.where(total > 0, 1)
        return balance_to(box, terms["loss_rank"] + terms["loss_sort"])
