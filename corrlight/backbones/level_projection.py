"""Maps of a backbone at one width, without a way from coarse to fine (Deformable DETR's neck)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from corrlight.arguments import check_at_least
from corrlight.ops.small_conv import SmallConv2d

__all__ = ["LevelProjection"]


class LevelProjection(nn.Module):
    """1x1 convolutions, and 3x3 ones of stride 2 for coarser levels, with group normalisation.

    The first coarser level is made of the backbone's last map, each further one of the one before
    (Zhu et al., 2021, Appendix A.4.1).

    Args:
        in_channels: Channels of the backbone's maps.
        out_channels: Channels of every level.
        num_levels: Levels returned.
        start_level: First of the backbone's maps that is used.
        norm_groups: Groups of the normalisation.

    Raises:
        ValueError: An argument is out of range, or groups that do not divide the channels.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        num_levels: int = 4,
        start_level: int = 1,
        norm_groups: int = 32,
    ) -> None:
        super().__init__()
        check_at_least(1, out_channels=out_channels, norm_groups=norm_groups)
        used = [*in_channels][start_level:]
        if not used or start_level < 0:
            raise ValueError(
                f"Expected `start_level` to be in 0..{len(in_channels) - 1}, but got {start_level}."
            )
        check_at_least(len(used), num_levels=num_levels)
        if out_channels % norm_groups:
            raise ValueError(
                f"Expected `norm_groups` to divide the {out_channels} channels, but got "
                f"{norm_groups}."
            )
        self.out_channels, self.num_levels, self.start_level = out_channels, num_levels, start_level

        def layer(channels: int, size: int, stride: int) -> nn.Sequential:
            conv = SmallConv2d(channels, out_channels, size, stride, size // 2, bias=False)
            nn.init.xavier_uniform_(conv.weight)
            return nn.Sequential(conv, nn.GroupNorm(norm_groups, out_channels))

        self.project = nn.ModuleList(layer(c, 1, 1) for c in used)
        sources = [used[-1], *[out_channels] * (num_levels - len(used) - 1)]
        extra = sources if num_levels > len(used) else []
        self.extra = nn.ModuleList(layer(c, 3, 2) for c in extra)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return ``num_levels`` maps ``(B, out_channels, H_l, W_l)``, finest first.

        Args:
            maps: The backbone's maps ``(B, C_i, H_i, W_i)``, finest first.
        """
        used = maps[self.start_level :]
        levels = [project(m) for project, m in zip(self.project, used, strict=True)]
        for i, extra in enumerate(self.extra):
            levels.append(extra(levels[-1] if i else used[-1]))
        return levels
