"""Run-length encodings of COCO, checked: pycocotools reads broken ones beyond their end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from corrlight.coco.types import Array

__all__ = ["broken_encodings"]


def broken_encodings(counts: Sequence[bytes | str], num_pixels: Array) -> Array:
    """Return which compressed encodings are not one of their image, ``(N,)`` bool.

    A count is written in groups of five bits, lowest first, as the characters from "0" on; the
    sixth bit says that another group follows, and the fifth bit of the last group is the sign. From
    the third count after the first on, the difference to the count two before is written. The
    counts of a mask are not negative and add up to the pixels of the image.

    Args:
        counts: ``N`` encodings.
        num_pixels: ``(N,)`` height times width.
    """
    texts = [c.encode("latin-1", "replace") if isinstance(c, str) else c for c in counts]
    lengths = np.array([len(t) for t in texts], dtype=np.int64)
    data = np.frombuffer(b"".join(texts), dtype=np.uint8).astype(np.int64) - 48
    mask = np.repeat(np.arange(len(texts)), lengths)
    broken = lengths == 0
    broken[mask[(data < 0) | (data > 63)]] = True
    last = (data & 0x20) == 0  # of its count
    ends = np.cumsum(lengths) - 1
    # A count that goes on beyond the end, or has more bits than an encoder writes.
    broken[~broken] |= ~last[ends[~broken]]
    # What is broken so far has no counts that could be told apart.
    whole = ~broken[mask]
    data, mask, last = data[whole], mask[whole], last[whole]
    if not len(data):
        return broken
    number = np.cumsum(last) - last
    first_of_count = np.flatnonzero(np.diff(number, prepend=-1))
    place = np.arange(len(data)) - first_of_count[number]
    broken[mask[place > 6]] = True
    # Clipped: what is longer is broken already, and a shift beyond 64 bits is undefined.
    values = np.add.reduceat((data & 0x1F) << (5 * place.clip(max=6)), first_of_count)
    last_place = np.flatnonzero(last)
    negative = (data[last_place] & 0x10) > 0
    values -= np.where(negative, 1 << (5 * (place[last_place].clip(max=6) + 1)), 0)
    owner = mask[last_place]
    start = np.flatnonzero(np.diff(owner, prepend=-1))
    index = np.arange(len(values)) - np.repeat(start, np.diff(start, append=len(values)))
    runs = _undone_differences(values, owner, index)
    broken[owner[runs < 0]] = True
    total = np.bincount(owner, weights=runs, minlength=len(texts))
    return broken | (total != num_pixels)


def _undone_differences(values: Array, owner: Array, index: Array) -> Array:
    """Return the counts: the k-th, k > 2, is written relative to the one two before."""
    # The first count stands alone; the others form two chains a mask.
    chain = np.where(index == 0, 2, index % 2)
    order = np.lexsort((index, chain, owner))
    v = values[order]
    new = np.flatnonzero(np.diff(3 * owner[order] + chain[order], prepend=-1))
    sums = np.cumsum(v)
    before = sums[new] - v[new]
    runs = np.empty_like(values)
    runs[order] = sums - np.repeat(before, np.diff(new, append=len(v)))
    return runs
