"""Losses: Correlation Loss, its coefficients, soft rank, and dense losses."""

from corrlight.losses.box import giou_loss, iou_loss, l1_loss, paired_giou, smooth_l1_loss
from corrlight.losses.centerness import binary_cross_entropy, centerness_target
from corrlight.losses.focal import sigmoid_focal_loss

__all__ = [
    "binary_cross_entropy",
    "centerness_target",
    "giou_loss",
    "iou_loss",
    "l1_loss",
    "paired_giou",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
]
