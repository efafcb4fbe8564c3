"""What happens to a step whose loss is not finite: the same on every rank."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

import lightning.pytorch as pl
import torch
from torch.optim import Optimizer

from corrlight.atomic import write_text
from corrlight.structures import Batch, StepOutput

__all__ = ["NonFiniteGuard"]

Policy = Literal["raise", "skip"]


_WAYS_OUT = (
    "Try a lower schedule.lr, or callbacks.non_finite.policy=skip, which leaves such steps out."
)


class NonFiniteGuard(pl.Callback):
    """Stops training at a loss that is NaN or infinite on any rank, or leaves that step out.

    The module averages its terms over the ranks before it looks, so all ranks decide alike. A rank
    whose own loss is not finite writes ``non_finite/epoch<e>_batch<b>_rank<r>.json`` into the run
    folder: the ids of the batch's images, its terms, and the seed and epoch that its augmentation
    follows from, which is all that is needed to see the step again.

    Args:
        policy: "raise" ends the run; "skip" leaves the optimiser's step out on all ranks, and
            counts it in ``train/skipped_steps`` of ``metrics.csv``.
        max_skipped: "skip" ends the run after so many steps.

    Raises:
        ValueError: An option out of range.
    """

    def __init__(self, policy: Policy = "raise", max_skipped: int = 100) -> None:
        if policy not in get_args(Policy):
            raise ValueError(f"Expected `policy` to be 'raise' or 'skip', but got {policy!r}.")
        if type(max_skipped) is not int or max_skipped < 1:
            raise ValueError(
                f"Expected `max_skipped` to be a number of at least 1, but got {max_skipped!r}."
            )
        self.policy, self.max_skipped = policy, max_skipped
        self.skipped = 0
        self._drop = False  # Of the gradients that are being accumulated.

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        """Ask the module to report such losses here."""
        if stage == "fit":
            pl_module.on_non_finite = lambda batch, output: self._handle(trainer, batch, output)

    def _handle(self, trainer: pl.Trainer, batch: Batch, output: StepOutput) -> None:
        own = not bool(torch.isfinite(output.loss))
        bad = [name for name, value in output.terms.items() if not torch.isfinite(value)]
        epoch, step = trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_idx
        ids = [target.image_id for target in batch.targets]
        where = f"epoch {epoch + 1}, batch {step + 1}"
        what = f"terms {bad}, images {ids}" if own else "on another rank"
        message = f"The loss is not finite in {where}: {what}."
        if own:
            file = self._write(trainer, epoch, step, ids, output)
            message += f" The batch is described in {file}."
        self.skipped += 1
        if self.policy == "raise" or self.skipped > self.max_skipped:
            raise FloatingPointError(f"{message} {_WAYS_OUT}")
        self._drop = True
        if trainer.is_global_zero or own:
            print(f"{message} The step is left out (number {self.skipped}).", flush=True)

    def _write(
        self, trainer: pl.Trainer, epoch: int, step: int, ids: list[int], output: StepOutput
    ) -> Path:
        rank = trainer.global_rank
        folder = Path(trainer.default_root_dir) / "non_finite"
        path = folder / f"epoch{epoch}_batch{step}_rank{rank}.json"
        datamodule: Any = getattr(trainer, "datamodule", None)
        record = {
            "epoch": epoch,
            "batch": step,
            "rank": rank,
            "seed": getattr(datamodule, "seed", None),
            "image_ids": ids,
            "terms": {name: repr(float(value.detach())) for name, value in output.terms.items()},
        }
        write_text(path, json.dumps(record, indent=2) + "\n")
        return path

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Drop the gradients of a step that is left out; without any, nothing moves."""
        if self._drop:
            self._drop = False
            for parameter in pl_module.parameters():
                parameter.grad = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log how many steps were left out so far, where any was."""
        if self.skipped:
            pl_module.log("train/skipped_steps", float(self.skipped), batch_size=1)

    def state_dict(self) -> dict[str, int]:
        """Return the count, for a resumed run."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Take the count over."""
        self.skipped = state_dict["skipped"]
