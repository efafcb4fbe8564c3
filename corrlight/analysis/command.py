"""``corrlight analyze``: every measure of anybody's COCO results files."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corrlight.commands.parsing import Parser, guarded

if TYPE_CHECKING:
    from rich.progress import Progress

    from corrlight.analysis.results_file import Analysis
    from corrlight.coco.ground_truth import GroundTruth

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Analyse what the command line names; return the exit code.

    Args:
        argv: The arguments after ``analyze``.

    Returns:
        0, 2 if the input is wrong (one line on stderr, nothing written), 130 if stopped.
    """
    return guarded(_options, argv, _analyze, reader_may_leave=True)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="corrlight analyze",
        description="AP, oLRP, beta_cls and AP bounds of COCO results files, per class, with "
        "figures. Records are numbered from 0 in messages.",
        epilog="A run folder stands for its detections.json. docs/measures.md has definitions.",
    )
    parser.add_argument("--gt", required=True, type=Path, metavar="G", help="COCO annotations")
    parser.add_argument(
        "--dt", required=True, type=Path, nargs="+", metavar="D", help="COCO results, one or more"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write numbers, figures and report")
    parser.add_argument(
        "--bootstrap", type=_count, default=0, metavar="N",
        help="95%% confidence intervals from N draws of half of the images",
    )  # fmt: skip
    parser.add_argument("--seed", type=_count, default=0, help="of the draws (default 0)")
    parser.add_argument(
        "--raw", type=Path, nargs="+", default=[], metavar="FILE",
        help="dump before post-processing of each results file (run.py mode=test dump_raw=true): "
        "adds beta_img and image-level bounds",
    )  # fmt: skip
    parser.add_argument("--names", nargs="+", default=[], metavar="NAME", help="names of the files")
    parser.add_argument("--no-masks", action="store_true", help="leave masks out")
    parser.add_argument(
        "--skip-unknown", action="store_true",
        help="leave out, with a count, what is of an image or category that --gt does not have",
    )  # fmt: skip
    parser.add_argument(
        "--mask-areas", action="store_true",
        help="AP by size of masks: their areas, as in runs, instead of their boxes' as pycocotools",
    )  # fmt: skip
    parser.add_argument(
        "--max-detections", type=_count, metavar="N",
        help="adds AP_N: at most N detections of a class in an image count, instead of COCO's 100",
    )  # fmt: skip
    parser.add_argument(
        "--errors", action="store_true",
        help="types of errors and the AP that each costs (TIDE), confusion matrix, curves by class",
    )  # fmt: skip
    parser.add_argument(
        "--score", type=_number, metavar="S",
        help="with --errors: lowest score of the confusion matrix (default 0.25)",
    )  # fmt: skip
    parser.add_argument(
        "--iou", type=_number, metavar="T",
        help="with --errors: IoU from which a detection stands for an object (default 0.5)",
    )  # fmt: skip
    options = parser.parse_args(argv)
    for name in ("raw", "names"):
        given = getattr(options, name)
        if given and len(given) != len(options.dt):
            parser.error(f"Expected --{name} {len(options.dt)} times, as --dt, got {len(given)}.")
    if options.max_detections is not None and options.max_detections <= 100:
        parser.error(f"Expected --max-detections above 100, got {options.max_detections}.")
    for name in ("score", "iou"):
        if getattr(options, name) is not None and not options.errors:
            parser.error(f"Expected --errors with --{name}, which is of its confusion matrix.")
    if options.iou is not None and not 0 < options.iou <= 1:
        parser.error(f"Expected --iou to be in (0, 1], got {options.iou:g}.")
    if len(set(options.names)) != len(options.names):
        parser.error("Expected --names that differ.")
    return options


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise argparse.ArgumentTypeError(f"Expected a whole number, but got '{text}'.")
    return int(text)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"Expected a number, but got '{text}'.")
    return number


def _analyze(options: argparse.Namespace) -> int:
    # numpy and the measures: a misspelt option does not wait for them.
    from corrlight.analysis.comparison import compare
    from corrlight.analysis.intervals import bootstrap
    from corrlight.analysis.output import check_output, write_output
    from corrlight.analysis.tables import findings, rich_table

    if options.out is not None:
        check_output(options.out)
    files = [p / "detections.json" if p.is_dir() else p for p in options.dt]
    names = options.names or _names(options.dt)
    with _progress() as progress:
        ground_truth, notes = _ground_truth(options, files, progress)
        analyses = [
            _one_file(options, k, name, path, ground_truth, progress)
            for k, (name, path) in enumerate(zip(names, files, strict=True))
        ]
        samples = []
        if options.bootstrap:
            task = progress.add_task("drawing images", total=options.bootstrap)
            samples = bootstrap(
                analyses,
                ground_truth.num_images,
                options.bootstrap,
                options.seed,
                lambda: progress.advance(task),
            )
        comparison = compare(str(options.gt), analyses, samples, options.bootstrap, notes)
        if options.out is not None:
            from corrlight.analysis.figures import num_figures, undrawable_names

            if words := undrawable_names(comparison.class_names):
                comparison = replace(comparison, notes=[*comparison.notes, words])
            task = progress.add_task("drawing figures", total=num_figures(comparison))
            write_output(options.out, comparison, lambda: progress.advance(task))
    for note in comparison.notes:
        print(f"warning: {note}.", file=sys.stderr)
    from rich.console import Console

    # A pipe has no width: names and numbers are not folded there.
    console = Console() if sys.stdout.isatty() else Console(width=60 + 40 * len(names) ** 2)
    console.print(rich_table(comparison))
    for line in findings(comparison):
        print(line)
    if options.out is not None:
        print(f"report  {options.out / 'report.html'}")
    return 0


