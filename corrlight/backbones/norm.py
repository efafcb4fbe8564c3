"""Normalisation with frozen statistics, joined with the convolution before it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corrlight.backbones.deformable import DeformableConv
from corrlight.ops import conv_norm as fast
from corrlight.ops.switch import is_on

__all__ = ["FrozenNorm", "conv_norm"]

# Channels that oneDNN works on at a time, at most. With fewer, its gradient of the weight of a
# strided convolution of one pixel writes beyond its memory (its issue 6035): wrong numbers or the
# end of the process.
_ONEDNN_BLOCK = 16


class FrozenNorm(nn.Module):
    """Batch normalisation whose statistics never change, with the names of ``nn.BatchNorm2d``.

    It is an affine map a channel, so :func:`conv_norm` multiplies it into the convolution before
    it instead of running over the activations.

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

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # Batch normalisation counts its batches; frozen statistics have no use for the count.
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

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
        statistics = (self.running_mean, self.running_var)
        return F.batch_norm(x, *statistics, self.weight, self.bias, eps=self.eps)


def conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.Module) -> Tensor:
    """Return ``norm(conv(x))``, as one operation when ``norm`` is a :class:`FrozenNorm`.

    Args:
        x: ``(B, C_in, H, W)``.
        conv: Without bias and dilation where ``norm`` is frozen.
        norm: Any normalisation.
    """
    on_cpu = x.device.type == "cpu"
    ordinary = conv.groups == 1 and not isinstance(conv, DeformableConv)
    stride = conv.stride
    if on_cpu and ordinary and _unsafe(conv):
        # The same convolution, of the pixels that it reads.
        x = x[:, :, :: stride[0], :: stride[1]].contiguous(memory_format=torch.channels_last)
        stride = (1, 1)
    if not isinstance(norm, FrozenNorm) or (on_cpu and not is_on("conv_norm")):
        return norm(conv(x) if stride == conv.stride else F.conv2d(x, conv.weight, conv.bias))
    assert not isinstance(conv.padding, str)
    plain_mode = not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()
    if on_cpu and ordinary and plain_mode:
        parameters = (conv.weight, norm.weight, norm.bias)
        statistics = (norm.running_mean, norm.inverse_std())
        return fast.conv_norm(x, *parameters, *statistics, stride, conv.padding)
    scale, shift = norm.affine()
    weight = conv.weight * scale[:, None, None, None]
    if isinstance(conv, DeformableConv):
        return conv.convolve(x, weight, shift)
    return F.conv2d(x, weight, shift, stride, conv.padding, 1, conv.groups)


def _unsafe(conv: nn.Conv2d) -> bool:
    """Whether the gradient of the weight may not be left to oneDNN."""
    strided = conv.kernel_size == (1, 1) and conv.stride != (1, 1)
    return strided and conv.in_channels < _ONEDNN_BLOCK and conv.padding == (0, 0)
