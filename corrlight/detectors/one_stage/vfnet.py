"""VFNet (Zhang et al., 2021): scores that are IoUs, from features at the box that is predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from corrlight.backbones import FPN, ResNet
from corrlight.boxes import SideCoder
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.dense import DENSE_NAMES, DenseDetector
from corrlight.detectors.dense_head import ConvTower, flatten_levels, init_head
from corrlight.detectors.toolbox_names import NameTable
from corrlight.modes.full_precision import full_precision
from corrlight.ops.deform_conv import deform_conv2d
from corrlight.structures import PredictionField

__all__ = ["StarConv", "VFNet"]

# Share of the gradient that passes from the refinement into the boxes that it samples at.
_OFFSET_GRADIENT = 0.1
# Bound of the exponents, far beyond those of any image.
_MAX_LOG = 10.0


class StarConv(nn.Module):
    """3x3 convolution whose taps lie on a box: corners, middles of the sides, centre (Sec. 3.3).

    Args:
        channels: Channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor, sides: Tensor) -> Tensor:
        """Return ``(B, C, H, W)``, after a ReLU.

        Args:
            x: ``(B, C, H, W)`` features.
            sides: ``(B, 4, H, W)`` distances of every cell to left, top, right and bottom, in
                cells.
        """
        left, top, right, bottom = sides.float().unbind(1)
        middle = torch.zeros_like(left)
        # The operator adds the places of an undeformed kernel, so they are taken off.
        rows = [y - k for k, y in zip((-1, 0, 1), (-top, middle, bottom), strict=True)]
        columns = [x - k for k, x in zip((-1, 0, 1), (-left, middle, right), strict=True)]
        offset = torch.stack([o for y in rows for x in columns for o in (y, x)], 1)
        with full_precision(x):
            found = deform_conv2d(x.float(), offset, self.weight.float(), padding=(1, 1))
        return found.relu_().to(x.dtype)


class VFNet(DenseDetector):
    """Classification and box towers; both look again at the box that the second predicts first.

    Boxes are exponentials of the distances from the anchor's centre to the four sides, in edges of
    the anchor; the refinement multiplies them.

    Deviation: the published exponentials have no bound, so a box may become infinite.

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with ``strides`` levels.
        num_classes: Foreground classes C.
        num_convs: Convolutions of each tower.
        norm_groups: Groups of the towers' group normalisation.
        strides: Pixels per cell, one a level.
        anchor_scale: Edge of an anchor in strides.

    Raises:
        ValueError: An argument is out of range.
    """

    gives: ClassVar[tuple[PredictionField, ...]] = (
        "priors",
        "deltas",
        "coarse_boxes",
    )
    toolbox_names: ClassVar[NameTable] = (
        *DENSE_NAMES,
        ("bbox_head.vfnet_cls.{p}", "classifier.{p}"),
        ("bbox_head.vfnet_reg.{p}", "regressor.{p}"),
        ("bbox_head.vfnet_reg_conv.conv.{p}", "coarse_tower.0.conv.{p}"),
        ("bbox_head.vfnet_reg_conv.gn.{p}", "coarse_tower.0.norm.{p}"),
        ("bbox_head.vfnet_cls_dconv.{p}", "cls_star.{p}"),
        ("bbox_head.vfnet_reg_refine_dconv.{p}", "reg_star.{p}"),
        ("bbox_head.vfnet_reg_refine.{p}", "refiner.{p}"),
        ("bbox_head.scales.{i}.scale", "scales.{i}"),
        ("bbox_head.scales_refine.{i}.scale", "refiner_scales.{i}"),
    )

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        num_convs: int = 3,
        norm_groups: int = 32,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        anchor_scale: float = 8.0,
    ) -> None:
        super().__init__(
            backbone,
            neck,
            num_classes,
            AnchorGrid.octaves(strides, anchor_scale),
            SideCoder(),
            num_convs,
            norm_groups,
            scale_levels=True,
        )
        channels = self.neck.out_channels
        self.anchor_scale = anchor_scale
        self.coarse_tower = ConvTower(channels, channels, 1, norm_groups)
        self.refiner = nn.Conv2d(channels, 4, 3, 1, 1)
        self.cls_star, self.reg_star = StarConv(channels), StarConv(channels)
        self.refiner_scales = nn.ParameterList(nn.Parameter(torch.ones(())) for _ in strides)
        init_head([self.coarse_tower, self.refiner], self.classifier)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def head(self, levels: Sequence[Tensor], priors: Tensor, level_idx: Tensor) -> dict[str, Any]:
        """Return logits, refined boxes with their encoding, and the boxes before."""
        cls_features, reg_features = self.cls_tower(levels), self.reg_tower(levels)
        assert self.scales is not None
        coarse, refined, starred = [], [], []
        for i, features in enumerate(self.coarse_tower(reg_features)):
            sides = (self.regressor(features) * self.scales[i]).float().clamp(max=_MAX_LOG).exp()
            # The same number, with a smaller gradient.
            softened = sides.detach() + _OFFSET_GRADIENT * (sides - sides.detach())
            cells = softened * self.anchor_scale
            starred.append(self.cls_star(cls_features[i], cells))
            change = self.refiner(self.reg_star(reg_features[i], cells)) * self.refiner_scales[i]
            coarse.append(sides)
            refined.append(change.float().clamp(max=_MAX_LOG).exp() * sides.detach())
        deltas = flatten_levels(refined, 4)
        return {
            "logits": flatten_levels(self.classifier(starred), self.num_classes),
            "boxes": self.coder.decode(priors, deltas),
            "deltas": deltas,
            "coarse_boxes": self.coder.decode(priors, flatten_levels(coarse, 4)),
        }
