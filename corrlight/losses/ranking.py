"""Ranking losses: AP, aLRP and Rank & Sort, exact, in O((P + N) log P).

Their gradients are assigned (identity update, Chen et al., 2019), not differentiated: each positive
hands its error to the examples that cause it, and receives the same amount with a minus. ``s`` are
the logits, H the smoothed step of :mod:`corrlight.losses.pairwise`, P and N sets and their sizes,
``rank+(i)`` and ``FP(i)`` the sums of H(s_j - s_i) over positives and negatives j.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from corrlight.arguments import check_number
from corrlight.losses.pairwise import PairSums, positions_of, smoothed_step
from corrlight.losses.reduction import in_full_precision
from corrlight.losses.soft_rank import check_finite

__all__ = ["alrp_loss", "ap_loss", "rank_sort_loss"]

# Below these sums of H, nothing is handed on (published constants).
_LEAST_FP = 1e-10
_LEAST_FP_ALRP = 1e-5
# The IoU of equal boxes exceeds 1 by rounding, in half precision too.
_LARGEST_IOU = 1 + 2**-7
# Pairs of positives that are compared at a time: 1 MB a temporary, which the cache holds.
_PAIRS = 1 << 17


def ap_loss(logits: Tensor, targets: Tensor, delta: float = 1.0) -> Tensor:
    r"""Return the AP loss (Chen et al., 2019): 1 - the mean interpolated precision of positives.

    The precision of i is :math:`rank^+(i) / (rank^+(i) + FP(i))` with i itself counted fully;
    interpolated, it is the maximum over the positives that do not score higher. Positive i gets the
    gradient :math:`-(1 - p_i) / P`, shared among the negatives in proportion to H.

    Deviation: without positives the published function raises; here the loss is 0.

    Args:
        logits: Any shape.
        targets: Same shape: > 0 for positives, 0 for negatives, < 0 for ignored.
        delta: Half width of the step, >= 0.

    Returns:
        Scalar in [0, 1], at least float32; computed in float64. Differentiable once.

    Raises:
        ValueError: For shapes that differ, NaN or infinite logits (with their number), bad delta.

    Example:
        >>> ap_loss(torch.tensor([3.0, -1.0, 1.0]), torch.tensor([1, 1, 0]))
        tensor(0.1667)
    """
    delta = _checked(logits, targets, delta)
    return _APLoss.apply(logits, targets, delta)


def alrp_loss(
    logits: Tensor, targets: Tensor, regression_losses: Tensor, delta: float = 1.0
) -> tuple[Tensor, Tensor]:
    r"""Return the classification and localisation parts of the aLRP loss (Oksuz et al., 2020).

    Classification is :math:`1 - \frac{1}{P} \sum_i rank^+(i) / rank(i)`, i itself counted fully;
    its assigned gradient also carries the localisation errors of the positives that outrank i:
    :math:`-(\sum_{j \neq i} H_{ij} e_j + FP(i)) / rank(i) / P` for i (where FP(i) > 1e-5), shared
    among the negatives. Localisation is the mean over i, in ascending order, of the sum of the
    errors e of i and of all positives after it, over rank(i), with a plain gradient for e at
    constant ranks. Of positives with equal logits the later one comes later in that order, as in
    the published code: exchanging their errors changes the localisation part.

    Deviation: without positives the published function raises; here both parts are 0.

    Args:
        logits: Any shape.
        targets: Same shape: > 0 for positives, 0 for negatives, < 0 for ignored.
        regression_losses: ``(P,)`` localisation errors e in the order of the positives, such as
            GIoU losses.
        delta: Half width of the step, >= 0.

    Returns:
        Two scalars, at least float32; computed in float64. Differentiable once.

    Raises:
        ValueError: For shapes that do not fit, NaN or infinite input (with its number), bad delta.

    Example:
        >>> alrp_loss(torch.tensor([3.0, 1.0]), torch.tensor([1, 0]), torch.tensor([0.4]))
        (tensor(0.), tensor(0.4000))
    """
    delta = _checked(logits, targets, delta)
    num_positives = int((targets > 0).sum())
    if regression_losses.shape != (num_positives,):
        raise ValueError(
            f"Expected `regression_losses` to be one per positive, ({num_positives},), "
            f"but got {tuple(regression_losses.shape)}."
        )
    check_finite("regression_losses", regression_losses)
    return _ALRPLoss.apply(logits, targets, regression_losses, delta)


def rank_sort_loss(logits: Tensor, targets: Tensor, delta: float = 0.5) -> tuple[Tensor, Tensor]:
    r"""Return the ranking and sorting parts of the Rank & Sort loss (Oksuz et al., 2021).

    Ranking error of i: :math:`FP(i) / (rank^+(i) + FP(i))`, handed to the negatives above i.
    Sorting error: the mean of 1 - target, weighted by H, over the positives above i, less the same
    over those of them with at least i's target; handed to those with a smaller target. Both are
    averaged over the positives.

    Deviation: in the published code the gradient of both parts hangs on the first output; here each
    part has its own. Their sum has the same gradient. Without positives the published function
    raises; here both parts are 0.

    Args:
        logits: Any shape.
        targets: Same shape: IoU in (0, 1] for positives, 0 for negatives, < 0 for ignored.
        delta: Half width of the step, >= 0.

    Returns:
        Two scalars, at least float32; computed in float64. Differentiable once.

    Raises:
        ValueError: For shapes that differ, NaN or infinite logits (with their number), targets
            above 1 (by more than rounding), bad delta.

    Example:
        >>> rank_sort_loss(torch.tensor([0.0, 0.1, 3.0]), torch.tensor([0.5, 0.0, 0.9]))
        (tensor(0.1429), tensor(0.))
    """
    delta = _checked(logits, targets, delta)
    check_finite("targets", in_full_precision(targets))
    if targets.numel() and (largest := float(targets.max())) > _LARGEST_IOU:
        raise ValueError(f"Expected `targets` to be IoUs of at most 1, but got {largest:g}.")
    return _RankSortLoss.apply(logits, targets, delta)


def _checked(logits: Tensor, targets: Tensor, delta: float) -> float:
    if logits.shape != targets.shape:
        raise ValueError(
            f"Expected `targets` to have shape {tuple(logits.shape)}, "
            f"but got {tuple(targets.shape)}."
        )
    check_finite("logits", logits)
    return check_number("delta", delta)


class _Examples:
    """The positives in ascending order, the negatives that can matter, and their sums."""

    def __init__(self, logits: Tensor, targets: Tensor, delta: float) -> None:
        flat, targets = logits.detach().reshape(-1), targets.detach().reshape(-1)
        self.shape, self.dtype, self.delta = logits.shape, logits.dtype, delta
        positions = positions_of(targets > 0)
        # Stable: positives with equal logits keep their order on every device.
        scores, self.order = flat[positions].double().sort(stable=True)
        self.positives = positions[self.order]
        self.scores = scores  # (P,) ascending
        self.targets = targets[self.positives].double()
        self.count = positions.numel()
        if self.count:
            # The rest lies below every step: it neither counts nor receives anything. The margin is
            # for the rounding of the bound to the dtype of the logits.
            low = float(scores[0]) - delta
            reach = targets.eq(0) & (flat >= low - 0.01 * (1 + abs(low)))
            self.negatives = positions_of(reach)
            negatives = flat.index_select(0, self.negatives).double()
            self.among_negatives = PairSums(scores, negatives, delta)
            self.among_positives = PairSums(scores, scores, delta)
            self.false_positives = self.among_negatives.over_b()

    def ranks_with_self(self) -> Tensor:
        """Return ``(P,)`` ranks among the positives, each counting itself fully."""
        ranks = self.among_positives.over_b()
        return ranks if self.delta == 0 else ranks + 0.5

    def gradient(self, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return a tensor like the logits with these gradients, over P."""
        dtype = _result_dtype(self.dtype)
        flat = positives.new_zeros(self.shape.numel(), dtype=dtype)
        flat.scatter_(0, self.negatives, (negatives / self.count).to(dtype))
        flat.scatter_(0, self.positives, (positives / self.count).to(dtype))
        return flat.view(self.shape)


