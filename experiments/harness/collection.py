"""What the run folders of a table's rows hold."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from scipy.special import stdtrit

from corrlight.json_files import as_number
from corrlight.reporting.runs import Run, read_run
from corrlight.runs.environment import git_commit
from corrlight.runs.folder import RunFolder
from experiments.harness.row import Row

__all__ = [
    "Collected",
    "Difference",
    "Results",
    "Summary",
    "made_at_other_commit",
    "paired_difference",
    "read_results",
    "tested_measures",
]

# Below this AP50 a toy row is printed as not converged.
_CONVERGED, _CONVERGED_NMS_FREE = 0.30, 0.15


@dataclass(frozen=True, slots=True)
class Summary:
    """A measure over the seeds of a row, as fractions.

    Attributes:
        mean: None where no run defines it.
        deviation: Standard deviation of the sample; None below two runs.
        count: Runs that define it.
    """

    mean: float | None
    deviation: float | None = None
    count: int = 0

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Summary:
        """Summarise the values of some runs."""
        defined = [value for value in values if value is not None]
        if not defined:
            return cls(None)
        deviation = statistics.stdev(defined) if len(defined) > 1 else None
        return cls(statistics.fmean(defined), deviation, len(defined))


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of the differences of two rows, seed by seed.

    Attributes:
        mean: None where no seed has both.
        low: Lower end of the 95% interval (Student's t); None below two pairs.
        high: Upper end.
        count: Pairs.
    """

    mean: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0


def paired_difference(first: Sequence[float | None], second: Sequence[float | None]) -> Difference:
    """Return second minus first over the seeds that both have, with a 95% interval.

    The interval assumes that the differences of the seeds are normally distributed; with three
    seeds it is 2.5 standard deviations to either side.
    """
    pairs = zip(first, second, strict=True)
    gains = [b - a for a, b in pairs if a is not None and b is not None]
    if not gains:
        return Difference(None)
    mean = statistics.fmean(gains)
    if len(gains) < 2:
        return Difference(mean, count=1)
    error = statistics.stdev(gains) / len(gains) ** 0.5
    half = float(stdtrit(len(gains) - 1, 0.975)) * error
    return Difference(mean, mean - half, mean + half, len(gains))


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The finished runs of one row.

    Attributes:
        row: The row.
        runs: One a seed; None where there is no finished run.
        problems: What stood in the way of reading a run.
    """

    row: Row
    runs: tuple[Run | None, ...]
    problems: tuple[str, ...] = ()

    def values(self, measure: str) -> list[float | None]:
        """Return a measure of every seed; the bounds are those of the test of the run."""
        return [None if run is None else _value(run, measure) for run in self.runs]

    def summary(self, measure: str) -> Summary:
        """Return a measure over the seeds."""
        return Summary.of(self.values(measure))

    @property
    def num_runs(self) -> int:
        """Finished runs."""
        return sum(run is not None for run in self.runs)

    def converged(self) -> bool | None:
        """Whether the AP50 of boxes is at least 30 (NMS-free 15); None where it is unknown."""
        mean = self.summary("AP50").mean
        if mean is None:
            return None
        return mean >= (_CONVERGED_NMS_FREE if self.row.setting.nms_free else _CONVERGED)

    def remarks(self, toy: bool) -> list[str]:
        """Return what a reader of the row has to know."""
        found = []
        if not self.num_runs:
            found.append("not run")
        elif self.num_runs < len(self.runs):
            found.append(f"{self.num_runs} of {len(self.runs)} seeds")
        if toy and self.converged() is False:
            found.append("not converged")
        commits = {
            commit
            for run in self.runs
            if run is not None
            for commit in [made_at_other_commit(run.path)]
        }
        found += [f"commit {commit}" for commit in sorted(filter(None, commits))]
        return [*found, *self.problems]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The results of all rows of a table.

    Attributes:
        results: By key of the row, in the table's order.
        toy: Whether the rows are the small variants on the embedded shapes.
    """

    results: dict[str, Results]
    toy: bool

    def gain(self, row: Row, measure: str) -> Difference:
        """Return how far a row is above its baseline, seed by seed."""
        if row.baseline is None or row.baseline not in self.results:
            return Difference(None)
        base = self.results[row.baseline]
        return paired_difference(base.values(measure), self.results[row.key].values(measure))

    @property
    def runs(self) -> dict[str, Run]:
        """The first finished run of every row that has one."""
        first = {}
        for key, result in self.results.items():
            done = [run for run in result.runs if run is not None]
            if done:
                first[key] = done[0]
        return first


def read_results(row: Row, folders: Sequence[RunFolder | None]) -> Results:
    """Return the results of a row from its run folders."""
    runs: list[Run | None] = []
    problems = []
    for folder in folders:
        run = None
        if folder is not None and folder.metrics_file.is_file():
            try:
                run = read_run(folder.path)
            except (ValueError, OSError) as error:
                problems.append(f"unreadable: {error}")
        runs.append(run)
    return Results(row=row, runs=tuple(runs), problems=tuple(problems))


def tested_measures(path: Path) -> dict[str, Any]:
    """Return the measures of the own test (``mode=test``) of a run folder, empty without one."""
    folder = RunFolder(path / "test")
    try:
        found = folder.read_json("metrics.json")
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _value(run: Run, measure: str) -> float | None:
    if measure in ("seconds_per_iteration", "wall_seconds"):
        return as_number(_environment(run.path).get(measure))
    if measure in run.metrics:
        return run.value(measure)
    return as_number(tested_measures(run.path).get(measure))


def _environment(path: Path) -> dict[str, Any]:
    try:
        found = RunFolder(path).read_json("environment.json")
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def made_at_other_commit(path: Path) -> str | None:
    """Return the commit at which a run was made, None if it is this one or unknown."""
    made = (_environment(path).get("git") or {}).get("commit")
    return None if made is None or made == _commit() else str(made)[:7]


@cache
def _commit() -> str | None:
    return (git_commit() or {}).get("commit")
