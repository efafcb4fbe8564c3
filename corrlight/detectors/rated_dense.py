"""The network that ATSS and PAA share: dense, with a branch that rates every box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from corrlight.backbones import FPN, ResNet
from corrlight.boxes import DeltaCoder
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.dense import DENSE_NAMES, DenseDetector
from corrlight.detectors.toolbox_names import NameTable

__all__ = ["RatedDenseDetector"]


class RatedDenseDetector(DenseDetector):
    """Classification, box and quality branches over a feature pyramid, square anchors.

    What the third branch learns is the criterion's business; here it has a name, under which its
    weights are stored.

    Attributes:
        rated_by: Name of the third branch, of the class.

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with ``strides`` levels.
        num_classes: Foreground classes C.
        aux_head: Whether there is the third branch: its own name (as None) has it; "untrained" has
            it too, but its loss weighs nothing (the published "without auxiliary head"); "none"
            leaves it out.
        num_convs: Convolutions of each tower.
        norm_groups: Groups of the towers' group normalisation.
        strides: Pixels per cell, one a level.
        anchor_scale: Edge of an anchor in strides.
        scales_per_octave: Anchors of a cell, with edges 2^(i/scales_per_octave) apart.
        delta_stds: Divisors of the encoded boxes.

    Raises:
        ValueError: An argument is out of range.
    """

    rated_by: ClassVar[Literal["centerness", "iou"]]

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        aux_head: str | None = None,
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
            quality_branch=self.rated_by,
            aux_head=self.rated_by if aux_head is None else aux_head,
        )

    @property
    def toolbox_names(self) -> NameTable:
        """Names in the toolbox's checkpoints and ours.

        The toolbox derives the head of PAA from that of ATSS and keeps its names.
        """
        return (
            *DENSE_NAMES,
            ("bbox_head.atss_cls.{p}", "classifier.{p}"),
            ("bbox_head.atss_reg.{p}", "regressor.{p}"),
            ("bbox_head.atss_centerness.{p}", f"{self.quality_branch}.{{p}}"),
            ("bbox_head.scales.{i}.scale", "scales.{i}"),
        )
