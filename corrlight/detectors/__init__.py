"""Detectors: images to raw predictions."""

from corrlight.detectors.sparse_rcnn import SparseRCNN

__all__ = ["SparseRCNN"]
