"""Correlation Loss for object detectors: train, measure and compare."""

__version__ = "0.1.0"

# Part of every run id; raised by each commit that changes numbers.
RESULTS_VERSION = 3

__all__ = ["RESULTS_VERSION", "__version__"]
