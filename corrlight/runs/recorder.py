"""Writes the run folder while a run is made."""

from __future__ import annotations

import math
import time
from typing import Any

import lightning.pytorch as pl
import numpy as np

from corrlight.runs.folder import RunFolder
from corrlight.runs.status import JobStatus, report_status

__all__ = ["Recorder"]


class Recorder(pl.Callback):
    """Writes ``metrics.csv`` after every epoch and keeps the times.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self._epoch_start = 0.0
        self._step_seconds: list[float] = []
        self._step_start = 0.0
        self._waited = 0.0
        self._last_end: float | None = None
        self._first_epoch = 0  # of this process
        self._validated = False

    @property
    def data_share(self) -> float | None:
        """Share of the training time spent waiting for data, in [0, 1]."""
        total = self._waited + sum(self._step_seconds)
        return self._waited / total if total else None

    @property
    def seconds_per_iteration(self) -> float | None:
        """Median wall time of a training iteration, data loading left out."""
        return float(np.median(self._step_seconds)) if self._step_seconds else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the rows of the epochs before a resume."""
        rows = self.folder.read_csv("metrics.csv")
        self.rows = [dict(r) for r in rows if int(r["epoch"]) < trainer.current_epoch]
        # An epoch that is resumed in its middle does not start again.
        self._epoch_start = self._last_end = time.perf_counter()
        self._first_epoch = trainer.current_epoch
        self._report(trainer, trainer.current_epoch)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._epoch_start = self._last_end = time.perf_counter()

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Start the iteration's clock."""
        self._step_start = time.perf_counter()
        if self._last_end is not None:
            self._waited += self._step_start - self._last_end

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Stop the iteration's clock."""
        self._last_end = time.perf_counter()
        self._step_seconds.append(self._last_end - self._step_start)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that this epoch has measures of its own."""
        self._validated = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add this epoch's row; if it is validated, that has run by now."""
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": round(time.perf_counter() - self._epoch_start, 3),
        }
        for name, value in sorted(trainer.callback_metrics.items()):
            # Lightning keeps the measures of the last validation until the next one.
            stale = name.startswith("val/") and not self._validated
            if not stale and not name.endswith("_step"):
                number = float(value)
                key = name.removesuffix("_epoch")
                row[key] = number if math.isfinite(number) else None
        self._validated = False
        self.rows.append(row)
        if trainer.is_global_zero:
            self.folder.write_csv("metrics.csv", self.rows)
        self._report(trainer, trainer.current_epoch + 1)

    def _report(self, trainer: pl.Trainer, epochs_done: int) -> None:
        """Tell the sweep that started this process how far it is."""
        if not trainer.is_global_zero:
            return
        # The median: an epoch that was resumed in its middle is short.
        seconds = [float(row["seconds"]) for row in self.rows]
        epochs = trainer.max_epochs
        left = None
        if seconds and epochs is not None and epochs > 0:
            left = (epochs - epochs_done) * float(np.median(seconds))
        measured = [row["val/AP"] for row in self.rows if row.get("val/AP") not in (None, "")]
        report_status(
            JobStatus(
                folder=str(self.folder.path),
                epoch=epochs_done,
                epochs=epochs,
                seconds_left=left,
                ap=float(measured[-1]) if measured else None,
                resumed=self._first_epoch > 0,
            )
        )
