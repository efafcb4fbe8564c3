"""Where checkpoints go: ``checkpoints/`` of the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint

__all__ = ["RunCheckpoint"]


class RunCheckpoint(ModelCheckpoint):
    """Saves ``last.ckpt`` at every epoch's end and ``best.ckpt`` by a monitored measure.

    Args:
        monitor: Logged measure; higher is better but for losses and localisation errors (oLRP).
        every_n_steps: Also save ``last.ckpt`` after every so many batches; None saves at the end
            of epochs only. A resumed run goes on with the next batch.
        **kwargs: Further arguments of Lightning's ``ModelCheckpoint``.

    Raises:
        ValueError: ``every_n_steps`` below 1.
    """

    def __init__(
        self, monitor: str | None = "val/AP", every_n_steps: int | None = None, **kwargs: Any
    ) -> None:
        if every_n_steps is not None and (type(every_n_steps) is not int or every_n_steps < 1):
            raise ValueError(
                f"Expected `every_n_steps` to be null or at least 1, but got {every_n_steps!r}."
            )
        self.every_n_steps = every_n_steps
        super().__init__(
            monitor=monitor,
            mode="min" if monitor is not None and _smaller_is_better(monitor) else "max",
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

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best measure, also where the folder has moved or is spelt another way."""
        best = state_dict.get("best_model_path")
        if best and self.dirpath:
            here = str(Path(self.dirpath) / Path(best).name)
            models = {here: state_dict["best_model_score"]} if state_dict["best_k_models"] else {}
            state_dict = {
                **state_dict,
                "dirpath": self.dirpath,
                "best_model_path": here,
                "best_k_models": models,
                "kth_best_model_path": here if models else "",
            }
        super().load_state_dict(state_dict)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save within the epoch; its last batch is left to the end of the epoch."""
        progress = trainer.fit_loop.epoch_loop.batch_progress
        due = self.every_n_steps is not None and (batch_idx + 1) % self.every_n_steps == 0
        # Gradients that are being accumulated are in no checkpoint.
        if due and not progress.is_last_batch and not trainer.fit_loop._should_accumulate():
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save after the epoch's validation; ``last.ckpt`` also where it is not the best."""
        super().on_train_epoch_end(trainer, pl_module)
        if self._last_global_step_saved != trainer.global_step:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))


def _smaller_is_better(monitor: str) -> bool:
    return monitor.startswith("train/") or "oLRP" in monitor
