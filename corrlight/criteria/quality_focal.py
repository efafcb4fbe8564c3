"""Quality focal loss as the classification part of a dense criterion."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from corrlight.arguments import check_choice, check_number
from corrlight.criteria.sample import BoxWeighting, ClassificationLoss, DenseSample
from corrlight.losses import quality_focal_loss
from corrlight.structures import Activation

__all__ = ["QualityFocalClassification"]


class QualityFocalClassification(ClassificationLoss):
    """Quality focal loss (Li et al., 2020, Eq. 3), divided by the number of positives.

    The target of a positive's class is the IoU of its predicted box with its ground truth, a
    constant. As in the published recipe, box losses weigh the best class score; with the task
    alignment as the target (TOOD; Feng et al., 2021, Eq. 7) they weigh it too.

    Args:
        beta: Focusing exponent, >= 0.
        weight: Factor of the term, >= 0.
        quality: The target, "iou" or "alignment".

    Raises:
        ValueError: An argument is out of range.
    """

    box_weighting: BoxWeighting | None = "score"  # type: ignore[misc]

    activation: ClassVar[Activation | None] = "sigmoid"

    def __init__(
        self,
        beta: float = 2.0,
        weight: float = 1.0,
        quality: Literal["iou", "alignment"] = "iou",
    ) -> None:
        super().__init__()
        check_choice("quality", quality, ("iou", "alignment"))
        self.quality = quality
        if quality == "alignment":
            self.box_weighting = "alignment"
        self.beta, self.weight = check_number("beta", beta), check_number("weight", weight)

    def forward(
        self, sample: DenseSample, num_positives: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Return ``loss_cls``; see the base class."""
        sample.check_activation(self.activation, "the quality focal loss")
        positives = sample.positives
        qualities = torch.zeros_like(sample.labels, dtype=torch.float32)
        qualities[positives.image_idx, positives.pred_idx] = sample.box_weights(
            self.quality
        ).float()
        loss = quality_focal_loss(
            sample.predictions.logits.flatten(0, 1),
            sample.labels.flatten(),
            qualities.flatten(),
            beta=self.beta,
            weights=None if bool(sample.counted.all()) else sample.counted.flatten(),
            normalizer=num_positives,
        )
        return {"loss_cls": self.weight * loss}
