"""Train a small detector without and with Correlation Loss and compare the two.

Run: ``python -m experiments.demo [--seeds 5] [--jobs 2] [run.py options ...]``
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from corrlight.reporting.compare import main as compare

CHOICES = ("none", "concordance")


def commands(seeds: int, options: Sequence[str]) -> list[list[str]]:
    """Return the ``run.py`` options of every run, the ones without the loss first."""
    return [
        ["experiment=demo", f"corr={choice}", f"seed={seed}", *options]
        for choice in CHOICES
        for seed in range(seeds)
    ]


def run_all(jobs: Sequence[Sequence[str]], at_once: int) -> list[Path]:
    """Run every command, ``at_once`` side by side; return their run folders.

    Raises:
        SystemExit: A run failed; the others are finished first.
    """
    root = Path(__file__).resolve().parents[1]
    environment = dict(os.environ)
    if at_once > 1:
        # Side by side, each job gets one thread: two on the same core would wait for each other.
        environment.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    waiting, running = deque(jobs), list[tuple[Sequence[str], subprocess.Popen[bytes]]]()
    failed = []
    while waiting or running:
        while waiting and len(running) < at_once:
            options = waiting.popleft()
            print(f"$ python run.py {' '.join(options)}", flush=True)
            process = subprocess.Popen([sys.executable, root / "run.py", *options], env=environment)
            running.append((options, process))
        options, process = running.pop(0)
        if process.wait() != 0:
            failed.append(options)
    if failed:
        raise SystemExit(f"error: {len(failed)} of {len(jobs)} runs failed: {failed}")
    return [_folder(options) for options in jobs]


def _folder(options: Sequence[str]) -> Path:
    from corrlight.engine.config import compose_config
    from corrlight.engine.train import prepare

    return prepare(compose_config(options)).folder.path


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.demo", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="runs a row (default 1)")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="table and figure")
    parser.add_argument("options", nargs="*", help="further run.py options for every run")
    arguments = parser.parse_args(argv)
    for name in ("seeds", "jobs"):
        if getattr(arguments, name) < 1:
            parser.error(f"expected --{name} to be at least 1, but got {getattr(arguments, name)}")
    folders = run_all(commands(arguments.seeds, arguments.options), arguments.jobs)
    return compare([*map(str, folders), "--out", str(arguments.out)])


if __name__ == "__main__":
    sys.exit(main())
