"""Confidence intervals of means over classes, from halves of the images.

What a measure is on all images that a sample could have come from differs from what it is on the
sample in two ways, and both are read off random halves of the sample. *Spread*: a half varies
around its sample as a sample does around the population. *Bias*: AP of few objects is too high
(interpolation takes maxima), by about 1/n, so that a half is as far above the sample as that is
above the population. oLRP is a minimum over thresholds, whose optimism falls more slowly (n to
the power -2/3; Kim and Pollard, "Cube root asymptotics", 1990); a threshold that is chosen on one
half and measured on the other shows the optimism directly. Classes of few images are poor
witnesses of their own spread: that of the others stands in, per image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtrit

from corrlight.coco.types import Array

__all__ = ["ClassTable", "Estimate", "difference_estimate", "estimate"]

# Classes of at least so many images witness the spread of one image.
_WITNESS = 5
# Images at which a class counts as much as the others do in its own spread and bias.
_EVEN = 4
# Optimism of the whole sample in units of that of its halves, chosen by simulation (see
# docs/measures.md): n / (n + 1) times this, for a class of n images.
_OPTIMISM = {"oLRP": 0.42, "oLRP_Loc": 0.5, "oLRP_FP": 0.68, "oLRP_FN": 0.32}
# Share of such a correction that may be wrong, from how these numbers differ between data sets.
_DOUBT = {"oLRP": 0.1, "oLRP_Loc": 0.3, "oLRP_FP": 0.35, "oLRP_FN": 0.15}
# Classes without objects count as unseen up to so many for each class of a single image.
_UNSEEN = 3
_RARE, _RARE_CLASSES = 3, 3
# At the least; Student's t where few halves were drawn.
_QUANTILE, _QUANTILE_OF_DIFFERENCE = 1.96, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTable:
    """A measure that is a mean over classes, on a sample and on halves of it.

    Attributes:
        name: Without "mask_".
        values: ``(K,)`` of the classes on all images, NaN where undefined.
        halves: ``(D, K)`` in every half, two neighbours make the sample.
        crossed: ``(K,)`` in either half at the threshold of the other, for oLRP and its parts.
        num_images: ``(K,)`` images with an object of the class.
    """

    name: str
    values: Array
    halves: Array
    crossed: Array | None
    num_images: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a sample says of the population.

    Attributes:
        value: Of the sample.
        low: Lower end of the 95% interval; never above the value.
        high: Upper end; never below it.
        p: Two-sided p value against 0, None but for differences.
        thin: Share of the classes of the population, as far as they are known, that no or fewer
            than three images speak for.
        class_p: ``(K,)`` p values of the classes, NaN where not defined; only of differences.
    """

    value: float
    low: float
    high: float
    p: float | None
    thin: float
    class_p: Array | None = None


def estimate(table: ClassTable) -> Estimate | None:
    """Return the interval of a measure; None if it is undefined, or is so in most halves."""
    if not _is_defined(table):
        return None
    spread = _Spread(table)
    correction, doubt = _correction(table, spread)
    value = float(np.nanmean(table.values))
    middle = value + float(np.nansum(correction)) / spread.num_defined
    rest = float(np.nanmean(table.values + correction))
    lean = _rare_mean(table.values + correction, table.num_images) - rest
    variance = spread.variance + doubt**2 + (spread.share_missing * lean) ** 2
    half = spread.quantile * float(np.sqrt(variance))
    floor = -1.0 if table.name.startswith("beta") else 0.0
    return Estimate(
        value=value,
        low=min(value, max(middle - half, floor)),
        high=max(value, min(middle + half, 1.0)),
        p=None,
        thin=spread.thin,
    )


def difference_estimate(first: ClassTable, second: ClassTable) -> Estimate | None:
    """Return the interval of second minus first, drawn together; None where it is undefined.

    Biases of two detectors on the same images are alike and cancel: none is corrected.
    """
    table = ClassTable(
        name=second.name,
        values=second.values - first.values,
        halves=second.halves - first.halves,
        crossed=None,
        num_images=first.num_images,
    )
    if not (_is_defined(first) and _is_defined(second) and _is_defined(table)):
        return None
    spread = _Spread(table)
    # Not the mean of the classes' differences: a class may be defined in one of both alone.
    value = float(np.nanmean(second.values) - np.nanmean(first.values))
    quantile = max(_QUANTILE_OF_DIFFERENCE, spread.quantile)
    half = quantile * float(np.sqrt(spread.variance))
    class_error = np.sqrt(spread.class_variance)
    enough = (table.num_images >= _WITNESS) & (class_error > 0)
    class_p = np.full(len(table.values), np.nan)
    class_p[enough] = _p_value(table.values[enough], class_error[enough] * quantile)
    return Estimate(
        value=value,
        low=max(value - half, -2.0),
        high=min(value + half, 2.0),
        p=float(_p_value(np.array(value), np.array(half))),
        thin=spread.thin,
        class_p=class_p,
    )


def _p_value(values: Array, half: Array) -> Array:
    """Return p values that are below 0.05 where an interval of this half width leaves out 0."""
    certain = np.where(values == 0, 1.0, 0.0)
    scaled = np.divide(1.959964 * np.abs(values), half, out=np.full_like(half, np.nan, float),
                       where=half > 0)  # fmt: skip
    found: Array = np.where(half > 0, 2 * ndtr(-scaled), certain)
    return found


