"""Normalisation with frozen statistics, joined with the convolution before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from corrlight.backbones.deformable import DeformableConv

__all__ = ["FrozenNorm", "conv_norm"]


class FrozenNorm(nn.Module):
    """Batch normalisation whose statistics never change, with the names of ``nn.BatchNorm2d``.

    It is an affine map a channel, so :func:`conv_norm` multiplies it into the weights of the
    convolution before it instead of running over the activations.

    Args:
        num_features: Channels.
        affine_trainable: Whether ``weight`` and ``bias`` receive gradients.
        eps: Added to the variance.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, affine_trainable: bool = True, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features), requires_grad=affine_trainable)
        self.bias = nn.Parameter(torch.zeros(num_features), requires_grad=affine_trainable)
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self._folded: tuple[tuple[int, ...], Tensor, Tensor] | None = None

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # Batch normalisation counts its batches; frozen statistics have no use for the count.
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_folded": None}

    def extra_repr(self) -> str:
        """Return what ``print`` shows."""
        return f"{self.weight.shape[0]}, eps={self.eps}"

    def inverse_std(self) -> Tensor:
        """Return the ``(C,)`` reciprocal of the running standard deviation."""
        return (self.running_var + self.eps).rsqrt()

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return the ``(C,)`` scale and shift that the normalisation amounts to."""
        scale = self.weight * self.inverse_std()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` ``(B, C, H, W)`` normalised."""
        scale, shift = self.affine()
        return x * scale[:, None, None] + shift[:, None, None]

    def folded(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias of a convolution followed by this normalisation, not trained.

        Args:
            weight: ``(C, C_in, h, w)`` weight of the convolution before it.

        Returns:
            ``(C, C_in, h, w)`` weight and ``(C,)`` bias, kept until one of their sources changes.
        """
        sources = (weight, self.weight, self.bias, self.running_mean, self.running_var)
        key = tuple(v for t in sources for v in (t.data_ptr(), t._version))
        if self._folded is None or self._folded[0] != key:
            with torch.no_grad():
                scale, shift = self.affine()
                self._folded = (key, weight * scale[:, None, None, None], shift)
        return self._folded[1], self._folded[2]


def conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.Module) -> Tensor:
    """Return ``norm(conv(x))``, as one operation when ``norm`` is a :class:`FrozenNorm`.

    Args:
        x: ``(B, C_in, H, W)``.
        conv: Without bias and dilation where ``norm`` is frozen.
        norm: Any normalisation.
    """
    if not isinstance(norm, FrozenNorm):
        return norm(conv(x))
    stride, padding = conv.stride, conv.padding
    if not torch.is_grad_enabled():
        return _convolve(x, conv, *norm.folded(conv.weight))
    plain_cpu = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    simple = conv.groups == 1 and not isinstance(conv, DeformableConv)
    if simple and plain_cpu and not torch.compiler.is_compiling():
        args = (norm.weight, norm.bias, norm.running_mean, norm.inverse_std(), stride, padding)
        return _ConvFrozenNorm.apply(x, conv.weight, *args)
    scale, shift = norm.affine()
    return _convolve(x, conv, conv.weight * scale[:, None, None, None], shift)


def _convolve(x: Tensor, conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the convolution of ``conv`` with another weight and a bias."""
    if isinstance(conv, DeformableConv):
        return conv.convolve(x, weight, bias)
    if conv.groups == 1:
        assert not isinstance(conv.padding, str)
        return _plain(x, weight, bias, conv.stride, conv.padding)
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, 1, conv.groups)


def _plain(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
) -> Tensor:
    """Return a convolution without groups; one of single pixels on a small map is a product."""
    pointwise = weight.shape[2:] == (1, 1) and not any(padding) and x.device.type == "cpu"
    size = (-(-x.shape[2] // stride[0]), -(-x.shape[3] // stride[1]))
    if not pointwise or not _is_small(x.shape[0] * size[0] * size[1], x.shape[1]):
        return F.conv2d(x, weight, bias, stride, padding)
    rows = x.permute(0, 2, 3, 1)[:, :: stride[0], :: stride[1]].reshape(-1, x.shape[1])
    columns = weight.flatten(1).T
    out = rows @ columns if bias is None else torch.addmm(bias, rows, columns)
    return out.view(x.shape[0], *size, weight.shape[0]).permute(0, 3, 1, 2)


def _is_small(num_pixels: int, num_channels: int) -> bool:
    """Whether a map has fewer pixels than channels.

    On such maps the kernels of convolutions lose to one matrix product: up to 4 times for the
    gradient of the weight, up to 1.8 times for single pixels (two threads).
    """
    return num_pixels <= num_channels


class _ConvFrozenNorm(torch.autograd.Function):
    """Convolution and frozen normalisation; the scale is applied to the smaller side.

    Early convolutions have large maps and few weights, so the weights are scaled; late ones have
    small maps and many weights, so the output is.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        gamma: Tensor,
        beta: Tensor,
        mean: Tensor,
        inverse_std: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        scale = gamma * inverse_std
        shift = beta - mean * scale
        pixels = x.shape[0] * (x.shape[2] // stride[0]) * (x.shape[3] // stride[1])
        ctx.scales_output = pixels < weight[0].numel()
        ctx.stride, ctx.padding = stride, padding
        if ctx.scales_output:
            plain = _plain(x, weight, None, stride, padding)
            ctx.save_for_backward(x, weight, scale, mean, inverse_std, plain)
            return torch.addcmul(shift[:, None, None], plain, scale[:, None, None])
        scaled = weight * scale[:, None, None, None]
        ctx.save_for_backward(x, weight, scale, mean, inverse_std, scaled)
        return _plain(x, scaled, shift, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale, mean, inverse_std, kept = ctx.saved_tensors
        wants_x, wants_weight, wants_gamma, wants_beta = ctx.needs_input_grad[:4]
        of_shift = grad.sum((0, 2, 3)) if wants_gamma or wants_beta else None
        of_scale: Tensor | None = None
        if ctx.scales_output:
            if wants_gamma:
                of_scale = (grad * kept).sum((0, 2, 3))
            of_x, of_weight = _conv_backward(
                grad * scale[:, None, None], x, weight, ctx, wants_x, wants_weight
            )
        else:
            of_x, of_weight = _conv_backward(
                grad, x, kept, ctx, wants_x, wants_weight or wants_gamma
            )
            if of_weight is not None:
                if wants_gamma:
                    rows = (t.permute(0, 2, 3, 1).flatten(1) for t in (of_weight, weight))
                    of_scale = torch.linalg.vecdot(*rows)
                of_weight *= scale[:, None, None, None]
        of_gamma = None
        if of_scale is not None and of_shift is not None:
            of_gamma = (of_scale - of_shift * mean) * inverse_std
        return of_x, of_weight, of_gamma, of_shift if wants_beta else None, *[None] * 4


def _conv_backward(
    grad: Tensor, x: Tensor, weight: Tensor, ctx: Any, wants_x: bool, wants_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of a convolution with respect to its input and its weight."""
    num_out, num_in = weight.shape[:2]
    by_product = _is_small(grad[:, 0].numel(), num_in)
    mask = [wants_x, wants_weight and not by_product, False]
    of_x = of_weight = None
    if any(mask):
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, ctx.stride, ctx.padding, [1, 1], False, [0, 0], 1, mask
        )
    if wants_weight and by_product:
        rows = grad.permute(0, 2, 3, 1).reshape(-1, num_out)
        patches = _patches(x, weight.shape[2:], ctx.stride, ctx.padding, grad.shape[2:])
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
