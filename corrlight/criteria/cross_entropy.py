"""Cross-entropy as the classification loss of softmax detectors."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from corrlight.arguments import check_number
from corrlight.criteria.sample import ClassificationLoss, DenseSample
from corrlight.losses.reduction import in_full_precision
from corrlight.structures import Activation

__all__ = ["CrossEntropyClassification"]


class CrossEntropyClassification(ClassificationLoss):
    """Softmax cross-entropy, divided by the sum of the class weights of the hypotheses.

    Carion et al., 2020, Sec. 3.1: the background class, of which there are many, weighs less.

    Args:
        background_weight: Weight of the background class; all others weigh 1.
        weight: Factor of the term.

    Raises:
        ValueError: An argument is out of range.
    """

    activation: ClassVar[Activation | None] = "softmax"

    def __init__(self, background_weight: float = 0.1, weight: float = 1.0) -> None:
        super().__init__()
        check_number("background_weight", background_weight)
        check_number("weight", weight)
        self.background_weight, self.weight = background_weight, weight

    def own_normalizer(self, sample: DenseSample) -> Tensor:
        """Return the sum of the class weights of the rank's counted hypotheses."""
        return self._weights(sample).sum()

    def forward(
        self, sample: DenseSample, num_positives: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Return ``loss_cls``; see the base class.

        Raises:
            ValueError: The detector's activation is not softmax.
        """
        predictions = sample.predictions
        sample.check_activation(self.activation, "cross-entropy")
        logits = in_full_precision(predictions.logits.flatten(0, 1))
        loss = F.cross_entropy(logits, sample.labels.flatten(), reduction="none")
        return {"loss_cls": self.weight * (loss * self._weights(sample)).sum() / num_positives}

    def _weights(self, sample: DenseSample) -> Tensor:
        """Return the ``(B * N,)`` class weights, 0 for ignored and invalid hypotheses."""
        background = sample.labels == sample.predictions.num_classes
        weights = torch.where(background, self.background_weight, 1.0)
        return (weights * sample.counted).flatten()
