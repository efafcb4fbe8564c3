"""The table of analysed files, for the terminal and for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corrlight.analysis.comparison import Comparison, shown_measures
from corrlight.analysis.intervals import Interval
from corrlight.metrics.base import Number
from corrlight.metrics.errors.types import ErrorType

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Cells", "caption", "findings", "rich_table", "table_cells"]

# Section -> rows of a measure's name and the text of every column.
Cells = dict[str, list[tuple[str, list[str]]]]

# Classes that a line names.
_NAMED = 8
_COUNTED = {"beta_img": "images", "beta_cls": "classes"}


def table_cells(comparison: Comparison) -> tuple[list[str], Cells]:
    """Return the column names and all cells: one column a file, then the differences."""
    header = [a.name for a in comparison.analyses] + [d.name for d in comparison.differences]
    cells: Cells = {}
    for section, names in shown_measures(comparison).items():
        cells[section] = []
        for name in names:
            own = [
                _cell(a.metrics.get(name), ends.get(name), thin=name in thin)
                for a, ends, thin in zip(
                    comparison.analyses, comparison.intervals, comparison.thin, strict=True
                )
            ]
            other = [
                _cell(
                    d.values.get(name),
                    d.intervals.get(name),
                    d.p_values.get(name),
                    signed=True,
                    thin=name in d.thin,
                )
                for d in comparison.differences
            ]
            cells[section].append((name, own + other))
    return header, cells


def rich_table(comparison: Comparison) -> Table:
    """Return the table for the terminal."""
    from rich.table import Table
    from rich.text import Text

    header, cells = table_cells(comparison)
    table = Table(caption=caption(comparison), caption_justify="left")
    table.add_column("measure", no_wrap=True)
    for name in header:
        # Text, not str: a file's name may hold brackets, which are markup to rich.
        table.add_column(Text(name), justify="right", overflow="fold")
    for section in cells.values():
        for k, (name, row) in enumerate(section):
            table.add_row(name, *row, end_section=k == len(section) - 1)
    return table


def caption(comparison: Comparison) -> str:
    """Return what the numbers are, and how many images and classes define the correlations."""
    parts = ["All values times 100; -: undefined"]
    if comparison.num_samples:
        parts.append(f"[95% interval of {comparison.num_samples} draws of half of the images]")
        if any(comparison.thin) or any(d.thin for d in comparison.differences):
            parts.append(
                "~[...]: more than a third of the classes have fewer than three images, or none; "
                "the interval may hold less than 95%"
            )
    for analysis in comparison.analyses:
        counts = [
            f"{name} over {analysis.metrics[f'num_{of}_{name}']} {of}"
            for name, of in _COUNTED.items()
            if f"num_{of}_{name}" in analysis.metrics
        ]
        total = f"{analysis.metrics['num_detections']:,} detections"
        parts.append(f"{analysis.name}: {total}, {', '.join(counts)}")
    return "; ".join(parts) + "."


def findings(comparison: Comparison) -> list[str]:
    """Return what the differences are made of, one line each: classes, and images."""
    lines = []
    for d in comparison.differences:
        for measure, test in d.classes.items():
            named = ", ".join(
                f"{c.name} {_number(c.difference, signed=True)}" for c in test.real[:_NAMED]
            )
            more = f" and {len(test.real) - _NAMED} more" * (len(test.real) > _NAMED)
            lines.append(
                f"{d.name}: {measure} differs in {len(test.real)} of {test.num_tested} classes "
                f"(false discovery rate 5%){': ' * bool(named)}{named}{more}."
            )
        for prefix, images in d.images.items():
            p = "" if images.p is None else f" (sign test: p {_p_text(images.p)})"
            lines.append(
                f"{d.name}: {prefix.replace('_', ' ')}error smaller in {images.better:,} images, "
                f"larger in {images.worse:,}, equal in {images.equal:,}{p}."
            )
    return lines + _error_lines(comparison)


def _error_lines(comparison: Comparison) -> list[str]:
    """Return how many errors of each type there are, and which classes are confused most."""
    lines = []
    for analysis in comparison.analyses:
        for prefix, view in analysis.errors.items():
            counts = (
                f"{t.key} {analysis.metrics[f'{prefix}num_errors_{t.key}']:,}" for t in ErrorType
            )
            what = f"{analysis.name}{': masks' * bool(prefix)}"
            lines.append(f"{what}: errors: {', '.join(counts)}.")
            found, names = view.confusion, view.class_names
            pairs = [f"{names[a]} as {names[b]} {n:,}" for a, b, n in found.confusions()[:_NAMED]]
            if pairs:
                lines.append(
                    f"{what}: most confused (score from {found.min_score:g}, IoU from "
                    f"{found.min_iou:g}): {', '.join(pairs)}."
                )
    return lines


def _cell(
    value: Number,
    ends: Interval,
    p: Number = None,
    *,
    signed: bool = False,
    thin: bool = False,
) -> str:
    text = _number(value, signed)
    if ends is not None and value is not None:
        text += f" {'~' * thin}[{_number(ends[0], signed)}, {_number(ends[1], signed)}]"
        text += "" if p is None else f" p {_p_text(p)}"
    return text


def _p_text(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _number(value: Number, signed: bool) -> str:
    if value is None:
        return "-"
    rounded = round(100 * value, 2) + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.2f}"
