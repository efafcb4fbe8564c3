"""Mask R-CNN (He et al., 2017): Faster R-CNN with a mask in every detection."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from corrlight.arguments import check_at_least
from corrlight.detectors.toolbox_names import NameTable
from corrlight.detectors.two_stage.faster_rcnn import FasterRCNN
from corrlight.detectors.two_stage.mask_head import HeadMasks, MaskHead
from corrlight.ops.roi_align import FeatureTable
from corrlight.structures import Batch, PredictionField

__all__ = ["MaskRCNN"]


class MaskRCNN(FasterRCNN):
    """Masks are made when it is known of which boxes: of positives in training, of detections.

    Args:
        *args: As for :class:`FasterRCNN`.
        mask_channels: Channels of the mask head.
        num_mask_convs: Its convolutions.
        mask_region_size: Cells a side of a mask's region; masks have twice as many.
        **kwargs: As for :class:`FasterRCNN`.

    Raises:
        ValueError: An argument is out of range.
    """

    gives: ClassVar[tuple[PredictionField, ...]] = (*FasterRCNN.gives, "region_masks")

    # Names in the toolbox's checkpoints and ours.
    toolbox_names: ClassVar[NameTable] = (
        *FasterRCNN.toolbox_names,
        ("roi_head.mask_head.convs.{i}.conv.{p}", "mask_head.convs.{i}.{p}"),
        ("roi_head.mask_head.upsample.{p}", "mask_head.upsample.{p}"),
        ("roi_head.mask_head.conv_logits.{p}", "mask_head.output.{p}"),
    )

    def __init__(
        self,
        *args: Any,
        mask_channels: int = 256,
        num_mask_convs: int = 4,
        mask_region_size: int = 14,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        check_at_least(1, mask_channels=mask_channels, mask_region_size=mask_region_size)
        check_at_least(0, num_mask_convs=num_mask_convs)
        self.mask_region_size = mask_region_size
        channels = self.neck.out_channels
        self.mask_head = MaskHead(channels, mask_channels, num_mask_convs, self.num_classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _more(self, table: FeatureTable, batch: Batch) -> dict[str, Any]:
        """Return the masks."""
        size, ratio = self.mask_region_size, self.sampling_ratio
        masks = HeadMasks(self.mask_head, table, batch, size, ratio, self.finest_scale)
        return {"region_masks": masks}
