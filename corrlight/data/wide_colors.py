"""Colours of 16 bits each, of which Pillow keeps the upper eight."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["wide_colors"]

_OTHER = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


def wide_colors(image: Image.Image) -> npt.NDArray[Any] | None:
    """Return the ``(H, W, 3)`` uint16 values of a file whose colours have 16 bits each, else None.

    Pillow unpacks the upper byte of each value. Told the other byte order, it unpacks the lower one
    in the same way: nothing of a format has to be read here. Without it, pictures of 12 bits in 16
    would be nearly black.

    Args:
        image: Opened, from a file, and not loaded yet; it stays so.

    Raises:
        OSError: The file is damaged, as Pillow says it.
    """
    name = getattr(image, "filename", "")
    tiles = getattr(image, "tile", None) or []
    if not name or not tiles or not all(_order(tile) in _OTHER for tile in tiles):
        return None
    halves = []
    for swap in (False, True):
        with Image.open(name) as half:
            if swap:
                half.tile = [_swapped(tile) for tile in half.tile]
            halves.append(np.asarray(half)[..., :3].astype(np.uint16))
    return halves[0] * 256 + halves[1]


def _raw_mode(tile: Any) -> str:
    arguments = tile[3]
    return str(arguments if isinstance(arguments, str) else arguments[0])


def _order(tile: Any) -> str:
    """Return "16B" for a tile of big-endian colours, and the like; empty for anything else."""
    kind, _, order = _raw_mode(tile).partition(";")
    return order if kind.startswith("RGB") else ""


def _swapped(tile: Any) -> Any:
    """Return a tile that is read in the other byte order."""
    mode, arguments = _raw_mode(tile), tile[3]
    other = mode.replace(_order(tile), _OTHER[_order(tile)])
    changed = other if isinstance(arguments, str) else (other, *arguments[1:])
    return (*tile[:3], changed)
