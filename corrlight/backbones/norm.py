"""Normalisation with frozen statistics, folded into the convolution before it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return the ``(C,)`` scale and shift that the normalisation amounts to."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` ``(B, C, H, W)`` normalised."""
        scale, shift = self.affine()
        return x * scale[:, None, None] + shift[:, None, None]

    def fold(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weight and bias of the convolution followed by this normalisation.

        Args:
            weight: ``(C, C_in, h, w)`` weight of the convolution before it.

        Returns:
            ``(C, C_in, h, w)`` weight and ``(C,)`` bias, differentiable in ``weight`` and in the
            affine parameters. Without gradient the pair is kept until one of its sources changes.
        """
        if torch.is_grad_enabled() and (weight.requires_grad or self.weight.requires_grad):
            scale, shift = self.affine()
            return weight * scale[:, None, None, None], shift
        sources = (weight, self.weight, self.bias, self.running_mean, self.running_var)
        key = tuple(v for t in sources for v in (t.data_ptr(), t._version))
        if self._folded is None or self._folded[0] != key:
            with torch.no_grad():
                scale, shift = self.affine()
                self._folded = (key, weight * scale[:, None, None, None], shift)
        return self._folded[1], self._folded[2]


def conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.Module) -> Tensor:
    """Return ``norm(conv(x))``, as one convolution when ``norm`` is a :class:`FrozenNorm`."""
    if not isinstance(norm, FrozenNorm):
        return norm(conv(x))
    weight, bias = norm.fold(conv.weight)
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)
