"""Writes the run folder while a run is made."""

from __future__ import annotations

import math
import random
import time
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.distributed as dist

from corrlight.engine.run_folder import RunFolder
from corrlight.engine.status import JobStatus, report_status

__all__ = ["EpochSeed", "Recorder"]


class EpochSeed(pl.Callback):
    """Seeds every epoch from (seed, epoch, rank), and keeps the random state within it.

    The random state of an epoch then does not depend on how training got there, so that a run
    resumed at an epoch's end goes on as if it had not stopped. A checkpoint from the middle of an
    epoch holds the state of every rank.

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._resumed: dict[str, Any] | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed Python, NumPy and PyTorch."""
        sequence = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank])
        value = int(sequence.generate_state(1)[0])
        random.seed(value)
        np.random.seed(value)  # noqa: NPY002 - third-party code may use the global generator.
        torch.manual_seed(value)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the random states of all ranks in the middle of an epoch (a collective)."""
        if not trainer.training or trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        states: list[Any] = [_random_state()]
        if trainer.world_size > 1:
            states = [None] * trainer.world_size
            dist.all_gather_object(states, _random_state())
        checkpoint["random_states"] = states

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep this rank's state until training starts."""
        states = checkpoint.get("random_states")
        self._resumed = states[trainer.global_rank] if states else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on with the random numbers and the images of a resumed epoch."""
        loop = trainer.fit_loop
        if trainer.ckpt_path is not None and loop._data_fetcher is not None:
            # Lightning made the loader to count its batches, before it read the checkpoint: it
            # stands at the first batch of the first epoch, and its workers load that already.
            # Without it Lightning asks for another before the first step, and restores its state.
            loop._data_fetcher.teardown()
            loop._data_fetcher = None
            loop._combined_loader = None
        if self._resumed is not None:
            _set_random_state(self._resumed)
            self._resumed = None


def _random_state() -> dict[str, Any]:
    """Return the state of all global generators as tensors and plain containers."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    version, numbers, gauss = random.getstate()
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys, np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def _set_random_state(state: dict[str, Any]) -> None:
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


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
