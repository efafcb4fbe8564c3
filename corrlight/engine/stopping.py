"""SIGTERM, Ctrl-C, SIGHUP, SIGUSR1 and SIGUSR2: save a checkpoint, then end."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities.exceptions import SIGTERMException

from corrlight.lightning_private import (
    accumulates,
    averages_in_use,
    forget_ranks,
    in_last_batch,
    started_ranks,
    state_before_validation,
    swap_averages,
)
from corrlight.runs.ending import STOP_SECONDS, STOP_SIGNALS
from corrlight.runs.folder import RunFolder

__all__ = ["RunStopped", "StopSignals", "end_ranks", "stopped_by"]

# Ranks that fail with the main process have this long to say why.
_RANK_SECONDS = 10.0


class RunStopped(SystemExit):
    """Training was asked to stop and has saved what it did.

    Attributes:
        signum: The signal that asked; the exit code is 128 more.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum


def stopped_by(error: SystemExit) -> RunStopped:
    """Return what Lightning's own answers to SIGTERM (exit code 0 there) and Ctrl-C mean."""
    return RunStopped(signal.SIGTERM if isinstance(error, SIGTERMException) else signal.SIGINT)


def end_ranks(trainer: pl.Trainer) -> None:
    """End the other ranks of this machine, which would wait for this one for ever."""
    forget_ranks()
    ranks = started_ranks(trainer)
    deadline = time.monotonic() + _RANK_SECONDS
    while time.monotonic() < deadline and any(rank.poll() is None for rank in ranks):
        time.sleep(0.1)
    for rank in ranks:
        if rank.poll() is None:
            rank.kill()


class StopSignals(pl.Callback):
    """Saves ``last.ckpt`` after the current batch and raises :class:`RunStopped`.

    All ranks stop after the same training batch. Within a validation, where ranks do not wait for
    each other, the main process saves the state before the validation at once, which is then made
    again, and each stops by itself. Lightning's own handler would end without saving, and
    broadcasts within the signal handler, between any two collectives of the training.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.received: int | None = None
        self._trainer: pl.Trainer | None = None
        self._stand_ins: list[WeightAveraging] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals over; Lightning restores the earlier handlers at the end."""
        self._trainer = trainer
        if trainer.received_sigterm:  # While it was getting ready; nothing is lost.
            raise RunStopped(signal.SIGTERM)
        if threading.current_thread() is threading.main_thread():
            for signum in STOP_SIGNALS:
                # nohup asks to go on when the terminal is closed.
                if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
                    signal.signal(signum, self._receive)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self.received is not None:
            if signum == self.received == signal.SIGINT:
                raise KeyboardInterrupt  # The user is in a hurry.
            return
        self.received = signum
        trainer = self._trainer
        assert trainer is not None
        forget_ranks()
        for rank in started_ranks(trainer):
            rank.send_signal(signal.SIGTERM)
        # One that does not come to its next batch (a collective that lost a rank) is ended.
        watchdog = threading.Timer(STOP_SECONDS, os._exit, [128 + signum])
        watchdog.daemon = True
        watchdog.start()
        if _validates(trainer):
            # The measures of many images may take longer than anybody waits.
            self._save_before_validation(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Stop here if any rank was asked to; the epoch's last batch leaves it to validation."""
        if in_last_batch(trainer) or accumulates(trainer):
            return
        if trainer.strategy.reduce_boolean_decision(self.received is not None, all=False):
            trainer.save_checkpoint(self.folder.last_checkpoint)
            raise RunStopped(self.received or signal.SIGTERM)

    def on_validation_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Stop before the validation of an epoch."""
        if self.received is not None and trainer.state.fn == "fit":
            self._save_before_validation(trainer)
            raise RunStopped(self.received)

    def on_validation_epoch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Note the averages that now stand in for the weights that are trained."""
        self._stand_ins = averages_in_use(trainer)

    def on_validation_epoch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Forget them: the trained weights are back."""
        self._stand_ins = []

    def on_validation_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Stop within the validation of an epoch; the state before it is saved."""
        if self.received is not None and trainer.state.fn == "fit":
            raise RunStopped(self.received)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Let ranks say what failed; one that lost a stopped rank within a validation stops."""
        forget_ranks()
        if (
            self.received is not None
            and _validates(trainer)
            and isinstance(exception, RuntimeError)
            and trainer.world_size > 1
        ):
            raise RunStopped(self.received) from exception

    def _save_before_validation(self, trainer: pl.Trainer) -> None:
        """Write the state before a validation on the main process; the others write nothing."""
        for averages in self._stand_ins:
            swap_averages(averages, trainer.lightning_module)
        checkpoint = state_before_validation(trainer)
        trainer.strategy.save_checkpoint(checkpoint, self.folder.last_checkpoint)
        for averages in self._stand_ins:
            swap_averages(averages, trainer.lightning_module)


def _validates(trainer: pl.Trainer) -> bool:
    return trainer.state.fn == "fit" and bool(trainer.validating)
