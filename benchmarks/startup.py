"""Seconds until ``run.py --help`` ends, and until a small training has made its first step.

    python -m benchmarks.startup --out results.json

The first step is over when its checkpoint is written. Pictures and bytecode are there before.
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


def help_seconds() -> float:
    """Return what the overview of options takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, RUN, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def first_step_seconds(runs: Path, data: Path) -> float:
    """Return what it takes from the start of a training to its first checkpoint."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, RUN, "detector=atss_small", "trainer=cpu", "data=shapes",
         "callbacks.checkpoint.every_n_steps=1", f"paths.runs_dir={runs}",
         f"paths.data_dir={data}"],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    while not list(runs.glob("*/*/checkpoints/last.ckpt")):
        if process.poll() is not None:
            raise SystemExit(f"error: the training ended with exit code {process.returncode}.")
        time.sleep(0.005)
    seconds = time.perf_counter() - began
    process.kill()
    process.wait()
    return seconds


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
    for what, values in seconds.items():
        shown = " ".join(f"{value:.2f}" for value in values)
        print(f"{what}: median {statistics.median(values):.2f} s ({shown})")
    if arguments.out:
        arguments.out.write_text(json.dumps(seconds, indent=1) + "\n")


if __name__ == "__main__":
    main()
