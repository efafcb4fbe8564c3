"""How well anchors fit the sizes of a data set's objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["UNFIT", "AnchorFit", "anchor_fit", "best_scale"]

Array = npt.NDArray[Any]

# An anchor fits an object from this IoU on: half of the positives' threshold of most detectors.
_FITS = 0.5
# Share of objects without a fitting anchor from which that is a warning.
UNFIT = 0.2
# Factors that `best_scale` tries: an eighth to 8 in steps of a quarter octave.
_FACTORS = 2.0 ** (np.arange(-12, 13) / 4)


@dataclass(frozen=True, slots=True)
class AnchorFit:
    """How the objects of a data set lie to the anchors.

    Attributes:
        unfit: Share of the objects that no anchor fits, None without objects.
        too_small: Share of the objects with less than half the area of the smallest anchor.
        mean_iou: Mean over the objects of the IoU with their best anchor.
        num_objects: Number of objects.
    """

    unfit: float | None
    too_small: float | None
    mean_iou: float | None
    num_objects: int


def anchor_fit(sizes: Array, anchors: Array, strides: Array) -> AnchorFit:
    """Return how well anchors fit objects.

    An object and the anchor closest to it lie apart by a quarter of the level's stride in each
    direction, the mean for objects anywhere. That makes coarse levels unfit for small objects
    whatever the size of their anchors.

    Args:
        sizes: ``(n, 2)`` widths and heights of the objects in input pixels.
        anchors: ``(k, 2)`` widths and heights of the anchors.
        strides: ``(k,)`` pixels per cell of each anchor's level.
    """
    if not len(sizes):
        return AnchorFit(None, None, None, 0)
    best = np.zeros(len(sizes))
    for anchor, stride in zip(anchors, strides, strict=True):
        # Extent that two intervals share whose centres are `stride / 4` apart.
        shared = np.minimum(np.minimum(sizes, anchor), (sizes + anchor) / 2 - stride / 4)
        inter = np.clip(shared, 0, None).prod(1)
        best = np.maximum(best, inter / (sizes.prod(1) + anchor.prod() - inter))
    return AnchorFit(
        unfit=float((best < _FITS).mean()),
        too_small=float((sizes.prod(1) * 2 < anchors.prod(1).min()).mean()),
        mean_iou=float(best.mean()),
        num_objects=len(sizes),
    )


def best_scale(sizes: Array, anchors: Array, strides: Array) -> float:
    """Return the factor on all anchors with the smallest share of unfit objects.

    Of several such factors it is the one of the highest mean IoU.

    Args:
        sizes: As for :func:`anchor_fit`.
        anchors: As for :func:`anchor_fit`.
        strides: As for :func:`anchor_fit`.

    Raises:
        ValueError: There is no object.
    """
    if not len(sizes):
        raise ValueError("Expected objects whose sizes anchors can be taken from, but got none.")

    def badness(factor: float) -> tuple[float, float]:
        fit = anchor_fit(sizes, anchors * factor, strides)
        assert fit.unfit is not None
        assert fit.mean_iou is not None
        return fit.unfit, -fit.mean_iou

    return float(min(_FACTORS, key=badness))


def anchor_shapes(
    strides: Sequence[float],
    sizes: Sequence[float],
    scales: Sequence[float],
    ratios: Sequence[float],
) -> tuple[Array, Array]:
    """Return ``(k, 2)`` widths and heights and ``(k,)`` strides of all anchors of a grid."""
    shapes = [
        (edge * scale / ratio**0.5, edge * scale * ratio**0.5, stride)
        for stride, edge in zip(strides, sizes, strict=True)
        for scale in scales
        for ratio in ratios
    ]
    table = np.array(shapes, float)
    return table[:, :2], table[:, 2]
