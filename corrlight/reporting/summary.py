"""What a run says on the terminal before and after training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from corrlight.atomic import atomic_path
from corrlight.reporting.compare import score_iou_panel
from corrlight.reporting.error_figures import (
    confusion_figure,
    error_types_figure,
    pr_classes_figure,
)
from corrlight.reporting.figures import plot_score_iou
from corrlight.reporting.names import ERROR_TYPES
from corrlight.reporting.runs import read_run
from corrlight.reporting.start_notes import start_notes
from corrlight.reporting.tables import run_table
from corrlight.runs.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from corrlight.config.compose import ComposedConfig
    from corrlight.engine.prepare import Run

__all__ = ["print_metrics", "print_run", "write_figures"]


def print_run(run: Run, composed: ComposedConfig) -> None:
    """Print what is about to be trained, on what, and how."""
    config, choices, data = run.config, composed.choices, run.data
    module, trainer = run.module, run.trainer
    total = sum(p.numel() for p in module.parameters())
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    aux = config.detector.get("aux_head")
    head = f", auxiliary head {aux}" if aux else ""
    table.add_row("detector", f"{choices['detector']}{head}, loss {choices['loss']}")
    table.add_row("parameters", f"{total / 1e6:.2f} M, {trained / 1e6:.2f} M of them trained")
    table.add_row("correlation", _correlation(config, choices["corr"]))
    table.add_row("data", f"{choices['data']} in {data.root}, {len(data.class_names)} classes")
    table.add_row("images", f"{data.num_train_images} train, {data.num_val_images} validation")
    batch = config.data.batch_size * config.trainer.accumulate_grad_batches
    schedule = config.schedule
    rate = f"{module.lr:g}"
    if module.lr != schedule.lr:
        rate += f" ({schedule.lr:g} at batch {schedule.reference_batch_size}, scaled linearly)"
    epochs = "1 epoch" if trainer.max_epochs == 1 else f"{trainer.max_epochs} epochs"
    table.add_row("schedule", f"{epochs}, batch {batch}, learning rate {rate}")
    device = f"{trainer.num_devices} x {type(trainer.accelerator).__name__}"
    table.add_row("device", f"{device}, {config.trainer.precision}, seed {config.seed}")
    if run.transfer is not None:
        table.add_row("init", str(config.init))
        for label, line in run.transfer.rows():
            table.add_row(f"  {label}", line)
    for label, note in start_notes(run):
        table.add_row(label, note)
    table.add_row("run folder", str(run.folder))
    Console(soft_wrap=True).print(table)


def print_metrics(metrics: Mapping[str, Any], folder: Path | None = None) -> None:
    """Print the final table."""
    console = Console(soft_wrap=True)
    console.print(run_table(metrics))
    if folder is not None:
        console.print(f"run folder  {folder}", markup=False, highlight=False)


def write_figures(folder: Path) -> Path:
    """Draw the scatter of score against IoU (thesis, Figure 2.2) into the run folder.

    Of a run that measures types of errors also ``error_types``, ``confusion_matrix`` and
    ``pr_classes``, and the two last of masks.
    """
    run = read_run(folder)
    if f"dAP_{ERROR_TYPES[0]}" in run.metrics:
        for name, figure in _error_figures(RunFolder(folder).read_json("errors.json")):
            if figure is not None:
                with atomic_path(folder / "figures" / f"{name}.png") as path:
                    figure.savefig(path, dpi=150)
    return plot_score_iou([score_iou_panel(run)], folder / "figures" / "score_iou.png")


def _error_figures(content: Mapping[str, Any]) -> Iterator[tuple[str, Figure | None]]:
    yield "error_types", error_types_figure({"": content["costs"]})
    for what in ("boxes", "masks"):
        if what not in content:
            continue
        matrix, curves = (content[what][key] for key in ("confusion_matrix", "pr_curves"))
        prefix = "" if what == "boxes" else "mask_"
        title = f"score from {matrix['min_score']:g}, IoU from {matrix['min_iou']:g}"
        names, counts = curves["classes"], np.array(matrix["counts"])
        yield f"{prefix}confusion_matrix", confusion_figure(counts, names, title)
        precision = {
            iou: np.array(found["by_class"], np.float64).T  # null becomes NaN
            for iou, found in curves["precision"].items()
        }
        recall = np.array(curves["recall"])
        yield f"{prefix}pr_classes", pr_classes_figure(recall, {"": precision}, names)


def _correlation(config: Any, choice: str) -> str:
    corr = config.loss_callbacks.get("corr") or {}
    if "weight" not in corr:
        return choice
    return f"{choice}, lambda {corr['weight']:g}"
