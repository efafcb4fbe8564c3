"""Which images form which batch on which rank: pure functions of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from corrlight.data.dataset import SampleKey

__all__ = ["EvalBatchSampler", "TrainBatchSampler", "shard_batches"]


class TrainBatchSampler(Sampler[list[SampleKey]]):
    """Shuffled batches of one rank: image index and seed of its augmentation.

    Order and seeds depend on (seed, epoch) only, so a run is the same with any number of workers
    and after a resume, and k ranks together see the batches of one. Every image comes once an
    epoch. All ranks take the same number of equally large batches: where the images of the last
    batch cannot be shared out, the first of the epoch's order fill it up.

    Args:
        num_images: Number of images.
        batch_size: Images of all ranks together in one step.
        seed: Seed of the run.
        rank: This process.
        world_size: Number of processes.
        groups: ``(num_images,)`` group of each image; a batch comes from one group (portrait and
            landscape). All one group by default.

    Raises:
        ValueError: If the batch cannot be split evenly over the ranks, or there is no image.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        seed: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        groups: Sequence[int] | None = None,
    ) -> None:
        if num_images < 1:
            raise ValueError("Expected at least 1 training image, but got none.")
        if batch_size < 1 or batch_size % world_size:
            raise ValueError(
                "Expected `batch_size` to be a positive multiple of the number of ranks "
                f"({world_size}), but got {batch_size!r}."
            )
        if not 0 <= rank < world_size:
            raise ValueError(f"Expected `rank` to be in [0, {world_size}), but got {rank!r}.")
        self.batch_size, self.seed = batch_size, seed
        self.rank, self.world_size = rank, world_size
        labels = np.zeros(num_images, int) if groups is None else np.asarray(groups)
        self._groups = [np.flatnonzero(labels == g) for g in np.unique(labels)]
        self.epoch = 0
        self.start_batch = 0

    # Lightning sets the epoch on `batch_sampler.sampler`.
    @property
    def sampler(self) -> TrainBatchSampler:
        """The object itself."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; another one than before begins with its first batch."""
        if epoch != self.epoch:
            self.epoch, self.start_batch = epoch, 0

    def __len__(self) -> int:
        return sum(-(-len(g) // self.batch_size) for g in self._groups)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch, start = self.epoch, self.start_batch
        for batch in self._global_batches(epoch)[start:]:
            share = len(batch) // self.world_size
            for_rank = batch[self.rank * share : (self.rank + 1) * share]
            yield [(int(index), self._sample_seed(epoch, int(index))) for index in for_rank]

    def _global_batches(self, epoch: int) -> list[Any]:
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch]))
        batches = []
        for group in self._groups:
            order = rng.permutation(group)
            for start in range(0, len(order), self.batch_size):
                batch = order[start : start + self.batch_size]
                # A group may have fewer images than are missing; resize() repeats them.
                missing = -len(batch) % self.world_size
                batches.append(np.concatenate([batch, np.resize(order, missing)]))
        if len(self._groups) == 1:
            return batches
        return [batches[k] for k in rng.permutation(len(batches))]

    def _sample_seed(self, epoch: int, index: int) -> int:
        sequence = np.random.SeedSequence([self.seed, epoch, index])
        return int(sequence.generate_state(1, np.uint64)[0])


def shard_batches(num_images: int, batch_size: int, rank: int, world_size: int) -> list[list[int]]:
    """Return the evaluation batches of a rank: every ``world_size``-th batch of consecutive images.

    The batches themselves do not depend on the number of ranks, so neither do the detections.
    Together the ranks see every image exactly once, except that a rank without a batch repeats the
    first one: it has to take part in the final gather, which counts every image once.

    >>> [shard_batches(5, 2, rank, 2) for rank in range(2)]
    [[[0, 1], [4]], [[2, 3]]]
    """
    starts = range(rank * batch_size, num_images, world_size * batch_size) or range(
        min(1, num_images)
    )
    return [list(range(s, min(s + batch_size, num_images))) for s in starts]


class EvalBatchSampler(Sampler[list[int]]):
    """The batches of :func:`shard_batches`, in order.

    Args:
        num_images: Number of images.
        batch_size: Images of one rank in one step.
        rank: This process.
        world_size: Number of processes.

    Raises:
        ValueError: If ``batch_size`` is not positive or ``rank`` out of range.
    """

    def __init__(
        self, num_images: int, batch_size: int, *, rank: int = 0, world_size: int = 1
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"Expected `eval_batch_size` to be positive, but got {batch_size!r}.")
        if not 0 <= rank < world_size:
            raise ValueError(f"Expected `rank` to be in [0, {world_size}), but got {rank!r}.")
        self.batches = shard_batches(num_images, batch_size, rank, world_size)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)
