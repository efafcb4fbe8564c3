"""All analysed files together: what tables, figures and the report read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from corrlight.analysis.half_samples import Estimate
from corrlight.analysis.intervals import (
    Interval,
    Samples,
    difference,
    difference_estimates,
    ends,
    estimates,
)
from corrlight.analysis.paired import ClassTest, ImageCounts, class_tests, image_counts
from corrlight.analysis.results_file import Analysis
from corrlight.metrics.base import Number
from corrlight.metrics.errors.costs import SPECIAL
from corrlight.metrics.errors.types import ErrorType

__all__ = ["SECTIONS", "Comparison", "Difference", "compare", "shown_measures"]

# Share of classes without enough images above which simulated intervals held less than 90%.
_THIN = 1 / 3

_WHAT = {"": "boxes", "mask_": "masks"}

# Rows of the tables, by section; measures that no file has are left out.
SECTIONS: dict[str, tuple[str, ...]] = {
    "COCO": (
        *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
        *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
    ),
    "oLRP": (
        *("oLRP", "oLRP_Loc", "oLRP_FP", "oLRP_FN"),
        *("oLRP_small", "oLRP_medium", "oLRP_large"),
    ),
    "correlation": (
        *("beta_img", "beta_img_pearson", "beta_img_concordance"),
        *("beta_img_ranking", "beta_img_ranking_pearson", "beta_img_ranking_concordance"),
        *("beta_cls", "beta_cls_pearson", "beta_cls_concordance", "calibration_error"),
    ),
    "bounds": tuple(
        f"{ap}_{end}_{level}"
        for level in ("cls", "img")
        for ap in ("AP", "AP50", "AP75")
        for end in ("lower", "upper")
    ),
    "errors": (
        "AP_tide",
        *(f"dAP_{error.key}" for error in ErrorType),
        *(f"dAP_{name}" for name in SPECIAL),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A file compared with the first one.

    Attributes:
        name: "b - a".
        values: Second minus first.
        intervals: Their 95% intervals, where they were drawn.
        p_values: Of no difference, by measure; None where it is undefined.
        thin: Measures whose classes rest on too few images for their intervals to be relied on.
        classes: By measure, the classes that differ; empty without bootstrap.
        images: By prefix, in how many images which file errs less; empty without bootstrap.
    """

    name: str
    values: Mapping[str, Number]
    intervals: Mapping[str, Interval]
    p_values: Mapping[str, Number] = field(default_factory=dict)
    thin: frozenset[str] = frozenset()
    classes: Mapping[str, ClassTest] = field(default_factory=dict)
    images: Mapping[str, ImageCounts] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """Return what ``metrics.json`` has of it besides values and intervals."""
        return {
            "p_values": dict(self.p_values),
            "thin": sorted(self.thin),
            "classes": {name: asdict(test) for name, test in self.classes.items()},
            "images": {f"{prefix}images": asdict(c) for prefix, c in self.images.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that is reported.

    Attributes:
        ground_truth: The annotation file, as given.
        analyses: One a results file.
        intervals: For each of them 95% intervals by measure; empty without bootstrap.
        thin: For each of them the measures of which more than a third of the classes have no or
            fewer than three images: their intervals hold less than they say.
        differences: Of the others to the first.
        num_samples: Draws of the bootstrap; 0 without.
        class_names: By label.
        class_sizes: Objects of each class, crowds left out.
        notes: What was filled in or is unusual, one line each.
    """

    ground_truth: str
    analyses: Sequence[Analysis]
    intervals: Sequence[Mapping[str, Interval]]
    thin: Sequence[frozenset[str]]
    differences: Sequence[Difference]
    num_samples: int
    class_names: Sequence[str]
    class_sizes: Sequence[int]
    notes: Sequence[str]

    @property
    def prefixes(self) -> list[str]:
        """Empty for boxes, and "mask_" if all files have masks."""
        return [p for p in ("", "mask_") if all(p in a.prefixes for a in self.analyses)]

    @property
    def has_errors(self) -> bool:
        """Whether types of errors and confusion matrices were asked for."""
        return all(a.errors for a in self.analyses)

    def content(self) -> dict[str, Any]:
        """Return the content of ``metrics.json``.

        Of one file: its measures by plain name, and ``intervals`` and ``thin`` with a bootstrap.
        Of several: the same for each by its name under ``files``, and ``differences`` to the
        first, with ``p_values``, ``classes`` and ``images``.
        """
        drawn = self.num_samples > 0
        files = {
            a.name: {
                **a.metrics,
                **({"intervals": dict(found), "thin": sorted(thin)} if drawn else {}),
            }
            for a, found, thin in zip(self.analyses, self.intervals, self.thin, strict=True)
        }
        if len(files) == 1:
            return next(iter(files.values()))
        differences = {
            d.name: {
                **d.values,
                **({"intervals": dict(d.intervals), **d.content()} if drawn else {}),
            }
            for d in self.differences
        }
        return {"files": files, "differences": differences}

    def errors(self) -> dict[str, Any]:
        """Return the content of ``errors.json``: empty without ``--errors``.

        Of one file: ``boxes`` and, where there are masks, ``masks``, each with its confusion matrix
        and curves; of several the same for each by its name.
        """
        files = {
            a.name: {_WHAT[prefix]: view.content() for prefix, view in a.errors.items()}
            for a in self.analyses
            if a.errors
        }
        return next(iter(files.values())) if len(self.analyses) == 1 and files else files

    def matrix_rows(self) -> list[dict[str, Any]]:
        """Return the rows of ``confusion_matrix.csv``, with columns for file and boxes or masks."""
        return [
            {"file": a.name, "measured": _WHAT[prefix], **row}
            for a in self.analyses
            for prefix, view in a.errors.items()
            for row in view.rows()
        ]

    def per_class(self) -> list[dict[str, Any]]:
        """Return the rows of ``per_class.csv``; of several files with a column ``file`` first."""
        if len(self.analyses) == 1:
            return list(self.analyses[0].per_class)
        return [{"file": a.name, **row} for a in self.analyses for row in a.per_class]


def compare(
    ground_truth: str,
    analyses: Sequence[Analysis],
    samples: Sequence[Samples],
    num_samples: int,
    notes: Sequence[str] = (),
) -> Comparison:
    """Return the analysed files with intervals and differences to the first.

    Args:
        ground_truth: The annotation file.
        analyses: At least one.
        samples: Of :func:`corrlight.analysis.intervals.bootstrap`, or empty.
        num_samples: Draws.
        notes: About the ground truth.
    """
    first = analyses[0]
    class_names = [str(row["name"]) for row in first.per_class]
    found = [estimates(mine) for mine in samples]
    return Comparison(
        ground_truth=ground_truth,
        analyses=tuple(analyses),
        intervals=[ends(f, a.metrics) for f, a in zip(found, analyses, strict=True)]
        if found
        else [{} for _ in analyses],
        thin=[_thin(f) for f in found] or [frozenset() for _ in analyses],
        differences=[
            _difference(first, second, (samples[0], samples[k]) if samples else None, class_names)
            for k, second in enumerate(analyses[1:], 1)
        ],
        num_samples=num_samples,
        class_names=class_names,
        class_sizes=[int(str(row["num_objects"])) for row in first.per_class],
        notes=[*notes, *(w for a in analyses for w in a.warnings)],
    )


def _difference(
    first: Analysis,
    second: Analysis,
    samples: tuple[Samples, Samples] | None,
    class_names: Sequence[str],
) -> Difference:
    name = f"{second.name} - {first.name}"
    values = difference(first, second)
    if samples is None:
        return Difference(name=name, values=values, intervals={})
    found = difference_estimates(*samples)
    return Difference(
        name=name,
        values=values,
        intervals=ends(found, values),
        p_values={measure: None if e is None else e.p for measure, e in found.items()},
        thin=_thin(found),
        classes=class_tests(*samples, found, class_names),
        images=image_counts(first, second),
    )


def _thin(found: Mapping[str, Estimate | None]) -> frozenset[str]:
    return frozenset(n for n, e in found.items() if e is not None and e.thin > _THIN)


def shown_measures(comparison: Comparison) -> dict[str, list[str]]:
    """Return the measures of each section that at least one file has, masks after boxes."""
    shown: dict[str, list[str]] = {}
    for prefix in ("", "mask_"):
        for section, names in SECTIONS.items():
            if section == "COCO":
                names = (*names, *_limited(comparison))
            present = [
                prefix + n
                for n in names
                if any(prefix + n in a.metrics for a in comparison.analyses)
            ]
            if present:
                shown[f"masks: {section}" if prefix else section] = present
    return shown


def _limited(comparison: Comparison) -> list[str]:
    """Return the measures at a limit of detections other than COCO's: AP_300 and its like."""
    names = (name for a in comparison.analyses for name in a.metrics)
    limited = [n for n in names if re.fullmatch(r"(AP|AP50|AP75|AR)_\d+", n)]
    return [n for n in dict.fromkeys(limited) if n not in SECTIONS["COCO"]]
