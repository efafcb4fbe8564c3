"""Box losses of dense criteria, one value a positive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from corrlight.arguments import check_number
from corrlight.boxes import BoxCoder, paired_iou
from corrlight.criteria.sample import DenseSample
from corrlight.losses import distribution_focal_loss, giou_loss, l1_loss, smooth_l1_loss
from corrlight.structures import PredictionField

__all__ = [
    "BoxLoss",
    "CoarseBoxLoss",
    "DistributionBoxLoss",
    "ExtraBoxLoss",
    "GIoUBoxLoss",
    "SmoothL1BoxLoss",
]

# Share of a bin by which targets stay below the last one, as published.
_LAST_BIN_MARGIN = 0.1


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
        positives = sample.positives
        encoded = sample.predictions.deltas_of(
            positives.image_idx, positives.pred_idx, positives.labels
        )
        target = self.coder.encode(sample.priors, positives.gt_boxes)
        if self.beta == 0:
            return l1_loss(encoded, target, reduction="none").sum(1)
        return smooth_l1_loss(encoded, target, self.beta, reduction="none").sum(1)


class ExtraBoxLoss(BoxLoss):
    """A second loss of each positive's box, a term of its own beside the box loss.

    Args:
        weight: Factor of the term, >= 0.

    Raises:
        ValueError: ``weight`` is out of range.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = check_number("weight", weight)

    def own_weights(self, sample: DenseSample) -> Tensor | None:
        """Return the ``(P,)`` weights of the positives, or None for those of the box loss."""
        return None


class DistributionBoxLoss(ExtraBoxLoss):
    """Distribution focal loss of the bins of a box's sides, their mean (Li et al., 2020, Eq. 6).

    Args:
        coder: The detector's encoding.
        weight: Factor of the term, >= 0.
    """

    needs: ClassVar[tuple[PredictionField, ...]] = ("priors", "distribution")

    def __init__(self, coder: BoxCoder, weight: float = 0.25) -> None:
        super().__init__(weight)
        self.coder = coder

    def forward(self, sample: DenseSample) -> Tensor:
        """Return the ``(P,)`` losses; a side beyond the bins counts as one at their end."""
        distribution, positives = sample.predictions.distribution, sample.positives
        assert distribution is not None
        bins = distribution[positives.image_idx, positives.pred_idx]  # (P, 4, K + 1)
        target = self.coder.encode(sample.priors, positives.gt_boxes)
        target = target.clamp(0, bins.shape[-1] - 1 - _LAST_BIN_MARGIN)
        losses = distribution_focal_loss(bins.flatten(0, 1), target.flatten(), reduction="none")
        return losses.reshape(-1, 4).mean(1)


class CoarseBoxLoss(ExtraBoxLoss):
    """1 - GIoU of the box before its refinement, weighted by its own IoU (Zhang et al., 2021)."""

    needs: ClassVar[tuple[PredictionField, ...]] = ("coarse_boxes",)

    def forward(self, sample: DenseSample) -> Tensor:
        """Return the ``(P,)`` losses in [0, 2]."""
        return giou_loss(self._boxes(sample), sample.positives.gt_boxes, reduction="none")

    def own_weights(self, sample: DenseSample) -> Tensor:
        """Return the ``(P,)`` IoU of the coarse boxes."""
        return paired_iou(self._boxes(sample).detach(), sample.positives.gt_boxes)

    @staticmethod
    def _boxes(sample: DenseSample) -> Tensor:
        boxes, positives = sample.predictions.coarse_boxes, sample.positives
        assert boxes is not None
        return boxes[positives.image_idx, positives.pred_idx]
