"""Correlation coefficients of two vectors, differentiable, computed in float64.

Each exists once, over groups of a vector; the public functions have a single group.
"""

from __future__ import annotations

import torch
from torch import Tensor

from corrlight.arguments import check_number
from corrlight.losses.groups import Groups
from corrlight.losses.reduction import in_full_precision
from corrlight.losses.soft_rank import centred_soft_rank, check_finite

__all__ = [
    "concordance",
    "grouped_concordance",
    "grouped_pearson",
    "grouped_spearman",
    "is_correlation_defined",
    "pearson",
    "spearman",
    "where_defined",
]

_PUBLISHED_STRENGTH = 1.0


def pearson(x: Tensor, y: Tensor) -> Tensor:
    r"""Return Pearson's linear correlation (thesis Eq. 2.1).

    :math:`\sum (x_i - \bar x)(y_i - \bar y) / \sqrt{\sum (x_i - \bar x)^2 \sum (y_i - \bar y)^2}`.

    Args:
        x: ``(P,)``.
        y: ``(P,)``.

    Returns:
        Scalar in [-1, 1] in the wider dtype of both, at least float32. NaN without gradient where
        the correlation is undefined (:func:`is_correlation_defined`).

    Raises:
        ValueError: For shapes that differ, and NaN or infinite values, with their number.

    Example:
        >>> pearson(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.1, 0.3, 0.2]))
        tensor(0.5000)
    """
    _check_pair(x, y)
    if not is_correlation_defined(x, y):
        return _undefined(x, y)
    groups = Groups.whole(x)
    return grouped_pearson(x, y, groups, _always(groups)).squeeze(0)


def concordance(x: Tensor, y: Tensor) -> Tensor:
    r"""Return Lin's concordance correlation (thesis Eq. 2.3).

    :math:`2 s_{xy} / (s_x^2 + s_y^2 + (\bar x - \bar y)^2)` with sample (n - 1) variances, as
    published: 1 only if both are equal, so it also compares scale and location.

    Deviation: the thesis prints population variances; the published code uses sample variances.

    Args:
        x: ``(P,)``.
        y: ``(P,)``.

    Returns:
        Scalar in [-1, 1] in the wider dtype of both, at least float32. NaN without gradient where
        the correlation is undefined (:func:`is_correlation_defined`).

    Raises:
        ValueError: For shapes that differ, and NaN or infinite values, with their number.

    Example:
        >>> concordance(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 3.0, 4.0]))
        tensor(0.6667)
    """
    _check_pair(x, y)
    if not is_correlation_defined(x, y):
        return _undefined(x, y)
    groups = Groups.whole(x)
    return grouped_concordance(x, y, groups, _always(groups)).squeeze(0)


def spearman(
    x: Tensor,
    y: Tensor,
    regularization_strength: float | None = None,
    relative_strength: float | None = None,
) -> Tensor:
    """Return the Pearson correlation of the soft ranks of both sides (thesis Eq. 2.2).

    At the published strength 1.0, values in [0, 1] are not ranked: their soft ranks are an affine
    map of them for every strength >= 2 (max - min) / n, and the result is :func:`pearson`. Real
    ranking needs a small strength, best given relative to the spacing of the values.

    Args:
        x: ``(P,)``.
        y: ``(P,)``.
        regularization_strength: Strength of both soft ranks, in units of the values; by default the
            published 1.0.
        relative_strength: Instead of it, the strength in multiples of (max - min) / n of each
            side. The result then depends on neither scale, and so does the gradient.

    Returns:
        Scalar in [-1, 1] in the wider dtype of both, at least float32. NaN without gradient where
        the correlation is undefined (:func:`is_correlation_defined`).

    Raises:
        ValueError: For shapes that differ, NaN or infinite values (with their number), strengths
            that are not positive, and for both strengths together.

    Example:
        >>> spearman(torch.tensor([0.1, 0.2, 0.9]), torch.tensor([0.5, 0.6, 0.7]), 1e-3)
        tensor(1.)
    """
    if regularization_strength is not None:
        check_number("regularization_strength", regularization_strength, above=0)
    if relative_strength is not None:
        check_number("relative_strength", relative_strength, above=0)
        if regularization_strength is not None:
            raise ValueError(
                "Expected one of `regularization_strength` and `relative_strength`, "
                f"but got both: {regularization_strength!r} and {relative_strength!r}."
            )
    _check_pair(x, y)
    if not is_correlation_defined(x, y):
        return _undefined(x, y)
    groups = Groups.whole(x)
    relative = relative_strength is not None
    given = regularization_strength if relative_strength is None else relative_strength
    strength = _PUBLISHED_STRENGTH if given is None else given
    return grouped_spearman(x, y, groups, _always(groups), strength, relative).squeeze(0)


