"""ATSS (Zhang et al., 2020): a dense detector with one square anchor a cell."""

from __future__ import annotations

from corrlight.detectors.rated_dense import RatedDenseDetector

__all__ = ["ATSS"]


class ATSS(RatedDenseDetector):
    """Classification, box and centerness towers over a feature pyramid.

    The third branch learns how near the anchor's centre is to that of its object.
    """

    rated_by = "centerness"