def _is_defined(table: ClassTable) -> bool:
    defined = int(np.count_nonzero(~np.isnan(table.halves).all(1)))
    count = len(table.halves)
    return not bool(np.isnan(table.values).all()) and 2 * defined >= count > 0


class _Spread:
    """Variance of a mean over classes."""

    def __init__(self, table: ClassTable) -> None:
        defined = ~np.isnan(table.values)
        self.num_defined = int(defined.sum())
        moved = (table.halves - table.values)[:, defined]
        images = table.num_images[defined].astype(np.float64)
        count = (~np.isnan(moved)).sum(0)
        total = np.nansum(moved, 0)
        self.bias = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        centred = moved - self.bias
        own = np.divide(
            np.nansum(centred**2, 0), count - 1, out=np.full(len(count), np.nan), where=count > 1
        )
        self.witnesses = (images >= _WITNESS) & ~np.isnan(own)
        if not self.witnesses.any():
            self.witnesses = ~np.isnan(own)
        pooled = _with_others(own, images, self.witnesses)
        if len(table.values) == 1:
            pooled = np.nan_to_num(own)
        # Halves know how classes vary together, in images that they share.
        drawn = np.nansum(centred, 1) / self.num_defined
        together = float(drawn.var(ddof=1)) if len(drawn) > 1 else 0.0
        added = float((pooled - np.nan_to_num(own)).sum()) / self.num_defined**2
        variance = max(together / 2, together + added)
        self.images, self.defined = images, defined
        # Classes with objects but no value, and those that the sample may have missed.
        unseen = min(
            int((table.num_images == 0).sum()), _UNSEEN * int((table.num_images == 1).sum())
        )
        missing = int((table.num_images > 0).sum()) - self.num_defined + unseen
        self.share_missing = missing / (missing + self.num_defined)
        if missing:
            between = float(table.values[defined].var(ddof=1)) if self.num_defined > 1 else 0.0
            few = len(_rare(images))
            variance += self.share_missing**2 * between * (1 / missing + 1 / few)
        self.variance = variance
        self.class_variance = np.full(len(table.values), np.nan)
        self.class_variance[defined] = pooled
        poor = missing + int((images < _RARE).sum())
        self.thin = poor / (missing + self.num_defined)
        splits = len(table.halves) // 2
        self.quantile = max(_QUANTILE, float(stdtrit(max(splits - 1, 1), 0.975)))


def _correction(table: ClassTable, spread: _Spread) -> tuple[Array, float]:
    """Return ``(K,)`` what is to be added to the classes, and the error of its mean."""
    images = spread.images
    found = np.full(len(table.values), np.nan)
    if table.crossed is not None:
        kind = table.name if table.name in _OPTIMISM else "oLRP"  # oLRP by size is one, too
        halves = table.halves[:, spread.defined]
        count = (~np.isnan(halves)).sum(0)
        inside = np.divide(
            np.nansum(halves, 0), count, out=np.full(len(count), np.nan), where=count > 0
        )
        optimism = np.nan_to_num(table.crossed[spread.defined] - inside)
        found[spread.defined] = _OPTIMISM[kind] * images / (images + 1) * optimism
        return found, _DOUBT[kind] * abs(float(np.nanmean(found)))
    if len(table.values) == 1:  # a mean over images has no bias
        return np.where(np.isnan(table.values), np.nan, 0.0), 0.0
    found[spread.defined] = -_with_others(spread.bias, images, spread.witnesses)
    return found, 0.0


def _with_others(own: Array, images: Array, witnesses: Array) -> Array:
    """Return what each class says of itself, mixed with what the others say of one image."""
    of_one = float((own * images)[witnesses].mean()) if witnesses.any() else 0.0
    trust = images / (images + _EVEN)
    mixed: Array = np.where(
        np.isnan(own), of_one / images, trust * np.nan_to_num(own) + (1 - trust) * of_one / images
    )
    return mixed


def _rare(images: Array) -> Array:
    """Return the classes of the fewest images: those that missing ones are most like."""
    few = np.flatnonzero(images <= _RARE)
    if len(few) < _RARE_CLASSES:
        few = np.argsort(images, kind="stable")[: max(_RARE_CLASSES, len(images) // 4)]
    return few


def _rare_mean(values: Array, num_images: Array) -> float:
    defined = ~np.isnan(values)
    return float(values[defined][_rare(num_images[defined])].mean())


def crossed_values(counts: Mapping[str, Array]) -> dict[str, Array]:
    """Return ``(K,)`` oLRP and its parts from crossed counts, by measure.

    Args:
        counts: By size range, as :class:`corrlight.metrics.functional.resampling.Halves` has them,
            added over draws.
    """
    values: dict[str, Array] = {}
    for area, sums in counts.items():
        tp, fp, loc, objects = sums.T

        def ratio(a: Array, b: Array) -> Array:
            return np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)

        lrp = ratio(2 * loc + fp + objects - tp, fp + objects)
        if area == "all":
            values |= {"oLRP": lrp, "oLRP_Loc": ratio(loc, tp), "oLRP_FP": ratio(fp, fp + tp)}
            values["oLRP_FN"] = ratio(objects - tp, objects)
        else:
            values[f"oLRP_{area}"] = lrp
    return values
