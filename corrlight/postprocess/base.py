"""What a postprocessor is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from corrlight.structures import Detections, Predictions, ScoreOverride

__all__ = ["Postprocessor"]


class Postprocessor(Protocol):
    """Predictions of the last stage to final detections; pure.

    ``image_sizes`` are the content sizes (height, width) inside the batch: boxes are clipped to
    them. ``score_override`` replaces single class scores before threshold and quality factor.
    What it needs of the predictions beside logits and boxes it says in the optional attribute
    ``needs``, and in ``activation`` what scores have to be made with; see
    :func:`corrlight.needs.check_needs`.
    """

    def __call__(
        self,
        predictions: Predictions,
        image_sizes: Sequence[tuple[int, int]],
        score_override: ScoreOverride | None = None,
    ) -> list[Detections]:
        """Return the detections of every image, by descending score, in input pixels."""
        ...

    def ranking_scores(self, class_scores: Tensor, quality: Tensor) -> Tensor:
        """Return class scores ``(K,)`` combined with quality logits ``(K,)``, to rank by."""
        ...
