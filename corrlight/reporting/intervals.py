"""Confidence intervals over seeds: ``python -m corrlight.reporting.intervals RUN ...``."""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence

from corrlight.reporting.runs import Run, group_seeds, read_run, run_names

__all__ = ["main", "mean_interval", "render_intervals"]

MEASURES = ("AP", "oLRP", "beta_img", "beta_cls")


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of some seeds and the ends of its t interval.

    Args:
        values: One a seed; with fewer than two the interval is infinite.
        level: Confidence.
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, -math.inf, math.inf
    from scipy.stats import t

    error = statistics.stdev(values) / math.sqrt(len(values))
    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * error
    return mean, mean - half, mean + half


def render_intervals(runs: Sequence[Run], measures: Sequence[str] = MEASURES) -> str:
    """Return a Markdown table: the mean over seeds of every measure with its 95% interval.

    Runs that differ in the seed alone are a row. Two rows with seeds in common are followed by
    their difference, seed by seed.

    Args:
        runs: At least one run.
        measures: Keys of ``metrics.json``.
    """
    groups = group_seeds(runs)
    header = ["run", "seeds", *measures]
    rows = [
        [name, str(len(group)), *(_cell([run.value(m) for run in group]) for m in measures)]
        for name, group in zip(run_names(groups), groups, strict=True)
    ]
    if len(groups) == 2:
        first, second = ({run.config.get("seed"): run for run in group} for group in groups)
        seeds = [seed for seed in first if seed in second]
        pairs = [(first[seed], second[seed]) for seed in seeds]
        if pairs:
            cells = [
                _cell([_minus(b.value(m), a.value(m)) for a, b in pairs], "+") for m in measures
            ]
            rows.append(["second minus first", str(len(pairs)), *cells])
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in r)} |" for r in lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit code, 1 if a run cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m corrlight.reporting.intervals",
        description="Means over seeds with 95% t intervals, times 100.".replace("%", "%%"),
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder")
    parser.add_argument("--measures", nargs="+", default=list(MEASURES), metavar="KEY")
    options = parser.parse_args(argv)
    try:
        print(render_intervals([read_run(path) for path in options.runs], options.measures))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _cell(values: Sequence[float | None], sign: str = "") -> str:
    defined = [100 * v for v in values if v is not None]
    if not defined:
        return "-"
    mean, low, high = mean_interval(defined)
    text = f"{mean:{sign}.1f}"
    return text if math.isinf(low) else f"{text} [{low:{sign}.1f}, {high:{sign}.1f}]"


if __name__ == "__main__":
    sys.exit(main())
