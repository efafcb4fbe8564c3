"""Figure 2.2: the score of every final detection against its best IoU with a same-class object."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from corrlight.atomic import atomic_path
from corrlight.reporting.best_iou import Array
from corrlight.reporting.names import font_families, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

__all__ = ["ScoreIoU", "plot_score_iou", "read_score_iou", "score_iou_figure"]

_PANELS_PER_ROW = 3
_BINS = 60
# Beyond so many dots, one of each place is drawn; a place is smaller than a dot of any panel.
_MOST_DOTS = 50_000
_PLACES = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreIoU:
    """The dots of one panel.

    Attributes:
        scores: ``(D,)`` scores of all final detections of the evaluation.
        best_ious: ``(D,)`` their best IoU with an object of the same class, 0 without one.
        labels: ``(D,)`` their classes.
        name: Title of the panel.
        values: Numbers written below the title; None is written as a dash.
    """

    scores: Array
    best_ious: Array
    labels: Array
    name: str = ""
    values: dict[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {len(self.scores), len(self.best_ious), len(self.labels)}
        if len(lengths) != 1:
            raise ValueError(
                "Expected `scores`, `best_ious` and `labels` to have one length, but got "
                f"{len(self.scores)}, {len(self.best_ious)} and {len(self.labels)}."
            )


def read_score_iou(
    path: str | Path, name: str = "", values: dict[str, float | None] | None = None
) -> ScoreIoU:
    """Return the dots stored in a run folder's ``score_iou.npz``.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no such file, or one of its arrays is missing.
    """
    with np.load(path, allow_pickle=False) as arrays:
        missing = sorted({"scores", "best_ious", "labels"} - set(arrays.files))
        if missing:
            raise ValueError(f"Expected arrays `{'`, `'.join(missing)}` in {path}, but got none.")
        scores, best_ious, labels = (arrays[k] for k in ("scores", "best_ious", "labels"))
    return ScoreIoU(
        scores=scores, best_ious=best_ious, labels=labels, name=name, values=values or {}
    )


def score_iou_figure(panels: Sequence[ScoreIoU]) -> Figure:
    """Return Figure 2.2 with one panel a run, about 800 pixels wide at 100 dots an inch.

    Dots are coloured by the number of detections around them on one scale for all panels, so dense
    regions stay readable whatever the number of detections.

    Args:
        panels: At least one run.

    Raises:
        ValueError: If ``panels`` is empty.
    """
    if not panels:
        raise ValueError("Expected `panels` to hold at least one run, but got none.")
    # Figure without pyplot: no backend is chosen and nothing global changes.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    columns = min(len(panels), _PANELS_PER_ROW)
    rows = math.ceil(len(panels) / columns)
    side = 7.2 / max(columns, 2)
    titles = [_title(panel, 84 // columns) for panel in panels]
    title_height = 0.17 * max(title.count("\n") + 1 for title in titles)
    height = rows * (0.91 * side + title_height + 0.25) + 0.4
    figure = Figure(figsize=(columns * side + 0.9, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    densities = [_local_counts(panel) for panel in panels]
    # Detections of nothing (IoU 0) pile up on one line and would leave no colours for the others.
    overlapping = [d[p.best_ious > 0] for p, d in zip(panels, densities, strict=True)]
    largest = max((float(d.max()) for d in overlapping if d.size), default=1.0)
    norm = LogNorm(1, max(largest, 10.0))
    dots = None
    for index, axis in enumerate(axes.flat):
        if index >= len(panels):
            axis.set_visible(False)
            continue
        drawn = _draw_panel(axis, panels[index], densities[index], norm)
        axis.set_title(titles[index], fontsize=9, fontfamily=font_families(titles))
        dots = drawn if drawn is not None else dots
        below = index + columns  # the panel under this one, if any
        axis.xaxis.set_tick_params(labelbottom=below >= len(panels))
    figure.supxlabel("score", fontsize=10)
    figure.supylabel("best IoU with a same-class object", fontsize=10)
    if dots is not None:
        bar = figure.colorbar(dots, ax=axes, shrink=0.85, pad=0.01, aspect=30, extend="max")
        bar.set_label("detections nearby", fontsize=9)
        bar.ax.tick_params(labelsize=8)
        if bar.solids is not None:
            bar.solids.set_alpha(1)
    return figure


def plot_score_iou(panels: Sequence[ScoreIoU], path: str | Path, dpi: int = 150) -> Path:
    """Draw Figure 2.2 for one or more runs, write it to ``path`` atomically and return the path."""
    figure = score_iou_figure(panels)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi)
    return Path(path)


def _local_counts(panel: ScoreIoU) -> Array:
    """Return for each dot the number of dots in its cell of a regular grid.

    Detections that overlap nothing of their class have a row of cells of their own.
    """
    scores, ious = (np.asarray(v, np.float64) for v in (panel.scores, panel.best_ious))
    column = np.clip((scores * _BINS).astype(np.int64), 0, _BINS - 1)
    row = np.where(ious > 0, 1 + np.clip((ious * _BINS).astype(np.int64), 0, _BINS - 1), 0)
    flat = row * _BINS + column
    counts: Array = np.bincount(flat, minlength=_BINS * (_BINS + 1))[flat]
    return counts


def _visible(panel: ScoreIoU) -> Array:
    """Return the rows of the dots to draw: of many in one place the first, as one hides another."""
    rows = np.arange(len(panel.scores))
    if len(rows) <= _MOST_DOTS:
        return rows
    place = np.round(_PLACES * np.asarray(panel.scores, np.float64)) * (_PLACES + 1)
    place += np.round(_PLACES * np.asarray(panel.best_ious, np.float64))
    first: Array = np.unique(place, return_index=True)[1]
    return first


def _draw_panel(
    axis: Axes, panel: ScoreIoU, density: Array, norm: Normalize
) -> PathCollection | None:
    """Draw one run; returns the dots, or None where there are none."""
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.set_xticks(np.linspace(0, 1, 6))
    axis.set_yticks(np.linspace(0, 1, 6))
    axis.tick_params(labelsize=8)
    axis.grid(linewidth=0.4, alpha=0.4)
    axis.set_axisbelow(True)
    if not len(panel.scores):
        axis.text(0.5, 0.5, "no detections", ha="center", va="center", fontsize=10)
        return None
    size = float(np.clip(6e3 / len(density), 2.0, 14.0))
    seen = _visible(panel)
    order = seen[np.argsort(density[seen], kind="stable")]  # dense dots on top
    dots = axis.scatter(
        panel.scores[order],
        panel.best_ious[order],
        c=density[order],
        s=size,
        cmap="viridis",
        norm=norm,
        alpha=0.7,
        linewidths=0,
        rasterized=True,
        clip_on=False,
    )
    axis.plot([0, 1], [0, 1], "--", color="#d55e00", linewidth=1.5)
    line = axis.text(0.92, 0.88, "y = x", color="#d55e00", fontsize=8, ha="center", va="top")
    line.set(rotation=45, rotation_mode="anchor")
    line.set_bbox({"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1})
    return dots


def _title(panel: ScoreIoU, width: int) -> str:
    """Return the panel's name on at most two lines with its values, times 100, below."""
    lines = textwrap.wrap(plain(panel.name), width, max_lines=2, placeholder=" ...")
    values = [
        f"{k} {'-' if v is None else format(100 * v, '.1f')}" for k, v in panel.values.items()
    ]
    lines += textwrap.wrap("   ".join(v.replace(" ", "\0") for v in values), width)
    return "\n".join(lines).replace("\0", " ")
