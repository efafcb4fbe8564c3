"""``corrlight runs``: what lies below the folder of all runs."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from corrlight.json_files import as_number
from corrlight.runs.entries import (
    Entry,
    check_filters,
    find_entries,
    find_entry,
    flat_config,
    matches,
    stored_overrides,
)
from corrlight.runs.folder import RunFolder
from corrlight.runs.identity import NO_RESULT
from corrlight.runs.status import format_seconds

__all__ = ["main"]

_MEASURES = ("AP", "AP50", "AP75", "beta_img", "beta_cls")
_COLOURS = {"finished": "green", "failed": "red", "stopped": "yellow", "broken": "red"}


def main(argv: Sequence[str]) -> int:
    """Run a sub-command of ``corrlight runs``; return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.action(arguments))
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="corrlight runs", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, action: Any, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, parents=[common])
        command.set_defaults(action=action)
        return command

    listing = add("list", _list, "a table of runs")
    listing.add_argument(
        "filter", nargs="*", help="key=value of the configuration, state=..., or a part of the name"
    )
    add("show", _show, "one run: state, measures, files").add_argument("run")
    diff = add("diff", _diff, "in what two runs differ: configuration and measures")
    diff.add_argument("a")
    diff.add_argument("b")
    rerun = add("rerun", _rerun, "make a run again; the old folder is kept aside")
    rerun.add_argument("run")
    rerun.add_argument("overrides", nargs="*", help="further options of run.py")
    remove = add("rm", _remove, "delete runs")
    remove.add_argument("run", nargs="+")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _list(arguments: argparse.Namespace) -> int:
    found = find_entries(arguments.runs)
    check_filters(arguments.filter, found)
    entries = [entry for entry in found if all(matches(entry, t) for t in arguments.filter)]
    table = Table(box=None, pad_edge=False)
    for column in ("run", "state"):
        table.add_column(column, no_wrap=True)
    for column in ("epochs", "seed", *_MEASURES, "time", "commit"):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in entries:
        measures = entry.metrics or entry.best
        table.add_row(
            escape(entry.name),
            _coloured(entry.state),
            str(entry.epochs),
            str(entry.environment.get("seed", "-")),
            *(_percent(measures.get(name)) for name in _MEASURES),
            _time(entry),
            _commit(entry),
        )
    console = _console()
    console.print(table)
    console.print(f"{len(entries)} runs in {arguments.runs}", markup=False, highlight=False)
    if any(entry.best for entry in entries):
        console.print("Measures of a run that is not finished: its epoch of the best AP so far.")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    entry = find_entry(arguments.runs, arguments.run)
    console = _console()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("run", escape(entry.name))
    table.add_row("state", _coloured(entry.state))
    table.add_row("epochs", str(entry.epochs))
    if entry.best:
        table.add_row("best AP so far", _best(entry))
    table.add_row("time", _time(entry))
    table.add_row("commit", _commit(entry))
    table.add_row("overrides", escape(" ".join(stored_overrides(entry))))
    for name, value in sorted(entry.metrics.items()):
        shown = str(value) if isinstance(value, int | str) else _percent(value)
        table.add_row(name, escape(shown))
    files = sorted(p for p in entry.folder.path.rglob("*") if p.is_file())
    size = sum(p.stat().st_size for p in files)
    table.add_row("files", f"{len(files)}, {size / 1e6:.1f} MB in {escape(str(entry.folder))}")
    console.print(table)
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    a, b = (find_entry(arguments.runs, name) for name in (arguments.a, arguments.b))
    console = _console()
    table = Table(box=None, pad_edge=False)
    for column in ("", a.name, b.name, "difference"):
        table.add_column(escape(column), overflow="fold")
    first, second = flat_config(a.config), flat_config(b.config)
    for key in sorted(first.keys() | second.keys()):
        section = key.partition(".")[0]
        # `loss_callbacks` repeats `corr`.
        if first.get(key) != second.get(key) and section not in (*NO_RESULT, "loss_callbacks"):
            table.add_row(key, escape(first.get(key, "-")), escape(second.get(key, "-")), "")
    for name in sorted(a.metrics.keys() | b.metrics.keys()):
        x, y = as_number(a.metrics.get(name)), as_number(b.metrics.get(name))
        if x == y:
            continue
        count = isinstance(a.metrics.get(name, b.metrics.get(name)), int)
        scale, digits = (1, 0) if count else (100, 1)
        texts = ["-" if v is None else f"{scale * v:.{digits}f}" for v in (x, y)]
        change = "-" if x is None or y is None else f"{scale * (y - x):+.{digits}f}"
        table.add_row(name, *texts, change)
    console.print(table)
    if not table.row_count:
        console.print("No difference in configuration or measures.")
    return 0


