"""Jobs to their end, whatever runs them: none is able to spoil another."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import Protocol

from corrlight.sweeps.job import Job, JobState, OnChange

__all__ = ["JobPool", "drive_jobs"]


class JobPool(Protocol):
    """What runs the jobs of a sweep: processes of this machine, or submissions to a cluster."""

    @property
    def running(self) -> Sized:
        """The jobs that were started and have not ended."""

    def fits(self, job: Job) -> bool:
        """Whether ``job`` can start now."""

    def start(self, state: JobState) -> None:
        """Start a job."""

    def changed(self) -> list[JobState]:
        """Take in reports and ends; return the states that changed."""

    def stop(self) -> None:
        """Ask every running job to save and end, and wait for them."""

    def close(self) -> None:
        """End what must not outlive the sweep."""


def drive_jobs(
    jobs: Sequence[Job],
    pool: JobPool,
    logs: Path,
    poll_seconds: float,
    on_change: OnChange | None = None,
) -> list[JobState]:
    """Start all jobs that are not finished as they fit, and wait for them.

    Args:
        jobs: In the order in which they start.
        pool: What runs them.
        logs: Folder of the jobs' output and reports.
        poll_seconds: Between two looks at the running ones.
        on_change: Called with all states, and the one that changed (None: time passed).

    Returns:
        One state a job, in order. After Ctrl-C or SIGTERM the running ones were stopped, those
        that had not begun are "waiting".
    """
    logs.mkdir(parents=True, exist_ok=True)
    states = [
        JobState(job, k, logs / f"{k}.log", "reused" if job.finished else "waiting")
        for k, job in enumerate(jobs, 1)
    ]
    notify = on_change or (lambda states, changed: None)
    waiting = [state for state in states if state.state == "waiting"]
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while waiting or pool.running:
            while waiting and pool.fits(waiting[0].job):
                state = waiting.pop(0)
                pool.start(state)
                notify(states, state)
            time.sleep(poll_seconds)
            for state in pool.changed():
                notify(states, state)
            notify(states, None)
    except KeyboardInterrupt:
        pool.stop()
        notify(states, None)
    finally:
        pool.close()
        signal.signal(signal.SIGTERM, before)
    return states
