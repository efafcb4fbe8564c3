"""Multi-scale deformable attention (Zhu et al., 2021, Sec. 4.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from corrlight.detectors.deformable.layout import LevelLayout
from corrlight.ops.linear import Linear
from corrlight.ops.sample_levels import sample_levels

__all__ = ["MultiScaleAttention"]


class MultiScaleAttention(nn.Module):
    """Every query looks at a few points of every level, which it chooses itself.

    Args:
        channels: Channels C of queries and tokens, a multiple of ``num_heads``.
        num_heads: Heads H.
        num_levels: Levels L of the pyramid.
        num_points: Points P of a level that a head looks at.
    """

    def __init__(self, channels: int, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        self.shape = (num_heads, num_levels, num_points)
        count = math.prod(self.shape)
        self.sampling_points = Linear(channels, 2 * count)
        self.weights = Linear(channels, count)
        self.values = Linear(channels, channels)
        self.project = Linear(channels, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start with equal weights and every head looking its own way, point by point farther."""
        heads, levels, points = self.shape
        for linear in (self.sampling_points, self.weights):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        angles = torch.arange(heads) * (2 * math.pi / heads)
        ways = torch.stack([angles.cos(), angles.sin()], -1)
        ways = ways / ways.abs().amax(-1, keepdim=True)  # on the edge of a square
        steps = torch.arange(1, points + 1)
        offsets = (ways[:, None] * steps[:, None])[:, None].expand(-1, levels, -1, -1)
        with torch.no_grad():
            self.sampling_points.bias.copy_(offsets.flatten())
        for linear in (self.values, self.project):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self, queries: Tensor, tokens: Tensor, references: Tensor, layout: LevelLayout
    ) -> Tensor:
        """Return what the queries see, ``(B, N, C)``.

        Args:
            queries: ``(B, N, C)``, positions added.
            tokens: ``(B, T, C)`` of all levels.
            references: ``(B, N, L, 2)`` points x, y that offsets are counted from, in cells, or
                ``(B, N, L, 4)`` boxes as centre, width and height, whose halves are ``num_points``
                steps; as shares of each level. fp32 or better.
            layout: Where the tokens lie.
        """
        heads, levels, points = self.shape
        values = self.values(tokens)
        if layout.padding is not None:
            values = values.masked_fill(layout.padding[..., None], 0)
        offsets = self.sampling_points(queries).to(references.dtype)
        offsets = offsets.unflatten(2, (heads, levels, points, 2))
        weights = self.weights(queries).to(references.dtype).unflatten(2, (heads, -1))
        weights = weights.softmax(-1).unflatten(3, (levels, points))
        centres = references[:, :, None, :, None, :2]
        if references.shape[-1] == 2:
            # As many numbers as a query has: pairs alone are divided at a tenth of the speed.
            cells = layout.cells()[:, None].expand(heads, -1, points, -1).contiguous()
            locations = centres + offsets / cells
        else:
            edges = references[:, :, None, :, None, 2:]
            locations = centres + offsets / points * edges * 0.5
        seen = sample_levels(values.unflatten(2, (heads, -1)), layout.sizes, locations, weights)
        return self.project(seen.to(values.dtype))
