"""Box formats, paired IoU and the delta encoding. Pairwise IoU comes from ``torchvision.ops``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "DeltaCoder",
    "clip_boxes",
    "cxcywh_to_xyxy",
    "paired_iou",
    "scale_boxes",
    "xyxy_to_cxcywh",
]


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """Return ``(..., 4)`` boxes as centre, width and height."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], -1)


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Return ``(..., 4)`` boxes as corners."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def paired_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-6) -> Tensor:
    """Return the IoU of box k of ``boxes1`` with box k of ``boxes2``.

    Args:
        boxes1: ``(P, 4)``.
        boxes2: ``(P, 4)``.
        eps: Lower bound of the union, so that two empty boxes give 0.

    Returns:
        ``(P,)`` IoU in [0, 1], differentiable in both.
    """
    inner = (
        torch.min(boxes1[:, 2:], boxes2[:, 2:]) - torch.max(boxes1[:, :2], boxes2[:, :2])
    ).clamp(min=0)
    intersection = inner[:, 0] * inner[:, 1]
    area1, area2 = ((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (boxes1, boxes2))
    return intersection / (area1 + area2 - intersection).clamp(min=eps)


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return ``(..., 4)`` boxes cut to an image of ``size`` (height, width)."""
    height, width = size
    limit = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limit)


def scale_boxes(boxes: Tensor, size: tuple[int, int], new_size: tuple[int, int]) -> Tensor:
    """Return ``(..., 4)`` boxes of an image of ``size`` after resizing it to ``new_size``."""
    y, x = new_size[0] / size[0], new_size[1] / size[1]
    return boxes * boxes.new_tensor([x, y, x, y])


@dataclass(frozen=True)
class DeltaCoder:
    """Boxes relative to priors as ``(dx, dy, dw, dh)`` (R-CNN, Eq. 1-4 of Girshick et al., 2014).

    Attributes:
        stds: Divisors of the four deltas.
        max_log_ratio: Bound of ``|dw|`` and ``|dh|`` when decoding.
    """

    stds: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    max_log_ratio: float = math.log(1000 / 16)

    def encode(self, priors: Tensor, boxes: Tensor) -> Tensor:
        """Return the ``(..., 4)`` deltas that turn ``priors`` into ``boxes``."""
        p, b = xyxy_to_cxcywh(priors), xyxy_to_cxcywh(boxes)
        deltas = torch.cat(
            [(b[..., :2] - p[..., :2]) / p[..., 2:], (b[..., 2:] / p[..., 2:]).log()], -1
        )
        return deltas / deltas.new_tensor(self.stds)

    def decode(self, priors: Tensor, deltas: Tensor) -> Tensor:
        """Return the ``(..., 4)`` boxes that ``deltas`` make of ``priors``, in fp32 or better."""
        deltas = deltas.float() if deltas.dtype in (torch.float16, torch.bfloat16) else deltas
        deltas = deltas * deltas.new_tensor(self.stds)
        p = xyxy_to_cxcywh(priors)
        centre = p[..., :2] + deltas[..., :2] * p[..., 2:]
        half = p[..., 2:] * deltas[..., 2:].clamp(-self.max_log_ratio, self.max_log_ratio).exp() / 2
        return torch.cat([centre - half, centre + half], -1)
