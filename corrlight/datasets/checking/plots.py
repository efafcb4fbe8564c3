"""Plots of a set: classes, sizes, objects of a picture, places of the objects."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from corrlight.coco.annotation_file.table import AnnotationTable
from corrlight.datasets.checking.check import SetCheck
from corrlight.reporting.names import font_families, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_plots"]

_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")  # Okabe and Ito
_MOST_CLASSES, _PLACES = 40, 32


def draw_plots(found: SetCheck) -> dict[str, tuple[str, bytes]]:
    """Return plots as SVG: name -> caption and drawing; none of a set without objects.

    Args:
        found: The result of a check.
    """
    if not any(numbers.num_objects for numbers in found.statistics.values()):
        return {}
    drawers = {
        "classes": ("Objects of each class.", _classes),
        "sizes": ("Sizes of the objects: square root of width x height, in pixels.", _sizes),
        "counts": ("Objects in a picture.", _counts),
        "places": ("Where the centres of the objects lie in their pictures.", _places),
    }
    return {name: (caption, _svg(draw(found), name)) for name, (caption, draw) in drawers.items()}


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, height), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.grid(linewidth=0.4, alpha=0.4)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8)
    return figure, axis


def _svg(figure: Figure, name: str) -> bytes:
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _classes(found: SetCheck) -> Figure:
    totals: dict[str, int] = {}
    for numbers in found.statistics.values():
        for name, count in numbers.classes.items():
            totals[name] = totals.get(name, 0) + count
    names = sorted(totals, key=lambda name: totals[name])[-_MOST_CLASSES:]
    figure, axis = _figure(0.2 * len(names) + 1.1)
    start = np.zeros(len(names))
    for color, (split, numbers) in zip(_cycled(), found.statistics.items(), strict=False):
        counts = np.array([numbers.classes.get(name, 0) for name in names])
        axis.barh(np.arange(len(names)), counts, left=start, color=color, label=split, height=0.75)
        start = start + counts
    shown = [plain(n if len(n) <= 26 else f"{n[:24]}..") for n in names]
    axis.set_yticks(np.arange(len(names)), shown, fontfamily=font_families(names))
    axis.set_xlabel("objects", fontsize=8)
    axis.legend(fontsize=8, loc="lower right")
    return figure


def _sizes(found: SetCheck) -> Figure:
    figure, axis = _figure(3.2)
    edges = {split: n.edges[n.edges > 0] for split, n in found.statistics.items()}
    known = np.concatenate(list(edges.values()))
    if len(known):
        low, high = np.log2(known.min()), np.log2(max(known.max(), known.min() * 2))
        bins = 2.0 ** np.linspace(low, high, 41)
        _steps(axis, edges, bins)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("pixels", fontsize=8)
    return figure


def _counts(found: SetCheck) -> Figure:
    figure, axis = _figure(3.2)
    counts = {split: n.per_image for split, n in found.statistics.items() if len(n.per_image)}
    most = max((int(c.max()) for c in counts.values()), default=0)
    width = max(1, -(-(most + 1) // 50))
    _steps(axis, counts, np.arange(0, most + width + 1, width) - 0.5)
    axis.set_xlabel("objects", fontsize=8)
    return figure


def _steps(axis: Axes, values: Mapping[str, Any], bins: Any) -> None:
    """Draw shares, so that a small split can be compared with a large one."""
    for color, (split, those) in zip(_cycled(), values.items(), strict=False):
        weights = np.full(len(those), 100 / max(1, len(those)))
        axis.hist(those, bins, weights=weights, histtype="step", color=color, label=split)
    axis.set_ylabel("% of the split", fontsize=8)
    axis.legend(fontsize=8)


def _places(found: SetCheck) -> Figure:
    figure, axis = _figure(3.6)
    total = np.zeros((_PLACES, _PLACES))
    for table in found.tables.values():
        total += _centres(table)
    image = axis.imshow(total, extent=(0, 1, 1, 0), cmap="viridis", aspect="auto")
    axis.grid(visible=False)
    axis.set_xlabel("share of the width", fontsize=8)
    axis.set_ylabel("share of the height", fontsize=8)
    figure.colorbar(image, ax=axis, label="objects")
    return figure


def _centres(table: AnnotationTable) -> Any:
    rows = np.flatnonzero(~table.invalid & (table.image_idx >= 0))
    sizes = table.sizes[table.image_idx[rows]]
    rows, sizes = rows[(sizes > 0).all(1)], sizes[(sizes > 0).all(1)]
    centres = (table.boxes[rows, :2] + table.boxes[rows, 2:] / 2) / np.maximum(sizes[:, ::-1], 1)
    unit = [[0, 1], [0, 1]]
    return np.histogram2d(centres[:, 1], centres[:, 0], _PLACES, unit)[0]


def _cycled() -> list[str]:
    return list(_COLORS) * 8
