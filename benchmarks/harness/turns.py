"""Two sides of a comparison, each a process of its own, take turns."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Worker", "busy_seconds", "measure", "ratio"]


class Worker:
    """A process that serves (:mod:`benchmarks.harness.worker`).

    Args:
        command: Its program and arguments.
        threads: What OpenMP and MKL may use.

    Raises:
        RuntimeError: It ended before it was ready.
    """

    def __init__(self, command: Sequence[str], threads: int) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
        }
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        while (line := self._line()) != "ready":  # libraries may print while they load
            if self.process.poll() is not None:
                raise RuntimeError(f"The worker {shlex.join(command)!r} ended early: {line}")

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, name: str) -> dict[str, Any]:
        """Return the answer to one line."""
        assert self.process.stdin is not None
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        while not (line := self._line()).startswith("{"):
            if self.process.poll() is not None:
                raise RuntimeError(f"The worker ended at {name!r}.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def busy_seconds() -> float:
    """Return the CPU seconds of all processes since boot."""
    values = [int(v) for v in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(values) - values[3] - values[4]) / os.sysconf("SC_CLK_TCK")


def measure(
    sides: Mapping[str, Worker],
    action: str,
    iterations: int,
    warmup: int,
    budget: float,
    max_foreign_load: float = 0.12,
) -> dict[str, dict[str, Any]]:
    """Return the undisturbed seconds of every side, which take turns.

    Args:
        sides: The processes by name.
        action: What they are asked for.
        iterations: Undisturbed turns that are wanted.
        warmup: Turns before that do not count.
        budget: Seconds after which no further turn begins.
        max_foreign_load: A turn is dropped during which other processes used more of one core.

    Returns:
        By side: ``n`` turns, ``dropped`` ones, median ``wall`` and ``cpu`` seconds, the ``range``.
    """
    kept: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    dropped = dict.fromkeys(sides, 0)
    for worker in sides.values():
        for _ in range(warmup):
            worker.ask(action)
    end = time.monotonic() + budget
    while min(map(len, kept.values())) < iterations and time.monotonic() < end:
        for name, worker in sides.items():
            time.sleep(0.05)  # let the threads of the other side go to sleep
            before = busy_seconds()
            seconds = worker.ask(action)
            foreign = busy_seconds() - before - seconds["cpu"]
            if foreign / seconds["wall"] < max_foreign_load:
                kept[name].append(seconds)
            else:
                dropped[name] += 1
    return {name: summary(kept[name], dropped[name]) for name in sides}


def summary(kept: Sequence[Mapping[str, Any]], dropped: int) -> dict[str, Any]:
    """Return medians and the spread."""
    result: dict[str, Any] = {"n": len(kept), "dropped": dropped}
    for clock in ("wall", "cpu"):
        values = [seconds[clock] for seconds in kept]
        result[clock] = round(statistics.median(values), 4) if values else None
    walls = [round(seconds["wall"], 4) for seconds in kept]
    result["range"] = [min(walls), max(walls)] if walls else None
    return result


def ratio(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float | None:
    """Return the ratio of the medians."""
    if ours["wall"] is None or theirs["wall"] is None:
        return None
    return round(ours["wall"] / theirs["wall"], 3)
