"""Resize, flip, crop and choice: one sample in, one sample out, all chance from a generator.

The geometry is torchvision's (transforms v2 on tv_tensors); what is random is drawn from the
generator that comes with the sample, so a sample depends on (seed, epoch, index) only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat, Mask

from corrlight.arguments import check_share
from corrlight.data.fitting.input_size import resized

__all__ = [
    "Choice",
    "RandomCrop",
    "RandomHorizontalFlip",
    "Resize",
    "Sample",
    "Transform",
    "apply_transforms",
    "crop_sample",
]

Size = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """An image with its ground truth on the way to a batch.

    Attributes:
        image: ``(3, H, W)`` uint8.
        boxes: ``(G, 4)`` float32, xyxy in pixels of ``image``, inside it.
        labels: ``(G,)`` int64.
        crowd_boxes: ``(K, 4)`` float32.
        masks: ``(G, H, W)`` uint8, or None.
        original_size: Height and width of the file.
        image_id: The data set's id.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    crowd_boxes: Tensor
    masks: Tensor | None
    original_size: Size
    image_id: int

    @property
    def size(self) -> Size:
        """Height and width of ``image``."""
        return self.image.shape[-2], self.image.shape[-1]


class Transform(Protocol):
    """A step between the decoded image and the batch."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the changed sample."""
        ...


def apply_transforms(
    transforms: Sequence[Transform], sample: Sample, rng: np.random.Generator
) -> Sample:
    """Return the sample after all transforms, in their order."""
    for transform in transforms:
        sample = transform(sample, rng)
    return sample


def _boxes(boxes: Tensor, size: Size) -> BoundingBoxes:
    return BoundingBoxes(boxes, format=BoundingBoxFormat.XYXY, canvas_size=size)


class Resize:
    """Resize: as large as fits between a short and a long side, or to exactly these.

    As published, the factor is ``min(long / longer side, short / shorter side)`` and a new side
    ``int(side * factor + 0.5)``, at least 1; boxes are scaled by the exact ratio of each side.

    Args:
        short: Bound of the shorter side in pixels, or several, of which one is drawn.
        long: Bound of the longer side.
        antialias: Whether to smooth when shrinking; published detectors do not.
        keep_ratio: If False, the height becomes ``short`` and the width ``long`` (YOLACT).

    Raises:
        ValueError: If a side is not a positive int or a short side exceeds ``long``.
    """

    def __init__(
        self,
        short: int | Sequence[int],
        long: int,
        antialias: bool = False,
        keep_ratio: bool = True,
    ) -> None:
        self.short = (short,) if isinstance(short, int) else tuple(short)
        self.long = long
        self.antialias, self.keep_ratio = antialias, keep_ratio
        if not self.short or not all(isinstance(s, int) and 0 < s <= long for s in self.short):
            raise ValueError(
                f"Expected `short` to be one or more ints from 1 to `long`={long!r}, "
                f"but got {short!r}."
            )

    def new_size(self, size: Size, short: int) -> Size:
        """Return height and width after resizing an image of ``size``."""
        if not self.keep_ratio:
            return short, self.long
        return resized(size, short, self.long)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the resized sample."""
        short = self.short[int(rng.integers(len(self.short)))] if len(self.short) > 1 else None
        old, new = sample.size, self.new_size(sample.size, short or self.short[0])
        if new == old:
            return sample
        masks = sample.masks
        return replace(
            sample,
            image=F.resize(sample.image, list(new), antialias=self.antialias),
            boxes=F.resize(_boxes(sample.boxes, old), list(new)).as_subclass(Tensor),
            crowd_boxes=F.resize(_boxes(sample.crowd_boxes, old), list(new)).as_subclass(Tensor),
            # Nearest neighbour, as torchvision does for masks.
            masks=None if masks is None else F.resize(Mask(masks), list(new)).as_subclass(Tensor),
        )


class RandomHorizontalFlip:
    """Mirror the image with a probability.

    Args:
        p: The probability.

    Raises:
        ValueError: If ``p`` is outside [0, 1].
    """

    def __init__(self, p: float = 0.5) -> None:
        check_share(p=p)
        self.p = p

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample, mirrored or not."""
        if rng.random() >= self.p:
            return sample
        size, masks = sample.size, sample.masks
        return replace(
            sample,
            image=F.horizontal_flip(sample.image),
            boxes=F.horizontal_flip(_boxes(sample.boxes, size)).as_subclass(Tensor),
            crowd_boxes=F.horizontal_flip(_boxes(sample.crowd_boxes, size)).as_subclass(Tensor),
            masks=None if masks is None else F.horizontal_flip(masks),
        )


class RandomCrop:
    """Cut out a window whose sides are drawn from an absolute range (DETR, Sparse R-CNN).

    Objects without a pixel inside are removed, which may leave an image without any.

    Args:
        min_side: Smallest side of the window; a smaller image keeps its own.
        max_side: Largest side.

    Raises:
        ValueError: Unless ``0 < min_side <= max_side``.
    """

    def __init__(self, min_side: int = 384, max_side: int = 600) -> None:
        if not 0 < min_side <= max_side:
            raise ValueError(
                f"Expected `min_side` to be in [1, `max_side`={max_side!r}], but got {min_side!r}."
            )
        self.min_side, self.max_side = min_side, max_side

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the part of the sample inside a random window."""
        new = [
            int(rng.integers(min(self.min_side, side), min(self.max_side, side) + 1))
            for side in sample.size
        ]
        top, left = (
            int(rng.integers(side - n + 1)) for side, n in zip(sample.size, new, strict=True)
        )
        return crop_sample(sample, top, left, (new[0], new[1]))


def crop_sample(
    sample: Sample, top: int, left: int, size: Size, kept: Tensor | None = None
) -> Sample:
    """Return the part of the sample inside a window.

    Args:
        sample: Whole.
        top: First row of the window.
        left: First column of the window.
        size: Height and width of the window.
        kept: ``(G,)`` objects that stay, as booleans; by default those with a pixel inside.
    """
    boxes, inside = _cropped(sample.boxes, top, left, size)
    crowd_boxes, crowds = _cropped(sample.crowd_boxes, top, left, size)
    kept = inside if kept is None else kept & inside
    masks = sample.masks
    return replace(
        sample,
        image=F.crop(sample.image, top, left, *size),
        boxes=boxes[kept],
        labels=sample.labels[kept],
        crowd_boxes=crowd_boxes[crowds],
        masks=None if masks is None else F.crop(masks[kept], top, left, *size),
    )


def _cropped(boxes: Tensor, top: int, left: int, size: Size) -> tuple[Tensor, Tensor]:
    """Return ``(G, 4)`` boxes moved and cut to the window, and which of them are not empty."""
    height, width = size
    low = boxes.new_tensor([left, top, left, top])
    high = boxes.new_tensor([width, height, width, height])
    boxes = torch.minimum((boxes - low).clamp(min=0), high)
    return boxes, (boxes[:, 2:] > boxes[:, :2]).all(1)


class Choice:
    """One of several sequences of transforms, all equally likely.

    Args:
        options: The sequences, by name.

    Raises:
        ValueError: If there is no option.
    """

    def __init__(self, options: Mapping[str, Mapping[str, Transform]]) -> None:
        if not options:
            raise ValueError("Expected `options` to name at least one sequence, but got none.")
        self.options = tuple(tuple(steps.values()) for steps in options.values())

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample after the drawn sequence."""
        return apply_transforms(self.options[int(rng.integers(len(self.options)))], sample, rng)
