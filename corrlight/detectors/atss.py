"""ATSS (Zhang et al., 2020): a dense detector with one square anchor a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from corrlight.backbones import FPN, ResNet
from corrlight.detectors.rated_dense import RatedDenseDetector

__all__ = ["ATSS"]


class ATSS(RatedDenseDetector):
    """Classification, box and centerness towers over a feature pyramid.

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with ``strides`` levels.
        num_classes: Foreground classes C.
        aux_head: "centerness" has the third branch; "untrained" has it too, but its loss weighs
            nothing (the published "without auxiliary head"); "none" leaves it out.
        **options: Of :class:`~corrlight.detectors.rated_dense.RatedDenseDetector`, from
            ``num_convs`` on.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        aux_head: Literal["none", "untrained", "centerness"] = "centerness",
        **options: Any,
    ) -> None:
        super().__init__(backbone, neck, num_classes, "centerness", aux_head, **options)
