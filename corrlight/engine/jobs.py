"""Jobs of a sweep: each its own process tree, several at once, none able to spoil another."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol

from corrlight.engine.run_folder import RunFolder
from corrlight.engine.status import STATUS_FILE, JobStatus, read_status

__all__ = [
    "COMMAND",
    "STOP_SECONDS",
    "Job",
    "JobPool",
    "JobState",
    "OnChange",
    "Resources",
    "drive_jobs",
    "job_environment",
    "run_jobs",
    "start_job",
    "visible_gpus",
]

# What the overrides of a job are appended to.
COMMAND = (sys.executable, "-m", "corrlight.cli", "train")

State = Literal["waiting", "running", "finished", "reused", "failed", "stopped"]

# Set by launchers of ranks, torchrun and SLURM among them; a job that inherited them would join
# another job's group, or take the tasks of SLURM for its ranks.
_RANK_VARIABLES = (
    "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED", "TORCHELASTIC_RUN_ID", "SLURM_NTASKS",
    "SLURM_PROCID",
)  # fmt: skip
_POLL_SECONDS = 0.1
# A job that was asked to stop has saved its checkpoint by then, or ends without.
STOP_SECONDS = 60.0
# What a sweep adds to that, for its ranks and for what a job does at its exit.
_GRACE_SECONDS = STOP_SECONDS + 30.0


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
        elif code in (130, 143):
            self.stop()
        else:
            self.state, self.reason = "failed", _reason(code, self.log)

    def stop(self) -> None:
        """Say that the job was asked to end, unless it was finished by then."""
        if self.state != "finished":
            self.state, self.reason = "stopped", "goes on from its last checkpoint"


# Called with all states, and the one that changed (None: time passed).
OnChange = Callable[[Sequence[JobState], JobState | None], None]


@dataclass(frozen=True, slots=True)
class Resources:
    """What the jobs of a sweep share.

    Attributes:
        at_once: Jobs that run side by side.
        threads: Threads of each rank.
        gpus: Device ids that jobs draw from; an id listed twice serves two jobs.
    """

    at_once: int
    threads: int
    gpus: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        jobs: Sequence[Job],
        *,
        at_once: int | None = None,
        threads: int | None = None,
        jobs_per_gpu: int = 1,
        gpus: Sequence[str] | None = None,
        cpus: int | None = None,
    ) -> Resources:
        """Return the division of this machine among ``jobs``.

        Args:
            jobs: Those that are to run.
            at_once: Jobs side by side; None means as many as GPUs or CPUs allow.
            threads: Of each rank; None shares the CPUs out.
            jobs_per_gpu: Jobs that may share one GPU.
            gpus: Device ids; by default the visible ones.
            cpus: Number of CPUs; by default those of this process.

        Raises:
            ValueError: An option below 1, or a job that needs more GPUs than there are.
        """
        given = {"jobs": at_once, "threads": threads, "jobs_per_gpu": jobs_per_gpu}
        for name, value in given.items():
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(
                    f"Expected `launcher.{name}` to be a number of at least 1, but got {value!r}."
                )
        cpus = cpus or len(os.sched_getaffinity(0))
        devices = list(visible_gpus() if gpus is None else gpus) if any(j.gpu for j in jobs) else []
        slots = tuple(device for _ in range(jobs_per_gpu) for device in devices)
        for job in jobs:
            if job.gpu and job.ranks > len(devices):
                raise ValueError(
                    f"Expected at least {job.ranks} GPUs for '{job.name}', but {len(devices)} are "
                    f"visible (trainer.devices says how many, trainer=cpu needs none)."
                )
        ranks = max((job.ranks for job in jobs), default=1)
        if at_once is None:
            at_once = max(1, (len(slots) if slots else cpus) // ranks)
        at_once = max(1, min(at_once, len(jobs)))
        return cls(at_once, threads or max(1, cpus // (at_once * ranks)), slots)


def visible_gpus() -> list[str]:
    """Return the ids of the GPUs that this process may use, without starting CUDA."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        ids = [part.strip() for part in chosen.split(",")]
        return [name for name in ids if name and name != "-1"]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(k) for k in range(len(lines))] if listed.returncode == 0 else []


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
        return drive_jobs(jobs, pool, logs, _POLL_SECONDS, on_change)


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


