"""Measures of every class as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corrlight.reporting.names import font_families, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["class_bars_figure"]

_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")  # Okabe and Ito
_MOST_CLASSES = 80


def class_bars_figure(
    per_class: Sequence[Mapping[str, Any]], measures: Sequence[str]
) -> Figure | None:
    """Return one panel of bars a measure, classes by its first measure, about 800 pixels wide.

    Args:
        per_class: Rows with ``name`` and the measures, None where undefined.
        measures: Columns to draw; those that no row defines are left out.

    Returns:
        The figure, or None without any defined value. Of more than 80 classes, those with most
        objects are shown.
    """
    shown = [m for m in measures if any(row.get(m) is not None for row in per_class)]
    if not shown:
        return None
    rows = list(per_class)
    if len(rows) > _MOST_CLASSES:
        rows = sorted(rows, key=lambda row: -int(row.get("num_objects") or 0))[:_MOST_CLASSES]
    rows.sort(key=lambda row: -1.0 if row.get(shown[0]) is None else row[shown[0]])
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(8.0, 0.17 * len(rows) + 0.9), layout=layout)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    at = np.arange(len(rows))
    for axis, measure, color in zip(axes, shown, _COLORS, strict=False):
        values = [row.get(measure) for row in rows]
        axis.barh(at, [0.0 if v is None else v for v in values], height=0.7, color=color)
        for y, value in zip(at, values, strict=True):
            if value is None:
                axis.text(0.0, y, " undefined", va="center", fontsize=6, color="#666666")
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(measure, fontsize=9)
        axis.grid(linewidth=0.4, alpha=0.4, axis="x")
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=8)
    names = [str(row.get("name", "")) for row in rows]
    shown_names = [plain(n if len(n) <= 22 else f"{n[:20]}..") for n in names]
    axes[0].set_yticks(at, shown_names, fontsize=7, fontfamily=font_families(names))
    axes[0].set_ylim(-0.7, len(rows) - 0.3)
    return figure
