"""Detectors: images to raw predictions."""

from corrlight.detectors.atss import ATSS
from corrlight.detectors.detr import DETR
from corrlight.detectors.foveabox import FoveaBox
from corrlight.detectors.paa import PAA
from corrlight.detectors.retinanet import RetinaNet
from corrlight.detectors.sparse_rcnn import SparseRCNN

__all__ = ["ATSS", "DETR", "PAA", "FoveaBox", "RetinaNet", "SparseRCNN"]
