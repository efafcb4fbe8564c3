"""The file that ``init`` names: weights that a training starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corrlight.runs.fingerprint import file_digest

__all__ = ["initial_digest", "initial_file"]


def initial_file(init: Any) -> Path:
    """Return the checkpoint that the option ``init`` means: a file, or a run folder's last one.

    Raises:
        ValueError: It is neither.
    """
    path = Path(str(init))
    if path.is_file():
        return path
    last = path / "checkpoints" / "last.ckpt"
    if not last.is_file():
        raise ValueError(
            "Expected `init` to be a run folder, a checkpoint or a file of `corrlight convert`, "
            f"but got '{init}', " + ("which has no checkpoint." if path.is_dir() else "no file.")
        )
    return last


def initial_digest(init: Any) -> dict[str, str]:
    """Return what ``init`` adds to the fingerprint of a run: the file by content, nothing if null.

    Raises:
        ValueError: There is no such file.
    """
    return {} if init is None else {"init": file_digest(initial_file(init))}
