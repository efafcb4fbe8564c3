"""RoIAlign over a whole feature pyramid at once.

Bilinear sampling makes every output cell a weighted sum of a few feature vectors: one row of a
sparse matrix. With the pyramid laid out as one table of feature vectors, all boxes of all images on
all levels are a single ``embedding_bag``; its gradient is another, with the matrix transposed.
torchvision's operator runs one level at a time and, on CPU, on one thread (100 boxes x 256
channels, two threads: 105 ms forward and backward, against 4.5 ms here).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["FeatureTable", "roi_align"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTable:
    """A feature pyramid as a table of feature vectors.

    Attributes:
        rows: ``(R, C)`` level by level, image by image, row-major cells; fp32 or better.
        sizes: ``(L, 2)`` height and width of the levels.
        starts: ``(L,)`` first row of each level.
        strides: ``(L,)`` input pixels a cell.
    """

    rows: Tensor
    sizes: Tensor
    starts: Tensor
    strides: Tensor

    @classmethod
    def from_levels(cls, levels: Sequence[Tensor], strides: Sequence[int]) -> FeatureTable:
        """Return the table of ``levels`` ``(B, C, H_l, W_l)``, a copy shared by all later calls.

        Raises:
            ValueError: The numbers of levels and strides differ.
        """
        if len(levels) != len(strides):
            raise ValueError(
                f"Expected `strides` to name one of the {len(levels)} levels each, "
                f"but got {list(strides)}."
            )
        # Channels-last maps are (cells, C) matrices already: the permutation costs nothing there.
        rows = torch.cat([level.permute(0, 2, 3, 1).flatten(0, 2) for level in levels])
        if rows.dtype in (torch.float16, torch.bfloat16):
            rows = rows.float()
        shapes = [tuple(level.shape) for level in levels]
        counts = [batch * height * width for batch, _, height, width in shapes]
        starts = [sum(counts[:i]) for i in range(len(counts))]
        # One transfer for all the small numbers.
        table = torch.tensor(
            [[s[2], s[3], start, stride] for s, start, stride in zip(shapes, starts, strides)],  # noqa: B905
            device=rows.device,
        )
        return cls(rows=rows, sizes=table[:, :2], starts=table[:, 2], strides=table[:, 3])


def roi_align(
    table: FeatureTable,
    boxes: Tensor,
    output_size: int = 7,
    sampling_ratio: int = 2,
    finest_scale: float = 56.0,
) -> Tensor:
    """Return the features inside boxes, by RoIAlign (He et al., 2017) without the half-pixel shift.

    A box is read from level ``floor(log2(sqrt(w h) / finest_scale))``, clamped to the levels (FPN,
    Lin et al., 2017, Eq. 1). The same numbers as ``torchvision.ops.roi_align(aligned=True)``.

    Args:
        table: The pyramid.
        boxes: ``(B, N, 4)`` xyxy in input pixels. They receive no gradient.
        output_size: Cells S a side.
        sampling_ratio: Samples a side in each cell.
        finest_scale: Boxes up to twice this size are read from the finest level.

    Returns:
        ``(B, N, S * S, C)``, cells row-major.
    """
    with torch.no_grad():
        index, weight = _bilinear_cells(
            table, boxes.detach(), output_size, sampling_ratio, finest_scale
        )
    pooled = _WeightedRows.apply(table.rows, index, weight)
    return pooled.view(*boxes.shape[:2], output_size * output_size, -1)


def _bilinear_cells(
    table: FeatureTable, boxes: Tensor, output_size: int, sampling_ratio: int, finest_scale: float
) -> tuple[Tensor, Tensor]:
    """Return row indices and weights ``(B * N * S * S, 4 * sampling_ratio ** 2)`` of every cell."""
    batch, num_boxes, _ = boxes.shape
    boxes = boxes.flatten(0, 1)  # (K, 4)
    scale = ((boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1).sqrt() / finest_scale + 1e-6).log2()
    # Boxes that are not finite must not become addresses; their weights stay NaN and are reported.
    level = scale.nan_to_num(0).floor().clamp(0, len(table.strides) - 1).long()
    sizes, stride = table.sizes[level], table.strides[level]
    cells = boxes / stride[:, None] - 0.5
    # Bilinear weights are products of one weight per axis, also outside the map.
    y, weight_y = _axis(cells[:, 1], cells[:, 3], sizes[:, 0], output_size, sampling_ratio)
    x, weight_x = _axis(cells[:, 0], cells[:, 2], sizes[:, 1], output_size, sampling_ratio)
    image = torch.arange(batch, device=boxes.device).repeat_interleave(num_boxes)
    first = table.starts[level] + image * sizes.prod(1)  # (K,)
    row = (first[:, None, None] + y * sizes[:, 1, None, None]).int()
    index = row[:, :, None, :, None] + x.int()[:, None, :, None, :]  # (K, S, S, 2r, 2r)
    weight = weight_y[:, :, None, :, None] * weight_x[:, None, :, None, :]
    return index.flatten(3).flatten(0, 2), weight.flatten(3).flatten(0, 2).to(table.rows.dtype)


def _axis(
    low: Tensor, high: Tensor, size: Tensor, output_size: int, sampling_ratio: int
) -> tuple[Tensor, Tensor]:
    """Return neighbours and weights ``(K, S, 2 * sampling_ratio)`` of the samples on one axis."""
    num_samples = output_size * sampling_ratio
    steps = torch.arange(num_samples, device=low.device) + 0.5
    position = low[:, None] + steps * ((high - low) / num_samples)[:, None]  # (K, S * r)
    last = (size - 1)[:, None]
    # A sample within one cell outside the map takes the border's value, farther out it is 0.
    inside = (position >= -1) & (position <= size[:, None])
    position = torch.minimum(position.clamp(min=0), last.to(position.dtype))
    before = position.floor()
    fraction = position - before
    before = before.nan_to_num(0).long()
    index = torch.stack([before, torch.minimum(before + 1, last)], -1)
    weight = torch.stack([1 - fraction, fraction], -1) * inside[..., None] / sampling_ratio
    shape = (len(low), output_size, 2 * sampling_ratio)
    return index.view(shape), weight.view(shape)


class _WeightedRows(torch.autograd.Function):
    """``out[k] = sum_j weight[k, j] * rows[index[k, j]]``; gradient to ``rows`` only."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(index, weight)
        ctx.num_rows = rows.shape[0]
        return F.embedding_bag(index, rows, mode="sum", per_sample_weights=weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        index, weight = ctx.saved_tensors
        # The transposed matrix: entries sorted by row, one bag a row. Unlike scattering, the order
        # of summation is fixed, so the gradient is deterministic on every device.
        rows, order = index.flatten().sort()
        every_row = torch.arange(ctx.num_rows, device=rows.device, dtype=rows.dtype)
        grad_rows = F.embedding_bag(
            order // index.shape[1],
            grad_output.contiguous(),
            torch.searchsorted(rows, every_row),
            mode="sum",
            per_sample_weights=weight.flatten()[order],
        )
        return grad_rows, None, None
