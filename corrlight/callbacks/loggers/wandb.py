"""Weights & Biases, imported only when asked for."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corrlight.callbacks.loggers.shared import (
    earlier_id,
    keep_id,
    read_object,
    run_name,
    sweep_name,
)

__all__ = ["close_wandb", "wandb_logger"]

_STOPPED, _FAILED = 130, 1


def wandb_logger(
    project: str = "corrlight",
    name: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    save_dir: str = ".",
    offline: bool | None = None,
) -> Any:
    """Return Lightning's W&B logger, which logs the run's results when the job ends.

    One W&B run a job: its measures of every epoch, the resolved configuration, the final table
    (``final`` and the summary ``final/AP``, ...), the figures of the run folder, and the
    job's exit state. A job that is resumed goes on with its W&B run, offline too: ``wandb sync``
    of version 0.31 appends the later folder to the earlier one. Every test is a run of its own.

    Args:
        project: W&B project.
        name: Name of the run: a table's row; by default the run folder's name. That of a test says
            so.
        group: Table or sweep that the run belongs to; by default the sweep that started it.
        tags: Further labels.
        save_dir: The run folder, or that of a test; W&B's own files go below.
        offline: None means offline unless ``WANDB_API_KEY`` is set or a W&B agent started the job,
            whose sweep waits for the measures; ``wandb sync`` uploads later.
    """
    from lightning.pytorch.loggers import WandbLogger as LightningWandbLogger

    from corrlight.lightning_private import wandb_options

    folder = Path(save_dir).resolve()

    class WandbLogger(LightningWandbLogger):
        """Closes its run with the job's results and exit state."""

        failed = False

        def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
            """Start the run or go on with it, log the configuration, and see to its end."""
            is_test = params.get("mode") == "test"
            if is_test:
                wandb_options(self)["name"] = run_name(folder, name, is_test=True)
            else:
                wandb_options(self)["id"] = _earlier_id(folder)
            super().log_hyperparams(params, *args, **kwargs)
            if not is_test:
                keep_id(folder, "wandb", self.experiment.id)
            # After W&B's own hook, hence before it at exit, which would close the run first.
            atexit.register(self._close)

        def finalize(self, status: str) -> None:
            """Note a failure: a test that fails leaves the files of an earlier one."""
            super().finalize(status)
            self.failed = self.failed or status == "failed"

        def _close(self) -> None:
            close_wandb(self.experiment, folder, failed=self.failed)

    if offline is None:
        # An agent's own key may stand in the user's .netrc.
        offline = not (os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_SWEEP_ID"))
    return WandbLogger(
        name=run_name(folder, name, is_test=False),
        save_dir=save_dir,
        offline=offline,
        project=project,
        group=group or sweep_name(),
        tags=list(tags),
    )


def close_wandb(run: Any, folder: Path, *, failed: bool = False) -> None:
    """Log the results of a run folder and close its W&B run with the job's exit state.

    Args:
        run: The W&B run.
        folder: The run folder, or that of its test.
        failed: Whether the job failed; a "finished" in the folder is then of an earlier one.
    """
    status = read_object(folder / "environment.json").get("status")
    if failed and status == "finished":
        status = "failed"
    metrics = read_object(folder / "metrics.json") if status == "finished" else {}
    if metrics:
        import wandb

        measures = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
        for key, value in measures.items():
            run.summary[f"final/{key}"] = value
        table = wandb.Table(columns=["measure", "value"], data=[list(m) for m in measures.items()])
        pictures = {
            f"final/{path.stem}": wandb.Image(str(path))
            for path in sorted((folder / "figures").glob("*.png"))
        }
        run.log({"final/measures": table, **pictures})
    codes = {"finished": 0, "stopped": _STOPPED}
    run.finish(exit_code=codes.get(str(status), _FAILED))


def _earlier_id(folder: Path) -> str | None:
    """Return the id of the W&B run that a folder's job goes on with, None where it starts one."""
    # An agent's sweep has chosen the run already, and W&B ignores another one with a warning.
    if os.environ.get("WANDB_RUN_ID") or os.environ.get("WANDB_SWEEP_ID"):
        return None
    return earlier_id(folder, "wandb")
