"""Postprocessors: predictions to detections."""

from corrlight.postprocess.nms import NMSPostprocessor
from corrlight.postprocess.topk import TopKPostprocessor

__all__ = ["NMSPostprocessor", "TopKPostprocessor"]
