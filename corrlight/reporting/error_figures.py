"""The AP that each type of error costs as bars, confusion matrices, and curves of every class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corrlight.reporting.best_iou import Array
from corrlight.reporting.names import ERROR_TYPES, font_families, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["confusion_figure", "error_types_figure", "pr_classes_figure"]

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_SPECIAL = ("false_positive", "false_negative")
_MOST_CLASSES = 40  # of a matrix: more names cannot be read
_MOST_COUNTS = 20  # of a matrix with counts in its cells
_MOST_LINES = 8  # curves with a name of their own


def error_types_figure(files: Mapping[str, Mapping[str, Any]], prefix: str = "") -> Figure | None:
    """Return bars of the AP that each type costs, times 100, about 800 pixels wide.

    Args:
        files: Measures (``dAP_...``) by what the legend calls them.
        prefix: Of the measures: "mask_" for masks.

    Returns:
        The figure, or None where nothing is defined.
    """
    costs = {
        name: {t: values.get(f"{prefix}dAP_{t}") for t in (*ERROR_TYPES, *_SPECIAL)}
        for name, values in files.items()
    }
    if all(v is None for found in costs.values() for v in found.values()):
        return None
    figure, axes = _new(8.0, 3.6, 1, 2, width_ratios=[3, 1.2])
    width = 0.8 / len(files)
    for axis, types in zip(axes, (ERROR_TYPES, _SPECIAL), strict=True):
        for i, (name, found) in enumerate(costs.items()):
            at = np.arange(len(types)) + (i - (len(files) - 1) / 2) * width
            values = [found[t] for t in types]
            heights = [0.0 if v is None else 100 * v for v in values]
            color = _COLORS[i % len(_COLORS)]
            axis.bar(at, heights, 0.92 * width, color=color, label=plain(name))
            for x, height, value in zip(at, heights, values, strict=True):
                text = "-" if value is None else f"{height:.1f}"
                axis.text(x, max(height, 0), text, ha="center", va="bottom", fontsize=7)
        axis.set_xticks(range(len(types)), [t.replace("_", "\n") for t in types], fontsize=8)
        axis.grid(visible=False, axis="x")
        axis.margins(y=0.12)
    axes[0].set_ylabel("AP at IoU 0.5 lost, times 100", fontsize=9)
    axes[0].tick_params(axis="x", rotation=20)
    if len(files) > 1:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def confusion_figure(
    counts: Array, names: Sequence[str], title: str = "", labels: Sequence[str] | None = None
) -> Figure:
    """Return a confusion matrix: colours are shares of the row, numbers are counts.

    Args:
        counts: ``(C + 1, C + 1)`` with background as last row and missed as last column. Of more
            than 40 classes those with most errors between classes are shown.
        names: C names.
        title: What stands above it.
        labels: C names as matplotlib can draw them; by default made from ``names``.
    """
    shown = np.arange(len(names))
    note = ""
    if len(names) > _MOST_CLASSES:
        between = counts[:-1, :-1] - np.diag(np.diag(counts)[:-1])
        errors = between.sum(0) + between.sum(1)
        most = np.argsort(-errors, kind="stable")[:_MOST_CLASSES]
        shown = np.sort(most)
        note = f"the {_MOST_CLASSES} of {len(names)} classes that are confused most"
    rows = np.append(shown, len(names))
    part = counts[np.ix_(rows, rows)]
    total = counts[rows].sum(1, keepdims=True)
    shares = np.divide(part, total, out=np.zeros(part.shape), where=total > 0)
    drawn = [plain(_short(n)) for n in names] if labels is None else list(labels)
    texts = [drawn[k] for k in shown.tolist()]
    side = min(9.0, 2.6 + 0.36 * len(rows)) if len(rows) <= _MOST_COUNTS else 8.6
    figure, (axis,) = _new(max(side, 3.8) + 0.9, max(side, 3.4))
    axis.grid(visible=False)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = 8 if len(rows) <= _MOST_COUNTS else 6
    families = font_families([*names, title])
    at = np.arange(len(rows))
    axis.set_xticks(at, [*texts, "missed"], rotation=90, fontsize=size, fontfamily=families)
    axis.set_yticks(at, [*texts, "background"], fontsize=size, fontfamily=families)
    if len(rows) <= _MOST_COUNTS:
        for y, x in zip(*np.nonzero(part), strict=True):
            color = "white" if shares[y, x] > 0.5 else "black"
            text = str(part[y, x])
            axis.text(x, y, text, ha="center", va="center", fontsize=7, color=color)
    # Background and missed are no classes.
    for line in (axis.axhline, axis.axvline):
        line(len(shown) - 0.5, color="#777777", linewidth=0.8)
    axis.set_xlabel("detected as", fontsize=9)
    axis.set_ylabel("object", fontsize=9)
    words = "\n".join(t for t in (plain(title), note) if t)
    if words:
        axis.set_title(words, fontsize=9, fontfamily=families)
    bar = figure.colorbar(image, ax=axis, shrink=0.7)
    bar.set_label("share of the row", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def pr_classes_figure(
    recall: Array,
    files: Mapping[str, Mapping[str, Array]],
    names: Sequence[str],
    labels: Sequence[str] | None = None,
) -> Figure | None:
    """Return precision against recall of every class and their mean, one row of panels a file.

    Args:
        recall: ``(R,)``.
        files: By name, then by IoU: ``(R, C)`` precision, NaN for classes without objects.
        names: C names; up to 8 classes are named, of more the lines are grey.
        labels: C names as matplotlib can draw them; by default made from ``names``.

    Returns:
        The figure, or None where no class has an object.
    """
    defined = [
        k
        for k in range(len(names))
        if any(not np.isnan(c[0, k]) for f in files.values() for c in f.values())
    ]
    if not defined:
        return None
    drawn = [plain(_short(n)) for n in names] if labels is None else list(labels)
    columns = len(next(iter(files.values())))
    figure, axes = _new(8.0, 2.5 * len(files) + 0.7, len(files), columns, sharex=True, sharey=True)
    for place, (name, curves) in enumerate(files.items()):
        for axis, (iou, precision) in zip(axes[place * columns :], curves.items(), strict=False):
            for i, k in enumerate(defined):
                few = len(defined) <= _MOST_LINES
                color = _COLORS[i % 6] if few else "#999999"
                label = drawn[k] if few and place == 0 else None
                style = "-" if i < 6 else "--"
                axis.plot(
                    recall, precision[:, k], style, color=color, label=label,
                    linewidth=1.0 if few else 0.5, alpha=1.0 if few else 0.5,
                )  # fmt: skip
            mean = precision[:, ~np.isnan(precision[0])].mean(1)
            axis.plot(recall, mean, color="black", linewidth=2.0, label="mean of the classes")
            axis.set(xlim=(0, 1), ylim=(0, 1.02))
            ap = f"AP {100 * mean.mean():.1f}"
            iou_text = "mean over IoUs" if iou == "mean" else f"IoU {iou}"
            above = f"{plain(_short(name, 40))}\n" if len(files) > 1 and iou == "0.75" else ""
            axis.set_title(f"{above}{iou_text}: {ap}", fontsize=8)
            if place == len(files) - 1:
                axis.set_xlabel("recall", fontsize=8)
        axes[place * columns].set_ylabel("precision", fontsize=8)
    handles, texts = axes[0].get_legend_handles_labels()
    columns = max(1, math.floor(90 / (max(map(len, texts)) + 6)))
    figure.legend(
        handles, texts, loc="outside lower center", ncols=columns, fontsize=7, frameon=False
    )
    return figure


def _new(
    width: float, height: float, rows: int = 1, columns: int = 1, **kwargs: Any
) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
    for axis in axes.flat:
        axis.tick_params(labelsize=8)
        axis.grid(linewidth=0.4, alpha=0.4)
        axis.set_axisbelow(True)
    return figure, list(axes.flat)


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else f"{name[: most - 2]}.."
