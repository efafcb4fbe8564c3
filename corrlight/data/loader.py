"""A data loader that continues in the middle of an epoch."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from corrlight.data.samplers import TrainBatchSampler
from corrlight.structures import Batch

__all__ = ["TrainLoader", "leave_signals"]


def leave_signals(worker: int) -> None:
    """Let a loader process leave stop signals to the training process, which saves first.

    Terminals, ``kill`` with a process group and SLURM signal every process of a run. A loader
    process that ends by that ends the training with an error, before it has saved. It ends when
    the training process does.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


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
        return self._counted(super().__iter__())

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
