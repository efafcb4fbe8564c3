"""Parts that the heads of dense detectors share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from corrlight.backbones import PyramidConv

__all__ = ["ConvTower", "flatten_levels", "init_head"]


class _ConvBlock(nn.Module):
    """3x3 convolution, group normalisation if asked for, ReLU."""

    def __init__(
        self, in_channels: int, channels: int, norm_groups: int | None, bias: bool
    ) -> None:
        super().__init__()
        self.conv = PyramidConv(in_channels, channels, bias=bias)
        self.norm = None if norm_groups is None else nn.GroupNorm(norm_groups, channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        convolved = self.conv(maps)
        if self.norm is None:
            # The convolved maps may share memory, which autograd forbids to change.
            return [m.relu() for m in convolved]
        return [self.norm(m).relu_() for m in convolved]


class ConvTower(nn.Sequential):
    """A stack of 3x3 convolutions with ReLU over a list of maps, one a level of a pyramid.

    Args:
        in_channels: Channels of a level.
        channels: Channels of the stack.
        num_convs: Convolutions.
        norm_groups: Groups of the group normalisation after each, or None for no normalisation.
        bias: Whether the convolutions have a bias; None for those without normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_convs: int,
        norm_groups: int | None,
        bias: bool | None = None,
    ) -> None:
        inputs = [in_channels, *[channels] * (num_convs - 1)][:num_convs]
        biased = norm_groups is None if bias is None else bias
        super().__init__(*(_ConvBlock(c, channels, norm_groups, biased) for c in inputs))


def init_head(modules: Iterable[nn.Module], classifier: nn.Conv2d, prior: float = 0.01) -> None:
    """Draw all convolutions from N(0, 0.01) and let every class score start at ``prior``.

    Args:
        modules: The head's parts; biases become 0.
        classifier: The convolution whose outputs are logits.
        prior: Initial score (Lin et al., 2017, Section 4.1).
    """
    for module in modules:
        for conv in (m for m in module.modules() if isinstance(m, nn.Conv2d)):
            nn.init.normal_(conv.weight, std=0.01)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
    assert classifier.bias is not None
    nn.init.constant_(classifier.bias, -math.log((1 - prior) / prior))


def flatten_levels(maps: Sequence[Tensor], num_outputs: int) -> Tensor:
    """Return the outputs of all levels in the order of :class:`AnchorGrid`.

    Args:
        maps: ``(B, A * num_outputs, H_l, W_l)`` a level; channels-last memory makes the
            permutation free.
        num_outputs: Outputs K of one anchor.

    Returns:
        ``(B, N, K)`` with N the sum of H_l W_l A.
    """
    batch = maps[0].shape[0]
    return torch.cat([m.permute(0, 2, 3, 1).reshape(batch, -1, num_outputs) for m in maps], 1)
