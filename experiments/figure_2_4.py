"""Figure 2.4: what the concordance coefficient sees, with our own coefficient.

Run: ``python -m experiments.figure_2_4``
"""

import sys
from typing import TYPE_CHECKING

from corrlight.losses import concordance
from experiments.figure_2_3 import coefficient_grid, draw_points
from experiments.harness.collection import Collected
from experiments.harness.command import main
from experiments.harness.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _draw(table: Table, collected: Collected) -> "Figure":
    return draw_points("Concordance is 1 on the line y = x alone", "gamma", concordance)


TABLE = Table(
    name="figure_2_4",
    title="Figure 2.4: the concordance correlation coefficient",
    rows=(),
    grid=lambda table, collected, digits: coefficient_grid(table.title),
    draw=_draw,
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
