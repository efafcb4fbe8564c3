"""A finished run, logged once more for a W&B sweep that asks for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lightning.pytorch.loggers import Logger

from corrlight.runs.folder import RunFolder

__all__ = ["replay"]


def replay(loggers: Sequence[Logger], folder: RunFolder, config: dict[str, Any]) -> None:
    """Log the epochs of a finished run, if a W&B agent started this process.

    The agent's sweep waits for the measures of the options that it chose, and a run that is
    reused trains nothing that would log them. Elsewhere the run was logged when it was made.

    Args:
        loggers: Those of the job.
        folder: Of the run; ``metrics.csv`` has the epochs.
        config: Its resolved configuration.
    """
    if not os.environ.get("WANDB_SWEEP_ID"):
        return
    for logger in loggers:
        logger.log_hyperparams(config)
        for row in folder.read_csv("metrics.csv"):
            # Empty is undefined.
            measures = {name: float(value) for name, value in row.items() if value}
            step = int(measures.pop("step"))
            logger.log_metrics(measures, step=step)
