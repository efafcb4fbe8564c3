"""Compare finished runs: ``python -m corrlight.reporting.compare RUN_A RUN_B ... [--out DIR]``."""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corrlight.atomic import write_text
from corrlight.reporting.figures import ScoreIoU, plot_score_iou, read_score_iou
from corrlight.reporting.runs import Run, group_seeds, read_run, run_names
from corrlight.reporting.tables import (
    Comparison,
    compare_runs,
    render_csv,
    render_markdown,
    render_rich,
)
from corrlight.runs.identity import flatten, relevant_options

__all__ = ["differing_ground", "main", "score_iou_panel", "write_comparison"]

# Options of the data that are part of how a run is trained, which runs are compared in.
_OF_TRAINING = ("batch_size", "train_transforms", "load_masks", "eval_batch_size", "check_images")
_TITLE_VALUES = ("beta_img", "beta_cls", "AP")


def write_comparison(runs: Sequence[Run], out: str | Path) -> tuple[Comparison, list[str]]:
    """Write ``comparison.md``, ``comparison.csv`` and ``score_iou.png`` of some runs to ``out``.

    Args:
        runs: At least one run.
        out: The folder, created if missing.

    Returns:
        The table, and one line for each run whose ``score_iou.npz`` is missing or broken (its panel
        is left out).
    """
    out = Path(out)
    comparison = compare_runs(runs)
    write_text(out / "comparison.md", render_markdown(comparison))
    write_text(out / "comparison.csv", render_csv(comparison))
    panels, problems = _panels(runs)
    if panels:
        plot_score_iou(panels, out / "score_iou.png")
    return comparison, problems


def main(argv: Sequence[str] | None = None) -> int:
    """Print the comparison; returns the exit code, 1 if a run cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m corrlight.reporting.compare",
        description="Compare finished runs: AP and correlations, and Figure 2.2 side by side.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder")
    parser.add_argument("--out", metavar="DIR", help="write table and figure here")
    options = parser.parse_args(argv)
    problems: list[str] = []
    try:
        runs = [read_run(path) for path in options.runs]
        if options.out is None:
            comparison = compare_runs(runs)
        else:
            comparison, problems = write_comparison(runs, options.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    from rich.console import Console

    Console().print(render_rich(comparison))
    for problem in [*differing_ground(runs), *problems]:
        print(f"note: {problem}", file=sys.stderr)
    return 0


def differing_ground(runs: Sequence[Run]) -> list[str]:
    """Return one line for each option of the data or the measures in which runs differ.

    Numbers of other pictures, or of other measures of the same name, are no comparison.
    """
    notes = []
    for section, meaning in (("data", "other data"), ("metric", "other measures")):
        options = [_options(run, section) for run in runs]
        for key in sorted(set().union(*options)):
            values = [str(of_run.get(key)) for of_run in options]
            if len(set(values)) > 1:
                shown = ", ".join(dict.fromkeys(values))
                notes.append(f"{section}.{key} differs ({shown}): these are numbers of {meaning}.")
    return notes


def _options(run: Run, section: str) -> dict[str, Any]:
    """Return the options of a section that may change a number, but for the run's seed."""
    chosen = relevant_options(run.config).get(section)
    plain = dict(flatten(chosen)) if isinstance(chosen, Mapping) else {}
    return {k: v for k, v in plain.items() if k != "seed" and not k.startswith(_OF_TRAINING)}


def score_iou_panel(run: Run, name: str | None = None) -> ScoreIoU:
    """Return the panel of one run, titled with its name, correlations and AP.

    Raises:
        OSError: If the folder's ``score_iou.npz`` cannot be read.
        ValueError: If it is no such file.
    """
    values = {measure: run.value(measure) for measure in _TITLE_VALUES}
    return read_score_iou(run.path / "score_iou.npz", name or run.name, values)


def _panels(runs: Sequence[Run]) -> tuple[list[ScoreIoU], list[str]]:
    """Return one panel a row of the table (of several seeds the first) and what went wrong."""
    groups = group_seeds(runs)
    panels: list[ScoreIoU] = []
    problems: list[str] = []
    for name, group in zip(run_names(groups), groups, strict=True):
        run = group[0]
        if len(group) > 1:
            name = f"{name}, seed {run.config.get('seed')}"
        path = run.path / "score_iou.npz"
        try:
            panels.append(score_iou_panel(run, name))
        except FileNotFoundError:
            problems.append(f"{path} is missing; the figure leaves {name} out.")
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            problems.append(f"{path} cannot be read ({error}); the figure leaves {name} out.")
    return panels, problems


if __name__ == "__main__":
    sys.exit(main())
