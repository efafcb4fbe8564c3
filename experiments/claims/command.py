"""The claims as a table, and its command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from corrlight.atomic import write_text
from experiments import table_5_5
from experiments.claims.ablation import ABLATION
from experiments.claims.analysis import ANALYSIS
from experiments.claims.claim import Claim, OurNumbers, ThesisNumbers
from experiments.claims.comparison import COMPARISON, CONCLUSION
from experiments.claims.conditions import TABLES
from experiments.claims.state_of_the_art import STATE_OF_THE_ART
from experiments.harness.command import collect, report
from experiments.harness.grid import FORMATS, Grid, render
from experiments.harness.identity import Locator

__all__ = ["CLAIMS", "claims_grid", "main"]

CLAIMS: tuple[Claim, ...] = (*ANALYSIS, *COMPARISON, *STATE_OF_THE_ART, *ABLATION, CONCLUSION)


def claims_grid(
    toy: bool, seeds: int, options: Sequence[str], server_files: Sequence[str] = ()
) -> Grid:
    """Return all claims with the verdict of the thesis' numbers and of ours."""
    server = table_5_5.server_results(table_5_5.TABLE, server_files)
    locator = Locator(draw=False)
    collected = {
        name: collect(table, toy=toy, seeds=seeds, options=options, locator=locator)
        for name, table in TABLES.items()
    }
    thesis, ours = ThesisNumbers(TABLES), OurNumbers(TABLES, collected, server)
    lines = [
        (str(k), c.section, c.text, c.criterion, c.verdict(thesis), c.verdict(ours))
        for k, c in enumerate(CLAIMS, 1)
    ]
    verdicts = [line[-1] for line in lines]
    counts = ", ".join(
        f"{sum(verdict.startswith(v) for verdict in verdicts)} {v}"
        for v in ("holds", "fails", "undecided", "not measured")
    )
    return Grid(
        title=f"Claims of the thesis{' (toy: small variants, embedded shapes)' if toy else ''}",
        header=("", "section", "claim", "criterion", "thesis' numbers", "ours"),
        lines=tuple(lines),
        notes=(
            f"Ours: {counts}; {seeds} seed{'s' * (seeds > 1)} asked for. A condition on runs holds "
            "or fails where the 95% interval (Student's t) of the differences, seed by seed, says "
            "so; the seeds that would decide it are those at the mean and spread of today.",
            "A claim about test-dev needs a result of the server (--server-result ROW=FILE).",
        ),
        text_columns=6,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the claims; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.claims",
        description="Every numbered claim and observation of the thesis, on the runs that there "
        "are; nothing is trained.",
    )
    parser.add_argument("--toy", action="store_true", help="of the toy runs")
    parser.add_argument("--seeds", type=int, default=1, metavar="K")
    parser.add_argument("--format", default="md", choices=sorted(FORMATS))
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there as well")
    table_5_5.add_options(parser)
    parser.add_argument("options", nargs="*", help="run.py options, as given to the tables")
    arguments = parser.parse_intermixed_args(argv)
    return report(lambda: _print(arguments))


def _print(arguments: argparse.Namespace) -> int:
    if arguments.seeds < 1:
        raise ValueError(f"Expected `--seeds` to be at least 1, but got {arguments.seeds}.")
    grid = claims_grid(arguments.toy, arguments.seeds, arguments.options, arguments.server_result)
    text = render(grid, arguments.format)
    if arguments.out is not None:
        write_text(arguments.out, text)
    print(text)
    return 0
