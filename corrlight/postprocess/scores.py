"""Class scores of all hypotheses, for those that are few: sets and proposals."""

from __future__ import annotations

from torch import Tensor

from corrlight.structures import Predictions, ScoreOverride

__all__ = ["class_scores"]


def class_scores(predictions: Predictions, override: ScoreOverride | None = None) -> Tensor:
    """Return ``(B, N, C)`` foreground scores: a copy, which is small for a set of hypotheses.

    Scores are probabilities: -1 marks hypotheses outside the image.

    Args:
        predictions: One stage.
        override: Scores to be replaced first.
    """
    logits = predictions.logits.float()
    if predictions.activation == "sigmoid":
        scores = logits.sigmoid()
    else:
        scores = logits.softmax(-1)[..., :-1].clone()
    if override is not None:
        where = (override.image_idx, override.pred_idx, override.label)
        scores[where] = override.score.to(scores.dtype)
    return scores.masked_fill(~predictions.valid[..., None], -1.0)
