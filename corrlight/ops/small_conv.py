"""Convolution of small maps as one matrix product.

A deep convolution has few pixels and many weights. A convolution of oneDNN brings the weights into
a layout of its own in every call, which takes longer there than the arithmetic; a product takes
them as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from corrlight.ops.product import WIDE, product, runs_onednn
from corrlight.ops.switch import is_on

__all__ = ["SmallConv2d", "conv2d", "conv2d_backward"]

# A map of more pixels is convolved as fast as it is multiplied; and so is one to few channels.
_MAX_PIXELS, _MIN_CHANNELS = 160, 64
# Fewer weights are brought into another layout in no time.
_MIN_WEIGHTS = 2**18


class SmallConv2d(nn.Conv2d):
    """Convolution, often of small maps; one with groups, dilation or other padding is PyTorch's.

    Equals ``torch.nn.Conv2d`` up to rounding (about 1e-6 of the largest output). Differentiable
    once where a map is small.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution ``(B, K, H', W')`` of ``(B, C, H, W)``."""
        dense = self.groups == 1 and self.dilation == (1, 1)
        if not dense or isinstance(self.padding, str) or self.padding_mode != "zeros":
            return super().forward(x)
        size = _output_size(x, self.weight, self.stride, self.padding)
        num_weights = self.weight.numel()
        multiplications = x.shape[0] * size[0] * size[1] * num_weights
        if not runs_onednn(multiplications, x, self.weight) or num_weights < _MIN_WEIGHTS:
            return super().forward(x)
        if not (_weight_by_product(x, size) or _by_product(x, self.weight, size)):
            return super().forward(x)
        geometry, sources = (self.stride, self.padding), (x, self.weight, self.bias)
        wants = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in sources)
        return _SmallConv.apply(*sources, *geometry) if wants else conv2d(*sources, *geometry)


class _SmallConv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: Sequence[int],
        padding: Sequence[int],
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return conv2d(x, weight, bias, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        of_x, of_weight = conv2d_backward(
            grad, x, weight, ctx.stride, ctx.padding, wants_x, wants_weight
        )
        return of_x, of_weight, grad.sum((0, 2, 3)) if wants_bias else None, None, None


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
) -> Tensor:
    """Return a convolution without groups and dilation.

    Equals ``torch.nn.functional.conv2d``. Not differentiable where a map is small.

    Args:
        x: ``(B, C, H, W)``.
        weight: ``(K, C, h, w)``.
        bias: ``(K,)``, or None.
        stride: Vertical and horizontal.
        padding: Zeros above and below, on the left and on the right.

    Returns:
        ``(B, K, H', W')``.
    """
    size = _output_size(x, weight, stride, padding)
    if not _by_product(x, weight, size):
        return F.conv2d(x, weight, bias, stride, padding)
    patches = _patches(x, _Geometry(weight.shape[2:], stride, padding, size))
    rows = product(patches, _rows(weight), bias)
    return rows.view(x.shape[0], *size, len(weight)).permute(0, 3, 1, 2)


def conv2d_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    wants_x: bool = True,
    wants_weight: bool = True,
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of :func:`conv2d`.

    Equals ``torch.ops.aten.convolution_backward``. The gradient of the weight is a product on more
    maps than the rest: on those of at most as many output pixels as input channels.

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
    size = grad.shape[2:]
    x_too = wants_x and _by_product(x, weight, size)
    weight_too = wants_weight and _weight_by_product(x, size)
    mask = [wants_x and not x_too, wants_weight and not weight_too, False]
    of_x = of_weight = None
    if any(mask):
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, list(stride), list(padding), [1, 1], False, [0, 0], 1, mask
        )
    geometry = _Geometry(weight.shape[2:], stride, padding, size)
    rows = grad.permute(0, 2, 3, 1).reshape(-1, len(weight))
    if x_too:
        of_x = _added(product(rows, _rows(weight).T), x.shape, geometry)
    if weight_too:
        patches = _patches(x, geometry)
        taps = product(rows.T, patches.T).view(len(weight), *weight.shape[2:], x.shape[1])
        of_weight = taps.permute(0, 3, 1, 2)
    return of_x, of_weight


def _by_product(x: Tensor, weight: Tensor, size: Sequence[int]) -> bool:
    """Whether the output, of ``size``, and the gradient of the input are matrix products."""
    pixels = x.shape[0] * size[0] * size[1]
    return (
        WIDE
        and runs_onednn(pixels * weight.numel(), x, weight)
        and pixels <= _MAX_PIXELS
        and len(weight) >= _MIN_CHANNELS
        and is_on("small_conv")
    )


def _weight_by_product(x: Tensor, size: Sequence[int]) -> bool:
    """Whether the gradient of the weight is one, for an output of ``size``."""
    few = x.shape[0] * size[0] * size[1] <= x.shape[1]
    return few and x.device.type == "cpu" and is_on("small_conv")


def _output_size(
    x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int]
) -> tuple[int, int]:
    height, width = (
        (x.shape[2 + i] + 2 * padding[i] - weight.shape[2 + i]) // stride[i] + 1 for i in (0, 1)
    )
    return height, width


def _rows(weight: Tensor) -> Tensor:
    """Return a ``(K, C, h, w)`` weight as ``(K, h * w * C)``."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


class _Geometry(NamedTuple):
    """A convolution's kernel (h, w), stride, padding and size of the output (H', W')."""

    kernel: Sequence[int]
    stride: Sequence[int]
    padding: Sequence[int]
    size: Sequence[int]


def _patches(x: Tensor, geometry: _Geometry) -> Tensor:
    """Return ``(B * H' * W', h * w * C)``, what each output sees of ``(B, C, H, W)``."""
    kernel, stride, padding, size = geometry
    vertical, horizontal = padding
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, horizontal, horizontal, vertical, vertical))
    padded = padded.contiguous()
    image, row, column, _ = padded.stride()
    view = padded.as_strided(
        (x.shape[0], *size, *kernel, x.shape[1]),
        (image, stride[0] * row, stride[1] * column, row, column, 1),
    )
    return view.reshape(-1, kernel[0] * kernel[1] * x.shape[1])


def _added(patches: Tensor, shape: Sequence[int], geometry: _Geometry) -> Tensor:
    """Return the sum, of ``shape``, of :func:`_patches` laid where they were taken from."""
    kernel, stride, padding, size = geometry
    batch, channels, height, width = shape
    # Rows and columns in steps of the stride, whatever it leaves over at the end.
    reach = [(k - 1) + s * n for k, s, n in zip(kernel, stride, size, strict=True)]
    tall = max(height + 2 * padding[0], reach[0])
    wide = max(width + 2 * padding[1], reach[1])
    padded = patches.new_zeros(batch, tall, wide, channels)
    parts = patches.view(batch, *size, *kernel, channels)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i, i + stride[0] * size[0], stride[0])
            columns = slice(j, j + stride[1] * size[1], stride[1])
            padded[:, rows, columns] += parts[:, :, :, i, j]
    inner = padded[:, padding[0] :, padding[1] :][:, :height, :width]
    return inner.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
