"""Table 5.3: instance segmentation with YOLACT.

Run: ``python -m experiments.table_5_3 [--toy] [--dry-run] [run.py options ...]``
"""

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import replace

from experiments.harness.command import main
from experiments.harness.row import with_spearman_rank
from experiments.harness.setting import YOLACT
from experiments.harness.table import Table, family
from experiments.harness.thesis_numbers import by_coefficient

# Spearman's weight: the text of section 5.2.3, and the published configuration.
SPEARMAN = {"text": 0.5, "config": 0.2}


def _table(spearman: str = "text") -> Table:
    weights: dict[str, float | None] = {"concordance": 0.4, "spearman": SPEARMAN[spearman]}
    return Table(
        name="table_5_3",
        title="Table 5.3: masks of YOLACT without and with Correlation Loss",
        rows=with_spearman_rank(family(YOLACT, by_coefficient("table_5_3"), weights)),
        notes=(
            "AP, AP50 and AP75 are those of masks.",
            "Spearman's lambda is 0.5 in the text and 0.2 in the published configuration "
            "(--yolact-spearman text|config).",
        ),
    )


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--yolact-spearman",
        choices=sorted(SPEARMAN),
        default="text",
        help="Spearman's lambda: 0.5 of the text (default) or 0.2 of the published configuration",
    )


def _choose(table: Table, arguments: Namespace) -> Table:
    return replace(table, rows=_table(arguments.yolact_spearman).rows)


TABLE = replace(_table(), add_options=_add_options, choose=_choose)

if __name__ == "__main__":
    sys.exit(main(TABLE))
