"""Section 5.5.4: which branch the gradients of Correlation Loss reach.

Run: ``python -m experiments.backprop_heads [--toy] [--dry-run] [run.py options ...]``
"""

import sys

from experiments.harness.command import main
from experiments.harness.row import Row, with_spearman_rank
from experiments.harness.setting import SPARSE_RCNN
from experiments.harness.table import Table
from experiments.harness.thesis_numbers import numbers

_BASE = Row(setting=SPARSE_RCNN)


def _row(backprop: str) -> Row:
    # The published loss reaches the classifier alone, and so shares its run with Table 5.1.
    default = backprop == "classification"
    return Row(
        setting=SPARSE_RCNN,
        coefficient="spearman",
        weight=0.2,
        thesis=numbers("section_5_5_4_backprop", backprop=backprop),
        options=() if default else (f"corr.backprop={backprop}",),
        suffix=backprop,
        label=f"{SPARSE_RCNN.name} + Spearman, gradients to {backprop}",
        baseline=_BASE.key,
    )


TABLE = Table(
    name="backprop_heads",
    title="Section 5.5.4: gradients of Correlation Loss through one or both branches",
    rows=with_spearman_rank([_BASE, *map(_row, ("localization", "both", "classification"))]),
    notes=("The thesis printed AP alone, and compares the three with each other.",),
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
