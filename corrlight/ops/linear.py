"""Linear layers and attention whose matrix products oneDNN computes (:mod:`.product`)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from corrlight.ops.product import product, runs_onednn
from corrlight.ops.switch import is_on

__all__ = ["Linear", "MultiheadAttention", "linear"]


class Linear(nn.Linear):
    """A layer that multiplies by :func:`linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(..., K)`` of ``(..., C)``."""
        return linear(x, self.weight, self.bias)


class MultiheadAttention(nn.MultiheadAttention):
    """Attention between batches of tokens, with biases.

    Equals ``torch.nn.MultiheadAttention`` with ``batch_first`` and without ``need_weights``, up to
    rounding.

    Args:
        channels: Channels C of a token.
        num_heads: Heads, which divide the channels.
        dropout: Share of attention weights that are zeroed in training.
    """

    def __init__(self, channels: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__(channels, num_heads, dropout, batch_first=True)

    def forward(  # type: ignore[override]
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        padding: Tensor | None = None,
    ) -> Tensor:
        """Return what every query sees, ``(B, N, C)``.

        Args:
            query: ``(B, N, C)``.
            key: ``(B, T, C)``.
            value: ``(B, T, C)``.
            padding: ``(B, T)`` bool, True for tokens that are not looked at, or None.
        """
        weight, bias = self.in_proj_weight, self.in_proj_bias
        channels = self.embed_dim
        multiplications = query.numel() * channels
        if not (runs_onednn(multiplications, query, weight) and is_on("linear")):
            options: dict[str, Any] = {"key_padding_mask": padding, "need_weights": False}
            attended: Tensor = super().forward(query, key, value, **options)[0]
            return attended
        if query is key:
            both = linear(query, weight[: 2 * channels], bias[: 2 * channels])
            queries, keys = both.chunk(2, dim=-1)
        else:
            queries = linear(query, weight[:channels], bias[:channels])
            keys = linear(key, weight[channels : 2 * channels], bias[channels : 2 * channels])
        values = linear(value, weight[2 * channels :], bias[2 * channels :])
        seen = F.scaled_dot_product_attention(
            self._heads(queries),
            self._heads(keys),
            self._heads(values),
            None if padding is None else ~padding[:, None, None],
            self.dropout if self.training else 0.0,
        )
        rows = seen.transpose(1, 2).flatten(2)
        return linear(rows, self.out_proj.weight, self.out_proj.bias)

    def _heads(self, tokens: Tensor) -> Tensor:
        """Return ``(B, heads, N, C / heads)`` of ``(B, N, C)``."""
        return tokens.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.T``, plus a bias.

    Equals ``torch.nn.functional.linear`` up to rounding. Differentiable once where oneDNN computes
    it.

    Args:
        x: ``(..., C)``.
        weight: ``(K, C)``.
        bias: ``(K,)``, or None.

    Returns:
        ``(..., K)``.
    """
    if not runs_onednn(x.numel() * len(weight), x, weight) or not is_on("linear"):
        return F.linear(x, weight, bias)
    rows, sources = x.reshape(-1, x.shape[-1]), (x, weight, bias)
    wants = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in sources)
    result = _Linear.apply(rows, weight, bias) if wants else product(rows, weight, bias)
    return result.view(*x.shape[:-1], len(weight))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        return (
            product(grad, weight.T) if wants_x else None,
            product(grad.T, x.T) if wants_weight else None,
            grad.sum(0) if wants_bias else None,
        )
