"""Commands as a shell starts them, some of them forked from a process that has imported torch."""

import atexit
import os
import signal
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from corrlight.sweeps.process import signal_group
from corrlight.sweeps.warm import WarmJob, WarmStart

__all__ = ["run_group", "run_warm", "start_warm"]

_ROOT = Path(__file__).parents[3]
_SECONDS = 240


def run_group(*command, **variables):
    """Run a command to its end, with one thread a process and further environment variables.

    Returns its exit code and everything printed; after four minutes the whole group is killed.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=_environment(variables),
    )
    try:
        output, _ = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, output


def run_warm(*overrides, **variables):
    """Do what ``run_group(sys.executable, "run.py", *overrides)`` does, without its imports."""
    with tempfile.TemporaryFile() as output:
        process = start_warm([_ROOT / "run.py", *overrides], output, **variables)
        try:
            code = process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            signal_group(process, signal.SIGKILL)
            raise
        output.seek(0)
        return code, output.read().decode()


def start_warm(command, output, **variables) -> WarmJob:
    """Start what follows ``python`` in a session of its own, with one thread."""
    return _warm().start(command, output, _environment(variables))


@cache
def _warm():
    """Return the process that is forked; a process of tests has one."""
    started = WarmStart(_environment({}))
    atexit.register(started.close)
    return started


def _environment(variables):
    own = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT)}
    return {**os.environ, **own, **variables}
