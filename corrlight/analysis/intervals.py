"""Confidence intervals of measures and of their differences, by drawing images again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from corrlight.analysis.results_file import Analysis
from corrlight.metrics.base import Number
from corrlight.metrics.functional.resampling import bootstrap_weights, interval

__all__ = ["Interval", "bootstrap", "difference", "difference_intervals", "intervals"]

Interval = tuple[float, float] | None
# Values of a measure in all samples, by name.
Samples = dict[str, list[float]]


def bootstrap(
    analyses: Sequence[Analysis],
    num_images: int,
    num_samples: int,
    seed: int = 0,
    step: Callable[[], None] = lambda: None,
) -> list[Samples]:
    """Return the measures of every file in ``num_samples`` draws of the images.

    All files are measured on the same draws, so differences are paired.

    Args:
        analyses: Analysed with ``resample=True``.
        num_images: Images of the ground truth.
        num_samples: How often the images are drawn.
        seed: Of the draws.
        step: Called after each draw.
    """
    rng = np.random.default_rng(seed)
    samples: list[Samples] = [{} for _ in analyses]
    for _ in range(num_samples):
        weights = bootstrap_weights(num_images, rng)
        for analysis, mine in zip(analyses, samples, strict=True):
            for prefix, measures in analysis.resampled.items():
                for name, value in measures(weights).items():
                    mine.setdefault(prefix + name, []).append(value)
        step()
    return samples


def intervals(samples: Samples) -> dict[str, Interval]:
    """Return the 95% percentile interval of every measure; None where it is undefined."""
    return {name: interval(values) for name, values in samples.items()}


def difference_intervals(first: Samples, second: Samples) -> dict[str, Interval]:
    """Return the intervals of second minus first, draw by draw."""
    common = [name for name in second if name in first]
    return {n: interval(np.subtract(second[n], first[n])) for n in common}


def difference(first: Analysis, second: Analysis) -> dict[str, Number]:
    """Return second minus first of all measures that both have; None where one is undefined."""
    common = [n for n in second.metrics if n in first.metrics and not n.startswith("num_")]
    values: dict[str, Number] = {}
    for name in common:
        a, b = first.metrics[name], second.metrics[name]
        values[name] = None if a is None or b is None else b - a
    return values
