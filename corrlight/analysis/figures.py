"""Figures of analysed results files; colours of Okabe and Ito, files told apart by marker too."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corrlight.analysis.comparison import Comparison
from corrlight.analysis.results_file import PR_THRESHOLDS
from corrlight.metrics.matching import AREA_RANGES, RECALL_THRESHOLDS
from corrlight.reporting.error_figures import (
    confusion_figure,
    error_types_figure,
    pr_classes_figure,
)
from corrlight.reporting.figures import ScoreIoU, score_iou_figure
from corrlight.reporting.names import font_families, is_drawable, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CAPTIONS", "draw_figures"]

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS = "osD^vP*"
_LINES = ("-", "--", "-.", ":")
_PARTS = {"localisation": "#0072b2", "false positives": "#e69f00", "missed objects": "#999999"}
_WIDTH = 8.0  # inches; 800 pixels at 100 dots an inch
_PADDING = 0.1  # inches
_MOST_CLASSES = 80

CAPTIONS = {
    "score_iou": "Score of every final detection against its best IoU with an object of the same "
    "class. On the line the score tells the IoU.",
    "pr_curves": "Precision and recall, mean over classes, at IoU 0.5 and 0.75.",
    "beta_per_class": "Rank correlation of score and IoU of the true positives of every class "
    "(beta_cls is their mean).",
    "ap_bounds": "AP as it is, and as it would be if the true positives of each class were ranked "
    "by IoU (upper end) or against it (lower end).",
    "lrp_curves": "LRP of the detections above a score threshold, mean over classes: lower is "
    "better, the minimum is marked. Each class has its own optimum, hence oLRP is lower.",
    "size_errors": "What oLRP is made of, by size of the objects.",
    "calibration": "Mean IoU of the detections in each score bin. Above the line scores are too "
    "low, below it too high.",
}
# Drawn with `--errors`; of several files each has a confusion matrix.
ERROR_CAPTIONS = {
    "error_types": "AP at IoU 0.5 that each type of error costs, as TIDE defines them: what AP "
    "would gain if the errors of that type alone were corrected; right, if all false positives or "
    "all missed objects were.",
    "pr_classes": "Precision and recall of every class, and their mean.",
    "confusion_matrix": "Objects (rows) by the class of the detection that stands for them "
    "(columns). The last row holds detections without an object, the last column objects "
    "without a detection.",
}


def draw_figures(
    comparison: Comparison,
    save: Callable[[Figure, str], None],
    step: Callable[[], None] = lambda: None,
) -> None:
    """Draw every figure, for boxes and for masks, and hand it to ``save`` with its name.

    Args:
        comparison: What to draw.
        save: Called with figure and name; it decides formats and places.
        step: Called after each figure.
    """
    drawings: Mapping[str, Callable[[Comparison, str], Figure | None]] = {
        "score_iou": _score_iou,
        "pr_curves": _pr_curves,
        "beta_per_class": _beta_per_class,
        "ap_bounds": _ap_bounds,
        "lrp_curves": _lrp_curves,
        "size_errors": _size_errors,
        "calibration": _calibration,
    }
    import matplotlib

    texts = [*comparison.class_names, *(a.name for a in comparison.analyses)]
    with matplotlib.rc_context({"font.family": font_families(texts)}):
        for prefix in comparison.prefixes:
            for name, draw in drawings.items():
                figure = draw(comparison, prefix)
                if figure is not None:
                    save(figure, prefix + name)
                step()
            if comparison.has_errors:
                for name, figure in _error_figures(comparison, prefix):
                    save(figure, prefix + name)
                    step()


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Write ``name.png`` and ``name.svg``; equal figures give equal bytes."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(folder / f"{name}.svg", dpi=150, metadata={"Date": None})
    figure.set_layout_engine("none")  # It is laid out now; once more would take as long as drawing.
    figure.savefig(folder / f"{name}.png", dpi=150, metadata={"Software": None})


def _error_figures(comparison: Comparison, prefix: str) -> Iterator[tuple[str, Figure]]:
    names = _raw_names(comparison)
    analyses = dict(zip(names, comparison.analyses, strict=True))
    bars = error_types_figure({name: a.metrics for name, a in analyses.items()}, prefix)
    if bars is not None:
        yield "error_types", bars
    labels = class_labels(comparison)
    views = {name: a.errors[prefix] for name, a in analyses.items()}
    recall = next(iter(views.values())).curves.recall
    curves = {name: view.curves.precision for name, view in views.items()}
    lines = pr_classes_figure(recall, curves, comparison.class_names, labels)
    if lines is not None:
        yield "pr_classes", lines
    for k, (name, view) in enumerate(views.items()):
        found = view.confusion
        words = f"score from {found.min_score:g}, IoU from {found.min_iou:g}"
        title = f"{name}: {words}" if len(views) > 1 else words
        matrix = confusion_figure(found.counts, comparison.class_names, title, labels)
        yield _matrix_name(k), matrix


def _matrix_name(place: int) -> str:
    return "confusion_matrix" + (f"_{place + 1}" if place else "")


def _new(width: float, height: float, columns: int = 1, **kwargs: Any) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    # The layout is made for SVG; letters of a PNG are wider and would reach over the border.
    layout = ConstrainedLayoutEngine(w_pad=_PADDING, h_pad=_PADDING)
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False, **kwargs)
    for axis in axes.flat:
        axis.tick_params(labelsize=8)
        axis.grid(linewidth=0.4, alpha=0.4)
        axis.set_axisbelow(True)
        for label in (axis.xaxis.label, axis.yaxis.label):
            label.set_size(9)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    return figure, list(axes.flat)


def _style(index: int) -> dict[str, Any]:
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": _LINES[index % len(_LINES)],
        "linewidth": 1.6,
    }


def _legend(figure: Figure, axis: Axes, comparison: Comparison) -> None:
    """Name the files below the axes, where nothing can be hidden."""
    if len(comparison.analyses) < 2:
        return
    handles, labels = axis.get_legend_handles_labels()
    longest = max(len(label) for label in labels)
    columns = max(1, min(len(labels), int(11 * figure.get_figwidth() / (longest + 6))))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, fontsize=8, frameon=False
    )


def _names(comparison: Comparison, most: int = 48) -> list[str]:
    """Return what legends call the files; :func:`_raw_names` are not made for matplotlib yet."""
    return [plain(name) for name in _raw_names(comparison, most)]


def _raw_names(comparison: Comparison, most: int = 48) -> list[str]:
    names = [a.name for a in comparison.analyses]
    return [n if len(n) <= most else f"...{n[3 - most :]}" for n in names]


def _percent(value: Any) -> str:
    return "-" if value is None or math.isnan(value) else f"{100 * value:.1f}"


def _score_iou(comparison: Comparison, prefix: str) -> Figure:
    panels = []
    for analysis, name in zip(comparison.analyses, _raw_names(comparison), strict=True):
        data = analysis.figures[prefix]
        shown = {k: analysis.metrics.get(prefix + k) for k in ("AP", "oLRP", "beta_cls")}
        panels.append(
            ScoreIoU(
                scores=data.scores,
                best_ious=data.best_ious,
                labels=data.labels,
                name=name,
                values=shown,
            )
        )
    return score_iou_figure(panels)


def _pr_curves(comparison: Comparison, prefix: str) -> Figure:
    figure, axes = _new(_WIDTH, 3.6, 2, sharey=True)
    for row, (axis, threshold) in enumerate(zip(axes, PR_THRESHOLDS, strict=True)):
        for i, (analysis, name) in enumerate(
            zip(comparison.analyses, _names(comparison), strict=True)
        ):
            curve = analysis.figures[prefix].precision[row]
            axis.plot(RECALL_THRESHOLDS, curve, label=name, **_style(i))
        axis.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall")
        axis.set_title(f"IoU {threshold}", fontsize=9)
    axes[0].set_ylabel("precision, mean over classes")
    _legend(figure, axes[0], comparison)
    return figure


def _beta_per_class(comparison: Comparison, prefix: str) -> Figure | None:
    betas = np.stack([a.figures[prefix].class_beta for a in comparison.analyses])
    defined = ~np.isnan(betas).all(0)
    shown = np.flatnonzero(defined)
    if not len(shown):
        return None
    title = None
    if len(shown) > _MOST_CLASSES:
        sizes = np.array(comparison.class_sizes)[shown]
        shown = shown[np.argsort(-sizes, kind="stable")[:_MOST_CLASSES]]
        title = f"The {_MOST_CLASSES} classes with most objects, of {int(defined.sum())}"
    with np.errstate(invalid="ignore"):
        shown = shown[np.argsort(np.nanmean(betas[:, shown], axis=0), kind="stable")]
    names = class_labels(comparison)
    names = [names[k] for k in shown.tolist()]
    rows = len(shown)
    tall = rows > 40  # two columns of classes keep the figure readable on one screen
    columns = 2 if tall else 1
    each = math.ceil(rows / columns)
    figure, axes = _new(_WIDTH, 0.175 * each + 1.1, columns, sharex=True)
    for column, axis in enumerate(axes):
        # The highest values are in the first column, top row.
        end = rows - column * each
        part = slice(max(0, end - each), end)
        at = np.arange(each - (part.stop - part.start), each)
        for i, name in enumerate(_names(comparison)):
            color, marker = COLORS[i % len(COLORS)], _MARKERS[i % len(_MARKERS)]
            values = betas[i, shown[part]]
            axis.plot(
                values, at, marker, color=color, markersize=4.5, label=name, linestyle="none",
                alpha=0.85,
            )  # fmt: skip
            mean = comparison.analyses[i].metrics.get(f"{prefix}beta_cls")
            if mean is not None:
                axis.axvline(float(mean), color=color, linewidth=1, linestyle=_LINES[i % 4])
        axis.set_yticks(at, names[part], fontsize=7)
        axis.set_ylim(-0.8, each - 0.2)
        axis.set_xlabel("beta (lines: beta_cls)" if column == 0 else "beta")
    if title:
        figure.suptitle(title, fontsize=9)
    _legend(figure, axes[0], comparison)
    return figure


def class_labels(comparison: Comparison) -> list[str]:
    """Return what figures call the classes: "#" and the category id if no font has the name."""
    ids = [row["category_id"] for row in comparison.analyses[0].per_class]
    return [
        plain(_shortened(name)) if is_drawable(name) else f"#{number}"
        for name, number in zip(comparison.class_names, ids, strict=True)
    ]


def undrawable_names(class_names: Sequence[str]) -> str:
    """Return in words how many class names no font has, or nothing."""
    count = sum(not is_drawable(name) for name in class_names)
    if not count:
        return ""
    return (
        f"{count} class names need a font that is not installed (Noto, for example): figures show "
        "their category ids (#7)"
    )


def _times_100(axis: Any) -> None:
    """Write the ticks of an axis of fractions times 100, as all numbers of measures are."""
    axis.set_major_formatter(lambda value, place: f"{100 * value:g}")


def _shortened(name: str, most: int = 22) -> str:
    return name if len(name) <= most else f"{name[: most - 2]}.."


def _ap_bounds(comparison: Comparison, prefix: str) -> Figure | None:
    levels = {"cls": "class level", "img": "image level"}
    levels = {
        level: text
        for level, text in levels.items()
        if any(f"{prefix}AP_upper_{level}" in a.metrics for a in comparison.analyses)
    }
    measures = ("AP", "AP50", "AP75")
    count = len(comparison.analyses)
    figure, axes = _new(
        _WIDTH, (0.32 * count + 0.42) * len(measures) + 0.95, len(levels), sharey=True
    )
    drawn = False
    for axis, (level, text) in zip(axes, levels.items(), strict=True):
        for m, measure in enumerate(measures):
            for i, (analysis, name) in enumerate(
                zip(comparison.analyses, _names(comparison), strict=True)
            ):
                keys = (f"{measure}_lower_{level}", measure, f"{measure}_upper_{level}")
                low, own, high = (analysis.metrics.get(prefix + key) for key in keys)
                if low is None or own is None or high is None:
                    continue
                drawn = True
                y = -(m * (count + 1.2) + i)
                color = COLORS[i % len(COLORS)]
                label = name if m == 0 else None
                axis.barh(
                    y, high - low, left=low, height=0.62, color=color, alpha=0.45, label=label
                )
                axis.plot([own, own], [y - 0.42, y + 0.42], color=color, linewidth=2.5)
                _bound_labels(axis, y, low, own, high)
        axis.set_yticks(
            [-(m * (count + 1.2) + (count - 1) / 2) for m in range(len(measures))],
            measures,
            fontsize=9,
        )
        axis.set_title(f"{text}: against IoU | as it is | by IoU", fontsize=9)
        axis.set_xlabel("AP, times 100")
        _times_100(axis.xaxis)
        low_x, high_x = axis.get_xlim()
        # Room for the values beside the bars, whose text has the same width in both panels.
        margin = 0.1 * len(levels) * (high_x - low_x)
        axis.set_xlim(low_x - margin, high_x + 1.6 * margin)
    if not drawn:
        return None
    _legend(figure, axes[0], comparison)
    return figure


def _bound_labels(axis: Axes, y: float, low: float, own: float, high: float) -> None:
    """Write the three values; AP50 has one, as its bounds are AP50 itself at class level."""
    if high - low < 1e-9:
        texts = [(own, 6, "left", _percent(own))]
    else:
        texts = [
            (low, -5, "right", _percent(low)),
            (high, 5, "left", f"{_percent(high)}   (is {_percent(own)})"),
        ]
    for x, offset, side, text in texts:
        axis.annotate(
            text, (x, y), (offset, 0), textcoords="offset points", ha=side, va="center", fontsize=7
        )


def _lrp_curves(comparison: Comparison, prefix: str) -> Figure | None:
    if all(np.isnan(a.figures[prefix].lrp).all() for a in comparison.analyses):
        return None
    figure, (axis,) = _new(0.75 * _WIDTH, 3.6)
    for i, (analysis, name) in enumerate(zip(comparison.analyses, _names(comparison), strict=True)):
        data = analysis.figures[prefix]
        axis.plot(data.thresholds, data.lrp, label=name, **_style(i))
        best = int(np.argmin(data.lrp))
        axis.plot(
            data.thresholds[best], data.lrp[best], _MARKERS[i % len(_MARKERS)],
            color=COLORS[i % len(COLORS)], markersize=6,
        )  # fmt: skip
    axis.set_ylim(top=1.01)
    axis.set_xlabel("score threshold")
    axis.set_ylabel("LRP, mean over classes")
    _legend(figure, axis, comparison)
    return figure


def _size_errors(comparison: Comparison, prefix: str) -> Figure:
    from matplotlib.patches import Patch

    figure, (axis,) = _new(_WIDTH, 3.6)
    areas, count = list(AREA_RANGES), len(comparison.analyses)
    width = 0.8 / count
    for a, area in enumerate(areas):
        for i, analysis in enumerate(comparison.analyses):
            parts = analysis.figures[prefix].size_errors[a]
            x, bottom = a + (i - (count - 1) / 2) * width, 0.0
            if np.isnan(parts).any():
                axis.text(x, 0.01, "none", ha="center", va="bottom", fontsize=7, rotation=90)
                continue
            for color, part in zip(_PARTS.values(), parts, strict=True):
                axis.bar(x, part, 0.9 * width, bottom, color=color)
                bottom += float(part)
            key = prefix + ("oLRP" if area == "all" else f"oLRP_{area}")
            ends = comparison.intervals[i].get(key)
            top = bottom
            if ends is not None:
                errors = [[max(0.0, bottom - ends[0])], [max(0.0, ends[1] - bottom)]]
                axis.errorbar(x, bottom, errors, color="black", linewidth=1, capsize=3)
                top = max(bottom, ends[1])
            axis.text(x, top + 0.012, _percent(bottom), ha="center", va="bottom", fontsize=7)
            if count > 1:
                axis.text(
                    x, 0.02, str(i + 1), ha="center", fontsize=8, color="white", weight="bold"
                )
    axis.set_xticks(range(len(areas)), areas, fontsize=9)
    _times_100(axis.yaxis)
    axis.set_ylabel("oLRP, times 100" + (", 95% intervals" if comparison.num_samples else ""))
    axis.set_ylim(0, 1.1)
    axis.grid(visible=False, axis="x")
    handles = [Patch(color=color, label=label) for label, color in _PARTS.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    if count > 1:
        numbered = [f"{i + 1}: {name}" for i, name in enumerate(_names(comparison))]
        axis.set_xlabel("\n".join(numbered), fontsize=8)
    return figure


def _calibration(comparison: Comparison, prefix: str) -> Figure | None:
    if any(a.figures[prefix].bins is None for a in comparison.analyses):
        return None
    figure, (axis,) = _new(0.6 * _WIDTH, 4.2 + 0.15 * len(comparison.analyses))
    axis.plot([0, 1], [0, 1], color="#777777", linewidth=1, linestyle=":")
    for i, (analysis, name) in enumerate(zip(comparison.analyses, _names(comparison), strict=True)):
        bins = analysis.figures[prefix].bins
        assert bins is not None  # checked above
        filled = bins.counts > 0
        axis.plot(
            bins.mean_score[filled], bins.mean_iou[filled], label=name, markersize=5,
            marker=_MARKERS[i % len(_MARKERS)], **_style(i),
        )  # fmt: skip
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean score of the bin", ylabel="mean best IoU")
    _legend(figure, axis, comparison)
    return figure


def num_figures(comparison: Comparison) -> int:
    """Return how often :func:`draw_figures` calls ``step``."""
    return len(captions(comparison))


def captions(comparison: Comparison) -> dict[str, str]:
    """Return the caption of every figure by its name."""
    texts = dict(CAPTIONS)
    if comparison.has_errors:
        texts |= ERROR_CAPTIONS
        for k, analysis in enumerate(comparison.analyses[1:], 1):
            texts[_matrix_name(k)] = f"The same of {analysis.name}."
    return {
        prefix + name: ("Masks. " if prefix else "") + text
        for prefix in comparison.prefixes
        for name, text in texts.items()
    }
