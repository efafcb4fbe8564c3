"""One job as a process tree of its own: its command, environment and start."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from corrlight.runs.status import STATUS_FILE

__all__ = ["COMMAND", "Process", "end_with_parent", "job_environment", "signal_group", "start_job"]

# What the overrides of a job are appended to.
COMMAND = (sys.executable, "-m", "corrlight.cli", "train")
# Set by launchers of ranks, torchrun and SLURM among them; a job that inherited them would join
# another job's group, or take the tasks of SLURM for its ranks.
_RANK_VARIABLES = (
    "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED", "TORCHELASTIC_RUN_ID", "SLURM_NTASKS",
    "SLURM_PROCID",
)  # fmt: skip


class Process(Protocol):
    """What a sweep asks of a running job; ``subprocess.Popen`` is one."""

    @property
    def pid(self) -> int:
        """Of the process, which leads a session of its own."""

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended."""

    def terminate(self) -> None:
        """Send SIGTERM."""


def job_environment(
    report: Path, threads: int, gpus: Sequence[str] | None = None
) -> dict[str, str]:
    """Return the environment of a job's process: this one's, without the ranks of another job.

    Args:
        report: File that the job reports to (:mod:`corrlight.runs.status`).
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
        preexec_fn=end_with_parent if sys.platform == "linux" else None,
        env=environment,
    )


def signal_group(process: Process, number: signal.Signals) -> None:
    """Send a signal to the whole tree of a job; one that has ended is no problem."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def end_with_parent() -> None:
    """Let the kernel ask this process to stop when the one that started it is killed (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
