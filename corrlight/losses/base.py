"""What a loss callback is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from corrlight.structures import Positives

__all__ = ["CountingLossCallback", "LossCallback", "LossOutput"]


@runtime_checkable
class LossCallback(Protocol):
    """An auxiliary loss on the positives, added as ``weight * callback(positives)``.

    Called once per stage. It never communicates between ranks and changes no state when called.
    ``weight`` (lambda) is multiplied in :class:`corrlight.module.DetectionModule` and nowhere else;
    of one that has a method ``weight_at``, in training what that returns of the share of the
    training that is over.
    One that has an attribute ``sync``, and it is true, gets the positives of all ranks in training;
    their ``image_idx`` then counts the images of all ranks. One whose ``passes_on_nan`` is true
    makes NaN of NaN; another one never sees NaN, which costs a look at all positives.
    """

    weight: float

    def __call__(self, positives: Positives) -> Tensor:
        """Return the unweighted scalar loss."""
        ...


@dataclass(frozen=True, slots=True)
class LossOutput:
    """A scalar loss and what was counted on the way (logged as sums over an epoch)."""

    value: Tensor
    counts: dict[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class CountingLossCallback(LossCallback, Protocol):
    """A loss callback that also reports counts, such as the number of undefined correlations."""

    def evaluate(self, positives: Positives) -> LossOutput:
        """Return the unweighted loss with its counts; ``__call__`` returns its ``value``."""
        ...
