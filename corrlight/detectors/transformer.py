"""Encoder-decoder transformer of DETR (Vaswani et al., 2017; Carion et al., 2020, Appendix A.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from corrlight.modes.tracing import tensor_of_sizes
from corrlight.ops.dropout import Dropout
from corrlight.ops.linear import Linear, MultiheadAttention

__all__ = [
    "DecoderLayer",
    "EncoderLayer",
    "box_branch",
    "encode_shares",
    "feedforward",
    "padded_cells",
    "sine_encoding",
    "valid_cells",
]


def valid_cells(
    map_size: tuple[int, int],
    input_size: tuple[int, int],
    valid_sizes: Sequence[tuple[int, int]],
    device: torch.device,
) -> Tensor:
    """Return how many rows and columns of a map show the content of each image.

    A cell counts when its upper left pixel does.

    Args:
        map_size: Height and width of the map, in cells.
        input_size: Height and width of the batch, in pixels.
        valid_sizes: Height and width of the content of every image.
        device: Where the result lies.

    Returns:
        ``(B, 2)`` int64, at least 1.
    """
    cells, pixels = tensor_of_sizes([map_size, input_size], device)
    limits = tensor_of_sizes(valid_sizes, device)
    return -((-limits * cells) // pixels)  # rows i with floor(i * pixels / cells) < limit


def padded_cells(map_size: tuple[int, int], counts: Tensor) -> Tensor:
    """Return which cells of a map show nothing of an image's content.

    Args:
        map_size: Height h and width w of the map.
        counts: ``(B, 2)`` rows and columns of each image's content.

    Returns:
        ``(B, h * w)`` bool, row-major.
    """
    rows, columns = (torch.arange(n, device=counts.device) for n in map_size)
    beyond = (rows >= counts[:, :1])[:, :, None] | (columns >= counts[:, 1:])[:, None]
    return beyond.flatten(1)


def encode_shares(shares: Tensor, channels: int, temperature: float = 10000.0) -> Tensor:
    """Return sines and cosines of numbers in [0, 1], of which 1 is a full turn.

    Each pair of channels is the sine and cosine of one frequency (Carion et al., 2020, Appendix
    A.4).

    Args:
        shares: ``(...)`` numbers.
        channels: Channels C, an even number.
        temperature: Ratio of the highest to the lowest frequency.

    Returns:
        ``(..., C)``.
    """
    exponents = torch.arange(channels // 2, device=shares.device) * (2 / channels)
    divisors = temperature**exponents  # (C / 2,)
    angle = (shares * (2 * math.pi))[..., None] / divisors
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)


def sine_encoding(
    map_size: tuple[int, int],
    counts: Tensor,
    channels: int,
    temperature: float = 10000.0,
    offset: float = 0.0,
) -> Tensor:
    """Return sines and cosines of every cell's position as a share of its image's content.

    Half of the channels encode y, half x (:func:`encode_shares`).

    Args:
        map_size: Height h and width w of the map.
        counts: ``(B, 2)`` rows and columns of each image's content.
        channels: Channels C, a multiple of 4.
        temperature: Ratio of the highest to the lowest frequency.
        offset: Added to the numbers of rows and columns, which begin at 1; -0.5 are the cells'
            middles.

    Returns:
        ``(B, h * w, C)``, row-major. Cells beyond the content repeat its last row or column.
    """
    encoded = []
    for axis, length in enumerate(map_size):
        count = counts[:, axis, None]  # (B, 1)
        index = torch.arange(1, length + 1, device=counts.device)[None].minimum(count)
        shares = (index + offset) / (count + 1e-6)
        encoded.append(encode_shares(shares, channels // 2, temperature))  # (B, n, C / 2)
    height, width = map_size
    y = encoded[0][:, :, None].expand(-1, -1, width, -1)
    x = encoded[1][:, None].expand(-1, height, -1, -1)
    return torch.cat([y, x], -1).flatten(1, 2)


def feedforward(channels: int, hidden_channels: int, dropout: float) -> nn.Sequential:
    """Return two linear layers with a ReLU and a dropout between them.

    Args:
        channels: Channels of input and output.
        hidden_channels: Channels between.
        dropout: Share of zeroed activations in training.
    """
    return nn.Sequential(
        Linear(channels, hidden_channels),
        nn.ReLU(inplace=True),
        Dropout(dropout),
        Linear(hidden_channels, channels),
    )


def box_branch(channels: int) -> nn.Sequential:
    """Return three linear layers from ``channels`` to the four numbers of a box."""
    return nn.Sequential(
        Linear(channels, channels),
        nn.ReLU(inplace=True),
        Linear(channels, channels),
        nn.ReLU(inplace=True),
        Linear(channels, 4),
    )


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each added to its input.

    Args:
        channels: Channels C of a token.
        num_heads: Heads of the attention.
        feedforward_channels: Width of the feed-forward network.
        dropout: Share of zeroed attention weights and activations in training.
        norm_first: Normalise the input of each part instead of the sum (Xiong et al., 2020).
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        feedforward_channels: int,
        dropout: float,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = MultiheadAttention(channels, num_heads, dropout)
        self.attention_norm = nn.LayerNorm(channels)
        self.feedforward = feedforward(channels, feedforward_channels, dropout)
        self.feedforward_norm = nn.LayerNorm(channels)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, positions: Tensor, padding: Tensor | None) -> Tensor:
        """Return the refined tokens ``(B, T, C)``.

        Args:
            tokens: ``(B, T, C)``.
            positions: ``(B, T, C)`` position encodings, added to queries and keys.
            padding: ``(B, T)`` bool, True for tokens that are not looked at, or None.
        """
        if self.norm_first:
            tokens = tokens + self._attend(self.attention_norm(tokens), positions, padding)
            fed = self.feedforward(self.feedforward_norm(tokens))
            return tokens + self.dropout(fed)
        tokens = self.attention_norm(tokens + self._attend(tokens, positions, padding))
        return self.feedforward_norm(tokens + self.dropout(self.feedforward(tokens)))

    def _attend(self, tokens: Tensor, positions: Tensor, padding: Tensor | None) -> Tensor:
        keys = tokens + positions
        attended = self.attention(keys, keys, tokens, padding)
        return self.dropout(attended)


class DecoderLayer(nn.Module):
    """As :class:`EncoderLayer` for queries, which also look at the encoder's tokens.

    Args:
        channels: Channels C of a query.
        num_heads: Heads of both attentions.
        feedforward_channels: Width of the feed-forward network.
        dropout: Share of zeroed attention weights and activations in training.
        norm_first: As for :class:`EncoderLayer`.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        feedforward_channels: int,
        dropout: float,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = MultiheadAttention(channels, num_heads, dropout)
        self.attention_norm = nn.LayerNorm(channels)
        self.cross_attention = MultiheadAttention(channels, num_heads, dropout)
        self.cross_attention_norm = nn.LayerNorm(channels)
        self.feedforward = feedforward(channels, feedforward_channels, dropout)
        self.feedforward_norm = nn.LayerNorm(channels)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        contents: Tensor,
        queries: Tensor,
        tokens: Tensor,
        keys: Tensor,
        padding: Tensor | None,
    ) -> Tensor:
        """Return the refined contents ``(B, N, C)``.

        Args:
            contents: ``(B, N, C)`` what each query has found so far.
            queries: ``(B, N, C)`` learned query embeddings, the positions of the contents.
            tokens: ``(B, T, C)`` the encoder's output.
            keys: ``(B, T, C)`` the same with positions added.
            padding: ``(B, T)`` bool, True for tokens that are not looked at, or None.
        """
        if self.norm_first:
            contents = contents + self._attend(self.attention_norm(contents), queries)
            normed = self.cross_attention_norm(contents)
            contents = contents + self._look(normed, queries, tokens, keys, padding)
            fed = self.feedforward(self.feedforward_norm(contents))
            return contents + self.dropout(fed)
        contents = self.attention_norm(contents + self._attend(contents, queries))
        seen = self._look(contents, queries, tokens, keys, padding)
        contents = self.cross_attention_norm(contents + seen)
        return self.feedforward_norm(contents + self.dropout(self.feedforward(contents)))

    def _attend(self, contents: Tensor, queries: Tensor) -> Tensor:
        own = contents + queries
        attended = self.attention(own, own, contents)
        return self.dropout(attended)

    def _look(
        self,
        contents: Tensor,
        queries: Tensor,
        tokens: Tensor,
        keys: Tensor,
        padding: Tensor | None,
    ) -> Tensor:
        attended = self.cross_attention(contents + queries, keys, tokens, padding)
        return self.dropout(attended)

    def look_around(self) -> None:
        """Start the cross-attention with equal maps of queries and keys, as a kernel of distance.

        A query whose embedding encodes a position then looks at the tokens around it first.
        """
        weight = self.cross_attention.in_proj_weight
        assert weight is not None
        channels = weight.shape[1]
        with torch.no_grad():
            nn.init.orthogonal_(weight[:channels], gain=2.0)
            weight[channels : 2 * channels] = weight[:channels]
