"""A table of the thesis: its rows, and how what was measured is printed and drawn."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.harness.collection import Collected, Difference, Summary
from experiments.harness.grid import DASH, Grid, number
from experiments.harness.row import COEFFICIENTS, NOT_PUBLISHED, NOT_PUBLISHED_MARK, Row
from experiments.harness.setting import Setting

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from matplotlib.figure import Figure

__all__ = [
    "Table",
    "check_known",
    "family",
    "gain_cell",
    "measure_of",
    "standard_grid",
    "standard_notes",
    "thesis_cell",
    "title_of",
    "value_cell",
]

_PLUS_MINUS = "\u00b1"


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table or figure of the thesis.

    Attributes:
        name: Its module: ``table_5_1``.
        title: As printed.
        rows: The rows, in order.
        columns: Measures by their key in ``metrics.json``; ``prefix_ap`` rows read their own.
        tested: Whether every run is also tested with all measures (``mode=test metric=full``).
        at_once: Runs side by side at most; None leaves it to the machine.
        notes: Lines printed below.
        grid: How it is printed, where :func:`standard_grid` will not do.
        draw: Its picture, where the usual one will not do.
        add_options: Adds options of its own to the command line.
        choose: Returns the table for parsed options of its own.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    columns: tuple[str, ...] = ("AP", "AP50", "AP75")
    tested: bool = False
    at_once: int | None = None
    notes: tuple[str, ...] = ()
    grid: Callable[[Table, Collected, int], Grid] | None = None
    draw: Callable[[Table, Collected], Figure | None] | None = None
    add_options: Callable[[ArgumentParser], None] | None = None
    choose: Callable[[Table, Namespace], Table] | None = None

    def __post_init__(self) -> None:
        keys = [row.key for row in self.rows]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"Expected rows of {self.name} with different keys, but got {twice}.")

    def row(self, key: str | None) -> Row | None:
        """Return the row of this name, None where it was not selected."""
        return next((row for row in self.rows if row.key == key), None)

    def as_grid(self, collected: Collected, digits: int = 1) -> Grid:
        """Return what is printed."""
        return (self.grid or standard_grid)(self, collected, digits)


def check_known(kind: str, name: str, known: Collection[str], where: str) -> None:
    """Refuse a name that is none of ``known``.

    Args:
        kind: What it names, such as "row".
        name: As given.
        known: The names that there are.
        where: What has them.

    Raises:
        ValueError: The message has the nearest name.
    """
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1, cutoff=0)
    hint = f"Did you mean '{close[0]}'?" if close else "There is none."
    raise ValueError(f"Unknown {kind} '{name}' of {where}. {hint}")


def family(
    setting: Setting,
    numbers: Callable[[str], dict[str, float]],
    losses: Mapping[str, float | None],
) -> list[Row]:
    """Return a setting without Correlation Loss, and one row a coefficient compared with it.

    Args:
        setting: The detector.
        numbers: The thesis' numbers by coefficient.
        losses: Weight by coefficient; None was not published.
    """
    base = Row(setting=setting, thesis=numbers("none"))
    return [
        base,
        *(
            Row(
                setting=setting,
                coefficient=coefficient,
                weight=NOT_PUBLISHED if weight is None else weight,
                published=weight is not None,
                thesis=numbers(coefficient),
                baseline=base.key,
            )
            for coefficient, weight in losses.items()
        ),
    ]


def standard_grid(table: Table, collected: Collected, digits: int = 1) -> Grid:
    """Return one line a row: ours and the thesis' number of every measure, and the gain in AP."""
    with_weight = any(row.weight is not None for row in table.rows)
    with_gain = any(row.baseline is not None for row in table.rows)
    main = table.columns[0]
    header = ["method", *(["lambda"] if with_weight else [])]
    for column in table.columns:
        header += [column, "thesis"]
    header += [f"{main} gain", "thesis"] if with_gain else []
    lines = []
    for row in table.rows:
        if row.key not in collected.results:
            continue
        result = collected.results[row.key]
        line = [row.name, *([row.weight_text] if with_weight else [])]
        for column in table.columns:
            measure = measure_of(row, column)
            line += [value_cell(result.summary(measure), digits), thesis_cell(row, measure)]
        if with_gain:
            gain = collected.gain(row, measure_of(row, main))
            line += [gain_cell(gain, digits), _thesis_gain(table, row, measure_of(row, main))]
        lines.append((*line, "; ".join(result.remarks(collected.toy))))
    return Grid(
        title=title_of(table, collected),
        header=(*header, "remarks"),
        lines=tuple(lines),
        notes=standard_notes(table, collected),
        text_columns=2 if with_weight else 1,
        marks={NOT_PUBLISHED_MARK: "not published"},
    )


def measure_of(row: Row, column: str) -> str:
    """Return the key in ``metrics.json`` of a column: AP is that of masks for YOLACT."""
    return row.setting.prefix + column if column in ("AP", "AP50", "AP75") else column


def title_of(table: Table, collected: Collected) -> str:
    """Return the title; of a toy run it says so."""
    return f"{table.title} (toy: small variants, embedded shapes)" if collected.toy else table.title


def standard_notes(table: Table, collected: Collected) -> tuple[str, ...]:
    """Return what has to be said below the table."""
    shown = [collected.results[row.key] for row in table.rows if row.key in collected.results]
    notes = ["Ours come from run folders alone, times 100; `-` is not run, or undefined."]
    if collected.toy:
        notes.append(
            "The thesis' columns are COCO with the full detectors: a toy row is to be compared "
            "with its own baseline, not with them."
        )
    if any(len(result.runs) > 1 for result in shown):
        notes.append(
            f"Mean {_PLUS_MINUS} standard deviation over the seeds; gains are paired by seed, in "
            "brackets their 95% interval (Student's t)."
        )
    if any(not result.row.published for result in shown):
        notes.append(f"{NOT_PUBLISHED_MARK} not published: lambda {NOT_PUBLISHED} is ours.")
    if any(result.row.coefficient == "spearman" for result in shown):
        notes.append(
            "Spearman is the published loss, whose soft rank at strength 1.0 makes it Pearson's "
            f"(docs/losses.md); {COEFFICIENTS['spearman_rank']} does rank."
        )
    return (*notes, *table.notes)


def value_cell(summary: Summary, digits: int = 1) -> str:
    """Return a measure with its spread over the seeds."""
    text = number(summary.mean, digits)
    if summary.deviation is not None:
        text += f" {_PLUS_MINUS} {number(summary.deviation, digits)}"
    return text


def gain_cell(gain: Difference, digits: int = 1) -> str:
    """Return a difference with its interval."""
    text = number(gain.mean, digits, signed=True)
    if gain.low is not None:
        low, high = (number(end, digits, signed=True) for end in (gain.low, gain.high))
        text += f" [{low}, {high}]"
    return text


def thesis_cell(row: Row, measure: str) -> str:
    """Return the number that the thesis printed, a dash where it has none."""
    printed = row.thesis.get(measure)
    return DASH if printed is None else f"{printed:g}" if printed < 1 else f"{printed:.1f}"


def _thesis_gain(table: Table, row: Row, measure: str) -> str:
    baseline = table.row(row.baseline)
    base = None if baseline is None else baseline.thesis.get(measure)
    own = row.thesis.get(measure)
    return DASH if base is None or own is None else number((own - base) / 100, signed=True)
