"""Train a small detector without and with Correlation Loss and compare the two.

Run: ``python -m experiments.demo [--seeds 5] [--jobs 2] [run.py options ...]``
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from corrlight.reporting.compare import main as compare
from corrlight.sweeps.sweep import run_sweep
from experiments.harness.command import add_jobs_option, report
from experiments.harness.running import choose_launcher

CHOICES = ("none", "concordance")


def overrides(seeds: int, options: Sequence[str]) -> list[list[str]]:
    """Return the ``run.py`` options of every run, the ones without the loss first."""
    return [
        ["experiment=demo", f"corr={choice}", f"seed={seed}", *options]
        for choice in CHOICES
        for seed in range(seeds)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.demo", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="runs a row (default 1)")
    add_jobs_option(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="table and figure")
    parser.add_argument("options", nargs="*", help="further run.py options for every run")
    arguments = parser.parse_intermixed_args(argv)
    if arguments.seeds < 1:
        parser.error(f"expected --seeds to be at least 1, but got {arguments.seeds}")
    return report(lambda: _make(arguments))


def _make(arguments: argparse.Namespace) -> int:
    launcher, options = choose_launcher(arguments.options, jobs=arguments.jobs)
    result = run_sweep(overrides(arguments.seeds, options), launcher)
    if result.exit_code != 0:
        return result.exit_code
    folders = [str(result.states[k].job.folder) for k in result.indices]
    code = compare([*folders, "--out", str(arguments.out)])
    print(f"table and figure in {arguments.out}; everything of a run in {folders[0]} and beside it")
    return code


if __name__ == "__main__":
    sys.exit(main())
