"""What the losses of a dense detector see, and what a classification loss is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from corrlight.assigners.task_aligned import normalized_alignment
from corrlight.losses import centerness_target
from corrlight.structures import (
    IGNORED,
    Activation,
    Match,
    Positives,
    PredictionField,
    Predictions,
    Targets,
)

__all__ = ["BOX_WEIGHTINGS", "BoxWeighting", "ClassificationLoss", "DenseSample"]

BoxWeighting = Literal["uniform", "centerness", "iou", "score", "alignment"]
BOX_WEIGHTINGS: tuple[str, ...] = get_args(BoxWeighting)


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseSample:
    """Hypotheses of a batch with their labels.

    Attributes:
        predictions: Raw outputs.
        positives: The P positives.
        labels: ``(B, N)`` int64 class of each hypothesis, C for background.
        counted: ``(B, N)`` bool; False for ignored and invalid hypotheses.
    """

    predictions: Predictions
    positives: Positives
    labels: Tensor
    counted: Tensor

    @classmethod
    def collect(
        cls,
        predictions: Predictions,
        targets: Sequence[Targets],
        match: Match,
        padding: Literal["ignored", "background"] = "ignored",
    ) -> DenseSample:
        """Return the sample of one stage.

        Args:
            predictions: Raw outputs.
            targets: Ground truth, one an image.
            match: The assigner's result.
            padding: What hypotheses outside an image's own padded size are.
        """
        positives = Positives.gather(predictions, targets, match)
        labels = torch.full_like(match.gt_idx, predictions.num_classes)
        labels[positives.image_idx, positives.pred_idx] = positives.labels
        counted = match.gt_idx != IGNORED
        if padding == "ignored":
            counted &= predictions.valid
        return cls(predictions=predictions, positives=positives, labels=labels, counted=counted)

    @property
    def priors(self) -> Tensor:
        """``(P, 4)`` priors of the positives."""
        return self.predictions.priors_of(self.positives.image_idx, self.positives.pred_idx)

    def box_weights(self, weighting: str) -> Tensor:
        """Return the ``(P,)`` weights of the positives' box losses, without gradient.

        Args:
            weighting: "uniform", or each positive's "centerness" target, "iou" with its ground
                truth, best class "score", or normalised task "alignment" (TOOD).
        """
        positives = self.positives
        with torch.no_grad():
            if weighting == "centerness":
                return centerness_target(self.priors, positives.gt_boxes)
            if weighting == "iou":
                return positives.ious()
            if weighting == "alignment":
                return normalized_alignment(positives)
            if weighting == "score":
                logits = self.predictions.logits[positives.image_idx, positives.pred_idx].float()
                if self.predictions.activation == "sigmoid":
                    return logits.amax(-1).sigmoid()
                return logits.softmax(-1)[:, :-1].amax(-1)
            return torch.ones_like(positives.scores)

    def class_targets(self, positive: Tensor | float) -> Tensor:
        """Return ``(B, N, C)`` targets: 0 for negatives, -1 for whatever is not counted.

        Args:
            positive: Target of the positives' own classes, one number or ``(P,)``.
        """
        batch, num_hypotheses = self.labels.shape
        size = (batch, num_hypotheses, self.predictions.num_classes)
        targets = torch.zeros(size, device=self.labels.device)
        targets[~self.counted] = -1
        positives = self.positives
        where = (positives.image_idx, positives.pred_idx, positives.labels)
        targets[where] = torch.as_tensor(positive, dtype=targets.dtype, device=targets.device)
        return targets

    def check_activation(self, expected: Activation | None, what: str) -> None:
        """Raise a ValueError unless the scores are made by the activation that ``what`` is for."""
        if expected is not None and self.predictions.activation != expected:
            raise ValueError(
                f"Expected predictions with the activation '{expected}' for {what}, "
                f"but got {self.predictions.activation!r}."
            )


class ClassificationLoss(nn.Module, ABC):
    """The classification part of a dense criterion; what ``conf/loss/*.yaml`` names.

    Losses whose published recipe weighs or balances the box loss in its own way set
    ``box_weighting`` and ``box_weight`` or override :meth:`box_term`; everything else stays with
    the criterion.
    """

    # These take precedence over the criterion's when a recipe prescribes them.
    box_weighting: ClassVar[BoxWeighting | None] = None
    box_weight: ClassVar[float | None] = None
    # What the detector has to make scores with; None takes any.
    activation: ClassVar[Activation | None] = None
    # What it reads of the predictions beside logits and boxes.
    needs: ClassVar[tuple[PredictionField, ...]] = ()

    @abstractmethod
    def forward(
        self, sample: DenseSample, num_positives: Tensor, box_losses: Tensor
    ) -> dict[str, Tensor]:
        """Return the weighted scalar terms, named ``loss_*``.

        Args:
            sample: Logits and labels.
            num_positives: Normaliser, averaged over the ranks, at least 1; in its place
                :meth:`own_normalizer` where there is one.
            box_losses: ``(P,)`` unweighted box losses of the positives. Dense criteria pass them
                with their gradient, for losses that rank them along; all others take the values.
        """

    def own_normalizer(self, sample: DenseSample) -> Tensor | None:
        """Return what the loss is divided by on this rank, or None for the number of positives."""
        return None

    def box_term(
        self, box_losses: Tensor, weights: Tensor, normalizer: Tensor, terms: Mapping[str, Tensor]
    ) -> Tensor:
        """Return the scalar box loss, before the criterion's weight.

        Args:
            box_losses: ``(P,)``, with gradient.
            weights: ``(P,)`` of :meth:`DenseSample.box_weights`.
            normalizer: Sum of the weights, averaged over the ranks, at least 1.
            terms: What :meth:`forward` returned, for losses that balance the two.
        """
        return (box_losses * weights).sum() / normalizer

    def after_step(self, terms: Mapping[str, Tensor]) -> None:
        """Update a running state; see :meth:`corrlight.criteria.base.Criterion.after_step`."""
