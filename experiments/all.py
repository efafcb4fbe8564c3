"""Every table and figure of the thesis, and its claims, with one command.

Run: ``python -m experiments.all [--toy] [--dry-run] [--tables A,B] [run.py options ...]``

The tables share their runs and one sweep: nothing is trained twice, and no processor waits for the
end of a table. A row that fails stops nothing; the same command again goes on.
"""

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.claims import claims_grid
from experiments.harness.command import add_common_options, make_tables, report
from experiments.harness.grid import render
from experiments.harness.table import Table, check_known


def tables() -> dict[str, Table]:
    """Return every table of this package by its name: the modules that have a ``TABLE``."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    modules = [importlib.import_module(f"experiments.{name}") for name in names if name != "all"]
    found = [module.TABLE for module in modules if hasattr(module, "TABLE")]
    return {table.name: table for table in found}


def main(argv: Sequence[str] | None = None) -> int:
    """Make and print all tables; return the exit code as a table's own command does."""
    known = tables()
    parser = argparse.ArgumentParser(
        prog="python -m experiments.all",
        description="Every table and figure of the thesis, then its claims: runs what is missing, "
        "resumes what broke, prints ours beside the thesis' numbers.",
    )
    parser.add_argument("--tables", metavar="A,B", help=f"only these: {', '.join(known)}")
    for table in known.values():
        if table.add_options is not None:
            table.add_options(parser)
    add_common_options(parser, "runs/tables/NAME")
    arguments = parser.parse_intermixed_args(argv)
    return report(lambda: _make(known, arguments))


def _make(known: Mapping[str, Table], arguments: argparse.Namespace) -> int:
    names = [name for name in (arguments.tables or "").split(",") if name]
    for name in names:
        check_known("table", name, known, "experiments")
    chosen = [known[name] for name in names or known]
    code = make_tables(
        [table if table.choose is None else table.choose(table, arguments) for table in chosen],
        arguments,
    )
    if not (names or arguments.dry_run):
        grid = claims_grid(
            arguments.toy, arguments.seeds, arguments.options, arguments.server_result
        )
        print(render(grid, "md"))
    return code


if __name__ == "__main__":
    sys.exit(main())
