"""Values of JSON records to NumPy arrays: ids, numbers, and what is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from corrlight.coco.types import Array

__all__ = ["floats", "found_at", "is_given", "whole_numbers"]

_NUMBERS = {float, int}
# Rows of a table of all ids, for each id that is known or looked up.
_TABLE_SHARE = 8
_INT64 = np.iinfo(np.int64)


def is_given(value: Any) -> bool:
    """Return whether a value says something: exporters write null, [] and {} for "none"."""
    return value is not None and value != [] and value != {} and value != ""


def found_at(known: Array, wanted: Array) -> Array:
    """Return ``(N,)`` places of ``wanted`` in the ascending ``known``, -1 without one."""
    if not len(known):
        return np.full(len(wanted), -1, dtype=np.int64)
    low, high = int(known[0]), int(known[-1])
    if high - low < _TABLE_SHARE * (len(known) + len(wanted)):
        # Ids that lie close: a table is five times as fast as a search.
        table = np.full(high - low + 2, -1, dtype=np.int64)
        # From the last on: of equal ids the first counts, as in a search.
        table[known[::-1] - low] = np.arange(len(known))[::-1]
        inside = (wanted >= low) & (wanted <= high)
        return table[np.where(inside, wanted - low, -1)]
    places = np.searchsorted(known, wanted).clip(max=len(known) - 1)
    return np.where(known[places] == wanted, places, -1)


def whole_numbers(values: Sequence[Any]) -> tuple[Array, Array]:
    """Return ``(N,)`` int64 numbers, and which of the values are whole ones ``(N,)``.

    3.0 is 3, as tables write it; true is no number, though Python counts it as 1.
    """
    if set(map(type, values)) <= {int}:
        try:
            return np.array(values, dtype=np.int64), np.ones(len(values), dtype=bool)
        except OverflowError:
            pass
    numbers = [_whole(value) for value in values]
    good = np.fromiter((v is not None for v in numbers), bool, len(numbers))
    return np.array([v or 0 for v in numbers], dtype=np.int64), good


def _whole(value: Any) -> int | None:
    if type(value) is float and value.is_integer() and abs(value) < 1 << 53:
        return int(value)
    return value if type(value) is int and _INT64.min <= value <= _INT64.max else None


def floats(values: list[Any]) -> tuple[Array, Array, Array]:
    """Return float64 numbers, NaN for the others; which are none, and which are not finite."""
    no_number = np.zeros(len(values), dtype=bool)
    if not set(map(type, values)) <= _NUMBERS:
        no_number = np.fromiter((type(v) not in _NUMBERS for v in values), bool, len(values))
        values = [np.nan if wrong else v for v, wrong in zip(values, no_number, strict=True)]
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:  # an int beyond the largest float
        array = np.array([v if abs(v) < 1e300 else np.inf for v in values], dtype=np.float64)
    not_finite = ~np.isfinite(array) & ~no_number
    array[not_finite] = np.nan
    return array, no_number, not_finite
