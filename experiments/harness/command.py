"""The command line of a table: run what is missing, resume what broke, print what there is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from corrlight.atomic import atomic_path, write_text
from corrlight.config.compose import compose_config
from experiments.harness.collection import Collected, read_results
from experiments.harness.estimate import dry_run, problems
from experiments.harness.grid import FORMATS, render
from experiments.harness.identity import Locator
from experiments.harness.picture import standard_picture
from experiments.harness.running import Plan, choose_launcher, make_runs, plan_table
from experiments.harness.table import Table, check_known

__all__ = [
    "add_common_options",
    "add_jobs_option",
    "collect",
    "main",
    "make_tables",
    "report",
    "select",
]

_SUFFIXES = {"md": "md", "csv": "csv", "latex": "tex", "html": "html"}
_BAD_INPUT = 2


def main(table: Table, argv: Sequence[str] | None = None) -> int:
    """Make and print a table; return the exit code (1: a run failed, 2: the input was wrong)."""
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.{table.name}",
        description=f"{table.title}. Runs what is missing, resumes what broke, prints ours beside "
        "the thesis' numbers.",
    )
    rows = ", ".join(row.key for row in table.rows)
    parser.add_argument("--rows", metavar="A,B", help=f"only these rows: {rows}")
    if table.add_options is not None:
        table.add_options(parser)
    add_common_options(parser, f"runs/tables/{table.name}")
    arguments = parser.parse_intermixed_args(argv)

    def make() -> int:
        chosen = table if table.choose is None else table.choose(table, arguments)
        return make_tables([select(chosen, arguments.rows)], arguments)

    return report(make)


def report(make: Callable[[], int]) -> int:
    """Return the exit code of ``make``; wrong input is one line and exit code 2."""
    try:
        return make()
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return _BAD_INPUT


def add_common_options(parser: argparse.ArgumentParser, out: str) -> None:
    """Add the options of every table; ``out`` is where it is written by default."""
    parser.epilog = (
        "Further arguments are run.py options for every row, such as "
        "data.root=/datasets/coco trainer=ddp trainer.devices=4 logger=wandb, and options of the "
        "launcher, such as launcher.threads=2 or launcher=slurm launcher.partition=gpu."
    )
    add = parser.add_argument
    add("--dry-run", action="store_true", help="print commands and cost, run nothing")
    add("--collect", action="store_true", help="print what there is, run nothing")
    add("--toy", action="store_true", help="small variants on the embedded shapes, minutes a row")
    add("--seeds", type=int, default=1, metavar="K", help="runs a row (default 1)")
    add("--format", default="md", help=f"comma-separated: {','.join(FORMATS)} (default md)")
    add_jobs_option(parser)
    add("--rerun-stale", action="store_true", help="run again what another commit made")
    add("--out", type=Path, metavar="DIR", help=f"default: {out}, or {out}-toy")
    add("options", nargs="*", help="run.py options")


def add_jobs_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--jobs``."""
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="runs side by side, as launcher.jobs=N (default: one a GPU or CPU)",
    )


def make_tables(tables: Sequence[Table], arguments: argparse.Namespace) -> int:
    """Run what the tables lack and print them, as the options of the command line say.

    Returns:
        0, or 1 where a run failed; 130 where it was stopped.

    Raises:
        ValueError: Options that cannot be; nothing was started then.
        OSError: A folder that cannot be read or written.
    """
    if arguments.seeds < 1:
        raise ValueError(f"Expected `--seeds` to be at least 1, but got {arguments.seeds}.")
    forms = [form for form in arguments.format.split(",") if form]
    for form in forms:
        if form not in FORMATS:
            known = ", ".join(FORMATS)
            raise ValueError(f"Expected `--format` to be of {known}, but got '{form}'.")
    toy = arguments.toy
    launcher, options = choose_launcher(arguments.options, jobs=arguments.jobs, one_thread=toy)
    runs = not (arguments.dry_run or arguments.collect)
    locator = Locator(draw=runs)
    plans = [
        plan_table(table, toy=toy, seeds=arguments.seeds, options=options, locator=locator)
        for table in tables
    ]
    if arguments.dry_run:
        print(dry_run(plans, toy))
        return 0
    folders = {table.name: _out(table, arguments, single=len(tables) == 1) for table in tables}
    code = 0
    if runs:
        code = make_runs(
            plans,
            folders[tables[0].name] / "logs",
            launcher,
            rerun_stale=arguments.rerun_stale,
        )
    for plan in plans:
        _write(plan.table, gather(plan, toy), forms, folders[plan.table.name])
    for problem in problems(plans):
        print(f"note: {problem}", file=sys.stderr)
    return code


def _out(table: Table, arguments: argparse.Namespace, single: bool) -> Path:
    if arguments.out is not None:
        return Path(arguments.out) if single else arguments.out / table.name
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
    wanted = [name for name in names.split(",") if name]
    for name in wanted:
        check_known("row", name, [row.key for row in table.rows], table.name)
    return replace(table, rows=tuple(row for row in table.rows if row.key in wanted))


def gather(plan: Plan, toy: bool) -> Collected:
    """Return what the run folders of the planned runs hold."""
    rows = {row.key: row for row in plan.table.rows}
    results = {
        key: read_results(rows[key], [run.folder for run in runs])
        for key, runs in plan.runs.items()
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
    locator = locator or Locator(draw=False)
    return gather(plan_table(table, toy=toy, seeds=seeds, options=options, locator=locator), toy)


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
