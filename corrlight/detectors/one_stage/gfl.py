"""GFL (Li et al., 2020): scores that are qualities, boxes that are distributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from corrlight.arguments import check_at_least
from corrlight.backbones import FPN, ResNet
from corrlight.boxes import SideCoder
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.dense import DENSE_NAMES, DenseDetector
from corrlight.detectors.toolbox_names import NameTable
from corrlight.structures import PredictionField

__all__ = ["GFL"]


class GFL(DenseDetector):
    """Classification and box towers, one square anchor a cell, no third branch.

    Each side of a box is the mean of a distribution over ``num_bins`` + 1 whole distances from the
    anchor's centre, in strides (Eq. 5).

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with ``strides`` levels.
        num_classes: Foreground classes C.
        num_bins: Largest distance K in strides.
        num_convs: Convolutions of each tower.
        norm_groups: Groups of the towers' group normalisation.
        strides: Pixels per cell, one a level.
        anchor_scale: Edge of an anchor in strides.

    Raises:
        ValueError: An argument is out of range.
    """

    bins: Tensor
    gives: ClassVar[tuple[PredictionField, ...]] = (
        "priors",
        "deltas",
        "distribution",
    )
    toolbox_names: ClassVar[NameTable] = (
        *DENSE_NAMES,
        ("bbox_head.gfl_cls.{p}", "classifier.{p}"),
        ("bbox_head.gfl_reg.{p}", "regressor.{p}"),
        ("bbox_head.integral.project", "bins"),
        ("bbox_head.scales.{i}.scale", "scales.{i}"),
    )

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        num_bins: int = 16,
        num_convs: int = 4,
        norm_groups: int = 32,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        anchor_scale: float = 8.0,
    ) -> None:
        check_at_least(1, num_bins=num_bins)
        super().__init__(
            backbone,
            neck,
            num_classes,
            AnchorGrid.octaves(strides, anchor_scale),
            SideCoder(units=anchor_scale),
            num_convs,
            norm_groups,
            scale_levels=True,
            box_outputs=4 * (num_bins + 1),
        )
        # A part of the state dict, as the toolbox has it.
        self.register_buffer("bins", torch.arange(num_bins + 1, dtype=torch.float32))

    def _boxes(self, priors: Tensor, encoded: Tensor) -> dict[str, Any]:
        distribution = encoded.unflatten(-1, (4, -1))  # (B, N, 4, K + 1)
        deltas = distribution.float().softmax(-1) @ self.bins
        boxes = self.coder.decode(priors, deltas)
        return {"boxes": boxes, "deltas": deltas, "distribution": distribution}
