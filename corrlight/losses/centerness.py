"""Centerness: its target and the binary cross-entropy of quality branches."""

from __future__ import annotations

import torch
from torch import Tensor

from corrlight.boxes import xyxy_to_cxcywh
from corrlight.losses.reduction import Reduction, in_full_precision, reduce_loss

__all__ = ["binary_cross_entropy", "centerness_target"]


def centerness_target(priors: Tensor, gt_boxes: Tensor) -> Tensor:
    """Return how central the centres of priors lie in their boxes (Tian et al., 2019, Eq. 3).

    sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b)) of the distances of the centre to the sides.

    Args:
        priors: ``(P, 4)`` anchors, xyxy.
        gt_boxes: ``(P, 4)`` their boxes, xyxy; each must contain the centre of its anchor.

    Returns:
        ``(P,)`` in [0, 1], without gradient.

    Raises:
        ValueError: If a centre lies outside its box (or a box is empty), with the count.

    Example:
        >>> centerness_target(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[0.0, 0, 5, 2]]))
        tensor([0.5000])
    """
    with torch.no_grad():
        centres = xyxy_to_cxcywh(in_full_precision(priors))[:, :2]
        gt_boxes = in_full_precision(gt_boxes)
        low, high = centres - gt_boxes[:, :2], gt_boxes[:, 2:] - centres  # (P, 2)
        ratio = torch.min(low, high) / torch.max(low, high)
        # Written so that NaN, of an empty box or of NaN input, counts as outside.
        inside = (torch.min(low, high) >= 0).all(1) & (torch.max(low, high) > 0).all(1)
        if not bool(inside.all()):
            raise ValueError(
                "Expected `gt_boxes` to contain the centre of every prior, "
                f"but {int((~inside).sum())} of {len(inside)} lie outside."
            )
        return (ratio[:, 0] * ratio[:, 1]).sqrt()


def binary_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
    normalizer: Tensor | float | None = None,
) -> Tensor:
    """Return the binary cross-entropy of sigmoid logits with soft targets.

    Deviation: the published code rounds targets and weights to float32; here they keep their dtype.

    Args:
        logits: ``(P,)`` (any shape works). Half precisions are computed in float32.
        targets: Same shape, in [0, 1].
        weights: ``(P,)`` factors, or None.
        reduction: 'none', 'mean' or 'sum'.
        normalizer: With 'mean', what the sum is divided by instead of P.

    Returns:
        ``(P,)`` for 'none', else a scalar. Nothing gives 0.

    Example:
        >>> binary_cross_entropy(torch.zeros(1), torch.ones(1))
        tensor(0.6931)
    """
    if logits.shape != targets.shape:
        raise ValueError(
            f"Expected `targets` to have shape {tuple(logits.shape)}, "
            f"but got {tuple(targets.shape)}."
        )
    logits = in_full_precision(logits)
    values = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, targets.to(logits.dtype), reduction="none"
    )
    return reduce_loss(values, reduction, weights, normalizer)
