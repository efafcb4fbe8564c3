"""Progress on a terminal as a bar with the time left, everywhere as one plain line an epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from rich import get_console
from rich.text import Text

from corrlight.arguments import check_number
from corrlight.lightning_private import EpochBar
from corrlight.runs.status import format_seconds

__all__ = ["EpochProgress", "format_seconds"]


class EpochProgress(EpochBar):
    """Lightning's rich bar, and after every epoch one line that stays.

    ``epoch 3/12  loss 1.234  AP 0.312  beta_cls 0.421  lr 0.02  12.3 s  ETA 1 min 50 s``

    Where the output is no terminal (a log file, a pipe) the bar is off and the lines are all there
    is: no control characters, one line an epoch, and one after every ``line_seconds`` in between,
    so that a long epoch is not silent. An epoch without a positive is said. Measures are fractions,
    as in ``metrics.json``; a dash is an undefined one. A measure that the epoch did not take is
    left out. Where a measure of masks is followed, their APs (``mask_AP``) come before the boxes'.

    Args:
        measures: Names of the validation measures in the line, without ``val/``.
        followed: The measure that ``best.ckpt`` follows, in the line wherever it is a validation's.
        refresh_rate: Redraws of the bar in a second; 0 turns it off.
        line_seconds: Seconds between the lines within an epoch where there is no bar.

    Raises:
        ValueError: ``line_seconds`` is not positive.
    """

    def __init__(
        self,
        measures: Sequence[str] = ("AP", "AP50", "AP75", "beta_img", "beta_cls"),
        refresh_rate: int = 4,
        line_seconds: float = 30.0,
        followed: str = "val/AP",
    ) -> None:
        super().__init__(refresh_rate=refresh_rate)
        self.line_seconds = check_number("line_seconds", line_seconds, above=0)
        self._last_line = 0.0
        self.measures = _with_followed(tuple(measures), followed)
        self._seconds: list[float] = []  # of every epoch of this process
        self._epoch_start = 0.0
        self._fraction = 0.0  # of the epoch's batches that are done
        self._validation: dict[str, float] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Turn the bar off where the output is no terminal."""
        super().setup(trainer, pl_module, stage)
        if not get_console().is_interactive:
            self.disable()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of an epoch that is resumed in its middle, which does not start again."""
        super().on_train_start(trainer, pl_module)
        self._epoch_start = self._last_line = time.monotonic()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        super().on_train_epoch_start(trainer, pl_module)
        self._epoch_start = self._last_line = time.monotonic()
        self._fraction = 0.0
        self._validation = {}

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note how far the epoch is."""
        self._fraction = (batch_idx + 1) / trainer.num_training_batches
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self._line_is_due(trainer):
            loss = trainer.callback_metrics.get("train/loss")
            self._print(
                f"{_epoch_name(trainer)}  batch {batch_idx + 1}/{trainer.num_training_batches}"
                + ("" if loss is None else f"  loss {float(loss):.3f}")
            )

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Say how far a long validation is."""
        super().on_validation_batch_end(
            trainer, pl_module, outputs, batch, batch_idx, dataloader_idx
        )
        if self._line_is_due(trainer):
            total = sum(map(int, trainer.num_val_batches))
            self._print(f"{_epoch_name(trainer)}  validation batch {batch_idx + 1}/{total}")

    def _line_is_due(self, trainer: pl.Trainer) -> bool:
        now = time.monotonic()
        due = not trainer.sanity_checking and now - self._last_line >= self.line_seconds
        if due:
            self._last_line = now
        return due and trainer.is_global_zero and not self.is_enabled

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the measures of this epoch; an epoch without validation prints none."""
        super().on_validation_end(trainer, pl_module)
        if not trainer.sanity_checking:
            self._validation = {
                name: float(trainer.callback_metrics[f"val/{name}"])
                for name in self.measures
                if f"val/{name}" in trainer.callback_metrics
            }

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the epoch's line."""
        super().on_train_epoch_end(trainer, pl_module)
        self._seconds.append(time.monotonic() - self._epoch_start)
        if trainer.is_global_zero:
            self._print(self.epoch_line(trainer))
            if getattr(pl_module, "positives_in_epoch", None) == 0:
                self._print(
                    "WARNING: no positive in this epoch: no anchor or cell was assigned an object, "
                    "so the detector learns nothing but background "
                    "(detector.net.anchor_scale=auto, data.size=, or the boxes are wrong)."
                )

    def epoch_line(self, trainer: pl.Trainer) -> str:
        """Return the line of the epoch that just ended."""
        metrics = trainer.callback_metrics
        loss = metrics.get("train/loss_epoch", metrics.get("train/loss"))
        parts = [_epoch_name(trainer)]
        parts += [] if loss is None else [f"loss {float(loss):.3f}"]
        parts += [f"{name} {_measure(value)}" for name, value in self._validation.items()]
        parts += [
            f"lr {optimizer.param_groups[0]['lr']:.3g}" for optimizer in trainer.optimizers[:1]
        ]
        parts.append(f"{self._seconds[-1]:.1f} s")
        left = self._seconds_left(trainer, trainer.current_epoch + 1)
        parts += [f"ETA {format_seconds(left)}"] if left else []
        return "  ".join(parts)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Return what stands beside the bar: the metrics and the time left of the whole run."""
        items: dict[str, Any] = super().get_metrics(trainer, pl_module)
        items.pop("v_num", None)
        left = self._seconds_left(trainer, trainer.current_epoch)
        if left is not None:
            spent = time.monotonic() - self._epoch_start
            items["ETA"] = format_seconds(max(0.0, left - spent))
        return items

    def _seconds_left(self, trainer: pl.Trainer, epochs_done: int) -> float | None:
        """Return the time of the epochs that are not done, None where nothing is known yet."""
        if not trainer.max_epochs or trainer.max_epochs < 0:
            return None
        if self._seconds:
            epoch = sum(self._seconds) / len(self._seconds)
        elif self._fraction > 0:  # in the first epoch its own pace, validation left out
            epoch = (time.monotonic() - self._epoch_start) / self._fraction
        else:
            return None
        return epoch * max(0, trainer.max_epochs - epochs_done)

    def epoch_text(self) -> str:
        """Return the epoch as the lines name it; Lightning counts from 0 to max_epochs - 1."""
        return _epoch_name(self.trainer)

    def _print(self, line: str) -> None:
        if self.progress is not None and self.is_enabled:
            self.progress.console.print(Text(line), soft_wrap=True)
        else:
            print(line, flush=True)


def _with_followed(measures: tuple[str, ...], followed: str) -> tuple[str, ...]:
    split, _, name = followed.partition("/")
    if split != "val":
        return measures
    if name.startswith("mask_"):
        of_boxes = [m for m in measures if m.startswith("AP")]
        rest = [m for m in measures if m not in of_boxes]
        measures = (*(f"mask_{m}" for m in of_boxes), *of_boxes[:1], *rest)
    return measures if name in measures else (name, *measures)


def _epoch_name(trainer: pl.Trainer) -> str:
    last = trainer.max_epochs
    of = f"/{last}" if last and last > 0 else ""
    return f"epoch {trainer.current_epoch + 1}{of}"


def _measure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"
