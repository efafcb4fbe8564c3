"""A callback that stops a run within a validation, with checkpoints that take their time."""

import os
import signal
import time

import lightning.pytorch as pl


class SlowStop(pl.Callback):
    """Sends SIGTERM to the main process in the validation of the second epoch.

    Its checkpoints take longer than Lightning waits before it ends a group that lost a rank. It
    strikes only while CORRLIGHT_FAULTS is set.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def setup(self, trainer, pl_module, stage):
        save = trainer.strategy.checkpoint_io.save_checkpoint

        def slowly(*args, **kwargs):
            if self._strikes(trainer):
                time.sleep(self.seconds)
            save(*args, **kwargs)

        trainer.strategy.checkpoint_io.save_checkpoint = slowly

    def _strikes(self, trainer):
        return trainer.current_epoch == 1 and bool(os.environ.get("CORRLIGHT_FAULTS"))

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if trainer.is_global_zero and self._strikes(trainer):
            os.kill(os.getpid(), signal.SIGTERM)
