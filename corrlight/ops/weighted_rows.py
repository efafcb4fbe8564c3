"""Sums of a table's rows with weights: a sparse matrix times the table, and its gradient.

Equals ``torch.nn.functional.embedding_bag`` with ``per_sample_weights``, whose own gradient is that
of the table and of the weights, and on other devices than CPU not deterministic.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from scipy.sparse import csr_array
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["entry_gradient", "ragged_rows", "row_gradient", "weighted_rows"]

# Of so many entries on, counting takes half the time of sorting, and the order is the same one.
_MIN_COUNTED = 2**15


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


def row_gradient(grad_output: Tensor, num_rows: int, index: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient of :func:`weighted_rows` with respect to the table, ``(R, C)``.

    Args:
        grad_output: ``(K, C)``.
        num_rows: R.
        index: ``(K, J)``.
        weight: ``(K, J)``.
    """
    starts = _every_sum(index) * index.shape[1]
    return _bags(grad_output, _columns(index.flatten(), weight.flatten(), starts, num_rows))


def entry_gradient(grad_output: Tensor, rows: Tensor, index: Tensor) -> Tensor:
    """Return the gradient of :func:`weighted_rows` with respect to the weights, ``(K, J)``; on CPU.

    Args:
        grad_output: ``(K, C)``.
        rows: ``(R, C)``.
        index: ``(K, J)``.
    """
    every, per_sum = _every_sum(index), index.shape[1]
    bags = (
        every * per_sum,
        every.repeat_interleave(per_sum),
    )  # Where each begins; whose each entry is
    # The operator by which `embedding_bag` has it; mode 0 is the sum.
    backward: Any = torch.ops.aten._embedding_bag_per_sample_weights_backward
    found: Tensor = backward(grad_output.contiguous(), rows, index.flatten(), *bags, 0)
    return found.view(index.shape)


def _every_sum(index: Tensor) -> Tensor:
    """Return 0, 1, ... of the K sums of ``(K, J)``, of the index's type."""
    return torch.arange(len(index), dtype=index.dtype, device=index.device)


class _WeightedRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(index, weight)
        ctx.num_rows = rows.shape[0]
        return F.embedding_bag(index, rows, mode="sum", per_sample_weights=weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        return row_gradient(grad_output, ctx.num_rows, *ctx.saved_tensors), None, None


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
        starts = starts.to(index.dtype)
        columns = _columns(index, weight, starts, ctx.num_rows)
        columns = columns._replace(sums=places.to(columns.sums.dtype)[columns.sums])
        return _bags(grad_output, columns), None, None, None, None


class _Columns(NamedTuple):
    """A sparse matrix column by column, as bags.

    Attributes:
        sums: ``(E,)`` which row of the matrix (a sum) each entry is of.
        starts: ``(R,)`` first entry of each column (a row of the table).
        weight: ``(E,)``.
    """

    sums: Tensor
    starts: Tensor
    weight: Tensor


def _columns(index: Tensor, weight: Tensor, starts: Tensor, num_rows: int) -> _Columns:
    """Return the transposed matrix of sums.

    Unlike scattering, the order of summation is then fixed, so that the gradient is deterministic
    on every device.

    Args:
        index: ``(E,)`` the table's row of each entry, one sum after the other.
        weight: ``(E,)``.
        starts: ``(K,)`` first entry of each sum, of the index's type.
        num_rows: R.
    """
    counts = (
        not torch.compiler.is_compiling()
        and index.device.type == "cpu"
        and type(index) is Tensor  # SciPy takes no tensor without values.
        and weight.dtype in (torch.float32, torch.float64)
        and len(index) >= _MIN_COUNTED
    )
    transpose = _by_counting if counts else _by_sorting
    return transpose(index, weight, starts, num_rows)


def _by_counting(index: Tensor, weight: Tensor, starts: Tensor, num_rows: int) -> _Columns:
    borders = torch.cat([starts, starts.new_tensor([len(index)])])
    entries = (weight.numpy(), index.numpy(), borders.numpy())
    matrix = csr_array(entries, shape=(len(starts), num_rows)).tocsc()
    parts = (matrix.indices, matrix.indptr[:-1], matrix.data)
    return _Columns(*map(torch.from_numpy, parts))


def _by_sorting(index: Tensor, weight: Tensor, starts: Tensor, num_rows: int) -> _Columns:
    rows, order = index.sort()
    every_row = torch.arange(num_rows, device=rows.device, dtype=rows.dtype)
    lengths = torch.diff(starts, append=starts.new_tensor([len(index)]))
    sums = torch.arange(len(starts), device=rows.device).repeat_interleave(lengths)
    return _Columns(sums[order], torch.searchsorted(rows, every_row), weight[order])


def _bags(rows: Tensor, columns: _Columns) -> Tensor:
    """Return ``(R, C)`` sums of weighted rows, one a column."""
    return F.embedding_bag(
        columns.sums,
        rows.contiguous(),
        columns.starts,
        mode="sum",
        per_sample_weights=columns.weight,
    )
