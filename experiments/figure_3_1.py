"""Figure 3.1: how correlation acts on NMS and on AP, with our own NMS and AP.

Run: ``python -m experiments.figure_3_1``
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from corrlight.boxes import paired_iou
from corrlight.metrics import Evaluation
from corrlight.metrics.functional import coco_evaluate
from corrlight.postprocess import NMSPostprocessor
from corrlight.structures import Predictions
from experiments.harness.collection import Collected
from experiments.harness.command import main
from experiments.harness.grid import Grid
from experiments.harness.picture import new_figure
from experiments.harness.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Two objects, and three hypotheses around each, by their IoU: shifted sideways.
_OBJECTS = ((20.0, 20.0, 90.0, 80.0), (120.0, 30.0, 190.0, 110.0))
_IOUS = (0.9, 0.75, 0.6)
# Class scores of each object's hypotheses, the best box first, and turned round.
_SCORES = {"positive": (0.9, 0.7, 0.5), "negative": (0.5, 0.7, 0.9)}

# Class-level: IoU of five true positives, and scores by and against it.
_DETECTIONS = (0.95, 0.72, 0.65, 0.6, 0.55)
_RANKED = {"positive": (0.9, 0.8, 0.7, 0.6, 0.5), "negative": (0.5, 0.6, 0.7, 0.8, 0.9)}
_THRESHOLDS = (0.5, 0.65, 0.75)
_COLOURS = ("#d55e00", "#009e73", "#0072b2", "#cc79a7", "#e69f00")


@dataclass(frozen=True, slots=True)
class Kept:
    """What NMS leaves.

    Attributes:
        boxes: ``(D, 4)``.
        ious: ``(D,)`` with the object that each is for.
        index: ``(D,)`` of the hypotheses.
    """

    boxes: torch.Tensor
    ious: torch.Tensor
    index: torch.Tensor


def shifted(box: tuple[float, float, float, float], iou: float) -> tuple[float, ...]:
    """Return a box of the same size, moved to the right until the IoU is as asked."""
    x1, y1, x2, y2 = box
    shift = (x2 - x1) * (1 - iou) / (1 + iou)
    return x1 + shift, y1, x2 + shift, y2


def survivors(correlation: str) -> Kept:
    """Return what our NMS keeps of the hypotheses with the scores of ``_SCORES``."""
    boxes = torch.tensor([shifted(box, iou) for box in _OBJECTS for iou in _IOUS])
    scores = torch.tensor([score for _ in _OBJECTS for score in _SCORES[correlation]])
    predictions = Predictions(
        logits=torch.logit(scores)[None, :, None],
        boxes=boxes[None],
        level_idx=torch.zeros(len(boxes), dtype=torch.int64),
        activation="sigmoid",
        valid=torch.ones(1, len(boxes), dtype=torch.bool),
    )
    found = NMSPostprocessor(score_thresh=0.05, nms_thresh=0.5)(predictions, [(130, 220)])[0]
    objects = torch.tensor(_OBJECTS)[found.pred_idx // len(_IOUS)]
    return Kept(found.boxes, paired_iou(found.boxes, objects), found.pred_idx)


def evaluate(correlation: str) -> tuple[Evaluation, dict[str, float | None]]:
    """Return our matching and AP of the five detections with the scores of ``_RANKED``."""
    object_box = (10.0, 10.0, 110.0, 110.0)
    annotations = [
        {"id": k + 1, "image_id": k + 1, "category_id": 1, "bbox": [10.0, 10.0, 100.0, 100.0],
         "area": 1e4, "iscrowd": 0}
        for k in range(len(_DETECTIONS))
    ]  # fmt: skip
    results = []
    for k, (iou, score) in enumerate(zip(_DETECTIONS, _RANKED[correlation], strict=True)):
        x1, y1, x2, y2 = shifted(object_box, iou)
        box = [x1, y1, x2 - x1, y2 - y1]
        results.append({"image_id": k + 1, "category_id": 1, "bbox": box, "score": score})
    evaluation = Evaluation.from_coco(
        {
            "images": [{"id": a["id"], "width": 220, "height": 130} for a in annotations],
            "categories": [{"id": 1, "name": "object"}],
            "annotations": annotations,
        },
        results,
    )
    return evaluation, coco_evaluate(evaluation).values


def precision_at(correlation: str, threshold: float) -> list[float]:
    """Return the precision on every detection, in descending score."""
    order = np.argsort([-score for score in _RANKED[correlation]])
    hits = np.cumsum([_DETECTIONS[k] >= threshold for k in order])
    return [float(hits[n] / (n + 1)) for n in range(len(order))]


def _grid(table: Table, collected: Collected, digits: int) -> Grid:
    lines = []
    for correlation in _SCORES:
        kept = survivors(correlation)
        _, values = evaluate(correlation)
        lines.append(
            (
                correlation,
                ", ".join(f"{float(iou):.2f}" for iou in kept.ious),
                *(f"{100 * float(values[name] or 0.0):.1f}" for name in ("AP", "AP50", "AP75")),
            )
        )
    return Grid(
        title=table.title,
        header=("correlation", "(a) IoU after NMS", "(b) AP", "AP50", "AP75"),
        lines=tuple(lines),
        notes=(
            "(a) NMS of the same six boxes with the scores turned round; (b) AP of the same five "
            "true positives with the scores turned round: AP50 does not change.",
        ),
        text_columns=2,
    )


def _draw(table: Table, collected: Collected) -> "Figure":
    figure = new_figure(10.0, 4.6)
    axes = figure.subplots(2, 3)
    for line, correlation in enumerate(_SCORES):
        _draw_boxes(axes[line, 0], correlation, after=False)
        _draw_boxes(axes[line, 1], correlation, after=True)
        _draw_precisions(axes[line, 2], correlation)
    figure.suptitle(f"{table.title}", fontsize=10)
    return figure


def _draw_boxes(axis: "Axes", correlation: str, after: bool) -> None:
    from matplotlib.patches import Rectangle

    kept = survivors(correlation)
    index = kept.index.tolist() if after else range(len(_OBJECTS) * len(_IOUS))
    for x1, y1, x2, y2 in _OBJECTS:
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, linestyle="--"))
    for k in index:
        number, place = divmod(k, len(_IOUS))
        x1, y1, x2, y2 = shifted(_OBJECTS[number], _IOUS[place])
        score = _SCORES[correlation][place]
        colour = _COLOURS[number + 1]
        patch = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=2)
        patch.set_alpha(0.35 + 0.65 * _IOUS[place] ** 3)
        axis.add_patch(patch)
        text = f"IoU {_IOUS[place]:.2f}, score {score:.1f}"
        axis.text(x1 + 2, y1 + 4 + 15 * place, text, fontsize=6, va="top", color=colour)
    axis.set(xlim=(10, 225), ylim=(120, 10), aspect="equal", xticks=[], yticks=[])
    stage = f"after NMS: IoU {float(kept.ious.mean()):.2f}" if after else "before NMS"
    axis.set_title(f"(a) {correlation} correlation, {stage}", fontsize=8)


def _draw_precisions(axis: "Axes", correlation: str) -> None:
    _, values = evaluate(correlation)
    order = np.argsort([-score for score in _RANKED[correlation]])
    cells = [
        [f"{_RANKED[correlation][k]:.1f}", f"{_DETECTIONS[k]:.2f}"]
        + [
            f"{precision_at(correlation, threshold)[place]:.2f}"
            if _DETECTIONS[k] >= threshold
            else "-"
            for threshold in _THRESHOLDS
        ]
        for place, k in enumerate(order)
    ]
    table = axis.table(
        cellText=cells,
        colLabels=["score", "IoU", *(f"P{100 * threshold:.0f}" for threshold in _THRESHOLDS)],
        loc="center",
        cellLoc="center",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    for place, k in enumerate(order):
        table[place + 1, 1].set_facecolor(_COLOURS[k])
        table[place + 1, 1].set_alpha(0.5)
    axis.axis("off")
    shown = "  ".join(f"{m} {100 * float(values[m] or 0.0):.1f}" for m in ("AP", "AP50", "AP75"))
    axis.set_title(f"(b) {correlation} correlation: {shown}", fontsize=8)


TABLE = Table(
    name="figure_3_1",
    title="Figure 3.1: what correlation does to NMS and to AP",
    rows=(),
    grid=_grid,
    draw=_draw,
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
