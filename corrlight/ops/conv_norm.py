"""Convolution and normalisation with frozen statistics as one operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from corrlight.ops import small_conv

__all__ = ["conv_norm"]


def conv_norm(
    x: Tensor,
    weight: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    inverse_std: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
) -> Tensor:
    """Return a convolution followed by a normalisation whose statistics are given.

    Equals ``torch.nn.functional.batch_norm(conv2d(x, weight), mean, var, gamma, beta)`` in
    evaluation mode. Differentiable once, with respect to the first four.

    The scale of a channel is applied to the smaller side: early convolutions have large maps and
    few weights, so the weights are scaled; late ones have small maps and many weights, so the
    output is. That is so little work that nothing is kept from call to call.

    Args:
        x: ``(B, C, H, W)``.
        weight: ``(K, C, h, w)``; no groups, no dilation.
        gamma: ``(K,)`` scale.
        beta: ``(K,)`` shift.
        mean: ``(K,)``.
        inverse_std: ``(K,)`` ``1 / sqrt(var + eps)``.
        stride: Vertical and horizontal.
        padding: Zeros above and below, on the left and on the right.

    Returns:
        ``(B, K, H', W')``.
    """
    sources = (x, weight, gamma, beta)
    if torch.is_grad_enabled() and any(t.requires_grad for t in sources):
        return _ConvNorm.apply(*sources, mean, inverse_std, stride, padding)
    scale = gamma * inverse_std
    shift = beta - mean * scale
    if not _scales_output(x, weight, stride):
        return F.conv2d(x, _scaled(weight, scale), shift, stride, padding)
    out = small_conv.conv2d(x, weight, None, stride, padding)
    return torch.addcmul(shift[:, None, None], out, scale[:, None, None], out=out)


def _scales_output(x: Tensor, weight: Tensor, stride: Sequence[int]) -> bool:
    """Whether an output channel has at most as many pixels as weights."""
    pixels = x.shape[0] * (x.shape[2] // stride[0]) * (x.shape[3] // stride[1])
    return pixels <= weight[0].numel()


def _scaled(weight: Tensor, scale: Tensor) -> Tensor:
    return weight * scale[:, None, None, None]


class _ConvNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        gamma: Tensor,
        beta: Tensor,
        mean: Tensor,
        inverse_std: Tensor,
        stride: Sequence[int],
        padding: Sequence[int],
    ) -> Tensor:
        scale = gamma * inverse_std
        shift = beta - mean * scale
        ctx.scales_output = _scales_output(x, weight, stride)
        ctx.stride, ctx.padding = stride, padding
        if ctx.scales_output:
            plain = small_conv.conv2d(x, weight, None, stride, padding)
            ctx.save_for_backward(x, weight, scale, mean, inverse_std, plain)
            return torch.addcmul(shift[:, None, None], plain, scale[:, None, None])
        scaled = _scaled(weight, scale)
        ctx.save_for_backward(x, weight, scale, mean, inverse_std, scaled)
        return F.conv2d(x, scaled, shift, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale, mean, inverse_std, kept = ctx.saved_tensors
        wants_x, wants_weight, wants_gamma, wants_beta = ctx.needs_input_grad[:4]
        of_shift = grad.sum((0, 2, 3)) if wants_gamma or wants_beta else None
        of_scale: Tensor | None = None
        geometry = (ctx.stride, ctx.padding)
        if ctx.scales_output:
            if wants_gamma:
                of_scale = (grad * kept).sum((0, 2, 3))
            of_x, of_weight = small_conv.conv2d_backward(
                grad * scale[:, None, None], x, weight, *geometry, wants_x, wants_weight
            )
        else:
            of_x, of_weight = small_conv.conv2d_backward(
                grad, x, kept, *geometry, wants_x, wants_weight or wants_gamma
            )
            if of_weight is not None:
                if wants_gamma:
                    # By way of the scaled weights: the output before the scale was never made.
                    rows = (t.permute(0, 2, 3, 1).flatten(1) for t in (of_weight, weight))
                    of_scale = torch.linalg.vecdot(*rows)
                of_weight *= scale[:, None, None, None]
        of_gamma = None
        # The scale moves the shift as well, beta - mean * scale.
        if of_scale is not None and of_shift is not None:
            of_gamma = (of_scale - of_shift * mean) * inverse_std
        return of_x, of_weight, of_gamma, of_shift if wants_beta else None, *[None] * 4
