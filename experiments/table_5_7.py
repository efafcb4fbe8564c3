"""Table 5.7: the weight of Correlation Loss, lambda.

Run: ``python -m experiments.table_5_7 [--toy] [--dry-run] [run.py options ...]``
"""

import sys

from matplotlib.figure import Figure

from experiments.harness.collection import Collected
from experiments.harness.command import main
from experiments.harness.picture import OURS, THESIS, new_figure
from experiments.harness.row import Row, with_spearman_rank
from experiments.harness.setting import ATSS, ATSS_RS, SPARSE_RCNN, YOLACT, Setting
from experiments.harness.table import Table, measure_of, title_of
from experiments.harness.thesis_numbers import numbers

# The last column: what the thesis tried. The text adds that outside of it performance drops.
_WEIGHTS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
OURS_ONLY = (0.05, 0.7, 1.0)
_LINES = (
    (ATSS, "atss", "focal", "concordance"),
    (ATSS_RS, "atss", "rs", "concordance"),
    (SPARSE_RCNN, "sparse_rcnn", "focal", "spearman"),
    (YOLACT, "yolact", "default", "concordance"),
)


def _thesis(setting: Setting, detector: str, loss: str, weight: str) -> dict[str, float]:
    found = numbers("table_5_7", detector=detector, loss=loss, **{"lambda": weight})
    return {setting.prefix + measure: value for measure, value in found.items()}


def _rows() -> list[Row]:
    rows = []
    for setting, detector, loss, coefficient in _LINES:
        base = Row(setting=setting, thesis=_thesis(setting, detector, loss, "0"))
        rows.append(base)
        for weight in _WEIGHTS:
            printed = {} if weight in OURS_ONLY else _thesis(setting, detector, loss, f"{weight:g}")
            rows.append(
                Row(
                    setting=setting,
                    coefficient=coefficient,
                    weight=weight,
                    thesis=printed,
                    suffix=f"{weight:g}",
                    baseline=base.key,
                )
            )
    return rows


def _draw(table: Table, collected: Collected) -> Figure | None:
    """AP over lambda, one panel a model."""
    if not collected.runs:
        return None
    figure = new_figure(9.0, 6.5)
    axes = figure.subplots(2, 2, sharex=True)
    for axis, (setting, *_, coefficient) in zip(axes.flat, _LINES, strict=True):
        rows = [row for row in table.rows if row.setting is setting]
        lines = ((coefficient, OURS, "o-"), ("spearman_rank", "#009e73", "s-"))
        for name, colour, style in lines:
            points = [
                (row.weight or 0.0, collected.results[row.key].summary(measure_of(row, "AP")))
                for row in rows
                if row.coefficient in (name, "none") and row.key in collected.results
            ]
            points = [(weight, summary) for weight, summary in points if summary.mean is not None]
            if len(points) > 1 and any(row.coefficient == name for row in rows):
                deviations = [100 * (summary.deviation or 0.0) for _, summary in points]
                axis.errorbar(
                    [weight for weight, _ in points],
                    [100 * (summary.mean or 0.0) for _, summary in points],
                    yerr=deviations if any(deviations) else None,  # Of one seed there is none.
                    fmt=style,
                    color=colour,
                    label=f"ours, {name}",
                    markersize=4,
                )
        printed = [
            (row.weight or 0.0, row.thesis[measure_of(row, "AP")]) for row in rows if row.thesis
        ]
        if not collected.toy:
            axis.plot(*zip(*printed, strict=True), "D--", color=THESIS, mfc="none", label="thesis")
        axis.axvspan(0.1, 0.5, color="grey", alpha=0.12, linewidth=0)
        axis.set_title(f"{setting.name}, {coefficient}", fontsize=9)
        axis.grid(linewidth=0.4, alpha=0.5)
        axis.tick_params(labelsize=8)
        axis.legend(fontsize=8)
    figure.supxlabel("lambda (grey: the range of the thesis)", fontsize=9)
    figure.supylabel("AP (times 100; YOLACT: masks)", fontsize=9)
    figure.suptitle(title_of(table, collected), fontsize=10)
    return figure


TABLE = Table(
    name="table_5_7",
    title="Table 5.7: the weight of Correlation Loss",
    columns=("AP",),
    rows=with_spearman_rank(_rows()),
    notes=(
        "YOLACT's AP is that of masks.",
        "lambda 0.05, 0.7 and 1 are rows of ours: the thesis says that outside of 0.1 to 0.5 "
        "performance drops.",
    ),
    draw=_draw,
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
