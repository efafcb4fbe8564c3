"""Postprocessors: predictions to detections."""

from corrlight.postprocess.class_boxes import ClassBoxPostprocessor
from corrlight.postprocess.fast_nms import FastNMSPostprocessor
from corrlight.postprocess.nms import NMSPostprocessor
from corrlight.postprocess.topk import TopKPostprocessor

__all__ = [
    "ClassBoxPostprocessor",
    "FastNMSPostprocessor",
    "NMSPostprocessor",
    "TopKPostprocessor",
]
