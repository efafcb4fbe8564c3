"""Cross-entropy of positives and their hardest negatives."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from corrlight.arguments import check_number
from corrlight.criteria.sample import ClassificationLoss, DenseSample
from corrlight.losses.reduction import in_full_precision
from corrlight.structures import Activation

__all__ = ["HardNegativeCrossEntropy"]


class HardNegativeCrossEntropy(ClassificationLoss):
    """Softmax cross-entropy with online hard example mining (Liu et al., 2016, Sec. 2.2).

    In every image all positives count, and the negatives of the largest loss, some for each
    positive. An image without positives counts all its negatives, as published.

    Args:
        negatives_per_positive: How many negatives for each positive.
        weight: Factor of the term.

    Raises:
        ValueError: An argument is out of range.
    """

    activation: ClassVar[Activation | None] = "softmax"

    def __init__(self, negatives_per_positive: int = 3, weight: float = 1.0) -> None:
        super().__init__()
        if negatives_per_positive < 1:
            raise ValueError(
                "Expected `negatives_per_positive` to be at least 1, "
                f"but got {negatives_per_positive}."
            )
        self.negatives_per_positive = negatives_per_positive
        self.weight = check_number("weight", weight)

    def forward(
        self, sample: DenseSample, num_positives: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Return ``loss_cls``; see the base class.

        Raises:
            ValueError: The detector's activation is not softmax.
        """
        sample.check_activation(self.activation, "cross-entropy")
        chosen = self.chosen(sample)
        # Only what counts is differentiated: a few hundred rows of tens of thousands.
        logits = in_full_precision(sample.predictions.logits[chosen])
        loss = F.cross_entropy(logits, sample.labels[chosen], reduction="sum")
        return {"loss_cls": self.weight * loss / num_positives}

    @torch.no_grad()
    def chosen(self, sample: DenseSample) -> Tensor:
        """Return ``(B, N)`` which hypotheses count."""
        background = sample.labels == sample.predictions.num_classes
        negative, positive = sample.counted & background, sample.counted & ~background
        logits = in_full_precision(sample.predictions.logits)
        # The loss of a negative: minus the logarithm of its background score.
        losses = logits.logsumexp(-1) - logits[..., -1]
        losses = losses.masked_fill(~negative, -torch.inf)
        num_positives = positive.sum(1)
        wanted = num_positives * self.negatives_per_positive
        most = min(int(wanted.max()), losses.shape[1]) if len(wanted) else 0
        hardest = losses.topk(most).indices  # (B, most)
        in_use = torch.arange(most, device=losses.device) < wanted[:, None]
        hard = torch.zeros_like(negative).scatter_(1, hardest, in_use) & negative
        return positive | torch.where(num_positives[:, None] > 0, hard, negative)
