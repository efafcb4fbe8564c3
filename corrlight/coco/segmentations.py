"""Segmentations of COCO records to checked run-length encodings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from corrlight.coco.columns import Records
from corrlight.coco.run_lengths import broken_encoding
from corrlight.coco.types import Array, Rle

__all__ = ["encoded_mask", "encoded_masks"]


def encoded_mask(records: Records, row: int, height: int, width: int) -> Rle:
    """Return the ``segmentation`` of a record, which may be polygons, as run lengths.

    Args:
        records: The records of the file.
        row: Which one.
        height: Of its image in pixels; 0 if unknown, which only compressed run lengths allow.
        width: Of its image.

    Raises:
        ValueError: If there is none, it is broken, or it has not the image's size.
    """
    shape = records.content[row].get("segmentation")
    if not shape or not isinstance(shape, list | dict):
        raise records.error("a segmentation in", row, shape)
    if isinstance(shape, dict):
        return encoded_masks(records, [row], np.array([[height, width]]))[0]
    if not height or not width:
        raise records.error("an image with height and width for the polygons of", row, "none")
    for polygon in shape:
        good = isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
        if not good or not _all_finite(polygon):
            raise records.error("polygons of three or more x, y as segmentation of", row, shape)
    rle: Rle = mask_utils.merge(mask_utils.frPyObjects(shape, height, width))
    return rle


def encoded_masks(records: Records, rows: Sequence[int], sizes: Array) -> list[Rle]:
    """Return the run-length encoded ``segmentation`` of some records.

    Args:
        records: The records of the file.
        rows: Which ones.
        sizes: ``(len(rows), 2)`` height and width of their images, 0 where unknown.

    Raises:
        ValueError: If one is no run-length encoding, broken, or has not its image's size.
    """
    encoded: list[Rle] = []
    for row, (height, width) in zip(rows, sizes.tolist(), strict=True):
        shape = records.content[row].get("segmentation")
        if not isinstance(shape, dict) or not isinstance(shape.get("counts"), str | bytes | list):
            raise records.error("a run-length encoding as segmentation of", row, shape)
        size = shape.get("size")
        if not isinstance(size, list | tuple) or [type(v) for v in size] != [int, int]:
            raise records.error("a [height, width] as size of the mask of", row, size)
        if height and width and list(size) != [height, width]:
            raise records.error(f"a mask of the size {[height, width]} in", row, list(size))
        if min(size) < 1 or size[0] * size[1] >= 1 << 32:
            raise records.error("a positive size of the mask of", row, list(size))
        if isinstance(shape["counts"], list):
            counts = shape["counts"]
            whole = all(type(v) is int and v >= 0 for v in counts)
            if not whole or sum(counts) != size[0] * size[1]:
                raise records.error(
                    f"run lengths that add up to {size[0] * size[1]} in", row, counts
                )
            shape = mask_utils.frPyObjects(shape, *size)
        encoded.append(shape)
    pixels = np.array([m["size"][0] * m["size"][1] for m in encoded], dtype=np.int64)
    broken = broken_encoding([m["counts"] for m in encoded], pixels)
    if broken is not None:
        counts = encoded[broken]["counts"]
        raise records.error("a valid run-length encoding in", rows[broken], counts)
    return encoded


def _all_finite(values: Sequence[Any]) -> bool:
    return set(map(type, values)) <= {int, float} and all(abs(v) < 1e9 for v in values)
