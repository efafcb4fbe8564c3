"""One criterion for the stage that proposes boxes, another one for what becomes of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

from corrlight.arguments import check_number
from corrlight.criteria.base import Criterion
from corrlight.criteria.two_stage.region_masks import RegionMaskLoss
from corrlight.structures import Activation, Match, PredictionField, Predictions, Targets

__all__ = ["TwoStageCriterion"]

# What stages that propose have, beside boxes and scores by sigmoid.
_OF_PROPOSALS: frozenset[str] = frozenset({"priors", "deltas"})


class TwoStageCriterion(Criterion):
    """``proposals`` for stages that propose, ``detection`` for all others (Faster R-CNN).

    Args:
        proposals: The criterion of stages whose predictions ``proposes``.
        detection: The criterion of all others.
        proposal_weight: Factor of all terms of ``proposals``.
        masks: The loss of the detection's masks, or None without masks.

    Raises:
        ValueError: ``proposals`` needs more than such stages have, or the weight is out of range.
    """

    def __init__(
        self,
        proposals: Criterion,
        detection: Criterion,
        proposal_weight: float = 1.0,
        masks: RegionMaskLoss | None = None,
    ) -> None:
        super().__init__()
        if proposals.activation == "softmax" or not {*proposals.needs} <= _OF_PROPOSALS:
            raise ValueError(
                "Expected `proposals` to be a criterion for sigmoid scores that reads priors and "
                f"deltas alone, but got one for {proposals.activation} that needs "
                f"{', '.join(sorted(proposals.needs)) or 'nothing'}."
            )
        self.proposals, self.detection, self.masks = proposals, detection, masks
        self.proposal_weight = check_number("proposal_weight", proposal_weight)

    @property
    def activation(self) -> Activation | None:
        """What the detection's criterion asks for."""
        return self.detection.activation

    @property
    def needs(self) -> Collection[PredictionField]:
        """What the detection's criterion and masks need, which is what detectors tell."""
        return {*self.detection.needs, *(self.masks.needs if self.masks is not None else ())}

    def _of(self, predictions: Predictions) -> Criterion:
        return self.proposals if predictions.proposes else self.detection

    def normalizers(
        self, predictions: Predictions, targets: Sequence[Targets], match: Match
    ) -> dict[str, Tensor]:
        """Return those of the stage's criterion, and of its masks."""
        found = self._of(predictions).normalizers(predictions, targets, match)
        if self.masks is None or predictions.proposes:
            return found
        return found | self.masks.normalizers(match)

    def forward(
        self,
        predictions: Predictions,
        targets: Sequence[Targets],
        match: Match,
        normalizers: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the terms of the stage's criterion, and ``loss_mask``."""
        terms: dict[str, Tensor] = self._of(predictions)(predictions, targets, match, normalizers)
        if predictions.proposes:
            return {name: self.proposal_weight * value for name, value in terms.items()}
        if self.masks is None:
            return terms
        return terms | {"loss_mask": self.masks(predictions, targets, match, normalizers, terms)}

    def after_step(self, terms: Mapping[str, Tensor]) -> None:
        """Pass the terms of either stage on to its criterion, without the factor."""
        parts = ((self.proposals, self.proposal_weight), (self.detection, 1.0))
        for stage, (part, weight) in enumerate(parts):
            prefix = f"stage{stage}/"
            own = {k.removeprefix(prefix): v for k, v in terms.items() if k.startswith(prefix)}
            if own and weight > 0:
                part.after_step({name: value / weight for name, value in own.items()})