def _rerun(arguments: argparse.Namespace) -> int:
    # Composing takes Hydra, which the other sub-commands need not wait for.
    from corrlight.config.overrides import override_key, quoted

    entry = find_entry(arguments.runs, arguments.run)
    # Code is not allowed by what a folder says.
    dropped = ("rerun", "resume", "allow_targets")
    stored = [o for o in stored_overrides(entry) if override_key(o) not in dropped]
    # The run's own, wherever `--runs` is: else it would be made a second time, not again.
    runs_dir = entry.folder.path.parent.parent
    command = [
        *stored,
        f"paths.runs_dir={quoted(str(runs_dir))}",
        *arguments.overrides,
        "rerun=true",
    ]
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    return _wait_for(
        [sys.executable, "-m", "corrlight.cli", "train", *command],
        {**os.environ, "PYTHONPATH": path},
    )


def _wait_for(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return the exit code of a training, which answers Ctrl-C and SIGTERM itself.

    Ctrl-C reaches both processes of a terminal, SIGTERM only this one, which passes it on.
    """
    before = {signal.SIGINT: signal.signal(signal.SIGINT, lambda signum, frame: None)}
    try:
        process = subprocess.Popen(command, env=environment)
        before[signal.SIGTERM] = signal.signal(
            signal.SIGTERM, lambda signum, frame: process.terminate()
        )
        code = process.wait()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    return code if code >= 0 else 128 - code


def _remove(arguments: argparse.Namespace) -> int:
    found = [find_entry(arguments.runs, name) for name in arguments.run]
    entries = list({entry.folder.path: entry for entry in found}.values())
    for entry in entries:
        path = entry.folder.path
        for link in (path, path.parent):
            if link.is_symlink():
                raise ValueError(f"Expected a run folder and no link to one, but {link} is one.")
        if entry.state == "running":
            raise ValueError(f"Expected a run that is not being made, but {entry.name} is.")
    for entry in entries:
        if arguments.yes or _agreed(f"Delete {entry.folder}? [y/N] "):
            _delete(entry.folder)
            print(f"Deleted {entry.folder}")
    return 0


def _delete(folder: RunFolder) -> None:
    folder.lock()  # It may have been started since it was found.
    try:
        # Renamed first: who starts the run now makes a folder of its own.
        aside = folder.set_aside()
        assert aside is not None
        shutil.rmtree(aside)
    finally:
        folder.unlock()


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() == "y"
    except EOFError:
        raise ValueError("Expected an answer, but nobody is there to give one (--yes).") from None


def _console() -> Console:
    """Return a console; a file or a pipe has no edge to wrap at."""
    console = Console(soft_wrap=True)
    return console if console.is_terminal else Console(soft_wrap=True, width=250)


def _percent(value: Any) -> str:
    number = as_number(value)
    return "-" if number is None else f"{100 * number:.1f}"


def _best(entry: Entry) -> str:
    epoch = entry.best.get("epoch")
    return _percent(entry.best["AP"]) + ("" if epoch is None else f", epoch {epoch:.0f}")


def _time(entry: Entry) -> str:
    return "-" if entry.seconds is None else format_seconds(entry.seconds)


def _commit(entry: Entry) -> str:
    git = entry.environment.get("git")
    if not isinstance(git, dict):
        return "-"
    commit = str(git.get("commit") or "-")[:7]
    return commit + ("+" if git.get("modified") else "")


def _coloured(state: str) -> str:
    colour = _COLOURS.get(state)
    return f"[{colour}]{state}[/]" if colour else state
