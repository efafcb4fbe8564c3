"""Sweeps as SLURM jobs, through submitit: one submission a job, which goes on when it is requeued.

A submission is one task on every node of its job. The task starts the training as a process tree
of its own, as the local launcher does; on several nodes Lightning joins the trees. When SLURM
wants the node back, the task lets the training save ``last.ckpt`` and has submitit requeue it.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from corrlight.atomic import write_text
from corrlight.runs.ending import signal_name
from corrlight.runs.status import read_status
from corrlight.sweeps.drive import drive_jobs
from corrlight.sweeps.job import Job, JobState, OnChange
from corrlight.sweeps.process import COMMAND, job_environment, start_job

__all__ = ["SlurmOptions", "Training", "run_slurm_jobs"]

# The states of jobs are asked for so often; their own reports are read in between.
_QUEUE_SECONDS = 5.0
_POLL_SECONDS = 0.5
# A cancelled job has this long to save its checkpoint (SLURM's KillWait is 30 seconds).
_GRACE_SECONDS = 60.0
# Of preemption: SLURM's own signal, what clusters send instead, and what submitit asks for before
# the time limit.
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
# Ports of the ranks' meeting point on several nodes: one a SLURM job.
_FIRST_PORT, _PORTS = 20000, 20000


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmOptions:
    """How a sweep uses a cluster (``conf/launcher/slurm.yaml``).

    Attributes:
        executor: "slurm", or submitit's "local", which starts the same on this machine.
        jobs: Submissions in the queue at once; None means all.
        minutes: Time limit of a job; one that needs longer is requeued.
        requeues: How often a job may reach its time limit and go on. Preemptions do not count.
        grace_seconds: Time that a job is given to save before its limit.
        cpus: CPUs of each rank.
        gpus: GPUs of each node; None means one a rank unless ``trainer.accelerator`` is cpu.
        memory_gb: Memory of each node; None means the cluster's default.
        partition: Of the cluster; None means its default, as for the following.
        account: Who pays.
        qos: Quality of service.
        constraint: Features that nodes must have.
        setup: Shell lines that come first, ``module load cuda`` for example.
        additional: Further options of sbatch, by their names.

    Raises:
        ValueError: An option out of range.
    """

    executor: Literal["slurm", "local"] = "slurm"
    jobs: int | None = None
    minutes: int = 1440
    requeues: int = 10
    grace_seconds: int = 120
    cpus: int = 4
    gpus: int | None = None
    memory_gb: float | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    setup: Sequence[str] = ()
    additional: Mapping[str, Any] = field(default_factory=dict)

    remote = True

    def __post_init__(self) -> None:
        if self.executor not in ("slurm", "local"):
            raise ValueError(
                f"Expected `launcher.executor` to be slurm or local, but got {self.executor!r}."
            )
        for name, low in (
            ("jobs", 1), ("minutes", 1), ("requeues", 0), ("grace_seconds", 1), ("cpus", 1),
            ("gpus", 0),
        ):  # fmt: skip
            value = getattr(self, name)
            if name in ("jobs", "gpus") and value is None:
                continue
            if type(value) is not int or value < low:
                raise ValueError(
                    f"Expected `launcher.{name}` to be a number of at least {low}, "
                    f"but got {value!r}."
                )
        if self.grace_seconds >= 60 * self.minutes:
            raise ValueError(
                f"Expected `launcher.grace_seconds` to be less than the time limit of "
                f"{self.minutes} minutes, but got {self.grace_seconds}."
            )

    def check(self, jobs: Sequence[Job]) -> str:
        """Return how many jobs run at once and where, for people.

        Raises:
            ValueError: submitit or SLURM is missing; the message names the way out.
        """
        _submitit()
        if self.executor == "slurm":
            missing = [n for n in ("sbatch", "srun", "squeue", "scancel") if not shutil.which(n)]
            if missing:
                raise ValueError(
                    f"Expected SLURM's commands on this machine, but there is no "
                    f"{', '.join(missing)} (launcher=local runs the sweep without SLURM)."
                )
        return f"{self.jobs or len(jobs)} at once as {self.executor} submissions"

    def run(
        self,
        jobs: Sequence[Job],
        logs: Path,
        on_change: OnChange | None = None,
    ) -> list[JobState]:
        """Submit the jobs and wait for them (:func:`run_slurm_jobs`)."""
        return run_slurm_jobs(jobs, self, logs, on_change=on_change)


class Training:
    """What a submission runs: a job of a sweep, as a process tree of its own on every node.

    submitit pickles it, and runs it again after a requeue; the run folder knows where to go on.

    Args:
        command: The command with all overrides.
        log: File that its output is added to; nodes after the first add their number.
        report: File that it reports to.
        ranks: Processes of each node.
    """

    def __init__(self, command: Sequence[str], log: Path, report: Path, ranks: int) -> None:
        self.command, self.log, self.report, self.ranks = tuple(command), log, report, ranks

    def __call__(self) -> int:
        """Run to the end, or to a signal and the requeue; return the exit code."""
        environment = _submitit().JobEnvironment()
        requeue = signal.getsignal(getattr(signal, f"SIG{environment.USR_SIG}"))
        asked: list[int] = []

        def note(signum: int, frame: FrameType | None) -> None:
            asked.append(signum)

        for signum in _SIGNALS:
            signal.signal(signum, note)
        node = environment.node
        log = self.log if node == 0 else self.log.with_suffix(f".node{node}.log")
        with log.open("ab") as output:
            process = start_job(self.command, output, self._environment(environment))
            code = _wait(process, asked)
        if asked and code != 0 and _requeues(environment, asked[0]):
            print(f"asked to stop by {signal_name(asked[0])}, exit code {code}", flush=True)
            assert callable(requeue)
            requeue(asked[0], None)  # On the first node it does not return.
        return code

    def checkpoint(self) -> Any:
        """Return what submitit runs after the requeue: the same once more, going on."""
        # Anew is only the first time; every requeue would start from nothing.
        command = [o for o in self.command if not o.lstrip("+").startswith("rerun=")]
        again = Training(command, self.log, self.report, self.ranks)
        return _submitit().helpers.DelayedSubmission(again)

    def _environment(self, environment: Any) -> dict[str, str]:
        cpus = os.environ.get("SLURM_CPUS_PER_TASK")
        threads = int(cpus) // self.ranks if cpus else 1
        variables = job_environment(self.report, max(1, threads))
        if environment.num_nodes > 1:
            number = int(environment.raw_job_id)
            variables |= {
                "MASTER_ADDR": environment.hostnames[0],
                "MASTER_PORT": str(_FIRST_PORT + number % _PORTS),
                "NODE_RANK": str(environment.node),
            }
        return variables


def _wait(process: subprocess.Popen[bytes], asked: Sequence[int]) -> int:
    """Return the exit code of a training, which is told to stop as soon as ``asked`` says so."""
    told = False
    while process.poll() is None:
        if asked and not told:
            process.terminate()  # Its main process passes it on to the ranks.
            told = True
        time.sleep(0.1)
    # Ranks of a job whose main process is gone wait for it for ever.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.returncode


def _requeues(environment: Any, signum: int) -> bool:
    """Whether a job that was asked to stop has to be requeued by itself.

    SIGTERM also comes when somebody cancels the job, or when SLURM has requeued it already: then
    it is not running any more.
    """
    if signum != signal.SIGTERM or environment.name() != "slurm":
        return True
    try:
        return _queue([environment.job_id]).get(environment.job_id) == "RUNNING"
    except OSError:  # No answer: better once too often.
        return True


@dataclass(slots=True)
class _Submission:
    state: JobState
    job: Any  # Of submitit.
    report: Path
    since: float


def run_slurm_jobs(
    jobs: Sequence[Job],
    options: SlurmOptions,
    logs: Path,
    *,
    on_change: OnChange | None = None,
    command: Sequence[str] = COMMAND,
) -> list[JobState]:
    """Submit all jobs that are not finished, and wait for them; a failing one stops no other.

    Jobs that an earlier call submitted and that are in the queue still are waited for, not
    submitted again.

    Args:
        jobs: In the order of their submission.
        options: What each asks the cluster for.
        logs: Folder of output and reports, which all nodes must see.
        on_change: Called with all states, and the one that changed (None: time passed).
        command: What the overrides are appended to.

    Returns:
        One state a job, in order. After Ctrl-C the submitted ones are cancelled and "stopped".
    """
    logs = logs.resolve()
    return drive_jobs(jobs, _Queue(options, logs, command), logs, _POLL_SECONDS, on_change)


class _Queue:
    """The submissions that have not ended."""

    def __init__(self, options: SlurmOptions, logs: Path, command: Sequence[str]) -> None:
        self._options, self._logs, self._command = options, logs, tuple(command)
        self._asked = float("-inf")
        self.running: list[_Submission] = []

    def fits(self, job: Job) -> bool:
        """Whether one more submission is allowed."""
        return self._options.jobs is None or len(self.running) < self._options.jobs

    def start(self, state: JobState) -> None:
        """Submit a job, unless an earlier sweep did; what SLURM refuses has failed."""
        report = self._logs / f"{state.number}.status.json"
        job = self._submitted_before(state)
        if job is None:
            report.unlink(missing_ok=True)
            state.log.write_bytes(b"")
            executor = self._executor(state.job)
            training = Training(
                [*self._command, *state.job.overrides], state.log, report, state.job.ranks
            )
            submitit = _submitit()
            # The class is unpickled in the job: from a checkout that is not installed as well.
            home = job_environment(report, 1)["PYTHONPATH"]
            try:
                with submitit.helpers.environment_variables(PYTHONPATH=home):
                    job = executor.submit(training)
            except (submitit.core.utils.FailedJobError, OSError) as error:
                state.state, state.reason = "failed", " ".join(str(error).split())[:300]
                return
            record = {"id": job.job_id, "folder": str(state.job.folder)}
            write_text(self._record(state), json.dumps(record) + "\n")
        state.reason = f"{self._options.executor} job {job.job_id}"
        self.running.append(_Submission(state, job, report, time.monotonic()))

    def _executor(self, job: Job) -> Any:
        options, submitit = self._options, _submitit()
        folder = self._logs / "submitit" / "%j"
        if options.executor == "local":
            executor = submitit.LocalExecutor(folder, max_num_timeout=options.requeues)
            executor.update_parameters(
                timeout_min=options.minutes, signal_delay_s=options.grace_seconds
            )
            return executor
        executor = submitit.SlurmExecutor(folder, max_num_timeout=options.requeues)
        gpus = options.gpus if options.gpus is not None else job.ranks if job.gpu else 0
        given = {
            "job_name": "corrlight",
            "time": options.minutes,
            "nodes": job.nodes,
            "ntasks_per_node": 1,
            "cpus_per_task": options.cpus * job.ranks,
            "gpus_per_node": gpus or None,
            "mem": None if options.memory_gb is None else f"{round(1024 * options.memory_gb)}M",
            "partition": options.partition,
            "account": options.account,
            "qos": options.qos,
            "constraint": options.constraint,
            "signal_delay_s": options.grace_seconds,
            "setup": list(options.setup) or None,
            "additional_parameters": dict(options.additional) or None,
            "stderr_to_stdout": True,
        }
        executor.update_parameters(**{k: v for k, v in given.items() if v is not None})
        return executor

    def _record(self, state: JobState) -> Path:
        return self._logs / f"{state.number}.job.json"

    def _submitted_before(self, state: JobState) -> Any:
        """Return the submission of an earlier call of this sweep that has not ended, or None."""
        if self._options.executor != "slurm":
            return None
        try:
            record = json.loads(self._record(state).read_text(encoding="utf-8"))
            name, folder = record["id"], record["folder"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if folder != str(state.job.folder) or name not in _queue([name]):
            return None
        tasks = list(range(state.job.nodes))
        return _submitit().SlurmJob(self._logs / "submitit" / "%j", name, tasks)

    def changed(self) -> list[JobState]:
        """Take in reports and ends; return the states that changed."""
        changed = []
        for item in self.running:
            status = read_status(item.report)
            item.state.seconds = time.monotonic() - item.since
            if status is not None and status != item.state.status:
                item.state.state, item.state.status = "running", status
                changed.append(item.state)
        if time.monotonic() - self._asked < _QUEUE_SECONDS:
            return changed
        self._asked = time.monotonic()
        for item in self._ended():
            self._finish(item)
            changed.append(item.state)
        return changed

    def _ended(self) -> list[_Submission]:
        if self._options.executor == "local":
            return [item for item in self.running if item.job.done()]
        try:
            queue = _queue([item.job.job_id for item in self.running])
        except OSError:  # The controller is busy: SLURM is asked again.
            return []
        # In the queue are requeued jobs too, whatever their last start came to.
        return [item for item in self.running if item.job.job_id not in queue]

    def _finish(self, item: _Submission) -> None:
        self.running.remove(item)
        submitit = _submitit()
        try:
            item.state.end(int(item.job.task(0).result()))
        except submitit.core.utils.UncompletedJobError as error:
            item.state.state = "failed"
            lines = [line.strip() for line in str(error).splitlines() if line.strip("- ")]
            item.state.reason = f"ended without a result: {lines[-1][:300]}"

    def stop(self) -> None:
        """Cancel all submissions; they save a checkpoint. Ctrl-C once more does not wait."""
        for item in self.running:
            item.job.cancel(check=False)
        asked = list(self.running)
        deadline = time.monotonic() + _GRACE_SECONDS
        with contextlib.suppress(KeyboardInterrupt):
            while self.running and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
                self.changed()
        for item in asked:
            item.state.stop()

    def close(self) -> None:
        """Leave submissions in the queue: the same sweep finds them again."""


def _queue(names: Sequence[str]) -> dict[str, str]:
    """Return the states of those of the jobs that wait or run.

    Raises:
        OSError: SLURM's controller does not answer.
    """
    command = ["squeue", "--noheader", "--format=%i %T", f"--user={getpass.getuser()}"]
    listed = subprocess.run(command, capture_output=True, text=True)
    if listed.returncode != 0:
        raise OSError(f"squeue: {' '.join(listed.stderr.split())[:300]}")
    states = dict(line.split(maxsplit=1) for line in listed.stdout.splitlines() if line.strip())
    return {name: states[name].strip() for name in names if name in states}


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise ValueError(
            "Expected submitit to be installed for launcher=slurm: pip install 'corrlight[slurm]' "
            "(launcher=local needs nothing more)."
        ) from None
    return submitit
