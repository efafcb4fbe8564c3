"""Section 5.5.3: what Correlation Loss costs in training time.

Run: ``python -m experiments.training_time [--toy] [--dry-run] [run.py options ...]``
"""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from experiments.harness.collection import Collected, Summary
from experiments.harness.command import main
from experiments.harness.grid import DASH, Grid
from experiments.harness.picture import OURS, hollow, legend, new_figure
from experiments.harness.row import Row, with_spearman_rank
from experiments.harness.setting import SPARSE_RCNN
from experiments.harness.table import Table, title_of
from experiments.harness.thesis_numbers import numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A few hundred iterations say how long one takes: the rows are short runs of their own, one after
# the other, with nothing beside them.
_SHORT = replace(
    SPARSE_RCNN,
    full=(*SPARSE_RCNN.full, "trainer.max_epochs=1", "trainer.limit_train_batches=300",
          "trainer.limit_val_batches=20"),
    toy=("detector=sparse_rcnn_small", "data=shapes", "trainer.max_epochs=1",
         "trainer.limit_train_batches=100", "trainer.limit_val_batches=2"),
    toy_minutes=0.5,
)  # fmt: skip
_BASE = Row(setting=_SHORT, thesis=numbers("section_5_5_3_training_time", correlation_loss="no"))
_WITH = numbers("section_5_5_3_training_time", correlation_loss="yes")


def _grid(table: Table, collected: Collected, digits: int) -> Grid:
    """Seconds of an iteration, and the share that the loss adds."""
    decimals = 3 if digits == 1 else 5
    base = _seconds(collected, _BASE)
    lines = []
    for row in table.rows:
        if row.key not in collected.results:
            continue
        own = _seconds(collected, row)
        added = None
        if row.baseline and own.mean is not None and base.mean is not None:
            added = own.mean / base.mean - 1
        printed = row.thesis.get("seconds_per_iteration")
        lines.append(
            (
                row.name,
                row.weight_text,
                DASH if own.mean is None else f"{own.mean:.{decimals}f}",
                DASH if printed is None else f"{printed:.2f}",
                DASH if added is None else f"{100 * added:+.1f}%",
                "+2.0%" if row.coefficient == "spearman" else DASH,
                # A short run is not meant to converge.
                "; ".join(collected.results[row.key].remarks(toy=False)),
            )
        )
    return Grid(
        title=title_of(table, collected),
        header=("method", "lambda", "s/iteration", "thesis", "added", "thesis", "remarks"),
        lines=tuple(lines),
        notes=table.notes,
    )


def _seconds(collected: Collected, row: Row) -> Summary:
    if row.key not in collected.results:
        return Summary(None)
    return collected.results[row.key].summary("seconds_per_iteration")


def _draw(table: Table, collected: Collected) -> "Figure | None":
    """Seconds of an iteration, a line a row; the thesis' only beside runs on COCO."""
    rows = [row for row in table.rows if row.key in collected.results]
    if not any(collected.results[row.key].num_runs for row in rows):
        return None
    figure = new_figure(6.5, 1.3 + 0.27 * len(rows))
    axis = figure.subplots()
    for place, row in enumerate(rows):
        own = _seconds(collected, row)
        if own.mean is not None:
            axis.errorbar(own.mean, place, xerr=own.deviation, fmt="o", color=OURS)
        printed = row.thesis.get("seconds_per_iteration")
        if printed is not None and not collected.toy:
            hollow(axis, printed, place)
    axis.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    axis.margins(y=0.15)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.1 * axis.get_xlim()[1])
    axis.set_xlabel("seconds of a training iteration")
    axis.grid(linewidth=0.4, alpha=0.5)
    axis.tick_params(axis="x", labelsize=8)
    legend(figure, thesis=not collected.toy)
    figure.suptitle(title_of(table, collected), fontsize=10)
    return figure


TABLE = Table(
    name="training_time",
    title="Section 5.5.3: seconds of a training iteration",
    columns=("seconds_per_iteration",),
    rows=with_spearman_rank(
        [
            _BASE,
            Row(setting=_SHORT, coefficient="concordance", weight=0.3, baseline=_BASE.key),
            Row(
                setting=_SHORT,
                coefficient="spearman",
                weight=0.2,
                thesis=_WITH,
                baseline=_BASE.key,
            ),
        ]
    ),
    at_once=1,
    grid=_grid,
    notes=(
        "Median wall time of an iteration without the wait for data, from environment.json; the "
        "rows run one after the other. The thesis' are of a V100.",
    ),
    draw=_draw,
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
