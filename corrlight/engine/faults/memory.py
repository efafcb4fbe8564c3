"""Memory that runs out: which batch needed it, how much there was, and what to do."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from omegaconf import DictConfig

from corrlight.config.ranks import ranks_per_node

__all__ = ["BatchWatch", "MemoryShortageError", "explain_shortage", "is_shortage"]

# What says so where the exception's class does not: torch on the CPU and on Apple's GPUs, and the
# libraries of NVIDIA, which ask for memory of their own.
_SAYINGS = (
    "can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)  # fmt: skip
_ASKED = re.compile(r"[Tt]ried to allocate (\d+(?:\.\d+)? ?(?:bytes|[KMGT]i?B))")


class MemoryShortageError(RuntimeError):
    """Memory ran out; the message is one line with the way out."""


class BatchWatch(pl.Callback):
    """Remembers the batch that is being computed.

    Attributes:
        what: "training", "validation" or "test"; empty before the first batch.
        shape: ``(B, 3, H, W)`` of its images.
        index: Number of the batch in its epoch, from 1.
    """

    def __init__(self) -> None:
        self.what = ""
        self.shape: tuple[int, ...] = ()
        self.index = 0

    def _note(self, what: str, batch: Any, index: int) -> None:
        images = getattr(batch, "images", None)
        shape = () if images is None else tuple(images.shape)
        self.what, self.shape, self.index = what, shape, index + 1

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        """Note a training batch."""
        self._note("training", batch, batch_idx)

    def on_validation_batch_start(
        self, trainer: Any, module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Note a validation batch."""
        self._note("validation", batch, batch_idx)

    def on_test_batch_start(
        self, trainer: Any, module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Note a test batch."""
        self._note("test", batch, batch_idx)


def is_shortage(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAYINGS)


@contextmanager
def explain_shortage(trainer: pl.Trainer, config: DictConfig) -> Iterator[None]:
    """Raise :class:`MemoryShortageError` where memory runs out in the block.

    Args:
        trainer: With a :class:`BatchWatch` among its callbacks.
        config: Of the run.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_shortage(error):
            raise
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        watch = next((c for c in callbacks if isinstance(c, BatchWatch)), BatchWatch())
        raise MemoryShortageError(_explained(error, watch, trainer, config)) from error


def _explained(
    error: BaseException, watch: BatchWatch, trainer: pl.Trainer, config: DictConfig
) -> str:
    where = "before the first batch"
    if watch.what:
        where = f"in {watch.what} batch {watch.index} of epoch {trainer.current_epoch + 1}"
    if watch.shape:
        count, _, height, width = watch.shape
        where += f" ({count} pictures of {width}x{height} pixels)"
    asked = _ASKED.search(str(error))
    asked_for = f"; {asked[1]} more were asked for" if asked else ""
    ways = ", ".join(_ways_out(watch, config))
    return f"Out of memory {where}; {_peak(trainer)}{asked_for}. Try {ways}."


def _peak(trainer: pl.Trainer) -> str:
    device = trainer.strategy.root_device
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        total = torch.cuda.get_device_properties(device).total_memory
        return f"peak {_gib(peak)} of the {_gib(total)} of {device}"
    # Linux counts KiB, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return f"peak {_gib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)} of the process"


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"


def _ways_out(watch: BatchWatch, config: DictConfig) -> Iterator[str]:
    data, trainer = config.data, config.trainer
    if watch.what in ("validation", "test"):
        size = int(data.get("eval_batch_size") or 1)
        if size > 1:
            yield f"data.eval_batch_size={size // 2}"
        yield "smaller pictures (data.eval_transforms)"
    else:
        ranks = ranks_per_node(config) * int(trainer.num_nodes)
        half = int(data.batch_size) // 2
        if half and int(data.batch_size) % 2 == 0 and half % ranks == 0:
            more = 2 * int(trainer.accumulate_grad_batches)
            yield (
                f"data.batch_size={half} trainer.accumulate_grad_batches={more} (the same "
                "learning rate)"
            )
        yield "smaller pictures (data.train_transforms)"
    if trainer.precision == "32-true":
        yield "trainer.precision=bf16-mixed"
    if data.get("cache") == "ram":
        yield "data.cache=none"
