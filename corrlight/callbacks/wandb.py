"""Weights & Biases, imported only when asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

__all__ = ["wandb_logger"]


def wandb_logger(
    project: str = "corrlight",
    name: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    save_dir: str = ".",
    offline: bool | None = None,
) -> Any:
    """Return Lightning's W&B logger.

    Args:
        project: W&B project.
        name: Name of the run.
        group: Table or sweep that the run belongs to.
        tags: Further labels.
        save_dir: Folder of W&B's own files.
        offline: None means offline unless ``WANDB_API_KEY`` is set.
    """
    from lightning.pytorch.loggers import WandbLogger

    if offline is None:
        offline = not os.environ.get("WANDB_API_KEY")
    return WandbLogger(
        name=name,
        save_dir=save_dir,
        offline=offline,
        project=project,
        group=group,
        tags=list(tags),
    )
