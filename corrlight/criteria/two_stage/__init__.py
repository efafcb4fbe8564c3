"""Criteria of detectors that propose boxes first."""

from corrlight.criteria.two_stage.binary_cross_entropy import BinaryCrossEntropyClassification
from corrlight.criteria.two_stage.region_masks import RegionMaskLoss
from corrlight.criteria.two_stage.stages import TwoStageCriterion

__all__ = ["BinaryCrossEntropyClassification", "RegionMaskLoss", "TwoStageCriterion"]
