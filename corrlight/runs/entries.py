"""The runs below a folder, finished or not: found, read and filtered."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from corrlight.arguments import check_choice
from corrlight.json_files import as_number
from corrlight.runs.folder import RunFolder
from corrlight.runs.identity import flatten

__all__ = [
    "Entry",
    "check_filters",
    "find_entries",
    "find_entry",
    "flat_config",
    "matches",
    "stored_overrides",
]

# What every run folder has, and nothing else is likely to.
_FILES = ("config.yaml", "overrides.yaml")
_STATES = ("finished", "running", "stopped", "failed", "broken")


@dataclass(frozen=True, slots=True)
class Entry:
    """A run folder, finished or not.

    Attributes:
        folder: Where it is.
        state: "finished", "running" (its lock is held), "stopped", "failed", or "broken" (it ended
            without a word, or its metrics.json cannot be read).
        config: The resolved configuration, empty where it cannot be read.
        metrics: Content of ``metrics.json``, empty while there is none.
        environment: Content of ``environment.json``, empty where it cannot be read.
        epochs: Finished epochs.
        best: Measures of the epoch with the best AP so far, by the names of ``metrics.json``, and
            ``epoch``, counted from 1; empty once the run is finished, and while there is no AP.
        seconds: Wall time, until now for a run that is being made; None where nothing tells it.
    """

    folder: RunFolder
    state: str
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    epochs: int = 0
    best: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None

    @property
    def name(self) -> str:
        """``<name>/<run id>``, which all sub-commands take."""
        return f"{self.folder.path.parent.name}/{self.folder.path.name}"

    @property
    def choices(self) -> dict[str, str]:
        """The chosen file of every group of the configuration, such as ``{"corr": "none"}``."""
        choices = self.environment.get("choices")
        return choices if isinstance(choices, dict) else {}

    @classmethod
    def read(cls, path: Path) -> Entry:
        """Return what a folder holds; files that cannot be read count as missing."""
        folder = RunFolder(path)
        environment = _json(folder, "environment.json")
        metrics = _json(folder, "metrics.json") if folder.finished else {}
        try:
            config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            config = {}
        try:
            rows = folder.read_csv("metrics.csv")
        except (OSError, UnicodeDecodeError):
            rows = []
        if folder.finished:
            state = "finished"
        elif folder.held:
            state = "running"
        else:
            said = environment.get("status")
            state = said if said in ("stopped", "failed") else "broken"
        config = config if isinstance(config, dict) else {}
        best = {} if state == "finished" else _best_epoch(rows)
        seconds = _wall_seconds(folder, state, environment, rows)
        return cls(folder, state, config, metrics, environment, len(rows), best, seconds)


def _best_epoch(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the measures of the epoch with the highest AP, the first of equals."""
    measured = [row for row in rows if _number(row, "val/AP") is not None]
    if not measured:
        return {}
    row = max(measured, key=lambda row: float(row["val/AP"]))
    found = {name.removeprefix("val/"): _number(row, name) for name in row if _is_measure(name)}
    epoch = _number(row, "epoch")
    found["epoch"] = None if epoch is None else epoch + 1
    return {name: value for name, value in found.items() if value is not None}


def _is_measure(column: Any) -> bool:
    return isinstance(column, str) and column.startswith("val/")


def _wall_seconds(
    folder: RunFolder, state: str, environment: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> float | None:
    """Return how long a run took or takes; its own word is written when it ends."""
    said = as_number(environment.get("wall_seconds"))
    if state == "running":
        # The file is of the start of this process, and tells of the processes before it.
        try:
            start = (folder.path / "environment.json").stat().st_mtime
        except OSError:
            return None
        return (said or 0.0) + max(0.0, time.time() - start)
    epochs = [seconds for row in rows if (seconds := _number(row, "seconds")) is not None]
    if state == "broken" and epochs:  # It was killed: at least its epochs.
        return max(said or 0.0, sum(epochs))
    return said


def _number(row: Mapping[str, Any], name: str) -> float | None:
    """Return a value of a CSV row, None where it is undefined or no finite number."""
    try:
        return as_number(float(row.get(name) or ""))
    except (TypeError, ValueError):
        return None


def find_entries(runs_dir: Path) -> list[Entry]:
    """Return all runs below a folder, by name; earlier results that were set aside too.

    Raises:
        ValueError: There is no such folder.
    """
    if not runs_dir.is_dir():
        raise ValueError(f"Expected the folder of all runs, but there is no {runs_dir} (--runs).")
    folders = [file.parent for file in sorted(runs_dir.glob(f"*/*/{_FILES[0]}"))]
    return [Entry.read(f) for f in folders if not f.parent.name.startswith(".") and _is_run(f)]


def _is_run(path: Path) -> bool:
    return all((path / name).is_file() for name in _FILES)


def find_entry(runs_dir: Path, name: str) -> Entry:
    """Return the run with this path, ``<name>/<run id>``, or beginning of its id."""
    if not name.strip():
        # A variable that is not set: every id begins with nothing.
        raise ValueError("Expected the name of a run, but got an empty one.")
    path = Path(os.path.abspath(name))  # Links stay links: `rm` asks for them.
    if _is_run(path):
        return Entry.read(path)
    found = [
        entry
        for entry in find_entries(runs_dir)
        if entry.name == name or entry.folder.path.name.startswith(name)
    ]
    exact = [e for e in found if name in (e.name, e.folder.path.name)]
    found = exact if len(exact) == 1 else found
    if len(found) != 1:
        some = ", ".join(entry.name for entry in found[:5]) or "none"
        raise ValueError(f"Expected one run that '{name}' names below {runs_dir}, but got {some}.")
    return found[0]


def matches(entry: Entry, text: str) -> bool:
    """Whether a run fits a filter: ``key=value`` of its configuration, or a part of its name."""
    key, equals, value = text.partition("=")
    if not equals:
        return text in entry.name
    if key == "state":
        return entry.state == value
    if key in entry.choices:
        return entry.choices[key] == value
    flat = flat_config(entry.config)
    if key == "corr":
        return value == flat.get("corr.coefficient", "none")
    # `detector=atss_small` names a group; its file says `name`.
    return flat.get(key if key in flat else f"{key}.name") == value


def check_filters(filters: Sequence[str], entries: Sequence[Entry]) -> None:
    """Raise ``ValueError`` for a filter whose key no run has, with the nearest one."""
    keys = [text.partition("=")[0] for text in filters if "=" in text]
    if not (keys and entries):
        return
    for text in filters:
        if text.startswith("state="):
            check_choice("state", text.partition("=")[2], _STATES)
    known = {"state", "corr"}.union(*({*flat_config(e.config), *e.choices} for e in entries))
    for key in keys:
        if key not in known and f"{key}.name" not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise ValueError(f"Expected an option of a run to filter by, but got '{key}'.{hint}")


def flat_config(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of a configuration by their full names, as texts."""
    return {key: str(value) for key, value in flatten(config)}


def stored_overrides(entry: Entry) -> list[str]:
    """Return the overrides that a run was made with.

    Raises:
        ValueError: They cannot be read.
    """
    try:
        text = (entry.folder.path / "overrides.yaml").read_text(encoding="utf-8")
        stored = yaml.safe_load(text) or []
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"Cannot read the overrides of {entry.name}: {error}") from error
    return [str(o) for o in stored]


def _json(folder: RunFolder, name: str) -> dict[str, Any]:
    try:
        content = folder.read_json(name)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
