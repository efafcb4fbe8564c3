"""Correlation Loss: 1 - correlation of classification scores and IoUs of the positives."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from corrlight.arguments import check_choice, check_number, check_share
from corrlight.losses.base import LossOutput
from corrlight.losses.coefficients import (
    grouped_concordance,
    grouped_pearson,
    grouped_spearman,
    where_defined,
)
from corrlight.losses.groups import Groups
from corrlight.losses.reduction import in_full_precision
from corrlight.losses.soft_rank import check_finite, is_affine_soft_rank
from corrlight.structures import Positives

__all__ = ["Backprop", "Coefficient", "CorrelationLoss", "GroupBy", "correlation_loss"]

Coefficient = Literal["pearson", "spearman", "spearman_rank", "concordance"]
GroupBy = Literal["batch", "image", "level"]
Backprop = Literal["classification", "localization", "both"]
GroupReduction = Literal["mean", "sum"]
CoefficientFunction = Callable[[Tensor, Tensor], Tensor]
# Of scores, IoUs, groups and where a correlation is defined: one coefficient a group.
_GroupedCoefficient = Callable[[Tensor, Tensor, Groups, Tensor], Tensor]

# Chosen by experiment, docs/losses.md: most positives get a gradient, and the value is within 0.02
# of the rank correlation.
DEFAULT_RELATIVE_STRENGTH = 0.25

_log = logging.getLogger(__name__)


class CorrelationLoss:
    """Auxiliary loss 1 - rho(scores, IoUs) of the positives (thesis Eq. 4.1 and 4.2).

    A loss callback: it has no parameters, changes no state and does not communicate. ``weight`` is
    applied by the caller, once.

    Attributes:
        coefficient: Its name, or the function.
        weight: lambda_corr, the factor in the total loss.

    Args:
        coefficient: 'concordance', 'pearson', 'spearman' (published: absolute strength, 1.0 unless
            given), 'spearman_rank' (ours: strength relative to the spacing of the values) or a
            function of two ``(P,)`` tensors.
        weight: lambda_corr, >= 0.
        group_by: One correlation for the 'batch', one per 'image' or one per FPN 'level'.
        reduction: 'mean' over the groups with at least ``min_positives``, or their 'sum' (what the
            published YOLACT does over images).
        backprop: 'classification' (published; IoUs are constants), 'localization' (scores are
            constants) or 'both'.
        min_positives: Smaller groups have no correlation; >= 2.
        sync: Correlate over the positives of all ranks: the module then passes those in training,
            and k ranks with b images each have the loss and the gradient of one with k b images.
        ramp: Share of the training, 0 to 1, over which ``weight`` rises in a straight line from 0;
            with 0 it is whole from the first step on.
        regularization_strength: Of 'spearman' only.
        relative_strength: Of 'spearman_rank' only.

    Raises:
        ValueError: For any argument outside of this, naming it.
    """

    def __init__(
        self,
        coefficient: Coefficient | CoefficientFunction,
        weight: float,
        group_by: GroupBy = "batch",
        reduction: GroupReduction = "mean",
        backprop: Backprop = "classification",
        min_positives: int = 2,
        sync: bool = False,
        ramp: float = 0.0,
        *,
        regularization_strength: float | None = None,
        relative_strength: float | None = None,
    ) -> None:
        self.coefficient = coefficient
        self._function = _coefficient(coefficient, regularization_strength, relative_strength)
        self.weight = check_number("weight", weight)
        check_choice("group_by", group_by, get_args(GroupBy))
        _check_options(reduction, backprop, min_positives)
        if not isinstance(sync, bool):
            raise ValueError(f"Expected `sync` to be a bool, but got {sync!r}.")
        self.group_by = group_by
        self.reduction = reduction
        self.backprop = backprop
        self.min_positives = min_positives
        self.sync = sync
        check_share(ramp=ramp)
        self.ramp = ramp

    def __call__(self, positives: Positives) -> Tensor:
        """Return the unweighted scalar loss."""
        return self.evaluate(positives).value

    def evaluate(self, positives: Positives) -> LossOutput:
        """Return the unweighted loss, in [0, 2] for a mean, with its counts.

        Counts: ``num_groups`` with at least ``min_positives``, which the mean is taken over, and
        ``num_undefined``: groups without a correlation, because they are smaller or because their
        scores or IoUs are constant. The latter are zeros in the mean, as published.
        """
        return _evaluate(
            positives.scores,
            positives.ious(),
            self._groups(positives),
            self._function,
            self.reduction,
            self.backprop,
            self.min_positives,
            check_values=not self.passes_on_nan,
        )

    def weight_at(self, progress: float) -> float:
        """Return the factor of the loss when a share ``progress`` of the training is over."""
        return self.weight if progress >= self.ramp else self.weight * progress / self.ramp

    @property
    def passes_on_nan(self) -> bool:
        """Whether of NaN among the positives the loss is NaN, and no error.

        Then nobody has to look at them, which would wait for the device at every stage of every
        step: the sum of all terms tells.
        """
        return self.coefficient in ("concordance", "pearson")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.coefficient!r}, weight={self.weight:g}, "
            f"group_by={self.group_by!r}, reduction={self.reduction!r}, "
            f"backprop={self.backprop!r}, min_positives={self.min_positives}, sync={self.sync}, "
            f"ramp={self.ramp:g})"
        )

    def _groups(self, positives: Positives) -> Tensor | None:
        if self.group_by == "batch":
            return None
        return positives.image_idx if self.group_by == "image" else positives.level_idx


def correlation_loss(
    scores: Tensor,
    ious: Tensor,
    coefficient: Coefficient | CoefficientFunction = "concordance",
    groups: Tensor | None = None,
    reduction: GroupReduction = "mean",
    backprop: Backprop = "classification",
    min_positives: int = 2,
    *,
    regularization_strength: float | None = None,
    relative_strength: float | None = None,
) -> Tensor:
    """Return 1 - rho(scores, ious) of plain tensors: the plug-in for any detector.

    Args:
        scores: ``(P,)`` score of the ground truth's class of each positive.
        ious: ``(P,)`` IoU of each positive's predicted box with its ground truth.
        coefficient: As for :class:`CorrelationLoss`.
        groups: ``(P,)`` integers, such as image or level indices; one correlation per group. None
            is one group.
        reduction: As for :class:`CorrelationLoss`.
        backprop: As for :class:`CorrelationLoss`.
        min_positives: As for :class:`CorrelationLoss`.
        regularization_strength: Of 'spearman' only.
        relative_strength: Of 'spearman_rank' only.

    Returns:
        Scalar, at least float32. Where no correlation is defined, a zero attached to the graph.

    Raises:
        ValueError: For unknown options, anything but tensors of floats, shapes that differ, and NaN
            or infinite values, with their number.

    Example:
        >>> correlation_loss(torch.tensor([0.2, 0.4, 0.9]), torch.tensor([0.2, 0.4, 0.9]))
        tensor(0.)
    """
    function = _coefficient(coefficient, regularization_strength, relative_strength)
    _check_options(reduction, backprop, min_positives)
    return _evaluate(
        scores, ious, groups, function, reduction, backprop, min_positives, check_values=True
    ).value


def _evaluate(
    scores: Tensor,
    ious: Tensor,
    labels: Tensor | None,
    coefficient: _GroupedCoefficient,
    reduction: GroupReduction,
    backprop: Backprop,
    min_positives: int,
    check_values: bool,
) -> LossOutput:
    if torch.compiler.is_compiling():
        # Compiled graphs call it as it is: the checks wait for values.
        return torch.compiler.disable(_evaluate)(
            scores, ious, labels, coefficient, reduction, backprop, min_positives, check_values
        )
    for name, value in (("scores", scores), ("ious", ious)):
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"Expected `{name}` to be a tensor of floats, but got {got}.")
    if scores.ndim != 1 or ious.shape != scores.shape:
        raise ValueError(
            "Expected `scores` and `ious` to be vectors of one length, "
            f"but got shapes {tuple(scores.shape)} and {tuple(ious.shape)}."
        )
    if labels is not None and (labels.shape != scores.shape or labels.is_floating_point()):
        raise ValueError(
            f"Expected `groups` to be integers of shape {tuple(scores.shape)}, "
            f"but got {labels.dtype} of shape {tuple(labels.shape)}."
        )
    if check_values:
        check_finite("scores", scores)
        check_finite("ious", ious)
    if backprop == "classification":
        ious = ious.detach()
    elif backprop == "localization":
        scores = scores.detach()
    # Attached to the side that learns, so that no parameter is left without a gradient.
    zero = (in_full_precision(scores) * 0 + in_full_precision(ious) * 0).sum()
    if not scores.numel():  # one empty group
        counts = torch.tensor([0, 1], device=zero.device)
        return LossOutput(zero, {"num_groups": counts[0], "num_undefined": counts[1]})
    if labels is None:
        groups = Groups.whole(scores)
    else:
        groups, order = Groups.of(labels)
        scores, ious = scores[order], ious[order]
    large = groups.sizes >= min_positives
    defined = large & where_defined(scores, ious, groups)
    losses = (1 - coefficient(scores, ious, groups, defined)).where(defined, 0)
    num_groups = large.sum()
    value = zero + losses.sum()
    if reduction == "mean":
        value = value / num_groups.clamp(min=1)
    return LossOutput(value, {"num_groups": num_groups, "num_undefined": (~defined).sum()})


def _check_options(reduction: str, backprop: str, min_positives: int) -> None:
    check_choice("reduction", reduction, get_args(GroupReduction))
    check_choice("backprop", backprop, get_args(Backprop))
    if isinstance(min_positives, bool) or not isinstance(min_positives, int) or min_positives < 2:
        raise ValueError(
            f"Expected `min_positives` to be an integer >= 2, but got {min_positives!r}."
        )


def _coefficient(
    coefficient: Coefficient | CoefficientFunction,
    regularization_strength: float | None,
    relative_strength: float | None,
) -> _GroupedCoefficient:
    """Return the function of groups that the name and the strengths stand for."""
    if not callable(coefficient):
        check_choice("coefficient", coefficient, get_args(Coefficient))
    if regularization_strength is not None and coefficient != "spearman":
        raise ValueError(
            "Expected `regularization_strength` only with `coefficient='spearman'`, "
            f"but got {regularization_strength!r} with {coefficient!r}."
        )
    if relative_strength is not None and coefficient != "spearman_rank":
        raise ValueError(
            "Expected `relative_strength` only with `coefficient='spearman_rank'`, "
            f"but got {relative_strength!r} with {coefficient!r}."
        )
    if callable(coefficient):
        return functools.partial(_one_by_one, coefficient)
    if coefficient == "spearman":
        strength = 1.0 if regularization_strength is None else regularization_strength
        check_number("regularization_strength", strength, above=0)
        return functools.partial(_published_spearman, strength=strength)
    if coefficient == "spearman_rank":
        relative = DEFAULT_RELATIVE_STRENGTH if relative_strength is None else relative_strength
        check_number("relative_strength", relative, above=0)
        return functools.partial(grouped_spearman, strength=relative, relative=True)
    return grouped_pearson if coefficient == "pearson" else grouped_concordance


def _one_by_one(
    function: CoefficientFunction, x: Tensor, y: Tensor, groups: Groups, defined: Tensor
) -> Tensor:
    """Return the coefficients of a user's function, which knows no groups."""
    wanted = defined.tolist()
    pairs = zip(groups.split(x), groups.split(y), wanted, strict=True)
    return torch.stack(
        [function(a, b) if is_wanted else x.new_zeros(()) for a, b, is_wanted in pairs]
    )


def _published_spearman(
    x: Tensor, y: Tensor, groups: Groups, defined: Tensor, strength: float
) -> Tensor:
    # Asked until it was said once; then the cache is full and the ranges are no longer computed.
    if not _say_degenerate.cache_info().currsize and bool(defined.any()):
        pairs = zip(groups.split(x), groups.split(y), strict=True)
        if all(is_affine_soft_rank(v, strength) for pair in pairs for v in pair):
            _say_degenerate(strength, x.numel())
    return grouped_spearman(x, y, groups, defined, strength, relative=False)


@functools.lru_cache(maxsize=1)
def _say_degenerate(strength: float, num_positives: int) -> None:
    """Log, once per process, that a Spearman loss ranks nothing."""
    _log.warning(
        "The Spearman loss at regularization_strength=%g is the Pearson loss here: for %d values "
        "within [0, 1], soft ranks are an affine map of the values from 2 (max - min) / n on. "
        "This is the published setting; corr=spearman_rank ranks.",
        strength,
        num_positives,
    )
