"""TensorBoard, imported only when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from corrlight.callbacks.loggers.shared import check_package

__all__ = ["tensorboard_logger"]


class _TensorBoard(TensorBoardLogger):
    """Shows the configuration as text: it is too deep for TensorBoard's table of options."""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Write the configuration, indented as Markdown's code is."""
        text = yaml.safe_dump(params, sort_keys=False, allow_unicode=True)
        lines = [f"    {line}" for line in text.splitlines()]
        self.experiment.add_text("config", "\n".join(lines), global_step=0)

    @rank_zero_only
    def save(self) -> None:
        """Write what is waiting; the options are in ``config.yaml`` already."""
        self.experiment.flush()


def tensorboard_logger(save_dir: str = ".") -> Any:
    """Return Lightning's TensorBoard logger, whose files go below the run folder.

    ``tensorboard --logdir runs`` shows all runs. A job that is resumed adds a file to those of the
    run, and TensorBoard reads them as one.

    Args:
        save_dir: The run folder, or that of a test.

    Raises:
        ValueError: The package is missing.
    """
    check_package("tensorboard")
    return _TensorBoard(
        save_dir=str(Path(save_dir).resolve()),
        name="",
        version="tensorboard",
        default_hp_metric=False,
        flush_secs=30,
    )
