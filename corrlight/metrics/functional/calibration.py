"""How well scores tell IoU: both averaged over bins of the score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corrlight.arguments import check_at_least
from corrlight.coco.types import Array

__all__ = ["CalibrationBins", "calibration"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBins:
    """Means over equally wide score bins.

    Attributes:
        edges: ``(bins + 1,)`` borders from 0 to 1.
        counts: ``(bins,)`` members.
        mean_score: ``(bins,)``, NaN for empty bins.
        mean_iou: ``(bins,)``, NaN for empty bins.
    """

    edges: Array
    counts: Array
    mean_score: Array
    mean_iou: Array

    @property
    def error(self) -> float | None:
        """Mean over detections of their bin's |mean score - mean IoU|; None without any."""
        if not self.counts.sum():
            return None
        gap = np.nan_to_num(np.abs(self.mean_score - self.mean_iou))
        return float((gap * self.counts).sum() / self.counts.sum())


def calibration(scores: npt.ArrayLike, ious: npt.ArrayLike, num_bins: int = 10) -> CalibrationBins:
    """Average scores and IoUs within score bins.

    A perfectly correlated detector need not be calibrated: correlation looks at the order only.

    Args:
        scores: ``(D,)`` in [0, 1].
        ious: ``(D,)``.
        num_bins: Number of bins; a score on a border belongs to the upper bin, 1 to the last.

    Raises:
        ValueError: If ``num_bins`` is not positive or a score is outside [0, 1].
    """
    check_at_least(1, num_bins=num_bins)
    scores, ious = np.asarray(scores, np.float64), np.asarray(ious, np.float64)
    outside = (scores < 0) | (scores > 1)
    if np.any(outside):
        raise ValueError(f"Expected `scores` in [0, 1], but got {scores[outside][0]}.")
    edges = np.linspace(0, 1, num_bins + 1)
    bins = np.minimum(np.searchsorted(edges, scores, side="right") - 1, num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    sums = [np.bincount(bins, weights=v, minlength=num_bins) for v in (scores, ious)]
    with np.errstate(invalid="ignore"):
        mean_score, mean_iou = (s / counts for s in sums)
    return CalibrationBins(edges=edges, counts=counts, mean_score=mean_score, mean_iou=mean_iou)
