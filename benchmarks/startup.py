"""Seconds until ``run.py --help`` ends, and until a training has made its first step.

    python -m benchmarks.startup --out results.json

The first step is over when its checkpoint is written. Pictures and bytecode are there before. A run
alone counts from its command, a job of a sweep from its start by the sweep, one job at a time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUN = str(Path(__file__).parents[1] / "run.py")
_OPTIONS = (
    "detector=atss_small",
    "trainer=cpu",
    "data=shapes",
    "callbacks.checkpoint.every_n_steps=1",
)


def help_seconds() -> float:
    """Return what the overview of options takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, RUN, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def first_step_seconds(runs: Path, data: Path) -> float:
    """Return what it takes from the start of a training to its first checkpoint."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, RUN, *_OPTIONS, f"paths.runs_dir={runs}", f"paths.data_dir={data}"],
        stdout=subprocess.DEVNULL,
    )
    while not list(runs.glob("*/*/checkpoints/last.ckpt")):
        if process.poll() is not None:
            raise SystemExit(f"error: the training ended with exit code {process.returncode}.")
        time.sleep(0.005)
    seconds = time.perf_counter() - began
    process.kill()
    process.wait()
    return seconds


def sweep_step_seconds(runs: Path, data: Path, jobs: int) -> list[float]:
    """Return the same of the jobs of a sweep, each from when it has an output to its checkpoint."""
    seeds = ",".join(map(str, range(jobs)))
    short = [
        "schedule.max_epochs=1",
        "trainer.limit_train_batches=2",
        "trainer.limit_val_batches=1",
    ]
    process = subprocess.Popen(
        [sys.executable, RUN, "-m", *_OPTIONS, *short, f"seed={seeds}", "launcher.jobs=1",
         f"paths.runs_dir={runs}", f"paths.data_dir={data}"],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    begins: dict[Path, float] = {}
    ends: dict[Path, float] = {}
    while process.poll() is None:
        now = time.perf_counter()
        for log in runs.glob(".sweeps/*/[0-9]*.log"):
            begins.setdefault(log, now)
        for checkpoint in runs.glob("*/*/checkpoints/last.ckpt"):
            ends.setdefault(checkpoint, now)
        time.sleep(0.005)
    if process.returncode or not len(begins) == len(ends) == jobs:
        raise SystemExit(f"error: the sweep ended with exit code {process.returncode}.")
    return [e - b for b, e in zip(sorted(begins.values()), sorted(ends.values()), strict=True)]


def main() -> None:
    """Print medians and all values."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        help_seconds(), first_step_seconds(base / "first", base / "data")
        seconds = {"--help": [], "first step": []}
        for k in range(arguments.times):
            seconds["--help"].append(help_seconds())
            seconds["first step"].append(first_step_seconds(base / str(k), base / "data"))
        first, *further = sweep_step_seconds(base / "sweep", base / "data", arguments.times + 1)
        seconds |= {"of a sweep's first job": [first], "of its further jobs": further}
    for what, values in seconds.items():
        shown = " ".join(f"{value:.2f}" for value in values)
        print(f"{what}: median {statistics.median(values):.2f} s ({shown})")
    if arguments.out:
        arguments.out.write_text(json.dumps(seconds, indent=1) + "\n")


if __name__ == "__main__":
    main()
