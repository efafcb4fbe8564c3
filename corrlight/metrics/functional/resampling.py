"""Measures of some of the images, without matching again: for confidence intervals.

An image of weight k counts like k images with the same objects and detections. Precision, recall
and LRP at the cuts after a true positive then follow from sums of image weights, and no other cut
can be the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from corrlight.coco.types import Array
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.coco_evaluate import threshold_index
from corrlight.metrics.functional.grouped_correlation import grouped_correlation
from corrlight.metrics.functional.image_correlation import image_correlation
from corrlight.metrics.matching import AREA_RANGES, IOU_THRESHOLDS, RECALL_THRESHOLDS, Matches

__all__ = ["Halves", "ResampledMeasures"]

_AT50, _AT75 = threshold_index(0.5), threshold_index(0.75)
_TAU = 0.5
_MEASURES = ("AP", "AP50", "AP75", "oLRP", "oLRP_Loc", "oLRP_FP", "oLRP_FN")
_ROW = np.arange(len(IOU_THRESHOLDS))[:, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """Measures of two halves of the images.

    Attributes:
        values: ``(2, K)`` by measure: every class in either half, NaN where undefined.
        crossed: ``(K, 4)`` by size range: true positives, false positives, sum of 1 - IoU and
            objects of either half at IoU 0.5, above the threshold that is best in the *other*
            half, added up.
    """

    values: dict[str, Array]
    crossed: dict[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Class:
    """The cuts of a class in one area range that matter.

    Attributes:
        gt_images: Image of every object that counts.
        kept_images: ``(n,)`` image of every detection that is ignored at no threshold, by score.
        cut_images: ``(U,)`` image of every detection that is a true positive at some threshold.
        kept_before: ``(U,)`` how many of ``kept_images`` come up to each cut.
        true: ``(T, U)`` bool.
        loc: ``(U,)`` 1 - IoU at threshold 0.5.
        mixed_images: ``(V,)`` image of the detections ignored at some thresholds only.
        mixed_counts: ``(T, V)`` bool: not ignored.
        mixed_before: ``(U,)`` how many of ``mixed_images`` come up to each cut.
    """

    gt_images: Array
    kept_images: Array
    cut_images: Array
    kept_before: Array
    true: Array
    loc: Array
    mixed_images: Array
    mixed_counts: Array
    mixed_before: Array


class ResampledMeasures:
    """Measures of an evaluation as functions of image weights.

    Those with weights of 1 are the evaluation's own, up to the order of detections of one image and
    class with equal scores.

    Args:
        evaluation: Ground truth, detections and their matching.
        areas: Size ranges, of ``AREA_RANGES``; "all" has to be one of them.
    """

    def __init__(self, evaluation: Evaluation, areas: Sequence[str] = tuple(AREA_RANGES)) -> None:
        gt = evaluation.ground_truth
        self._num_images, self._num_classes = gt.num_images, gt.num_classes
        self._areas = {area: _classes(evaluation, area) for area in areas}
        matches = evaluation.matches()
        true = np.flatnonzero(matches.true_positive[0])
        images = evaluation.results.image_idx[evaluation.order[evaluation.counted]]
        self._true = (
            images[true],
            evaluation.scores[true],
            matches.iou[0, true],
            evaluation.labels[true],
        )
        self._positives: dict[str, Array] = {}
        table = evaluation.positives
        if table is not None:
            for name, scores in (
                ("beta_img", table.scores),
                ("beta_img_ranking", table.ranking_scores),
            ):
                if scores is not None:
                    found = image_correlation(scores, table.ious, table.image_idx, gt.num_images)
                    self._positives[name] = found.values

    def __call__(self, weights: Array) -> dict[str, float]:
        """Return the measures by name, NaN where undefined.

        Args:
            weights: ``(I,)`` how often each image counts.
        """
        return {name: _mean(values) for name, values in self.by_class(weights).items()}

    def by_class(self, weights: Array) -> dict[str, Array]:
        """Return ``(K,)`` values of all classes by measure, NaN where undefined.

        A measure of images is one value.

        Args:
            weights: ``(I,)`` how often each image counts.
        """
        values: dict[str, Array] = {}
        for area, classes in self._areas.items():
            found = np.full((self._num_classes, 7), np.nan)
            for label, cuts in classes.items():
                found[label] = _one_class(cuts, weights)
            values |= _named(found.T, area)
        images = self._true[0]
        values["beta_cls"] = self._class_beta(np.repeat(np.arange(len(images)), weights[images]))
        for name, of_images in self._positives.items():
            values[name] = np.array([_weighted_mean(of_images, weights)])
        return values

    def halves(self, first: Array) -> Halves:
        """Return the measures of two halves of the images.

        Args:
            first: ``(I,)`` bool: the images of the first half; all others are the second.
        """
        values: dict[str, Array] = {}
        crossed: dict[str, Array] = {}
        for area, classes in self._areas.items():
            found = np.full((7, 2, self._num_classes), np.nan)
            crossed[area] = np.zeros((self._num_classes, 4))
            for label, cuts in classes.items():
                both, crossed[area][label] = _two_halves(cuts, first)
                found[..., label] = both.T
            values |= _named(found, area)
        inside = first[self._true[0]]
        values["beta_cls"] = np.stack(
            [self._class_beta(np.flatnonzero(rows)) for rows in (inside, ~inside)]
        )
        for name, of_images in self._positives.items():
            means = [_weighted_mean(of_images, half.astype(np.int64)) for half in (first, ~first)]
            values[name] = np.array(means)[:, None]
        return Halves(values=values, crossed=crossed)

    def num_images(self) -> dict[str, Array]:
        """Return on how many images each value of :meth:`by_class` rests, ``(K,)`` by measure."""
        counts: dict[str, Array] = {}
        for area, classes in self._areas.items():
            found = np.zeros(self._num_classes, np.int64)
            for label, cuts in classes.items():
                found[label] = len(np.unique(cuts.gt_images))
            counts |= _named([found] * 7, area)
        counts["beta_cls"] = counts["AP"]
        for name, of_images in self._positives.items():
            counts[name] = np.array([np.count_nonzero(~np.isnan(of_images))])
        return counts

    def image_errors(self) -> Array:
        """Return ``(I,)`` LRP of every image, each class cut at its oLRP threshold.

        NaN without objects and without detections above the thresholds.
        """
        tp, wrong, loc, objects = np.zeros((4, self._num_images))
        for cuts in self._areas["all"].values():
            objects += np.bincount(cuts.gt_images, minlength=self._num_images)
            best = _best_cut(cuts, self._num_images)
            if best < 0:
                continue
            true = cuts.true[_AT50, : best + 1]
            found = cuts.cut_images[: best + 1][true]
            kept = [
                cuts.kept_images[: cuts.kept_before[best]],
                cuts.mixed_images[: cuts.mixed_before[best]][
                    cuts.mixed_counts[_AT50, : cuts.mixed_before[best]]
                ],
            ]
            hits = np.bincount(found, minlength=self._num_images)
            tp += hits
            wrong += np.bincount(np.concatenate(kept), minlength=self._num_images) - hits
            loc += np.bincount(found, cuts.loc[: best + 1][true], self._num_images)
        total = objects + wrong
        errors = loc / (1 - _TAU) + wrong + objects - tp
        return np.divide(errors, total, out=np.full(self._num_images, np.nan), where=total > 0)

    def _class_beta(self, rows: Array) -> Array:
        _, scores, ious, labels = self._true
        return grouped_correlation(scores[rows], ious[rows], labels[rows], self._num_classes).values


def _named(columns: Sequence[Array] | Array, area: str) -> dict[str, Array]:
    """Return the seven columns of a size range by the names of their measures."""
    if area == "all":
        return dict(zip(_MEASURES, columns, strict=True))
    return {f"AP_{area}": columns[0], f"oLRP_{area}": columns[3]}


def _weighted_mean(values: Array, weights: Array) -> float:
    defined = ~np.isnan(values)
    total = weights[defined].sum()
    return float((weights[defined] * values[defined]).sum() / total) if total else float("nan")


def _best_cut(cuts: _Class, num_images: int) -> int:
    """Return the cut of oLRP among those of a class, -1 without one."""
    ones = np.ones(num_images, np.int64)
    tp = np.cumsum(cuts.true, axis=1)
    total = np.broadcast_to(cuts.kept_before, tp.shape)
    if len(cuts.mixed_images):
        total = total + _mixed(cuts, ones)
    loc = np.cumsum(cuts.true[_AT50] * cuts.loc)
    return _from_counts(tp, total, loc, len(cuts.gt_images))[1]


def _mean(values: Array) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _classes(evaluation: Evaluation, area: str) -> dict[int, _Class]:
    matches = evaluation.matches(area)
    images = evaluation.results.image_idx[evaluation.order[evaluation.counted]]
    low, high = AREA_RANGES[area]
    gt = evaluation.ground_truth
    counts = ~gt.crowd & (gt.areas >= low) & (gt.areas <= high)
    return {
        k: _class(
            matches, evaluation.class_order[rows], images, gt.image_idx[counts & (gt.labels == k)]
        )
        for k, rows in enumerate(evaluation.class_slices)
        if matches.num_gt[k]
    }


def _class(matches: Matches, order: Array, images: Array, gt_images: Array) -> _Class:
    images = images[order]
    ignored = matches.ignored[:, order]
    true = (matches.gt[:, order] >= 0) & ~ignored
    kept = ~ignored.any(0)
    mixed = ~kept & ~ignored.all(0)
    cuts = np.flatnonzero(true.any(0))
    return _Class(
        gt_images=gt_images,
        kept_images=images[kept],
        cut_images=images[cuts],
        kept_before=np.cumsum(kept)[cuts],
        true=true[:, cuts],
        loc=1 - matches.iou[0, order[cuts]],
        mixed_images=images[mixed],
        mixed_counts=~ignored[:, mixed],
        mixed_before=np.cumsum(mixed)[cuts],
    )


def _one_class(cuts: _Class, weights: Array) -> Array:
    """Return AP, AP50, AP75, oLRP and its parts of one class."""
    num_gt = int(weights[cuts.gt_images].sum())
    weight = weights[cuts.cut_images]
    tp = np.cumsum(cuts.true * weight, axis=1)  # (T, U), integers
    total = np.broadcast_to(_up_to(weights[cuts.kept_images], cuts.kept_before), tp.shape)
    if len(cuts.mixed_images):
        total = total + _mixed(cuts, weights)
    loc = np.cumsum(cuts.true[_AT50] * weight * cuts.loc)
    return _from_counts(tp, total, loc, num_gt)[0]


def _two_halves(cuts: _Class, first: Array) -> tuple[Array, Array]:
    """Return the seven measures of a class in two halves of the images, and their crossed counts.

    Args:
        cuts: The class.
        first: ``(I,)`` bool: the images of the first half; the others are the second.

    Returns:
        ``(2, 7)``, and ``(4,)`` true positives, false positives, sum of 1 - IoU and objects of
        either half above the best threshold of the other, added up.
    """
    true50 = cuts.true[_AT50]
    all_found, all_loc = np.cumsum(true50), np.cumsum(true50 * cuts.loc)
    values, crossed = np.empty((2, 7)), np.zeros(4)
    kept = first[cuts.kept_images]
    in_first = first[cuts.cut_images]
    total_first = _up_to(kept, cuts.kept_before)
    mixed_first = _mixed(cuts, first) if len(cuts.mixed_images) else None
    mixed_all = _mixed(cuts, np.ones(len(first), np.int64)) if mixed_first is not None else None
    num_first = int(first[cuts.gt_images].sum())
    for half in range(2):
        columns = np.flatnonzero(in_first if half == 0 else ~in_first)
        kept_here = total_first if half == 0 else cuts.kept_before - total_first
        true = cuts.true[:, columns]
        tp = np.cumsum(true, axis=1)
        total = np.broadcast_to(kept_here[columns], tp.shape)
        if mixed_first is not None and mixed_all is not None:
            mixed = mixed_first if half == 0 else mixed_all - mixed_first
            total = total + mixed[:, columns]
        loc = np.cumsum(true[_AT50] * cuts.loc[columns])
        num_gt = num_first if half == 0 else len(cuts.gt_images) - num_first
        values[half], best = _from_counts(tp, total, loc, num_gt)
        crossed[3] += num_gt
        if best >= 0:
            at = columns[best]
            whole = cuts.kept_before[at] + (0 if mixed_all is None else mixed_all[_AT50, at])
            found = all_found[at] - tp[_AT50, best]
            crossed[0] += found
            crossed[1] += whole - total[_AT50, best] - found
            crossed[2] += all_loc[at] - loc[best]
    return values, crossed


def _up_to(counted: Array, before: Array) -> Array:
    return np.concatenate([[0], np.cumsum(counted)])[before]


def _mixed(cuts: _Class, weights: Array) -> Array:
    """Return ``(T, U)`` counted detections up to each cut that are ignored at some thresholds."""
    mixed = np.cumsum(cuts.mixed_counts * weights[cuts.mixed_images], axis=1)
    mixed = np.concatenate([np.zeros((len(mixed), 1), mixed.dtype), mixed], axis=1)
    found: Array = mixed[:, cuts.mixed_before]
    return found


def _from_counts(tp: Array, total: Array, loc: Array, num_gt: int) -> tuple[Array, int]:
    """Return ``(7,)`` measures from sums at the cuts, and the cut of oLRP (-1 without one)."""
    if num_gt == 0:
        return np.full(7, np.nan), -1
    if tp.shape[1] == 0:
        return np.array([0.0, 0.0, 0.0, 1.0, np.nan, np.nan, 1.0]), -1
    by_threshold = _interpolated(tp, total, num_gt).mean(1)
    found = tp[_AT50]
    fp = (total[_AT50] - found).astype(np.float64)
    fn = num_gt - found
    errors: tuple[float, ...] = (1.0, np.nan, np.nan, 1.0)
    best = -1
    if found[-1] > 0:
        lrp = np.where(found > 0, (loc / (1 - _TAU) + fp + fn) / (found + fp + fn), np.inf)
        best = int(np.argmin(lrp))
        errors = (
            lrp[best],
            loc[best] / found[best],
            fp[best] / (found[best] + fp[best]),
            fn[best] / num_gt,
        )
    return np.array([by_threshold.mean(), by_threshold[_AT50], by_threshold[_AT75], *errors]), best


def _interpolated(tp: Array, total: Array, num_gt: int) -> Array:
    """Return ``(T, R)`` interpolated precision from counts at the cuts."""
    precision = tp / (total + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    envelope = np.concatenate([envelope, np.zeros((len(tp), 1))], axis=1)
    # True positives that reach each recall, in the very arithmetic tp / num_gt >= recall.
    need = np.ceil(RECALL_THRESHOLDS * num_gt)
    need -= (need - 1) / num_gt >= RECALL_THRESHOLDS
    need += need / num_gt < RECALL_THRESHOLDS
    # One search for all thresholds: every row has a range of its own.
    step = 2 * num_gt + 2
    at = np.searchsorted((tp + step * _ROW).ravel(), (need + step * _ROW).ravel())
    at = at.reshape(len(tp), -1) - tp.shape[1] * _ROW
    found: Array = np.take_along_axis(envelope, np.minimum(at, tp.shape[1]), axis=1)
    return found
