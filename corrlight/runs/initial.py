"""The files that ``init`` and ``extend`` name: what a training starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corrlight.runs.fingerprint import file_digest
from corrlight.runs.folder import RunFolder

__all__ = ["initial_digest", "initial_file"]


def initial_file(start: Any, option: str = "init") -> Path:
    """Return the checkpoint that an option means: a file, or a run folder's last one.

    Args:
        start: Value of the option.
        option: Its name.

    Raises:
        ValueError: It is neither.
    """
    path = Path(str(start))
    if path.is_file():
        return path
    last = RunFolder(path).last_checkpoint
    if not last.is_file():
        kinds = "a run folder, a checkpoint or a file of `corrlight convert`"
        raise ValueError(
            f"Expected `{option}` to be {kinds if option == 'init' else 'a finished run folder'}, "
            f"but got '{start}', " + ("which has no checkpoint." if path.is_dir() else "no file.")
        )
    return last


def initial_digest(config: Mapping[str, Any]) -> dict[str, str]:
    """Return what a start from other weights adds to the fingerprint of a run: files by content.

    Args:
        config: Of the run; its ``init`` and ``extend`` are null where it starts from nothing.

    Raises:
        ValueError: There is no such file.
    """
    return {
        option: file_digest(initial_file(config[option], option))
        for option in ("init", "extend")
        if config.get(option) is not None
    }
