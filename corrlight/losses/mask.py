"""Mask and semantic segmentation losses of YOLACT (Bolya et al., 2019), and the Dice loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from corrlight.losses.reduction import in_full_precision

__all__ = ["box_regions", "dice_loss", "mask_loss", "semantic_loss"]


def box_regions(boxes: Tensor, input_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return which pixels of a map lie in each box.

    As published, the box is one pixel of the map wider on every side.

    Args:
        boxes: ``(P, 4)`` xyxy in pixels of the input.
        input_size: Height and width of the input.
        size: Height h and width w of the map, which shows the whole input.

    Returns:
        ``(P, h, w)`` bool.
    """
    of_input, of_map = (boxes.new_tensor([w, h, w, h]) for h, w in (input_size, size))
    corners = boxes / of_input * of_map
    low = torch.minimum(corners[:, :2], corners[:, 2:]) - 1
    high = torch.maximum(corners[:, :2], corners[:, 2:]) + 1
    y, x = (torch.arange(n, device=boxes.device) for n in size)
    rows = (y >= low[:, 1:]) & (y < high[:, 1:])  # (P, h)
    columns = (x >= low[:, :1]) & (x < high[:, :1])
    return rows[:, :, None] & columns[:, None]


def dice_loss(logits: Tensor, targets: Tensor, eps: float = 1e-5) -> Tensor:
    """Return 1 - 2 sum(p t) / (sum(p^2) + sum(t^2)) of each mask (Milletari et al., 2016).

    Args:
        logits: ``(P, h, w)`` of the probabilities p. Half precisions are computed in float32.
        targets: ``(P, h, w)`` t in [0, 1].
        eps: Added to the denominator.

    Returns:
        ``(P,)`` losses in [0, 1].

    Raises:
        ValueError: For shapes that differ.
    """
    if logits.shape != targets.shape:
        raise ValueError(
            f"Expected `targets` to have shape {tuple(logits.shape)}, but got "
            f"{tuple(targets.shape)}."
        )
    p, t = in_full_precision(logits).sigmoid().flatten(1), targets.flatten(1)
    return 1 - 2 * (p * t).sum(1) / ((p**2).sum(1) + (t**2).sum(1) + eps)


def mask_loss(logits: Tensor, targets: Tensor, regions: Tensor, areas: Tensor) -> Tensor:
    """Return the binary cross-entropy of each mask within its box, over the box's area.

    Deviation: the published loss is the logarithm of rounded probabilities, at most 100 a pixel, so
    that beyond logits of 16 its value is off and its gradient 0; and it adds a constant 100 for
    every pixel of the object outside its box. Here the value is exact and the outside not counted.

    Args:
        logits: ``(P, h, w)``. Half precisions are computed in float32.
        targets: ``(P, h, w)`` in [0, 1].
        regions: ``(P, h, w)`` bool, the pixels that count (:func:`box_regions`).
        areas: ``(P,)`` area of each box as a share of the map.

    Returns:
        ``(P,)`` losses: the sum over the pixels that count, as a share of all h w, over the area.

    Raises:
        ValueError: For shapes that differ.
    """
    if not logits.shape == targets.shape == regions.shape or areas.shape != logits.shape[:1]:
        raise ValueError(
            "Expected `logits`, `targets` and `regions` to be (P, h, w) and `areas` (P,), but got "
            f"{tuple(logits.shape)}, {tuple(targets.shape)}, {tuple(regions.shape)} and "
            f"{tuple(areas.shape)}."
        )
    pixels = F.binary_cross_entropy_with_logits(
        in_full_precision(logits), targets.to(areas.dtype), reduction="none"
    )
    return (pixels * regions).mean((1, 2)) / areas


def semantic_loss(logits: Tensor, masks: Tensor, labels: Tensor) -> Tensor:
    """Return the binary cross-entropy of every class and pixel, summed over the classes.

    Args:
        logits: ``(C, h, w)`` of one image. Half precisions are computed in float32.
        masks: ``(G, h, w)`` bool, the objects.
        labels: ``(G,)`` their classes.

    Returns:
        Scalar mean over the pixels.
    """
    logits = in_full_precision(logits)
    of_class = F.one_hot(labels, logits.shape[0]).T.to(logits.dtype)  # (C, G)
    covered = torch.einsum("cg,ghw->chw", of_class, masks.to(logits.dtype)) > 0
    return (
        F.binary_cross_entropy_with_logits(logits, covered.to(logits.dtype), reduction="none")
        .sum(0)
        .mean()
    )
