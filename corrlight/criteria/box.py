"""Box losses of dense criteria, one value a positive."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from corrlight.criteria.sample import DenseSample
from corrlight.losses import giou_loss

__all__ = ["BoxLoss", "GIoUBoxLoss"]


class BoxLoss(nn.Module, ABC):
    """How far each positive's box is from its ground truth."""

    @abstractmethod
    def forward(self, sample: DenseSample) -> Tensor:
        """Return the ``(P,)`` losses, unweighted, with gradient."""


class GIoUBoxLoss(BoxLoss):
    """1 - GIoU of the decoded box (Rezatofighi et al., 2019)."""

    def forward(self, sample: DenseSample) -> Tensor:
        """Return the ``(P,)`` losses in [0, 2]."""
        positives = sample.positives
        return giou_loss(positives.pred_boxes, positives.gt_boxes, reduction="none")
