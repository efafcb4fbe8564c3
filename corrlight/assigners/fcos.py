"""Points inside objects of a level's size (Tian et al., 2019, Section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from corrlight.arguments import check_number
from corrlight.structures import BACKGROUND, Match, PredictionField, Predictions, Targets

__all__ = ["FCOSAssigner"]


class FCOSAssigner:
    """Positives by place and size.

    A prior belongs to an object if its centre lies inside it, and no further than
    ``center_radius`` prior edges from the object's centre in either direction, and if the furthest
    side of the object is in the range of the level. Of several objects the smallest takes it.

    Args:
        size_ranges: Least and greatest distance to the furthest side in pixels, one pair a level;
            both belong to the range.
        center_radius: In edges of the prior, which FCOS has as large as the stride; None for the
            whole object.

    Raises:
        ValueError: An argument is out of range.
    """

    needs: ClassVar[tuple[PredictionField, ...]] = ("priors",)

    def __init__(
        self, size_ranges: Sequence[Sequence[float]], center_radius: float | None = 1.5
    ) -> None:
        if not size_ranges or any(len(r) != 2 or not r[0] < r[1] for r in size_ranges):
            raise ValueError(
                "Expected `size_ranges` to be pairs of a smaller and a larger distance, one a "
                f"level, but got {[*map(list, size_ranges)]}."
            )
        if center_radius is not None:
            check_number("center_radius", center_radius, above=0)
        self.size_ranges = [(float(low), float(high)) for low, high in size_ranges]
        self.center_radius = center_radius

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> Match:
        """Return the match.

        Raises:
            ValueError: ``predictions`` have no priors, or more levels than there are ranges.
        """
        priors, level_idx = predictions.shared_priors, predictions.level_idx
        num_levels = int(level_idx.max()) + 1
        if num_levels != len(self.size_ranges):
            raise ValueError(
                f"Expected `size_ranges` to have {num_levels} entries, one a level, "
                f"but got {len(self.size_ranges)}."
            )
        ranges = priors.new_tensor(self.size_ranges)[level_idx]  # (N, 2)
        return Match(
            gt_idx=torch.stack([self._one_image(priors, ranges, t.boxes) for t in targets])
        )

    def _one_image(self, priors: Tensor, ranges: Tensor, boxes: Tensor) -> Tensor:
        """Return the ``(N,)`` object of each prior."""
        if not len(boxes):
            return torch.full((len(priors),), BACKGROUND, device=priors.device)
        points = ((priors[:, :2] + priors[:, 2:]) / 2)[:, None]  # (N, 1, 2)
        low, high = boxes[:, :2], boxes[:, 2:]  # (G, 2)
        furthest = torch.maximum(points - low, high - points).amax(-1)  # (N, G)
        fits = (furthest >= ranges[:, :1]) & (furthest <= ranges[:, 1:])
        if self.center_radius is not None:
            reach = self.center_radius * (priors[:, 2:] - priors[:, :2])[:, None]
            centres = (low + high) / 2
            low, high = torch.maximum(centres - reach, low), torch.minimum(centres + reach, high)
        fits &= torch.minimum(points - low, high - points).amin(-1) > 0
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1).expand(fits.shape)
        smallest, index = areas.masked_fill(~fits, torch.inf).min(1)
        return torch.where(smallest.isfinite(), index, BACKGROUND)
