"""The strong augmentation of SSD (Liu et al., 2016, Section 2.2), which YOLACT is trained with.

torchvision's transforms of the same purpose draw from PyTorch's global generator, multiply the
brightness and accept a crop that one object fits; the published detectors add to the brightness and
ask it of every object. Colours are turned by torchvision's functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou
from torchvision.transforms.v2 import functional as F

from corrlight.arguments import check_at_least, check_share
from corrlight.data.transforms import Sample, crop_sample

__all__ = ["DropSmallObjects", "PhotometricDistortion", "RandomExpand", "RandomIoUCrop"]


class DropSmallObjects:
    """Remove objects narrower or lower than a number of pixels.

    Args:
        min_side: Shortest side that is kept.

    Raises:
        ValueError: If ``min_side`` is negative.
    """

    def __init__(self, min_side: float) -> None:
        if min_side < 0:
            raise ValueError(f"Expected `min_side` to be at least 0, but got {min_side!r}.")
        self.min_side = min_side

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample without its small objects."""
        boxes = sample.boxes
        kept = ((boxes[:, 2:] - boxes[:, :2]) >= self.min_side).all(1)
        masks = sample.masks
        return replace(
            sample,
            boxes=boxes[kept],
            labels=sample.labels[kept],
            masks=None if masks is None else masks[kept],
        )


class PhotometricDistortion:
    """Brightness, contrast, saturation, hue and the order of channels, each by a coin toss.

    Contrast comes before or after saturation and hue, by another toss.

    Deviation: the result is rounded to whole values of 0..255, which published detectors leave as
    they come.

    Args:
        brightness: Largest value added to or subtracted from every channel.
        contrast: Range of the factor of every channel.
        saturation: Range of the factor of the saturation.
        hue: Largest turn of the hue in degrees.
        p: Probability of each step.

    Raises:
        ValueError: If a range is empty or negative, or ``p`` is outside [0, 1].
    """

    def __init__(
        self,
        brightness: float = 32.0,
        contrast: Sequence[float] = (0.5, 1.5),
        saturation: Sequence[float] = (0.5, 1.5),
        hue: float = 18.0,
        p: float = 0.5,
    ) -> None:
        for name, value in (("contrast", contrast), ("saturation", saturation)):
            if len(value) != 2 or not 0 <= value[0] <= value[1]:
                raise ValueError(
                    f"Expected `{name}` to be a range of factors, but got {list(value)!r}."
                )
        for name, number, high in (("brightness", brightness, 255), ("hue", hue, 180)):
            if not 0 <= number <= high:
                raise ValueError(f"Expected `{name}` to be in [0, {high}], but got {number!r}.")
        check_share(p=p)
        self.brightness, self.hue, self.p = brightness, hue, p
        self.contrast = contrast[0], contrast[1]
        self.saturation = saturation[0], saturation[1]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample in other colours."""
        tosses = rng.random(5) < self.p
        contrast_first = bool(rng.random() < 0.5)
        added = rng.uniform(-self.brightness, self.brightness)
        contrast = rng.uniform(*self.contrast)
        saturation = rng.uniform(*self.saturation) if tosses[2] else 1.0
        turn = rng.uniform(-self.hue, self.hue) if tosses[3] else 0.0
        order = rng.permutation(3)
        image = sample.image.float()
        if tosses[0]:
            image += added
        if tosses[1] and contrast_first:
            image *= contrast
        if tosses[2] or tosses[3]:
            image = _recoloured(image, saturation, turn)
        if tosses[1] and not contrast_first:
            image *= contrast
        if tosses[4]:
            image = image[torch.from_numpy(order)]
        return replace(sample, image=image.round_().clamp_(0, 255).to(torch.uint8))


def _recoloured(image: Tensor, saturation: float, turn: float) -> Tensor:
    """Return a ``(3, H, W)`` float image with scaled HSV saturation and hue turned by degrees.

    With saturation S = (max - min) / max, scaling S by s keeps the maximum and scales every
    channel's distance from it; where S would pass 1 it is cut there.
    """
    peak = image.amax(0, keepdim=True)
    if saturation != 1:
        depth = (peak - image.amin(0, keepdim=True)).clamp_(min=1e-6)
        factor = torch.minimum(peak.clamp(min=0) / depth, torch.tensor(saturation))
        image = peak - (peak - image) * (factor if saturation > 1 else saturation)
    if turn:
        # adjust_hue works on [0, 1]; a common factor changes neither hue nor saturation.
        scale = image.amax().clamp(min=1.0)
        image = F.adjust_hue((image.clamp(min=0) / scale), turn / 360) * scale
    return image


class RandomExpand:
    """Place the image on a larger canvas at random, which makes its objects smaller.

    Args:
        max_ratio: Largest side of the canvas in sides of the image.
        fill: Value of each channel outside the image.
        p: Probability.

    Raises:
        ValueError: If ``max_ratio`` is below 1, ``fill`` has not 3 values or ``p`` is outside
            [0, 1].
    """

    def __init__(self, max_ratio: float, fill: Sequence[float], p: float = 0.5) -> None:
        check_at_least(1, max_ratio=max_ratio)
        if len(fill) != 3:
            raise ValueError(f"Expected `fill` to be 3 numbers, but got {list(fill)!r}.")
        check_share(p=p)
        self.max_ratio, self.p = max_ratio, p
        self.fill = torch.tensor([int(v) for v in fill], dtype=torch.uint8).view(3, 1, 1)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample, on a canvas or as it was."""
        if rng.random() >= self.p:
            return sample
        ratio = rng.uniform(1, self.max_ratio)
        old = sample.size
        height, width = (int(side * ratio) for side in old)
        top, left = (int(rng.uniform(0, side * ratio - side)) for side in old)
        top, left = min(top, height - old[0]), min(left, width - old[1])
        canvas = self.fill.expand(3, height, width).contiguous()
        canvas[:, top : top + old[0], left : left + old[1]] = sample.image
        moved = torch.tensor([left, top, left, top], dtype=torch.float32)
        masks = sample.masks
        if masks is not None:
            margins = (left, width - left - old[1], top, height - top - old[0])
            masks = torch.nn.functional.pad(masks, margins)
        return replace(
            sample,
            image=canvas,
            boxes=sample.boxes + moved,
            crowd_boxes=sample.crowd_boxes + moved,
            masks=masks,
        )


