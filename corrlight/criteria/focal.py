"""Focal loss as the classification part of a dense criterion."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from corrlight.arguments import check_number, check_share
from corrlight.criteria.sample import ClassificationLoss, DenseSample
from corrlight.losses import sigmoid_focal_loss
from corrlight.structures import Activation

__all__ = ["FocalClassification"]


class FocalClassification(ClassificationLoss):
    """Focal loss over all classes and counted hypotheses, divided by the number of positives.

    Args:
        alpha: Weight of the positive class.
        gamma: Focusing exponent.
        weight: Factor of the term.
    """

    activation: ClassVar[Activation | None] = "sigmoid"

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, weight: float = 1.0) -> None:
        super().__init__()
        check_share(alpha=alpha)
        check_number("gamma", gamma)
        check_number("weight", weight)
        self.alpha, self.gamma, self.weight = alpha, gamma, weight

    def forward(
        self, sample: DenseSample, num_positives: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Return ``loss_cls``; see the base class.

        Raises:
            ValueError: The detector's activation is not sigmoid.
        """
        sample.check_activation(self.activation, "the focal loss")
        loss = sigmoid_focal_loss(
            sample.predictions.logits.flatten(0, 1),
            sample.labels.flatten(),
            alpha=self.alpha,
            gamma=self.gamma,
            weights=None if bool(sample.counted.all()) else sample.counted.flatten(),
            normalizer=num_positives,
        )
        return {"loss_cls": self.weight * loss}
