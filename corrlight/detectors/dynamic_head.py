"""One stage of Sparse R-CNN: proposals look at each other, then each at its own region."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from corrlight.ops.linear import Linear, MultiheadAttention

__all__ = ["DynamicConv", "DynamicHead"]


class DynamicConv(nn.Module):
    """Two 1x1 convolutions of a region whose weights are generated from its proposal.

    Sun et al., 2021, Sec. 3.2 and Fig. 4.

    Args:
        channels: Channels C of proposals and regions.
        dynamic_channels: Channels F between the two convolutions.
        num_cells: Cells S * S of a region.
    """

    def __init__(self, channels: int, dynamic_channels: int, num_cells: int) -> None:
        super().__init__()
        self.channels, self.dynamic_channels = channels, dynamic_channels
        self.generator = Linear(channels, 2 * channels * dynamic_channels)
        self.norm_in = nn.LayerNorm(dynamic_channels)
        self.norm_out = nn.LayerNorm(channels)
        self.project = Linear(num_cells * channels, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, proposals: Tensor, regions: Tensor) -> Tensor:
        """Return ``(M, C)`` what each proposal makes of its region.

        Args:
            proposals: ``(M, C)``.
            regions: ``(M, S * S, C)``.
        """
        # unbind, not slices: its gradient is one stack instead of two zero-padded sums.
        first, second = self.generator(proposals).unflatten(1, (2, -1)).unbind(1)
        x = regions @ first.unflatten(1, (self.channels, self.dynamic_channels))
        x = F.relu(self.norm_in(x))  # (M, S * S, F)
        x = x @ second.unflatten(1, (self.dynamic_channels, self.channels))
        x = F.relu(self.norm_out(x))  # (M, S * S, C)
        return F.relu(self.norm(self.project(x.flatten(1))))


class DynamicHead(nn.Module):
    """Refines proposals and their boxes once.

    Args:
        channels: Channels C of proposals and regions.
        num_classes: Foreground classes.
        num_heads: Heads of the self-attention.
        feedforward_channels: Width of the feed-forward network.
        dynamic_channels: Width of the dynamic convolution.
        num_cells: Cells S * S of a region.
        num_cls_layers: Layers before the classifier.
        num_reg_layers: Layers before the box regression.
        prior: Score of every class at the start, which the classifier's bias is set to.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        dynamic_channels: int = 64,
        num_cells: int = 49,
        num_cls_layers: int = 1,
        num_reg_layers: int = 3,
        prior: float = 0.01,
    ) -> None:
        super().__init__()
        self.attention = MultiheadAttention(channels, num_heads)
        self.attention_norm = nn.LayerNorm(channels)
        self.dynamic_conv = DynamicConv(channels, dynamic_channels, num_cells)
        self.dynamic_norm = nn.LayerNorm(channels)
        self.feedforward = nn.Sequential(
            Linear(channels, feedforward_channels),
            nn.ReLU(),
            Linear(feedforward_channels, channels),
        )
        self.feedforward_norm = nn.LayerNorm(channels)
        self.cls_tower = _tower(channels, num_cls_layers)
        self.reg_tower = _tower(channels, num_reg_layers)
        self.cls = Linear(channels, num_classes)
        self.reg = Linear(channels, 4)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.constant_(self.cls.bias, math.log(prior / (1 - prior)))

    def forward(self, proposals: Tensor, regions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return class logits, box deltas and the refined proposals.

        Args:
            proposals: ``(B, N, C)`` proposal features.
            regions: ``(B, N, S * S, C)`` features inside the proposals' boxes.

        Returns:
            ``(B, N, num_classes)``, ``(B, N, 4)`` and ``(B, N, C)``.
        """
        attended = self.attention(proposals, proposals, proposals)
        proposals = self.attention_norm(proposals + attended)
        seen = self.dynamic_conv(proposals.flatten(0, 1), regions.flatten(0, 1))
        proposals = self.dynamic_norm(proposals + seen.view_as(proposals))
        proposals = self.feedforward_norm(proposals + self.feedforward(proposals))
        logits = self.cls(self.cls_tower(proposals))
        deltas = self.reg(self.reg_tower(proposals))
        return logits, deltas, proposals


def _tower(channels: int, num_layers: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(num_layers):
        layers += [Linear(channels, channels, bias=False), nn.LayerNorm(channels), nn.ReLU()]
    return nn.Sequential(*layers)
