"""Isotonic regression of rows: the projection inside the soft rank."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from scipy.optimize import isotonic_regression as scipy_isotonic_regression
from torch import Tensor

__all__ = ["isotonic_blocks", "isotonic_regression"]

Array = npt.NDArray[Any]


def isotonic_blocks(values: Array) -> Array:
    """Return where the blocks of the isotonic fit of ``(n,)`` values, n >= 1, start; n at the end.

    Linear time, by SciPy.

    Example:
        >>> isotonic_blocks(np.array([1.0, 3.0, 2.0]))
        array([0, 1, 3])
    """
    return scipy_isotonic_regression(values).blocks


def isotonic_regression(values: Tensor) -> Tensor:
    """Return the non-decreasing rows that are closest to ``values`` in the l2 sense.

    O(log n) tensor operations on any device, without waiting for it. Members of a block share one
    bit pattern, so blocks can be told apart by comparing neighbours.

    The fit is the slope of the greatest convex minorant of the cumulative sum. Minorants of
    segments of length 1, 2, 4, ... are merged pairwise: the minorant of two neighbours is the left
    one up to a point a, the common tangent from a to a point b, and the right one from b on. A
    slope s lies left of the tangent's slope exactly where the supporting line of slope s of the
    left minorant runs below that of the right one at their common end, so a and b are counts.
    No data-dependent loop: O(n log^2 n) work and 2 ceil(log2 n) binary searches.

    Args:
        values: ``(R, n)`` finite values.

    Returns:
        ``(R, n)`` fitted rows, without gradient.

    Example:
        >>> isotonic_regression(torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([[1.0000, 2.5000, 2.5000]])
    """
    values = values.detach()
    num_rows, n = values.shape
    if n < 2 or num_rows == 0:
        return values.clone()
    size = 1 << (n - 1).bit_length()
    # Whatever is appended is larger than every value and therefore never pooled with one.
    top = values.amax(1, keepdim=True).abs() + 1
    slopes = torch.cat([values, top.expand(num_rows, size - n)], 1)
    half = 1
    while half < size:
        pairs = slopes.view(-1, 2, half)
        slopes = _merge(pairs[:, 0].contiguous(), pairs[:, 1].contiguous()).view(num_rows, size)
        half *= 2
    return slopes[:, :n].contiguous()


def _merge(left: Tensor, right: Tensor) -> Tensor:
    """Return the slopes of the minorants of two neighbouring segments, ``(K, h)`` each, joined."""
    h = left.shape[1]
    steps = torch.arange(h + 1, device=left.device)
    # Heights of both minorants at their vertices; the origin is the common end.
    left_height = torch.nn.functional.pad(left.cumsum(1), (1, 0))
    left_height = left_height - left_height[:, -1:]  # (K, h + 1) at positions -h..0
    right_height = torch.nn.functional.pad(right.cumsum(1), (1, 0))  # (K, h + 1) at 0..h

    # For each of the left's slopes: how far the line of that slope under the left minorant runs
    # above the one under the right at the common end. With the slope the first rises there and the
    # second falls, so the sign changes once: counting finds the tangent's end, without a loop.
    touch = torch.searchsorted(right, left)  # where a line of the left's slope touches the right
    gap = (left_height[:, :-1] - left * (steps[:-1] - h)) - (
        right_height.gather(1, touch) - left * touch
    )
    a = (gap < 0).sum(1, keepdim=True)
    # The same with the sides exchanged, for the tangent's other end.
    touch = torch.searchsorted(left, right)
    gap = (left_height.gather(1, touch) - right * (touch - h)) - (
        right_height[:, :-1] - right * steps[:-1]
    )
    b = (gap < 0).sum(1, keepdim=True)

    # Two that fit already touch along a range of slopes, where the gaps are 0 up to rounding.
    fits = left[:, -1:] <= right[:, :1]
    a, b = torch.where(fits, h, a), torch.where(fits, 0, b)
    length = b - a + h  # (K, 1); 0 of two that fit, whose tangent is not used
    tangent = (right_height.gather(1, b) - left_height.gather(1, a)) / length.clamp(min=1)
    left = torch.where(steps[:-1] >= a, tangent, left)
    right = torch.where(steps[:-1] < b, tangent, right)
    return torch.cat([left, right], 1)
