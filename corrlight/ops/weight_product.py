"""Gradients of a convolution; that of the weight on small maps as one matrix product."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from corrlight.ops.switch import is_on

__all__ = ["conv2d_backward"]


def conv2d_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    wants_x: bool = True,
    wants_weight: bool = True,
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of a convolution without groups, dilation and bias.

    Equals ``torch.ops.aten.convolution_backward``. The gradient of the weight on a map of at most
    as many output pixels as input channels is a matrix product on CPU, which takes down to a
    quarter of the time.

    Args:
        grad: ``(B, K, H', W')`` of the output.
        x: ``(B, C, H, W)``.
        weight: ``(K, C, h, w)``.
        stride: Vertical and horizontal.
        padding: Zeros above and below, on the left and on the right.
        wants_x: Whether the first result is needed; else it is None.
        wants_weight: Whether the second is.

    Returns:
        ``(B, C, H, W)`` and ``(K, C, h, w)``.
    """
    num_out, num_in = weight.shape[:2]
    small = grad[:, 0].numel() <= num_in and grad.device.type == "cpu"
    by_product = wants_weight and small and is_on("weight_product")
    mask = [wants_x, wants_weight and not by_product, False]
    of_x = of_weight = None
    if any(mask):
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, list(stride), list(padding), [1, 1], False, [0, 0], 1, mask
        )
    if by_product:
        rows = grad.permute(0, 2, 3, 1).reshape(-1, num_out)
        patches = _patches(x, weight.shape[2:], stride, padding, grad.shape[2:])
        taps = (rows.T @ patches).view(num_out, *weight.shape[2:], num_in)
        of_weight = taps.permute(0, 3, 1, 2)
    return of_x, of_weight


def _patches(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    size: Sequence[int],
) -> Tensor:
    """Return what a convolution sees of ``(B, C, H, W)`` for each of its outputs.

    Args:
        x: The input.
        kernel: Height and width h, w of the kernel.
        stride: Of the convolution.
        padding: Of the convolution.
        size: Height and width H', W' of the output.

    Returns:
        ``(B * H' * W', h * w * C)``.
    """
    vertical, horizontal = padding
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, horizontal, horizontal, vertical, vertical))
    padded = padded.contiguous()
    image, row, column, _ = padded.stride()
    view = padded.as_strided(
        (x.shape[0], *size, *kernel, x.shape[1]),
        (image, stride[0] * row, stride[1] * column, row, column, 1),
    )
    return view.reshape(-1, kernel[0] * kernel[1] * x.shape[1])
