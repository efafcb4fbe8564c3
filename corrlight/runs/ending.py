"""How a run ends: the exit codes of its process, and how long it may take to stop."""

from __future__ import annotations

import signal

__all__ = [
    "BAD_INPUT",
    "FAILED",
    "INTERRUPTED",
    "STOP_SECONDS",
    "STOP_SIGNALS",
    "is_stop",
    "signal_name",
    "stop_code",
]

# The input was wrong; the run failed; the user stopped it.
BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130

# What asks a run to save and end. SIGUSR1 and SIGUSR2 are what SLURM sends before a job's time is
# over, to all of its processes; SIGHUP comes when a terminal is closed.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)

# A job that was asked to stop has saved its checkpoint by then, or ends without.
STOP_SECONDS = 60.0


def stop_code(signum: int) -> int:
    """Return the exit code of a run that saved and ended because of a signal, as shells count."""
    return 128 + signum


def is_stop(code: int) -> bool:
    """Whether an exit code says that the run was asked to stop and can go on later."""
    return code in map(stop_code, STOP_SIGNALS)


def signal_name(signum: int) -> str:
    """Return the name of a signal; real-time signals, most of which have none, are numbered.

    >>> [signal_name(number) for number in (9, 34, 37, 64)]
    ['SIGKILL', 'SIGRTMIN', 'SIGRTMIN+3', 'SIGRTMAX']
    """
    try:
        return signal.Signals(signum).name
    except ValueError:
        first = int(getattr(signal, "SIGRTMIN", 2**31))
        return f"SIGRTMIN+{signum - first}" if signum > first else f"signal {signum}"
