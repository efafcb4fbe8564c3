"""Stable orders of many rows by whole numbers: packed with their row into 64 bits, then sorted.

Sorting plain 64-bit integers is vectorised in NumPy, sorting rows by several keys is not: 500,000
rows by two keys take 25 ms instead of 250 ms.
"""

from __future__ import annotations

import numpy as np

from corrlight.coco.types import Array

__all__ = ["descending_ranks", "order_by"]

_BITS = 63


def descending_ranks(values: Array) -> Array:
    """Return ``(N,)`` int64 ranks: 0 for the largest value, equal values have one rank.

    Args:
        values: ``(N,)`` numbers.
    """
    order = np.argsort(-values)
    placed = values[order]
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.concatenate([[0], np.cumsum(placed[1:] != placed[:-1])])[: len(values)]
    return ranks


def order_by(*keys: Array) -> Array:
    """Return the ``(N,)`` order by the first key, then the next ones; equal rows keep theirs.

    Args:
        *keys: ``(N,)`` whole numbers of at least 0.
    """
    num_rows = len(keys[0])
    order = np.arange(num_rows)
    if num_rows < 2:
        return order
    row_bits = (num_rows - 1).bit_length()
    widths = [int(key.max()).bit_length() for key in keys]
    last = len(keys)
    # The last keys first, as many at once as fit.
    while last:
        first = last - 1
        while first and sum(widths[first - 1 : last]) + row_bits <= _BITS:
            first -= 1
        if sum(widths[first:last]) + row_bits > _BITS:
            order = order[np.argsort(keys[first][order], kind="stable")]
        else:
            packed = np.zeros(num_rows, dtype=np.int64)
            for key, width in zip(keys[first:last], widths[first:last], strict=True):
                packed = packed << width | key
            packed = np.sort(packed[order] << row_bits | np.arange(num_rows))
            order = order[packed & ((1 << row_bits) - 1)]
        last = first
    return order
