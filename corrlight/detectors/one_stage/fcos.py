"""FCOS (Tian et al., 2019, and its extension of 2022): a dense detector without anchors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import Tensor

from corrlight.backbones import FPN, ResNet
from corrlight.boxes import SideCoder
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.dense import DENSE_NAMES, DenseDetector
from corrlight.detectors.toolbox_names import NameTable

__all__ = ["FCOS"]


class FCOS(DenseDetector):
    """Classification and box towers, one point a cell, the centerness beside the boxes.

    A prior is the cell, a box four non-negative distances from its middle in strides.

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with ``strides`` levels.
        num_classes: Foreground classes C.
        aux_head: "centerness" has the centerness branch; "untrained" has it too, but its loss
            weighs nothing; "none" leaves it out.
        num_convs: Convolutions of each tower.
        norm_groups: Groups of the towers' group normalisation.
        conv_bias: Whether the towers' convolutions have a bias beside the normalisation, as
            published.
        strides: Pixels per cell, one a level.

    Raises:
        ValueError: An argument is out of range.
    """

    toolbox_names: ClassVar[NameTable] = (
        *DENSE_NAMES,
        ("bbox_head.conv_cls.{p}", "classifier.{p}"),
        ("bbox_head.conv_reg.{p}", "regressor.{p}"),
        ("bbox_head.conv_centerness.{p}", "centerness.{p}"),
        ("bbox_head.scales.{i}.scale", "scales.{i}"),
    )

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        aux_head: str = "centerness",
        num_convs: int = 4,
        norm_groups: int = 32,
        conv_bias: bool = True,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
    ) -> None:
        super().__init__(
            backbone,
            neck,
            num_classes,
            AnchorGrid(strides, strides, offset=0.5),
            SideCoder(),
            num_convs,
            norm_groups,
            scale_levels=True,
            quality_branch="centerness",
            aux_head=aux_head,
            conv_bias=conv_bias,
        )

    def _boxes(self, priors: Tensor, encoded: Tensor) -> dict[str, Any]:
        return super()._boxes(priors, encoded.float().clamp(min=0))
