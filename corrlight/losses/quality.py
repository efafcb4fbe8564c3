"""Losses whose targets are qualities: quality focal, varifocal and distribution focal loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from corrlight.arguments import check_number
from corrlight.losses.reduction import Reduction, in_full_precision, reduce_loss

__all__ = ["distribution_focal_loss", "quality_focal_loss", "varifocal_loss"]


def quality_focal_loss(
    logits: Tensor,
    labels: Tensor,
    qualities: Tensor,
    beta: float = 2.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
    normalizer: Tensor | float | None = None,
) -> Tensor:
    r"""Return the quality focal loss, summed over the classes (Li et al., 2020, Eq. 3).

    :math:`|y - p|^\beta BCE(p, y)`; y is the quality for the class in ``labels``, 0 elsewhere.

    Args:
        logits: ``(N, C)``. Half precisions are computed in float32.
        labels: ``(N,)`` integer classes; C stands for background.
        qualities: ``(N,)`` targets in [0, 1], usually IoUs; ignored for background.
        beta: Focusing exponent, >= 0.
        weights: ``(N,)`` factors, or None.
        reduction: 'none', 'mean' (over the N rows) or 'sum'.
        normalizer: With 'mean', what the sum is divided by instead of N.

    Returns:
        ``(N,)`` for 'none', else a scalar.

    Raises:
        ValueError: For shapes that do not fit and unknown options.

    Example:
        >>> quality_focal_loss(torch.zeros(1, 1), torch.tensor([0]), torch.tensor([1.0]))
        tensor(0.1733)
    """
    beta = check_number("beta", beta)
    if logits.ndim != 2 or not labels.shape == qualities.shape == logits.shape[:1]:
        raise ValueError(
            "Expected `logits` to be (N, C), `labels` and `qualities` (N,), but got "
            f"{tuple(logits.shape)}, {tuple(labels.shape)} and {tuple(qualities.shape)}."
        )
    logits = in_full_precision(logits)
    target = torch.zeros_like(logits)
    rows = (labels < logits.shape[1]).nonzero().squeeze(1)
    target[rows, labels[rows]] = qualities.detach()[rows].to(logits.dtype)
    values = _focused_cross_entropy(logits, target, beta).sum(1)
    return reduce_loss(values, reduction, weights, normalizer)


def varifocal_loss(
    logits: Tensor,
    targets: Tensor,
    alpha: float = 0.75,
    gamma: float = 2.0,
    iou_weighted: bool = True,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
    normalizer: Tensor | float | None = None,
) -> Tensor:
    r"""Return the varifocal loss (Zhang et al., 2021, Eq. 2).

    Positives (target q > 0) weigh q, or 1 without ``iou_weighted``; negatives
    :math:`\alpha |p - q|^\gamma`. These factors carry a gradient, as published.

    Args:
        logits: ``(N, C)`` (any shape works). Half precisions are computed in float32.
        targets: Same shape: IoU for the class of a positive, 0 elsewhere.
        alpha: Weight of negatives, >= 0.
        gamma: Focusing exponent of negatives, >= 0.
        iou_weighted: Whether positives weigh their IoU.
        weights: ``(N,)`` or ``(N, C)`` factors, or None.
        reduction: 'none', 'mean' (over all N C elements) or 'sum'.
        normalizer: With 'mean', what the sum is divided by instead of N C.

    Returns:
        ``(N, C)`` for 'none', else a scalar.

    Raises:
        ValueError: For shapes that differ and unknown options.

    Example:
        >>> varifocal_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), reduction="none")
        tensor([[0.6931, 0.1300]])
    """
    alpha, gamma = check_number("alpha", alpha), check_number("gamma", gamma)
    if logits.shape != targets.shape:
        raise ValueError(
            f"Expected `targets` to have shape {tuple(logits.shape)}, "
            f"but got {tuple(targets.shape)}."
        )
    logits = in_full_precision(logits)
    targets = targets.detach().to(logits.dtype)
    positive = targets > 0
    # |p - 0| = p: selected before the power, whose gradient at p - q = 0 may be infinite.
    negative_factor = alpha * torch.where(positive, 0.5, logits.sigmoid()) ** gamma
    factor = torch.where(positive, targets if iou_weighted else 1.0, negative_factor)
    values = factor * binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return reduce_loss(values, reduction, weights, normalizer)


def distribution_focal_loss(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
    normalizer: Tensor | float | None = None,
) -> Tensor:
    """Return the distribution focal loss (Li et al., 2020, Eq. 6).

    Cross-entropy to the two bins around a continuous label, in proportion to its closeness.

    Args:
        logits: ``(N, K + 1)`` of the bins 0, ..., K. Half precisions are computed in float32.
        labels: ``(N,)`` distances in units of bins, in [0, K].
        weights: ``(N,)`` factors, or None.
        reduction: 'none', 'mean' (over the N rows) or 'sum'.
        normalizer: With 'mean', what the sum is divided by instead of N.

    Returns:
        ``(N,)`` for 'none', else a scalar.

    Raises:
        ValueError: For shapes that do not fit and unknown options.

    Example:
        >>> distribution_focal_loss(torch.zeros(1, 4), torch.tensor([1.5]))
        tensor(1.3863)
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or logits.shape[1] < 2:
        raise ValueError(
            "Expected `logits` to be (N, K + 1) with K >= 1 and `labels` (N,), "
            f"but got {tuple(logits.shape)} and {tuple(labels.shape)}."
        )
    log_probabilities = in_full_precision(logits).log_softmax(1)
    labels = labels.detach().to(log_probabilities.dtype)
    # A label of exactly K belongs to the last pair.
    low = labels.floor().clamp(0, logits.shape[1] - 2).long()
    fraction = labels - low
    pair = log_probabilities.gather(1, torch.stack([low, low + 1], 1))  # (N, 2)
    values = -(pair[:, 0] * (1 - fraction) + pair[:, 1] * fraction)
    return reduce_loss(values, reduction, weights, normalizer)


def _focused_cross_entropy(logits: Tensor, target: Tensor, beta: float) -> Tensor:
    cross_entropy = binary_cross_entropy_with_logits(logits, target, reduction="none")
    return cross_entropy * (logits.sigmoid() - target).abs() ** beta
