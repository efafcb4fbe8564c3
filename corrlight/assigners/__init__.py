"""Assigners: which hypotheses are positive."""

from corrlight.assigners.atss import ATSSAssigner
from corrlight.assigners.crowds import ignore_crowds
from corrlight.assigners.fcos import FCOSAssigner
from corrlight.assigners.foveabox import FoveaBoxAssigner
from corrlight.assigners.hungarian import HungarianAssigner
from corrlight.assigners.max_iou import MaxIoUAssigner
from corrlight.assigners.paa import PAAAssigner
from corrlight.assigners.sampled import SampledAssigner
from corrlight.assigners.staged import StagedAssigner
from corrlight.assigners.task_aligned import TaskAlignedAssigner
from corrlight.assigners.two_stage import TwoStageAssigner

__all__ = [
    "ATSSAssigner",
    "FCOSAssigner",
    "FoveaBoxAssigner",
    "HungarianAssigner",
    "MaxIoUAssigner",
    "PAAAssigner",
    "SampledAssigner",
    "StagedAssigner",
    "TaskAlignedAssigner",
    "TwoStageAssigner",
    "ignore_crowds",
]
