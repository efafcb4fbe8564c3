"""Sums over all pairs of positives and negatives in O((P + N) log P).

The ranking losses compare every positive i with every negative k by the smoothed step
``H(s_k - s_i)``: ``H(x) = clip(x / (2 delta) + 1/2, 0, 1)``, and 1 where ``x >= 0`` for delta = 0.
As functions of one score, sums of such steps are piecewise linear with kinks at ``s_i +- delta``
only. Sorting these 2 P kinks and binning the negatives between them, once, is enough for the sums
over the negatives and for those handed back to them. Nothing of the size P x N is made.

All sums run in float64 over terms of one sign, so that small results are as exact as large ones.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["PairSums", "positions_of", "smoothed_step"]


def smoothed_step(x: Tensor, delta: float) -> Tensor:
    """Return H(x) = clip(x / (2 delta) + 1/2, 0, 1), or 1 where x >= 0 for ``delta`` 0.

    Example:
        >>> smoothed_step(torch.tensor([-1.0, 0.0, 0.25]), 0.5)
        tensor([0.0000, 0.5000, 0.7500])
    """
    if delta == 0:
        return (x >= 0).to(x.dtype)
    return (x / (2 * delta) + 0.5).clamp_(0, 1)


def positions_of(mask: Tensor) -> Tensor:
    """Return the ``(K,)`` positions where a ``(M,)`` mask holds."""
    if mask.device.type == "cpu":  # a fifth of the time
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.nonzero().squeeze(1)


class PairSums:
    """Sums of ``H(b_k - a_i)`` over k for each i, and weighted over i for each k.

    Args:
        a: ``(P,)`` scores in ascending order, P >= 1, float64.
        b: ``(M,)`` scores in any order, float64.
        delta: Half width of the smoothed step, >= 0.
    """

    def __init__(self, a: Tensor, b: Tensor, delta: float) -> None:
        self.a, self.b, self.delta = a, b, delta
        if delta > 0:
            # H is a ramp that begins at a - delta less one that begins at a + delta, over 2 delta:
            # sums of H are read off at these kinks, however many b there are.
            # Stable: for equal kinks it does not matter which comes first.
            self.kinks, order = torch.cat([a - delta, a + delta]).sort()
            place = torch.empty_like(order)
            place[order] = torch.arange(order.numel(), device=order.device)
            self.low, self.high = place.split(a.numel())  # where a - delta and a + delta went
        else:
            self.kinks = a
        # Bin m holds what lies in [kinks[m - 1], kinks[m]); bin 0 lies below all.
        self.bin = _bins(self.kinks, b)
        self.left = (self.bin - 1).clamp_(min=0)
        # From the kink below: differences of sums of the scores themselves would cancel.
        self.offset = b - self.kinks.index_select(0, self.left)

    def over_b(self, weights: Tensor | None = None) -> Tensor:
        """Return ``(P,)`` sums over k of ``weights_k H(b_k - a_i)``; the weights are >= 0."""
        size = self.kinks.numel() + 1
        if weights is None:
            mass = self.bin.bincount(minlength=size).to(self.b.dtype)
        else:
            mass = self._binned(weights, size)
        above = _suffix_sums(mass)[1:]  # what lies at or above each kink
        if self.delta == 0:
            first = torch.searchsorted(self.a, self.a)  # ties count for each other
            return above[first]
        # The integral of `above` from each kink upwards: sum of (b_k - kink) over what is above.
        offset = self.offset if weights is None else self.offset * weights
        first_moment = self._binned(offset, size)[1:]
        gaps = torch.cat([self.kinks.diff(), self.kinks.new_zeros(1)])
        beyond = torch.cat([above[1:], above.new_zeros(1)])
        ramp = _suffix_sums(first_moment + gaps * beyond)
        return (ramp[self.low] - ramp[self.high]) / (2 * self.delta)

    def over_a(self, weights: Tensor) -> Tensor:
        """Return ``(M,)`` sums over i of ``weights_i H(b_k - a_i)``; the weights are >= 0."""
        zero = weights.new_zeros(1)
        if self.delta == 0:
            return torch.cat([zero, weights.cumsum(0)]).index_select(0, self.bin)
        # As a function of b the sum is linear between kinks.
        slope_change = torch.empty_like(self.kinks)
        slope_change[self.low] = weights / (2 * self.delta)
        slope_change[self.high] = -weights / (2 * self.delta)
        # A slope that is zero but for rounding must not turn negative.
        slope = slope_change.cumsum(0).clamp_(min=0)
        slope[-1] = 0
        at_kink = torch.cat([zero, (slope[:-1] * self.kinks.diff()).cumsum(0)])
        result = slope.index_select(0, self.left).mul_(self.offset)
        result += at_kink.index_select(0, self.left)
        # A negative offset: below all kinks.
        return result.masked_fill_(self.offset < 0, 0)

    def _binned(self, values: Tensor, size: int) -> Tensor:
        return torch.zeros(size, dtype=values.dtype, device=values.device).index_add_(
            0, self.bin, values
        )


def _bins(edges: Tensor, values: Tensor) -> Tensor:
    """Return how many of the ascending ``(K,)`` edges are at most each of ``(M,)`` values.

    A table over a fine grid answers for the cells without an edge, a binary search for the others.
    The cell of a number never decreases with it, rounding included, so the result is exact.
    """
    num_cells = 32 * edges.numel()
    span = edges[-1] - edges[0]
    if values.device.type != "cpu" or values.numel() < num_cells or float(span) <= 0:
        return torch.searchsorted(edges, values, right=True)
    scale = (num_cells - 1) / span

    def cell(x: Tensor) -> Tensor:
        return ((x - edges[0]) * scale).clamp_(-1, num_cells).long().add_(1)

    counts = torch.bincount(cell(edges), minlength=num_cells + 2)
    # Bins where there is no edge, and -1 where only a search can tell.
    table = torch.where(counts > 0, -1, counts.cumsum(0))
    bins = table.index_select(0, cell(values))
    unsure = positions_of(bins < 0)
    found = torch.searchsorted(edges, values.index_select(0, unsure), right=True)
    return bins.index_copy_(0, unsure, found)


def _suffix_sums(values: Tensor) -> Tensor:
    return values.flip(0).cumsum(0).flip(0)