def _ground_truth(
    options: argparse.Namespace, files: Sequence[Path], progress: Progress
) -> tuple[GroundTruth, list[str]]:
    from corrlight.coco.ground_truth import GroundTruth

    task = progress.add_task(f"reading {options.gt.name}", total=1)
    masks = None if not options.no_masks and any(map(_has_masks, files)) else False
    with _ways_out(options):
        ground_truth = GroundTruth.load(options.gt, masks=masks, skip_unknown=options.skip_unknown)
    progress.advance(task)
    notes = []
    if ground_truth.num_areas_filled:
        notes.append(
            f"{ground_truth.num_areas_filled:,} annotations without area: width x height is used"
        )
    if ground_truth.num_crowd_filled:
        notes.append(f"{ground_truth.num_crowd_filled:,} annotations without iscrowd: 0 is used")
    found = ground_truth.findings
    if masks is None and "no_mask" in found:
        missing = found["no_mask"]
        if missing.count == len(ground_truth):
            notes.append(f"{options.gt} holds no masks: boxes are measured alone")
        else:
            notes.append(
                f"{options.gt}: {missing.count:,} annotations have no mask (first: annotation "
                f"number {missing.examples[0].row}): masks are left out, boxes are measured; "
                "--no-masks leaves them out from the start"
            )
    said = ("no_mask", "no_area", "no_iscrowd")
    others = [
        f for f in found if f.kind not in said and (f.level("measure") == "warning" or f.cause)
    ]
    notes += [f"{options.gt}: {finding.said()}" for finding in others]
    if options.max_detections is None and (words := ground_truth.crowding(100)):
        notes.append(f"{words}: --max-detections 300 adds AP_300")
    if not len(ground_truth):
        notes.append(f"{options.gt} holds no annotations: no measure is defined")
    return ground_truth, notes


def _one_file(
    options: argparse.Namespace,
    number: int,
    name: str,
    path: Path,
    ground_truth: GroundTruth,
    progress: Progress,
) -> Analysis:
    from corrlight.analysis.results_file import analyze_results
    from corrlight.metrics.errors.confusion import MIN_IOU, MIN_SCORE
    from corrlight.metrics.raw.dump import RawDump

    task = progress.add_task(name, total=1.0)
    try:
        with _ways_out(options):
            analysis = analyze_results(
                name,
                path,
                ground_truth,
                masks=not options.no_masks,
                skip_unknown=options.skip_unknown,
                # The numbers of a run folder are those that its own metrics.json has.
                mask_areas=options.mask_areas or options.dt[number].is_dir(),
                max_detections=options.max_detections,
                raw=RawDump.load(options.raw[number]) if options.raw else None,
                resample=options.bootstrap > 0,
                draw=options.out is not None,
                errors=options.errors,
                min_score=MIN_SCORE if options.score is None else options.score,
                min_iou=MIN_IOU if options.iou is None else options.iou,
                progress=lambda share, what: progress.update(
                    task, completed=share, description=what
                ),
            )
    except ValueError as error:
        if len(options.dt) == 1 or str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}") from error
    progress.update(task, completed=1.0, description=name)
    return analysis


@contextmanager
def _ways_out(options: argparse.Namespace) -> Iterator[None]:
    """Name the way on to an error of a mask that boxes do not need, or of an unknown id."""
    from corrlight.coco.findings import MaskError, UnknownIdError

    try:
        yield
    except UnknownIdError as error:
        if options.skip_unknown:
            raise
        raise ValueError(f"{error} --skip-unknown leaves such records out.") from error
    except MaskError as error:
        if options.no_masks:
            raise
        raise ValueError(f"{error} --no-masks measures the boxes alone.") from error


def _has_masks(path: Path) -> bool:
    """Return whether a results file starts with segmentations; a broken file has none.

    What counts is the value: some tools write an empty list into every detection.
    """
    try:
        with path.open("rb") as file:
            return (
                re.search(rb'"segmentation"\s*:\s*(?:[\[{]\s*[^\]}\s]|"[^"])', file.read(1 << 20))
                is not None
            )
    except OSError:
        return False


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell them apart; equal paths are numbered."""
    whole = [p.absolute().with_suffix("") if p.suffix == ".json" else p.absolute() for p in paths]
    names: list[str] = []
    for k, path in enumerate(whole):
        others = [other.parts for i, other in enumerate(whole) if i != k]
        length = 1
        while length < len(path.parts) - 1 and any(
            other[-length:] == path.parts[-length:] for other in others
        ):
            length += 1
        names.append("/".join(path.parts[-length:]))
    seen: Counter[str] = Counter()
    for k, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[k] = f"{name} ({seen[name]})"
    return names


@contextmanager
def _progress() -> Iterator[Progress]:
    """Yield a progress display on stderr that shows only on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    ]
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with progress:
        yield progress
