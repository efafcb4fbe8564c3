"""A claim of the thesis as a condition on numbers, whoever measured them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from experiments.claims.evidence import Evidence, NotMeasuredError, Sample
from experiments.harness.collection import Collected
from experiments.harness.row import Row
from experiments.harness.table import Table, measure_of

__all__ = [
    "TOLERANCE",
    "Claim",
    "Numbers",
    "OurNumbers",
    "ThesisNumbers",
]

# Points of AP by which a repeated gain may fall short: about the spread between seeds.
TOLERANCE = 0.3


class Numbers(Protocol):
    """Where a claim takes its numbers from."""

    def value(self, table: str, row: str, measure: str) -> Sample:
        """Return a number as printed (times 100), with its seeds.

        Raises:
            NotMeasuredError: If it is not there.
        """
        ...

    def gain(self, table: str, row: str, measure: str = "AP") -> Sample:
        """Return how far a row is above its baseline, in the same units, seed by seed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One numbered claim or observation.

    Attributes:
        section: Where the thesis makes it.
        text: What it says, shortened.
        criterion: When it counts as holding.
        holds: Whether it does; raises :class:`NotMeasuredError` without numbers. What depends on
            seeds gives evidence.
    """

    section: str
    text: str
    criterion: str
    holds: Callable[[Numbers], Evidence | bool]

    def verdict(self, numbers: Numbers) -> str:
        """Return "holds", "fails", "undecided (...)" or "not measured".

        A condition on runs holds or fails where the 95% interval over the seeds says so.
        """
        try:
            found = self.holds(numbers)
        except NotMeasuredError:
            return "not measured"
        return str(Evidence(found) if isinstance(found, bool) else found)


class ThesisNumbers:
    """The numbers that the thesis prints.

    Args:
        tables: By name.
    """

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables

    def value(self, table: str, row: str, measure: str) -> Sample:
        """Return a printed number."""
        found = _row(self._tables, table, row)
        key = measure_of(found, measure)
        if key not in found.thesis:
            raise NotMeasuredError(f"{table}, {row}: {measure}")
        return Sample.of(found.thesis[key])

    def gain(self, table: str, row: str, measure: str = "AP") -> Sample:
        """Return the difference of two printed numbers."""
        base = _row(self._tables, table, row).baseline
        assert base is not None, row
        return self.value(table, row, measure) - self.value(table, base, measure)


class OurNumbers:
    """Our runs, seed by seed.

    Args:
        tables: By name.
        collected: What their run folders hold, by name.
        server: Results of COCO's evaluation server, fractions by row of Table 5.5 and measure.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        collected: Mapping[str, Collected],
        server: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self._tables, self._collected, self._server = tables, collected, server or {}

    def value(self, table: str, row: str, measure: str) -> Sample:
        """Return the value of every seed, times 100 (seconds as they are)."""
        found = _row(self._tables, table, row)
        key = measure_of(found, measure)
        scale = 1 if key.startswith("seconds") else 100
        values = tuple(
            (seed, scale * value)
            for seed, value in enumerate(self._collected[table].results[row].values(key))
            if value is not None
        )
        if not values:
            raise NotMeasuredError(f"{table}, {row}: {measure}")
        return Sample(values)

    def gain(self, table: str, row: str, measure: str = "AP") -> Sample:
        """Return the differences of the seeds that both have."""
        base = _row(self._tables, table, row).baseline
        assert base is not None, row
        return self.value(table, row, measure) - self.value(table, base, measure)

    def server_ap(self, row: str) -> Sample:
        """Return AP on test-dev of a row of Table 5.5, times 100.

        Raises:
            NotMeasuredError: There is no server result of it.
        """
        if row not in self._server:
            raise NotMeasuredError(f"table_5_5, {row}: server result")
        return Sample.of(100 * self._server[row]["AP"])

    def collected(self, table: str) -> Collected:
        """Return all that is there of a table."""
        return self._collected[table]


def _row(tables: Mapping[str, Table], table: str, key: str) -> Row:
    found = tables[table].row(key)
    assert found is not None, (table, key)
    return found
