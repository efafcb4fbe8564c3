"""Positives in the middle of objects, on the levels of their size (Kong et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from corrlight.structures import BACKGROUND, Match, PredictionField, Predictions, Targets

__all__ = ["FoveaBoxAssigner"]


class FoveaBoxAssigner:
    """Cells inside the shrunk object are positive on every level whose size range it falls into.

    Where shrunk objects overlap, the smallest takes the cell.

    Args:
        strides: Pixels per cell, one a level.
        size_ranges: Smallest and largest square root of an object's area, one pair a level, both
            included; ranges of neighbouring levels may overlap.
        sigma: Edge of the shrunk object relative to the object's.

    Raises:
        ValueError: An argument is out of range.
    """

    needs: ClassVar[tuple[PredictionField, ...]] = ("priors",)

    def __init__(
        self,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        size_ranges: Sequence[Sequence[float]] = (
            (1, 64),
            (32, 128),
            (64, 256),
            (128, 512),
            (256, 2048),
        ),
        sigma: float = 0.4,
    ) -> None:
        if len(size_ranges) != len(strides):
            raise ValueError(
                f"Expected `size_ranges` to have one entry for each of {len(strides)} strides, "
                f"but got {len(size_ranges)}."
            )
        if any(len(r) != 2 or not 0 <= r[0] <= r[1] for r in size_ranges):
            raise ValueError(
                "Expected `size_ranges` to be pairs of increasing numbers >= 0, "
                f"but got {[[*r] for r in size_ranges]}."
            )
        if not 0 < sigma <= 1:
            raise ValueError(f"Expected `sigma` to be in (0, 1], but got {sigma}.")
        self.strides = tuple(strides)
        self.size_ranges = tuple((float(low), float(high)) for low, high in size_ranges)
        self.sigma = sigma

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> Match:
        """Return the match.

        Raises:
            ValueError: ``predictions`` have no priors, or not as many levels as ``strides``.
        """
        priors, level_idx = predictions.shared_priors, predictions.level_idx
        level_sizes = level_idx.bincount()
        if len(level_sizes) != len(self.strides):
            raise ValueError(
                f"Expected `strides` to have {len(level_sizes)} entries, one a level, "
                f"but got {len(self.strides)}."
            )
        strides = priors.new_tensor(self.strides)  # (L,)
        middles = (priors[:, :2] + priors[:, 2:]) / 2
        cells = (middles / strides[level_idx, None] - 0.5).round()  # (N, 2) column and row
        last_cells = cells[level_sizes.cumsum(0) - 1]  # (L, 2)
        rows = [
            self._one_image(target.boxes, strides, cells, last_cells, level_idx)
            for target in targets
        ]
        return Match(gt_idx=torch.stack(rows))

    def _one_image(
        self,
        gt_boxes: Tensor,
        strides: Tensor,
        cells: Tensor,
        last_cells: Tensor,
        level_idx: Tensor,
    ) -> Tensor:
        """Return the ``(N,)`` object of every prior of one image."""
        if not len(gt_boxes):
            return torch.full_like(level_idx, BACKGROUND)
        size = (gt_boxes[:, 2:] - gt_boxes[:, :2]).prod(1).sqrt()
        # A cell belongs to the smallest object, so the last in this order.
        order = size.argsort(descending=True, stable=True)
        boxes, size = gt_boxes[order, None] / strides[:, None], size[order, None]  # (G, L, 4)
        low, half = boxes[..., :2], (boxes[..., 2:] - boxes[..., :2]) / 2
        first = (low + (1 - self.sigma) * half - 0.5).ceil()
        last = (low + (1 + self.sigma) * half - 0.5).floor()
        # As published, cells beyond the map count as those of its border.
        first, last = (x.clamp(min=0).minimum(last_cells) for x in (first, last))
        lower, upper = strides.new_tensor(self.size_ranges).unbind(1)
        suits = (size >= lower) & (size <= upper)  # (G, L)
        inside = (cells >= first[:, level_idx]) & (cells <= last[:, level_idx])  # (G, N, 2)
        inside = inside.all(-1) & suits[:, level_idx]
        rank = torch.arange(1, len(order) + 1, device=order.device)[:, None]
        winner = (inside * rank).amax(0)
        return torch.where(winner > 0, order[winner - 1], BACKGROUND)
