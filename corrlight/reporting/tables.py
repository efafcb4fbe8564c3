"""Tables from run folders: for the terminal, as Markdown and as CSV.

Every measure is printed times 100, as the thesis prints it, the correlations too. A dash stands for
a measure that is undefined or was not taken.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from corrlight.json_files import as_number
from corrlight.metrics.direction import better_direction
from corrlight.reporting.names import ERROR_TYPES
from corrlight.reporting.runs import Run, group_seeds, run_names

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = [
    "COLUMNS",
    "Comparison",
    "Row",
    "Value",
    "compare_runs",
    "render_csv",
    "render_markdown",
    "render_rich",
    "run_table",
]

COLUMNS = ("AP", "AP50", "AP75", "beta_img", "beta_cls")
DASH = "-"

_PAIRS_PER_LINE = 3
_FINAL_MEASURES = (
    ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    ("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
    ("oLRP", "oLRP_Loc", "oLRP_FP", "oLRP_FN"),
    ("beta_img", "beta_img_ranking", "beta_cls"),
    ("AP_lower_cls", "AP_upper_cls", "AP_lower_img", "AP_upper_img"),
    tuple(f"dAP_{name}" for name in ERROR_TYPES),
    ("mask_AP", "mask_AP50", "mask_AP75", "mask_oLRP", "mask_beta_cls"),
)


@dataclass(frozen=True, slots=True)
class Value:
    """A measure over the runs of a row, as fractions.

    Attributes:
        median: Median of the runs in which it is defined; None if it is defined in none.
        low: Smallest value.
        high: Largest value.
        num_runs: Runs in which it is defined.
    """

    median: float | None
    low: float | None = None
    high: float | None = None
    num_runs: int = 0

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Value:
        """Summarise the values of some runs."""
        defined = [value for value in values if value is not None]
        if not defined:
            return cls(None)
        return cls(statistics.median(defined), min(defined), max(defined), len(defined))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a comparison.

    Attributes:
        name: What the runs have in common.
        num_runs: Runs (seeds) behind it; 0 for a difference.
        values: One a column.
    """

    name: str
    num_runs: int
    values: tuple[Value, ...]

    @property
    def is_difference(self) -> bool:
        """Whether the row is the difference of two others."""
        return self.num_runs == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A table of runs.

    Attributes:
        columns: Measures by their key in ``metrics.json``.
        rows: One a group of runs; with two groups a third row holds their difference.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def has_seeds(self) -> bool:
        """Whether any row stands for several seeds."""
        return any(row.num_runs > 1 for row in self.rows)


def compare_runs(runs: Sequence[Run], columns: Sequence[str] = COLUMNS) -> Comparison:
    """Return the table of some runs; runs that differ in the seed alone share a row.

    Args:
        runs: At least one run, in the order of the rows.
        columns: Keys of ``metrics.json``.

    Raises:
        ValueError: If ``runs`` is empty.
    """
    if not runs:
        raise ValueError("Expected `runs` to hold at least one run, but got none.")
    groups = group_seeds(runs)
    rows = [
        Row(
            name=name,
            num_runs=len(group),
            values=tuple(Value.of([run.value(column) for run in group]) for column in columns),
        )
        for name, group in zip(run_names(groups), groups, strict=True)
    ]
    if len(rows) == 2:
        rows.append(_difference(rows[0], rows[1]))
    return Comparison(columns=tuple(columns), rows=tuple(rows))


def _difference(first: Row, second: Row) -> Row:
    values = [
        Value(None if a.median is None or b.median is None else b.median - a.median)
        for a, b in zip(first.values, second.values, strict=True)
    ]
    return Row(name="difference", num_runs=0, values=tuple(values))


