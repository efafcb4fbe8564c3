"""Run folders as objects: what they were asked to do and what came out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from corrlight.json_files import as_number
from corrlight.runs.identity import flatten, relevant_options

__all__ = ["Run", "group_seeds", "read_run", "run_names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One finished run.

    Attributes:
        path: Its folder.
        config: The resolved configuration (``config.yaml``).
        metrics: ``metrics.json``: fractions and counts; None where a measure is undefined.
    """

    path: Path
    config: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def name(self) -> str:
        """``<name>`` of ``runs/<name>/<run id>``, marked in a folder of a test (``test-best``)."""
        path = self.path.resolve()
        tested = path.name.startswith("test")  # An id has no letter t.
        named = self.config.get("name") or (path.parent if tested else path).parent.name
        return f"{named} ({path.name})" if tested else str(named)

    def value(self, measure: str) -> float | None:
        """Return a measure as stored, or None where it is undefined or was not measured."""
        return as_number(self.metrics.get(measure))


def read_run(path: str | Path) -> Run:
    """Read ``config.yaml`` and ``metrics.json`` of a run folder.

    Raises:
        ValueError: If ``path`` is no run folder, the run is not finished, or a file is broken.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"Expected a run folder, but {path} is no folder.")
    config = _mapping(path / "config.yaml", yaml.safe_load, yaml.YAMLError)
    metrics = _mapping(path / "metrics.json", json.loads, json.JSONDecodeError)
    return Run(path=path, config=config, metrics=metrics)


def _mapping(path: Path, parse: Any, error: type[Exception]) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"Expected a finished run, but {path} is missing.")
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (error, UnicodeDecodeError) as problem:
        reason = " ".join(str(problem).split())
        raise ValueError(f"Expected {path} to be readable, but got: {reason}.") from problem
    if not isinstance(content, dict):
        raise ValueError(f"Expected {path} to hold named values, but got {content!r:.60}.")
    return content


def group_seeds(runs: Sequence[Run]) -> list[list[Run]]:
    """Return the runs in groups that differ in nothing but the seed, in order of appearance.

    Two runs of the same seed (a run given twice, or repeated at another commit) stay apart.
    """
    groups: list[tuple[Any, list[Run]]] = []
    for run in runs:
        experiment = _without_seeds(relevant_options(run.config))
        for asked, group in groups:
            seeds = {other.config.get("seed") for other in group}
            if asked == experiment and run.config.get("seed") not in seeds:
                group.append(run)
                break
        else:
            groups.append((experiment, [run]))
    return [group for _, group in groups]


def run_names(groups: Sequence[Sequence[Run]]) -> list[str]:
    """Return one name a group; equal names are followed by the settings in which they differ."""
    names = [group[0].name for group in groups]
    flat = [dict(flatten(relevant_options(group[0].config))) for group in groups]
    out = []
    for i, name in enumerate(names):
        twins = [k for k, other in enumerate(names) if other == name]
        differing = sorted(
            key
            for key in {k for t in twins for k in flat[t]}
            if len({repr(flat[t].get(key)) for t in twins}) > 1
        )
        shown = [f"{key}={flat[i].get(key)}" for key in differing[:3]]
        unique = {tuple(repr(flat[t].get(key)) for key in differing[:3]) for t in twins}
        if len(twins) > 1 and len(unique) < len(twins):
            shown.append(groups[i][0].path.resolve().name)
        out.append(" ".join([name, *shown]))
    return out


def _without_seeds(node: Any) -> Any:
    """Return a configuration without the seed that its parts took over (``data.seed``)."""
    if isinstance(node, Mapping):
        return {key: _without_seeds(value) for key, value in node.items() if key != "seed"}
    return [_without_seeds(value) for value in node] if isinstance(node, list) else node
