"""Encoder and decoder layers with deformable attention (Zhu et al., 2021, Appendix A.2)."""

from __future__ import annotations

from torch import Tensor, nn

from corrlight.detectors.deformable.attention import MultiScaleAttention
from corrlight.detectors.deformable.layout import LevelLayout
from corrlight.detectors.transformer import feedforward
from corrlight.ops.dropout import Dropout
from corrlight.ops.linear import MultiheadAttention

__all__ = ["DeformableDecoderLayer", "DeformableEncoderLayer"]


class DeformableEncoderLayer(nn.Module):
    """Tokens look at points around their own cells; then a feed-forward network.

    Args:
        channels: Channels C of a token.
        num_heads: Heads of the attention.
        num_levels: Levels L of the pyramid.
        num_points: Points of a level that a head looks at.
        feedforward_channels: Width of the feed-forward network.
        dropout: Share of zeroed activations in training.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        feedforward_channels: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention = MultiScaleAttention(channels, num_heads, num_levels, num_points)
        self.attention_norm = nn.LayerNorm(channels)
        self.feedforward = feedforward(channels, feedforward_channels, dropout)
        self.feedforward_norm = nn.LayerNorm(channels)
        self.dropout = Dropout(dropout)

    def forward(
        self, tokens: Tensor, positions: Tensor, references: Tensor, layout: LevelLayout
    ) -> Tensor:
        """Return the refined tokens ``(B, T, C)``.

        Args:
            tokens: ``(B, T, C)``.
            positions: ``(B, T, C)`` encodings of position and level, added to queries.
            references: ``(B, T, L, 2)`` middles of the cells, as shares of each level.
            layout: Where the tokens lie.
        """
        seen = self.attention(tokens + positions, tokens, references, layout)
        tokens = self.attention_norm(tokens + self.dropout(seen))
        return self.feedforward_norm(tokens + self.dropout(self.feedforward(tokens)))


class DeformableDecoderLayer(nn.Module):
    """Queries look at each other, then at points around their references; a feed-forward network.

    Args:
        channels: Channels C of a query.
        num_heads: Heads of both attentions.
        num_levels: Levels L of the pyramid.
        num_points: Points of a level that a head looks at.
        feedforward_channels: Width of the feed-forward network.
        dropout: Share of zeroed attention weights and activations in training.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        feedforward_channels: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention = MultiheadAttention(channels, num_heads, dropout)
        self.attention_norm = nn.LayerNorm(channels)
        self.cross_attention = MultiScaleAttention(channels, num_heads, num_levels, num_points)
        self.cross_attention_norm = nn.LayerNorm(channels)
        self.feedforward = feedforward(channels, feedforward_channels, dropout)
        self.feedforward_norm = nn.LayerNorm(channels)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        contents: Tensor,
        positions: Tensor,
        tokens: Tensor,
        references: Tensor,
        layout: LevelLayout,
    ) -> Tensor:
        """Return the refined contents ``(B, N, C)``.

        Args:
            contents: ``(B, N, C)`` what each query has found so far.
            positions: ``(B, N, C)`` the queries' embeddings, added to the contents.
            tokens: ``(B, T, C)`` the encoder's output.
            references: ``(B, N, L, 2)`` points or ``(B, N, L, 4)`` boxes, as shares of each level.
            layout: Where the tokens lie.
        """
        own = contents + positions
        attended = self.attention(own, own, contents)
        contents = self.attention_norm(contents + self.dropout(attended))
        seen = self.cross_attention(contents + positions, tokens, references, layout)
        contents = self.cross_attention_norm(contents + self.dropout(seen))
        return self.feedforward_norm(contents + self.dropout(self.feedforward(contents)))
