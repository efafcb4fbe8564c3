"""Runs what the tables need: every missing run once, several at once, then the tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corrlight.engine.job_view import JobView
from corrlight.engine.jobs import Job, Resources, run_jobs, visible_gpus
from corrlight.engine.sweep import SweepOptions, run_sweep
from corrlight.reporting.runs import read_run
from experiments.collection import made_at_other_commit, tested_measures
from experiments.identity import Locator, PlannedRun
from experiments.table import Table

__all__ = ["FAILED", "INTERRUPTED", "Plan", "logger_options", "make_runs", "plan_table"]

FAILED, INTERRUPTED = 1, 130


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


def make_runs(
    plans: Sequence[Plan],
    logs: Path,
    *,
    jobs: int | None = None,
    threads: int | None = None,
    rerun_stale: bool = False,
) -> int:
    """Train what is missing, then test where a table needs it; return the exit code.

    All tables share one sweep, so that no processor waits for the end of each; the runs of tables
    with an ``at_once`` of their own follow, with nothing else beside them.

    Args:
        plans: The tables.
        logs: Folder of the tests' output.
        jobs: Runs side by side; None leaves it to the machine.
        threads: Of each run, likewise.
        rerun_stale: Whether runs that another commit made are made again.

    Raises:
        ValueError: A row that cannot run; nothing was started then.
        OSError: A folder that cannot be written.
    """
    code = 0
    for at_once in sorted({plan.table.at_once for plan in plans}, key=lambda n: (n is not None, n)):
        together = [plan for plan in plans if plan.table.at_once == at_once]
        options = SweepOptions(
            jobs=jobs if at_once is None else min(jobs or at_once, at_once), threads=threads
        )
        code = max(code, _train(together, options, rerun_stale, several=len(plans) > 1))
        if code == INTERRUPTED:
            return code
    return max(code, _test(plans, logs))


def _train(plans: Sequence[Plan], options: SweepOptions, rerun_stale: bool, several: bool) -> int:
    names: list[str] = []
    overrides: list[list[str]] = []
    for plan in plans:
        for key, runs in plan.runs.items():
            for seed, run in enumerate(runs):
                if run.folder is None:
                    raise ValueError(f"Row {key} cannot run: {run.problem}")
                stale = rerun_stale and _made_elsewhere(run)
                if run.finished and not stale:
                    continue
                _check_writable(run.folder.path)
                name = key if len(runs) == 1 else f"{key} seed {seed}"
                names.append(f"{plan.table.name} {name}" if several else name)
                rerun = ["rerun=true"] if stale else []
                overrides.append([*run.options, *logger_options(plan.table, run, name), *rerun])
    return run_sweep(overrides, options, names=names).exit_code if overrides else 0


def _test(plans: Sequence[Plan], logs: Path) -> int:
    """Test the trained runs whose measures are not all there, with every measure there is."""
    jobs: dict[str, Job] = {}
    gpus = bool(visible_gpus())
    tested = [
        (plan.table, key, run)
        for plan in plans
        if plan.table.tested
        for key, runs in plan.runs.items()
        for run in runs
    ]
    for table, key, run in tested:
        if not run.finished or run.folder is None:
            continue
        trained = read_run(run.folder.path)
        known = {**tested_measures(trained), **trained.metrics}
        job = Job(
            name=f"{key} (test)",
            overrides=("mode=test", f"ckpt={run.folder}", "metric=full"),
            folder=run.folder.path,
            ranks=run.ranks,
            gpu=gpus and run.needs_gpu,
            finished=all(column in known for column in table.columns),
        )
        # Two tables may need different measures of one run.
        earlier = jobs.get(str(run.folder), job)
        jobs[str(run.folder)] = replace(job, finished=job.finished and earlier.finished)
    missing = [job for job in jobs.values() if not job.finished]
    if not missing:
        return 0
    with JobView() as view:
        states = run_jobs(missing, Resources.of(missing), logs, on_change=view)
    failed = [state for state in states if state.state != "finished"]
    for state in failed:
        print(f"{state.job.name}: {state.state}: {state.reason} ({state.log})", file=sys.stderr)
    return FAILED if failed else 0


def logger_options(table: Table, run: PlannedRun, name: str) -> list[str]:
    """Return what groups a run in W&B; nothing with the other loggers."""
    if "group" not in (run.config.get("logger") or {}):
        return []
    data = run.config["data"]["_target_"].rpartition(".")[2].removesuffix("DataModule").lower()
    return [
        f"logger.group={table.name}",
        f"logger.name='{name}'",
        f"logger.tags=[{table.name},{data}]",
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
