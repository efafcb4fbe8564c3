"""Every table and figure there is, from the files in experiments/."""

import importlib
from pathlib import Path

import experiments

NAMES = sorted(
    path.stem
    for path in Path(experiments.__file__).parent.glob("*.py")
    if path.stem.startswith(("table_", "figure_"))
    or path.stem in ("backprop_heads", "training_time")
)
TABLES = {name: importlib.import_module(f"experiments.{name}").TABLE for name in NAMES}


def distinct_rows():
    """Return (table, row) of every distinct set of full options, so that shared rows count once."""
    found = {}
    for name, table in TABLES.items():
        for row in table.rows:
            found.setdefault(tuple(row.run_options()), (name, row))
    return list(found.values())
