"""The picture of a table: every row's main measure, and its gain over the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.harness.collection import Collected
from experiments.harness.table import Table, measure_of, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["OURS", "THESIS", "hollow", "legend", "new_figure", "standard_picture"]

OURS, THESIS = "#0072b2", "#d55e00"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches; no backend is chosen and nothing global changes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend(figure: Figure, thesis: bool) -> None:
    """Say below the panels what is ours, and what the thesis' if it is drawn."""
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], marker="o", linestyle="", color=OURS, label="ours")]
    if thesis:
        hollow = {"markerfacecolor": "none", "linestyle": "", "color": THESIS}
        marks.append(Line2D([], [], marker="D", **hollow, label="thesis (COCO)"))
    figure.legend(handles=marks, fontsize=8, ncols=2, loc="outside lower right")


def standard_picture(table: Table, collected: Collected) -> Figure | None:
    """Return one line a row: the first column, and beside it the gain over the row's baseline.

    Ours are dots with the standard deviation (gains: the 95% interval) over the seeds, the
    thesis' numbers are hollow. Of a toy table only the thesis' gains are drawn: its values belong
    to other data. Nothing is drawn while no row has run.
    """
    rows = [row for row in table.rows if row.key in collected.results]
    if not any(collected.results[row.key].num_runs for row in rows):
        return None
    gains = any(row.baseline is not None for row in rows)
    figure = new_figure(9.0 if gains else 6.5, 1.3 + 0.27 * len(rows))
    axes = figure.subplots(1, 2 if gains else 1, sharey=True, squeeze=False)[0]
    main = table.columns[0]
    for place, row in enumerate(rows):
        measure = measure_of(row, main)
        summary = collected.results[row.key].summary(measure)
        if summary.mean is not None:
            spread = None if summary.deviation is None else 100 * summary.deviation
            axes[0].errorbar(100 * summary.mean, place, xerr=spread, fmt="o", color=OURS)
        printed = row.thesis.get(measure)
        if printed is not None and not collected.toy:
            hollow(axes[0], printed, place)
        if row.baseline is None:
            continue
        gain = collected.gain(row, measure)
        if gain.mean is not None:
            axes[1].plot(100 * gain.mean, place, "o", color=OURS)
            if gain.low is not None and gain.high is not None:
                axes[1].plot([100 * gain.low, 100 * gain.high], [place] * 2, color=OURS)
        baseline = table.row(row.baseline)
        base = None if baseline is None else baseline.thesis.get(measure)
        if printed is not None and base is not None:
            hollow(axes[1], printed - base, place)
    axes[0].set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    axes[0].invert_yaxis()
    axes[0].set_xlabel(f"{main} (times 100)")
    if gains:
        axes[1].axvline(0, color="grey", linewidth=0.8)
        axes[1].set_xlabel(f"gain in {main} over the baseline")
    for axis in axes:
        axis.grid(linewidth=0.4, alpha=0.5)
        axis.tick_params(axis="x", labelsize=8)
    legend(figure, thesis=any(line.get_color() == THESIS for axis in axes for line in axis.lines))
    figure.suptitle(title_of(table, collected), fontsize=10)
    return figure


def hollow(axis: Axes, value: float, place: float) -> None:
    """Draw a number of the thesis."""
    axis.plot(value, place, "D", markerfacecolor="none", color=THESIS, markersize=6)
