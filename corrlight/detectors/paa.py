"""PAA (Kim and Lee, 2020): a dense detector that predicts the IoU of its boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from corrlight.backbones import FPN, ResNet
from corrlight.detectors.rated_dense import RatedDenseDetector

__all__ = ["PAA"]


class PAA(RatedDenseDetector):
    """Classification, box and IoU towers over a feature pyramid, one square anchor a cell.

    The network of ATSS, whose third branch learns the IoU of the predicted box instead of the
    centerness of the anchor.

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with ``strides`` levels.
        num_classes: Foreground classes C.
        aux_head: "iou" has the third branch; "untrained" has it too, but its loss weighs
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
        aux_head: Literal["none", "untrained", "iou"] = "iou",
        **options: Any,
    ) -> None:
        super().__init__(backbone, neck, num_classes, "iou", aux_head, **options)
