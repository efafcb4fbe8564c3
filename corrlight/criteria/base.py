"""What a criterion is: the detector's own loss, L_OD."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

from torch import Tensor, nn

from corrlight.structures import Activation, Match, PredictionField, Predictions, Targets

__all__ = ["Criterion"]


class Criterion(nn.Module, ABC):
    """L_OD of one stage as named, weighted terms.

    A criterion never communicates between ranks and changes no state in ``forward``. What has to
    be averaged over ranks is returned by :meth:`normalizers`; the module averages it and passes it
    back.
    """

    @property
    def activation(self) -> Activation | None:
        """What the detector has to make scores with; None takes any."""
        return None

    @property
    def needs(self) -> Collection[PredictionField]:
        """What the predictions need to have beside logits and boxes."""
        return ()

    @abstractmethod
    def normalizers(
        self, predictions: Predictions, targets: Sequence[Targets], match: Match
    ) -> dict[str, Tensor]:
        """Return this rank's scalar normalisers, before any lower bound is applied.

        An empty dictionary means that every normaliser is local to the rank.
        """

    @abstractmethod
    def forward(
        self,
        predictions: Predictions,
        targets: Sequence[Targets],
        match: Match,
        normalizers: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the weighted scalar terms, named ``loss_*``.

        Args:
            predictions: Raw outputs of the stage.
            targets: Ground truth, one an image.
            match: The assigner's result.
            normalizers: What :meth:`normalizers` returned, averaged over the ranks in training.
        """

    # Not abstract: most criteria have no running state.
    def after_step(self, terms: Mapping[str, Tensor]) -> None:
        """Update a running state from the (rank-averaged) terms of a training step."""
