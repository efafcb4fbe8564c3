"""The last epoch of a training is validated, however seldom the others are."""

from __future__ import annotations

import lightning.pytorch as pl

__all__ = ["ValidateLastEpoch"]


class ValidateLastEpoch(pl.Callback):
    """Validates the last epoch, whose weights and measures are what a run results in.

    Lightning validates every ``check_val_every_n_epoch``-th epoch alone: with 12 epochs and 5 that
    would be the 10th, before the last step of the learning rate.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the epoch in whose middle a resumed training starts."""
        _validate_if_last(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the epoch."""
        _validate_if_last(trainer)


def _validate_if_last(trainer: pl.Trainer) -> None:
    if trainer.current_epoch + 1 == trainer.max_epochs:
        trainer.check_val_every_n_epoch = 1
