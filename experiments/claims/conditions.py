"""What claims are made of: the tables that they read, and conditions on their rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from corrlight.metrics.direction import better_direction
from experiments import (
    backprop_heads,
    table_3_1,
    table_3_2,
    table_5_1,
    table_5_2,
    table_5_3,
    table_5_4,
    table_5_6,
    table_5_7,
    table_5_8,
    training_time,
)
from experiments.claims.claim import TOLERANCE, Claim, Numbers

__all__ = [
    "ATSS_KEYS",
    "DETECTORS",
    "ENFORCING",
    "TABLES",
    "all_gain",
    "best_row",
    "gain_claim",
    "values",
]

TABLES = {
    module.TABLE.name: module.TABLE
    for module in (
        table_3_1, table_3_2, table_5_1, table_5_2, table_5_3, table_5_4, table_5_6, table_5_7,
        table_5_8, backprop_heads, training_time,
    )
}  # fmt: skip

# Settings by their keys: of ATSS that enforce correlation, all of ATSS, and those of Table 5.1.
ENFORCING = ("atss-centerness", "atss-qfl", "atss-rs")
ATSS_KEYS = ("atss", *ENFORCING)
DETECTORS = ("retinanet", "foveabox", "atss", "paa", "sparse_rcnn")


def gain_claim(table: str, row: str, claimed: float, measure: str = "AP") -> Claim:
    """Return the claim that a row is ``claimed`` better than its baseline."""
    found = TABLES[table].row(row)
    assert found is not None, row
    lower = better_direction(measure) == "min"
    wanted = max(claimed - TOLERANCE, claimed / 2)

    def holds(n: Numbers) -> bool:
        gain = n.gain(table, row, measure)
        return round(-gain if lower else gain, 3) >= wanted - 1e-9

    sign = "-" if lower else "+"
    return Claim(
        section=TABLES[table].title.split(":")[0],
        text=f"{found.name} improves {measure} by {claimed:g}",
        criterion=f"{sign}{wanted:g} or better (the seeds' spread is about {TOLERANCE:g})",
        holds=holds,
    )


def all_gain(table: str, rows: Sequence[str], measure: str = "AP") -> Callable[[Numbers], bool]:
    """Return the condition that every row is above its baseline."""
    return lambda n: all(n.gain(table, row, measure) > 0 for row in rows)


def best_row(n: Numbers, table: str, measure: str) -> str:
    """Return the row of a table with the largest value."""
    return max((row.key for row in TABLES[table].rows), key=lambda r: n.value(table, r, measure))


def values(n: Numbers, table: str, measure: str) -> list[float]:
    """Return a measure of every row of a table."""
    return [n.value(table, row.key, measure) for row in TABLES[table].rows]
