"""The table of analysed files, for the terminal and for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corrlight.analysis.comparison import Comparison, shown_measures
from corrlight.analysis.intervals import Interval
from corrlight.metrics.base import Number

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Cells", "caption", "rich_table", "table_cells"]

# Section -> rows of a measure's name and the text of every column.
Cells = dict[str, list[tuple[str, list[str]]]]

_COUNTED = {"beta_img": "images", "beta_cls": "classes"}


def table_cells(comparison: Comparison) -> tuple[list[str], Cells]:
    """Return the column names and all cells: one column a file, then the differences."""
    header = [a.name for a in comparison.analyses] + [d.name for d in comparison.differences]
    cells: Cells = {}
    for section, names in shown_measures(comparison).items():
        cells[section] = []
        for name in names:
            own = [
                _cell(a.metrics.get(name), ends.get(name))
                for a, ends in zip(comparison.analyses, comparison.intervals, strict=True)
            ]
            other = [
                _cell(d.values.get(name), d.intervals.get(name), signed=True)
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
        parts.append(f"[95% interval of {comparison.num_samples} draws of the images]")
    for analysis in comparison.analyses:
        counts = [
            f"{name} over {analysis.metrics[f'num_{of}_{name}']} {of}"
            for name, of in _COUNTED.items()
            if f"num_{of}_{name}" in analysis.metrics
        ]
        total = f"{analysis.metrics['num_detections']:,} detections"
        parts.append(f"{analysis.name}: {total}, {', '.join(counts)}")
    return "; ".join(parts) + "."


def _cell(value: Number, ends: Interval, signed: bool = False) -> str:
    text = _number(value, signed)
    if ends is not None and value is not None:
        text += f" [{_number(ends[0], signed)}, {_number(ends[1], signed)}]"
    return text


def _number(value: Number, signed: bool) -> str:
    if value is None:
        return "-"
    rounded = round(100 * value, 2) + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.2f}"
