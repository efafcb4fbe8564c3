"""Table 3.1: image-level correlation of ATSS with several losses, and AP bounds.

Run: ``python -m experiments.table_3_1 [--toy] [--dry-run] [run.py options ...]``
"""

import sys

from experiments.harness.bounds import bound_columns, bounds_picture
from experiments.harness.command import main
from experiments.harness.row import Row
from experiments.harness.setting import (
    ATSS,
    ATSS_ALRP,
    ATSS_AP,
    ATSS_CENTERNESS,
    ATSS_QFL,
    ATSS_RS,
    Setting,
)
from experiments.harness.table import Table
from experiments.harness.thesis_numbers import numbers

# Setting, and its line in the thesis.
ATSS_LINES: tuple[tuple[Setting, str, str], ...] = (
    (ATSS_AP, "ap", "none"),
    (ATSS, "focal", "none"),
    (ATSS_CENTERNESS, "focal", "centerness"),
    (ATSS_ALRP, "alrp", "none"),
    (ATSS_QFL, "qfl", "none"),
    (ATSS_RS, "rs", "none"),
)


TABLE = Table(
    name="table_3_1",
    title="Table 3.1: image-level correlation and AP bounds",
    columns=("AP", "AP50", "AP75", "beta_img", *bound_columns("img")),
    rows=tuple(
        Row(
            setting=setting,
            thesis=numbers("table_3_1", "img", detector="atss", loss=loss, aux_head=aux),
        )
        for setting, loss, aux in ATSS_LINES
    ),
    tested=True,
    draw=bounds_picture,
    notes=(
        "lower and upper: the class scores of each image's positives permuted against and by their "
        "IoU before post-processing.",
    ),
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
