"""Anchor boxes of dense detectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from corrlight.modes.tracing import is_exporting, tensor_of_sizes

__all__ = ["AnchorGrid"]

# Grids kept per generator; multi-scale training meets many sizes.
_MAX_CACHED = 32


class AnchorGrid:
    """Anchors of every cell of every pyramid level.

    Ordered by level, then by row-major cell, then by ratio, then by scale. Anchors are computed
    once for each combination of map sizes.

    Args:
        strides: Pixels per cell, one a level.
        sizes: Edge of the square anchor at scale 1, one a level.
        scales: Factors on ``sizes``.
        ratios: Height over width; the area does not depend on it.
        offset: Where the centre lies within its cell: 0 is the corner, 0.5 the middle.
    """

    def __init__(
        self,
        strides: Sequence[float],
        sizes: Sequence[float],
        scales: Sequence[float] = (1.0,),
        ratios: Sequence[float] = (1.0,),
        offset: float = 0.0,
    ) -> None:
        if len(strides) != len(sizes) or not strides:
            raise ValueError(
                f"Expected `sizes` to have one entry for each of {len(strides)} strides, "
                f"but got {len(sizes)}."
            )
        for name, values in (("scales", scales), ("ratios", ratios)):
            if not values or min(values) <= 0:
                raise ValueError(f"Expected `{name}` to be positive numbers, but got {[*values]}.")
        self.strides, self.sizes = tuple(strides), tuple(sizes)
        self.scales, self.ratios, self.offset = tuple(scales), tuple(ratios), offset
        self._cache: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}

    @classmethod
    def octaves(
        cls,
        strides: Sequence[int],
        scale: float,
        scales_per_octave: int = 1,
        ratios: Sequence[float] = (1.0,),
    ) -> AnchorGrid:
        """Return anchors of ``scale`` strides, with edges 2^(i/scales_per_octave) apart."""
        return cls(
            strides,
            [scale * s for s in strides],
            [2 ** (i / scales_per_octave) for i in range(scales_per_octave)],
            ratios,
        )

    @property
    def num_per_cell(self) -> int:
        """Anchors of one cell."""
        return len(self.scales) * len(self.ratios)

    def level_sizes(self, sizes: Sequence[tuple[int, int]]) -> tuple[int, ...]:
        """Return the number of anchors of every level, for maps of the given sizes."""
        return tuple(height * width * self.num_per_cell for height, width in sizes)

    def _level(self, level: int, size: tuple[int, int]) -> Tensor:
        stride, edge = self.strides[level], self.sizes[level]
        half = torch.tensor(
            [
                [edge * s / math.sqrt(r) / 2, edge * s * math.sqrt(r) / 2]
                for r in self.ratios
                for s in self.scales
            ]
        )  # (A, 2) half width and height
        y, x = ((torch.arange(n) + self.offset) * stride for n in size)
        centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 1, 2)
        return torch.cat([centres - half, centres + half], -1).reshape(-1, 4)

    def __call__(
        self, sizes: Sequence[tuple[int, int]], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Return the anchors of maps of the given sizes.

        Args:
            sizes: Height and width of every level's map, in cells.
            device: Where the result lies.

        Returns:
            ``(N, 4)`` boxes and ``(N,)`` int64 levels.
        """
        if is_exporting():
            # Sizes may be symbols, and what is traced is no tensor for later calls.
            return self._made(sizes, device)
        key = (*sizes, device)
        if key not in self._cache:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            self._cache[key] = self._made(sizes, device)
        return self._cache[key]

    def _made(
        self, sizes: Sequence[tuple[int, int]], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        levels = [self._level(i, size) for i, size in enumerate(sizes)]
        level_idx = [torch.full((a.shape[0],), i) for i, a in enumerate(levels)]
        return torch.cat(levels).to(device), torch.cat(level_idx).to(device)

    def valid(
        self,
        sizes: Sequence[tuple[int, int]],
        image_sizes: Sequence[tuple[int, int]],
        device: torch.device,
    ) -> Tensor:
        """Return which anchors belong to a cell that begins inside its image.

        Args:
            sizes: Height and width of every level's map, in cells.
            image_sizes: Height and width of every image padded on its own, in pixels.
            device: Where the result lies.

        Returns:
            ``(B, N)`` bool.
        """
        parts = []
        for stride, (height, width) in zip(self.strides, sizes, strict=True):
            limits = tensor_of_sizes(image_sizes, device)[:, :, None]  # (B, 2, 1)
            y = torch.arange(height, device=device) * stride < limits[:, 0]  # (B, H)
            x = torch.arange(width, device=device) * stride < limits[:, 1]
            cells = (y[:, :, None] & x[:, None, :]).flatten(1)
            parts.append(cells.repeat_interleave(self.num_per_cell, 1))
        return torch.cat(parts, 1)
