"""Mixtures of two Gaussians of one dimension, many at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["two_gaussians"]

_LOG_2PI = math.log(2 * math.pi)


def two_gaussians(
    values: Tensor,
    present: Tensor,
    tolerance: float = 1e-3,
    max_iterations: int = 100,
    min_variance: float = 1e-6,
) -> tuple[Tensor, Tensor]:
    """Fit a mixture to every row by expectation maximisation; classify and rate its values.

    The components start at the row's smallest and largest value with weight 1/2 and variance 1.
    A row stops when the mean log likelihood of its values changes by less than ``tolerance``.

    Args:
        values: ``(S, K)``, float64 recommended.
        present: ``(S, K)`` bool; the others are padding. Every row needs one.
        tolerance: On the mean log likelihood.
        max_iterations: At most.
        min_variance: Added to every variance.

    Returns:
        ``(S, K)`` bool, which values belong to the component that started low, and ``(S, K)`` log
        likelihoods under the mixture; both are meaningless where not ``present``.
    """
    mask = present.to(values.dtype)
    values = values.masked_fill(~present, 0.0)
    count = mask.sum(1)
    low = values.masked_fill(~present, torch.inf).amin(1)
    high = values.masked_fill(~present, -torch.inf).amax(1)
    means = torch.stack([low, high], 1)  # (S, 2)
    variances, weights = torch.ones_like(means), torch.full_like(means, 0.5)
    # scikit-learn's, which the published code calls: an empty component divides by no 0.
    tiny = 10 * torch.finfo(values.dtype).eps

    bound = values.new_full((len(values),), -torch.inf)
    active = torch.ones_like(bound, dtype=torch.bool)
    for _ in range(max_iterations):
        joint = _log_joint(values, means, variances, weights)
        likelihood = joint.logsumexp(2)  # (S, K)
        share = (joint - likelihood[..., None]).exp() * mask[..., None]  # (S, K, 2)
        total = share.sum(1) + tiny
        new_means = (share * values[..., None]).sum(1) / total
        deviations = (values[..., None] - new_means[:, None]) ** 2
        new_variances = (share * deviations).sum(1) / total + min_variance
        # Rows that have stopped stay as they are: each is fitted as if it were alone.
        update = active[:, None]
        means = torch.where(update, new_means, means)
        variances = torch.where(update, new_variances, variances)
        weights = torch.where(update, total / total.sum(1, keepdim=True), weights)
        new_bound = (likelihood * mask).sum(1) / count
        # The step that is found to have changed nothing is kept.
        active &= (new_bound - bound).abs() >= tolerance
        bound = new_bound
        if not bool(active.any()):
            break
    joint = _log_joint(values, means, variances, weights)
    return joint[..., 0] >= joint[..., 1], joint.logsumexp(2)


def _log_joint(values: Tensor, means: Tensor, variances: Tensor, weights: Tensor) -> Tensor:
    """Return ``(S, K, 2)`` log probabilities of value and component."""
    squares = (values[..., None] - means[:, None]) ** 2 / variances[:, None]
    return weights.log()[:, None] - 0.5 * (_LOG_2PI + variances.log()[:, None] + squares)
