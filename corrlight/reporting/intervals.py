"""Confidence intervals over seeds: ``python -m corrlight.reporting.intervals RUN ...``."""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence

from corrlight.reporting.runs import Run, group_seeds, read_run, run_names

__all__ = ["difference_p", "main", "mean_interval", "render_intervals"]

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


def difference_p(differences: Sequence[float]) -> float:
    """Return the two-sided p value of the t test that a mean difference is 0.

    Below 0.05 where the interval of :func:`mean_interval` leaves out 0.

    Args:
        differences: One a seed, at least two.
    """
    from scipy.special import stdtr

    mean, spread = statistics.fmean(differences), statistics.stdev(differences)
    if spread == 0:
        return 1.0 if mean == 0 else 0.0
    error = spread / math.sqrt(len(differences))
    return 2 * float(stdtr(len(differences) - 1, -abs(mean) / error))


def render_intervals(runs: Sequence[Run], measures: Sequence[str] = MEASURES) -> str:
    """Return a Markdown table: the mean over seeds of every measure with its 95% interval.

    Runs that differ in the seed alone are a row. Below stand the differences to the first row over
    the seeds in common, seed by seed, with the p value of the paired t test. A measure that only
    some of the runs define says of how many.

    Args:
        runs: At least one run.
        measures: Keys of ``metrics.json``.
    """
    groups = group_seeds(runs)
    header = ["run", "seeds", *measures]
    names = run_names(groups)
    rows = [
        [name, str(len(group)), *(_cell([run.value(m) for run in group]) for m in measures)]
        for name, group in zip(names, groups, strict=True)
    ]
    first = {run.config.get("seed"): run for run in groups[0]} if groups else {}
    for name, group in zip(names[1:], groups[1:], strict=True):
        pairs = [(first[s], run) for run in group if (s := run.config.get("seed")) in first]
        if pairs:
            cells = [
                _cell([_minus(b.value(m), a.value(m)) for a, b in pairs], "+") for m in measures
            ]
            label = "second" if len(groups) == 2 else name
            rows.append([f"{label} minus first", str(len(pairs)), *cells])
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
    """Return mean and interval; of a difference, which has a sign, the p value as well."""
    defined = [100 * v for v in values if v is not None]
    if not defined:
        return "-"
    mean, low, high = mean_interval(defined)
    text = f"{mean:{sign}.1f}"
    if not math.isinf(low):
        text += f" [{low:{sign}.1f}, {high:{sign}.1f}]"
        if sign:
            p = difference_p(defined)
            text += " p <0.001" if p < 0.001 else f" p {p:.3f}"
    return text if len(defined) == len(values) else f"{text} ({len(defined)} of {len(values)})"


if __name__ == "__main__":
    sys.exit(main())
