"""What a test takes beside the measures of every epoch: image-level bounds, and dumps."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch.distributed as dist

from corrlight.metrics.base import Number
from corrlight.metrics.image_bounds import ImageBounds
from corrlight.metrics.raw.dump import write_raw
from corrlight.metrics.raw.images import postprocess_options, raw_images

if TYPE_CHECKING:
    from corrlight.structures import Batch

__all__ = ["BoundsAtTest", "RawDumper"]


class BoundsAtTest(pl.Callback):
    """Image-level AP bounds of a test.

    Args:
        bounds: What to feed; all ranks evaluate it together.

    Attributes:
        values: The six bounds, after the test.
        seconds: What they took: further post-processing and evaluation.
    """

    def __init__(self, bounds: ImageBounds) -> None:
        self.bounds = bounds
        self.values: dict[str, Number] = {}
        self.seconds = 0.0

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget everything."""
        self.bounds.reset()
        self.seconds = 0.0

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Post-process the batch with permuted scores."""
        started = time.perf_counter()
        self.bounds.update(batch, outputs, pl_module.postprocessor)
        self.seconds += time.perf_counter() - started

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate and log the bounds."""
        started = time.perf_counter()
        self.values = self.bounds.compute()
        self.seconds += time.perf_counter() - started
        logged = {
            f"test/{name}": float("nan") if value is None else float(value)
            for name, value in self.values.items()
        }
        pl_module.log_dict(logged, batch_size=1, rank_zero_only=False)


class RawDumper(pl.Callback):
    """Keeps what post-processing reads and writes ``raw.npz``.

    Args:
        path: The file; rank 0 writes it.
        category_ids: Category id of every label.
    """

    def __init__(self, path: Path, category_ids: tuple[int, ...]) -> None:
        self.path = path
        self.category_ids = np.array(category_ids, dtype=np.int64)
        self._images: dict[int, dict[str, Any]] = {}

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget everything."""
        self._images = {}

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the images of the batch."""
        for image in raw_images(batch, outputs, pl_module.postprocessor, self.category_ids):
            self._images.setdefault(int(image["image_id"][0]), image)

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Gather the images of all ranks and write them, by image id."""
        merged = self._images
        if dist.is_available() and dist.is_initialized():
            rank, world = dist.get_rank(), dist.get_world_size()
            parts: list[Any] | None = [None] * world if rank == 0 else None
            dist.gather_object(self._images, parts, dst=0)
            merged = {}
            for part in parts or ():
                merged = {**part, **merged}
        if trainer.is_global_zero:
            images = [merged[image_id] for image_id in sorted(merged)]
            write_raw(self.path, images, postprocess_options(pl_module.postprocessor))
        self._images = {}
