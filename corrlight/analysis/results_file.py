"""One results file to all of its measures and to what the figures show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from corrlight.coco.geometry import leaving, likely_cause
from corrlight.coco.run_lengths import covered_pixels
from corrlight.coco.types import Array
from corrlight.metrics import (
    Calibration,
    ClassCorrelation,
    CocoEvaluate,
    Evaluation,
    GroundTruth,
    ImageCorrelation,
    Metric,
    Olrp,
    Results,
    ScoreBounds,
)
from corrlight.metrics.base import Number
from corrlight.metrics.errors.confusion import MIN_IOU, MIN_SCORE
from corrlight.metrics.errors.metric import ErrorTypes
from corrlight.metrics.errors.view import ErrorView, error_view
from corrlight.metrics.functional import (
    CalibrationBins,
    calibration,
    class_correlation,
    lrp_curve,
    olrp,
    score_iou_pairs,
)
from corrlight.metrics.functional.coco_evaluate import class_precision, threshold_index
from corrlight.metrics.functional.resampling import ResampledMeasures
from corrlight.metrics.matching import AREA_RANGES, RECALL_THRESHOLDS
from corrlight.metrics.measure import measure
from corrlight.metrics.raw.dump import RawDump

__all__ = ["Analysis", "FigureData", "all_metrics", "analyze_results"]

PR_THRESHOLDS = (0.5, 0.75)
_GRID = 101
_SAME_AP = 1e-4
# Share of the detections outside their images that is worth a look at what they are.
_MANY_LEAVING = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureData:
    """What the figures show of one file, for boxes or for masks.

    Attributes:
        scores: ``(D,)`` of all detections.
        best_ious: ``(D,)`` their best IoU with an object of the same class.
        labels: ``(D,)`` their classes.
        precision: ``(2, R)`` precision at ``PR_THRESHOLDS``, mean over classes.
        class_beta: ``(C,)`` beta_cls of every class, NaN where undefined.
        thresholds: ``(S,)`` ascending score thresholds.
        lrp: ``(S,)`` LRP of the detections that reach each threshold, mean over classes.
        size_errors: ``(4, 3)`` parts of oLRP by localisation, false positives and missed objects,
            for the ranges of ``AREA_RANGES``; mean over classes, NaN without objects.
        bins: The calibration view, or None if a score is outside [0, 1].
    """

    scores: Array
    best_ious: Array
    labels: Array
    precision: Array
    class_beta: Array
    thresholds: Array
    lrp: Array
    size_errors: Array
    bins: CalibrationBins | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """One analysed file.

    Attributes:
        name: What tables and figures call it.
        path: The file.
        metrics: As in ``metrics.json`` of a run folder.
        per_class: Rows of ``per_class.csv``.
        prefixes: Of the measures: "" for boxes, "mask_" for masks.
        figures: By prefix; empty if they are not drawn.
        resampled: Measures as functions of image weights, by prefix.
        errors: Confusion matrix and curves by prefix; empty if they are not asked for.
        warnings: What the reader has to know, one line each.
        seconds: What each measure took.
    """

    name: str
    path: Path
    metrics: dict[str, Number]
    per_class: list[dict[str, object]]
    prefixes: tuple[str, ...]
    figures: dict[str, FigureData]
    resampled: dict[str, ResampledMeasures]
    errors: dict[str, ErrorView] = field(default_factory=dict)
    warnings: list[str]
    seconds: dict[str, float]


def all_metrics(
    positives: bool, max_detections: int | None = None, errors: bool = False
) -> list[Metric]:
    """Return every measure of an analysis.

    Args:
        positives: Whether there are positives, for beta_img.
        max_detections: Adds AP at this limit of detections of an image and class.
        errors: Adds what each type of error costs.
    """
    metrics: list[Metric] = [
        CocoEvaluate(max_detections),
        Olrp(),
        *(ClassCorrelation(c) for c in ("spearman", "pearson", "concordance")),
        ScoreBounds(),
        Calibration(),
    ]
    if positives:
        metrics += [ImageCorrelation(c) for c in ("spearman", "pearson", "concordance")]
    if errors:
        metrics.append(ErrorTypes())
    return metrics


def analyze_results(
    name: str,
    path: Path,
    ground_truth: GroundTruth,
    *,
    masks: bool = True,
    skip_unknown: bool = False,
    mask_areas: bool = False,
    max_detections: int | None = None,
    raw: RawDump | None = None,
    resample: bool = False,
    draw: bool = True,
    errors: bool = False,
    min_score: float = MIN_SCORE,
    min_iou: float = MIN_IOU,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> Analysis:
    """Read and measure one results file.

    Args:
        name: What tables and figures call it.
        path: A COCO results file.
        ground_truth: The objects; masks are measured only if it has them.
        masks: Whether to measure masks where all detections have one.
        skip_unknown: Whether to leave out detections of images and categories that the ground truth
            does not have.
        mask_areas: Whether the size of a mask is its area also where the first detection has a box,
            whose width times height pycocotools takes then.
        max_detections: Adds AP at this limit of detections of an image and class.
        raw: Dump of the same detector before post-processing, for beta_img and image-level bounds.
        resample: Whether to prepare confidence intervals.
        draw: Whether to prepare figures.
        errors: Whether to tell types of errors, their costs, and which classes are confused.
        min_score: Of the detections of the confusion matrix.
        min_iou: From which a detection stands for an object there.
        progress: Called with the share of the work done and what comes next.

    Raises:
        ValueError: Whatever is wrong with the file, in one line.
    """
    reading = f"reading {path.name}"
    progress(0, reading)
    results = Results.load(
        path,
        ground_truth,
        None if masks and ground_truth.masks is not None else False,
        lambda share: progress(0.5 * share, reading),
        skip_unknown,
    )
    if mask_areas and _sized_by_boxes(results):
        results = replace(results, areas=None)
    warnings = _about(path, results, masks, ground_truth)
    measuring = f"measuring {name}"
    progress(0.5, measuring)
    positives = None if raw is None else raw.positives(ground_truth)
    boxes = Evaluation(ground_truth, results, positives)
    of_masks = None
    if results.masks is not None:
        of_masks = Evaluation(ground_truth, results, masks=True)
    metrics_asked = all_metrics(positives is not None, max_detections, errors)
    measured = measure(boxes, metrics_asked, of_masks)
    if measured.metrics["calibration_error"] is None and len(results):
        warnings.append(f"{path} holds scores outside [0, 1]: no calibration error")
    metrics = dict(measured.metrics)
    warnings += _about_errors(path, metrics)
    if raw is not None:
        metrics |= _image_bounds(path, raw, ground_truth, metrics["AP"], warnings, progress)
    progress(0.85, measuring)
    evaluations = {"": boxes} | ({} if of_masks is None else {"mask_": of_masks})
    return Analysis(
        name=name,
        path=path,
        metrics=metrics,
        per_class=measured.per_class,
        prefixes=tuple(evaluations),
        figures={p: _figure_data(e) for p, e in evaluations.items()} if draw else {},
        resampled={p: ResampledMeasures(e) for p, e in evaluations.items()} if resample else {},
        errors={p: error_view(e, min_score, min_iou) for p, e in evaluations.items()}
        if errors
        else {},
        warnings=warnings,
        seconds=measured.seconds,
    )


def _about(path: Path, results: Results, masks: bool, ground_truth: GroundTruth) -> list[str]:
    """Return what the reader has to know of the detections, one line each."""
    if not len(results):
        return [f"{path} holds no detections: AP is 0"]
    notes = []
    if num_unknown := len(results.unknown):
        notes.append(
            f"{path}: {num_unknown:,} of {num_unknown + len(results):,} detections are left "
            "out, of images or categories that the annotations do not have (first: "
            f"detection number {results.unknown[0]})"
        )
    without = results.without_mask
    if masks and len(without) == len(results) and results.empty_masks:
        notes.append(
            f"{path}: no detection has a mask (`segmentation` is empty or null): boxes are "
            "measured alone"
        )
    elif masks and 0 < len(without) < len(results):
        notes.append(
            f"{path}: {len(without):,} of {len(results):,} detections have no mask (first: "
            f"detection number {without[0]}): masks are left out, boxes are measured; --no-masks "
            "leaves them out from the start"
        )
    if _sized_by_boxes(results) and _differ_in_size(results):
        notes.append(
            f"{path}: masks have the sizes of their boxes, as in pycocotools; --mask-areas takes "
            "their own, as detectron2 and mmdetection do"
        )
    known: Array = np.all(ground_truth.sizes > 0, axis=1)
    known = known[results.image_idx]
    num_leaving = int(leaving(results.boxes, results.image_idx, ground_truth.sizes).sum())
    cause = ""
    # Fractions leave no picture.
    tiny = bool(known.any()) and results.boxes[known].max() <= 1
    if tiny or num_leaving > _MANY_LEAVING * np.count_nonzero(known):
        sizes = ground_truth.sizes[results.image_idx[known]]
        cause = likely_cause(results.boxes[known], sizes)
    if cause:
        notes.append(
            f"{path}: {'all' if tiny else f'{num_leaving:,}'} of {len(results):,} detections "
            f"{'are below a pixel' if tiny else 'leave their images'}: {cause} instead of "
            "[x, y, width, height] in pixels"
        )
    return notes


def _sized_by_boxes(results: Results) -> bool:
    """Return whether there are masks, and their sizes are those of boxes."""
    if results.masks is None or results.areas is None:
        return False
    return np.array_equal(results.areas, results.boxes[:, 2] * results.boxes[:, 3])


def _about_errors(path: Path, metrics: dict[str, Number]) -> list[str]:
    """Return in words why AP with types of errors is not AP50, where it is not."""
    count = metrics.get("num_classes_unasked_tide")
    if not count:
        return []
    return [
        f"{path}: {count} classes have detections but no objects: TIDE counts their AP as 0 "
        "(`AP_tide`, `dAP_...`), COCO leaves them out"
    ]


def _differ_in_size(results: Results) -> bool:
    """Return whether a mask is of another size class than its box, whose sizes are ``areas``."""
    limits = [high for _, high in AREA_RANGES.values()][1:-1]
    assert results.masks is not None  # asked before
    assert results.areas is not None
    sizes = np.digitize(covered_pixels(results.masks), limits)
    return bool(np.any(sizes != np.digitize(results.areas, limits)))


def _image_bounds(
    path: Path,
    raw: RawDump,
    ground_truth: GroundTruth,
    ap: Number,
    warnings: list[str],
    progress: Callable[[float, str], None],
) -> dict[str, Number]:
    """Return the image-level bounds of a dump, if it has candidates."""
    if raw.candidates is None:
        warnings.append(f"the dump of {path} has no candidates: no image-level bounds")
        return {}
    from corrlight.metrics.raw.bounds import raw_bounds

    bounds = raw_bounds(
        raw, ground_truth, lambda share: progress(0.6 + 0.25 * share, "post-processing the dump")
    )
    of_dump = {name: bounds.pop(f"{name}_raw") for name in ("AP", "AP50", "AP75")}
    own = of_dump["AP"]
    warnings += [
        f"the dump of {path}: {name} is {100 * value:.2f}, outside of its image-level bounds "
        f"[{100 * low:.2f}, {100 * high:.2f}], which are no theorem (docs/measures.md)"
        for name, value in of_dump.items()
        for low, high in [(bounds[f"{name}_lower_img"], bounds[f"{name}_upper_img"])]
        if value is not None and low is not None and high is not None
        if not low - 1e-12 <= value <= high + 1e-12
    ]
    if own is not None and ap is not None and abs(own - ap) > _SAME_AP:
        warnings.append(
            f"the dump of {path} gives AP {100 * own:.2f} after post-processing, the file "
            f"{100 * ap:.2f}: image-level bounds are those of the dump"
        )
    return bounds


def _figure_data(evaluation: Evaluation) -> FigureData:
    pairs = score_iou_pairs(evaluation)
    inside = not len(pairs.scores) or (pairs.scores.min() >= 0 and pairs.scores.max() <= 1)
    thresholds, lrp = _mean_lrp(evaluation, inside)
    return FigureData(
        scores=pairs.scores,
        best_ious=pairs.ious,
        labels=pairs.labels,
        precision=_mean_precision(evaluation),
        class_beta=class_correlation(evaluation).values,
        thresholds=thresholds,
        lrp=lrp,
        size_errors=_size_errors(evaluation),
        bins=calibration(pairs.scores, pairs.ious) if inside else None,
    )


def _mean_precision(evaluation: Evaluation) -> Array:
    cuts = evaluation.cuts()
    rows = [threshold_index(t) for t in PR_THRESHOLDS]
    curves = class_precision(cuts)[rows][..., cuts.num_gt > 0]
    if not curves.shape[-1]:
        return np.full((len(rows), len(RECALL_THRESHOLDS)), np.nan)
    return np.ascontiguousarray(np.moveaxis(curves, -1, 0)).mean(0)


def _mean_lrp(evaluation: Evaluation, inside: bool) -> tuple[Array, Array]:
    """Return thresholds and the mean over classes of LRP at each; without detections it is 1."""
    scores = evaluation.scores
    low, high = (0.0, 1.0) if inside else (float(scores.min()), float(scores.max()))
    thresholds = np.linspace(low, high, _GRID)
    curves = []
    for label in np.flatnonzero(evaluation.matches().num_gt).tolist():
        curve = lrp_curve(evaluation, label)
        # How many detections reach each threshold; of none of them, LRP is 1.
        kept = np.searchsorted(-curve.scores, -thresholds, side="right")
        curves.append(np.concatenate([[1.0], curve.lrp])[kept])
    mean = np.mean(curves, axis=0) if curves else np.full(_GRID, np.nan)
    return thresholds, mean


def _size_errors(evaluation: Evaluation) -> Array:
    """Split oLRP into its sums over true positives, false positives and missed objects."""
    numbers = olrp(evaluation)
    parts = np.full((len(AREA_RANGES), 3), np.nan)
    for a, area in enumerate(AREA_RANGES):
        num_gt = evaluation.matches(area).num_gt
        has = num_gt > 0
        if not has.any():
            continue
        objects = num_gt[has].astype(np.float64)
        loc, fp, fn = (v[has, a] for v in (numbers.loc, numbers.fp, numbers.fn))
        # fp is 1 - precision: fp / (1 - fp) false positives for every object that is found.
        found = objects * (1 - fn)
        wrong = np.where(found > 0, found * fp / (1 - np.where(found > 0, fp, 0)), 0.0)
        total = objects + wrong
        loc_part = np.where(found > 0, found * np.nan_to_num(loc) / 0.5, 0.0) / total
        parts[a] = [loc_part.mean(), (wrong / total).mean(), ((objects - found) / total).mean()]
    return parts
