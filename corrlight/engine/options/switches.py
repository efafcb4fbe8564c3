"""What ``ema=`` and ``patience=`` switch on: an average of the weights, and an early end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, WeightAveraging
from omegaconf import DictConfig
from torch import Tensor

from corrlight.metrics.direction import better_direction, logged_direction

__all__ = ["EarlyEnd", "RampedAverage", "ramped_decay", "switched_on"]

_DECAY = 0.999


def switched_on(config: DictConfig) -> list[pl.Callback]:
    """Return the callbacks of the two options; none where both are off, and none in a test."""
    if config.mode != "train":
        return []
    callbacks: list[pl.Callback] = []
    if config.ema is not False:
        callbacks.append(RampedAverage(_DECAY if config.ema is True else float(config.ema)))
    if config.patience is not None:
        callbacks.append(EarlyEnd(config.optimized_metric, config.patience))
    return callbacks


class RampedAverage(WeightAveraging):
    """An exponential moving average of the weights, which validation and checkpoints take.

    Args:
        decay: What the share of the old average rises to (:func:`ramped_decay`).
    """

    def __init__(self, decay: float = _DECAY) -> None:
        super().__init__(multi_avg_fn=_ramped(decay))


def ramped_decay(decay: float, step: int) -> float:
    """Return the share of the old average that stays at an update, from 0: ``(1 + k) / (10 + k)``.

    With 0.999 alone the average of a short run is mostly its initial weights. As in TensorFlow's
    ``ExponentialMovingAverage`` with ``num_updates``.

    >>> [round(ramped_decay(0.999, step), 3) for step in (0, 10, 100, 10_000)]
    [0.1, 0.55, 0.918, 0.999]
    """
    return min(decay, (1 + step) / (10 + step))


def _ramped(decay: float) -> Callable[..., None]:
    @torch.no_grad()
    def update(averages: Sequence[Tensor], current: Sequence[Tensor], count: Any) -> None:
        # The first update copies, so that the count begins at 1.
        share = 1 - ramped_decay(decay, int(count) - 1)
        for average, value in zip(averages, current, strict=True):
            if average.is_floating_point():
                average.lerp_(value.to(average.dtype), share)
            else:  # Numbers of batches.
                average.copy_(value)

    return update


class EarlyEnd(EarlyStopping):
    """Ends a training after so many validations without a better measure.

    An undefined measure is no better one.

    Args:
        monitor: Logged measure, better as it says itself.
        patience: Validations in a row.
    """

    def __init__(self, monitor: str, patience: int) -> None:
        super().__init__(
            monitor, patience=patience, mode=better_direction(monitor) or "max", check_finite=False
        )

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Ask the run's own measures, which ours need not know, which way is better.

        Raises:
            ValueError: The measure is a count, which is neither good nor bad.
        """
        mode = logged_direction(self.monitor, pl_module)
        if mode is None:
            raise ValueError(
                "Expected a measure that is better one way in `optimized_metric` with `patience`, "
                f"but got the count '{self.monitor}'."
            )
        if mode != self.mode:
            self.mode = mode
            worst = float("inf" if mode == "min" else "-inf")
            self.best_score = torch.tensor(worst)
        super().setup(trainer, pl_module, stage)
