"""Feature pyramid network (Lin et al., 2017) with the extra levels of one-stage detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corrlight.arguments import check_choice
from corrlight.ops.pyramid_conv import PyramidConv
from corrlight.ops.small_conv import SmallConv2d

__all__ = ["FPN"]


class FPN(nn.Module):
    """1x1 lateral and 3x3 output convolutions with bias, without normalisation or activation.

    Args:
        in_channels: Channels of the backbone's maps.
        out_channels: Channels of every level.
        num_levels: Levels returned.
        start_level: First of the backbone's maps that is used.
        extra_levels: How levels above the backbone's last map arise, by stride-2 convolutions:
            "on_output" from the last output, "on_input" from the backbone's last map, each further
            one from the one before; "subsampled" takes every second cell of the level before
            instead (Faster R-CNN); None when there are none.
        upsampling: "nearest" or "bilinear", to the size of the finer map.
        relu_between_extra: Whether extra levels after the first see the one before through a ReLU
            (FCOS).

    Raises:
        ValueError: An argument is out of range, or ``num_levels`` does not fit ``extra_levels``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        num_levels: int = 5,
        start_level: int = 1,
        extra_levels: Literal["on_output", "on_input", "subsampled"] | None = "on_output",
        upsampling: Literal["nearest", "bilinear"] = "nearest",
        relu_between_extra: bool = False,
    ) -> None:
        super().__init__()
        used = [*in_channels][start_level:]
        num_extra = num_levels - len(used)
        if not used or start_level < 0:
            raise ValueError(
                f"Expected `start_level` to be in 0..{len(in_channels) - 1}, but got {start_level}."
            )
        check_choice("extra_levels", extra_levels, ("on_output", "on_input", "subsampled", None))
        if num_extra < 0 or (num_extra > 0) != (extra_levels is not None):
            raise ValueError(
                f"Expected `num_levels` to be {len(used)} without `extra_levels` and more with it, "
                f"but got {num_levels} with {extra_levels!r}."
            )
        check_choice("upsampling", upsampling, ("nearest", "bilinear"))
        self.out_channels, self.num_levels = out_channels, num_levels
        self.start_level, self.extra_levels = start_level, extra_levels
        self.upsampling, self.relu_between_extra = upsampling, relu_between_extra
        self.lateral = nn.ModuleList(SmallConv2d(c, out_channels, 1) for c in used)
        self.output = nn.ModuleList(PyramidConv(out_channels, out_channels) for _ in used)
        for i in range(num_extra if extra_levels != "subsampled" else 0):
            source = used[-1] if i == 0 and extra_levels == "on_input" else out_channels
            self.output.append(SmallConv2d(source, out_channels, 3, 2, 1))
        for conv in (m for m in self.modules() if isinstance(m, nn.Conv2d)):
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _upsample(self, coarse: Tensor, size: torch.Size) -> Tensor:
        if self.upsampling == "bilinear":
            return F.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
        return F.interpolate(coarse, size=size, mode="nearest")

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return ``num_levels`` maps ``(B, out_channels, H_l, W_l)``, finest first.

        Args:
            maps: The backbone's maps ``(B, C_i, H_i, W_i)``, finest first.
        """
        used = maps[self.start_level :]
        laterals = [conv(m) for conv, m in zip(self.lateral, used, strict=True)]
        for i in range(len(laterals) - 1, 0, -1):
            finer = laterals[i - 1]
            laterals[i - 1] = finer + self._upsample(laterals[i], finer.shape[2:])
        levels = [self.output[i]([m])[0] for i, m in enumerate(laterals)]
        source = used[-1] if self.extra_levels == "on_input" else levels[-1]
        for i, conv in enumerate(self.output[len(laterals) :]):
            source = conv(source.relu() if i and self.relu_between_extra else source)
            levels.append(source)
        while len(levels) < self.num_levels:  # subsampled
            levels.append(levels[-1][:, :, ::2, ::2])
        return levels
