"""Whether the batches that loader processes prepare fit into shared memory."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np

from corrlight.data.collate import Collate
from corrlight.data.dataset import CocoDataset
from corrlight.structures import Batch

__all__ = ["batch_bytes", "fitting_workers", "free_shared_memory", "workers_that_fit"]

log = logging.getLogger(__name__)

# Batches that PyTorch lets a process prepare, and the one that it works on.
_PREFETCHED = 3
# More than any batch of a sensible size; below it one picture is decoded to find out.
_PLENTY = 16 * 2**30
_FOLDER = Path("/dev/shm")


def free_shared_memory(folder: Path = _FOLDER) -> int | None:
    """Return the free bytes of the system's shared memory, None where it has no such folder."""
    return shutil.disk_usage(folder).free if folder.is_dir() else None


def batch_bytes(batch: Batch) -> int:
    """Return the bytes of a batch's images and masks, which pass through shared memory."""
    masks = [target.masks for target in batch.targets if target.masks is not None]
    return int(sum(t.numel() * t.element_size() for t in (batch.images, *masks)))


def fitting_workers(asked: int, bytes_per_batch: int, free: int | None) -> int:
    """Return how many loader processes have room for what they prepare, at most ``asked``.

    A container has 64 MiB unless told otherwise. A process that finds no room prints an error, and
    its batch never comes. Sharing by file name instead of descriptor uses the same memory, so
    fewer processes are the only answer.

    Args:
        asked: Loader processes wanted.
        bytes_per_batch: Of the largest batch (:func:`batch_bytes`).
        free: Free bytes, None if there is no bound.
    """
    if free is None or not bytes_per_batch:
        return asked
    return min(asked, free // (_PREFETCHED * bytes_per_batch))


def workers_that_fit(asked: int, dataset: CocoDataset, collate: Collate, batch_size: int) -> int:
    """Return how many loader processes shared memory has room for; fewer than asked is said.

    Args:
        asked: Loader processes wanted.
        dataset: Whose largest picture is loaded once, unless there is plenty of room.
        collate: Makes the batches.
        batch_size: Pictures of a batch.
    """
    free = free_shared_memory()
    if not asked or free is None or free > _PLENTY:
        return asked
    largest = int(np.argmax([height * width for height, width in dataset.sizes]))
    needed = batch_size * batch_bytes(collate([dataset[largest]]))
    fitting = fitting_workers(asked, needed, free)
    if fitting < asked:
        log.warning(
            "Shared memory (/dev/shm) has %.0f MB free and a batch takes up to %.0f MB: loading "
            "with %d processes instead of %d (a container gets more by --shm-size=8g).",
            free / 1e6, needed / 1e6, fitting, asked,
        )  # fmt: skip
    return fitting
