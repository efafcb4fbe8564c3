"""AP Loss as the classification part of a dense criterion."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from corrlight.arguments import check_number
from corrlight.criteria.sample import ClassificationLoss, DenseSample
from corrlight.losses import ap_loss
from corrlight.structures import Activation

__all__ = ["APClassification"]


class APClassification(ClassificationLoss):
    """AP Loss (Chen et al., 2019) over all classes and counted hypotheses of the rank.

    It has no normaliser; boxes are left to the criterion.

    Args:
        delta: Half width of the smoothed step, >= 0.
        weight: Factor of the term, >= 0.

    Raises:
        ValueError: An argument is out of range.
    """

    activation: ClassVar[Activation | None] = "sigmoid"

    def __init__(self, delta: float = 1.0, weight: float = 1.0) -> None:
        super().__init__()
        self.delta, self.weight = check_number("delta", delta), check_number("weight", weight)

    def forward(
        self, sample: DenseSample, num_positives: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Return ``loss_cls``; see the base class."""
        sample.check_activation(self.activation, "AP Loss")
        targets = sample.class_targets(1.0)
        return {"loss_cls": self.weight * ap_loss(sample.predictions.logits, targets, self.delta)}
