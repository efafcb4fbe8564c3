"""Assigners: which hypotheses are positive."""

from corrlight.assigners.atss import ATSSAssigner
from corrlight.assigners.crowds import ignore_crowds
from corrlight.assigners.foveabox import FoveaBoxAssigner
from corrlight.assigners.hungarian import HungarianAssigner
from corrlight.assigners.max_iou import MaxIoUAssigner
from corrlight.assigners.paa import PAAAssigner

__all__ = [
    "ATSSAssigner",
    "FoveaBoxAssigner",
    "HungarianAssigner",
    "MaxIoUAssigner",
    "PAAAssigner",
    "ignore_crowds",
]
