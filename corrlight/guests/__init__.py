"""Detectors of other libraries as detectors of ours: trained, measured and compared like them.

transformers is imported when one of its detectors is made.
"""

from corrlight.guests.class_boxes import ClassBoxPostprocessor
from corrlight.guests.hugging_face import HuggingFaceDetector
from corrlight.guests.own import OwnAssigner, OwnCriterion, OwnPredictions
from corrlight.guests.torchvision_dense import TorchvisionDense
from corrlight.guests.torchvision_models import narrow, published
from corrlight.guests.torchvision_rcnn import TorchvisionRCNN

__all__ = [
    "ClassBoxPostprocessor",
    "HuggingFaceDetector",
    "OwnAssigner",
    "OwnCriterion",
    "OwnPredictions",
    "TorchvisionDense",
    "TorchvisionRCNN",
    "narrow",
    "published",
]
