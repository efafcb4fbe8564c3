"""Table 5.2: Sparse R-CNN in its stronger setting.

Run: ``python -m experiments.table_5_2 [--toy] [--dry-run] [run.py options ...]``
"""

import sys

from experiments.harness.command import main
from experiments.harness.row import with_spearman_rank
from experiments.harness.setting import SPARSE_RCNN_3X
from experiments.harness.table import Table, family
from experiments.harness.thesis_numbers import by_coefficient

TABLE = Table(
    name="table_5_2",
    title="Table 5.2: Sparse R-CNN with 36 epochs, 300 proposals, multi-scale training and crops",
    rows=with_spearman_rank(
        family(
            SPARSE_RCNN_3X,
            by_coefficient("table_5_2"),
            {"concordance": None, "spearman": None},
        )
    ),
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
