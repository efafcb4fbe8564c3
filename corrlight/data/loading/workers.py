"""How many loader processes a machine has room for."""

from __future__ import annotations

import os

__all__ = ["available_cpus", "workers_for"]


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers_for(asked: int, ranks: int = 1, cpus: int | None = None) -> int:
    """Return the loader processes of one rank: those asked for, at most its share of the CPUs.

    Args:
        asked: What the options say.
        ranks: Ranks of this machine.
        cpus: CPUs of this machine, by default those that this process may use.
    """
    share = max(1, (available_cpus() if cpus is None else cpus) // max(1, ranks))
    return min(asked, share)
