"""Box losses of dense criteria, one value a positive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from corrlight.arguments import check_number
from corrlight.boxes import BoxCoder
from corrlight.criteria.sample import DenseSample
from corrlight.losses import giou_loss, l1_loss, smooth_l1_loss
from corrlight.structures import PredictionField

__all__ = ["BoxLoss", "GIoUBoxLoss", "SmoothL1BoxLoss"]


class BoxLoss(nn.Module, ABC):
    """How far each positive's box is from its ground truth."""

    # What it reads of the predictions beside logits and boxes.
    needs: ClassVar[tuple[PredictionField, ...]] = ()

    @abstractmethod
    def forward(self, sample: DenseSample) -> Tensor:
        """Return the ``(P,)`` losses, unweighted, with gradient."""


class GIoUBoxLoss(BoxLoss):
    """1 - GIoU of the decoded box (Rezatofighi et al., 2019)."""

    def forward(self, sample: DenseSample) -> Tensor:
        """Return the ``(P,)`` losses in [0, 2]."""
        positives = sample.positives
        return giou_loss(positives.pred_boxes, positives.gt_boxes, reduction="none")


class SmoothL1BoxLoss(BoxLoss):
    """Smooth L1 of the encoded box, summed over its four numbers (Girshick, 2015, Eq. 3).

    Args:
        coder: The detector's encoding.
        beta: Where the parabola turns into a line; 0 is plain L1.

    Raises:
        ValueError: ``beta`` is out of range.
    """

    needs: ClassVar[tuple[PredictionField, ...]] = ("priors", "deltas")

    def __init__(self, coder: BoxCoder, beta: float = 1.0) -> None:
        super().__init__()
        self.coder, self.beta = coder, check_number("beta", beta)

    def forward(self, sample: DenseSample) -> Tensor:
        """Return the ``(P,)`` losses, each the sum over four numbers.

        Raises:
            ValueError: The predictions have no encoded boxes.
        """
        positives, deltas = sample.positives, sample.predictions.deltas
        if deltas is None:
            raise ValueError("Expected `predictions.deltas` to be encoded boxes, but got None.")
        encoded = deltas[positives.image_idx, positives.pred_idx]
        target = self.coder.encode(sample.priors, positives.gt_boxes)
        if self.beta == 0:
            return l1_loss(encoded, target, reduction="none").sum(1)
        return smooth_l1_loss(encoded, target, self.beta, reduction="none").sum(1)
