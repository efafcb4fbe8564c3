"""Kills a small run at random moments and resumes it: every one has to end like the whole run.

    python -m benchmarks.kill_resume --times 20 --out results.json

The run has three epochs of a few steps with a checkpoint every second step. Each trial starts it,
sends SIGKILL at a seeded random moment after training began (with --signal TERM the run saves
first), starts the same command again, and compares metrics.json byte by byte. A moment at which the
run had its results already is drawn again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
OPTIONS = [
    "trainer=cpu", "data.num_train=48", "data.num_val=8", "data.image_size=64",
    "data.batch_size=4", "schedule.max_epochs=3", "schedule.scheduler.warmup_steps=2",
    "callbacks.checkpoint.every_n_steps=2", "~callbacks.pictures",
]  # fmt: skip


def start(folder: Path, data: Path) -> subprocess.Popen[bytes]:
    """Start the run; its output is added to ``<folder>.log``."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run.py"), *OPTIONS,
         f"paths.runs_dir={folder}", f"paths.data_dir={data}"],
        stdout=folder.with_suffix(".log").open("ab"),
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def result(folder: Path) -> str:
    """Return the text of ``metrics.json``."""
    (file,) = folder.glob("*/*/metrics.json")
    return file.read_text()


def trial(folder: Path, data: Path, delay: float, number: signal.Signals, whole: str) -> dict:
    """Kill and resume once; return what happened."""
    process = start(folder, data)
    while process.poll() is None and not list(folder.glob("*/*/checkpoints")):
        time.sleep(0.01)
    time.sleep(delay)
    asked = time.monotonic()
    process.send_signal(number)
    process.wait()
    finished = bool(list(folder.glob("*/*/metrics.json")))
    seconds = time.monotonic() - asked
    names = sorted(path.name for path in folder.glob("*/*/checkpoints/*"))
    code = start(folder, data).wait()
    log = folder.with_suffix(".log").read_text()
    return {
        "delay": round(delay, 3),
        "finished_before": finished,
        "stop_seconds": round(seconds, 2),
        "checkpoints_at_kill": names,
        "exit_code": code,
        "resumed": "Resuming from" in log,
        "equal": code == 0 and result(folder) == whole,
    }


def main() -> int:
    """Run all trials; the exit code is 0 if all of them ended like the whole run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    number = signal.Signals[f"SIG{arguments.signal}"]
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        process = start(base / "whole", base / "data")
        while process.poll() is None and not list((base / "whole").glob("*/*/checkpoints")):
            time.sleep(0.01)
        began = time.monotonic()
        # Moments after the results are written would find nothing to resume.
        while process.poll() is None and not list((base / "whole").glob("*/*/metrics.json")):
            time.sleep(0.01)
        length = time.monotonic() - began
        if process.wait() != 0:
            print((base / "whole.log").read_text())
            return 1
        whole = result(base / "whole")
        trials: list[dict] = []
        draws = 0
        while len(trials) < arguments.times:
            draws += 1
            delay = rng.uniform(0, length)
            last = trial(base / f"run{draws}", base / "data", delay, number, whole)
            print(json.dumps(last), flush=True)
            if not last["finished_before"]:
                trials.append(last)
    equal = sum(t["equal"] for t in trials)
    print(f"{equal} of {len(trials)} runs equal the whole run ({length:.1f} s of training)")
    print(f"{sum(t['resumed'] for t in trials)} of them went on from a checkpoint")
    if arguments.out:
        arguments.out.write_text(json.dumps(trials, indent=1) + "\n")
    return 0 if equal == len(trials) else 1


if __name__ == "__main__":
    sys.exit(main())
