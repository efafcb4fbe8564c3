"""Runs what the tables need: every missing run once, several at once, then the tests."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from corrlight.config.compose import split_overrides
from corrlight.runs.ending import INTERRUPTED
from corrlight.sweeps.job import Job
from corrlight.sweeps.launcher import compose_launcher, launcher_of
from corrlight.sweeps.local import SweepOptions
from corrlight.sweeps.resources import visible_gpus
from corrlight.sweeps.sweep import SweepResult, run_sweep
from corrlight.sweeps.view import JobView
from experiments.harness.collection import made_at_other_commit, tested_measures
from experiments.harness.identity import Locator, PlannedRun
from experiments.harness.table import Table

if TYPE_CHECKING:
    from corrlight.sweeps.slurm import SlurmOptions

__all__ = [
    "INTERRUPTED",
    "Plan",
    "choose_launcher",
    "lacks_test",
    "logger_options",
    "make_runs",
    "options_of_test",
    "plan_table",
]

# What a job of one thread is called in the options of each launcher.
_THREADS = {"local": "threads", "slurm": "cpus"}


@dataclass(frozen=True, slots=True)
class Plan:
    """A table and its runs.

    Attributes:
        table: The table.
        runs: Of every row, by its key, one run a seed.
    """

    table: Table
    runs: dict[str, list[PlannedRun]]


def plan_table(
    table: Table, *, toy: bool, seeds: int, options: Sequence[str], locator: Locator
) -> Plan:
    """Return the runs of every row of ``table``, one a seed."""
    runs = {}
    for row in table.rows:
        own = [*row.run_options(toy), *options]
        runs[row.key] = [locator.plan(own, seed) for seed in range(seeds)]
    return Plan(table, runs)


def choose_launcher(
    options: Sequence[str], *, jobs: int | None = None, one_thread: bool = False
) -> tuple[SweepOptions | SlurmOptions, list[str]]:
    """Return the launcher that ``options`` ask for, and the options of the runs.

    Args:
        options: Of the command line, such as ``launcher=slurm seed=1``.
        jobs: Of ``--jobs``, the short form of ``launcher.jobs``.
        one_thread: Whether a rank has one thread, unless the options give it more.

    Raises:
        ValueError: Launcher options that cannot be, or both forms of the same one.
    """
    given, own = split_overrides(options)
    keys = {option.lstrip("+").partition("=")[0] for option in given}
    if jobs is not None:
        if "launcher.jobs" in keys:
            raise ValueError("Expected `--jobs` or `launcher.jobs`, but got both.")
        given.append(f"launcher.jobs={jobs}")
    section = compose_launcher([*given, *(o for o in own if o.startswith("hydra.searchpath="))])
    threads = _THREADS.get(section.kind)
    if one_thread and threads is not None and f"launcher.{threads}" not in keys:
        section[threads] = 1
    launcher = launcher_of(section)
    if isinstance(launcher, SweepOptions):
        launcher.check([])
    return launcher, own


def make_runs(
    plans: Sequence[Plan],
    logs: Path,
    launcher: SweepOptions | SlurmOptions,
    *,
    rerun_stale: bool = False,
) -> int:
    """Train what is missing, then test where a table needs it; return the exit code.

    All tables share one sweep, so that no processor waits for the end of each; the runs of tables
    with an ``at_once`` of their own follow, with nothing else beside them.

    Args:
        plans: The tables.
        logs: Folder of the tests' output.
        launcher: Where the runs are made and how many at once (:func:`choose_launcher`).
        rerun_stale: Whether runs that another commit made are made again.

    Raises:
        ValueError: A row that cannot run; nothing was started then.
        OSError: A folder that cannot be written.
    """
    code = 0
    for at_once in sorted({plan.table.at_once for plan in plans}, key=lambda n: (n is not None, n)):
        together = [plan for plan in plans if plan.table.at_once == at_once]
        limited = launcher
        if at_once is not None:
            limited = replace(launcher, jobs=min(launcher.jobs or at_once, at_once))
        code = max(code, _train(together, limited, rerun_stale, several=len(plans) > 1))
        if code == INTERRUPTED:
            return code
    return max(code, _test(plans, logs, launcher))


def _train(
    plans: Sequence[Plan],
    launcher: SweepOptions | SlurmOptions,
    rerun_stale: bool,
    several: bool,
) -> int:
    names: list[str] = []
    overrides: list[list[str]] = []
    missing = False
    for plan in plans:
        for key, runs in plan.runs.items():
            for seed, run in enumerate(runs):
                if run.folder is None:
                    raise ValueError(f"Row {key} cannot run: {run.problem}")
                stale = rerun_stale and _made_elsewhere(run)
                if not run.finished or stale:
                    missing = True
                    _check_writable(run.folder.path)
                elif not launcher.remote:
                    continue
                # A queue is asked for the jobs of an earlier call by the name of the sweep, which
                # has to be the same sweep then: with what has finished since.
                name = key if len(runs) == 1 else f"{key} seed {seed}"
                names.append(f"{plan.table.name} {name}" if several else name)
                rerun = ["rerun=true"] if stale else []
                overrides.append([*run.options, *logger_options(plan.table, run, name), *rerun])
    return run_sweep(overrides, launcher, names=names).exit_code if missing else 0


def _test(plans: Sequence[Plan], logs: Path, launcher: SweepOptions | SlurmOptions) -> int:
    """Test the trained runs whose measures are not all there, with every measure there is."""
    jobs: dict[str, Job] = {}
    gpus = launcher.remote or bool(visible_gpus())
    for plan in plans:
        for key, runs in plan.runs.items():
            for run in runs:
                if not plan.table.tested or not run.finished or run.folder is None:
                    continue
                job = Job(
                    name=f"{key} (test)",
                    overrides=options_of_test(run),
                    folder=run.folder.path,
                    ranks=run.ranks,
                    nodes=run.nodes,
                    gpu=gpus and run.needs_gpu,
                    finished=not lacks_test(plan.table, run),
                )
                # Two tables may need different measures of one run.
                earlier = jobs.get(str(run.folder), job)
                jobs[str(run.folder)] = replace(job, finished=job.finished and earlier.finished)
    missing = [job for job in jobs.values() if not job.finished]
    if not missing:
        return 0
    # A folder of their own: another command may test other rows at the same time.
    name = hashlib.sha256("\n".join(sorted(jobs)).encode()).hexdigest()[:12]
    logs = logs / f"tests-{name}"
    print(f"{len(missing)} tests; {launcher.check(missing)}; output in {logs}", flush=True)
    with JobView() as view:
        states = launcher.run(list(jobs.values()), logs, view)
    for state in states:
        if state.state not in ("finished", "reused"):
            # Unlike a training, a test has no checkpoint to go on from.
            reason = state.reason if state.state == "failed" else "the same command tests it"
            print(f"{state.job.name}: {state.state}: {reason} ({state.log})", file=sys.stderr)
    return SweepResult(tuple(states), tuple(range(len(states)))).exit_code


def options_of_test(run: PlannedRun) -> tuple[str, ...]:
    """Return the ``run.py`` options of the test of a run, with every measure there is."""
    return ("mode=test", f"ckpt={run.folder}", "metric=full")


def lacks_test(table: Table, run: PlannedRun) -> bool:
    """Whether a finished run has yet to be tested for measures of ``table``."""
    if not table.tested or not run.finished or run.folder is None:
        return False
    known = {*tested_measures(run.folder.path), *run.folder.read_json("metrics.json")}
    return not all(column in known for column in table.columns)


def logger_options(table: Table, run: PlannedRun, name: str) -> list[str]:
    """Return what groups a run in W&B; nothing with the other loggers."""
    if "wandb" not in (run.config.get("logger") or {}):
        return []
    data = run.config["data"]["_target_"].rpartition(".")[2].removesuffix("DataModule").lower()
    return [
        f"logger.wandb.group={table.name}",
        f"logger.wandb.name='{name}'",
        f"logger.wandb.tags=[{table.name},{data}]",
    ]


def _made_elsewhere(run: PlannedRun) -> bool:
    """Whether a finished run was made at another commit."""
    if run.folder is None or not run.finished:
        return False
    return made_at_other_commit(run.folder.path) is not None


def _check_writable(folder: Path) -> None:
    parent = folder.absolute()
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise OSError(f"Cannot write the run folder {folder}: {parent} is not writable.")
