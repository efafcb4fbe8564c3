"""Multi-scale deformable attention (Zhu et al., 2021, Sec. 4.1) of PyTorch's own operators."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corrlight.detectors.deformable.layout import LevelLayout
from corrlight.ops.linear import Linear

__all__ = ["MultiScaleAttention", "sample_levels"]


def sample_levels(
    values: Tensor, sizes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Return weighted sums of what a pyramid holds at single points.

    Values between the middles of cells are interpolated bilinearly; beyond a map they are 0.

    Args:
        values: ``(B, T, H, D)`` tokens of H heads, level after level, row after row.
        sizes: Height and width of every level.
        locations: ``(B, N, H, L, P, 2)`` points x, y; a level reaches from 0 to 1. Of fp32 or
            better: the eight bits of bfloat16 are a cell of a large map.
        weights: ``(B, N, H, L, P)``.

    Returns:
        ``(B, N, H * D)``, in the type of ``locations``.
    """
    batch, count, heads = locations.shape[:3]
    values = values.to(locations.dtype)
    grids = (2 * locations - 1).transpose(1, 2).flatten(0, 1)  # (B * H, N, L, P, 2)
    shares = weights.to(locations.dtype).transpose(1, 2).flatten(0, 1)[:, None]
    total, start = None, 0
    for level, (height, width) in enumerate(sizes):
        end = start + height * width
        own = values[:, start:end].permute(0, 2, 3, 1).flatten(0, 1)  # (B * H, D, h * w)
        found = F.grid_sample(
            own.unflatten(2, (height, width)), grids[:, :, level], align_corners=False
        )  # (B * H, D, N, P)
        part = (found * shares[:, :, :, level]).sum(-1)
        total = part if total is None else total + part
        start = end
    assert total is not None, "no levels"
    return total.view(batch, heads, -1, count).permute(0, 3, 1, 2).flatten(2)


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
            locations = centres + offsets / layout.cells()[:, None]
        else:
            edges = references[:, :, None, :, None, 2:]
            locations = centres + offsets / points * edges * 0.5
        seen = sample_levels(values.unflatten(2, (heads, -1)), layout.sizes, locations, weights)
        return self.project(seen.to(values.dtype))
