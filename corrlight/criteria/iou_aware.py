"""Classification losses whose targets are the IoUs of the predicted boxes."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from corrlight.arguments import check_number, check_share
from corrlight.criteria.sample import BoxWeighting, ClassificationLoss, DenseSample
from corrlight.losses import varifocal_loss
from corrlight.losses.reduction import in_full_precision
from corrlight.structures import Activation

__all__ = [
    "IoUAwareClassification",
    "MatchabilityAwareClassification",
    "VarifocalClassification",
]

# A positive of IoU 0 stays a positive, as published.
_LEAST_IOU = 1e-6
# Least target of a positive of the IoU-aware loss, as its authors' code has it.
_LEAST_TARGET = 0.01


class VarifocalClassification(ClassificationLoss):
    """Varifocal loss (Zhang et al., 2021, Eq. 2), divided by the number of positives.

    The target of a positive's class is the IoU of its predicted box with its ground truth, a
    constant. As in the published recipe, box losses weigh that IoU.

    Args:
        alpha: Weight of negatives, >= 0.
        gamma: Focusing exponent of negatives, >= 0.
        iou_weighted: Whether positives weigh their IoU.
        weight: Factor of the term, >= 0.

    Raises:
        ValueError: An argument is out of range.
    """

    box_weighting: ClassVar[BoxWeighting | None] = "iou"
    activation: ClassVar[Activation | None] = "sigmoid"

    def __init__(
        self,
        alpha: float = 0.75,
        gamma: float = 2.0,
        iou_weighted: bool = True,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.alpha, self.gamma = check_number("alpha", alpha), check_number("gamma", gamma)
        self.iou_weighted, self.weight = iou_weighted, check_number("weight", weight)

    def forward(
        self, sample: DenseSample, num_positives: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Return ``loss_cls``; see the base class."""
        sample.check_activation(self.activation, "the varifocal loss")
        targets = sample.class_targets(sample.positives.ious().detach().clamp(min=_LEAST_IOU))
        loss = varifocal_loss(
            sample.predictions.logits,
            targets.clamp(min=0),
            alpha=self.alpha,
            gamma=self.gamma,
            iou_weighted=self.iou_weighted,
            weights=None if bool(sample.counted.all()) else sample.counted,
            normalizer=num_positives,
        )
        return {"loss_cls": self.weight * loss}


class _SoftTargetClassification(ClassificationLoss):
    """Cross-entropy to a soft target for positives, focused cross-entropy to 0 for all else."""

    activation: ClassVar[Activation | None] = "sigmoid"

    def __init__(self, gamma: float, weight: float) -> None:
        super().__init__()
        self.gamma, self.weight = check_number("gamma", gamma), check_number("weight", weight)

    @abstractmethod
    def targets(self, scores: Tensor, ious: Tensor) -> Tensor:
        """Return the ``(P,)`` targets of the positives' classes, constants."""

    @abstractmethod
    def focus(self, scores: Tensor) -> Tensor:
        """Return the factors of the elements whose target is 0."""

    def forward(
        self, sample: DenseSample, num_positives: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Return ``loss_cls``, the sum over all elements divided by the number of positives.

        Raises:
            ValueError: The detector's activation is not sigmoid.
        """
        sample.check_activation(self.activation, "this loss")
        positives = sample.positives
        logits = in_full_precision(sample.predictions.logits)
        where = (positives.image_idx, positives.pred_idx, positives.labels)
        scores = logits.detach()[where].sigmoid()
        wanted = sample.class_targets(self.targets(scores, positives.ious().detach()))
        target = wanted.clamp(min=0)
        factor = self.focus(logits.sigmoid())
        factor = factor.index_put(where, factor.new_ones(len(positives)))
        factor = factor * sample.counted[..., None]
        values = factor * binary_cross_entropy_with_logits(logits, target, reduction="none")
        return {"loss_cls": self.weight * values.sum() / num_positives}


class MatchabilityAwareClassification(_SoftTargetClassification):
    r"""Matchability-aware loss of DEIM (Huang et al., 2025, Eq. 3).

    With the IoU q of a matched box: :math:`-q^\gamma \log p - (1 - q^\gamma) \log(1 - p)` for its
    class, :math:`-p^\gamma \log(1 - p)` for all others, whose factor has no gradient, as in the
    authors' code.

    Args:
        gamma: Exponent of IoU and score, >= 0.
        weight: Factor of the term, >= 0.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, gamma: float = 1.5, weight: float = 1.0) -> None:
        super().__init__(gamma, weight)

    def targets(self, scores: Tensor, ious: Tensor) -> Tensor:
        """Return the IoUs to the power of ``gamma``."""
        return ious**self.gamma

    def focus(self, scores: Tensor) -> Tensor:
        """Return the scores to the power of ``gamma``, without gradient."""
        return scores.detach() ** self.gamma


class IoUAwareClassification(_SoftTargetClassification):
    r"""IoU-aware binary cross-entropy of Align-DETR (Cai et al., 2023, Sec. 3.2).

    The target of a matched box's class is :math:`t = p^\alpha q^{1 - \alpha}` of its score and its
    IoU, a constant of at least 0.01; all other elements have :math:`-p^\gamma \log(1 - p)`.

    Args:
        alpha: Share of the score in the target, in [0, 1].
        gamma: Focusing exponent of negatives, >= 0.
        weight: Factor of the term, >= 0.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, weight: float = 1.0) -> None:
        super().__init__(gamma, weight)
        check_share(alpha=alpha)
        self.alpha = alpha

    def targets(self, scores: Tensor, ious: Tensor) -> Tensor:
        """Return the geometric means of scores and IoUs."""
        return (scores**self.alpha * ious ** (1 - self.alpha)).clamp(min=_LEAST_TARGET)

    def focus(self, scores: Tensor) -> Tensor:
        """Return the scores to the power of ``gamma``."""
        return scores**self.gamma
