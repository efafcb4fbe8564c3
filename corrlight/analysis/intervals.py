"""Confidence intervals of measures and of their differences, by halving the images."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from corrlight.analysis.half_samples import (
    ClassTable,
    Estimate,
    crossed_values,
    difference_estimate,
    estimate,
)
from corrlight.analysis.results_file import Analysis
from corrlight.coco.types import Array
from corrlight.metrics.base import Number

__all__ = [
    "Interval",
    "Samples",
    "bootstrap",
    "difference",
    "difference_estimates",
    "difference_intervals",
    "ends",
    "estimates",
    "intervals",
]

Interval = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Samples:
    """What the halves of the images say of one file.

    Attributes:
        tables: By measure, "mask_" before those of masks.
        metrics: The measures of the file itself.
    """

    tables: Mapping[str, ClassTable]
    metrics: Mapping[str, Number]


def bootstrap(
    analyses: Sequence[Analysis],
    num_images: int,
    num_samples: int,
    seed: int = 0,
    step: Callable[[], None] = lambda: None,
) -> list[Samples]:
    """Measure every file on random halves of the images.

    All files are measured on the same halves, so differences are paired.

    Args:
        analyses: Analysed with ``resample=True``.
        num_images: Images of the ground truth.
        num_samples: How many halves; they come in twos, an image is in one of both.
        seed: Of the draws.
        step: Called for each half asked for.
    """
    rng = np.random.default_rng(seed)
    drawn: list[dict[str, list[Array]]] = [{} for _ in analyses]
    crossed: list[dict[str, Array]] = [{} for _ in analyses]
    for number in range(0, num_samples, 2):
        first = np.zeros(num_images, bool)
        first[rng.permutation(num_images)[: num_images // 2]] = True
        for analysis, mine, sums in zip(analyses, drawn, crossed, strict=True):
            for prefix, measures in analysis.resampled.items():
                halves = measures.halves(first)
                for name, values in halves.values.items():
                    mine.setdefault(prefix + name, []).append(values.astype(np.float32))
                for area, counts in halves.crossed.items():
                    sums[prefix + area] = sums.get(prefix + area, 0) + counts
        for _ in range(min(2, num_samples - number)):
            step()
    return [
        _samples(analysis, num_images, mine, sums)
        for analysis, mine, sums in zip(analyses, drawn, crossed, strict=True)
    ]


def _samples(
    analysis: Analysis,
    num_images: int,
    drawn: Mapping[str, list[Array]],
    crossed: Mapping[str, Array],
) -> Samples:
    tables: dict[str, ClassTable] = {}
    for prefix, measures in analysis.resampled.items():
        values = measures.by_class(np.ones(num_images, np.int64))
        counts = measures.num_images()
        mine = {k.removeprefix(prefix): v for k, v in crossed.items() if k.startswith(prefix)}
        areas = {area: v for area, v in mine.items() if not area.startswith("mask_")}
        across = crossed_values(areas)
        for name, of_classes in values.items():
            if prefix + name in drawn:
                tables[prefix + name] = ClassTable(
                    name=name,
                    values=of_classes,
                    halves=np.concatenate(drawn[prefix + name]).astype(np.float64),
                    crossed=across.get(name),
                    num_images=counts[name],
                )
    return Samples(tables, analysis.metrics)


def estimates(samples: Samples) -> dict[str, Estimate | None]:
    """Return every measure with its interval; None where it is undefined."""
    with warnings.catch_warnings():
        # Classes that no half defines are left out on purpose.
        warnings.simplefilter("ignore", RuntimeWarning)
        return {name: estimate(table) for name, table in samples.tables.items()}


def intervals(samples: Samples) -> dict[str, Interval]:
    """Return the 95% interval of every measure; None where it is undefined."""
    return ends(estimates(samples), samples.metrics)


def difference_estimates(first: Samples, second: Samples) -> dict[str, Estimate | None]:
    """Return second minus first of the measures that both have, with intervals."""
    common = [name for name in second.tables if name in first.tables]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return {n: difference_estimate(first.tables[n], second.tables[n]) for n in common}


def difference_intervals(first: Samples, second: Samples) -> dict[str, Interval]:
    """Return the 95% intervals of second minus first."""
    return ends(difference_estimates(first, second), {})


def ends(found: Mapping[str, Estimate | None], values: Mapping[str, Number]) -> dict[str, Interval]:
    """Return the intervals of estimates, with the files' own values in them.

    Args:
        found: Estimates by measure.
        values: What the files are reported with: ties may be ordered otherwise there.
    """
    return {name: _ends(e, values.get(name)) for name, e in found.items()}


def difference(first: Analysis, second: Analysis) -> dict[str, Number]:
    """Return second minus first of all measures that both have; None where one is undefined."""
    common = [n for n in second.metrics if n in first.metrics and not n.startswith("num_")]
    values: dict[str, Number] = {}
    for name in common:
        a, b = first.metrics[name], second.metrics[name]
        values[name] = None if a is None or b is None else b - a
    return values


def _ends(found: Estimate | None, value: Number) -> Interval:
    if found is None:
        return None
    if value is None:
        return found.low, found.high
    return min(found.low, value), max(found.high, value)
