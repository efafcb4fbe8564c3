"""Drawn shapes as small batches for detectors of other libraries."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from corrlight.data.drawn.scene import draw_scene

__all__ = ["NUM_BATCHES", "shapes"]

NUM_BATCHES = 3


@cache
def shapes(number: int, height: int, width: int) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    """Return two pictures ``(3, H, W)`` with boxes ``(G, 4)`` in pixels and labels below 4."""
    return tuple(_drawn(2 * number + k, height, width) for k in (0, 1))


def _drawn(seed: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    scene = draw_scene(np.random.default_rng(seed), height, width)
    boxes, labels = [], []
    for item in scene.objects:
        rows, columns = (np.flatnonzero(item.mask.any(axis)) for axis in (1, 0))
        if len(rows) and not item.crowd:
            boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            labels.append(item.label % 4)
    image = torch.from_numpy(scene.image).permute(2, 0, 1).float() / 255
    return image, torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), torch.tensor(labels)
