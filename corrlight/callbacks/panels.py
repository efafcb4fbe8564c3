"""The measures of an epoch as pictures and a table on Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np

from corrlight.arguments import check_at_least
from corrlight.reporting.class_bars import class_bars_figure
from corrlight.reporting.error_figures import (
    confusion_figure,
    error_types_figure,
    pr_classes_figure,
)
from corrlight.reporting.figures import ScoreIoU, score_iou_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from corrlight.metrics.errors.view import ErrorView
    from corrlight.metrics.evaluator import EvaluationResult

__all__ = ["MeasurePanels"]

_TITLE_VALUES = ("AP", "beta_img", "beta_cls")


class MeasurePanels(pl.Callback):
    """Logs Figure 2.2 and the measures of every class, if the run has a ``WandbLogger``.

    After an evaluation there are ``val/score_iou`` (the scatter of score against IoU),
    ``val/class_bars`` (AP and beta_cls of every class) and the table ``val/per_class``; after a
    test, the same with ``test``. The last validation of a training and a test also have
    ``error_types`` (the AP that each type of error costs), ``confusion_matrix`` and ``pr_classes``
    as pictures, and the tables ``errors`` and ``confusion``. Without Weights & Biases nothing is
    drawn.

    Args:
        every_n_epochs: Validation epochs between two; the last epoch is always logged.
    """

    def __init__(self, every_n_epochs: int = 1) -> None:
        check_at_least(1, every_n_epochs=every_n_epochs)
        self.every_n_epochs = every_n_epochs

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch's panels."""
        epoch = trainer.current_epoch + 1
        last = trainer.state.fn != "fit" or epoch == trainer.max_epochs
        if not trainer.sanity_checking and (last or epoch % self.every_n_epochs == 0):
            self._log(trainer, pl_module, "val", errors=last)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the test's panels."""
        self._log(trainer, pl_module, "test", errors=True)

    def _log(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, split: str, *, errors: bool
    ) -> None:
        # By name: importing the class would need wandb, which is optional in use.
        loggers: list[Any] = [g for g in trainer.loggers if type(g).__name__ == "WandbLogger"]
        result: EvaluationResult | None = getattr(pl_module, "evaluation", None)
        # Rank 0 alone has the points.
        if not loggers or result is None or result.score_iou is None:
            return
        points = result.score_iou
        panel = ScoreIoU(
            scores=points.scores,
            best_ious=points.ious,
            labels=points.labels,
            values={name: result.metrics.get(name) for name in _TITLE_VALUES},
        )
        bars = class_bars_figure(result.per_class, ("AP", "beta_cls"))
        images: dict[str, Figure | None] = {
            "score_iou": score_iou_figure([panel]),
            "class_bars": bars,
        }
        tables = {"per_class": _table(result.per_class)}
        if errors and result.errors is not None:
            costs, views = result.errors()
            view = views["boxes"]
            images |= _error_images(costs, view)
            tables["errors"] = ["measure", "value"], [list(cost) for cost in costs.items()]
            tables["confusion"] = _table(view.rows())
        for logger in loggers:
            for name, figure in images.items():
                if figure is not None:
                    logger.log_image(f"{split}/{name}", [_pixels(figure)])
            for name, (columns, rows) in tables.items():
                if rows:
                    logger.log_table(f"{split}/{name}", columns=columns, data=rows)


def _error_images(costs: Mapping[str, Any], view: ErrorView) -> dict[str, Figure | None]:
    found, curves = view.confusion, view.curves
    title = f"score from {found.min_score:g}, IoU from {found.min_iou:g}"
    return {
        "error_types": error_types_figure({"": costs}),
        "confusion_matrix": confusion_figure(found.counts, view.class_names, title),
        "pr_classes": pr_classes_figure(curves.recall, {"": curves.precision}, view.class_names),
    }


def _table(per_class: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    columns = list(dict.fromkeys(key for row in per_class for key in row))
    return columns, [[row.get(key) for key in columns] for row in per_class]


def _pixels(figure: Any) -> Any:
    """Return the ``(H, W, 3)`` uint8 picture of a figure."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
