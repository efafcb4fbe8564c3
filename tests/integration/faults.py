"""Callbacks that make a run fail, and that tell what its processes did."""

import json
import os
import resource
import signal
from pathlib import Path

import lightning.pytorch as pl
import torch


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


class Rank1Fault(pl.Callback):
    """Rank 1 fails alone in its second batch."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_rank == 1 and batch_idx == 1:
            raise RuntimeError("rank 1 pulled the plug")


class KillAt(pl.Callback):
    """Sends SIGKILL to its own process after a step, only while CORRLIGHT_FAULTS is set."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step and os.environ.get("CORRLIGHT_FAULTS"):
            os.kill(os.getpid(), signal.SIGKILL)


class StopInValidation(pl.Callback):
    """Sends SIGTERM to its own process within the validation of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if trainer.current_epoch == self.epoch and os.environ.get("CORRLIGHT_FAULTS"):
            os.kill(os.getpid(), signal.SIGTERM)


class Launches(pl.Callback):
    """Adds a line about this process to a file: who it is, and which run it makes."""

    def __init__(self, file: str, seed: int) -> None:
        self.file, self.seed = Path(file), seed

    def setup(self, trainer, pl_module, stage):
        if stage != "fit":
            return
        line = {
            "pid": os.getpid(),
            "rank": trainer.global_rank,
            "seed": self.seed,
            "seeded": int(os.environ["PL_GLOBAL_SEED"]),
            # The run id is a hash of all options that this process composed.
            "run": Path(trainer.default_root_dir).name,
        }
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")


class Nan(pl.Callback):
    """Makes a loss NaN in the second batch of the second epoch, on one rank."""

    def __init__(self, rank: int = 0) -> None:
        self.rank = rank

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx, trainer.global_rank) == (1, 1, self.rank):
            batch.images.fill_(float("nan"))


class Hungry(pl.Callback):
    """Asks for a pebibyte in the second batch of a kind: the allocator's own error."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.kind == "train" and batch_idx == 1:
            torch.empty(2**50, dtype=torch.uint8)

    def on_test_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if self.kind == "test" and batch_idx == 1:
            torch.empty(2**50, dtype=torch.uint8)


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
