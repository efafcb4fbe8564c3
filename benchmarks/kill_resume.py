"""Kills a small run at random moments and resumes it: every one has to end like the whole run.

    python -m benchmarks.kill_resume --times 20 --out results.json

The run has three epochs of a few steps with a checkpoint every second step. Each trial starts it,
sends SIGKILL at a seeded random moment after the first checkpoint (with --signal TERM the run saves
first), reads last.ckpt, starts the same command again, and compares metrics.json byte by byte. A
moment at which the run had its results already is drawn again.
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

import torch

ROOT = Path(__file__).parents[1]
STEPS_PER_EPOCH = 12
OPTIONS = [
    "trainer=cpu", "data.num_train=48", "data.num_val=8", "data.image_size=64",
    "data.batch_size=4", "schedule.max_epochs=3", "schedule.scheduler.warmup_steps=2",
    "callbacks.checkpoint.every_n_steps=2", "~callbacks.pictures",
]  # fmt: skip


def command(folder: Path, data: Path) -> list[str]:
    """Return the overrides of the run whose results go below ``folder``."""
    return [*OPTIONS, f"paths.runs_dir={folder}", f"paths.data_dir={data}"]


def start(overrides: list[str], log: Path, **variables: str) -> subprocess.Popen[bytes]:
    """Start a run with further environment variables; its output is added to ``log``."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), *overrides],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        )


def wait_for_saves(process: subprocess.Popen[bytes], folder: Path, count: int) -> None:
    """Return when the run has written ``last.ckpt`` so many times more, or has ended."""
    known, seen = _saved_at(folder), 0
    while process.poll() is None and seen < count:
        time.sleep(0.002)
        now = _saved_at(folder)
        known, seen = now, seen + (now != known)


def _saved_at(folder: Path) -> int | None:
    return next((p.stat().st_mtime_ns for p in folder.glob("*/*/checkpoints/last.ckpt")), None)


def saved_step(folder: Path) -> int:
    """Return the step of ``last.ckpt``; whatever ``torch.load`` raises says that it is broken."""
    (file,) = folder.glob("*/*/checkpoints/last.ckpt")
    return int(torch.load(file, weights_only=True)["global_step"])


def result(folder: Path) -> str:
    """Return the text of ``metrics.json``."""
    (file,) = folder.glob("*/*/metrics.json")
    return file.read_text()


def trial(folder: Path, data: Path, delay: float, number: signal.Signals, whole: str) -> dict:
    """Kill and resume once; return what happened, nothing where the run had its results."""
    overrides, log = command(folder, data), folder.with_suffix(".log")
    process = start(overrides, log)
    wait_for_saves(process, folder, 1)
    time.sleep(delay)
    asked = time.monotonic()
    process.send_signal(number)
    ended = process.wait()
    seconds = time.monotonic() - asked
    if list(folder.glob("*/*/metrics.json")):
        return {}
    try:
        step, problem = saved_step(folder), ""
    except Exception as error:
        step, problem = None, f"{type(error).__name__}: {error}"
    code = start(overrides, log).wait()
    return {
        "delay": round(delay, 3),
        "killed": ended,
        "stop_seconds": round(seconds, 2),
        "step": step,
        "within_epoch": step is not None and step % STEPS_PER_EPOCH != 0,
        "unreadable": problem,
        "exit_code": code,
        "resumed": "/last.ckpt" in log.read_text().partition("Resuming from")[2],
        "equal": code == 0 and result(folder) == whole,
    }


def main() -> int:
    """Run all trials; the exit code is 0 if all of them resumed and ended like the whole run."""
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
        process = start(command(base / "whole", base / "data"), base / "whole.log")
        wait_for_saves(process, base / "whole", 1)
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
            if last:
                trials.append(last)
                print(json.dumps(last), flush=True)
    count = len(trials)
    resumed, equal = (sum(t[key] for t in trials) for key in ("resumed", "equal"))
    unreadable = sum(bool(t["unreadable"]) for t in trials)
    print(f"SIG{arguments.signal} at {count} random moments within {length:.1f} s of training:")
    print(f"{resumed} of {count} resumed, {sum(t['within_epoch'] for t in trials)} within an epoch")
    print(f"{unreadable} of {count} had an unreadable last.ckpt")
    print(f"{equal} of {count} ended with the metrics.json of the whole run")
    print(f"at most {max(t['stop_seconds'] for t in trials):.1f} s from the signal to the end")
    if arguments.out:
        arguments.out.write_text(json.dumps(trials, indent=1) + "\n")
    return 0 if resumed == equal == count and not unreadable else 1


if __name__ == "__main__":
    sys.exit(main())
