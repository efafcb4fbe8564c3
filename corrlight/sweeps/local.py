"""Sweeps on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corrlight.sweeps.job import Job, JobState, OnChange
from corrlight.sweeps.pool import run_jobs
from corrlight.sweeps.resources import Resources

__all__ = ["SweepOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOptions:
    """How a sweep uses this machine (``conf/launcher/local.yaml``).

    Attributes:
        jobs: Runs at once; None means as many as GPUs or CPUs allow.
        threads: Threads of each rank; None shares the CPUs out.
        jobs_per_gpu: Runs that share one GPU.
    """

    jobs: int | None = None
    threads: int | None = None
    jobs_per_gpu: int = 1

    remote = False

    def check(self, jobs: Sequence[Job]) -> str:
        """Return what every job gets.

        Raises:
            ValueError: An option below 1, or a job that needs more GPUs than there are.
        """
        resources = self._resources(jobs)
        return f"{resources.at_once} at once, {resources.threads} threads each"

    def run(self, jobs: Sequence[Job], logs: Path, on_change: OnChange) -> list[JobState]:
        """Run the jobs as processes (:func:`corrlight.sweeps.pool.run_jobs`)."""
        resources = self._resources([job for job in jobs if not job.finished])
        return run_jobs(jobs, resources, logs, on_change=on_change)

    def _resources(self, jobs: Sequence[Job]) -> Resources:
        return Resources.of(
            jobs, at_once=self.jobs, threads=self.threads, jobs_per_gpu=self.jobs_per_gpu
        )
