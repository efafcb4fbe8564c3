"""PAA (Kim and Lee, 2020): a dense detector that predicts the IoU of its boxes."""

from __future__ import annotations

from corrlight.detectors.rated_dense import RatedDenseDetector

__all__ = ["PAA"]


class PAA(RatedDenseDetector):
    """Classification, box and IoU towers over a feature pyramid, one square anchor a cell.

    The network of ATSS, whose third branch learns the IoU of the predicted box instead of the
    centerness of the anchor.
    """

    rated_by = "iou"
