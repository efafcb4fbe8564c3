"""Adaptive training sample selection (Zhang et al., 2020, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from corrlight.arguments import check_at_least
from corrlight.boxes import paired_iou
from corrlight.structures import BACKGROUND, Match, PredictionField, Predictions, Targets

__all__ = ["ATSSAssigner"]


class ATSSAssigner:
    """Positives by a threshold that follows the statistics of each object's closest anchors.

    Candidates of an object are its ``topk`` closest anchors a level. Those whose IoU reaches the
    mean plus the standard deviation of the candidates' IoU, and whose centre lies inside the
    object, are positive. An anchor claimed by several objects goes to the one of highest IoU.

    Args:
        topk: Candidates per level.
        min_margin: Pixels by which the centre must lie inside.
    """

    needs: ClassVar[tuple[PredictionField, ...]] = ("priors",)

    def __init__(self, topk: int = 9, min_margin: float = 0.01) -> None:
        check_at_least(1, topk=topk)
        self.topk, self.min_margin = topk, min_margin

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> Match:
        """Return the match; all objects of the batch are treated at once.

        Raises:
            ValueError: ``predictions`` have no priors.
        """
        priors, valid = predictions.shared_priors, predictions.valid
        gt_boxes = torch.cat([t.boxes for t in targets])  # (S, 4), S objects in the batch
        counts = [len(t.labels) for t in targets]
        device = priors.device
        image_idx = torch.arange(len(counts), device=device).repeat_interleave(
            torch.tensor(counts, device=device)
        )
        gt_idx = torch.cat([torch.arange(n, device=device) for n in counts])

        centres = (priors[:, :2] + priors[:, 2:]) / 2
        gt_centres = (gt_boxes[:, :2] + gt_boxes[:, 2:]) / 2
        squared = ((gt_centres[:, None] - centres) ** 2).sum(-1)  # (S, N)
        squared.masked_fill_(~valid[image_idx], torch.inf)
        candidates, usable = self._candidates(squared, predictions.level_idx)  # (S, K)

        num = candidates.shape[1]
        ious = paired_iou(priors[candidates.flatten()], gt_boxes.repeat_interleave(num, 0)).reshape(
            -1, num
        )
        chosen = usable & (ious >= self._threshold(ious, usable)[:, None])
        x, y = centres[candidates].unbind(-1)
        left, top, right, bottom = gt_boxes[:, :, None].unbind(1)
        margin = torch.stack([x - left, y - top, right - x, bottom - y]).amin(0)
        chosen &= margin > self.min_margin
        return Match(gt_idx=_resolve(chosen, candidates, ious, image_idx, gt_idx, valid))

    def _candidates(self, distances: Tensor, level_idx: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(S, K)`` indices of the closest priors of each level, and which are valid."""
        indices, usable, start = [], [], 0
        for size in level_idx.bincount().tolist():
            level = distances[:, start : start + size]
            nearest, index = level.topk(min(self.topk, size), largest=False, dim=1)
            indices.append(index + start)
            usable.append(nearest.isfinite())
            start += size
        return torch.cat(indices, 1), torch.cat(usable, 1)

    @staticmethod
    def _threshold(ious: Tensor, usable: Tensor) -> Tensor:
        """Return the ``(S,)`` mean plus unbiased standard deviation over the usable candidates."""
        # Exact for candidates of equal IoU, which then all reach their mean.
        values = ious.double() * usable
        count = usable.sum(1).clamp(min=1)
        mean = values.sum(1) / count
        deviations = (ious - mean[:, None]) * usable
        variance = (deviations**2).sum(1) / (count - 1).clamp(min=1)
        return mean + variance.sqrt()


def _resolve(
    chosen: Tensor,
    candidates: Tensor,
    ious: Tensor,
    image_idx: Tensor,
    gt_idx: Tensor,
    like: Tensor,
) -> Tensor:
    """Return the ``(B, N)`` object of each prior: of those that claim it the one of highest IoU."""
    rows, columns = chosen.nonzero(as_tuple=True)
    claimed = image_idx[rows] * like.shape[1] + candidates[rows, columns]  # into (B * N,)
    iou, objects = ious[rows, columns], gt_idx[rows]
    best = iou.new_full((like.numel(),), -1.0).scatter_reduce_(0, claimed, iou, "amax")
    wins = iou == best[claimed]
    # Equal IoUs: the first object, so that the result does not depend on the order of writing.
    none = int(objects.max()) + 1 if len(objects) else 0
    result = objects.new_full((like.numel(),), none)
    result.scatter_reduce_(0, claimed[wins], objects[wins], "amin")
    result[result == none] = BACKGROUND
    return result.reshape(like.shape)
