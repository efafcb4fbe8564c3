"""Every table and figure there is."""

from experiments.all import tables

TABLES = tables()
NAMES = sorted(TABLES)


def distinct_rows():
    """Return (table, row) of every distinct set of full options, so that shared rows count once."""
    found = {}
    for name, table in TABLES.items():
        for row in table.rows:
            found.setdefault(tuple(row.run_options()), (name, row))
    return list(found.values())
