"""Focal loss with an analytic gradient that is computed along with the value."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from corrlight.arguments import check_number
from corrlight.losses.reduction import Reduction, check_reduction, in_full_precision

__all__ = ["sigmoid_focal_loss"]

# Elements that are worked on at a time on CPU, so that the temporaries stay in the cache.
_CHUNK = 1 << 18


def sigmoid_focal_loss(
    logits: Tensor,
    labels: Tensor,
    alpha: float = 0.25,
    gamma: float = 2.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
    normalizer: Tensor | float | None = None,
) -> Tensor:
    r"""Return the focal loss of sigmoid classifiers (Lin et al., 2017, Eq. 5).

    With :math:`p = \sigma(x)`: :math:`-\alpha (1-p)^\gamma \log p` for the class in ``labels`` and
    :math:`-(1-\alpha) p^\gamma \log(1-p)` for all others. Value and gradient come from one pass
    over the logits; no one-hot target is built. Differentiable once, with respect to ``logits``.

    Args:
        logits: ``(N, C)``. Half precisions are computed in float32.
        labels: ``(N,)`` integer classes; C stands for background.
        alpha: Weight of the positive class, in [0, 1].
        gamma: Focusing exponent, >= 0.
        weights: ``(N,)`` factors of the rows (0 = ignored), or None.
        reduction: 'none', 'mean' (over all N C elements) or 'sum'.
        normalizer: With 'mean', what the sum is divided by instead of N C (positives, usually).

    Returns:
        ``(N, C)`` for 'none', else a scalar; float32, or float64 for float64 logits.

    Raises:
        ValueError: For shapes that do not fit, labels outside [0, C] and unknown options.

    Example:
        >>> sigmoid_focal_loss(torch.zeros(1, 2), torch.tensor([1]), reduction="sum")
        tensor(0.1733)
    """
    check_reduction(reduction, normalizer)
    gamma = check_number("gamma", gamma)
    if check_number("alpha", alpha) > 1:
        raise ValueError(f"Expected `alpha` to be in [0, 1], but got {alpha!r}.")
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            "Expected `logits` to be (N, C) and `labels` (N,), "
            f"but got {tuple(logits.shape)} and {tuple(labels.shape)}."
        )
    if weights is not None and weights.shape != labels.shape:
        raise ValueError(
            f"Expected `weights` to be {tuple(labels.shape)}, but got {tuple(weights.shape)}."
        )
    # Checking labels on an accelerator would wait for it; indexing reports them there.
    if labels.device.type == "cpu" and labels.numel():
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high > logits.shape[1]:
            raise ValueError(
                f"Expected `labels` to be in [0, {logits.shape[1]}], but got {low}..{high}."
            )
    if weights is not None:
        weights = weights.detach()
    loss = _FocalLoss.apply(logits, labels, alpha, gamma, weights, reduction == "none")
    if reduction == "mean":
        return loss / (max(logits.numel(), 1) if normalizer is None else normalizer)
    return loss


class _FocalLoss(torch.autograd.Function):
    """The ``(N, C)`` loss or its sum; the gradient is computed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        labels: Tensor,
        alpha: float,
        gamma: float,
        weights: Tensor | None,
        elementwise: bool,
    ) -> Tensor:
        num_rows, num_classes = logits.shape
        dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
        wants_gradient = ctx.needs_input_grad[0]
        gradient = torch.empty_like(logits, dtype=dtype) if wants_gradient else None
        values = torch.empty_like(logits, dtype=dtype) if elementwise else None

        rows = (labels < num_classes).nonzero().squeeze(1)  # (P,) rows with a positive element
        positive_loss, positive_gradient = _positive_terms(
            in_full_precision(logits[rows, labels[rows]]), alpha, gamma
        )
        on_cpu = logits.device.type == "cpu"
        step = max(_CHUNK // max(num_classes, 1), 1) if on_cpu else num_rows
        step = max(min(step, num_rows), 1)
        starts = range(0, num_rows, step)
        if len(starts) > 1:
            edges = torch.tensor([*starts, num_rows], device=rows.device)
            bounds = torch.searchsorted(rows, edges).tolist()
        else:
            bounds = [0, rows.shape[0]]
        # Fresh memory for every chunk would cost more than the arithmetic.
        space = logits.new_empty((3, step, num_classes), dtype=dtype)

        total = logits.new_zeros((), dtype=torch.float64 if on_cpu else dtype)
        for k, start in enumerate(starts):
            chunk = slice(start, start + step)
            x = in_full_precision(logits[chunk])
            slope = None if gradient is None else gradient[chunk]
            loss = _negative_terms(x, alpha, gamma, space[:, : x.shape[0]], slope)
            mine = slice(bounds[k], bounds[k + 1])
            where = (rows[mine] - start, labels[rows[mine]])
            loss[where] = positive_loss[mine]
            if slope is not None:
                slope[where] = positive_gradient[mine]
            if weights is not None:
                loss *= weights[chunk, None]
                if slope is not None:
                    slope *= weights[chunk, None]
            if values is not None:
                values[chunk] = loss
            else:
                total += loss.sum()
        ctx.save_for_backward(gradient)
        ctx.dtype = logits.dtype
        return total.to(dtype) if values is None else values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * grad_output).to(ctx.dtype), None, None, None, None, None


def _negative_terms(
    x: Tensor, alpha: float, gamma: float, space: Tensor, slope: Tensor | None
) -> Tensor:
    """Return the loss of elements whose target is 0 and write its gradient into ``slope``.

    The result and the temporaries lie in ``space``, three times the shape of ``x``.
    """
    p, penalty, factor = space
    torch.sigmoid(x, out=p)
    # -log(1 - p). The threshold is far out: at its default, 20, softplus errs by 1e-10 relative.
    torch._C._nn.softplus(x, 1, 40, out=penalty)  # type: ignore[call-arg]
    if gamma == 2:
        torch.mul(p, p, out=factor)
    else:
        torch.pow(p, gamma, out=factor)
    factor *= 1 - alpha
    if slope is not None:
        # d/dx p^g s = p^g (g (1 - p) s + p), as ds/dx = p.
        torch.addcmul(penalty, p, penalty, value=-1, out=slope)
        torch.add(p, slope, alpha=gamma, out=slope)
        slope *= factor
    penalty *= factor
    return penalty


def _positive_terms(x: Tensor, alpha: float, gamma: float) -> tuple[Tensor, Tensor]:
    """Return loss and gradient of elements whose target is 1."""
    slope = torch.empty_like(x)
    loss = _negative_terms(-x, 1 - alpha, gamma, x.new_empty((3, *x.shape)), slope)
    return loss, -slope
