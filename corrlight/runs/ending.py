"""How a run ends: the exit codes of its process, and how long it may take to stop."""

from __future__ import annotations

__all__ = ["STOP_SECONDS"]

# A job that was asked to stop has saved its checkpoint by then, or ends without.
STOP_SECONDS = 60.0
