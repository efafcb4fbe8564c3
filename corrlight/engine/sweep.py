"""Sweeps: override lists to runs, each made once, whatever happens to the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from corrlight.atomic import write_text
from corrlight.engine.checks import check_options
from corrlight.engine.config import ComposedConfig, EmptyChoiceError, compose_config
from corrlight.engine.identity import folder_of_run, ranks_per_node
from corrlight.engine.job_view import JobView, job_table
from corrlight.engine.jobs import Job, JobState, OnChange, Resources, run_jobs, visible_gpus
from corrlight.engine.known_data import KnownData, recall_data
from corrlight.engine.run_folder import data_fingerprint

__all__ = ["Launcher", "SweepOptions", "SweepResult", "plan_jobs", "run_sweep"]


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
        """Run the jobs as processes (:func:`corrlight.engine.jobs.run_jobs`)."""
        resources = self._resources([job for job in jobs if not job.finished])
        return run_jobs(jobs, resources, logs, on_change=on_change)

    def _resources(self, jobs: Sequence[Job]) -> Resources:
        return Resources.of(
            jobs, at_once=self.jobs, threads=self.threads, jobs_per_gpu=self.jobs_per_gpu
        )


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
        return 130 if left else 0


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


def plan_jobs(
    overrides: Sequence[Sequence[str]], names: Sequence[str] | None = None, *, remote: bool = False
) -> tuple[list[Job], list[int], Path]:
    """Return the distinct jobs, the job of every override list, and the folder of the runs.

    Args:
        overrides: Of ``run.py``, one list a job.
        names: Of the jobs; by default the overrides in which they differ.
        remote: Whether the jobs run on other machines than this process.

    Raises:
        ValueError: The message names the job.
    """
    if not overrides:
        raise ValueError("Expected at least one job in a sweep, but got none.")
    names = list(names) if names is not None else _differences(overrides)
    jobs: list[Job] = []
    indices: list[int] = []
    known: dict[Path, int] = {}
    prepared: dict[str, KnownData] = {}
    runs_dir = Path("runs")
    for name, given in zip(names, overrides, strict=True):
        try:
            kept, note, composed = _compose(given, overrides)
            job = _job(name, kept, note, composed, prepared, remote)
        except (ValueError, OSError) as error:
            raise ValueError(f"Job '{name}': {error}") from error
        runs_dir = Path(composed.config.paths.runs_dir)
        if job.folder not in known:
            known[job.folder] = len(jobs)
            jobs.append(job)
        indices.append(known[job.folder])
    return jobs, indices, runs_dir


def _compose(
    given: Sequence[str], everything: Sequence[Sequence[str]]
) -> tuple[list[str], str, ComposedConfig]:
    """Compose a job; an option of a group that the sweep also switches off is left out there.

    ``corr=none,concordance corr.weight=0.1,0.3`` means three runs: without Correlation Loss there
    is no weight. Where nothing switches it off, the same option is an error.
    """
    kept, dropped = list(given), list[str]()
    while True:
        try:
            composed = compose_config([*kept, "hydra.mode=RUN"])
        except EmptyChoiceError as error:
            group = f"{error.option.split('.', 1)[0]}="
            choices = {o for job in everything for o in job if o.startswith(group)}
            if len(choices) < 2:
                raise
            left = [o for o in kept if o.partition("=")[0] != error.option]
            dropped += [o for o in kept if o not in left]
            kept = left
            continue
        note = f"without {', '.join(dropped)}" if dropped else ""
        return kept, note, composed


def _job(
    name: str,
    kept: Sequence[str],
    note: str,
    composed: ComposedConfig,
    prepared: dict[str, KnownData],
    remote: bool,
) -> Job:
    config = composed.config
    check_options(config)
    if config.mode != "train":
        raise ValueError(f"Expected `mode` to be train in a sweep, but got '{config.mode}'.")
    if config.trainer.num_nodes != 1 and not remote:
        raise ValueError(
            f"Expected `trainer.num_nodes` to be 1 in a sweep on one machine, "
            f"but got {config.trainer.num_nodes}."
        )
    if remote and config.trainer.devices in ("auto", -1, "-1"):
        raise ValueError(
            f"Expected `trainer.devices` to be a number where jobs run on other machines, "
            f"but got {config.trainer.devices!r}."
        )
    data = _data(config, prepared)
    OmegaConf.update(config, "data.num_classes", data.num_classes, force_add=True)
    folder = folder_of_run(composed, data.fingerprint)
    finished = folder.finished and not config.rerun
    ap = folder.read_json("metrics.json").get("AP") if finished else None
    return Job(
        name=name,
        overrides=tuple(kept),
        folder=folder.path,
        ranks=ranks_per_node(config),
        nodes=int(config.trainer.num_nodes),
        gpu=_wants_gpu(config, remote),
        finished=finished,
        ap=float(ap) if isinstance(ap, (int, float)) else None,
        note=note,
    )


def _data(config: DictConfig, prepared: dict[str, KnownData]) -> KnownData:
    """Return what is known of a job's data, which are drawn and checked if they are new."""
    key = json.dumps(OmegaConf.to_container(config.data, resolve=True), sort_keys=True)
    if key not in prepared:
        known = recall_data(config)
        if known is None:
            # torch takes seconds to import: misspelt options should not wait for it.
            from corrlight.engine.build import build_data

            data = build_data(config, list(config.get("allow_targets") or []))
            data.prepare_data()  # Once, before the jobs would all do it at the same time.
            files = data.annotation_files
            known = KnownData(data_fingerprint(files), config.data.num_classes)
        prepared[key] = known
    return prepared[key]


def _wants_gpu(config: DictConfig, remote: bool) -> bool:
    if config.trainer.accelerator == "auto":
        # What another machine has is not known here.
        return remote or bool(visible_gpus())
    return config.trainer.accelerator in ("gpu", "cuda")


def _differences(overrides: Sequence[Sequence[str]]) -> list[str]:
    """Return for every job the overrides that not all jobs share."""
    common = set.intersection(*(set(job) for job in overrides))
    names = [" ".join(o for o in job if o not in common) for job in overrides]
    return [name or f"job {k}" for k, name in enumerate(names, 1)]


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
