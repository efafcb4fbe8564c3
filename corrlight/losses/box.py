"""Box regression losses: GIoU, L1 and smooth L1."""

from __future__ import annotations

import torch
from torch import Tensor

from corrlight.arguments import check_number
from corrlight.boxes import paired_iou
from corrlight.losses.reduction import Reduction, in_full_precision, reduce_loss

__all__ = ["giou_loss", "iou_loss", "l1_loss", "paired_giou", "smooth_l1_loss"]


def paired_giou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-6) -> Tensor:
    """Return the generalised IoU of box k of ``boxes1`` with box k of ``boxes2``.

    GIoU = IoU - (enclosing area - union) / enclosing area (Rezatofighi et al., 2019).

    Args:
        boxes1: ``(P, 4)`` xyxy.
        boxes2: ``(P, 4)`` xyxy.
        eps: Lower bound of union and enclosing area.

    Returns:
        ``(P,)`` in [-1, 1] for valid boxes, differentiable in both.
    """
    low1, high1, low2, high2 = boxes1[:, :2], boxes1[:, 2:], boxes2[:, :2], boxes2[:, 2:]
    inner = (torch.min(high1, high2) - torch.max(low1, low2)).clamp(min=0)
    outer = (torch.max(high1, high2) - torch.min(low1, low2)).clamp(min=0)
    intersection = inner[:, 0] * inner[:, 1]
    size1, size2 = high1 - low1, high2 - low2
    areas = size1[:, 0] * size1[:, 1] + size2[:, 0] * size2[:, 1]
    union = (areas - intersection).clamp(min=eps)
    enclosing = (outer[:, 0] * outer[:, 1]).clamp(min=eps)
    return intersection / union - (enclosing - union) / enclosing


def giou_loss(
    pred_boxes: Tensor,
    target_boxes: Tensor,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
    normalizer: Tensor | float | None = None,
    eps: float = 1e-6,
) -> Tensor:
    """Return 1 - GIoU of paired boxes (Rezatofighi et al., 2019).

    Deviation: the published loss ignores ``normalizer`` where all weights are 0; here it counts.

    Args:
        pred_boxes: ``(P, 4)`` xyxy. Half precisions are computed in float32.
        target_boxes: ``(P, 4)`` xyxy.
        weights: ``(P,)`` factors, or None.
        reduction: 'none', 'mean' or 'sum'.
        normalizer: With 'mean', what the sum is divided by instead of P.
        eps: Lower bound of union and enclosing area.

    Returns:
        ``(P,)`` for 'none', else a scalar. No boxes give 0.

    Example:
        >>> giou_loss(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 1, 3, 3]]))
        tensor(1.0794)
    """
    giou = paired_giou(in_full_precision(pred_boxes), in_full_precision(target_boxes), eps)
    return reduce_loss(1 - giou, reduction, weights, normalizer)


def iou_loss(
    pred_boxes: Tensor,
    target_boxes: Tensor,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
    normalizer: Tensor | float | None = None,
    eps: float = 1e-6,
) -> Tensor:
    """Return 1 - IoU of paired boxes; arguments and result as in :func:`giou_loss`.

    Example:
        >>> iou_loss(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[0.0, 0, 2, 1]]))
        tensor(0.5000)
    """
    iou = paired_iou(in_full_precision(pred_boxes), in_full_precision(target_boxes), eps)
    return reduce_loss(1 - iou, reduction, weights, normalizer)


def l1_loss(
    pred: Tensor,
    target: Tensor,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
    normalizer: Tensor | float | None = None,
) -> Tensor:
    """Return the absolute difference.

    Args:
        pred: ``(P, 4)`` boxes or deltas (any shape works).
        target: Same shape.
        weights: ``(P,)`` or ``(P, 4)`` factors, or None.
        reduction: 'none', 'mean' (over all elements) or 'sum'.
        normalizer: With 'mean', what the sum is divided by instead of the number of elements.

    Returns:
        ``(P, 4)`` for 'none', else a scalar. No boxes give 0.

    Example:
        >>> l1_loss(torch.tensor([[1.0, 2, 3, 4]]), torch.zeros(1, 4))
        tensor(2.5000)
    """
    difference = _difference(pred, target).abs()
    return reduce_loss(difference, reduction, weights, normalizer)


def smooth_l1_loss(
    pred: Tensor,
    target: Tensor,
    beta: float = 1.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
    normalizer: Tensor | float | None = None,
) -> Tensor:
    """Return the difference's absolute value, quadratic below ``beta`` (Girshick, 2015, Eq. 3).

    Args:
        pred: ``(P, 4)`` boxes or deltas (any shape works).
        target: Same shape.
        beta: Where d^2 / (2 beta) turns into d - beta / 2; > 0.
        weights: ``(P,)`` or ``(P, 4)`` factors, or None.
        reduction: 'none', 'mean' (over all elements) or 'sum'.
        normalizer: With 'mean', what the sum is divided by instead of the number of elements.

    Returns:
        ``(P, 4)`` for 'none', else a scalar. No boxes give 0.

    Example:
        >>> smooth_l1_loss(torch.tensor([0.5, 2.0]), torch.zeros(2), reduction="none")
        tensor([0.1250, 1.5000])
    """
    beta = check_number("beta", beta, above=0)
    difference = _difference(pred, target).abs()
    values = torch.where(difference < beta, difference**2 * (0.5 / beta), difference - 0.5 * beta)
    return reduce_loss(values, reduction, weights, normalizer)


def _difference(pred: Tensor, target: Tensor) -> Tensor:
    # Broadcasting would turn a wrong shape into a wrong loss.
    if pred.shape != target.shape:
        raise ValueError(
            f"Expected `target` to have shape {tuple(pred.shape)}, but got {tuple(target.shape)}."
        )
    return in_full_precision(pred) - in_full_precision(target)
