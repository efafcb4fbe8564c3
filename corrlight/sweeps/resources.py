"""How the jobs of a sweep share this machine: CPUs, threads and GPUs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from corrlight.sweeps.job import Job

__all__ = ["Resources", "visible_gpus"]


@dataclass(frozen=True, slots=True)
class Resources:
    """What the jobs of a sweep share.

    Attributes:
        at_once: Jobs that run side by side.
        threads: Threads of each rank.
        gpus: Device ids that jobs draw from; an id listed twice serves two jobs.
    """

    at_once: int
    threads: int
    gpus: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        jobs: Sequence[Job],
        *,
        at_once: int | None = None,
        threads: int | None = None,
        jobs_per_gpu: int = 1,
        gpus: Sequence[str] | None = None,
        cpus: int | None = None,
    ) -> Resources:
        """Return the division of this machine among ``jobs``.

        Args:
            jobs: Those that are to run.
            at_once: Jobs side by side; None means as many as GPUs or CPUs allow.
            threads: Of each rank; None shares the CPUs out.
            jobs_per_gpu: Jobs that may share one GPU.
            gpus: Device ids; by default the visible ones.
            cpus: Number of CPUs; by default those of this process.

        Raises:
            ValueError: An option below 1, or a job that needs more GPUs than there are.
        """
        given = {"jobs": at_once, "threads": threads, "jobs_per_gpu": jobs_per_gpu}
        for name, value in given.items():
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(
                    f"Expected `launcher.{name}` to be a number of at least 1, but got {value!r}."
                )
        cpus = cpus or len(os.sched_getaffinity(0))
        devices = list(visible_gpus() if gpus is None else gpus) if any(j.gpu for j in jobs) else []
        slots = tuple(device for _ in range(jobs_per_gpu) for device in devices)
        for job in jobs:
            if job.gpu and job.ranks > len(devices):
                raise ValueError(
                    f"Expected at least {job.ranks} GPUs for '{job.name}', but {len(devices)} are "
                    f"visible (trainer.devices says how many, trainer=cpu needs none)."
                )
        ranks = max((job.ranks for job in jobs), default=1)
        if at_once is None:
            at_once = max(1, (len(slots) if slots else cpus) // ranks)
        at_once = max(1, min(at_once, len(jobs)))
        return cls(at_once, threads or max(1, cpus // (at_once * ranks)), slots)


def visible_gpus() -> list[str]:
    """Return the ids of the GPUs that this process may use, without starting CUDA."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        ids = [part.strip() for part in chosen.split(",")]
        return [name for name in ids if name and name != "-1"]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(k) for k in range(len(lines))] if listed.returncode == 0 else []
