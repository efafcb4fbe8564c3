"""A disk that runs full: where, how much is free, what was kept, and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corrlight.atomic import DISK_FULL
from corrlight.runs.folder import RunFolder

__all__ = ["DiskFullError", "explain_full_disk", "is_full_disk"]


class DiskFullError(RuntimeError):
    """Nothing more can be written; the message is one line with the way out."""


def is_full_disk(error: BaseException) -> bool:
    """Return whether an exception, or one that it was raised for, says that a disk is full."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in DISK_FULL:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


@contextmanager
def explain_full_disk(folder: Path) -> Iterator[None]:
    """Raise :class:`DiskFullError` where the disk of a run folder runs full in the block.

    Args:
        folder: The run folder; need not exist yet.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, DiskFullError) or not is_full_disk(error):
            raise
        raise DiskFullError(_explained(folder)) from error


def _explained(folder: Path) -> str:
    place = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    kept, needed = "there is no checkpoint yet", ""
    last = RunFolder(folder).last_checkpoint
    if last.is_file():
        kept = "the last checkpoint is complete, from which the same command goes on"
    sizes = [path.stat().st_size for path in last.parent.glob("*.ckpt")]
    if sizes:
        needed = f", a checkpoint takes {_mib(max(sizes))}"
    return (
        f"The disk of {folder} is full ({_mib(free)} free{needed}); {kept}. Make room there, or "
        "name another disk by paths.runs_dir=."
    )


def _mib(size: float) -> str:
    return f"{size / 2**20:.1f} MiB"
