"""Postprocessors: predictions to detections."""

from corrlight.postprocess.fast_nms import FastNMSPostprocessor
from corrlight.postprocess.nms import NMSPostprocessor
from corrlight.postprocess.topk import TopKPostprocessor

__all__ = ["FastNMSPostprocessor", "NMSPostprocessor", "TopKPostprocessor"]
