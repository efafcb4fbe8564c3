"""One criterion in the first epochs of a training, another one afterwards."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

from corrlight.arguments import check_at_least
from corrlight.criteria.base import Criterion
from corrlight.structures import Activation, Match, PredictionField, Predictions, Targets

__all__ = ["StagedCriterion"]


class StagedCriterion(Criterion):
    """``first`` for the first ``epochs`` epochs, then ``then`` (TOOD).

    Never told of an epoch, as in a test, it is ``then``. Both should name their terms alike.

    Args:
        first: The criterion of the first epochs.
        then: The criterion of all others.
        epochs: Number of the first epochs.

    Raises:
        ValueError: ``epochs`` is negative.
    """

    def __init__(self, first: Criterion, then: Criterion, epochs: int) -> None:
        super().__init__()
        check_at_least(0, epochs=epochs)
        self.first, self.then, self.epochs = first, then, epochs
        self._is_first = False

    @property
    def current(self) -> Criterion:
        """The criterion of the epoch."""
        return self.first if self._is_first else self.then

    @property
    def activation(self) -> Activation | None:
        """What either asks for."""
        return self.then.activation or self.first.activation

    @property
    def needs(self) -> Collection[PredictionField]:
        """What either needs."""
        return {*self.first.needs, *self.then.needs}

    def start_epoch(self, epoch: int) -> None:
        """Note the epoch, from 0, that begins."""
        self._is_first = epoch < self.epochs

    def normalizers(
        self, predictions: Predictions, targets: Sequence[Targets], match: Match
    ) -> dict[str, Tensor]:
        """Return those of the epoch's criterion."""
        return self.current.normalizers(predictions, targets, match)

    def forward(
        self,
        predictions: Predictions,
        targets: Sequence[Targets],
        match: Match,
        normalizers: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the terms of the epoch's criterion."""
        found: dict[str, Tensor] = self.current(predictions, targets, match, normalizers)
        return found

    def after_step(self, terms: Mapping[str, Tensor]) -> None:
        """Pass the terms on to the epoch's criterion."""
        self.current.after_step(terms)
