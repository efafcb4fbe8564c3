"""Section 5.5.3: what Correlation Loss costs in training time.

Run: ``python -m experiments.training_time [--toy] [--dry-run] [run.py options ...]``
"""

import sys
from dataclasses import replace

from experiments.collection import Collected, Summary
from experiments.command import main
from experiments.grid import DASH, Grid
from experiments.row import Row, with_spearman_rank
from experiments.setting import SPARSE_RCNN
from experiments.table import Table, title_of
from experiments.thesis_numbers import numbers

# A few hundred iterations say how long one takes: the rows are short runs of their own, one after
# the other, with nothing beside them.
_SHORT = replace(
    SPARSE_RCNN,
    full=(*SPARSE_RCNN.full, "trainer.max_epochs=1", "trainer.limit_train_batches=300",
          "trainer.limit_val_batches=20"),
    toy=("detector=sparse_rcnn_small", "data=shapes", "trainer.max_epochs=1",
         "trainer.limit_train_batches=100", "trainer.limit_val_batches=2"),
    toy_minutes=0.8,
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
    draw=lambda table, collected: None,
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
