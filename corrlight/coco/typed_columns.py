"""Columns of typed records: what :mod:`corrlight.coco.columns` makes of good ones, without checks.

The decoder has checked types; of a JSON number that is decoded to a float, none is not finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np

from corrlight.coco.types import Array

__all__ = ["Box", "boxes_of", "floats_of", "ints_of"]

# x, y, width, height.
Box = tuple[float, float, float, float]


def ints_of(records: Sequence[Any], name: str) -> Array | None:
    """Return an attribute as ``(N,)`` int64, or None if one is too large."""
    try:
        return np.fromiter(map(attrgetter(name), records), np.int64, len(records))
    except OverflowError:
        return None


def floats_of(records: Sequence[Any], name: str) -> Array:
    """Return an attribute as ``(N,)`` float64."""
    return np.fromiter(map(attrgetter(name), records), np.float64, len(records))


def boxes_of(records: Sequence[Any]) -> Array:
    """Return ``bbox`` as ``(N, 4)`` float64."""
    numbers = chain.from_iterable(map(attrgetter("bbox"), records))
    return np.fromiter(numbers, np.float64, 4 * len(records)).reshape(-1, 4)
