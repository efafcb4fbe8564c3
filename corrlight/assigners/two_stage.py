"""One assigner for the stage that proposes boxes, another one for what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence

from corrlight.assigners.base import Assigner, HasEpochs
from corrlight.structures import Activation, Match, PredictionField, Predictions, Targets

__all__ = ["TwoStageAssigner"]


class TwoStageAssigner:
    """``proposals`` for stages that propose, ``detection`` for all others (Faster R-CNN).

    Args:
        proposals: The assigner of stages whose predictions ``proposes``.
        detection: The assigner of all others.
    """

    def __init__(self, proposals: Assigner, detection: Assigner) -> None:
        self.proposals, self.detection = proposals, detection

    @property
    def needs(self) -> tuple[PredictionField, ...]:
        """What the detection's assigner needs, which is what detectors tell."""
        return tuple(getattr(self.detection, "needs", ()))

    @property
    def activation(self) -> Activation | None:
        """What the detection's assigner asks for."""
        return getattr(self.detection, "activation", None)

    def draw(self, predictions: Predictions, targets: Sequence[Targets]) -> Match | None:
        """Return what the detection's assigner draws by priors alone, None if it does not."""
        draw = getattr(self.detection, "draw", None)
        return None if draw is None else draw(predictions, targets)

    def start_epoch(self, epoch: int) -> None:
        """Tell both, if they ask, which epoch begins."""
        for part in (self.proposals, self.detection):
            if isinstance(part, HasEpochs):
                part.start_epoch(epoch)

    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> Match:
        """Return the match of the stage's assigner."""
        part = self.proposals if predictions.proposes else self.detection
        return part(predictions, targets)
