"""ATSS (Zhang et al., 2020): a dense detector with one square anchor a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corrlight.backbones import FPN, PyramidConv, ResNet
from corrlight.boxes import DeltaCoder
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.base import Detector
from corrlight.detectors.dense_head import ConvTower, flatten_levels, init_head
from corrlight.structures import Activation, Batch, Predictions

__all__ = ["ATSS"]


class ATSS(Detector):
    """Classification, box and centerness towers over a feature pyramid.

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with ``strides`` levels.
        num_classes: Foreground classes C.
        aux_head: "centerness" has the branch; "untrained" has it too, but its loss weighs nothing
            (the published "without auxiliary head"); "none" leaves it out.
        num_convs: Convolutions of each tower.
        norm_groups: Groups of the towers' group normalisation.
        strides: Pixels per cell, one a level.
        anchor_scale: Edge of an anchor in strides.
        scales_per_octave: Anchors of a cell, with edges 2^(i/scales_per_octave) apart.
        delta_stds: Divisors of the encoded boxes.
    """

    activation: ClassVar[Activation] = "sigmoid"

    # Names in the toolbox's checkpoints (regular expressions) and ours.
    toolbox_names: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"backbone\.(.+)", r"backbone.\1"),
        (r"neck\.lateral_convs\.(\d+)\.conv\.(.+)", r"neck.lateral.\1.\2"),
        (r"neck\.fpn_convs\.(\d+)\.conv\.(.+)", r"neck.output.\1.\2"),
        (r"bbox_head\.(cls|reg)_convs\.(\d+)\.conv\.(.+)", r"\1_tower.\2.conv.\3"),
        (r"bbox_head\.(cls|reg)_convs\.(\d+)\.gn\.(.+)", r"\1_tower.\2.norm.\3"),
        (r"bbox_head\.atss_cls\.(.+)", r"classifier.\1"),
        (r"bbox_head\.atss_reg\.(.+)", r"regressor.\1"),
        (r"bbox_head\.atss_centerness\.(.+)", r"centerness.\1"),
        (r"bbox_head\.scales\.(\d+)\.scale", r"scales.\1"),
    )

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        aux_head: Literal["none", "untrained", "centerness"] = "centerness",
        num_convs: int = 4,
        norm_groups: int = 32,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        anchor_scale: float = 8.0,
        scales_per_octave: int = 1,
        delta_stds: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2),
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"Expected `num_classes` to be at least 1, but got {num_classes}.")
        if aux_head not in ("none", "untrained", "centerness"):
            raise ValueError(
                "Expected `aux_head` to be one of 'none', 'untrained', 'centerness', "
                f"but got {aux_head!r}."
            )
        self.num_classes, self.aux_head = num_classes, aux_head
        self.backbone = backbone
        self.neck = neck(backbone.out_channels)
        if len(strides) != self.neck.num_levels:
            raise ValueError(
                f"Expected `strides` to have {self.neck.num_levels} entries, one a level of the "
                f"neck, but got {len(strides)}."
            )
        self.anchors = AnchorGrid(
            strides,
            [anchor_scale * s for s in strides],
            [2 ** (i / scales_per_octave) for i in range(scales_per_octave)],
        )
        self.coder = DeltaCoder(stds=tuple(delta_stds))  # type: ignore[arg-type]

        channels, num_anchors = self.neck.out_channels, self.anchors.num_per_cell
        self.cls_tower = ConvTower(channels, channels, num_convs, norm_groups)
        self.reg_tower = ConvTower(channels, channels, num_convs, norm_groups)
        self.classifier = PyramidConv(channels, num_anchors * num_classes)
        self.regressor = nn.Conv2d(channels, num_anchors * 4, 3, 1, 1)
        self.centerness = None if aux_head == "none" else nn.Conv2d(channels, num_anchors, 3, 1, 1)
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(())) for _ in strides)
        head = (self.cls_tower, self.reg_tower, self.classifier, self.regressor, self.centerness)
        init_head([m for m in head if m is not None], self.classifier)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _box_branch(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the box map and the centerness map of one level."""
        if self.centerness is None:
            return self.regressor(x), None
        # One convolution with the outputs of both: alone, either is too narrow to run well.
        parts = (self.regressor, self.centerness)
        weight = torch.cat([p.weight for p in parts])
        bias = torch.cat([p.bias for p in parts if p.bias is not None])
        out = F.conv2d(x, weight, bias, padding=1)
        split = self.regressor.out_channels
        return out[:, :split], out[:, split:]

    def forward(self, batch: Batch) -> list[Predictions]:
        """Return the predictions of the one stage; N is the number of anchors."""
        levels = self.neck(self.backbone(batch.images))
        cls_maps = self.classifier(self.cls_tower(levels))
        box_maps, quality_maps = [], []
        for features in self.reg_tower(levels):
            box_map, quality_map = self._box_branch(features)
            box_maps.append(box_map)
            if quality_map is not None:
                quality_maps.append(quality_map)

        device = batch.images.device
        sizes = [(m.shape[2], m.shape[3]) for m in levels]
        priors, level_idx = self.anchors(sizes, device)
        scales = torch.stack([*self.scales])[level_idx]  # (N,)
        deltas = flatten_levels(box_maps, 4) * scales[:, None]
        return [
            Predictions(
                logits=flatten_levels(cls_maps, self.num_classes),
                boxes=self.coder.decode(priors, deltas),
                level_idx=level_idx,
                activation=self.activation,
                valid=self.anchors.valid(sizes, batch.padded_sizes, device),
                priors=priors,
                deltas=deltas,
                quality=flatten_levels(quality_maps, 1).squeeze(-1) if quality_maps else None,
            )
        ]
