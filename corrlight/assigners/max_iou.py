"""Positives by a fixed IoU threshold (Ren et al., 2015, Section 3.1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torchvision.ops import box_iou

from corrlight.arguments import check_choice, check_share
from corrlight.structures import BACKGROUND, IGNORED, Match, PredictionField, Predictions, Targets

__all__ = ["MaxIoUAssigner"]


class MaxIoUAssigner:
    """A prior belongs to the object of highest IoU if that is high enough.

    Every object also takes the priors of its own highest IoU, however low, so that none is left
    out; the last object wins where several take the same prior.

    Deviation: published, an object that overlaps no prior at all takes all priors that overlap
    none; here it takes nothing.

    Hypotheses that an object's own box was given to (``Predictions.given``) belong to that object
    and take no part in the matching of the others.

    Args:
        positive_iou: Priors whose highest IoU reaches this are positive.
        negative_iou: Priors below it are background; those in between are ignored.
        force_match: "ties" gives an object all priors of its highest IoU (RetinaNet, PAA), "one"
            the first of them (YOLACT), None gives it nothing.
        least_forced_iou: Objects whose highest IoU is below it take nothing (Faster R-CNN).

    Raises:
        ValueError: An argument is out of range.
    """

    needs: ClassVar[tuple[PredictionField, ...]] = ("priors",)
    by_priors: ClassVar[bool] = True  # and by nothing else

    def __init__(
        self,
        positive_iou: float = 0.5,
        negative_iou: float = 0.4,
        force_match: str | None = "ties",
        least_forced_iou: float = 0.0,
    ) -> None:
        if not 0 < negative_iou <= positive_iou <= 1:
            raise ValueError(
                "Expected `negative_iou` and `positive_iou` to satisfy 0 < negative_iou <= "
                f"positive_iou <= 1, but got {negative_iou} and {positive_iou}."
            )
        check_choice("force_match", force_match, ("ties", "one", None))
        self.positive_iou, self.negative_iou = positive_iou, negative_iou
        check_share(least_forced_iou=least_forced_iou)
        self.force_match, self.least_forced_iou = force_match, least_forced_iou

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> Match:
        """Return the match; invalid priors are background.

        Raises:
            ValueError: ``predictions`` have no priors.
        """
        priors, valid, given = predictions.priors, predictions.valid, predictions.given
        if priors is None:
            raise ValueError("Expected `predictions.priors` to be anchors, but got None.")
        if given is not None:
            valid = valid & (given == BACKGROUND)
        own = [priors] * len(targets) if priors.ndim == 2 else priors
        rows = [self._one_image(own[b], valid[b], target.boxes) for b, target in enumerate(targets)]
        gt_idx = torch.stack(rows)
        return Match(gt_idx=gt_idx if given is None else torch.where(given >= 0, given, gt_idx))

    def _one_image(self, priors: Tensor, valid: Tensor, gt_boxes: Tensor) -> Tensor:
        """Return the ``(N,)`` object of every prior of one image."""
        result = torch.full((len(priors),), BACKGROUND, device=priors.device)
        if not len(gt_boxes):
            return result
        ious = box_iou(gt_boxes, priors)  # (G, N)
        # Nothing overlaps an invalid prior, nor a prior or an object without area.
        ious = ious.nan_to_num_(0.0).mul_(valid)
        best, gt_idx = ious.max(0)
        result[best >= self.negative_iou] = IGNORED
        result = torch.where(best >= self.positive_iou, gt_idx, result)
        if self.force_match is None:
            return result
        highest, first = ious.max(1)
        overlapping = (highest > 0) & (highest >= self.least_forced_iou)
        if self.force_match == "one":
            objects, taken = overlapping.nonzero().squeeze(1), first[overlapping]
        else:
            forced = (ious == highest[:, None]) & overlapping[:, None]
            objects, taken = forced.nonzero().unbind(1)
        last = torch.full_like(result, -1).scatter_reduce_(0, taken, objects, "amax")
        return torch.where(last >= 0, last, result)
