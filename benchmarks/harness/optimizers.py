"""The optimizer of a detector's published schedule, for us and for a peer without corrlight."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.optim import Optimizer

__all__ = ["make_optimizer"]

# Norm to which gradients are clipped, by the detectors that are trained with AdamW.
_CLIPPED = {"deformable_detr": 0.1, "detr": 0.1, "sparse_rcnn": 1.0}


def make_optimizer(
    detector: str, parameters: Iterable[torch.nn.Parameter]
) -> tuple[Optimizer, float | None]:
    """Return an optimizer, and the norm to which gradients are clipped before its step or None.

    Args:
        detector: Name of its YAML file.
        parameters: Those with gradients.
    """
    max_norm = _CLIPPED.get(detector.removesuffix("_small"))
    if max_norm is not None:
        return torch.optim.AdamW(parameters, lr=1e-5, weight_decay=1e-4), max_norm
    return torch.optim.SGD(parameters, lr=1e-5, momentum=0.9, weight_decay=1e-4), None
