"""Detectors: images to raw predictions."""
