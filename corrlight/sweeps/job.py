"""A job of a sweep and what became of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from corrlight.runs.ending import is_stop, signal_name
from corrlight.runs.status import JobStatus

__all__ = ["Job", "JobState", "OnChange"]

State = Literal["waiting", "running", "finished", "reused", "failed", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run to make.

    Attributes:
        name: What tables call it.
        overrides: Concrete overrides of ``run.py``.
        folder: Where its results will be.
        ranks: Processes that it trains with on one machine.
        nodes: Machines that it trains on.
        gpu: Whether every rank needs a GPU of its own.
        finished: Whether its results are there already.
        ap: AP of a finished one, a fraction.
        note: A remark for the table.
    """

    name: str
    overrides: tuple[str, ...]
    folder: Path
    ranks: int = 1
    nodes: int = 1
    gpu: bool = False
    finished: bool = False
    ap: float | None = None
    note: str = ""


@dataclass(slots=True)
class JobState:
    """What became of a job so far.

    Attributes:
        job: The job.
        number: Its place in the sweep, from 1.
        log: File with everything that it printed.
        state: "reused" is finished before the sweep began; "stopped" can go on later.
        status: Its own last report.
        exit_code: Of its process; negative is the signal that ended it.
        reason: Why it failed, or what it waits for, one line.
        seconds: Wall time of its process.
    """

    job: Job
    number: int
    log: Path
    state: State = "waiting"
    status: JobStatus | None = None
    exit_code: int | None = None
    reason: str = ""
    seconds: float = 0.0

    def end(self, code: int) -> None:
        """Take in the exit code of the job's process."""
        self.exit_code = code
        if code == 0:
            self.state, self.reason = "finished", ""
        elif is_stop(code):
            self.stop()
        else:
            self.state, self.reason = "failed", _reason(code, self.log)

    def stop(self) -> None:
        """Say that the job was asked to end, unless it was finished by then."""
        if self.state != "finished":
            self.state, self.reason = "stopped", "goes on from its last checkpoint"


# Called with all states, and the one that changed (None: time passed).
OnChange = Callable[[Sequence[JobState], JobState | None], None]


def _reason(code: int, log: Path) -> str:
    """Return why a process ended, one line: its signal, or the last line that it printed."""
    if code < 0:
        return f"killed by {signal_name(-code)}"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 65536))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    # torch names the rank at the start of every line of a rank's last words.
    lines = [re.sub(r"^\[rank\d+\]: ", "", line).strip() for line in lines]
    lines = [line for line in lines if line]
    errors = [line for line in lines if line.startswith("error: ")]
    last = (errors or lines or ["it printed nothing"])[-1].removeprefix("error: ")
    return f"{last[:300]} (exit code {code})"
