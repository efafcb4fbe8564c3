"""Two files on the same images: where they differ, class by class and image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr

from corrlight.analysis.half_samples import Estimate
from corrlight.analysis.intervals import Samples
from corrlight.analysis.results_file import Analysis
from corrlight.coco.types import Array

__all__ = [
    "ClassDifference",
    "ClassTest",
    "ImageCounts",
    "benjamini_hochberg",
    "class_tests",
    "image_counts",
]

RATE = 0.05
# Measures whose classes are compared.
_BY_CLASS = ("AP", "oLRP", "beta_cls")


@dataclass(frozen=True, slots=True)
class ClassDifference:
    """A class in which two files differ.

    Attributes:
        name: Of the class.
        difference: Second minus first.
        p: Of this class alone.
        q: Adjusted for the number of classes.
    """

    name: str
    difference: float
    p: float
    q: float


@dataclass(frozen=True, slots=True)
class ClassTest:
    """All classes of a measure.

    Attributes:
        num_tested: Classes in at least five images, defined in both files.
        real: Those that differ with a false discovery rate of 5%, by p.
    """

    num_tested: int
    real: tuple[ClassDifference, ...]


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """In how many images the second file has the smaller error, and the larger.

    Attributes:
        better: Images.
        worse: Images.
        equal: Images; those without objects and detections are not counted.
        p: Of the sign test, None without any image that differs.
    """

    better: int
    worse: int
    equal: int
    p: float | None


def benjamini_hochberg(p: Array) -> Array:
    """Return ``(N,)`` p values adjusted for their number; NaN stays and does not count.

    Those at or below a rate hold at most that share of false discoveries in the mean (Benjamini
    and Hochberg, 1995).
    """
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return adjusted


def class_tests(
    first: Samples,
    second: Samples,
    estimates: Mapping[str, Estimate | None],
    class_names: Sequence[str],
) -> dict[str, ClassTest]:
    """Return in which classes two files differ, by measure.

    Args:
        first: Of one file.
        second: Of the other.
        estimates: Their differences.
        class_names: By label.
    """
    found: dict[str, ClassTest] = {}
    for name, estimate in estimates.items():
        if name.removeprefix("mask_") not in _BY_CLASS:
            continue
        if estimate is None or estimate.class_p is None:
            continue
        values = second.tables[name].values - first.tables[name].values
        p = estimate.class_p
        q = benjamini_hochberg(p)
        real = [
            ClassDifference(class_names[k], float(values[k]), float(p[k]), float(q[k]))
            for k in np.argsort(p, kind="stable").tolist()
            if q[k] <= RATE
        ]
        found[name] = ClassTest(int((~np.isnan(p)).sum()), tuple(real))
    return found


def image_counts(first: Analysis, second: Analysis) -> dict[str, ImageCounts]:
    """Return in how many images the second file errs less, by prefix ("", "mask_").

    The error of an image is its LRP, every class cut at the threshold of its oLRP in that file.
    """
    counts: dict[str, ImageCounts] = {}
    for prefix in first.resampled:
        if prefix not in second.resampled:
            continue
        # An image without objects has an error only where something is found in it.
        a, b = (x.resampled[prefix].image_errors() for x in (first, second))
        change = np.where(np.isnan(a) & np.isnan(b), np.nan, np.nan_to_num(b) - np.nan_to_num(a))
        better, worse = int((change < -1e-12).sum()), int((change > 1e-12).sum())
        equal = int((~np.isnan(change)).sum()) - better - worse
        counts[prefix] = ImageCounts(better, worse, equal, _sign_test(better, worse))
    return counts


def _sign_test(better: int, worse: int) -> float | None:
    if better + worse == 0:
        return None
    return min(1.0, 2 * float(bdtr(min(better, worse), better + worse, 0.5)))