def _result_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _ratio(numerator: Tensor, denominator: Tensor, where: Tensor) -> Tensor:
    """Return numerator / denominator where the condition holds, else 0."""
    return torch.where(where, numerator / torch.where(where, denominator, 1), 0)


class _APLoss(torch.autograd.Function):
    """AP loss with its assigned gradient."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, delta: float) -> Tensor:
        ctx.set_materialize_grads(False)
        examples = _Examples(logits, targets, delta)
        dtype = _result_dtype(logits.dtype)
        ctx.dtype = logits.dtype
        if not examples.count:
            ctx.save_for_backward(torch.zeros_like(logits, dtype=dtype))
            return logits.new_zeros((), dtype=dtype)
        ranks = examples.ranks_with_self()
        rank = ranks + examples.false_positives
        precision = ranks / rank
        # Ascending scores: whatever came before does not score higher.
        best = precision.cummax(0).values
        # What i shares out, (1 - best), per unit of H.
        share = _ratio(1 - best, examples.false_positives, examples.false_positives > 0)
        to_negatives = examples.among_negatives.over_a(share)
        ctx.save_for_backward(examples.gradient(-(1 - best), to_negatives))
        return (1 - best.mean()).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor | None) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return _scaled(gradient, grad_output, ctx.dtype), None, None


class _ALRPLoss(torch.autograd.Function):
    """Both parts of the aLRP loss with their gradients."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, errors: Tensor, delta: float
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        examples = _Examples(logits, targets, delta)
        dtype, error_dtype = _result_dtype(logits.dtype), _result_dtype(errors.dtype)
        ctx.dtypes = logits.dtype, errors.dtype
        if not examples.count:
            ctx.save_for_backward(torch.zeros_like(logits, dtype=dtype), torch.zeros_like(errors))
            return logits.new_zeros((), dtype=dtype), errors.new_zeros((), dtype=error_dtype)
        false_positives = examples.false_positives
        ranks = examples.ranks_with_self()
        rank = ranks + false_positives
        mine = errors.detach()[examples.order].double()  # ascending by score
        own = 1.0 if delta == 0 else 0.5  # H of i with itself
        above = (examples.among_positives.over_b(mine) - own * mine).clamp(min=0)
        counts = false_positives > _LEAST_FP_ALRP
        handed = torch.where(counts, (above + false_positives) / rank, 0)
        share = _ratio(handed, false_positives, counts)
        gradient = examples.gradient(-handed, examples.among_negatives.over_a(share))
        # Localisation: of all that score at least as high, in descending order.
        localisation = (mine.flip(0).cumsum(0) / rank.flip(0)).mean()
        # An error counts for every positive below it: at ascending places up to its own.
        slope = torch.empty_like(mine)
        slope[examples.order] = (1 / rank).cumsum(0) / examples.count
        ctx.save_for_backward(gradient, slope.to(error_dtype))
        return (1 - (ranks / rank).mean()).to(dtype), localisation.to(error_dtype)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_classification: Tensor | None, grad_localisation: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        gradient, slope = ctx.saved_tensors
        return (
            _scaled(gradient, grad_classification, ctx.dtypes[0]),
            None,
            _scaled(slope, grad_localisation, ctx.dtypes[1]),
            None,
        )