class JobPool(Protocol):
    """What runs the jobs of a sweep: processes of this machine, or submissions to a cluster."""

    @property
    def running(self) -> Sized:
        """The jobs that were started and have not ended."""

    def fits(self, job: Job) -> bool:
        """Whether ``job`` can start now."""

    def start(self, state: JobState) -> None:
        """Start a job."""

    def changed(self) -> list[JobState]:
        """Take in reports and ends; return the states that changed."""

    def stop(self) -> None:
        """Ask every running job to save and end, and wait for them."""

    def close(self) -> None:
        """End what must not outlive the sweep."""


def drive_jobs(
    jobs: Sequence[Job],
    pool: JobPool,
    logs: Path,
    poll_seconds: float,
    on_change: OnChange | None = None,
) -> list[JobState]:
    """Start all jobs that are not finished as they fit, and wait for them.

    Args:
        jobs: In the order in which they start.
        pool: What runs them.
        logs: Folder of the jobs' output and reports.
        poll_seconds: Between two looks at the running ones.
        on_change: Called with all states, and the one that changed (None: time passed).

    Returns:
        One state a job, in order. After Ctrl-C or SIGTERM the running ones were stopped, those
        that had not begun are "waiting".
    """
    logs.mkdir(parents=True, exist_ok=True)
    states = [
        JobState(job, k, logs / f"{k}.log", "reused" if job.finished else "waiting")
        for k, job in enumerate(jobs, 1)
    ]
    notify = on_change or (lambda states, changed: None)
    waiting = [state for state in states if state.state == "waiting"]
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while waiting or pool.running:
            while waiting and pool.fits(waiting[0].job):
                state = waiting.pop(0)
                pool.start(state)
                notify(states, state)
            time.sleep(poll_seconds)
            for state in pool.changed():
                notify(states, state)
            notify(states, None)
    except KeyboardInterrupt:
        pool.stop()
        notify(states, None)
    finally:
        pool.close()
        signal.signal(signal.SIGTERM, before)
    return states


def job_environment(
    report: Path, threads: int, gpus: Sequence[str] | None = None
) -> dict[str, str]:
    """Return the environment of a job's process: this one's, without the ranks of another job.

    Args:
        report: File that the job reports to (:mod:`corrlight.engine.status`).
        threads: Of each rank.
        gpus: Those that the job may use; None leaves the choice to the environment.
    """
    package_home = str(Path(__file__).resolve().parents[2])
    inherited = {k: v for k, v in os.environ.items() if k not in _RANK_VARIABLES}
    paths = [package_home, *filter(None, [inherited.get("PYTHONPATH")])]
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        STATUS_FILE: str(report.resolve()),
        **({} if gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}),
    }


def start_job(
    command: Sequence[str], output: IO[bytes], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a job in a session of its own, so that its whole tree can be ended.

    It is one run, whatever an experiment says of sweeps, and asked to stop when this process dies.
    """
    return subprocess.Popen(
        [*command, "hydra.mode=RUN"],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        env=environment,
    )


@dataclass(slots=True)
class _Process:
    state: JobState
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    gpus: list[str]
    started: float
    report: Path


class _Pool:
    """The processes of the jobs that run now."""

    def __init__(self, resources: Resources, command: Sequence[str], logs: Path) -> None:
        self._resources, self._command, self._logs = resources, list(command), logs
        self._free = list(resources.gpus)
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
        process = start_job(
            [*self._command, *job.overrides],
            output,
            job_environment(report, self._resources.threads, gpus if job.gpu else None),
        )
        state.state, state.status, state.exit_code, state.reason = "running", None, None, ""
        self.running.append(_Process(state, process, output, gpus, time.monotonic(), report))

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
        _signal_group(item.process, signal.SIGKILL)
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
            _signal_group(item.process, signal.SIGKILL)
            self._finish(item, item.process.wait())


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _end_with_parent() -> None:
    """Let the kernel ask a job to stop when the sweep itself is killed (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _reason(code: int, log: Path) -> str:
    """Return why a process ended, one line: its signal, or the last line that it printed."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 65536))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    # torch names the rank at the start of every line of a rank's last words.
    lines = [re.sub(r"^\[rank\d+\]: ", "", line).strip() for line in lines]
    lines = [line for line in lines if line]
    errors = [line for line in lines if line.startswith("error: ")]
    last = (errors or lines or ["it printed nothing"])[-1].removeprefix("error: ")
    return f"{last[:300]} (exit code {code})"
