"""Background hypotheses inside crowd regions, ignored on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from corrlight.structures import BACKGROUND, IGNORED, Match, Predictions, Targets

__all__ = ["ignore_crowds"]


@torch.no_grad()
def ignore_crowds(
    predictions: Predictions, targets: Sequence[Targets], match: Match, min_inside: float = 0.5
) -> Match:
    """Return the match with background inside crowds ignored (``train_ignore_crowd``).

    A hypothesis is ignored when a crowd box covers at least ``min_inside`` of its prior (of its
    predicted box where there are no priors): what it shows may well be one of the crowd's objects.
    Without crowd boxes the match itself is returned.

    Args:
        predictions: One stage.
        targets: Ground truth with ``crowd_boxes``.
        match: The assigner's result.
        min_inside: Share of the hypothesis' area, in (0, 1].
    """
    if all(t.crowd_boxes is None or not len(t.crowd_boxes) for t in targets):
        return match
    gt_idx = match.gt_idx.clone()
    for image, target in enumerate(targets):
        if target.crowd_boxes is None or not len(target.crowd_boxes):
            continue
        own = predictions.boxes if predictions.priors is None else predictions.priors
        own = own if own.ndim == 2 else own[image]
        low = torch.max(own[:, None, :2], target.crowd_boxes[None, :, :2])
        high = torch.min(own[:, None, 2:], target.crowd_boxes[None, :, 2:])
        inside = (high - low).clamp(min=0).prod(-1)  # (N, K)
        area = (own[:, 2:] - own[:, :2]).clamp(min=0).prod(-1)
        covered = (inside >= min_inside * area[:, None]).any(1) & (area > 0)
        gt_idx[image, covered & (gt_idx[image] == BACKGROUND)] = IGNORED
    return replace(match, gt_idx=gt_idx)
