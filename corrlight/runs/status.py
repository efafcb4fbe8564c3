"""What a running job tells the sweep that started it: one small file, written atomically."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from corrlight.atomic import write_text

__all__ = ["STATUS_FILE", "JobStatus", "format_seconds", "read_status", "report_status"]

# Environment variable with the path of the file; without it nothing is written.
STATUS_FILE = "CORRLIGHT_STATUS"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How far a job is.

    Attributes:
        folder: Its run folder.
        epoch: Finished epochs.
        epochs: All epochs, None where unknown.
        seconds_left: Estimate for the rest of the run, None where unknown.
        ap: Latest AP, a fraction, None where there is none yet.
        resumed: Whether it goes on from a checkpoint.
    """

    folder: str
    epoch: int = 0
    epochs: int | None = None
    seconds_left: float | None = None
    ap: float | None = None
    resumed: bool = False


def report_status(status: JobStatus) -> None:
    """Write ``status`` where the sweep that started this process reads it, if one did."""
    path = os.environ.get(STATUS_FILE)
    if path:
        write_text(path, json.dumps(asdict(status)) + "\n")


def read_status(path: Path) -> JobStatus | None:
    """Return what the job wrote last, None before its first word."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    names = {field.name for field in fields(JobStatus)}
    if not isinstance(content, dict) or not names >= set(content):
        return None
    return JobStatus(**content)


def format_seconds(seconds: float) -> str:
    """Return a duration in the two units that matter.

    >>> [format_seconds(s) for s in (9.4, 80, 3599.7, 9000, 180000)]
    ['9 s', '1 min 20 s', '1 h 0 min', '2 h 30 min', '2 d 2 h']
    """
    total = round(seconds)
    for size, unit, smaller, name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if total >= size:
            return f"{total // size} {unit} {total % size // smaller} {name}"
    return f"{total} s"
