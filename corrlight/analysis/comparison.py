"""All analysed files together: what tables, figures and the report read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corrlight.analysis.intervals import (
    Interval,
    Samples,
    difference,
    difference_intervals,
    intervals,
)
from corrlight.analysis.results_file import Analysis
from corrlight.metrics.base import Number

__all__ = ["SECTIONS", "Comparison", "Difference", "compare", "shown_measures"]

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
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A file compared with the first one.

    Attributes:
        name: "b - a".
        values: Second minus first.
        intervals: Their 95% intervals, where they were drawn.
    """

    name: str
    values: Mapping[str, Number]
    intervals: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that is reported.

    Attributes:
        ground_truth: The annotation file, as given.
        analyses: One a results file.
        intervals: For each of them 95% intervals by measure; empty without bootstrap.
        differences: Of the others to the first.
        num_samples: Draws of the bootstrap; 0 without.
        class_names: By label.
        class_sizes: Objects of each class, crowds left out.
        notes: What was filled in or is unusual, one line each.
    """

    ground_truth: str
    analyses: Sequence[Analysis]
    intervals: Sequence[Mapping[str, Interval]]
    differences: Sequence[Difference]
    num_samples: int
    class_names: Sequence[str]
    class_sizes: Sequence[int]
    notes: Sequence[str]

    @property
    def prefixes(self) -> list[str]:
        """Empty for boxes, and "mask_" if all files have masks."""
        return [p for p in ("", "mask_") if all(p in a.prefixes for a in self.analyses)]

    def content(self) -> dict[str, Any]:
        """Return the content of ``metrics.json``.

        Of one file: its measures by plain name, and ``intervals`` with a bootstrap. Of several:
        the same for each by its name under ``files``, and ``differences`` to the first.
        """

        def entry(values: Mapping[str, Number], ends: Mapping[str, Interval]) -> dict[str, Any]:
            return {**values, **({"intervals": dict(ends)} if self.num_samples else {})}

        files = {
            a.name: entry(a.metrics, ends)
            for a, ends in zip(self.analyses, self.intervals, strict=True)
        }
        if len(files) == 1:
            return next(iter(files.values()))
        differences = {d.name: entry(d.values, d.intervals) for d in self.differences}
        return {"files": files, "differences": differences}

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
    given = list(samples) or [{} for _ in analyses]
    first = analyses[0]
    differences = [
        Difference(
            name=f"{a.name} - {first.name}",
            values=difference(first, a),
            intervals=difference_intervals(given[0], mine),
        )
        for a, mine in zip(analyses[1:], given[1:], strict=True)
    ]
    return Comparison(
        ground_truth=ground_truth,
        analyses=tuple(analyses),
        intervals=[intervals(mine) for mine in given],
        differences=differences,
        num_samples=num_samples,
        class_names=[str(row["name"]) for row in first.per_class],
        class_sizes=[int(str(row["num_objects"])) for row in first.per_class],
        notes=[*notes, *(w for a in analyses for w in a.warnings)],
    )


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
