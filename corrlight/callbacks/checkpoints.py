"""Where checkpoints go: ``checkpoints/`` of the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from corrlight.arguments import check_choice
from corrlight.lightning_private import accumulates, in_last_batch, last_saved_step, save_last
from corrlight.metrics.direction import Direction, logged_direction

__all__ = ["RunCheckpoint"]


class RunCheckpoint(ModelCheckpoint):
    """Saves ``last.ckpt`` at every epoch's end and ``best.ckpt`` by a monitored measure.

    Args:
        monitor: Logged measure.
        mode: "max" keeps the epoch with the largest, "min" that with the smallest; None asks the
            measure (:func:`~corrlight.metrics.direction.better_direction`).
        every_n_steps: Also save ``last.ckpt`` after every so many batches; None saves at the end
            of epochs only. A resumed run goes on with the next batch.
        **kwargs: Further arguments of Lightning's ``ModelCheckpoint``.

    Raises:
        ValueError: ``every_n_steps`` below 1, an unknown ``mode``, or at the start of the training
            no ``mode`` for a count.
    """

    def __init__(
        self,
        monitor: str | None = "val/AP",
        mode: Direction | None = None,
        every_n_steps: int | None = None,
        **kwargs: Any,
    ) -> None:
        if mode is not None:
            check_choice("mode", mode, get_args(Direction))
        if every_n_steps is not None and (type(every_n_steps) is not int or every_n_steps < 1):
            raise ValueError(
                f"Expected `every_n_steps` to be null or at least 1, but got {every_n_steps!r}."
            )
        self.every_n_steps = every_n_steps
        self._mode_is_given = mode is not None
        super().__init__(
            monitor=monitor,
            mode=mode or "max",
            filename="best",
            save_last=True,
            save_top_k=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
            auto_insert_metric_name=False,
            **kwargs,
        )

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Take the folder from the trainer, and the direction from the measure."""
        if not self._mode_is_given and self.monitor is not None:
            self._follow(pl_module)
        self.dirpath = str(Path(trainer.default_root_dir) / "checkpoints")
        super().setup(trainer, pl_module, stage)

    def _follow(self, pl_module: pl.LightningModule) -> None:
        assert self.monitor is not None
        found = logged_direction(self.monitor, pl_module)
        if found is None:
            raise ValueError(
                f"Expected a measure that is better one way in `optimized_metric`, but got the "
                f"count '{self.monitor}' (callbacks.checkpoint.mode=max or min says which)."
            )
        self.mode = found
        self.kth_value = torch.tensor(float("inf" if found == "min" else "-inf"))

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
        due = self.every_n_steps is not None and (batch_idx + 1) % self.every_n_steps == 0
        # Gradients that are being accumulated are in no checkpoint.
        if due and not in_last_batch(trainer) and not accumulates(trainer):
            save_last(self, trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save after the epoch's validation; ``last.ckpt`` also where it is not the best."""
        super().on_train_epoch_end(trainer, pl_module)
        if last_saved_step(self) != trainer.global_step:
            save_last(self, trainer)
