"""Lightning's private parts: all that corrlight uses of them, in one place.

Lightning may change these in any release. `tests/test_lightning_private.py` looks for each of them
and says what would break without it; nothing else in corrlight names one.
"""

from __future__ import annotations

import subprocess
import threading
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar, WeightAveraging
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

__all__ = [
    "EpochBar",
    "accumulates",
    "averages_in_use",
    "drop_train_loader",
    "forget_ranks",
    "in_last_batch",
    "last_saved_step",
    "save_last",
    "started_ranks",
    "state_before_validation",
    "swap_averages",
    "wandb_options",
]


# The ranks that Lightning started.


def forget_ranks() -> None:
    """Let ranks of this machine end before the main process, which Lightning kills otherwise.

    Its observer sends SIGKILL as soon as a rank has ended with an exit code, be it in the middle of
    a checkpoint or of an error message.
    """
    for thread in threading.enumerate():
        if isinstance(thread, _ChildProcessObserver):
            thread._child_processes = []


def started_ranks(trainer: pl.Trainer) -> list[subprocess.Popen[bytes]]:
    """Return the processes of the ranks that this process started, none on other ranks.

    Lightning ends them neither with a signal of its own nor when this process fails.
    """
    launcher = trainer.strategy.launcher
    return list(launcher.procs) if isinstance(launcher, _SubprocessScriptLauncher) else []


# Where the training stands.


def accumulates(trainer: pl.Trainer) -> bool:
    """Return whether gradients are being accumulated; they are in no checkpoint."""
    return bool(trainer.fit_loop._should_accumulate())


def in_last_batch(trainer: pl.Trainer) -> bool:
    """Return whether the epoch's last training batch is being trained on, or was the latest."""
    return bool(trainer.fit_loop.epoch_loop.batch_progress.is_last_batch)


def drop_train_loader(trainer: pl.Trainer) -> None:
    """Let Lightning ask for the training loader once more, before the first step.

    It makes one to count its batches before it reads a checkpoint: that stands at the first batch
    of the first epoch, and its workers load that already. The next one gets the restored state.
    """
    loop = trainer.fit_loop
    if loop._data_fetcher is not None:
        loop._data_fetcher.teardown()
        loop._data_fetcher = None
        loop._combined_loader = None


# Checkpoints.


def state_before_validation(trainer: pl.Trainer) -> dict[str, Any]:
    """Return a checkpoint of a training in whose validation Lightning is.

    ``trainer.save_checkpoint`` would store how far the validation is, and ends in a barrier at
    which the other ranks do not arrive. A run resumed from this one validates from the start.
    """
    checkpoint: dict[str, Any] = trainer._checkpoint_connector.dump_checkpoint(False)
    # The loops' state of a validation that has begun.
    begun = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
    progress.update(total=dict(begun), current=dict(begun), is_last_batch=False)
    return checkpoint


def save_last(callback: ModelCheckpoint, trainer: pl.Trainer) -> None:
    """Write the callback's ``last.ckpt``, and remember that in its state."""
    callback._save_last_checkpoint(trainer, callback._monitor_candidates(trainer))


def last_saved_step(callback: ModelCheckpoint) -> int:
    """Return the optimiser step of the callback's latest checkpoint."""
    return int(callback._last_global_step_saved)


# Averages of the weights.


def averages_in_use(trainer: pl.Trainer) -> list[WeightAveraging]:
    """Return the callbacks that average weights and have begun to."""
    found = [c for c in trainer.callbacks if isinstance(c, WeightAveraging)]  # type: ignore[attr-defined]
    return [callback for callback in found if callback._average_model is not None]


def swap_averages(callback: WeightAveraging, module: pl.LightningModule) -> None:
    """Exchange the weights of ``module`` and their averages, which stand in while it validates."""
    callback._swap_models(module)


# What people see.


class EpochBar(RichProgressBar):
    """Lightning's rich bar, whose text before the bar can be chosen."""

    def epoch_text(self) -> str:
        """Return what stands before the bar of a training epoch."""
        raise NotImplementedError

    def _get_train_description(self, current_epoch: int) -> str:
        # Padded, so that the bars of training and validation stand below each other.
        return self.epoch_text().ljust(len(self.validation_description))


def wandb_options(logger: Logger) -> dict[str, Any]:
    """Return what Lightning's W&B logger will pass to ``wandb.init``; changes count."""
    options: dict[str, Any] = logger._wandb_init  # type: ignore[attr-defined]
    return options
