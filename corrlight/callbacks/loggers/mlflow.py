"""MLflow, imported only when asked for."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from corrlight.callbacks.loggers.shared import check_package, earlier_id, keep_id, run_name
from corrlight.runs.identity import flatten

__all__ = ["mlflow_logger"]

_NAME = "mlflow"
# MLflow's own limits.
_OPTIONS_A_CALL, _LONGEST_VALUE = 100, 500
_NOT_IN_NAMES = re.compile(r"[^\w\-./: ]")
_ENDINGS = {"success": "FINISHED", "finished": "FINISHED", "failed": "FAILED"}


class MlflowLogger(Logger):
    """One MLflow run a run folder; nothing is opened before the first thing is logged.

    Lightning's own opens the database when it is made, which is before the run folder is locked,
    and asks for files, which MLflow refuses since 3.7.

    Args:
        folder: The run folder, or that of a test.
        experiment_name: MLflow's group of runs.
        name: Of the run; by default the run folder's.
        tags: Labels.
        tracking_uri: Where MLflow keeps its runs.
    """

    def __init__(
        self,
        folder: Path,
        experiment_name: str,
        name: str | None,
        tags: Sequence[str],
        tracking_uri: str | None,
    ) -> None:
        super().__init__()
        self._folder, self._experiment_name = folder, experiment_name
        self._name, self._tags, self._uri = name, tuple(tags), tracking_uri
        self._client: Any = None
        self._run_id: str | None = None

    @property
    def name(self) -> str:
        """MLflow's group of runs."""
        return self._experiment_name

    @property
    def version(self) -> str | None:
        """MLflow's id of the run, None before it is opened."""
        return self._run_id

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """MLflow's client; the run is opened."""
        if self._client is None:
            self._open({})
        return self._client

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Open the run, or go on with it, and log the configuration."""
        self._open(params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log measures at a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        found = [
            Metric(_NOT_IN_NAMES.sub("_", name), float(value), now, step or 0)
            for name, value in metrics.items()
        ]
        self.experiment.log_batch(self._run_id, metrics=found)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Say how the job ended."""
        if self._client is not None:
            self._client.set_terminated(self._run_id, _ENDINGS.get(status, "FAILED"))

    def _open(self, params: Mapping[str, Any]) -> None:
        if self._client is not None:
            return
        # MLflow reports its use over the network; this is read when it is imported.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient
        from mlflow.entities import Param

        own = self._folder / _NAME
        if self._uri is None:
            own.mkdir(parents=True, exist_ok=True)
            # It tells every table that it makes.
            logging.getLogger("alembic").setLevel(logging.WARNING)
            logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        self._client = MlflowClient(self._uri or f"sqlite:///{own / 'mlflow.db'}")
        is_test = params.get("mode") == "test"
        known = None if is_test else earlier_id(self._folder, _NAME)
        if known is not None:
            self._run_id = known
            self._client.update_run(known, status="RUNNING")
            return
        run = self._client.create_run(
            self._experiment_id(own),
            run_name=run_name(self._folder, self._name, is_test=is_test),
            tags={"run_folder": str(self._folder), **dict.fromkeys(self._tags, "true")},
        )
        self._run_id = run.info.run_id
        options = [Param(k, str(v)[:_LONGEST_VALUE]) for k, v in flatten(params)]
        for start in range(0, len(options), _OPTIONS_A_CALL):
            self._client.log_batch(self._run_id, params=options[start : start + _OPTIONS_A_CALL])
        if not is_test:
            keep_id(self._folder, _NAME, run.info.run_id)

    def _experiment_id(self, own: Path) -> str:
        found = self._client.get_experiment_by_name(self._experiment_name)
        if found is not None:
            return str(found.experiment_id)
        # Without a place of its own, files would go to the current folder.
        place = None if self._uri else (own / "artifacts").as_uri()
        return str(self._client.create_experiment(self._experiment_name, artifact_location=place))


def mlflow_logger(
    experiment_name: str = "corrlight",
    name: str | None = None,
    tags: Sequence[str] = (),
    save_dir: str = ".",
    tracking_uri: str | None = None,
) -> Logger:
    """Return a logger to MLflow: measures, the configuration, and how the job ended.

    ``mlflow ui --backend-store-uri sqlite:///RUN/mlflow/mlflow.db`` shows a run. A job that is
    resumed goes on with its MLflow run. Every test is a run of its own.

    Args:
        experiment_name: MLflow's group of runs.
        name: Name of the run: a table's row; by default the run folder's name. That of a test says
            so.
        tags: Further labels.
        save_dir: The run folder, or that of a test.
        tracking_uri: A database or server for all runs; None takes ``MLFLOW_TRACKING_URI``, and
            without it a database below ``save_dir``, which needs no network.

    Raises:
        ValueError: The package is missing.
    """
    check_package(_NAME)
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    return MlflowLogger(Path(save_dir).resolve(), experiment_name, name, tags, uri or None)
