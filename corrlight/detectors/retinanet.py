"""RetinaNet (Lin et al., 2017): a dense detector with nine anchors a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from corrlight.backbones import FPN, ResNet
from corrlight.boxes import DeltaCoder
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.dense import DENSE_NAMES, DenseDetector
from corrlight.detectors.toolbox_names import NameTable

__all__ = ["RetinaNet"]


class RetinaNet(DenseDetector):
    """Classification and box towers without normalisation over a feature pyramid.

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with ``strides`` levels.
        num_classes: Foreground classes C.
        num_convs: Convolutions of each tower.
        norm_groups: Groups of the towers' group normalisation; None (published) for none.
        strides: Pixels per cell, one a level.
        anchor_scale: Edge of the smallest anchor in strides.
        scales_per_octave: Anchors of a ratio, with edges 2^(i/scales_per_octave) apart.
        ratios: Height over width of the anchors.
        delta_stds: Divisors of the encoded boxes.
    """

    toolbox_names: ClassVar[NameTable] = (
        *DENSE_NAMES,
        ("bbox_head.retina_cls.{p}", "classifier.{p}"),
        ("bbox_head.retina_reg.{p}", "regressor.{p}"),
    )

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        num_convs: int = 4,
        norm_groups: int | None = None,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        anchor_scale: float = 4.0,
        scales_per_octave: int = 3,
        ratios: Sequence[float] = (0.5, 1.0, 2.0),
        delta_stds: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
    ) -> None:
        super().__init__(
            backbone,
            neck,
            num_classes,
            AnchorGrid.octaves(strides, anchor_scale, scales_per_octave, ratios),
            DeltaCoder(stds=tuple(delta_stds)),  # type: ignore[arg-type]
            num_convs,
            norm_groups,
            scale_levels=False,
        )
