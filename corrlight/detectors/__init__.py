"""Detectors: images to raw predictions."""

from corrlight.detectors.atss import ATSS
from corrlight.detectors.deformable import DeformableDETR
from corrlight.detectors.detr import DETR
from corrlight.detectors.foveabox import FoveaBox
from corrlight.detectors.one_stage import FCOS, GFL, TOOD, GFLv2, VFNet
from corrlight.detectors.paa import PAA
from corrlight.detectors.retinanet import RetinaNet
from corrlight.detectors.sparse_rcnn import SparseRCNN
from corrlight.detectors.two_stage import FasterRCNN, MaskRCNN, ProposalSelection
from corrlight.detectors.yolact import YOLACT

__all__ = [
    "ATSS",
    "DETR",
    "FCOS",
    "GFL",
    "PAA",
    "TOOD",
    "YOLACT",
    "DeformableDETR",
    "FasterRCNN",
    "FoveaBox",
    "GFLv2",
    "MaskRCNN",
    "ProposalSelection",
    "RetinaNet",
    "SparseRCNN",
    "VFNet",
]
