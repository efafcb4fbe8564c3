"""Correlation Loss for object detectors: train, measure and compare."""

__version__ = "0.1.0"
