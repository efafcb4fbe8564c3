"""What all loggers do alike: names, the id that a resumed run goes on with, missing packages."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from corrlight.atomic import write_text
from corrlight.runs.status import STATUS_FILE

__all__ = ["check_package", "earlier_id", "keep_id", "read_object", "run_name", "sweep_name"]


def check_package(name: str) -> None:
    """Check that the package of ``logger=name``, also the name of its extra, is installed.

    Raises:
        ValueError: It is not.
    """
    if importlib.util.find_spec(name) is None:
        raise ValueError(
            f"Expected the package {name} for `logger`={name}, but it is not installed: "
            f"pip install 'corrlight[{name}]'."
        )


def run_name(folder: Path, name: str | None, *, is_test: bool) -> str:
    """Return what a run is called: by default its folder's name; a test says that it is one.

    Args:
        folder: The run folder ``NAME/ID``, or that of a test within it.
        name: A table's row, None without one.
        is_test: Whether ``folder`` is that of a test.
    """
    if is_test:
        return f"{name or folder.parent.parent.name} ({folder.name})"
    return name or folder.parent.name


def sweep_name() -> str | None:
    """Return the name of the sweep that started this process, None without one."""
    report = os.environ.get(STATUS_FILE)
    return Path(report).parent.name if report else None


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def keep_id(folder: Path, logger: str, known: str) -> None:
    """Keep a logger's id of the run in the run folder; ``rerun=true`` starts in one without it."""
    write_text(folder / f"{logger}.json", json.dumps({"id": known}) + "\n")


def earlier_id(folder: Path, logger: str) -> str | None:
    """Return the id of the logger's run that a folder's job goes on with, None to start one."""
    known = read_object(folder / f"{logger}.json").get("id")
    return known if isinstance(known, str) else None
