"""Binary cross-entropy as the classification loss of sigmoid scores."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from corrlight.arguments import check_number
from corrlight.criteria.sample import ClassificationLoss, DenseSample
from corrlight.losses.reduction import in_full_precision
from corrlight.structures import Activation

__all__ = ["BinaryCrossEntropyClassification"]


class BinaryCrossEntropyClassification(ClassificationLoss):
    """Binary cross-entropy of every class (Ren et al., 2015, Eq. 1, of object or not).

    Args:
        weight: Factor of the term.

    Raises:
        ValueError: ``weight`` is out of range.
    """

    activation: ClassVar[Activation | None] = "sigmoid"

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = check_number("weight", weight)

    def forward(
        self, sample: DenseSample, num_positives: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Return ``loss_cls``; see the base class.

        Raises:
            ValueError: The detector's activation is not sigmoid.
        """
        sample.check_activation(self.activation, "binary cross-entropy")
        # Of tens of thousands of hypotheses a few hundred count.
        logits = in_full_precision(sample.predictions.logits[sample.counted])
        targets = F.one_hot(sample.labels[sample.counted], logits.shape[1] + 1)[:, :-1]
        loss = F.binary_cross_entropy_with_logits(logits, targets.to(logits), reduction="sum")
        return {"loss_cls": self.weight * loss / num_positives}
