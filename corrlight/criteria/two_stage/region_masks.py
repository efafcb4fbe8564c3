"""The loss of masks inside boxes (Mask R-CNN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from corrlight.arguments import check_at_least, check_choice, check_number
from corrlight.criteria.sample import DenseSample
from corrlight.losses.balance import balance_to
from corrlight.losses.mask import dice_loss
from corrlight.structures import (
    Match,
    Positives,
    PredictionField,
    Predictions,
    Targets,
)

__all__ = ["RegionMaskLoss"]


class RegionMaskLoss(nn.Module):
    """The loss of the masks of all positives, beside that of boxes and classes.

    A mask is compared with its object's inside the positive's prior, at the resolution of the head.

    Args:
        weight: Weight of the mask loss; "balanced" has none.
        kind: "cross_entropy", the mean of the binary one over all pixels (He et al., 2017); or
            "balanced", the Dice loss, weighted by the positives' best class scores, with the value
            of ``loss_rank`` and ``loss_sort`` in every step (Oksuz et al., 2021).
        max_masks: Positives of a batch, drawn at random, that have a mask loss at most; None for
            all.
        normalizer: Whether the number of masks that "cross_entropy" is divided by is the rank's
            ("local", as published) or averaged over the ranks ("global").

    Raises:
        ValueError: An argument is out of range.
    """

    needs: ClassVar[tuple[PredictionField, ...]] = ("priors", "region_masks")

    def __init__(
        self,
        weight: float = 1.0,
        kind: Literal["cross_entropy", "balanced"] = "cross_entropy",
        max_masks: int | None = None,
        normalizer: Literal["local", "global"] = "local",
    ) -> None:
        super().__init__()
        check_choice("normalizer", normalizer, ("local", "global"))
        check_choice("kind", kind, ("cross_entropy", "balanced"))
        if max_masks is not None:
            check_at_least(1, max_masks=max_masks)
        self.kind, self.max_masks, self.normalizer = kind, max_masks, normalizer
        self.weight = check_number("weight", weight)

    def normalizers(self, match: Match) -> dict[str, Tensor]:
        """Return the number of masks if it is averaged over the ranks."""
        return {"masks": self._num_masks(match)} if self.normalizer == "global" else {}

    def _num_masks(self, match: Match) -> Tensor:
        count = match.num_positives.sum().float()
        return count if self.max_masks is None else count.clamp(max=self.max_masks)

    def forward(
        self,
        predictions: Predictions,
        targets: Sequence[Targets],
        match: Match,
        normalizers: Mapping[str, Tensor],
        terms: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the scalar term.

        Args:
            predictions: Raw outputs of the stage.
            targets: Ground truth, one an image.
            match: The assigner's result.
            normalizers: What :meth:`normalizers` returned, averaged over the ranks in training.
            terms: Those of boxes and classes.

        Raises:
            ValueError: The predictions or the objects have no masks, or the loss is to be balanced
                to terms that there are not.
        """
        if predictions.region_masks is None:
            raise ValueError("Expected `predictions.region_masks` to make masks, but got None.")
        for target in targets:
            if target.masks is None and len(target.labels):
                raise ValueError(
                    "Expected `targets` to have masks (data.load_masks=true), but image "
                    f"{target.image_id} has none."
                )
        sample = DenseSample.collect(predictions, targets, match)
        positives, rows = sample.positives, self._drawn(sample.positives)
        logits = predictions.region_masks.logits(
            positives.image_idx[rows], sample.priors[rows].detach(), positives.labels[rows]
        )
        wanted = _inside(sample.priors, positives, rows, targets, logits.shape[-1])
        if self.kind == "cross_entropy":
            pixels = F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
            num_masks = normalizers.get("masks", self._num_masks(match)).clamp(min=1)
            return self.weight * pixels / (num_masks * logits.shape[-1] ** 2)
        weights = sample.box_weights("score")[rows]
        total = weights.sum()
        mask = (dice_loss(logits, wanted) * weights).sum() / total.where(total > 0, 1)
        return balance_to(mask, _ranking_value(terms)) + logits.sum() * 0

    def _drawn(self, positives: Positives) -> Tensor:
        """Return the rows of the positives that have a mask loss."""
        count = len(positives)
        device = positives.scores.device
        if self.max_masks is None or count <= self.max_masks:
            return torch.arange(count, device=device)
        return torch.randperm(count, device=device)[: self.max_masks]


def _ranking_value(terms: Mapping[str, Tensor]) -> Tensor:
    missing = {"loss_rank", "loss_sort"} - terms.keys()
    if missing:
        raise ValueError(
            "Expected the detection loss of a mask loss of kind 'balanced' to be Rank & Sort "
            f"(loss=rank_sort), but its terms are {', '.join(terms)}."
        )
    return terms["loss_rank"] + terms["loss_sort"]


@torch.no_grad()
def _inside(
    priors: Tensor, positives: Positives, rows: Tensor, targets: Sequence[Targets], size: int
) -> Tensor:
    """Return ``(K, size, size)`` what of each positive's object lies in its prior, 0 or 1."""
    wanted = priors.new_zeros(len(rows), size, size)
    for b, target in enumerate(targets):
        mine = (positives.image_idx[rows] == b).nonzero().squeeze(1)
        if not len(mine):
            continue
        assert target.masks is not None
        own = rows[mine]
        boxes = torch.cat([positives.gt_idx[own, None].to(priors), priors[own]], 1)
        masks = target.masks[:, None].to(priors)
        wanted[mine] = roi_align(masks, boxes, size, 1.0, 0, aligned=True)[:, 0]
    return (wanted >= 0.5).to(wanted)