class _RankSortLoss(torch.autograd.Function):
    """Both parts of the Rank & Sort loss with their assigned gradients."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, delta: float) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        examples = _Examples(logits, targets, delta)
        dtype = _result_dtype(logits.dtype)
        ctx.dtype = logits.dtype
        if not examples.count:
            zeros = torch.zeros_like(logits, dtype=dtype)
            ctx.save_for_backward(zeros, zeros.reshape(-1)[:0], zeros.reshape(-1)[:0].long())
            return logits.new_zeros((), dtype=dtype), logits.new_zeros((), dtype=dtype)
        false_positives = examples.false_positives
        ranks = examples.among_positives.over_b()
        rank = ranks + false_positives
        ranking = false_positives / rank
        counts = false_positives > _LEAST_FP
        share = _ratio(ranking, false_positives, counts)
        to_negatives = examples.among_negatives.over_a(share)
        gradient = examples.gradient(-torch.where(counts, ranking, 0), to_negatives)
        sorting, sorting_gradient = _sorting(examples, ranks)
        ctx.save_for_backward(
            gradient, (sorting_gradient / examples.count).to(dtype), examples.positives
        )
        return ranking.mean().to(dtype), sorting.mean().to(dtype)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_ranking: Tensor | None, grad_sorting: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        gradient, sorting_gradient, positives = ctx.saved_tensors
        if grad_ranking is None and grad_sorting is None:
            return None, None, None
        total = gradient * (0 if grad_ranking is None else grad_ranking)
        if grad_sorting is not None:
            total.view(-1)[positives] += sorting_gradient * grad_sorting
        return total.to(ctx.dtype), None, None


def _sorting(examples: _Examples, ranks: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``(P,)`` sorting errors and gradients, positives in ascending order.

    Which positives are compared depends on two orders, of scores and of targets. In the ascending
    order of scores only a stretch of them has H > 0; those are compared in chunks.
    """
    scores, targets, delta = examples.scores, examples.targets, examples.delta
    count = examples.count
    # One product gives both the errors and the number of those above.
    weights = torch.stack([1 - targets, torch.ones_like(targets)], 1)  # (P, 2)
    scaled = scores / (2 * delta) if delta > 0 else scores
    errors, gradient = torch.empty_like(scores), torch.zeros_like(scores)
    start = 0
    while start < count:
        # Everything below the first of the chunk by delta or more has H = 0.
        low = int(torch.searchsorted(scores, scores[start] - delta))
        stop = min(count, start + max(_PAIRS // (count - low), 1))
        rows, columns = slice(start, stop), slice(low, count)
        if delta > 0:  # smoothed_step with half of its passes over memory
            h = (scaled[None, columns] - (scaled[rows, None] - 0.5)).clamp_(0, 1)
        else:
            h = smoothed_step(scores[None, columns] - scores[rows, None], delta)
        # i itself is among them, so that there always is one.
        better = targets[None, columns] >= targets[rows, None]
        h_better = h * better
        # What stands above i, against what would if positives were sorted by target.
        current = (h @ weights[columns, 0]) / ranks[rows]
        target, num_better = (h_better @ weights[columns]).unbind(1)
        errors[rows] = current - target / num_better
        # The error goes to those above that belong below, in proportion to H.
        h_worse = h.sub_(h_better)
        sums = h_worse.sum(1)
        counts = sums > _LEAST_FP
        gradient[columns] += _ratio(errors[rows], sums, counts) @ h_worse
        gradient[rows] -= torch.where(counts, errors[rows], 0)
        start = stop
    return errors, gradient


def _scaled(gradient: Tensor, grad_output: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if grad_output is None else (gradient * grad_output).to(dtype)
