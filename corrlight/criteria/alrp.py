"""aLRP Loss as the classification part of a dense criterion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from corrlight.arguments import check_number
from corrlight.criteria.sample import ClassificationLoss, DenseSample
from corrlight.losses import alrp_loss
from corrlight.losses.balance import EpochBalance
from corrlight.structures import Activation

__all__ = ["ALRPClassification"]


class ALRPClassification(ClassificationLoss):
    """aLRP Loss (Oksuz et al., 2020): classification and localisation ranked together.

    The localisation errors are the criterion's box losses (GIoU, as published). Their part is
    multiplied by a running self-balance, whose state is in the checkpoint and which training steps
    alone update; the criterion's box weights have no say in it.

    Deviation: the published self-balance changes within the step that completes a period, here
    after it.

    Args:
        delta: Half width of the smoothed step, >= 0.
        initial: Self-balance of the first period, > 0.
        period: Training steps between two changes of the self-balance, >= 1.

    Raises:
        ValueError: An argument is out of range.
    """

    box_weight: ClassVar[float | None] = 1.0

    activation: ClassVar[Activation | None] = "sigmoid"

    def __init__(self, delta: float = 1.0, initial: float = 50.0, period: int = 3665) -> None:
        super().__init__()
        self.delta = check_number("delta", delta)
        self.balance = EpochBalance(check_number("initial", initial, above=0), period)

    def forward(
        self, sample: DenseSample, num_positives: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Return ``loss_cls`` and ``loss_box`` before self-balance; see the base class."""
        sample.check_activation(self.activation, "aLRP Loss")
        targets = sample.class_targets(1.0)
        # Both orders are by image, then by hypothesis: a hypothesis has one class.
        classification, localisation = alrp_loss(
            sample.predictions.logits, targets, box_losses, self.delta
        )
        return {"loss_cls": classification, "loss_box": localisation}

    def box_term(
        self, box_losses: Tensor, weights: Tensor, normalizer: Tensor, terms: Mapping[str, Tensor]
    ) -> Tensor:
        """Return the localisation part times the self-balance; see the base class."""
        localisation = terms["loss_box"]
        return localisation * self.balance.weight.to(localisation.dtype)

    def after_step(self, terms: Mapping[str, Tensor]) -> None:
        """Count a training step; see the base class."""
        self.balance.update(terms["loss_cls"], terms["loss_box"].double() / self.balance.weight)
