"""What an assigner is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from corrlight.structures import Match, Predictions, Targets

__all__ = ["Assigner"]


class Assigner(Protocol):
    """Decides which hypotheses are positive. Runs at validation too: beta_img needs it."""

    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> Match:
        """Return the match of one stage, computed without gradient."""
        ...
