"""ATSS (Zhang et al., 2020): a dense detector with one square anchor a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from corrlight.backbones import FPN, ResNet
from corrlight.boxes import DeltaCoder
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.dense import DenseDetector
from corrlight.detectors.toolbox_names import NameTable

__all__ = ["ATSS"]


class ATSS(DenseDetector):
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

    quality_branch: ClassVar[str | None] = "centerness"

    toolbox_names: ClassVar[NameTable] = (
        *DenseDetector.toolbox_names,
        ("bbox_head.atss_cls.{p}", "classifier.{p}"),
        ("bbox_head.atss_reg.{p}", "regressor.{p}"),
        ("bbox_head.atss_centerness.{p}", "centerness.{p}"),
        ("bbox_head.scales.{i}.scale", "scales.{i}"),
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
        super().__init__(
            backbone,
            neck,
            num_classes,
            AnchorGrid.octaves(strides, anchor_scale, scales_per_octave),
            DeltaCoder(stds=tuple(delta_stds)),  # type: ignore[arg-type]
            num_convs,
            norm_groups,
            scale_levels=True,
            aux_head=aux_head,
        )
