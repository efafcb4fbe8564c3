"""Masks inside regions by a small convolutional network (He et al., 2017, Fig. 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from corrlight.ops.roi_align import FeatureTable, roi_align_rows
from corrlight.structures import Batch, RegionMasks

__all__ = ["HeadMasks", "MaskHead"]


class MaskHead(nn.Module):
    """3x3 convolutions with ReLU, doubling of the resolution, a mask for every class.

    Args:
        channels: Channels of the regions.
        hidden_channels: Channels of the convolutions.
        num_convs: Convolutions before the doubling.
        num_classes: Foreground classes C.
    """

    def __init__(
        self, channels: int, hidden_channels: int, num_convs: int, num_classes: int
    ) -> None:
        super().__init__()
        inputs = [channels, *[hidden_channels] * num_convs]
        self.convs = nn.ModuleList(nn.Conv2d(n, hidden_channels, 3, 1, 1) for n in inputs[:-1])
        self.upsample = nn.ConvTranspose2d(inputs[-1], hidden_channels, 2, 2)
        self.output = nn.Conv2d(hidden_channels, num_classes, 1)
        for conv in (*self.convs, self.upsample, self.output):
            assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, regions: Tensor) -> Tensor:
        """Return ``(K, C, 2 S, 2 S)`` logits of ``(K, channels, S, S)`` regions."""
        for conv in self.convs:
            regions = conv(regions).relu()
        logits: Tensor = self.output(self.upsample(regions).relu())
        return logits


class HeadMasks(RegionMasks):
    """The masks that a head makes of a batch's features.

    Args:
        head: The head.
        table: The features.
        batch: Whose they are.
        region_size: Cells a side of a region.
        sampling_ratio: Samples a side in each cell.
        finest_scale: Boxes up to twice this size are read from the finest level.
    """

    def __init__(
        self,
        head: MaskHead,
        table: FeatureTable,
        batch: Batch,
        region_size: int,
        sampling_ratio: int,
        finest_scale: float,
    ) -> None:
        self.head, self.table, self.batch = head, table, batch
        self.region_size, self.options = region_size, (sampling_ratio, finest_scale)

    def logits(self, image_idx: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        """Return ``(K, m, m)`` logits, which fill the boxes, with gradient.

        Args:
            image_idx: ``(K,)`` image within the batch.
            boxes: ``(K, 4)`` in input pixels.
            labels: ``(K,)`` class of each mask.
        """
        size = self.region_size
        # Without a box, one of the picture's corner, that the head has a gradient.
        empty = not len(boxes)
        if empty:
            boxes, image_idx = boxes.new_zeros(1, 4), image_idx.new_zeros(1)
            labels = labels.new_zeros(1)
        rows = roi_align_rows(self.table, boxes, image_idx, size, *self.options)
        all_classes = self.head(rows.mT.unflatten(2, (size, size)))
        found = all_classes[torch.arange(len(labels), device=labels.device), labels].float()
        return found[:0] + found.sum() * 0 if empty else found

    def sizes(self, image: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return height and width of the image's content and of its file."""
        target = self.batch.targets[image]
        return target.valid_size, target.original_size