class RandomIoUCrop:
    """Cut out a window that has at least a drawn IoU with every object, or none.

    Objects whose centre lies outside the window are removed; at least one stays. One of
    ``min_ious``, no bound (0) and no crop are equally likely; a bound that 50 windows do not meet
    is drawn again.

    Args:
        min_ious: Bounds to draw from.
        min_scale: Shortest side of a window in sides of the image.

    Raises:
        ValueError: If a bound is outside [0, 1] or ``min_scale`` outside (0, 1].
    """

    _TRIALS = 50

    def __init__(self, min_ious: Sequence[float], min_scale: float = 0.3) -> None:
        if not all(0 <= bound <= 1 for bound in min_ious):
            raise ValueError(f"Expected `min_ious` to be in [0, 1], but got {list(min_ious)!r}.")
        if not 0 < min_scale <= 1:
            raise ValueError(f"Expected `min_scale` to be in (0, 1], but got {min_scale!r}.")
        self.modes: tuple[float | None, ...] = (None, *min_ious, 0.0)
        self.min_scale = min_scale

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the part of the sample inside a window, or the whole."""
        while True:
            bound = self.modes[int(rng.integers(len(self.modes)))]
            if bound is None:
                return sample
            for _ in range(self._TRIALS):
                window = self._window(sample.size, rng)
                cropped = None if window is None else self._cropped(sample, window, bound)
                if cropped is not None:
                    return cropped

    def _window(
        self, size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[int, int, int, int] | None:
        """Return first row and column and the ends of a window no longer than twice its width."""
        height, width = (rng.uniform(self.min_scale * side, side) for side in size)
        if not 0.5 <= height / width <= 2:
            return None
        top, left = rng.uniform(0, size[0] - height), rng.uniform(0, size[1] - width)
        window = int(top), int(left), int(top + height), int(left + width)
        return window if window[2] > window[0] and window[3] > window[1] else None

    def _cropped(
        self, sample: Sample, window: tuple[int, int, int, int], bound: float
    ) -> Sample | None:
        """Return the sample inside the window, or None if the window is not wanted."""
        top, left, bottom, right = window
        size, boxes = (bottom - top, right - left), sample.boxes
        if not len(boxes):
            return crop_sample(sample, top, left, size)
        own = torch.tensor([[left, top, right, bottom]], dtype=torch.float32)
        if box_iou(own, boxes).min() < bound:
            return None
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        kept = ((centres > own[:, :2]) & (centres < own[:, 2:])).all(1)
        return crop_sample(sample, top, left, size, kept) if kept.any() else None
