"""Checkpoints of the toolbox (mmdetection 2.x and 3.x) and of torchvision to ours, and back."""

from corrlight.convert.conversion import Conversion, convert_checkpoint
from corrlight.convert.source import Source, read_source

__all__ = ["Conversion", "Source", "convert_checkpoint", "read_source"]
