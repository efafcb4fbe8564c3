"""Table 2.1: methods that enforce correlation, with the parameters that each adds measured.

Run: ``python -m experiments.table_2_1``
"""

import sys
from collections.abc import Sequence
from functools import cache

import torch
from matplotlib.figure import Figure

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from experiments.harness.collection import Collected
from experiments.harness.command import main
from experiments.harness.grid import DASH, Grid
from experiments.harness.picture import OURS, new_figure
from experiments.harness.table import Table
from experiments.harness.thesis_numbers import records

# The thesis' method, and what turns it on: the same detector with and without is counted.
METHODS: dict[str, tuple[str, ...]] = {
    "Using Aux Head": ("detector.aux_head=centerness",),
    "Quality Focal Loss": ("loss=quality_focal",),
    "aLRP Loss": ("loss=alrp",),
    "RS Loss": ("loss=rank_sort",),
    "Correlation Loss": ("corr=concordance",),
}
_WITHOUT = ("detector.aux_head=none", "loss=focal", "corr=none")
# Detectors that enforce correlation by what they are; the thesis has them in Table 5.5 alone.
DETECTORS: dict[str, str] = {
    "FCOS, centerness": "fcos",
    "GFL": "gfl",
    "GFLv2": "gflv2",
    "VFNet": "vfnet",
    "TOOD": "tood",
}


def num_parameters(detector: str, options: Sequence[str]) -> int:
    """Return the learnable parameters of a detector, criterion and losses included."""
    composed = compose_config([f"detector={detector}", "backbone.weights=null", *options])
    # Shapes are enough.
    with torch.device("meta"):
        return sum(p.numel() for p in build_module(composed.config).parameters())


@cache
def added_parameters(method: str, detector: str = "atss") -> int:
    """Return the learnable parameters that a method adds to a detector."""
    key = METHODS[method][0].partition("=")[0]
    base = [option for option in _WITHOUT if not option.startswith(f"{key}=")]
    base_count = num_parameters(detector, _WITHOUT)
    return num_parameters(detector, [*base, *METHODS[method]]) - base_count


@cache
def added_by_detector(name: str, small: bool = False) -> tuple[int, int]:
    """Return what a detector has more than ATSS without a head, and what Correlation Loss adds.

    Args:
        name: One of ``DETECTORS``.
        small: Of the small variants.
    """
    base, detector = (f"{d}{'_small' if small else ''}" for d in ("atss", DETECTORS[name]))
    without = num_parameters(detector, ["corr=none"])
    with_loss = num_parameters(detector, METHODS["Correlation Loss"])
    return without - num_parameters(base, _WITHOUT), with_loss - without


def _grid(table: Table, collected: Collected, digits: int) -> Grid:
    lines = []
    for line in records("table_2_1"):
        method = line["method"]
        counted = f"{added_parameters(method):,}"
        # The thesis asks for "additional learnable parameters?" and ticks the methods without.
        adds = {"yes": "no", "no": "yes"}[line["no_additional_learnable_parameters"]]
        lines.append((method, adds, counted, line["plug_in"], line["nms_based"], line["nms_free"]))
    for name in DETECTORS:
        more, by_loss = added_by_detector(name)
        lines.append((f"{name} (ours)", DASH, f"{more:,}", DASH, DASH, DASH))
        lines.append(
            (f"{name} + Correlation Loss (ours)", DASH, f"{more + by_loss:,}", *[DASH] * 3)
        )
    return Grid(
        title=table.title,
        header=("method", "adds parameters (thesis)", "parameters added to ATSS-R50 (measured)",
                "plug-in (thesis)", "on NMS-based (thesis)", "on NMS-free (thesis)"),
        lines=tuple(lines),
        notes=table.notes,
        text_columns=1,
    )  # fmt: skip


def _draw(table: Table, collected: Collected) -> Figure:
    """Parameters that each method adds, a bar a method; nothing is nothing."""
    counts = {line["method"]: added_parameters(line["method"]) for line in records("table_2_1")}
    figure = new_figure(6.5, 1.2 + 0.3 * len(counts))
    axis = figure.subplots()
    axis.barh(range(len(counts)), list(counts.values()), color=OURS)
    for place, count in enumerate(counts.values()):
        axis.annotate(
            f"{count:,}",
            (count, place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axis.set_yticks(range(len(counts)), list(counts), fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_xlabel("learnable parameters added to ATSS-R50 (measured)", fontsize=9)
    axis.tick_params(axis="x", labelsize=8)
    figure.suptitle(table.title, fontsize=10)
    return figure


TABLE = Table(
    name="table_2_1",
    title="Table 2.1: methods that enforce correlation",
    rows=(),
    grid=_grid,
    draw=_draw,
    notes=(
        "Measured: learnable parameters of ATSS-R50 (one anchor a cell) with the method, less "
        "those without it. A running state such as aLRP's balance is no learnable parameter.",
        "Detectors (ours): learnable parameters of the whole detector with ResNet-50, less those "
        "of ATSS without a head.",
    ),
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
