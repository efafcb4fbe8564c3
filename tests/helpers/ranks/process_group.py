"""A command that starts processes of its own, as several ranks do."""

import os
import signal
import subprocess
from pathlib import Path

__all__ = ["run_group"]

_ROOT = Path(__file__).parents[3]


def run_group(*command, **variables):
    """Run a command to its end, with one thread a process and further environment variables.

    Returns its exit code and everything printed; after 120 seconds the whole group is killed.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT), **variables},
    )
    try:
        output, _ = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, output
