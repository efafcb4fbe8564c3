"""The sizes of a data set's objects as a network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from corrlight.data.dataset import CocoDataset
from corrlight.data.transforms import Resize, Transform

__all__ = ["input_sizes", "object_sizes"]

Array = npt.NDArray[Any]


def input_sizes(dataset: CocoDataset, transforms: Sequence[Transform]) -> Array:
    """Return the ``(n, 2)`` heights and widths of all pictures after the resizes of ``transforms``.

    Of a resize to one of several sizes it is the first; nothing is decoded.
    """
    resizes = [t for t in transforms if isinstance(t, Resize)]
    sizes = dataset.sizes
    for resize in resizes:
        sizes = [resize.new_size(size, resize.short[0]) for size in sizes]
    return np.array(sizes, np.int64).reshape(-1, 2)


def object_sizes(dataset: CocoDataset, transforms: Sequence[Transform]) -> Array:
    """Return the ``(m, 2)`` widths and heights of all objects, in pixels of the network's input.

    Crowds and objects narrower or lower than a pixel of the file are left out, as in training.
    """
    data, indices = dataset.annotations, dataset.indices
    after = input_sizes(dataset, transforms)
    factors = after / np.maximum(data.sizes[indices], 1)
    rows = [np.arange(*data.offsets[k : k + 2]) for k in indices]
    owner = np.repeat(np.arange(len(indices)), [len(r) for r in rows])
    row = np.concatenate([np.zeros(0, np.int64), *rows])
    sides = (data.boxes[row, 2:] - data.boxes[row, :2]).astype(np.float64)
    kept = (sides >= 1).all(1) & ~data.crowd[row]
    return (sides * factors[owner][:, ::-1])[kept]
