"""The jobs of a sweep on this machine, several at once."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from corrlight.data.decoded import DECODED_FOLDER
from corrlight.runs.ending import STOP_SECONDS
from corrlight.runs.folder import RunFolder
from corrlight.runs.status import read_status
from corrlight.sweeps.drive import drive_jobs
from corrlight.sweeps.job import Job, JobState, OnChange
from corrlight.sweeps.process import COMMAND, Process, job_environment, signal_group, start_job
from corrlight.sweeps.resources import Resources
from corrlight.sweeps.warm import WarmStart

__all__ = ["run_jobs"]

_POLL_SECONDS = 0.1
# Folder of the pictures that one job has decoded for all.
_DECODED = "decoded"
# What a sweep adds to that, for its ranks and for what a job does at its exit.
_GRACE_SECONDS = STOP_SECONDS + 30.0


def run_jobs(
    jobs: Sequence[Job],
    resources: Resources,
    logs: Path,
    *,
    on_change: OnChange | None = None,
    command: Sequence[str] = COMMAND,
) -> list[JobState]:
    """Run all jobs that are not finished; a failing one stops no other.

    Args:
        jobs: In the order in which they start.
        resources: How many at once, on what.
        logs: Folder of the jobs' output and reports.
        on_change: Called with all states, and the one that changed (None: time passed).
        command: What the overrides are appended to.

    Returns:
        One state a job, in order. After Ctrl-C or SIGTERM the running ones have saved a
        checkpoint and are "stopped", those that had not begun are "waiting".

    Raises:
        OSError: Another process runs the same sweep, or ``logs`` cannot be written.
    """
    pool = _Pool(resources, command, logs)
    with _held(logs):
        try:
            return drive_jobs(jobs, pool, logs, _POLL_SECONDS, on_change)
        finally:
            # What a killed sweep leaves, the next one uses.
            shutil.rmtree(logs / _DECODED, ignore_errors=True)


@contextlib.contextmanager
def _held(logs: Path) -> Iterator[None]:
    """Hold the folder of a sweep: its jobs would only find their runs taken."""
    logs.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(logs)
    try:
        folder.lock()
    except OSError as error:
        if folder.held:
            raise OSError(f"This sweep is running already: {error}") from None
        raise
    try:
        yield
    finally:
        folder.unlock()


@dataclass(slots=True)
class _Process:
    state: JobState
    process: Process
    output: IO[bytes]
    gpus: list[str]
    started: float
    report: Path


class _Pool:
    """The processes of the jobs that run now."""

    def __init__(self, resources: Resources, command: Sequence[str], logs: Path) -> None:
        self._resources, self._command, self._logs = resources, list(command), logs
        self._free = list(resources.gpus)
        self._warm: WarmStart | None = None
        self.running: list[_Process] = []

    def fits(self, job: Job) -> bool:
        """Whether ``job`` can start now."""
        if len(self.running) >= self._resources.at_once:
            return False
        return not job.gpu or len(set(self._free)) >= job.ranks

    def start(self, state: JobState) -> None:
        """Start a job on GPUs of its own."""
        job = state.job
        gpus = list(dict.fromkeys(self._free))[: job.ranks] if job.gpu else []
        for device in gpus:
            self._free.remove(device)
        report = self._logs / f"{state.number}.status.json"
        report.unlink(missing_ok=True)
        if state.log.exists():
            # Renamed, not emptied: a job of a sweep that was killed may be saving still.
            state.log.replace(state.log.with_suffix(".previous.log"))
        output = state.log.open("wb")
        environment = job_environment(report, self._resources.threads, gpus if job.gpu else None)
        if sys.platform == "linux":  # Elsewhere the room for it cannot be reserved.
            environment[DECODED_FOLDER] = str((self._logs / _DECODED).resolve())
        process = self._process(job, output, environment)
        state.state, state.status, state.exit_code, state.reason = "running", None, None, ""
        self.running.append(_Process(state, process, output, gpus, time.monotonic(), report))

    def _process(self, job: Job, output: IO[bytes], environment: dict[str, str]) -> Process:
        command = [*self._command, *job.overrides]
        # A process that has looked for GPUs cannot be forked, and who trains on one can wait.
        if job.gpu or sys.platform != "linux" or tuple(self._command) != COMMAND:
            return start_job(command, output, environment)
        if self._warm is None:
            self._warm = WarmStart(environment)
        return self._warm.start([*command[1:], "hydra.mode=RUN"], output, environment)

    def changed(self) -> list[JobState]:
        """Take in reports and ends; return the states that changed."""
        changed = []
        for item in list(self.running):
            code = item.process.poll()
            status = read_status(item.report)
            item.state.seconds = time.monotonic() - item.started
            if status is not None and status != item.state.status:
                item.state.status = status
                if code is None:
                    changed.append(item.state)
            if code is not None:
                self._finish(item, code)
                changed.append(item.state)
        return changed

    def _finish(self, item: _Process, code: int) -> None:
        # Ranks of a job whose main process is gone wait for it for ever.
        signal_group(item.process, signal.SIGKILL)
        item.output.close()
        self.running.remove(item)
        self._free.extend(item.gpus)
        item.state.end(code)

    def stop(self) -> None:
        """Ask every job to save and end; Ctrl-C once more ends them at once."""
        for item in self.running:
            # Only the main process: it passes the signal on to its ranks.
            item.process.terminate()
        asked = list(self.running)
        deadline = time.monotonic() + _GRACE_SECONDS
        with contextlib.suppress(KeyboardInterrupt):
            while self.running and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
                self.changed()
        self.close()
        for item in asked:
            item.state.stop()

    def close(self) -> None:
        """End whatever still runs."""
        for item in list(self.running):
            signal_group(item.process, signal.SIGKILL)
            self._finish(item, item.process.wait())
        if self._warm is not None:
            self._warm.close()
            self._warm = None
