"""Postprocessors: predictions to detections."""

from corrlight.postprocess.topk import TopKPostprocessor

__all__ = ["TopKPostprocessor"]
