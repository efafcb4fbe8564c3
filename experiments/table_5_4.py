"""Table 5.4: ATSS with the methods that enforce correlation, and with Correlation Loss on top.

Run: ``python -m experiments.table_5_4 [--toy] [--dry-run] [run.py options ...]``
"""

import sys

from experiments.harness.command import main
from experiments.harness.row import NOT_PUBLISHED, Row
from experiments.harness.setting import ATSS, ATSS_CENTERNESS, ATSS_QFL, ATSS_RS, Setting
from experiments.harness.table import Table
from experiments.harness.thesis_numbers import numbers

# Setting, its line in the thesis, concordance's weight (None was not published).
_LINES: tuple[tuple[Setting, str, str, float | None], ...] = (
    (ATSS, "none", "focal", 0.3),
    (ATSS_CENTERNESS, "centerness", "focal", 0.2),
    (ATSS_QFL, "none", "qfl", None),
    (ATSS_RS, "none", "rs", 0.2),
)


def _row(setting: Setting, aux: str, loss: str, weight: float | None, with_loss: bool) -> Row:
    coefficient = "concordance" if with_loss else "none"
    base = Row(setting=setting)
    return Row(
        setting=setting,
        coefficient=coefficient,
        weight=(NOT_PUBLISHED if weight is None else weight) if with_loss else None,
        published=weight is not None or not with_loss,
        thesis=numbers("table_5_4", aux_head=aux, loss=loss, coefficient=coefficient),
        baseline=base.key if with_loss else None,
    )


TABLE = Table(
    name="table_5_4",
    title="Table 5.4: methods that enforce correlation, without and with Correlation Loss",
    columns=("AP", "AP50", "AP75", "oLRP", "beta_img", "beta_cls"),
    rows=tuple(_row(*line, with_loss) for with_loss in (False, True) for line in _LINES),
    notes=("Without a head or another loss ATSS has focal loss and no auxiliary head.",),
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
