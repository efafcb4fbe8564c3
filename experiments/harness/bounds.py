"""AP bounds in Tables 3.1 and 3.2: their columns and their picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.harness.picture import OURS, THESIS, legend, new_figure
from experiments.harness.table import title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.harness.collection import Collected
    from experiments.harness.table import Table

__all__ = ["bound_columns", "bounds_picture"]


def bound_columns(level: str) -> tuple[str, ...]:
    """Return the columns of the AP bounds of a level, ``img`` or ``cls``."""
    return tuple(
        f"{measure}_{end}_{level}"
        for end in ("lower", "upper")
        for measure in ("AP", "AP50", "AP75")
    )


def bounds_picture(table: Table, collected: Collected) -> Figure | None:
    """Return AP between its bounds, a line a row, and the correlation beside it.

    The thesis' numbers are hollow, below ours; a toy table has none of them, since its values
    belong to other data. Nothing is drawn while no row has run.
    """
    rows = [row for row in table.rows if row.key in collected.results]
    if not any(collected.results[row.key].num_runs for row in rows):
        return None
    lower, upper = (name for name in table.columns if name.startswith(("AP_lower", "AP_upper")))
    (beta,) = (name for name in table.columns if name.startswith("beta"))
    figure = new_figure(9.0, 1.3 + 0.27 * len(rows) * (1 if collected.toy else 1.5))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for place, row in enumerate(rows):
        ours = {
            name: None if (mean := collected.results[row.key].summary(name).mean) is None
            else 100 * mean
            for name in ("AP", lower, upper, beta)
        }  # fmt: skip
        printed = {} if collected.toy else row.thesis
        for values, height, color, fill in (
            (ours, place, OURS, OURS),
            (printed, place + 0.3, THESIS, "none"),
        ):
            low, middle, high = (values.get(name) for name in (lower, "AP", upper))
            if low is not None and high is not None:
                left.plot([low, high], [height] * 2, "-|", color=color, linewidth=2)
            _dot(left, middle, height, color, fill)
            _dot(right, values.get(beta), height, color, fill)
    left.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    left.invert_yaxis()
    left.set_xlabel("AP between its bounds (times 100)")
    right.set_xlabel(f"{beta} (times 100)")
    for axis in (left, right):
        axis.grid(linewidth=0.4, alpha=0.5)
        axis.tick_params(axis="x", labelsize=8)
    legend(figure, thesis=not collected.toy)
    figure.suptitle(title_of(table, collected), fontsize=10)
    return figure


def _dot(axis: Axes, value: float | None, place: float, color: str, fill: str) -> None:
    if value is not None:
        axis.plot(value, place, "o", color=color, markerfacecolor=fill)
