"""TOOD (Feng et al., 2021): classification and boxes learn to agree on the same cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from corrlight.backbones import FPN, PyramidConv, ResNet
from corrlight.boxes import SideCoder
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.dense import PYRAMID_NAMES, PyramidDetector
from corrlight.detectors.dense_head import ConvTower, flatten_levels, init_head
from corrlight.detectors.toolbox_names import NameTable
from corrlight.modes.full_precision import full_precision
from corrlight.structures import PredictionField

__all__ = ["TOOD", "TaskDecomposition", "joint_logit"]

# Bound of the exponents of distances, far beyond those of any image.
_MAX_LOG = 10.0


def joint_logit(first: Tensor, second: Tensor) -> Tensor:
    """Return the logit of the geometric mean of two sigmoid scores, broadcast, in float32."""
    log_score = (F.logsigmoid(first.float()) + F.logsigmoid(second.float())) / 2
    log_score = log_score.clamp(max=-1e-6)
    return log_score - (-torch.expm1(log_score)).log()


class TaskDecomposition(nn.Module):
    """The features of one task: layers weighted for each image, then mixed (Sec. 3.1).

    Args:
        channels: Channels C of a layer and of the result.
        num_layers: Layers L.
        norm_groups: Groups of the normalisation.
    """

    def __init__(self, channels: int, num_layers: int, norm_groups: int) -> None:
        super().__init__()
        inner = max(channels // 8, 1)
        self.attention = nn.Sequential(
            nn.Conv2d(channels * num_layers, inner, 1),
            nn.ReLU(),
            nn.Conv2d(inner, num_layers, 1),
            nn.Sigmoid(),
        )
        self.conv = nn.Conv2d(channels * num_layers, channels, 1, bias=False)
        self.norm = nn.GroupNorm(norm_groups, channels)

    def forward(self, features: Tensor, pooled: Tensor) -> Tensor:
        """Return ``(B, C, H, W)`` of ``(B, L C, H, W)`` features and their means over cells."""
        share = self.attention(pooled).flatten(1)  # (B, L)
        share = share.repeat_interleave(self.conv.out_channels, 1)[:, None]
        # The weights are scaled, not the features, of which there are more.
        kernel = share * self.conv.weight.flatten(1)  # (B, C, L C)
        mixed = torch.bmm(kernel, features.flatten(2)).unflatten(2, features.shape[2:])
        return self.norm(mixed).relu_()


class TOOD(PyramidDetector):
    """One tower for both tasks, whose layers each task weighs; both results are then aligned.

    The score is the geometric mean of a class score and a score of the cell; a side of a box is
    read, bilinearly, at a place beside the cell (Eq. 4 and 5).

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with ``strides`` levels.
        num_classes: Foreground classes C.
        num_convs: Convolutions of the tower.
        norm_groups: Groups of the normalisations.
        strides: Pixels per cell, one a level.
        anchor_scale: Edge of an anchor in strides, which the first epochs' assigner reads.

    Raises:
        ValueError: An argument is out of range.
    """

    gives: ClassVar[tuple[PredictionField, ...]] = ("priors",)
    toolbox_names: ClassVar[NameTable] = (
        *PYRAMID_NAMES,
        ("bbox_head.inter_convs.{i}.conv.{p}", "tower.{i}.conv.{p}"),
        ("bbox_head.inter_convs.{i}.gn.{p}", "tower.{i}.norm.{p}"),
        ("bbox_head.{cls|reg}_decomp.layer_attention.{p}", "{cls|reg}_task.attention.{p}"),
        ("bbox_head.{cls|reg}_decomp.reduction_conv.conv.{p}", "{cls|reg}_task.conv.{p}"),
        ("bbox_head.{cls|reg}_decomp.reduction_conv.gn.{p}", "{cls|reg}_task.norm.{p}"),
        ("bbox_head.tood_cls.{p}", "classifier.{p}"),
        ("bbox_head.tood_reg.{p}", "regressor.{p}"),
        ("bbox_head.cls_prob_module.{p}", "cls_alignment.{p}"),
        ("bbox_head.reg_offset_module.{p}", "reg_alignment.{p}"),
        ("bbox_head.scales.{i}.scale", "scales.{i}"),
    )

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        num_convs: int = 6,
        norm_groups: int = 32,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        anchor_scale: float = 8.0,
    ) -> None:
        anchors = AnchorGrid.octaves(strides, anchor_scale)
        super().__init__(backbone, neck, num_classes, anchors, SideCoder(anchor_scale))
        channels = self.neck.out_channels
        self.tower = ConvTower(channels, channels, num_convs, norm_groups)
        self.cls_task = TaskDecomposition(channels, num_convs, norm_groups)
        self.reg_task = TaskDecomposition(channels, num_convs, norm_groups)
        self.classifier = PyramidConv(channels, num_classes)
        self.regressor = nn.Conv2d(channels, 4, 3, 1, 1)
        self.cls_alignment, self.reg_alignment = (
            nn.Sequential(
                nn.Conv2d(channels * num_convs, channels // 4, 1),
                nn.ReLU(),
                nn.Conv2d(channels // 4, num_outputs, 3, 1, 1),
            )
            for num_outputs in (1, 8)
        )
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(())) for _ in strides)
        last = self.cls_alignment[-1]
        assert isinstance(last, nn.Conv2d)
        init_head([self.cls_alignment], last)
        init_head([self.tower, self.cls_task, self.reg_task, self.regressor], self.classifier)
        nn.init.normal_(self.classifier.weight, std=0.01)
        for part in (self.cls_task.attention, self.reg_task.attention, self.reg_alignment):
            for conv in (m for m in part.modules() if isinstance(m, nn.Conv2d)):
                nn.init.normal_(conv.weight, std=0.001)
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def head(self, levels: Sequence[Tensor], priors: Tensor, level_idx: Tensor) -> dict[str, Any]:
        """Return logits and boxes, both aligned."""
        layers, maps = [], [*levels]
        for block in self.tower:
            maps = block(maps)
            layers.append(maps)
        cls_features, alignments, boxes = [], [], []
        for i, stride in enumerate(self.anchors.strides):
            features = torch.cat([layer[i] for layer in layers], 1)
            pooled = features.mean((2, 3), keepdim=True)
            cls_features.append(self.cls_task(features, pooled))
            alignments.append(self.cls_alignment(features))
            sides = self.regressor(self.reg_task(features, pooled)).float()
            sides = sides.clamp(max=_MAX_LOG).exp() * self.scales[i]
            boxes.append(_aligned_boxes(sides, self.reg_alignment(features)) * stride)
        scores = zip(self.classifier(cls_features), alignments, strict=True)
        logits = [joint_logit(cls, alignment) for cls, alignment in scores]
        return {
            "logits": flatten_levels(logits, self.num_classes),
            "boxes": flatten_levels(boxes, 4),
        }


def _aligned_boxes(sides: Tensor, offset: Tensor) -> Tensor:
    """Return ``(B, 4, H, W)`` boxes in cells, each side read beside its cell.

    Args:
        sides: ``(B, 4, H, W)`` distances of the corner that a cell begins with, in cells.
        offset: ``(B, 8, H, W)`` of each side down and to the right, in cells.
    """
    height, width = sides.shape[2:]
    y, x = (torch.arange(n, device=sides.device) for n in (height, width))
    point = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])  # (2, H, W)
    boxes = torch.cat([point - sides[:, :2], point + sides[:, 2:]], 1)
    with full_precision(sides):
        read = deform_conv2d(boxes.contiguous(), offset.float(), boxes.new_ones(4, 1, 1, 1))
    # Sides from different places may have changed order.
    crossed = (read[:, :2] > read[:, 2:]).any(1, keepdim=True)
    return torch.where(crossed, boxes, read)
