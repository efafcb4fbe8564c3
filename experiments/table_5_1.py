"""Table 5.1: detectors without and with Correlation Loss.

Run: ``python -m experiments.table_5_1 [--toy] [--dry-run] [run.py options ...]``
"""

import sys

from experiments.harness.command import main
from experiments.harness.row import with_spearman_rank
from experiments.harness.setting import ATSS, FOVEABOX, PAA, RETINANET, SPARSE_RCNN
from experiments.harness.table import Table, family
from experiments.harness.thesis_numbers import by_coefficient

# Weights by coefficient; None was not published.
_WEIGHTS = (
    (RETINANET, {"concordance": None, "spearman": 0.1}),
    (FOVEABOX, {"concordance": 0.2, "spearman": None}),
    (ATSS, {"concordance": 0.3, "spearman": None}),
    (PAA, {"concordance": 0.3, "spearman": None}),
    (SPARSE_RCNN, {"concordance": 0.3, "spearman": 0.2}),
)

TABLE = Table(
    name="table_5_1",
    title="Table 5.1: NMS-based and NMS-free detectors without and with Correlation Loss",
    columns=("AP", "AP50", "AP75", "oLRP", "oLRP_Loc", "oLRP_FP", "oLRP_FN"),
    rows=with_spearman_rank(
        [
            row
            for setting, weights in _WEIGHTS
            for row in family(setting, by_coefficient("table_5_1", detector=setting.key), weights)
        ]
    ),
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
