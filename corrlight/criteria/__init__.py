"""Criteria: the detector's own loss, L_OD."""

from corrlight.criteria.alrp import ALRPClassification
from corrlight.criteria.ap import APClassification
from corrlight.criteria.box import (
    BoxLoss,
    CoarseBoxLoss,
    DistributionBoxLoss,
    ExtraBoxLoss,
    GIoUBoxLoss,
    SmoothL1BoxLoss,
)
from corrlight.criteria.cross_entropy import CrossEntropyClassification
from corrlight.criteria.dense import DenseCriterion
from corrlight.criteria.focal import FocalClassification
from corrlight.criteria.hard_negatives import HardNegativeCrossEntropy
from corrlight.criteria.instance_masks import InstanceMaskCriterion
from corrlight.criteria.iou_aware import (
    IoUAwareClassification,
    MatchabilityAwareClassification,
    VarifocalClassification,
)
from corrlight.criteria.quality_focal import QualityFocalClassification
from corrlight.criteria.rank_sort import RankSortClassification
from corrlight.criteria.sample import ClassificationLoss, DenseSample
from corrlight.criteria.set_prediction import SetPredictionCriterion
from corrlight.criteria.staged import StagedCriterion
from corrlight.criteria.two_stage import (
    BinaryCrossEntropyClassification,
    RegionMaskLoss,
    TwoStageCriterion,
)

__all__ = [
    "ALRPClassification",
    "APClassification",
    "BinaryCrossEntropyClassification",
    "BoxLoss",
    "ClassificationLoss",
    "CoarseBoxLoss",
    "CrossEntropyClassification",
    "DenseCriterion",
    "DenseSample",
    "DistributionBoxLoss",
    "ExtraBoxLoss",
    "FocalClassification",
    "GIoUBoxLoss",
    "HardNegativeCrossEntropy",
    "InstanceMaskCriterion",
    "IoUAwareClassification",
    "MatchabilityAwareClassification",
    "QualityFocalClassification",
    "RankSortClassification",
    "RegionMaskLoss",
    "SetPredictionCriterion",
    "SmoothL1BoxLoss",
    "StagedCriterion",
    "TwoStageCriterion",
    "VarifocalClassification",
]
