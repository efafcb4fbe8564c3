"""Jobs of one thread side by side, against the same ones in sequence with one thread and with all.

    python -m benchmarks.side_by_side --out results.json

Every way is a sweep of as many jobs as there are CPUs, from its first process to its last; data and
bytecode are there before. The larger the throughput of jobs side by side, the better a grid uses a
machine without GPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def sweep(
    base: Path, name: str, jobs: int, at_once: int, threads: int, options: list[str]
) -> float:
    """Return the wall seconds of a sweep over seeds."""
    began = time.monotonic()
    subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "-m", "trainer=cpu", "~callbacks.pictures",
         f"seed={','.join(map(str, range(jobs)))}", f"launcher.jobs={at_once}",
         f"launcher.threads={threads}", f"paths.runs_dir={base / name}",
         f"paths.data_dir={base / 'data'}", *options],
        check=True, stdout=subprocess.DEVNULL,
        env={k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")},
    )  # fmt: skip
    return time.monotonic() - began


def main() -> None:
    """Print the seconds of every way, and the throughput beside sequences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detector", default="atss_small")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    options = [
        f"detector={arguments.detector}", f"data.num_train={arguments.images}",
        "data.num_val=50", f"schedule.max_epochs={arguments.epochs}", "data.num_workers=0",
    ]  # fmt: skip
    cpus = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        sweep(base, "first", 1, 1, cpus, [*options, "trainer.limit_train_batches=2"])
        seconds = {
            "side by side": sweep(base, "beside", cpus, cpus, 1, options),
            "in sequence, one thread": sweep(base, "one", cpus, 1, 1, options),
            f"in sequence, {cpus} threads": sweep(base, "all", cpus, 1, cpus, options),
        }
    beside = seconds["side by side"]
    record = {
        "detector": arguments.detector,
        "jobs": cpus,
        "seconds": {way: round(value, 1) for way, value in seconds.items()},
        "throughput": {way: round(value / beside, 2) for way, value in seconds.items()},
    }
    print(json.dumps(record, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
