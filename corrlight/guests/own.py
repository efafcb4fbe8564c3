"""A library's own loss and own matching, handed on as they came.

A detector that computes them in its forward pass returns :class:`OwnPredictions`; the assigner and
the criterion here read what is in there, so nothing is matched or computed twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from corrlight.criteria.base import Criterion
from corrlight.structures import Match, Predictions, Targets

__all__ = ["OwnAssigner", "OwnCriterion", "OwnPredictions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPredictions(Predictions):
    """Predictions of a stage with what the detector's library made of them.

    Attributes:
        match: Its matching.
        losses: Its weighted loss terms by name, all of them in one stage.
    """

    match: Match
    losses: Mapping[str, Tensor] = field(default_factory=dict)


def _own(predictions: Predictions) -> OwnPredictions:
    if not isinstance(predictions, OwnPredictions):
        raise ValueError(
            "Expected a detector that brings its own loss (detector=hf_... criterion=own, "
            "detector=tv_...), but this one does not: another assigner and criterion fit."
        )
    return predictions


class OwnAssigner:
    """The matching that the detector's own loss was computed with."""

    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> Match:
        """Return the match of one stage.

        Raises:
            ValueError: The detector does not bring one.
        """
        return _own(predictions).match


class OwnCriterion(Criterion):
    """The loss that the detector's library computed, unchanged."""

    def normalizers(
        self, predictions: Predictions, targets: Sequence[Targets], match: Match
    ) -> dict[str, Tensor]:
        """Return nothing: what the library divides by is its own affair."""
        return {}

    def forward(
        self,
        predictions: Predictions,
        targets: Sequence[Targets],
        match: Match,
        normalizers: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the terms of the stage.

        Raises:
            ValueError: The detector brings none, or crowd regions are to be ignored, which its loss
                knows nothing of.
        """
        if any(target.crowd_boxes is not None for target in targets):
            raise ValueError(
                "Expected `data.train_ignore_crowd=false` with the loss of a detector's own "
                "library, which knows no crowd regions, but got true."
            )
        return dict(_own(predictions).losses)
