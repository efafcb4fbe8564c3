"""What an assigner is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from corrlight.structures import Match, Predictions, Targets

__all__ = ["Assigner", "HasEpochs"]


class Assigner(Protocol):
    """Decides which hypotheses are positive. Runs at validation too: beta_img needs it.

    What it needs of the predictions beside logits and boxes it says in the optional attribute
    ``needs`` (``("priors",)``), and in ``activation`` what scores have to be made with; see
    :func:`corrlight.needs.check_needs`.
    """

    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> Match:
        """Return the match of one stage, computed without gradient."""
        ...


@runtime_checkable
class HasEpochs(Protocol):
    """An assigner or criterion that changes with the epoch of a training."""

    def start_epoch(self, epoch: int) -> None:
        """Note the epoch, from 0, that begins."""
        ...
