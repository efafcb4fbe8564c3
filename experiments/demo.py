"""Train a small detector without and with Correlation Loss and compare the two.

Run: ``python -m experiments.demo [--seeds 5] [--jobs 2] [run.py options ...]``
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from corrlight.reporting.compare import main as compare

CHOICES = ("none", "concordance")
ROOT = Path(__file__).resolve().parents[1]


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
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if at_once > 1:
        # Side by side, each job gets one thread: two on the same core would wait for each other.
        environment.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    with ThreadPoolExecutor(at_once) as pool:
        codes = list(pool.map(lambda options: _run(options, environment, at_once > 1), jobs))
    failed = [options for options, code in zip(jobs, codes, strict=True) if code != 0]
    if failed:
        raise SystemExit(f"error: {len(failed)} of {len(jobs)} runs failed: {failed}")
    return [_folder(options) for options in jobs]


def _run(options: Sequence[str], environment: Mapping[str, str], label: bool) -> int:
    """Run one command; side by side, every line says whose it is."""
    print(f"$ python run.py {' '.join(options)}", flush=True)
    command = [sys.executable, str(ROOT / "run.py"), *options]
    if not label:
        return subprocess.run(command, env=environment).returncode
    name = " ".join(o.partition("=")[2] for o in options if o.startswith(("corr=", "seed=")))
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"[{name}] {line}", end="", flush=True)
    return process.returncode


def _folder(options: Sequence[str]) -> Path:
    from corrlight.engine.config import compose_config
    from corrlight.engine.train import prepare

    return prepare(compose_config(options)).folder.path


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.demo", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="runs a row (default 1)")
    jobs = min(2, os.cpu_count() or 1)
    parser.add_argument(
        "--jobs", type=int, default=jobs, help=f"runs side by side, one thread each ({jobs} here)"
    )
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
