"""L_OD of detectors with masks: boxes and classes, masks, semantic segmentation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from corrlight.arguments import check_at_least, check_choice, check_number
from corrlight.criteria.base import Criterion
from corrlight.losses.mask import box_regions, mask_loss, semantic_loss
from corrlight.structures import (
    Activation,
    MaskPredictions,
    Match,
    Positives,
    PredictionField,
    Predictions,
    Targets,
)

__all__ = ["InstanceMaskCriterion"]


class InstanceMaskCriterion(Criterion):
    """The loss of boxes and classes, and those of masks and of the semantic segmentation (YOLACT).

    The masks of all positives are compared to their objects' within the objects' boxes, divided by
    the number of masks. Images without objects have no mask and, as published, no semantic loss.

    Args:
        detection: The loss of boxes and classes.
        mask_weight: Weight of the mask loss.
        semantic_weight: Weight of the semantic segmentation loss.
        max_masks: Positives of an image, drawn at random, that have a mask loss at most.
        normalizer: Whether the number of masks is the rank's ("local", as published) or averaged
            over the ranks ("global").
        published_channels: Let the class after the one that a channel stands for train it (class 0
            the last), as published: it permutes the channels, which matters only to go on training
            a published checkpoint.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        detection: Criterion,
        mask_weight: float = 6.125,
        semantic_weight: float = 1.0,
        max_masks: int = 100,
        normalizer: Literal["local", "global"] = "local",
        published_channels: bool = False,
    ) -> None:
        super().__init__()
        self.detection = detection
        self.mask_weight = check_number("mask_weight", mask_weight)
        self.semantic_weight = check_number("semantic_weight", semantic_weight)
        check_at_least(1, max_masks=max_masks)
        check_choice("normalizer", normalizer, ("local", "global"))
        self.max_masks, self.normalizer = max_masks, normalizer
        self.published_channels = published_channels

    @property
    def activation(self) -> Activation | None:
        """What the detection loss asks for."""
        return self.detection.activation

    @property
    def needs(self) -> Collection[PredictionField]:
        """What the detection loss needs, and masks."""
        return {"mask", *self.detection.needs}

    def normalizers(
        self, predictions: Predictions, targets: Sequence[Targets], match: Match
    ) -> dict[str, Tensor]:
        """Return those of the detection loss and, if global, the number of masks."""
        values = self.detection.normalizers(predictions, targets, match)
        return values | ({"masks": self._num_masks(match)} if self.normalizer == "global" else {})

    def forward(
        self,
        predictions: Predictions,
        targets: Sequence[Targets],
        match: Match,
        normalizers: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the terms of the detection loss, ``loss_mask`` and ``loss_semantic``.

        Raises:
            ValueError: The predictions have no masks, or the ground truth has none of its objects.
        """
        if predictions.mask is None:
            raise ValueError("Expected `predictions.mask` to hold mask predictions, but got None.")
        for target in targets:
            if target.masks is None and len(target.labels):
                raise ValueError(
                    "Expected `targets` to have masks (data.load_masks=true), but image "
                    f"{target.image_id} has none."
                )
        terms = self.detection(predictions, targets, match, normalizers)
        num_masks = normalizers.get("masks", self._num_masks(match)).clamp(min=1)
        positives = Positives.gather(predictions, targets, match)
        terms["loss_mask"] = (
            self.mask_weight * self._mask(predictions.mask, positives, targets) / num_masks
        )
        if predictions.mask.semantic_logits is not None:
            semantic = self._semantic(predictions.mask.semantic_logits, targets)
            terms["loss_semantic"] = self.semantic_weight * semantic
        return terms

    def after_step(self, terms: Mapping[str, Tensor]) -> None:
        """Pass the terms on to the detection loss."""
        self.detection.after_step(terms)

    def _num_masks(self, match: Match) -> Tensor:
        return match.num_positives.clamp(max=self.max_masks).sum().float()

    def _mask(
        self, mask: MaskPredictions, positives: Positives, targets: Sequence[Targets]
    ) -> Tensor:
        """Return the sum of the mask losses of the batch."""
        size = mask.prototypes.shape[2], mask.prototypes.shape[3]
        # Attached to both branches, so that they have a gradient without positives too.
        total = (mask.coefficients.sum() * 0 + mask.prototypes.sum() * 0).float()
        for b, target in enumerate(targets):
            mine = (positives.image_idx == b).nonzero().squeeze(1)
            if len(mine) > self.max_masks:
                drawn = torch.randperm(len(mine), device=mine.device)[: self.max_masks]
                mine = mine[drawn]
            if not len(mine):
                continue
            assert target.masks is not None
            logits = torch.einsum(
                "pk,khw->phw",
                mask.coefficients[b, positives.pred_idx[mine]].float(),
                mask.prototypes[b].float(),
            )
            boxes = positives.gt_boxes[mine]
            height, width = mask.input_size
            edges = boxes[:, 2:] - boxes[:, :2]
            total = (
                total
                + mask_loss(
                    logits,
                    _shrunk(target.masks, size)[positives.gt_idx[mine]],
                    box_regions(boxes, mask.input_size, size),
                    edges.prod(1) / (height * width),
                ).sum()
            )
        return total

    def _semantic(self, logits: Tensor, targets: Sequence[Targets]) -> Tensor:
        """Return the mean of the semantic losses of the images."""
        total = (logits.sum() * 0).float()
        size = logits.shape[2], logits.shape[3]
        for own, target in zip(logits, targets, strict=True):
            if target.masks is None or not len(target.labels):
                continue
            labels = target.labels
            if self.published_channels:
                labels = (labels - 1) % logits.shape[1]
            total = total + semantic_loss(own, _shrunk(target.masks, size), labels)
        return total / len(targets)


def _shrunk(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return ``(G, H, W)`` masks as bool ``(G, h, w)`` masks of the same image."""
    return F.interpolate(masks[None].float(), size=size, mode="bilinear")[0] > 0.5
