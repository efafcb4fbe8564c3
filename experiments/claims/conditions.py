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
from experiments.claims.evidence import Evidence, all_of

__all__ = [
    "ATSS_KEYS",
    "DETECTORS",
    "ENFORCING",
    "TABLES",
    "all_below",
    "all_gain",
    "gain_claim",
    "is_best",
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

    def holds(n: Numbers) -> Evidence:
        gain = n.gain(table, row, measure)
        return (-gain if lower else gain) >= wanted

    sign = "-" if lower else "+"
    return Claim(
        section=TABLES[table].title.split(":")[0],
        text=f"{found.name} improves {measure} by {claimed:g}",
        criterion=f"{sign}{wanted:g} or better (the seeds' spread is about {TOLERANCE:g})",
        holds=holds,
    )


def all_gain(table: str, rows: Sequence[str], measure: str = "AP") -> Callable[[Numbers], Evidence]:
    """Return the condition that every row is above its baseline."""
    return lambda n: all_of([n.gain(table, row, measure) > 0 for row in rows])


def is_best(n: Numbers, table: str, key: str, measure: str) -> Evidence:
    """Return whether no row of a table has a larger value than this one."""
    best = n.value(table, key, measure)
    others = [row.key for row in TABLES[table].rows if row.key != key]
    return all_of([best >= n.value(table, other, measure) for other in others])


def all_below(n: Numbers, table: str, measure: str, limit: float) -> Evidence:
    """Return whether a measure of every row of a table is below a limit."""
    return all_of([n.value(table, row.key, measure) < limit for row in TABLES[table].rows])
