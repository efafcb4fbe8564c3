"""Tables, figures and pictures from run folders. Nothing here imports torch.

``corrlight.reporting.compare`` is a command and therefore not imported here.
"""

from corrlight.reporting.best_iou import best_same_class_iou
from corrlight.reporting.figures import ScoreIoU, plot_score_iou, read_score_iou, score_iou_figure
from corrlight.reporting.pictures import Scene, contact_sheet, draw_scene, iou_color, save_image
from corrlight.reporting.runs import Run, group_seeds, read_run, run_names
from corrlight.reporting.tables import (
    COLUMNS,
    Comparison,
    Row,
    Value,
    compare_runs,
    render_csv,
    render_markdown,
    render_rich,
    run_table,
)

__all__ = [
    "COLUMNS",
    "Comparison",
    "Row",
    "Run",
    "Scene",
    "ScoreIoU",
    "Value",
    "best_same_class_iou",
    "compare_runs",
    "contact_sheet",
    "draw_scene",
    "group_seeds",
    "iou_color",
    "plot_score_iou",
    "read_run",
    "read_score_iou",
    "render_csv",
    "render_markdown",
    "render_rich",
    "run_names",
    "run_table",
    "save_image",
    "score_iou_figure",
]
