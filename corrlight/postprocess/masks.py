"""Masks from prototypes and coefficients, cropped and run-length encoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask
from torch import Tensor

from corrlight.losses.mask import box_regions
from corrlight.structures import MaskPredictions

__all__ = ["MASKS_AT_A_TIME", "encode_masks", "paste_masks", "run_lengths"]

# Masks that are enlarged at a time, so that large images do not need gigabytes.
MASKS_AT_A_TIME = 32


def encode_masks(
    mask: MaskPredictions,
    image: int,
    pred_idx: Tensor,
    boxes: Tensor,
    valid_size: tuple[int, int],
    threshold: float = 0.5,
) -> list[dict[str, Any]]:
    """Return the masks of some hypotheses of an image as COCO run-length encodings.

    The probabilities are cropped to the boxes, enlarged bilinearly to the image file's size and
    thresholded.

    Args:
        mask: Coefficients and prototypes of the batch.
        image: Index of the image within the batch.
        pred_idx: ``(D,)`` the hypotheses.
        boxes: ``(D, 4)`` their boxes in input pixels.
        valid_size: Height and width of the image's content in the batch.
        threshold: Probability above which a pixel belongs to a mask.

    Returns:
        One encoding a hypothesis, at the size of the image's file.
    """
    prototypes = mask.prototypes[image].float()
    size = prototypes.shape[1], prototypes.shape[2]
    encoded: list[dict[str, Any]] = []
    for start in range(0, len(pred_idx), MASKS_AT_A_TIME):
        rows = slice(start, start + MASKS_AT_A_TIME)
        logits = torch.einsum(
            "pk,khw->phw", mask.coefficients[image, pred_idx[rows]].float(), prototypes
        )
        probabilities = logits.sigmoid() * box_regions(boxes[rows], mask.input_size, size)
        enlarged = _enlarge(probabilities, mask.input_size, valid_size, mask.original_sizes[image])
        encoded += run_lengths(enlarged > threshold)
    return encoded


def paste_masks(probabilities: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps that fill boxes as maps of the whole image, bilinearly.

    Args:
        probabilities: ``(K, m, m)``; what lies outside of them is 0.
        boxes: ``(K, 4)`` xyxy in pixels of the image, of any position.
        size: Height H and width W of the image.

    Returns:
        ``(K, H, W)``.
    """
    axes = []
    for axis, length in ((1, size[0]), (0, size[1])):
        low, high = boxes[:, axis, None], boxes[:, axis + 2, None]
        pixels = torch.arange(length, device=boxes.device, dtype=boxes.dtype) + 0.5
        # From -1 to 1 within the box; of a box without area, any pixel is its middle or far away.
        axes.append((pixels - low) / (high - low).clamp(min=1e-6) * 2 - 1)
    y, x = axes  # (K, H) and (K, W)
    shape = (len(boxes), *size)
    grid = torch.stack([x[:, None].expand(shape), y[:, :, None].expand(shape)], -1)
    return F.grid_sample(probabilities[:, None].float(), grid, align_corners=False)[:, 0]


def run_lengths(masks: Tensor) -> list[dict[str, Any]]:
    """Return ``(P, H, W)`` bool masks as COCO run-length encodings."""
    bits = masks.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return [
        {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
        for rle in coco_mask.encode(np.asfortranarray(bits))
    ]


def _enlarge(
    maps: Tensor,
    input_size: tuple[int, int],
    valid_size: tuple[int, int],
    original_size: tuple[int, int],
) -> Tensor:
    """Return ``(P, h, w)`` maps of the batch image as ``(P, H, W)`` maps of the image file."""
    if tuple(valid_size) == tuple(input_size):
        return F.interpolate(
            maps[None], size=list(original_size), mode="bilinear", align_corners=False
        )[0]
    # The content fills a part of the map only, which need not end between two of its pixels. The
    # factor errs to the large side (0.001 pixels in a thousand): rounding must not cost a row.
    factors = [
        original * whole / (valid * pixels) * (1 + 1e-6)
        for original, whole, valid, pixels in zip(
            original_size, input_size, valid_size, maps.shape[1:], strict=True
        )
    ]
    enlarged = F.interpolate(
        maps[None],
        scale_factor=factors,
        mode="bilinear",
        align_corners=False,
        recompute_scale_factor=False,
    )[0]
    return enlarged[:, : original_size[0], : original_size[1]]
