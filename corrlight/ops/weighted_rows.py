"""Sums of a table's rows with weights: a sparse matrix times the table, and its gradient.

Equals ``torch.nn.functional.embedding_bag`` with ``per_sample_weights``, whose own gradient is that
of the table and of the weights, and on other devices than CPU not deterministic.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["ragged_rows", "weighted_rows"]


def weighted_rows(rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Return ``(K, C)`` sums of ``weight[k, j] * rows[index[k, j]]``; gradient to ``rows`` only.

    Args:
        rows: ``(R, C)``.
        index: ``(K, J)`` int32 or int64.
        weight: ``(K, J)``.
    """
    found: Tensor = _WeightedRows.apply(rows, index, weight)
    return found


def ragged_rows(
    rows: Tensor, index: Tensor, weight: Tensor, starts: Tensor, places: Tensor
) -> Tensor:
    """Return ``(K, C)`` sums of different numbers of rows; gradient to ``rows`` only.

    Args:
        rows: ``(R, C)``.
        index: ``(E,)`` int32 or int64, the entries of one sum after those of another.
        weight: ``(E,)``.
        starts: ``(K,)`` first entry of each sum.
        places: ``(K,)`` where in the output it belongs.
    """
    found: Tensor = _RaggedRows.apply(rows, index, weight, starts, places)
    return found


class _WeightedRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(index, weight)
        ctx.num_rows = rows.shape[0]
        return F.embedding_bag(index, rows, mode="sum", per_sample_weights=weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        index, weight = ctx.saved_tensors
        rows, order = index.flatten().sort()
        grad_rows = _transposed(
            grad_output, ctx.num_rows, rows, order // index.shape[1], weight.flatten()[order]
        )
        return grad_rows, None, None


class _RaggedRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, index: Tensor, weight: Tensor, starts: Tensor, places: Tensor
    ) -> Tensor:
        ctx.save_for_backward(index, weight, starts, places)
        ctx.num_rows = rows.shape[0]
        found = F.embedding_bag(
            index, rows, starts.to(index.dtype), mode="sum", per_sample_weights=weight
        )
        return torch.empty_like(found).index_copy_(0, places, found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        index, weight, starts, places = ctx.saved_tensors
        ends = starts.new_tensor([len(index)])
        sums = places.repeat_interleave(torch.diff(starts, append=ends))
        rows, order = index.sort()
        grad_rows = _transposed(grad_output, ctx.num_rows, rows, sums[order], weight[order])
        return grad_rows, None, None, None, None


def _transposed(
    grad_output: Tensor, num_rows: int, rows: Tensor, sums: Tensor, weight: Tensor
) -> Tensor:
    """Return the gradient of the table's rows.

    The transposed matrix, one bag a row. Unlike scattering, the order of summation is fixed, so the
    gradient is deterministic on every device.

    Args:
        grad_output: ``(K, C)``.
        num_rows: Of the table.
        rows: ``(E,)`` ascending rows of the entries.
        sums: ``(E,)`` which sum each is of.
        weight: ``(E,)``.
    """
    every_row = torch.arange(num_rows, device=rows.device, dtype=rows.dtype)
    starts = torch.searchsorted(rows, every_row)
    return F.embedding_bag(
        sums, grad_output.contiguous(), starts, mode="sum", per_sample_weights=weight
    )
