"""Dropout that draws fewer random bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from corrlight.ops.switch import is_on

__all__ = ["Dropout"]

_LEVELS = 2**16


class Dropout(nn.Dropout):
    """Zeroes activations in training; on CPU from 16 random bits each.

    Equals ``torch.nn.functional.dropout`` in distribution, not bit by bit: the random numbers are
    others, and the share of zeros is ``p`` rounded to a multiple of 2^-16, which the scale fits.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with a share of it zeroed and the rest scaled up."""
        count = round(self.p * _LEVELS)
        plain = not self.training or self.inplace or count == _LEVELS or x.device.type != "cpu"
        if plain or torch.compiler.is_compiling() or not is_on("dropout"):
            return super().forward(x)
        # torch's own draws at least 32 bits for every element.
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        keep = words.view(torch.int16)[: x.numel()].view(x.shape) >= count - _LEVELS // 2
        return x * keep.to(x.dtype).mul_(_LEVELS / (_LEVELS - count))
