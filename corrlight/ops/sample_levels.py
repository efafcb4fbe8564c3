"""Weighted sums of what a pyramid holds at single points, as one sparse product over all levels.

Every point of every query and head reads four cells: a sum of the table of all tokens and heads
with as many weights. PyTorch's own operator samples one level at a time, and what it has read is
written, weighted and summed by others, 32 numbers a point.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from corrlight.ops.switch import is_on
from corrlight.ops.weighted_rows import entry_gradient, row_gradient

__all__ = ["sample_levels"]

# Fewer cells, or of narrower heads, are read as fast one level at a time.
_MIN_CELLS, _MIN_WIDTH = 2**16, 32


def sample_levels(
    values: Tensor, sizes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Return weighted sums of what a pyramid holds at single points.

    Values between the middles of cells are interpolated bilinearly; beyond a map they are 0. Equals
    ``torch.nn.functional.grid_sample`` of every level, weighted and summed, up to rounding, where
    all numbers are finite. Differentiable once on the fast path.

    Args:
        values: ``(B, T, H, D)`` tokens of H heads, level after level, row after row.
        sizes: Height and width of every level.
        locations: ``(B, N, H, L, P, 2)`` points x, y; a level reaches from 0 to 1. Of fp32 or
            better: the eight bits of bfloat16 are a cell of a large map.
        weights: ``(B, N, H, L, P)``.

    Returns:
        ``(B, N, H * D)``, in the type of ``locations``.
    """
    values, weights = values.to(locations.dtype), weights.to(locations.dtype)
    if _pays(values, weights):
        found: Tensor = _SampleLevels.apply(values, tuple(sizes), locations, weights)
        return found
    return _level_by_level(values, sizes, locations, weights)


def _pays(values: Tensor, weights: Tensor) -> bool:
    # First of all: where sizes are symbols, a comparison would bind the graph to its answer.
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return (
        values.device.type == "cpu"
        and values.dtype == torch.float32
        and values.shape[3] >= _MIN_WIDTH
        and 4 * weights.numel() >= _MIN_CELLS
        and is_on("sample_levels")
    )


def _level_by_level(
    values: Tensor, sizes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    batch, count, heads = locations.shape[:3]
    grids = (2 * locations - 1).transpose(1, 2).flatten(0, 1)  # (B * H, N, L, P, 2)
    shares = weights.transpose(1, 2).flatten(0, 1)[:, None]
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
    return total.view(batch, heads, values.shape[3], count).permute(0, 3, 1, 2).flatten(2)


class _Neighbours(NamedTuple):
    """The two cells around points on one axis, the one before first.

    Attributes:
        cells: Two ``(B, N, H, L, P)`` int32, moved into the map.
        shares: Two ``(B, N, H, L, P)`` shares in the value, 0 of cells beyond the map.
        inside: Two ``(B, N, H, L, P)``, whether they are cells of the map.
    """

    cells: list[Tensor]
    shares: list[Tensor]
    inside: list[Tensor]


def _neighbours(place: Tensor, size: Tensor) -> _Neighbours:
    """Return the cells around points.

    Args:
        place: ``(B, N, H, L, P)`` from 0 to 1 over the map.
        size: ``(L, 1)`` int32 cells of the axis.
    """
    # 0 is the middle of the first cell. At the middle of a cell the slope jumps, and rounding says
    # which one it is: the same steps as PyTorch's, from -1 to 1 and with one rounding at the end.
    middle, half = place.new_tensor(-0.5), (size / 2).to(place.dtype)
    position = torch.addcmul(middle, (2 * place - 1).add_(1), half.expand(place.shape[-2:]))
    before = position.floor()
    after_share = position.sub_(before)
    first = before.int()
    cells, inside = [], []
    for cell in (first, first + 1):
        clamped = cell.clamp(min=0).minimum(size - 1)
        inside.append(clamped == cell)
        cells.append(clamped)
    return _Neighbours(cells, [(1 - after_share).mul_(inside[0]), after_share * inside[1]], inside)


class _SampleLevels(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        sizes: tuple[tuple[int, int], ...],
        locations: Tensor,
        weights: Tensor,
    ) -> Tensor:
        batch, num_tokens, heads, width = values.shape
        whole: dict[str, Any] = {"dtype": torch.int32, "device": values.device}
        sides = torch.tensor(sizes, **whole)[..., None]  # (L, 2, 1)
        y = _neighbours(locations[..., 1], sides[:, 0])
        x = _neighbours(locations[..., 0], sides[:, 1])
        counts = (height * width for height, width in sizes)
        starts = torch.tensor([*itertools.accumulate(counts, initial=0)][:-1], **whole)
        image = torch.arange(batch, **whole)[:, None, None, None, None] * num_tokens
        head = torch.arange(heads, **whole)[:, None, None]
        first = (image + starts[:, None]) * heads + head  # (B, 1, H, L, 1)
        # Four entries a point.
        shape = torch.Size((*weights.shape[:3], 2, 2, *weights.shape[3:]))
        index, entries = torch.empty(shape, **whole), values.new_empty(shape)
        columns = [cell * heads for cell in x.cells]
        for i in (0, 1):
            row = (y.cells[i] * (sides[:, 1] * heads)).add_(first)
            share = weights * y.shares[i]
            for j in (0, 1):
                torch.add(row, columns[j], out=index[:, :, :, i, j])
                torch.mul(share, x.shares[j], out=entries[:, :, :, i, j])
        rows = values.reshape(-1, width)
        index = index.view(weights.shape[:3].numel(), shape[3:].numel())
        entries = entries.view(index.shape)
        ctx.save_for_backward(rows, index, entries, locations, weights)
        ctx.sides, ctx.shape = sides, values.shape
        found = F.embedding_bag(index, rows, mode="sum", per_sample_weights=entries)
        return found.view(batch, weights.shape[1], heads * width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, index, entries, locations, weights = ctx.saved_tensors
        grad = grad.reshape(len(index), rows.shape[1])
        wants_values, _, *wants_others = ctx.needs_input_grad
        of_values = of_locations = of_weights = None
        if wants_values:
            of_values = row_gradient(grad, len(rows), index, entries).view(ctx.shape)
        if any(wants_others):
            # What depends on places alone takes little time and much memory.
            y = _neighbours(locations[..., 1], ctx.sides[:, 0])
            x = _neighbours(locations[..., 0], ctx.sides[:, 1])
            of_entries = entry_gradient(grad, rows, index)
            corners = of_entries.view(*weights.shape[:3], 2, 2, *weights.shape[3:])
            read, slopes_x = [], []  # Of the upper and of the lower cells.
            for i in (0, 1):
                left, right = corners[:, :, :, i, 0], corners[:, :, :, i, 1]
                read.append(left * x.shares[0] + right * x.shares[1])
                slopes_x.append(right * x.inside[1] - left * x.inside[0])
            of_weights = y.shares[0] * read[0] + y.shares[1] * read[1]
            slope_x = y.shares[0] * slopes_x[0] + y.shares[1] * slopes_x[1]
            slope_y = read[1] * y.inside[1] - read[0] * y.inside[0]
            slopes = torch.stack([slope_x * ctx.sides[:, 1], slope_y * ctx.sides[:, 0]], -1)
            of_locations = slopes.mul_(weights[..., None])
        return of_values, None, of_locations, of_weights
