"""L_OD of dense detectors: classification, boxes and an optional quality branch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from corrlight.arguments import check_choice, check_number
from corrlight.criteria.base import Criterion
from corrlight.criteria.box import BoxLoss, ExtraBoxLoss
from corrlight.criteria.sample import (
    BOX_WEIGHTINGS,
    BoxWeighting,
    ClassificationLoss,
    DenseSample,
)
from corrlight.losses import binary_cross_entropy
from corrlight.structures import Activation, Match, PredictionField, Predictions, Targets

__all__ = ["Counting", "DenseCriterion"]

Counting = Literal[
    "per_image", "batch", "added", "positives", "box_weights", "counted", "counted_per_image"
]
Padding = Literal["ignored", "background"]

# Of a rank's own sum of box weights.
_SMALLEST = 1e-12


class DenseCriterion(Criterion):
    """Sum of a classification loss, a weighted box loss and a quality loss.

    The classification and quality losses are divided by the number of positives, the box loss by
    the sum of its weights. Without positives the box and quality losses are zeros attached to
    their branches.

    Of the detector it needs ``priors`` with "centerness", as weights or target, ``quality`` where
    there is a quality loss, and what its classification and box loss need
    (:class:`~corrlight.criteria.SmoothL1BoxLoss`: ``priors`` and ``deltas``).

    Deviation: the published correlation head of ATSS drops the classification loss of a batch
    without positives, and divides the box loss by the rank's own sum of weights.

    Args:
        classification: The classification loss.
        box: The box loss of each positive.
        box_weight: Weight of the box loss; a classification loss may prescribe its own.
        box_weighting: Weights of the positives within the box loss: "uniform", "centerness",
            "iou", "score" or "alignment"; a classification loss may prescribe its own.
        quality: Target of the quality branch, "centerness" or "iou", or None.
        quality_weight: Weight of the binary cross-entropy of the quality branch.
        aux_head: The detector's ``aux_head``: "untrained" gives the quality loss weight 0, "none"
            says that there is no branch.
        counting: What the classification loss is divided by: "per_image", the positives, of which
            each image has at least one (RetinaNet, ATSS); "batch", the positives, but at least
            the number of images (PAA); "added", positives and images (FoveaBox); "positives"
            (FCOS, VFNet); "box_weights", the sum of these (TOOD); "counted", positives and
            negatives (Faster R-CNN); "counted_per_image", the same, but each image has at least one
            of either (its proposals). The quality loss and boxes of "uniform" weight are divided by
            the positives, in the first case and the last two the same.
        normalizer: "global" averages these numbers over the ranks, and a sum of box weights counts
            at least 1 (ATSS); "local" takes each rank's own (RetinaNet, FoveaBox, PAA).
        least_box_weight: Least sum of box weights to divide by; None for what ``normalizer`` says.
        padding: Whether hypotheses outside an image's own padded size are "ignored" or
            "background" (FCOS, VFNet).
        extra: Further losses of the boxes by name, terms ``loss_<name>``: each is divided by the
            sum of its weights.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        classification: ClassificationLoss,
        box: BoxLoss,
        box_weight: float = 1.0,
        box_weighting: BoxWeighting = "uniform",
        quality: Literal["centerness", "iou"] | None = None,
        quality_weight: float = 1.0,
        aux_head: str = "none",
        counting: Counting = "per_image",
        normalizer: Literal["local", "global"] = "global",
        least_box_weight: float | None = None,
        padding: Padding = "ignored",
        extra: Mapping[str, ExtraBoxLoss] | None = None,
    ) -> None:
        super().__init__()
        check_choice("box_weighting", box_weighting, BOX_WEIGHTINGS)
        check_choice("quality", quality, ("centerness", "iou", None))
        check_number("box_weight", box_weight)
        check_number("quality_weight", quality_weight)
        check_choice("aux_head", aux_head, ["none", "untrained", *([quality] if quality else [])])
        check_choice("counting", counting, get_args(Counting))
        check_choice("normalizer", normalizer, ("local", "global"))
        check_choice("padding", padding, get_args(Padding))
        if least_box_weight is not None:
            check_number("least_box_weight", least_box_weight, above=0)
        self.counting, self.normalizer, self.padding = counting, normalizer, padding
        self.least_box_weight = least_box_weight or (_SMALLEST if normalizer == "local" else 1.0)
        self.classification, self.box = classification, box
        self.extra = nn.ModuleDict(dict(extra or {}))
        own_weight = classification.box_weight
        self.box_weight = box_weight if own_weight is None else own_weight
        self.box_weighting = classification.box_weighting or box_weighting
        self.quality = None if aux_head == "none" else quality
        self.quality_weight = 0.0 if aux_head == "untrained" else quality_weight

    @property
    def activation(self) -> Activation | None:
        """What the classification loss asks for."""
        return self.classification.activation

    @property
    def needs(self) -> Collection[PredictionField]:
        """What both losses need; priors for centerness; the quality where it is trained."""
        found = {*self.classification.needs, *self.box.needs}
        found.update(field for loss in self._extra.values() for field in loss.needs)
        if "centerness" in (self.box_weighting, self.quality):
            found.add("priors")
        if self.quality is not None:
            found.add("quality")
        return found

    def normalizers(
        self, predictions: Predictions, targets: Sequence[Targets], match: Match
    ) -> dict[str, Tensor]:
        """Return what is averaged over the ranks; nothing if the normaliser is local."""
        if self.normalizer == "local":
            return {}
        sample = DenseSample.collect(predictions, targets, match, self.padding)
        return self._own_normalizers(sample, match)

    def _own_normalizers(self, sample: DenseSample, match: Match) -> dict[str, Tensor]:
        """Return the divisors of classification, boxes and quality, before lower bounds."""
        count = match.num_positives.float()  # (B,)
        positives = count.clamp(min=1).sum() if self.counting == "per_image" else count.sum()
        if self.counting.startswith("counted"):
            background = sample.labels == sample.predictions.num_classes
            kinds = torch.stack([sample.counted & background, sample.counted & ~background])
            least = 1 if self.counting == "counted_per_image" else 0
            positives = kinds.sum(2).clamp(min=least).sum().float()
        uniform = self.box_weighting == "uniform"
        boxes = positives if uniform else sample.box_weights(self.box_weighting).sum()
        images = torch.full_like(positives, len(count))
        classification = {
            "batch": torch.max(positives, images),
            "added": positives + images,
            "box_weights": boxes,
        }.get(self.counting, positives)
        found = {"classification": classification, "box_weights": boxes, "positives": positives}
        for name, loss in self._extra.items():
            weights = loss.own_weights(sample)
            found[f"{name}_weights"] = boxes if weights is None else weights.sum()
        return found

    @property
    def _extra(self) -> dict[str, ExtraBoxLoss]:
        return dict(self.extra.items())  # type: ignore[arg-type]

    def forward(
        self,
        predictions: Predictions,
        targets: Sequence[Targets],
        match: Match,
        normalizers: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the classification terms, ``loss_box``, ``loss_<quality>`` and the extra ones."""
        sample = DenseSample.collect(predictions, targets, match, self.padding)
        local = self.normalizer == "local"
        own = self._own_normalizers(sample, match) if local else normalizers
        box_losses, box_weights = self.box(sample), sample.box_weights(self.box_weighting)
        terms = self.classification(sample, own["classification"].clamp(min=1), box_losses)
        box = self.classification.box_term(
            box_losses,
            box_weights,
            own["box_weights"].clamp(min=self.least_box_weight),
            terms,
        )
        terms["loss_box"] = self.box_weight * box
        for name, loss in self._extra.items():
            weights = loss.own_weights(sample)
            weighted = (loss(sample) * (box_weights if weights is None else weights)).sum()
            divisor = own[f"{name}_weights"].clamp(min=self.least_box_weight)
            terms[f"loss_{name}"] = loss.weight * weighted / divisor
        if self.quality is not None:
            terms[f"loss_{self.quality}"] = self._quality(sample, own["positives"].clamp(min=1))
        return terms

    def _quality(self, sample: DenseSample, num_positives: Tensor) -> Tensor:
        assert self.quality is not None
        assert sample.predictions.quality is not None
        positives = sample.positives
        logits = sample.predictions.quality[positives.image_idx, positives.pred_idx]
        target = sample.box_weights(self.quality)
        loss = binary_cross_entropy(logits, target, normalizer=num_positives)
        return self.quality_weight * loss

    def after_step(self, terms: Mapping[str, Tensor]) -> None:
        """Pass the terms on to the classification loss."""
        self.classification.after_step(terms)
