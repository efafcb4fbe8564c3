"""What a run says on the terminal before and after training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from corrlight.reporting.compare import score_iou_panel
from corrlight.reporting.figures import plot_score_iou
from corrlight.reporting.runs import read_run
from corrlight.reporting.start_notes import start_notes
from corrlight.reporting.tables import run_table

if TYPE_CHECKING:
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
    table.add_row("schedule", f"{trainer.max_epochs} epochs, batch {batch}, learning rate {rate}")
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
    """Draw the scatter of score against IoU (thesis, Figure 2.2) into the run folder."""
    panel = score_iou_panel(read_run(folder))
    return plot_score_iou([panel], folder / "figures" / "score_iou.png")


def _correlation(config: Any, choice: str) -> str:
    corr = config.loss_callbacks.get("corr") or {}
    if "weight" not in corr:
        return choice
    return f"{choice}, lambda {corr['weight']:g}"
