"""Hydra's way to our sweeps: what ``conf/hydra/launcher`` and ``conf/hydra/sweeper`` name.

Hydra accepts plugins only from the top-level package ``hydra_plugins``. This folder is put on the
import path by :func:`corrlight.sweeps.plugins.register_launcher`, so that no entry point has to be
installed and a checkout and the wheel behave alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from corrlight.config.overrides import ConfigError, override_key
from corrlight.sweeps.plugins import SweepTask

__all__ = ["CorrlightLauncher", "CorrlightSweeper"]


class CorrlightLauncher(Launcher):
    """Hands the jobs that Hydra's sweeper makes to :func:`corrlight.sweeps.sweep.run_sweep`."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra offers; only our own task knows what to do with jobs."""
        assert isinstance(task_function, SweepTask)
        self._task = task_function
        self._config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Make all jobs; return one result a job, with the measure that a sweeper optimises."""
        results = self._task.launch(job_overrides, self._config)
        returned = []
        for overrides, (finished, value) in zip(job_overrides, results, strict=True):
            job: Any = JobReturn(overrides=list(overrides))
            job.status = JobStatus.COMPLETED if finished else JobStatus.FAILED
            job.return_value = value if finished else RuntimeError("The job is not finished.")
            returned.append(job)
        return returned


class CorrlightSweeper(BasicSweeper):
    """Hydra's grid (``seed=0,1 corr=none,concordance``) without its haste to give up.

    Hydra's own sweeper stops at the first combination that does not compose and at the first job
    that failed. Here the launcher checks the jobs, with errors that name the option, and goes on.
    """

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Launch every combination of ``arguments`` and of ``hydra.sweeper.params``.

        Raises:
            ConfigError: The parameters allow code, which only the command line may.
        """
        assert self.hydra_context is not None
        assert self.launcher is not None
        parameters = self._parse_config()
        if "allow_targets" in map(override_key, parameters):
            raise ConfigError(
                "Expected `allow_targets` on the command line only, but got it from "
                "hydra.sweeper.params."
            )
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*parameters, *arguments])
        batches = self.split_arguments(overrides, self.max_batch_size)
        starts = [sum(map(len, batches[:k])) for k in range(len(batches))]
        return [
            self.launcher.launch(batch, initial_job_idx=start)
            for start, batch in zip(starts, batches, strict=True)
        ]
