"""Data loaders that continue in the middle of an epoch, and that do not wait for ever."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from torch.utils.data import DataLoader

from corrlight.data.images import BadImageError
from corrlight.data.loading.samplers import TrainBatchSampler
from corrlight.structures import Batch

__all__ = ["EvalLoader", "LoaderStalledError", "TrainLoader", "leave_signals"]


def leave_signals(worker: int) -> None:
    """Let a loader process leave stop signals to the training process, which saves first.

    Terminals, ``kill`` with a process group and SLURM signal every process of a run. A loader
    process that ends by that ends the training with an error, before it has saved. It ends when
    the training process does.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


class LoaderStalledError(ValueError):
    """A loader process gave nothing for the stated time; the message is one line."""


def _kill_workers(batches: Iterator[Batch]) -> None:
    """Kill the loader processes of an iterator, if it has some.

    One that hangs would keep the training process for ever: PyTorch and Python end it by SIGTERM,
    which it leaves to the training process, and wait until it has ended.
    """
    workers = getattr(batches, "_workers", [])
    while any(worker.is_alive() for worker in workers):
        with suppress(RuntimeError):  # PyTorch reports, at any moment, that one was killed.
            for worker in workers:
                worker.kill()
                worker.join()
    if workers:
        with suppress(RuntimeError):
            batches._shutdown_workers()  # type: ignore[attr-defined]


def _unless_stalled(batches: Iterator[Batch], seconds: float) -> Iterator[Batch]:
    """Yield the batches.

    Raises:
        LoaderStalledError: For a time-out and for a process that died, which PyTorch tells in many
            lines and without the way out.
        BadImageError: For a picture that cannot be read, without the traceback that PyTorch makes
            a part of the message where it was a loader process that read it.
    """
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except BadImageError as error:
            # The last words of the traceback are the message.
            raise BadImageError(
                str(error).rpartition(f"{BadImageError.__name__}: ")[2].strip()
            ) from None
        except RuntimeError as error:
            text = str(error)
            if "timed out" in text:
                what = f"gave no batch for {seconds:g} s (data.loader_seconds)"
            elif "exited unexpectedly" in text or "killed by signal" in text:
                what = f"died ({text.splitlines()[0].rstrip('. ')})"
            else:
                raise
            _kill_workers(batches)
            raise LoaderStalledError(
                f"A loader process {what}: fewer of them (data.num_workers=0) need less memory and "
                "less of /dev/shm."
            ) from error
        yield batch


class EvalLoader(DataLoader[Any]):
    """A loader of validation and test batches that does not wait for ever."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # Not a generator: worker processes start to load at once.
        return _unless_stalled(super().__iter__(), self.timeout)


class TrainLoader(DataLoader[Any]):
    """A loader over a :class:`TrainBatchSampler` that knows how many batches it handed out.

    Lightning stores :meth:`state_dict` in its checkpoints and restores it before the first batch,
    so that a resumed epoch goes on with the batch after the last one trained on. Batches that
    worker processes loaded in advance are not counted.
    """

    batch_sampler: TrainBatchSampler
    _num_taken = 0

    # DataLoader promises its own iterator class; nobody relies on more than iteration.
    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        self._num_taken = self.batch_sampler.start_batch
        # Made here, not in the generator: worker processes start to load at once.
        return self._counted(_unless_stalled(super().__iter__(), self.timeout))

    def _counted(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self._num_taken += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the number of batches taken from it."""
        return {"epoch": self.batch_sampler.epoch, "num_taken": self._num_taken}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the batches that ``state`` counts, if it is of the current epoch."""
        if state["epoch"] == self.batch_sampler.epoch:
            self.batch_sampler.start_batch = state["num_taken"]
