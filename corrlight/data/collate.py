"""Samples to a batch: normalised, padded, with one target an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from corrlight.arguments import check_at_least
from corrlight.data.transforms import Sample
from corrlight.structures import Batch, Size, Targets

__all__ = ["Collate"]


class Collate:
    """Normalises and pads images into a batch, in one write an image.

    Images lie in the upper left corner; the rest is zero after normalisation. Each image is padded
    to a multiple of ``size_divisor`` on its own (``padded_size``) and the batch is as large as the
    largest of these.

    Args:
        mean: Mean of each channel (RGB), subtracted from values 0..255.
        std: Standard deviation of each channel.
        size_divisor: Sides of the batch are multiples of it.
        keep_crowds: Whether the targets carry the crowd regions.

    Raises:
        ValueError: If a number of values is not 3, a std is not positive or the divisor not >= 1.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        size_divisor: int = 32,
        *,
        keep_crowds: bool = False,
    ) -> None:
        for name, values in (("mean", mean), ("std", std)):
            if len(values) != 3 or (name == "std" and not all(v > 0 for v in values)):
                kind = "3 positive numbers" if name == "std" else "3 numbers"
                raise ValueError(f"Expected `{name}` to be {kind}, but got {list(values)!r}.")
        check_at_least(1, size_divisor=size_divisor)
        self.mean = torch.tensor([float(v) for v in mean]).view(3, 1, 1)
        self.std = torch.tensor([float(v) for v in std]).view(3, 1, 1)
        self.size_divisor = size_divisor
        self.keep_crowds = keep_crowds

    def padded_size(self, size: Size) -> Size:
        """Return height and width after padding an image of ``size`` on its own."""
        d = self.size_divisor
        return -(-size[0] // d) * d, -(-size[1] // d) * d

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Return the batch of some samples."""
        padded = [self.padded_size(s.size) for s in samples]
        height, width = (max(p[axis] for p in padded) for axis in (0, 1))
        images = torch.zeros(len(samples), 3, height, width)
        for image, sample in zip(images, samples, strict=True):
            h, w = sample.size
            torch.sub(sample.image, self.mean, out=image[:, :h, :w]).div_(self.std)
        targets = tuple(
            Targets(
                boxes=sample.boxes,
                labels=sample.labels,
                valid_size=sample.size,
                padded_size=own,
                original_size=sample.original_size,
                image_id=sample.image_id,
                masks=_padded_masks(sample.masks, height, width),
                crowd_boxes=sample.crowd_boxes if self.keep_crowds else None,
            )
            for sample, own in zip(samples, padded, strict=True)
        )
        return Batch(images=images, targets=targets)


def _padded_masks(masks: Tensor | None, height: int, width: int) -> Tensor | None:
    """Return ``(G, height, width)`` bool masks."""
    if masks is None:
        return None
    h, w = masks.shape[-2:]
    return torch.nn.functional.pad(masks.bool(), (0, width - w, 0, height - h))
