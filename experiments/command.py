"""The command line of a table: run what is missing, resume what broke, print what there is."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from corrlight.atomic import atomic_path, write_text
from corrlight.engine.config import compose_config
from corrlight.engine.job_view import JobView
from corrlight.engine.jobs import Job, Resources, run_jobs, visible_gpus
from corrlight.engine.sweep import SweepOptions, run_sweep
from corrlight.reporting.runs import read_run
from experiments.collection import (
    Collected,
    made_at_other_commit,
    read_results,
    tested_measures,
)
from experiments.estimate import dry_run, problems
from experiments.grid import FORMATS, render
from experiments.identity import Locator, PlannedRun
from experiments.picture import standard_picture
from experiments.row import Row
from experiments.table import Table

__all__ = ["collect", "logger_options", "main", "select"]

_SUFFIXES = {"md": "md", "csv": "csv", "latex": "tex", "html": "html"}
_FAILED, _BAD_INPUT, _INTERRUPTED = 1, 2, 130


def main(table: Table, argv: Sequence[str] | None = None) -> int:
    """Make and print a table; return the exit code (1: a run failed, 2: the input was wrong)."""
    parser = _parser(table)
    arguments = parser.parse_intermixed_args(argv)
    try:
        return _main(table, arguments)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return _BAD_INPUT


def _parser(table: Table) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.{table.name}",
        description=f"{table.title}. Runs what is missing, resumes what broke, prints ours beside "
        "the thesis' numbers.",
        epilog="Further arguments are run.py options for every row, such as "
        "data.root=/datasets/coco trainer=ddp trainer.devices=4 logger=wandb.",
    )
    add = parser.add_argument
    add("--dry-run", action="store_true", help="print commands and cost, run nothing")
    add("--collect", action="store_true", help="print what there is, run nothing")
    add("--toy", action="store_true", help="small variants on the embedded shapes, minutes a row")
    add("--seeds", type=int, default=1, metavar="K", help="runs a row (default 1)")
    add("--rows", metavar="A,B", help=f"only these rows: {', '.join(r.key for r in table.rows)}")
    add("--format", default="md", help=f"comma-separated: {','.join(FORMATS)} (default md)")
    add("--jobs", type=int, metavar="N", help="runs side by side (default: one a GPU or CPU)")
    add("--rerun-stale", action="store_true", help="run again what another commit made")
    add("--out", type=Path, metavar="DIR", help="default: runs/tables/NAME")
    if table.add_options is not None:
        table.add_options(parser)
    add("options", nargs="*", help="run.py options")
    return parser


def _main(table: Table, arguments: argparse.Namespace) -> int:
    if table.choose is not None:
        table = table.choose(table, arguments)
    if arguments.seeds < 1:
        raise ValueError(f"Expected `--seeds` to be at least 1, but got {arguments.seeds}.")
    forms = [form for form in arguments.format.split(",") if form]
    for form in forms:
        if form not in FORMATS:
            known = ", ".join(FORMATS)
            raise ValueError(f"Expected `--format` to be of {known}, but got '{form}'.")
    table = select(table, arguments.rows)
    runs = not (arguments.dry_run or arguments.collect)
    plans = plan(table, arguments, Locator(draw=runs))
    if arguments.dry_run:
        print(dry_run(table, plans, arguments.toy))
        return 0
    code = 0
    if runs:
        code = _run(table, arguments, plans, _out(table, arguments))
    collected = gather(table, plans, arguments.toy)
    _write(table, collected, forms, _out(table, arguments))
    for problem in problems(plans):
        print(f"note: {problem}", file=sys.stderr)
    return code


def _out(table: Table, arguments: argparse.Namespace) -> Path:
    if arguments.out is not None:
        return Path(arguments.out)
    paths = [option for option in arguments.options if option.startswith("paths.")]
    runs = Path(compose_config(paths).config.paths.runs_dir)
    return runs / "tables" / (f"{table.name}-toy" if arguments.toy else table.name)


def select(table: Table, names: str | None) -> Table:
    """Return the table with the named rows only.

    Raises:
        ValueError: A name is no row; the message has the nearest.
    """
    if not names:
        return table
    keys = [row.key for row in table.rows]
    wanted = [name for name in names.split(",") if name]
    for name in wanted:
        if name not in keys:
            close = difflib.get_close_matches(name, keys, n=1, cutoff=0)
            raise ValueError(f"Unknown row '{name}' of {table.name}. Did you mean '{close[0]}'?")
    return replace(table, rows=tuple(row for row in table.rows if row.key in wanted))


def plan(
    table: Table, arguments: argparse.Namespace, locator: Locator
) -> dict[str, list[PlannedRun]]:
    """Return the runs of every row, one a seed."""
    plans = {}
    for row in table.rows:
        options = [*row.run_options(arguments.toy), *arguments.options]
        plans[row.key] = [locator.plan(options, seed) for seed in range(arguments.seeds)]
    return plans


def gather(table: Table, plans: dict[str, list[PlannedRun]], toy: bool) -> Collected:
    """Return what the run folders of the planned runs hold."""
    rows: dict[str, Row] = {row.key: row for row in table.rows}
    results = {
        key: read_results(rows[key], [run.folder for run in runs]) for key, runs in plans.items()
    }
    return Collected(results=results, toy=toy)


def collect(
    table: Table,
    *,
    toy: bool = False,
    seeds: int = 1,
    options: Sequence[str] = (),
    locator: Locator | None = None,
) -> Collected:
    """Return what is there of a table, running nothing; a shared ``locator`` saves time."""
    arguments = argparse.Namespace(toy=toy, seeds=seeds, options=list(options))
    return gather(table, plan(table, arguments, locator or Locator(draw=False)), toy)


def _write(table: Table, collected: Collected, forms: Sequence[str], out: Path) -> None:
    for form in forms:
        # Numbers for a program keep four digits.
        text = render(table.as_grid(collected, digits=4 if form == "csv" else 1), form)
        path = out / f"{table.name}.{_SUFFIXES[form]}"
        write_text(path, text)
        print(text)
        print(f"written to {path}", file=sys.stderr)
    figure = (table.draw or standard_picture)(table, collected)
    if figure is not None:
        path = out / f"{table.name}.png"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=120)
        print(f"written to {path}", file=sys.stderr)


def _run(
    table: Table, arguments: argparse.Namespace, plans: dict[str, list[PlannedRun]], out: Path
) -> int:
    """Train what is missing, then test where the table needs it; return the exit code."""
    names: list[str] = []
    overrides: list[list[str]] = []
    for key, runs in plans.items():
        for seed, run in enumerate(runs):
            if run.folder is None:
                raise ValueError(f"Row {key} cannot run: {run.problem}")
            stale = arguments.rerun_stale and _made_elsewhere(run)
            if run.finished and not stale:
                continue
            _check_writable(run.folder.path)
            names.append(key if len(runs) == 1 else f"{key} seed {seed}")
            rerun = ["rerun=true"] if stale else []
            overrides.append([*run.options, *logger_options(table, run, names[-1]), *rerun])
    code = 0
    if overrides:
        at_once = arguments.jobs
        if table.at_once is not None:
            at_once = min(at_once or table.at_once, table.at_once)
        options = SweepOptions(jobs=at_once, threads=1 if arguments.toy else None)
        code = run_sweep(overrides, options, names=names).exit_code
    if table.tested and code != _INTERRUPTED:
        code = max(code, _test(table, plans, out / "logs"))
    return code


def _test(table: Table, plans: dict[str, list[PlannedRun]], logs: Path) -> int:
    """Test the trained runs whose measures are not all there, with every measure there is."""
    jobs: dict[str, Job] = {}
    gpus = bool(visible_gpus())
    for key, runs in plans.items():
        for run in runs:
            if not run.finished or run.folder is None:
                continue
            trained = read_run(run.folder.path)
            known = {**tested_measures(trained), **trained.metrics}
            jobs[str(run.folder)] = Job(
                name=f"{key} (test)",
                overrides=("mode=test", f"ckpt={run.folder}", "metric=full"),
                folder=run.folder.path,
                ranks=run.ranks,
                gpu=gpus and run.needs_gpu,
                finished=all(column in known for column in table.columns),
            )
    missing = [job for job in jobs.values() if not job.finished]
    if not missing:
        return 0
    with JobView() as view:
        states = run_jobs(missing, Resources.of(missing), logs, on_change=view)
    failed = [state for state in states if state.state != "finished"]
    for state in failed:
        print(f"{state.job.name}: {state.state}: {state.reason} ({state.log})", file=sys.stderr)
    return _FAILED if failed else 0


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
