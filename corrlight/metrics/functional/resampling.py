"""Measures of resampled images, without matching again: for bootstrap confidence intervals.

An image drawn k times counts like k images with the same objects and detections. Precision,
recall and LRP at the cuts after a true positive then follow from sums of image weights, and no
other cut can be the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corrlight.coco.types import Array
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.coco_evaluate import threshold_index
from corrlight.metrics.functional.grouped_correlation import grouped_correlation
from corrlight.metrics.functional.image_correlation import image_correlation
from corrlight.metrics.matching import AREA_RANGES, Matches
from corrlight.metrics.ranking.class_cuts import precision_at_recalls

__all__ = ["ResampledMeasures", "bootstrap_weights", "interval"]

_AT50, _AT75 = threshold_index(0.5), threshold_index(0.75)
_TAU = 0.5


def bootstrap_weights(num_images: int, rng: np.random.Generator) -> Array:
    """Return ``(I,)`` how often each image is drawn in ``I`` draws with replacement."""
    drawn = rng.integers(0, num_images, num_images) if num_images else np.zeros(0, np.int64)
    return np.bincount(drawn, minlength=num_images)


def interval(samples: npt.ArrayLike, level: float = 0.95) -> tuple[float, float] | None:
    """Return the percentile interval of bootstrap samples.

    Args:
        samples: ``(N,)`` values, NaN where undefined.
        level: Share of the samples inside.

    Returns:
        Both ends, or None if the measure is undefined in more than half of the samples.
    """
    values = np.asarray(samples, dtype=np.float64)
    defined = values[~np.isnan(values)]
    if len(defined) == 0 or 2 * len(defined) < len(values):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


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
    """

    def __init__(self, evaluation: Evaluation) -> None:
        gt = evaluation.ground_truth
        self._areas = {area: _classes(evaluation, area) for area in AREA_RANGES}
        matches = evaluation.matches()
        columns = np.flatnonzero(matches.column_true[0])
        true = matches.rows[columns]
        images = evaluation.results.image_idx[evaluation.order[evaluation.counted]]
        self._true = {
            "images": images[true],
            "scores": evaluation.scores[true],
            "ious": matches.column_iou[0, columns],
            "labels": evaluation.labels[true],
        }
        self._num_classes = gt.num_classes
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
        values: dict[str, float] = {}
        for area, classes in self._areas.items():
            suffix = "" if area == "all" else f"_{area}"
            found = np.array([_one_class(c, weights) for c in classes]).reshape(-1, 7)
            means = [_mean(column) for column in found.T]
            values[f"AP{suffix}"], values[f"oLRP{suffix}"] = means[0], means[3]
            if area == "all":
                values |= {"AP50": means[1], "AP75": means[2]}
                values |= {"oLRP_Loc": means[4], "oLRP_FP": means[5], "oLRP_FN": means[6]}
        rows = np.repeat(np.arange(len(self._true["images"])), weights[self._true["images"]])
        scores, ious, labels = (self._true[k][rows] for k in ("scores", "ious", "labels"))
        found = grouped_correlation(scores, ious, labels, self._num_classes).values
        values["beta_cls"] = _mean(found)
        for name, of_images in self._positives.items():
            defined = ~np.isnan(of_images)
            total = weights[defined].sum()
            mean = (weights[defined] * of_images[defined]).sum() / total if total else np.nan
            values[name] = float(mean)
        return values


def _mean(values: Array) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _classes(evaluation: Evaluation, area: str) -> list[_Class]:
    matches = evaluation.matches(area)
    images = evaluation.results.image_idx[evaluation.order[evaluation.counted]]
    low, high = AREA_RANGES[area]
    gt = evaluation.ground_truth
    counts = ~gt.crowd & (gt.areas >= low) & (gt.areas <= high)
    return [
        _class(
            matches, evaluation.class_order[rows], images, gt.image_idx[counts & (gt.labels == k)]
        )
        for k, rows in enumerate(evaluation.class_slices)
        if matches.num_gt[k]
    ]


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


def _one_class(cuts: _Class, weights: Array) -> tuple[float, ...]:
    """Return AP, AP50, AP75, oLRP and its parts of one class."""
    num_gt = int(weights[cuts.gt_images].sum())
    if num_gt == 0:
        return (np.nan,) * 7
    if not len(cuts.cut_images):
        return 0.0, 0.0, 0.0, 1.0, np.nan, np.nan, 1.0
    weight = weights[cuts.cut_images]
    tp = np.cumsum(cuts.true * weight, axis=1)  # (T, U), integers
    total = np.concatenate([[0], np.cumsum(weights[cuts.kept_images])])[cuts.kept_before]
    total = np.broadcast_to(total, tp.shape)
    if len(cuts.mixed_images):
        mixed = np.cumsum(cuts.mixed_counts * weights[cuts.mixed_images], axis=1)
        mixed = np.concatenate([np.zeros((len(tp), 1), mixed.dtype), mixed], axis=1)
        total = total + mixed[:, cuts.mixed_before]
    precision = precision_at_recalls(tp, total, num_gt)
    by_threshold = precision.mean(1)
    fp = (total[_AT50] - tp[_AT50]).astype(np.float64)
    found = tp[_AT50]
    fn = num_gt - found
    loc = np.cumsum(cuts.true[_AT50] * weight * cuts.loc)
    if found[-1] == 0:
        errors: tuple[float, ...] = (1.0, np.nan, np.nan, 1.0)
    else:
        lrp = np.where(found > 0, (loc / (1 - _TAU) + fp + fn) / (found + fp + fn), np.inf)
        best = int(np.argmin(lrp))
        errors = (
            float(lrp[best]),
            float(loc[best] / found[best]),
            float(fp[best] / (found[best] + fp[best])),
            float(fn[best] / num_gt),
        )
    at50, at75 = float(by_threshold[_AT50]), float(by_threshold[_AT75])
    return float(by_threshold.mean()), at50, at75, *errors