def render_rich(comparison: Comparison, title: str | None = None) -> RichTable:
    """Return the table for the terminal; the last line says what the numbers are."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, caption=_caption(comparison), caption_justify="left")
    for index, heading in enumerate(_header(comparison)):
        table.add_column(heading, justify="left" if index == 0 else "right", no_wrap=index > 0)
    for row in comparison.rows:
        # Text, not str: a run's name may hold brackets, which are markup to rich.
        cells = [Text(cell) for cell in _cells(comparison, row)]
        if row.is_difference:
            colours = map(_colour, comparison.columns, row.values)
            for cell, colour in zip(cells[-len(row.values) :], colours, strict=True):
                cell.stylize(colour)
        table.add_row(*cells, style="bold" if row.is_difference else None)
    return table


def render_markdown(comparison: Comparison) -> str:
    """Return the table as Markdown, with a line below that says what the numbers are."""
    header = _header(comparison)
    lines = [_markdown_line(header), _markdown_line(["---"] + ["---:"] * (len(header) - 1))]
    lines += [_markdown_line(_cells(comparison, row)) for row in comparison.rows]
    return "\n".join([*lines, "", _caption(comparison), ""])


def render_csv(comparison: Comparison) -> str:
    """Return the table as CSV: times 100, four digits, a dash where undefined.

    With several seeds a column ``X`` (median) is followed by ``X_min`` and ``X_max``.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    spread = comparison.has_seeds
    header = ["run", "num_runs"]
    for column in comparison.columns:
        header += [column, f"{column}_min", f"{column}_max"] if spread else [column]
    writer.writerow(header)
    for row in comparison.rows:
        line = [row.name, str(row.num_runs)]
        for value in row.values:
            numbers = [value.median, value.low, value.high] if spread else [value.median]
            line += [_number(number, 4) for number in numbers]
        writer.writerow(line)
    return out.getvalue()


def run_table(metrics: Mapping[str, Any], title: str | None = None) -> RichTable:
    """Return the final table of one run.

    A measure whose key is absent (not taken) is left out; one that is null is a dash.

    Args:
        metrics: The content of ``metrics.json``.
        title: Printed above the table.
    """
    from rich.table import Table

    table = Table(title=title, caption="times 100; -: undefined", caption_justify="left")
    for heading in ("measure", "value") * _PAIRS_PER_LINE:
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    for measures in _FINAL_MEASURES:
        present = [m for m in measures if m in metrics]
        for k in range(0, len(present), _PAIRS_PER_LINE):
            shown = present[k : k + _PAIRS_PER_LINE]
            cells = [cell for m in shown for cell in (m, _number(as_number(metrics[m]), 1))]
            table.add_row(*cells, end_section=k + _PAIRS_PER_LINE >= len(present))
    return table


def _colour(column: str, value: Value) -> str:
    """Return green for a difference that is an improvement, red for the contrary."""
    way = better_direction(column)
    if way is None or not value.median:
        return ""
    return "green" if (value.median > 0) == (way == "max") else "red"


def _header(comparison: Comparison) -> list[str]:
    return ["run", *(["seeds"] if comparison.has_seeds else []), *comparison.columns]


def _cells(comparison: Comparison, row: Row) -> list[str]:
    seeds = [str(row.num_runs or "")] if comparison.has_seeds else []
    return [row.name, *seeds, *(_cell(value, signed=row.is_difference) for value in row.values)]


def _cell(value: Value, signed: bool) -> str:
    text = _number(value.median, 1, signed=signed)
    if value.num_runs > 1:
        text += f" ({_number(value.low, 1)} to {_number(value.high, 1)})"
    return text


def _number(fraction: float | None, digits: int, signed: bool = False) -> str:
    if fraction is None:
        return DASH
    rounded = round(100 * fraction, digits) + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.{digits}f}"


def _caption(comparison: Comparison) -> str:
    parts = ["All values times 100"]
    if comparison.has_seeds:
        parts.append("median of the seeds (smallest to largest)")
    if any(row.is_difference for row in comparison.rows):
        of = "of the medians, " if comparison.has_seeds else ""
        parts.append(f"difference {of}second minus first")
    downwards = [c for c in comparison.columns if better_direction(c) == "min"]
    if downwards:
        parts.append(f"lower is better for {', '.join(downwards)}")
    if any(value.median is None for row in comparison.rows for value in row.values):
        parts.append("-: undefined or not measured")
    return "; ".join(parts) + "."


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
