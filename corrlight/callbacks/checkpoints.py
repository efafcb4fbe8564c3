"""Where checkpoints go: ``checkpoints/`` of the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint

__all__ = ["RunCheckpoint"]


class RunCheckpoint(ModelCheckpoint):
    """Saves ``last.ckpt`` at every epoch's end and ``best.ckpt`` by a monitored measure.

    Saving after the validation of the epoch, at the end of training's epoch, is what makes a
    resumed run start cleanly at the next epoch.

    Args:
        monitor: Logged measure, higher is better.
        **kwargs: Further arguments of Lightning's ``ModelCheckpoint``.
    """

    def __init__(self, monitor: str | None = "val/AP", **kwargs: Any) -> None:
        super().__init__(
            monitor=monitor,
            mode="max",
            filename="best",
            save_last=True,
            save_top_k=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
            auto_insert_metric_name=False,
            **kwargs,
        )

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Take the folder from the trainer."""
        self.dirpath = str(Path(trainer.default_root_dir) / "checkpoints")
        super().setup(trainer, pl_module, stage)
