"""Detectors: images to raw predictions."""

from corrlight.detectors.atss import ATSS
from corrlight.detectors.detr import DETR
from corrlight.detectors.foveabox import FoveaBox
from corrlight.detectors.paa import PAA
from corrlight.detectors.retinanet import RetinaNet
from corrlight.detectors.sparse_rcnn import SparseRCNN
from corrlight.detectors.yolact import YOLACT

__all__ = ["ATSS", "DETR", "PAA", "YOLACT", "FoveaBox", "RetinaNet", "SparseRCNN"]
