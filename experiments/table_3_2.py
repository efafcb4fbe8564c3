"""Table 3.2: class-level correlation of several detectors, and AP bounds.

Run: ``python -m experiments.table_3_2 [--toy] [--dry-run] [run.py options ...]``
"""

import sys

from experiments.harness.bounds import bound_columns, bounds_picture
from experiments.harness.command import main
from experiments.harness.row import Row
from experiments.harness.setting import DETR, SPARSE_RCNN, Setting
from experiments.harness.table import Table
from experiments.harness.thesis_numbers import numbers
from experiments.table_3_1 import ATSS_LINES

_LINES: tuple[tuple[Setting, str, str, str], ...] = (
    (SPARSE_RCNN, "sparse_rcnn", "focal", "none"),
    (DETR, "detr", "softmax", "none"),
    *((setting, "atss", loss, aux) for setting, loss, aux in ATSS_LINES),
)

TABLE = Table(
    name="table_3_2",
    title="Table 3.2: class-level correlation and AP bounds",
    columns=("AP", "AP50", "AP75", "beta_cls", *bound_columns("cls")),
    rows=tuple(
        Row(
            setting=setting,
            thesis=numbers("table_3_2", "cls", detector=detector, loss=loss, aux_head=aux),
        )
        for setting, detector, loss, aux in _LINES
    ),
    tested=True,
    draw=bounds_picture,
    notes=(
        "lower and upper: the scores of each class's true positives (IoU 0.5) permuted against and "
        "by their IoU after post-processing.",
    ),
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
