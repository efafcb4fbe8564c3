"""FoveaBox (Kong et al., 2020): a dense detector without anchors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from corrlight.backbones import FPN, ResNet
from corrlight.boxes import DistanceCoder
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.dense import DENSE_NAMES, DenseDetector
from corrlight.detectors.toolbox_names import NameTable
from corrlight.structures import Batch

__all__ = ["FoveaBox"]


class FoveaBox(DenseDetector):
    """Classification and box towers over a feature pyramid, one point a cell.

    Boxes are logarithms of the distances from a cell's middle to the four sides, relative to the
    level's base edge. A prior is the box around that point whose half edge is the base edge.

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with ``strides`` levels.
        num_classes: Foreground classes C.
        num_convs: Convolutions of each tower.
        norm_groups: Groups of the towers' group normalisation; None (published) for none.
        strides: Pixels per cell, one a level.
        base_edges: Unit of the distances in pixels, one a level.
    """

    toolbox_names: ClassVar[NameTable] = (
        *DENSE_NAMES,
        ("bbox_head.conv_cls.{p}", "classifier.{p}"),
        ("bbox_head.conv_reg.{p}", "regressor.{p}"),
    )

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        num_convs: int = 4,
        norm_groups: int | None = None,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        base_edges: Sequence[float] = (16, 32, 64, 128, 256),
    ) -> None:
        super().__init__(
            backbone,
            neck,
            num_classes,
            AnchorGrid(strides, [2 * edge for edge in base_edges], offset=0.5),
            DistanceCoder(),
            num_convs,
            norm_groups,
            scale_levels=False,
        )

    def _valid(
        self, sizes: Sequence[tuple[int, int]], batch: Batch, device: torch.device
    ) -> Tensor:
        # As published, cells in the padding of smaller images are negatives too.
        num_priors = sum(height * width for height, width in sizes)
        return torch.ones(batch.images.shape[0], num_priors, dtype=torch.bool, device=device)