def grouped_pearson(x: Tensor, y: Tensor, groups: Groups, defined: Tensor) -> Tensor:
    """Return the ``(G,)`` coefficients of :func:`pearson`.

    Args:
        x: ``(P,)``.
        y: ``(P,)``.
        groups: G groups of both.
        defined: ``(G,)`` of :func:`where_defined`; elsewhere, the result is any finite number
            without an infinite gradient.
    """
    dx, dy = groups.centred(_widened(x)), groups.centred(_widened(y))
    return _cosines(dx, dy, groups, defined).to(_result_dtype(x, y))


def grouped_concordance(x: Tensor, y: Tensor, groups: Groups, defined: Tensor) -> Tensor:
    """Return the ``(G,)`` coefficients of :func:`concordance`; see :func:`grouped_pearson`."""
    wide_x, wide_y = _widened(x), _widened(y)
    dx, dy = groups.centred(wide_x), groups.centred(wide_y)
    gap = groups.mean(wide_x) - groups.mean(wide_y)
    degrees = (groups.sizes - 1).clamp(min=1)
    spread = (groups.sum(dx.square()) + groups.sum(dy.square())) / degrees + gap.square()
    covariance = groups.sum(dx * dy) / degrees
    return (2 * covariance / spread.where(defined, 1)).to(_result_dtype(x, y))


def grouped_spearman(
    x: Tensor, y: Tensor, groups: Groups, defined: Tensor, strength: float, relative: bool
) -> Tensor:
    """Return the ``(G,)`` coefficients of :func:`spearman`; see :func:`grouped_pearson`.

    Args:
        x: ``(P,)``.
        y: ``(P,)``.
        groups: G groups of both.
        defined: ``(G,)`` of :func:`where_defined`.
        strength: Of the soft ranks.
        relative: Whether it is in multiples of (max - min) / n of each group and side.
    """
    sides = [_widened(v) for v in (x, y)]
    if relative:
        sides = [_unit_spacing(side, groups) for side in sides]
    dx, dy = (centred_soft_rank(side, strength, groups) for side in sides)
    return _cosines(dx, dy, groups, defined).to(_result_dtype(x, y))


def where_defined(x: Tensor, y: Tensor, groups: Groups) -> Tensor:
    """Return the ``(G,)`` truth of :func:`is_correlation_defined`."""
    return _vary(x, groups) & _vary(y, groups)


def is_correlation_defined(x: Tensor, y: Tensor) -> bool:
    """Return whether ``(P,)`` x and y both vary by more than rounding.

    A side counts as constant if its standard deviation is at most 16 eps max|x|, eps being that of
    its dtype (float32 for half precisions). Fewer than two values have no correlation.

    Example:
        >>> is_correlation_defined(torch.tensor([0.5, 0.5]), torch.tensor([0.1, 0.2]))
        False
    """
    return x.numel() >= 2 and bool(where_defined(x, y, Groups.whole(x)))


def _vary(values: Tensor, groups: Groups) -> Tensor:
    eps = torch.finfo(in_full_precision(values).dtype).eps
    wide = _widened(values.detach())
    squares = groups.sum(groups.centred(wide).square())
    deviations = (squares / (groups.sizes - 1).clamp(min=1)).sqrt()
    return (groups.sizes > 1) & (deviations > 16 * eps * groups.max(wide.abs()))


def _always(groups: Groups) -> Tensor:
    return torch.ones(len(groups), dtype=torch.bool, device=groups.sizes.device)


def _undefined(x: Tensor, y: Tensor) -> Tensor:
    return x.new_full((), float("nan"), dtype=_result_dtype(x, y))


def _cosines(dx: Tensor, dy: Tensor, groups: Groups, defined: Tensor) -> Tensor:
    # Scaled first, so that squares of tiny values do not underflow; a cosine ignores scale, and so
    # does its gradient.
    tops = [groups.max(d.detach().abs()) for d in (dx, dy)]
    dx, dy = (
        d / groups.spread(top.where(top > 0, 1)) for d, top in zip((dx, dy), tops, strict=True)
    )
    squares = groups.sum(dx.square()) * groups.sum(dy.square())
    return groups.sum(dx * dy) / squares.where(defined, 1).sqrt()


def _unit_spacing(values: Tensor, groups: Groups) -> Tensor:
    """Return the values shifted to 0 and scaled to a mean spacing of 1 in each group."""
    low, high = -groups.max(-values), groups.max(values)
    spacing = (high - low) / groups.sizes
    return (values - groups.spread(low)) / groups.spread(spacing.where(spacing > 0, 1))


def _widened(values: Tensor) -> Tensor:
    return values.float() if values.device.type == "mps" else values.double()


def _result_dtype(x: Tensor, y: Tensor) -> torch.dtype:
    return torch.promote_types(in_full_precision(x).dtype, in_full_precision(y).dtype)


def _check_pair(x: Tensor, y: Tensor) -> None:
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            "Expected `x` and `y` to be vectors of one length, "
            f"but got shapes {tuple(x.shape)} and {tuple(y.shape)}."
        )
    check_finite("x", x)
    check_finite("y", y)
