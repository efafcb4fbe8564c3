"""Figure 1.3: AP over beta_cls, and what Correlation Loss adds to three kinds of models.

Run: ``python -m experiments.figure_1_3 [--toy] [--dry-run] [run.py options ...]``
"""

import sys
from typing import TYPE_CHECKING

from experiments import table_5_1, table_5_3, table_5_4
from experiments.harness.collection import Collected
from experiments.harness.command import main
from experiments.harness.picture import OURS, THESIS, new_figure
from experiments.harness.row import Row, with_spearman_rank
from experiments.harness.table import Table, measure_of, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SCATTER = table_5_4.TABLE.rows
# Without and with the loss, as in the thesis: its best coefficient for each model.
_BARS = tuple(
    tuple(row for key in keys for row in table.rows if row.key == key)
    for table, *keys in (
        (table_5_1.TABLE, "atss-none", "atss-concordance"),
        (table_5_1.TABLE, "sparse_rcnn-none", "sparse_rcnn-spearman"),
        (table_5_3.TABLE, "yolact-none", "yolact-spearman"),
    )
)


def _rows() -> tuple[Row, ...]:
    """The rows of both panels, a shared one once, with the numbers of both tables."""
    rows = {row.key: row for row in _SCATTER}
    for pair in _BARS:
        for row in pair:
            rows.setdefault(row.key, row)
    return with_spearman_rank(list(rows.values()))


def _draw(table: Table, collected: Collected) -> "Figure":
    """Ours above, the thesis below; each with its own axes, since toy rows are other data."""
    figure = new_figure(9.5, 7.0)
    axes = figure.subplots(2, 2, width_ratios=(3, 2))

    def ours(row: Row, measure: str) -> float | None:
        result = collected.results.get(row.key)
        mean = None if result is None else result.summary(measure).mean
        return None if mean is None else 100 * mean

    def printed(row: Row, measure: str) -> float | None:
        return row.thesis.get(measure)

    for line, (name, value) in enumerate((("ours", ours), ("thesis, COCO", printed))):
        _scatter(axes[line, 0], name, value)
        _bars(axes[line, 1], name, value)
    figure.suptitle(title_of(table, collected), fontsize=10)
    return figure


def _scatter(axis: "Axes", name: str, value: "Value") -> None:
    """AP over beta_cls: dots without, stars with Correlation Loss, joined for the same setting."""
    places: dict[str, tuple[float, float]] = {}
    for row in _SCATTER:
        beta, ap = value(row, "beta_cls"), value(row, "AP")
        if beta is None or ap is None:
            continue
        places[row.key] = beta, ap
        with_loss = row.weight is not None
        axis.plot(
            beta,
            ap,
            "*" if with_loss else "o",
            color="#009e73" if with_loss else "#d62728",
            markersize=11 if with_loss else 6,
        )
        # The arrow says whose star it is.
        if not with_loss:
            axis.annotate(
                row.name, (beta, ap), fontsize=6, xytext=(4, 3), textcoords="offset points"
            )
        if row.baseline in places:
            axis.annotate(
                "", (beta, ap), places[row.baseline], arrowprops={"arrowstyle": "->", "alpha": 0.4}
            )
    if not places:
        axis.text(0.5, 0.5, "not run", transform=axis.transAxes, ha="center")
    axis.margins(0.18)
    axis.set_xlabel("beta_cls (times 100)", fontsize=8)
    axis.set_ylabel("AP (times 100)", fontsize=8)
    axis.set_title(f"(a) {name}", fontsize=9)
    axis.grid(linewidth=0.4, alpha=0.5)
    axis.tick_params(labelsize=8)


def _bars(axis: "Axes", name: str, value: "Value") -> None:
    """AP (YOLACT: of masks) without and with the loss."""
    for place, pair in enumerate(_BARS):
        values = [value(row, measure_of(row, "AP")) for row in pair]
        for shift, ap, colour in zip((-0.19, 0.19), values, (THESIS, OURS), strict=True):
            if ap is not None:
                axis.bar(place + shift, ap, 0.36, color=colour)
        if None not in values:
            gain = float(values[1]) - float(values[0])  # type: ignore[arg-type]
            top = max(float(v) for v in values if v is not None)
            axis.text(place, top, f"{gain:+.1f}", ha="center", va="bottom", fontsize=9)
    axis.set_xticks(range(len(_BARS)), [pair[0].setting.name for pair in _BARS], fontsize=8)
    axis.set_ylabel("AP (times 100)", fontsize=8)
    axis.margins(y=0.3)  # The legend stands above the bars.
    axis.bar(0, 0, color=THESIS, label="without")
    axis.bar(0, 0, color=OURS, label="with Correlation Loss")
    axis.legend(fontsize=7, loc="upper right")
    axis.set_title(f"(b) {name}", fontsize=9)
    axis.tick_params(labelsize=8)


if TYPE_CHECKING:
    from collections.abc import Callable

    Value = Callable[[Row, str], float | None]

TABLE = Table(
    name="figure_1_3",
    title="Figure 1.3: AP and class-level correlation; gains of Correlation Loss",
    columns=("AP", "beta_cls"),
    rows=_rows(),
    draw=_draw,
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
