"""One assigner in the first epochs of a training, another one afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from corrlight.arguments import check_at_least
from corrlight.assigners.base import Assigner
from corrlight.structures import Activation, Match, PredictionField, Predictions, Targets

__all__ = ["StagedAssigner"]


class StagedAssigner:
    """``first`` for the first ``epochs`` epochs, then ``then`` (TOOD).

    Never told of an epoch, as in a test, it is ``then``.

    Args:
        first: The assigner of the first epochs.
        then: The assigner of all others.
        epochs: Number of the first epochs.

    Raises:
        ValueError: ``epochs`` is negative.
    """

    def __init__(self, first: Assigner, then: Assigner, epochs: int) -> None:
        check_at_least(0, epochs=epochs)
        self.first, self.then, self.epochs = first, then, epochs
        self.current = then

    @property
    def needs(self) -> tuple[PredictionField, ...]:
        """What either needs."""
        parts = (self.first, self.then)
        return tuple(sorted({n for part in parts for n in getattr(part, "needs", ())}))

    @property
    def activation(self) -> Activation | None:
        """What either asks for."""
        found = [getattr(part, "activation", None) for part in (self.first, self.then)]
        return found[0] or found[1]

    def start_epoch(self, epoch: int) -> None:
        """Note the epoch, from 0, that begins."""
        self.current = self.first if epoch < self.epochs else self.then

    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> Match:
        """Return the match of the epoch's assigner."""
        return self.current(predictions, targets)
