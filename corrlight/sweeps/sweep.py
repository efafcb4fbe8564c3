"""Sweeps: override lists to runs, each made once, whatever happens to the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console

from corrlight.atomic import write_text
from corrlight.runs.ending import INTERRUPTED
from corrlight.sweeps.job import Job, JobState, OnChange
from corrlight.sweeps.local import SweepOptions
from corrlight.sweeps.plan import plan_jobs
from corrlight.sweeps.view import JobView, job_table

__all__ = ["Launcher", "SweepResult", "run_sweep"]


class Launcher(Protocol):
    """Where and how the jobs of a sweep run: this machine, or a cluster."""

    @property
    def remote(self) -> bool:
        """Whether the jobs run on other machines than this process."""

    def check(self, jobs: Sequence[Job]) -> str:
        """Return how many of ``jobs`` run at once and on what, for people.

        Raises:
            ValueError: They cannot run so.
        """

    def run(self, jobs: Sequence[Job], logs: Path, on_change: OnChange) -> list[JobState]:
        """Run all jobs that are not finished; return one state a job."""


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What became of the jobs of a sweep.

    Attributes:
        states: One a job, in order.
        indices: For every override list that was given, the index of its job in ``states``: lists
            that describe the same run share one.
    """

    states: tuple[JobState, ...]
    indices: tuple[int, ...]

    @property
    def exit_code(self) -> int:
        """0 where all are finished, 130 where the sweep was stopped, 1 where a job failed."""
        left = {state.state for state in self.states} - {"finished", "reused"}
        if "failed" in left:
            return 1
        return INTERRUPTED if left else 0


def run_sweep(
    overrides: Sequence[Sequence[str]],
    options: Launcher | None = None,
    *,
    names: Sequence[str] | None = None,
) -> SweepResult:
    """Make the run of every override list that is not finished, several at once.

    A failing job stops no other; the same call again runs only what is missing and resumes what
    broke. Ctrl-C lets the running jobs save a checkpoint first.

    Args:
        overrides: Of ``run.py``, one list a job.
        options: Where the jobs run and how many at once; by default on this machine.
        names: What the table calls the jobs; by default the overrides in which they differ.

    Raises:
        ValueError: An override list that does not describe a run; nothing was started then.
        OSError: A folder that cannot be read or written.
    """
    options = options or SweepOptions()
    jobs, indices, runs_dir = plan_jobs(overrides, names, remote=options.remote)
    todo = [job for job in jobs if not job.finished]
    how = options.check(todo)
    logs = runs_dir / ".sweeps" / _sweep_name(jobs)
    try:
        logs.mkdir(parents=True, exist_ok=True)
        write_text(logs / "jobs.json", json.dumps([list(j.overrides) for j in jobs], indent=1))
    except OSError as error:
        raise OSError(f"Cannot write the sweep's folder {logs}: {error.strerror}.") from error
    reused = len(jobs) - len(todo)
    print(
        f"{len(jobs)} jobs, {reused} of them finished before; {how}; output in {logs}",
        flush=True,
    )
    with JobView() as view:
        states = options.run(jobs, logs, view)
    result = SweepResult(tuple(states), tuple(indices))
    _print_summary(result)
    return result


def _sweep_name(jobs: Sequence[Job]) -> str:
    """Return a name that the same sweep has again, so that it finds its logs."""
    text = json.dumps(sorted(str(job.folder) for job in jobs))
    return "sweep-" + hashlib.sha256(text.encode()).hexdigest()[:12]


def _print_summary(result: SweepResult) -> None:
    console = Console(soft_wrap=True)
    if not console.is_terminal:  # The live table stands there already.
        console.print(job_table(result.states))
    for state in result.states:
        if state.state == "failed":
            console.print(
                f"job {state.number} failed: {state.job.name}: {state.reason}; see {state.log}",
                style="red", markup=False, highlight=False,
            )  # fmt: skip
    left = [state for state in result.states if state.state not in ("finished", "reused")]
    done = len(result.states) - len(left)
    console.print(f"{done} of {len(result.states)} jobs are finished.", highlight=False)
    if left:
        console.print("The same command runs what is missing and resumes what broke.")
