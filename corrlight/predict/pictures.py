"""Pictures of any kind as samples: files, Pillow's, arrays and tensors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from corrlight.data.images import decode_upright, rgb_pixels
from corrlight.data.transforms import Sample

__all__ = ["Picture", "as_sample", "read_pixels"]

Picture = str | os.PathLike[str] | Image.Image | npt.NDArray[Any] | Tensor


def read_pixels(picture: Picture, bit_depth: int | None = None) -> npt.NDArray[Any]:
    """Return the ``(H, W, 3)`` uint8 RGB pixels of a picture.

    Args:
        picture: A file; one of Pillow's; an array ``(H, W, 3)`` or ``(H, W)`` of uint8, RGB or
            grey; or a tensor ``(3, H, W)`` of uint8 or of floating-point numbers in [0, 1]. Files
            and Pillow's are turned as their EXIF data say.
        bit_depth: As for :func:`corrlight.data.images.decode_upright`.

    Raises:
        ValueError: If a file is missing or damaged, or an array or tensor is none of these.
    """
    if isinstance(picture, str | os.PathLike):
        return decode_upright(Path(picture), bit_depth)
    if isinstance(picture, Image.Image):
        return rgb_pixels(picture, bit_depth)
    if isinstance(picture, Tensor):
        return _of_tensor(picture.detach().cpu())
    if isinstance(picture, np.ndarray):
        usable = picture.dtype == np.uint8 and picture.size > 0
        if usable and picture.ndim == 2:
            return np.repeat(picture[..., None], 3, 2)
        if usable and picture.ndim == 3 and picture.shape[2] == 3:
            return picture
        raise ValueError(
            "Expected an array to be uint8 of shape (H, W, 3), RGB, or (H, W), but got "
            f"{picture.dtype} of shape {picture.shape}."
        )
    raise ValueError(
        "Expected a picture to be a path, a PIL image, an array or a tensor, but got "
        f"{type(picture).__name__}."
    )


def _of_tensor(picture: Tensor) -> npt.NDArray[Any]:
    usable = picture.ndim == 3 and picture.shape[0] == 3 and picture.numel() > 0
    if usable and picture.dtype == torch.uint8:
        return np.asarray(picture.permute(1, 2, 0).numpy())
    if usable and picture.is_floating_point():
        low, high = float(picture.min()), float(picture.max())
        if low >= 0 and high <= 1:
            return np.asarray((picture * 255).round().byte().permute(1, 2, 0).numpy())
        raise ValueError(
            "Expected a tensor of floating-point numbers to lie in [0, 1], but got values from "
            f"{low:g} to {high:g} (not normalised: the model does that)."
        )
    raise ValueError(
        "Expected a tensor to be of shape (3, H, W), uint8 or floating-point numbers in [0, 1], "
        f"but got {str(picture.dtype).removeprefix('torch.')} of shape {tuple(picture.shape)}."
    )


def as_sample(pixels: npt.NDArray[Any]) -> Sample:
    """Return ``(H, W, 3)`` uint8 pixels as a sample without objects."""
    # Copied even where the order is right: Pillow's pixels cannot be written to.
    image = torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))
    return Sample(
        image=image,
        boxes=torch.zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.int64),
        crowd_boxes=torch.zeros(0, 4),
        masks=None,
        original_size=(image.shape[1], image.shape[2]),
        image_id=0,
    )
