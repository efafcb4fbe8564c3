"""YOLACT (Bolya et al., 2019): dense detection with masks as combinations of prototypes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corrlight.arguments import check_at_least
from corrlight.backbones import FPN, PyramidConv, ResNet
from corrlight.boxes import DeltaCoder
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.base import Detector
from corrlight.detectors.dense_head import ConvTower, flatten_levels
from corrlight.detectors.toolbox_names import NameTable
from corrlight.structures import (
    Activation,
    Batch,
    MaskPredictions,
    PredictionField,
    Predictions,
)

__all__ = ["YOLACT"]

# The levels of a picture of 550 pixels have so many cells a side.
_PUBLISHED_STRIDES = tuple(550 / cells for cells in (69, 35, 18, 9, 5))


class YOLACT(Detector):
    """One tower for classes, boxes and mask coefficients; prototypes from the finest level.

    The mask of a hypothesis is the sigmoid of the sum of the prototypes weighted by its
    coefficients. A semantic segmentation of the finest level is trained beside it.

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with ``strides`` levels.
        num_classes: Foreground classes C; the softmax has one more for background.
        num_prototypes: Prototypes and coefficients K.
        prototype_channels: Channels of the convolutions before the prototypes.
        num_convs: Convolutions of the tower.
        strides: Pixels per cell, one a level; by default those of 550 pixels.
        anchor_sizes: Edge of the square anchor, one a level.
        ratios: Height over width of the anchors.
        delta_stds: Divisors of the encoded boxes.

    Raises:
        ValueError: An argument is out of range.
    """

    activation: ClassVar[Activation] = "softmax"
    gives: ClassVar[tuple[PredictionField, ...]] = ("priors", "deltas", "mask")

    # Names in the toolbox's checkpoints and ours; version 3.x put the semantic branch into the mask
    # head. The numbers of the prototype network count activations and the enlargement too.
    toolbox_names: ClassVar[NameTable] = (
        ("backbone.{p}", "backbone.{p}"),
        ("neck.lateral_convs.{i}.conv.{p}", "neck.lateral.{i}.{p}"),
        ("neck.fpn_convs.{i}.conv.{p}", "neck.output.{i}.{p}"),
        ("bbox_head.head_convs.{i}.conv.{p}", "tower.{i}.conv.{p}"),
        ("bbox_head.conv_cls.{p}", "classifier.{p}"),
        ("bbox_head.conv_reg.{p}", "regressor.{p}"),
        ("bbox_head.conv_coeff.{p}", "coefficients.{p}"),
        ("mask_head.protonet.0.{p}", "prototypes.coarse.0.conv.{p}"),
        ("mask_head.protonet.2.{p}", "prototypes.coarse.1.conv.{p}"),
        ("mask_head.protonet.4.{p}", "prototypes.coarse.2.conv.{p}"),
        ("mask_head.protonet.8.{p}", "prototypes.fine.0.conv.{p}"),
        ("mask_head.protonet.10.{p}", "prototypes.output.{p}"),
        ("mask_head.segm_branch.segm_conv.{p}", "semantic.{p}", "3.x"),
        ("segm_head.segm_conv.{p}", "semantic.{p}", "2.x"),
    )

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        num_prototypes: int = 32,
        prototype_channels: int = 256,
        num_convs: int = 1,
        strides: Sequence[float] = _PUBLISHED_STRIDES,
        anchor_sizes: Sequence[float] = (24, 48, 96, 192, 384),
        ratios: Sequence[float] = (0.5, 1.0, 2.0),
        delta_stds: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2),
    ) -> None:
        super().__init__()
        check_at_least(
            1,
            num_classes=num_classes,
            num_prototypes=num_prototypes,
            prototype_channels=prototype_channels,
            num_convs=num_convs,
        )
        self.num_classes, self.num_prototypes = num_classes, num_prototypes
        self.backbone = backbone
        self.neck = neck(backbone.out_channels)
        if len(strides) != self.neck.num_levels:
            raise ValueError(
                f"Expected `strides` to have {self.neck.num_levels} entries, one a level of the "
                f"neck, but got {len(strides)}."
            )
        self.anchors = AnchorGrid(strides, anchor_sizes, ratios=ratios, offset=0.5)
        self.coder = DeltaCoder(stds=tuple(delta_stds))  # type: ignore[arg-type]

        channels, num_anchors = self.neck.out_channels, self.anchors.num_per_cell
        self.tower = ConvTower(channels, channels, num_convs, norm_groups=None)
        self.classifier = PyramidConv(channels, num_anchors * (num_classes + 1))
        self.regressor = PyramidConv(channels, num_anchors * 4)
        self.coefficients = PyramidConv(channels, num_anchors * num_prototypes)
        self.prototypes = Protonet(channels, prototype_channels, num_prototypes)
        self.semantic = nn.Conv2d(channels, num_classes, 1)
        for part in (
            self.tower,
            self.classifier,
            self.regressor,
            self.coefficients,
            self.prototypes,
            self.semantic,
        ):
            for conv in (m for m in part.modules() if isinstance(m, nn.Conv2d)):
                nn.init.xavier_uniform_(conv.weight)
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, batch: Batch) -> list[Predictions]:
        """Return the predictions of the one stage; N is the number of anchors."""
        levels = self.neck(self.backbone(batch.images))
        features = self.tower(levels)
        device = batch.images.device
        sizes = [(m.shape[2], m.shape[3]) for m in levels]
        priors, level_idx = self.anchors(sizes, device)
        deltas = flatten_levels(self.regressor(features), 4)
        coefficients = flatten_levels(self.coefficients(features), self.num_prototypes)
        return [
            Predictions(
                logits=flatten_levels(self.classifier(features), self.num_classes + 1),
                boxes=self.coder.decode(priors, deltas),
                level_idx=level_idx,
                activation=self.activation,
                valid=self.anchors.valid(sizes, batch.padded_sizes, device),
                priors=priors,
                deltas=deltas,
                level_sizes=self.anchors.level_sizes(sizes),
                mask=MaskPredictions(
                    coefficients=coefficients.tanh(),
                    prototypes=self.prototypes(levels[0]),
                    semantic_logits=self.semantic(levels[0]),
                    input_size=(batch.images.shape[2], batch.images.shape[3]),
                    original_sizes=tuple(t.original_size for t in batch.targets),
                ),
            )
        ]


class Protonet(nn.Module):
    """Convolutions, doubling of the resolution, convolutions to prototypes (Sec. 3.1).

    Args:
        in_channels: Channels of the input.
        channels: Channels in between.
        num_prototypes: Prototypes K.
    """

    def __init__(self, in_channels: int, channels: int, num_prototypes: int) -> None:
        super().__init__()
        self.coarse = ConvTower(in_channels, channels, 3, norm_groups=None)
        self.fine = ConvTower(channels, channels, 1, norm_groups=None)
        self.output = nn.Conv2d(channels, num_prototypes, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the non-negative prototypes ``(B, K, 2h, 2w)`` of ``(B, C, h, w)`` features."""
        (coarse,) = self.coarse([features])
        enlarged = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        (fine,) = self.fine([enlarged])
        return self.output(fine).relu_()
