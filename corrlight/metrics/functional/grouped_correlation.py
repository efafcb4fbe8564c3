"""Correlation coefficients of many groups at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from corrlight.coco.types import Array

__all__ = [
    "CoefficientName",
    "GroupedCorrelation",
    "average_ranks",
    "check_coefficient",
    "grouped_correlation",
    "measure_name",
]

# Rows are padded to the largest group unless that makes so many times the values.
_MOST_PADDING = 4

CoefficientName = Literal["spearman", "pearson", "concordance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedCorrelation:
    """One coefficient a group.

    Attributes:
        values: ``(K,)`` float64, NaN where undefined.
        counts: ``(K,)`` members of each group.
    """

    values: Array
    counts: Array

    @property
    def num_defined(self) -> int:
        """Number of groups whose coefficient is defined."""
        return int(np.count_nonzero(~np.isnan(self.values)))

    @property
    def mean(self) -> float | None:
        """Mean over the groups with a defined coefficient; None without any."""
        return float(np.nanmean(self.values)) if self.num_defined else None


def check_coefficient(name: CoefficientName) -> CoefficientName:
    """Return ``name``.

    Raises:
        ValueError: If there is no such coefficient.
    """
    if name not in get_args(CoefficientName):
        raise ValueError(
            f"Expected `coefficient` to be one of {get_args(CoefficientName)}, but got {name!r}."
        )
    return name


def measure_name(name: str, coefficient: CoefficientName) -> str:
    """Return the key of a measure: Spearman is the thesis' choice and carries no suffix."""
    return name if coefficient == "spearman" else f"{name}_{coefficient}"


def average_ranks(values: npt.ArrayLike, groups: npt.ArrayLike) -> Array:
    """Rank values within their groups; equal values share the mean of their ranks.

    Args:
        values: ``(P,)``.
        groups: ``(P,)`` group numbers.

    Returns:
        ``(P,)`` float64 ranks, 1 = smallest of its group.
    """
    values, groups = np.asarray(values), np.asarray(groups)
    order = _order(values, groups)
    v, g = values[order], groups[order]
    changes = g[1:] != g[:-1]
    first = np.flatnonzero(np.r_[np.ones(min(1, len(v)), bool), changes | (v[1:] != v[:-1])])
    length = np.diff(first, append=len(v))
    group_first = np.flatnonzero(np.r_[np.ones(min(1, len(v)), bool), changes])
    offset = np.repeat(group_first, np.diff(group_first, append=len(v)))
    # Equal values share the mean of the places first + 1, ..., first + length.
    ranks = np.empty(len(v))
    ranks[order] = np.repeat(first + (length + 1) / 2, length) - offset
    return ranks


def _order(values: Array, groups: Array) -> Array:
    """Return the order by group, then by value; equal values may come in any order."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    small = groups.min() >= 0 and groups.max() < 1 << 16
    # 16-bit group numbers are sorted by radix.
    by_group = np.argsort(groups.astype(np.uint16) if small else groups, kind="stable")
    sorted_groups = groups[by_group]
    first = np.flatnonzero(np.diff(sorted_groups, prepend=sorted_groups[0] - 1))
    counts = np.diff(first, append=len(groups))
    width = int(counts.max())
    if values.dtype.kind != "f" or width * len(counts) > _MOST_PADDING * len(values):
        return np.lexsort((values, groups))
    # One row a group: rows of some hundred values are sorted in the cache, ten times as fast.
    inside = np.arange(width) < counts[:, None]
    table = np.full(inside.shape, np.nan, dtype=values.dtype)
    table[inside] = values[by_group]
    # NaN is last, and the padding, stably, after a NaN of the values.
    place = np.argsort(table, axis=1, kind="stable") + first[:, None]
    order: Array = by_group[place[inside]]
    return order


def grouped_correlation(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    groups: npt.ArrayLike,
    num_groups: int,
    coefficient: CoefficientName = "spearman",
    min_members: int = 2,
) -> GroupedCorrelation:
    """Correlate ``x`` and ``y`` within every group.

    A coefficient is undefined with fewer than ``min_members`` members, or if ``x`` or ``y`` is
    constant: std <= 16 eps max|x| with eps of the given type, so that values equal up to rounding
    are not ranked by their rounding errors.

    Args:
        x: ``(P,)``.
        y: ``(P,)``.
        groups: ``(P,)`` group numbers in ``[0, num_groups)``.
        num_groups: Number of groups K, empty ones included.
        coefficient: "spearman" (Pearson of average ranks), "pearson" or "concordance" (Lin, with
            sample variances and covariance, as in Eq. 2.3 of the thesis).
        min_members: At least 2.

    Raises:
        ValueError: If an argument is out of range.
    """
    check_coefficient(coefficient)
    if min_members < 2:
        raise ValueError(f"Expected `min_members` to be at least 2, but got {min_members}.")
    x, y, groups = np.asarray(x), np.asarray(y), np.asarray(groups, dtype=np.int64)
    if not len(x) == len(y) == len(groups):
        raise ValueError(
            "Expected `x`, `y` and `groups` of equal length, "
            f"but got {len(x)}, {len(y)} and {len(groups)}."
        )
    counts = np.bincount(groups, minlength=num_groups)
    defined = (counts >= min_members) & _varies(x, groups, counts) & _varies(y, groups, counts)
    if coefficient == "spearman":
        x, y = average_ranks(x, groups), average_ranks(y, groups)
    values = np.full(num_groups, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = _COEFFICIENTS[coefficient](*_moments(x, y, groups, counts))
    values[defined] = np.clip(found[defined], -1.0, 1.0)
    return GroupedCorrelation(values=values, counts=counts)


def _means(values: Array, groups: Array, counts: Array) -> Array:
    sums = np.bincount(groups, weights=values, minlength=len(counts))
    return sums / np.maximum(counts, 1)


def _varies(values: Array, groups: Array, counts: Array) -> Array:
    """Return ``(K,)`` bool: std > 16 eps max|x|."""
    dtype = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    wide = values.astype(np.float64)
    mean = _means(wide, groups, counts)
    std = np.sqrt(
        _means((wide - mean[groups]) ** 2, groups, counts) * counts / np.maximum(counts - 1, 1)
    )
    largest = np.zeros(len(counts))
    np.maximum.at(largest, groups, np.abs(wide))
    return std > 16 * float(np.finfo(dtype).eps) * largest


def _moments(x: Array, y: Array, groups: Array, counts: Array) -> tuple[Array, ...]:
    """Return means, variances and covariance of every group (sample versions)."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = _means(x, groups, counts), _means(y, groups, counts)
    dx, dy = x - mean_x[groups], y - mean_y[groups]
    scale = counts / np.maximum(counts - 1, 1)
    var_x, var_y, cov = (_means(v, groups, counts) * scale for v in (dx * dx, dy * dy, dx * dy))
    return mean_x, mean_y, var_x, var_y, cov


def _pearson(mean_x: Array, mean_y: Array, var_x: Array, var_y: Array, cov: Array) -> Array:
    # Two roots: the product of two tiny variances could underflow.
    return cov / (np.sqrt(var_x) * np.sqrt(var_y))


def _concordance(mean_x: Array, mean_y: Array, var_x: Array, var_y: Array, cov: Array) -> Array:
    return 2 * cov / (var_x + var_y + (mean_x - mean_y) ** 2)


_COEFFICIENTS: dict[str, Callable[..., Array]] = {
    "spearman": _pearson,
    "pearson": _pearson,
    "concordance": _concordance,
}
