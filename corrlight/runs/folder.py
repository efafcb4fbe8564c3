"""The run folder: the unit of truth of a training."""

from __future__ import annotations

import csv
import errno
import fcntl
import io
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import yaml

from corrlight.atomic import DISK_FULL, write_text, write_text_in_place

__all__ = ["BEST", "LAST", "NAMED_CHECKPOINTS", "PREVIOUS", "RunFolder"]

# Of checkpoints: of the best epoch, of the last epoch (or batch), and the one before it.
BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"
# Values of `ckpt` that mean one of the run that the other options describe.
NAMED_CHECKPOINTS = {"best": BEST, "last": LAST}

log = logging.getLogger("corrlight")
# libyaml's parser, where PyYAML was built with it, takes a tenth of the time.
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What flock says where the file system has no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# The lock of this process's run. Forked loader workers inherit it and outlive a killed parent by
# seconds, in which nobody could go on with the run.
_locks: set[IO[str]] = set()


def _forget_locks() -> None:
    while _locks:
        _locks.pop().close()


os.register_at_fork(after_in_child=_forget_locks)


class RunFolder:
    """``runs/<name>/<run id>/`` and what it holds.

    Args:
        path: The folder; need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock: IO[str] | None = None

    def __str__(self) -> str:
        return str(self.path)

    @property
    def metrics_file(self) -> Path:
        """``metrics.json``; written when the run is finished."""
        return self.path / "metrics.json"

    @property
    def last_checkpoint(self) -> Path:
        """``checkpoints/last.ckpt``."""
        return self.checkpoint(LAST)

    def checkpoint(self, name: str) -> Path:
        """Return a file of ``checkpoints/``; need not exist."""
        return self.path / "checkpoints" / name

    @property
    def finished(self) -> bool:
        """Whether a readable ``metrics.json`` says that the run ended."""
        try:
            return isinstance(self.read_json("metrics.json"), dict)
        except (OSError, ValueError):
            return False

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file in the folder."""
        return json.loads((self.path / name).read_text(encoding="utf-8"))

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file atomically; NaN is an error, undefined values are null."""
        text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
        write_text(self.path / name, text + "\n")

    def write_last_words(self, name: str, value: Any) -> None:
        """Write a JSON file of a run that ends, over the one that is there if the disk is full."""
        try:
            self.write_json(name, value)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
            write_text_in_place(self.path / name, text + "\n")

    def read_yaml(self, name: str) -> Any:
        """Return the content of a YAML file in the folder.

        Raises:
            OSError: There is none.
            ValueError: It is not YAML.
        """
        path = self.path / name
        try:
            return yaml.load(path.read_text(encoding="utf-8"), _SafeLoader)
        except yaml.YAMLError as error:
            raise ValueError(f"Cannot read {path}: {' '.join(str(error).split())}") from error

    def write_yaml(self, name: str, value: Any) -> None:
        """Write a YAML file atomically."""
        write_text(self.path / name, yaml.safe_dump(value, sort_keys=False, width=100))

    def write_csv(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as CSV atomically; columns in order of first appearance, undefined empty."""
        columns = list(dict.fromkeys(key for row in rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / name, text.getvalue())

    def read_csv(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a CSV file, empty when there is none."""
        path = self.path / name
        if not path.is_file():
            return []
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def create(self) -> None:
        """Make the folder.

        Raises:
            OSError: It cannot be written; the message names it.
        """
        try:
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
            probe = self.path / f".probe.{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OSError(f"Cannot write the run folder {self.path}: {error.strerror}.") from error

    def lock(self) -> None:
        """Hold the folder until the process ends, so that a run is never made twice at once.

        Raises:
            OSError: Another process holds it.
        """
        file = (self.path / "run.lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip()
            file.close()
            raise OSError(f"The run {self.path} is being made by process {owner}.") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            log.warning("No locks in %s: nothing keeps a second process from this run.", self.path)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._lock = file
        _locks.add(file)

    @property
    def held(self) -> bool:
        """Whether a process is making the run now."""
        try:
            with (self.path / "run.lock").open("r") as file:
                # Shared: an exclusive one needs a file open for writing on NFS.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def unlock(self) -> bool:
        """Release the folder; return whether it was held by this object."""
        if self._lock is None:
            return False
        _locks.discard(self._lock)
        self._lock.close()
        self._lock = None
        return True

    def remove_leftovers(self) -> None:
        """Remove what writers that were killed left behind; call it with the lock held."""
        for pattern in (".*.tmp*", "checkpoints/.*.tmp*"):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)

    def set_aside(self) -> Path | None:
        """Rename an existing folder to ``<run id>.old<k>``; return where it went."""
        if not self.path.exists():
            return None
        k = 1
        while (target := self.path.with_name(f"{self.path.name}.old{k}")).exists():
            k += 1
        self.path.rename(target)
        return target
