"""How element-wise losses become a number."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from corrlight.arguments import check_choice

__all__ = [
    "Reduction",
    "check_reduction",
    "in_full_precision",
    "reduce_loss",
]

Reduction = Literal["none", "mean", "sum"]


def check_reduction(reduction: str, normalizer: Tensor | float | None) -> None:
    """Raise a ValueError for an unknown reduction or a normalizer that it cannot use."""
    check_choice("reduction", reduction, get_args(Reduction))
    if normalizer is not None and reduction == "sum":
        raise ValueError(
            "Expected `normalizer` to be None with `reduction='sum'`, "
            f"but got {normalizer!r}; use `reduction='mean'` to divide the sum by it."
        )


def in_full_precision(tensor: Tensor) -> Tensor:
    """Return half-precision tensors as float32 and others unchanged."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def reduce_loss(
    values: Tensor,
    reduction: Reduction = "mean",
    weights: Tensor | None = None,
    normalizer: Tensor | float | None = None,
) -> Tensor:
    """Return weighted ``values`` unreduced, as their sum, or as their mean.

    Args:
        values: ``(...)`` element-wise losses.
        reduction: 'none', 'mean' or 'sum'.
        weights: Factors of the values, broadcast from the left: ``(N,)`` weights scale the rows
            of ``(N, C)`` values.
        normalizer: With 'mean', what the sum is divided by instead of the number of values.

    Returns:
        ``(...)`` values for 'none', else a scalar. The mean of no values is 0.

    Raises:
        ValueError: For an unknown reduction, and for 'sum' with a normalizer.

    Example:
        >>> reduce_loss(torch.tensor([1.0, 3.0]), "mean", normalizer=8)
        tensor(0.5000)
    """
    check_reduction(reduction, normalizer)
    if weights is not None:
        missing = values.ndim - weights.ndim
        values = values * weights.reshape(weights.shape + (1,) * missing)
    if reduction == "none":
        return values
    if reduction == "sum":
        return values.sum()
    return values.sum() / (max(values.numel(), 1) if normalizer is None else normalizer)
