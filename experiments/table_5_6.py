"""Table 5.6: the three correlation coefficients.

Run: ``python -m experiments.table_5_6 [--toy] [--dry-run] [run.py options ...]``
"""

import sys

from experiments.harness.command import main
from experiments.harness.row import with_spearman_rank
from experiments.harness.setting import ATSS, SPARSE_RCNN
from experiments.harness.table import Table, family
from experiments.harness.thesis_numbers import by_coefficient

TABLE = Table(
    name="table_5_6",
    title="Table 5.6: Pearson's coefficient beside the others",
    rows=with_spearman_rank(
        [
            *family(
                ATSS,
                by_coefficient("table_5_6", detector="atss"),
                {"pearson": None, "concordance": 0.3, "spearman": None},
            ),
            *family(
                SPARSE_RCNN,
                by_coefficient("table_5_6", detector="sparse_rcnn"),
                {"pearson": None, "concordance": 0.3, "spearman": 0.2},
            ),
        ]
    ),
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
