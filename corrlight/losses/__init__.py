"""Losses: Correlation Loss, its coefficients, soft rank, and dense losses."""

from corrlight.losses.box import giou_loss, iou_loss, l1_loss, paired_giou, smooth_l1_loss
from corrlight.losses.centerness import binary_cross_entropy, centerness_target
from corrlight.losses.coefficients import concordance, is_correlation_defined, pearson, spearman
from corrlight.losses.correlation import CorrelationLoss, correlation_loss
from corrlight.losses.focal import sigmoid_focal_loss
from corrlight.losses.mask import mask_loss, semantic_loss
from corrlight.losses.quality import (
    distribution_focal_loss,
    quality_focal_loss,
    varifocal_loss,
)
from corrlight.losses.ranking import alrp_loss, ap_loss, rank_sort_loss
from corrlight.losses.soft_rank import is_affine_soft_rank, soft_rank

__all__ = [
    "CorrelationLoss",
    "alrp_loss",
    "ap_loss",
    "binary_cross_entropy",
    "centerness_target",
    "concordance",
    "correlation_loss",
    "distribution_focal_loss",
    "giou_loss",
    "iou_loss",
    "is_affine_soft_rank",
    "is_correlation_defined",
    "l1_loss",
    "mask_loss",
    "paired_giou",
    "pearson",
    "quality_focal_loss",
    "rank_sort_loss",
    "semantic_loss",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "soft_rank",
    "spearman",
    "varifocal_loss",
]
