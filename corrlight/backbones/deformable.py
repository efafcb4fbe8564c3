"""Modulated deformable convolution (Zhu et al., 2019, Section 3.2)."""

from __future__ import annotations

from torch import Tensor, nn

from corrlight.modes.full_precision import full_precision
from corrlight.ops.deform_conv import deform_conv2d

__all__ = ["DeformableConv"]


class DeformableConv(nn.Conv2d):
    """Convolution that reads each tap at a learned offset, weighted by a learned factor.

    Offsets and factors come from ``conv_offset``, a convolution of the same input that starts at
    zero: no offset and a factor of one half, as published. Computed in float32, inside autocast
    too, because bfloat16 cannot tell fractions of a pixel.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Taps a side.
        stride: Pixels between outputs.
        padding: Zeros around the input.
        groups: Groups of the convolution.
        offset_groups: Groups of input channels with offsets and factors of their own.

    Raises:
        ValueError: If ``offset_groups`` does not divide ``in_channels``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 1,
        groups: int = 1,
        offset_groups: int = 4,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False
        )
        if offset_groups < 1 or in_channels % offset_groups:
            raise ValueError(
                f"Expected `offset_groups` to divide the {in_channels} channels, "
                f"but got {offset_groups}."
            )
        self.taps = offset_groups * kernel_size**2
        self.conv_offset = nn.Conv2d(in_channels, 3 * self.taps, kernel_size, stride, padding)
        nn.init.zeros_(self.conv_offset.weight)
        assert self.conv_offset.bias is not None
        nn.init.zeros_(self.conv_offset.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return ``(B, out_channels, H', W')`` of ``(B, in_channels, H, W)``."""
        return self.convolve(input, self.weight, None)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the convolution with another weight, and a bias.

        Args:
            x: ``(B, in_channels, H, W)``.
            weight: ``(out_channels, in_channels / groups, k, k)``.
            bias: ``(out_channels,)``, or None.

        Returns:
            ``(B, out_channels, H', W')`` of the same type as ``x``.
        """
        with full_precision(x):
            full = x.float()
            out = self.conv_offset(full)
            # Of each group and tap first the pair (y, x), for all of them; then the factors.
            offset, factor = out[:, : 2 * self.taps], out[:, 2 * self.taps :].sigmoid()
            found = deform_conv2d(
                full,
                offset,
                weight,
                bias,
                stride=self.stride,
                padding=[int(p) for p in self.padding],
                mask=factor,
            )
        return found.to(x.dtype)
