"""Detectors: images to raw predictions."""

from corrlight.detectors.atss import ATSS
from corrlight.detectors.detr import DETR
from corrlight.detectors.sparse_rcnn import SparseRCNN

__all__ = ["ATSS", "DETR", "SparseRCNN"]
