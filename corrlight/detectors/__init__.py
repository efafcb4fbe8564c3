"""Detectors: images to raw predictions."""

from corrlight.detectors.atss import ATSS
from corrlight.detectors.sparse_rcnn import SparseRCNN

__all__ = ["ATSS", "SparseRCNN"]
