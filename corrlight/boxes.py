"""Box formats, paired IoU and the encodings of boxes. Pairwise IoU is in ``torchvision.ops``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = [
    "BoxCoder",
    "DeltaCoder",
    "DistanceCoder",
    "SideCoder",
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


class BoxCoder(Protocol):
    """Boxes as four numbers relative to priors, which a network predicts."""

    def encode(self, priors: Tensor, boxes: Tensor) -> Tensor:
        """Return the ``(..., 4)`` numbers that turn ``priors`` into ``boxes``."""
        ...

    def decode(self, priors: Tensor, deltas: Tensor) -> Tensor:
        """Return the ``(..., 4)`` boxes that ``deltas`` make of ``priors``, in fp32 or better."""
        ...


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
        deltas = deltas.to(torch.promote_types(deltas.dtype, torch.float32))
        deltas = deltas * deltas.new_tensor(self.stds)
        p = xyxy_to_cxcywh(priors)
        centre = p[..., :2] + deltas[..., :2] * p[..., 2:]
        half = p[..., 2:] * deltas[..., 2:].clamp(-self.max_log_ratio, self.max_log_ratio).exp() / 2
        return torch.cat([centre - half, centre + half], -1)


@dataclass(frozen=True)
class DistanceCoder:
    """Logarithms of the distances of a centre to left, top, right and bottom, in half prior sizes.

    FoveaBox (Kong et al., 2020, Eq. 3). Its priors are the boxes around a point whose half edge is
    the level's base edge.

    Attributes:
        max_log_ratio: Bound of the encoded values; targets beyond it are cut off, as published.
        max_log_decoded: Bound of the values that are decoded.

    Deviation: the published decoding has no bound, so a box may become infinite.
    """

    max_log_ratio: float = math.log(16)
    max_log_decoded: float = 10.0

    def encode(self, priors: Tensor, boxes: Tensor) -> Tensor:
        """Return the ``(..., 4)`` logarithms that turn ``priors`` into ``boxes``.

        A side at or beyond the centre counts as the smallest distance.
        """
        p = xyxy_to_cxcywh(priors)
        half = p[..., 2:] / 2
        low, high = (p[..., :2] - boxes[..., :2]) / half, (boxes[..., 2:] - p[..., :2]) / half
        limit = math.exp(self.max_log_ratio)
        return torch.cat([low, high], -1).clamp(1 / limit, limit).log()

    def decode(self, priors: Tensor, deltas: Tensor) -> Tensor:
        """Return the ``(..., 4)`` boxes that ``deltas`` make of ``priors``, in fp32 or better."""
        deltas = deltas.to(torch.promote_types(deltas.dtype, torch.float32))
        p = xyxy_to_cxcywh(priors)
        centre, half = p[..., :2], p[..., 2:] / 2
        bound = self.max_log_decoded
        ratios = deltas.clamp(-bound, bound).exp()
        low, high = centre - ratios[..., :2] * half, centre + ratios[..., 2:] * half
        return torch.cat([low, high], -1)


@dataclass(frozen=True)
class SideCoder:
    """Distances of a prior's centre to left, top, right and bottom, in a share of the prior's edge.

    FCOS (Tian et al., 2019, Eq. 1), GFL and VFNet; usually the unit is the stride of the level.

    Attributes:
        units: Units that an edge of the prior has.
    """

    units: float = 1.0

    def encode(self, priors: Tensor, boxes: Tensor) -> Tensor:
        """Return the ``(..., 4)`` distances that turn ``priors`` into ``boxes``.

        A side before the centre, as seen from the other one, has a negative distance.
        """
        p = xyxy_to_cxcywh(priors)
        centre, unit = p[..., :2], p[..., 2:] / self.units
        return torch.cat([(centre - boxes[..., :2]) / unit, (boxes[..., 2:] - centre) / unit], -1)

    def decode(self, priors: Tensor, deltas: Tensor) -> Tensor:
        """Return the ``(..., 4)`` boxes that ``deltas`` make of ``priors``, in fp32 or better."""
        deltas = deltas.to(torch.promote_types(deltas.dtype, torch.float32))
        p = xyxy_to_cxcywh(priors)
        centre, unit = p[..., :2], p[..., 2:] / self.units
        return torch.cat([centre - deltas[..., :2] * unit, centre + deltas[..., 2:] * unit], -1)
