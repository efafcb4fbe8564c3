"""Figure 2.2: the score of every detection over its IoU, without and with a centerness head.

Run: ``python -m experiments.figure_2_2 [--toy] [--dry-run] [run.py options ...]``

The thesis shows FCOS, after Tian et al. (2019); here it is ATSS, whose head is the same, and a
third panel with Correlation Loss in its place.
"""

import sys
from typing import TYPE_CHECKING

from corrlight.reporting.compare import score_iou_panel
from corrlight.reporting.figures import score_iou_figure
from experiments.harness.collection import Collected
from experiments.harness.command import main
from experiments.harness.row import Row
from experiments.harness.setting import ATSS, ATSS_CENTERNESS
from experiments.harness.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _draw(table: Table, collected: Collected) -> "Figure | None":
    """One panel a row that has run."""
    panels = [
        score_iou_panel(run, collected.results[key].row.name) for key, run in collected.runs.items()
    ]
    return score_iou_figure(panels) if panels else None


TABLE = Table(
    name="figure_2_2",
    title="Figure 2.2: score and IoU of the detections of ATSS",
    columns=("AP", "beta_img", "beta_cls"),
    rows=(
        Row(setting=ATSS),
        Row(setting=ATSS_CENTERNESS, baseline="atss-none"),
        Row(setting=ATSS, coefficient="concordance", weight=0.3, baseline="atss-none"),
    ),
    draw=_draw,
    notes=("The thesis prints the figure without numbers.",),
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
