"""The linear learning-rate rule, part of what identifies a run and therefore without torch."""

from __future__ import annotations

import math

from corrlight.arguments import check_at_least

__all__ = ["scaled_lr"]


def scaled_lr(lr: float, batch_size: int, reference_batch_size: int) -> float:
    """Return ``lr`` scaled linearly from the reference batch size (Goyal et al., 2017).

    Raises:
        ValueError: A rate or batch size that is not positive and finite.
    """
    for name, value in (("lr", lr), ("batch_size", batch_size)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"Expected `{name}` to be positive and finite, but got {value}.")
    check_at_least(1, reference_batch_size=reference_batch_size)
    return lr * batch_size / reference_batch_size
