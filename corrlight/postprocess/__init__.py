"""Postprocessors: predictions to detections."""
