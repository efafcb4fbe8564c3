"""Trackio, imported only when asked for."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from corrlight.callbacks.loggers.shared import (
    check_package,
    earlier_id,
    keep_id,
    run_name,
    sweep_name,
)

__all__ = ["trackio_logger"]

log = logging.getLogger("corrlight")

_NAME, _FOLDER = "trackio", "TRACKIO_DIR"
# With one of these the user has chosen a place in the network.
_ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


class TrackioLogger(Logger):
    """One Trackio run a run folder; nothing is opened before the first thing is logged.

    Args:
        folder: The run folder, or that of a test.
        project: Trackio's project.
        name: Of the run; by default the run folder's. The run's id is added: Trackio finds runs by
            name.
        group: Table or sweep that the run belongs to.
    """

    def __init__(self, folder: Path, project: str, name: str | None, group: str | None) -> None:
        super().__init__()
        self._folder, self._project = folder, project
        self._given_name, self._group = name, group
        self._run: Any = None
        self._run_name: str | None = None

    @property
    def name(self) -> str:
        """Trackio's project."""
        return self._project

    @property
    def version(self) -> str | None:
        """Trackio's name of the run, None before it is opened."""
        return self._run_name

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Trackio's run, opened."""
        if self._run is None:
            self._open({})
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Open the run, or go on with it, and log the configuration."""
        self._open(params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log measures at a step."""
        self.experiment.log({k: float(v) for k, v in metrics.items()}, step=step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Wait until all is written; what is logged later opens the run again."""
        if self._run is not None:
            import trackio

            with _silent():
                trackio.finish()
            self._run = None

    def _open(self, params: Mapping[str, Any]) -> None:
        if self._run is not None:
            return
        is_test = params.get("mode") == "test"
        goes_on = self._run_name is not None
        if self._run_name is None:
            known = None if is_test else earlier_id(self._folder, _NAME)
            goes_on = known is not None
            shown = run_name(self._folder, self._given_name, is_test=is_test)
            place = self._folder.parent if is_test else self._folder
            self._run_name = known or f"{shown} {place.name}"
        local = not any(os.environ.get(name) for name in _ELSEWHERE)
        where = Path(os.environ.get(_FOLDER) or self._folder / _NAME)
        trackio = _trackio_in(where)
        with _silent(), _offline() if local else contextlib.nullcontext():
            self._run = trackio.init(
                self._project,
                name=self._run_name,
                group=self._group,
                config=dict(params),
                resume="allow" if goes_on else "never",
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )
        if not is_test:
            keep_id(self._folder, _NAME, self._run_name)
        if local:
            log.info("Trackio: %s=%s trackio show --project %s", _FOLDER, where, self._project)


def trackio_logger(
    project: str = "corrlight",
    name: str | None = None,
    group: str | None = None,
    save_dir: str = ".",
) -> Logger:
    """Return a logger to Trackio: measures of every epoch and the configuration.

    ``TRACKIO_DIR=RUN/trackio trackio show`` shows a run; with ``TRACKIO_DIR`` set all runs go
    there, and with ``TRACKIO_SPACE_ID`` or ``TRACKIO_SERVER_URL`` to a server. A job that is
    resumed goes on with its Trackio run. Every test is a run of its own.

    Args:
        project: Trackio's project.
        name: Name of the run: a table's row; by default the run folder's name. That of a test says
            so.
        group: Table or sweep that the run belongs to; by default the sweep that started it.
        save_dir: The run folder, or that of a test.

    Raises:
        ValueError: The package is missing.
    """
    check_package(_NAME)
    return TrackioLogger(Path(save_dir).resolve(), project, name, group or sweep_name())


def _trackio_in(where: Path) -> Any:
    """Return Trackio, which decides where it writes when it is imported."""
    before = os.environ.get(_FOLDER)
    os.environ[_FOLDER] = str(where)
    try:
        import trackio
    finally:
        if before is None:
            del os.environ[_FOLDER]
        else:
            os.environ[_FOLDER] = before
    if Path(trackio.TRACKIO_DIR) != where:
        raise ValueError(
            f"Expected one place for `logger`=trackio in a process, but it writes to "
            f"{trackio.TRACKIO_DIR} already and not to {where} (set {_FOLDER} for all runs)."
        )
    return trackio


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Keep Trackio from asking Hugging Face whose token there is on this machine."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _silent() -> contextlib.redirect_stdout[io.StringIO]:
    """Keep instructions and colours out of a log file."""
    return contextlib.redirect_stdout(io.StringIO())
