"""Run-length encodings of COCO: their areas, and whether they are whole.

pycocotools reads broken ones beyond their end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as mask_utils

from corrlight.coco.types import Array, Rle

__all__ = ["broken_encodings", "covered_pixels"]

# pycocotools 2.0.11 fails for the areas of more masks at once with NumPy 2.
_AT_ONCE = 255


def covered_pixels(masks: Sequence[Rle]) -> Array:
    """Return the pixels that compressed masks cover, ``(N,)`` float64."""
    starts = range(0, len(masks), _AT_ONCE)
    pieces = [mask_utils.area(list(masks[k : k + _AT_ONCE])) for k in starts]
    return np.concatenate([np.zeros(0), *pieces])


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
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    characters = np.frombuffer(b"".join(texts), dtype=np.uint8) - np.uint8(48)
    if _all_whole(characters, lengths, num_pixels):
        return np.zeros(len(texts), dtype=bool)
    data = characters.astype(np.int8).astype(np.int64)
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


def _all_whole(data: Array, lengths: Array, num_pixels: Array) -> bool:
    """Return whether no encoding is broken, several times faster than it is said of each.

    Args:
        data: ``(T,)`` uint8 characters of all encodings, less 48.
        lengths: ``(N,)`` characters of each.
        num_pixels: ``(N,)`` height times width.
    """
    if not len(lengths) or not lengths.all() or data.max() > 63:
        return False
    is_last = data < 32  # of its count
    last_of_mask = np.cumsum(lengths) - 1
    if not is_last[last_of_mask].all():
        return False
    last = np.flatnonzero(is_last)
    sizes = np.diff(last, prepend=-1)  # characters of each count
    most = int(sizes.max())
    if most > 7:
        return False
    bits = data & 31
    values = bits[last].astype(np.int64)
    # From the last character, with the highest bits, to the first one.
    values -= (values & 16) << 1
    for back in range(1, most):
        more = np.flatnonzero(sizes > back)
        values[more] = (values[more] << 5) | bits[last[more] - back]
    ends = np.searchsorted(last, last_of_mask) + 1
    starts = np.concatenate([[0], ends[:-1]])
    # Two columns, one for each chain of differences, so that a cumulative sum undoes them. Each
    # mask begins in the first one, whose chain begins with its second entry.
    rows = (ends - starts + 1) // 2
    row_ends = np.cumsum(rows)
    row_starts = row_ends - rows
    first = values[starts].copy()
    values[starts] = 0
    pads = 2 * row_starts - starts
    flat = np.zeros(2 * int(row_ends[-1]), dtype=np.int64)
    flat[np.arange(len(values)) + np.repeat(pads, ends - starts)] = values
    table = flat.reshape(-1, 2)
    runs = np.cumsum(table, axis=0)
    runs -= np.repeat(runs[row_starts] - table[row_starts], rows, axis=0)
    odd = np.flatnonzero((ends - starts) % 2)
    runs[row_ends[odd] - 1, 1] = 0
    if first.min() < 0 or runs.min() < 0:
        return False
    totals = np.add.reduceat(runs.sum(1), row_starts) + first
    return bool((totals == num_pixels).all())


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
