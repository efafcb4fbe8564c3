"""A callback that makes one job of a sweep fail in the way that its seed stands for."""

import json
import os
import resource
import signal
from pathlib import Path

import lightning.pytorch as pl


class Fault(pl.Callback):
    """Strikes in the second epoch, only while CORRLIGHT_FAULTS is set."""

    def __init__(self, seed: int) -> None:
        self.kind = {1: "raise", 2: "kill", 3: "full"}.get(seed, "")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == 0 or not os.environ.get("CORRLIGHT_FAULTS"):
            return
        if self.kind == "raise":
            raise RuntimeError("pulled the plug")
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


class RankFault(pl.Callback):
    """The main process of a job of two fails alone, in the job with seed 1."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if self.seed == 1 and trainer.global_rank == 0 and batch_idx == 1:
            raise RuntimeError("rank 0 pulled the plug")


class Nan(pl.Callback):
    """Makes a loss NaN in the second batch of the second epoch, on one rank."""

    def __init__(self, rank: int = 0) -> None:
        self.rank = rank

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx, trainer.global_rank) == (1, 1, self.rank):
            batch.images.fill_(float("nan"))


class StepLosses(pl.Callback):
    """Writes the losses of every rank's steps to ``rank<k>.json``."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))

    def on_train_end(self, trainer, pl_module):
        path = self.folder / f"rank{trainer.global_rank}.json"
        path.write_text(json.dumps(self.losses))
