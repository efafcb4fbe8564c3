"""Cross-entropy as the classification loss of softmax detectors."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from corrlight.criteria.sample import ClassificationLoss, DenseSample
from corrlight.losses.reduction import in_full_precision

__all__ = ["CrossEntropyClassification"]


class CrossEntropyClassification(ClassificationLoss):
    """Softmax cross-entropy, divided by the sum of the class weights over the rank's hypotheses.

    Carion et al., 2020, Sec. 3.1: the background class, of which there are many, weighs less.

    Args:
        background_weight: Weight of the background class; all others weigh 1.
        weight: Factor of the term.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, background_weight: float = 0.1, weight: float = 1.0) -> None:
        super().__init__()
        for name, value in (("background_weight", background_weight), ("weight", weight)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"Expected `{name}` to be finite and >= 0, but got {value}.")
        self.background_weight, self.weight = background_weight, weight

    def forward(
        self, sample: DenseSample, num_positives: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Return ``loss_cls``; see the base class.

        Raises:
            ValueError: The detector's activation is not softmax.
        """
        predictions = sample.predictions
        if predictions.activation != "softmax":
            raise ValueError(
                "Expected predictions with the activation 'softmax' for cross-entropy, "
                f"but got {predictions.activation!r}."
            )
        logits = in_full_precision(predictions.logits.flatten(0, 1))
        weights = logits.new_ones(predictions.num_classes + 1)
        weights[-1] = self.background_weight
        labels = sample.labels.flatten()
        weight = weights[labels] * sample.counted.flatten()
        loss = (F.cross_entropy(logits, labels, reduction="none") * weight).sum()
        return {"loss_cls": self.weight * loss / weight.sum().clamp(min=1)}
