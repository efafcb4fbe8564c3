"""Table 5.8: AP of every class, of Sparse R-CNN without and with Correlation Loss.

Run: ``python -m experiments.table_5_8 [--toy] [--dry-run] [run.py options ...]``
"""

import statistics
import sys
from collections.abc import Mapping

from matplotlib.figure import Figure

from corrlight.runs.folder import RunFolder
from experiments.harness.collection import Collected
from experiments.harness.command import main
from experiments.harness.grid import DASH, Grid, number
from experiments.harness.picture import OURS, THESIS, new_figure
from experiments.harness.row import Row, with_spearman_rank
from experiments.harness.setting import SPARSE_RCNN
from experiments.harness.table import Table, standard_notes, title_of
from experiments.harness.thesis_numbers import records

_BASE = Row(setting=SPARSE_RCNN)
_LOSS = Row(setting=SPARSE_RCNN, coefficient="spearman", weight=0.2, baseline=_BASE.key)

# Class -> AP without and with the loss, as printed.
_PRINTED = {
    line["class"]: (float(line["ap_sparse_rcnn"]), float(line["ap_corr_sparse_rcnn"]))
    for line in records("table_5_8")
}


def class_ap(collected: Collected, key: str) -> dict[str, float]:
    """Return the AP of every class, a fraction, meaned over the seeds of a row."""
    found: dict[str, list[float]] = {}
    runs = collected.results[key].runs if key in collected.results else ()
    for run in runs:
        if run is not None:
            for line in RunFolder(run.path).read_csv("per_class.csv"):
                if line.get("AP"):
                    found.setdefault(line["name"], []).append(float(line["AP"]))
    return {name: statistics.fmean(values) for name, values in found.items()}


def improved(without: Mapping[str, float], with_loss: Mapping[str, float]) -> tuple[int, int]:
    """Return how many classes have a higher AP with the loss, and how many have both."""
    both = [name for name in without if name in with_loss]
    return sum(with_loss[name] > without[name] for name in both), len(both)


def _grid(table: Table, collected: Collected, digits: int) -> Grid:
    """One line a class: ours and the thesis' AP without and with the loss."""
    ours = {row.key: class_ap(collected, row.key) for row in table.rows}
    # In the thesis' order; classes of other data come after.
    names = [] if collected.toy else list(_PRINTED)
    names += [name for values in ours.values() for name in values if name not in names]
    header = ["class"]
    for row in table.rows:
        header += [row.name, *(["thesis"] if row.coefficient != "spearman_rank" else [])]
    lines = []
    for name in dict.fromkeys(names):
        line = [name]
        for row in table.rows:
            line.append(number(ours[row.key].get(name), digits))
            if row.coefficient != "spearman_rank":
                pair = _PRINTED.get(name)
                line.append(f"{pair[bool(row.weight)]:.1f}" if pair else DASH)
        printed = _PRINTED.get(name)
        line += [_gain(ours, name, digits), f"{printed[1] - printed[0]:+.1f}" if printed else DASH]
        lines.append(tuple(line))
    return Grid(
        title=title_of(table, collected),
        header=(*header, "gain", "thesis"),
        lines=tuple(lines),
        notes=(*standard_notes(table, collected), *_counts(table, collected, ours)),
        text_columns=1,
    )


def _gain(ours: Mapping[str, Mapping[str, float]], name: str, digits: int) -> str:
    without = ours.get(_BASE.key, {}).get(name)
    with_loss = ours.get(_LOSS.key, {}).get(name)
    if without is None or with_loss is None:
        return DASH
    return number(with_loss - without, digits, signed=True)


def _counts(
    table: Table, collected: Collected, ours: Mapping[str, Mapping[str, float]]
) -> list[str]:
    notes = ["Thesis: 64 of 80 classes improve."]
    for row in table.rows:
        more, both = improved(ours.get(_BASE.key, {}), ours[row.key])
        if row.baseline and both:
            notes.append(f"Ours, {row.name}: {more} of {both} classes improve.")
        remarks = collected.results[row.key].remarks(collected.toy)
        if remarks:
            notes.append(f"{row.name}: {'; '.join(remarks)}.")
    return notes


def _draw(table: Table, collected: Collected) -> Figure | None:
    """Gain of every class, sorted: ours, and beside it the thesis'."""
    without, with_loss = (class_ap(collected, row.key) for row in (_BASE, _LOSS))
    gains = {name: 100 * (with_loss[name] - without[name]) for name in without if name in with_loss}
    printed = {name: pair[1] - pair[0] for name, pair in _PRINTED.items()}
    panels = [(gains, OURS, title_of(table, collected))] if gains else []
    if not collected.toy:
        panels.append((printed, THESIS, "Thesis"))
    if not gains:
        return None
    figure = new_figure(9.0, 3.2 * len(panels))
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, (values, colour, title) in zip(axes, panels, strict=True):
        names = sorted(values, key=values.__getitem__)
        axis.bar(range(len(names)), [values[name] for name in names], color=colour)
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=5 if len(names) > 20 else 8)
        axis.axhline(0, color="grey", linewidth=0.8)
        axis.set_ylabel("gain in AP", fontsize=8)
        more = sum(value > 0 for value in values.values())
        axis.set_title(f"{title}: {more} of {len(values)} classes improve", fontsize=9)
    return figure


TABLE = Table(
    name="table_5_8",
    title="Table 5.8: AP of every class, without and with Correlation Loss",
    columns=("AP",),
    rows=with_spearman_rank([_BASE, _LOSS]),
    grid=_grid,
    draw=_draw,
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
